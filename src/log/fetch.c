/*
 * fetch.c
 *		Reading records of a partition.
 *
 * The order of the steps is what makes a reader see every record:
 *
 *	1.	read, under one lock, how far the log may be read (visible_end), up to
 *		which LSN WAL has to be flushed for that, and the active segment
 *	2.	flush WAL
 *	3.	take a fresh snapshot: whatever is below visible_end is decided for it
 *	4.	scan
 *
 * With a snapshot from before step 1 a record that was committed in between
 * would be skipped for ever.  partition.c has the proof.
 *
 * A wait puts this backend on the partition's list and looks again before it
 * sleeps, so that a commit in between is not missed.  While it waits the
 * statement keeps its snapshot; streamlog.max_wait bounds that.  A transaction
 * that has an xid does not wait: it would hold back VACUUM everywhere.  Nor does
 * one in REPEATABLE READ or above, where nothing new can come.
 *
 * Records may be deleted, and their segments dropped, at any time after step 1.
 * What is there is returned all the same, as if the fetch had come first; where a
 * segment is gone, the log's start has risen, and the position is out of range.
 *
 * A consumer of many partitions fetches from one after the other what there is,
 * within limits that are common to all of them, and waits for all of them itself.
 *
 * Where everything between a position and visible_end was aborted there is
 * nothing to return; what has been found empty is remembered, so that a reader
 * that asks again does not scan it again.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "log/fetch.h"
#include "log/scan.h"
#include "log/search.h"

#define SL_DEFAULT_MAX_WAIT 30000	/* ms */

/* Setting */
static int	max_wait = SL_DEFAULT_MAX_WAIT;

void
sl_fetch_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_wait",
							"Longest time that a fetch waits for records.",
							"While it waits, its snapshot keeps VACUUM from removing dead rows.",
							&max_wait, SL_DEFAULT_MAX_WAIT, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/*
 * A slot that holds a record as it lies in its page, and is copied as the row of
 * it: its tuple with one more column behind.  No column is taken apart, compressed
 * values stay so, and the row is written where it stays.  Nothing else can be done
 * with it.
 */
typedef struct SlRecordSlot
{
	TupleTableSlot base;
	HeapTuple	tuple;
	struct varlena *topic;		/* as it is stored in a tuple */
} SlRecordSlot;

static MinimalTuple
copy_row(TupleTableSlot *slot)
{
	const Size	skipped = offsetof(HeapTupleHeaderData, t_infomask2);
	SlRecordSlot *record = (SlRecordSlot *) slot;
	HeapTuple	tuple = record->tuple;
	Size		pos = tuple->t_len;
	Size		len;
	MinimalTuple row;
	char	   *data;

	if (!VARATT_IS_SHORT(record->topic))
		pos = SL_HOFF + att_align_nominal(pos - SL_HOFF, TYPALIGN_INT);
	len = pos + VARSIZE_ANY(record->topic) - MINIMAL_TUPLE_OFFSET;
	row = palloc(len);
	row->t_len = len;
	data = (char *) row - MINIMAL_TUPLE_OFFSET;
	memcpy(data + skipped, (char *) tuple->t_data + skipped,
		   tuple->t_len - skipped);
	for (Size i = tuple->t_len; i < pos; i++)
		data[i] = 0;
	memcpy(data + pos, record->topic, VARSIZE_ANY(record->topic));

	HeapTupleHeaderSetNatts(row, SL_RECORD_ATTS);
	row->t_infomask &= HEAP_HASNULL;
	row->t_infomask |= HEAP_HASVARWIDTH;
	row->t_bits[0] |= 1 << (SL_ATT_TOPIC - 1);
	return row;
}

static const TupleTableSlotOps record_slot_ops = {
	.base_slot_size = sizeof(SlRecordSlot),
	.copy_minimal_tuple = copy_row
};

/* A fetch on its way */
typedef struct SlFetch
{
	const SlFetchLimits *limits;
	TupleDesc	desc;
	Tuplestorestate *store;
	SlRecordSlot slot;
	bool		first;			/* the next record comes whatever its size */
	int64		records;
	int64		bytes;
	MemoryContext row_context;
} SlFetch;

