/*
 * restore_funcs.c
 *		The SQL function that comes after the restore of a dump.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "catalog/catalog.h"
#include "log/restore.h"
#include "sql/rows.h"

PG_FUNCTION_INFO_V1(streamlog_finish_restore);

/* finish_restore() */
Datum
streamlog_finish_restore(PG_FUNCTION_ARGS)
{
	SlRows		rows;

	PreventCommandDuringRecovery("finish_restore()");
	PreventCommandIfReadOnly("finish_restore()");
	PreventCommandIfParallelMode("finish_restore()");
	if (!superuser() && !has_privs_of_role(GetUserId(), sl_catalog_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of extension \"%s\"", "streamlog")));
	sl_rows_begin(&rows, fcinfo);
	sl_restore_finish(rows.desc, rows.store);
	return (Datum) 0;
}
