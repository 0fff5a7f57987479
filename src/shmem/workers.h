/*
 * workers.h
 *		What the launcher, the database workers and all other backends share:
 *		who runs, whom to wake, and which database is to be left alone.
 */
#ifndef SL_WORKERS_H
#define SL_WORKERS_H

#include "datatype/timestamp.h"

typedef struct SlWorkerInfo
{
	int			pid;
	Oid			database;		/* InvalidOid: the launcher */
	TimestampTz started;
	TimestampTz last_run;		/* 0: not yet */
} SlWorkerInfo;

/* A partition that somebody wants the worker to look at, and for which job */
typedef enum SlWorkKind
{
	SL_WORK_ROLL,
	SL_WORK_EXPIRE
} SlWorkKind;

#define SL_WORK_KINDS		2

typedef struct SlWorkItem
{
	Oid			relation;		/* the topic's table */
	int32		partition;
} SlWorkItem;

/* The most of them of each kind that are remembered for a worker */
#define SL_MAX_WORK_ITEMS	32

/* Why a worker has ended */
typedef enum SlWorkerOutcome
{
	SL_WORKER_FAILED,			/* before it was at work */
	SL_WORKER_TERMINATED,		/* later */
	SL_WORKER_NO_EXTENSION,		/* nothing to do in its database */
	SL_WORKER_STOPPED			/* it was asked to */
} SlWorkerOutcome;

typedef struct SlWorkerEnd
{
	Oid			database;
	SlWorkerOutcome outcome;
	bool		woken;			/* and has not looked since */
} SlWorkerEnd;

typedef enum SlWorkerStart
{
	SL_START_OK,				/* the slot is ours: register the process */
	SL_START_RUNNING,			/* there is one already */
	SL_START_HELD,				/* somebody holds the database */
	SL_START_FULL				/* no slot is free */
} SlWorkerStart;

extern void sl_workers_define_gucs(void);
extern Size sl_workers_shmem_size(void);
extern void sl_workers_shmem_init(void);

/* The settings streamlog.max_workers and streamlog.worker_naptime (ms) */
extern int	sl_workers_max(void);
extern int	sl_workers_naptime(void);

/*
 * Wake the worker of this database, if it runs; else the launcher, that it may
 * start one.  wake_for() says in addition which partition is to be looked at;
 * wake_launcher() tells it to look at the list of databases; wake_for_notices() has
 * the worker, if it runs, look at the notices and nothing else.  All take one LWLock
 * only, never raise and may be called in a transaction callback.
 */
extern void sl_workers_wake(void);
extern void sl_workers_wake_for(SlWorkKind kind, Oid relation, int32 partition);
extern void sl_workers_wake_launcher(void);
extern void sl_workers_wake_for_notices(void);

/* All running ones, in palloc'd memory; n receives their number. */
extern SlWorkerInfo *sl_workers_list(int *n);

/*
 * Keep workers out of a database until release_holds() or the end of this
 * process, and wait for the one that is there to go, interruptibly and not
 * forever: false if it is still there.  release_holds() never raises.
 */
extern bool sl_workers_hold(Oid database);
extern void sl_workers_release_holds(void);

/*
 * For the launcher.  start() takes a slot for a database; the process to be
 * registered attaches to it by slot and generation.  start_failed() gives it
 * back if that process will never come, and says whether it was so.  reap()
 * frees the slot of one worker that has ended; false if there is none.
 * take_requests() copies the databases that want a worker; *lost if there were
 * more.
 */
extern void sl_workers_attach_launcher(void);
extern SlWorkerStart sl_workers_start(Oid database, int *slot,
									  uint32 *generation);
extern bool sl_workers_start_failed(int slot, uint32 generation);
extern bool sl_workers_reap(SlWorkerEnd *end);
#define SL_MAX_REQUESTS		32
extern int	sl_workers_take_requests(Oid *databases, bool *lost);
extern void sl_workers_stop(Oid database);

/*
 * For a worker.  attach() is false if it is not wanted any more.  begin_tick()
 * is false if it is to end; is_woken() says whether somebody has woken it since,
 * or wants it to end: then a job that takes long had better pause.
 * take_items() copies at most SL_MAX_WORK_ITEMS of a kind; *lost if there were
 * more.
 */
extern bool sl_workers_attach(int slot, uint32 generation, Oid *database);
extern bool sl_workers_begin_tick(void);
extern bool sl_workers_is_woken(void);
extern int	sl_workers_take_items(SlWorkKind kind, SlWorkItem *items,
								  bool *lost);
extern void sl_workers_set_outcome(SlWorkerOutcome outcome);

#endif							/* SL_WORKERS_H */
