/*
 * offsets.c
 *		What the current session and its transaction have to do with partitions
 *		of consumer groups.
 *
 * A partition of a group has an owner: the transaction that holds its lock (see
 * offset_row.h), to its end.  It alone reads the row of the committed offset and may
 * change it, and what it reads stays true.  Two names stand in the row: the member that
 * was handed records last, and an epoch that is raised whenever that is another
 * member, or the offset is reset.  Who commits must be the one, under the other.
 *
 * What is next to hand out, the position, is the row's next_offset, unless shared
 * memory has one for exactly this member and epoch: the end of the last hand-out, which
 * is not confirmed yet, or where a seek went.
 *
 * The path of a hand-out through its transaction:
 *
 *	1.	own: lock, then the row by a fresh snapshot, then the position.  In another
 *		order the row could be an old one.
 *	2.	the stake, which is private, says what the transaction intends: the offset to
 *		commit, the position, the batch that the session has in hand.  Each nesting
 *		level that changes it has its own, so a rollback to a savepoint takes it back,
 *		together with the lock, if that was taken there.
 *	3.	PRE_COMMIT: the row is written, once, before any record is appended.
 *	4.	COMMIT, while the lock is still held: the position is published, or removed if
 *		it is what the row says; the batch becomes the session's.
 *	ABORT: all of it is forgotten.  Nothing was visible to anybody.
 *
 * A takeover, a crash, a reset therefore need no rule of their own: a position or a
 * batch of another member or epoch counts for nothing.
 *
 * Who is handed records in a function under a plain SELECT may be handing them on to
 * the client, or working on them: what the client's statement does after that tells.
 * Its later writes mark the stakes, at their nesting level, and PRE_COMMIT commits the
 * offsets of those that are marked.  A hand-out after the last write takes the mark
 * away, and the next statement that is handed more finds it decided: in doubt a
 * duplicate, never a loss.
 *
 * Who only confirms does not wait for the disk: a crash that takes that back has the
 * records handed out again, which deferred consumers must expect of it anyway.  What was
 * made with it, the place where a partition starts, is in WAL before any record that
 * is produced later, so nothing is skipped.
 *
 * Nothing here is shared, but for what groups.h says; a partition without a group has
 * neither lock nor row, only a position.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/waitpoint.h"
#include "group/known.h"
#include "log/transaction.h"

/* The current transaction */
static dlist_head tx_offsets = DLIST_STATIC_INIT(tx_offsets);
static bool committing = false;
static bool must_flush = false; /* what it writes must outlive a crash */
static uint64 statement = 1;

static SlStake *
top_stake(const SlOffset *offset)
{
	return offset->nstakes > 0 ? &offset->stakes[offset->nstakes - 1] : NULL;
}

const SlBatch *
sl_offset_batch(const SlOffset *offset)
{
	SlStake    *stake = top_stake(offset);

	return stake ? &stake->batch : &offset->batch;
}

List *
sl_offsets_in_transaction(int32 group_id)
{
	List	   *list = NIL;
	dlist_iter	iter;

	dlist_foreach(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);

		if (offset->key.group_id == group_id)
			list = lappend(list, offset);
	}
	return list;
}

const SlSeen *
sl_offset_seen(const SlOffset *offset)
{
	SlStake    *stake = top_stake(offset);

	return stake ? &stake->seen : &offset->seen;
}

SlStake *
sl_offset_owned(const SlOffset *offset)
{
	SlStake    *stake = top_stake(offset);

	return stake && stake->owned ? stake : NULL;
}

