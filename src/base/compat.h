/*
 * compat.h
 *		Every difference between the PostgreSQL majors that we build on.
 *
 * The rest of the code is written against one API; what a major lacks of it is
 * made up for here, and nowhere else is there an #if on the version.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "storage/buffile.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/rel.h"

#if PG_VERSION_NUM < 150000
#error "streamlog needs PostgreSQL 15 or later"
#endif

/* 16 raises where a BufFile holds less than was asked for. */
#if PG_VERSION_NUM < 160000
static inline void
BufFileReadExact(BufFile *file, void *ptr, size_t size)
{
	if (BufFileRead(file, ptr, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read %zu bytes from a temporary file", size)));
}
#endif

/* The number of a table's file, which 16 renamed */
#if PG_VERSION_NUM >= 160000
#define sl_relation_file(rel)	((rel)->rd_locator.relNumber)
#else
#define sl_relation_file(rel)	((rel)->rd_node.relNode)
#endif

/*
 * Add n blocks of zeroes to the end of a table's file, which has nblocks.  16
 * has a function for it; before that, each block was to be added by itself.
 */
static inline void
sl_extend_relation(Relation rel, BlockNumber nblocks, int n)
{
#if PG_VERSION_NUM >= 160000
	Buffer		buffers[128];
	uint32		extended = 0;

	while (n > 0)
	{
		BlockNumber first;

		first = ExtendBufferedRelBy(BMR_REL(rel), MAIN_FORKNUM, NULL, 0,
									Min(n, lengthof(buffers)),
									buffers, &extended);
		Assert(first == nblocks);
		for (uint32 i = 0; i < extended; i++)
			ReleaseBuffer(buffers[i]);
		nblocks = first + extended;
		n -= extended;
	}
#else
	PGAlignedBlock zeroes;

	memset(zeroes.data, 0, BLCKSZ);
	LockRelationForExtension(rel, ExclusiveLock);
	for (int i = 0; i < n; i++)
		smgrextend(RelationGetSmgr(rel), MAIN_FORKNUM, nblocks + i,
				   zeroes.data, false);
	UnlockRelationForExtension(rel, ExclusiveLock);
#endif
}

#endif							/* SL_COMPAT_H */
