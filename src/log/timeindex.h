/*
 * timeindex.h
 *		Which part of a segment may hold a time.
 */
#ifndef SL_TIMEINDEX_H
#define SL_TIMEINDEX_H

#include "storage/block.h"

#include "utils/rel.h"

#include "log/log.h"

/* Blocks of a chunk: 1 MB */
#define SL_CHUNK_BLOCKS		(1024 * 1024 / BLCKSZ)

/*
 * The first block of a segment, which is open, in which a record with a timestamp
 * not before time may lie.
 */
extern BlockNumber sl_timeindex_block(Relation rel, TimestampTz time);

/*
 * The worker's job: index what has been appended since, up to some amount.
 * Runs transactions of its own; true if there is more to do at once.
 */
extern bool sl_timeindex_advance(void);

#endif							/* SL_TIMEINDEX_H */
