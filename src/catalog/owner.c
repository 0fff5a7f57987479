/*
 * owner.c
 *		Who owns a topic: changes of it.
 *
 * The table of a topic belongs to the extension's owner, always.  The topic's
 * owner is a name in its row, and what he holds on the table: SELECT and INSERT
 * with grant option, from the table's owner.  So a new owner means a new name, and
 * an ACL in which he stands wherever the old one did, as grantee and as grantor:
 * what ALTER TABLE .. OWNER TO does.  Grantees keep what they have, and the new
 * owner can revoke it.
 *
 * It differs where the owner of a table is two here:
 *
 * The table's owner keeps his own entry.  What he has granted, or a superuser, who
 * grants as him, are the topic owner's grants, like a superuser's on any table:
 * the owner could not revoke them else, which REVOKE does not even say.
 *
 * There are no other rights to a topic than SELECT and INSERT.  Its table has more,
 * and who had TRIGGER could put his code into other people's INSERT: GRANT ALL by a
 * superuser leaves those out.
 *
 * What others have granted to the new owner is dropped, for he has it all from the
 * table's owner; kept, it could be a circle: he grants to them, and they to him,
 * and no REVOKE would end it.
 *
 * A role's name is read and stored under a shared lock on it, and changed in our
 * rows, when PostgreSQL has changed it, under an exclusive one: so no row is left
 * with the old name.
 *
 * Other transactions: the lock on the table keeps out a second change, DROP and
 * VACUUM.  GRANT and REVOKE take no lock; one that is at the same ACL at the same
 * time fails, or makes us fail, as two of them do.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_shdepend.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "catalog/topic_row.h"

/* What a topic's owner holds on its table */
#define SL_OWNER_RIGHTS		(ACL_SELECT | ACL_INSERT)
#define SL_OWNER_ITEM_RIGHTS \
	(SL_OWNER_RIGHTS | ACL_GRANT_OPTION_FOR(SL_OWNER_RIGHTS))

/* What tells the lock on an owner's name from those that create_topic() takes */
#define SL_OWNER_LOCK		1

/* A change of owner, as an ACL sees it */
typedef struct SlOwnerChange
{
	Oid			relation;
	Oid			table_owner;
	Oid			before;			/* InvalidOid if there was none */
	Oid			after;			/* InvalidOid: there shall be none */
} SlOwnerChange;

void
sl_owner_lock(Oid owner, LOCKMODE lockmode)
{
	LockDatabaseObject(sl_catalog_oid("topic"), owner, SL_OWNER_LOCK, lockmode);
}

void
sl_owner_check_new(Oid owner)
{
	Oid			schema = get_namespace_oid(SL_TOPIC_SCHEMA, false);
	const char *name = GetUserNameFromId(owner, false);

	if (superuser())
		return;
	check_is_member_of_role(GetUserId(), owner);
	if (pg_namespace_aclcheck(schema, owner, ACL_CREATE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not own a topic", name),
				 errhint("It takes GRANT CREATE ON SCHEMA topic TO %s.",
						 quote_identifier(name))));
}

/* Add an item to an ACL, which is replaced. */
static void
add_item(Acl **acl, AclItem item, AclMode rights)
{
	ACLITEM_SET_RIGHTS(item, rights);

	/*
	 * Items come in any order, so nothing can be said of circles before the
	 * last. An owner's grant is not looked at for them.
	 */
	*acl = aclupdate(*acl, &item, ACL_MODECHG_ADD, item.ai_grantor, DROP_RESTRICT);
}

/* An ACL with the table owner's own rights alone */
static Acl *
forget_all(const SlOwnerChange *change, const Acl *acl)
{
	Acl		   *result = make_empty_acl();

	for (int i = 0; i < ACL_NUM(acl); i++)
		if (ACL_DAT(acl)[i].ai_grantee == change->table_owner)
			add_item(&result, ACL_DAT(acl)[i], ACLITEM_GET_RIGHTS(ACL_DAT(acl)[i]));
	return result;
}

