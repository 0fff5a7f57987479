/*
 * group_row.h
 *		Consumer groups: their rows, and who may use them.
 */
#ifndef SL_GROUP_ROW_H
#define SL_GROUP_ROW_H

#include "nodes/pg_list.h"
#include "storage/lock.h"

/* As long as a topic's may be */
#define SL_MAX_GROUP_NAME	249

typedef struct SlConsumerGroup
{
	char		name[SL_MAX_GROUP_NAME + 1];	/* hash key */
	int32		group_id;
	Oid			offsets;		/* streamlog.committed_offset */
	NameData	owner;			/* to show: see owner_id */
	Oid			owner_id;		/* may be gone; InvalidOid if it is not known */
	bool		is_local;		/* not: it came from a dump */

	/* the cache's: when it was read, what is known of the lock and the user */
	uint64		read_at;
	LocalTransactionId locked_in;
	Oid			allowed_user;
	uint64		allowed_epoch;
} SlConsumerGroup;

extern void sl_group_row_init(void);

/*
 * Find a group, check that the current user may use it, and keep it from being
 * deleted until the end of the transaction.  Raises for a name that no group may
 * have, for a stranger, and during recovery.  NULL if there is no such group.  The
 * struct lives as long as the backend; what it says is true while the lock is held.
 */
extern SlConsumerGroup *sl_group_open(const char *name);

/* Has this transaction a lock by sl_group_open()?  Give that up. */
extern bool sl_group_is_locked(const SlConsumerGroup *group);
extern void sl_group_unlock(SlConsumerGroup *group);

/* The same without the lock: what it says may change. */
extern SlConsumerGroup *sl_group_look(const char *name);

/*
 * The same as sl_group_open(); makes the group, for the current user, if there is none.  NULL if another
 * transaction is making it and has not ended.
 */
extern SlConsumerGroup *sl_group_open_or_create(const char *name);

/* The lock that the other transaction has then */
extern void sl_group_set_making_locktag(LOCKTAG *tag, const char *name);

/*
 * The same to change or delete it: nobody else uses it until the end of the
 * (sub)transaction.  Waits for those who do.  Raises if there is none.  Of two
 * transactions that use a group already, and both want this, one meets the deadlock
 * detector.
 */
extern SlConsumerGroup *sl_group_open_exclusive(const char *name);

/*
 * Lock a group as open_exclusive() does, if no other transaction uses it; false if
 * one does.  Checks nothing.
 */
extern bool sl_group_lock_unused(int32 group_id);

/* Raise SL_UNKNOWN_GROUP. */
extern void sl_group_unknown(const char *name) pg_attribute_noreturn();

/*
 * The group is locked by one of the above, exclusively.  set_owner() does not check who
 * may give it to whom; delete() deletes its offsets, too.
 */
extern void sl_group_set_owner(SlConsumerGroup *group, Oid owner);
extern void sl_group_delete(int32 group_id);

/* A role has been given another name. */
extern void sl_group_rename_owner(const char *before, const char *after);

/* Give all groups of some roles (OIDs) to another. */
extern void sl_group_reassign(List *roles, Oid after);

/*
 * Take the groups that came from a dump into use: each is owned by the role that has
 * its owner's name now.  A NOTICE where there is none.
 */
extern void sl_group_finish_restore(void);

#endif							/* SL_GROUP_ROW_H */
