/*
 * workers.h
 *		What the launcher, the database workers and all other backends share:
 *		who runs, and whom to wake.
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

extern void sl_workers_define_gucs(void);
extern Size sl_workers_shmem_size(void);
extern void sl_workers_shmem_init(void);

/*
 * Wake the worker of this database, if it runs; else the launcher, that it may
 * start one.  Takes a spinlock or LWLock only; never raises; may be called in
 * a transaction callback.
 */
extern void sl_workers_wake(void);

/* All running ones, in palloc'd memory; n receives their number. */
extern SlWorkerInfo *sl_workers_list(int *n);

#endif							/* SL_WORKERS_H */
