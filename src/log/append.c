/*
 * append.c
 *		Appending records to the end of a partition.
 *
 * The tuples of a segment must stand in its file in the order of their offsets,
 * for that is how they are found.  The heap does not promise so much by itself;
 * these are the rules that make it so:
 *
 *	1.	One append at a time: under the partition's append lock, a heavyweight
 *		lock, because one may have to wait for it at a commit, where it should
 *		be interruptible, and because an abort must release it.
 *	2.	Where to append is decided under the lock: if the partition has rolled
 *		since, it is let go of and taken again for the new segment.
 *	3.	Tuples go to the last block of the file, and then to new ones behind it:
 *		no block is ever chosen by the free space map.
 *	4.	In the last block they get line pointers behind all others.  VACUUM may
 *		have freed some in the middle and have left the hint that there are
 *		such: the hint is cleared.  VACUUM frees line pointers of a table
 *		without indexes only while nobody else has the page pinned: so the page
 *		is kept pinned from before the hint is cleared to the end of the append.
 *	5.	Offsets are given out under the lock, in the order of the tuples.
 *
 * As a last resort the places are compared: if they do not ascend from the last
 * line pointer of the last block on, the transaction fails.
 *
 * The file is extended by as many blocks as the records at hand will fill, and
 * each block is filled by one call: both because heap_multi_insert() would
 * otherwise look at the full block first and add one block at a time.
 *
 * Crash safety: nothing here is written but by the heap itself.  A crash after
 * the file was extended leaves empty blocks at its end, which readers skip, and
 * of which the next append uses the last.
 *
 * Lock order: the topic's table, the segments, then the append lock; under it
 * nothing is waited for but the locks of pages and the segment's TOAST table.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/table.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/waitpoint.h"
#include "log/append.h"
#include "log/search.h"
#include "shmem/workers.h"

/* The most blocks that a file is extended by at once */
#define SL_MAX_EXTEND		128

/*
 * How often a busy append lock is looked at again, how often of these at once, and
 * after what rest (us) else
 */
#define SL_LOCK_TRIES		30
#define SL_LOCK_SPINS		5
#define SL_LOCK_REST		50

/* What heap_multi_insert() takes, for up to a block of records */
static TupleTableSlot *slots[MaxHeapTuplesPerPage];
static HeapTupleData tuples[MaxHeapTuplesPerPage];
static MemoryContext append_context = NULL;

/* The state of one append under the lock */
typedef struct SlAppend
{
	Relation	rel;
	CommandId	cid;
	BlockNumber nblocks;		/* of the file */
	BlockNumber block;			/* that is being filled */
	BlockNumber at_start;		/* blocks when the append began */
	Size		room;			/* for tuples in it */
	int			line_pointers;	/* in it */
	Buffer		pinned;			/* the block that was last at the start */
	ItemPointerData last_tid;	/* everything must go behind this */
} SlAppend;

static void
set_append_tag(LOCKTAG *tag, Oid relation, int32 partition)
{
	/* shows in pg_locks with the topic's table as classid */
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, relation, (uint32) partition, 0);
}

/* Some microseconds, without the scheduler */
static void
spin(void)
{
	for (int i = 0; i < 100; i++)
		SPIN_DELAY();
}

/*
 * An append of a few records takes less time than to put a waiter to sleep and
 * to wake it.  With a queue of waiters the lock goes from one sleeper to the
 * next, and all wait for the scheduler: so a waiter first looks again a few times,
 * at once and then after a short rest, and queues only then.
 */
