/*
 * executor.h
 *		What streamlog has to know of the executors that run.
 */
#ifndef SL_EXECUTOR_H
#define SL_EXECUTOR_H

#include "executor/execdesc.h"
#include "fmgr.h"

/* An executor or COPY on the stack */
typedef struct SlExecution
{
	QueryDesc  *query;			/* NULL: nothing that could be the client's */
	bool		is_copy;
	bool		is_spi;			/* its result goes to a function */
	bool		modifies;		/* it changes data, and not only in functions */
	bool		is_explained;	/* an EXPLAIN of a query runs it, or what did */
	int			depth;
	uint64		produced;		/* rows that became records */
	struct SlExecution *outer;
} SlExecution;

extern void sl_executor_init(void);

/*
 * Put a COPY .. FROM on the stack, in the caller's memory, and take it off; the
 * latter also when it has raised.
 */
extern void sl_executor_begin_copy(SlExecution *copy);
extern void sl_executor_end(SlExecution *execution);

/* It has come to its end without an error. */
extern void sl_executor_note_done(const SlExecution *execution);

/*
 * The outermost on the stack, or NULL; is it the innermost too; and is that part of a
 * query that an EXPLAIN runs?
 */
extern const SlExecution *sl_executor_outermost(void);
extern bool sl_executor_is_outermost(void);
extern bool sl_executor_is_explained(void);

/* The client begins a statement that is not a query. */
extern void sl_executor_begin_statement(void);

/* Around an EXPLAIN; begin() returns what to give to end(). */
extern int	sl_executor_begin_explain(void);
extern void sl_executor_end_explain(int outer);

/*
 * The plan of the client's statement, if that is a query whose result is on its
 * way to the client and nothing else is on the stack; else NULL.
 */
extern PlannedStmt *sl_executor_client_plan(void);

/*
 * The row that this trigger was called for has become a record: the statement
 * counts it, as it counts rows that it has inserted.  COPY counts those of a view
 * itself.
 */
extern void sl_executor_count_row(FmgrInfo *trigger, bool is_view);

#endif							/* SL_EXECUTOR_H */
