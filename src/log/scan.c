/*
 * scan.c
 *		Scanning records of a partition in order.
 *
 * A scan begins where the last one of this backend stopped, if that is where it
 * is wanted, and else searches the segment for the offset; then it goes forward
 * block by block, and from segment to segment.  It sees the heap as any other
 * scan does, by a snapshot, but one that is taken after the end was read: see
 * partition.c for why that makes it complete.
 *
 * In REPEATABLE READ and above the caller's statement must not show what its
 * transaction's snapshot does not, so the scan stops before the first such
 * record: to leave it out would be a hole.
 *
 * The TOAST pointers of a tuple are good only while the segment is locked and
 * the snapshot active: the visitor resolves them at once.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/waitpoint.h"
#include "log/scan.h"
#include "log/search.h"

/* Bytes that come into the cache at once, or less: for prefetching only */
#define SL_CACHE_LINE	64

typedef struct SlScan
{
	SlTopic    *topic;
	SlLog	   *log;
	Relation	rel;
	int64		segment_end;	/* no offset from here on belongs into rel */
	Snapshot	snapshot;
	Snapshot	own;			/* NULL unless the transaction has its own */
	int64		next;			/* next offset that is wanted */
	int64		previous;		/* last one seen, wanted or not */
	int64		end;
	SlScanVisitor visitor;
	void	   *arg;
} SlScan;

/* The visible records of one page, as they lie in it */
typedef struct SlPageRecords
{
	int			n;
	bool		hidden;			/* there was one that the own snapshot hides */
	bool		at_end;			/* there was one at or above the end */
	HeapTupleData tuples[MaxHeapTuplesPerPage];
} SlPageRecords;

/* What is wrong with a record that is_misplaced() */
static void
report_misplaced(SlScan *scan, BlockNumber block, const SlRecordFixed *record)
{
	char	   *detail;

	if (record->partition != scan->log->key.partition)
		detail = psprintf("It holds a record of partition %d.",
						  record->partition);
	else if (record->record_offset <= scan->previous)
		detail = psprintf("It holds offset %lld after %lld.",
						  (long long) record->record_offset,
						  (long long) scan->previous);
	else
		detail = psprintf("It holds offset %lld, the next segment begins at %lld.",
						  (long long) record->record_offset,
						  (long long) scan->segment_end);
	sl_report_damage(scan->rel, block, detail);
}

static inline bool
is_misplaced(const SlScan *scan, const SlRecordFixed *record)
{
	return record->record_offset <= scan->previous ||
		record->record_offset >= scan->segment_end ||
		record->partition != scan->log->key.partition;
}

/* They lie from the end of the page down, which processors do not foresee. */
static inline void
prefetch_tuples(Page page)
{
	int			end = ((PageHeader) page)->pd_upper;

	for (int at = BLCKSZ - SL_CACHE_LINE; at + SL_CACHE_LINE > end; at -= SL_CACHE_LINE)
		__builtin_prefetch((char *) page + at);
}

