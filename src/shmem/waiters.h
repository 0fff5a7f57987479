/*
 * waiters.h
 *		Backends that sleep until there is something to read.
 *
 * A backend waits for at most one partition at a time: it adds itself, looks
 * again at what it waits for, and only then sleeps on its latch.
 */
#ifndef SL_WAITERS_H
#define SL_WAITERS_H

#include "lib/ilist.h"

/* The most that one sl_waiters_take() hands over */
#define SL_MAX_TAKEN 64

extern Size sl_waiters_shmem_size(void);
extern void sl_waiters_shmem_init(void);

/*
 * All of these want the lock that guards list held exclusively by the caller;
 * none raises.  take() removes up to SL_MAX_TAKEN backends that wait for less
 * than visible_end and returns their number; the caller sets their latches by
 * wake() after it has released the lock, and calls again while it got
 * SL_MAX_TAKEN.
 */
extern void sl_waiters_add(dlist_head *list, int64 want);
extern void sl_waiters_remove(void);
extern int	sl_waiters_take(dlist_head *list, int64 visible_end, int *taken);
extern void sl_waiters_wake(const int *taken, int n);

#endif							/* SL_WAITERS_H */
