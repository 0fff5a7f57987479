/*
 * known.h
 *		The partitions of consumer groups that this session knows.
 */
#ifndef SL_KNOWN_H
#define SL_KNOWN_H

#include "group/offsets.h"

/* For list_sort(): by group, topic and partition. */
extern int	sl_offsets_compare(const ListCell *a, const ListCell *b);

/* The name of this session as a member. */
extern const char *sl_offsets_session_member(void);

/*
 * The entry of a partition, made if there is none; and the same, or NULL.  They last as
 * long as the backend.
 */
extern SlOffset *sl_offsets_enter(const SlConsumer *consumer, int32 topic_id,
								  int32 partition);
extern SlOffset *sl_offsets_find(int32 group_id, int32 topic_id,
								 int32 partition);

/*
 * The entries of a group of which the session has a batch in hand (or would have after
 * the commit), sorted by topic and partition.
 */
extern List *sl_offsets_in_hand(int32 group_id);

/*
 * Forget what this session was handed of a group (0: of all, and all positions, and
 * the session gets a new name), also in the current transaction.
 */
extern void sl_offsets_forget(int32 group_id);

/* Forget what the session was handed of one partition, also in this transaction. */
extern void sl_offset_forget_batch(SlOffset *offset);

#endif							/* SL_KNOWN_H */
