/*
 * roll.h
 *		Giving partitions their next segment, and their first.
 */
#ifndef SL_ROLL_H
#define SL_ROLL_H

/*
 * The worker's jobs: each runs transactions of its own and returns true if there
 * is more to do at once.
 */

/* Roll partitions whose active segment has reached its size. */
extern bool sl_roll_due(void);

/* Make the first segments of partitions that have none. */
extern bool sl_roll_first_segments(void);

#endif							/* SL_ROLL_H */
