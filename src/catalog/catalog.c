/*
 * catalog.c
 *		What all access to our own tables has in common.
 *
 * Changes go through SPI, as the owner of the extension and with settings of
 * our own: no caller has rights on our tables, and none of a caller's settings
 * (search_path, default_tablespace, ...) may leak into what we create.  Look-ups
 * on the paths of produce and fetch are index scans with a catalog snapshot.
 *
 * Both see what has been committed, as PostgreSQL's own commands do with its
 * catalogs, also in a transaction that reads by an older snapshot: an UPDATE by
 * that one would pass over a row that has come since, and nobody would be told.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"

/* What an error shows of a name that is too long for a topic's, in bytes */
#define SL_SHOWN_OF_NAME	60

Oid
sl_catalog_oid(const char *name)
{
	Oid			schema = get_namespace_oid(SL_SCHEMA, true);
	Oid			oid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the extension \"%s\" is not installed in this database",
						"streamlog"),
				 errhint("Run CREATE EXTENSION streamlog.")));
	return oid;
}

Oid
sl_catalog_headers_type(void)
{
	Oid			header = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
										 CStringGetDatum("header"),
										 ObjectIdGetDatum(get_namespace_oid(SL_SCHEMA, false)));
	Oid			headers = OidIsValid(header) ? get_array_type(header) : InvalidOid;

	if (!OidIsValid(headers))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s.%s\" does not exist", SL_SCHEMA, "header[]")));
	return headers;
}

Oid
sl_catalog_owner(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("streamlog"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

typedef enum SlRunMode
{
	SL_RUN,
	SL_RUN_EACH,
	SL_RUN_FETCH_ID,
	SL_RUN_FETCH_TEXT
} SlRunMode;

static void
execute(const char *command, int nargs, Oid *types, Datum *values)
{
	SPIPlanPtr	plan = SPI_prepare(command, nargs, types);
	Snapshot	snapshot = SL_MUTANT("old-catalog-snapshot") ?
	InvalidSnapshot : GetLatestSnapshot();
	int			rc;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s in \"%s\"",
			 SPI_result_code_string(SPI_result), command);
	rc = SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
							  false, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s in \"%s\"",
			 SPI_result_code_string(rc), command);
	SPI_freeplan(plan);
}

static void
execute_each(const char *query, int nargs, Oid *types, Datum *values)
{
	SPITupleTable *commands;
	uint64		n;

	execute(query, nargs, types, values);
	commands = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
		execute(SPI_getvalue(commands->vals[i], commands->tupdesc, 1),
				0, NULL, NULL);
}

static void
execute_one_row(const char *query, int nargs, Oid *types, Datum *values)
{
	execute(query, nargs, types, values);
	if (SPI_processed != 1)
		elog(ERROR, "\"%s\" returned %llu rows", query,
			 (unsigned long long) SPI_processed);
}

static int64
fetch_id(const char *query, int nargs, Oid *types, Datum *values)
{
	bool		isnull;

	execute_one_row(query, nargs, types, values);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

static char *
fetch_text(const char *query, int nargs, Oid *types, Datum *values,
		   MemoryContext context)
{
	char	   *value;

	execute_one_row(query, nargs, types, values);
	value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return value ? MemoryContextStrdup(context, value) : NULL;
}

/* What a command returns, in the modes that fetch something */
typedef union SlRunResult
{
	int64		id;
	char	   *text;
} SlRunResult;

/* Commands of ours on the stack */
static int	running = 0;

static SlRunResult
run_mode(SlRunMode mode, const char *command, int nargs, Oid *types,
		 Datum *values)
{
	MemoryContext context = CurrentMemoryContext;
	SlRunResult result = {0};

	SPI_connect();
	switch (mode)
	{
		case SL_RUN:
			execute(command, nargs, types, values);
			break;
		case SL_RUN_EACH:
			execute_each(command, nargs, types, values);
			break;
		case SL_RUN_FETCH_ID:
			result.id = fetch_id(command, nargs, types, values);
			break;
		case SL_RUN_FETCH_TEXT:
			result.text = fetch_text(command, nargs, types, values, context);
			break;
	}
	SPI_finish();
	return result;
}

static SlRunResult
run(SlRunMode mode, const char *command, int nargs, Oid *types, Datum *values)
{
	Oid			owner = sl_catalog_owner();
	Oid			save_user;
	int			save_context;
	int			nest;
	bool		pushed = false;
	SlRunResult result;

	if (!OidIsValid(owner))
		(void) sl_catalog_oid("topic"); /* raises */

	/* An error restores all of this as it unwinds the (sub)transaction. */
	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(owner, save_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	nest = NewGUCNestLevel();
	set_local("search_path", "pg_catalog, pg_temp");
	set_local("default_tablespace", "");
	set_local("default_table_access_method", "heap");
	set_local("client_min_messages", "warning");

	/* the worker has none, nor has a function that was called by fast path */
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	running++;
	PG_TRY();
	{
		result = run_mode(mode, command, nargs, types, values);
	}
	PG_FINALLY();
	{
		running--;
	}
	PG_END_TRY();
	if (pushed)
		PopActiveSnapshot();

	AtEOXact_GUC(true, nest);
	SetUserIdAndSecContext(save_user, save_context);
	return result;
}

bool
sl_catalog_is_running(void)
{
	return running > 0;
}

void
sl_catalog_execute(const char *command, int nargs, Oid *types, Datum *values)
{
	(void) run(SL_RUN, command, nargs, types, values);
}

void
sl_catalog_execute_each(const char *query, int nargs, Oid *types, Datum *values)
{
	(void) run(SL_RUN_EACH, query, nargs, types, values);
}

int64
sl_catalog_fetch_id(const char *query, int nargs, Oid *types, Datum *values)
{
	return run(SL_RUN_FETCH_ID, query, nargs, types, values).id;
}

char *
sl_catalog_fetch_text(const char *query, int nargs, Oid *types, Datum *values)
{
	return run(SL_RUN_FETCH_TEXT, query, nargs, types, values).text;
}

char *
sl_clip_name(const char *name)
{
	int			len = strlen(name);

	if (len <= SL_MAX_TOPIC_NAME)
		return pstrdup(name);
	return psprintf("%.*s...", pg_mbcliplen(name, len, SL_SHOWN_OF_NAME), name);
}
