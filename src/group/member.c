/*
 * member.c
 *		What the calls of a consumer have in common.
 *
 * Every call declares the caller to its group: that it is there, with which topics.
 * What is in tables, the topics and, for the first who touches them, the members that
 * the offset rows name, is read before the group's lock is taken in shared memory.
 *
 * A caller without a group reads all partitions, and shares nothing with anybody.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/waitpoint.h"
#include "group/assignor.h"
#include "group/member.h"

bool
sl_member_wants(const SlMembership *membership, int32 topic_id, int32 partition)
{
	bool		topic_wanted = false;

	for (int i = 0; i < membership->ntopics && !topic_wanted; i++)
		topic_wanted = membership->topics[i]->topic_id == topic_id;
	if (!topic_wanted || membership->partitions == NULL)
		return topic_wanted;
	for (int i = 0; i < membership->npartitions; i++)
		if (membership->partitions[i] == partition)
			return true;
	return false;
}

/* The declaration's: has this session something to do with the partition? */
static bool
holds(void *arg, int32 topic_id, int32 partition)
{
	const SlConsumer *consumer = arg;
	SlOffset   *offset = sl_offsets_find(consumer->group.group_id, topic_id,
										 partition);

	return offset && offset->offsets == consumer->group.relation &&
		(sl_offset_owned(offset) != NULL ||
		 (consumer->is_session && sl_offset_batch(offset)->kind != SL_BATCH_NONE));
}

/* What the rows of a topic say about who was handed records last. */
static uint64 *
read_last_members(const SlConsumer *consumer, SlTopic *topic)
{
	uint64	   *hashes = palloc0_array(uint64, topic->partitions);
	int			n;
	SlOffsetListed *rows = sl_offset_list(consumer->group.group_id,
										  topic->topic_id, &n);

	/* a session's name has gone with the server */
	for (int i = 0; i < n; i++)
		if (rows[i].key.partition < topic->partitions &&
			rows[i].row.member[0] != '\0' &&
			strncmp(rows[i].row.member, "s-", 2) != 0)
			hashes[rows[i].key.partition] = sl_groups_member_hash(rows[i].row.member);
	return hashes;
}

static void
refuse(const SlMembership *membership, const SlDeclaration *declaration,
	   SlDeclareResult result)
{
	const SlConsumer *consumer = &membership->consumer;

	if (result == SL_DECLARE_FENCED)
		ereport(ERROR,
				(errcode(ERRCODE_SL_FENCED_INSTANCE),
				 errmsg("member \"%s\" of consumer group \"%s\" is fenced",
						consumer->member, consumer->group_name),
				 errdetail("Another run with its instance_id has taken its place."),
				 errhint("End this run; a new one needs a new member_id, or without one a new session.")));
	if (result == SL_DECLARE_ASSIGNOR)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INCONSISTENT_ASSIGNOR),
				 errmsg("consumer group \"%s\" uses another assignor",
						consumer->group_name),
				 errdetail("Its members use \"%s\".",
						   sl_assignor_name(declaration->assignor)),
				 errhint("All members must name the same assignor, or none.")));
}

static void
all_partitions(SlMembership *membership, SlReadings *readings)
{
	int			n = 0;

	for (int i = 0; i < membership->ntopics; i++)
		n += membership->topics[i]->partitions;
	readings->items = palloc0_array(SlReading, Max(n, 1));
	for (int i = 0; i < membership->ntopics; i++)
		for (int p = 0; p < membership->topics[i]->partitions; p++)
		{
			SlReading  *reading = &readings->items[readings->n++];

			reading->topic = membership->topics[i];
			reading->offset = sl_offsets_enter(&membership->consumer,
											   reading->topic->topic_id, p);
			reading->generation = 1;
		}
}

