/*
 * commit.c
 *		commit_offsets(), seek(), next_offset(), leave().
 *
 * What commits or moves on request waits for the locks of its partitions, in one order
 * for all: a single call can never be part of a deadlock.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "group/consume.h"
#include "group/member.h"

/* An offset that is to be committed */
typedef struct SlDue
{
	SlOffset   *offset;
	SlTopic    *topic;
	int64		next_offset;
} SlDue;

static void
check_range(SlTopic *topic, int32 partition, int64 offset)
{
	SlPartitionState state;

	(void) sl_fetch_bounds(topic, partition, &state);
	if (offset >= state.log_start && offset <= state.visible_end)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_SL_OFFSET_OUT_OF_RANGE),
			 errmsg("offset %lld is out of range for topic \"%s\" partition %d",
					(long long) offset, topic->name, partition),
			 errdetail("Its offsets begin at %lld and end before %lld.",
					   (long long) state.log_start,
					   (long long) state.visible_end)));
}

int64
sl_seek_offset(SlTopic *topic, int32 partition, const SlSeekTarget *target)
{
	SlPartitionState state;
	int64		offset;

	sl_check_partition(topic, partition);
	switch (target->kind)
	{
		case SL_SEEK_OFFSET:
			check_range(topic, partition, target->offset);
			return target->offset;
		case SL_SEEK_TIME:
			offset = sl_fetch_offset_for_time(topic, partition, target->time);
			if (offset >= 0)
				return offset;
			break;				/* past the end: its end, as Kafka's tool */
		default:
			break;
	}
	(void) sl_fetch_bounds(topic, partition, &state);
	return target->kind == SL_SEEK_EARLIEST ? state.log_start : state.visible_end;
}

static int
compare_due(const void *a, const void *b)
{
	return sl_offset_key_compare(&((const SlDue *) a)->offset->key,
								 &((const SlDue *) b)->offset->key);
}

/* The offsets that were given, of partitions of the one topic */
static SlDue *
given_offsets(SlMembership *membership, const int64 *offsets, int *n)
{
	SlTopic    *topic = membership->topics[0];
	SlDue	   *due = palloc_array(SlDue, Max(membership->npartitions, 1));

	for (int i = 0; i < membership->npartitions; i++)
	{
		sl_check_partition(topic, membership->partitions[i]);
		check_range(topic, membership->partitions[i], offsets[i]);
		due[i].topic = topic;
		due[i].offset = sl_offsets_enter(&membership->consumer, topic->topic_id,
										 membership->partitions[i]);
		due[i].next_offset = offsets[i];
	}
	*n = membership->npartitions;
	if (!SL_MUTANT("unsorted"))
		qsort(due, *n, sizeof(SlDue), compare_due);
	for (int i = 1; i < *n; i++)
		if (due[i].offset == due[i - 1].offset)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("partition %d is given twice",
							due[i].offset->key.partition)));
	return due;
}

/* What the session was handed */
static SlDue *
handed_out(SlMembership *membership, int *n)
{
	List	   *list = sl_offsets_in_hand(membership->consumer.group.group_id);
	SlDue	   *due = palloc_array(SlDue, Max(list_length(list), 1));
	ListCell   *lc;

	*n = 0;
	foreach(lc, list)
	{
		SlOffset   *offset = lfirst(lc);

		if (!sl_member_wants(membership, offset->key.topic_id,
							 offset->key.partition))
			continue;
		for (int j = 0; j < membership->ntopics; j++)
			if (membership->topics[j]->topic_id == offset->key.topic_id)
				due[*n].topic = membership->topics[j];
		due[*n].offset = offset;
		due[*n].next_offset = sl_offset_batch(offset)->end;
		(*n)++;
	}
	return due;
}

