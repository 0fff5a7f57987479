/*
 * group_row.h
 *		Consumer groups: their rows, and who may use them.
 */
#ifndef SL_GROUP_ROW_H
#define SL_GROUP_ROW_H

#include "storage/lock.h"

/* As long as a topic's may be */
#define SL_MAX_GROUP_NAME	249

typedef struct SlConsumerGroup
{
	char		name[SL_MAX_GROUP_NAME + 1];	/* hash key */
	bool		valid;
	int32		group_id;
	Oid			offsets;		/* streamlog.committed_offset */
	NameData	owner;
} SlConsumerGroup;

extern void sl_group_row_init(void);

/*
 * Find a group, check that the current user may use it, and keep it from being
 * deleted until the end of the transaction.  Raises for a name that no group may
 * have, for a stranger, and during recovery.  NULL if there is no such group.  The
 * struct lives as long as the backend.
 */
extern SlConsumerGroup *sl_group_open(const char *name);

/*
 * The same; makes the group, for the current user, if there is none.  NULL if another
 * transaction is making it and has not ended.
 */
extern SlConsumerGroup *sl_group_open_or_create(const char *name);

/*
 * The same to change or delete it: nobody else uses it until the end of the
 * transaction.  Waits for those who do.  Raises if there is none.
 */
extern SlConsumerGroup *sl_group_open_exclusive(const char *name);

/* Raise SL_UNKNOWN_GROUP. */
extern void sl_group_unknown(const char *name) pg_attribute_noreturn();

/* The group was opened by the above, exclusively. */
extern void sl_group_set_owner(SlConsumerGroup *group, Oid owner);
extern void sl_group_delete(SlConsumerGroup *group);

/* A role has another name. */
extern void sl_group_rename_owner(const char *before, const char *after);

/* Does the current user see this group in views: owner's member or pg_monitor? */
extern bool sl_group_visible(const char *owner);

#endif							/* SL_GROUP_ROW_H */
