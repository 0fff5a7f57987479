/*
 * topic.h
 *		Topics: the cache of them, who may do what.
 */
#ifndef SL_TOPIC_H
#define SL_TOPIC_H

#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/jsonb.h"

#include "catalog/catalog.h"
#include "catalog/config.h"

typedef struct SlTopic
{
	char		name[SL_MAX_TOPIC_NAME + 1];	/* hash key */
	bool		valid;
	int32		topic_id;
	Oid			relation;		/* the topic's table */
	Oid			table_owner;	/* who owns it and its segments */
	Oid			headers_type;	/* streamlog.header[] */
	int32		partitions;
	bool		is_local;		/* not: it came from a dump, see restore.c */
	NameData	owner;			/* the topic's owner, by name */
	SlTopicConfig config;

	/* what has been found out about this transaction's lock, this user */
	LocalTransactionId locked_in;
	LOCKMODE	locked;
	Oid			allowed_user;
	AclMode		allowed;
	uint64		allowed_epoch;

	/* where records without a key go; kept by the partitioner */
	LocalTransactionId sticky_in;
	int32		sticky_partition;
	int64		sticky_bytes;
} SlTopic;

extern void sl_topic_init(void);

/*
 * Find a topic, check that the current user has one of the privileges
 * (ACL_INSERT, ACL_SELECT; ACL_NO_RIGHTS for no check) and lock its table for the
 * rest of the transaction.  Raises if there is no such topic.  The struct lives
 * as long as the backend; what it says is true while the lock is held.
 */
extern SlTopic *sl_topic_open(const char *name, int len, LOCKMODE lockmode,
							  AclMode acl);

/*
 * For who does not want to keep such a lock: does the transaction have one on the
 * topic of this name already?  If not, unlock() gives back the one of an open().
 */
extern bool sl_topic_is_locked(const char *name, int len);
extern void sl_topic_unlock(SlTopic *topic, LOCKMODE lockmode);

/* The same, also for a topic that came from a dump and is not ready for use. */
extern SlTopic *sl_topic_open_unfinished(const char *name, int len,
										 LOCKMODE lockmode, AclMode acl);

/* The same for its owner, with a lock that a rollback to a savepoint releases. */
extern SlTopic *sl_topic_open_owned(const char *name, LOCKMODE lockmode);

/* That with AccessExclusiveLock, also for one that came from a dump */
extern SlTopic *sl_topic_open_to_drop(const char *name);

/* The same by the topic's table; NULL if that is no longer a topic. */
extern SlTopic *sl_topic_find_by_relation(Oid relation);

/* The topic's owner; InvalidOid if its role is gone or has lost its rights. */
extern Oid	sl_topic_owner(const SlTopic *topic);

#endif							/* SL_TOPIC_H */
