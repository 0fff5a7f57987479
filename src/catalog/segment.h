/*
 * segment.h
 *		Partitions and segments: rows, and the tables behind them.
 */
#ifndef SL_SEGMENT_H
#define SL_SEGMENT_H

#include "utils/rel.h"

#include "catalog/topic.h"

/* columns of a segment's table, and of the type log_record */
#define SL_ATT_OFFSET		1
#define SL_ATT_TIMESTAMP	2
#define SL_ATT_PARTITION	3
#define SL_ATT_KEY			4
#define SL_ATT_VALUE		5
#define SL_ATT_HEADERS		6
#define SL_SEGMENT_ATTS		6
#define SL_ATT_TOPIC		7
#define SL_RECORD_ATTS		7

/* create_topic and alter_topic make this many first segments themselves */
#define SL_FIRST_SEGMENTS	32

typedef struct SlSegment
{
	int64		base;			/* its first offset */
	Oid			relation;
	bool		sealed;			/* has a successor */
	bool		has_max;
	TimestampTz max_timestamp;	/* if sealed and known */
} SlSegment;

/* A partition's row as it is now, also for an older snapshot */
typedef struct SlPartitionRow
{
	int64		log_start;		/* also if not yet committed */
	bool		made_here;		/* by this very transaction */
} SlPartitionRow;

/*
 * false if there is no such row.  lock() waits for whoever has locked it, keeps it
 * locked for the (sub)transaction and returns the log start that it then has.
 */
extern bool sl_partition_row(int32 topic_id, int32 partition,
							 SlPartitionRow *row);
extern int64 sl_partition_row_lock(int32 topic_id, int32 partition);
extern void sl_partition_row_set_start(int32 topic_id, int32 partition,
									   int64 log_start);
extern void sl_partition_rows_insert(int32 topic_id, int32 from, int32 upto);

/*
 * The segments of a partition, by base ascending, in memory of the current
 * context; returns their number.
 */
extern int	sl_segment_list(int32 topic_id, int32 partition, SlSegment **list);

/*
 * Make the table of the next segment of a partition and return its OID; a table
 * that is there already without a row (its maker did not come to the end) is
 * used.  Takes ShareUpdateExclusiveLock on the topic's table.
 */
extern Oid	sl_segment_create(SlTopic *topic, int32 partition);

/* The row that makes such a table the newest segment. */
extern void sl_segment_insert(int32 topic_id, int32 partition, int64 base,
							  Oid relation);

/* What becomes known of a segment once it is sealed: its size, its times */
extern void sl_segment_seal(int32 topic_id, int32 partition, int64 base,
							int64 bytes);
extern void sl_segment_set_times(int32 topic_id, int32 partition, int64 base,
								 TimestampTz min_timestamp,
								 TimestampTz max_timestamp);

/* Does the table have the columns of a segment, in their order? */
extern bool sl_segment_has_columns(const SlTopic *topic, TupleDesc desc);
extern bool sl_segment_has_index(Relation rel);

/*
 * The size of a segment as segment.bytes bounds it: of its file, and of what is
 * stored out of line.
 */
extern int64 sl_segment_size(Relation rel);

/* Does the heap leave no room in its pages, as an append expects of it? */
extern bool sl_segment_is_filled_up(Relation rel);

/*
 * Open a segment's table and check that it is fit to be appended to or read
 * past the executor: a heap of ours without an index.  NULL if it is gone.
 */
extern Relation sl_segment_open(const SlTopic *topic, Oid relation,
								LOCKMODE lockmode);

#endif							/* SL_SEGMENT_H */
