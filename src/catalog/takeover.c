/*
 * takeover.c
 *		Making tables that came with a dump ours.
 *
 * A dump brings a topic's tables as pg_dump brings any table: created by whoever
 * restores it, given to the owner they had if that is wanted and he exists, filled
 * by COPY in whatever pages it finds room in, and given their triggers at last.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/ours.h"
#include "catalog/owner.h"
#include "catalog/segment.h"
#include "catalog/takeover.h"

static bool
is_heap_in(Oid relation, const char *schema)
{
	Relation	rel = OidIsValid(relation) ?
	try_relation_open(relation, AccessShareLock) : NULL;
	bool		result;

	if (!rel)
		return false;
	result = rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relnamespace == get_namespace_oid(schema, false) &&
		RelationGetDescr(rel)->natts >= SL_SEGMENT_ATTS;
	relation_close(rel, AccessShareLock);
	return result;
}

bool
sl_takeover_is_topic_table(Oid relation, const char *topic)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relation)};

	if (!is_heap_in(relation, SL_TOPIC_SCHEMA))
		return false;
	if (strcmp(get_rel_name(relation), sl_ours_table_name(topic)) == 0)
		return true;
	/* somebody has renamed it; it cannot be the table of two topics */
	return sl_catalog_fetch_id("SELECT pg_catalog.count(*) FROM streamlog.topic"
							   " WHERE NOT dropped AND relation = $1",
							   lengthof(types), types, values) == 1;
}

bool
sl_takeover_is_dropped_table(Oid relation, int32 topic_id)
{
	return is_heap_in(relation, SL_SEGMENT_SCHEMA) &&
		strcmp(get_rel_name(relation), sl_ours_dropped_name(topic_id)) == 0;
}

void
sl_takeover_clear_table(int32 topic_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(topic_id)};

	sl_catalog_execute("UPDATE streamlog.topic SET relation = 0 WHERE topic_id = $1",
					   lengthof(types), types, values);
}

static int
count_triggers(Oid relation)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relation)};

	return sl_catalog_fetch_id("SELECT pg_catalog.count(*)"
							   " FROM pg_catalog.pg_trigger t"
							   " JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid"
							   " WHERE t.tgrelid = $1 AND t.tgenabled = 'A'"
							   " AND p.pronamespace = '" SL_SCHEMA "'::regnamespace",
							   lengthof(types), types, values);
}

bool
sl_takeover_has_triggers(Oid relation)
{
	Oid			view = sl_ours_text_view(relation);

	return count_triggers(relation) >= SL_TABLE_TRIGGERS &&
		(!OidIsValid(view) || count_triggers(view) > 0);
}

bool
sl_takeover_has_columns(Oid relation)
{
	const SlTopic ours = {.headers_type = sl_catalog_headers_type()};
	Relation	rel = relation_open(relation, AccessShareLock);
	bool		result = sl_segment_has_columns(&ours, RelationGetDescr(rel));

	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * What a table has depends on it and goes with it; what only uses it, as a view
 * does, needs it.  So nothing that PostgreSQL may yet invent is forgotten.
 */
char *
sl_takeover_addition(const SlTopic *topic)
{
	Oid			view = sl_ours_text_view(topic->relation);
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[] = {
		ObjectIdGetDatum(topic->relation),
		ObjectIdGetDatum(view)
	};

	return sl_catalog_fetch_text("SELECT pg_catalog.min(o.name) FROM"
								 " (SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS name"
								 " FROM pg_catalog.pg_depend d"
								 " LEFT JOIN pg_catalog.pg_trigger t ON d.classid = 'pg_catalog.pg_trigger'::regclass AND t.oid = d.objid"
								 " LEFT JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid"
								 " LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid"
								 " LEFT JOIN pg_catalog.pg_constraint c ON d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid"
								 " WHERE d.refclassid = 'pg_catalog.pg_class'::regclass"
								 " AND d.refobjid IN ($1, $2) AND d.deptype IN ('a', 'i')"
								 " AND d.classid NOT IN ('pg_catalog.pg_type'::regclass, 'pg_catalog.pg_publication_rel'::regclass)"
								 " AND (d.classid, d.deptype) <> ('pg_catalog.pg_class'::regclass, 'i')"
								 " AND (p.pronamespace IS DISTINCT FROM '" SL_SCHEMA "'::regnamespace OR t.tgqual IS NOT NULL)"
								 " AND r.rulename IS DISTINCT FROM '_RETURN'"
								 " AND pg_catalog.pg_get_constraintdef(c.oid) IS DISTINCT FROM 'CHECK (false) NO INHERIT'"
								 " UNION ALL SELECT 'table ' || i.inhrelid::regclass FROM pg_catalog.pg_inherits i"
								 " JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid"
								 " WHERE i.inhparent = $1 AND k.relnamespace <> '" SL_SEGMENT_SCHEMA "'::regnamespace"
								 ") o",
								 lengthof(types), types, values);
}

int32
sl_takeover_stray_partition(const SlTopic *topic)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		values[] = {
		Int32GetDatum(topic->topic_id),
		Int32GetDatum(topic->partitions)
	};

	return (int32) sl_catalog_fetch_id("SELECT coalesce(pg_catalog.min(partition), -1)::int8 FROM"
									   " (SELECT partition FROM streamlog.partition"
									   " WHERE topic_id = $1 AND partition >= $2"
									   " UNION ALL SELECT partition FROM streamlog.segment"
									   " WHERE topic_id = $1 AND partition >= $2) p",
									   lengthof(types), types, values);
}

