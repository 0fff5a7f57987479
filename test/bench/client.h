/*
 * test/bench/client.h
 *	  What the files of the client share.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>

#include <libpq-fe.h>

/* the server's; set at the start */
extern const char *conninfo;

/*
 * In connection.c; whatever goes wrong is told, and ends the program.  conn is NULL
 * where errno, or what is told, says it all.
 */
extern void fail(const char *what, PGconn *conn);
extern double now(void);		/* seconds */
extern PGconn *connect_server(void);
extern void expect(PGconn *conn, PGresult *result, ExecStatusType status,
				   const char *what);
extern void command(PGconn *conn, const char *sql);

/* A statement with one bigint, which it need not use; its result is in binary. */
extern void prepare_int8(PGconn *conn, const char *name, const char *sql);
extern PGresult *execute_int8(PGconn *conn, const char *name, int64_t argument);
extern int64_t get_int8(PGresult *result, int row, int column);

/* in drain.c; 0 if there is no such form */
extern int	drain(const char *form, const char *name, const char *consumer,
				  long records);

#endif							/* CLIENT_H */
