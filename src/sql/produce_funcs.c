/*
 * produce_funcs.c
 *		The SQL functions that produce.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "log/partitioner.h"
#include "group/offsets.h"
#include "log/produce.h"
#include "log/transaction.h"
#include "sql/convert.h"
#include "sql/direct.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_produce);
PG_FUNCTION_INFO_V1(streamlog_produce_batch);
PG_FUNCTION_INFO_V1(streamlog_flush);
PG_FUNCTION_INFO_V1(streamlog_partition_for);

/* What a call site of produce() or partition_for() keeps between calls */
typedef struct SlCallSite
{
	SlConversion key;
	SlConversion value;
} SlCallSite;

/*
 * The type of an argument: what the call's expression says, or, where there is
 * none (a call by the protocol's fast path), what the function was declared with.
 */
static Oid
argument_type(FmgrInfo *flinfo, int arg)
{
	Oid			type = get_fn_expr_argtype(flinfo, arg);

	if (!OidIsValid(type))
	{
		Oid		   *declared;
		int			n;

		(void) get_func_signature(flinfo->fn_oid, &declared, &n);
		if (arg < n)
			type = declared[arg];
	}
	if (!OidIsValid(type) || IsPolymorphicType(type))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of an argument"),
				 errhint("Call the function in a SELECT.")));
	return type;
}

static SlCallSite *
call_site(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	SlCallSite *site = flinfo->fn_extra;

	if (site == NULL)
	{
		site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(SlCallSite));
		sl_conversion_init(&site->key, argument_type(flinfo, 1),
						   flinfo->fn_mcxt);
		sl_conversion_init(&site->value,
						   PG_NARGS() > 2 ? argument_type(flinfo, 2) : TEXTOID,
						   flinfo->fn_mcxt);
		flinfo->fn_extra = site;
	}
	return site;
}

static SlTopic *
open_topic_arg(FunctionCallInfo fcinfo, LOCKMODE lockmode, AclMode acl)
{
	text	   *name = PG_GETARG_TEXT_PP(0);

	return sl_topic_open(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name),
						 lockmode, acl);
}

static void
null_argument(const char *function, const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" of %s must not be null", argument, function)));
}

/* The arguments that produce() and produce_batch() have in common, from 3 on */
static void
get_common_args(FunctionCallInfo fcinfo, SlTopic *topic, SlProduceArgs *args)
{
	memset(args, 0, sizeof(SlProduceArgs));
	if (!PG_ARGISNULL(3))
		args->headers = sl_produce_headers(topic, PG_GETARG_DATUM(3),
										   &args->headers_size);
	args->has_partition = !PG_ARGISNULL(4);
	if (args->has_partition)
		args->partition = PG_GETARG_INT32(4);
	args->has_time = !PG_ARGISNULL(5);
	if (args->has_time)
		args->time = PG_GETARG_TIMESTAMPTZ(5);
	args->now = GetCurrentTimestamp();
}

static void
report_offset(void *arg, SlTopic *topic, int32 partition,
			  const SlRecord *record)
{
	/* ordinal 0: buffered by a function that the statement called */
	if (record->ordinal == 1)
		*(int64 *) arg = sl_tuple_fixed(sl_record_tuple(unconstify(SlRecord *, record)))->record_offset;
}

/* produce(topic, key, value, headers, partition, record_time) */
Datum
streamlog_produce(PG_FUNCTION_ARGS)
{
	SlCallSite *site = call_site(fcinfo);
	SlProduceArgs args;
	SlTopic    *topic;
	int64		offset = -1;
	bool		direct = sl_direct_call(fcinfo->flinfo);

	sl_direct_check_can_produce("produce()");
	if (PG_ARGISNULL(0))
		null_argument("produce()", "topic");
	topic = open_topic_arg(fcinfo, RowExclusiveLock, ACL_INSERT);
	get_common_args(fcinfo, topic, &args);
	if (!PG_ARGISNULL(1))
		args.key = sl_convert(&site->key, PG_GETARG_DATUM(1));
	if (!PG_ARGISNULL(2))
		args.value = sl_convert(&site->value, PG_GETARG_DATUM(2));
	args.ordinal = direct ? 1 : 0;
	sl_produce(topic, &args);
	sl_offsets_note_write();

	if (!direct)
		PG_RETURN_NULL();
	sl_transaction_flush(report_offset, &offset);
	PG_RETURN_INT64(offset);
}

/* An array argument of a batch, walked element by element */
typedef struct SlBatchArray
{
	ArrayType  *array;			/* NULL: every element is null */
	ArrayIterator it;
} SlBatchArray;

static int
begin_batch_array(SlBatchArray *batch, FunctionCallInfo fcinfo, int arg)
{
	batch->array = NULL;
	if (PG_ARGISNULL(arg))
		return -1;
	batch->array = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(batch->array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("keys and values of a batch must be one-dimensional arrays")));
	batch->it = array_create_iterator(batch->array, 0, NULL);
	return ArrayGetNItems(ARR_NDIM(batch->array), ARR_DIMS(batch->array));
}

