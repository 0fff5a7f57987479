/*
 * tablespace.c
 *		The tablespace that a topic's new segments are made in.
 *
 * A topic keeps its tablespace by name, and nothing in PostgreSQL knows that it
 * does: by the time that a segment is made the tablespace may be dropped, renamed
 * or closed to us.  The log has to go on then, so the segment goes where tables
 * go that name none.
 */
#include "postgres.h"

#include "catalog/pg_tablespace.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/tablespace.h"

/* As for CREATE TABLE: the database's own tablespace is open to all. */
static bool
may_create(Oid tablespace, Oid role)
{
	return tablespace == MyDatabaseTableSpace ||
		pg_tablespace_aclcheck(tablespace, role, ACL_CREATE) == ACLCHECK_OK;
}

static void
check_role(const char *name, Oid tablespace, Oid role)
{
	char	   *rolename;

	if (may_create(tablespace, role))
		return;
	rolename = GetUserNameFromId(role, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for tablespace \"%s\"", name),
			 errdetail("Role \"%s\" may not create tables in it.", rolename),
			 errhint("It takes GRANT CREATE ON TABLESPACE %s TO %s.",
					 quote_identifier(name), quote_identifier(rolename))));
}

void
sl_tablespace_check(const char *name)
{
	Oid			tablespace = get_tablespace_oid(name, true);

	if (!OidIsValid(tablespace))
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_CONFIG),
				 errmsg("tablespace \"%s\" does not exist", sl_clip_name(name)),
				 errhint("pg_tablespace lists the tablespaces; null is the default of the database.")));
	if (tablespace == GLOBALTABLESPACE_OID)
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_CONFIG),
				 errmsg("tablespace \"%s\" is for tables that all databases share",
						name),
				 errhint("Use another one; null is the default of the database.")));
	check_role(name, tablespace, GetUserId());
	check_role(name, tablespace, sl_catalog_owner());
}

char *
sl_tablespace_clause(const char *name, const char *topic)
{
	Oid			tablespace;

	if (name[0] == '\0')
		return pstrdup("");
	tablespace = get_tablespace_oid(name, true);
	if (OidIsValid(tablespace) && tablespace != GLOBALTABLESPACE_OID &&
		may_create(tablespace, sl_catalog_owner()))
		return psprintf(" TABLESPACE %s", quote_identifier(name));
	ereport(LOG,
			(errmsg("cannot use tablespace \"%s\" for a segment of topic \"%s\"",
					name, topic),
			 errdetail("It does not exist, or the extension's owner may not create tables in it. The segment is made in the default tablespace of the database."),
			 errhint("Change the topic's config \"%s\" with alter_topic().",
					 "tablespace")));
	return pstrdup("");
}