/* Find what is to be visited in a page, under its content lock. */
static void
collect(SlScan *scan, Buffer buffer, BlockNumber block, SlPageRecords *records)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber max;
	bool		all_visible;
	bool		serializable =
	CheckForSerializableConflictOutNeeded(scan->rel, scan->snapshot);

	records->n = 0;
	records->hidden = false;
	records->at_end = false;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	max = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
	if (max > MaxHeapTuplesPerPage)
		sl_report_damage(scan->rel, block,
						 psprintf("It has %u line pointers.", max));
	prefetch_tuples(page);
	all_visible = PageIsAllVisible(page) && !scan->snapshot->takenDuringRecovery;
	for (OffsetNumber lp = FirstOffsetNumber; lp <= max; lp++)
	{
		HeapTuple	tuple = &records->tuples[records->n];
		Size		len;
		SlRecordFixed *record;
		int64		offset;
		bool		visible;

		tuple->t_data = sl_page_tuple(scan->rel, page, block, lp, &len);
		if (tuple->t_data == NULL)
			continue;
		record = sl_tuple_fixed(tuple->t_data);
		if (is_misplaced(scan, record))
			report_misplaced(scan, block, record);
		offset = record->record_offset;
		scan->previous = offset;
		if (offset < scan->next)
			continue;
		if (offset >= scan->end)
		{
			/* nothing of what is left is wanted, if it is in order: look */
			records->at_end = true;
			continue;
		}

		tuple->t_len = len;
		tuple->t_tableOid = RelationGetRelid(scan->rel);
		ItemPointerSet(&tuple->t_self, block, lp);
		visible = all_visible ||
			HeapTupleSatisfiesVisibility(tuple, scan->snapshot, buffer);
		if (serializable)
			HeapCheckForSerializableConflictOut(visible, scan->rel, tuple,
												buffer, scan->snapshot);
		if (!visible)
		{
			if (sl_tuple_is_deleted(tuple->t_data))
				sl_report_damage(scan->rel, block,
								 psprintf("The record with offset %lld was deleted or updated.",
										  (long long) offset));
			continue;
		}
		if (scan->own && !all_visible && !SL_MUTANT("ignore-own-snapshot") &&
			!HeapTupleSatisfiesVisibility(tuple, scan->own, buffer))
		{
			records->hidden = true;
			break;
		}
		records->n++;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/* One page: false if the scan ends in it, with *result saying how. */
static bool
scan_page(SlScan *scan, BlockNumber block, SlScanResult *result)
{
	Buffer		buffer = ReadBuffer(scan->rel, block);
	SlPageRecords records;
	bool		more = true;

	collect(scan, buffer, block, &records);
	for (int i = 0; i < records.n && more; i++)
	{
		HeapTuple	tuple = &records.tuples[i];

		more = scan->visitor(scan->arg, scan->rel, tuple);
		if (more)
			scan->next = sl_tuple_fixed(tuple->t_data)->record_offset + 1;
		else
			*result = SL_SCAN_STOPPED;
	}
	ReleaseBuffer(buffer);

	if (more && records.hidden)
	{
		*result = SL_SCAN_HIDDEN;
		return false;
	}
	if (more && records.at_end)
	{
		*result = SL_SCAN_END;
		return false;
	}
	return more;
}

/* Does the block where the last fetch stopped serve this one? */
static bool
hint_fits(SlScan *scan, BlockNumber nblocks)
{
	SlLog	   *log = scan->log;
	int64		first;

	return log->hint_segment == RelationGetRelid(scan->rel) &&
		log->hint_file == sl_relation_file(scan->rel) &&
		log->hint_offset == scan->next &&
		log->hint_block < nblocks &&
		sl_block_first_offset(scan->rel, log->hint_block, &first) &&
		first <= scan->next;
}

/* Scan one segment. */
static bool
scan_segment(SlScan *scan, const SlSegment *segment, SlScanResult *result)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(scan->rel);
	BlockNumber block;
	bool		more = true;

	if (hint_fits(scan, nblocks))
		block = scan->log->hint_block;
	else
		block = sl_search_block(scan->rel, nblocks, scan->next, segment->base,
								scan->segment_end);
	PredicateLockRelation(scan->rel, scan->snapshot);

	scan->previous = segment->base - 1;
	for (; block < nblocks && more; block++)
	{
		CHECK_FOR_INTERRUPTS();
		more = scan_page(scan, block, result);
		scan->log->hint_block = block;
	}
	scan->log->hint_segment = RelationGetRelid(scan->rel);
	scan->log->hint_file = sl_relation_file(scan->rel);
	scan->log->hint_offset = scan->next;
	return more;
}

/* The segment that holds an offset; -1 if it is below all of them. */
static int
find_segment(const SlLog *log, int64 offset)
{
	int			low = -1;
	int			high = log->nsegments;

	while (high - low > 1)
	{
		int			middle = (low + high) / 2;

		if (log->segments[middle].base <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

SlScanResult
sl_scan(SlTopic *topic, SlLog *log, int64 offset, int64 end,
		SlScanVisitor visitor, void *arg, int64 *reached)
{
	SlScanResult result = SL_SCAN_END;
	SlScan		scan = {
		.topic = topic,
		.log = log,
		.snapshot = GetActiveSnapshot(),
		.own = IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : NULL,
		.next = offset,
		.end = end,
		.visitor = visitor,
		.arg = arg
	};
	int			i = find_segment(log, offset);
	bool		more = i >= 0;

	*reached = offset;
	if (i < 0 && sl_log_starts_above(topic, log, offset))
		return SL_SCAN_DELETED;
	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("no segment of topic \"%s\" partition %d holds offset %lld",
						topic->name, log->key.partition, (long long) offset),
				 errhint("Run check_topic('%s').", topic->name)));

	for (; more && i < log->nsegments && log->segments[i].base < end; i++)
	{
		const SlSegment *segment = &log->segments[i];

		scan.rel = sl_log_open_segment(topic, log, segment, scan.next);
		if (!scan.rel)
		{
			result = SL_SCAN_DELETED;
			break;
		}
		scan.segment_end = i + 1 < log->nsegments ?
			log->segments[i + 1].base : PG_INT64_MAX;
		more = scan_segment(&scan, segment, &result);
		table_close(scan.rel, AccessShareLock);
	}
	*reached = result == SL_SCAN_END ? end : scan.next;
	return result;
}
