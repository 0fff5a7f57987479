/*
 * test/bench/client.c
 *	  The loads of test/bench/run that psql and pgbench cannot make.
 *
 *	client CONNINFO produce TOPIC RECORDS each|all
 *	client CONNINFO copy TABLE all-columns|given-columns RECORDS each|all
 *		Send RECORDS records in batches of 1000, every batch ("each") or all
 *		batches ("all") in one transaction, and print the seconds it took.
 *		"produce" calls produce_batch_bytes() with a prepared statement and
 *		binary arrays, "copy" is COPY BINARY.  The messages are built before the
 *		clock starts, so that what is measured is the server.
 *
 *	client CONNINFO wait log|notify TOPIC-OR-TABLE RECORDS RATE
 *		Produce RATE records a second, one a transaction, while another
 *		connection waits for them and reads them.  Print, in milliseconds, the
 *		median and the 99th percentile from the producer's answer to the
 *		consumer's, then of the same from the producer's call on.  The consumer
 *		of "log" waits in fetch_records(), the one of "notify" for a NOTIFY that
 *		the producer sends along with its INSERT.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define BATCH 1000
#define VALUE_SIZE 100
#define BYTEA_OID 17

/* how long a consumer may be without a record before the run counts as failed */
#define PATIENCE_MS 10000

static const char *conninfo;

static void
fail(const char *what, PGconn *conn)
{
	fprintf(stderr, "client: %s: %s\n", what,
			conn ? PQerrorMessage(conn) : strerror(errno));
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static PGconn *
connect_server(void)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("connect", conn);
	return conn;
}

static void
expect(PGconn *conn, PGresult *result, ExecStatusType status, const char *what)
{
	if (PQresultStatus(result) != status)
		fail(what, conn);
	PQclear(result);
}

static void
command(PGconn *conn, const char *sql)
{
	expect(conn, PQexec(conn, sql), PGRES_COMMAND_OK, sql);
}

static void
prepare(PGconn *conn, const char *sql)
{
	expect(conn, PQprepare(conn, "s", sql, 0, NULL), PGRES_COMMAND_OK, sql);
}

/* Messages */

typedef struct Message
{
	char	   *data;
	int			length;
} Message;

static void
put_bytes(Message *m, const void *bytes, int length)
{
	memcpy(m->data + m->length, bytes, length);
	m->length += length;
}

static void
put16(Message *m, int16_t v)
{
	v = htons(v);
	put_bytes(m, &v, 2);
}

static void
put32(Message *m, int32_t v)
{
	v = htonl(v);
	put_bytes(m, &v, 4);
}

static void
put64(Message *m, int64_t v)
{
	v = htobe64(v);
	put_bytes(m, &v, 8);
}

static void
put_value(Message *m)
{
	put32(m, VALUE_SIZE);
	for (int i = 0; i < VALUE_SIZE; i++)
		m->data[m->length++] = random();
}

/* an array of BATCH values */
static Message
array_message(void)
{
	Message		m = {malloc(20 + BATCH * (4 + VALUE_SIZE))};

	put32(&m, 1);				/* one dimension */
	put32(&m, 0);				/* without nulls */
	put32(&m, BYTEA_OID);
	put32(&m, BATCH);
	put32(&m, 1);				/* that begins at 1 */
	for (int i = 0; i < BATCH; i++)
		put_value(&m);
	return m;
}

/* BATCH rows of (id, created, key, value), or (key, value) only */
static Message
rows_message(bool all_columns)
{
	Message		m = {malloc(BATCH * (2 + 12 + 12 + 4 + 4 + VALUE_SIZE))};

	for (int i = 0; i < BATCH; i++)
	{
		put16(&m, all_columns ? 4 : 2);
		if (all_columns)
		{
			put32(&m, 8);
			put64(&m, i);
			put32(&m, 8);
			put64(&m, INT64_C(800000000) * 1000000 + i);
		}
		put32(&m, -1);
		put_value(&m);
	}
	return m;
}

