/*
 * roll.c
 *		Giving partitions their next segment, and their first.
 *
 * A partition rolls when its active segment has reached segment.bytes, or when all
 * that it holds has been deleted, so that it can be dropped (expire.c): the next
 * record goes to a new table.
 *
 *	1.	The producer whose append finds the segment large enough puts the
 *		partition on the worker's list and wakes it.  What is lost with a worker
 *		or a full list is found by a look at all partitions, which happens when
 *		the worker starts, and once a minute.
 *	2.	In a transaction of its own the worker makes the next table.  It is not
 *		part of the log yet: nobody knows it but the next roll, which takes it if
 *		this one does not come to its end.
 *	3.	In another one, under the append lock, when nobody appends, it reads
 *		where the log ends and inserts the row that makes the table the newest
 *		segment, with just that offset as its base.
 *	4.	In the COMMIT callback of that transaction, when everybody can see the
 *		row, and before the append lock falls, it tells shared memory which
 *		segment is appended to from now on.  Whoever has waited for the lock
 *		finds that out when it asks for offsets, and opens the new segment.
 *
 * An empty segment never rolls: two would have the same base.
 *
 * Only the worker does this, one partition in a transaction; so there is never
 * more than one roll of a partition under way, and no user's transaction holds
 * the lock on a topic that DDL takes.  It takes that lock only if it is free, and
 * tries again at the next look otherwise.
 *
 * Locking: the topic's table (ShareUpdateExclusive for the DDL, AccessShare for
 * the switch), the active segment and the table of segments, all of them
 * conditionally; then the append lock, which is waited for, and under which
 * nothing is waited for any more.
 *
 * Crash safety: after a crash before the commit in 3 the old segment is the
 * active one, after it the new one is; a table without a row is taken by the
 * next roll.  The commit is asynchronous: what is appended to the new segment is
 * flushed after it.
 *
 * Known limits: the worker stands in the queue for the append lock behind every
 * producer that was there before; each of those may add SL_APPEND_BYTES.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/segment.h"
#include "catalog/worklist.h"
#include "log/append.h"
#include "log/log.h"
#include "log/roll.h"
#include "shmem/workers.h"

/* Partitions that are remembered as due, and that are rolled in a turn */
#define SL_MAX_DUE			256
#define SL_ROLLS_A_TURN		8

/* How often all partitions are looked at, asked or not (ms) */
#define SL_LOOK_INTERVAL	60000

typedef enum SlRollResult
{
	SL_ROLL_DUE,
	SL_ROLL_DONE,
	SL_ROLL_NOT_DUE,
	SL_ROLL_BUSY				/* somebody has a lock that we would need */
} SlRollResult;

/* What becomes the active segment when the current transaction commits */
typedef struct SlPublish
{
	SlPartitionKey key;
	Oid			relation;
	int64		base;
} SlPublish;

static SlPublish publish[SL_FIRST_SEGMENTS];
static int	npublish = 0;

/* Partitions that may be due */
static SlWorkItem due[SL_MAX_DUE];
static int	ndue = 0;
static bool look_at_all = true;
static TimestampTz looked_at_all = 0;

/* The partitions of a topic before this one have a segment. */
typedef struct SlComplete
{
	Oid			relation;		/* hash key */
	int32		partitions;
} SlComplete;

static HTAB *complete = NULL;

/* The topic that the last turn made first segments of */
static int32 last_topic = 0;

/* Nothing here may raise at COMMIT. */
static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && npublish > 0)
	{
		SL_WAITPOINT("roll-at-commit");
		for (int i = 0; i < npublish; i++)
			sl_partition_set_active(&publish[i].key, publish[i].relation,
									publish[i].base);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		npublish = 0;
}

static void
publish_at_commit(const SlTopic *topic, int32 partition, Oid relation,
				  int64 base)
{
	static bool registered = false;
	SlPublish  *entry = &publish[npublish];

	if (!registered)
		RegisterXactCallback(xact_callback, NULL);
	registered = true;

	Assert(npublish < lengthof(publish));
	entry->key.database = MyDatabaseId;
	entry->key.relation = topic->relation;
	entry->key.partition = partition;
	entry->relation = relation;
	entry->base = base;
	npublish++;
}

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());	/* DDL asks for one */
}

static void
commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

