/*
 * timeindex.c
 *		Which part of a segment may hold a time.
 *
 * Timestamps come from producers and need not ascend.  The largest timestamp
 * from a segment's beginning up to some place does, so a bisection over it finds
 * the first MB that can hold a record as late as wanted; from there on the
 * records themselves are looked at.
 *
 * The worker indexes a chunk once it is full.  How far the file is full it reads
 * under the append lock: an append adds many empty blocks and then fills them, but
 * between two of them nothing before the last block is ever written to again.  It
 * takes in every tuple, decided or not, visible or not: too large a timestamp
 * only makes a search begin too early.  So the index is always right as far as it
 * goes, also after a crash, and may lag or be missing at will.  Once a segment is
 * sealed and indexed to its end, its row gets its smallest and largest timestamp.
 *
 * VACUUM FULL moves records to other blocks, so a row tells of which file it is:
 * one of another counts as missing.  A sealed segment that is rewritten is not
 * indexed again, and searched from its beginning.
 *
 * To find what to do the worker looks at all segments, but not often; what it
 * has found complete it remembers.  Each segment is dealt with in a transaction
 * of its own, and left for the next look if somebody has a strong lock on it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/waitpoint.h"
#include "catalog/segment_time.h"
#include "catalog/worklist.h"
#include "log/append.h"
#include "log/search.h"
#include "log/timeindex.h"
#include "shmem/workers.h"

/* How often the worker looks at all segments (ms) */
#define SL_LOOK_INTERVAL	10000

/* Chunks that are indexed in one transaction, and segments in one turn */
#define SL_CHUNKS_A_TIME	8
#define SL_SEGMENTS_A_TURN	16

/* A segment that the worker has to look at */
typedef struct SlTimeWork
{
	Oid			topic;			/* its table */
	int32		topic_id;
	int32		partition;
	SlSegment	segment;
} SlTimeWork;

static SlTimeWork *work = NULL;
static int	nwork = 0;
static int	max_work = 0;
static TimestampTz looked = 0;

/* Tables of segments that are indexed to their end, and hold no record */
static HTAB *complete = NULL;

static inline bool
is_of_file(Relation rel, const SlChunkTime *row)
{
	return row->file == sl_relation_file(rel) || SL_MUTANT("any-file");
}

/* The row of one chunk, or (chunk -1) of the last one */
static bool
get_row(Relation rel, int32 chunk, SlChunkTime *row)
{
	return sl_chunk_time_get(RelationGetRelid(rel), chunk, row) &&
		is_of_file(rel, row);
}

BlockNumber
sl_timeindex_block(Relation rel, TimestampTz time)
{
	SlChunkTime row;
	int32		low = -1;		/* all before it is too old */
	int32		high;

	if (!get_row(rel, -1, &row))
		return 0;
	if (row.max_timestamp < time)
		return (BlockNumber) (row.chunk + 1) * SL_CHUNK_BLOCKS;

	high = row.chunk;
	while (high - low > 1)
	{
		int32		middle = low + (high - low) / 2;

		if (!get_row(rel, middle, &row))
			return 0;			/* a hole: somebody has been at the table */
		if (row.max_timestamp < time)
			low = middle;
		else
			high = middle;
	}
	return (BlockNumber) high * SL_CHUNK_BLOCKS;
}

