/*
 * groups.c
 *		What all backends share about consumer groups: memory and locks.
 *
 * A group has members, topics with their partitions, and for each partition a
 * reader and a target: who reads it, and who is to.  Nothing of it is transactional
 * and nothing survives the server; what was committed is in tables.
 *
 *	1.	Every call of a consumer declares it (group_declare.c): it becomes a member, or
 *		shows that it is still there, with the topics that it names.  If members, topics
 *		or numbers of partitions have changed, the assignor makes a new plan
 *		(group_plan.c), which sets the targets.  Only a declaration makes plans, since
 *		they need memory; all else that changes the members sets needs_plan, and wakes
 *		those who wait, so that one of them declares itself.
 *	2.	A partition moves between two calls:
 *
 *			reader A, target A --plan--> reader A, target B --A lets go--> reader none,
 *			target B --B takes it--> reader B, target B
 *
 *		A lets go in a declaration when it holds nothing of the partition, or when it
 *		is put out.  Every change of the reader gives the partition a generation that
 *		no partition ever had.
 *	3.	A member is put out when it leaves, when its session ends, when somebody
 *		kicks it, or when it has not called for its max_poll_interval; not while it
 *		waits in a call.  Its partitions and positions are free then.  It may call
 *		again, and joins anew.  A session with an instance_id that ends stays, without
 *		a pid, until its time is up.
 *	4.	A new member with the instance_id of another takes over all that the other
 *		has, and the other is fenced: it stays in the list, has no part in plans, and
 *		is refused, until it has not called for its max_poll_interval.
 *	5.	In the first seconds of a group's entry it settles: a partition whose offset
 *		row names a member_id is given to that member only, so that a restart of the
 *		server moves nothing.
 *	6.	A position is where a member goes on to read, if that is not what the
 *		partition's offset row says; it counts for who has this name and finds this
 *		epoch in the row.  Ownership, the heavyweight lock of the partition, orders its
 *		changes.
 *
 * Who wakes whom: a member that waits in a call has left the number of its backend.
 * Its latch is set when it becomes the target or stops being so, when a partition
 * that it is the target of becomes free, when it is fenced or put out, and when a
 * plan is due.
 *
 * Memory is a DSA area that lies in our fixed shared memory, never grows, and so is at
 * the same address in all processes: what is in it is linked by plain pointers, and
 * whoever only reads or writes need not attach.  Each chunk keeps its dsa_pointer
 * to be freed by.  Where memory is wanting, an allocation returns NULL and what it
 * was for has not happened.
 *
 * Locking: groups are in hash chains, and each of the locks guards all of every
 * stripe-th chain: the entries of its groups with all that hangs from them.
 * Shared to read, exclusive to change.  Inside of it only the locks of the DSA area
 * are taken, and latches set; nothing can raise.  What calls back (the assignors, holds())
 * takes no memory and no lock.  No two of these locks are ever held at once.
 *
 * Crash safety: all of it is lost and made anew with the shared memory.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "shmem/group_entry.h"

#define SL_GROUP_CHAINS		1024
#define SL_GROUP_STRIPES	128

/* Settings of memory (kB) */
#define SL_MIN_GROUP_MEMORY		1024
#define SL_DEFAULT_GROUP_MEMORY 16384
#define SL_MAX_GROUP_MEMORY		(64 * 1024 * 1024)

/* How long a group's entry settles (ms) */
#define SL_SETTLE_TIME		3000

typedef struct SlGroupTable
{
	int			tranche;
	int			memory_tranche;
	pg_atomic_uint64 generation;	/* the one given last */
	LWLockPadded locks[SL_GROUP_STRIPES];
	dlist_head	chains[SL_GROUP_CHAINS];
} SlGroupTable;

/* When a backend called last; by its number, written by itself alone */
typedef struct SlLastCall
{
	pg_atomic_uint64 at;		/* TimestampTz; 0: never */
	pg_atomic_uint64 interval;	/* ms */
	pg_atomic_uint32 waits;		/* in a call */
} SlLastCall;

