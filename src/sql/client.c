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
 * SPI: then there is a DO or CALL, which is noted, or it is a trigger at commit, or a
 * function that was called by fast path.
 */
#include "postgres.h"

#include "access/xact.h"

#include "sql/client.h"
#include "sql/executor.h"

/* The DO, CALL or EXPLAIN of the client that runs; T_Invalid: none */
static NodeTag command = T_Invalid;

/* The current transaction is a block that began with BEGIN */
static bool in_block = false;
static bool chain_on_commit = false;
static bool chain_on_abort = false;

SlClientCall
sl_client_call(void)
{
	const SlExecution *client = sl_executor_outermost();

	if (command == T_ExplainStmt && client && !client->modifies)
		return SL_CALL_EXPLAIN;
	if (in_block || command == T_DoStmt || command == T_CallStmt)
		return SL_CALL_WITH_TRANSACTION;
	if (client == NULL)
		return SL_CALL_IN_FUNCTION;
	if (client->modifies || (client->is_spi && sl_executor_has_modified()))
		return SL_CALL_WITH_TRANSACTION;
	return client->is_spi || !sl_executor_is_outermost() ?
		SL_CALL_IN_FUNCTION : SL_CALL_DIRECT;
}

NodeTag
sl_client_begin_command(Node *statement)
{
	NodeTag		outer = command;

	if (outer == T_Invalid)
		command = nodeTag(statement);
	return outer;
}

void
sl_client_end_command(NodeTag outer)
{
	command = outer;
}

void
sl_client_transaction_command(TransactionStmt *statement, bool was_aborted)
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
			if (was_aborted)
				in_block = statement->chain;
			else
			{
				chain_on_commit = statement->chain &&
					statement->kind == TRANS_STMT_COMMIT;
				chain_on_abort = statement->chain &&
					statement->kind == TRANS_STMT_ROLLBACK;
			}
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
