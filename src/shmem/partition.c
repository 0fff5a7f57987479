/*
 * partition.c
 *		What all backends share about a partition.
 *
 * A partition's log is rows in tables.  What no table can tell is kept here:
 * which offset is given out next, which transactions have been given offsets
 * and are not decided, and hence how far a reader may go.
 *
 *	1.	A transaction that appends is given offsets by sl_claim_allocate(), see
 *		claim.c, which in the same critical section puts the transaction's claim, with
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
 * first.  Order: table_lock, entry's lock, that of the notices.
 *
 * Waiting: a backend may have an entry in the lists of many partitions; who moves
 * the end of one, or forgets it, takes out those that have what they want and wakes
 * their backends.  Only in READY has an entry waiters.  While it has, it stays the
 * same partition's; a backend that has been taken out may find that it is another's,
 * whose list it then is not in.
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
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "shmem/notices.h"
#include "shmem/partition.h"
#include "shmem/partition_entry.h"
#include "shmem/waiters.h"

#define SL_MIN_PARTITIONS		16
#define SL_DEFAULT_PARTITIONS	10000
#define SL_MAX_PARTITIONS		1000000

typedef struct SlPartitionTable
{
	int			tranche;
	LWLock		table_lock;
	int			used;			/* entries that were ever in use */
	pg_atomic_uint32 generation;	/* of the entry initialised last */
} SlPartitionTable;

typedef struct SlPartitionSlot
{
	SlPartitionKey key;
	SlPartition *part;
} SlPartitionSlot;

/* Settings */
static int	max_partitions = SL_DEFAULT_PARTITIONS;

static SlPartitionTable *table = NULL;
static SlPartition *partitions = NULL;
static HTAB *slots = NULL;

/* A place where this backend waits: its entry is in the list of part, or was */
typedef struct SlMyWait
{
	SlPartition *part;
	SlWaiter   *waiter;
} SlMyWait;

/* The entry that this backend is initialising, those it waits for */
static SlPartition *my_init = NULL;
static SlMyWait *my_waits = NULL;
static int	my_nwaits = 0;
static int	my_max_waits = 0;
static int	my_next_wait = 0;	/* behind the one that was looked for last */
static bool exit_registered = false;

void
sl_partition_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_partitions",
							"Partitions of all databases that can be in use at once.",
							NULL, &max_partitions, SL_DEFAULT_PARTITIONS,
							SL_MIN_PARTITIONS, SL_MAX_PARTITIONS,
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
		pg_atomic_init_u32(&table->generation, 0);
		for (int i = 0; i < max_partitions; i++)
		{
			LWLockInitialize(&partitions[i].lock, table->tranche);
			dlist_init(&partitions[i].claims);
			dlist_init(&partitions[i].waiters);
			ConditionVariableInit(&partitions[i].init_cv);
		}
	}
	LWLockRegisterTranche(table->tranche, "StreamlogPartition");
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
			sl_notices_remove(part, true);
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

SlPartition *
sl_partition_find_entry(const SlPartitionKey *key)
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
	SlPartition *part = sl_partition_find_entry(key);
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
		if (!sl_entry_has_key(part, key))
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
			part->log_start = 0;
			part->notify = SL_NOTIFY_UNKNOWN;
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
					   int64 active_base, bool notify)
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

	/* Somebody may have committed a higher start after the caller looked. */
	if (log_start > part->log_start || SL_MUTANT("forget-raised-start"))
		part->log_start = log_start;
	/* Likewise the config. */
	if (part->notify == SL_NOTIFY_UNKNOWN || SL_MUTANT("forget-switched-notify"))
		part->notify = notify ? SL_NOTIFY_ON : SL_NOTIFY_OFF;
	part->next = Max(Max(log_end, part->active_base), part->log_start);
	part->committed_end = Max(committed_end, part->log_start);
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
	ok = sl_entry_has_key(part, key) && part->stage == SL_PARTITION_READY;
	if (ok)
	{
		state->log_start = part->log_start;
		state->visible_end = sl_entry_visible_end(part);
		state->log_end = part->next;
		state->last_commit_lsn = part->last_commit_lsn;
		state->active_segment = part->active_segment;
		state->active_base = part->active_base;
		state->generation = part->generation;
	}
	LWLockRelease(&part->lock);
	return ok;
}

/*
 * This backend's waiter for a partition; NULL if there is none to be had.  Who waits
 * for many begins with all of them in the same order again and again, so the search
 * goes on from where the last one ended.
 */
