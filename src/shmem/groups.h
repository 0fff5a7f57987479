/*
 * groups.h
 *		What all backends share about consumer groups: who the members are, who
 *		is to read which partition, and how far each has been handed records.
 *
 * None of this is transactional, and none of it survives the server.
 */
#ifndef SL_GROUPS_H
#define SL_GROUPS_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "shmem/assignment.h"

/* The longest name of a member and of an instance, in bytes */
#define SL_MAX_MEMBER_NAME	127

typedef struct SlGroupKey
{
	Oid			database;
	Oid			relation;		/* streamlog.committed_offset */
	int32		group_id;
} SlGroupKey;

/* A topic that a call names */
typedef struct SlNamedTopic
{
	int32		topic_id;
	const char *name;
	int32		partitions;

	/*
	 * Per partition a hash (sl_groups_member_hash) of the member_id that the
	 * offset row names, or 0 where it names none or a session.  NULL: the
	 * rows have not been read; only wanted if declare() asks for them.
	 */
	uint64	   *last_members;
} SlNamedTopic;

/* A partition that the caller is to read */
typedef struct SlAssigned
{
	int			topic;			/* index of the named topic */
	int32		partition;
	uint64		generation;		/* of its assignment; never used twice */
} SlAssigned;

typedef enum SlDeclareResult
{
	SL_DECLARED,
	SL_DECLARE_READ_ROWS,		/* last_members of all named topics are
								 * wanted; nothing has been done */
	SL_DECLARE_FENCED,			/* another run has taken over instance_id */
	SL_DECLARE_ASSIGNOR			/* other members use the assignor in .assignor */
} SlDeclareResult;

/* What a member says of itself at each call */
typedef struct SlDeclaration
{
	SlGroupKey	key;
	const char *member;
	const char *instance;		/* or NULL */
	bool		is_session;		/* the member ends with this session */
	bool		joins;			/* who is no member becomes one */
	bool		lets_go;		/* what is to move may, at this call */
	bool		waits;			/* set this backend's latch when the member's
								 * assignment changes, until wait_end() */
	int64		max_poll_interval;	/* ms; out: what holds */
	bool		keeps_interval; /* for a new member only, else as it said
								 * before */
	SlAssignorKind assignor;	/* out: that of the group */
	SlNamedTopic *topics;
	int			ntopics;

	/*
	 * Does the caller have records of a partition that are not confirmed, or
	 * has its transaction to do with it?  Called under the lock: must not
	 * raise.
	 */
	bool		(*holds) (void *arg, int32 topic_id, int32 partition);
	void	   *arg;

	/* out */
	SlAssigned *assigned;		/* palloc'd; by topic and partition */
	int			nassigned;
	bool		joined;			/* was no member before this call, and may
								 * still be none */
	bool		full;			/* a topic is left out for want of memory */
	bool		settling;		/* some are not given out yet, in the first
								 * seconds of the group: look again soon */
} SlDeclaration;

/* A partition of a group, as offsets.c wants to know it */
typedef struct SlGroupPosition
{
	ItemPointerData row;		/* where its offset row is; invalid if unknown */
	bool		has_position;	/* of the member that was asked for */
	int32		epoch;			/* that it was handed records under */
	int64		position;
} SlGroupPosition;

/* What a committed transaction has done to a partition */
typedef struct SlGroupChange
{
	int32		topic_id;
	int32		partition;
	ItemPointerData row;		/* invalid: as before */
	bool		reset;			/* its reader is to forget what it remembers */
	bool		moved;			/* the next two count */
	bool		is_confirmed;	/* the row says it: remove the position */
	const char *member;
	int32		epoch;
	int64		position;
} SlGroupChange;

extern void sl_groups_define_gucs(void);
extern Size sl_groups_shmem_size(void);
extern void sl_groups_shmem_init(void);

/* The assignors, given at start by the floor that has them. */
extern void sl_groups_set_assign(SlAssign assign);

extern uint64 sl_groups_member_hash(const char *member);

/*
 * Be a member of a group with these topics, let go of what is to move, take what is
 * free, and find out what to read.  Raises for want of memory of the backend only.
 * Also puts out members of the group whose time is up.
 */
extern SlDeclareResult sl_group_declare(SlDeclaration *declaration);

/* This backend no longer waits; may be called at any time, never raises. */
extern void sl_group_wait_end(void);

/*
 * Read a partition's state; all zero if the group or the partition is not there.
 * The caller holds the partition's ownership lock.  Does not raise after a
 * declare() in this backend, nor do the next two.
 */
extern void sl_group_position(const SlGroupKey *key, int32 topic_id,
							  int32 partition, const char *member,
							  SlGroupPosition *position);

/* Remove the position of a member if it was handed records under this epoch. */
extern void sl_group_forget_position(const SlGroupKey *key, int32 topic_id,
									 int32 partition, const char *member,
									 int32 epoch);

/*
 * At COMMIT, the ownership lock still being held: never raises.  A position is
 * kept only for who still is a member, and not fenced.
 */
extern void sl_group_commit(const SlGroupKey *key, const SlGroupChange *change);

/*
 * Leaving.  leave() is false if there was no such member; leave_all() is for this
 * session's memberships, at DISCARD ALL.  The end of a process leaves by itself, but
 * a session with an instance_id keeps its partitions for max_poll_interval.
 */
extern bool sl_group_leave(const SlGroupKey *key, const char *member);
extern void sl_group_leave_all(void);

/*
 * When this backend last called, of any group, and its max_poll_interval (ms) then;
 * for another backend by its number in ProcGlobal.  Nobody is overdue while it waits.
 */
extern void sl_groups_note_call(int64 max_poll_interval);
extern bool sl_groups_call_is_overdue(int pgprocno);

/* The worker's: put out members of all groups of a database whose time is up. */
extern void sl_groups_expire(Oid database);

/* The database has been dropped, and its OID may come again. */
extern void sl_groups_forget_database(Oid database);

/*
 * Have the next collect_used() tell a group that has been used without a member.  Where
 * there is no room for that, nothing happens.
 */
extern void sl_groups_note_used(const SlGroupKey *key);

/*
 * Groups that had a member since the last call of this: their ids, palloc'd.  Entries
 * without a member are freed once they have been told here.
 */
extern int32 *sl_groups_collect_used(Oid database, Oid relation, int *n);

#endif							/* SL_GROUPS_H */
