/*
 * stats_funcs.c
 *		The SQL functions behind the views.
 *
 * A view's functions run with the rights of whoever queries it, so what a role
 * may not see is left out here: topics that it can neither read nor produce to,
 * unless it is a member of pg_monitor.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "log/fetch.h"
#include "shmem/claim.h"
#include "shmem/workers.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_partition_end);
PG_FUNCTION_INFO_V1(streamlog_worker_states);
PG_FUNCTION_INFO_V1(streamlog_undecided_states);

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
