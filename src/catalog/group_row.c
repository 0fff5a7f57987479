/*
 * group_row.c
 *		Consumer groups: their rows, and who may use them.
 *
 * A backend keeps the groups that it uses in a hash table by name, as topic.c does
 * topics.  Whoever changes a row, or makes one, sends the message that PostgreSQL
 * sends when the table of groups itself has changed, and every backend reads its
 * groups anew.  The lock that each transaction takes on a group before its first use
 * makes the message arrive in time; a rollback sends it to the backend itself.
 *
 * Locks (advisory ones, see offset_row.h): a group's, shared to use it and exclusive
 * to change or delete it; and that of its making, on a hash of the name, which is
 * never waited for: while somebody's transaction that makes a group is open, others
 * are told that there is none yet.  Shared locks belong to the transaction and not to
 * a savepoint, so that one comparison tells whether we have one.
 *
 * A group is its owner's and may be used by all members of that role; a superuser is
 * a member of all.  The owner is a role, which local_group names by its OID, and not
 * its name, which somebody else may be given after DROP ROLE: a group whose owner is
 * gone is for superusers until alter_group() gives it away.  The name is stored beside
 * it for a dump.  ALTER ROLE .. RENAME changes it in this database; in another one,
 * where it cannot, the group keeps its owner, but a dump has the old name until
 * alter_group() or REASSIGN OWNED stores the new one.  A dump has the name of an owner
 * that is gone, too: where it is restored, a role of that name is the owner.
 *
 * A group that came from a dump is refused, except to superusers, until
 * finish_restore() has found its owner; see log/restore.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/group_row.h"
#include "catalog/offset_row.h"
#include "catalog/owner.h"

/* The columns of consumer_group and local_group */
#define Anum_group_id		1
#define Anum_group_name		2
#define Anum_group_owner	3
#define Anum_local_group_id	1
#define Anum_local_owner	2

/* The fourth field of the tag of a lock on a group, and on the making of one */
#define SL_GROUP_LOCK		3
#define SL_MAKING_LOCK		4

static HTAB *groups = NULL;

/* streamlog.consumer_group, as it was when a group was last read */
static Oid	group_table = InvalidOid;

/* raised when any group, any role may have changed */
static uint64 group_epoch = 1;
static uint64 role_epoch = 1;

static void
invalidate_relation(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == group_table)
		group_epoch++;
}

static void
invalidate_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	role_epoch++;
}

void
sl_group_row_init(void)
{
	HASHCTL		info;

	info.keysize = sizeof(((SlConsumerGroup *) NULL)->name);
	info.entrysize = sizeof(SlConsumerGroup);
	info.hcxt = TopMemoryContext;
	groups = hash_create("streamlog consumer groups", 16, &info,
						 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_roles, (Datum) 0);
}

/* Have everybody read the rows of groups anew, when this transaction commits. */
static void
rows_changed(void)
{
	CacheInvalidateRelcacheByRelid(sl_catalog_oid("consumer_group"));
	CommandCounterIncrement();
}

static void
invalid_name(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_GROUP),
			 errmsg("invalid consumer group name \"%s\"", name),
			 errdetail("%s", detail),
			 errhint("A name has 1 to %d bytes and no control characters.",
					 SL_MAX_GROUP_NAME)));
}

static void
check_name(const char *name)
{
	size_t		len = strlen(name);

	if (len == 0)
		invalid_name(name, "It is empty.");
	if (len > SL_MAX_GROUP_NAME)
		invalid_name(sl_clip_name(name), psprintf("It has %zu bytes.", len));
	for (const char *p = name; *p; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			invalid_name(name, psprintf("It has a control character, after %d bytes.",
										(int) (p - name)));
}

void
sl_group_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_UNKNOWN_GROUP),
			 errmsg("consumer group \"%s\" does not exist", sl_clip_name(name)),
			 errhint("The view \"consumer_groups\" lists the groups; consume(), poll() and reset_offsets() make one.")));
}

