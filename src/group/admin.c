/*
 * admin.c
 *		What is done to consumer groups from outside: reset, delete, put out, give away.
 *
 * An offset that is reset or deleted under a reader would be overwritten by its next
 * commit, or make it lose its work.  So both are refused while members are
 * subscribed to the topic.  A member may join while we wait for a lock, so it is
 * looked for again when all locks are held.  One that joins after that finds the
 * partitions locked until the end of this transaction, and then the new offsets.
 *
 * Whoever was a member before may still have records in hand.  A reset raises the epoch
 * and clears the member, so a commit of these is refused; what the reader's session
 * remembers of its position falls with the generation of the assignment.  A deletion
 * does the same by leaving no row.
 *
 * Locks: those of the partitions, in the order of all others (see commit.c); the group's
 * own exclusively to delete it or to give it away.
 */
#include "postgres.h"

#include "common/int.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "catalog/owner.h"
#include "group/admin.h"
#include "group/member.h"
#include "shmem/group_list.h"

/* How many members an error names */
#define SL_MAX_NAMED	10

static SlGroupKey
key_of(const SlConsumerGroup *group)
{
	SlGroupKey	key = {MyDatabaseId, group->offsets, group->group_id};

	return key;
}

/* Raise while the group has members (with topic: that are subscribed to it). */
static void
refuse_if_active(const SlConsumerGroup *group, const SlTopic *topic)
{
	SlGroupKey	key = key_of(group);
	StringInfoData names;
	SlMemberInfo *members;
	int			n;
	int			found = 0;

	/* the worker may not have looked yet */
	sl_groups_expire(MyDatabaseId);
	members = sl_groups_list_members(key.database, key.relation, key.group_id, &n);
	initStringInfo(&names);
	for (int i = 0; i < n; i++)
	{
		if (members[i].is_fenced ||
			(topic && !sl_group_is_subscribed(&key, members[i].member, topic->topic_id)))
			continue;
		if (found < SL_MAX_NAMED)
			appendStringInfo(&names, "%s\"%s\"", found > 0 ? ", " : "",
							 members[i].member);
		found++;
	}
	if (found == 0)
		return;
	if (found > SL_MAX_NAMED)
		appendStringInfo(&names, " and %d more", found - SL_MAX_NAMED);
	ereport(ERROR,
			(errcode(ERRCODE_SL_NON_EMPTY_GROUP),
			 topic ?
			 errmsg("consumer group \"%s\" has active members that are subscribed to topic \"%s\"",
					group->name, topic->name) :
			 errmsg("consumer group \"%s\" has active members", group->name),
			 errdetail_plural("The member is %s.", "The members are %s.", found,
							  names.data),
			 errhint("Have them leave(), or put each out with kick_member(%s, member).",
					 quote_literal_cstr(group->name))));
}

static int
compare_keys(const void *a, const void *b)
{
	return sl_offset_key_compare(&((const SlOffsetListed *) a)->key,
								 &((const SlOffsetListed *) b)->key);
}

static SlOffsetListed *
find_listed(SlOffsetListed *list, int n, const SlOffsetKey *key)
{
	SlOffsetListed wanted;

	wanted.key = *key;
	return bsearch(&wanted, list, n, sizeof(SlOffsetListed), compare_keys);
}

SlOffsetListed *
sl_admin_list_offsets(int32 group_id, int32 topic_id, int *n)
{
	int			nrows;
	SlOffsetListed *list = sl_offset_list(group_id, topic_id, &nrows);
	List	   *mine = sl_offsets_in_transaction(group_id);
	ListCell   *lc;

	list = repalloc_huge(list, mul_size(Max(nrows + list_length(mine), 1),
										sizeof(SlOffsetListed)));
	qsort(list, nrows, sizeof(SlOffsetListed), compare_keys);
	*n = nrows;

	/* rows are written at the end of the transaction */
	foreach(lc, mine)
	{
		SlOffset   *offset = lfirst(lc);
		SlStake    *stake = sl_offset_owned(offset);
		SlOffsetListed *listed;

		if (stake == NULL || !stake->dirty ||
			(topic_id != 0 && offset->key.topic_id != topic_id))
			continue;
		listed = find_listed(list, nrows, &offset->key);
		if (listed == NULL)
			listed = &list[(*n)++];
		listed->key = offset->key;
		listed->row = stake->row;
	}
	qsort(list, *n, sizeof(SlOffsetListed), compare_keys);
	return list;
}

