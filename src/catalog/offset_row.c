/*
 * offset_row.c
 *		The rows of committed offsets.
 *
 * A row is changed at every commit of a consumer, so it is found by where it was
 * last time (its TID, which shared memory remembers) and not by the index: as long
 * as any snapshot is held, an index leads to all versions of a row since, and each
 * commit would take longer than the one before.  By its TID a version costs the same
 * however many there are.  The index is for the first look, and for lists.
 *
 * A remembered TID may be wrong in every way: the row was deleted or moved (VACUUM
 * FULL), its place is free, or taken by another row or by another version of the
 * same one.  What is found there counts only if it is the living version with the
 * same key, and of these there is one.  So nobody has to be told of what becomes of
 * rows.
 *
 * Locking: the ownership lock of a partition in a group, held to the end of the
 * transaction, orders whoever reads or writes its row.  It falls after the
 * transaction's changes have become visible, so who has it finds the last committed
 * version, or its own, whatever snapshot its transaction reads by: by SnapshotSelf,
 * which also leaves no predicate locks behind.  Those would be on whole pages soon,
 * and any two serializable consumers that share a page would fail each other.
 * Lists are read without the lock, and so by a fresh snapshot.
 *
 * Space: nothing prunes a page that is only ever reached by TID, so that is done
 * before an update that finds no room in its page; with no old snapshot in the way
 * the new version then takes the place of a dead one, and the index is not touched
 * (HOT).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/offset_row.h"

/* The columns of committed_offset */
#define Anum_next_offset		1
#define Anum_group_id			2
#define Anum_topic_id			3
#define Anum_partition			4
#define Anum_epoch				5
#define Anum_topic_partitions	6
#define Anum_member				7
#define Anum_metadata			8
#define Natts_committed_offset	8

/*
 * The fourth field of a lock's tag: PostgreSQL's own advisory locks have 1 and 2
 * there, a group 3 (with no topic), the making of one 4.
 */
#define SL_FIRST_OWNERSHIP		3
#define SL_OWNERSHIPS			(PG_UINT16_MAX - SL_FIRST_OWNERSHIP + 1)

void
sl_offset_set_locktag(LOCKTAG *tag, const SlOffsetKey *key)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) key->group_id,
						 (uint32) key->topic_id,
						 SL_FIRST_OWNERSHIP + key->partition % SL_OWNERSHIPS);
}

bool
sl_offset_lock(const SlOffsetKey *key, bool wait)
{
	LOCKTAG		tag;

	if (SL_MUTANT("no-ownership"))
		return true;
	sl_offset_set_locktag(&tag, key);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
sl_offset_unlock(const SlOffsetKey *key)
{
	LOCKTAG		tag;

	if (SL_MUTANT("no-ownership"))
		return;
	sl_offset_set_locktag(&tag, key);
	(void) LockRelease(&tag, ExclusiveLock, false);
}

/* A value may be toasted, and only be read or written while there is a snapshot. */
static bool
push_snapshot(void)
{
	if (ActiveSnapshotSet())
		return false;
	PushActiveSnapshot(GetTransactionSnapshot());
	return true;
}

static Relation
open_table(LOCKMODE lockmode)
{
	Relation	rel = table_open(sl_catalog_oid("committed_offset"), lockmode);

	if (RelationGetDescr(rel)->natts != Natts_committed_offset)
		elog(ERROR, "table \"%s\" has %d columns", RelationGetRelationName(rel),
			 RelationGetDescr(rel)->natts);
	return rel;
}

/* A scan of what has the first nkeys columns of a key */
static SysScanDesc
begin_scan(Relation rel, const SlOffsetKey *key, int nkeys, Snapshot snapshot)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], Anum_group_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(key->group_id));
	ScanKeyInit(&keys[1], Anum_topic_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(key->topic_id));
	ScanKeyInit(&keys[2], Anum_partition, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(key->partition));
	return systable_beginscan(rel, sl_catalog_oid("committed_offset_key"), true,
							  snapshot, nkeys, keys);
}

static int32
get_int4(HeapTuple tuple, int column, TupleDesc desc)
{
	bool		isnull;

	return DatumGetInt32(heap_getattr(tuple, column, desc, &isnull));
}

