/*
 * expire.c
 *		Dropping segments below the start of their log.
 *
 * A segment that is followed by one whose base is not above the log's start holds
 * nothing that anybody may read.  The worker drops such segments: the oldest
 * first, so that what remains is contiguous, and some in each transaction, for
 * every table that is dropped takes a few locks until its end.
 *
 * The active segment has no successor.  If all that it holds has been deleted it
 * is rolled first (roll.c), so offsets go on from where they were also after
 * everything is gone; the segment that was active is dropped after that.
 *
 * An aborted tail keeps it: the start goes no higher than what can be read, so the
 * active segment is not wholly below it until something is produced and deleted
 * again.
 *
 * Where to look it is told by whoever deletes.  What is lost with a worker or a
 * full list is found by a look at all partitions, when the worker starts and once
 * a minute.
 *
 * The start that counts is the one in shared memory.  The row's may be higher, by
 * a commit that has not told shared memory yet: a reader would then find a segment
 * gone and not know why.
 *
 * Locking: the topic's table (AccessShare), our tables, the segments and their
 * TOAST tables, all of them conditionally: who still has a lock on a segment, a
 * query or pg_dump for example, keeps it and what comes after it until the next
 * look.  Producers hold a lock on the segment that they were to append to.
 *
 * Crash safety: the tables and their rows go in one transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/worklist.h"
#include "log/drop.h"
#include "log/expire.h"
#include "log/log.h"
#include "log/roll.h"
#include "shmem/workers.h"

/* Partitions that are looked at in one turn */
#define SL_EXPIRES_A_TURN	64

/* How often all partitions are looked at, asked or not (ms) */
#define SL_LOOK_INTERVAL	60000

typedef enum SlExpireResult
{
	SL_EXPIRE_NOTHING,			/* no more to be dropped */
	SL_EXPIRE_SOME,				/* look again at once */
	SL_EXPIRE_ROLL,				/* when the active segment has been rolled */
	SL_EXPIRE_BUSY				/* somebody has a lock that we would need */
} SlExpireResult;

/* Partitions that have something to be dropped, or may have */
static SlWorkItem *due = NULL;
static int	ndue = 0;
static int	max_due = 0;
static TimestampTz looked_at_all = 0;

static void
add(Oid relation, int32 partition)
{
	if (ndue == max_due)
	{
		max_due = Max(64, max_due * 2);
		due = due ? repalloc_array(due, SlWorkItem, max_due) :
			MemoryContextAlloc(TopMemoryContext, max_due * sizeof(SlWorkItem));
	}
	due[ndue].relation = relation;
	due[ndue++].partition = partition;
}

static void
remember(Oid relation, int32 partition)
{
	for (int i = 0; i < ndue; i++)
		if (due[i].relation == relation && due[i].partition == partition)
			return;
	add(relation, partition);
}

/* May a partition have something to be dropped, as far as its rows tell? */
static bool
may_be_due(int32 topic_id, int32 partition)
{
	SlPartitionRow row;
	SlSegment	oldest[2];
	int			n;

	if (!sl_partition_row(topic_id, partition, &row) || row.log_start == 0)
		return false;
	n = sl_worklist_oldest(topic_id, partition, oldest, lengthof(oldest));
	return n > 0 && row.log_start > oldest[0].base &&
		(n == 1 || row.log_start >= oldest[1].base);
}

/* Look at all partitions. */
static void
look_for_due(void)
{
	SlTopicEntry *list;
	int			n;

	/* an error must not make us look again and again */
	looked_at_all = GetCurrentTimestamp();

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	ndue = 0;
	n = sl_worklist_topics(0, &list);
	for (int i = 0; i < n; i++)
		for (int32 p = 0; p < list[i].partitions && !list[i].dropped; p++)
		{
			CHECK_FOR_INTERRUPTS();
			if (may_be_due(list[i].topic_id, p))
				add(list[i].relation, p);
		}
	CommitTransactionCommand();
}

