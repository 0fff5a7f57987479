/*
 * log.h
 *		A partition's log as this backend knows it.
 */
#ifndef SL_LOG_H
#define SL_LOG_H

#include "shmem/partition.h"
#include "catalog/segment.h"

typedef struct SlLog
{
	SlPartitionKey key;			/* hash key */
	int32		topic_id;
	SlPartition *part;			/* its entry, maybe no longer */

	/* what the current transaction has produced to it; see transaction.c */
	struct SlPending *pending;

	/* the segments, as they were read from the catalog */
	SlSegment  *segments;
	int			nsegments;

	/*
	 * Where the last fetch stopped: in this block of the file of this segment
	 * is offset next_offset or what comes after it.
	 */
	Oid			hint_segment;
	Oid			hint_file;
	BlockNumber hint_block;
	int64		hint_offset;

	/*
	 * From scanned_from up to scanned_to there is no record (they were
	 * aborted), as long as the entry has this generation.
	 */
	uint32		scanned_generation;
	int64		scanned_from;
	int64		scanned_to;
} SlLog;

/*
 * Find a partition's log, and find out from its tables where it ends if nobody
 * has done so since the server started.  The topic's table is locked by the
 * caller.  The struct lives as long as the backend.
 */
extern SlLog *sl_log_open(SlTopic *topic, int32 partition,
						  SlPartitionState *state);

/*
 * The same to append: makes sure that there is an active segment, waiting for
 * the worker to make it if need be.
 */
extern SlLog *sl_log_open_for_append(SlTopic *topic, int32 partition,
									 SlPartitionState *state);

/* Read the segments from the catalog; at least those there were at the call. */
extern void sl_log_read_segments(SlLog *log);

/* The same if they are old: a list that does not end with the active one is. */
extern void sl_log_refresh_segments(SlLog *log, const SlPartitionState *state);

/*
 * Has the log's start risen above an offset?  Segments below it may be gone: who
 * has listed one and does not find it, for an offset that it holds, asks this.
 */
extern bool sl_log_starts_above(SlTopic *topic, SlLog *log, int64 offset);

/*
 * Open a segment to read from an offset on.  NULL if it has been dropped, since
 * the log starts above that offset by now; raises DATA_CORRUPTED if its table is
 * gone without that.
 */
extern Relation sl_log_open_segment(SlTopic *topic, SlLog *log,
									const SlSegment *segment, int64 offset);

/* Raise unless the topic has this partition. */
extern void sl_check_partition(SlTopic *topic, int32 partition);

#endif							/* SL_LOG_H */
