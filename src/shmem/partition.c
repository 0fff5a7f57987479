/*
 * partition.c
 *		What all backends share about a partition.
 *
 * A partition's log is rows in tables.  What no table can tell is kept here:
 * which offset is given out next, which transactions have been given offsets
 * and are not decided, and hence how far a reader may go.
 *
 *	1.	A transaction that appends is given offsets by sl_partition_allocate(),
 *		which in the same critical section puts the transaction's claim, with
 *		the first of them, at the tail of the partition's list.  Offsets are
 *		given out in ascending order, so the list is sorted by itself, and its
 *		head is the oldest undecided offset.
 *	2.	When the transaction has committed and everybody can see that it has
 *		(our callback runs after ProcArrayEndTransaction), the claim raises
 *		committed_end and leaves the list; after an abort it just leaves.
 *	3.	visible_end is the smaller of the oldest undecided offset (or next, if
 *		there is none) and committed_end.  Every offset below it is decided for
 *		any snapshot that is taken after visible_end was read.
 *
 * committed_end is there because of crashes: what comes after the last
 * committed record may be given out again after one, so nobody may hear of it.
 * last_commit_lsn is there because of them too: a reader flushes WAL up to it
 * before it uses visible_end, or a transaction that committed asynchronously
 * could be seen and then be lost.
 *
 * Locking: table_lock guards the hash table and the free entries; exclusive to
 * add or evict one.  An entry's lock guards all of the entry, its list of
 * claims and its waiters: shared to read, exclusive to change.  An entry is
 * evicted, under both locks, when nobody has a claim on it or waits for it;
 * backends keep pointers to entries, so whoever locks one compares its key
 * first.  Order: table_lock, entry's lock.  free_lock guards the free claims
 * and is never held together with another lock.
 *
 * States of an entry:
 *
 *		EMPTY --attach--> INITIALISING --init_done--> READY
 *		  ^                  |     |                    |
 *		  +---init_failed----+     +------forget--------+
 *
 * Only in READY are offsets given out or shown.  Everything is lost in a
 * crash, and found out anew from the tables by whoever attaches first.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/wait_event.h"

#include "base/waitpoint.h"
#include "shmem/partition.h"
#include "shmem/waiters.h"

#define SL_MIN_PARTITIONS		16
#define SL_DEFAULT_PARTITIONS	10000
#define SL_MAX_PARTITIONS		1000000
#define SL_MIN_UNDECIDED		64
#define SL_DEFAULT_UNDECIDED	16384
#define SL_MAX_UNDECIDED		10000000

typedef enum SlPartitionStage
{
	SL_PARTITION_EMPTY,
	SL_PARTITION_INITIALISING,
	SL_PARTITION_READY
} SlPartitionStage;

struct SlPartition
{
	LWLock		lock;
	SlPartitionKey key;			/* relation is InvalidOid while it is free */
	SlPartitionStage stage;
	uint32		generation;
	int64		log_start;
	int64		next;
	int64		committed_end;
	XLogRecPtr	last_commit_lsn;
	Oid			active_segment;
	int64		active_base;
	dlist_head	claims;
	dlist_head	waiters;
	ConditionVariable init_cv;	/* broadcast when INITIALISING ends */
};

struct SlClaim
{
	dlist_node	node;			/* in part->claims if first >= 0 */
	SlPartition *part;
	int64		first;			/* -1: nothing given out yet */
	int			pid;
	SlClaim    *next_free;
};

typedef struct SlPartitionTable
{
	int			tranche;
	LWLock		table_lock;
	int			used;			/* entries that were ever in use */
	pg_atomic_uint32 generation;	/* of the entry initialised last */
	slock_t		free_lock;
	SlClaim    *free_claims;
} SlPartitionTable;

typedef struct SlPartitionSlot
{
	SlPartitionKey key;
	SlPartition *part;
} SlPartitionSlot;

/* Settings */
static int	max_partitions = SL_DEFAULT_PARTITIONS;
static int	max_undecided = SL_DEFAULT_UNDECIDED;

static SlPartitionTable *table = NULL;
static SlPartition *partitions = NULL;
static SlClaim *claims = NULL;
static HTAB *slots = NULL;

/* The entry that this backend is initialising, the one it waits for */
static SlPartition *my_init = NULL;
static SlPartition *my_wait = NULL;
static bool exit_registered = false;

