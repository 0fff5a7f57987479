/*
 * group_args.c
 *		The arguments that the calls of a consumer have in common.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "catalog/group_row.h"
#include "catalog/topic_row.h"
#include "group/assignor.h"
#include "sql/group_args.h"
#include "sql/interval_arg.h"
#include "sql/topic_args.h"

char *
sl_group_args_text(FunctionCallInfo fcinfo, int arg)
{
	return arg < 0 || PG_ARGISNULL(arg) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

void
sl_group_args_not_null(FunctionCallInfo fcinfo, int arg, const char *function,
					   const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" of %s must not be null", name, function)));
}

int64
sl_group_args_interval(FunctionCallInfo fcinfo, int arg, const char *function,
					   const char *name)
{
	return PG_ARGISNULL(arg) ? 0 :
		sl_interval_ms(PG_GETARG_INTERVAL_P(arg), name, function);
}

SlResetPolicy
sl_group_args_reset_policy(FunctionCallInfo fcinfo, int arg,
						   SlResetPolicy default_policy)
{
	char	   *name = sl_group_args_text(fcinfo, arg);

	if (name == NULL)
		return default_policy;
	if (strcmp(name, "earliest") == 0)
		return SL_RESET_EARLIEST;
	if (strcmp(name, "latest") == 0)
		return SL_RESET_LATEST;
	if (strcmp(name, "none") == 0)
		return SL_RESET_NONE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\": \"%s\"",
					"auto_offset_reset", name),
			 errhint("Use 'earliest', 'latest' or 'none'.")));
}

SlSeekTarget
sl_group_args_target(FunctionCallInfo fcinfo, int arg, bool with_shift)
{
	SlSeekTarget target = {0};
	char	   *position = sl_group_args_text(fcinfo, arg + 2);
	int			given = 0;

	for (int i = arg; i < arg + (with_shift ? 4 : 3); i++)
		if (!PG_ARGISNULL(i))
			given++;
	if (given != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 with_shift ?
				 errmsg("exactly one of \"%s\", \"%s\", \"%s\" and \"%s\" must be given",
						"to_offset", "to_time", "to_position", "shift_by") :
				 errmsg("exactly one of \"%s\", \"%s\" and \"%s\" must be given",
						"to_offset", "to_time", "to_position")));
	if (!PG_ARGISNULL(arg))
	{
		target.kind = SL_SEEK_OFFSET;
		target.offset = PG_GETARG_INT64(arg);
	}
	else if (!PG_ARGISNULL(arg + 1))
	{
		target.kind = SL_SEEK_TIME;
		target.time = PG_GETARG_TIMESTAMPTZ(arg + 1);
	}
	else if (position == NULL)
	{
		target.kind = SL_SEEK_SHIFT;
		target.offset = PG_GETARG_INT64(arg + 3);
	}
	else if (strcmp(position, "earliest") == 0)
		target.kind = SL_SEEK_EARLIEST;
	else if (strcmp(position, "latest") == 0)
		target.kind = SL_SEEK_LATEST;
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": \"%s\"",
						"to_position", position),
				 errhint("Use 'earliest' or 'latest'.")));
	return target;
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

ArrayType *
sl_group_args_topics(FunctionCallInfo fcinfo, int arg, bool is_list)
{
	Datum		name;

	if (is_list)
		return PG_GETARG_ARRAYTYPE_P(arg);
	name = PointerGetDatum(PG_GETARG_TEXT_PP(arg));
	if (VARSIZE_ANY_EXHDR(name) > 0 && *VARDATA_ANY(name) == '{')
		return DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN,
													   TextDatumGetCString(name),
													   TEXTOID, -1));
	return construct_array(&name, 1, TEXTOID, -1, false, TYPALIGN_INT);
}

/* The names that an array or a text gives; none if it is null. */
static List *
named_topics(FunctionCallInfo fcinfo, const SlGroupArgs *args)
{
	List	   *names = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (PG_ARGISNULL(args->topics))
		return NIL;
	deconstruct_array(sl_group_args_topics(fcinfo, args->topics, args->is_list),
					  TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of %s must not contain a null",
							"topics", args->function)));
		names = lappend(names, TextDatumGetCString(elements[i]));
	}
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must not be empty", "topics",
						args->function)));
	return names;
}

/* The topics that match a pattern, and that the current user may read */
static List *
matching_topics(const char *pattern)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, sl_topic_list_readable())
		if (DatumGetBool(DirectFunctionCall2Coll(textregexeq, C_COLLATION_OID,
												 CStringGetTextDatum(lfirst(lc)),
												 CStringGetTextDatum(pattern))))
		names = lappend(names, lfirst(lc));
	return names;
}

