/*
 * client.c
 *		What the client's statement is that a call is part of.
 *
 * consume() commits its offsets with the transaction or later, by where it is called.
 *
 * PostgreSQL's IsTransactionBlock() cannot tell a BEGIN from the implicit block of a
 * string of several statements or of a pipeline, in which each statement is handed its
 * result before the block commits.  So the real one is noted when it runs.  A block
 * that ended AND CHAIN is followed by another.
 *
 * The outermost executor that runs is the client's own statement, unless it is one of
 * SPI: then there is a DO or CALL, which is noted, or it is a deferred trigger, or a
 * function that was called by fast path or for an argument of EXECUTE.  Of these a
 * trigger alone has nobody to hand records on to.  A CALL in a function is no more than
 * that function.
 *
 * A cursor WITH HOLD that is not read before its block commits is read then, and what
 * it holds is worked on afterwards: it is as if it were read outside of the block.
 */
#include "postgres.h"

#include "access/xact.h"
#include "tcop/pquery.h"
#include "utils/fmgroids.h"
#include "utils/portal.h"

#include "sql/client.h"
#include "sql/executor.h"

/* A DO or CALL of the client runs */
static bool in_procedure = false;

/* The current transaction is a block that began with BEGIN */
static bool in_block = false;
static bool chain_on_commit = false;
static bool chain_on_abort = false;

static bool
is_in_trigger(void)
{
	return DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) > 0;
}

/* Is a cursor read, to be kept beyond the transaction? */
static bool
is_holding_cursor(void)
{
	return ActivePortal && ActivePortal->holdStore &&
		(ActivePortal->cursorOptions & CURSOR_OPT_HOLD);
}

SlClientCall
sl_client_call(void)
{
	const SlExecution *client = sl_executor_outermost();

	if (sl_executor_is_explained())
		return SL_CALL_EXPLAIN;
	if (in_procedure || (in_block && !is_holding_cursor()))
		return SL_CALL_WITH_TRANSACTION;
	if (client == NULL)
		return SL_CALL_IN_FUNCTION;
	if (client->modifies || (client->is_spi && is_in_trigger()))
		return SL_CALL_WITH_TRANSACTION;
	return client->is_spi || !sl_executor_is_outermost() ?
		SL_CALL_IN_FUNCTION : SL_CALL_DIRECT;
}

/* Has the client sent this command, and not a function? */
static bool
is_clients(PlannedStmt *command)
{
	return sl_executor_outermost() == NULL && ActivePortal &&
		list_member_ptr(ActivePortal->stmts, command);
}

void
sl_client_note_command(PlannedStmt *command)
{
	if (is_clients(command))
		sl_executor_begin_statement();
}

bool
sl_client_begin_procedure(PlannedStmt *command)
{
	bool		outer = in_procedure;

	in_procedure = in_procedure || is_clients(command);
	return outer;
}

void
sl_client_end_procedure(bool outer)
{
	in_procedure = outer;
}

void
sl_client_transaction_command(TransactionStmt *statement, bool was_aborted,
							  bool was_ended)
{
	switch (statement->kind)
	{
		case TRANS_STMT_BEGIN:
		case TRANS_STMT_START:
			in_block = true;
			break;
		case TRANS_STMT_COMMIT:
		case TRANS_STMT_ROLLBACK:
			/* a block that has failed has had its end already */
			if (was_ended)
				in_block = statement->chain;
			else if (statement->kind == TRANS_STMT_COMMIT && !was_aborted)
				chain_on_commit = statement->chain;
			else
				chain_on_abort = statement->chain;
			break;
		default:
			break;
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			in_block = event == XACT_EVENT_COMMIT ? chain_on_commit :
				event == XACT_EVENT_ABORT && chain_on_abort;
			chain_on_commit = false;
			chain_on_abort = false;
			break;
		default:
			break;
	}
}

void
sl_client_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
}