void
sl_partition_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_partitions",
							"Partitions of all databases that can be in use at once.",
							NULL, &max_partitions, SL_DEFAULT_PARTITIONS,
							SL_MIN_PARTITIONS, SL_MAX_PARTITIONS,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("streamlog.max_undecided",
							"Partitions that all open transactions together can have appended to.",
							NULL, &max_undecided, SL_DEFAULT_UNDECIDED,
							SL_MIN_UNDECIDED, SL_MAX_UNDECIDED,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

int
sl_partition_limit(void)
{
	return max_partitions;
}

Size
sl_partition_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(SlPartitionTable));

	size = add_size(size, mul_size(max_partitions, sizeof(SlPartition)));
	size = add_size(size, mul_size(max_undecided, sizeof(SlClaim)));
	return add_size(size, hash_estimate_size(max_partitions,
											 sizeof(SlPartitionSlot)));
}

void
sl_partition_shmem_init(void)
{
	HASHCTL		info;
	bool		found;

	table = ShmemInitStruct("streamlog partition table",
							sizeof(SlPartitionTable), &found);
	partitions = ShmemInitStruct("streamlog partitions",
								 mul_size(max_partitions, sizeof(SlPartition)),
								 &found);
	claims = ShmemInitStruct("streamlog claims",
							 mul_size(max_undecided, sizeof(SlClaim)), &found);

	info.keysize = sizeof(SlPartitionKey);
	info.entrysize = sizeof(SlPartitionSlot);
	slots = ShmemInitHash("streamlog partition slots", max_partitions,
						  max_partitions, &info, HASH_ELEM | HASH_BLOBS);

	if (!found)
	{
		memset(partitions, 0, mul_size(max_partitions, sizeof(SlPartition)));
		memset(table, 0, sizeof(SlPartitionTable));
		table->tranche = LWLockNewTrancheId();
		LWLockInitialize(&table->table_lock, table->tranche);
		SpinLockInit(&table->free_lock);
		pg_atomic_init_u32(&table->generation, 0);
		for (int i = 0; i < max_partitions; i++)
		{
			LWLockInitialize(&partitions[i].lock, table->tranche);
			dlist_init(&partitions[i].claims);
			dlist_init(&partitions[i].waiters);
			ConditionVariableInit(&partitions[i].init_cv);
		}
		for (int i = max_undecided - 1; i >= 0; i--)
		{
			claims[i].pid = 0;
			claims[i].next_free = table->free_claims;
			table->free_claims = &claims[i];
		}
	}
	LWLockRegisterTranche(table->tranche, "StreamlogPartition");
}

/* The oldest undecided offset, or next.  The entry's lock is held. */
static inline int64
stable_end(const SlPartition *part)
{
	if (dlist_is_empty(unconstify(dlist_head *, &part->claims)))
		return part->next;
	return dlist_container(SlClaim, node, part->claims.head.next)->first;
}

/* The entry's lock is held. */
static inline int64
visible_end(const SlPartition *part)
{
	if (SL_MUTANT("show-aborted-tail"))
		return stable_end(part);
	return Min(stable_end(part), part->committed_end);
}

static inline bool
has_key(const SlPartition *part, const SlPartitionKey *key)
{
	return part->key.relation == key->relation &&
		part->key.partition == key->partition &&
		part->key.database == key->database;
}

/*
 * Cleanup at the end of the process, for what no transaction's end has cleaned
 * up.  On_shmem_exit callbacks run after the transaction has been aborted.
 */
static void
at_exit(int code, Datum arg)
{
	sl_partition_init_failed();
	sl_partition_wait_end();
}

static void
register_exit(void)
{
	if (!exit_registered)
		on_shmem_exit(at_exit, (Datum) 0);
	exit_registered = true;
}

/*
 * Nobody initialises an entry, has a claim on it or waits for it.  Both locks are
 * held.
 */
static bool
is_unused(const SlPartition *part)
{
	return part->stage != SL_PARTITION_INITIALISING &&
		dlist_is_empty(unconstify(dlist_head *, &part->claims)) &&
		dlist_is_empty(unconstify(dlist_head *, &part->waiters));
}

/*
 * Find an entry that can be used for another partition; table_lock is held
 * exclusively.  An entry that knows of unflushed commits has to stay.  Returns
 * NULL if there is none; then *flush is up to where WAL has to be flushed for
 * one that is unused, if that is all that is missing.
 */
static SlPartition *
free_entry(XLogRecPtr *flush)
{
	static uint32 hand = 0;
	XLogRecPtr	flushed = GetFlushRecPtr(NULL);

	*flush = InvalidXLogRecPtr;
	if (table->used < max_partitions)
		return &partitions[table->used++];

	for (int i = 0; i < max_partitions; i++)
	{
		SlPartition *part = &partitions[hand++ % max_partitions];
		bool		evict;

		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		evict = is_unused(part);
		if (evict && part->last_commit_lsn > flushed)
		{
			*flush = Max(*flush, part->last_commit_lsn);
			evict = false;
		}
		if (evict)
		{
			if (OidIsValid(part->key.relation))
				hash_search(slots, &part->key, HASH_REMOVE, NULL);
			memset(&part->key, 0, sizeof(SlPartitionKey));
			part->stage = SL_PARTITION_EMPTY;
		}
		LWLockRelease(&part->lock);
		if (evict)
			return part;
	}
	return NULL;
}

