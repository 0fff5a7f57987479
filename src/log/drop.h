/*
 * drop.h
 *		Removing what is left of dropped topics.
 */
#ifndef SL_DROP_H
#define SL_DROP_H

/* Segments dropped in one transaction */
#define SL_DROPS_A_TURN		32

/*
 * Drop the tables and the rows of segments of a topic; the tables are locked, and
 * there is an active snapshot.  Only the rows of those that are gone, or that are
 * no segments.
 */
extern void sl_drop_segments(int32 topic_id, const Oid *segments, int n);

/*
 * The worker's job: remove some segments of a dropped topic, or what remains of
 * one that has none, in a transaction of its own.  True if there is more to do
 * at once.
 */
extern bool sl_drop_next(void);

#endif							/* SL_DROP_H */
