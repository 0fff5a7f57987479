/*
 * topic_funcs.c
 *		The SQL functions on topics.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/errors.h"
#include "catalog/ddl.h"
#include "catalog/topic.h"
#include "catalog/topic_row.h"
#include "log/check.h"
#include "group/offsets.h"
#include "log/delete.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_create_topic);
PG_FUNCTION_INFO_V1(streamlog_alter_topic);
PG_FUNCTION_INFO_V1(streamlog_drop_topic);
PG_FUNCTION_INFO_V1(streamlog_describe_topic);
PG_FUNCTION_INFO_V1(streamlog_delete_records);
PG_FUNCTION_INFO_V1(streamlog_check_topic);

static char *
get_name(FunctionCallInfo fcinfo, const char *function)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of %s must not be null", "topic", function)));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static void
check_can_change(const char *command)
{
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	PreventCommandIfParallelMode(command);
}

/* An integer argument for which null and Kafka's -1 mean the default, 1 */
static int32
get_number(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg) || PG_GETARG_INT32(arg) == -1)
		return 1;
	return PG_GETARG_INT32(arg);
}

/* create_topic(topic, partitions, replication_factor, config, if_not_exists) */
Datum
streamlog_create_topic(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "create_topic()");
	int32		replication_factor = get_number(fcinfo, 2);
	Jsonb	   *config;

	check_can_change("create_topic()");
	if (replication_factor != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_REPLICATION_FACTOR),
				 errmsg("invalid replication factor: %d", replication_factor),
				 errdetail("This database is the only broker: topics are not replicated to others yet."),
				 errhint("Use 1. Physical standbys of this server have the topic all the same.")));
	config = PG_ARGISNULL(3) ?
		DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))) :
		PG_GETARG_JSONB_P(3);

	if (!sl_ddl_create_topic(name, get_number(fcinfo, 1), config,
							 !PG_ARGISNULL(4) && PG_GETARG_BOOL(4)))
		ereport(NOTICE,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("topic \"%s\" already exists, skipping", name)));
	PG_RETURN_VOID();
}

/* alter_topic(topic, partitions, config, owner) */
Datum
streamlog_alter_topic(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "alter_topic()");

	check_can_change("alter_topic()");
	if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_PARTITIONS),
				 errmsg("invalid number of partitions: %d", PG_GETARG_INT32(1)),
				 errhint("The number given is the new total; it can only grow.")));
	sl_ddl_alter_topic(name, PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1),
					   PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2),
					   PG_ARGISNULL(3) ? InvalidOid :
					   get_role_oid(NameStr(*PG_GETARG_NAME(3)), false));
	PG_RETURN_VOID();
}

/* drop_topic(topic, if_exists) */
Datum
streamlog_drop_topic(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "drop_topic()");
	int32		topic_id;
	Oid			relation;

	check_can_change("drop_topic()");
	if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1) && !sl_topic_exists(name))
		ereport(NOTICE,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("topic \"%s\" does not exist, skipping",
						sl_clip_name(name))));
	else
	{
		bool		is_known = sl_topic_table(name, &topic_id, &relation);

		sl_ddl_drop_topic(name);
		if (is_known)
			sl_offsets_drop_topic(topic_id);
	}
	PG_RETURN_VOID();
}

/* describe_topic(topic) */
Datum
streamlog_describe_topic(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "describe_topic()");
	Jsonb	   *stored;
	SlConfigLine line;
	SlRows		rows;

	sl_rows_begin(&rows, fcinfo);
	(void) sl_topic_open(name, strlen(name), AccessShareLock,
						 ACL_SELECT | ACL_INSERT);
	stored = sl_topic_config(name);
	for (int i = 0; sl_config_line(stored, i, &line); i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, line.value == NULL, false, false};

		values[0] = CStringGetTextDatum(line.name);
		values[1] = line.value ? CStringGetTextDatum(line.value) : (Datum) 0;
		values[2] = CStringGetTextDatum(line.is_default ? "default" : "topic");
		values[3] = CStringGetTextDatum(line.meaning);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

static void
delete_from(SlTopic *topic, int32 partition, int64 before_offset, SlRows *rows)
{
	Datum		values[2];
	bool		nulls[2] = {false};

	values[0] = Int32GetDatum(partition);
	values[1] = Int64GetDatum(sl_delete_records(topic, partition, before_offset));
	sl_rows_put(rows, values, nulls);
}

/* delete_records(topic, partition, before_offset) */
Datum
streamlog_delete_records(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "delete_records()");
	int64		before_offset = PG_ARGISNULL(2) ? SL_DELETE_ALL : PG_GETARG_INT64(2);
	SlTopic    *topic;
	SlRows		rows;

	check_can_change("delete_records()");
	sl_rows_begin(&rows, fcinfo);
	topic = sl_topic_open_owned(name, AccessShareLock);
	if (!PG_ARGISNULL(1))
		delete_from(topic, PG_GETARG_INT32(1), before_offset, &rows);
	else if (before_offset == SL_DELETE_ALL)
	{
		int			n = topic->partitions;

		for (int32 p = 0; p < n; p++)
		{
			CHECK_FOR_INTERRUPTS();
			delete_from(topic, p, before_offset, &rows);
		}
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"before_offset\" of delete_records() needs a partition"),
				 errdetail("An offset belongs to one partition."),
				 errhint("Give \"partition\" too, or leave \"before_offset\" out to delete all that can be read of every partition.")));
	return (Datum) 0;
}

/* check_topic(topic) */
Datum
streamlog_check_topic(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo, "check_topic()");
	SlTopic    *topic;
	SlRows		rows;

	PreventCommandDuringRecovery("check_topic()");
	sl_rows_begin(&rows, fcinfo);
	topic = sl_topic_open_unfinished(name, strlen(name), AccessShareLock,
									 ACL_SELECT);
	sl_check_topic(topic, rows.desc, rows.store);
	return (Datum) 0;
}