/* Fill in who owns a group. */
static void
load_owner(SlConsumerGroup *group)
{
	Relation	rel = table_open(sl_catalog_oid("local_group"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *name = NULL;
	bool		isnull;

	ScanKeyInit(&key, Anum_local_group_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(group->group_id));
	scan = systable_beginscan(rel, sl_catalog_oid("local_group_pkey"), true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	group->is_local = HeapTupleIsValid(tuple);
	group->owner_id = group->is_local ?
		DatumGetObjectId(heap_getattr(tuple, Anum_local_owner, RelationGetDescr(rel), &isnull)) :
		InvalidOid;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (OidIsValid(group->owner_id))
		name = GetUserNameFromId(group->owner_id, true);
	if (name)
		namestrcpy(&group->owner, name);
}

/* Fill an entry of the cache from its row; false if there is none. */
static bool
load(SlConsumerGroup *group)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	uint64		epoch;
	int32		group_id = 0;
	bool		isnull;

	group->read_at = 0;
	group_table = sl_catalog_oid("consumer_group");
	epoch = group_epoch;		/* what changes from here on may not be seen */
	rel = table_open(group_table, AccessShareLock);
	ScanKeyEntryInitialize(&key, 0, Anum_group_name, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(group->name));
	scan = systable_beginscan(rel, sl_catalog_oid("consumer_group_name_key"), true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		group_id = DatumGetInt32(heap_getattr(tuple, Anum_group_id, RelationGetDescr(rel), &isnull));
		namestrcpy(&group->owner,
				   NameStr(*DatumGetName(heap_getattr(tuple, Anum_group_owner, RelationGetDescr(rel), &isnull))));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (group_id == 0)
		return false;

	if (group->group_id != group_id)
		group->locked_in = InvalidLocalTransactionId;
	group->group_id = group_id;
	group->allowed_user = InvalidOid;
	group->offsets = sl_catalog_oid("committed_offset");
	load_owner(group);
	group->read_at = epoch;
	return true;
}

/* The entry of a group; NULL if there is none. */
static SlConsumerGroup *
look_up(const char *name)
{
	SlConsumerGroup *group = hash_search(groups, name, HASH_FIND, NULL);
	SlConsumerGroup found = {0};

	if (group != NULL)
		return group->read_at == group_epoch || load(group) ? group : NULL;

	/* make no entry for what is not there */
	strlcpy(found.name, name, sizeof(found.name));
	if (!load(&found))
		return NULL;
	group = hash_search(groups, name, HASH_ENTER, NULL);
	memcpy(group, &found, sizeof(SlConsumerGroup));
	return group;
}

static void
refuse(const SlConsumerGroup *group)
{
	bool		is_gone = GetUserNameFromId(group->owner_id, true) == NULL;

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for consumer group \"%s\"", group->name),
			 !group->is_local ?
			 errdetail("It was restored from a dump, and its owner has not been found yet.") :
			 is_gone ?
			 errdetail("Its owner, role \"%s\", has been dropped.", NameStr(group->owner)) :
			 errdetail("It belongs to role \"%s\".", NameStr(group->owner)),
			 !group->is_local ?
			 errhint("Run SELECT * FROM streamlog.finish_restore() as the owner of the extension.") :
			 is_gone ?
			 errhint("A superuser can give it to a role with alter_group(%s, owner => ...).",
					 quote_literal_cstr(group->name)) :
			 errhint("Its owner can give it, with alter_group(%s, owner => ...), to a role of which all who use it are members.",
					 quote_literal_cstr(group->name))));
}

/* Raise unless the current user may use a group. */
static void
check_user(SlConsumerGroup *group)
{
	Oid			user = GetUserId();

	if (group->allowed_user == user && group->allowed_epoch == role_epoch)
		return;
	/* a lock that is held already has not brought the news of roles */
	AcceptInvalidationMessages();
	if (!superuser_arg(user) &&
		(!OidIsValid(group->owner_id) || !has_privs_of_role(user, group->owner_id)))
		refuse(group);
	group->allowed_user = user;
	group->allowed_epoch = role_epoch;
}

static void
set_locktag(LOCKTAG *tag, int32 group_id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) group_id, 0, SL_GROUP_LOCK);
}

static void
lock_for_transaction(const LOCKTAG *tag)
{
	ResourceOwner save = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		(void) LockAcquire(tag, ShareLock, false, false);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = save;
	}
	PG_END_TRY();
}

static void
check_call(const char *name)
{
	check_name(name);
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot use a consumer group during recovery"),
				 errhint("Connect to the primary, or promote this server.")));
}

