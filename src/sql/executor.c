/*
 * executor.c
 *		What streamlog has to know of the executors that run.
 *
 * Which of them is the innermost, and whether that is the client's own
 * statement: see direct.c.
 *
 * And how many rows of an INSERT or COPY have become records.  To PostgreSQL a
 * BEFORE ROW trigger that takes a row, as that of a topic's table does, means
 * that the row was not inserted; drivers and PL/pgSQL would hear that nothing
 * was.  So the trigger counts what it has taken for the statement that it was
 * called by, and that is added to what the statement itself has counted.  Not with
 * RETURNING, where the count is that of the rows which are returned.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/plannodes.h"

#include "sql/executor.h"
#include "sql/guard.h"

static ExecutorRun_hook_type prev_executor_run = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;
static ExecutorCheckPerms_hook_type prev_check_perms = NULL;

static SlExecution *innermost = NULL;

static void
begin(SlExecution *execution, QueryDesc *query, bool is_copy)
{
	execution->query = query;
	execution->is_copy = is_copy;
	execution->produced = 0;
	execution->outer = innermost;
	innermost = execution;
}

void
sl_executor_begin_copy(SlExecution *copy)
{
	begin(copy, NULL, true);
}

void
sl_executor_end(SlExecution *execution)
{
	innermost = execution->outer;
}

static void
executor_run(QueryDesc *query, ScanDirection direction, uint64 count,
			 bool execute_once)
{
	SlExecution execution;

	begin(&execution, query, false);
	PG_TRY();
	{
		if (prev_executor_run)
			prev_executor_run(query, direction, count, execute_once);
		else
			standard_ExecutorRun(query, direction, count, execute_once);
	}
	PG_FINALLY();
	{
		sl_executor_end(&execution);
	}
	PG_END_TRY();
	query->estate->es_processed += execution.produced;
}

static void
executor_finish(QueryDesc *query)
{
	SlExecution execution;

	/* triggers run here: whatever they call is theirs */
	begin(&execution, NULL, false);
	PG_TRY();
	{
		if (prev_executor_finish)
			prev_executor_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		sl_executor_end(&execution);
	}
	PG_END_TRY();
}

static bool
check_perms(List *range_table, bool raise)
{
	if (prev_check_perms && !prev_check_perms(range_table, raise))
		return false;
	sl_guard_check_writes(range_table);
	return true;
}

void
sl_executor_init(void)
{
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	prev_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_perms;
}

PlannedStmt *
sl_executor_client_plan(void)
{
	QueryDesc  *query = innermost ? innermost->query : NULL;
	CommandDest dest;

	if (query == NULL || innermost->outer != NULL ||
		query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE)
		return NULL;
	dest = query->dest ? query->dest->mydest : DestNone;
	if (dest != DestRemote && dest != DestRemoteExecute &&
		dest != DestRemoteSimple)
		return NULL;
	return query->plannedstmt;
}

/*
 * Does the trigger belong to the relation that a query's row count is about, and
 * not to that of a WITH?
 */
static bool
is_counted(QueryDesc *query, FmgrInfo *trigger)
{
	ModifyTable *modify = (ModifyTable *) query->plannedstmt->planTree;
	ResultRelInfo *result;
	Index		target;

	if (!IsA(modify, ModifyTable) || !modify->canSetTag ||
		query->plannedstmt->hasReturning)
		return false;

	/* MERGE lists the segments, and inserts into what they inherit from */
	target = modify->rootRelation > 0 ? modify->rootRelation :
		linitial_int(modify->resultRelations);
	result = query->estate->es_result_relations[target - 1];
	return result->ri_TrigDesc != NULL &&
		trigger >= result->ri_TrigFunctions &&
		trigger < result->ri_TrigFunctions + result->ri_TrigDesc->numtriggers;
}

void
sl_executor_count_row(FmgrInfo *trigger, bool is_view)
{
	if (innermost == NULL)
		return;
	if (innermost->is_copy ? !is_view :
		innermost->query && is_counted(innermost->query, trigger))
		innermost->produced++;
}
