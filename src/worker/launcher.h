/*
 * launcher.h
 *		The process that starts a worker in each database.
 */
#ifndef SL_LAUNCHER_H
#define SL_LAUNCHER_H

#include "postmaster/bgworker.h"

/* Called while the library is loaded by the postmaster */
extern void sl_launcher_register(void);

/* What the launcher tells a worker, in bgw_extra */
typedef struct SlWorkerArgument
{
	int			slot;
	uint32		generation;
} SlWorkerArgument;

extern PGDLLEXPORT void sl_launcher_main(Datum arg);

#endif							/* SL_LAUNCHER_H */
