/*
 * launcher.c
 *		The process that starts a worker in each database.
 *
 * The launcher is connected to no database: it reads the list of them and starts
 * a worker in each that allows connections and is no template.  It cannot know
 * which of them have the extension; a worker that finds none ends at once, and
 * is tried again a minute later, or as soon as a CREATE EXTENSION in that
 * database has committed.
 *
 * For each database it remembers when to start a worker next:
 *
 *		new in the list, or somebody asks	at once
 *		ended, no extension					after SL_POLL_INTERVAL
 *		ended, as it was asked to			at once, if nobody holds the database
 *		terminated							after SL_RESTART_DELAY
 *		failed before it was at work			after a time that doubles with each
 *											failure in a row, up to a minute
 *
 * PostgreSQL never restarts a worker by itself, so no slot of its is taken by one
 * that cannot run.  Where all slots (max_worker_processes, streamlog.max_workers)
 * are taken, the launcher says so and tries again.  Nobody who produces or reads
 * depends on a worker.
 *
 * The launcher dies at any error and is started again by the postmaster.  Workers
 * live on; what it must know of them is in shared memory.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shmem/workers.h"
#include "worker/launcher.h"

/* All in ms */
#define SL_POLL_INTERVAL		60000
#define SL_RESTART_DELAY		1000
#define SL_MAX_RESTART_DELAY	60000
#define SL_REGISTER_DELAY		10000
#define SL_HELD_DELAY			5000

/* How soon the postmaster restarts the launcher (s) */
#define SL_LAUNCHER_RESTART		2

/* What the launcher knows of a database */
typedef struct SlDatabase
{
	Oid			database;		/* hash key */
	bool		listed;			/* by the last look at pg_database */
	bool		running;		/* has a slot */
	int			failures;		/* in a row */
	TimestampTz next_start;		/* if not running */

	/* the process that has not attached yet */
	BackgroundWorkerHandle *handle;
	int			slot;
	uint32		generation;
} SlDatabase;

static HTAB *databases = NULL;

/* The log is told once that there are too few slots. */
static bool told_full = false;

void
sl_launcher_register(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade || sl_workers_max() == 0)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = SL_LAUNCHER_RESTART;
	strlcpy(worker.bgw_library_name, "streamlog", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "sl_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "streamlog launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "streamlog launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static SlDatabase *
enter_database(Oid oid)
{
	bool		found;
	SlDatabase *database = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
		memset((char *) database + sizeof(Oid), 0,
			   sizeof(SlDatabase) - sizeof(Oid));
	return database;
}

static bool
wants_worker(Form_pg_database row)
{
	/* a negative limit other than -1 marks one whose DROP was interrupted */
	return row->datallowconn && !row->datistemplate && row->datconnlimit >= -1;
}

/* Read pg_database. */
static void
list_databases(void)
{
	HASH_SEQ_STATUS status;
	SlDatabase *database;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		database->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		if (wants_worker(row))
			enter_database(row->oid)->listed = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		if (database->listed)
			continue;
		if (database->running)
			sl_workers_stop(database->database);
		else
			hash_search(databases, &database->database, HASH_REMOVE, NULL);
	}
}

static void
forget_handle(SlDatabase *database)
{
	if (database->handle)
		pfree(database->handle);
	database->handle = NULL;
}

static void
note_failure(SlDatabase *database, TimestampTz now)
{
	int			delay = SL_RESTART_DELAY;

	for (int i = 0; i < database->failures && delay < SL_MAX_RESTART_DELAY; i++)
		delay *= 2;
	database->failures++;
	database->next_start = TimestampTzPlusMilliseconds(now, Min(delay, SL_MAX_RESTART_DELAY));
}

/* Take note of the workers that have ended. */
static void
reap_workers(TimestampTz now)
{
	SlWorkerEnd end;

	while (sl_workers_reap(&end))
	{
		SlDatabase *database = enter_database(end.database);

		told_full = false;
		database->running = false;
		forget_handle(database);
		if (end.outcome == SL_WORKER_FAILED)
		{
			note_failure(database, now);
			continue;
		}
		database->failures = 0;
		if (end.outcome == SL_WORKER_TERMINATED)
			database->next_start = TimestampTzPlusMilliseconds(now, SL_RESTART_DELAY);
		else if (end.outcome == SL_WORKER_STOPPED || end.woken)
			database->next_start = now;
		else
			database->next_start = TimestampTzPlusMilliseconds(now, SL_POLL_INTERVAL);
	}
}

