/*
 * group_members.c
 *		Members of consumer groups: how they come, are replaced, and go.
 *
 * The model is at the top of groups.c.  What this backend has to end is remembered
 * here: the groups that its session is a member of, and the call that waits.  That is
 * written before the group's entry is, and may name more than there is.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shmem/group_entry.h"

/* A group that this session joined as such; all of it is the hash key */
typedef struct SlJoined
{
	SlGroupKey	key;
	char		member[SL_MAX_MEMBER_NAME + 1]; /* zero to its end */
} SlJoined;

static HTAB *joined = NULL;

/* The call that waits */
static bool waits = false;
static SlGroupKey waits_in;
static char waits_as[SL_MAX_MEMBER_NAME + 1];

SlGroupMember *
sl_group_find_member(SlGroup *group, const char *name)
{
	uint64		hash = sl_groups_member_hash(name);
	dlist_iter	iter;

	dlist_foreach(iter, &group->members)
	{
		SlGroupMember *member = dlist_container(SlGroupMember, node, iter.cur);

		if (member->hash == hash && strcmp(member->name, name) == 0)
			return member;
	}
	return NULL;
}

/* The assignors' order: those with an instance_id first, by it, then by name. */
static bool
goes_before(const SlGroupMember *a, const SlGroupMember *b)
{
	bool		a_has = a->instance[0] != '\0';
	bool		b_has = b->instance[0] != '\0';
	int			cmp = 0;

	if (a_has != b_has)
		return a_has;
	if (a_has)
		cmp = strcmp(a->instance, b->instance);
	if (cmp == 0)
		cmp = strcmp(a->name, b->name);
	return cmp < 0;
}

static void
insert_member(SlGroup *group, SlGroupMember *member)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->members)
	{
		if (goes_before(member, dlist_container(SlGroupMember, node, iter.cur)))
		{
			dlist_insert_before(iter.cur, &member->node);
			return;
		}
	}
	dlist_push_tail(&group->members, &member->node);
}

/* Its instance_id is another. */
void
sl_group_place_member(SlGroup *group, SlGroupMember *member)
{
	dlist_delete(&member->node);
	insert_member(group, member);
	group->needs_plan = true;
}

/* NULL if there is no room. */
SlGroupMember *
sl_group_make_member(SlGroup *group, const char *name)
{
	dsa_pointer self;
	SlGroupMember *member = sl_group_alloc(sizeof(SlGroupMember), &self);

	if (member == NULL)
		return NULL;
	member->self = self;
	dlist_init(&member->subscriptions);
	Assert(strlen(name) <= SL_MAX_MEMBER_NAME);
	strlcpy(member->name, name, sizeof(member->name));
	member->hash = sl_groups_member_hash(member->name);
	member->waiting = -1;
	insert_member(group, member);
	group->needs_plan = true;
	group->used = true;
	return member;
}

/* Set the latch of a member that waits; NULL is nobody. */
void
sl_group_wake(const SlGroupMember *member)
{
	if (member && member->waiting >= 0)
		SetLatch(&ProcGlobal->allProcs[member->waiting].procLatch);
}

/* A new plan is due: one who waits is to make it. */
static void
wake_all(SlGroup *group)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->members)
		sl_group_wake(dlist_container(SlGroupMember, node, iter.cur));
}

static SlGroupSubscription *
first_subscription(SlGroupMember *member)
{
	return dlist_head_element(SlGroupSubscription, node,
							  &member->subscriptions);
}

/* Free what it has; nobody has to wait for it any more. */
static void
strip(SlGroup *group, SlGroupMember *member)
{
	dlist_iter	iter;

	while (!dlist_is_empty(&member->subscriptions))
		sl_group_unsubscribe(group, member, first_subscription(member));

	/*
	 * it may have been handed records of a topic that it is no longer
	 * subscribed to
	 */
	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		for (int i = 0; i < topic->npartitions; i++)
		{
			SlGroupPart *part = &topic->parts[i];

			Assert(part->reader != member && part->target != member);
			if (part->handed_to == member)
				part->handed_to = NULL;
			if (part->last_member == member->hash)
				part->last_member = 0;
		}
	}
}

/* Remove it, and have the others plan anew. */
void
sl_group_put_out(SlGroup *group, SlGroupMember *member)
{
	strip(group, member);
	sl_group_wake(member);
	dlist_delete(&member->node);
	sl_group_free(member->self);
	group->needs_plan = true;
	wake_all(group);
}

/* Put out those whose time is up, except for one. */
void
sl_group_put_out_overdue(SlGroup *group, TimestampTz now,
						 const SlGroupMember *but)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &group->members)
	{
		SlGroupMember *member = dlist_container(SlGroupMember, node, iter.cur);

		if (member != but && member->waiting < 0 &&
			now > TimestampTzPlusMilliseconds(member->last_call,
											  member->max_poll_interval))
			sl_group_put_out(group, member);
	}
}

