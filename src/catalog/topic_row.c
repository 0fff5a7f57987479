/*
 * topic_row.c
 *		The rows of topics.
 *
 * Look-ups are index scans with a catalog snapshot (see catalog.c).  Whoever changes
 * a row tells all backends to read it anew, as if the topic's table had changed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/offset_row.h"
#include "catalog/topic_row.h"

void
sl_topic_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_UNKNOWN_PARTITION),
			 errmsg("topic \"%s\" does not exist", sl_clip_name(name)),
			 errhint("The view \"topics\" lists the topics; create_topic() makes one.")));
}

/*
 * The living row of a topic, by name or (name NULL) by its table, as a copy;
 * NULL if there is none.
 */
HeapTuple
sl_topic_row(Relation rel, const char *name, Oid relation)
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

int32
sl_topic_id_by_relation(Oid relation)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = sl_topic_row(rel, NULL, relation);
	bool		isnull;
	int32		topic_id = tuple ?
	DatumGetInt32(heap_getattr(tuple, Anum_topic_id, RelationGetDescr(rel), &isnull)) : 0;

	table_close(rel, AccessShareLock);
	return topic_id;
}

bool
sl_topic_exists(const char *name)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	bool		found = sl_topic_row(rel, name, InvalidOid) != NULL;

	table_close(rel, AccessShareLock);
	return found;
}

char *
sl_topic_name(int32 topic_id, Oid *relation)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *name = NULL;
	bool		isnull;

	ScanKeyInit(&key, Anum_topic_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(topic_id));
	scan = systable_beginscan(rel, sl_catalog_oid("topic_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		!DatumGetBool(heap_getattr(tuple, Anum_topic_dropped, desc, &isnull)))
	{
		name = TextDatumGetCString(heap_getattr(tuple, Anum_topic_name, desc, &isnull));
		*relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return name;
}

bool
sl_topic_table(const char *name, int32 *topic_id, Oid *relation)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = sl_topic_row(rel, name, InvalidOid);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;

	if (tuple)
	{
		*topic_id = DatumGetInt32(heap_getattr(tuple, Anum_topic_id, desc, &isnull));
		*relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));
	}
	table_close(rel, AccessShareLock);
	return tuple != NULL;
}

int32
sl_topic_partitions(const char *name, Oid *relation)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = sl_topic_row(rel, name, InvalidOid);
	TupleDesc	desc = RelationGetDescr(rel);
	int32		partitions = 0;
	bool		isnull;

	if (tuple)
	{
		partitions = DatumGetInt32(heap_getattr(tuple, Anum_topic_partitions, desc, &isnull));
		*relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));
		heap_freetuple(tuple);
	}
	table_close(rel, AccessShareLock);
	return partitions;
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

List *
sl_topic_list_readable(void)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *names = NIL;

	ScanKeyInit(&key, Anum_topic_dropped, BTEqualStrategyNumber, F_BOOLEQ,
				BoolGetDatum(false));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		bool		is_missing = false;
		Oid			relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));

		if (pg_class_aclcheck_ext(relation, GetUserId(), ACL_SELECT,
								  &is_missing) == ACLCHECK_OK &&
			sl_topic_is_local(DatumGetInt32(heap_getattr(tuple, Anum_topic_id, desc, &isnull))))
			names = lappend(names,
							TextDatumGetCString(heap_getattr(tuple, Anum_topic_name, desc, &isnull)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return names;
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

Jsonb *
sl_topic_config(const char *name)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	HeapTuple	tuple = sl_topic_row(rel, name, InvalidOid);
	bool		isnull;
	Jsonb	   *config;

	if (!tuple)
		sl_topic_unknown(name);
	config = DatumGetJsonbPCopy(heap_getattr(tuple, Anum_topic_config,
											 RelationGetDescr(rel), &isnull));
	table_close(rel, AccessShareLock);
	return config;
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
sl_topic_update(int32 topic_id, Oid relation, int32 partitions, Jsonb *config)
{
	Oid			types[] = {INT4OID, INT4OID, JSONBOID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partitions),
		JsonbPGetDatum(config)
	};

	sl_catalog_execute("UPDATE streamlog.topic SET partitions = $2, config = $3"
					   " WHERE topic_id = $1",
					   lengthof(types), types, values);
	CacheInvalidateRelcacheByRelid(relation);
}

void
sl_topic_set_owner(int32 topic_id, Oid relation, const char *owner)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		CStringGetTextDatum(owner)
	};

	sl_catalog_execute("UPDATE streamlog.topic SET owner = $2::name"
					   " WHERE topic_id = $1",
					   lengthof(types), types, values);
	CacheInvalidateRelcacheByRelid(relation);
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
	sl_offset_delete_topic(topic_id);
	sl_catalog_execute("DELETE FROM streamlog.local_topic WHERE topic_id = $1",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.topic WHERE topic_id = $1",
					   lengthof(types), types, values);
}
