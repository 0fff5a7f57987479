/*
 * log.c
 *		A partition's log as this backend knows it, and where it ends.
 *
 * What shared memory knows of a partition is lost when the server stops; the
 * first who touches the partition then finds it out anew from the tables:
 *
 *	next			one more than the last tuple in the active segment that has
 *					storage, visible or not, and at least the segment's base
 *	committed_end	one more than the last tuple that a fresh snapshot sees,
 *					from the active segment backwards
 *
 * Nobody appends meanwhile, for that takes an entry in state READY, and nothing
 * appended is undecided, for that would have kept the entry alive.  What is
 * visible is therefore what has been committed, and offsets above committed_end
 * have never been shown to anybody, so that they may be given out again.  Nor
 * does the worker drop a segment meanwhile, which takes a READY entry too.  Those
 * wholly below the log's start have nothing to tell, and are not looked at.
 *
 * A partition may have no segment yet: create_topic() leaves the first segments
 * of wide topics to the worker.  To a reader it is an empty log.  A producer
 * makes the worker hurry and waits for it, at the call and not at its commit,
 * for to make the segment itself it would have to hold a lock on the topic until
 * the user ends the transaction; only the transaction that has made the
 * partition, which nobody else can use yet, does so.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "catalog/notify_switch.h"
#include "log/log.h"
#include "log/search.h"
#include "log/start.h"
#include "shmem/workers.h"

/* How long a producer waits for the worker to make a first segment */
#define SL_FIRST_SEGMENT_WAIT	5000
#define SL_FIRST_SEGMENT_LOOK	20

static HTAB *logs = NULL;

void
sl_check_partition(SlTopic *topic, int32 partition)
{
	if (partition >= 0 && partition < topic->partitions)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_SL_UNKNOWN_PARTITION),
			 errmsg("topic \"%s\" has no partition %d", topic->name, partition),
			 topic->partitions == 1 ?
			 errdetail("Its only partition is 0.") :
			 errdetail("Its partitions are 0 to %d.", topic->partitions - 1)));
}

static SlLog *
find_log(SlTopic *topic, int32 partition)
{
	SlPartitionKey key;
	SlLog	   *log;
	bool		found;

	if (logs == NULL)
	{
		HASHCTL		info;

		info.keysize = sizeof(SlPartitionKey);
		info.entrysize = sizeof(SlLog);
		info.hcxt = TopMemoryContext;
		logs = hash_create("streamlog logs", 64, &info,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	key.database = MyDatabaseId;
	key.relation = topic->relation;
	key.partition = partition;
	log = hash_search(logs, &key, HASH_ENTER, &found);
	if (!found || log->topic_id != topic->topic_id)
	{
		if (found && log->segments)
			pfree(log->segments);
		memset((char *) log + sizeof(SlPartitionKey), 0,
			   sizeof(SlLog) - sizeof(SlPartitionKey));
		log->topic_id = topic->topic_id;
	}
	return log;
}

void
sl_log_read_segments(SlLog *log)
{
	SlSegment  *list;
	int			n = sl_segment_list(log->topic_id, log->key.partition, &list);
	SlSegment  *kept = MemoryContextAlloc(TopMemoryContext,
										  Max(n, 1) * sizeof(SlSegment));

	memcpy(kept, list, n * sizeof(SlSegment));
	pfree(list);
	if (log->segments)
		pfree(log->segments);
	log->segments = kept;
	log->nsegments = n;
}

void
sl_log_refresh_segments(SlLog *log, const SlPartitionState *state)
{
	if (OidIsValid(state->active_segment) &&
		(log->nsegments == 0 ||
		 log->segments[log->nsegments - 1].relation != state->active_segment))
		sl_log_read_segments(log);
}

/*
 * One more than the last offset in a segment that a fresh snapshot sees; base
 * if it sees none.
 */
static int64
visible_end_of_segment(Relation rel, int64 base)
{
	Snapshot	snapshot = GetActiveSnapshot();
	BlockNumber block = RelationGetNumberOfBlocks(rel);

	while (block > 0)
	{
		Buffer		buffer = ReadBuffer(rel, --block);
		Page		page = BufferGetPage(buffer);
		int64		end = -1;
		OffsetNumber lp;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		lp = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
		for (; lp >= FirstOffsetNumber && end < 0; lp--)
		{
			HeapTupleData tuple;
			Size		len;

			tuple.t_data = sl_page_tuple(rel, page, block, lp, &len);
			if (!tuple.t_data)
				continue;
			tuple.t_len = len;
			tuple.t_tableOid = RelationGetRelid(rel);
			ItemPointerSet(&tuple.t_self, block, lp);
			if (HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer))
				end = sl_tuple_fixed(tuple.t_data)->record_offset + 1;
		}
		UnlockReleaseBuffer(buffer);
		if (end >= 0)
			return end;
	}
	return base;
}

static void
segment_is_missing(SlTopic *topic, int64 base)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a segment of topic \"%s\" is missing", topic->name),
			 errdetail("The table that held the offsets from %lld on is gone.",
					   (long long) base),
			 errhint("Run check_topic('%s').", topic->name)));
}

