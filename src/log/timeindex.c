/*
 * timeindex.c
 *		Which part of a segment may hold a time.
 *
 * Timestamps come from producers and need not ascend.  The largest timestamp
 * from a segment's beginning up to some place does, so a bisection over it finds
 * the first MB that can hold a record as late as wanted; from there on the
 * records themselves are looked at.
 *
 * The worker indexes a chunk once it is full, that is, once there is a block
 * behind it: no append goes back to it.  It takes in every tuple, decided or
 * not, visible or not: too large a timestamp only makes a search begin too
 * early.  So the index is always right as far as it goes, also after a crash,
 * and may lag or be missing at will.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog/segment_time.h"
#include "log/search.h"
#include "log/timeindex.h"

BlockNumber
sl_timeindex_block(Oid relation, TimestampTz time)
{
	SlChunkTime row;
	int32		low = -1;		/* all before it is too old */
	int32		high;

	if (!sl_chunk_time_get(relation, -1, &row))
		return 0;
	if (row.max_timestamp < time)
		return (BlockNumber) (row.chunk + 1) * SL_CHUNK_BLOCKS;

	high = row.chunk;
	while (high - low > 1)
	{
		int32		middle = low + (high - low) / 2;

		if (!sl_chunk_time_get(relation, middle, &row))
			return 0;			/* a hole: somebody has been at the table */
		if (row.max_timestamp < time)
			low = middle;
		else
			high = middle;
	}
	return (BlockNumber) high * SL_CHUNK_BLOCKS;
}