static void
assigned_partitions(SlMembership *membership, const SlDeclaration *declaration,
					SlReadings *readings)
{
	readings->joined = declaration->joined;
	readings->full = declaration->full;
	readings->settling = declaration->settling;
	readings->items = palloc0_array(SlReading, Max(declaration->nassigned, 1));
	for (int i = 0; i < declaration->nassigned; i++)
	{
		const SlAssigned *assigned = &declaration->assigned[i];
		SlReading  *reading = &readings->items[readings->n++];

		reading->topic = membership->topics[assigned->topic];
		reading->offset = sl_offsets_enter(&membership->consumer,
										   reading->topic->topic_id,
										   assigned->partition);
		reading->generation = assigned->generation;
	}
}

static void
declare(SlMembership *membership, bool joins, bool lets_go, bool waits,
		SlReadings *readings)
{
	SlConsumer *consumer = &membership->consumer;
	SlDeclaration declaration = {
		.key = consumer->group,
		.member = consumer->member,
		.instance = membership->instance,
		.is_session = consumer->is_session,
		.joins = joins,
		.lets_go = lets_go,
		.waits = waits,
		.max_poll_interval = membership->max_poll_interval,
		.keeps_interval = membership->keeps_interval,
		.assignor = membership->assignor,
		.ntopics = membership->ntopics,
		.holds = holds,
		.arg = consumer
	};
	SlDeclareResult result;

	memset(readings, 0, sizeof(SlReadings));
	if (consumer->group.group_id == 0)
	{
		all_partitions(membership, readings);
		return;
	}

	declaration.topics = palloc0_array(SlNamedTopic, membership->ntopics);
	for (int i = 0; i < membership->ntopics; i++)
	{
		declaration.topics[i].topic_id = membership->topics[i]->topic_id;
		declaration.topics[i].name = membership->topics[i]->name;
		declaration.topics[i].partitions = membership->topics[i]->partitions;
	}
	result = sl_group_declare(&declaration);
	if (result == SL_DECLARE_READ_ROWS)
	{
		for (int i = 0; i < membership->ntopics; i++)
			declaration.topics[i].last_members =
				read_last_members(consumer, membership->topics[i]);
		result = sl_group_declare(&declaration);
	}
	if (result != SL_DECLARED)
		refuse(membership, &declaration, result);
	sl_groups_note_call(declaration.max_poll_interval);
	assigned_partitions(membership, &declaration, readings);
}

void
sl_member_declare(SlMembership *membership, bool lets_go, bool waits,
				  SlReadings *readings)
{
	declare(membership, true, lets_go, waits, readings);
}

void
sl_member_declare_if_member(SlMembership *membership, bool lets_go,
							SlReadings *readings)
{
	declare(membership, false, lets_go, false, readings);
}

static void
no_valid_offset(SlTopic *topic, SlOffset *offset, const SlPartitionState *state)
{
	SlStake    *stake = sl_offset_owned(offset);
	bool		exists = stake->row.exists || stake->shared;

	ereport(ERROR,
			(errcode(ERRCODE_SL_OFFSET_OUT_OF_RANGE),
			 exists ?
			 errmsg("the position in topic \"%s\" partition %d is out of range",
					topic->name, offset->key.partition) :
			 errmsg("there is no committed offset for topic \"%s\" partition %d",
					topic->name, offset->key.partition),
			 exists ?
			 errdetail("It is %lld; the offsets begin at %lld and end before %lld.",
					   (long long) stake->position, (long long) state->log_start,
					   (long long) state->visible_end) : 0,
			 offset->key.group_id == 0 ?
			 errhint("Use seek(), or auto_offset_reset => 'earliest' or 'latest'.") :
			 errhint("Use seek(), in a new group reset_offsets(), or auto_offset_reset => 'earliest' or 'latest'.")));
}

/*
 * Where the policy puts a partition.  'latest' is for what was there when the reader
 * began with the topic: what has been added since is read from its start.
 */
