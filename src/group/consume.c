/*
 * consume.c
 *		consume() and poll(): confirm, read, wait.
 *
 * A call declares its member, confirms what the session was handed by an earlier
 * transaction, if it is a consume(), and then looks at each partition that is assigned
 * to the caller:
 *
 *	- A session that has seen, under the same assignment, that there is nothing beyond
 *	  a position does not look at the partition again until its end has moved.  So an
 *	  empty call takes no lock, reads no row and writes nothing.
 *	- Else the partition is owned: its lock is taken, if no other transaction has it; who
 *	  has it still works on what it was handed, and the partition is passed over.
 *	- A row that is missing is made in the first call that is assigned the partition,
 *	  whether it has records or not: else every call would decide anew where 'latest'
 *	  is, and skip what came between two of them.
 *
 * A confirmation that does not get the lock stays due, and of that partition nothing is
 * handed out.  A call that has confirmed something, or has made a row, does not wait: what
 * it has done is to be committed.
 *
 * The wait is for a new end of any of the partitions, or a new assignment.  Every cause
 * is registered before it is looked at for the last time, and the latch is reset before
 * both, so nothing is missed; a partition that was passed over is looked at again every
 * 100 ms.  Each look also finds partitions that were added to the topics; nobody is
 * woken by that, so there is one every 10 s.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/errors.h"
#include "base/waitpoint.h"
#include "group/consume.h"
#include "group/member.h"

#define SL_MIN_MAX_POLL_INTERVAL		10	/* ms */
#define SL_DEFAULT_MAX_POLL_INTERVAL	300000


/* Setting */
static int	max_poll_interval = SL_DEFAULT_MAX_POLL_INTERVAL;

/* A call on its way */
typedef struct SlProgress
{
	SlConsumeCall *call;
	SlReadings	readings;
	SlFetchLimits left;
	int64		records;
	int			confirmed;
	bool		has_work;		/* something else is to be committed */
	bool		passed_over;	/* a partition was locked */
	List	   *undecided;		/* SlOffset: could not be confirmed */
} SlProgress;

/* Where the next call begins, so that each partition has its turn */
static uint32 turn = 0;

void
sl_consume_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.max_poll_interval",
							"Time after which a member of a consumer group that has not called is out.",
							"A session that holds its partitions in an open transaction is ended then, if another member is to have them.",
							&max_poll_interval, SL_DEFAULT_MAX_POLL_INTERVAL,
							SL_MIN_MAX_POLL_INTERVAL, INT_MAX, PGC_SUSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
}

int64
sl_consume_max_poll_interval(void)
{
	return max_poll_interval;
}

/* Has what was handed out under this epoch been handed to nobody else since? */
static bool
is_accepted(const SlStake *stake, const SlBatch *batch,
			const SlConsumer *consumer)
{
	if (SL_MUTANT("membership-only"))
		return true;
	return stake->row.exists && stake->row.epoch == batch->epoch &&
		strcmp(stake->row.member, consumer->member) == 0;
}

/* The records of a fenced batch are somebody else's by now. */
static void
drop_batch(SlOffset *offset, const SlConsumer *consumer, const SlBatch *batch)
{
	SlStake    *stake = sl_offset_change(offset);

	sl_group_forget_position(&consumer->group, offset->key.topic_id,
							 offset->key.partition, consumer->member,
							 batch->epoch);
	memset(&stake->batch, 0, sizeof(SlBatch));
	memset(&stake->seen, 0, sizeof(SlSeen));
}

static SlTopic *
topic_of(const SlMembership *membership, int32 topic_id)
{
	for (int i = 0; i < membership->ntopics; i++)
		if (membership->topics[i]->topic_id == topic_id)
			return membership->topics[i];
	return NULL;
}

static void
confirm_one(SlProgress *progress, SlOffset *offset)
{
	SlMembership *membership = progress->call->membership;
	const SlConsumer *consumer = &membership->consumer;
	SlBatch		batch = *sl_offset_batch(offset);
	SlStake    *stake;

	stake = sl_offset_own(offset, consumer, false);
	if (stake == NULL)
	{
		progress->undecided = lappend(progress->undecided, offset);
		progress->passed_over = true;
		return;
	}
	if (is_accepted(stake, &batch, consumer))
	{
		sl_offset_move(stake, batch.end);
		memset(&stake->batch, 0, sizeof(SlBatch));
		progress->confirmed++;
		return;
	}
	drop_batch(offset, consumer, &batch);
	ereport(WARNING,
			(errcode(ERRCODE_SL_STALE_EPOCH),
			 errmsg("records of topic \"%s\" partition %d that this session was handed before cannot be confirmed",
					topic_of(membership, offset->key.topic_id)->name,
					offset->key.partition),
			 errdetail("Since then the partition was given to another member, or its offset was reset; the records are handed out again.")));
}

