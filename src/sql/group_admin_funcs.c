/*
 * group_admin_funcs.c
 *		The SQL functions of who looks after consumer groups.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "catalog/topic_row.h"
#include "group/admin.h"
#include "sql/direct.h"
#include "sql/group_args.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_committed_offsets);
PG_FUNCTION_INFO_V1(streamlog_reset_offsets);
PG_FUNCTION_INFO_V1(streamlog_delete_offsets);
PG_FUNCTION_INFO_V1(streamlog_delete_group);
PG_FUNCTION_INFO_V1(streamlog_kick_member);
PG_FUNCTION_INFO_V1(streamlog_alter_group);

/* A text argument that must be there */
static char *
get_text(FunctionCallInfo fcinfo, int arg, const char *function, const char *name)
{
	sl_group_args_not_null(fcinfo, arg, function, name);
	return sl_group_args_text(fcinfo, arg);
}

static SlTopic *
open_topic(const char *name)
{
	return sl_topic_open(name, strlen(name), AccessShareLock, ACL_SELECT);
}

/* -1 for a null */
static int32
get_partition(FunctionCallInfo fcinfo, int arg, SlTopic *topic)
{
	if (PG_ARGISNULL(arg))
		return -1;
	sl_check_partition(topic, PG_GETARG_INT32(arg));
	return PG_GETARG_INT32(arg);
}

static SlConsumerGroup *
open_group(const char *name)
{
	SlConsumerGroup *group = sl_group_open(name);

	if (group == NULL)
		sl_group_unknown(name);
	return group;
}

/* One that another transaction is making is not waited for: nobody sees such a wait. */
static SlConsumerGroup *
open_or_create(const char *name)
{
	SlConsumerGroup *group = sl_group_open_or_create(name);

	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("consumer group \"%s\" is being made by another transaction",
						name),
				 errhint("Try again when that transaction has ended.")));
	return group;
}

/* Does the user read this topic?  Then its name. */
static char *
readable_topic(int32 topic_id)
{
	bool		is_missing = false;
	Oid			relation;
	char	   *name = sl_topic_name(topic_id, &relation);

	return name && pg_class_aclcheck_ext(relation, GetUserId(), ACL_SELECT,
										 &is_missing) == ACLCHECK_OK ? name : NULL;
}

/* committed_offsets(consumer_group, topic) */
Datum
streamlog_committed_offsets(PG_FUNCTION_ARGS)
{
	char	   *name = get_text(fcinfo, 0, "committed_offsets()", "consumer_group");
	char	   *topic_name = sl_group_args_text(fcinfo, 1);
	int32		topic_id = topic_name ? open_topic(topic_name)->topic_id : 0;
	SlConsumerGroup *group = open_group(name);
	SlOffsetListed *list;
	SlRows		rows;
	int			n;

	sl_rows_begin(&rows, fcinfo);
	list = sl_admin_list_offsets(group->group_id, topic_id, &n);
	for (int i = 0; i < n; i++)
	{
		const SlOffsetRow *row = &list[i].row;
		Datum		values[5];
		bool		nulls[5] = {false, false, false, row->metadata == NULL, row->member[0] == '\0'};

		if (i == 0 || list[i].key.topic_id != list[i - 1].key.topic_id)
			topic_name = readable_topic(list[i].key.topic_id);
		if (topic_name == NULL)
			continue;
		values[0] = CStringGetTextDatum(topic_name);
		values[1] = Int32GetDatum(list[i].key.partition);
		values[2] = Int64GetDatum(row->next_offset);
		values[3] = row->metadata ? CStringGetTextDatum(row->metadata) : (Datum) 0;
		values[4] = CStringGetTextDatum(row->member);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

/*
 * reset_offsets(consumer_group, topic, to_offset, to_time, to_position, shift_by,
 * partition, dry_run)
 */
Datum
streamlog_reset_offsets(PG_FUNCTION_ARGS)
{
	const char *function = "reset_offsets()";
	char	   *name = get_text(fcinfo, 0, function, "consumer_group");
	char	   *topic_name = get_text(fcinfo, 1, function, "topic");
	SlSeekTarget target = sl_group_args_target(fcinfo, 2, true);
	SlPartitionReset *resets;
	SlTopic    *topic;
	SlConsumerGroup *group;
	SlRows		rows;
	bool		apply;
	int			n;

	sl_group_args_not_null(fcinfo, 7, function, "dry_run");
	apply = !PG_GETARG_BOOL(7);
	if (apply)
		sl_direct_check_can_produce(function);
	sl_rows_begin(&rows, fcinfo);
	topic = open_topic(topic_name);
	group = apply ? open_or_create(name) : sl_group_open(name);
	resets = sl_admin_reset(group, topic, get_partition(fcinfo, 6, topic),
							&target, apply, &n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {false, false, resets[i].current < 0, false, false};

		values[0] = CStringGetTextDatum(topic->name);
		values[1] = Int32GetDatum(resets[i].partition);
		values[2] = Int64GetDatum(resets[i].current);
		values[3] = Int64GetDatum(resets[i].target);
		values[4] = BoolGetDatum(apply);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

/* delete_offsets(consumer_group, topic, partition) */
Datum
streamlog_delete_offsets(PG_FUNCTION_ARGS)
{
	const char *function = "delete_offsets()";
	char	   *name = get_text(fcinfo, 0, function, "consumer_group");
	char	   *topic_name = get_text(fcinfo, 1, function, "topic");
	SlTopic    *topic;

	sl_direct_check_can_produce(function);
	topic = open_topic(topic_name);
	PG_RETURN_INT32(sl_admin_delete_offsets(open_group(name), topic,
											get_partition(fcinfo, 2, topic)));
}

/* delete_group(consumer_group) */
Datum
streamlog_delete_group(PG_FUNCTION_ARGS)
{
	char	   *name = get_text(fcinfo, 0, "delete_group()", "consumer_group");

	sl_direct_check_can_produce("delete_group()");
	sl_admin_delete_group(name);
	PG_RETURN_VOID();
}

/* kick_member(consumer_group, member) */
Datum
streamlog_kick_member(PG_FUNCTION_ARGS)
{
	char	   *name = get_text(fcinfo, 0, "kick_member()", "consumer_group");
	char	   *member = get_text(fcinfo, 1, "kick_member()", "member");

	PG_RETURN_BOOL(sl_admin_kick(open_group(name), member));
}

/* alter_group(consumer_group, owner) */
Datum
streamlog_alter_group(PG_FUNCTION_ARGS)
{
	char	   *name = get_text(fcinfo, 0, "alter_group()", "consumer_group");

	sl_direct_check_can_produce("alter_group()");
	sl_group_args_not_null(fcinfo, 1, "alter_group()", "owner");
	sl_admin_set_owner(name, get_role_oid(NameStr(*PG_GETARG_NAME(1)), false));
	PG_RETURN_VOID();
}
