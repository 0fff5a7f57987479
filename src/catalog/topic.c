/*
 * topic.c
 *		Topics: rows, the cache of them, who may do what.
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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/topic.h"

/* columns of streamlog.topic */
enum
{
	Anum_topic_id = 1,
	Anum_topic_name,
	Anum_topic_relation,
	Anum_topic_owner,
	Anum_topic_partitions,
	Anum_topic_config,
	Anum_topic_created,
	Anum_topic_dropped
};

/* What an error shows of a name that is too long for a topic's, in bytes */
#define SL_SHOWN_OF_NAME	60

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

/*
 * The living row of a topic, by name or (name NULL) by its table, as a copy;
 * NULL if there is none.
 */
static HeapTuple
find_row(Relation rel, const char *name, Oid relation)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	HeapTuple	found = NULL;

	if (name)
		ScanKeyEntryInitialize(&key, 0, Anum_topic_name, BTEqualStrategyNumber,
							   InvalidOid, C_COLLATION_OID, F_TEXTEQ,
							   CStringGetTextDatum(name));
	else
		ScanKeyInit(&key, Anum_topic_relation, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(relation));

	scan = systable_beginscan(rel, name ? sl_catalog_oid("topic_name") : InvalidOid,
							  name != NULL, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;

		if (DatumGetBool(heap_getattr(tuple, Anum_topic_dropped,
									  RelationGetDescr(rel), &isnull)))
			continue;
		found = heap_copytuple(tuple);
		break;
	}
	systable_endscan(scan);
	return found;
}

bool
sl_topic_is_local(int32 topic_id)
{
	Relation	rel = table_open(sl_catalog_oid("local_topic"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(topic_id));
	scan = systable_beginscan(rel, sl_catalog_oid("local_topic_pkey"), true,
							  NULL, 1, &key);
	found = systable_getnext(scan) != NULL;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Fill an entry of the cache from its row; false if there is none. */
static bool
load(SlTopic *topic)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = find_row(rel, topic->name, InvalidOid);
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
	if (RelationGetDescr(table)->natts < 6 ||
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
	topic->headers_type = TupleDescAttr(RelationGetDescr(table), 5)->atttypid;
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

/* A name may have any length, an error message should not. */
char *
sl_clip_name(const char *name)
{
	int			len = strlen(name);

	if (len <= SL_MAX_TOPIC_NAME)
		return pstrdup(name);
	return psprintf("%.*s...", pg_mbcliplen(name, len, SL_SHOWN_OF_NAME), name);
}

static void
unknown_topic(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_UNKNOWN_PARTITION),
			 errmsg("topic \"%s\" does not exist", sl_clip_name(name)),
			 errhint("The view \"topics\" lists the topics; create_topic() makes one.")));
}

static SlTopic *
enter(const char *name, int len)
{
	char		buf[SL_MAX_TOPIC_NAME + 1];
	SlTopic    *topic;
	bool		found;

	if (len > SL_MAX_TOPIC_NAME)
		unknown_topic(pnstrdup(name, len));
	memcpy(buf, name, len);
	buf[len] = '\0';

	topic = hash_search(topics, buf, HASH_FIND, NULL);
	if (topic)
		return topic;

	/* make no entry for what is not there */
	if (!sl_topic_exists(buf))
		unknown_topic(buf);
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
					 acl == ACL_INSERT ? "INSERT" : "SELECT",
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
			 errhint("Run SELECT * FROM finish_restore() as the owner of the extension.")));
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
			unknown_topic(topic->name);
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
		unknown_topic(topic->name);
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
			unknown_topic(topic->name);
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
	tuple = find_row(rel, NULL, relation);
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

int32
sl_topic_id_by_relation(Oid relation)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = find_row(rel, NULL, relation);
	bool		isnull;
	int32		topic_id = tuple ?
	DatumGetInt32(heap_getattr(tuple, Anum_topic_id, RelationGetDescr(rel), &isnull)) : 0;

	table_close(rel, AccessShareLock);
	return topic_id;
}

List *
sl_topic_list_owned(const char *owner)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *relations = NIL;
	bool		isnull;

	ScanKeyInit(&keys[0], Anum_topic_dropped, BTEqualStrategyNumber, F_BOOLEQ,
				BoolGetDatum(false));
	if (owner)
		ScanKeyInit(&keys[1], Anum_topic_owner, BTEqualStrategyNumber, F_NAMEEQ,
					CStringGetDatum(owner));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, owner ? 2 : 1, keys);
	while ((tuple = systable_getnext(scan)) != NULL)
		relations = lappend_oid(relations,
								DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation,
															  desc, &isnull)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return relations;
}

