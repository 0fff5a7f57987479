/*
 * client.h
 *		What the client's statement is that a call is part of.
 */
#ifndef SL_CLIENT_H
#define SL_CLIENT_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

typedef enum SlClientCall
{
	SL_CALL_WITH_TRANSACTION,	/* after BEGIN, or in what changes data */
	SL_CALL_DIRECT,				/* the client's own SELECT */
	SL_CALL_IN_FUNCTION,		/* in a function under one */
	SL_CALL_EXPLAIN				/* EXPLAIN ANALYZE of one */
} SlClientCall;

extern void sl_client_init(void);

extern SlClientCall sl_client_call(void);

/*
 * Utility commands: each is noted before it runs, DO and CALL while they do (begin()
 * returns what to give to end()), BEGIN, COMMIT and ROLLBACK when they have run;
 * was_aborted: in a transaction that had failed; was_ended: and not only in a savepoint.
 */
extern void sl_client_note_command(PlannedStmt *command);
extern bool sl_client_begin_procedure(PlannedStmt *command);
extern void sl_client_end_procedure(bool outer);
extern void sl_client_transaction_command(TransactionStmt *statement,
										  bool was_aborted, bool was_ended);

#endif							/* SL_CLIENT_H */
