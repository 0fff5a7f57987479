/*
 * ddl.c
 *		Making, changing and dropping topics.
 *
 * A topic is a row, an empty table in schema topic that privileges are granted
 * on, a view of it as text in schema topic_text, a row for each partition, and for
 * each partition a segment.  All of it is
 * made in the caller's transaction and so rolls back with it.
 *
 * A name is taken under a lock on (a hash of) what it must differ from others
 * in, so that of two who create the same topic the second waits, and is then
 * told that it exists.
 *
 * Dropping waits for whoever uses the topic (the lock on its table), takes the
 * table out of users' sight and marks the row; the worker drops the segments
 * later, some at a time, for dropping thousands of tables at once would need
 * thousands of locks.  A topic that was made in the same transaction, which the
 * worker will never see, is dropped at once.  The worker does not look at one
 * that came from a dump, so it is made local to be removed.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/ddl.h"
#include "catalog/notify_switch.h"
#include "catalog/ours.h"
#include "catalog/owner.h"
#include "catalog/segment.h"
#include "catalog/takeover.h"
#include "catalog/topic_row.h"
#include "shmem/partition.h"

static const char *const internal_topics[] = {
	"__consumer_offsets", "__transaction_state", "__share_group_state"
};

static void
invalid_name(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_TOPIC),
			 errmsg("invalid topic name \"%s\"", name),
			 errdetail("%s", detail),
			 errhint("A name has 1 to %d characters of a-z, A-Z, 0-9, \".\", \"_\" and \"-\", is not \".\" or \"..\", and not one that Kafka uses itself.",
					 SL_MAX_TOPIC_NAME)));
}

static void
check_name(const char *name)
{
	size_t		len = strlen(name);

	if (len == 0)
		invalid_name(name, "It is empty.");
	if (len > SL_MAX_TOPIC_NAME)
		invalid_name(sl_clip_name(name), psprintf("It has %zu bytes.", len));
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		invalid_name(name, "It is reserved.");
	for (const char *p = name; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			  (*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || *p == '-'))
			invalid_name(name, "It has a character that is not allowed.");
	for (int i = 0; i < lengthof(internal_topics); i++)
		if (strcmp(name, internal_topics[i]) == 0)
			invalid_name(name, "It is the name of an internal topic of Kafka.");
}

static void
check_partitions(int32 partitions)
{
	if (partitions < 1)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_PARTITIONS),
				 errmsg("invalid number of partitions: %d", partitions),
				 errhint("A topic has at least one partition.")));
	if (partitions > sl_partition_limit())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("invalid number of partitions: %d", partitions),
				 errdetail("The server has room for %d partitions that are in use at once.",
						   sl_partition_limit()),
				 errhint("Raise \"%s\" and restart the server.",
						 "streamlog.max_partitions")));
}

/* The name as it must differ from those of all other topics */
static char *
collision_name(const char *name)
{
	char	   *folded = pstrdup(name);

	for (char *p = folded; *p; p++)
		if (*p == '.')
			*p = '_';
	return folded;
}

/* Take the name, to the end of the transaction. */
static void
lock_name(const char *name)
{
	char	   *folded = collision_name(name);

	LockDatabaseObject(sl_catalog_oid("topic"),
					   (Oid) DatumGetUInt32(hash_any((unsigned char *) folded,
													 strlen(folded))),
					   0, ExclusiveLock);
}

static void
check_collision(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(collision_name(name))};

	if (sl_catalog_fetch_id("SELECT pg_catalog.count(*) FROM streamlog.topic"
							" WHERE NOT dropped"
							" AND pg_catalog.replace(name, '.', '_') = $1",
							1, types, values) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_TOPIC),
				 errmsg("topic name \"%s\" collides with an existing topic",
						name),
				 errdetail("The names of two topics may not differ in \".\" and \"_\" only.")));
}

/* Refuse if something else has the name in one of our schemas. */
static void
check_not_taken(const char *schema, const char *relname)
{
	Oid			taken = get_relname_relid(relname, get_namespace_oid(schema, false));
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(taken)};
	bool		is_topic;

	if (!OidIsValid(taken))
		return;
	is_topic = sl_catalog_fetch_id("SELECT pg_catalog.count(*) FROM streamlog.topic"
								   " WHERE NOT dropped AND relation = $1",
								   1, types, values) > 0;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("relation %s already exists",
					quote_qualified_identifier(schema, relname)),
			 is_topic ?
			 errdetail("It is the table of another topic: of a name of %d bytes or more, a table's name has the first %d and a hash.",
					   NAMEDATALEN, SL_NAME_KEPT) :
			 errdetail("It is not a topic."),
			 is_topic ?
			 errhint("Choose another name.") :
			 errhint("Move it to another schema: schema \"%s\" is for topics.",
					 schema)));
}

