/*
 * utility.c
 *		What streamlog has to do when certain commands are run.
 *
 * VACUUM FULL, CLUSTER and ALTER TABLE copy a table in the order in which they
 * scan it.  A scan of a large table may begin in the middle, where another one
 * is at the time; a segment would then no longer be in the order of its offsets.
 * So they run with synchronize_seqscans off, whatever the setting is.
 *
 * A worker is connected to its database, and PostgreSQL refuses to drop, copy,
 * rename or move a database that somebody is connected to.  Such a command holds
 * the database first: its worker ends, and none is started until the command's
 * transaction has ended, whichever way.  Only a session that could carry the
 * command out does that; else anybody could stop the worker of any database.
 *
 * DISCARD ALL leaves all consumer groups.  What the client's statement is: client.c.
 *
 * DDL on what belongs to a topic is refused: see guard.c.
 *
 * GRANT, REVOKE, DROP OWNED, REASSIGN OWNED, ALTER ROLE .. RENAME: role_commands.c.
 *
 * CREATE EXTENSION streamlog is noted, and the launcher woken when it has
 * committed; likewise when there may be a new database.  DROP EXTENSION holds its
 * database, so that it does not meet the worker with locks in another order.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "group/consume.h"
#include "shmem/groups.h"
#include "shmem/partition.h"
#include "shmem/workers.h"
#include "sql/client.h"
#include "sql/executor.h"
#include "sql/guard.h"
#include "sql/role_commands.h"
#include "sql/utility.h"

/* The arguments of a ProcessUtility_hook */
typedef struct SlUtility
{
	PlannedStmt *pstmt;
	const char *query;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *env;
	DestReceiver *dest;
	QueryCompletion *qc;
} SlUtility;

/* What a command wants to do with a database */
typedef enum SlDatabaseUse
{
	SL_USE_CHANGE,
	SL_USE_RENAME,
	SL_USE_COPY
} SlDatabaseUse;

static ProcessUtility_hook_type prev_process_utility = NULL;

/* Noted in this transaction, for its commit */
static bool extension_created = false;
static bool databases_changed = false;

/* Commands on the stack that hold a database */
static int	holding_commands = 0;

static void
run(SlUtility *u)
{
	if (prev_process_utility)
		prev_process_utility(u->pstmt, u->query, u->read_only_tree, u->context,
							 u->params, u->env, u->dest, u->qc);
	else
		standard_ProcessUtility(u->pstmt, u->query, u->read_only_tree,
								u->context, u->params, u->env, u->dest, u->qc);
}

static void
run_in_file_order(SlUtility *u)
{
	bool		save = synchronize_seqscans;

	synchronize_seqscans = SL_MUTANT("keep-syncscan") ? save : false;
	PG_TRY();
	{
		run(u);
	}
	PG_FINALLY();
	{
		synchronize_seqscans = save;
	}
	PG_END_TRY();
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		result;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	result = HeapTupleIsValid(tuple) &&
		((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* May the current user do that with the database, as far as can be told? */
static bool
may_use(Oid database, SlDatabaseUse use)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	Form_pg_database row;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	row = (Form_pg_database) GETSTRUCT(tuple);
	result = superuser() || has_privs_of_role(GetUserId(), row->datdba);
	if (use == SL_USE_RENAME)
		result = result && may_create_databases();
	else if (use == SL_USE_COPY)
		result = (result || row->datistemplate) && may_create_databases();
	ReleaseSysCache(tuple);
	return result;
}

/* Run a command while a database has no worker. */
static void
hold_and_run(SlUtility *u, Oid database)
{
	/* if its worker does not go, the command will say so */
	holding_commands++;
	PG_TRY();
	{
		(void) sl_workers_hold(database);
		run(u);
	}
	PG_FINALLY();
	{
		holding_commands--;
	}
	PG_END_TRY();
}

/* Run a command that wants nobody to be connected to a database. */
static void
run_with_hold(SlUtility *u, const char *name, SlDatabaseUse use)
{
	Oid			database = get_database_oid(name, true);

	if (!OidIsValid(database) || !may_use(database, use) ||
		(database == MyDatabaseId && use != SL_USE_COPY) ||
		SL_MUTANT("no-hold"))
	{
		run(u);
		return;
	}

	hold_and_run(u, database);
}

/*
 * DROP EXTENSION locks in another order than the worker does.  Only who may drop
 * it keeps the worker from its work.
 */
static void
run_drop_extension(SlUtility *u, DropStmt *drop)
{
	Oid			extension = get_extension_oid("streamlog", true);
	bool		is_ours = false;
	ListCell   *lc;

	foreach(lc, drop->objects)
		is_ours = is_ours || strcmp(strVal(lfirst(lc)), "streamlog") == 0;
	if (is_ours && OidIsValid(extension) &&
		pg_extension_ownercheck(extension, GetUserId()))
		hold_and_run(u, MyDatabaseId);
	else
		run(u);
}

static const char *
find_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0 && option->arg)
			return defGetString(option);
	}
	return NULL;
}

/* The OID may be given to another database, with CREATE DATABASE .. OID. */
static void
run_drop_database(SlUtility *u, const char *name)
{
	Oid			database = get_database_oid(name, true);

	run_with_hold(u, name, SL_USE_CHANGE);
	if (OidIsValid(database))
	{
		sl_partition_forget_database(database);
		sl_groups_forget_database(database);
	}
}