/* In the order of their names, which is that of the locks too */
static void
open_topics(FunctionCallInfo fcinfo, const SlGroupArgs *args,
			SlMembership *membership)
{
	char	   *pattern = sl_group_args_text(fcinfo, args->topic_pattern);
	List	   *names = named_topics(fcinfo, args);
	const char *previous = NULL;
	ListCell   *lc;

	if ((names == NIL) == (pattern == NULL))
		ereport(ERROR,
				(errcode(names ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 args->topic_pattern < 0 ?
				 errmsg("argument \"%s\" of %s must not be null", "topic", args->function) :
				 errmsg("%s needs either \"%s\" or \"%s\"", args->function,
						"topics", "topic_pattern")));
	if (pattern)
		names = matching_topics(pattern);
	list_sort(names, compare_names);
	membership->topics = palloc_array(SlTopic *, Max(list_length(names), 1));
	foreach(lc, names)
	{
		const char *name = lfirst(lc);

		if (previous == NULL || strcmp(previous, name) != 0)
			membership->topics[membership->ntopics++] =
				sl_open_to_read(name, strlen(name));
		previous = name;
	}
}

static void
read_partitions(FunctionCallInfo fcinfo, const SlGroupArgs *args,
				SlMembership *membership)
{
	ArrayType  *array;

	if (args->partitions < 0 || PG_ARGISNULL(args->partitions))
		return;
	array = PG_GETARG_ARRAYTYPE_P(args->partitions);
	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must have one dimension and no nulls",
						"partitions", args->function)));
	membership->npartitions = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	membership->partitions = (int32 *) ARR_DATA_PTR(array);

	/* they are those of each topic; one that no topic has is a mistake */
	for (int i = 0; i < membership->npartitions; i++)
	{
		bool		exists = membership->ntopics == 0;

		for (int j = 0; j < membership->ntopics; j++)
			exists = exists || (membership->partitions[i] >= 0 &&
								membership->partitions[i] < membership->topics[j]->partitions);
		if (!exists)
			sl_check_partition(membership->topics[0], membership->partitions[i]);
	}
}

/* A member_id or an instance_id; NULL if it is not given. */
static char *
read_identity(FunctionCallInfo fcinfo, int arg, const char *name)
{
	char	   *value = sl_group_args_text(fcinfo, arg);

	if (value == NULL)
		return NULL;
	if (value[0] == '\0' || strlen(value) > SL_MAX_MEMBER_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", name),
				 errdetail("It must have between 1 and %d bytes.",
						   SL_MAX_MEMBER_NAME)));
	return value;
}

char *
sl_group_args_member_id(FunctionCallInfo fcinfo, int arg)
{
	char	   *member = read_identity(fcinfo, arg, "member_id");

	if (member && strncmp(member, "s-", 2) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": \"%s\"", "member_id",
						member),
				 errdetail("Names that begin with \"s-\" are those of sessions.")));
	return member;
}

static void
read_member(FunctionCallInfo fcinfo, const SlGroupArgs *args,
			SlMembership *membership)
{
	SlConsumer *consumer = &membership->consumer;
	char	   *assignor = sl_group_args_text(fcinfo, args->assignor);

	consumer->member = sl_group_args_member_id(fcinfo, args->member_id);
	consumer->is_session = consumer->member == NULL;
	if (consumer->is_session)
		consumer->member = sl_offsets_session_member();
	membership->instance = read_identity(fcinfo, args->instance_id, "instance_id");
	membership->assignor = assignor ? sl_assignor_kind(assignor) : SL_ASSIGNOR_ANY;

	membership->max_poll_interval = sl_consume_max_poll_interval();
	membership->keeps_interval = args->max_poll_interval < 0;
	if (args->max_poll_interval >= 0 && !PG_ARGISNULL(args->max_poll_interval))
	{
		int64		interval = sl_group_args_interval(fcinfo, args->max_poll_interval,
													  args->function,
													  "max_poll_interval");

		if (interval < 1 || interval > membership->max_poll_interval)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of %s must be positive, and not longer than the setting \"%s\"",
							"max_poll_interval", args->function,
							"streamlog.max_poll_interval"),
					 errdetail("The setting is %lld ms.",
							   (long long) membership->max_poll_interval)));
		membership->max_poll_interval = interval;
	}
}

bool
sl_group_args_read(FunctionCallInfo fcinfo, const SlGroupArgs *args,
				   SlGroupUse use, SlMembership *membership)
{
	char	   *name = sl_group_args_text(fcinfo, args->consumer_group);
	SlConsumer *consumer = &membership->consumer;
	SlConsumerGroup *group;
	bool		creates;

	memset(membership, 0, sizeof(SlMembership));
	open_topics(fcinfo, args, membership);
	read_partitions(fcinfo, args, membership);
	read_member(fcinfo, args, membership);
	consumer->group.database = MyDatabaseId;
	if (name == NULL)
	{
		if (use != SL_GROUP_OPTIONAL && use != SL_GROUP_IF_THERE)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" of %s must not be null",
							"consumer_group", args->function)));
		if (!consumer->is_session || membership->instance ||
			membership->assignor != SL_ASSIGNOR_ANY)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("member_id, instance_id and assignor are for consumer groups"),
					 errhint("Name a consumer_group; without one each session reads all partitions.")));
		consumer->group.relation = sl_catalog_oid("committed_offset");
		return true;
	}

	/* who names no topic makes no group */
	creates = (use == SL_GROUP_OPTIONAL || use == SL_GROUP_CREATE) &&
		membership->ntopics > 0;
	group = creates ? sl_group_open_or_create(name) : sl_group_open(name);
	if (group == NULL && use == SL_GROUP_EXPECTED)
		sl_group_unknown(name);
	if (group == NULL)
		return membership->ntopics == 0;
	consumer->group.relation = group->offsets;
	consumer->group.group_id = group->group_id;
	consumer->group_name = group->name;
	return true;
}