/* A group with a lock that is not recorded; NULL if there is none. */
static SlConsumerGroup *
open_locked(const char *name, LOCKMODE lockmode)
{
	for (;;)
	{
		SlConsumerGroup *group = look_up(name);
		LOCKTAG		tag;
		int32		group_id;

		if (group == NULL)
			return NULL;
		/* who has no right to it may not lock it */
		check_user(group);
		group_id = group->group_id;
		set_locktag(&tag, group_id);
		if (lockmode == ShareLock)
			lock_for_transaction(&tag);
		else
			(void) LockAcquire(&tag, lockmode, false, false);
		AcceptInvalidationMessages();

		/* it may have been changed or deleted while we waited */
		group = look_up(name);
		if (group != NULL && group->group_id == group_id)
		{
			check_user(group);
			return group;
		}
		if (lockmode != ShareLock)
			(void) LockRelease(&tag, lockmode, false);
	}
}

SlConsumerGroup *
sl_group_open(const char *name)
{
	SlConsumerGroup *group;

	check_call(name);
	group = hash_search(groups, name, HASH_FIND, NULL);
	if (group == NULL || group->read_at != group_epoch ||
		group->locked_in != MyProc->lxid)
	{
		group = open_locked(name, ShareLock);
		if (group)
			group->locked_in = MyProc->lxid;
		return group;
	}
	check_user(group);
	return group;
}

bool
sl_group_is_locked(const SlConsumerGroup *group)
{
	return group->locked_in == MyProc->lxid;
}

void
sl_group_unlock(SlConsumerGroup *group)
{
	ResourceOwner save = CurrentResourceOwner;
	LOCKTAG		tag;

	if (group == NULL || !sl_group_is_locked(group))
		return;
	group->locked_in = InvalidLocalTransactionId;
	set_locktag(&tag, group->group_id);
	CurrentResourceOwner = TopTransactionResourceOwner;
	(void) LockRelease(&tag, ShareLock, false);
	CurrentResourceOwner = save;
}

/* In the middle of a restore there may be rows that the sequence does not know of. */
static bool
is_id_in_use(int32 group_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(group_id)};

	return sl_catalog_fetch_id("SELECT pg_catalog.count(*) FROM (SELECT group_id FROM streamlog.consumer_group"
							   " UNION ALL SELECT group_id FROM streamlog.committed_offset) u"
							   " WHERE group_id = $1",
							   lengthof(types), types, values) > 0;
}

static int32
new_id(void)
{
	int32		group_id;

	do
	{
		CHECK_FOR_INTERRUPTS();
		group_id = (int32) sl_catalog_fetch_id("SELECT pg_catalog.nextval('streamlog.group_id_seq')",
											   0, NULL, NULL);
	} while (is_id_in_use(group_id));
	return group_id;
}

SlConsumerGroup *
sl_group_look(const char *name)
{
	SlConsumerGroup *group;

	check_call(name);
	group = look_up(name);
	if (group)
		check_user(group);
	return group;
}

static void
insert(const char *name, Oid owner)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[4];

	sl_owner_lock(owner, AccessShareLock);
	values[0] = Int32GetDatum(new_id());
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(GetUserNameFromId(owner, false));
	values[3] = ObjectIdGetDatum(owner);
	sl_catalog_execute("WITH made AS (INSERT INTO streamlog.consumer_group"
					   " VALUES ($1, $2, $3::name, pg_catalog.now(), pg_catalog.now()))"
					   " INSERT INTO streamlog.local_group VALUES ($1, $4)",
					   lengthof(types), types, values);
	rows_changed();
}

void
sl_group_set_making_locktag(LOCKTAG *tag, const char *name)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId,
						 hash_bytes((const unsigned char *) name, strlen(name)),
						 0, SL_MAKING_LOCK);
}

SlConsumerGroup *
sl_group_open_or_create(const char *name)
{
	SlConsumerGroup *group = sl_group_open(name);
	LOCKTAG		tag;

	if (group != NULL)
		return group;
	sl_group_set_making_locktag(&tag, name);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return NULL;
	/* who had the lock until now may have made it */
	if (look_up(name) == NULL)
		insert(name, GetUserId());
	else
		(void) LockRelease(&tag, ExclusiveLock, false);
	return sl_group_open(name);
}

SlConsumerGroup *
sl_group_open_exclusive(const char *name)
{
	SlConsumerGroup *group;

	check_call(name);
	group = open_locked(name, ExclusiveLock);
	if (group == NULL)
		sl_group_unknown(name);
	return group;
}

