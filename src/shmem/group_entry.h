/*
 * group_entry.h
 *		A consumer group in shared memory, for the group files of this folder alone.
 */
#ifndef SL_GROUP_ENTRY_H
#define SL_GROUP_ENTRY_H

#include "lib/ilist.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"

#include "shmem/groups.h"

typedef struct SlGroupMember
{
	dlist_node	node;			/* in the group's, in the assignors' order */
	dsa_pointer self;
	dlist_head	subscriptions;
	uint64		hash;			/* of the name */
	TimestampTz last_call;
	int64		max_poll_interval;	/* ms */
	int			pid;			/* of the backend that called last; 0: a
								 * session that has ended */
	int			pgprocno;		/* its number, counts if pid is not 0 */
	int			waiting;		/* number of a backend that sleeps, or -1 */
	int			index;			/* while a plan is made */
	bool		is_session;
	bool		is_fenced;
	char		name[SL_MAX_MEMBER_NAME + 1];
	char		instance[SL_MAX_MEMBER_NAME + 1];	/* or "" */
} SlGroupMember;

typedef struct SlGroupPart
{
	SlGroupMember *reader;		/* reads it, or NULL */
	SlGroupMember *target;		/* is to read it, or NULL */
	uint64		generation;		/* of the reader */
	uint64		last_member;	/* while the group settles; 0: anybody */
	SlGroupMember *handed_to;	/* position and epoch are this member's */
	int64		position;
	int32		epoch;
	ItemPointerData row;
} SlGroupPart;

/* A topic that at least one member is subscribed to */
typedef struct SlGroupTopic
{
	dlist_node	node;			/* in the group's, by name */
	dsa_pointer self;
	int32		topic_id;
	int			nsubscribers;
	int			npartitions;
	int			index;			/* while a plan is made */
	dsa_pointer parts_self;
	SlGroupPart *parts;
	char		name[FLEXIBLE_ARRAY_MEMBER];
} SlGroupTopic;

typedef struct SlGroupSubscription
{
	dlist_node	node;			/* in the member's */
	dsa_pointer self;
	SlGroupTopic *topic;
	TimestampTz named;			/* when a call named it last */
} SlGroupSubscription;

typedef struct SlGroup
{
	dlist_node	node;			/* in its chain */
	dsa_pointer self;
	SlGroupKey	key;
	SlAssignorKind assignor;
	TimestampTz settled_at;
	bool		settling;
	bool		needs_plan;		/* targets are not what they should be */
	bool		used;			/* and not yet told by collect_used() */
	dlist_head	members;
	dlist_head	topics;
} SlGroup;

/* in groups.c; attach() may raise, the others do not, and need it before */
extern void sl_groups_attach(void);
extern void *sl_group_alloc(Size size, dsa_pointer *self);
extern void sl_group_free(dsa_pointer self);
extern int	sl_group_memory(void);

extern LWLock *sl_group_lock(const SlGroupKey *key);
extern LWLock *sl_group_stripe_lock(int stripe);
extern int	sl_group_stripe(const SlGroupKey *key);
extern SlGroup *sl_group_next(int stripe, SlGroup *group);
extern SlGroup *sl_group_find(const SlGroupKey *key);
extern SlGroup *sl_group_make(const SlGroupKey *key, TimestampTz now);
extern void sl_group_remove(SlGroup *group);
extern uint64 sl_group_new_generation(void);
extern void sl_groups_note_wait(bool waits);

/* in group_members.c: with the group's lock held exclusively */
extern SlGroupMember *sl_group_find_member(SlGroup *group, const char *name);
extern SlGroupMember *sl_group_make_member(SlGroup *group, const char *name);
extern void sl_group_place_member(SlGroup *group, SlGroupMember *member);
extern void sl_group_put_out(SlGroup *group, SlGroupMember *member);
extern void sl_group_put_out_overdue(SlGroup *group, TimestampTz now,
									 const SlGroupMember *but);
extern void sl_group_take_over(SlGroup *group, SlGroupMember *member,
							   SlGroupMember *old);
extern void sl_group_wake(const SlGroupMember *member);
extern void sl_group_members_at_exit(void);
extern void sl_group_note_joined(const SlGroupKey *key, const char *member);
extern void sl_group_wait_begin(const SlGroup *group, SlGroupMember *member);

/* in group_topics.c: the same */
extern SlGroupTopic *sl_group_find_topic(SlGroup *group, int32 topic_id);
extern SlGroupPart *sl_group_find_part(SlGroup *group, int32 topic_id,
									   int32 partition);
extern SlGroupSubscription *sl_group_find_subscription(SlGroupMember *member,
													   int32 topic_id);
extern bool sl_group_subscribe(SlGroup *group, SlGroupMember *member,
							   const SlNamedTopic *named, TimestampTz now);
extern void sl_group_unsubscribe(SlGroup *group, SlGroupMember *member,
								 SlGroupSubscription *subscription);
extern void sl_group_set_reader(SlGroupPart *part, SlGroupMember *member);

/* in group_plan.c */
extern Size sl_group_plan_size(SlGroup *group);
extern void sl_group_plan(SlGroup *group, void *memory);

#endif							/* SL_GROUP_ENTRY_H */
