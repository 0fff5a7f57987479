/*
 * database.h
 *		The worker of a database.
 */
#ifndef SL_DATABASE_H
#define SL_DATABASE_H

#include "postgres.h"

extern PGDLLEXPORT void sl_database_main(Datum arg);

#endif							/* SL_DATABASE_H */