static void
refuse_commit(SlMembership *membership, const SlDue *due, const SlStake *stake,
			  bool is_known)
{
	const SlConsumer *consumer = &membership->consumer;

	/* for good, although the transaction will abort: it would be fenced again */
	if (consumer->is_session && !SL_MUTANT("keep-fenced"))
		sl_offset_forget_batch(due->offset);
	if (!is_known || stake->row.member[0] == '\0')
		ereport(ERROR,
				(errcode(is_known ? ERRCODE_SL_STALE_EPOCH : ERRCODE_SL_UNKNOWN_MEMBER),
				 errmsg("member \"%s\" cannot commit an offset of topic \"%s\" partition %d for consumer group \"%s\"",
						consumer->member, due->topic->name,
						due->offset->key.partition, consumer->group_name),
				 is_known ?
				 errdetail("The offset was reset since it was handed records of it, or it was handed none.") :
				 errdetail("It is not a member of the group, and was not handed records of the partition last."),
				 errhint("Only who was handed records by poll() or consume() commits; reset_offsets() moves a group that is not active.")));
	ereport(ERROR,
			(errcode(ERRCODE_SL_STALE_EPOCH),
			 errmsg("member \"%s\" can no longer commit an offset of topic \"%s\" partition %d for consumer group \"%s\"",
					consumer->member, due->topic->name,
					due->offset->key.partition, consumer->group_name),
			 errdetail("The partition was given to another member since, which is handed the records again."),
			 errhint("Roll back what was done with them, and go on with the next poll().")));
}

static void
commit_one(SlMembership *membership, const SlDue *due, bool is_known,
		   const char *metadata)
{
	const SlConsumer *consumer = &membership->consumer;
	SlOffset   *offset = due->offset;
	SlStake    *stake = sl_member_own_waiting(offset, consumer);
	bool		has_batch = consumer->is_session &&
	stake->batch.kind != SL_BATCH_NONE;

	if (!SL_MUTANT("membership-only") &&
		(strcmp(stake->row.member, consumer->member) != 0 ||
		 (has_batch && stake->batch.epoch != stake->row.epoch)))
		refuse_commit(membership, due, stake, is_known);

	sl_offset_move(stake, due->next_offset);
	stake->moved = consumer->is_session;
	stake->row.metadata = metadata ?
		MemoryContextStrdup(TopTransactionContext, metadata) : NULL;
	if (has_batch && due->next_offset >= stake->batch.end)
		memset(&stake->batch, 0, sizeof(SlBatch));
	stake->statement = 0;		/* this is decided */
}

SlPartitionOffset *
sl_commit_offsets(SlMembership *membership, const int64 *offsets,
				  const char *metadata, int *n)
{
	SlReadings	readings;
	SlPartitionOffset *result;
	SlDue	   *due;

	/* a member_id lets go of nothing here: it may have more in hand */
	sl_member_declare_if_member(membership,
								membership->consumer.is_session ||
								SL_MUTANT("run-moves-early"), &readings);
	due = offsets ? given_offsets(membership, offsets, n) :
		handed_out(membership, n);
	result = palloc_array(SlPartitionOffset, Max(*n, 1));
	if (readings.joined && *n > 0)
		sl_groups_note_used(&membership->consumer.group);
	for (int i = 0; i < *n; i++)
	{
		commit_one(membership, &due[i], !readings.joined, metadata);
		result[i].topic = due[i].topic;
		result[i].partition = due[i].offset->key.partition;
		result[i].next_offset = due[i].next_offset;
	}
	return result;
}

static bool
is_reading(const SlReadings *readings, const SlOffset *offset)
{
	for (int i = 0; i < readings->n; i++)
		if (readings->items[i].offset == offset)
			return true;
	return false;
}

/* partition -1: not a single one */
static void
not_assigned(const SlMembership *membership, int32 partition)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 partition < 0 ?
			 errmsg("no partition of topic \"%s\" is assigned to this member of consumer group \"%s\"",
					membership->topics[0]->name,
					membership->consumer.group_name) :
			 errmsg("topic \"%s\" partition %d is not assigned to this member of consumer group \"%s\"",
					membership->topics[0]->name, partition,
					membership->consumer.group_name),
			 errhint("Call consume() or poll() first; the view group_members shows who is assigned what.")));
}