/* What the old one has is the new one's, positions apart; the old one is fenced. */
void
sl_group_take_over(SlGroup *group, SlGroupMember *member, SlGroupMember *old)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		for (int i = 0; i < topic->npartitions; i++)
		{
			SlGroupPart *part = &topic->parts[i];

			if (part->reader == old)
				sl_group_set_reader(part, member);
			if (part->target == old)
				part->target = member;
			if (part->handed_to == old)
				part->handed_to = NULL;
		}
	}
	while (!dlist_is_empty(&old->subscriptions))
	{
		SlGroupSubscription *subscription = first_subscription(old);

		if (sl_group_find_subscription(member,
									   subscription->topic->topic_id))
			sl_group_unsubscribe(group, old, subscription);
		else
		{
			dlist_delete(&subscription->node);
			dlist_push_tail(&member->subscriptions, &subscription->node);
		}
	}

	sl_group_wake(old);
	old->is_fenced = true;
	group->needs_plan = true;

	/* an ended session never calls again */
	if (old->is_session && old->pid == 0)
		sl_group_put_out(group, old);
}

/*
 * A session has ended that keeps its place for its next run.  What it was handed
 * it has not worked off.
 */
static void
end_session(SlGroup *group, SlGroupMember *member)
{
	dlist_iter	iter;

	member->pid = 0;
	member->waiting = -1;
	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		for (int i = 0; i < topic->npartitions; i++)
			if (topic->parts[i].handed_to == member)
				topic->parts[i].handed_to = NULL;
	}
}

/*
 * Before the session joins, so that nothing can keep it from leaving; may raise for
 * want of the backend's memory.
 */
void
sl_group_note_joined(const SlGroupKey *key, const char *member)
{
	SlJoined	entry = {.key = *key};

	strlcpy(entry.member, member, sizeof(entry.member));
	if (joined == NULL)
	{
		HASHCTL		info;

		info.hcxt = TopMemoryContext;
		info.keysize = sizeof(SlJoined);
		info.entrysize = sizeof(SlJoined);
		joined = hash_create("streamlog groups joined", 16, &info,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	(void) hash_search(joined, &entry, HASH_ENTER, NULL);
}

/* The session is no member any more, nor has it to stay fenced: its name ends. */
static void
leave_all(bool keeps_place)
{
	HASH_SEQ_STATUS all;
	SlJoined   *entry;

	if (joined == NULL)
		return;
	hash_seq_init(&all, joined);
	while ((entry = hash_seq_search(&all)) != NULL)
	{
		LWLock	   *lock = sl_group_lock(&entry->key);
		SlGroup    *group;
		SlGroupMember *member = NULL;

		LWLockAcquire(lock, LW_EXCLUSIVE);
		group = sl_group_find(&entry->key);
		if (group)
			member = sl_group_find_member(group, entry->member);
		if (member && keeps_place && member->instance[0] != '\0' &&
			!member->is_fenced)
			end_session(group, member);
		else if (member)
			sl_group_put_out(group, member);
		LWLockRelease(lock);
		(void) hash_search(joined, entry, HASH_REMOVE, NULL);
	}
}

void
sl_group_leave_all(void)
{
	leave_all(false);
}

void
sl_group_members_at_exit(void)
{
	leave_all(true);
}

/* A fenced one may go on by the same name, and has to stay fenced. */
bool
sl_group_leave(const SlGroupKey *key, const char *name)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroup    *group;
	SlGroupMember *member = NULL;

	sl_groups_attach();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	group = sl_group_find(key);
	if (group)
		member = sl_group_find_member(group, name);
	if (member && !member->is_fenced)
		sl_group_put_out(group, member);
	LWLockRelease(lock);
	return member != NULL;
}

/* Under the group's lock: the member waits in this backend. */
void
sl_group_wait_begin(const SlGroup *group, SlGroupMember *member)
{
	Assert(!waits);
	member->waiting = MyProc->pgprocno;
	waits_in = group->key;
	strlcpy(waits_as, member->name, sizeof(waits_as));
	waits = true;
	sl_groups_note_wait(true);
}

void
sl_group_wait_end(void)
{
	LWLock	   *lock = sl_group_lock(&waits_in);
	SlGroup    *group;
	SlGroupMember *member = NULL;

	if (!waits)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	group = sl_group_find(&waits_in);
	if (group)
		member = sl_group_find_member(group, waits_as);
	if (member && member->waiting == MyProc->pgprocno)
	{
		member->waiting = -1;
		member->last_call = GetCurrentTimestamp();
	}
	waits = false;
	sl_groups_note_wait(false);
	LWLockRelease(lock);
}