SlStake *
sl_offset_change(SlOffset *offset)
{
	int			level = GetCurrentTransactionNestLevel();
	SlStake    *stake = top_stake(offset);

	if (stake && stake->level == level)
		return stake;
	if (offset->nstakes == offset->max_stakes)
	{
		int			max = Max(2, offset->max_stakes * 2);

		offset->stakes = offset->stakes ?
			repalloc_array(offset->stakes, SlStake, max) :
			MemoryContextAlloc(TopMemoryContext, max * sizeof(SlStake));
		offset->max_stakes = max;
	}
	stake = &offset->stakes[offset->nstakes];
	if (offset->nstakes > 0)
		*stake = stake[-1];
	else
	{
		memset(stake, 0, sizeof(SlStake));
		stake->batch = offset->batch;
		stake->seen = offset->seen;
		dlist_push_tail(&tx_offsets, &offset->tx_node);
	}
	stake->level = level;
	offset->nstakes++;
	return stake;
}

/* Take away the last stake.  Never raises. */
static void
pop_stake(SlOffset *offset)
{
	if (--offset->nstakes == 0)
		dlist_delete(&offset->tx_node);
}

static void
check_not_committing(void)
{
	if (committing)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot consume while the transaction's offsets are being committed")));
}

/* What was said with an earlier offset goes with it. */
static void
set_next_offset(SlStake *stake, int64 next_offset)
{
	stake->row.next_offset = next_offset;
	stake->row.metadata = NULL;
	stake->dirty = true;
}

void
sl_offsets_refuse_member_id(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot consume with a member_id outside of the transaction that does the work"),
			 errdetail("Nothing is remembered of what a member_id was handed, so its next consume() cannot confirm it."),
			 errhint("Use poll() and commit_offsets(), or consume() after BEGIN or in the statement that does the work.")));
}

/* What a function was handed becomes the transaction's, if it was worked on. */
static void
decide_hand_out(SlStake *stake)
{
	if (stake->written)
	{
		set_next_offset(stake, stake->position);
		stake->must_write = false;
		memset(&stake->batch, 0, sizeof(SlBatch));
	}
	else if (stake->must_write)
		sl_offsets_refuse_member_id();
	stake->statement = 0;
}

/*
 * This transaction may have handed records to another member before, who is no reader
 * any more.  Where that one got to is its own, but for what the transaction commits.
 */
static void
forget_other_member(SlStake *stake, const SlConsumer *consumer)
{
	if (!stake->shared || consumer->member[0] == '\0' ||
		strcmp(stake->row.member, consumer->member) == 0 ||
		SL_MUTANT("share-position"))
		return;
	if (stake->statement != 0)
		decide_hand_out(stake);
	stake->position = stake->row.next_offset;
	stake->shared = false;
}

bool
sl_offset_is_position_of(const SlGroupPosition *known, const SlOffsetRow *row,
						 const SlConsumer *consumer)
{
	return known->has_position && row->exists &&
		((known->epoch == row->epoch &&
		  strcmp(row->member, consumer->member) == 0) ||
		 SL_MUTANT("any-epoch"));
}

SlStake *
sl_offset_own(SlOffset *offset, const SlConsumer *consumer, bool wait)
{
	SlStake    *stake = sl_offset_owned(offset);
	SlGroupPosition known;
	ItemPointerData nowhere;
	SlOffsetRow row;

	check_not_committing();
	must_flush = must_flush || wait;
	if (stake)
	{
		stake = sl_offset_change(offset);
		if (offset->key.group_id != 0)
			forget_other_member(stake, consumer);
		return stake;
	}
	if (offset->key.group_id == 0)
	{
		stake = sl_offset_change(offset);
		stake->owned = true;
		stake->position = offset->position;
		stake->shared = offset->has_position;
		return stake;
	}

	ItemPointerSetInvalid(&nowhere);
	if (SL_MUTANT("read-first"))
		(void) sl_offset_read(&offset->key, &nowhere, &row);
	SL_WAITPOINT("own-before-lock");
	if (!sl_offset_lock(&offset->key, wait))
		return NULL;
	SL_WAITPOINT("own-locked");
	sl_group_position(&consumer->group, offset->key.topic_id,
					  offset->key.partition, consumer->member, &known);
	if (!SL_MUTANT("read-first"))
		(void) sl_offset_read(&offset->key, &known.row, &row);

	stake = sl_offset_change(offset);
	stake->owned = true;
	stake->row = row;
	if (row.metadata)
		stake->row.metadata = MemoryContextStrdup(TopTransactionContext,
												  row.metadata);
	stake->shared = sl_offset_is_position_of(&known, &row, consumer);
	stake->position = stake->shared ? known.position : row.next_offset;
	if (SL_MUTANT("max-position"))
		stake->position = Max(stake->position, row.next_offset);
	return stake;
}