/* Settings */
static int	group_memory = SL_DEFAULT_GROUP_MEMORY;

static SlGroupTable *table = NULL;
static void *space = NULL;
static SlLastCall *last_calls = NULL;

/* This backend's */
static dsa_area *area = NULL;
static bool exit_registered = false;

void
sl_groups_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.group_memory",
							"Shared memory for the members, topics and positions of consumer groups.",
							NULL, &group_memory, SL_DEFAULT_GROUP_MEMORY,
							SL_MIN_GROUP_MEMORY, SL_MAX_GROUP_MEMORY,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
}

int
sl_group_memory(void)
{
	return group_memory;
}

static Size
space_size(void)
{
	return mul_size(group_memory, 1024);
}

static Size
last_calls_size(void)
{
	return mul_size(MaxBackends, sizeof(SlLastCall));
}

Size
sl_groups_shmem_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(SlGroupTable));

	size = add_size(size, CACHELINEALIGN(last_calls_size()));
	return add_size(size, CACHELINEALIGN(space_size()));
}

static void
init_table(void)
{
	table->tranche = LWLockNewTrancheId();
	table->memory_tranche = LWLockNewTrancheId();
	pg_atomic_init_u64(&table->generation, 0);
	for (int i = 0; i < SL_GROUP_STRIPES; i++)
		LWLockInitialize(&table->locks[i].lock, table->tranche);
	for (int i = 0; i < SL_GROUP_CHAINS; i++)
		dlist_init(&table->chains[i]);
	for (int i = 0; i < MaxBackends; i++)
	{
		pg_atomic_init_u64(&last_calls[i].at, 0);
		pg_atomic_init_u64(&last_calls[i].interval, 0);
		pg_atomic_init_u32(&last_calls[i].waits, 0);
	}
}

/* The pin is what keeps the area when no backend is attached. */
static void
init_space(void)
{
	dsa_area   *created = dsa_create_in_place(space, space_size(),
											  table->memory_tranche, NULL);

	dsa_pin(created);
	dsa_set_size_limit(created, space_size());
	dsa_detach(created);
}

void
sl_groups_shmem_init(void)
{
	bool		found;

	space = ShmemInitStruct("streamlog group memory", space_size(), &found);
	last_calls = ShmemInitStruct("streamlog last calls", last_calls_size(),
								 &found);
	table = ShmemInitStruct("streamlog group table", sizeof(SlGroupTable),
							&found);
	if (!found)
	{
		init_table();
		init_space();
	}
	LWLockRegisterTranche(table->tranche, "StreamlogGroup");
	LWLockRegisterTranche(table->memory_tranche, "StreamlogGroupMemory");
}

/* After the transaction has been aborted: on_shmem_exit callbacks run then. */
static void
at_exit(int code, Datum arg)
{
	pg_atomic_write_u64(&last_calls[MyProc->pgprocno].at, 0);
	if (area == NULL)
		return;
	sl_group_wait_end();
	sl_group_members_at_exit();
	dsa_detach(area);
	area = NULL;
	dsa_release_in_place(space);
}

static void
register_exit(void)
{
	if (!exit_registered)
		on_shmem_exit(at_exit, (Datum) 0);
	exit_registered = true;
}

/* To allocate and to free; may raise for want of the backend's own memory. */
void
sl_groups_attach(void)
{
	MemoryContext old;

	if (area)
		return;
	register_exit();
	old = MemoryContextSwitchTo(TopMemoryContext);
	area = dsa_attach_in_place(space, NULL);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old);
}

/* Zeroed; NULL if there is no room. */
void *
sl_group_alloc(Size size, dsa_pointer *self)
{
	*self = InvalidDsaPointer;
	if (size > space_size())
		return NULL;
	*self = dsa_allocate_extended(area, size,
								  DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM | DSA_ALLOC_ZERO);
	return dsa_get_address(area, *self);
}

