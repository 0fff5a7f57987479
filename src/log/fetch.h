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
	int64		max_bytes;		/* the first record always comes */
	long		max_wait;		/* ms, for the first record */
} SlFetchLimits;

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
 * What of a partition can be read now: from start up to end.  Flushes WAL so far
 * that a crash cannot take any of it back.
 */
extern SlLog *sl_fetch_bounds(SlTopic *topic, int32 partition,
							  SlPartitionState *state);

/* The first readable offset with a timestamp not before time; -1 if none. */
extern int64 sl_fetch_offset_for_time(SlTopic *topic, int32 partition,
									  TimestampTz time);

#endif							/* SL_FETCH_H */
