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
 * Find a topic, lock its table for the rest of the transaction and check that
 * the current user has the privilege (ACL_INSERT, ACL_SELECT, or ACL_NO_RIGHTS
 * for no check).  Raises if there is no such topic.  The struct lives as long
 * as the backend; what it says is true while the lock is held.
 */
extern SlTopic *sl_topic_open(const char *name, int len, LOCKMODE lockmode,
							  AclMode acl);

/* The same by the topic's table; NULL if that is no longer a topic. */
extern SlTopic *sl_topic_find_by_relation(Oid relation);

/* Does a topic of this name exist?  No lock, no privilege. */
extern bool sl_topic_exists(const char *name);

/* Raise unless the current user may read the topic or produce to it. */
extern void sl_topic_check_visible(SlTopic *topic);

/* Raise unless the current user owns the topic. */
extern void sl_topic_check_owner(SlTopic *topic);

/*
 * The row's other columns and its changes; the caller holds a lock on the
 * topic's table that excludes another change.
 */
extern Jsonb *sl_topic_config(SlTopic *topic);
extern void sl_topic_insert(int32 topic_id, const char *name, Oid relation,
							Oid owner, int32 partitions, Jsonb *config);
extern void sl_topic_update(SlTopic *topic, int32 partitions, Jsonb *config);
extern void sl_topic_mark_dropped(SlTopic *topic);
extern void sl_topic_delete(int32 topic_id);
extern int32 sl_topic_new_id(void);

#endif							/* SL_TOPIC_H */
