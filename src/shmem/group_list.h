/*
 * group_list.h
 *		The members of consumer groups, for views.
 */
#ifndef SL_GROUP_LIST_H
#define SL_GROUP_LIST_H

#include "shmem/groups.h"

typedef struct SlMemberAssignment
{
	int32		topic_id;
	int32		partition;
	bool		is_reader;		/* reads it */
	bool		is_target;		/* is to read it */
} SlMemberAssignment;

typedef struct SlMemberInfo
{
	int32		group_id;
	SlAssignorKind assignor;
	char		member[SL_MAX_MEMBER_NAME + 1];
	char		instance[SL_MAX_MEMBER_NAME + 1];	/* or "" */
	bool		is_session;
	bool		is_fenced;
	int			pid;			/* of the backend that called last; 0: ended */
	TimestampTz last_call;
	SlMemberAssignment *assignments;
	int			nassignments;
} SlMemberInfo;

/* In palloc'd memory, and in the assignors' order; group_id 0: of all groups. */
extern SlMemberInfo *sl_groups_list_members(Oid database, Oid relation,
											int32 group_id, int *n);

/* Is this member subscribed to a topic?  Not if it is gone. */
extern bool sl_group_is_subscribed(const SlGroupKey *key, const char *member,
								   int32 topic_id);

#endif							/* SL_GROUP_LIST_H */
