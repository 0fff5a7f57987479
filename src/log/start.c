/*
 * start.c
 *		Log starts that the current transaction has raised.
 *
 * A raised start is in its partition's row, and shared memory is told at commit.
 * What is still to be told is kept with its nesting level, so that a rollback to a
 * savepoint takes it back as it does the row.
 *
 * The one who could see the row too early is this transaction itself, if it
 * initialises the partition: it takes the start that was there before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/waitpoint.h"
#include "log/start.h"
#include "shmem/workers.h"

/* A start that is to be made known at commit */
typedef struct SlRaise
{
	SlPartitionKey key;
	int			level;			/* of nesting */
	int64		log_start;
	int64		before;			/* what the row said then */
} SlRaise;

/* Of the current transaction, by level ascending; in its memory */
static SlRaise *raises = NULL;
static int	nraises = 0;
static int	max_raises = 0;

int64
sl_start_committed(const SlPartitionKey *key, int64 log_start)
{
	for (int i = 0; i < nraises && !SL_MUTANT("own-start"); i++)
		if (memcmp(&raises[i].key, key, sizeof(SlPartitionKey)) == 0)
			return raises[i].before;
	return log_start;
}

/* Nothing here may raise at COMMIT. */
static void
xact_callback(XactEvent event, void *arg)
{
	if (nraises == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has deleted records of a topic"),
					 errhint("Use COMMIT.")));
			break;
		case XACT_EVENT_COMMIT:
			SL_WAITPOINT("delete-at-commit");
			for (int i = 0; i < nraises; i++)
			{
				const SlPartitionKey *key = &raises[i].key;

				sl_partition_raise_log_start(key, raises[i].log_start);
				sl_workers_wake_for(SL_WORK_EXPIRE, key->relation, key->partition);
			}
			nraises = 0;
			break;
		case XACT_EVENT_ABORT:
			nraises = 0;
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB && !SL_MUTANT("keep-undone-start"))
		while (nraises > 0 && raises[nraises - 1].level >= level)
			nraises--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nraises - 1; i >= 0 && raises[i].level >= level; i--)
			raises[i].level = level - 1;
}

void
sl_start_raise(const SlPartitionKey *key, int64 log_start, int64 before)
{
	static bool registered = false;
	SlRaise    *entry;

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
	}
	registered = true;

	if (nraises == 0)
	{
		/* what there was is gone with an earlier transaction */
		max_raises = 8;
		raises = MemoryContextAlloc(TopTransactionContext,
									max_raises * sizeof(SlRaise));
	}
	else if (nraises == max_raises)
	{
		max_raises *= 2;
		raises = repalloc_array(raises, SlRaise, max_raises);
	}
	entry = &raises[nraises++];
	entry->key = *key;
	entry->level = GetCurrentTransactionNestLevel();
	entry->log_start = log_start;
	entry->before = before;
}