/* Bulk */

static void
produce(const char *topic, long batches, bool each)
{
	PGconn	   *conn = connect_server();
	Message		array = array_message();
	const char *values[] = {topic, array.data};
	int			lengths[] = {0, array.length};
	int			formats[] = {0, 1};
	double		start;

	prepare(conn, "SELECT count(*) FROM streamlog.produce_batch_bytes($1, NULL, $2)");
	start = now();
	if (!each)
		command(conn, "BEGIN");
	for (long i = 0; i < batches; i++)
		expect(conn, PQexecPrepared(conn, "s", 2, values, lengths, formats, 1),
			   PGRES_TUPLES_OK, "produce_batch_bytes");
	if (!each)
		command(conn, "COMMIT");
	printf("%.6f\n", now() - start);
	PQfinish(conn);
}

static void
put_copy(PGconn *conn, const char *data, int length)
{
	if (PQputCopyData(conn, data, length) != 1)
		fail("COPY", conn);
}

static void
copy(const char *table, bool all_columns, long batches, bool each)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0";
	PGconn	   *conn = connect_server();
	Message		rows = rows_message(all_columns);
	char		sql[200];
	long		copies = each ? batches : 1;
	double		start;

	snprintf(sql, sizeof(sql), "COPY %s %s FROM STDIN (FORMAT binary)",
			 table, all_columns ? "" : "(key, value)");
	start = now();
	for (long i = 0; i < copies; i++)
	{
		expect(conn, PQexec(conn, sql), PGRES_COPY_IN, sql);
		put_copy(conn, header, sizeof(header));
		for (long j = 0; j < batches / copies; j++)
			put_copy(conn, rows.data, rows.length);
		put_copy(conn, "\377\377", 2);
		if (PQputCopyEnd(conn, NULL) != 1)
			fail("COPY", conn);
		expect(conn, PQgetResult(conn), PGRES_COMMAND_OK, sql);
		PQgetResult(conn);		/* the NULL that ends a COPY */
	}
	printf("%.6f\n", now() - start);
	PQfinish(conn);
}

/* Wait */

typedef struct Run
{
	bool		notify;
	const char *name;			/* of the topic or table */
	long		records;
	double		rate;
	double	   *called;			/* by record: when the producer called, */
	double	   *answered;		/* had its answer, */
	double	   *returned;		/* and the consumer had the record */
} Run;

static void *
wait_producer(void *arg)
{
	Run		   *run = arg;
	PGconn	   *conn = connect_server();
	char		sql[300];
	char		value[VALUE_SIZE] = {0};
	const char *values[] = {value};
	int			lengths[] = {VALUE_SIZE};
	int			formats[] = {1};
	double		start;

	if (run->notify)
		snprintf(sql, sizeof(sql),
				 "WITH i AS (INSERT INTO %s (value) VALUES ($1)) SELECT pg_notify('waited', '')",
				 run->name);
	else
		snprintf(sql, sizeof(sql),
				 "SELECT streamlog.produce('%s', NULL, $1::bytea)", run->name);
	prepare(conn, sql);

	start = now();
	for (long i = 0; i < run->records; i++)
	{
		double		pause = start + i / run->rate - now();
		int64_t		number = htobe64(i);

		if (pause > 0)
		{
			struct timespec t = {(time_t) pause, (pause - (time_t) pause) * 1e9};

			nanosleep(&t, NULL);
		}
		memcpy(value, &number, 8);
		run->called[i] = now();
		expect(conn, PQexecPrepared(conn, "s", 1, values, lengths, formats, 1),
			   PGRES_TUPLES_OK, sql);
		run->answered[i] = now();
	}
	PQfinish(conn);
	return NULL;
}