/* An ACL with nothing granted to a role, or by it */
static Acl *
forget_role(const SlOwnerChange *change, const Acl *acl)
{
	Acl		   *result = aclcopy(acl);

	for (int i = 0; i < ACL_NUM(result);)
	{
		AclItem		item = ACL_DAT(result)[i];

		if (item.ai_grantee != change->before && item.ai_grantor != change->before)
		{
			i++;
			continue;
		}
		/* with what depends on it, so begin anew */
		result = aclupdate(result, &item, ACL_MODECHG_DEL, change->table_owner,
						   DROP_CASCADE);
		i = 0;
	}
	return result;
}

/* The ACL of a table or of a column with the new owner in the old one's place */
static Acl *
change_acl(const SlOwnerChange *change, const Acl *acl)
{
	Acl		   *result;

	if (!OidIsValid(change->after))
		return OidIsValid(change->before) ? forget_role(change, acl) :
			forget_all(change, acl);
	result = make_empty_acl();
	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		AclItem		item = ACL_DAT(acl)[i];
		AclMode		rights = ACLITEM_GET_RIGHTS(item);

		if (item.ai_grantor == change->table_owner &&
			item.ai_grantee != change->table_owner &&
			item.ai_grantee != change->before)
		{
			item.ai_grantor = change->after;
		}
		else if (OidIsValid(change->before) &&
				 change->before != change->table_owner)
		{
			if (item.ai_grantor == change->before)
				item.ai_grantor = change->after;
			if (item.ai_grantee == change->before)
				item.ai_grantee = change->after;
		}
		if (item.ai_grantee == change->after &&
			item.ai_grantor != change->table_owner)
			rights &= ~SL_OWNER_ITEM_RIGHTS;
		/* a table's owner has his grant options from nobody */
		if (item.ai_grantee == change->table_owner)
			rights &= ~ACL_GRANT_OPTION_FOR(SL_OWNER_RIGHTS);
		else
			rights &= SL_OWNER_ITEM_RIGHTS;
		add_item(&result, item, rights);
	}
	return result;
}

static void
update_dependencies(const SlOwnerChange *change, int16 attnum, const Acl *before,
					const Acl *after)
{
	Oid		   *old_members;
	Oid		   *new_members;
	int			n_old = aclmembers(before, &old_members);
	int			n_new = aclmembers(after, &new_members);

	updateAclDependencies(RelationRelationId, change->relation, attnum,
						  change->table_owner, n_old, old_members, n_new,
						  new_members);
}

static void
change_table(SlOwnerChange *change)
{
	Relation	rel = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(change->relation));
	Datum		values[Natts_pg_class] = {0};
	bool		nulls[Natts_pg_class] = {0};
	bool		replaced[Natts_pg_class] = {0};
	AclItem		owner = {0};
	Datum		datum;
	bool		isnull;
	Acl		   *before;
	Acl		   *after;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", change->relation);
	change->table_owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	before = isnull ? acldefault(OBJECT_TABLE, change->table_owner) :
		DatumGetAclPCopy(datum);

	after = change_acl(change, before);
	if (OidIsValid(change->after) && change->after != change->table_owner)
	{
		owner.ai_grantee = change->after;
		owner.ai_grantor = change->table_owner;
		add_item(&after, owner, SL_OWNER_ITEM_RIGHTS);
	}

	if (isnull || !aclequal(before, after))
	{
		replaced[Anum_pg_class_relacl - 1] = true;
		values[Anum_pg_class_relacl - 1] = PointerGetDatum(after);
		tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaced);
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		update_dependencies(change, 0, isnull ? NULL : before, after);
	}
	table_close(rel, RowExclusiveLock);
}

