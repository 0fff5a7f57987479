/*
 * workers.c
 *		What the launcher, the database workers and all other backends share.
 *
 * There is one launcher, and at most one worker for each database.  A worker
 * has a slot in an array; the launcher alone takes slots and gives them back:
 *
 *		FREE --start--> STARTING --attach--> RUNNING --exit--> ENDED
 *		  ^                |                                     |
 *		  +--start_failed--+------------------reap---------------+
 *
 * A slot's generation changes whenever it is taken, so a process that comes
 * late, after its slot was given up, sees that it is not wanted.  A launcher
 * that starts anew gives up what its predecessor left STARTING or ENDED; what is
 * RUNNING runs on.
 *
 * Whoever has work for a worker sets its latch, and woken, which stays set
 * until the worker looks: so a request is not lost with a worker that is about
 * to end.  Where no worker runs, the database is put on the launcher's list.
 *
 * DROP DATABASE and its like cannot proceed while a worker is connected.  The
 * session that runs one holds the database: from then on no worker attaches to
 * it, and the one that runs ends at its next tick, or by SIGTERM if that takes
 * too long.  A worker attaches before it connects, and its exit is noted after
 * it has left PostgreSQL's list of processes: so when a hold has waited for it,
 * no worker is connected, and none can connect.  A hold is its session's and
 * ends with it.
 *
 * Locking: one LWLock guards everything, shared to read, exclusive to change;
 * nothing is waited for under it.  Latches are set after it is released (they
 * belong to the entries of processes, which are never freed: a process that
 * meanwhile has taken over such an entry is woken in vain).  The one exception
 * is kill(), which must not meet a process that has gone.
 *
 * Crash safety: all of it is lost and made anew with the shared memory.
 *
 * Known limits: with more than SL_MAX_HOLDS databases held at once, the further
 * ones are not; their command may have to be tried again.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/waitpoint.h"
#include "shmem/workers.h"

#define SL_DEFAULT_WORKERS	8
#define SL_MAX_WORKERS		1024
#define SL_MIN_NAPTIME		10	/* ms */
#define SL_DEFAULT_NAPTIME	1000
#define SL_MAX_NAPTIME		60000

#define SL_MAX_HOLDS		64

/* How long a worker may take to end by itself, and until a hold gives up (ms) */
#define SL_STOP_PATIENCE	1000
#define SL_STOP_TIMEOUT		10000
#define SL_STOP_LOOK		100

typedef enum SlWorkerStage
{
	SL_WORKER_FREE,
	SL_WORKER_STARTING,
	SL_WORKER_RUNNING,
	SL_WORKER_ENDED
} SlWorkerStage;

typedef struct SlWorkList
{
	int			n;
	bool		lost;			/* there were more */
	SlWorkItem	items[SL_MAX_WORK_ITEMS];
} SlWorkList;

typedef struct SlWorkerSlot
{
	SlWorkerStage stage;
	uint32		generation;
	Oid			database;
	PGPROC	   *proc;			/* if RUNNING */
	int			pid;
	TimestampTz started;
	TimestampTz last_run;
	SlWorkerOutcome outcome;
	bool		stop;			/* is to end */
	bool		woken;			/* and has not looked since */
	SlWorkList	work[SL_WORK_KINDS];
} SlWorkerSlot;

typedef struct SlHold
{
	Oid			database;
	int			pid;			/* of the session, 0: free */
} SlHold;

typedef struct SlWorkerTable
{
	int			tranche;
	LWLock		lock;

	/* the launcher */
	PGPROC	   *launcher;
	int			launcher_pid;
	TimestampTz launcher_started;
	TimestampTz launcher_last_run;
	int			nrequests;
	bool		requests_lost;
	Oid			requests[SL_MAX_REQUESTS];

	/* those who keep workers out of databases, and what they wait on */
	SlHold		holds[SL_MAX_HOLDS];
	ConditionVariable ended_cv; /* broadcast when a worker ends */

	SlWorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} SlWorkerTable;

/* Settings */
static int	max_workers = SL_DEFAULT_WORKERS;
static int	worker_naptime = SL_DEFAULT_NAPTIME;

static SlWorkerTable *table = NULL;

/* This process's slot, if it is a worker; does it hold databases? */
static SlWorkerSlot *MySlWorker = NULL;
static bool holding = false;
static bool hold_exit_registered = false;