void
sl_append_lock(Oid relation, int32 partition)
{
	LOCKTAG		tag;

	set_append_tag(&tag, relation, partition);
	for (int i = 0; i < SL_LOCK_TRIES; i++)
	{
		if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return;
		CHECK_FOR_INTERRUPTS();
		if (i < SL_LOCK_SPINS)
			spin();
		else
			pg_usleep(SL_LOCK_REST);
	}
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
sl_append_unlock(Oid relation, int32 partition)
{
	LOCKTAG		tag;

	set_append_tag(&tag, relation, partition);
	LockRelease(&tag, ExclusiveLock, false);
}

/*
 * The slots hold tuples that lie in a buffer of records.  heap_multi_insert()
 * would copy them unless a slot says that the tuple is its own, so it does;
 * nothing may ever clear such a slot.
 */
static void
make_slots(Relation rel)
{
	MemoryContext old;
	TupleDesc	desc;

	if (append_context)
		return;
	append_context = AllocSetContextCreate(TopMemoryContext,
										   "streamlog append",
										   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(TopMemoryContext);
	desc = CreateTupleDescCopy(RelationGetDescr(rel));
	for (int i = 0; i < MaxHeapTuplesPerPage; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	MemoryContextSwitchTo(old);
}

static void
fill_slot(int i, SlRecord *record)
{
	HeapTupleTableSlot *slot = (HeapTupleTableSlot *) slots[i];

	tuples[i].t_len = record->tuple_len;
	tuples[i].t_data = sl_record_tuple(record);
	ItemPointerSetInvalid(&tuples[i].t_self);
	tuples[i].t_tableOid = InvalidOid;
	slot->tuple = &tuples[i];
	slot->off = 0;
	slot->base.tts_nvalid = 0;
	slot->base.tts_flags &= ~TTS_FLAG_EMPTY;
	slot->base.tts_flags |= TTS_FLAG_SHOULDFREE;
}

static void
empty_slots(int n)
{
	for (int i = 0; i < n; i++)
	{
		HeapTupleTableSlot *slot = (HeapTupleTableSlot *) slots[i];

		slot->tuple = NULL;
		slot->base.tts_flags |= TTS_FLAG_EMPTY;
		slot->base.tts_flags &= ~TTS_FLAG_SHOULDFREE;
	}
}

void
sl_append_at_abort(void)
{
	if (append_context)
	{
		empty_slots(MaxHeapTuplesPerPage);
		MemoryContextReset(append_context);
	}
}

/* Might the toaster make something else of it? */
static inline bool
is_big(const SlRecord *record)
{
	return record->tuple_len > 8000;
}

static void
look_at_block(SlAppend *append, BlockNumber block, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);

	append->block = block;
	append->room = PageIsNew(page) ? 0 : PageGetHeapFreeSpace(page);
	append->line_pointers = PageIsNew(page) ? 0 : PageGetMaxOffsetNumber(page);
	if (PageIsNew(page))
		append->room = BLCKSZ - SizeOfPageHeaderData - sizeof(ItemIdData);
}

/*
 * What is there must precede what is appended, or no reader would find that; it
 * is, unless somebody has written to the segment by hand.
 */
static void
check_last_record(SlAppend *append, Page page, int64 first)
{
	for (OffsetNumber lp = append->line_pointers; lp > 0; lp--)
	{
		HeapTupleHeader tuple = sl_page_tuple(append->rel, page, append->block,
											  lp, NULL);

		if (tuple == NULL)
			continue;
		if (sl_tuple_fixed(tuple)->record_offset >= first)
			sl_report_damage(append->rel, append->block,
							 psprintf("It holds offset %lld already, and %lld comes next.",
									  (long long) sl_tuple_fixed(tuple)->record_offset,
									  (long long) first));
		return;
	}
}

/* Rules 3 and 4: the last block, without line pointers that VACUUM has freed. */
static void
begin_at_last_block(SlAppend *append, Relation rel, int64 first)
{
	append->rel = rel;
	append->cid = GetCurrentCommandId(true);
	append->nblocks = RelationGetNumberOfBlocks(rel);
	append->at_start = append->nblocks;
	append->room = 0;
	append->line_pointers = 0;
	append->block = InvalidBlockNumber;
	append->pinned = InvalidBuffer;
	ItemPointerSetInvalid(&append->last_tid);

	if (append->nblocks > 0)
	{
		Buffer		buffer = ReadBuffer(rel, append->nblocks - 1);
		Page		page = BufferGetPage(buffer);

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (!PageIsNew(page) && PageHasFreeLinePointers(page) &&
			!SL_MUTANT("keep-free-lines"))
		{
			/* a hint, which is neither logged nor compared */
			PageClearHasFreeLinePointers(page);
			MarkBufferDirtyHint(buffer, true);
		}
		look_at_block(append, append->nblocks - 1, buffer);
		check_last_record(append, page, first);
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		if (append->line_pointers > 0)
			ItemPointerSet(&append->last_tid, append->block,
						   append->line_pointers);
		if (SL_MUTANT("no-pin"))
			ReleaseBuffer(buffer);
		else
			append->pinned = buffer;
		SL_WAITPOINT("append-pinned");
	}
}

/* How many blocks the records from here on will fill, up to a big one. */
static int
blocks_needed(SlRecord **records, int n)
{
	int			blocks = 0;
	Size		room = 0;
	int			pointers = 0;

	for (int i = 0; i < n && !is_big(records[i]); i++)
	{
		Size		len = MAXALIGN(records[i]->tuple_len);

		if (room < len || pointers >= MaxHeapTuplesPerPage)
		{
			if (blocks == SL_MAX_EXTEND)
				break;
			blocks++;
			room = BLCKSZ - SizeOfPageHeaderData - sizeof(ItemIdData);
			pointers = 0;
		}
		room -= Min(room, len + sizeof(ItemIdData));
		pointers++;
	}
	return blocks;
}

/* Go on to the next block, which may have to be added to the file. */
static void
begin_next_block(SlAppend *append, SlRecord **records, int n)
{
	BlockNumber next = append->block == InvalidBlockNumber ? 0 : append->block + 1;
	Buffer		buffer;

	if (next >= append->nblocks)
	{
		int			blocks = blocks_needed(records, n);

		LockRelationForExtension(append->rel, ExclusiveLock);
		sl_smgr_zeroextend(RelationGetSmgr(append->rel), append->nblocks, blocks);
		UnlockRelationForExtension(append->rel, ExclusiveLock);
		append->nblocks += blocks;
		SL_WAITPOINT("append-extended");
	}

	/* not read, for there is nothing in it */
	buffer = ReadBufferExtended(append->rel, MAIN_FORKNUM, next,
								RBM_ZERO_AND_LOCK, NULL);
	look_at_block(append, next, buffer);
	UnlockReleaseBuffer(buffer);
}

/* Fill the slots with what goes into the current block; returns how many. */
static int
fill_slots(SlAppend *append, SlRecord **records, int n)
{
	int			filled = 0;

	while (filled < n && !is_big(records[filled]) &&
		   append->line_pointers + filled < MaxHeapTuplesPerPage)
	{
		Size		len = MAXALIGN(records[filled]->tuple_len);

		if (append->room < len)
			break;
		append->room -= Min(append->room, len + sizeof(ItemIdData));
		fill_slot(filled, records[filled]);
		filled++;
	}
	return filled;
}

static void
insert(SlAppend *append, int n)
{
	if (append->block != InvalidBlockNumber)
		RelationSetTargetBlock(append->rel, append->block);
	heap_multi_insert(append->rel, slots, n, append->cid,
					  HEAP_INSERT_SKIP_FSM, NULL);
	for (int i = 0; i < n; i++)
	{
		ItemPointer tid = &slots[i]->tts_tid;

		if (ItemPointerIsValid(&append->last_tid) &&
			ItemPointerCompare(tid, &append->last_tid) <= 0)
			sl_report_damage(append->rel, ItemPointerGetBlockNumber(tid),
							 "Records went to places that are not in order.");
		append->last_tid = *tid;
	}
	empty_slots(n);
	append->line_pointers += n;
}

/* A record that the toaster may take apart: the heap finds its place. */
static void
insert_big(SlAppend *append, SlRecord *record)
{
	Buffer		buffer;
	BlockNumber block;

	fill_slot(0, record);
	insert(append, 1);

	block = ItemPointerGetBlockNumber(&append->last_tid);
	append->nblocks = Max(append->nblocks, block + 1);
	buffer = ReadBuffer(append->rel, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	look_at_block(append, block, buffer);
	UnlockReleaseBuffer(buffer);
}

/* Returns whether the segment has grown and is to be rolled. */
static bool
append_to_segment(Relation rel, SlRecord **records, int n,
				  int64 segment_bytes)
{
	SlAppend	append;
	MemoryContext old;
	int			done = 0;
	bool		any_big = false;

	make_slots(rel);
	old = MemoryContextSwitchTo(append_context);
	begin_at_last_block(&append, rel,
						sl_tuple_fixed(sl_record_tuple(records[0]))->record_offset);
	while (done < n)
	{
		int			filled;

		if (is_big(records[done]))
		{
			insert_big(&append, records[done++]);
			any_big = true;
		}
		else if ((filled = fill_slots(&append, records + done, n - done)) > 0)
		{
			insert(&append, filled);
			done += filled;
		}
		else
			begin_next_block(&append, records + done, n - done);
	}
	if (BufferIsValid(append.pinned))
		ReleaseBuffer(append.pinned);
	MemoryContextSwitchTo(old);
	MemoryContextReset(append_context);

	return (append.nblocks > append.at_start || any_big) &&
		sl_segment_size(rel) >= segment_bytes;
}

/* Number the records, under the append lock. */
static void
number_records(SlTopic *topic, SlRecord **records, int n, int64 offset)
{
	TimestampTz now = topic->config.log_append_time ? GetCurrentTimestamp() : 0;

	for (int i = 0; i < n; i++)
	{
		SlRecordFixed *fixed = sl_tuple_fixed(sl_record_tuple(records[i]));

		fixed->record_offset = offset + i;
		if (topic->config.log_append_time)
			fixed->timestamp = now;
	}
}

static void
segment_is_gone(SlTopic *topic)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the active segment of topic \"%s\" is missing", topic->name),
			 errhint("Run check_topic('%s').", topic->name)));
}

