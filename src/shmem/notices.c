/*
 * notices.c
 *		Partitions whose topic has notify on and whose visible end has moved.
 *
 * Who moves the end of such a partition puts it into the list, unless it is there,
 * and wakes the worker of the database.  The worker sends the notifications (see
 * log/notify.c), and when they are sent takes out what has not moved again
 * meanwhile.  So what a worker leaves undone when it ends, the next one finds.
 *
 * An entry in the list may be evicted as any other, or those of a database that has
 * no worker would fill the table.  That is counted: a worker that sees the count of
 * its database change, or has not seen it before, has to look at all partitions.
 * Databases share a few counters: one that looks for nothing does no harm.
 *
 * Locking: one LWLock guards the list, part->noticed and the counters; it comes
 * after an entry's lock.  The key of an entry does not change while it is in the
 * list.
 *
 * Crash safety: all of it is lost with the shared memory, and so is every session
 * that could have listened.
 *
 * Known limits: the list is one for all databases, and who copies it reads all of
 * it.  What is left in it for long is of databases that have no worker.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shmem/notices.h"
#include "shmem/partition_entry.h"

#define SL_LOST_COUNTERS	64

typedef struct SlNotices
{
	int			tranche;
	LWLock		lock;
	dlist_head	list;			/* of SlPartition, by notice */
	uint32		lost[SL_LOST_COUNTERS];
} SlNotices;

static SlNotices *notices = NULL;

Size
sl_notices_shmem_size(void)
{
	return sizeof(SlNotices);
}

void
sl_notices_shmem_init(void)
{
	bool		found;

	notices = ShmemInitStruct("streamlog notices", sl_notices_shmem_size(),
							  &found);
	if (!found)
	{
		memset(notices, 0, sl_notices_shmem_size());
		notices->tranche = LWLockNewTrancheId();
		LWLockInitialize(&notices->lock, notices->tranche);
		dlist_init(&notices->list);
	}
	LWLockRegisterTranche(notices->tranche, "StreamlogNotices");
}

static uint32 *
lost_counter(Oid database)
{
	return &notices->lost[database % SL_LOST_COUNTERS];
}

bool
sl_notices_add(SlPartition *part)
{
	bool		added;

	LWLockAcquire(&notices->lock, LW_EXCLUSIVE);
	added = !part->noticed;
	if (added)
		dlist_push_tail(&notices->list, &part->notice);
	part->noticed = true;
	LWLockRelease(&notices->lock);
	return added;
}

void
sl_notices_remove(SlPartition *part, bool is_lost)
{
	/* the lock of the entry keeps it from being added */
	if (!part->noticed)
		return;
	LWLockAcquire(&notices->lock, LW_EXCLUSIVE);
	dlist_delete(&part->notice);
	part->noticed = false;
	if (is_lost && !SL_MUTANT("lose-notices"))
		(*lost_counter(part->key.database))++;
	LWLockRelease(&notices->lock);
}

void
sl_notices_switch(const SlPartitionKey *key, bool on)
{
	SlPartition *part = sl_partition_find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (sl_entry_has_key(part, key) && part->stage != SL_PARTITION_EMPTY)
		part->notify = on ? SL_NOTIFY_ON : SL_NOTIFY_OFF;
	LWLockRelease(&part->lock);
}

SlPartitionKey *
sl_notices_list(int *n)
{
	int			allocated = 64;
	SlPartitionKey *list = palloc_array(SlPartitionKey, allocated);

	for (;;)
	{
		dlist_iter	iter;

		*n = 0;
		LWLockAcquire(&notices->lock, LW_SHARED);
		dlist_foreach(iter, &notices->list)
		{
			const SlPartition *part = dlist_container(SlPartition, notice, iter.cur);

			if (part->key.database != MyDatabaseId)
				continue;
			if (*n < allocated)
				list[*n] = part->key;
			(*n)++;
		}
		LWLockRelease(&notices->lock);
		if (*n <= allocated)
			return list;
		allocated = *n * 2;
		list = repalloc_array(list, SlPartitionKey, allocated);
	}
}

void
sl_notices_told(const SlPartitionKey *key, int64 visible_end)
{
	SlPartition *part = sl_partition_find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (sl_entry_has_key(part, key) &&
		(part->stage != SL_PARTITION_READY ||
		 sl_entry_visible_end(part) <= visible_end || SL_MUTANT("tell-once")))
		sl_notices_remove(part, false);
	LWLockRelease(&part->lock);
}

uint32
sl_notices_lost(void)
{
	uint32		lost;

	LWLockAcquire(&notices->lock, LW_SHARED);
	lost = *lost_counter(MyDatabaseId);
	LWLockRelease(&notices->lock);
	return lost;
}
