/*
 * rows.c
 *		Functions that return sets.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"

#include "sql/rows.h"

/*
 * Memory is taken in blocks of this size.  glibc gives the first one back to the
 * system when it is freed, and keeps what is not larger from then on; of smaller
 * ones it would return the sum after each call, and the next call would have to
 * wait for the system to fill its pages with zeroes again.
 */
#define SL_ROWS_BLOCK	(1024 * 1024)

void
sl_rows_begin(SlRows *rows, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));

	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rows->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	/* rows come and go in one order, and need no room to grow */
	MemoryContextSwitchTo(GenerationContextCreate(CurrentMemoryContext,
												  "streamlog rows", 0,
												  SL_ROWS_BLOCK,
												  SL_ROWS_BLOCK));
	rows->store = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
										false, work_mem);
	MemoryContextSwitchTo(old);

	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = rows->store;
	rsinfo->setDesc = rows->desc;
}

void
sl_rows_put(SlRows *rows, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}