static SlPartition *
find_entry(const SlPartitionKey *key)
{
	SlPartitionSlot *slot;
	SlPartition *part = NULL;

	LWLockAcquire(&table->table_lock, LW_SHARED);
	slot = hash_search(slots, key, HASH_FIND, NULL);
	if (slot)
		part = slot->part;
	LWLockRelease(&table->table_lock);
	return part;
}

static SlPartition *
find_or_make_entry(const SlPartitionKey *key)
{
	SlPartition *part = find_entry(key);
	SlPartitionSlot *slot;
	XLogRecPtr	flush = InvalidXLogRecPtr;
	bool		found;

	if (part)
		return part;

	LWLockAcquire(&table->table_lock, LW_EXCLUSIVE);
	slot = hash_search(slots, key, HASH_FIND, NULL);
	if (slot)
		part = slot->part;
	else if ((part = free_entry(&flush)) != NULL)
	{
		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		slot = hash_search(slots, key, HASH_ENTER_NULL, &found);
		if (slot)
		{
			slot->part = part;
			part->key = *key;
			part->stage = SL_PARTITION_EMPTY;
			part->last_commit_lsn = InvalidXLogRecPtr;
		}
		LWLockRelease(&part->lock);
		if (!slot)
			part = NULL;
	}
	LWLockRelease(&table->table_lock);

	if (!part && !XLogRecPtrIsInvalid(flush))
	{
		XLogFlush(flush);
		return find_or_make_entry(key);
	}
	if (!part)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many partitions are in use"),
				 errdetail("All %d entries of shared memory are in use by open transactions and waiting readers.",
						   max_partitions),
				 errhint("Raise \"%s\" and restart the server.",
						 "streamlog.max_partitions")));
	return part;
}