static int64
start_of(SlTopic *topic, SlOffset *offset, SlResetPolicy policy,
		 bool added_later, const SlPartitionState *state)
{
	if (policy == SL_RESET_NONE)
		no_valid_offset(topic, offset, state);
	if (policy == SL_RESET_EARLIEST ||
		(added_later && !SL_MUTANT("added-latest")))
		return state->log_start;
	return state->visible_end;
}

/* Without a group there is a position or none. */
static void
settle_alone(SlTopic *topic, SlOffset *offset, SlResetPolicy policy,
			 const SlPartitionState *state)
{
	SlStake    *stake = sl_offset_change(offset);
	SlOffset   *first = sl_offsets_find(0, topic->topic_id, 0);

	if (first->known_partitions == 0)
		first->known_partitions = topic->partitions;
	if (stake->shared && stake->position >= state->log_start &&
		stake->position <= state->visible_end)
		return;
	stake->position = start_of(topic, offset, policy,
							   offset->key.partition >= first->known_partitions &&
							   !stake->shared, state);
	stake->shared = true;
	stake->moved = true;
}

void
sl_member_settle(SlTopic *topic, SlOffset *offset, bool is_session,
				 SlResetPolicy policy, SlPartitionState *state)
{
	SlStake    *stake;
	SlOffsetRow *row;

	(void) sl_fetch_bounds(topic, offset->key.partition, state);
	if (offset->key.group_id == 0)
	{
		settle_alone(topic, offset, policy, state);
		return;
	}

	stake = sl_offset_change(offset);
	row = &stake->row;
	if (!row->exists && row->topic_partitions == 0)
		row->topic_partitions = sl_offset_topic_partitions(offset->key.group_id,
														   offset->key.topic_id);
	if ((!row->exists && !stake->dirty) ||
		row->next_offset < state->log_start ||
		row->next_offset > state->visible_end)
	{
		row->next_offset = start_of(topic, offset, policy,
									row->topic_partitions > 0 &&
									offset->key.partition >= row->topic_partitions,
									state);
		stake->dirty = true;
		stake->moved = is_session;
		if (!stake->shared)
			stake->position = row->next_offset;
	}
	if (row->topic_partitions == 0)
		row->topic_partitions = topic->partitions;
	if (stake->position < state->log_start ||
		stake->position > state->visible_end)
	{
		stake->position = row->next_offset;
		stake->moved = is_session;
	}
}

void
sl_member_end_overdue_holder(const LOCKTAG *tag, bool any_role)
{
	VirtualTransactionId *holders;
	int			n;

	holders = GetLockConflicts(tag, ExclusiveLock, &n);
	for (int i = 0; i < n; i++)
	{
		PGPROC	   *proc = sl_vxid_proc(holders[i]);
		int			pid = proc ? proc->pid : 0;

		/* not one that has just come to its end */
		if (pid == 0 || pid == MyProcPid ||
			sl_proc_lxid(proc) != holders[i].localTransactionId ||
			!sl_groups_call_is_overdue(proc->pgprocno))
			continue;
		if (!any_role && !has_privs_of_role(GetUserId(), proc->roleId) &&
			!SL_MUTANT("end-anybody"))
			continue;
		ereport(LOG,
				(errmsg("ending session %d, which holds back a consumer group in an open transaction and has not called for its max_poll_interval",
						pid)));
		if (kill(pid, SIGTERM) != 0 && errno != ESRCH)
			ereport(WARNING,
					(errmsg("could not send signal to process %d: %m", pid)));
	}
}

SlStake *
sl_member_own_waiting(SlOffset *offset, const SlConsumer *consumer)
{
	SlStake    *stake;
	LOCKTAG		tag;

	sl_offsets_must_flush();
	stake = sl_offset_own(offset, consumer, false);
	if (stake != NULL)
		return stake;
	sl_offset_set_locktag(&tag, &offset->key);
	sl_member_end_overdue_holder(&tag, true);
	return sl_offset_own(offset, consumer, true);
}