char *
sl_takeover_stray_table(const SlTopic *topic)
{
	Oid			types[] = {OIDOID, INT4OID};
	Datum		values[] = {
		ObjectIdGetDatum(topic->relation),
		Int32GetDatum(topic->topic_id)
	};

	/* an empty one is what a roll that did not come to its end has left */
	return sl_catalog_fetch_text("SELECT pg_catalog.min(i.inhrelid::regclass::text)"
								 " FROM pg_catalog.pg_inherits i WHERE i.inhparent = $1"
								 " AND pg_catalog.pg_relation_size(i.inhrelid) > 0"
								 " AND i.inhrelid NOT IN (SELECT s.relation FROM streamlog.segment s"
								 " WHERE s.topic_id = $2)",
								 lengthof(types), types, values);
}

/* The owner of a relation of this kind, InvalidOid if it is not there */
static Oid
owner_of(Oid relation, char relkind)
{
	Relation	rel = try_relation_open(relation, AccessShareLock);
	Oid			owner = InvalidOid;

	if (rel)
	{
		if (rel->rd_rel->relkind == relkind)
			owner = rel->rd_rel->relowner;
		relation_close(rel, AccessShareLock);
	}
	return owner;
}

static void
own(Oid relation, Oid former, Oid owner)
{
	if (OidIsValid(former) && former != owner)
		ATExecChangeOwner(relation, owner, false, AccessExclusiveLock);
}

Oid
sl_takeover_own(const SlTopic *topic)
{
	Oid			owner = sl_catalog_owner();
	Oid			schema = get_namespace_oid(SL_SEGMENT_SCHEMA, false);
	Oid			former = owner_of(topic->relation, RELKIND_RELATION);
	Oid			view = sl_ours_text_view(topic->relation);
	ListCell   *lc;

	own(topic->relation, former, owner);
	if (OidIsValid(view))
		own(view, owner_of(view, RELKIND_VIEW), owner);
	foreach(lc, find_inheritance_children(topic->relation, NoLock))
		if (get_rel_namespace(lfirst_oid(lc)) == schema)
		own(lfirst_oid(lc), owner_of(lfirst_oid(lc), RELKIND_RELATION),
			owner);
	CommandCounterIncrement();
	return former;
}

void
sl_takeover_grants(const SlTopic *topic, Oid former)
{
	Oid			owner = get_role_oid(NameStr(topic->owner), true);

	if (owner != former || former == topic->table_owner)
		owner = sl_topic_owner(topic);
	sl_owner_take_grants(topic, owner);
	CommandCounterIncrement();
}

void
sl_takeover_sort(Oid segment)
{
	const char *schema = get_namespace_name(get_rel_namespace(segment));
	char	   *table = quote_qualified_identifier(schema, get_rel_name(segment));
	char	   *index = psprintf("sort_%u", segment);

	sl_catalog_execute(psprintf("CREATE INDEX %s ON %s (record_offset)",
								index, table), 0, NULL, NULL);
	if (!SL_MUTANT("restore-unsorted"))
		sl_catalog_execute(psprintf("CLUSTER %s USING %s", table, index),
						   0, NULL, NULL);
	sl_catalog_execute(psprintf("DROP INDEX %s",
								quote_qualified_identifier(schema, index)),
					   0, NULL, NULL);
	CommandCounterIncrement();
}