/*
 * The size of a record with its values that are out of line, as they are stored.
 */
static Size
full_size(Relation rel, HeapTuple tuple)
{
	Size		size = tuple->t_len;

	for (int att = SL_ATT_KEY; att <= SL_SEGMENT_ATTS; att++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, att, RelationGetDescr(rel), &isnull);

		if (!isnull && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
			size += toast_datum_size(value);
	}
	return size;
}

/* Put the row of a record with such values, which have to be fetched. */
static void
put_toasted(SlFetch *fetch, Relation rel, HeapTuple tuple)
{
	Datum		values[SL_RECORD_ATTS];
	bool		nulls[SL_RECORD_ATTS];
	HeapTuple	row;
	MemoryContext old = MemoryContextSwitchTo(fetch->row_context);

	heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
	for (int i = 0; i < SL_SEGMENT_ATTS; i++)
		if (!nulls[i] && TupleDescAttr(fetch->desc, i)->attlen == -1)
			values[i] = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(values[i])));
	values[SL_ATT_TOPIC - 1] = PointerGetDatum(fetch->slot.topic);
	nulls[SL_ATT_TOPIC - 1] = false;
	row = heap_form_tuple(fetch->desc, values, nulls);
	MemoryContextSwitchTo(old);

	tuplestore_puttuple(fetch->store, row);
	MemoryContextReset(fetch->row_context);
}

static bool
fetch_visitor(void *arg, Relation rel, HeapTuple tuple)
{
	SlFetch    *fetch = arg;
	bool		toasted = HeapTupleHasExternal(tuple);
	Size		size = toasted ? full_size(rel, tuple) : tuple->t_len;

	if (!fetch->first &&
		(fetch->records >= fetch->limits->max_records ||
		 fetch->bytes + size > fetch->limits->max_bytes))
		return false;

	if (toasted)
		put_toasted(fetch, rel, tuple);
	else
	{
		fetch->slot.tuple = tuple;
		tuplestore_puttupleslot(fetch->store, &fetch->slot.base);
	}
	fetch->first = false;
	fetch->bytes += size;
	fetch->records++;
	return true;
}

/* Step 2 of the comment at the top. */
static void
flush_wal(const SlPartitionState *state)
{
	if (SL_MUTANT("no-reader-flush"))
		return;
	if (state->last_commit_lsn > GetFlushRecPtr(NULL))
		XLogFlush(state->last_commit_lsn);
}

/* Step 3 */
static void
push_snapshot(void)
{
	if (SL_MUTANT("statement-snapshot"))
		PushActiveSnapshot(GetActiveSnapshot());
	else
		PushActiveSnapshot(GetLatestSnapshot());
}

static void out_of_range(SlTopic *topic, int32 partition, int64 offset,
						 const SlPartitionState *state) pg_attribute_noreturn();

static void
out_of_range(SlTopic *topic, int32 partition, int64 offset,
			 const SlPartitionState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_OFFSET_OUT_OF_RANGE),
			 errmsg("offset %lld is out of range for topic \"%s\" partition %d",
					(long long) offset, topic->name, partition),
			 errdetail("Its offsets begin at %lld and end before %lld.",
					   (long long) state->log_start,
					   (long long) state->visible_end),
			 errhint("Begin at start_offset() or at end_offset().")));
}

/* Where to begin, without what was found empty before. */
static int64
skip_scanned(const SlLog *log, const SlPartitionState *state, int64 offset)
{
	if (log->scanned_generation == state->generation &&
		log->scanned_from <= offset && offset < log->scanned_to)
		return log->scanned_to;
	return offset;
}

static void
note_scanned(SlLog *log, const SlPartitionState *state, int64 from, int64 to)
{
	if (log->scanned_generation != state->generation ||
		from < log->scanned_from || from > log->scanned_to)
	{
		log->scanned_generation = state->generation;
		log->scanned_from = from;
	}
	log->scanned_to = to;
}

