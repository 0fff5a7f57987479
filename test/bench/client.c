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
 *	client CONNINFO wait log|group|group-begin|notify TOPIC-OR-TABLE RECORDS RATE
 *		Produce RATE records a second, one a transaction, while another
 *		connection waits for them and reads them.  Print, in milliseconds, the
 *		median and the 99th percentile from the producer's answer to the
 *		consumer's, then of the same from the producer's call on.  The consumer
 *		of "log" waits in fetch_records(), the one of "group" in consume() in a
 *		consumer group, the one of "group-begin" in the same between BEGIN and
 *		COMMIT, the one of "notify" for a NOTIFY that the producer sends along
 *		with its INSERT.
 *
 *	client CONNINFO drain FORM NAME CONSUMER RECORDS
 *		Read RECORDS records in batches of 500, and note after each that they
 *		are done; what the forms do is in the table of drain.c.  Print the seconds
 *		that it took, and the seconds of CPU time of the server's process.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define BATCH 1000
#define VALUE_SIZE 100
#define BYTEA_OID 17

/* how long a consumer may be without a record before the run counts as failed */
#define PATIENCE_MS 10000

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

typedef struct WaitKind
{
	const char *name;
	bool		notify;
	bool		block;			/* between BEGIN and COMMIT */
	const char *produce;		/* with %s for the topic or table */
	const char *read;
} WaitKind;

#define PRODUCE "SELECT streamlog.produce('%s', NULL, $1::bytea)"

static const WaitKind wait_kinds[] = {
	{"log", false, false, PRODUCE,
		"SELECT value FROM streamlog.fetch_records('%s', 0, $1, max_wait => '10 s')"},
	{"group", false, false, PRODUCE,
		"SELECT value FROM streamlog.consume('%s', 'waiting', max_wait => '10 s')"},
	{"group-begin", false, true, PRODUCE,
		"SELECT value FROM streamlog.consume('%s', 'waiting', max_wait => '10 s')"},
	/* the identity of an empty table begins at 1, offsets at 0 */
	{"notify", true, false,
		"WITH i AS (INSERT INTO %s (value) VALUES ($1)) SELECT pg_notify('waited', '')",
		"SELECT value FROM %s WHERE id > $1 ORDER BY id LIMIT 500"}
};

typedef struct Run
{
	const WaitKind *kind;
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

	snprintf(sql, sizeof(sql), run->kind->produce, run->name);
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
	long		seen = 0;
	double		last = now();

	while (seen < run->records)
	{
		PGresult   *result;
		double		time;

		if (run->kind->notify)
			wait_for_notify(conn);
		if (run->kind->block)
			command(conn, "BEGIN");
		result = execute_int8(conn, "read", seen);
		time = now();
		for (int i = 0; i < PQntuples(result); i++)
		{
			int64_t		number = get_int8(result, i, 0);

			if (number != seen)
			{
				fprintf(stderr, "client: record %ld came in place of %ld\n",
						(long) number, seen);
				exit(1);
			}
			run->returned[seen++] = last = time;
		}
		PQclear(result);
		if (run->kind->block)
			command(conn, "COMMIT");
		if (time - last > PATIENCE_MS / 1000.0)
			fail("no record came", NULL);
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

	if (run->kind->notify)
		command(conn, "LISTEN waited");
	snprintf(sql, sizeof(sql), run->kind->read, run->name);
	prepare_int8(conn, "read", sql);
	if (pthread_create(&producer, NULL, wait_producer, run) != 0)
		fail("pthread_create", NULL);
	wait_consumer(run, conn);
	pthread_join(producer, NULL);
	print_percentiles(run, run->answered, " ");
	print_percentiles(run, run->called, "\n");
	PQfinish(conn);
}

static void
usage(void)
{
	fprintf(stderr, "client: see the head of client.c\n");
	exit(1);
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
		Run			run = {NULL, argv[4], atol(argv[5]), atof(argv[6])};

		for (size_t i = 0; i < sizeof(wait_kinds) / sizeof(WaitKind); i++)
			if (strcmp(wait_kinds[i].name, argv[3]) == 0)
				run.kind = &wait_kinds[i];
		if (run.kind == NULL)
			usage();
		wait_for_records(&run);
	}
	else if (strcmp(what, "drain") == 0 && argc == 7)
	{
		if (!drain(argv[3], argv[4], argv[5], atol(argv[6])))
			usage();
	}
	else
		usage();
	return 0;
}
