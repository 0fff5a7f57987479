/*
 * segment.c
 *		Partitions and segments: rows, and the tables behind them.
 *
 * A segment is a table that inherits from its topic's, and a row that says from
 * which offset on it holds the log of its partition.  The row makes the
 * segment: a table without one is not part of the log, and whoever makes the
 * next segment of that partition takes it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"
#include "catalog/segment.h"
#include "catalog/tablespace.h"

/* columns of streamlog.partition */
enum
{
	Anum_partition_topic_id = 1,
	Anum_partition_partition,
	Anum_partition_log_start
};

/* columns of streamlog.segment */
enum
{
	Anum_segment_topic_id = 1,
	Anum_segment_partition,
	Anum_segment_base,
	Anum_segment_relation,
	Anum_segment_min_timestamp,
	Anum_segment_max_timestamp,
	Anum_segment_bytes
};

static void
init_keys(ScanKey keys, int32 topic_id, int32 partition)
{
	/* both tables begin with these two columns */
	ScanKeyInit(&keys[0], Anum_segment_topic_id, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(topic_id));
	ScanKeyInit(&keys[1], Anum_segment_partition, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(partition));
}

bool
sl_partition_row(int32 topic_id, int32 partition, SlPartitionRow *row)
{
	Relation	rel = table_open(sl_catalog_oid("partition"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;
	bool		found;

	init_keys(keys, topic_id, partition);
	scan = systable_beginscan(rel, sl_catalog_oid("partition_pkey"), true,
							  NULL, 2, keys);
	tuple = systable_getnext(scan);
	found = tuple != NULL;
	if (found)
	{
		row->log_start = DatumGetInt64(heap_getattr(tuple, Anum_partition_log_start,
													RelationGetDescr(rel), &isnull));

		/* the log of one that we have only updated starts above 0 */
		row->made_here = row->log_start == 0 &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

int64
sl_partition_row_lock(int32 topic_id, int32 partition)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partition)
	};

	return sl_catalog_fetch_id("SELECT log_start_offset FROM streamlog.partition"
							   " WHERE topic_id = $1 AND partition = $2"
							   " FOR NO KEY UPDATE",
							   lengthof(types), types, values);
}

void
sl_partition_row_set_start(int32 topic_id, int32 partition, int64 log_start)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partition),
		Int64GetDatum(log_start)
	};

	sl_catalog_execute("UPDATE streamlog.partition SET log_start_offset = $3"
					   " WHERE topic_id = $1 AND partition = $2",
					   lengthof(types), types, values);
}

void
sl_partition_rows_insert(int32 topic_id, int32 from, int32 upto)
{
	Oid			types[] = {INT4OID, INT4OID, INT4OID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(from),
		Int32GetDatum(upto)
	};

	sl_catalog_execute("INSERT INTO streamlog.partition"
					   " SELECT $1, p, 0 FROM pg_catalog.generate_series($2, $3 - 1) p",
					   lengthof(types), types, values);
}

int
sl_segment_list(int32 topic_id, int32 partition, SlSegment **list)
{
	Relation	rel = table_open(sl_catalog_oid("segment"), AccessShareLock);
	Relation	index = index_open(sl_catalog_oid("segment_pkey"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;
	int			allocated = 8;

	*list = palloc_array(SlSegment, allocated);
	init_keys(keys, topic_id, partition);
	scan = systable_beginscan_ordered(rel, index, NULL, 2, keys);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		SlSegment  *segment;
		bool		isnull;
		bool		no_max;

		if (n == allocated)
		{
			allocated *= 2;
			*list = repalloc_array(*list, SlSegment, allocated);
		}
		segment = &(*list)[n++];
		segment->base = DatumGetInt64(heap_getattr(tuple, Anum_segment_base,
												   desc, &isnull));
		segment->relation = DatumGetObjectId(heap_getattr(tuple, Anum_segment_relation,
														  desc, &isnull));
		segment->max_timestamp = DatumGetTimestampTz(heap_getattr(tuple, Anum_segment_max_timestamp,
																  desc, &no_max));
		segment->has_max = !no_max;
		segment->sealed = false;
		if (n > 1)
			(*list)[n - 2].sealed = true;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return n;
}

/* The number in the name of the newest segment's table, 0 if there is none. */
static int
newest_number(int32 topic_id, int32 partition)
{
	SlSegment  *list;
	int			n = sl_segment_list(topic_id, partition, &list);
	char	   *name = n > 0 ? get_rel_name(list[n - 1].relation) : NULL;
	char	   *underscore = name ? strrchr(name, '_') : NULL;

	pfree(list);
	return underscore ? atoi(underscore + 1) : 0;
}

Oid
sl_segment_create(SlTopic *topic, int32 partition)
{
	Oid			schema = get_namespace_oid(SL_SEGMENT_SCHEMA, false);
	char	   *name = psprintf("t%d_p%d_%d", topic->topic_id, partition,
								newest_number(topic->topic_id, partition) + 1);
	Oid			relation = get_relname_relid(name, schema);

	if (OidIsValid(relation))
		return relation;

	sl_catalog_execute(psprintf("CREATE TABLE %s.%s (CHECK (partition = %d))"
								" INHERITS (%s) USING heap"
								" WITH (fillfactor = 100, vacuum_truncate = off,"
								" toast_tuple_target = 8160,"
								" autovacuum_vacuum_insert_threshold = -1,"
								" toast.vacuum_truncate = off,"
								" toast.autovacuum_vacuum_insert_threshold = -1)%s",
								SL_SEGMENT_SCHEMA, name, partition,
								quote_qualified_identifier(SL_TOPIC_SCHEMA,
														   get_rel_name(topic->relation)),
								sl_tablespace_clause(NameStr(topic->config.tablespace),
													 topic->name)),
					   0, NULL, NULL);
	return get_relname_relid(name, schema);
}

void
sl_segment_insert(int32 topic_id, int32 partition, int64 base, Oid relation)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID, OIDOID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partition),
		Int64GetDatum(base),
		ObjectIdGetDatum(relation)
	};

	sl_catalog_execute("INSERT INTO streamlog.segment (topic_id, partition, base, relation)"
					   " VALUES ($1, $2, $3, $4)",
					   lengthof(types), types, values);
}

