/*
 * fetch.h
 *		Reading records of a partition.
 */
#ifndef SL_FETCH_H
#define SL_FETCH_H

#include "utils/tuplestore.h"

#include "log/log.h"

typedef struct SlFetchLimits
{
	int64		max_records;
	int64		max_bytes;		/* the first record always comes; as stored */
	long		max_wait;		/* ms, for the first record */
} SlFetchLimits;

/* ms until one looks again for what sets no latch */
#define SL_LOOK_SOON	100

/* ms between two looks of one who waits at the topics: partitions may be added */
#define SL_LOOK_AT_TOPICS	10000

extern void sl_fetch_define_gucs(void);

/*
 * Put the records from offset on, as rows of log_record (desc), into store.
 * Raises OFFSET_OUT_OF_RANGE where Kafka does, and DATA_CORRUPTED rather than
 * skip anything.
 */
extern void sl_fetch(SlTopic *topic, int32 partition, int64 offset,
					 const SlFetchLimits *limits, TupleDesc desc,
					 Tuplestorestate *store);

/*
 * The same for what can be read now of the offsets from from on and below before,
 * without a limit and without waiting.  Returns the number of records.
 */
extern int64 sl_fetch_range(SlTopic *topic, int32 partition, int64 from,
							int64 before, TupleDesc desc,
							Tuplestorestate *store);

/*
 * For consumers: the same for what can be read now from *offset on, without waiting.
 * *offset becomes where to go on: behind the last record that is returned, and
 * behind the aborted ones if there is nothing else, but never behind one that only
 * the transaction's own snapshot hides.  The limits are reduced by what was taken;
 * max_bytes does not count if this may be the first record of the whole call.
 * *records is the number of rows.  False, with nothing changed, if *offset is out of
 * range, maybe since records were deleted just now.
 */
extern bool sl_fetch_next(SlTopic *topic, int32 partition, int64 *offset,
						  SlFetchLimits *limits, bool first, TupleDesc desc,
						  Tuplestorestate *store, int64 *records);

/*
 * May this transaction wait for records?  Not with an xid, and not where nothing new
 * would be seen.  A wait of ms in a function may last what cap_wait() says.
 */
extern bool sl_fetch_may_wait(void);
extern long sl_fetch_cap_wait(long ms);

/*
 * Sleep, after sl_partition_wait_begin(), until this backend's latch is set, for at
 * most longest ms.  False if the deadline has come.
 */
extern bool sl_fetch_sleep(TimestampTz deadline, long longest);

/*
 * What of a partition can be read now: from start up to end.  Flushes WAL so far
 * that a crash cannot take any of it back.
 */
extern SlLog *sl_fetch_bounds(SlTopic *topic, int32 partition,
							  SlPartitionState *state);

/* The first readable offset with a timestamp not before time; -1 if none. */
extern int64 sl_fetch_offset_for_time(SlTopic *topic, int32 partition,
									  TimestampTz time);

/*
 * The timestamp of the first readable record from an offset on (as a record has it);
 * false if there is none.
 */
extern bool sl_fetch_timestamp(SlTopic *topic, int32 partition, int64 offset,
							   TimestampTz *timestamp);

#endif							/* SL_FETCH_H */