bool
sl_fetch_may_wait(void)
{
	return !IsolationUsesXactSnapshot() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny());
}

long
sl_fetch_cap_wait(long ms)
{
	return Min(ms, max_wait);
}

bool
sl_fetch_sleep(TimestampTz deadline, long longest)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   deadline);

	if (left <= 0)
		return false;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(left, longest), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

/*
 * Sleep until the partition can be read beyond offset, or the deadline.  False
 * if that has come.
 */
static bool
wait_for_more(SlLog *log, int64 offset, TimestampTz deadline)
{
	SlWaitResult result = sl_partition_wait_begin(log->part, &log->key, offset);

	if (result != SL_WAIT_MOVED)
		SL_WAITPOINT("fetch-before-sleep");
	while (result != SL_WAIT_MOVED &&
		   sl_fetch_sleep(deadline,
						  result == SL_WAIT_NO_ROOM ? SL_LOOK_SOON : INT_MAX))
		result = sl_partition_wait_begin(log->part, &log->key, offset);
	sl_partition_wait_end();
	return result == SL_WAIT_MOVED;
}

/*
 * Scan what can be read from offset on, which moves to where the scan has ended.
 * END with no record if there is nothing yet, STOPPED if the fetch has what it can
 * get, DELETED if what comes next is gone.
 */
static SlScanResult
fetch_available(SlTopic *topic, SlLog *log, const SlPartitionState *state,
				int64 *offset, SlFetch *fetch)
{
	int64		from = skip_scanned(log, state, *offset);
	int64		reached;
	SlScanResult result;

	if (from >= state->visible_end)
	{
		*offset = Max(*offset, from);
		return SL_SCAN_END;
	}
	flush_wal(state);
	SL_WAITPOINT("fetch-before-snapshot");
	sl_log_refresh_segments(log, state);
	push_snapshot();
	result = sl_scan(topic, log, from, state->visible_end, fetch_visitor,
					 fetch, &reached);
	PopActiveSnapshot();

	if (result == SL_SCAN_END && fetch->records == 0)
		note_scanned(log, state, *offset, reached);
	else if (result != SL_SCAN_DELETED)
		result = SL_SCAN_STOPPED;
	*offset = reached;
	return result;
}

static void
begin_fetch(SlFetch *fetch, SlTopic *topic, const SlFetchLimits *limits,
			TupleDesc desc, Tuplestorestate *store)
{
	struct varlena *name = (struct varlena *) cstring_to_text(topic->name);

	fetch->limits = limits;
	fetch->first = true;
	fetch->desc = desc;
	fetch->store = store;
	fetch->slot.topic = name;
	fetch->row_context = AllocSetContextCreate(CurrentMemoryContext,
											   "streamlog fetch",
											   ALLOCSET_DEFAULT_SIZES);
	if (VARATT_CAN_MAKE_SHORT(name))
	{
		Size		size = VARATT_CONVERTED_SHORT_SIZE(name);

		memmove((char *) name + VARHDRSZ_SHORT, VARDATA(name),
				size - VARHDRSZ_SHORT);
		SET_VARSIZE_SHORT(name, size);
	}
}

static void
end_fetch(SlFetch *fetch)
{
	MemoryContextDelete(fetch->row_context);
	pfree(fetch->slot.topic);
}

void
sl_fetch(SlTopic *topic, int32 partition, int64 offset,
		 const SlFetchLimits *limits, TupleDesc desc, Tuplestorestate *store)
{
	SlFetch		fetch = {.slot.base.tts_ops = &record_slot_ops};
	long		wait = sl_fetch_cap_wait(limits->max_wait);
	TimestampTz deadline = 0;
	SlPartitionState state;
	SlScanResult result;
	SlLog	   *log;

	SL_WAITPOINT("fetch-begin");
	log = sl_log_open(topic, partition, &state);
	if (offset < state.log_start || offset > state.log_end)
		out_of_range(topic, partition, offset, &state);
	if (limits->max_records == 0)
		return;

	begin_fetch(&fetch, topic, limits, desc, store);
	while ((result = fetch_available(topic, log, &state, &offset, &fetch)) == SL_SCAN_END)
	{
		if (wait <= 0 || !sl_fetch_may_wait())
			break;
		if (deadline == 0)
			deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
		if (!wait_for_more(log, offset, deadline))
			break;
		log = sl_log_open(topic, partition, &state);
		if (offset < state.log_start)
			out_of_range(topic, partition, offset, &state);
	}
	if (result == SL_SCAN_DELETED && fetch.records == 0)
	{
		(void) sl_log_open(topic, partition, &state);
		out_of_range(topic, partition, offset, &state);
	}
	end_fetch(&fetch);
}

