/*
 * role_commands.c
 *		What commands on roles mean for the topics that they own.
 *
 * PostgreSQL does its part of each command first, with all checks of who may do
 * it.  The topics follow in the same transaction.  Only those of this database
 * can: in another one a topic of a role that has been given a new name has no
 * owner until alter_topic() gives it one.
 *
 * GRANT and REVOKE by a superuser are on any table as if its owner gave them.  That
 * is the table's owner, with whom the grants of a topic's owner do not begin: what
 * he has granted a superuser could not revoke, nor he what a superuser has.  So
 * what a superuser grants is made the topic owner's, and a REVOKE is done once
 * more, as the topic's owner.
 *
 * For the same reason DROP OWNED leaves what the owners of topics have granted to
 * the role; that is taken from it, too.  A topic of the role itself stays, and has no
 * owner: the rights that make him one are revoked.  DROP ROLE is refused before that.
 *
 * A consumer group is given on by REASSIGN OWNED, too.  DROP OWNED leaves it alone: it
 * is how far some readers have got, which is of use to whoever reads on in the role's
 * place, and costs a few rows.  DROP ROLE asks nobody: the group then has no owner (see
 * group_row.c) until alter_group() gives it one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "catalog/catalog.h"
#include "catalog/group_row.h"
#include "catalog/owner.h"
#include "catalog/topic_row.h"
#include "sql/role_commands.h"

List *
sl_role_owned_topics(ReassignOwnedStmt *statement)
{
	if (!OidIsValid(sl_catalog_owner()))
		return NIL;
	return sl_owner_list(roleSpecsToIds(statement->roles));
}

void
sl_role_reassign(ReassignOwnedStmt *statement, List *owned)
{
	Oid			after = get_rolespec_oid(statement->newrole, false);

	if (owned != NIL)
		sl_owner_reassign(owned, after);
	if (OidIsValid(sl_catalog_owner()))
		sl_group_reassign(roleSpecsToIds(statement->roles), after);
}

void
sl_role_dropped_owned(DropOwnedStmt *statement)
{
	ListCell   *lc;

	/* the extension may have been among what was dropped */
	CommandCounterIncrement();
	if (!OidIsValid(sl_catalog_owner()))
		return;
	foreach(lc, roleSpecsToIds(statement->roles))
		sl_owner_forget(lfirst_oid(lc));
}

void
sl_role_renamed(RenameStmt *statement)
{
	if (!OidIsValid(sl_catalog_owner()))
		return;
	sl_owner_rename(statement->subname, statement->newname);
	sl_group_rename_owner(statement->subname, statement->newname);
}

/* The tables in schema topic that a statement is about; they may not be topics. */
static List *
tables_of(GrantStmt *statement)
{
	Oid			schema = get_namespace_oid(SL_TOPIC_SCHEMA, true);
	List	   *tables = NIL;
	ListCell   *lc;

	if (!OidIsValid(schema) || statement->objtype != OBJECT_TABLE)
		return NIL;
	if (statement->targtype == ACL_TARGET_OBJECT)
	{
		foreach(lc, statement->objects)
		{
			Oid			table = RangeVarGetRelid(lfirst(lc), NoLock, true);

			if (OidIsValid(table) && get_rel_namespace(table) == schema)
				tables = lappend_oid(tables, table);
		}
		return tables;
	}
	if (statement->targtype == ACL_TARGET_ALL_IN_SCHEMA)
	{
		foreach(lc, statement->objects)
		{
			if (strcmp(strVal(lfirst(lc)), SL_TOPIC_SCHEMA) == 0)
				return sl_topic_list_owned(NULL);
		}
	}
	return NIL;
}

/* Those of a statement's grantees that the owner of a topic may revoke from */
static List *
grantees_but(List *grantees, Oid owner)
{
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, grantees)
	{
		RoleSpec   *role = copyObject(lfirst_node(RoleSpec, lc));

		if (role->roletype != ROLESPEC_PUBLIC)
		{
			Oid			grantee = get_rolespec_oid(role, false);

			if (grantee == owner)
				continue;
			/* CURRENT_USER is another when it is done again */
			role->roletype = ROLESPEC_CSTRING;
			role->rolename = GetUserNameFromId(grantee, false);
		}
		others = lappend(others, role);
	}
	return others;
}

/* Those of a statement's privileges that the owner of a topic holds; NIL is all. */
static List *
privileges_of_owner(List *privileges)
{
	List	   *held = NIL;
	ListCell   *lc;

	foreach(lc, privileges)
	{
		AccessPriv *privilege = lfirst_node(AccessPriv, lc);

		if (privilege->priv_name == NULL ||
			strcmp(privilege->priv_name, "select") == 0 ||
			strcmp(privilege->priv_name, "insert") == 0)
			held = lappend(held, privilege);
	}
	return held;
}

static void
revoke_as_owner(GrantStmt *statement, SlTopic *topic, Oid owner)
{
	GrantStmt  *again = copyObject(statement);
	Oid			save_user;
	int			save_context;

	again->targtype = ACL_TARGET_OBJECT;
	again->objects = list_make1(makeRangeVar(SL_TOPIC_SCHEMA,
											 get_rel_name(topic->relation), -1));
	again->grantees = grantees_but(statement->grantees, owner);
	again->privileges = privileges_of_owner(statement->privileges);
	again->grantor = NULL;
	if (again->grantees == NIL ||
		(again->privileges == NIL && statement->privileges != NIL))
		return;

	/* an error restores this as it unwinds the (sub)transaction */
	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(owner, save_context | SECURITY_LOCAL_USERID_CHANGE);
	ExecuteGrantStmt(again);
	SetUserIdAndSecContext(save_user, save_context);
	CommandCounterIncrement();
}

void
sl_role_granted(GrantStmt *statement)
{
	List	   *tables;
	ListCell   *lc;
	bool		is_cut;

	if (!OidIsValid(sl_catalog_owner()))
		return;
	tables = tables_of(statement);
	if (tables == NIL)
		return;
	CommandCounterIncrement();
	is_cut = statement->is_grant &&
		list_length(privileges_of_owner(statement->privileges)) <
		list_length(statement->privileges);
	foreach(lc, tables)
	{
		SlTopic    *topic = sl_topic_find_by_relation(lfirst_oid(lc));
		Oid			owner;

		/* one that is being restored is granted what its dump says */
		if (topic == NULL || !topic->is_local ||
			!has_privs_of_role(GetUserId(), topic->table_owner))
			continue;
		if (is_cut)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING_PRIVILEGE_NOT_GRANTED),
					 errmsg("not all privileges were granted for topic \"%s\"",
							topic->name),
					 errdetail("A topic has the privileges SELECT and INSERT.")));
		owner = sl_topic_owner(topic);
		if (statement->is_grant)
			sl_owner_take_grants(topic, owner);
		else if (OidIsValid(owner) && owner != topic->table_owner)
			revoke_as_owner(statement, topic, owner);
	}
}