bool
sl_topic_exists(const char *name)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	bool		found = find_row(rel, name, InvalidOid) != NULL;

	table_close(rel, AccessShareLock);
	return found;
}

int32
sl_topic_without_table(const char *name)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = find_row(rel, name, InvalidOid);
	TupleDesc	desc = RelationGetDescr(rel);
	int32		topic_id = 0;
	bool		isnull;

	if (tuple &&
		get_rel_relkind(DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation,
													  desc, &isnull))) == '\0')
		topic_id = DatumGetInt32(heap_getattr(tuple, Anum_topic_id, desc, &isnull));
	table_close(rel, AccessShareLock);
	return topic_id;
}

Jsonb *
sl_topic_config(SlTopic *topic)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = find_row(rel, topic->name, InvalidOid);
	bool		isnull;
	Jsonb	   *config;

	if (!tuple)
		unknown_topic(topic->name);
	config = DatumGetJsonbPCopy(heap_getattr(tuple, Anum_topic_config,
											 RelationGetDescr(rel), &isnull));
	table_close(rel, AccessShareLock);
	return config;
}

void
sl_topic_insert(int32 topic_id, const char *name, Oid relation, Oid owner,
				int32 partitions, Jsonb *config)
{
	Oid			types[] = {INT4OID, TEXTOID, OIDOID, TEXTOID, INT4OID, JSONBOID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		CStringGetTextDatum(name),
		ObjectIdGetDatum(relation),
		CStringGetTextDatum(GetUserNameFromId(owner, false)),
		Int32GetDatum(partitions),
		JsonbPGetDatum(config)
	};

	sl_catalog_execute("INSERT INTO streamlog.topic"
					   " VALUES ($1, $2, $3, $4::name, $5, $6, pg_catalog.now(), false)",
					   lengthof(types), types, values);
	sl_topic_set_local(topic_id, relation);
}

void
sl_topic_set_local(int32 topic_id, Oid relation)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(topic_id)};

	sl_catalog_execute("INSERT INTO streamlog.local_topic VALUES ($1)"
					   " ON CONFLICT DO NOTHING",
					   lengthof(types), types, values);
	if (get_rel_relkind(relation) != '\0')
		CacheInvalidateRelcacheByRelid(relation);
}

void
sl_topic_update(SlTopic *topic, int32 partitions, Jsonb *config)
{
	Oid			types[] = {INT4OID, INT4OID, JSONBOID};
	Datum		values[] = {
		Int32GetDatum(topic->topic_id),
		Int32GetDatum(partitions),
		JsonbPGetDatum(config)
	};

	sl_catalog_execute("UPDATE streamlog.topic SET partitions = $2, config = $3"
					   " WHERE topic_id = $1",
					   lengthof(types), types, values);
	CacheInvalidateRelcacheByRelid(topic->relation);
}

void
sl_topic_set_owner(const SlTopic *topic, const char *owner)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(topic->topic_id),
		CStringGetTextDatum(owner)
	};

	sl_catalog_execute("UPDATE streamlog.topic SET owner = $2::name"
					   " WHERE topic_id = $1",
					   lengthof(types), types, values);
	CacheInvalidateRelcacheByRelid(topic->relation);
}

void
sl_topic_rename_owner(const char *before, const char *after)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(before), CStringGetTextDatum(after)};
	List	   *relations = sl_topic_list_owned(before);
	ListCell   *lc;

	if (relations == NIL)
		return;
	sl_catalog_execute("UPDATE streamlog.topic SET owner = $2::name"
					   " WHERE owner = $1::name",
					   lengthof(types), types, values);
	foreach(lc, relations)
	{
		if (get_rel_relkind(lfirst_oid(lc)) != '\0')
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
}

void
sl_topic_mark_dropped(int32 topic_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(topic_id)};

	sl_catalog_execute("UPDATE streamlog.topic SET dropped = true WHERE topic_id = $1",
					   lengthof(types), types, values);
}

void
sl_topic_delete(int32 topic_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(topic_id)};

	sl_catalog_execute("DELETE FROM streamlog.segment_time WHERE relation IN"
					   " (SELECT relation FROM streamlog.segment WHERE topic_id = $1)",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.segment WHERE topic_id = $1",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.partition WHERE topic_id = $1",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.local_topic WHERE topic_id = $1",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.topic WHERE topic_id = $1",
					   lengthof(types), types, values);
}
