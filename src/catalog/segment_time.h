/*
 * segment_time.h
 *		The rows of the time index.
 */
#ifndef SL_SEGMENT_TIME_H
#define SL_SEGMENT_TIME_H

#include "datatype/timestamp.h"

typedef struct SlChunkTime
{
	int32		chunk;
	Oid			file;			/* of the table when it was indexed */
	TimestampTz min_timestamp;	/* from the segment's beginning */
	TimestampTz max_timestamp;
} SlChunkTime;

/* The row of one chunk, or (chunk -1) of the last one; false if there is none. */
extern bool sl_chunk_time_get(Oid relation, int32 chunk, SlChunkTime *row);

extern void sl_chunk_time_insert(Oid relation, const SlChunkTime *row);
extern void sl_chunk_time_delete(Oid relation);

#endif							/* SL_SEGMENT_TIME_H */