static SlWaiter *
my_waiter(SlPartition *part)
{
	SlWaiter   *waiter;

	for (int i = 0; i < my_nwaits; i++)
	{
		int			at = (my_next_wait + i) % my_nwaits;

		if (my_waits[at].part == part)
		{
			my_next_wait = at + 1;
			return my_waits[at].waiter;
		}
	}

	/* whatever can fail comes before the waiter is ours */
	register_exit();
	if (my_nwaits == my_max_waits)
	{
		int			max = Max(16, my_max_waits * 2);

		my_waits = my_waits ? repalloc_array(my_waits, SlMyWait, max) :
			MemoryContextAlloc(TopMemoryContext, max * sizeof(SlMyWait));
		my_max_waits = max;
	}
	waiter = sl_waiter_reserve();
	if (waiter)
	{
		my_waits[my_nwaits].part = part;
		my_waits[my_nwaits].waiter = waiter;
		my_nwaits++;
		my_next_wait = 0;
	}
	return waiter;
}

SlWaitResult
sl_partition_wait_begin(SlPartition *part, const SlPartitionKey *key,
						int64 want)
{
	SlWaiter   *waiter = my_waiter(part);
	SlWaitResult result = waiter ? SL_WAIT_LISTED : SL_WAIT_NO_ROOM;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (!sl_entry_has_key(part, key) || part->stage != SL_PARTITION_READY ||
		sl_entry_visible_end(part) > want)
		result = SL_WAIT_MOVED;
	else if (waiter)
		sl_waiter_add(&part->waiters, waiter, want);
	LWLockRelease(&part->lock);
	return result;
}

/*
 * The entry where a waiter was listed may be another partition's by now: its lock
 * still tells whether the waiter is listed.
 */
void
sl_partition_wait_end(void)
{
	while (my_nwaits > 0)
	{
		SlMyWait   *wait = &my_waits[my_nwaits - 1];

		LWLockAcquire(&wait->part->lock, LW_EXCLUSIVE);
		sl_waiter_remove(wait->waiter);
		LWLockRelease(&wait->part->lock);
		sl_waiter_give_back(wait->waiter);
		my_nwaits--;
	}
	my_next_wait = 0;
}

void
sl_entry_release_and_wake(SlPartition *part, int64 visible_end)
{
	int			taken[SL_MAX_TAKEN];
	int			n;

	while ((n = sl_waiters_take(&part->waiters, visible_end, taken)) == SL_MAX_TAKEN)
	{
		LWLockRelease(&part->lock);
		sl_waiters_wake(taken, n);
		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	}
	LWLockRelease(&part->lock);
	sl_waiters_wake(taken, n);
}

void
sl_partition_set_active(const SlPartitionKey *key, Oid active_segment,
						int64 active_base)
{
	SlPartition *part = sl_partition_find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (sl_entry_has_key(part, key) && part->stage != SL_PARTITION_EMPTY &&
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

/*
 * Where nobody knows of the partition there is nothing to do: who initialises it
 * from now on reads the committed row.
 */
void
sl_partition_raise_log_start(const SlPartitionKey *key, int64 log_start)
{
	SlPartition *part = sl_partition_find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (sl_entry_has_key(part, key) && part->stage != SL_PARTITION_EMPTY)
		part->log_start = Max(part->log_start, log_start);
	LWLockRelease(&part->lock);
}

void
sl_partition_forget(const SlPartitionKey *key)
{
	SlPartition *part = sl_partition_find_entry(key);

	if (part == NULL)
		return;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	if (sl_entry_has_key(part, key) && part->stage == SL_PARTITION_READY)
	{
		part->stage = SL_PARTITION_EMPTY;
		sl_notices_remove(part, false);
		sl_entry_release_and_wake(part, PG_INT64_MAX);
	}
	else
		LWLockRelease(&part->lock);
}

SlPartition *
sl_partition_entries(int *n)
{
	LWLockAcquire(&table->table_lock, LW_SHARED);
	*n = table->used;
	LWLockRelease(&table->table_lock);
	return partitions;
}

void
sl_partition_forget_database(Oid database)
{
	int			n;
	SlPartition *entries = sl_partition_entries(&n);

	for (int i = 0; i < n; i++)
	{
		SlPartition *part = &entries[i];

		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		if (part->key.database == database && part->stage == SL_PARTITION_READY)
		{
			part->stage = SL_PARTITION_EMPTY;
			sl_notices_remove(part, false);
		}
		LWLockRelease(&part->lock);
	}
}
