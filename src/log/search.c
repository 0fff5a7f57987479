/*
 * search.c
 *		Finding an offset in a segment.
 *
 * A segment's tuples stand in the file in the order of their offsets (append.c
 * sees to it), so the file is its own index: the first tuple of a block says
 * whether an offset is before it, and a bisection over the blocks finds it.
 * Aborted tuples count like any other, for they are in order too.
 *
 * A block may hold no tuple with storage: all of its tuples were aborted and
 * pruned, or a crash came between extending the file and filling it.  It then
 * says what the next block on its right says.
 *
 * Whoever breaks the order (VACUUM FULL of a foreign tool, a restore in another
 * order, a broken disk) would make a bisection skip records without a sign.  So
 * what is read is compared with what must hold: base <= first <= last < end,
 * and every probe lies between its neighbours.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "log/search.h"

void
sl_report_damage(Relation rel, BlockNumber block, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("segment \"%s\" is damaged at block %u",
					RelationGetRelationName(rel), block),
			 errdetail("%s", detail),
			 errhint("Run check_topic() on the topic to see what is affected.")));
}

bool
sl_tuple_is_deleted(HeapTupleHeader tuple)
{
	uint16		infomask = tuple->t_infomask;

	if ((infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(infomask))
		return false;
	if (!HeapTupleHeaderXminCommitted(tuple) &&
		!TransactionIdDidCommit(HeapTupleHeaderGetXmin(tuple)))
		return false;
	return (infomask & HEAP_XMAX_COMMITTED) ||
		TransactionIdDidCommit(HeapTupleHeaderGetUpdateXid(tuple));
}

static bool
block_offset(Relation rel, BlockNumber block, bool last, int64 *offset)
{
	Buffer		buffer = ReadBuffer(rel, block);
	Page		page = BufferGetPage(buffer);
	HeapTupleHeader tuple = NULL;
	OffsetNumber max;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	max = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
	for (OffsetNumber i = FirstOffsetNumber; i <= max && !tuple; i++)
		tuple = sl_page_tuple(rel, page, block, last ? max + 1 - i : i, NULL);
	if (tuple)
		*offset = sl_tuple_fixed(tuple)->record_offset;
	UnlockReleaseBuffer(buffer);
	return tuple != NULL;
}

bool
sl_block_first_offset(Relation rel, BlockNumber block, int64 *offset)
{
	return block_offset(rel, block, false, offset);
}

bool
sl_block_last_offset(Relation rel, BlockNumber block, int64 *offset)
{
	return block_offset(rel, block, true, offset);
}

int64
sl_search_end(Relation rel, int64 base)
{
	BlockNumber block = RelationGetNumberOfBlocks(rel);
	int64		offset;

	while (block > 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (sl_block_last_offset(rel, --block, &offset))
		{
			if (offset < base)
				sl_report_damage(rel, block,
								 psprintf("It holds offset %lld, the segment begins at %lld.",
										  (long long) offset, (long long) base));
			return offset + 1;
		}
	}
	return base;
}

/*
 * The first block from *block on, below limit, that has a tuple; false if none
 * has.
 */
static bool
first_filled(Relation rel, BlockNumber *block, BlockNumber limit,
			 int64 *offset)
{
	for (; *block < limit; (*block)++)
	{
		CHECK_FOR_INTERRUPTS();
		if (sl_block_first_offset(rel, *block, offset))
			return true;
	}
	return false;
}

BlockNumber
sl_search_block(Relation rel, BlockNumber nblocks, int64 offset, int64 base,
				int64 end)
{
	BlockNumber low = 0;
	BlockNumber high = nblocks;
	int64		low_first;
	int64		high_first = end;

	if (!first_filled(rel, &low, nblocks, &low_first))
		return nblocks;
	if (low_first < base || low_first >= end)
		sl_report_damage(rel, low,
						 psprintf("It begins with offset %lld, the segment holds %lld to %lld.",
								  (long long) low_first, (long long) base,
								  (long long) end - 1));
	/* look at the far end too, or a rotated file could go unnoticed */
	while (high - low > 1)
	{
		int64		first;

		CHECK_FOR_INTERRUPTS();
		if (sl_block_first_offset(rel, high - 1, &first))
		{
			if (first <= low_first || first >= end)
				sl_report_damage(rel, high - 1,
								 psprintf("It begins with offset %lld, before it is %lld, the segment ends at %lld.",
										  (long long) first,
										  (long long) low_first,
										  (long long) end - 1));
			if (first <= offset)
				return high - 1;
			high_first = first;
			high--;
			break;
		}
		high--;
	}

	/* low_first <= offset < high_first, unless offset precedes everything */
	while (high - low > 1 && low_first < offset)
	{
		BlockNumber middle = low + (high - low) / 2;
		BlockNumber probe = middle;
		int64		first;

		if (!first_filled(rel, &probe, high, &first))
		{
			high = middle;
			continue;
		}
		if (first <= low_first || first >= high_first)
			sl_report_damage(rel, probe,
							 psprintf("It begins with offset %lld, between blocks that begin with %lld and %lld.",
									  (long long) first, (long long) low_first,
									  (long long) high_first));
		if (first <= offset)
		{
			low = probe;
			low_first = first;
		}
		else
		{
			high = middle;
			high_first = first;
		}
	}
	return low;
}