/* A segment and its TOAST table, or neither */
static bool
lock_segment(Oid segment)
{
	HeapTuple	tuple;
	Oid			toast = InvalidOid;

	if (SL_MUTANT("expire-waits"))
		LockRelationOid(segment, AccessExclusiveLock);
	else if (!ConditionalLockRelationOid(segment, AccessExclusiveLock))
		return false;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(segment));
	if (HeapTupleIsValid(tuple))
	{
		toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
		ReleaseSysCache(tuple);
	}
	if (!OidIsValid(toast) ||
		ConditionalLockRelationOid(toast, AccessExclusiveLock))
		return true;
	UnlockRelationOid(segment, AccessExclusiveLock);
	return false;
}

/*
 * Lock the segments of a list that are wholly below start, the oldest first, as
 * far as that can be done at once; returns how many are locked, and in *below how
 * many there are.
 */
static int
lock_segments(const SlSegment *list, int n, int64 start, Oid *segments,
			  int *below)
{
	int			locked = 0;

	*below = 0;
	while (*below + 1 < n && list[*below + 1].base <= start)
		(*below)++;
	while (locked < Min(*below, SL_DROPS_A_TURN) &&
		   lock_segment(list[locked].relation))
	{
		segments[locked] = list[locked].relation;
		locked++;
	}
	return locked;
}

/* Drop what is to be dropped of a partition; there is an active snapshot. */
static SlExpireResult
expire(Oid relation, int32 partition)
{
	Oid			segments[SL_DROPS_A_TURN];
	SlTopic    *topic;
	SlPartitionState state;
	SlSegment  *list;
	int			n;
	int			below;
	int			locked;

	if (!ConditionalLockRelationOid(relation, AccessShareLock) ||
		!ConditionalLockRelationOid(sl_catalog_oid("segment"), RowExclusiveLock) ||
		!ConditionalLockRelationOid(sl_catalog_oid("segment_time"), RowExclusiveLock))
		return SL_EXPIRE_BUSY;
	topic = sl_topic_find_by_relation(relation);
	if (!topic || partition >= topic->partitions)
		return SL_EXPIRE_NOTHING;

	(void) sl_log_open(topic, partition, &state);
	n = sl_segment_list(topic->topic_id, partition, &list);
	locked = lock_segments(list, n, state.log_start, segments, &below);
	if (locked > 0)
	{
		sl_drop_segments(topic->topic_id, segments, locked);
		SL_WAITPOINT("expire-before-commit");
		return SL_EXPIRE_SOME;
	}
	if (below > 0)
		return SL_EXPIRE_BUSY;
	return sl_roll_is_expired(&state) ? SL_EXPIRE_ROLL : SL_EXPIRE_NOTHING;
}

static SlExpireResult
expire_in_transaction(const SlWorkItem *item)
{
	SlExpireResult result;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());	/* DDL asks for one */
	result = expire(item->relation, item->partition);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return result;
}

bool
sl_expire_due(void)
{
	SlWorkItem	items[SL_MAX_WORK_ITEMS];
	bool		lost;
	bool		more = false;
	int			n = sl_workers_take_items(SL_WORK_EXPIRE, items, &lost);

	for (int i = 0; i < n; i++)
		remember(items[i].relation, items[i].partition);
	if (lost || looked_at_all == 0 ||
		TimestampDifferenceExceeds(looked_at_all, GetCurrentTimestamp(),
								   SL_LOOK_INTERVAL))
		look_for_due();

	n = Min(ndue, SL_EXPIRES_A_TURN);
	for (int i = 0; i < n; i++)
	{
		SlWorkItem	item = due[0];
		SlExpireResult result;

		/* forgotten first: an error must not bring it back at once */
		ndue--;
		memmove(&due[0], &due[1], ndue * sizeof(SlWorkItem));
		result = expire_in_transaction(&item);
		if (result == SL_EXPIRE_ROLL)
			result = sl_roll_partition(item.relation, item.partition) ?
				SL_EXPIRE_SOME : SL_EXPIRE_BUSY;
		if (result != SL_EXPIRE_NOTHING)
			add(item.relation, item.partition);
		if (result == SL_EXPIRE_SOME)
			more = true;
	}
	return more;
}
