/*
 * offset_row.h
 *		The rows of committed offsets.
 *
 * Whoever reads or writes a row holds the ownership lock of its partition in that
 * group, which orders all changes; a list can be read without.
 */
#ifndef SL_OFFSET_ROW_H
#define SL_OFFSET_ROW_H

#include "storage/itemptr.h"
#include "storage/lock.h"

#include "shmem/groups.h"

/* The longest metadata, in bytes, as Kafka's offset.metadata.max.bytes */
#define SL_MAX_OFFSET_METADATA	4096

typedef struct SlOffsetKey
{
	int32		group_id;
	int32		topic_id;
	int32		partition;
} SlOffsetKey;

/* By group, topic and partition, as qsort() wants it */
static inline int
sl_offset_key_compare(const SlOffsetKey *left, const SlOffsetKey *right)
{
	if (left->group_id != right->group_id)
		return left->group_id < right->group_id ? -1 : 1;
	if (left->topic_id != right->topic_id)
		return left->topic_id < right->topic_id ? -1 : 1;
	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	return 0;
}

typedef struct SlOffsetRow
{
	bool		exists;
	ItemPointerData tid;		/* of the committed version */
	int64		next_offset;
	int32		epoch;

	/*
	 * How many partitions the topic had when the group first had a row of it:
	 * what was added later starts at its beginning.
	 */
	int32		topic_partitions;
	char		member[SL_MAX_MEMBER_NAME + 1]; /* "": nobody */
	char	   *metadata;		/* palloc'd, or NULL */
} SlOffsetRow;

typedef struct SlOffsetListed
{
	SlOffsetKey key;
	SlOffsetRow row;
} SlOffsetListed;

/*
 * The ownership lock, to the end of the (sub)transaction; conditional: false if
 * another transaction has it.  Waiting is interruptible, and may meet the deadlock
 * detector and lock_timeout.  unlock() is for a caller that has done nothing under it,
 * in the same (sub)transaction.
 */
extern bool sl_offset_lock(const SlOffsetKey *key, bool wait);
extern void sl_offset_unlock(const SlOffsetKey *key);
extern void sl_offset_set_locktag(LOCKTAG *tag, const SlOffsetKey *key);

/*
 * The row that was committed last, or written by this transaction, whatever snapshot
 * that reads by; the caller holds the ownership lock.  hint says where it may be, or
 * is invalid; it may be wrong.  False, and all zero, if there is none.
 */
extern bool sl_offset_read(const SlOffsetKey *key, ItemPointer hint,
						   SlOffsetRow *row);

/*
 * Insert, or update if row->exists; row->tid, a hint before, becomes that of the new
 * version, which is to be published by the COMMIT callback and not before.  The caller
 * holds the ownership lock; the table is locked as by INSERT, to the end of the
 * transaction.  A command of its own: the transaction sees what it has written.
 * delete() leaves the row all zero.
 */
extern void sl_offset_write(const SlOffsetKey *key, SlOffsetRow *row);
extern void sl_offset_delete(const SlOffsetKey *key, SlOffsetRow *row);

/*
 * The smallest topic_partitions of a group's rows of a topic, by a fresh snapshot; 0
 * if there are none.
 */
extern int32 sl_offset_topic_partitions(int32 group_id, int32 topic_id);

/*
 * The rows of a group (topic_id 0: of all topics), by a fresh snapshot, in palloc'd
 * memory.
 */
extern SlOffsetListed *sl_offset_list(int32 group_id, int32 topic_id, int *n);

/* Call visit for the rows of all groups, by a fresh snapshot, in no order. */
extern void sl_offset_visit(void (*visit) (void *arg, const SlOffsetKey *key,
										   int64 next_offset),
							void *arg);

/*
 * Delete the rows of a dropped topic (which reads the whole table), of a deleted
 * group; nobody uses it any more.
 */
extern void sl_offset_delete_topic(int32 topic_id);
extern void sl_offset_delete_group(int32 group_id);

#endif							/* SL_OFFSET_ROW_H */