static void
no_offset(const SlTopic *topic, int32 partition)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("there is no committed offset for topic \"%s\" partition %d that could be shifted",
					topic->name, partition),
			 errhint("Give \"to_offset\", \"to_time\" or \"to_position\".")));
}

/* The offset itself, or the nearest there is. */
static int64
clamp(SlTopic *topic, int32 partition, int64 offset)
{
	SlPartitionState state;
	int64		nearest;

	(void) sl_fetch_bounds(topic, partition, &state);
	nearest = Min(Max(offset, state.log_start), state.visible_end);
	if (nearest != offset)
		ereport(WARNING,
				(errcode(ERRCODE_SL_OFFSET_OUT_OF_RANGE),
				 errmsg("offset %lld is out of range for topic \"%s\" partition %d, using %lld",
						(long long) offset, topic->name, partition,
						(long long) nearest),
				 errdetail("Its offsets begin at %lld and end before %lld.",
						   (long long) state.log_start,
						   (long long) state.visible_end)));
	return nearest;
}

/* Where the target is, for a partition whose committed offset is current (-1: none). */
static int64
find_target(SlTopic *topic, int32 partition, const SlSeekTarget *target,
			int64 current)
{
	int64		offset = target->offset;

	if (target->kind == SL_SEEK_SHIFT)
	{
		if (current < 0)
			no_offset(topic, partition);
		if (pg_add_s64_overflow(current, target->offset, &offset))
			offset = PG_INT64_MAX;
	}
	else if (target->kind != SL_SEEK_OFFSET)
		return sl_seek_offset(topic, partition, target);
	return clamp(topic, partition, offset);
}

/* For who acts on a group and is no member of it */
static SlConsumer
outsider(const SlConsumerGroup *group)
{
	SlConsumer	consumer = {.group = key_of(group),.group_name = group->name,.member = ""};

	return consumer;
}

/*
 * Own the partitions first to last, in order, and see that nobody is at work on them.
 * That counts as a call: who holds them in an open transaction has max_poll_interval,
 * whatever the session did before.
 */
static SlOffset **
own_partitions(SlConsumerGroup *group, SlTopic *topic, int32 first, int n)
{
	SlConsumer	consumer = outsider(group);
	SlOffset  **list = palloc_array(SlOffset *, Max(n, 1));

	refuse_if_active(group, topic);
	sl_groups_note_call(sl_consume_max_poll_interval());
	for (int i = 0; i < n; i++)
	{
		list[i] = sl_offsets_enter(&consumer, topic->topic_id, first + i);
		(void) sl_offset_own(list[i], &consumer, true);
		sl_groups_note_call(sl_consume_max_poll_interval());
	}
	if (!SL_MUTANT("admin-checks-once"))
		refuse_if_active(group, topic);
	return list;
}

/* What this session itself may have had to do with a partition counts no more. */
static void
clear_stake(SlStake *stake)
{
	memset(&stake->batch, 0, sizeof(SlBatch));
	memset(&stake->seen, 0, sizeof(SlSeen));
	stake->statement = 0;
	stake->must_write = false;
	stake->shared = false;
	stake->reset = true;		/* also wakes who has joined meanwhile */
}

static void
reset_one(SlTopic *topic, SlOffset *offset, int64 target)
{
	SlStake    *stake = sl_offset_change(offset);
	SlPartitionState state;

	clear_stake(stake);
	sl_member_settle(topic, offset, true, SL_RESET_EARLIEST, &state);
	stake->row.next_offset = target;
	if (!SL_MUTANT("reset-keeps-member"))
	{
		stake->row.member[0] = '\0';
		stake->row.epoch++;
	}
	stake->row.metadata = NULL;
	stake->dirty = true;
	stake->position = target;
	stake->moved = true;
}

static void
apply_resets(SlConsumerGroup *group, SlTopic *topic, SlPartitionReset *resets,
			 int n, const SlSeekTarget *target)
{
	SlOffset  **list = own_partitions(group, topic, resets[0].partition, n);

	for (int i = 0; i < n; i++)
	{
		SlStake    *stake = sl_offset_owned(list[i]);

		resets[i].current = stake->row.exists || stake->dirty ? stake->row.next_offset : -1;
		resets[i].target = find_target(topic, resets[i].partition, target,
									   resets[i].current);
	}
	for (int i = 0; i < n; i++)
		reset_one(topic, list[i], resets[i].target);
}

