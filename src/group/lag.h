/*
 * lag.h
 *		How far consumer groups are behind.
 */
#ifndef SL_LAG_H
#define SL_LAG_H

#include "datatype/timestamp.h"

/* A partition of a topic of which the group has committed an offset */
typedef struct SlLag
{
	int32		group_id;
	int32		topic_id;
	int32		partition;
	int64		committed;		/* -1: no offset */
	int64		end;			/* -1: not known */
	bool		has_oldest;
	TimestampTz oldest;			/* of the first record that is not consumed */
} SlLag;

/*
 * All partitions of all groups that the current user may see, and of topics that the
 * caller says he may see; by topic, group and partition, palloc'd.  Reads the table of
 * offsets once, the end of each partition once, and a record only where a group is
 * behind.  Locks the tables of topics (AccessShare) to the end of the transaction.
 */
extern SlLag *sl_lag_list(bool (*may_see) (Oid relation), int *n);

#endif							/* SL_LAG_H */
