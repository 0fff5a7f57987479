/*
 * delete.c
 *		Deleting the oldest records of partitions.
 *
 * To delete records is to let the log start above them.  Nothing else happens to
 * them: nobody reads below the start, and the worker drops segments that are
 * wholly below it (expire.c).  The start only ever rises.
 *
 *	1.	At the call the partition's row is locked and updated, so of two who
 *		delete from the same partition the second waits.  Nobody else does.
 *	2.	In the COMMIT callback, when everybody can see the row, shared memory is
 *		told.  From then on readers below the start are refused, and the worker
 *		may drop.  Whoever initialises the partition reads the row, before or after
 *		the commit; what comes between is kept by partition.c.
 *
 * A rollback, also to a savepoint, takes back the row, and shared memory has not
 * heard of it; what is still to be told is therefore kept with its nesting level.
 * The one who could see the row too early is this transaction itself, if it
 * initialises the partition: it takes the start that was there before.
 *
 * No start is above the visible end, so no undecided record is ever deleted, and
 * no offset below a start is given out again after a crash.
 *
 * Crash safety: the row decides.  The start of a transaction that committed
 * asynchronously may be taken back by a crash; then the segments are still there,
 * for the commit that drops a table flushes all that was written before it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "log/delete.h"
#include "log/fetch.h"
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
sl_delete_committed_start(const SlPartitionKey *key, int64 log_start)
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

static void
raise_at_commit(const SlPartitionKey *key, int64 log_start, int64 before)
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

/* What the row says, or shared memory, which may be ahead of our snapshot */
static int64
present_start(SlTopic *topic, int32 partition, const SlPartitionState *state)
{
	SlPartitionRow row;

	if (!sl_partition_row(topic->topic_id, partition, &row))
		return state->log_start;
	return Max(row.log_start, state->log_start);
}

int64
sl_delete_records(SlTopic *topic, int32 partition, int64 before_offset)
{
	SlPartitionState state;
	SlLog	   *log = sl_fetch_bounds(topic, partition, &state);
	SlPartitionKey key = log->key;
	int64		start = present_start(topic, partition, &state);

	if (before_offset == SL_DELETE_ALL)
		before_offset = state.visible_end;
	if (before_offset < 0 || before_offset > state.visible_end)
		ereport(ERROR,
				(errcode(ERRCODE_SL_OFFSET_OUT_OF_RANGE),
				 errmsg("offset %lld is out of range for topic \"%s\" partition %d",
						(long long) before_offset, topic->name, partition),
				 errdetail("What can be read begins at %lld and ends before %lld.",
						   (long long) start, (long long) state.visible_end),
				 errhint("Leave \"before_offset\" out, or give -1, to delete all that can be read.")));
	if (before_offset <= start)
		return start;

	start = sl_partition_row_lock(topic->topic_id, partition);
	if (before_offset <= start)
		return start;
	sl_partition_row_set_start(topic->topic_id, partition, before_offset);
	CommandCounterIncrement();
	raise_at_commit(&key, before_offset, start);
	return before_offset;
}
