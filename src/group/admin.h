/*
 * admin.h
 *		What is done to consumer groups from outside.
 *
 * All of it is for members of the owner's role, which opening the group has checked.
 */
#ifndef SL_ADMIN_H
#define SL_ADMIN_H

#include "catalog/group_row.h"
#include "group/consume.h"

/* A partition whose offset is reset */
typedef struct SlPartitionReset
{
	int32		partition;
	int64		current;		/* -1: no offset is committed */
	int64		target;
} SlPartitionReset;

/*
 * Where a reset would put the offsets of a topic, of one partition or (-1) of all;
 * apply: and put them there, with the transaction.  Takes the ownership locks waiting,
 * in order.  Raises SL_NON_EMPTY_GROUP while members are subscribed to the topic, and if
 * an offset is to be shifted that is not there; a target out of range is a WARNING and
 * the nearest that is not.  Without apply the group may be NULL, for one that does not
 * exist.  The result is palloc'd.
 */
extern SlPartitionReset *sl_admin_reset(SlConsumerGroup *group, SlTopic *topic,
										int32 partition,
										const SlSeekTarget *target,
										bool apply, int *n);

/*
 * The committed offsets of a group, of one topic or (0) of all, as they will be
 * after the current transaction; by topic_id and partition, palloc'd.
 */
extern SlOffsetListed *sl_admin_list_offsets(int32 group_id, int32 topic_id,
											 int *n);

/*
 * Delete the offsets of a topic, of one partition or (-1) of all; returns how many
 * there were.  Locks and refuses as a reset does.
 */
extern int	sl_admin_delete_offsets(SlConsumerGroup *group, SlTopic *topic,
									int32 partition);

/*
 * Delete a group and its offsets.  Raises for one that does not exist, and
 * SL_NON_EMPTY_GROUP while it has members; waits for transactions that use it.
 */
extern void sl_admin_delete_group(const char *name);

/* Put out a member, by its name or its instance_id; false if there is none. */
extern bool sl_admin_kick(const SlConsumerGroup *group, const char *who);

/* Give a group to another role, by the rules of ALTER TABLE .. OWNER TO. */
extern void sl_admin_set_owner(const char *name, Oid owner);

#endif							/* SL_ADMIN_H */