/* Take in the timestamps of a block. */
static void
add_block(Relation rel, BlockNumber block, SlChunkTime *times)
{
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	OffsetNumber max;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	max = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
	for (OffsetNumber lp = FirstOffsetNumber; lp <= max; lp++)
	{
		HeapTupleHeader tuple = sl_page_tuple(rel, page, block, lp, NULL);
		TimestampTz time;

		if (tuple == NULL)
			continue;
		time = sl_tuple_fixed(tuple)->timestamp;
		times->min_timestamp = Min(times->min_timestamp, time);
		times->max_timestamp = Max(times->max_timestamp, time);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * How many blocks there are, of which only the last is still written to; where
 * there are not more than wanted it does not matter.
 */
static BlockNumber
settled_blocks(SlTimeWork *item, Relation rel, BlockNumber wanted)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	if (item->segment.sealed || nblocks <= wanted ||
		SL_MUTANT("index-while-filled"))
		return nblocks;
	sl_append_lock(item->topic, item->partition);
	nblocks = RelationGetNumberOfBlocks(rel);
	sl_append_unlock(item->topic, item->partition);
	return nblocks;
}

/* Index what is full and not indexed; true if that is all of the segment. */
static bool
index_segment(SlTimeWork *item, Relation rel)
{
	SlChunkTime times;
	bool		any = sl_chunk_time_get(RelationGetRelid(rel), -1, &times);
	BlockNumber nblocks;
	BlockNumber block;

	if (!any || !is_of_file(rel, &times))
	{
		if (any)
			sl_chunk_time_delete(RelationGetRelid(rel));
		times.chunk = -1;
		times.file = sl_relation_file(rel);
		times.min_timestamp = PG_INT64_MAX;
		times.max_timestamp = PG_INT64_MIN;
	}
	block = (BlockNumber) (times.chunk + 1) * SL_CHUNK_BLOCKS;
	nblocks = settled_blocks(item, rel, block + SL_CHUNK_BLOCKS);
	for (int i = 0; i < SL_CHUNKS_A_TIME && block + SL_CHUNK_BLOCKS < nblocks; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < SL_CHUNK_BLOCKS; j++)
			add_block(rel, block++, &times);
		times.chunk++;

		/* nothing but empty blocks so far: from infinity to -infinity */
		sl_chunk_time_insert(RelationGetRelid(rel), &times);
	}
	if (!item->segment.sealed || block + SL_CHUNK_BLOCKS < nblocks)
		return !item->segment.sealed;

	for (; block < nblocks; block++)
		add_block(rel, block, &times);
	if (times.max_timestamp != PG_INT64_MIN)
		sl_segment_set_times(item->topic_id, item->partition,
							 item->segment.base, times.min_timestamp,
							 times.max_timestamp);
	else
		(void) hash_search(complete, &item->segment.relation, HASH_ENTER, NULL);
	return true;
}

/* One segment, in a transaction; false if there is more to be done in it. */
static bool
deal_with(SlTimeWork *item)
{
	bool		done = true;
	SlTopic    *topic;
	Relation	rel = NULL;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (ConditionalLockRelationOid(item->topic, AccessShareLock) &&
		(topic = sl_topic_find_by_relation(item->topic)) != NULL &&
		ConditionalLockRelationOid(item->segment.relation, AccessShareLock))
		rel = sl_segment_open(topic, item->segment.relation, NoLock);
	if (rel)
	{
		done = index_segment(item, rel);
		relation_close(rel, NoLock);
	}
	CommitTransactionCommand();
	return done;
}

static void
add_work(const SlTopicEntry *topic, int32 partition, const SlSegment *segment)
{
	if (segment->has_max ||
		hash_search(complete, &segment->relation, HASH_FIND, NULL))
		return;
	if (nwork == max_work)
	{
		max_work = Max(64, max_work * 2);
		work = work ? repalloc_array(work, SlTimeWork, max_work) :
			MemoryContextAlloc(TopMemoryContext, max_work * sizeof(SlTimeWork));
	}
	work[nwork].topic = topic->relation;
	work[nwork].topic_id = topic->topic_id;
	work[nwork].partition = partition;
	work[nwork].segment = *segment;
	nwork++;
}

/* List all segments that may have something to be indexed. */
static void
look(void)
{
	SlTopicEntry *topics;
	int			ntopics;

	if (complete == NULL)
	{
		HASHCTL		info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(Oid);
		info.hcxt = TopMemoryContext;
		complete = hash_create("streamlog indexed segments", 64, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	ntopics = sl_worklist_topics(0, &topics);
	for (int i = 0; i < ntopics; i++)
		for (int32 p = 0; p < topics[i].partitions && !topics[i].dropped; p++)
		{
			SlSegment  *segments;
			int			n = sl_segment_list(topics[i].topic_id, p, &segments);

			for (int s = 0; s < n; s++)
				add_work(&topics[i], p, &segments[s]);
			pfree(segments);
		}
	CommitTransactionCommand();
}

bool
sl_timeindex_advance(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (nwork == 0)
	{
		if (looked != 0 &&
			!TimestampDifferenceExceeds(looked, now, SL_LOOK_INTERVAL))
			return false;
		looked = now;
		look();
	}
	for (int i = 0; i < SL_SEGMENTS_A_TURN && nwork > 0; i++)
	{
		SlTimeWork	item;

		/* this can wait, and what the worker is woken for should not */
		if (sl_workers_is_woken())
			break;

		/* out of the list first, lest an error be met again and again */
		item = work[--nwork];
		if (!deal_with(&item))
			work[nwork++] = item;
	}
	return nwork > 0;
}