void
sl_group_free(dsa_pointer self)
{
	dsa_free(area, self);
}

static dlist_head *
chain_of(const SlGroupKey *key)
{
	uint32		hash = hash_bytes((const unsigned char *) key,
								  sizeof(SlGroupKey));

	return &table->chains[hash % SL_GROUP_CHAINS];
}

int
sl_group_stripe(const SlGroupKey *key)
{
	return (chain_of(key) - table->chains) % SL_GROUP_STRIPES;
}

/* NULL if there is no such stripe */
LWLock *
sl_group_stripe_lock(int stripe)
{
	return stripe < SL_GROUP_STRIPES ? &table->locks[stripe].lock : NULL;
}

LWLock *
sl_group_lock(const SlGroupKey *key)
{
	return sl_group_stripe_lock(sl_group_stripe(key));
}

SlGroup *
sl_group_find(const SlGroupKey *key)
{
	dlist_iter	iter;

	Assert(LWLockHeldByMe(sl_group_lock(key)));
	dlist_foreach(iter, chain_of(key))
	{
		SlGroup    *group = dlist_container(SlGroup, node, iter.cur);

		if (memcmp(&group->key, key, sizeof(SlGroupKey)) == 0)
			return group;
	}
	return NULL;
}

/* The group of a stripe after this one, or the first (NULL); NULL: that was the last. */
SlGroup *
sl_group_next(int stripe, SlGroup *group)
{
	int			chain = stripe;

	Assert(LWLockHeldByMe(sl_group_stripe_lock(stripe)));
	if (group)
	{
		dlist_head *head = chain_of(&group->key);

		if (dlist_has_next(head, &group->node))
			return dlist_container(SlGroup, node,
								   dlist_next_node(head, &group->node));
		chain = (head - table->chains) + SL_GROUP_STRIPES;
	}
	for (; chain < SL_GROUP_CHAINS; chain += SL_GROUP_STRIPES)
		if (!dlist_is_empty(&table->chains[chain]))
			return dlist_head_element(SlGroup, node, &table->chains[chain]);
	return NULL;
}

/* NULL if there is no room. */
SlGroup *
sl_group_make(const SlGroupKey *key, TimestampTz now)
{
	dsa_pointer self;
	SlGroup    *group = sl_group_alloc(sizeof(SlGroup), &self);

	if (group == NULL)
		return NULL;
	group->self = self;
	group->key = *key;
	group->assignor = SL_ASSIGNOR_STICKY;
	group->settled_at = TimestampTzPlusMilliseconds(now, SL_SETTLE_TIME);
	group->settling = !SL_MUTANT("no-settling");
	dlist_init(&group->members);
	dlist_init(&group->topics);
	dlist_push_tail(chain_of(key), &group->node);
	return group;
}

/* It has no members, hence no topics. */
void
sl_group_remove(SlGroup *group)
{
	Assert(dlist_is_empty(&group->members) && dlist_is_empty(&group->topics));
	dlist_delete(&group->node);
	sl_group_free(group->self);
}

uint64
sl_group_new_generation(void)
{
	return pg_atomic_add_fetch_u64(&table->generation, 1);
}

uint64
sl_groups_member_hash(const char *member)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) member,
										   strlen(member), 0);

	return hash == 0 ? 1 : hash;
}

void
sl_groups_note_call(int64 max_poll_interval)
{
	SlLastCall *mine = &last_calls[MyProc->pgprocno];

	register_exit();
	pg_atomic_write_u64(&mine->interval, max_poll_interval);
	pg_atomic_write_u64(&mine->at, GetCurrentTimestamp());
}

/* A call waits; when it does no longer, the time is counted anew. */
void
sl_groups_note_wait(bool waits)
{
	SlLastCall *mine = &last_calls[MyProc->pgprocno];

	if (pg_atomic_read_u64(&mine->at) != 0)
		pg_atomic_write_u64(&mine->at, GetCurrentTimestamp());
	pg_write_barrier();
	pg_atomic_write_u32(&mine->waits, waits);
}

