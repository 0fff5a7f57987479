/*
 * wait_funcs.c
 *		The procedure that waits for records without holding a snapshot.
 *
 * A function cannot do that: the statement that calls it has registered its
 * snapshot.  A CALL has not, where it is the command itself or the DO or the
 * procedure that it is in could COMMIT at that place; in a transaction block too, as
 * long as the next command takes a new snapshot anyway.  What snapshot there is
 * belongs to the portal then, is given up before the wait, and taken anew after
 * it.  Where somebody else holds one the call is refused, and so it is in a
 * transaction that has an xid, which holds back VACUUM just as well.
 *
 * Nor does the wait keep a lock on the topics, unless the transaction had it before:
 * who drops one does not have to wait.  The worker, when it has removed a dropped
 * topic, wakes who waits for it, and the wait ends with the error of any call that
 * names a topic that is not there.  Topics are looked at once in a while besides: so
 * that this does not depend on a worker, and to find partitions that were added,
 * which end the wait.
 *
 * A session by itself waits for what is beyond its position, or, where it has none,
 * beyond the end; a member of a group for the partitions that are assigned to it, and
 * for another assignment.  While it waits it counts as one that calls.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "catalog/group_row.h"
#include "catalog/topic_row.h"
#include "group/member.h"
#include "sql/group_args.h"
#include "sql/topic_args.h"

#define SL_FUNCTION "wait_for_records()"

PG_FUNCTION_INFO_V1(streamlog_wait_for_records);
PG_FUNCTION_INFO_V1(streamlog_wait_for_records_array);

/* A topic as it was when the wait began */
typedef struct SlAwaitedTopic
{
	SlTopic    *topic;
	Oid			relation;
	int32		partitions;
	bool		was_locked;		/* by this transaction, before us */
} SlAwaitedTopic;

/* A partition, and the offset that its end is to get beyond */
typedef struct SlAwaited
{
	SlLog	   *log;
	int64		want;
} SlAwaited;

typedef struct SlWait
{
	SlMembership membership;
	bool		group_was_locked;	/* the same */
	SlReadings	readings;
	MemoryContext look_context; /* for one look */
	SlAwaitedTopic *topics;
	int			ntopics;
	SlAwaited  *awaited;
	int			nawaited;
	TimestampTz deadline;
} SlWait;

static void refuse(const char *detail, const char *hint) pg_attribute_noreturn();

static void
refuse(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot wait for records here"),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
check_transaction(void)
{
	if (IsolationUsesXactSnapshot())
		refuse("The transaction keeps its snapshot to the end, and would see nothing new.",
			   "Call " SL_FUNCTION " outside of a transaction block, or in READ COMMITTED.");
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		refuse("The transaction has written something: VACUUM could remove nothing that is older than it.",
			   "COMMIT before you call " SL_FUNCTION ".");
}

/* So that the wait does not hold back VACUUM */
static void
give_up_snapshot(void)
{
	if (ActivePortal && ActiveSnapshotSet() &&
		GetActiveSnapshot() == ActivePortal->portalSnapshot &&
		!SL_MUTANT("wait-with-snapshot"))
		ForgetPortalSnapshots();
	InvalidateCatalogSnapshot();
	if (HaveRegisteredOrActiveSnapshot() && !SL_MUTANT("wait-with-snapshot"))
		refuse("The function, loop or cursor that the call is in holds a snapshot.",
			   "CALL " SL_FUNCTION " as a command of its own, or in DO or in a procedure where COMMIT is allowed, and not in a loop over a query.");
}

/* Raises if a topic is gone; true if one is not what it was. */
static bool
topics_have_changed(const SlWait *wait)
{
	for (int i = 0; i < wait->ntopics; i++)
	{
		const SlAwaitedTopic *topic = &wait->topics[i];
		Oid			relation = InvalidOid;
		int32		partitions = sl_topic_partitions(topic->topic->name,
													 &relation);

		if (partitions == 0)
			sl_topic_unknown(topic->topic->name);
		if (relation != topic->relation || partitions != topic->partitions)
			return true;
	}
	return false;
}

/* Is the member to read something else than it was told at first? */
static bool
assignment_has_changed(SlWait *wait)
{
	MemoryContext old = MemoryContextSwitchTo(wait->look_context);
	SlReadings	now;
	bool		changed;

	if (wait->membership.consumer.group.group_id == 0)
		now = wait->readings;
	else
		sl_member_declare(&wait->membership, true, true, &now);
	changed = now.n != wait->readings.n;
	for (int i = 0; i < now.n && !changed; i++)
		changed = now.items[i].offset != wait->readings.items[i].offset ||
			now.items[i].generation != wait->readings.items[i].generation;
	MemoryContextSwitchTo(old);
	MemoryContextReset(wait->look_context);
	return changed;
}

/* Sleep until there is something to look at, or the deadline. */
static void
wait_for_any(SlWait *wait)
{
	TimestampTz look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   SL_LOOK_AT_TOPICS);
	long		longest;

	do
	{
		longest = wait->readings.settling ? SL_LOOK_SOON : SL_LOOK_AT_TOPICS;
		for (int i = 0; i < wait->nawaited; i++)
		{
			const SlAwaited *awaited = &wait->awaited[i];

			switch (sl_partition_wait_begin(awaited->log->part,
											&awaited->log->key, awaited->want))
			{
				case SL_WAIT_LISTED:
					break;
				case SL_WAIT_MOVED:
					return;
				case SL_WAIT_NO_ROOM:
					longest = SL_LOOK_SOON;
					SL_WAITPOINT("no-room-to-wait");
					break;
			}
		}
		if (assignment_has_changed(wait))
			return;
		if (GetCurrentTimestamp() >= look)
		{
			if (topics_have_changed(wait))
				return;
			look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   SL_LOOK_AT_TOPICS);
		}
		InvalidateCatalogSnapshot();
	} while (sl_fetch_sleep(wait->deadline, longest));
}

