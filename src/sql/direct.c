/*
 * direct.c
 *		Whether a call is the client's statement itself.
 *
 * produce() appends at once, and returns the offset, where the client has asked
 * for nothing else: then there is nothing to collect records for.  Everywhere
 * else records are buffered: in a transaction block, and when one statement may
 * produce any number of them, from a trigger, a function or a query over a
 * table.
 *
 * PostgreSQL does not tell a function where its call stands.  What tells is the
 * call's expression node: if it is a node of the plan that the client's
 * statement runs, in a place where it is evaluated once, the call is the
 * client's own.  The depth of executors would not do: an assignment in PL/pgSQL
 * is evaluated without one.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "utils/memutils.h"

#include "sql/direct.h"

static ExecutorRun_hook_type prev_executor_run = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;

/* Executors on the stack, and the plan of the outermost one */
static int	depth = 0;
static PlannedStmt *client_plan = NULL;

/* Is the query's result on its way to the client? */
static bool
goes_to_client(QueryDesc *query)
{
	CommandDest dest = query->dest ? query->dest->mydest : DestNone;

	return query->operation == CMD_SELECT &&
		!query->plannedstmt->hasModifyingCTE &&
		(dest == DestRemote || dest == DestRemoteExecute ||
		 dest == DestRemoteSimple);
}

static void
executor_run(QueryDesc *query, ScanDirection direction, uint64 count,
			 bool execute_once)
{
	PlannedStmt *save = client_plan;

	client_plan = (depth == 0 && goes_to_client(query)) ?
		query->plannedstmt : NULL;
	depth++;
	PG_TRY();
	{
		if (prev_executor_run)
			prev_executor_run(query, direction, count, execute_once);
		else
			standard_ExecutorRun(query, direction, count, execute_once);
	}
	PG_FINALLY();
	{
		depth--;
		client_plan = save;
	}
	PG_END_TRY();
}

static void
executor_finish(QueryDesc *query)
{
	PlannedStmt *save = client_plan;

	/* triggers run here: whatever they call is theirs */
	client_plan = NULL;
	depth++;
	PG_TRY();
	{
		if (prev_executor_finish)
			prev_executor_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		depth--;
		client_plan = save;
	}
	PG_END_TRY();
}

void
sl_direct_init(void)
{
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
}

static bool
is_target(List *targetlist, Node *call)
{
	ListCell   *lc;

	foreach(lc, targetlist)
		if ((Node *) lfirst_node(TargetEntry, lc)->expr == call)
			return true;
	return false;
}

/* Does the plan evaluate this call, and that once? */
static bool
evaluates_once(Plan *plan, Node *call)
{
	bool		in_target = false;

	for (;; plan = outerPlan(plan))
	{
		/* a target list counts if nothing below gives it rows */
		if (IsA(plan, Result) || IsA(plan, ProjectSet))
			in_target = in_target || is_target(plan->targetlist, call);

		if (innerPlan(plan))
			return false;
		if (outerPlan(plan))
			continue;

		if (IsA(plan, Result))
			return in_target;
		if (IsA(plan, FunctionScan))
		{
			FunctionScan *scan = (FunctionScan *) plan;

			return list_length(scan->functions) == 1 &&
				linitial_node(RangeTblFunction, scan->functions)->funcexpr == call;
		}
		return false;
	}
}

bool
sl_direct_call(FmgrInfo *flinfo)
{
	if (client_plan == NULL || depth != 1 || flinfo->fn_expr == NULL ||
		IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1 ||
		(MyXactFlags & XACT_FLAGS_PIPELINING))
		return false;
	return evaluates_once(client_plan->planTree, flinfo->fn_expr);
}

void
sl_direct_check_can_produce(const char *command)
{
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	PreventCommandIfParallelMode(command);

	/* a record outlives the sandbox of an index expression or a REFRESH */
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot execute %s within a security-restricted operation",
						command)));
}
