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
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

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

/* Columns by which the rows of tail() are sorted, before those of a record */
enum
{
	SL_TAIL_LATEST = 1,			/* latest time up to it in its partition */
	SL_TAIL_NUMBER,				/* its place there */
	SL_TAIL_KEYS = SL_TAIL_NUMBER,
	SL_TAIL_PARTITION = SL_TAIL_KEYS + SL_ATT_PARTITION
};

typedef struct SlTail
{
	int64		wanted;			/* of all partitions together */
	int64		found;			/* in sort */
	TupleDesc	desc;			/* of a record */
	TupleTableSlot *record;
	TupleTableSlot *row;		/* a record with the sort's columns */
	Tuplesortstate *sort;
} SlTail;

static Oid
less_than(Oid type)
{
	return lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr;
}

static void
begin_tail(SlTail *tail, TupleDesc desc, int64 wanted)
{
	AttrNumber	keys[] = {SL_TAIL_LATEST, SL_TAIL_PARTITION, SL_TAIL_NUMBER};
	Oid			operators[] = {
		less_than(TIMESTAMPTZOID), less_than(INT4OID), less_than(INT8OID)
	};
	Oid			collations[] = {InvalidOid, InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false, false};
	TupleDesc	row_desc = CreateTemplateTupleDesc(SL_TAIL_KEYS + desc->natts);

	TupleDescInitEntry(row_desc, SL_TAIL_LATEST, "latest", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(row_desc, SL_TAIL_NUMBER, "number", INT8OID, -1, 0);
	for (int i = 1; i <= desc->natts; i++)
		TupleDescCopyEntry(row_desc, SL_TAIL_KEYS + i, desc, i);

	tail->wanted = wanted;
	tail->found = 0;
	tail->desc = desc;
	tail->record = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	tail->row = MakeSingleTupleTableSlot(row_desc, &TTSOpsVirtual);
	tail->sort = tuplesort_begin_heap(row_desc, lengthof(keys), keys, operators,
									  collations, nulls_first, work_mem, NULL,
									  TUPLESORT_NONE);
}

/* Take the last rows out of what was found in a partition. */
static void
take_rows(SlTail *tail, Tuplestorestate *store, int64 found)
{
	TupleTableSlot *record = tail->record;
	TupleTableSlot *row = tail->row;
	TimestampTz latest = PG_INT64_MIN;

	for (int64 i = 0; i < found && tuplestore_gettupleslot(store, true, false, record); i++)
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(record);
		latest = Max(latest, DatumGetTimestampTz(record->tts_values[SL_ATT_TIMESTAMP - 1]));
		if (i < found - tail->wanted)
			continue;
		ExecClearTuple(row);
		row->tts_values[SL_TAIL_LATEST - 1] = TimestampTzGetDatum(latest);
		row->tts_isnull[SL_TAIL_LATEST - 1] = false;
		row->tts_values[SL_TAIL_NUMBER - 1] = Int64GetDatum(i);
		row->tts_isnull[SL_TAIL_NUMBER - 1] = false;
		memcpy(row->tts_values + SL_TAIL_KEYS, record->tts_values,
			   tail->desc->natts * sizeof(Datum));
		memcpy(row->tts_isnull + SL_TAIL_KEYS, record->tts_isnull,
			   tail->desc->natts * sizeof(bool));
		ExecStoreVirtualTuple(row);
		tuplesort_puttupleslot(tail->sort, row);
		tail->found++;
	}
	ExecClearTuple(row);
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
	take_rows(tail, store, found);
	tuplestore_end(store);
}

/* Put the last of all rows into the result, in their order. */
static void
end_tail(SlTail *tail, Tuplestorestate *result)
{
	TupleTableSlot *sorted = MakeSingleTupleTableSlot(tail->row->tts_tupleDescriptor,
													  &TTSOpsMinimalTuple);

	tuplesort_performsort(tail->sort);
	if (tail->found > tail->wanted)
		(void) tuplesort_skiptuples(tail->sort, tail->found - tail->wanted, true);
	while (tuplesort_gettupleslot(tail->sort, true, false, sorted, NULL))
	{
		slot_getallattrs(sorted);
		tuplestore_putvalues(result, tail->desc,
							 sorted->tts_values + SL_TAIL_KEYS,
							 sorted->tts_isnull + SL_TAIL_KEYS);
	}
	tuplesort_end(tail->sort);
	ExecDropSingleTupleTableSlot(sorted);
	ExecDropSingleTupleTableSlot(tail->row);
	ExecDropSingleTupleTableSlot(tail->record);
}

/* tail(topic, n) */
Datum
streamlog_tail(PG_FUNCTION_ARGS)
{
	SlTopic    *topic;
	SlRows		rows;
	SlTail		tail;

	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"n\" of tail() is not valid"),
				 errhint("It is the number of records wanted, and must not be negative.")));
	sl_rows_begin(&rows, fcinfo);
	topic = sl_open_topic_to_read(fcinfo, "tail()");
	if (PG_GETARG_INT32(1) == 0)
		return (Datum) 0;

	begin_tail(&tail, rows.desc, PG_GETARG_INT32(1));
	for (int32 p = 0; p < topic->partitions; p++)
		tail_of_partition(&tail, topic, p);
	end_tail(&tail, rows.store);
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
