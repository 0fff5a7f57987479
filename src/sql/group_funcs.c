/*
 * group_funcs.c
 *		The SQL functions of consumers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "catalog/group_row.h"
#include "group/member.h"
#include "sql/client.h"
#include "sql/direct.h"
#include "sql/group_args.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_consume);
PG_FUNCTION_INFO_V1(streamlog_consume_list);
PG_FUNCTION_INFO_V1(streamlog_poll);
PG_FUNCTION_INFO_V1(streamlog_poll_list);
PG_FUNCTION_INFO_V1(streamlog_commit_offsets);
PG_FUNCTION_INFO_V1(streamlog_commit_offsets_list);
PG_FUNCTION_INFO_V1(streamlog_seek);
PG_FUNCTION_INFO_V1(streamlog_next_offset);
PG_FUNCTION_INFO_V1(streamlog_leave);

/* consume() and poll() have the same ones */
enum
{
	ARG_TOPICS,
	ARG_GROUP,
	ARG_MAX_RECORDS,
	ARG_MAX_WAIT,
	ARG_MAX_BYTES,
	ARG_PATTERN,
	ARG_PARTITIONS,
	ARG_MEMBER,
	ARG_INSTANCE,
	ARG_ASSIGNOR,
	ARG_RESET,
	ARG_MAX_POLL_INTERVAL
};

static int64
read_limit(FunctionCallInfo fcinfo, int arg, const char *function,
		   const char *name)
{
	sl_group_args_not_null(fcinfo, arg, function, name);
	if (PG_GETARG_INT32(arg) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must not be negative", name,
						function)));
	return PG_GETARG_INT32(arg);
}

/*
 * Without a group a topic is read from its end on, which may not be what somebody
 * expects who sees nothing.
 */
static void
tell_where_it_begins(const SlMembership *membership)
{
	for (int i = 0; i < membership->ntopics; i++)
	{
		SlOffset   *first = sl_offsets_find(0, membership->topics[i]->topic_id, 0);

		if (first == NULL || first->known_partitions == 0)
			ereport(NOTICE,
					(errmsg("consuming topic \"%s\" from its end on",
							membership->topics[i]->name),
					 errhint("To begin with its oldest record, pass auto_offset_reset => 'earliest', or call seek('%s', to_position => 'earliest').",
							 membership->topics[i]->name)));
	}
}

/*
 * Wait for who makes the group, unless its time is up; false if that for the wait is.
 */
static bool
wait_for_group(const char *name, TimestampTz deadline)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   deadline);
	LOCKTAG		tag;

	sl_group_set_making_locktag(&tag, name);
	sl_member_end_overdue_holder(&tag, false);

	if (left <= 0 || !sl_fetch_may_wait())
		return false;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(left, SL_LOOK_SOON), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

/* No topic matches: the caller is to look again, but not at once. */
static void
wait_for_topics(TimestampTz deadline)
{
	while (sl_fetch_may_wait() && sl_fetch_sleep(deadline, INT_MAX))
		;
}

