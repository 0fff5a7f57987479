/*
 * test/bench/drain.c
 *	  Consumers that read as fast as they can, and note how far they have come.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* What a step's result says */
typedef enum StepResult
{
	NOTHING,					/* (the end of the steps) */
	ROWS,						/* the records, */
	ROWS_BY_ID,					/* with the next step's argument in the last
								 * one's first column, */
	COUNT,						/* or how many they were, */
	COUNT_BY_ID,				/* with the next step's argument next to that */
	INSERTED,
	ID,							/* the argument of the next steps */
	DONE
} StepResult;

typedef struct Step
{
	StepResult	result;
	const char *sql;			/* with %1$s for the topic, table or queue,
								 * %2$s for the consumer */
} Step;

#define MAX_STEPS 3

typedef struct Form
{
	const char *name;
	bool		block;			/* between BEGIN and COMMIT; else each step
								 * commits */
	Step		steps[MAX_STEPS + 1];
} Form;

#define CONSUME "SELECT record_offset, \"timestamp\", key, value FROM streamlog.consume('%1$s', '%2$s')"
#define COUNT_CONSUME "SELECT count(*), count(key), count(value) FROM streamlog.consume('%1$s', '%2$s')"
#define PAGE "SELECT id, created, key, value FROM %1$s WHERE id > $1 ORDER BY id LIMIT 500"
#define COUNT_PAGE "SELECT count(*), max(id), count(key), count(value) FROM (" PAGE ") page"
#define MOVE "UPDATE bench.position SET last = $1 WHERE consumer = '%2$s'"

static const Form forms[] = {
	{"consume", false, {{ROWS, CONSUME}}},
	{"consume-count", false, {{COUNT, COUNT_CONSUME}}},
	{"consume-begin", true, {{ROWS, CONSUME}}},
	{"consume-count-begin", true, {{COUNT, COUNT_CONSUME}}},
	{"consume-insert", false, {{INSERTED, "INSERT INTO bench.consumed " CONSUME}}},
	{"page", false, {{ROWS_BY_ID, PAGE}, {DONE, MOVE}}},
	{"page-begin", true, {{ROWS_BY_ID, PAGE}, {DONE, MOVE}}},
	{"page-count", false, {{COUNT_BY_ID, COUNT_PAGE}, {DONE, MOVE}}},
	{"page-count-begin", true, {{COUNT_BY_ID, COUNT_PAGE}, {DONE, MOVE}}},
	{"page-insert", false, {{INSERTED,
			"WITH page AS MATERIALIZED (SELECT t.* FROM bench.position, LATERAL ("
			"SELECT id, created, key, value FROM %1$s WHERE id > last ORDER BY id LIMIT 500) t "
			"WHERE consumer = '%2$s'), "
			"moved AS (UPDATE bench.position SET last = (SELECT max(id) FROM page) "
			"WHERE consumer = '%2$s') "
			"INSERT INTO bench.consumed SELECT * FROM page"}}},
	{"pgq-begin", true, {
		{ID, "SELECT pgq.next_batch('%1$s', '%2$s')"},
		{ROWS, "SELECT ev_id, ev_time, ev_type, ev_data FROM pgq.get_batch_events($1)"},
		{DONE, "SELECT pgq.finish_batch($1)"}}}
};

static const Form *
find_form(const char *name)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(Form); i++)
		if (strcmp(forms[i].name, name) == 0)
			return &forms[i];
	return NULL;
}

/* the seconds that a process has had a CPU */
static double
cpu_seconds(int pid)
{
	char		path[40];
	FILE	   *file;
	double		ns;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%lf", &ns) != 1)
		fail(path, NULL);
	fclose(file);
	return ns / 1e9;
}

static void
prepare_steps(PGconn *conn, const Form *form, const char *name,
			  const char *consumer)
{
	char		statement[2] = "0";
	char		sql[600];

	for (const Step *step = form->steps; step->result != NOTHING; step++)
	{
		snprintf(sql, sizeof(sql), step->sql, name, consumer);
		prepare_int8(conn, statement, sql);
		statement[0]++;
	}
}

/* Returns the number of records. */
static long
take_batch(PGconn *conn, const Form *form, int64_t *argument)
{
	char		statement[2] = "0";
	long		records = 0;

	for (const Step *step = form->steps; step->result != NOTHING; step++)
	{
		PGresult   *result = execute_int8(conn, statement, *argument);
		int			rows = PQntuples(result);

		if (step->result == ROWS || step->result == ROWS_BY_ID)
			records = rows;
		else if (step->result == COUNT || step->result == COUNT_BY_ID)
			records = get_int8(result, 0, 0);
		else if (step->result == INSERTED)
			records = atol(PQcmdTuples(result));

		if (step->result == COUNT_BY_ID && records > 0)
			*argument = get_int8(result, 0, 1);
		else if (step->result == ROWS_BY_ID && rows > 0)
			*argument = get_int8(result, rows - 1, 0);
		else if (step->result == ID)
			*argument = PQgetisnull(result, 0, 0) ? 0 : get_int8(result, 0, 0);
		PQclear(result);
		statement[0]++;
	}
	return records;
}

int
drain(const char *form_name, const char *name, const char *consumer, long records)
{
	const Form *form = find_form(form_name);
	int64_t		argument = 0;
	PGconn	   *conn;
	int			pid;
	double		start;
	double		cpu;

	if (form == NULL)
		return 0;
	conn = connect_server();
	pid = PQbackendPID(conn);
	prepare_steps(conn, form, name, consumer);
	start = now();
	cpu = cpu_seconds(pid);
	for (long seen = 0; seen < records;)
	{
		long		batch;

		if (form->block)
			command(conn, "BEGIN");
		batch = take_batch(conn, form, &argument);
		if (form->block)
			command(conn, "COMMIT");
		if (batch == 0)
			fail("there are too few records", NULL);
		seen += batch;
	}
	printf("%.6f %.6f\n", now() - start, cpu_seconds(pid) - cpu);
	PQfinish(conn);
	return 1;
}
