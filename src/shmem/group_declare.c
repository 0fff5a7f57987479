/*
 * group_declare.c
 *		A consumer tells its group that it is there, and is told what to read.
 *
 * The model is at the top of groups.c.  A declaration is one piece of work under the
 * group's lock.  A plan needs memory, though, which is not taken under the lock: if
 * there is too little, the lock is let go and all is done again with more.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "shmem/group_entry.h"

typedef enum SlDeclareStep
{
	SL_STEP_DONE,
	SL_STEP_FULL,				/* shared memory has no room for the member */
	SL_STEP_MORE_MEMORY			/* for the plan */
} SlDeclareStep;

/* A declaration, and what goes with it */
typedef struct SlDeclaring
{
	SlDeclaration *d;
	SlDeclareResult result;
	TimestampTz now;
	Size		plan_size;		/* that there is */
	void	   *plan_memory;
} SlDeclaring;

/* Are there others whose assignor counts?  Not the one that is to be replaced. */
static bool
has_others(SlGroup *group, const SlGroupMember *me, const char *instance)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->members)
	{
		SlGroupMember *member = dlist_container(SlGroupMember, node, iter.cur);

		if (member != me && !member->is_fenced &&
			!(instance && strcmp(member->instance, instance) == 0))
			return true;
	}
	return false;
}

/* Is a topic new to a group that settles, and the members in its rows not known? */
static bool
wants_rows(SlGroup *group, const SlDeclaring *ing)
{
	const SlDeclaration *d = ing->d;

	if (group && (!group->settling || ing->now >= group->settled_at))
		return false;
	for (int i = 0; i < d->ntopics; i++)
		if (d->topics[i].last_members == NULL &&
			(!group || !sl_group_find_topic(group, d->topics[i].topic_id)))
			return true;
	return false;
}

/* SL_DECLARED if nothing speaks against it. */
static SlDeclareResult
refusal(SlGroup *group, SlGroupMember *me, SlDeclaring *ing)
{
	SlDeclaration *d = ing->d;

	if (me && me->is_fenced && !SL_MUTANT("unfenced"))
	{
		me->last_call = ing->now;
		return SL_DECLARE_FENCED;
	}
	if (group && d->assignor != SL_ASSIGNOR_ANY &&
		d->assignor != group->assignor && has_others(group, me, d->instance))
	{
		d->assignor = group->assignor;
		return SL_DECLARE_ASSIGNOR;
	}
	return wants_rows(group, ing) ? SL_DECLARE_READ_ROWS : SL_DECLARED;
}

/* NULL if there is no room; then there is no group either that was not there before. */
static SlGroupMember *
join(SlGroup *group, SlDeclaration *d)
{
	SlGroupMember *me = sl_group_make_member(group, d->member);

	if (me)
		d->joined = true;
	else if (dlist_is_empty(&group->members) && !group->used)
		sl_group_remove(group);
	return me;
}

/* Without an instance_id a member keeps the one that it gave before. */
static void
take_instance(SlGroup *group, SlGroupMember *me, const char *instance)
{
	dlist_mutable_iter iter;

	if (strcmp(me->instance, instance) != 0)
	{
		Assert(strlen(instance) <= SL_MAX_MEMBER_NAME);
		strlcpy(me->instance, instance, sizeof(me->instance));
		sl_group_place_member(group, me);
	}
	dlist_foreach_modify(iter, &group->members)
	{
		SlGroupMember *old = dlist_container(SlGroupMember, node, iter.cur);

		if (old != me && !old->is_fenced && strcmp(old->instance, instance) == 0)
			sl_group_take_over(group, me, old);
	}
}

/* The member is there, as this backend says. */
static void
touch(SlGroup *group, SlGroupMember *me, const SlDeclaring *ing)
{
	SlDeclaration *d = ing->d;

	me->last_call = ing->now;
	if (d->keeps_interval && !d->joined)
		d->max_poll_interval = me->max_poll_interval;
	me->max_poll_interval = d->max_poll_interval;
	me->is_session = d->is_session;
	me->pid = MyProcPid;
	me->pgprocno = MyProc->pgprocno;
	me->waiting = -1;
	if (d->instance)
		take_instance(group, me, d->instance);
	if (d->assignor != SL_ASSIGNOR_ANY && d->assignor != group->assignor)
	{
		group->assignor = d->assignor;
		group->needs_plan = true;
	}
}

/* Topics that are named are added, those that have not been for too long go. */
static void
subscribe(SlGroup *group, SlGroupMember *me, SlDeclaring *ing)
{
	SlDeclaration *d = ing->d;
	dlist_mutable_iter iter;

	d->full = false;
	for (int i = 0; i < d->ntopics; i++)
		if (!sl_group_subscribe(group, me, &d->topics[i], ing->now))
			d->full = true;
	dlist_foreach_modify(iter, &me->subscriptions)
	{
		SlGroupSubscription *subscription =
		dlist_container(SlGroupSubscription, node, iter.cur);

		if (ing->now > TimestampTzPlusMilliseconds(subscription->named,
												   d->max_poll_interval))
			sl_group_unsubscribe(group, me, subscription);
	}
}

