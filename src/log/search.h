/*
 * search.h
 *		Finding an offset in a segment.
 */
#ifndef SL_SEARCH_H
#define SL_SEARCH_H

#include "storage/block.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

#include "log/record.h"

/* Raise DATA_CORRUPTED for a place in a segment. */
extern void sl_report_damage(Relation rel, BlockNumber block,
							 const char *detail) pg_attribute_noreturn();

/* Can what a line pointer with storage leads to be a record? */
static inline bool
sl_is_record(ItemId item, HeapTupleHeader tuple)
{
	return ItemIdGetLength(item) >= SL_HOFF + SL_FIXED_SIZE &&
		ItemIdGetOffset(item) + ItemIdGetLength(item) <= BLCKSZ &&
		tuple->t_hoff == SL_HOFF;
}

/*
 * The tuple at a line pointer of a page of a segment, NULL if the pointer has
 * no storage.  The buffer's content lock is held.  Raises DATA_CORRUPTED if
 * what is there cannot be a record.
 */
static inline HeapTupleHeader
sl_page_tuple(Relation rel, Page page, BlockNumber block, OffsetNumber lp,
			  Size *len)
{
	ItemId		item = PageGetItemId(page, lp);
	HeapTupleHeader tuple;

	if (!ItemIdIsNormal(item))
		return NULL;
	tuple = (HeapTupleHeader) PageGetItem(page, item);
	if (unlikely(!sl_is_record(item, tuple)))
		sl_report_damage(rel, block,
						 psprintf("Item %u is not a record.", lp));
	if (len)
		*len = ItemIdGetLength(item);
	return tuple;
}

/*
 * Was this record committed, and then deleted or updated?  Nothing that is ours
 * does that.  The buffer's content lock is held.
 */
extern bool sl_tuple_is_deleted(HeapTupleHeader tuple);

/*
 * The offset of the first (last) tuple with storage in a block, visible or not;
 * false if there is none.  Takes and releases the buffer's content lock.
 */
extern bool sl_block_first_offset(Relation rel, BlockNumber block,
								  int64 *offset);
extern bool sl_block_last_offset(Relation rel, BlockNumber block,
								 int64 *offset);

/*
 * The block at which a scan for offset has to begin: every tuple in an earlier
 * one has a smaller offset.  base and end bound what the segment may hold.
 * Raises DATA_CORRUPTED where it meets disorder.
 */
extern BlockNumber sl_search_block(Relation rel, BlockNumber nblocks,
								   int64 offset, int64 base, int64 end);

/* One more than the last tuple with storage, visible or not; base if none. */
extern int64 sl_search_end(Relation rel, int64 base);

#endif							/* SL_SEARCH_H */
