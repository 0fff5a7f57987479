/*
 * guard.h
 *		Refusing what would break a topic: DDL on its relations, and writes to
 *		its segments.
 */
#ifndef SL_GUARD_H
#define SL_GUARD_H

#include "nodes/pg_list.h"
#include "nodes/nodes.h"

/*
 * Raise FEATURE_NOT_SUPPORTED, with the reason and what to do instead, if a
 * utility command would change a topic's table, its text view or a segment.  To
 * be called before the command is run, whoever runs it.
 */
extern void sl_guard_check_command(Node *command);

/*
 * Is it ALTER TABLE .. ENABLE ALWAYS TRIGGER on a text view, as pg_dump writes
 * it?  PostgreSQL does not do that for a view; if so it is done here.
 */
extern bool sl_guard_enable_always(Node *command);

/* The same for the relations of a query that it writes to. */
extern void sl_guard_check_writes(List *range_table);

#endif							/* SL_GUARD_H */