static void
read_key(HeapTuple tuple, TupleDesc desc, SlOffsetKey *key)
{
	key->group_id = get_int4(tuple, Anum_group_id, desc);
	key->topic_id = get_int4(tuple, Anum_topic_id, desc);
	key->partition = get_int4(tuple, Anum_partition, desc);
}

static void
read_tuple(HeapTuple tuple, TupleDesc desc, SlOffsetRow *row)
{
	bool		isnull;
	Datum		metadata = heap_getattr(tuple, Anum_metadata, desc, &isnull);

	row->exists = true;
	row->tid = tuple->t_self;
	row->metadata = isnull ? NULL : TextDatumGetCString(metadata);
	row->next_offset = DatumGetInt64(heap_getattr(tuple, Anum_next_offset, desc, &isnull));
	row->epoch = get_int4(tuple, Anum_epoch, desc);
	row->topic_partitions = get_int4(tuple, Anum_topic_partitions, desc);
	text_to_cstring_buffer(DatumGetTextPP(heap_getattr(tuple, Anum_member, desc, &isnull)),
						   row->member, sizeof(row->member));
}

/*
 * The living version of a row if it is in this place.  The buffer is then pinned, and
 * the tuple points into it.
 */
static bool
fetch_at(Relation rel, const SlOffsetKey *key, ItemPointer tid, HeapTuple tuple,
		 Buffer *buffer)
{
	SlOffsetKey found;

	/* the table may have fewer blocks than it had then */
	if (!ItemPointerIsValid(tid) ||
		ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(rel))
		return false;
	tuple->t_self = *tid;
	if (!heap_fetch(rel, SnapshotSelf, tuple, buffer, false))
		return false;
	read_key(tuple, RelationGetDescr(rel), &found);
	if (found.group_id == key->group_id && found.topic_id == key->topic_id &&
		found.partition == key->partition)
		return true;
	ReleaseBuffer(*buffer);
	return false;
}

bool
sl_offset_read(const SlOffsetKey *key, ItemPointer hint, SlOffsetRow *row)
{
	bool		pushed = push_snapshot();
	Relation	rel = open_table(AccessShareLock);
	HeapTupleData at_hint;
	Buffer		buffer;

	memset(row, 0, sizeof(SlOffsetRow));
	if (fetch_at(rel, key, hint, &at_hint, &buffer))
	{
		read_tuple(&at_hint, RelationGetDescr(rel), row);
		ReleaseBuffer(buffer);
	}
	else
	{
		SysScanDesc scan = begin_scan(rel, key, 3, SnapshotSelf);
		HeapTuple	tuple = systable_getnext(scan);

		if (HeapTupleIsValid(tuple))
			read_tuple(tuple, RelationGetDescr(rel), row);
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	if (pushed)
		PopActiveSnapshot();
	return row->exists;
}

/* Where the living version is; false if there is none. */
static bool
find(Relation rel, const SlOffsetKey *key, const SlOffsetRow *row,
	 ItemPointer tid)
{
	HeapTupleData at_hint;
	HeapTuple	tuple;
	Buffer		buffer;
	SysScanDesc scan;

	*tid = row->tid;
	if (fetch_at(rel, key, tid, &at_hint, &buffer))
	{
		ReleaseBuffer(buffer);
		return true;
	}
	scan = begin_scan(rel, key, 3, SnapshotSelf);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		*tid = tuple->t_self;
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

/* If a version of this size has no room where the last one is, make some. */
static void
make_room(Relation rel, ItemPointer tid, Size size)
{
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));

	/* without a lock, as heap_page_prune_opt() looks itself at first */
	if (PageGetHeapFreeSpace(BufferGetPage(buffer)) < MAXALIGN(size))
		heap_page_prune_opt(rel, buffer);
	ReleaseBuffer(buffer);
}

static HeapTuple
form_tuple(TupleDesc desc, const SlOffsetKey *key, const SlOffsetRow *row)
{
	Datum		values[Natts_committed_offset];
	bool		nulls[Natts_committed_offset] = {0};

	values[Anum_next_offset - 1] = Int64GetDatum(row->next_offset);
	values[Anum_group_id - 1] = Int32GetDatum(key->group_id);
	values[Anum_topic_id - 1] = Int32GetDatum(key->topic_id);
	values[Anum_partition - 1] = Int32GetDatum(key->partition);
	values[Anum_epoch - 1] = Int32GetDatum(row->epoch);
	values[Anum_topic_partitions - 1] = Int32GetDatum(row->topic_partitions);
	values[Anum_member - 1] = CStringGetTextDatum(row->member);
	nulls[Anum_metadata - 1] = row->metadata == NULL;
	values[Anum_metadata - 1] = row->metadata ?
		CStringGetTextDatum(row->metadata) : (Datum) 0;
	return heap_form_tuple(desc, values, nulls);
}