static void
consume(FunctionCallInfo fcinfo, const char *function, bool is_list,
		bool is_poll)
{
	const SlGroupArgs args = {
		function, ARG_TOPICS, is_list, ARG_PATTERN, ARG_GROUP, ARG_PARTITIONS,
		ARG_MEMBER, ARG_INSTANCE, ARG_ASSIGNOR, ARG_MAX_POLL_INTERVAL
	};
	SlMembership membership;
	SlConsumeCall call = {.membership = &membership};
	SlClientCall client = sl_client_call();
	TimestampTz deadline;
	SlRows		rows;

	sl_direct_check_can_produce(function);
	call.limits.max_records = read_limit(fcinfo, ARG_MAX_RECORDS, function, "max_records");
	call.limits.max_bytes = read_limit(fcinfo, ARG_MAX_BYTES, function, "max_bytes");
	call.limits.max_wait = sl_group_args_interval(fcinfo, ARG_MAX_WAIT, function, "max_wait");
	deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										   sl_fetch_cap_wait(call.limits.max_wait));
	call.how = is_poll ? SL_POLLED :
		client == SL_CALL_WITH_TRANSACTION ? SL_WITH_TRANSACTION :
		client == SL_CALL_IN_FUNCTION ? SL_IN_FUNCTION : SL_DEFERRED;
	if (client == SL_CALL_EXPLAIN)
		call.how = SL_PEEK;
	if (SL_MUTANT("never-deferred"))
		call.how = SL_WITH_TRANSACTION;

	sl_rows_begin(&rows, fcinfo);
	call.desc = rows.desc;
	call.store = rows.store;
	while (!sl_group_args_read(fcinfo, &args,
							   is_poll ? SL_GROUP_CREATE : SL_GROUP_OPTIONAL,
							   &membership))
		if (!wait_for_group(sl_group_args_text(fcinfo, ARG_GROUP), deadline))
			return;
	if (membership.ntopics == 0)
	{
		wait_for_topics(deadline);
		return;
	}
	call.reset_policy = sl_group_args_reset_policy(fcinfo, ARG_RESET,
												   membership.consumer.group_name ?
												   SL_RESET_EARLIEST : SL_RESET_LATEST);
	if (call.how == SL_DEFERRED && !membership.consumer.is_session)
		sl_offsets_refuse_member_id();
	if (membership.consumer.group_name == NULL && PG_ARGISNULL(ARG_RESET))
		tell_where_it_begins(&membership);
	sl_consume(&call);
}

/* consume(topics text, ...) */
Datum
streamlog_consume(PG_FUNCTION_ARGS)
{
	consume(fcinfo, "consume()", false, false);
	return (Datum) 0;
}

/* consume(topics text[], ...) */
Datum
streamlog_consume_list(PG_FUNCTION_ARGS)
{
	consume(fcinfo, "consume()", true, false);
	return (Datum) 0;
}

/* poll(topics text, ...) */
Datum
streamlog_poll(PG_FUNCTION_ARGS)
{
	consume(fcinfo, "poll()", false, true);
	return (Datum) 0;
}

/* poll(topics text[], ...) */
Datum
streamlog_poll_list(PG_FUNCTION_ARGS)
{
	consume(fcinfo, "poll()", true, true);
	return (Datum) 0;
}

static void
put_offsets(FunctionCallInfo fcinfo, const SlPartitionOffset *offsets, int n)
{
	SlRows		rows;

	sl_rows_begin(&rows, fcinfo);
	for (int i = 0; i < n; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = CStringGetTextDatum(offsets[i].topic->name);
		values[1] = Int32GetDatum(offsets[i].partition);
		values[2] = Int64GetDatum(offsets[i].next_offset);
		sl_rows_put(&rows, values, nulls);
	}
}

/*
 * commit_offsets(topics, consumer_group, partitions, next_offsets, metadata, topic_pattern,
 * member_id, instance_id)
 */
static void
commit_offsets(FunctionCallInfo fcinfo, bool is_list)
{
	const char *function = "commit_offsets()";
	const SlGroupArgs args = {function, 0, is_list, 5, 1, 2, 6, 7, -1, -1};
	char	   *metadata = sl_group_args_text(fcinfo, 4);
	const int64 *offsets = NULL;
	SlMembership membership;
	SlPartitionOffset *committed;
	int			n;

	sl_direct_check_can_produce(function);
	if (metadata && strlen(metadata) > SL_MAX_OFFSET_METADATA)
		ereport(ERROR,
				(errcode(ERRCODE_SL_METADATA_TOO_LARGE),
				 errmsg("metadata of %zu bytes is too large", strlen(metadata)),
				 errdetail("It may have %d bytes.", SL_MAX_OFFSET_METADATA)));
	(void) sl_group_args_read(fcinfo, &args, SL_GROUP_EXPECTED, &membership);
	if (!PG_ARGISNULL(3))
	{
		ArrayType  *array = PG_GETARG_ARRAYTYPE_P(3);

		if (ARR_NDIM(array) > 1 || array_contains_nulls(array) ||
			ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != membership.npartitions ||
			membership.partitions == NULL || membership.ntopics != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of %s must have one offset for each of \"%s\", of one topic",
							"next_offsets", function, "partitions"),
					 errhint("For example: commit_offsets('orders', 'billing', partitions => '{0,1}', next_offsets => '{42,17}')")));
		offsets = (int64 *) ARR_DATA_PTR(array);
	}
	else if (!membership.consumer.is_session)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s with a member_id needs \"%s\" and \"%s\"", function,
						"partitions", "next_offsets"),
				 errdetail("Nothing is remembered of what a member_id was handed."),
				 errhint("The next offset of a partition is one more than the last record_offset that was worked off.")));
	committed = sl_commit_offsets(&membership, offsets, metadata, &n);
	put_offsets(fcinfo, committed, n);
}

