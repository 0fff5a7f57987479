/*
 * claim.c
 *		Offsets that are given out, and whose transaction has not ended.
 *
 * A claim is one transaction's on one partition.  partition.c tells what it is
 * for; here are its life and its memory:
 *
 *		free --reserve--> reserved --allocate--> listed --commit, abort--> free
 *		                     +--------------commit, abort-----------------^
 *
 * They are reserved for all partitions of a transaction before its first append:
 * so there is an error, if there are too few, before anything is given out.
 *
 * Locking: a listed claim belongs to the lock of its partition.  free_lock guards
 * the free ones and is never held together with another lock.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/guc.h"

#include "base/waitpoint.h"
#include "shmem/claim.h"
#include "shmem/notices.h"
#include "shmem/partition_entry.h"
#include "shmem/workers.h"

#define SL_MIN_UNDECIDED		64
#define SL_DEFAULT_UNDECIDED	16384
#define SL_MAX_UNDECIDED		10000000

typedef struct SlClaimPool
{
	slock_t		free_lock;
	SlClaim    *free_claims;
	SlClaim		claims[FLEXIBLE_ARRAY_MEMBER];
} SlClaimPool;

/* Setting */
static int	max_undecided = SL_DEFAULT_UNDECIDED;

static SlClaimPool *pool = NULL;

void
sl_claim_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_undecided",
							"Partitions that all open transactions together can have appended to.",
							NULL, &max_undecided, SL_DEFAULT_UNDECIDED,
							SL_MIN_UNDECIDED, SL_MAX_UNDECIDED,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

Size
sl_claim_shmem_size(void)
{
	return add_size(offsetof(SlClaimPool, claims),
					mul_size(max_undecided, sizeof(SlClaim)));
}

void
sl_claim_shmem_init(void)
{
	bool		found;

	pool = ShmemInitStruct("streamlog claims", sl_claim_shmem_size(), &found);
	if (found)
		return;
	memset(pool, 0, sl_claim_shmem_size());
	SpinLockInit(&pool->free_lock);
	for (int i = max_undecided - 1; i >= 0; i--)
	{
		pool->claims[i].next_free = pool->free_claims;
		pool->free_claims = &pool->claims[i];
	}
}

SlClaim *
sl_claim_reserve(void)
{
	SlClaim    *claim;

	SpinLockAcquire(&pool->free_lock);
	claim = pool->free_claims;
	if (claim)
		pool->free_claims = claim->next_free;
	SpinLockRelease(&pool->free_lock);

	if (!claim)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many partitions have undecided records"),
				 errdetail("Open transactions have appended to %d partitions.",
						   max_undecided),
				 errhint("Raise \"%s\" and restart the server.",
						 "streamlog.max_undecided")));
	claim->part = NULL;
	claim->first = -1;
	claim->pid = MyProcPid;
	return claim;
}

bool
sl_claim_allocate(SlPartition *part, const SlPartitionKey *key,
				  SlClaim *claim, Oid active_segment, int n, int64 *first)
{
	bool		ok;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	ok = sl_entry_has_key(part, key) && part->stage == SL_PARTITION_READY &&
		part->active_segment == active_segment;
	if (ok)
	{
		*first = part->next;
		part->next += n;
		if (claim->first < 0)
		{
			claim->part = part;
			claim->first = *first;
			if (SL_MUTANT("register-late"))
			{
				LWLockRelease(&part->lock);
				SL_WAITPOINT("between-allocate-and-register");
				LWLockAcquire(&part->lock, LW_EXCLUSIVE);
			}
			dlist_push_tail(&part->claims, &claim->node);
		}
	}
	LWLockRelease(&part->lock);
	return ok;
}

static void
give_back(SlClaim *claim)
{
	SpinLockAcquire(&pool->free_lock);
	claim->pid = 0;
	claim->next_free = pool->free_claims;
	pool->free_claims = claim;
	SpinLockRelease(&pool->free_lock);
}

/*
 * Take a claim out of its list, wake whom that satisfies, and the worker if it is to
 * send a notification and does not know yet.
 */
static void
end_claim(SlClaim *claim, int64 last, XLogRecPtr lsn)
{
	SlPartition *part = claim->part;
	int64		before;
	int64		after;
	bool		is_news = false;

	if (claim->first >= 0)
	{
		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		before = sl_entry_visible_end(part);
		if (last >= 0)
		{
			part->committed_end = Max(part->committed_end, last + 1);
			part->last_commit_lsn = Max(part->last_commit_lsn, lsn);
		}
		dlist_delete(&claim->node);
		claim->first = -1;
		after = sl_entry_visible_end(part);
		if (part->notify == SL_NOTIFY_ON && after > before)
			is_news = sl_notices_add(part);
		if (after > before && !dlist_is_empty(&part->waiters))
			sl_entry_release_and_wake(part, after);
		else
			LWLockRelease(&part->lock);
	}
	give_back(claim);
	if (is_news)
		sl_workers_wake_for_notices();
}

void
sl_claim_commit(SlClaim *claim, int64 last, XLogRecPtr lsn)
{
	end_claim(claim, last, lsn);
}

void
sl_claim_abort(SlClaim *claim)
{
	end_claim(claim, -1, InvalidXLogRecPtr);
}

/*
 * Claims come and go while we look; each one is read under the lock of its
 * partition, so what is returned was true at some instant.
 */
SlClaimInfo *
sl_claims_list(int *n, XLogRecPtr *lsn)
{
	SlClaimInfo *list = palloc_array(SlClaimInfo, max_undecided);
	int			nentries;
	SlPartition *entries = sl_partition_entries(&nentries);

	*n = 0;
	*lsn = InvalidXLogRecPtr;
	for (int i = 0; i < nentries; i++)
	{
		SlPartition *part = &entries[i];
		dlist_iter	iter;

		LWLockAcquire(&part->lock, LW_SHARED);
		dlist_foreach(iter, &part->claims)
		{
			SlClaim    *claim = dlist_container(SlClaim, node, iter.cur);

			if (*n == max_undecided)
				break;
			list[*n].key = part->key;
			list[*n].pid = claim->pid;
			list[*n].held = Min(claim->first, part->committed_end);
			*lsn = Max(*lsn, part->last_commit_lsn);
			(*n)++;
		}
		LWLockRelease(&part->lock);
	}
	return list;
}