/* Want what comes after the caller's position in a partition. */
static void
await_partition(SlWait *wait, const SlReading *reading)
{
	SlAwaited  *awaited = &wait->awaited[wait->nawaited++];
	int32		partition = reading->offset->key.partition;
	SlPartitionState state;

	awaited->log = sl_log_open(reading->topic, partition, &state);
	awaited->want = sl_next_offset(&wait->membership.consumer, reading->topic,
								   partition);

	/* a group has something to do where it has no position: to make one */
	if (awaited->want < 0 && wait->membership.consumer.group.group_id == 0)
		awaited->want = state.visible_end;
}

/* Which of the caller's names are locked; the locks are held to give_up_locks(). */
static void
note_locks(SlWait *wait, FunctionCallInfo fcinfo, const Datum *names, int n)
{
	char	   *group_name = sl_group_args_text(fcinfo, 1);
	SlConsumerGroup *group = group_name ? sl_group_look(group_name) : NULL;

	wait->group_was_locked = group && sl_group_is_locked(group);
	wait->topics = palloc0_array(SlAwaitedTopic, n);
	for (int i = 0; i < n; i++)
	{
		text	   *name = DatumGetTextPP(names[i]);
		SlAwaitedTopic *entry = &wait->topics[wait->ntopics++];

		entry->was_locked = sl_topic_is_locked(VARDATA_ANY(name),
											   VARSIZE_ANY_EXHDR(name));
		entry->topic = sl_open_to_read(VARDATA_ANY(name),
									   VARSIZE_ANY_EXHDR(name));
		entry->relation = entry->topic->relation;
		entry->partitions = entry->topic->partitions;
	}
}

static void
give_up_locks(const SlWait *wait)
{
	for (int i = 0; i < wait->ntopics; i++)
		if (!wait->topics[i].was_locked)
			sl_topic_unlock(wait->topics[i].topic, AccessShareLock);
	if (wait->membership.consumer.group_name && !wait->group_was_locked)
		sl_group_unlock(sl_group_look(wait->membership.consumer.group_name));
}

static void
wait_for_topics(FunctionCallInfo fcinfo, bool is_list)
{
	const SlGroupArgs args = {SL_FUNCTION, 0, is_list, -1, 1, -1, 3, -1, -1, -1};
	SlWait		wait = {0};
	Datum	   *names;
	bool	   *nulls;
	int			n;
	int64		ms;

	sl_group_args_not_null(fcinfo, 0, SL_FUNCTION, "topics");
	deconstruct_array(sl_group_args_topics(fcinfo, 0, is_list), TEXTOID, -1,
					  false, TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of %s must not contain a null",
							"topics", SL_FUNCTION)));

	sl_group_args_not_null(fcinfo, 2, SL_FUNCTION, "max_wait");
	ms = sl_group_args_interval(fcinfo, 2, SL_FUNCTION, "max_wait");
	wait.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	check_transaction();

	note_locks(&wait, fcinfo, names, n);
	if (!sl_group_args_read(fcinfo, &args, SL_GROUP_IF_THERE, &wait.membership))
		return;					/* consume() is to make the group */
	wait.look_context = AllocSetContextCreate(CurrentMemoryContext,
											  "streamlog wait",
											  ALLOCSET_SMALL_SIZES);
	sl_member_declare(&wait.membership, true, true, &wait.readings);
	wait.awaited = palloc_array(SlAwaited, Max(wait.readings.n, 1));
	for (int i = 0; i < wait.readings.n; i++)
		await_partition(&wait, &wait.readings.items[i]);
	give_up_locks(&wait);
	give_up_snapshot();
	SL_WAITPOINT("wait-before-sleep");

	wait_for_any(&wait);
	sl_partition_wait_end();
	sl_group_wait_end();
	EnsurePortalSnapshotExists();
	(void) topics_have_changed(&wait);
}

/* wait_for_records(topics text, consumer_group, max_wait, member_id) */
Datum
streamlog_wait_for_records(PG_FUNCTION_ARGS)
{
	wait_for_topics(fcinfo, false);
	PG_RETURN_VOID();
}

/* wait_for_records(topics text[], consumer_group, max_wait, member_id) */
Datum
streamlog_wait_for_records_array(PG_FUNCTION_ARGS)
{
	wait_for_topics(fcinfo, true);
	PG_RETURN_VOID();
}