void
sl_offset_disown(SlOffset *offset)
{
	SlStake    *stake = top_stake(offset);

	if (!stake || !stake->owned || stake->used || stake->dirty ||
		stake->moved || stake->reset || offset->nstakes > 1)
		return;
	stake->owned = false;
	stake->shared = false;
	if (offset->key.group_id != 0)
		sl_offset_unlock(&offset->key);
}

void
sl_offset_take_over(SlStake *stake, const SlConsumer *consumer)
{
	if (strcmp(stake->row.member, consumer->member) == 0)
		return;
	strlcpy(stake->row.member, consumer->member, sizeof(stake->row.member));
	stake->row.epoch++;
	stake->dirty = true;
}

void
sl_offset_move(SlStake *stake, int64 next_offset)
{
	set_next_offset(stake, next_offset);
	stake->moved = true;
	if (!stake->shared)
		stake->position = next_offset;
}

void
sl_offset_hand_out(SlOffset *offset, const SlConsumer *consumer, SlHandOut how,
				   int64 reached)
{
	SlStake    *stake = sl_offset_change(offset);

	/* nobody will work any more on what an earlier statement was handed */
	if (stake->statement != 0 && stake->statement != statement)
		decide_hand_out(stake);
	stake->used = true;
	stake->position = reached;
	stake->shared = true;
	if (offset->key.group_id == 0)
	{
		stake->moved = true;
		return;
	}

	/*
	 * nothing is remembered for a member_id, also if its row has been made
	 * here
	 */
	stake->moved = consumer->is_session || SL_MUTANT("run-remembered");
	sl_offset_take_over(stake, consumer);

	/* where this transaction has handed out deferred, all stays deferred */
	if (how == SL_WITH_TRANSACTION || (how == SL_IN_FUNCTION && stake->statement == 0))
	{
		if (consumer->is_session && stake->batch.kind == SL_BATCH_DEFERRED &&
			stake->batch.is_new)
			how = SL_DEFERRED;
	}

	if (how == SL_WITH_TRANSACTION)
	{
		set_next_offset(stake, reached);
		return;
	}
	stake->written = false;
	stake->statement = how == SL_IN_FUNCTION ? statement : 0;
	if (consumer->is_session)
	{
		stake->batch.kind = how == SL_POLLED ? SL_BATCH_POLLED : SL_BATCH_DEFERRED;
		stake->batch.is_new = true;
		stake->batch.epoch = stake->row.epoch;
		stake->batch.end = reached;
	}
	else
		stake->must_write = how == SL_IN_FUNCTION;
}

void
sl_offsets_begin_statement(void)
{
	statement++;
}

void
sl_offsets_note_write(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);

		if (top_stake(offset)->statement == statement)
			sl_offset_change(offset)->written = true;
	}
}

void
sl_offsets_drop_topic(int32 topic_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);
		SlStake    *stake;

		if (offset->key.topic_id != topic_id)
			continue;
		stake = sl_offset_change(offset);
		memset(&stake->batch, 0, sizeof(SlBatch));
		stake->statement = 0;
		stake->owned = false;
		stake->dirty = false;
		stake->moved = false;
	}
}

void
sl_offsets_must_flush(void)
{
	must_flush = true;
}

