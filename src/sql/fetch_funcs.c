/*
 * fetch_funcs.c
 *		The SQL functions that read.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "log/fetch.h"
#include "sql/interval_arg.h"
#include "sql/rows.h"
#include "sql/topic_args.h"

PG_FUNCTION_INFO_V1(streamlog_fetch_records);
PG_FUNCTION_INFO_V1(streamlog_offset_for_time);
PG_FUNCTION_INFO_V1(streamlog_start_offset);
PG_FUNCTION_INFO_V1(streamlog_end_offset);

static void
invalid_argument(const char *argument, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" of fetch_records() is not valid", argument),
			 errhint("%s", hint)));
}

/* fetch_records(topic, partition, start_offset, max_records, max_bytes, max_wait) */
Datum
streamlog_fetch_records(PG_FUNCTION_ARGS)
{
	SlFetchLimits limits;
	SlTopic    *topic;
	SlRows		rows;

	for (int i = 0; i < 6; i++)
	{
		static const char *const names[] = {
			"topic", "partition", "start_offset", "max_records", "max_bytes", "max_wait"
		};

		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of fetch_records() must not be null",
							names[i])));
	}
	limits.max_records = PG_GETARG_INT32(3);
	limits.max_bytes = PG_GETARG_INT32(4);
	limits.max_wait = sl_interval_ms(PG_GETARG_INTERVAL_P(5), "max_wait",
									 "fetch_records()");
	if (limits.max_records < 0)
		invalid_argument("max_records", "It must not be negative.");
	if (limits.max_bytes < 0)
		invalid_argument("max_bytes", "It must not be negative; the first record is returned whatever its size.");

	sl_rows_begin(&rows, fcinfo);
	topic = sl_open_topic_to_read(fcinfo, "fetch_records()");
	sl_fetch(topic, PG_GETARG_INT32(1), PG_GETARG_INT64(2), &limits,
			 rows.desc, rows.store);
	return (Datum) 0;
}

/* offset_for_time(topic, partition, record_time) */
Datum
streamlog_offset_for_time(PG_FUNCTION_ARGS)
{
	SlTopic    *topic = sl_open_topic_to_read(fcinfo, "fetch_records()");
	int64		offset = sl_fetch_offset_for_time(topic, PG_GETARG_INT32(1),
												  PG_GETARG_TIMESTAMPTZ(2));

	if (offset < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(offset);
}

/* start_offset(topic, partition) */
Datum
streamlog_start_offset(PG_FUNCTION_ARGS)
{
	SlPartitionState state;

	(void) sl_fetch_bounds(sl_open_topic_to_read(fcinfo, "start_offset()"),
						   PG_GETARG_INT32(1), &state);
	PG_RETURN_INT64(state.log_start);
}

/* end_offset(topic, partition) */
Datum
streamlog_end_offset(PG_FUNCTION_ARGS)
{
	SlPartitionState state;

	(void) sl_fetch_bounds(sl_open_topic_to_read(fcinfo, "end_offset()"),
						   PG_GETARG_INT32(1), &state);
	PG_RETURN_INT64(state.visible_end);
}
