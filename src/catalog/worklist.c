/*
 * worklist.c
 *		What the worker looks for in our tables.
 *
 * These look-ups are made every second whether there is work or not, so each is
 * either a scan of the table of topics, which is small, or one row by an index.
 *
 * A topic that came from a dump is not work: its segments may not be there yet.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "catalog/catalog.h"
#include "catalog/topic_row.h"
#include "catalog/worklist.h"

/* columns of streamlog.segment */
enum
{
	Anum_segment_topic_id = 1,
	Anum_segment_partition,
	Anum_segment_base,
	Anum_segment_relation
};

static int
compare_topics(const void *a, const void *b, void *arg)
{
	int32		left = ((const SlTopicEntry *) a)->topic_id;
	int32		right = ((const SlTopicEntry *) b)->topic_id;
	int32		last = *(int32 *) arg;

	if ((left > last) != (right > last))
		return left > last ? -1 : 1;
	return left < right ? -1 : left > right;
}

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

/* The ids of all topics that are ready for use, ascending */
static int32 *
local_ids(int *n)
{
	Relation	rel = table_open(sl_catalog_oid("local_topic"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	int			allocated = 16;
	int32	   *ids = palloc_array(int32, allocated);

	*n = 0;
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;

		if (*n == allocated)
		{
			allocated *= 2;
			ids = repalloc_array(ids, int32, allocated);
		}
		ids[(*n)++] = DatumGetInt32(heap_getattr(tuple, Anum_topic_id,
												 RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	qsort(ids, *n, sizeof(int32), compare_ids);
	return ids;
}

/* The topics that are ready for use, or those that are not */
static int
list_topics(bool local, int32 last, SlTopicEntry **list)
{
	Relation	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	int			n = 0;
	int			allocated = 16;
	int			nids;
	int32	   *ids = local_ids(&nids);

	*list = palloc_array(SlTopicEntry, allocated);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		SlTopicEntry *entry;
		bool		isnull;
		int32		topic_id = DatumGetInt32(heap_getattr(tuple, Anum_topic_id, desc, &isnull));

		if ((bsearch(&topic_id, ids, nids, sizeof(int32), compare_ids) != NULL) != local)
			continue;
		if (n == allocated)
		{
			allocated *= 2;
			*list = repalloc_array(*list, SlTopicEntry, allocated);
		}
		entry = &(*list)[n++];
		entry->topic_id = topic_id;
		entry->relation = DatumGetObjectId(heap_getattr(tuple, Anum_topic_relation, desc, &isnull));
		entry->partitions = DatumGetInt32(heap_getattr(tuple, Anum_topic_partitions, desc, &isnull));
		entry->dropped = DatumGetBool(heap_getattr(tuple, Anum_topic_dropped, desc, &isnull));
		entry->name = local ? NULL :
			TextDatumGetCString(heap_getattr(tuple, Anum_topic_name, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	pfree(ids);
	qsort_arg(*list, n, sizeof(SlTopicEntry), compare_topics, &last);
	return n;
}

int
sl_worklist_topics(int32 last, SlTopicEntry **list)
{
	return list_topics(true, last, list);
}

int
sl_worklist_restored(SlTopicEntry **list)
{
	return list_topics(false, 0, list);
}

/*
 * Up to max segments from one end of a partition, in tables that are open; returns
 * their number.
 */
static int
segments_from(ScanDirection direction, Relation rel, Relation index,
			  int32 topic_id, int32 partition, SlSegment *list, int max)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&keys[0], Anum_segment_topic_id, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(topic_id));
	ScanKeyInit(&keys[1], Anum_segment_partition, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(partition));
	scan = systable_beginscan_ordered(rel, index, NULL, 2, keys);
	while (n < max && (tuple = systable_getnext_ordered(scan, direction)) != NULL)
	{
		SlSegment  *segment = &list[n++];
		bool		isnull;

		memset(segment, 0, sizeof(SlSegment));
		segment->base = DatumGetInt64(heap_getattr(tuple, Anum_segment_base,
												   RelationGetDescr(rel), &isnull));
		segment->relation = DatumGetObjectId(heap_getattr(tuple, Anum_segment_relation,
														  RelationGetDescr(rel), &isnull));
	}
	systable_endscan_ordered(scan);
	return n;
}

int
sl_worklist_missing(int32 topic_id, int32 from, int32 upto, int32 *list, int max)
{
	Relation	rel = table_open(sl_catalog_oid("segment"), AccessShareLock);
	Relation	index = index_open(sl_catalog_oid("segment_pkey"), AccessShareLock);
	SlSegment	segment;
	int			n = 0;

	for (int32 p = from; p < upto && n < max; p++)
		if (segments_from(BackwardScanDirection, rel, index, topic_id, p,
						  &segment, 1) == 0)
			list[n++] = p;
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return n;
}

static int
look_up(ScanDirection direction, int32 topic_id, int32 partition,
		SlSegment *list, int max)
{
	Relation	rel = table_open(sl_catalog_oid("segment"), AccessShareLock);
	Relation	index = index_open(sl_catalog_oid("segment_pkey"), AccessShareLock);
	int			n = segments_from(direction, rel, index, topic_id, partition,
								  list, max);

	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return n;
}

bool
sl_worklist_newest(int32 topic_id, int32 partition, SlSegment *segment)
{
	return look_up(BackwardScanDirection, topic_id, partition, segment, 1) > 0;
}

int
sl_worklist_oldest(int32 topic_id, int32 partition, SlSegment *list, int max)
{
	return look_up(ForwardScanDirection, topic_id, partition, list, max);
}

void
sl_worklist_delete_segments(int32 topic_id, const Oid *relations, int n)
{
	Datum	   *elements = palloc_array(Datum, n);
	Oid			types[] = {INT4OID, OIDARRAYOID};
	Datum		values[2];

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(relations[i]);
	values[0] = Int32GetDatum(topic_id);
	values[1] = PointerGetDatum(construct_array(elements, n, OIDOID,
												sizeof(Oid), true, TYPALIGN_INT));
	sl_catalog_execute("DELETE FROM streamlog.segment"
					   " WHERE topic_id = $1 AND relation::oid = ANY ($2)",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.segment_time WHERE relation = ANY ($2)",
					   lengthof(types), types, values);
}
