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
#include "miscadmin.h"
#include "nodes/plannodes.h"

#include "sql/direct.h"
#include "sql/executor.h"

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
	PlannedStmt *client_plan = sl_executor_client_plan();

	if (client_plan == NULL || flinfo->fn_expr == NULL ||
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
