/*
 * partition_entry.h
 *		A partition in shared memory, for partition.c, claim.c and notices.c alone.
 */
#ifndef SL_PARTITION_ENTRY_H
#define SL_PARTITION_ENTRY_H

#include "lib/ilist.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "base/waitpoint.h"
#include "shmem/claim.h"

typedef enum SlPartitionStage
{
	SL_PARTITION_EMPTY,
	SL_PARTITION_INITIALISING,
	SL_PARTITION_READY
} SlPartitionStage;

/* Is the worker to be told when the visible end moves? */
typedef enum SlNotify
{
	SL_NOTIFY_UNKNOWN,			/* while INITIALISING, until somebody says so */
	SL_NOTIFY_OFF,
	SL_NOTIFY_ON
} SlNotify;

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
	SlNotify	notify;
	bool		noticed;		/* in the list of notices, see notices.c */
	dlist_node	notice;
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

/* The oldest undecided offset, or next.  The entry's lock is held. */
static inline int64
sl_entry_stable_end(const SlPartition *part)
{
	if (dlist_is_empty(unconstify(dlist_head *, &part->claims)))
		return part->next;
	return dlist_container(SlClaim, node, part->claims.head.next)->first;
}

/* The entry's lock is held. */
static inline int64
sl_entry_visible_end(const SlPartition *part)
{
	if (SL_MUTANT("show-aborted-tail"))
		return sl_entry_stable_end(part);
	return Min(sl_entry_stable_end(part), part->committed_end);
}

/* The entry's lock is held. */
static inline bool
sl_entry_has_key(const SlPartition *part, const SlPartitionKey *key)
{
	return part->key.relation == key->relation &&
		part->key.partition == key->partition &&
		part->key.database == key->database;
}

/*
 * Wake who waits for less than visible_end.  The entry's lock is held exclusively,
 * and released.  Does not raise.
 */
extern void sl_entry_release_and_wake(SlPartition *part, int64 visible_end);

/* The entry of a partition; NULL if it has none.  Takes table_lock, never raises. */
extern SlPartition *sl_partition_find_entry(const SlPartitionKey *key);

/* The entries in use, which stay where they are; n receives their number. */
extern SlPartition *sl_partition_entries(int *n);

#endif							/* SL_PARTITION_ENTRY_H */