/* Is it kept for a member that may come back, and not for this one? */
static bool
is_held_back(const SlGroup *group, const SlGroupMember *me,
			 const SlGroupPart *part)
{
	return group->settling && part->last_member != 0 &&
		part->last_member != me->hash;
}

/* Let go of a partition that is to move, or take one that is free. */
static void
move_partition(SlGroup *group, SlGroupMember *me, SlDeclaration *d,
			   SlGroupPart *part, int32 topic_id, int32 partition)
{
	if (part->reader == me && part->target != me && d->lets_go &&
		!d->holds(d->arg, topic_id, partition))
	{
		sl_group_set_reader(part, NULL);
		sl_group_wake(part->target);
	}
	if (part->reader != NULL)
		return;
	if (is_held_back(group, me, part))
	{
		if (part->target == me || part->target == NULL)
			d->settling = true;
	}
	else if (part->target == me)
		sl_group_set_reader(part, me);
}

static void
move_partitions(SlGroup *group, SlGroupMember *me, SlDeclaration *d)
{
	d->nassigned = 0;
	d->settling = false;
	for (int i = 0; i < d->ntopics; i++)
	{
		const SlNamedTopic *named = &d->topics[i];
		SlGroupTopic *topic = sl_group_find_topic(group, named->topic_id);

		if (topic == NULL || !sl_group_find_subscription(me, named->topic_id))
			continue;			/* found no room */
		for (int p = 0; p < Min(topic->npartitions, named->partitions); p++)
		{
			SlGroupPart *part = &topic->parts[p];

			move_partition(group, me, d, part, named->topic_id, p);
			if (part->reader == me && part->target == me)
			{
				SlAssigned *assigned = &d->assigned[d->nassigned++];

				assigned->topic = i;
				assigned->partition = p;
				assigned->generation = part->generation;
			}
		}
	}
}

/* All that is done under the lock. */
static SlDeclareStep
declare(SlDeclaring *ing)
{
	SlDeclaration *d = ing->d;
	SlGroup    *group = sl_group_find(&d->key);
	SlGroupMember *me = NULL;

	if (group)
	{
		me = sl_group_find_member(group, d->member);
		sl_group_put_out_overdue(group, ing->now, me);
	}
	if (me == NULL && !d->joins)
	{
		d->joined = true;
		ing->result = SL_DECLARED;
		return SL_STEP_DONE;
	}
	ing->result = refusal(group, me, ing);
	if (ing->result != SL_DECLARED)
		return SL_STEP_DONE;

	if (group == NULL)
		group = sl_group_make(&d->key, ing->now);
	if (group == NULL)
		return SL_STEP_FULL;
	if (me == NULL)
		me = join(group, d);
	if (me == NULL)
		return SL_STEP_FULL;

	touch(group, me, ing);
	subscribe(group, me, ing);
	if (group->settling && ing->now >= group->settled_at)
	{
		group->settling = false;
		group->needs_plan = true;
	}
	if (group->needs_plan)
	{
		Size		size = sl_group_plan_size(group);

		if (size > ing->plan_size)
		{
			ing->plan_size = size;
			return SL_STEP_MORE_MEMORY;
		}
		sl_group_plan(group, ing->plan_memory);
	}
	d->assignor = group->assignor;
	move_partitions(group, me, d);
	if (d->waits)
		sl_group_wait_begin(group, me);
	return SL_STEP_DONE;
}

static void
no_room(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("too many members of consumer groups"),
			 errdetail("There is no room for another one in the %d kB of shared memory for consumer groups.",
					   sl_group_memory()),
			 errhint("Raise \"%s\" and restart the server.",
					 "streamlog.group_memory")));
}

SlDeclareResult
sl_group_declare(SlDeclaration *d)
{
	LWLock	   *lock = sl_group_lock(&d->key);
	SlDeclaring ing = {.d = d};
	SlDeclareStep step;
	Size		most = 1;

	sl_groups_attach();
	sl_group_wait_end();
	if (d->is_session && d->joins)
		sl_group_note_joined(&d->key, d->member);
	for (int i = 0; i < d->ntopics; i++)
		most += d->topics[i].partitions;
	d->assigned = MemoryContextAllocHuge(CurrentMemoryContext,
										 mul_size(most, sizeof(SlAssigned)));
	d->nassigned = 0;
	d->joined = false;

	for (;;)
	{
		ing.now = GetCurrentTimestamp();
		LWLockAcquire(lock, LW_EXCLUSIVE);
		step = declare(&ing);
		LWLockRelease(lock);
		if (step != SL_STEP_MORE_MEMORY)
			break;
		if (ing.plan_memory)
			pfree(ing.plan_memory);
		ing.plan_memory = MemoryContextAllocHuge(CurrentMemoryContext,
												 ing.plan_size);
	}
	if (ing.plan_memory)
		pfree(ing.plan_memory);
	if (step == SL_STEP_FULL)
		no_room();
	return ing.result;
}
