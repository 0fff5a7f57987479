/*
 * topic.c
 *		Topics: the cache of them, who may do what.
 *
 * Every produce and fetch names its topic, so a backend keeps what it knows of
 * each in a hash table by name.  An entry is made invalid when PostgreSQL says
 * that the topic's table has changed: GRANT and REVOKE change it, and whoever
 * changes a topic's row sends such a message by hand.  The lock on the topic's
 * table that every call takes first makes the message arrive in time.
 *
 * That lock is the one that INSERT or SELECT would take and is kept, as theirs
 * is, to the end of the transaction, so drop_topic() waits for whoever uses the
 * topic.  It belongs to the transaction and not to a savepoint, so that one
 * comparison tells whether we have it.  The strong locks of DDL are the
 * savepoint's, as they are for ALTER and DROP TABLE.
 *
 * Privileges are those of the topic's table, checked at every call: the user
 * changes in SECURITY DEFINER functions and by SET ROLE.  They are checked before
 * the lock is asked for, since who has none could else keep out everybody, and
 * again after it if the table has changed.  What was found is remembered for one
 * user until the table or any role changes.
 *
 * A topic that came from a dump is refused until finish_restore() has entered it
 * in streamlog.local_topic; see log/restore.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/topic.h"
#include "catalog/topic_row.h"

static HTAB *topics = NULL;

/* raised when any role may have changed */
static uint64 role_epoch = 1;

/* the topic that the last call used */
static SlTopic *last_topic = NULL;

static void
invalidate_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	SlTopic    *topic;

	hash_seq_init(&status, topics);
	while ((topic = hash_seq_search(&status)) != NULL)
		if (!OidIsValid(relid) || topic->relation == relid)
			topic->valid = false;
}

static void
invalidate_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	role_epoch++;
}

void
sl_topic_init(void)
{
	HASHCTL		info;

	if (topics)
		return;
	info.keysize = sizeof(((SlTopic *) NULL)->name);
	info.entrysize = sizeof(SlTopic);
	info.hcxt = TopMemoryContext;
	topics = hash_create("streamlog topics", 64, &info,
						 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_roles, (Datum) 0);
}

/* Fill an entry of the cache from its row; false if there is none. */
static bool
load(SlTopic *topic)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = sl_topic_row(rel, topic->name, InvalidOid);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;
	Relation	table;

	if (tuple)
	{
		topic->topic_id = DatumGetInt32(heap_getattr(tuple, Anum_topic_id, desc, &isnull));
		topic->relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));
		topic->partitions = DatumGetInt32(heap_getattr(tuple, Anum_topic_partitions, desc, &isnull));
		namestrcpy(&topic->owner,
				   NameStr(*DatumGetName(heap_getattr(tuple, Anum_topic_owner, desc, &isnull))));
		sl_config_read(DatumGetJsonbP(heap_getattr(tuple, Anum_topic_config, desc, &isnull)),
					   &topic->config);
		topic->is_local = sl_topic_is_local(topic->topic_id);
		topic->locked_in = InvalidLocalTransactionId;
		topic->allowed_user = InvalidOid;
		topic->table_owner = InvalidOid;
		topic->valid = true;
		heap_freetuple(tuple);
	}
	table_close(rel, AccessShareLock);
	if (!tuple)
		return false;

	table = try_relation_open(topic->relation, AccessShareLock);
	if (!table)
		return false;
	topic->headers_type = sl_catalog_headers_type();
	if (RelationGetDescr(table)->natts != 6 ||
		TupleDescAttr(RelationGetDescr(table), 5)->atttypid != topic->headers_type ||
		table->rd_rel->relrowsecurity)
	{
		topic->valid = false;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not fit to be a topic",
						RelationGetRelationName(table)),
				 errdetail("Its columns were changed, or row security was enabled on it.")));
	}
	topic->table_owner = table->rd_rel->relowner;
	relation_close(table, AccessShareLock);
	return true;
}

static void
lock_for_transaction(SlTopic *topic, LOCKMODE lockmode)
{
	ResourceOwner save = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		LockRelationOid(topic->relation, lockmode);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = save;
	}
	PG_END_TRY();
}