bool
sl_group_lock_unused(int32 group_id)
{
	LOCKTAG		tag;

	set_locktag(&tag, group_id);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
sl_group_set_owner(SlConsumerGroup *group, Oid owner)
{
	Oid			types[] = {INT4OID, TEXTOID, OIDOID};
	Datum		values[3];

	sl_owner_lock(owner, AccessShareLock);
	values[0] = Int32GetDatum(group->group_id);
	values[1] = CStringGetTextDatum(GetUserNameFromId(owner, false));
	values[2] = ObjectIdGetDatum(owner);
	sl_catalog_execute("WITH owned AS (INSERT INTO streamlog.local_group VALUES ($1, $3)"
					   " ON CONFLICT (group_id) DO UPDATE SET owner = excluded.owner)"
					   " UPDATE streamlog.consumer_group SET owner = $2::name, last_used = pg_catalog.now() WHERE group_id = $1",
					   lengthof(types), types, values);
	rows_changed();
}

void
sl_group_delete(int32 group_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(group_id)};

	sl_offset_delete_group(group_id);
	sl_catalog_execute("DELETE FROM streamlog.local_group WHERE group_id = $1",
					   lengthof(types), types, values);
	sl_catalog_execute("DELETE FROM streamlog.consumer_group WHERE group_id = $1",
					   lengthof(types), types, values);
	rows_changed();
}

void
sl_group_rename_owner(const char *before, const char *after)
{
	Oid			types[] = {TEXTOID, TEXTOID, OIDOID};
	Datum		values[] = {
		CStringGetTextDatum(before),
		CStringGetTextDatum(after),
		ObjectIdGetDatum(get_role_oid(after, false))
	};

	/* those of a dump know their owner by name alone */
	sl_catalog_execute("UPDATE streamlog.consumer_group g SET owner = $2::name"
					   " WHERE CASE WHEN EXISTS (SELECT FROM streamlog.local_group l WHERE l.group_id = g.group_id)"
					   " THEN EXISTS (SELECT FROM streamlog.local_group l WHERE l.group_id = g.group_id AND l.owner = $3)"
					   " ELSE g.owner = $1::name END",
					   lengthof(types), types, values);
	rows_changed();
}

void
sl_group_reassign(List *roles, Oid after)
{
	Datum	   *oids = palloc(list_length(roles) * sizeof(Datum));
	Oid			types[] = {OIDARRAYOID, TEXTOID, OIDOID};
	Datum		values[3];
	ListCell   *lc;
	int			n = 0;

	foreach(lc, roles)
		oids[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	sl_owner_lock(after, AccessShareLock);
	values[0] = PointerGetDatum(construct_array(oids, n, OIDOID, sizeof(Oid), true,
												TYPALIGN_INT));
	values[1] = CStringGetTextDatum(GetUserNameFromId(after, false));
	values[2] = ObjectIdGetDatum(after);
	sl_catalog_execute("WITH given AS (UPDATE streamlog.local_group SET owner = $3"
					   " WHERE owner = ANY ($1) RETURNING group_id)"
					   " UPDATE streamlog.consumer_group SET owner = $2::name"
					   " WHERE group_id IN (SELECT group_id FROM given)",
					   lengthof(types), types, values);
	rows_changed();
}

/* Tell of the groups that are about to have no owner. */
static void
notice_ownerless(void)
{
	char	   *names;

	names = sl_catalog_fetch_text("SELECT pg_catalog.string_agg(pg_catalog.quote_literal(g.name), ', ' ORDER BY g.name)"
								  " FROM streamlog.consumer_group g"
								  " WHERE NOT EXISTS (SELECT FROM streamlog.local_group l WHERE l.group_id = g.group_id)"
								  " AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = g.owner)",
								  0, NULL, NULL);
	if (names)
		ereport(NOTICE,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owners of some consumer groups do not exist"),
				 errdetail("The groups are %s.", names),
				 errhint("A superuser can give them to a role with alter_group().")));
}

void
sl_group_finish_restore(void)
{
	notice_ownerless();
	/* a dump may be old; its groups are not to expire before they can be used */
	sl_catalog_execute("UPDATE streamlog.consumer_group g SET last_used = pg_catalog.now()"
					   " WHERE NOT EXISTS (SELECT FROM streamlog.local_group l WHERE l.group_id = g.group_id)",
					   0, NULL, NULL);
	sl_catalog_execute("INSERT INTO streamlog.local_group"
					   " SELECT g.group_id, coalesce(r.oid, 0)"
					   " FROM streamlog.consumer_group g LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.owner"
					   " ON CONFLICT DO NOTHING",
					   0, NULL, NULL);
	rows_changed();
}
