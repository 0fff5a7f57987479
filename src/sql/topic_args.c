/*
 * topic_args.c
 *		The argument that names a topic.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/acl.h"

#include "sql/topic_args.h"

SlTopic *
sl_open_to_read(const char *name, int len)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot read a topic during recovery"),
				 errdetail("What may be read is known on the primary only."),
				 errhint("Connect to the primary, or promote this server.")));
	return sl_topic_open(name, len, AccessShareLock, ACL_SELECT);
}

SlTopic *
sl_open_topic_to_read(FunctionCallInfo fcinfo, const char *function)
{
	text	   *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of %s must not be null", "topic", function)));
	name = PG_GETARG_TEXT_PP(0);
	return sl_open_to_read(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}