void
sl_segment_seal(int32 topic_id, int32 partition, int64 base, int64 bytes)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partition),
		Int64GetDatum(base),
		Int64GetDatum(bytes)
	};

	sl_catalog_execute("UPDATE streamlog.segment SET bytes = $4"
					   " WHERE topic_id = $1 AND partition = $2 AND base = $3",
					   lengthof(types), types, values);
}

void
sl_segment_set_times(int32 topic_id, int32 partition, int64 base,
					 TimestampTz min_timestamp, TimestampTz max_timestamp)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(topic_id),
		Int32GetDatum(partition),
		Int64GetDatum(base),
		TimestampTzGetDatum(min_timestamp),
		TimestampTzGetDatum(max_timestamp)
	};

	sl_catalog_execute("UPDATE streamlog.segment"
					   " SET min_timestamp = $4, max_timestamp = $5"
					   " WHERE topic_id = $1 AND partition = $2 AND base = $3",
					   lengthof(types), types, values);
}

bool
sl_segment_has_columns(const SlTopic *topic, TupleDesc desc)
{
	const Oid	types[SL_SEGMENT_ATTS] = {
		INT8OID, TIMESTAMPTZOID, INT4OID, BYTEAOID, BYTEAOID,
		topic->headers_type
	};

	if (desc->natts != SL_SEGMENT_ATTS)
		return false;
	for (int i = 0; i < SL_SEGMENT_ATTS; i++)
		if (TupleDescAttr(desc, i)->atttypid != types[i] ||
			TupleDescAttr(desc, i)->attisdropped)
			return false;
	return true;
}

bool
sl_segment_is_filled_up(Relation rel)
{
	return RelationGetFillFactor(rel, HEAP_DEFAULT_FILLFACTOR) == 100;
}

bool
sl_segment_has_index(Relation rel)
{
	/* the flag outlives a DROP INDEX */
	return rel->rd_rel->relhasindex && RelationGetIndexList(rel) != NIL;
}

int64
sl_segment_size(Relation rel)
{
	int64		blocks = RelationGetNumberOfBlocks(rel);

	if (OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		blocks += RelationGetNumberOfBlocks(toast);
		table_close(toast, AccessShareLock);
	}
	return blocks * BLCKSZ;
}

Relation
sl_segment_open(const SlTopic *topic, Oid relation, LOCKMODE lockmode)
{
	Relation	rel = try_relation_open(relation, lockmode);

	if (!rel)
		return NULL;
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		rel->rd_rel->relowner != topic->table_owner ||
		sl_segment_has_index(rel) ||
		!sl_segment_is_filled_up(rel) ||
		!sl_segment_has_columns(topic, RelationGetDescr(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not fit to be a segment of topic \"%s\"",
						RelationGetRelationName(rel), topic->name),
				 errdetail("A segment is a heap table of the extension's owner, with the columns of a record, without an index, and with a fillfactor of 100."),
				 errhint("Undo what was changed on it, and run check_topic('%s').",
						 topic->name)));
	return rel;
}