static SlTopic *
enter(const char *name, int len)
{
	char		buf[SL_MAX_TOPIC_NAME + 1];
	SlTopic    *topic;
	bool		found;

	if (len > SL_MAX_TOPIC_NAME)
		sl_topic_unknown(pnstrdup(name, len));
	memcpy(buf, name, len);
	buf[len] = '\0';

	topic = hash_search(topics, buf, HASH_FIND, NULL);
	if (topic)
		return topic;

	/* make no entry for what is not there */
	if (!sl_topic_exists(buf))
		sl_topic_unknown(buf);
	topic = hash_search(topics, buf, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) topic + sizeof(topic->name), 0,
			   sizeof(SlTopic) - sizeof(topic->name));
	}
	return topic;
}

/* Raise for want of a privilege; false if the topic's table is gone. */
static bool
refuse(SlTopic *topic, AclMode acl)
{
	const char *user = quote_identifier(GetUserNameFromId(GetUserId(), false));
	const char *table = get_rel_name(topic->relation);

	if (table == NULL)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for topic \"%s\"", topic->name),
			 errhint("Its owner has to GRANT %s ON %s TO %s.",
					 acl == ACL_INSERT ? "INSERT" :
					 acl == ACL_SELECT ? "SELECT" : "SELECT or INSERT",
					 quote_qualified_identifier(SL_TOPIC_SCHEMA, table),
					 user)));
}

/*
 * Raise unless the current user has one of the privileges; false if the topic's
 * table is gone.
 */
static bool
check_privilege(SlTopic *topic, AclMode acl)
{
	Oid			user = GetUserId();
	bool		is_missing = false;

	if (topic->allowed_user != user || topic->allowed_epoch != role_epoch)
		topic->allowed = ACL_NO_RIGHTS;
	topic->allowed_user = user;
	topic->allowed_epoch = role_epoch;
	if (topic->allowed & acl)
		return true;

	/* no lock that was taken before has done it */
	AcceptInvalidationMessages();
	for (AclMode bit = ACL_INSERT; bit <= ACL_SELECT; bit <<= 1)
		if ((acl & bit) &&
			pg_class_aclcheck_ext(topic->relation, user, bit,
								  &is_missing) == ACLCHECK_OK)
			topic->allowed |= bit;
	if (is_missing)
		return false;
	return (topic->allowed & acl) || refuse(topic, acl);
}

static void
check_local(const SlTopic *topic)
{
	if (topic->is_local)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("topic \"%s\" was restored from a dump", topic->name),
			 errdetail("It has not been found in order yet."),
			 errhint("Run SELECT * FROM streamlog.finish_restore() as the owner of the extension.")));
}

SlTopic *
sl_topic_open_unfinished(const char *name, int len, LOCKMODE lockmode,
						 AclMode acl)
{
	SlTopic    *topic = last_topic;

	if (topic == NULL || len > SL_MAX_TOPIC_NAME ||
		memcmp(topic->name, name, len) != 0 || topic->name[len] != '\0')
		topic = enter(name, len);

	while (!topic->valid || topic->locked_in != MyProc->lxid ||
		   topic->locked < lockmode)
	{
		if (!topic->valid && !load(topic))
		{
			topic->valid = false;
			sl_topic_unknown(topic->name);
		}
		/* who has no right to it may not lock it */
		if (acl != ACL_NO_RIGHTS && !check_privilege(topic, acl))
		{
			topic->valid = false;
			continue;
		}
		lock_for_transaction(topic, lockmode);
		topic->locked = topic->locked_in == MyProc->lxid ?
			Max(topic->locked, lockmode) : lockmode;
		topic->locked_in = MyProc->lxid;
	}
	if (acl != ACL_NO_RIGHTS && !check_privilege(topic, acl))
		sl_topic_unknown(topic->name);
	last_topic = topic;
	return topic;
}

SlTopic *
sl_topic_open(const char *name, int len, LOCKMODE lockmode, AclMode acl)
{
	SlTopic    *topic = sl_topic_open_unfinished(name, len, lockmode, acl);

	check_local(topic);
	return topic;
}

