/*
 * group_plan.c
 *		Who is to read which partition of a consumer group.
 *
 * The assignors, of a higher floor, decide; here the group is put before them, and
 * what they say becomes the partitions' targets.
 *
 * While the group settles, a partition whose offset row names a member is as good as
 * its own if it is there; if it is not there yet, the sticky assignor leaves the
 * partition out.  The others assign as ever, and what they assign is held back (see
 * group_declare.c).
 */
#include "postgres.h"

#include "shmem/group_entry.h"

/* The parts of the memory for a plan */
typedef struct SlPlan
{
	SlGroupMember **members;
	int		   *first;
	bool	   *subscribed;
	int		   *owner;
	bool	   *left_out;
	int		   *result;
	int		   *scratch;
	int			nmembers;
	int			ntopics;
	int			npartitions;
} SlPlan;

static SlAssign assign = NULL;

void
sl_groups_set_assign(SlAssign function)
{
	assign = function;
}

/* Cut a piece off; with memory NULL it is only counted. */
static void *
cut(char *memory, Size *used, Size number, Size size)
{
	void	   *piece = memory ? memory + *used : NULL;

	*used += MAXALIGN(number * size);
	return piece;
}

/* How much there is of all, and where it is in the memory; returns the memory's size. */
static Size
lay_out(SlGroup *group, char *memory, SlPlan *plan)
{
	dlist_iter	iter;
	Size		used = 0;

	memset(plan, 0, sizeof(SlPlan));
	dlist_foreach(iter, &group->members)
		if (!dlist_container(SlGroupMember, node, iter.cur)->is_fenced)
		plan->nmembers++;
	dlist_foreach(iter, &group->topics)
	{
		plan->ntopics++;
		plan->npartitions += dlist_container(SlGroupTopic, node,
											 iter.cur)->npartitions;
	}

	plan->members = cut(memory, &used, plan->nmembers, sizeof(SlGroupMember *));
	plan->first = cut(memory, &used, plan->ntopics + 1, sizeof(int));
	plan->subscribed = cut(memory, &used, (Size) plan->ntopics * plan->nmembers,
						   sizeof(bool));
	plan->owner = cut(memory, &used, plan->npartitions, sizeof(int));
	plan->left_out = cut(memory, &used, plan->npartitions, sizeof(bool));
	plan->result = cut(memory, &used, plan->npartitions, sizeof(int));
	plan->scratch = cut(memory, &used,
						(Size) 2 * plan->nmembers + plan->npartitions,
						sizeof(int));
	return used;
}

/* How much memory sl_group_plan() wants. */
Size
sl_group_plan_size(SlGroup *group)
{
	SlPlan		plan;

	return lay_out(group, NULL, &plan);
}

static void
add_members(SlGroup *group, SlPlan *plan)
{
	dlist_iter	iter;
	int			n = 0;

	memset(plan->subscribed, false, (Size) plan->ntopics * plan->nmembers);
	dlist_foreach(iter, &group->members)
	{
		SlGroupMember *member = dlist_container(SlGroupMember, node, iter.cur);
		dlist_iter	wish;

		if (member->is_fenced)
			continue;
		member->index = n++;
		plan->members[member->index] = member;
		dlist_foreach(wish, &member->subscriptions)
		{
			int			topic = dlist_container(SlGroupSubscription, node,
												wish.cur)->topic->index;

			plan->subscribed[(Size) topic * plan->nmembers + member->index] = true;
		}
	}
}

/* Who has the partition, or had it before the server was started. */
static int
owner_of(SlGroup *group, SlPlan *plan, SlGroupPart *part, bool *left_out)
{
	*left_out = false;
	if (part->reader)
		return part->reader->index;
	if (!group->settling || part->last_member == 0)
		return -1;
	for (int i = 0; i < plan->nmembers; i++)
		if (plan->members[i]->hash == part->last_member)
			return i;
	*left_out = true;
	return -1;
}

/* The topics have got their numbers by then. */
static void
add_partitions(SlGroup *group, SlPlan *plan)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		plan->first[topic->index] = n;
		for (int i = 0; i < topic->npartitions; i++, n++)
			plan->owner[n] = owner_of(group, plan, &topic->parts[i],
									  &plan->left_out[n]);
	}
	plan->first[plan->ntopics] = n;
}

/* Those who gain and those who lose a partition are to know. */
static void
set_targets(SlGroup *group, SlPlan *plan)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		for (int i = 0; i < topic->npartitions; i++, n++)
		{
			SlGroupPart *part = &topic->parts[i];
			SlGroupMember *target = plan->result[n] < 0 ? NULL :
			plan->members[plan->result[n]];

			if (part->target == target)
				continue;
			sl_group_wake(part->target);
			sl_group_wake(part->reader);
			sl_group_wake(target);
			part->target = target;
		}
	}
}

/* With as much memory as sl_group_plan_size() said. */
void
sl_group_plan(SlGroup *group, void *memory)
{
	SlPlan		plan;
	SlAssignment assignment;
	dlist_iter	iter;
	int			n = 0;

	(void) lay_out(group, memory, &plan);
	dlist_foreach(iter, &group->topics)
		dlist_container(SlGroupTopic, node, iter.cur)->index = n++;
	add_members(group, &plan);
	add_partitions(group, &plan);

	assignment.nmembers = plan.nmembers;
	assignment.ntopics = plan.ntopics;
	assignment.npartitions = plan.npartitions;
	assignment.first = plan.first;
	assignment.subscribed = plan.subscribed;
	assignment.owner = plan.owner;
	assignment.left_out = plan.left_out;
	assignment.result = plan.result;
	assignment.scratch = plan.scratch;
	assign(group->assignor, &assignment);

	set_targets(group, &plan);
	group->needs_plan = false;
}