static void
run_database_command(SlUtility *u, Node *statement)
{
	databases_changed = true;
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
			{
				const char *source = find_option(((CreatedbStmt *) statement)->options,
												 "template");

				run_with_hold(u, source ? source : "template1", SL_USE_COPY);
				break;
			}
		case T_DropdbStmt:
			run_drop_database(u, ((DropdbStmt *) statement)->dbname);
			break;
		case T_AlterDatabaseStmt:
			if (find_option(((AlterDatabaseStmt *) statement)->options, "tablespace"))
				run_with_hold(u, ((AlterDatabaseStmt *) statement)->dbname,
							  SL_USE_CHANGE);
			else
				run(u);
			break;
		default:
			run_with_hold(u, castNode(RenameStmt, statement)->subname,
						  SL_USE_RENAME);
			break;
	}
}

/* What a topic has taken counts as copied: see executor.c. */
static void
run_copy(SlUtility *u, CopyStmt *copy)
{
	SlExecution execution;

	if (!copy->is_from)
	{
		run(u);
		return;
	}
	sl_executor_begin_copy(&execution);
	PG_TRY();
	{
		run(u);
	}
	PG_FINALLY();
	{
		sl_executor_end(&execution);
	}
	PG_END_TRY();
	sl_executor_note_done(&execution);
	if (u->qc && u->qc->commandTag == CMDTAG_COPY)
		u->qc->nprocessed += execution.produced;
}

/* DO and CALL: see client.c. */
static void
run_procedure(SlUtility *u)
{
	bool		outer = sl_client_begin_procedure(u->pstmt);

	PG_TRY();
	{
		run(u);
	}
	PG_FINALLY();
	{
		sl_client_end_procedure(outer);
	}
	PG_END_TRY();
}

/* A query that is explained takes nothing out of a log. */
static void
run_explain(SlUtility *u)
{
	int			outer = sl_executor_begin_explain();

	PG_TRY();
	{
		run(u);
	}
	PG_FINALLY();
	{
		sl_executor_end_explain(outer);
	}
	PG_END_TRY();
}

static void
run_transaction_command(SlUtility *u, TransactionStmt *statement)
{
	bool		was_aborted = IsAbortedTransactionBlockState();
	bool		was_ended = was_aborted && GetCurrentTransactionNestLevel() == 1;

	run(u);
	sl_client_transaction_command(statement, was_aborted, was_ended);
}

static void
run_reassign(SlUtility *u, ReassignOwnedStmt *statement)
{
	List	   *owned = sl_role_owned_topics(statement);

	run(u);
	sl_role_reassign(statement, owned);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	SlUtility	u = {pstmt, query, read_only_tree, context, params, env, dest, qc};
	Node	   *statement = pstmt->utilityStmt;

	sl_guard_check_command(statement);
	sl_client_note_command(pstmt);
	switch (nodeTag(statement))
	{
		case T_DoStmt:
		case T_CallStmt:
			run_procedure(&u);
			break;
		case T_ExplainStmt:
			run_explain(&u);
			break;
		case T_TransactionStmt:
			run_transaction_command(&u, (TransactionStmt *) statement);
			break;
		case T_DiscardStmt:
			run(&u);
			if (((DiscardStmt *) statement)->target == DISCARD_ALL)
				sl_leave_all();
			break;
		case T_AlterTableStmt:
			if (!sl_guard_enable_always(statement))
				run_in_file_order(&u);
			break;
		case T_VacuumStmt:
		case T_ClusterStmt:
			run_in_file_order(&u);
			break;
		case T_CopyStmt:
			run_copy(&u, (CopyStmt *) statement);
			break;
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
			run_database_command(&u, statement);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				run_database_command(&u, statement);
			else
				run(&u);
			if (((RenameStmt *) statement)->renameType == OBJECT_ROLE)
				sl_role_renamed((RenameStmt *) statement);
			break;
		case T_DropStmt:
			if (((DropStmt *) statement)->removeType == OBJECT_EXTENSION)
				run_drop_extension(&u, (DropStmt *) statement);
			else
				run(&u);
			break;
		case T_DropOwnedStmt:
			run(&u);
			sl_role_dropped_owned((DropOwnedStmt *) statement);
			break;
		case T_ReassignOwnedStmt:
			run_reassign(&u, (ReassignOwnedStmt *) statement);
			break;
		case T_GrantStmt:
			run(&u);
			sl_role_granted((GrantStmt *) statement);
			break;
		case T_CreateExtensionStmt:
			run(&u);
			/* also one that another extension needs */
			if (OidIsValid(sl_catalog_owner()))
				extension_created = true;
			break;
		default:
			run(&u);
			break;
	}
}

/* Nothing here may raise at COMMIT. */
static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (extension_created)
				sl_workers_wake();
			if (databases_changed)
				sl_workers_wake_launcher();

			/* ALTER DATABASE .. SET TABLESPACE commits before its end */
			if (holding_commands == 0)
				sl_workers_release_holds();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			holding_commands = 0;
			sl_workers_release_holds();
			break;
		default:
			return;
	}
	extension_created = false;
	if (holding_commands == 0)
		databases_changed = false;
}

void
sl_utility_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(xact_callback, NULL);
}
