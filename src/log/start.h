/*
 * start.h
 *		Log starts that the current transaction has raised.
 */
#ifndef SL_START_H
#define SL_START_H

#include "shmem/partition.h"

/*
 * Note that the partition's row, which said before, says log_start now: at commit
 * readers are told, and the worker.  Raises nothing but OOM.
 */
extern void sl_start_raise(const SlPartitionKey *key, int64 log_start,
						   int64 before);

/*
 * What a partition's row says without this transaction, if it says log_start.
 */
extern int64 sl_start_committed(const SlPartitionKey *key, int64 log_start);

#endif							/* SL_START_H */
