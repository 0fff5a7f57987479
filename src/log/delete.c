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
 * heard of it: see start.c.
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

#include "base/errors.h"
#include "log/delete.h"
#include "log/fetch.h"
#include "log/start.h"

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
	sl_start_raise(&key, before_offset, start);
	return before_offset;
}