void
sl_offset_write(const SlOffsetKey *key, SlOffsetRow *row)
{
	bool		pushed = push_snapshot();
	Relation	rel = open_table(RowExclusiveLock);
	HeapTuple	tuple = form_tuple(RelationGetDescr(rel), key, row);
	ItemPointerData tid;

	if (row->exists && find(rel, key, row, &tid))
	{
		make_room(rel, &tid, tuple->t_len);
		CatalogTupleUpdate(rel, &tid, tuple);
	}
	else
		CatalogTupleInsert(rel, tuple);
	row->exists = true;
	row->tid = tuple->t_self;
	heap_freetuple(tuple);
	table_close(rel, NoLock);
	if (pushed)
		PopActiveSnapshot();

	/* the transaction may write it again */
	CommandCounterIncrement();
}

void
sl_offset_delete(const SlOffsetKey *key, SlOffsetRow *row)
{
	Relation	rel = open_table(RowExclusiveLock);
	ItemPointerData tid;

	if (row->exists && find(rel, key, row, &tid))
		CatalogTupleDelete(rel, &tid);
	memset(row, 0, sizeof(SlOffsetRow));
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

SlOffsetListed *
sl_offset_list(int32 group_id, int32 topic_id, int *n)
{
	SlOffsetKey key = {group_id, topic_id, 0};
	Relation	rel = open_table(AccessShareLock);
	int			room = 16;
	SlOffsetListed *list = palloc(room * sizeof(SlOffsetListed));
	SysScanDesc scan;
	HeapTuple	tuple;

	*n = 0;
	PushActiveSnapshot(GetLatestSnapshot());
	scan = begin_scan(rel, &key, topic_id == 0 ? 1 : 2, GetActiveSnapshot());
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (*n == room)
		{
			room *= 2;
			list = repalloc_huge(list, room * sizeof(SlOffsetListed));
		}
		read_key(tuple, RelationGetDescr(rel), &list[*n].key);
		read_tuple(tuple, RelationGetDescr(rel), &list[*n].row);
		(*n)++;
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	return list;
}

int32
sl_offset_topic_partitions(int32 group_id, int32 topic_id)
{
	SlOffsetKey key = {group_id, topic_id, 0};
	Relation	rel = open_table(AccessShareLock);
	int32		smallest = 0;
	SysScanDesc scan;
	HeapTuple	tuple;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = begin_scan(rel, &key, 2, GetActiveSnapshot());
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		int32		partitions = get_int4(tuple, Anum_topic_partitions,
										  RelationGetDescr(rel));

		CHECK_FOR_INTERRUPTS();
		if (smallest == 0 || partitions < smallest)
			smallest = partitions;
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	return smallest;
}

/*
 * Delete all rows with a value in a column.  Not by SQL, which is refused for a table
 * without a replica identity when there is a publication of all tables.
 */
static void
delete_rows(AttrNumber column, int32 value, const char *index)
{
	Relation	rel = open_table(RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(value));
	PushActiveSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, index ? sl_catalog_oid(index) : InvalidOid,
							  index != NULL, GetActiveSnapshot(), 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		CatalogTupleDelete(rel, &tuple->t_self);
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

void
sl_offset_visit(void (*visit) (void *arg, const SlOffsetKey *key, int64 next_offset),
				void *arg)
{
	Relation	rel = open_table(AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	SysScanDesc scan;
	HeapTuple	tuple;

	PushActiveSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		SlOffsetKey key;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		read_key(tuple, desc, &key);
		visit(arg, &key, DatumGetInt64(heap_getattr(tuple, Anum_next_offset, desc, &isnull)));
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
}

void
sl_offset_delete_topic(int32 topic_id)
{
	delete_rows(Anum_topic_id, topic_id, NULL);
}

void
sl_offset_delete_group(int32 group_id)
{
	delete_rows(Anum_group_id, group_id, "committed_offset_key");
}
