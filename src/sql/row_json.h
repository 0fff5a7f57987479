/*
 * row_json.h
 *		Rows as JSON.
 */
#ifndef SL_ROW_JSON_H
#define SL_ROW_JSON_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"

/* How the rows of one table become JSON */
typedef struct SlRowJson SlRowJson;

/*
 * Find it out, in this memory context.  The descriptor is not kept.  Raises what
 * looking up types may.
 */
extern SlRowJson *sl_row_json_create(TupleDesc desc, MemoryContext context);

/*
 * Append a row, byte for byte what row_to_json() makes of it, in the server's
 * encoding.  Raises what the types' output functions do, and if the text passes
 * 1 GB.  Leaves memory in the current context.
 */
extern void sl_row_json_append(StringInfo out, SlRowJson *row,
							   TupleTableSlot *slot);

/* Append a JSON string. */
extern void sl_json_append_string(StringInfo out, const char *string, int len);

#endif							/* SL_ROW_JSON_H */
