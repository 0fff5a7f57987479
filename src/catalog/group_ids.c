/*
 * group_ids.c
 *		All consumer groups: who may see which, and which are not used any more.
 *
 * A group that came from a dump and is not in local_group belongs to nobody yet: who
 * monitors sees it, and it is not unused.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/catalog.h"
#include "catalog/group_ids.h"

/* consumer_group and local_group begin with the id; the latter goes on with the owner. */
#define Anum_id		1
#define Anum_owner	2

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

int32 *
sl_group_list_visible(int *n)
{
	bool		sees_all = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	Relation	rel = table_open(sl_catalog_oid(sees_all ? "consumer_group" : "local_group"),
								 AccessShareLock);
	int			room = 64;
	int32	   *ids = palloc_array(int32, room);
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	*n = 0;
	PushActiveSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (!sees_all &&
			!has_privs_of_role(GetUserId(),
							   DatumGetObjectId(heap_getattr(tuple, Anum_owner, RelationGetDescr(rel), &isnull))))
			continue;
		if (*n == room)
		{
			room *= 2;
			ids = repalloc_huge(ids, room * sizeof(int32));
		}
		ids[(*n)++] = DatumGetInt32(heap_getattr(tuple, Anum_id, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	qsort(ids, *n, sizeof(int32), compare_ids);
	return ids;
}

bool
sl_group_is_listed(const int32 *ids, int n, int32 group_id)
{
	return bsearch(&group_id, ids, n, sizeof(int32), compare_ids) != NULL;
}

static Datum
array_of(const int32 *ids, int n)
{
	Datum	   *elements = palloc_array(Datum, Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(ids[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

void
sl_group_renew(const int32 *ids, int n, int64 age)
{
	Oid			types[] = {INT4ARRAYOID, INT8OID};
	Datum		values[] = {array_of(ids, n), Int64GetDatum(age)};

	sl_catalog_execute("UPDATE streamlog.consumer_group SET last_used = pg_catalog.now()"
					   " WHERE group_id IN (SELECT group_id FROM streamlog.consumer_group"
					   " WHERE group_id = ANY ($1)"
					   " AND last_used <= pg_catalog.now() - $2 * interval '1 millisecond'"
					   " FOR NO KEY UPDATE SKIP LOCKED)",
					   lengthof(types), types, values);
}

int32 *
sl_group_list_unused(int64 age, int max, int *n)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[] = {Int64GetDatum(age), Int32GetDatum(max)};
	char	   *list;
	int32	   *ids = palloc_array(int32, max);

	*n = 0;
	list = sl_catalog_fetch_text("SELECT pg_catalog.string_agg(group_id::text, ' ') FROM"
								 " (SELECT group_id FROM streamlog.consumer_group"
								 " JOIN streamlog.local_group USING (group_id)"
								 " WHERE last_used < pg_catalog.now() - $1 * interval '1 millisecond'"
								 " ORDER BY last_used LIMIT $2) u",
								 lengthof(types), types, values);
	for (char *id = list; id && *id && *n < max;)
		ids[(*n)++] = strtol(id, &id, 10);
	return ids;
}