/* Confirm what the session was handed by its earlier transactions. */
static void
confirm(SlProgress *progress)
{
	SlMembership *membership = progress->call->membership;
	ListCell   *lc;

	if (!membership->consumer.is_session || membership->consumer.group.group_id == 0)
		return;
	foreach(lc, sl_offsets_in_hand(membership->consumer.group.group_id))
	{
		SlOffset   *offset = lfirst(lc);
		const SlBatch *batch = sl_offset_batch(offset);

		if (!sl_member_wants(membership, offset->key.topic_id,
							 offset->key.partition))
			continue;
		if (batch->kind == SL_BATCH_POLLED)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("topic \"%s\" partition %d has records that poll() handed out and that are not committed",
							topic_of(membership, offset->key.topic_id)->name,
							offset->key.partition),
					 errhint("Call commit_offsets() or seek() first, or go on with poll().")));
		if (!batch->is_new || SL_MUTANT("same-statement"))
			confirm_one(progress, offset);
	}
}

/*
 * Is there nothing to read, as far as this session remembers?  Then it is told up to
 * where.
 */
static bool
is_drained(const SlProgress *progress, SlReading *reading)
{
	const SlSeen *seen = sl_offset_seen(reading->offset);
	SlPartitionState state;

	if (!progress->call->membership->consumer.is_session ||
		seen->generation != reading->generation ||
		sl_offset_owned(reading->offset) ||
		reading->offset->key.group_id == 0)
		return false;
	(void) sl_log_open(reading->topic, reading->offset->key.partition, &state);
	if (seen->position < state.visible_end)
		return false;
	reading->want = seen->position;
	return true;
}

/* Is it decided where the partition starts? */
static bool
is_settled(const SlProgress *progress, const SlReading *reading)
{
	return sl_offset_owned(reading->offset) || reading->offset->has_row ||
		reading->offset->has_position;
}

/* Read an owned partition; true if records were handed out. */
static bool
read_owned(SlProgress *progress, SlReading *reading)
{
	SlConsumeCall *call = progress->call;
	const SlConsumer *consumer = &call->membership->consumer;
	SlOffset   *offset = reading->offset;
	SlStake    *stake = sl_offset_owned(offset);
	bool		was_dirty = stake->dirty;
	SlPartitionState state;
	int64		position;
	int64		n = 0;

	do
	{
		sl_member_settle(reading->topic, offset, consumer->is_session,
						 call->reset_policy, &state);
		stake = sl_offset_change(offset);
		position = stake->position;
		/* false: the log's start has risen above it meanwhile */
	} while (progress->left.max_records > 0 &&
			 !sl_fetch_next(reading->topic, offset->key.partition, &position,
							&progress->left, progress->records == 0,
							call->desc, call->store, &n));

	reading->want = position;
	if (stake->dirty && !was_dirty)
		progress->has_work = true;	/* a row is made */
	if (n > 0)
		sl_offset_hand_out(offset, consumer, call->how, position);
	else if (!stake->row.exists && offset->key.group_id != 0)
		sl_offset_take_over(stake, consumer);
	stake = sl_offset_change(offset);
	if (consumer->is_session)
	{
		stake->seen.generation = reading->generation;
		stake->seen.position = position;
	}
	if (n == 0 && progress->left.max_records <= 0)
		memset(&stake->seen, 0, sizeof(SlSeen));	/* nobody has looked */
	if (n == 0 && SL_MUTANT("latest-anew"))
		stake->dirty = stake->moved = false;
	progress->records += n;
	return n > 0;
}

/* Read it and leave everything as it was. */
static void
peek(SlProgress *progress, SlReading *reading)
{
	SlOffset   *offset = reading->offset;
	bool		had_stake = sl_offset_owned(offset) != NULL;
	SlStake		saved = {0};
	SlStake    *stake = sl_offset_own(offset, &progress->call->membership->consumer,
									  false);

	if (stake == NULL)
		return;
	saved = *stake;
	(void) read_owned(progress, reading);
	*sl_offset_change(offset) = saved;
	if (!had_stake)
		sl_offset_disown(offset);
}

