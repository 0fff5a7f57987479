/*
 * topic.h
 *		Topics: rows, the cache of them, who may do what.
 */
#ifndef SL_TOPIC_H
#define SL_TOPIC_H

#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/jsonb.h"

#include "catalog/config.h"

/* Kafka's limit */
#define SL_MAX_TOPIC_NAME	249

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

/* The same, also for a topic that came from a dump and is not ready for use. */
extern SlTopic *sl_topic_open_unfinished(const char *name, int len,
										 LOCKMODE lockmode, AclMode acl);

/* The same for its owner, with a lock that a rollback to a savepoint releases. */
extern SlTopic *sl_topic_open_owned(const char *name, LOCKMODE lockmode);

/* That with AccessExclusiveLock, also for one that came from a dump */
extern SlTopic *sl_topic_open_to_drop(const char *name);

/* The same by the topic's table; NULL if that is no longer a topic. */
extern SlTopic *sl_topic_find_by_relation(Oid relation);

/* The id of the living topic with this table; 0 if there is none. */
extern int32 sl_topic_id_by_relation(Oid relation);

/* The topic's owner; InvalidOid if its role is gone or has lost its rights. */
extern Oid	sl_topic_owner(const SlTopic *topic);

/*
 * The tables of the topics whose row names this owner (NULL: of all), palloc'd.
 * No lock.
 */
extern List *sl_topic_list_owned(const char *owner);

/*
 * Is the topic ready for use?  Not so if it came from a dump and finish_restore()
 * has not found it in order.  No lock, no privilege.
 */
extern bool sl_topic_is_local(int32 topic_id);

/* Does a topic of this name exist?  No lock, no privilege. */
extern bool sl_topic_exists(const char *name);

/* The id of a topic whose table was dropped by hand; 0 if that is not so. */
extern int32 sl_topic_without_table(const char *name);

/* A name as an error shows it, palloc'd: only the beginning of one too long */
extern char *sl_clip_name(const char *name);

/*
 * The row's other columns and its changes; the caller holds a lock on the
 * topic's table that excludes another change.
 */
extern Jsonb *sl_topic_config(SlTopic *topic);
extern void sl_topic_insert(int32 topic_id, const char *name, Oid relation,
							Oid owner, int32 partitions, Jsonb *config);
extern void sl_topic_update(SlTopic *topic, int32 partitions, Jsonb *config);
extern void sl_topic_set_owner(const SlTopic *topic, const char *owner);
extern void sl_topic_rename_owner(const char *before, const char *after);
extern void sl_topic_mark_dropped(int32 topic_id);
extern void sl_topic_delete(int32 topic_id);

/* The topic is ready for use; its table may be missing. */
extern void sl_topic_set_local(int32 topic_id, Oid relation);

#endif							/* SL_TOPIC_H */
