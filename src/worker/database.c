/*
 * database.c
 *		The worker of a database.
 *
 * The worker looks once in streamlog.worker_naptime at what there is to do, and
 * at once when a producer wakes it.  What is done is in log/ and group/; each job says
 * whether there is more of it, and as long as one does, all have another turn.
 *
 * Notifications are sent between the looks, too: who asks for one wakes the worker for
 * that alone, for to look at everything as often would cost too much.
 *
 * A job runs transactions of its own, short ones, and holds nothing between
 * them: no lock, no snapshot.  An ERROR ends the job's turn and not the worker:
 * it is logged, the same one of the same job once a minute at most, and what
 * remains to be done is found again at the next look.
 *
 * The worker is the bootstrap superuser, and what it does must not depend on what
 * anybody may have set for the database: the settings that matter are its own,
 * from before its first query on.  DDL runs as the owner of the extension, see
 * catalog.c, and no user's code runs, event triggers included.
 *
 * Locks: where a job can do without it does not wait for a lock; where it waits,
 * a deadlock is to be noticed here, before any user's session does.
 *
 * It ends when the extension is not in its database (any more), and when it is
 * told to because the database is to be dropped, copied or renamed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "catalog/catalog.h"
#include "group/expire.h"
#include "log/drop.h"
#include "log/expire.h"
#include "log/notify.h"
#include "log/roll.h"
#include "log/timeindex.h"
#include "shmem/workers.h"
#include "worker/database.h"
#include "worker/launcher.h"

/* What a turn of a job may take (ms) */
#define SL_JOB_TIMEOUT		60000

/* How often the same error is logged (ms) */
#define SL_ERROR_INTERVAL	60000

/* The least time between two looks, and between a failure and the next (ms) */
#define SL_MIN_PAUSE		10
#define SL_ERROR_PAUSE		500

typedef struct SlJob
{
	const char *activity;		/* as pg_stat_activity shows it */
	bool		(*run) (void);	/* true: there is more to do at once */
} SlJob;

static bool look_for_extension(void);

/* The first one tells whether there is anything to do for the others. */
#define SL_NOTIFY_JOB		1
static const SlJob jobs[] = {
	{"streamlog: looking for the extension", look_for_extension},
	{"streamlog: sending notifications", sl_notify_due},
	{"streamlog: rolling segments", sl_roll_due},
	{"streamlog: making first segments", sl_roll_first_segments},
	{"streamlog: removing deleted segments", sl_expire_due},
	{"streamlog: removing dropped topics", sl_drop_next},
	{"streamlog: indexing times", sl_timeindex_advance},
	{"streamlog: removing consumer groups", sl_group_expire_due},
};

/* The last error of each job that was logged */
typedef struct SlJobError
{
	int			sqlstate;
	TimestampTz logged;
} SlJobError;

static SlJobError errors[lengthof(jobs)];

static bool extension_is_here = true;

/* What a database's or a role's settings have no say in */
static const char *const settings[][2] = {
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "replica"},	/* no event triggers */
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"default_tablespace", ""},
	{"temp_tablespaces", ""},
	{"default_table_access_method", "heap"},
	{"synchronous_commit", "off"},	/* nobody waits for what we do */
	{"lock_timeout", "5s"},
	{"deadlock_timeout", "20ms"},
	{"log_lock_waits", "off"},
	{"statement_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},	/* from 17 on */
	{"jit", "off"},
};

static void
harden_settings(void)
{
	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1],
							PGC_SUSET, PGC_S_OVERRIDE);
}

static bool
look_for_extension(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	extension_is_here = OidIsValid(sl_catalog_owner());
	CommitTransactionCommand();
	return false;
}

