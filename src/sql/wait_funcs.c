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
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "catalog/topic.h"
#include "catalog/topic_row.h"
#include "log/fetch.h"
#include "sql/interval_arg.h"
#include "sql/topic_args.h"

/* ms between two looks at the topics */
#define SL_LOOK_AT_TOPICS	10000

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

/* Sleep until there is something to look at, or the deadline. */
static void
wait_for_any(const SlWait *wait)
{
	TimestampTz look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   SL_LOOK_AT_TOPICS);
	long		longest;

	do
	{
		longest = SL_LOOK_AT_TOPICS;
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
		if (GetCurrentTimestamp() >= look)
		{
			if (topics_have_changed(wait))
				return;
			InvalidateCatalogSnapshot();
			look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   SL_LOOK_AT_TOPICS);
		}
	} while (sl_fetch_sleep(wait->deadline, longest));
}

/*
 * Add all partitions of a topic, wanting what is not there yet.  Its lock is held
 * from here to give_up_locks().
 */
static void
await_topic(SlWait *wait, const char *name, int len)
{
	SlAwaitedTopic *entry = &wait->topics[wait->ntopics++];
	SlTopic    *topic;

	entry->was_locked = sl_topic_is_locked(name, len);
	topic = sl_open_to_read(name, len);
	entry->topic = topic;
	entry->relation = topic->relation;
	entry->partitions = topic->partitions;

	wait->awaited = wait->awaited ?
		repalloc_array(wait->awaited, SlAwaited,
					   wait->nawaited + topic->partitions) :
		palloc_array(SlAwaited, topic->partitions);
	for (int32 p = 0; p < topic->partitions; p++)
	{
		SlAwaited  *awaited = &wait->awaited[wait->nawaited++];
		SlPartitionState state;

		awaited->log = sl_log_open(topic, p, &state);
		awaited->want = state.visible_end;
	}
}

static void
give_up_locks(const SlWait *wait)
{
	for (int i = 0; i < wait->ntopics; i++)
		if (!wait->topics[i].was_locked)
			sl_topic_unlock(wait->topics[i].topic, AccessShareLock);
}

static void
wait_for_topics(FunctionCallInfo fcinfo, const Datum *names, int n)
{
	SlWait		wait = {0};
	long		ms;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of " SL_FUNCTION " must not be null",
						"max_wait")));
	ms = sl_interval_ms(PG_GETARG_INTERVAL_P(1), "max_wait", SL_FUNCTION);
	wait.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	check_transaction();

	wait.topics = palloc_array(SlAwaitedTopic, n);
	for (int i = 0; i < n; i++)
	{
		text	   *name = DatumGetTextPP(names[i]);

		await_topic(&wait, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	give_up_locks(&wait);
	give_up_snapshot();
	SL_WAITPOINT("wait-before-sleep");

	wait_for_any(&wait);
	sl_partition_wait_end();
	EnsurePortalSnapshotExists();
	(void) topics_have_changed(&wait);
}

static void
check_not_null(bool is_null)
{
	if (is_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of " SL_FUNCTION " must not be null",
						"topics")));
}

/* wait_for_records(topics text, max_wait) */
Datum
streamlog_wait_for_records(PG_FUNCTION_ARGS)
{
	Datum		name;

	check_not_null(PG_ARGISNULL(0));
	name = PG_GETARG_DATUM(0);
	wait_for_topics(fcinfo, &name, 1);
	PG_RETURN_VOID();
}

/* wait_for_records(topics text[], max_wait) */
Datum
streamlog_wait_for_records_array(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	check_not_null(PG_ARGISNULL(0));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
		check_not_null(nulls[i]);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of " SL_FUNCTION " is not valid", "topics"),
				 errhint("Name at least one topic.")));
	wait_for_topics(fcinfo, names, n);
	PG_RETURN_VOID();
}
