/*
 * partitioner.h
 *		Which partition a record goes to.
 */
#ifndef SL_PARTITIONER_H
#define SL_PARTITIONER_H

#include "catalog/topic.h"

/* murmur2 as Kafka's Java client computes it */
extern int32 sl_murmur2(const unsigned char *data, int len);

/* The partition of a key: a pure function of its bytes. */
extern int32 sl_partition_for_key(const unsigned char *key, int len,
								  int32 partitions);

/*
 * The partition for a record of this many bytes that has no key: the same one
 * until 16 kB have gone there or the transaction has ended.
 */
extern int32 sl_partition_sticky(SlTopic *topic, int bytes);

#endif							/* SL_PARTITIONER_H */
