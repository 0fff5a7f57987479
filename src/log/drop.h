/*
 * drop.h
 *		Removing what is left of dropped topics.
 */
#ifndef SL_DROP_H
#define SL_DROP_H

/*
 * The worker's job: remove some segments of a dropped topic, or what remains of
 * one that has none, in a transaction of its own.  True if there is more to do
 * at once.
 */
extern bool sl_drop_next(void);

#endif							/* SL_DROP_H */
