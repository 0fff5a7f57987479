/*
 * record.h
 *		A record in memory: the very tuple that will be stored.
 */
#ifndef SL_RECORD_H
#define SL_RECORD_H

#include "access/htup_details.h"
#include "datatype/timestamp.h"

#include "catalog/segment.h"

/* What a record is made of; NULL pointers are null. */
typedef struct SlRecordParts
{
	int32		partition;
	TimestampTz timestamp;
	struct varlena *key;		/* maybe compressed, not external */
	struct varlena *value;		/* likewise */
	struct varlena *headers;	/* a header[], likewise */
} SlRecordParts;

/*
 * A record as it is buffered: this, then at the next MAXALIGN the tuple, then
 * padding to MAXALIGN.
 */
typedef struct SlRecord
{
	uint32		tuple_len;
	uint32		ordinal;		/* the caller's */
} SlRecord;

#define SL_RECORD_HEADER	MAXALIGN(sizeof(SlRecord))
#define SL_RECORD_SIZE(tuple_len) (SL_RECORD_HEADER + MAXALIGN(tuple_len))

/* t_hoff of every tuple of a segment: a null bitmap of up to 8 columns fits. */
#define SL_HOFF				MAXALIGN(SizeofHeapTupleHeader + 1)

/* The three columns of fixed width, as they lie at t_hoff. */
typedef struct SlRecordFixed
{
	int64		record_offset;
	TimestampTz timestamp;
	int32		partition;
} SlRecordFixed;

#define SL_FIXED_SIZE		(offsetof(SlRecordFixed, partition) + sizeof(int32))

static inline HeapTupleHeader
sl_record_tuple(SlRecord *record)
{
	return (HeapTupleHeader) ((char *) record + SL_RECORD_HEADER);
}

static inline SlRecord *
sl_record_next(SlRecord *record)
{
	return (SlRecord *) ((char *) record + SL_RECORD_SIZE(record->tuple_len));
}

static inline SlRecordFixed *
sl_tuple_fixed(HeapTupleHeader tuple)
{
	return (SlRecordFixed *) ((char *) tuple + SL_HOFF);
}

/* The length of the tuple, then the tuple itself into that much memory. */
extern Size sl_record_tuple_len(const SlRecordParts *parts);
extern void sl_record_form(const SlRecordParts *parts, SlRecord *record,
						   Size tuple_len);

#endif							/* SL_RECORD_H */