bool
sl_topic_is_locked(const char *name, int len)
{
	char		buf[SL_MAX_TOPIC_NAME + 1];
	SlTopic    *topic;

	if (len > SL_MAX_TOPIC_NAME)
		return false;
	memcpy(buf, name, len);
	buf[len] = '\0';
	topic = hash_search(topics, buf, HASH_FIND, NULL);
	return topic && topic->locked_in == MyProc->lxid;
}

void
sl_topic_unlock(SlTopic *topic, LOCKMODE lockmode)
{
	ResourceOwner save = CurrentResourceOwner;

	if (topic->locked_in != MyProc->lxid)
		return;
	topic->locked_in = InvalidLocalTransactionId;
	CurrentResourceOwner = TopTransactionResourceOwner;
	UnlockRelationOid(topic->relation, lockmode);
	CurrentResourceOwner = save;
}

/*
 * The owner is a role by name, so that a dump can be restored where the role is
 * missing.  He counts as owner only while he holds what the owner of a topic is
 * granted: else whoever is given the name of a role that is gone would own its
 * topics.
 */
Oid
sl_topic_owner(const SlTopic *topic)
{
	Oid			owner = get_role_oid(NameStr(topic->owner), true);
	const AclMode held[] = {
		ACL_GRANT_OPTION_FOR(ACL_INSERT), ACL_GRANT_OPTION_FOR(ACL_SELECT)
	};
	bool		is_missing = false;

	for (int i = 0; i < lengthof(held) && OidIsValid(owner); i++)
		if (pg_class_aclcheck_ext(topic->relation, owner, held[i],
								  &is_missing) != ACLCHECK_OK)
			owner = InvalidOid;
	return owner;
}

static void
check_owner(SlTopic *topic)
{
	Oid			owner;

	if (superuser() || has_privs_of_role(GetUserId(), topic->table_owner))
		return;
	owner = sl_topic_owner(topic);
	if (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of topic \"%s\"", topic->name),
			 OidIsValid(owner) ?
			 errdetail("Its owner is \"%s\".", NameStr(topic->owner)) :
			 errdetail("Its owner, \"%s\", is gone or has lost the rights of an owner.",
					   NameStr(topic->owner)),
			 OidIsValid(owner) ? 0 :
			 errhint("A superuser can give it to a role with alter_topic('%s', owner => ...).",
					 topic->name)));
}

static SlTopic *
open_owned(const char *name, LOCKMODE lockmode, bool any)
{
	for (;;)
	{
		SlTopic    *topic = enter(name, strlen(name));
		Oid			relation;

		AcceptInvalidationMessages();
		if (!topic->valid && !load(topic))
		{
			topic->valid = false;
			sl_topic_unknown(topic->name);
		}
		check_owner(topic);
		if (!any)
			check_local(topic);
		relation = topic->relation;
		LockRelationOid(relation, lockmode);
		if (topic->valid)
			return topic;
		UnlockRelationOid(relation, lockmode);	/* changed while we waited */
	}
}

SlTopic *
sl_topic_open_owned(const char *name, LOCKMODE lockmode)
{
	return open_owned(name, lockmode, false);
}

SlTopic *
sl_topic_open_to_drop(const char *name)
{
	return open_owned(name, AccessExclusiveLock, true);
}

SlTopic *
sl_topic_find_by_relation(Oid relation)
{
	Relation	rel;
	HeapTuple	tuple;
	SlTopic    *topic = NULL;
	HASH_SEQ_STATUS status;

	hash_seq_init(&status, topics);
	while ((topic = hash_seq_search(&status)) != NULL)
		if (topic->relation == relation && topic->valid)
		{
			hash_seq_term(&status);
			return topic;
		}

	/* it may be gone together with the extension, and our tables */
	if (get_rel_relkind(relation) == '\0')
		return NULL;
	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	tuple = sl_topic_row(rel, NULL, relation);
	if (tuple)
	{
		bool		isnull;
		char	   *name = TextDatumGetCString(heap_getattr(tuple, Anum_topic_name,
															RelationGetDescr(rel), &isnull));

		topic = enter(name, strlen(name));
		if (!load(topic))
			topic = NULL;
	}
	table_close(rel, AccessShareLock);
	return topic;
}