/* Find those who have ended, or never were, before they attached. */
static void
check_starting(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	SlDatabase *database;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
	{
		pid_t		pid;

		if (!database->handle ||
			GetBackgroundWorkerPid(database->handle, &pid) != BGWH_STOPPED)
			continue;

		/* one that had attached is reaped */
		forget_handle(database);
		if (sl_workers_start_failed(database->slot, database->generation))
		{
			database->running = false;
			note_failure(database, now);
		}
	}
}

static void
start_soon(SlDatabase *database, TimestampTz now)
{
	/* but one that fails again and again has to wait all the same */
	if (!database->running && database->failures == 0)
		database->next_start = Min(database->next_start, now);
}

static void
take_requests(TimestampTz now)
{
	Oid			requests[SL_MAX_REQUESTS];
	bool		lost;
	int			n = sl_workers_take_requests(requests, &lost);
	SlDatabase *database;

	for (int i = 0; i < n; i++)
	{
		database = hash_search(databases, &requests[i], HASH_FIND, NULL);
		if (database)
			start_soon(database, now);
	}
	if (lost)
	{
		HASH_SEQ_STATUS status;

		hash_seq_init(&status, databases);
		while ((database = hash_seq_search(&status)) != NULL)
			start_soon(database, now);
	}
}

static bool
register_worker(SlDatabase *database)
{
	BackgroundWorker worker;
	SlWorkerArgument argument = {database->slot, database->generation};
	MemoryContext old;
	bool		registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "streamlog", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "sl_database_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "streamlog worker for database %u",
			 database->database);
	strlcpy(worker.bgw_type, "streamlog worker", BGW_MAXLEN);
	StaticAssertStmt(sizeof(argument) <= BGW_EXTRALEN, "argument too large");
	memcpy(worker.bgw_extra, &argument, sizeof(argument));

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &database->handle);
	MemoryContextSwitchTo(old);
	return registered;
}

static void
tell_full(const char *setting)
{
	if (!told_full)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("streamlog cannot start a worker in every database"),
				 errdetail("Producing and reading go on without one, but segments are not rolled or removed."),
				 errhint("Raise \"%s\" and restart the server.", setting)));
	told_full = true;
}

/* Start a worker in a database; false if there is no slot for any now. */
static bool
start_worker(SlDatabase *database, TimestampTz now)
{
	switch (sl_workers_start(database->database, &database->slot,
							 &database->generation))
	{
		case SL_START_RUNNING:
			/* since before this launcher was started */
			database->running = true;
			return true;
		case SL_START_HELD:
			/* we are told when it no longer is */
			database->next_start = TimestampTzPlusMilliseconds(now, SL_HELD_DELAY);
			return true;
		case SL_START_FULL:
			tell_full("streamlog.max_workers");
			return false;
		case SL_START_OK:
			break;
	}

	if (!register_worker(database))
	{
		(void) sl_workers_start_failed(database->slot, database->generation);
		database->next_start = TimestampTzPlusMilliseconds(now, SL_REGISTER_DELAY);
		tell_full("max_worker_processes");
		return true;
	}
	database->running = true;
	return true;
}

/* The database whose turn it is, NULL if there is none that wants a worker */
static SlDatabase *
next_database(void)
{
	HASH_SEQ_STATUS status;
	SlDatabase *database;
	SlDatabase *next = NULL;

	hash_seq_init(&status, databases);
	while ((database = hash_seq_search(&status)) != NULL)
		if (database->listed && !database->running &&
			(next == NULL || database->next_start < next->next_start))
			next = database;
	return next;
}

/* Start whom it is time for; returns the time until there is something to do. */
static long
start_workers(TimestampTz now)
{
	SlDatabase *database;

	while ((database = next_database()) != NULL &&
		   database->next_start <= now)
		if (!start_worker(database, now))
			return SL_POLL_INTERVAL;	/* whoever ends wakes us */

	if (!database)
		return SL_POLL_INTERVAL;
	return Min(TimestampDifferenceMilliseconds(now, database->next_start) + 1,
			   SL_POLL_INTERVAL);
}

static void
make_databases(void)
{
	HASHCTL		info;

	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(SlDatabase);
	info.hcxt = TopMemoryContext;
	databases = hash_create("streamlog databases", 64, &info,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
sl_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	make_databases();
	sl_workers_attach_launcher();
	ereport(DEBUG1, (errmsg_internal("streamlog launcher started")));

	for (;;)
	{
		TimestampTz now;
		long		timeout;

		/* Whoever sets the latch after this is seen by the next turn. */
		ResetLatch(MyLatch);
		QueryCancelPending = false; /* there is nothing to cancel */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		list_databases();
		now = GetCurrentTimestamp();
		check_starting(now);
		reap_workers(now);
		take_requests(now);
		timeout = start_workers(now);
		pgstat_report_activity(STATE_IDLE, NULL);

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
	}
}
