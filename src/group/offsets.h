/*
 * offsets.h
 *		What the current session and its transaction have to do with partitions
 *		of consumer groups.
 */
#ifndef SL_OFFSETS_H
#define SL_OFFSETS_H

#include "lib/ilist.h"
#include "nodes/pg_list.h"

#include "catalog/offset_row.h"
#include "catalog/topic.h"

/* Who calls: a member of a group, or (group_id 0) this session by itself */
typedef struct SlConsumer
{
	SlGroupKey	group;
	const char *group_name;
	const char *member;
	bool		is_session;		/* not a member_id, of which nothing is
								 * remembered */
} SlConsumer;

/* Where a partition without a valid committed offset starts */
typedef enum SlResetPolicy
{
	SL_RESET_EARLIEST,
	SL_RESET_LATEST,
	SL_RESET_NONE
} SlResetPolicy;

/* What becomes of records that are handed out */
typedef enum SlHandOut
{
	SL_WITH_TRANSACTION,		/* committed with the transaction */
	SL_DEFERRED,				/* committed by the session's next consume() */
	SL_IN_FUNCTION,				/* one or the other: decided at PRE_COMMIT */
	SL_POLLED,					/* committed by commit_offsets() */
	SL_PEEK						/* handed out to nobody */
} SlHandOut;

typedef enum SlBatchKind
{
	SL_BATCH_NONE,
	SL_BATCH_DEFERRED,
	SL_BATCH_POLLED
} SlBatchKind;

/* Records that a session was handed and that are not committed */
typedef struct SlBatch
{
	SlBatchKind kind;
	bool		is_new;			/* handed out by the current transaction */
	int32		epoch;
	int64		end;
} SlBatch;

/* Up to where a session knows that there is nothing for it to read */
typedef struct SlSeen
{
	uint64		generation;		/* of the assignment; 0: knows nothing */
	int64		position;
} SlSeen;

/* What a (sub)transaction intends with a partition */
typedef struct SlStake
{
	int			level;			/* of nesting */
	bool		owned;			/* holds the lock and has read the row */
	bool		dirty;			/* the row is to be written */
	bool		moved;			/* the position is to be published */
	bool		shared;			/* the position is not just the row's */
	bool		used;			/* something was handed out or moved */
	bool		reset;			/* its reader must forget what it has seen */
	bool		must_write;		/* to a member_id in a function: an ERROR at
								 * PRE_COMMIT unless written */
	bool		written;		/* work was done in the statement of the
								 * hand-out, after it */
	uint64		statement;		/* that of a hand-out in a function; 0: none */
	int64		position;		/* next to hand out */
	SlOffsetRow row;			/* as read, or as it will be written */
	SlBatch		batch;			/* as they will be after the commit */
	SlSeen		seen;
} SlStake;

/* A partition of a group, as this session knows it */
typedef struct SlOffset
{
	SlOffsetKey key;			/* hash key */
	Oid			offsets;		/* streamlog.committed_offset */
	dlist_node	node;			/* in its group's list */
	dlist_node	tx_node;		/* in the list of the transaction's */

	/* as of the last commit */
	SlBatch		batch;
	SlSeen		seen;
	bool		has_row;		/* the row was there, and may be gone since */
	bool		has_position;	/* without a group: where it goes on */
	int64		position;
	int32		known_partitions;	/* partition 0 without a group: what the
									 * topic had when it was first read */

	/* of the current transaction; the last one counts */
	SlStake    *stakes;
	int			nstakes;
	int			max_stakes;
} SlOffset;

extern void sl_offsets_init(void);

/* Is a position in shared memory that of the consumer, and of the row's epoch? */
extern bool sl_offset_is_position_of(const SlGroupPosition *known,
									 const SlOffsetRow *row,
									 const SlConsumer *consumer);

/* Raise for a deferred hand-out to a member_id. */
extern void sl_offsets_refuse_member_id(void) pg_attribute_noreturn();

/* The transaction has dropped a topic: it writes nothing of it. */
extern void sl_offsets_drop_topic(int32 topic_id);

/* The entries that the current transaction has to do with, in no order. */
extern List *sl_offsets_in_transaction(int32 group_id);

/* What holds for the current transaction */
extern const SlBatch *sl_offset_batch(const SlOffset *offset);
extern const SlSeen *sl_offset_seen(const SlOffset *offset);

/* The transaction's stake, if it owns the partition; else NULL. */
extern SlStake *sl_offset_owned(const SlOffset *offset);

/* The stake of the current nesting level, to be changed; made if need be. */
extern SlStake *sl_offset_change(SlOffset *offset);

/*
 * Own a partition to the end of the (sub)transaction: lock, row, position.  NULL if
 * it is locked by another transaction and wait is false.  Raises while the
 * transaction is being committed.
 */
extern SlStake *sl_offset_own(SlOffset *offset, const SlConsumer *consumer,
							  bool wait);

/* Give up what was owned by the last call alone, and nothing was done with. */
extern void sl_offset_disown(SlOffset *offset);

/* Make the consumer the one that was handed records last. */
extern void sl_offset_take_over(SlStake *stake, const SlConsumer *consumer);

/* Commit an offset with the transaction. */
extern void sl_offset_move(SlStake *stake, int64 next_offset);

/* Hand out what is before reached to the consumer; it owns the partition. */
extern void sl_offset_hand_out(SlOffset *offset, const SlConsumer *consumer,
							   SlHandOut how, int64 reached);

/*
 * What this transaction does to offsets is to outlive a crash; so it is, too, if it owned
 * something by waiting, or has written anything else.
 */
extern void sl_offsets_must_flush(void);

/*
 * The statements of the client are counted, so that what is written after a hand-out
 * in the same one is known to be work on it.
 */
extern void sl_offsets_begin_statement(void);
extern void sl_offsets_note_write(void);

#endif							/* SL_OFFSETS_H */