bool
sl_log_starts_above(SlTopic *topic, SlLog *log, int64 offset)
{
	SlPartitionState state;

	(void) sl_log_open(topic, log->key.partition, &state);
	return state.log_start > offset && !SL_MUTANT("ignore-raised-start");
}

Relation
sl_log_open_segment(SlTopic *topic, SlLog *log, const SlSegment *segment,
					int64 offset)
{
	int64		base = segment->base;	/* the list may be read anew */
	Relation	rel = sl_segment_open(topic, segment->relation, AccessShareLock);

	if (!rel && !sl_log_starts_above(topic, log, offset))
		segment_is_missing(topic, base);
	return rel;
}

/* Find out what the tables hold, and make the entry READY. */
static void
initialise(SlTopic *topic, SlLog *log)
{
	SlPartitionRow row;
	bool		notify;
	int64		next = 0;
	int64		committed_end = -1;
	int64		segment_end = PG_INT64_MAX;
	const SlSegment *active = NULL;

	if (!sl_partition_row(log->topic_id, log->key.partition, &row))
		elog(ERROR, "topic \"%s\" has no row for partition %d",
			 topic->name, log->key.partition);
	row.log_start = sl_start_committed(&log->key, row.log_start);
	notify = sl_notify_is_on(topic);
	SL_WAITPOINT("initialise-row-read");
	sl_log_read_segments(log);

	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = log->nsegments - 1;
		 i >= 0 && committed_end < 0 && segment_end > row.log_start; i--)
	{
		const SlSegment *segment = &log->segments[i];
		Relation	rel = sl_segment_open(topic, segment->relation,
										  AccessShareLock);
		int64		end;

		if (!rel)
			segment_is_missing(topic, segment->base);
		end = visible_end_of_segment(rel, segment->base);
		if (active == NULL)
		{
			active = segment;
			next = sl_search_end(rel, segment->base);
		}
		if (end > segment->base || i == 0)
			committed_end = end;
		segment_end = segment->base;
		table_close(rel, AccessShareLock);
	}
	PopActiveSnapshot();

	sl_partition_init_done(log->part, row.log_start,
						   Max(next, row.log_start), committed_end,
						   active ? active->relation : InvalidOid,
						   active ? active->base : -1, notify);
}

SlLog *
sl_log_open(SlTopic *topic, int32 partition, SlPartitionState *state)
{
	SlLog	   *log;

	sl_check_partition(topic, partition);
	log = find_log(topic, partition);

	while (log->part == NULL || !sl_partition_read(log->part, &log->key, state))
	{
		if (sl_partition_attach(&log->key, &log->part))
			continue;
		PG_TRY();
		{
			initialise(topic, log);
		}
		PG_CATCH();
		{
			sl_partition_init_failed();
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return log;
}

/* Make the first segment of a partition that this transaction has made. */
static void
create_first_segment(SlTopic *topic, SlLog *log)
{
	Oid			relation = sl_segment_create(topic, log->key.partition);

	sl_segment_insert(topic->topic_id, log->key.partition, 0, relation);
	CommandCounterIncrement();
	sl_partition_set_active(&log->key, relation, 0);
}

SlLog *
sl_log_open_for_append(SlTopic *topic, int32 partition, SlPartitionState *state)
{
	TimestampTz start = 0;
	SlLog	   *log = sl_log_open(topic, partition, state);

	while (!OidIsValid(state->active_segment))
	{
		SlPartitionRow row;

		if (sl_partition_row(topic->topic_id, partition, &row) && row.made_here)
			create_first_segment(topic, log);
		else
		{
			TimestampTz now = GetCurrentTimestamp();

			if (start == 0)
				start = now;
			if (now - start > SL_FIRST_SEGMENT_WAIT * INT64CONST(1000))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("partition %d of topic \"%s\" has no segment yet",
								partition, topic->name),
						 errdetail("The database's worker makes the first segments of topics with more than %d partitions.",
								   SL_FIRST_SEGMENTS),
						 errhint("If the view \"workers\" shows that it runs, try again soon; else the server's log says why it does not.")));
			sl_workers_wake();
			(void) WaitLatch(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 SL_FIRST_SEGMENT_LOOK, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		log = sl_log_open(topic, partition, state);
	}
	return log;
}