bool
sl_roll_is_expired(const SlPartitionState *state)
{
	return OidIsValid(state->active_segment) &&
		state->log_end > state->active_base &&
		state->log_start >= state->log_end;
}

/* Is it time for a partition to roll?  Locks its active segment if so. */
static SlRollResult
judge(SlTopic *topic, int32 partition, SlPartitionState *state)
{
	Relation	rel;
	bool		is_due;

	if (partition >= topic->partitions)
		return SL_ROLL_NOT_DUE;
	(void) sl_log_open(topic, partition, state);
	if (!OidIsValid(state->active_segment) ||
		(state->log_end <= state->active_base && !SL_MUTANT("roll-empty")))
		return SL_ROLL_NOT_DUE;

	if (!ConditionalLockRelationOid(state->active_segment, AccessShareLock))
		return SL_ROLL_BUSY;
	rel = sl_segment_open(topic, state->active_segment, NoLock);
	if (!rel)
		return SL_ROLL_NOT_DUE;
	is_due = sl_segment_size(rel) >= topic->config.segment_bytes ||
		sl_roll_is_expired(state);
	table_close(rel, NoLock);
	return is_due ? SL_ROLL_DUE : SL_ROLL_NOT_DUE;
}

/* Step 2: make the next table if it is time to. */
static SlRollResult
make_next(Oid relation, int32 partition, Oid *next)
{
	SlTopic    *topic;
	SlPartitionState state;
	SlRollResult result;

	if (!ConditionalLockRelationOid(relation, ShareUpdateExclusiveLock))
		return SL_ROLL_BUSY;
	topic = sl_topic_find_by_relation(relation);
	if (!topic)
		return SL_ROLL_NOT_DUE;
	result = judge(topic, partition, &state);
	if (result == SL_ROLL_DUE)
		*next = sl_segment_create(topic, partition);
	return result;
}

/* Steps 3 and 4: make it the active segment. */
static SlRollResult
switch_to(Oid relation, int32 partition, Oid next)
{
	SlTopic    *topic;
	SlPartitionState state;
	int64		bytes;

	if (!ConditionalLockRelationOid(relation, AccessShareLock) ||
		!ConditionalLockRelationOid(sl_catalog_oid("segment"), RowExclusiveLock))
		return SL_ROLL_BUSY;
	topic = sl_topic_find_by_relation(relation);
	if (!topic)
		return SL_ROLL_NOT_DUE;

	if (!SL_MUTANT("roll-without-lock"))
		sl_append_lock(relation, partition);
	if (judge(topic, partition, &state) != SL_ROLL_DUE)
		return SL_ROLL_BUSY;

	bytes = DatumGetInt64(DirectFunctionCall1(pg_table_size,
											  ObjectIdGetDatum(state.active_segment)));
	sl_segment_seal(topic->topic_id, partition, state.active_base, bytes);
	sl_segment_insert(topic->topic_id, partition, state.log_end, next);
	publish_at_commit(topic, partition, next, state.log_end);
	SL_WAITPOINT("roll-before-publish");
	return SL_ROLL_DONE;
}

static SlRollResult
roll(Oid relation, int32 partition)
{
	SlRollResult result;
	Oid			next = InvalidOid;

	begin();
	result = make_next(relation, partition, &next);
	commit();
	if (result != SL_ROLL_DUE)
		return result;

	begin();
	SL_WAITPOINT("roll-table-made");
	result = switch_to(relation, partition, next);
	commit();
	return result;
}

bool
sl_roll_partition(Oid relation, int32 partition)
{
	return roll(relation, partition) == SL_ROLL_DONE;
}

static void
remember(Oid relation, int32 partition)
{
	for (int i = 0; i < ndue; i++)
		if (due[i].relation == relation && due[i].partition == partition)
			return;
	if (ndue == SL_MAX_DUE)
	{
		look_at_all = true;
		return;
	}
	due[ndue].relation = relation;
	due[ndue++].partition = partition;
}

/* Is this table as large as that? */
static bool
has_size(Oid relation, int64 size)
{
	Relation	rel;
	bool		result = false;

	if (!ConditionalLockRelationOid(relation, AccessShareLock))
		return false;
	rel = try_relation_open(relation, NoLock);
	if (rel)
	{
		/* whether it is fit to be a segment is seen when it is rolled */
		result = rel->rd_rel->relkind == RELKIND_RELATION &&
			sl_segment_size(rel) >= size;
		relation_close(rel, NoLock);
	}
	UnlockRelationOid(relation, AccessShareLock);
	return result;
}