bool
sl_groups_call_is_overdue(int pgprocno)
{
	TimestampTz at;
	int64		interval;

	/* a prepared transaction's is above those of backends */
	if (pgprocno < 0 || pgprocno >= MaxBackends)
		return false;
	if (pg_atomic_read_u32(&last_calls[pgprocno].waits) != 0)
		return false;
	pg_read_barrier();			/* the wait may end now */
	at = (TimestampTz) pg_atomic_read_u64(&last_calls[pgprocno].at);
	interval = (int64) pg_atomic_read_u64(&last_calls[pgprocno].interval);
	return at != 0 &&
		GetCurrentTimestamp() > TimestampTzPlusMilliseconds(at, interval);
}

void
sl_groups_expire(Oid database)
{
	TimestampTz now = GetCurrentTimestamp();

	sl_groups_attach();
	for (int stripe = 0; stripe < SL_GROUP_STRIPES; stripe++)
	{
		SlGroup    *group = NULL;

		LWLockAcquire(sl_group_stripe_lock(stripe), LW_EXCLUSIVE);
		while ((group = sl_group_next(stripe, group)) != NULL)
			if (group->key.database == database)
				sl_group_put_out_overdue(group, now, NULL);
		LWLockRelease(sl_group_stripe_lock(stripe));
	}
}

void
sl_groups_note_used(const SlGroupKey *key)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroup    *group;

	sl_groups_attach();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	group = sl_group_find(key);
	if (group == NULL)
		group = sl_group_make(key, GetCurrentTimestamp());
	if (group)
		group->used = true;
	LWLockRelease(lock);
}

/*
 * The used groups of a stripe, added to those already found; false if there is no
 * room for them, and then nothing has been done.
 */
static bool
collect_stripe(int stripe, Oid database, Oid relation, int32 *ids, int max,
			   int *n)
{
	SlGroup    *group = NULL;
	SlGroup    *next;
	int			found = 0;

	while ((group = sl_group_next(stripe, group)) != NULL)
		if (group->key.database == database)
			found++;
	if (found > max - *n)
		return false;

	for (group = sl_group_next(stripe, NULL); group; group = next)
	{
		next = sl_group_next(stripe, group);
		if (group->key.database != database)
			continue;
		if (group->used && group->key.relation == relation)
			ids[(*n)++] = group->key.group_id;
		group->used = !dlist_is_empty(&group->members);
		if (!group->used)
			sl_group_remove(group);
	}
	return true;
}

int32 *
sl_groups_collect_used(Oid database, Oid relation, int *n)
{
	int			max = 64;
	int32	   *ids = palloc_array(int32, max);

	sl_groups_attach();
	*n = 0;
	for (int stripe = 0; stripe < SL_GROUP_STRIPES;)
	{
		bool		done;

		LWLockAcquire(sl_group_stripe_lock(stripe), LW_EXCLUSIVE);
		done = collect_stripe(stripe, database, relation, ids, max, n);
		LWLockRelease(sl_group_stripe_lock(stripe));
		if (done)
			stripe++;
		else
			ids = repalloc_array(ids, int32, max *= 2);
	}
	return ids;
}

void
sl_groups_forget_database(Oid database)
{
	sl_groups_attach();
	for (int stripe = 0; stripe < SL_GROUP_STRIPES; stripe++)
	{
		SlGroup    *group;
		SlGroup    *next;

		LWLockAcquire(sl_group_stripe_lock(stripe), LW_EXCLUSIVE);
		for (group = sl_group_next(stripe, NULL); group; group = next)
		{
			next = sl_group_next(stripe, group);
			if (group->key.database != database)
				continue;
			while (!dlist_is_empty(&group->members))
				sl_group_put_out(group, dlist_head_element(SlGroupMember, node,
														   &group->members));
			sl_group_remove(group);
		}
		LWLockRelease(sl_group_stripe_lock(stripe));
	}
}
