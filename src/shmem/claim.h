/*
 * claim.h
 *		Offsets that are given out, and whose transaction has not ended.
 */
#ifndef SL_CLAIM_H
#define SL_CLAIM_H

#include "shmem/partition.h"

/*
 * A transaction's claim on a partition: the first offset that it has appended
 * and not decided yet.
 */
typedef struct SlClaim SlClaim;

/* One claim, for the view undecided_transactions */
typedef struct SlClaimInfo
{
	SlPartitionKey key;
	int			pid;
	int64		held;			/* readers are held back from here on */
} SlClaimInfo;

extern void sl_claim_define_gucs(void);
extern Size sl_claim_shmem_size(void);
extern void sl_claim_shmem_init(void);

/*
 * reserve() raises if there are too few; it is called before the first append of a
 * transaction, so that nothing has been given out then.  allocate() is called
 * under the append lock and gives out n offsets, unless the entry is another
 * partition's by now or active_segment no longer what is appended to: then it is
 * false.
 */
extern SlClaim *sl_claim_reserve(void);
extern bool sl_claim_allocate(SlPartition *part, const SlPartitionKey *key,
							  SlClaim *claim, Oid active_segment,
							  int n, int64 *first);

/*
 * End of a transaction: last is the last of its offsets that survived, or -1.
 * Both free the claim, and never raise.
 */
extern void sl_claim_commit(SlClaim *claim, int64 last, XLogRecPtr lsn);
extern void sl_claim_abort(SlClaim *claim);

/*
 * All claims of the server, in palloc'd memory; n receives their number, lsn
 * how far WAL has to be flushed before they are shown.
 */
extern SlClaimInfo *sl_claims_list(int *n, XLogRecPtr *lsn);

#endif							/* SL_CLAIM_H */
