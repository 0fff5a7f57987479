/*
 * restore.h
 *		Taking topics that were restored from a dump into use.
 */
#ifndef SL_RESTORE_H
#define SL_RESTORE_H

#include "utils/tuplestore.h"

/*
 * Look at every topic that came from a dump, and make those that are in order
 * ready for use.  Puts a row (topic, segments_rewritten, problem) into store for
 * each.  The caller has checked that the current user may.  Waits for whoever
 * has a lock on their tables.
 */
extern void sl_restore_finish(TupleDesc desc, Tuplestorestate *store);

#endif							/* SL_RESTORE_H */
