/*
 * waiters.h
 *		Backends that sleep until there is something to read.
 *
 * A backend adds an entry to the list of each partition that it waits for, looks
 * again at what it waits for, and only then sleeps on its latch.
 */
#ifndef SL_WAITERS_H
#define SL_WAITERS_H

#include "lib/ilist.h"

/* The most that one sl_waiters_take() hands over */
#define SL_MAX_TAKEN 64

typedef struct SlWaiter SlWaiter;

extern Size sl_waiters_shmem_size(void);
extern void sl_waiters_shmem_init(void);

/*
 * An entry for this backend, NULL if all are in use; and an entry that is in no
 * list back to the pool.  Neither raises.
 */
extern SlWaiter *sl_waiter_reserve(void);
extern void sl_waiter_give_back(SlWaiter *waiter);

/*
 * All of these want the lock that guards the list held exclusively by the caller;
 * none raises.  An entry may be added again, to change what it wants, and removed
 * when it is in the list no more.  take() removes up to SL_MAX_TAKEN entries that
 * want less than visible_end and returns their number and backends; the caller
 * sets the latches by wake() after it has released the lock, and calls again while
 * it got SL_MAX_TAKEN.
 */
extern void sl_waiter_add(dlist_head *list, SlWaiter *waiter, int64 want);
extern void sl_waiter_remove(SlWaiter *waiter);
extern int	sl_waiters_take(dlist_head *list, int64 visible_end, int *taken);
extern void sl_waiters_wake(const int *taken, int n);

#endif							/* SL_WAITERS_H */