static Oid
create_table(const char *relname)
{
	const char *table = quote_qualified_identifier(SL_TOPIC_SCHEMA, relname);

	check_not_taken(SL_TOPIC_SCHEMA, relname);
	sl_catalog_execute(psprintf("CREATE TABLE %s ("
								" record_offset int8 NOT NULL,"
								" \"timestamp\" timestamptz NOT NULL,"
								" partition int4 NOT NULL,"
								" key bytea, value bytea,"
								" headers streamlog.header[],"
								" CONSTRAINT segments_hold_the_records CHECK (false) NO INHERIT)"
								" USING heap", table),
					   0, NULL, NULL);
	/* the segments inherit it: nothing is compressed under the append lock */
	sl_catalog_execute(psprintf("ALTER TABLE %s ALTER key SET STORAGE EXTERNAL,"
								" ALTER value SET STORAGE EXTERNAL,"
								" ALTER headers SET STORAGE EXTERNAL", table),
					   0, NULL, NULL);
	sl_catalog_execute(psprintf("CREATE TRIGGER produce_row BEFORE INSERT ON %s"
								" FOR EACH ROW EXECUTE FUNCTION streamlog.produce_row()",
								table),
					   0, NULL, NULL);
	sl_catalog_execute(psprintf("CREATE TRIGGER refuse_change"
								" BEFORE UPDATE OR DELETE OR TRUNCATE ON %s"
								" FOR EACH STATEMENT EXECUTE FUNCTION streamlog.refuse_change()",
								table),
					   0, NULL, NULL);
	sl_catalog_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER produce_row,"
								" ENABLE ALWAYS TRIGGER refuse_change", table),
					   0, NULL, NULL);
	return get_relname_relid(relname, get_namespace_oid(SL_TOPIC_SCHEMA, false));
}

/*
 * The topic as people read it.  Everybody may use the view, since whoever does
 * needs the privileges on the table all the same.
 */
static void
create_text_view(const char *relname)
{
	const char *view = quote_qualified_identifier(SL_TEXT_SCHEMA, relname);

	check_not_taken(SL_TEXT_SCHEMA, relname);
	sl_catalog_execute(psprintf("CREATE VIEW %s WITH (security_invoker) AS"
								" SELECT partition, record_offset, \"timestamp\","
								" streamlog.show_text(key) AS key,"
								" streamlog.show_text(value) AS value,"
								" streamlog.show_headers(headers) AS headers"
								" FROM %s", view,
								quote_qualified_identifier(SL_TOPIC_SCHEMA, relname)),
					   0, NULL, NULL);
	sl_catalog_execute(psprintf("CREATE TRIGGER produce_text INSTEAD OF INSERT ON %s"
								" FOR EACH ROW EXECUTE FUNCTION streamlog.produce_text()",
								view),
					   0, NULL, NULL);
	sl_ours_enable_always(get_relname_relid(relname, get_namespace_oid(SL_TEXT_SCHEMA, false)),
						  "produce_text");
	sl_catalog_execute(psprintf("GRANT SELECT, INSERT ON %s TO PUBLIC", view),
					   0, NULL, NULL);
}

/*
 * Has anything this id?  While a dump is restored there are tables before there
 * are rows, and the sequence is set last.
 */
static bool
is_id_in_use(int32 topic_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(topic_id)};

	return sl_catalog_fetch_id("SELECT pg_catalog.count(*) FROM"
							   " (SELECT FROM streamlog.topic WHERE topic_id = $1"
							   " UNION ALL SELECT FROM streamlog.partition WHERE topic_id = $1"
							   " UNION ALL SELECT FROM streamlog.segment WHERE topic_id = $1"
							   " UNION ALL SELECT FROM pg_catalog.pg_class"
							   " WHERE relnamespace = '" SL_SEGMENT_SCHEMA "'::regnamespace"
							   " AND relname >= pg_catalog.concat('t', $1, '_p')::name"
							   " AND relname < pg_catalog.concat('t', $1, '_q')::name) u",
							   lengthof(types), types, values) > 0;
}

static int32
new_id(void)
{
	int32		topic_id;

	do
	{
		CHECK_FOR_INTERRUPTS();
		topic_id = (int32) sl_catalog_fetch_id("SELECT pg_catalog.nextval('streamlog.topic_id_seq')",
											   0, NULL, NULL);
	} while (is_id_in_use(topic_id));
	return topic_id;
}

/*
 * The rows and the first segments of partitions from up to upto.  What shared
 * memory may know of such partitions is of ones that were rolled back.
 */
