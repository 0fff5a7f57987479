/*
 * rows.h
 *		Functions that return sets.
 */
#ifndef SL_ROWS_H
#define SL_ROWS_H

#include "fmgr.h"
#include "utils/tuplestore.h"

typedef struct SlRows
{
	TupleDesc	desc;
	Tuplestorestate *store;
} SlRows;

/* Begin to return rows of the function's result type, in a tuple store. */
extern void sl_rows_begin(SlRows *rows, FunctionCallInfo fcinfo);
extern void sl_rows_put(SlRows *rows, Datum *values, bool *nulls);

#endif							/* SL_ROWS_H */