bool
sl_partition_attach(const SlPartitionKey *key, SlPartition **part_p)
{
	for (;;)
	{
		SlPartition *part = *part_p;

		if (part == NULL)
			part = find_or_make_entry(key);

		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		if (!has_key(part, key))
		{
			LWLockRelease(&part->lock);
			*part_p = NULL;
			continue;
		}
		*part_p = part;
		if (part->stage == SL_PARTITION_READY)
		{
			LWLockRelease(&part->lock);
			return true;
		}
		if (part->stage == SL_PARTITION_EMPTY)
		{
			register_exit();
			Assert(my_init == NULL);
			part->stage = SL_PARTITION_INITIALISING;
			part->generation = pg_atomic_add_fetch_u32(&table->generation, 1);
			part->active_segment = InvalidOid;
			part->active_base = -1;
			my_init = part;
			LWLockRelease(&part->lock);
			return false;
		}

		/* Somebody else is at it. */
		ConditionVariablePrepareToSleep(&part->init_cv);
		LWLockRelease(&part->lock);
		ConditionVariableSleep(&part->init_cv, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
	}
}

void
sl_partition_init_done(SlPartition *part, int64 log_start, int64 log_end,
					   int64 committed_end, Oid active_segment,
					   int64 active_base)
{
	Assert(part == my_init);

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	Assert(part->stage == SL_PARTITION_INITIALISING);

	/* The worker may have rolled the partition after the caller looked. */
	if (active_base > part->active_base)
	{
		part->active_base = active_base;
		part->active_segment = active_segment;
	}
	part->log_start = log_start;
	part->next = Max(log_end, part->active_base);
	part->committed_end = Max(committed_end, log_start);
	part->stage = SL_PARTITION_READY;
	my_init = NULL;
	LWLockRelease(&part->lock);
	ConditionVariableBroadcast(&part->init_cv);
}

void
sl_partition_init_failed(void)
{
	SlPartition *part = my_init;

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	part->stage = SL_PARTITION_EMPTY;
	my_init = NULL;
	LWLockRelease(&part->lock);
	ConditionVariableBroadcast(&part->init_cv);
}

bool
sl_partition_read(SlPartition *part, const SlPartitionKey *key,
				  SlPartitionState *state)
{
	bool		ok;

	LWLockAcquire(&part->lock, LW_SHARED);
	ok = has_key(part, key) && part->stage == SL_PARTITION_READY;
	if (ok)
	{
		state->log_start = part->log_start;
		state->visible_end = visible_end(part);
		state->log_end = part->next;
		state->last_commit_lsn = part->last_commit_lsn;
		state->active_segment = part->active_segment;
		state->active_base = part->active_base;
		state->generation = part->generation;
	}
	LWLockRelease(&part->lock);
	return ok;
}

SlClaim *
sl_claim_reserve(void)
{
	SlClaim    *claim;

	SpinLockAcquire(&table->free_lock);
	claim = table->free_claims;
	if (claim)
		table->free_claims = claim->next_free;
	SpinLockRelease(&table->free_lock);

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

void
sl_claim_release(SlClaim *claim)
{
	SpinLockAcquire(&table->free_lock);
	claim->pid = 0;
	claim->next_free = table->free_claims;
	table->free_claims = claim;
	SpinLockRelease(&table->free_lock);
}

bool
sl_partition_allocate(SlPartition *part, const SlPartitionKey *key,
					  SlClaim *claim, Oid active_segment, int n, int64 *first)
{
	bool		ok;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	ok = has_key(part, key) && part->stage == SL_PARTITION_READY &&
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

/* Take a claim out of its list and wake whom that satisfies. */
static void
end_claim(SlClaim *claim, int64 last, XLogRecPtr lsn)
{
	SlPartition *part = claim->part;
	int64		before;
	int64		after;
	int			taken[SL_MAX_TAKEN];
	int			n;

	if (claim->first >= 0)
	{
		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		before = visible_end(part);
		if (last >= 0)
		{
			part->committed_end = Max(part->committed_end, last + 1);
			part->last_commit_lsn = Max(part->last_commit_lsn, lsn);
		}
		dlist_delete(&claim->node);
		claim->first = -1;
		after = visible_end(part);
		while (after > before && !dlist_is_empty(&part->waiters))
		{
			n = sl_waiters_take(&part->waiters, after, taken);
			LWLockRelease(&part->lock);
			sl_waiters_wake(taken, n);
			LWLockAcquire(&part->lock, LW_EXCLUSIVE);
			if (n < SL_MAX_TAKEN)
				break;
		}
		LWLockRelease(&part->lock);
	}
	sl_claim_release(claim);
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

bool
sl_partition_wait_begin(SlPartition *part, const SlPartitionKey *key,
						int64 want)
{
	bool		sleep;

	register_exit();
	sl_partition_wait_end();

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	sleep = has_key(part, key) && part->stage == SL_PARTITION_READY &&
		visible_end(part) <= want;
	if (sleep)
	{
		sl_waiters_add(&part->waiters, want);
		my_wait = part;
	}
	LWLockRelease(&part->lock);
	return sleep;
}

void
sl_partition_wait_end(void)
{
	SlPartition *part = my_wait;

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	sl_waiters_remove();
	my_wait = NULL;
	LWLockRelease(&part->lock);
}

void
sl_partition_set_active(const SlPartitionKey *key, Oid active_segment,
						int64 active_base)
{
	SlPartition *part = find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (has_key(part, key) && part->stage != SL_PARTITION_EMPTY &&
		active_base > part->active_base)
	{
		part->active_segment = active_segment;
		part->active_base = active_base;

		/*
		 * Next is less if the entry was evicted, and found out anew from an
		 * old segment whose aborted end is gone, while the partition rolled.
		 */
		part->next = Max(part->next, active_base);
	}
	LWLockRelease(&part->lock);
}

void
sl_partition_forget(const SlPartitionKey *key)
{
	SlPartition *part = find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (has_key(part, key) && part->stage == SL_PARTITION_READY)
		part->stage = SL_PARTITION_EMPTY;
	LWLockRelease(&part->lock);
}

void
sl_partition_forget_database(Oid database)
{
	int			used;

	LWLockAcquire(&table->table_lock, LW_SHARED);
	used = table->used;
	LWLockRelease(&table->table_lock);

	for (int i = 0; i < used; i++)
	{
		SlPartition *part = &partitions[i];

		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		if (part->key.database == database && part->stage == SL_PARTITION_READY)
			part->stage = SL_PARTITION_EMPTY;
		LWLockRelease(&part->lock);
	}
}

/*
 * Claims come and go while we look; each one is read under the lock of its
 * partition, so what is returned was true at some instant.
 */
SlClaimInfo *
sl_claims_list(int *n, XLogRecPtr *lsn)
{
	SlClaimInfo *list = palloc_array(SlClaimInfo, max_undecided);
	int			used;

	*n = 0;
	*lsn = InvalidXLogRecPtr;
	LWLockAcquire(&table->table_lock, LW_SHARED);
	used = table->used;
	LWLockRelease(&table->table_lock);

	for (int i = 0; i < used; i++)
	{
		SlPartition *part = &partitions[i];
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