static void
add_partitions(SlTopic *topic, int32 from, int32 upto)
{
	for (int32 p = from; p < upto; p++)
	{
		SlPartitionKey key = {MyDatabaseId, topic->relation, p};

		sl_partition_forget(&key);
	}
	sl_partition_rows_insert(topic->topic_id, from, upto);
	for (int32 p = from; p < Min(upto, from + SL_FIRST_SEGMENTS); p++)
		sl_segment_insert(topic->topic_id, p, 0, sl_segment_create(topic, p));
}

bool
sl_ddl_create_topic(const char *name, int32 partitions, Jsonb *config,
					bool if_not_exists)
{
	Oid			user = GetUserId();
	Oid			schema = get_namespace_oid(SL_TOPIC_SCHEMA, false);
	Jsonb	   *stored;
	char	   *relname;
	int32		topic_id;
	SlTopic    *topic;

	check_name(name);
	check_partitions(partitions);
	stored = sl_config_merge(NULL, config);
	if (pg_namespace_aclcheck(schema, user, ACL_CREATE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to create a topic"),
				 errhint("It takes GRANT CREATE ON SCHEMA topic TO %s.",
						 quote_identifier(GetUserNameFromId(user, false)))));

	lock_name(name);
	if (sl_topic_exists(name))
	{
		if (if_not_exists)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("topic \"%s\" already exists", name)));
	}
	check_collision(name);
	sl_owner_lock(user, AccessShareLock);

	relname = sl_ours_table_name(name);
	topic_id = new_id();
	sl_topic_insert(topic_id, name, create_table(relname), user,
					partitions, stored);
	create_text_view(relname);
	CommandCounterIncrement();
	topic = sl_topic_open(name, strlen(name), AccessShareLock, ACL_NO_RIGHTS);
	sl_owner_take_grants(topic, user);
	add_partitions(topic, 0, partitions);
	sl_config_tell(config);
	return true;
}

static void
tell_of_keys(const char *name)
{
	ereport(NOTICE,
			(errmsg("keys of topic \"%s\" now map to other partitions", name),
			 errdetail("A record may go to another partition than the earlier ones with its key; the records of a key are in order only from here on.")));
}

void
sl_ddl_alter_topic(const char *name, int32 partitions, Jsonb *config, Oid owner)
{
	SlTopic    *topic = sl_topic_open_owned(name, ShareUpdateExclusiveLock);
	int32		before = topic->partitions;
	bool		notify = topic->config.notify;
	SlTopicConfig changed;
	Jsonb	   *stored = sl_topic_config(topic->name);

	if (config)
		stored = sl_config_merge(stored, config);
	if (partitions != 0)
	{
		check_partitions(partitions);
		if (partitions <= before)
			ereport(ERROR,
					(errcode(ERRCODE_SL_INVALID_PARTITIONS),
					 errmsg("topic \"%s\" has %d partitions already",
							name, before),
					 errhint("The number given is the new total; it can only grow.")));
	}

	if (OidIsValid(owner))
		sl_owner_check_new(owner);

	sl_topic_update(topic->topic_id, topic->relation, partitions != 0 ? partitions : before, stored);
	CommandCounterIncrement();
	sl_config_read(stored, &changed);
	sl_notify_switch(topic->relation, Max(partitions, before), notify, changed.notify);
	if (OidIsValid(owner))
		sl_owner_change(topic, sl_topic_owner(topic), owner);
	if (partitions != 0)
	{
		add_partitions(sl_topic_open(name, strlen(name), AccessShareLock,
									 ACL_NO_RIGHTS), before, partitions);
		tell_of_keys(name);
	}
	if (config)
		sl_config_tell(config);
}

/*
 * Refuse as DROP TABLE would if something of a user's needs the table, its view
 * or, as a column can, the row type of one of them.
 */
static void
check_dependents(SlTopic *topic)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {
		ObjectIdGetDatum(topic->relation), ObjectIdGetDatum(sl_ours_text_view(topic->relation))
	};
	char	   *dependents;

	dependents = sl_catalog_fetch_text("SELECT pg_catalog.string_agg(name, ', ') FROM"
									   " (SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS name"
									   " FROM pg_catalog.pg_depend d"
									   " WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN"
									   " (SELECT 'pg_catalog.pg_class'::regclass, v FROM (VALUES ($1), ($2)) r(v)"
									   " UNION ALL SELECT 'pg_catalog.pg_type'::regclass, t.oid"
									   " FROM pg_catalog.pg_type r, pg_catalog.pg_type t"
									   " WHERE r.typrelid IN ($1, $2) AND t.oid IN (r.oid, r.typarray))"
									   " AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i"
									   " WHERE d.classid = 'pg_catalog.pg_class'::regclass"
									   " AND i.inhrelid = d.objid AND i.inhparent = $1)"
									   " AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite w"
									   " WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass"
									   " AND w.oid = d.objid AND w.ev_class = $2)"
									   " ORDER BY 1 LIMIT 5) o",
									   2, types, values);
	if (dependents)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop topic \"%s\" because other objects depend on its table",
						topic->name),
				 errdetail("Among these are: %s.", dependents),
				 errhint("Drop what uses the table %s, its view in schema \"%s\" or the row type of one of them first.",
						 quote_qualified_identifier(SL_TOPIC_SCHEMA,
													get_rel_name(topic->relation)),
						 SL_TEXT_SCHEMA)));
}

