/*
 * produce.h
 *		A record on its way into the transaction's buffer.
 */
#ifndef SL_PRODUCE_H
#define SL_PRODUCE_H

#include "catalog/topic.h"
#include "datatype/timestamp.h"

typedef struct SlProduceArgs
{
	struct varlena *key;		/* NULL: none; else plain bytes */
	struct varlena *value;
	struct varlena *headers;	/* as sl_produce_headers() returned them */
	Size		headers_size;
	bool		has_partition;
	int32		partition;
	bool		has_time;
	TimestampTz time;
	TimestampTz now;			/* the current time */
	uint32		ordinal;		/* for the caller's report */
} SlProduceArgs;

/*
 * Check a header[] and return it as the topic is to store it (NULL if it is
 * empty), with the sum of its keys' and values' sizes.
 */
extern struct varlena *sl_produce_headers(const SlTopic *topic, Datum headers,
										  Size *size);

/*
 * Check a record and buffer it.  Everything that can be wrong with it is an
 * error here, before it has cost an offset.  The topic is open for ACL_INSERT.
 * Leaves nothing in the current memory context but what compression took.
 */
extern void sl_produce(SlTopic *topic, const SlProduceArgs *args);

#endif							/* SL_PRODUCE_H */