static void
read_one(SlProgress *progress, SlReading *reading)
{
	const SlConsumer *consumer = &progress->call->membership->consumer;
	bool		is_full = progress->left.max_records <= 0;
	SlStake    *stake;
	LOCKTAG		tag;

	reading->want = -1;
	if (list_member_ptr(progress->undecided, reading->offset) ||
		is_drained(progress, reading) ||
		(is_full && is_settled(progress, reading)))
		return;
	if (progress->call->how == SL_PEEK)
	{
		peek(progress, reading);
		return;
	}
	stake = sl_offset_own(reading->offset, consumer, false);
	if (stake == NULL)
	{
		progress->passed_over = true;
		sl_offset_set_locktag(&tag, &reading->offset->key);
		sl_member_end_overdue_holder(&tag, true);
	}
	else if (!read_owned(progress, reading))
		sl_offset_disown(reading->offset);
}

/* One look at everything. */
static void
look(SlProgress *progress, bool waits)
{
	SlConsumeCall *call = progress->call;
	SlReadings *readings = &progress->readings;
	uint32		first;

	sl_member_declare(call->membership, true, waits, readings);
	progress->undecided = NIL;
	progress->passed_over = false;
	if (call->how != SL_POLLED && call->how != SL_PEEK)
		confirm(progress);
	if (readings->full)
	{
		if (progress->confirmed > 0)
			return;
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of shared memory for consumer groups"),
				 errhint("Raise \"%s\" and restart the server.",
						 "streamlog.group_memory")));
	}

	first = turn;
	for (int i = 0; i < readings->n; i++)
	{
		SlReading  *reading = &readings->items[(first + i) % readings->n];

		if (!sl_member_wants(call->membership, reading->topic->topic_id,
							 reading->offset->key.partition))
			continue;
		if (progress->left.max_records > 0)
			turn = first + i;
		read_one(progress, reading);
	}
	turn = progress->left.max_records > 0 ? 0 : (turn + 1) % Max(readings->n, 1);
}

/* Partitions may have been added while the call waited. */
static void
open_topics_again(SlMembership *membership)
{
	AcceptInvalidationMessages();
	for (int i = 0; i < membership->ntopics; i++)
	{
		const char *name = membership->topics[i]->name;

		membership->topics[i] = sl_topic_open(name, strlen(name),
											  AccessShareLock, ACL_SELECT);
	}
}

/* Sleep until there may be something; false if the time is up. */
static bool
wait_for_more(SlProgress *progress, TimestampTz deadline)
{
	SlReadings *readings = &progress->readings;
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   deadline);

	if (left <= 0)
		return false;
	left = Min(left, SL_LOOK_AT_TOPICS);
	if (progress->passed_over || readings->settling)
		left = Min(left, SL_LOOK_SOON);
	for (int i = 0; i < readings->n && left > 0; i++)
	{
		SlReading  *reading = &readings->items[i];
		SlPartitionState state;
		SlLog	   *log;

		if (reading->want < 0)
			continue;
		log = sl_log_open(reading->topic, reading->offset->key.partition, &state);
		switch (sl_partition_wait_begin(log->part, &log->key, reading->want))
		{
			case SL_WAIT_LISTED:
				break;
			case SL_WAIT_MOVED:
				left = 0;
				break;
			case SL_WAIT_NO_ROOM:
				left = Min(left, SL_LOOK_SOON);
				break;
		}
	}
	SL_WAITPOINT("consume-before-sleep");
	if (left > 0)
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
	sl_partition_wait_end();
	return true;
}

void
sl_consume(SlConsumeCall *call)
{
	SlProgress	progress = {.call = call,.left = call->limits};
	long		wait = sl_fetch_cap_wait(call->limits.max_wait);
	TimestampTz deadline = 0;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "streamlog consume",
												  ALLOCSET_SMALL_SIZES);
	bool		waits;

	if (call->how != SL_DEFERRED)
		sl_offsets_must_flush();
	do
	{
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		waits = wait > 0 && sl_fetch_may_wait() && call->how != SL_PEEK;
		if (waits)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (deadline != 0)
			open_topics_again(call->membership);
		look(&progress, waits);
		if (waits && deadline == 0)
			deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
	} while (progress.records == 0 && progress.confirmed == 0 &&
			 !progress.has_work && waits && progress.left.max_records > 0 &&
			 wait_for_more(&progress, deadline));
	sl_group_wait_end();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