/* sleep until there are notifications, and take them */
static void
wait_for_notify(PGconn *conn)
{
	struct pollfd fd = {PQsocket(conn), POLLIN};
	PGnotify   *notify;
	bool		found = false;

	for (;;)
	{
		if (!PQconsumeInput(conn))
			fail("LISTEN", conn);
		while ((notify = PQnotifies(conn)) != NULL)
		{
			PQfreemem(notify);
			found = true;
		}
		if (found)
			return;
		if (poll(&fd, 1, PATIENCE_MS) <= 0)
			fail("no notification came", NULL);
	}
}

static void
wait_consumer(Run *run, PGconn *conn)
{
	int64_t		position;
	long		seen = 0;

	while (seen < run->records)
	{
		const char *values[] = {(char *) &position};
		int			lengths[] = {8};
		int			formats[] = {1};
		PGresult   *result;
		double		time;

		position = htobe64(seen);
		if (run->notify)
			wait_for_notify(conn);
		result = PQexecPrepared(conn, "s", 1, values, lengths, formats, 1);
		time = now();
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail("consumer", conn);
		if (PQntuples(result) == 0 && !run->notify)
			fail("no record came", conn);
		for (int i = 0; i < PQntuples(result); i++)
		{
			int64_t		number;

			memcpy(&number, PQgetvalue(result, i, 0), 8);
			if (be64toh(number) != seen)
			{
				fprintf(stderr, "client: record %ld came in place of %ld\n",
						(long) be64toh(number), seen);
				exit(1);
			}
			run->returned[seen++] = time;
		}
		PQclear(result);
	}
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
print_percentiles(const Run *run, const double *since, const char *end)
{
	double	   *ms = malloc(run->records * sizeof(double));

	for (long i = 0; i < run->records; i++)
		ms[i] = (run->returned[i] - since[i]) * 1000;
	qsort(ms, run->records, sizeof(double), compare_doubles);
	printf("%.3f %.3f%s", ms[run->records / 2], ms[run->records * 99 / 100], end);
	free(ms);
}

static void
wait_for_records(Run *run)
{
	PGconn	   *conn = connect_server();
	pthread_t	producer;
	char		sql[300];

	run->called = calloc(run->records, sizeof(double));
	run->answered = calloc(run->records, sizeof(double));
	run->returned = calloc(run->records, sizeof(double));

	if (run->notify)
	{
		command(conn, "LISTEN waited");
		/* the identity of an empty table begins at 1, offsets at 0 */
		snprintf(sql, sizeof(sql),
				 "SELECT value, id FROM %s WHERE id > $1::bigint ORDER BY id LIMIT 500",
				 run->name);
	}
	else
		snprintf(sql, sizeof(sql),
				 "SELECT value, record_offset FROM streamlog.fetch_records('%s', 0, $1::bigint, max_wait => '%d ms')",
				 run->name, PATIENCE_MS);
	prepare(conn, sql);
	if (pthread_create(&producer, NULL, wait_producer, run) != 0)
		fail("pthread_create", NULL);
	wait_consumer(run, conn);
	pthread_join(producer, NULL);
	print_percentiles(run, run->answered, " ");
	print_percentiles(run, run->called, "\n");
	PQfinish(conn);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "";

	conninfo = argv[1];
	if (strcmp(what, "produce") == 0 && argc == 6)
		produce(argv[3], atol(argv[4]) / BATCH, strcmp(argv[5], "each") == 0);
	else if (strcmp(what, "copy") == 0 && argc == 7)
		copy(argv[3], strcmp(argv[4], "all-columns") == 0,
			 atol(argv[5]) / BATCH, strcmp(argv[6], "each") == 0);
	else if (strcmp(what, "wait") == 0 && argc == 7)
	{
		Run			run = {strcmp(argv[3], "notify") == 0, argv[4],
		atol(argv[5]), atof(argv[6])};

		wait_for_records(&run);
	}
	else
	{
		fprintf(stderr, "client: see the head of client.c\n");
		return 1;
	}
	return 0;
}
