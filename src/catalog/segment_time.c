/*
 * segment_time.c
 *		The rows of the time index.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"
#include "catalog/segment_time.h"

/* columns of streamlog.segment_time */
enum
{
	Anum_time_relation = 1,
	Anum_time_chunk,
	Anum_time_file,
	Anum_time_min,
	Anum_time_max
};

bool
sl_chunk_time_get(Oid relation, int32 chunk, SlChunkTime *row)
{
	Relation	rel = table_open(sl_catalog_oid("segment_time"), AccessShareLock);
	Relation	index = index_open(sl_catalog_oid("segment_time_pkey"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_time_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	ScanKeyInit(&keys[1], Anum_time_chunk, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(chunk));
	scan = systable_beginscan_ordered(rel, index, NULL, chunk < 0 ? 1 : 2, keys);
	tuple = systable_getnext_ordered(scan, BackwardScanDirection);
	if (tuple)
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;

		row->chunk = DatumGetInt32(heap_getattr(tuple, Anum_time_chunk, desc, &isnull));
		row->file = DatumGetObjectId(heap_getattr(tuple, Anum_time_file, desc, &isnull));
		row->min_timestamp = DatumGetTimestampTz(heap_getattr(tuple, Anum_time_min, desc, &isnull));
		row->max_timestamp = DatumGetTimestampTz(heap_getattr(tuple, Anum_time_max, desc, &isnull));
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return tuple != NULL;
}

void
sl_chunk_time_insert(Oid relation, const SlChunkTime *row)
{
	Oid			types[] = {OIDOID, INT4OID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {
		ObjectIdGetDatum(relation),
		Int32GetDatum(row->chunk),
		ObjectIdGetDatum(row->file),
		TimestampTzGetDatum(row->min_timestamp),
		TimestampTzGetDatum(row->max_timestamp)
	};

	sl_catalog_execute("INSERT INTO streamlog.segment_time VALUES ($1, $2, $3, $4, $5)"
					   " ON CONFLICT DO NOTHING",
					   lengthof(types), types, values);
}

void
sl_chunk_time_delete(Oid relation)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relation)};

	sl_catalog_execute("DELETE FROM streamlog.segment_time WHERE relation = $1",
					   lengthof(types), types, values);
}