/*
 * Open the active segment for appending.  One that is not there has been rolled
 * and dropped since we asked, or is one that this transaction has made and rolled
 * back: then what the catalog says is found out anew.
 */
static Relation
open_active(SlTopic *topic, SlLog **log, SlPartitionState *state)
{
	int32		partition = (*log)->key.partition;
	Oid			gone = InvalidOid;
	bool		forgotten = false;

	for (;;)
	{
		Relation	rel;

		*log = sl_log_open_for_append(topic, partition, state);
		SL_WAITPOINT("append-before-open");
		rel = sl_segment_open(topic, state->active_segment, RowExclusiveLock);
		if (rel)
			return rel;

		/* others append to the partition, unless it is still the active one */
		if (state->active_segment != gone && !SL_MUTANT("forget-rolled"))
			gone = state->active_segment;
		else if (!forgotten)
		{
			sl_partition_forget(&(*log)->key);
			forgotten = true;
		}
		else
			segment_is_gone(topic);
	}
}

void
sl_append_prepare(SlTopic *topic, SlLog *log)
{
	SlPartitionState state;

	table_close(open_active(topic, &log, &state), NoLock);
}

int64
sl_append(SlTopic *topic, SlLog *log, SlClaim *claim, SlRecord **records,
		  int n)
{
	for (;;)
	{
		SlPartitionState state;
		Relation	rel = open_active(topic, &log, &state);
		int64		offset;
		bool		allocated;
		bool		large = false;

		SL_WAITPOINT("append-before-lock");
		sl_append_lock(log->key.relation, log->key.partition);
		allocated = sl_claim_allocate(log->part, &log->key, claim,
									  state.active_segment, n, &offset);
		if (allocated)
		{
			SL_WAITPOINT("append-allocated");
			number_records(topic, records, n, offset);
			large = append_to_segment(rel, records, n,
									  topic->config.segment_bytes);
		}
		sl_append_unlock(log->key.relation, log->key.partition);
		table_close(rel, NoLock);
		if (large)
			sl_workers_wake_for(SL_WORK_ROLL, log->key.relation,
								log->key.partition);
		if (allocated)
			return offset + n - 1;

		/* rolled, or the entry was evicted, while we waited: again */
	}
}
