/*
 * roll.h
 *		Giving partitions their next segment, and their first.
 */
#ifndef SL_ROLL_H
#define SL_ROLL_H

#include "shmem/partition.h"

/*
 * The worker's jobs: each runs transactions of its own and returns true if there
 * is more to do at once.
 */

/*
 * Roll partitions whose active segment has reached its size, or holds nothing but
 * records below the log's start.
 */
extern bool sl_roll_due(void);

/* Roll this one, if it is due; false if it was not, or if a lock is missing. */
extern bool sl_roll_partition(Oid relation, int32 partition);

/* Is all that the active segment holds below the log's start? */
extern bool sl_roll_is_expired(const SlPartitionState *state);

/* Make the first segments of partitions that have none. */
extern bool sl_roll_first_segments(void);

#endif							/* SL_ROLL_H */