bool
sl_fetch_next(SlTopic *topic, int32 partition, int64 *offset,
			  SlFetchLimits *limits, bool first, TupleDesc desc,
			  Tuplestorestate *store, int64 *records)
{
	SlFetch		fetch = {.slot.base.tts_ops = &record_slot_ops};
	int64		next = *offset;
	SlPartitionState state;
	SlScanResult result;
	SlLog	   *log = sl_log_open(topic, partition, &state);

	*records = 0;
	if (next < state.log_start || next > state.log_end)
		return false;
	if (limits->max_records == 0)
		return true;

	begin_fetch(&fetch, topic, limits, desc, store);
	fetch.first = first;
	result = fetch_available(topic, log, &state, &next, &fetch);
	end_fetch(&fetch);

	/* the log's start has risen above what was wanted */
	if (result == SL_SCAN_DELETED && fetch.records == 0)
		return false;
	*offset = next;
	*records = fetch.records;
	limits->max_records -= fetch.records;
	limits->max_bytes = Max(limits->max_bytes - fetch.bytes, 0);
	return true;
}

int64
sl_fetch_range(SlTopic *topic, int32 partition, int64 from, int64 before,
			   TupleDesc desc, Tuplestorestate *store)
{
	const SlFetchLimits limits = {
		.max_records = PG_INT64_MAX,.max_bytes = PG_INT64_MAX
	};
	SlFetch		fetch = {.slot.base.tts_ops = &record_slot_ops};
	SlScanResult result;

	begin_fetch(&fetch, topic, &limits, desc, store);
	do
	{
		SlPartitionState state;
		SlLog	   *log = sl_log_open(topic, partition, &state);

		/* also if the log's start has risen above what comes next */
		from = Max(from, state.log_start);
		state.visible_end = Min(state.visible_end, before);
		result = fetch_available(topic, log, &state, &from, &fetch);
	} while (result == SL_SCAN_DELETED);
	end_fetch(&fetch);
	return fetch.records;
}

SlLog *
sl_fetch_bounds(SlTopic *topic, int32 partition, SlPartitionState *state)
{
	SlLog	   *log = sl_log_open(topic, partition, state);

	flush_wal(state);
	return log;
}

/* Stops at the first record. */
static bool
timestamp_visitor(void *arg, Relation rel, HeapTuple tuple)
{
	TimestampTz *timestamp = arg;

	*timestamp = sl_tuple_fixed(tuple->t_data)->timestamp;
	return false;
}

bool
sl_fetch_timestamp(SlTopic *topic, int32 partition, int64 offset,
				   TimestampTz *timestamp)
{
	SlScanResult result;

	do
	{
		SlPartitionState state;
		SlLog	   *log = sl_fetch_bounds(topic, partition, &state);
		int64		from = skip_scanned(log, &state, Max(offset, state.log_start));
		int64		reached;

		if (from >= state.visible_end)
			return false;
		sl_log_refresh_segments(log, &state);
		push_snapshot();
		result = sl_scan(topic, log, from, state.visible_end,
						 timestamp_visitor, timestamp, &reached);
		PopActiveSnapshot();
		if (result == SL_SCAN_END)
			note_scanned(log, &state, from, reached);

		/* the log's start has risen, so this comes to an end */
	} while (result == SL_SCAN_DELETED);
	return result == SL_SCAN_STOPPED;
}
