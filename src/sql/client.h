/*
 * client.h
 *		What the client's statement is that a call is part of.
 */
#ifndef SL_CLIENT_H
#define SL_CLIENT_H

#include "nodes/parsenodes.h"

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
 * Around a utility command: DO, CALL and EXPLAIN are noted while they run (begin()
 * returns what to give to end()), BEGIN, COMMIT and ROLLBACK when they have run.
 */
extern NodeTag sl_client_begin_command(Node *statement);
extern void sl_client_end_command(NodeTag outer);
extern void sl_client_transaction_command(TransactionStmt *statement,
										  bool was_aborted);

#endif							/* SL_CLIENT_H */