Datum
streamlog_commit_offsets(PG_FUNCTION_ARGS)
{
	commit_offsets(fcinfo, false);
	return (Datum) 0;
}

Datum
streamlog_commit_offsets_list(PG_FUNCTION_ARGS)
{
	commit_offsets(fcinfo, true);
	return (Datum) 0;
}

/*
 * seek(topic, consumer_group, partition, to_offset, to_time, to_position, member_id,
 * instance_id)
 */
Datum
streamlog_seek(PG_FUNCTION_ARGS)
{
	const char *function = "seek()";
	const SlGroupArgs args = {function, 0, false, -1, 1, -1, 6, 7, -1, -1};
	SlSeekTarget target = sl_group_args_target(fcinfo, 3, false);
	SlMembership membership;
	SlPartitionOffset *moved;
	int32		partition;
	int			n;

	sl_direct_check_can_produce(function);
	(void) sl_group_args_read(fcinfo, &args,
							  PG_ARGISNULL(1) ? SL_GROUP_OPTIONAL : SL_GROUP_EXPECTED,
							  &membership);
	if (!PG_ARGISNULL(2))
	{
		partition = PG_GETARG_INT32(2);
		sl_check_partition(membership.topics[0], partition);
		membership.partitions = &partition;
		membership.npartitions = 1;
	}
	moved = sl_seek(&membership, &target, SL_RESET_EARLIEST, &n);
	put_offsets(fcinfo, moved, n);
	return (Datum) 0;
}

/* next_offset(topic, consumer_group, partition, member_id) */
Datum
streamlog_next_offset(PG_FUNCTION_ARGS)
{
	const char *function = "next_offset()";
	const SlGroupArgs args = {function, 0, false, -1, 1, -1, 3, -1, -1, -1};
	SlMembership membership;
	int64		offset;

	/* another process knows nothing of this session's position */
	PreventCommandIfParallelMode(function);
	sl_group_args_not_null(fcinfo, 2, function, "partition");
	(void) sl_group_args_read(fcinfo, &args,
							  PG_ARGISNULL(1) ? SL_GROUP_OPTIONAL : SL_GROUP_EXPECTED,
							  &membership);
	offset = sl_next_offset(&membership.consumer, membership.topics[0],
							PG_GETARG_INT32(2));
	if (offset < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(offset);
}

/* leave(consumer_group, member_id) */
Datum
streamlog_leave(PG_FUNCTION_ARGS)
{
	char	   *name = sl_group_args_text(fcinfo, 0);
	char	   *member = sl_group_args_member_id(fcinfo, 1);
	SlConsumerGroup *group;
	SlConsumer	consumer = {0};

	sl_direct_check_can_produce("leave()");
	sl_group_args_not_null(fcinfo, 0, "leave()", "consumer_group");
	group = sl_group_open(name);
	if (group == NULL)
		PG_RETURN_BOOL(false);
	consumer.group.database = MyDatabaseId;
	consumer.group.relation = group->offsets;
	consumer.group.group_id = group->group_id;
	consumer.group_name = group->name;
	consumer.is_session = member == NULL;
	consumer.member = member ? member : sl_offsets_session_member();
	PG_RETURN_BOOL(sl_leave(&consumer));
}