/*
 * Lock a topic's table and its view against everybody.  Who uses one of them may
 * be about to use the other, so neither is waited for with the other in hand.
 */
static SlTopic *
lock_to_drop(const char *name)
{
	for (;;)
	{
		SlTopic    *topic = sl_topic_open_to_drop(name);
		Oid			view = sl_ours_text_view(topic->relation);

		if (!OidIsValid(view) ||
			ConditionalLockRelationOid(view, AccessExclusiveLock))
			return topic;
		UnlockRelationOid(topic->relation, AccessExclusiveLock);
		LockRelationOid(view, AccessExclusiveLock);
		UnlockRelationOid(view, AccessExclusiveLock);
	}
}

static void
drop_text_view(SlTopic *topic)
{
	Oid			view = sl_ours_text_view(topic->relation);

	if (OidIsValid(view))
		sl_catalog_execute(psprintf("DROP VIEW %s",
									quote_qualified_identifier(SL_TEXT_SCHEMA,
															   get_rel_name(view))),
						   0, NULL, NULL);
}

static bool
is_made_here(SlTopic *topic)
{
	Relation	rel = relation_open(topic->relation, NoLock);
	bool		made_here = rel->rd_createSubid != InvalidSubTransactionId;

	relation_close(rel, NoLock);
	return made_here;
}

/* Out of sight: no privileges, and a name that no topic or segment has */
static void
hide_table(SlTopic *topic)
{
	char	   *table = quote_qualified_identifier(SL_TOPIC_SCHEMA,
												   get_rel_name(topic->relation));
	const char *hidden = quote_identifier(sl_ours_dropped_name(topic->topic_id));

	sl_owner_forget_all(topic);
	sl_catalog_execute(psprintf("ALTER TABLE %s RENAME TO %s", table, hidden),
					   0, NULL, NULL);
	sl_catalog_execute(psprintf("ALTER TABLE %s.%s SET SCHEMA %s",
								SL_TOPIC_SCHEMA, hidden, SL_SEGMENT_SCHEMA),
					   0, NULL, NULL);
}

/*
 * Somebody has dropped the table by hand, which only its owner can, who is the
 * extension's; he can drop what is left of the topic, too.  In a row that came with
 * a dump the number of such a table may be another's here, which is left alone.
 */
static bool
drop_without_table(const char *name)
{
	int32		topic_id;
	Oid			relation;

	if (!sl_topic_table(name, &topic_id, &relation))
		return false;
	if (get_rel_relkind(relation) != '\0' &&
		(sl_topic_is_local(topic_id) || sl_takeover_is_topic_table(relation, name)))
		return false;
	sl_takeover_clear_table(topic_id);
	if (!superuser() && !has_privs_of_role(GetUserId(), sl_catalog_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the table of topic \"%s\" is gone", name),
				 errhint("The owner of the extension can drop the topic.")));
	sl_topic_mark_dropped(topic_id);
	sl_topic_set_local(topic_id, InvalidOid);
	return true;
}

void
sl_ddl_drop_topic(const char *name)
{
	SlTopic    *topic;

	if (drop_without_table(name))
		return;
	topic = lock_to_drop(name);
	check_dependents(topic);
	drop_text_view(topic);
	if (is_made_here(topic))
	{
		Oid			types[] = {OIDOID};
		Datum		values[] = {ObjectIdGetDatum(topic->relation)};
		int32		topic_id = topic->topic_id;

		sl_catalog_execute_each("SELECT pg_catalog.concat('DROP TABLE ', $1::regclass,"
								" pg_catalog.string_agg(', ' || i.inhrelid::regclass::text, ''))"
								" FROM pg_catalog.pg_inherits i WHERE i.inhparent = $1",
								1, types, values);
		sl_topic_delete(topic_id);
	}
	else
	{
		Oid			relation = topic->relation;
		int32		topic_id = topic->topic_id;

		hide_table(topic);
		sl_topic_mark_dropped(topic_id);
		sl_topic_set_local(topic_id, relation);
	}
	CommandCounterIncrement();
}