static void
preview_resets(SlConsumerGroup *group, SlTopic *topic, SlPartitionReset *resets,
			   int n, const SlSeekTarget *target)
{
	SlOffsetListed *offsets = NULL;
	int			noffsets = 0;

	if (group)
	{
		refuse_if_active(group, topic);
		offsets = sl_admin_list_offsets(group->group_id, topic->topic_id, &noffsets);
	}
	for (int i = 0; i < n; i++)
	{
		SlOffsetKey key = {group ? group->group_id : 0, topic->topic_id, resets[i].partition};
		SlOffsetListed *listed = offsets ? find_listed(offsets, noffsets, &key) : NULL;

		resets[i].current = listed ? listed->row.next_offset : -1;
		resets[i].target = find_target(topic, resets[i].partition, target,
									   resets[i].current);
	}
}

SlPartitionReset *
sl_admin_reset(SlConsumerGroup *group, SlTopic *topic, int32 partition,
			   const SlSeekTarget *target, bool apply, int *n)
{
	SlPartitionReset *resets;

	if (partition >= 0)
		sl_check_partition(topic, partition);
	*n = partition >= 0 ? 1 : topic->partitions;
	resets = palloc0_array(SlPartitionReset, *n);
	for (int i = 0; i < *n; i++)
		resets[i].partition = partition >= 0 ? partition : i;
	if (!apply)
		preview_resets(group, topic, resets, *n, target);
	else
	{
		SlGroupKey	key = key_of(group);

		apply_resets(group, topic, resets, *n, target);
		sl_groups_note_used(&key);
	}
	return resets;
}

int
sl_admin_delete_offsets(SlConsumerGroup *group, SlTopic *topic, int32 partition)
{
	int			n = partition >= 0 ? 1 : topic->partitions;
	int			deleted = 0;
	SlOffset  **list;

	if (partition >= 0)
		sl_check_partition(topic, partition);
	list = own_partitions(group, topic, Max(partition, 0), n);
	for (int i = 0; i < n; i++)
	{
		SlStake    *stake = sl_offset_change(list[i]);

		if (stake->row.exists || stake->dirty)
			deleted++;
		sl_offset_delete(&list[i]->key, &stake->row);
		clear_stake(stake);
		stake->position = 0;
		stake->dirty = false;
		stake->moved = false;
	}
	return deleted;
}

/* What the transaction was to write of a group that is deleted, it is not to write. */
static void
drop_stakes(int32 group_id)
{
	ListCell   *lc;

	foreach(lc, sl_offsets_in_transaction(group_id))
	{
		SlStake    *stake = sl_offset_change(lfirst(lc));

		clear_stake(stake);
		memset(&stake->row, 0, sizeof(SlOffsetRow));
		stake->position = 0;
		stake->dirty = false;
		stake->moved = false;
	}
}

void
sl_admin_delete_group(const char *name)
{
	SlConsumerGroup *group = sl_group_look(name);

	/* who waits for the lock stops the members, so not before it makes sense */
	if (group == NULL)
		sl_group_unknown(name);
	refuse_if_active(group, NULL);
	group = sl_group_open_exclusive(name);
	refuse_if_active(group, NULL);
	drop_stakes(group->group_id);
	sl_group_delete(group->group_id);
}

bool
sl_admin_kick(const SlConsumerGroup *group, const char *who)
{
	SlGroupKey	key = key_of(group);
	const char *member = NULL;
	int			n;
	SlMemberInfo *members = sl_groups_list_members(key.database, key.relation,
												   key.group_id, &n);

	for (int i = 0; i < n; i++)
	{
		if (members[i].is_fenced)
			continue;
		if (strcmp(members[i].member, who) == 0)
		{
			member = members[i].member;
			break;
		}
		if (strcmp(members[i].instance, who) == 0)
			member = members[i].member;
	}
	return member && sl_group_leave(&key, member);
}

void
sl_admin_set_owner(const char *name, Oid owner)
{
	SlConsumerGroup *group = sl_group_look(name);

	if (group == NULL)
		sl_group_unknown(name);
	if (!superuser())
		check_is_member_of_role(GetUserId(), owner);
	group = sl_group_open_exclusive(name);
	sl_group_set_owner(group, owner);
}
