/*
 * fetch_time.c
 *		Finding a record of a partition by its time.
 *
 * Segments whose newest record is older are passed over; in the first that remains the
 * time index tells from which block on there can be such a record, and the rest is a
 * scan.  As for any reader (see fetch.c), what may be read is looked at first, and
 * then by a fresh snapshot.
 */
#include "postgres.h"

#include "access/relation.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "log/fetch.h"
#include "log/scan.h"
#include "log/search.h"
#include "log/timeindex.h"

typedef struct SlTimeSearch
{
	TimestampTz time;
	int64		found;
} SlTimeSearch;

/* Stops at the first record that is not older. */
static bool
time_visitor(void *arg, Relation rel, HeapTuple tuple)
{
	SlTimeSearch *search = arg;
	SlRecordFixed *fixed = sl_tuple_fixed(tuple->t_data);

	if (fixed->timestamp < search->time)
		return true;
	search->found = fixed->record_offset;
	return false;
}

/*
 * Where in a segment, from an offset on, the search for a time has to begin; -1 if
 * the segment is gone.
 */
static int64
first_offset_for_time(SlTopic *topic, SlLog *log, const SlSegment *segment,
					  int64 from, TimestampTz time)
{
	Relation	rel = sl_log_open_segment(topic, log, segment, from);
	BlockNumber block;
	int64		offset;

	if (!rel)
		return -1;
	block = sl_timeindex_block(rel, time);
	while (block > 0 && (block >= RelationGetNumberOfBlocks(rel) ||
						 !sl_block_first_offset(rel, block, &offset)))
		block--;
	relation_close(rel, AccessShareLock);
	return block > 0 ? Max(offset, from) : from;
}

/* Search the segments for a time; not to an end if the result is DELETED. */
static SlScanResult
search_segments(SlTopic *topic, SlLog *log, const SlPartitionState *state,
				SlTimeSearch *search)
{
	SlScanResult result = SL_SCAN_END;

	for (int i = 0; i < log->nsegments && result == SL_SCAN_END; i++)
	{
		const SlSegment *segment = &log->segments[i];
		int64		end = i + 1 < log->nsegments ?
		Min(log->segments[i + 1].base, state->visible_end) : state->visible_end;
		int64		from = Max(segment->base, state->log_start);
		int64		reached;

		if (from >= end ||
			(segment->has_max && segment->max_timestamp < search->time))
			continue;
		from = first_offset_for_time(topic, log, segment, from, search->time);
		if (from < 0)
			result = SL_SCAN_DELETED;
		else if (from < end)
			result = sl_scan(topic, log, from, end, time_visitor, search,
							 &reached);
	}
	return result;
}

int64
sl_fetch_offset_for_time(SlTopic *topic, int32 partition, TimestampTz time)
{
	SlTimeSearch search = {time, -1};
	SlScanResult result;

	do
	{
		SlPartitionState state;
		SlLog	   *log = sl_fetch_bounds(topic, partition, &state);

		SL_WAITPOINT("time-before-segments");
		sl_log_refresh_segments(log, &state);
		PushActiveSnapshot(GetLatestSnapshot());
		result = search_segments(topic, log, &state, &search);
		PopActiveSnapshot();

		/* the log's start has risen, so this comes to an end */
	} while (result == SL_SCAN_DELETED);
	return search.found;
}
