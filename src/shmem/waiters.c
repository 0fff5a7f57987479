/*
 * waiters.c
 *		Backends that sleep until there is something to read.
 *
 * A backend that waits has an entry in the list of each partition that it waits
 * for.  Who moves the end of a partition takes out the entries that the move
 * satisfies, and sets the latches of their backends after it has let go of the
 * lock: a waiter that finds nothing adds its entry again.
 *
 *		free --reserve--> idle --add--> listed --remove, take--> idle
 *		 ^------give_back---+
 *
 * There are enough entries for every backend to wait for one partition, and for
 * every partition to be waited for once more.  A backend that gets none looks
 * again from time to time.
 *
 * Locking: the list and the entries in it belong to the lock of the partition that
 * the list is of.  An idle entry belongs to the backend that has reserved it, and
 * only that one gives it back; to learn whether its entry is idle it takes the lock
 * of the partition that it has added it to.  free_lock guards the free ones and is
 * never held together with another lock.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "base/waitpoint.h"
#include "shmem/partition.h"
#include "shmem/waiters.h"

struct SlWaiter
{
	dlist_node	node;
	int64		want;			/* sleeps until visible_end exceeds this */
	int			pgprocno;		/* whose it is */
	bool		listed;
	SlWaiter   *next_free;
};

typedef struct SlWaiterPool
{
	slock_t		free_lock;
	SlWaiter   *free_waiters;
	SlWaiter	waiters[FLEXIBLE_ARRAY_MEMBER];
} SlWaiterPool;

static SlWaiterPool *pool = NULL;

static int
pool_size(void)
{
	return MaxBackends + sl_partition_limit();
}

Size
sl_waiters_shmem_size(void)
{
	return add_size(offsetof(SlWaiterPool, waiters),
					mul_size(pool_size(), sizeof(SlWaiter)));
}

void
sl_waiters_shmem_init(void)
{
	bool		found;

	pool = ShmemInitStruct("streamlog waiters", sl_waiters_shmem_size(),
						   &found);
	if (found)
		return;
	memset(pool, 0, sl_waiters_shmem_size());
	SpinLockInit(&pool->free_lock);
	for (int i = pool_size() - 1; i >= 0; i--)
	{
		pool->waiters[i].next_free = pool->free_waiters;
		pool->free_waiters = &pool->waiters[i];
	}
}

SlWaiter *
sl_waiter_reserve(void)
{
	SlWaiter   *waiter;

	if (SL_MUTANT("no-waiters"))
		return NULL;
	SpinLockAcquire(&pool->free_lock);
	waiter = pool->free_waiters;
	if (waiter)
		pool->free_waiters = waiter->next_free;
	SpinLockRelease(&pool->free_lock);

	if (waiter)
		waiter->pgprocno = MyProc->pgprocno;
	return waiter;
}

void
sl_waiter_give_back(SlWaiter *waiter)
{
	Assert(!waiter->listed);
	SpinLockAcquire(&pool->free_lock);
	waiter->next_free = pool->free_waiters;
	pool->free_waiters = waiter;
	SpinLockRelease(&pool->free_lock);
}

void
sl_waiter_add(dlist_head *list, SlWaiter *waiter, int64 want)
{
	if (!waiter->listed)
		dlist_push_tail(list, &waiter->node);
	waiter->listed = true;
	waiter->want = want;
}

void
sl_waiter_remove(SlWaiter *waiter)
{
	if (waiter->listed)
		dlist_delete(&waiter->node);
	waiter->listed = false;
}

int
sl_waiters_take(dlist_head *list, int64 visible_end, int *taken)
{
	dlist_mutable_iter iter;
	int			n = 0;

	dlist_foreach_modify(iter, list)
	{
		SlWaiter   *waiter = dlist_container(SlWaiter, node, iter.cur);

		if (waiter->want >= visible_end)
			continue;
		dlist_delete(iter.cur);
		waiter->listed = false;
		taken[n++] = waiter->pgprocno;
		if (n == SL_MAX_TAKEN)
			break;
	}
	return n;
}

void
sl_waiters_wake(const int *taken, int n)
{
	for (int i = 0; i < n; i++)
		SetLatch(&ProcGlobal->allProcs[taken[i]].procLatch);
}
