/*
 * worklist.h
 *		What the worker looks for in our tables.
 */
#ifndef SL_WORKLIST_H
#define SL_WORKLIST_H

#include "catalog/segment.h"

typedef struct SlTopicEntry
{
	int32		topic_id;
	Oid			relation;		/* may be gone, if the topic is dropped */
	int32		partitions;
	bool		dropped;
	char	   *name;			/* only of one that came from a dump */
} SlTopicEntry;

/*
 * All topics that are ready for use, by id, but those behind the topic last first: so that they have
 * their turns, and one that cannot be dealt with does not keep the others.  In
 * palloc'd memory; returns their number.
 */
extern int	sl_worklist_topics(int32 last, SlTopicEntry **list);

/* The others, by id: those that came from a dump */
extern int	sl_worklist_restored(SlTopicEntry **list);

/*
 * Up to max of the partitions from from up to upto that have no segment,
 * ascending; returns their number.
 */
extern int	sl_worklist_missing(int32 topic_id, int32 from, int32 upto,
								int32 *list, int max);

/* The newest segment of a partition; false if it has none. */
extern bool sl_worklist_newest(int32 topic_id, int32 partition,
							   SlSegment *segment);

/* Up to max of the oldest segments of a partition; returns their number. */
extern int	sl_worklist_oldest(int32 topic_id, int32 partition,
							   SlSegment *list, int max);

/* Delete the rows of segments whose tables are dropped. */
extern void sl_worklist_delete_segments(int32 topic_id, const Oid *relations,
										int n);

#endif							/* SL_WORKLIST_H */