/*
 * A transaction that does nothing but write rows which may be lost in a crash does not
 * wait for its WAL.  Before they are written, since that takes an xid.
 */
static void
relax_commit(void)
{
	if ((must_flush && !SL_MUTANT("never-flush")) ||
		synchronous_commit == SYNCHRONOUS_COMMIT_OFF ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		sl_transaction_has_records())
		return;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
at_precommit(void)
{
	List	   *list = NIL;
	ListCell   *lc;
	dlist_iter	iter;

	if (dlist_is_empty(&tx_offsets))
		return;
	committing = true;
	dlist_foreach(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);
		SlStake    *stake = top_stake(offset);

		if (!stake->owned || offset->key.group_id == 0)
			continue;
		/* the transaction has dropped the extension, and the offsets with it */
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(offset->offsets)))
			continue;
		if (stake->statement != 0)
			decide_hand_out(stake);
		if (stake->dirty)
			list = lappend(list, offset);
	}
	if (list == NIL)
		return;

	relax_commit();

	/* in one order, so that the rows of a group come to lie side by side */
	list_sort(list, sl_offsets_compare);
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, list)
	{
		SlOffset   *offset = lfirst(lc);

		sl_offset_write(&offset->key, &top_stake(offset)->row);
	}
	PopActiveSnapshot();
	list_free(list);
}

/* Publish what the transaction has done to a partition.  Never raises. */
static void
publish(SlOffset *offset, SlStake *stake)
{
	SlGroupKey	group = {MyDatabaseId, offset->offsets, offset->key.group_id};
	SlGroupChange change = {
		.topic_id = offset->key.topic_id,
		.partition = offset->key.partition,
		.reset = stake->reset,
		.moved = stake->moved,
		.is_confirmed = stake->position == stake->row.next_offset,
		.member = stake->row.member,
		.epoch = stake->row.epoch,
		.position = stake->position
	};

	if (stake->dirty)
		change.row = stake->row.tid;
	else
		ItemPointerSetInvalid(&change.row);
	if (stake->dirty || stake->moved || stake->reset)
		sl_group_commit(&group, &change);
}

/* The end of the transaction: nothing here may raise. */
static void
end_transaction(bool commit)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);
		SlStake    *stake = top_stake(offset);

		if (commit)
		{
			offset->batch = stake->batch;
			offset->batch.is_new = false;
			offset->seen = stake->seen;
			offset->has_row = offset->has_row ||
				(stake->owned && (stake->dirty || stake->row.exists));
			if (offset->key.group_id != 0 && stake->owned)
				publish(offset, stake);
			else if (stake->moved)
			{
				offset->has_position = true;
				offset->position = stake->position;
			}
		}
		else if (SL_MUTANT("keep-seen"))
			offset->seen = stake->seen;
		offset->nstakes = 0;
		dlist_delete(&offset->tx_node);
	}
	committing = false;
	must_flush = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			at_precommit();
			break;
		case XACT_EVENT_COMMIT:
			if (!dlist_is_empty(&tx_offsets))
				SL_WAITPOINT("commit-before-publish");
			end_transaction(true);
			sl_group_wait_end();
			break;
		case XACT_EVENT_ABORT:
			end_transaction(false);
			sl_group_wait_end();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (!dlist_is_empty(&tx_offsets))
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has consumed records or committed offsets"),
						 errhint("Use COMMIT.")));
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	dlist_mutable_iter iter;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		sl_group_wait_end();
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;

	dlist_foreach_modify(iter, &tx_offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, tx_node, iter.cur);
		SlStake    *stake = top_stake(offset);

		if (stake->level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			if (!SL_MUTANT("keep-savepoint"))
				pop_stake(offset);
		}
		else if (offset->nstakes > 1 && stake[-1].level == level - 1)
		{
			stake[-1] = *stake;
			stake[-1].level = level - 1;
			offset->nstakes--;
		}
		else
			stake->level = level - 1;
	}
}

void
sl_offsets_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