void
sl_workers_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_workers",
							"Databases that can have a worker at the same time.",
							"0 starts none: then no segment is rolled or removed.",
							&max_workers, SL_DEFAULT_WORKERS,
							0, SL_MAX_WORKERS, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("streamlog.worker_naptime",
							"Time between two looks of a worker at what there is to do.",
							"Producers wake it for what is urgent.",
							&worker_naptime, SL_DEFAULT_NAPTIME,
							SL_MIN_NAPTIME, SL_MAX_NAPTIME, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
}

int
sl_workers_max(void)
{
	return max_workers;
}

int
sl_workers_naptime(void)
{
	return worker_naptime;
}

Size
sl_workers_shmem_size(void)
{
	return add_size(offsetof(SlWorkerTable, slots),
					mul_size(max_workers, sizeof(SlWorkerSlot)));
}

void
sl_workers_shmem_init(void)
{
	bool		found;

	table = ShmemInitStruct("streamlog workers", sl_workers_shmem_size(),
							&found);
	if (!found)
	{
		memset(table, 0, sl_workers_shmem_size());
		table->tranche = LWLockNewTrancheId();
		LWLockInitialize(&table->lock, table->tranche);
		ConditionVariableInit(&table->ended_cv);
	}
	LWLockRegisterTranche(table->tranche, "StreamlogWorkers");
}

/* The slot of a database that has a worker, or is about to; lock held */
static SlWorkerSlot *
find_slot(Oid database)
{
	for (int i = 0; i < max_workers; i++)
	{
		SlWorkerSlot *slot = &table->slots[i];

		if (slot->database == database &&
			(slot->stage == SL_WORKER_STARTING ||
			 slot->stage == SL_WORKER_RUNNING))
			return slot;
	}
	return NULL;
}

static bool
is_held(Oid database)
{
	for (int i = 0; i < SL_MAX_HOLDS; i++)
		if (table->holds[i].pid != 0 && table->holds[i].database == database)
			return true;
	return false;
}

static Latch *
latch_of(PGPROC *proc)
{
	return proc ? &proc->procLatch : NULL;
}

/* Put a database on the launcher's list, if it is not there; lock held */
static void
request(Oid database)
{
	for (int i = 0; i < table->nrequests; i++)
		if (table->requests[i] == database)
			return;
	if (table->nrequests < SL_MAX_REQUESTS)
		table->requests[table->nrequests++] = database;
	else
		table->requests_lost = true;
}

/* Note that a database has work, and return the latch to be set; lock held */
static Latch *
note_work(SlWorkerSlot *slot)
{
	if (slot)
	{
		slot->woken = true;
		return slot->stage == SL_WORKER_RUNNING ? latch_of(slot->proc) : NULL;
	}
	request(MyDatabaseId);
	return latch_of(table->launcher);
}

/* Tell the worker of a database to end; the latch to be set, lock held */
static Latch *
note_stop(Oid database)
{
	SlWorkerSlot *slot = find_slot(database);

	if (slot == NULL)
		return NULL;
	slot->stop = true;
	return slot->stage == SL_WORKER_RUNNING ? latch_of(slot->proc) : NULL;
}

static bool
has_item(const SlWorkList *list, Oid relation, int32 partition)
{
	for (int i = 0; i < list->n; i++)
		if (list->items[i].relation == relation &&
			list->items[i].partition == partition)
			return true;
	return list->lost;
}

