/*
 * test/bench/connection.c
 *	  The client's connections.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define INT8_OID 20

const char *conninfo;

void
fail(const char *what, PGconn *conn)
{
	fprintf(stderr, "client: %s: %s\n", what,
			conn ? PQerrorMessage(conn) : strerror(errno));
	exit(1);
}

double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

PGconn *
connect_server(void)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("connect", conn);
	return conn;
}

void
expect(PGconn *conn, PGresult *result, ExecStatusType status, const char *what)
{
	if (PQresultStatus(result) != status)
		fail(what, conn);
	PQclear(result);
}

void
command(PGconn *conn, const char *sql)
{
	expect(conn, PQexec(conn, sql), PGRES_COMMAND_OK, sql);
}

void
prepare_int8(PGconn *conn, const char *name, const char *sql)
{
	const Oid	type = INT8_OID;

	expect(conn, PQprepare(conn, name, sql, 1, &type), PGRES_COMMAND_OK, sql);
}

PGresult *
execute_int8(PGconn *conn, const char *name, int64_t argument)
{
	int64_t		sent = htobe64(argument);
	const char *values[] = {(char *) &sent};
	int			lengths[] = {8};
	int			formats[] = {1};
	PGresult   *result = PQexecPrepared(conn, name, 1, values, lengths, formats, 1);

	if (PQresultStatus(result) != PGRES_TUPLES_OK &&
		PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(name, conn);
	return result;
}

int64_t
get_int8(PGresult *result, int row, int column)
{
	int64_t		value;

	memcpy(&value, PQgetvalue(result, row, column), 8);
	return be64toh(value);
}
