/*
 * executor.c
 *		What streamlog has to know of the executors that run.
 *
 * Which of them is the innermost, and whether that is the client's own
 * statement: see direct.c and client.c.
 *
 * Where a statement of the client begins, and what is written in it: offsets.c decides
 * by that what becomes of records.  A deferred trigger that runs at COMMIT is no part of
 * the last statement; there, as in a call by fast path, no portal is active.  What we
 * write ourselves is nobody's work.
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
#include "tcop/pquery.h"

#include "catalog/catalog.h"
#include "group/offsets.h"
#include "sql/executor.h"
#include "sql/guard.h"

static ExecutorRun_hook_type prev_executor_run = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;
static ExecutorCheckPerms_hook_type prev_check_perms = NULL;

static SlExecution *innermost = NULL;
static SlExecution *outermost = NULL;

/* What runs is no statement of the client, and has been counted as one */
static bool outside = false;

/* At this depth is what an EXPLAIN runs; 0: there is none */
static int	explained_depth = 0;

void
sl_executor_begin_statement(void)
{
	outside = false;
	sl_offsets_begin_statement();
}

static void
begin_outermost(bool is_spi)
{
	if (!is_spi)
		sl_executor_begin_statement();
	else if (ActivePortal == NULL && !outside)
	{
		outside = true;
		sl_offsets_begin_statement();
	}
}

static void
begin(SlExecution *execution)
{
	execution->produced = 0;
	execution->outer = innermost;
	execution->depth = innermost ? innermost->depth + 1 : 1;
	execution->is_explained = (innermost && innermost->is_explained) ||
		(execution->depth == explained_depth && !execution->modifies);
	if (innermost == NULL)
		outermost = execution;
	innermost = execution;
}

void
sl_executor_begin_copy(SlExecution *copy)
{
	memset(copy, 0, sizeof(SlExecution));
	copy->is_copy = true;
	copy->modifies = true;
	begin(copy);
}

void
sl_executor_end(SlExecution *execution)
{
	innermost = execution->outer;
	if (innermost == NULL)
		outermost = NULL;
}

void
sl_executor_note_done(const SlExecution *execution)
{
	if (execution->modifies && !sl_catalog_is_running())
		sl_offsets_note_write();
}

int
sl_executor_begin_explain(void)
{
	int			outer = explained_depth;

	explained_depth = innermost ? innermost->depth + 1 : 1;
	return outer;
}

void
sl_executor_end_explain(int outer)
{
	explained_depth = outer;
}

/* dest is DestNone where it is not known */
static void
begin_query(SlExecution *execution, QueryDesc *query, CommandDest dest)
{
	execution->is_copy = false;
	execution->is_spi = dest == DestSPI;
	execution->modifies = query->operation != CMD_SELECT ||
		query->plannedstmt->hasModifyingCTE ||
		dest == DestIntoRel || dest == DestTransientRel;
	begin(execution);
}

static void
executor_run(QueryDesc *query, ScanDirection direction, uint64 count,
			 bool execute_once)
{
	/* a portal's is not known before it runs */
	CommandDest dest = query->dest ? query->dest->mydest : DestNone;
	SlExecution execution;

	execution.query = query;
	if (innermost == NULL)
		begin_outermost(dest == DestSPI);
	begin_query(&execution, query, dest);
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
	sl_executor_note_done(&execution);
	query->estate->es_processed += execution.produced;
}

static void
executor_finish(QueryDesc *query)
{
	SlExecution execution;

	/*
	 * triggers run here: whatever they call is theirs; a portal's dest is
	 * gone by now
	 */
	execution.query = NULL;
	begin_query(&execution, query, DestNone);
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

const SlExecution *
sl_executor_outermost(void)
{
	return outermost;
}

bool
sl_executor_is_outermost(void)
{
	return innermost == outermost;
}

bool
sl_executor_is_explained(void)
{
	return innermost && innermost->is_explained;
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