void
sl_workers_wake(void)
{
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	latch = note_work(find_slot(MyDatabaseId));
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

void
sl_workers_wake_for(SlWorkKind kind, Oid relation, int32 partition)
{
	SlWorkerSlot *slot;
	Latch	   *latch;
	bool		known;

	/* Producers come here with every append until the segment is rolled. */
	LWLockAcquire(&table->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId);
	known = slot && slot->woken &&
		has_item(&slot->work[kind], relation, partition);
	LWLockRelease(&table->lock);
	if (known)
		return;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	slot = find_slot(MyDatabaseId);
	if (slot && !has_item(&slot->work[kind], relation, partition))
	{
		SlWorkList *list = &slot->work[kind];

		if (list->n < SL_MAX_WORK_ITEMS)
		{
			list->items[list->n].relation = relation;
			list->items[list->n++].partition = partition;
		}
		else
			list->lost = true;
	}
	latch = note_work(slot);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

void
sl_workers_wake_launcher(void)
{
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_SHARED);
	latch = latch_of(table->launcher);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

void
sl_workers_wake_for_notices(void)
{
	SlWorkerSlot *slot;
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId);
	latch = slot ? latch_of(slot->proc) : NULL;
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

SlWorkerInfo *
sl_workers_list(int *n)
{
	SlWorkerInfo *list = palloc_array(SlWorkerInfo, max_workers + 1);

	*n = 0;
	LWLockAcquire(&table->lock, LW_SHARED);
	if (table->launcher_pid != 0)
	{
		list[*n].pid = table->launcher_pid;
		list[*n].database = InvalidOid;
		list[*n].started = table->launcher_started;
		list[(*n)++].last_run = table->launcher_last_run;
	}
	for (int i = 0; i < max_workers; i++)
	{
		const SlWorkerSlot *slot = &table->slots[i];

		if (slot->stage != SL_WORKER_RUNNING)
			continue;
		list[*n].pid = slot->pid;
		list[*n].database = slot->database;
		list[*n].started = slot->started;
		list[(*n)++].last_run = slot->last_run;
	}
	LWLockRelease(&table->lock);
	return list;
}

static void
hold_exit(int code, Datum arg)
{
	sl_workers_release_holds();
}

/* Note the hold and tell the worker, if there is one. */
static void
begin_hold(Oid database)
{
	Latch	   *latch;

	if (!hold_exit_registered)
		on_shmem_exit(hold_exit, (Datum) 0);
	hold_exit_registered = true;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SL_MAX_HOLDS; i++)
		if (table->holds[i].pid == 0)
		{
			table->holds[i].pid = MyProcPid;
			table->holds[i].database = database;
			holding = true;
			break;
		}
	latch = note_stop(database);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

/* Does the worker of a database still run?  Ends it if it is told to. */
static bool
still_runs(Oid database, bool terminate)
{
	SlWorkerSlot *slot;
	bool		runs;

	LWLockAcquire(&table->lock, LW_SHARED);
	slot = find_slot(database);
	runs = slot && slot->stage == SL_WORKER_RUNNING;
	if (runs && terminate)
		(void) kill(slot->pid, SIGTERM);
	LWLockRelease(&table->lock);
	return runs;
}

bool
sl_workers_hold(Oid database)
{
	TimestampTz start = GetCurrentTimestamp();
	bool		runs;
	bool		terminated = false;

	begin_hold(database);

	/* one that is STARTING will see the hold when it attaches */
	ConditionVariablePrepareToSleep(&table->ended_cv);
	while ((runs = still_runs(database, false)) == true)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (TimestampDifferenceExceeds(start, now, SL_STOP_TIMEOUT))
			break;
		if (!terminated &&
			TimestampDifferenceExceeds(start, now, SL_STOP_PATIENCE))
		{
			(void) still_runs(database, true);
			terminated = true;
		}
		ConditionVariableTimedSleep(&table->ended_cv, SL_STOP_LOOK,
									PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return !runs;
}

void
sl_workers_release_holds(void)
{
	Latch	   *latch;

	if (!holding)
		return;
	holding = false;
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SL_MAX_HOLDS; i++)
		if (table->holds[i].pid == MyProcPid)
		{
			table->holds[i].pid = 0;
			request(table->holds[i].database);
		}
	latch = latch_of(table->launcher);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	table->launcher = NULL;
	table->launcher_pid = 0;
	LWLockRelease(&table->lock);
}

void
sl_workers_attach_launcher(void)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	table->launcher = MyProc;
	table->launcher_pid = MyProcPid;
	table->launcher_started = GetCurrentTimestamp();
	table->launcher_last_run = 0;
	for (int i = 0; i < max_workers; i++)
		if (table->slots[i].stage != SL_WORKER_RUNNING)
			table->slots[i].stage = SL_WORKER_FREE;
	LWLockRelease(&table->lock);
	on_shmem_exit(launcher_exit, (Datum) 0);
}

SlWorkerStart
sl_workers_start(Oid database, int *slot_number, uint32 *generation)
{
	SlWorkerStart result = SL_START_FULL;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	if (find_slot(database))
		result = SL_START_RUNNING;
	else if (is_held(database))
		result = SL_START_HELD;
	else
		for (int i = 0; i < max_workers; i++)
		{
			SlWorkerSlot *slot = &table->slots[i];
			uint32		next = slot->generation + 1;

			if (slot->stage != SL_WORKER_FREE)
				continue;
			memset(slot, 0, sizeof(SlWorkerSlot));
			slot->stage = SL_WORKER_STARTING;
			slot->generation = next;
			slot->database = database;
			slot->started = GetCurrentTimestamp();
			slot->outcome = SL_WORKER_FAILED;
			*slot_number = i;
			*generation = next;
			result = SL_START_OK;
			break;
		}
	LWLockRelease(&table->lock);
	return result;
}

bool
sl_workers_start_failed(int slot_number, uint32 generation)
{
	SlWorkerSlot *slot = &table->slots[slot_number];
	bool		failed;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	failed = slot->stage == SL_WORKER_STARTING &&
		slot->generation == generation;
	if (failed)
		slot->stage = SL_WORKER_FREE;
	LWLockRelease(&table->lock);
	return failed;
}

bool
sl_workers_reap(SlWorkerEnd *end)
{
	bool		found = false;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < max_workers && !found; i++)
	{
		SlWorkerSlot *slot = &table->slots[i];

		if (slot->stage != SL_WORKER_ENDED)
			continue;
		found = true;
		end->database = slot->database;
		end->outcome = slot->outcome;
		end->woken = slot->woken;
		slot->stage = SL_WORKER_FREE;
	}
	LWLockRelease(&table->lock);
	return found;
}