static void
look_at_topic(const SlTopicEntry *entry)
{
	SlTopic    *topic = sl_topic_find_by_relation(entry->relation);

	for (int32 p = 0; topic && p < entry->partitions; p++)
	{
		SlSegment	segment;

		CHECK_FOR_INTERRUPTS();
		if (sl_worklist_newest(entry->topic_id, p, &segment) &&
			has_size(segment.relation, topic->config.segment_bytes))
			remember(entry->relation, p);
	}
}

/* Look at the active segments of all partitions. */
static void
look_for_due(void)
{
	static int32 last_looked_at = 0;
	SlTopicEntry *list;
	int			n;

	/* an error must not make us look again and again */
	look_at_all = false;
	looked_at_all = GetCurrentTimestamp();

	begin();
	n = sl_worklist_topics(last_looked_at, &list);
	for (int i = 0; i < n; i++)
	{
		last_looked_at = list[i].topic_id;
		if (list[i].dropped ||
			!ConditionalLockRelationOid(list[i].relation, AccessShareLock))
			continue;
		look_at_topic(&list[i]);
		UnlockRelationOid(list[i].relation, AccessShareLock);
	}
	commit();
}

bool
sl_roll_due(void)
{
	SlWorkItem	items[SL_MAX_WORK_ITEMS];
	bool		lost;
	int			n = sl_workers_take_items(SL_WORK_ROLL, items, &lost);
	int			done = 0;

	for (int i = 0; i < n; i++)
		remember(items[i].relation, items[i].partition);
	if (look_at_all || lost ||
		TimestampDifferenceExceeds(looked_at_all, GetCurrentTimestamp(),
								   SL_LOOK_INTERVAL))
		look_for_due();

	n = ndue;
	for (int i = 0; i < n && done < SL_ROLLS_A_TURN; i++)
	{
		SlWorkItem	item = due[0];

		/* forgotten first: an error must not bring it back at once */
		ndue--;
		memmove(&due[0], &due[1], ndue * sizeof(SlWorkItem));
		if (roll(item.relation, item.partition) == SL_ROLL_BUSY)
			remember(item.relation, item.partition);
		else
			done++;
	}

	/* what is busy waits for the next look */
	return done == SL_ROLLS_A_TURN || (look_at_all && done > 0);
}

static SlComplete *
find_complete(Oid relation)
{
	SlComplete *entry;
	bool		found;

	if (complete == NULL)
	{
		HASHCTL		info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(SlComplete);
		info.hcxt = TopMemoryContext;
		complete = hash_create("streamlog complete topics", 64, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(complete, &relation, HASH_ENTER, &found);
	if (!found)
		entry->partitions = 0;
	return entry;
}

/*
 * Make some first segments of a topic; false if none are missing, or if it is
 * locked.
 */
static bool
make_first_segments(const SlTopicEntry *entry)
{
	SlComplete *known = find_complete(entry->relation);
	int32		missing[SL_FIRST_SEGMENTS];
	SlTopic    *topic;
	int			n;

	n = sl_worklist_missing(entry->topic_id, known->partitions,
							entry->partitions, missing, lengthof(missing));
	known->partitions = n > 0 ? missing[0] : entry->partitions;
	if (n == 0)
		return false;
	last_topic = entry->topic_id;
	if (!ConditionalLockRelationOid(entry->relation, ShareUpdateExclusiveLock))
		return false;
	topic = sl_topic_find_by_relation(entry->relation);
	if (!topic)
		return false;

	for (int i = 0; i < n; i++)
	{
		Oid			segment = sl_segment_create(topic, missing[i]);

		sl_segment_insert(topic->topic_id, missing[i], 0, segment);
		publish_at_commit(topic, missing[i], segment, 0);
	}
	return true;
}

bool
sl_roll_first_segments(void)
{
	SlTopicEntry *list;
	bool		made = false;
	int			n;

	begin();
	n = sl_worklist_topics(last_topic, &list);
	for (int i = 0; i < n && !made; i++)
		if (!list[i].dropped &&
			find_complete(list[i].relation)->partitions < list[i].partitions)
			made = make_first_segments(&list[i]);
	commit();
	return made;
}
