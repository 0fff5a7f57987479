/*
 * waiters.c
 *		Backends that sleep until there is something to read.
 *
 * Every backend has one entry, found by its number; while it waits, the entry
 * is in the list of the partition that it waits for.  Who moves the end of a
 * partition takes out the entries that the move satisfies, and sets their
 * latches after it has let go of the lock: a waiter that finds nothing adds
 * itself again.
 *
 * Locking: the list and the entries in it belong to the lock of the partition
 * that the list is of.  An entry that is in no list belongs to its backend.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "shmem/waiters.h"

typedef struct SlWaiter
{
	dlist_node	node;
	int64		want;			/* sleeps until visible_end exceeds this */
	bool		listed;
} SlWaiter;

static SlWaiter *waiters = NULL;

Size
sl_waiters_shmem_size(void)
{
	return mul_size(MaxBackends, sizeof(SlWaiter));
}

void
sl_waiters_shmem_init(void)
{
	bool		found;

	waiters = ShmemInitStruct("streamlog waiters", sl_waiters_shmem_size(),
							  &found);
	if (!found)
		memset(waiters, 0, sl_waiters_shmem_size());
}

void
sl_waiters_add(dlist_head *list, int64 want)
{
	SlWaiter   *waiter = &waiters[MyProc->pgprocno];

	if (!waiter->listed)
		dlist_push_tail(list, &waiter->node);
	waiter->listed = true;
	waiter->want = want;
}

void
sl_waiters_remove(void)
{
	SlWaiter   *waiter = &waiters[MyProc->pgprocno];

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
		taken[n++] = (int) (waiter - waiters);
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