static void
seek_one(SlMembership *membership, SlOffset *offset, int64 target,
		 SlResetPolicy reset_policy)
{
	const SlConsumer *consumer = &membership->consumer;
	SlStake    *stake = sl_offset_change(offset);
	SlPartitionState state;

	/* where it would start does not matter, if it is moved at once */
	sl_member_settle(membership->topics[0], offset, consumer->is_session,
					 reset_policy == SL_RESET_NONE ? SL_RESET_EARLIEST : reset_policy,
					 &state);
	if (offset->key.group_id != 0)
		sl_offset_take_over(stake, consumer);
	if (!consumer->is_session)
	{
		stake->row.next_offset = target;
		stake->dirty = true;
	}
	stake->used = true;
	stake->position = target;
	stake->shared = true;
	stake->moved = consumer->is_session;
	stake->statement = 0;
	memset(&stake->batch, 0, sizeof(SlBatch));
	memset(&stake->seen, 0, sizeof(SlSeen));
}

SlPartitionOffset *
sl_seek(SlMembership *membership, const SlSeekTarget *target,
		SlResetPolicy reset_policy, int *n)
{
	SlTopic    *topic = membership->topics[0];
	SlConsumer *consumer = &membership->consumer;
	SlReadings	readings;
	SlPartitionOffset *result;
	SlOffset  **list;
	int			nlist = 0;

	sl_member_declare(membership, false, false, &readings);
	list = palloc_array(SlOffset *, Max(readings.n, 1));
	for (int i = 0; i < readings.n; i++)
		if (sl_member_wants(membership, topic->topic_id,
							readings.items[i].offset->key.partition))
			list[nlist++] = readings.items[i].offset;
	for (int i = 0; i < membership->npartitions; i++)
	{
		sl_check_partition(topic, membership->partitions[i]);
		if (!is_reading(&readings, sl_offsets_enter(consumer, topic->topic_id,
													membership->partitions[i])))
			not_assigned(membership, membership->partitions[i]);
	}

	if (nlist == 0)
		not_assigned(membership, -1);

	for (int i = 0; i < nlist; i++)
		(void) sl_member_own_waiting(list[i], consumer);

	/* while it waited, one may have been given to another member */
	sl_member_declare(membership, false, false, &readings);
	*n = nlist;
	result = palloc_array(SlPartitionOffset, Max(nlist, 1));
	for (int i = 0; i < nlist; i++)
	{
		if (!is_reading(&readings, list[i]))
			not_assigned(membership, list[i]->key.partition);
		result[i].topic = topic;
		result[i].partition = list[i]->key.partition;
		result[i].next_offset = sl_seek_offset(topic, result[i].partition, target);
		seek_one(membership, list[i], result[i].next_offset, reset_policy);
	}
	return result;
}

int64
sl_next_offset(const SlConsumer *consumer, SlTopic *topic, int32 partition)
{
	SlOffset   *offset;
	SlStake    *stake;
	SlGroupPosition known;
	SlOffsetRow row;

	sl_check_partition(topic, partition);
	offset = sl_offsets_enter(consumer, topic->topic_id, partition);
	stake = sl_offset_owned(offset);
	if (stake && (stake->row.exists || stake->dirty || stake->shared))
		return stake->position;
	if (consumer->group.group_id == 0)
		return offset->has_position ? offset->position : -1;

	sl_group_position(&consumer->group, offset->key.topic_id, partition,
					  consumer->member, &known);
	if (!sl_offset_read(&offset->key, &known.row, &row))
		return -1;
	return sl_offset_is_position_of(&known, &row, consumer) ?
		known.position : row.next_offset;
}

bool
sl_leave(const SlConsumer *consumer)
{
	if (consumer->is_session)
		sl_offsets_forget(consumer->group.group_id);
	return sl_group_leave(&consumer->group, consumer->member);
}

void
sl_leave_all(void)
{
	sl_group_leave_all();
	sl_offsets_forget(0);
}
