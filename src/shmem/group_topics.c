/*
 * group_topics.c
 *		Topics and partitions of consumer groups, and who is subscribed to them.
 *
 * The model is at the top of groups.c.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "shmem/group_entry.h"

SlGroupTopic *
sl_group_find_topic(SlGroup *group, int32 topic_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, iter.cur);

		if (topic->topic_id == topic_id)
			return topic;
	}
	return NULL;
}

/* NULL if it is not there, or the group is NULL. */
SlGroupPart *
sl_group_find_part(SlGroup *group, int32 topic_id, int32 partition)
{
	SlGroupTopic *topic = group ? sl_group_find_topic(group, topic_id) : NULL;

	if (topic == NULL || partition < 0 || partition >= topic->npartitions)
		return NULL;
	return &topic->parts[partition];
}

/* Its new reader, or nobody (NULL). */
void
sl_group_set_reader(SlGroupPart *part, SlGroupMember *member)
{
	part->reader = member;
	part->generation = sl_group_new_generation();
	if (member)
		part->last_member = 0;
}

/* False if there is no room. */
static bool
set_partitions(SlGroupTopic *topic, const SlNamedTopic *named)
{
	dsa_pointer self;
	SlGroupPart *parts = sl_group_alloc(mul_size(named->partitions,
												 sizeof(SlGroupPart)), &self);

	if (parts == NULL)
		return false;
	if (topic->npartitions > 0)
	{
		memcpy(parts, topic->parts, topic->npartitions * sizeof(SlGroupPart));
		sl_group_free(topic->parts_self);
	}
	for (int i = topic->npartitions; i < named->partitions; i++)
	{
		parts[i].generation = sl_group_new_generation();
		if (named->last_members)
			parts[i].last_member = named->last_members[i];
	}
	topic->parts = parts;
	topic->parts_self = self;
	topic->npartitions = named->partitions;
	return true;
}

/* NULL if there is no room. */
static SlGroupTopic *
make_topic(SlGroup *group, const SlNamedTopic *named)
{
	dsa_pointer self;
	SlGroupTopic *topic = sl_group_alloc(offsetof(SlGroupTopic, name) +
										 strlen(named->name) + 1, &self);
	dlist_iter	iter;

	if (topic == NULL)
		return NULL;
	topic->self = self;
	topic->topic_id = named->topic_id;
	strcpy(topic->name, named->name);
	if (!set_partitions(topic, named))
	{
		sl_group_free(self);
		return NULL;
	}

	dlist_foreach(iter, &group->topics)
		if (strcmp(topic->name,
				   dlist_container(SlGroupTopic, node, iter.cur)->name) < 0)
	{
		dlist_insert_before(iter.cur, &topic->node);
		return topic;
	}
	dlist_push_tail(&group->topics, &topic->node);
	return topic;
}

static void
remove_topic(SlGroupTopic *topic)
{
	dlist_delete(&topic->node);
	sl_group_free(topic->parts_self);
	sl_group_free(topic->self);
}

/* The topic was dropped and made anew: members need not wait until they stop naming it. */
static void
remove_namesake(SlGroup *group, const SlNamedTopic *named)
{
	dlist_mutable_iter topics;
	dlist_iter	members;

	dlist_foreach_modify(topics, &group->topics)
	{
		SlGroupTopic *topic = dlist_container(SlGroupTopic, node, topics.cur);

		if (strcmp(topic->name, named->name) != 0)
			continue;
		dlist_foreach(members, &group->members)
		{
			SlGroupMember *member = dlist_container(SlGroupMember, node,
													members.cur);
			dlist_mutable_iter iter;

			dlist_foreach_modify(iter, &member->subscriptions)
			{
				SlGroupSubscription *subscription =
				dlist_container(SlGroupSubscription, node, iter.cur);

				if (subscription->topic != topic)
					continue;
				dlist_delete(iter.cur);
				sl_group_free(subscription->self);
			}
		}
		remove_topic(topic);
	}
}

SlGroupSubscription *
sl_group_find_subscription(SlGroupMember *member, int32 topic_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &member->subscriptions)
	{
		SlGroupSubscription *subscription =
		dlist_container(SlGroupSubscription, node, iter.cur);

		if (subscription->topic->topic_id == topic_id)
			return subscription;
	}
	return NULL;
}

/* False if there is no room. */
static bool
add_subscription(SlGroup *group, SlGroupMember *member,
				 const SlNamedTopic *named, TimestampTz now)
{
	dsa_pointer self;
	SlGroupSubscription *subscription;
	SlGroupTopic *topic = sl_group_find_topic(group, named->topic_id);

	subscription = sl_group_alloc(sizeof(SlGroupSubscription), &self);
	if (subscription == NULL)
		return false;
	if (topic == NULL)
	{
		remove_namesake(group, named);
		topic = make_topic(group, named);
	}
	if (topic == NULL)
	{
		sl_group_free(self);
		return false;
	}
	subscription->self = self;
	subscription->topic = topic;
	subscription->named = now;
	topic->nsubscribers++;
	dlist_push_tail(&member->subscriptions, &subscription->node);
	group->needs_plan = true;
	return true;
}

/*
 * The member names a topic.  False if it, or those of its partitions that are new, did
 * not find room.
 */
bool
sl_group_subscribe(SlGroup *group, SlGroupMember *member,
				   const SlNamedTopic *named, TimestampTz now)
{
	SlGroupSubscription *subscription =
	sl_group_find_subscription(member, named->topic_id);
	SlGroupTopic *topic;

	if (subscription)
		subscription->named = now;
	else if (!add_subscription(group, member, named, now))
		return false;

	topic = sl_group_find_topic(group, named->topic_id);
	if (named->partitions > topic->npartitions)
	{
		if (!set_partitions(topic, named))
			return false;
		group->needs_plan = true;
	}
	return true;
}

/* Free what the member has of a topic, which goes with its last subscriber. */
void
sl_group_unsubscribe(SlGroup *group, SlGroupMember *member,
					 SlGroupSubscription *subscription)
{
	SlGroupTopic *topic = subscription->topic;

	for (int i = 0; i < topic->npartitions; i++)
	{
		SlGroupPart *part = &topic->parts[i];

		if (part->target == member)
			part->target = NULL;
		if (part->handed_to == member)
			part->handed_to = NULL;
		if (part->reader == member)
		{
			sl_group_set_reader(part, NULL);
			sl_group_wake(part->target);
		}
	}
	dlist_delete(&subscription->node);
	sl_group_free(subscription->self);
	group->needs_plan = true;
	if (--topic->nsubscribers == 0)
		remove_topic(topic);
}
