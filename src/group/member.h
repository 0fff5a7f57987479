/*
 * member.h
 *		What the calls of a consumer have in common.
 */
#ifndef SL_MEMBER_H
#define SL_MEMBER_H

#include "group/consume.h"

/* A partition that a call is to read */
typedef struct SlReading
{
	SlTopic    *topic;
	SlOffset   *offset;
	uint64		generation;
	int64		want;			/* nothing to read up to here; -1: not known */
} SlReading;

typedef struct SlReadings
{
	SlReading  *items;			/* palloc'd; by topic and partition */
	int			n;
	bool		joined;			/* was no member before */
	bool		full;			/* some are missing for want of shared memory */
	bool		settling;		/* some are not given out yet: look again soon */
} SlReadings;

/*
 * Declare the caller to its group, and say what it is to read.  lets_go: partitions
 * that are to move may; waits: the latch is set when that changes.  Raises for a fenced
 * instance, and for an assignor that others do not use.
 */
extern void sl_member_declare(SlMembership *membership, bool lets_go,
							  bool waits, SlReadings *readings);

/* The same, but who is no member does not become one; then joined is set. */
extern void sl_member_declare_if_member(SlMembership *membership,
										bool lets_go, SlReadings *readings);

/* Was the partition asked for? */
extern bool sl_member_wants(const SlMembership *membership, int32 topic_id,
							int32 partition);

/*
 * Decide where a partition starts whose row is missing or out of range; the caller owns
 * it.  Returns the bounds of what can be read.
 */
extern void sl_member_settle(SlTopic *topic, SlOffset *offset,
							 bool is_session, SlResetPolicy policy,
							 SlPartitionState *state);

/*
 * End sessions that hold a lock of ours, of a partition or on the making of a group,
 * and whose time is up: nobody else could release it.  With any_role the caller has
 * been found to be a user of the group; else only sessions of roles whose rights it has.
 */
extern void sl_member_end_overdue_holder(const LOCKTAG *tag, bool any_role);

/*
 * Own a partition for a member, and wait for who has it locked; one whose time is up now
 * is ended, as nobody else may ever call who would end it.  Raises as
 * sl_offset_own() does.
 */
extern SlStake *sl_member_own_waiting(SlOffset *offset,
									  const SlConsumer *consumer);

#endif							/* SL_MEMBER_H */
