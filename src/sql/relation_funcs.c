/*
 * relation_funcs.c
 *		The SQL functions that show a log, its end, or what is pending as a
 *		relation.
 *
 * tail() reads each partition backwards: the last n offsets, and if there are
 * holes among them, twice as many, and so on.  What it found in all partitions it
 * merges by time, but never against the order of a partition: a record counts
 * with the latest time that came up to it in its own.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "log/fetch.h"
#include "log/transaction.h"
#include "sql/rows.h"
#include "sql/topic_args.h"

PG_FUNCTION_INFO_V1(streamlog_records);
PG_FUNCTION_INFO_V1(streamlog_tail);
PG_FUNCTION_INFO_V1(streamlog_pending_records);

/* records(topic, partition, from_offset, before_offset) */
Datum
streamlog_records(PG_FUNCTION_ARGS)
{
	SlTopic    *topic;
	SlRows		rows;
	int64		from = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	int64		before = PG_ARGISNULL(3) ? PG_INT64_MAX : PG_GETARG_INT64(3);
	int32		first = 0;
	int32		last;

	sl_rows_begin(&rows, fcinfo);
	topic = sl_open_topic_to_read(fcinfo, "records()");
	last = topic->partitions - 1;
	if (!PG_ARGISNULL(1))
	{
		first = last = PG_GETARG_INT32(1);
		sl_check_partition(topic, first);
	}
	for (int32 p = first; p <= last; p++)
		(void) sl_fetch_range(topic, p, from, before, rows.desc, rows.store);
	return (Datum) 0;
}

/* A row of tail() */
typedef struct SlTailRow
{
	TimestampTz time;			/* the latest up to it in its partition */
	int32		partition;
	int64		number;			/* its place there */
	MinimalTuple row;
} SlTailRow;

static int
compare_tail_rows(const void *a, const void *b)
{
	const SlTailRow *left = a;
	const SlTailRow *right = b;

	if (left->time != right->time)
		return left->time < right->time ? -1 : 1;
	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	return left->number < right->number ? -1 : left->number > right->number;
}

typedef struct SlTail
{
	TupleDesc	desc;
	TupleTableSlot *slot;
	SlTailRow  *rows;
	int64		n;
	int64		allocated;
	int64		wanted;
} SlTail;

/* Take the last rows out of what was found in a partition. */
static void
take_rows(SlTail *tail, int32 partition, Tuplestorestate *store, int64 found)
{
	TimestampTz latest = PG_INT64_MIN;

	for (int64 i = 0; i < found && tuplestore_gettupleslot(store, true, false, tail->slot); i++)
	{
		bool		isnull;
		TimestampTz time = DatumGetTimestampTz(slot_getattr(tail->slot, SL_ATT_TIMESTAMP,
															&isnull));
		SlTailRow  *row;

		latest = Max(latest, time);
		if (i < found - tail->wanted)
			continue;
		if (tail->n == tail->allocated)
		{
			tail->allocated = Max(64, tail->allocated * 2);
			tail->rows = tail->rows ?
				repalloc_huge(tail->rows, tail->allocated * sizeof(SlTailRow)) :
				palloc(tail->allocated * sizeof(SlTailRow));
		}
		row = &tail->rows[tail->n++];
		row->time = latest;
		row->partition = partition;
		row->number = i;
		row->row = ExecCopySlotMinimalTuple(tail->slot);
	}
}

/* No more than are wanted in all */
static void
keep_last(SlTail *tail)
{
	int64		surplus = tail->n - tail->wanted;

	if (tail->n > 1)
		qsort(tail->rows, tail->n, sizeof(SlTailRow), compare_tail_rows);
	if (surplus <= 0)
		return;
	for (int64 i = 0; i < surplus; i++)
		pfree(tail->rows[i].row);
	tail->n = tail->wanted;
	memmove(tail->rows, tail->rows + surplus, tail->n * sizeof(SlTailRow));
}

static void
tail_of_partition(SlTail *tail, SlTopic *topic, int32 partition)
{
	SlPartitionState state;
	int64		width = tail->wanted;
	int64		from;
	int64		found;
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);

	(void) sl_fetch_bounds(topic, partition, &state);
	for (;;)
	{
		from = width < state.visible_end - state.log_start ?
			state.visible_end - width : state.log_start;
		found = sl_fetch_range(topic, partition, from, state.visible_end,
							   tail->desc, store);
		if (found >= tail->wanted || from == state.log_start)
			break;
		tuplestore_clear(store);
		width *= 2;
	}
	take_rows(tail, partition, store, found);
	tuplestore_end(store);
	keep_last(tail);
}

/* tail(topic, n) */
Datum
streamlog_tail(PG_FUNCTION_ARGS)
{
	SlTopic    *topic;
	SlRows		rows;
	SlTail		tail = {0};

	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"n\" of tail() is not valid"),
				 errhint("It is the number of records wanted, and must not be negative.")));
	sl_rows_begin(&rows, fcinfo);
	topic = sl_open_topic_to_read(fcinfo, "tail()");
	tail.wanted = PG_GETARG_INT32(1);
	if (tail.wanted == 0)
		return (Datum) 0;

	tail.desc = rows.desc;
	tail.slot = MakeSingleTupleTableSlot(rows.desc, &TTSOpsMinimalTuple);
	for (int32 p = 0; p < topic->partitions; p++)
		tail_of_partition(&tail, topic, p);
	for (int64 i = 0; i < tail.n; i++)
	{
		ExecStoreMinimalTuple(tail.rows[i].row, tail.slot, false);
		tuplestore_puttupleslot(rows.store, tail.slot);
	}
	ExecDropSingleTupleTableSlot(tail.slot);
	return (Datum) 0;
}

static void
put_pending(void *arg, SlTopic *topic, int32 partition, const SlRecord *record)
{
	SlRows	   *rows = arg;
	HeapTupleData tuple = {
		.t_len = record->tuple_len,
		.t_data = sl_record_tuple(unconstify(SlRecord *, record))
	};
	Datum		values[SL_RECORD_ATTS];
	bool		nulls[SL_RECORD_ATTS];

	CHECK_FOR_INTERRUPTS();
	if (pg_class_aclcheck(topic->relation, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return;
	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, rows->desc, values, nulls);
	nulls[SL_ATT_OFFSET - 1] = true;
	values[SL_ATT_TOPIC - 1] = CStringGetTextDatum(topic->name);
	nulls[SL_ATT_TOPIC - 1] = false;
	sl_rows_put(rows, values, nulls);
	pfree(DatumGetPointer(values[SL_ATT_TOPIC - 1]));
}

/* pending_records() */
Datum
streamlog_pending_records(PG_FUNCTION_ARGS)
{
	SlRows		rows;

	sl_rows_begin(&rows, fcinfo);
	sl_transaction_read(put_pending, &rows);
	return (Datum) 0;
}
