/*
 * group_list.c
 *		The members of consumer groups, for views.
 *
 * Groups are copied one lock at a time, and the copy takes no memory: if what there
 * is does not suffice, the lock is let go, and it is taken again with more.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "shmem/group_entry.h"
#include "shmem/group_list.h"

typedef struct SlMemberList
{
	Oid			database;
	Oid			relation;
	int32		group_id;		/* 0: all */
	SlMemberInfo *members;
	int			nmembers;
	int			max_members;
	SlMemberAssignment *assignments;	/* of all of them, in their order */
	int			nassignments;
	int			max_assignments;
} SlMemberList;

static bool
is_wanted(const SlMemberList *list, const SlGroup *group)
{
	return group->key.database == list->database &&
		group->key.relation == list->relation &&
		(list->group_id == 0 || group->key.group_id == list->group_id);
}

/* How many assignments of a member there are, put into the list if it is given. */
static int
copy_assignments(SlGroup *group, SlGroupMember *member,
				 SlMemberAssignment *assignments)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		for (int i = 0; i < topic->npartitions; i++)
		{
			SlGroupPart *part = &topic->parts[i];

			if (part->reader != member && part->target != member)
				continue;
			if (assignments)
			{
				assignments[n].topic_id = topic->topic_id;
				assignments[n].partition = i;
				assignments[n].is_reader = part->reader == member;
				assignments[n].is_target = part->target == member;
			}
			n++;
		}
	}
	return n;
}

static void
copy_member(SlGroup *group, SlGroupMember *member, SlMemberList *list)
{
	SlMemberInfo *info = &list->members[list->nmembers++];

	memset(info, 0, sizeof(SlMemberInfo));
	info->group_id = group->key.group_id;
	info->assignor = group->assignor;
	strlcpy(info->member, member->name, sizeof(info->member));
	strlcpy(info->instance, member->instance, sizeof(info->instance));
	info->is_session = member->is_session;
	info->is_fenced = member->is_fenced;
	info->last_call = member->last_call;

	/* the backend of a member_id may have ended */
	if (member->pid != 0 &&
		ProcGlobal->allProcs[member->pgprocno].pid == member->pid)
		info->pid = member->pid;
	info->nassignments = copy_assignments(group, member,
										  &list->assignments[list->nassignments]);
	list->nassignments += info->nassignments;
}

/* Make room for these and at least twice as much as there is now. */
static void
grow(SlMemberList *list, int members, int assignments)
{
	if (members > list->max_members)
	{
		list->max_members = Max(members, 2 * list->max_members);
		list->members = repalloc_huge(list->members,
									  mul_size(list->max_members,
											   sizeof(SlMemberInfo)));
	}
	if (assignments > list->max_assignments)
	{
		list->max_assignments = Max(assignments, 2 * list->max_assignments);
		list->assignments = repalloc_huge(list->assignments,
										  mul_size(list->max_assignments,
												   sizeof(SlMemberAssignment)));
	}
}

/* False if there is not room enough; then *members and *assignments are what is needed. */
static bool
copy_stripe(int stripe, SlMemberList *list, int *members, int *assignments)
{
	SlGroup    *group = NULL;
	dlist_iter	iter;

	*members = list->nmembers;
	*assignments = list->nassignments;
	while ((group = sl_group_next(stripe, group)) != NULL)
	{
		if (!is_wanted(list, group))
			continue;
		dlist_foreach(iter, &group->members)
		{
			*members += 1;
			*assignments += copy_assignments(group,
											 dlist_container(SlGroupMember, node, iter.cur),
											 NULL);
		}
	}
	if (*members > list->max_members || *assignments > list->max_assignments)
		return false;

	while ((group = sl_group_next(stripe, group)) != NULL)
		if (is_wanted(list, group))
			dlist_foreach(iter, &group->members)
				copy_member(group,
							dlist_container(SlGroupMember, node, iter.cur), list);
	return true;
}

static void
list_stripe(int stripe, SlMemberList *list)
{
	LWLock	   *lock = sl_group_stripe_lock(stripe);
	int			members;
	int			assignments;
	bool		done = false;

	while (!done)
	{
		LWLockAcquire(lock, LW_SHARED);
		done = copy_stripe(stripe, list, &members, &assignments);
		LWLockRelease(lock);
		if (!done)
			grow(list, members, assignments);
	}
}

SlMemberInfo *
sl_groups_list_members(Oid database, Oid relation, int32 group_id, int *n)
{
	SlMemberList list = {.database = database,.relation = relation,.group_id = group_id};
	SlGroupKey	key = {database, relation, group_id};
	int			next = 0;

	list.max_members = 16;
	list.members = palloc_array(SlMemberInfo, list.max_members);
	list.max_assignments = 64;
	list.assignments = palloc_array(SlMemberAssignment, list.max_assignments);

	if (group_id != 0)
		list_stripe(sl_group_stripe(&key), &list);
	else
		for (int i = 0; sl_group_stripe_lock(i) != NULL; i++)
			list_stripe(i, &list);

	for (int i = 0; i < list.nmembers; i++)
	{
		list.members[i].assignments = &list.assignments[next];
		next += list.members[i].nassignments;
	}
	*n = list.nmembers;
	return list.members;
}

bool
sl_group_is_subscribed(const SlGroupKey *key, const char *name, int32 topic_id)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroup    *group;
	SlGroupMember *member = NULL;
	bool		result;

	LWLockAcquire(lock, LW_SHARED);
	group = sl_group_find(key);
	if (group)
		member = sl_group_find_member(group, name);
	result = member && sl_group_find_subscription(member, topic_id) != NULL;
	LWLockRelease(lock);
	return result;
}
