/*
 * stats_funcs.c
 *		The SQL functions behind the views.
 *
 * A view's functions run with the rights of whoever queries it, so what a role
 * may not see is left out here: topics that it can neither read nor produce to,
 * and groups of roles that it is no member of, unless it is a member of pg_monitor.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"
#include "catalog/group_ids.h"
#include "group/assignor.h"
#include "group/lag.h"
#include "log/fetch.h"
#include "shmem/claim.h"
#include "shmem/group_list.h"
#include "shmem/workers.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_partition_end);
PG_FUNCTION_INFO_V1(streamlog_worker_states);
PG_FUNCTION_INFO_V1(streamlog_undecided_states);
PG_FUNCTION_INFO_V1(streamlog_member_states);
PG_FUNCTION_INFO_V1(streamlog_lag_states);

/* Not, for one, a topic that another transaction has made and not committed. */
static bool
may_see(Oid relation)
{
	bool		is_missing = false;

	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		pg_class_aclcheck_ext(relation, GetUserId(), ACL_SELECT | ACL_INSERT,
							  &is_missing) == ACLCHECK_OK;
}

/* partition_end(relation, partition) */
Datum
streamlog_partition_end(PG_FUNCTION_ARGS)
{
	Oid			relation = PG_GETARG_OID(0);
	SlTopic    *topic;
	SlPartitionState state;

	if (RecoveryInProgress() || !may_see(relation))
		PG_RETURN_NULL();
	topic = sl_topic_find_by_relation(relation);
	if (topic == NULL)
		PG_RETURN_NULL();
	topic = sl_topic_open_unfinished(topic->name, strlen(topic->name),
									 AccessShareLock, ACL_NO_RIGHTS);
	/* whose segments may not be there yet, if it comes from a dump */
	if (!topic->is_local || PG_GETARG_INT32(1) >= topic->partitions)
		PG_RETURN_NULL();
	(void) sl_fetch_bounds(topic, PG_GETARG_INT32(1), &state);
	PG_RETURN_INT64(state.visible_end);
}

/* worker_states() */
Datum
streamlog_worker_states(PG_FUNCTION_ARGS)
{
	SlRows		rows;
	int			n;
	SlWorkerInfo *list = sl_workers_list(&n);

	sl_rows_begin(&rows, fcinfo);
	for (int i = 0; i < n; i++)
	{
		bool		launcher = !OidIsValid(list[i].database);
		Datum		values[5];
		bool		nulls[5] = {false, false, launcher, false, list[i].last_run == 0};

		values[0] = Int32GetDatum(list[i].pid);
		values[1] = CStringGetTextDatum(launcher ? "launcher" : "worker");
		values[2] = ObjectIdGetDatum(list[i].database);
		values[3] = TimestampTzGetDatum(list[i].started);
		values[4] = TimestampTzGetDatum(list[i].last_run);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

/* undecided_states() */
Datum
streamlog_undecided_states(PG_FUNCTION_ARGS)
{
	SlRows		rows;
	int			n;
	XLogRecPtr	lsn;
	SlClaimInfo *list = sl_claims_list(&n, &lsn);

	/* what is shown must survive a crash */
	if (!RecoveryInProgress() && lsn > GetFlushRecPtr(NULL))
		XLogFlush(lsn);
	sl_rows_begin(&rows, fcinfo);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		if (list[i].key.database != MyDatabaseId ||
			!may_see(list[i].key.relation))
			continue;
		values[0] = ObjectIdGetDatum(list[i].key.relation);
		values[1] = Int32GetDatum(list[i].key.partition);
		values[2] = Int32GetDatum(list[i].pid);
		values[3] = Int64GetDatum(list[i].held);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}

static void
put_member(SlRows *rows, const SlMemberInfo *info,
		   const SlMemberAssignment *assignment)
{
	bool		none = assignment == NULL;
	Datum		values[11];
	bool		nulls[11] = {false, false, false, info->instance[0] == '\0', false,
	info->pid == 0, false, none, none, none, none};

	values[0] = Int32GetDatum(info->group_id);
	values[1] = CStringGetTextDatum(sl_assignor_name(info->assignor));
	values[2] = CStringGetTextDatum(info->member);
	values[3] = CStringGetTextDatum(info->instance);
	values[4] = BoolGetDatum(info->is_fenced);
	values[5] = Int32GetDatum(info->pid);
	values[6] = TimestampTzGetDatum(info->last_call);
	values[7] = Int32GetDatum(none ? 0 : assignment->topic_id);
	values[8] = Int32GetDatum(none ? 0 : assignment->partition);
	values[9] = BoolGetDatum(!none && assignment->is_reader);
	values[10] = BoolGetDatum(!none && assignment->is_target);
	sl_rows_put(rows, values, nulls);
}

/* member_states() */
Datum
streamlog_member_states(PG_FUNCTION_ARGS)
{
	SlRows		rows;
	int			n;
	int			nvisible;
	SlMemberInfo *list = sl_groups_list_members(MyDatabaseId,
												sl_catalog_oid("committed_offset"),
												0, &n);
	int32	   *visible = sl_group_list_visible(&nvisible);

	sl_rows_begin(&rows, fcinfo);
	for (int i = 0; i < n; i++)
	{
		if (!sl_group_is_listed(visible, nvisible, list[i].group_id))
			continue;
		if (list[i].nassignments == 0)
			put_member(&rows, &list[i], NULL);
		for (int j = 0; j < list[i].nassignments; j++)
			put_member(&rows, &list[i], &list[i].assignments[j]);
	}
	return (Datum) 0;
}

/* lag_states() */
Datum
streamlog_lag_states(PG_FUNCTION_ARGS)
{
	SlRows		rows;
	int			n;
	SlLag	   *list = sl_lag_list(may_see, &n);

	sl_rows_begin(&rows, fcinfo);
	for (int i = 0; i < n; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {false, false, false, list[i].committed < 0,
		list[i].end < 0, !list[i].has_oldest};

		values[0] = Int32GetDatum(list[i].group_id);
		values[1] = Int32GetDatum(list[i].topic_id);
		values[2] = Int32GetDatum(list[i].partition);
		values[3] = Int64GetDatum(list[i].committed);
		values[4] = Int64GetDatum(list[i].end);
		values[5] = TimestampTzGetDatum(list[i].oldest);
		sl_rows_put(&rows, values, nulls);
	}
	return (Datum) 0;
}