int
sl_workers_take_requests(Oid *databases, bool *lost)
{
	int			n;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	n = table->nrequests;
	memcpy(databases, table->requests, n * sizeof(Oid));
	*lost = table->requests_lost;
	table->nrequests = 0;
	table->requests_lost = false;
	table->launcher_last_run = GetCurrentTimestamp();
	LWLockRelease(&table->lock);
	return n;
}

void
sl_workers_stop(Oid database)
{
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	latch = note_stop(database);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

/*
 * Registered before the worker connects, this runs after it has left
 * PostgreSQL's list of processes.
 */
static void
worker_exit(int code, Datum arg)
{
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	MySlWorker->stage = SL_WORKER_ENDED;
	MySlWorker->proc = NULL;
	MySlWorker->pid = 0;
	latch = latch_of(table->launcher);
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
	ConditionVariableBroadcast(&table->ended_cv);
}

bool
sl_workers_attach(int slot_number, uint32 generation, Oid *database)
{
	SlWorkerSlot *slot;
	bool		wanted;

	if (slot_number < 0 || slot_number >= max_workers)
		return false;
	slot = &table->slots[slot_number];

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	wanted = slot->stage == SL_WORKER_STARTING &&
		slot->generation == generation;
	if (wanted)
	{
		*database = slot->database;
		slot->started = GetCurrentTimestamp();
		if (slot->stop || (is_held(slot->database) && !SL_MUTANT("ignore-holds")))
		{
			slot->outcome = SL_WORKER_STOPPED;
			slot->stage = SL_WORKER_ENDED;
			wanted = false;
		}
		else
		{
			slot->stage = SL_WORKER_RUNNING;
			slot->proc = MyProc;
			slot->pid = MyProcPid;
			MySlWorker = slot;
		}
	}
	LWLockRelease(&table->lock);
	if (wanted)
		on_shmem_exit(worker_exit, (Datum) 0);
	return wanted;
}

bool
sl_workers_begin_tick(void)
{
	bool		stop;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	stop = MySlWorker->stop;
	MySlWorker->woken = false;
	MySlWorker->last_run = GetCurrentTimestamp();
	LWLockRelease(&table->lock);
	return !stop;
}

bool
sl_workers_is_woken(void)
{
	bool		woken;

	LWLockAcquire(&table->lock, LW_SHARED);
	woken = MySlWorker->woken || MySlWorker->stop;
	LWLockRelease(&table->lock);
	return woken;
}

int
sl_workers_take_items(SlWorkKind kind, SlWorkItem *items, bool *lost)
{
	SlWorkList *list = &MySlWorker->work[kind];
	int			n;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	n = list->n;
	memcpy(items, list->items, n * sizeof(SlWorkItem));
	*lost = list->lost;
	list->n = 0;
	list->lost = false;
	LWLockRelease(&table->lock);
	return n;
}

void
sl_workers_set_outcome(SlWorkerOutcome outcome)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	MySlWorker->outcome = outcome;
	LWLockRelease(&table->lock);
}