static struct varlena *
next_of_batch(SlBatchArray *batch, bool is_text)
{
	Datum		element;
	bool		isnull;
	struct varlena *bytes;

	if (batch->array == NULL || !array_iterate(batch->it, &element, &isnull) ||
		isnull)
		return NULL;
	bytes = PG_DETOAST_DATUM_PACKED(element);
	return is_text ? sl_utf8(bytes) : bytes;
}

/* Where each record of a batch went, in the order of the batch */
typedef struct SlBatchReport
{
	int32	   *partitions;
	int64	   *offsets;
	TimestampTz *timestamps;
	int			n;
} SlBatchReport;

static void
report_batch(void *arg, SlTopic *topic, int32 partition,
			 const SlRecord *record)
{
	SlBatchReport *report = arg;
	SlRecordFixed *fixed = sl_tuple_fixed(sl_record_tuple(unconstify(SlRecord *, record)));
	uint32		i = record->ordinal - 1;

	if (record->ordinal == 0)
		return;
	report->partitions[i] = partition;
	report->offsets[i] = fixed->record_offset;
	report->timestamps[i] = fixed->timestamp;
}

static void
put_metadata(SlRows *rows, Datum topic, int32 partition, int64 offset,
			 TimestampTz timestamp)
{
	Datum		values[] = {
		topic,
		Int32GetDatum(partition),
		Int64GetDatum(offset),
		TimestampTzGetDatum(timestamp)
	};
	bool		nulls[] = {false, false, offset < 0, false};

	sl_rows_put(rows, values, nulls);
}

/* produce_batch(topic, keys, record_values, headers, partition, record_time) */
Datum
streamlog_produce_batch(PG_FUNCTION_ARGS)
{
	bool		is_text = argument_type(fcinfo->flinfo, 2) == TEXTARRAYOID;
	bool		direct = sl_direct_call(fcinfo->flinfo);
	SlBatchArray keys;
	SlBatchArray values;
	SlProduceArgs args;
	SlBatchReport report;
	SlTopic    *topic;
	SlRows		rows;
	int			nkeys;
	int			n;

	sl_direct_check_can_produce("produce_batch()");
	sl_rows_begin(&rows, fcinfo);
	if (PG_ARGISNULL(0))
		null_argument("produce_batch()", "topic");
	if (PG_ARGISNULL(2))
		null_argument("produce_batch()", "record_values");
	topic = open_topic_arg(fcinfo, RowExclusiveLock, ACL_INSERT);
	get_common_args(fcinfo, topic, &args);
	nkeys = begin_batch_array(&keys, fcinfo, 1);
	n = begin_batch_array(&values, fcinfo, 2);
	if (nkeys >= 0 && nkeys != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("keys and record_values differ in length"),
				 errdetail("There are %d keys and %d values.", nkeys, n),
				 errhint("Give null for all keys, or one key for each value.")));

	for (int i = 0; i < n; i++)
	{
		args.key = next_of_batch(&keys, is_text);
		args.value = next_of_batch(&values, is_text);
		args.ordinal = direct ? i + 1 : 0;
		sl_produce(topic, &args);
	}
	sl_offsets_note_write();

	if (!direct)
		return (Datum) 0;

	report.n = n;
	report.partitions = palloc_extended((n + 1) * sizeof(int32), MCXT_ALLOC_HUGE);
	report.offsets = palloc_extended((n + 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	report.timestamps = palloc_extended((n + 1) * sizeof(TimestampTz),
										MCXT_ALLOC_HUGE);
	sl_transaction_flush(report_batch, &report);
	for (int i = 0; i < n; i++)
		put_metadata(&rows, PG_GETARG_DATUM(0), report.partitions[i],
					 report.offsets[i], report.timestamps[i]);
	return (Datum) 0;
}

static void
report_row(void *arg, SlTopic *topic, int32 partition, const SlRecord *record)
{
	SlRecordFixed *fixed = sl_tuple_fixed(sl_record_tuple(unconstify(SlRecord *, record)));
	Datum		name = CStringGetTextDatum(topic->name);

	put_metadata(arg, name, partition, fixed->record_offset, fixed->timestamp);
	pfree(DatumGetPointer(name));
}

/* flush() */
Datum
streamlog_flush(PG_FUNCTION_ARGS)
{
	SlRows		rows;

	sl_direct_check_can_produce("flush()");
	sl_rows_begin(&rows, fcinfo);
	sl_transaction_flush(report_row, &rows);
	return (Datum) 0;
}

/* partition_for(topic, key) */
Datum
streamlog_partition_for(PG_FUNCTION_ARGS)
{
	SlCallSite *site = call_site(fcinfo);
	SlTopic    *topic;
	struct varlena *key;

	if (PG_ARGISNULL(0))
		null_argument("partition_for()", "topic");
	topic = open_topic_arg(fcinfo, AccessShareLock, ACL_SELECT | ACL_INSERT);
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	key = sl_convert(&site->key, PG_GETARG_DATUM(1));
	PG_RETURN_INT32(sl_partition_for_key((unsigned char *) VARDATA_ANY(key),
										 VARSIZE_ANY_EXHDR(key),
										 topic->partitions));
}
