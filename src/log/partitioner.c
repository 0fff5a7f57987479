/*
 * partitioner.c
 *		Which partition a record goes to.
 *
 * A key decides by its hash, over all partitions, so that a key's records are
 * in one partition and in order; producers that are Kafka clients put them into
 * the same one.  Records without a key are spread, but in runs: a run of them
 * is one append where a record each would be an append to every partition.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "storage/proc.h"

#include "log/partitioner.h"

/* Kafka's batch.size */
#define SL_STICKY_BYTES 16384

/*
 * Austin Appleby's MurmurHash2, with the seed that Kafka uses.  Bytes are taken
 * as little-endian words on every machine.
 */
int32
sl_murmur2(const unsigned char *data, int len)
{
	const uint32 m = 0x5bd1e995;
	uint32		h = 0x9747b28c ^ (uint32) len;
	const unsigned char *end = data + (len & ~3);

	for (; data < end; data += 4)
	{
		uint32		k = (uint32) data[0] | (uint32) data[1] << 8 |
		(uint32) data[2] << 16 | (uint32) data[3] << 24;

		k *= m;
		k ^= k >> 24;
		k *= m;
		h *= m;
		h ^= k;
	}

	switch (len & 3)
	{
		case 3:
			h ^= (uint32) data[2] << 16;
			/* FALLTHROUGH */
		case 2:
			h ^= (uint32) data[1] << 8;
			/* FALLTHROUGH */
		case 1:
			h ^= (uint32) data[0];
			h *= m;
	}

	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return (int32) h;
}

int32
sl_partition_for_key(const unsigned char *key, int len, int32 partitions)
{
	/* the sign is masked, not removed: as Kafka does */
	return (sl_murmur2(key, len) & 0x7fffffff) % partitions;
}

int32
sl_partition_sticky(SlTopic *topic, int bytes)
{
	if (topic->sticky_in != MyProc->lxid ||
		topic->sticky_bytes >= SL_STICKY_BYTES ||
		topic->sticky_partition >= topic->partitions)
	{
		topic->sticky_in = MyProc->lxid;
		topic->sticky_bytes = 0;
		topic->sticky_partition =
			(int32) pg_prng_uint64_range(&pg_global_prng_state, 0,
										 topic->partitions - 1);
	}
	topic->sticky_bytes += bytes;
	return topic->sticky_partition;
}