static void
change_columns(const SlOwnerChange *change)
{
	Relation	rel = table_open(AttributeRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(change->relation));
	scan = systable_beginscan(rel, AttributeRelidNumIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Datum		values[Natts_pg_attribute] = {0};
		bool		nulls[Natts_pg_attribute] = {0};
		bool		replaced[Natts_pg_attribute] = {0};
		bool		isnull;
		Datum		datum = heap_getattr(tuple, Anum_pg_attribute_attacl,
										 RelationGetDescr(rel), &isnull);
		Acl		   *before;
		Acl		   *after;

		if (isnull || ((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
			continue;
		before = DatumGetAclPCopy(datum);
		after = change_acl(change, before);

		replaced[Anum_pg_attribute_attacl - 1] = true;
		values[Anum_pg_attribute_attacl - 1] = PointerGetDatum(after);
		nulls[Anum_pg_attribute_attacl - 1] = ACL_NUM(after) == 0;
		update_dependencies(change, ((Form_pg_attribute) GETSTRUCT(tuple))->attnum,
							before, after);
		tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replaced);
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

static void
change_privileges(SlOwnerChange *change)
{
	change_table(change);
	change_columns(change);
	InvokeObjectPostAlterHook(RelationRelationId, change->relation, 0);
	CommandCounterIncrement();
}

void
sl_owner_take_grants(const SlTopic *topic, Oid owner)
{
	Oid			taker = OidIsValid(owner) ? owner : topic->table_owner;
	SlOwnerChange change = {topic->relation, InvalidOid, owner, taker};

	LockRelationOid(topic->relation, ShareUpdateExclusiveLock);
	change_privileges(&change);
}

void
sl_owner_change(const SlTopic *topic, Oid before, Oid after)
{
	SlOwnerChange change = {topic->relation, InvalidOid, before, after};

	if (before == after)
		return;
	sl_owner_lock(after, AccessShareLock);
	change_privileges(&change);
	sl_topic_set_owner(topic->topic_id, topic->relation, GetUserNameFromId(after, false));
	CommandCounterIncrement();
}

void
sl_owner_forget_all(const SlTopic *topic)
{
	SlOwnerChange change = {topic->relation, InvalidOid, InvalidOid, InvalidOid};

	change_privileges(&change);
}

/* Is anything of a table granted to the role, or by it? */
static bool
is_granted(Oid relation, Oid role)
{
	Relation	rel = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&keys[0], Anum_pg_shdepend_dbid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(MyDatabaseId));
	ScanKeyInit(&keys[1], Anum_pg_shdepend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[2], Anum_pg_shdepend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(rel, SharedDependDependerIndexId, true, NULL,
							  lengthof(keys), keys);
	while (!found && (tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_shdepend row = (Form_pg_shdepend) GETSTRUCT(tuple);

		found = row->deptype == SHARED_DEPENDENCY_ACL && row->refobjid == role;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

void
sl_owner_forget(Oid role)
{
	List	   *relations = sl_topic_list_owned(NULL);
	ListCell   *lc;

	foreach(lc, relations)
	{
		SlOwnerChange change = {lfirst_oid(lc), InvalidOid, role, InvalidOid};

		if (!is_granted(change.relation, role))
			continue;
		LockRelationOid(change.relation, ShareUpdateExclusiveLock);
		if (is_granted(change.relation, role))
			change_privileges(&change);
	}
}

List *
sl_owner_list(List *roles)
{
	List	   *owned = NIL;
	ListCell   *lc;

	foreach(lc, roles)
	{
		Oid			role = lfirst_oid(lc);
		List	   *relations = sl_topic_list_owned(GetUserNameFromId(role, false));
		ListCell   *rc;

		foreach(rc, relations)
		{
			SlTopic    *topic = sl_topic_find_by_relation(lfirst_oid(rc));
			SlOwned    *item;

			if (topic == NULL || sl_topic_owner(topic) != role)
				continue;
			item = palloc(sizeof(SlOwned));
			item->relation = topic->relation;
			item->owner = role;
			owned = lappend(owned, item);
		}
	}
	return owned;
}

void
sl_owner_reassign(List *owned, Oid after)
{
	ListCell   *lc;

	foreach(lc, owned)
	{
		SlOwned    *item = lfirst(lc);
		SlTopic    *topic;

		LockRelationOid(item->relation, ShareUpdateExclusiveLock);
		topic = sl_topic_find_by_relation(item->relation);
		if (topic != NULL &&
			get_role_oid(NameStr(topic->owner), true) == item->owner)
			sl_owner_change(topic, item->owner, after);
	}
}

void
sl_owner_rename(const char *before, const char *after)
{
	sl_owner_lock(get_role_oid(after, false), AccessExclusiveLock);
	sl_topic_rename_owner(before, after);
	CommandCounterIncrement();
}