/* Log an error that was caught, unless that was done lately. */
static void
report_error(ErrorData *error, SlJobError *last)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old = CurrentMemoryContext;

	if (last->sqlstate == error->sqlerrcode &&
		!TimestampDifferenceExceeds(last->logged, now, SL_ERROR_INTERVAL))
		return;
	last->sqlstate = error->sqlerrcode;
	last->logged = now;

	/* as what it is, an ERROR; that can only be thrown */
	PG_TRY();
	{
		ReThrowError(error);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

/* Give a job its turn; the error, if it failed, is the caller's to free. */
static ErrorData *
try_job(int job, bool *more)
{
	ErrorData  *volatile error = NULL;

	pgstat_report_activity(STATE_RUNNING, jobs[job].activity);
	PG_TRY();
	{
		enable_timeout_after(STATEMENT_TIMEOUT, SL_JOB_TIMEOUT);
		if (jobs[job].run())
			*more = true;
		disable_timeout(STATEMENT_TIMEOUT, false);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		MemoryContextSwitchTo(TopMemoryContext);
		error_context_stack = NULL;
		error = CopyErrorData();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	/* a cancel that came too late has nothing to cancel */
	QueryCancelPending = false;
	return error;
}

/*
 * Give a job its turn; false if it failed.  A job that meets a DROP EXTENSION
 * may fail in any way; that is no news for the log.
 */
static bool
run_job(int job, bool *more)
{
	ErrorData  *error = try_job(job, more);

	if (!error)
		return true;
	if (job == 0 || !run_job(0, more) || extension_is_here)
		report_error(error, &errors[job]);
	FreeErrorData(error);
	return false;
}

/* All that there is to do now; false if something failed. */
static bool
run_jobs(void)
{
	bool		ok = true;
	bool		more = true;

	while (ok && more)
	{
		if (!sl_workers_begin_tick())
		{
			sl_workers_set_outcome(SL_WORKER_STOPPED);
			proc_exit(0);
		}
		more = false;
		ok = run_job(0, &more);
		if (!extension_is_here)
		{
			sl_workers_set_outcome(SL_WORKER_NO_EXTENSION);
			proc_exit(0);
		}
		sl_workers_set_outcome(SL_WORKER_TERMINATED);
		for (int i = 1; i < lengthof(jobs) && extension_is_here; i++)
			ok = run_job(i, &more) && ok;
		CHECK_FOR_INTERRUPTS();
	}
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return ok;
}

/*
 * Send the notifications that are due, and return how long to sleep then, at most
 * timeout (ms).
 */
static long
send_notifications(long timeout)
{
	static int64 next = 0;
	long		wait;
	bool		more = false;

	wait = (long) (next - sl_clock_ms());
	if (wait > 0)
		return Min(timeout, wait);
	wait = sl_notify_wait();
	if (wait == 0)
	{
		/* what fails, or is locked, is not to keep us busy */
		(void) run_job(SL_NOTIFY_JOB, &more);
		next = sl_clock_ms() + SL_MIN_PAUSE;
		wait = SL_MIN_PAUSE;
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	return wait < 0 ? timeout : Min(timeout, wait);
}

/*
 * Sleep until somebody wakes us or the timeout is over; not before pause is
 * over, whoever wakes us, unless it is to end us.
 */
static void
nap(long pause, long timeout)
{
	int64		start = sl_clock_ms();

	/* our latch may have been reset meanwhile, in a wait for a lock */
	if (sl_workers_is_woken())
		timeout = pause;

	while (extension_is_here)
	{
		long		slept = (long) (sl_clock_ms() - start);

		if (slept >= timeout)
			return;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 send_notifications(timeout - slept), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();

		/* if we are woken too early: the rest of the pause, and no more */
		if (sl_workers_is_woken() || ConfigReloadPending)
			timeout = pause;
	}
}

void
sl_database_main(Datum arg)
{
	SlWorkerArgument argument;
	Oid			database;

	memcpy(&argument, MyBgworkerEntry->bgw_extra, sizeof(argument));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* from here on whoever holds the database waits for us to be gone */
	if (!sl_workers_attach(argument.slot, argument.generation, &database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	harden_settings();

	for (;;)
	{
		bool		ok = run_jobs();

		nap(ok ? SL_MIN_PAUSE : SL_ERROR_PAUSE,
			ok ? sl_workers_naptime() : Max(sl_workers_naptime(), SL_ERROR_PAUSE));
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
