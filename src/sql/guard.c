/*
 * guard.c
 *		Refusing what would break a topic: DDL on its relations, and writes to
 *		its segments.
 *
 * Only the owner of the extension owns these relations, and superusers may do
 * everything.  But an index, a trigger or a row of somebody's would make a segment
 * unfit to be appended to or read, and a new name or column would take the topic
 * away from its consumers: it is told to them before, with what to do instead,
 * rather than found out afterwards.  Our own commands pass, and so do those of a
 * restore, since what has been loaded from a dump is not a topic here yet.
 *
 * Who has to mend a segment that is damaged can, as in PostgreSQL's own catalogs,
 * with allow_system_table_mods, a superuser's setting.
 *
 * What concerns storage only (VACUUM FULL, SET TABLESPACE, statistics) and grants
 * and comments are nobody's harm.
 *
 * INSERT, COPY, UPDATE, DELETE and TRUNCATE on a topic's table are its triggers'.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog/catalog.h"
#include "catalog/ours.h"
#include "sql/guard.h"

/* Why a kind of command is refused, and what to do instead */
typedef struct SlRefusal
{
	const char *action;			/* "cannot %s" */
	const char *detail;
	const char *hint;
} SlRefusal;

static const SlRefusal alter_refusal = {
	"alter",
	"Its columns, owner and options are what create_topic() has given it.",
	"Use alter_topic() for the topic's partitions, configs and owner."
};
static const SlRefusal rename_refusal = {
	"rename or move",
	"Its consumers know a topic, and their offsets in it, by its name; Kafka does not rename topics either.",
	"Create a topic of the new name, and have producers and consumers change over to it."
};
static const SlRefusal drop_refusal = {
	"drop",
	"A topic's tables and its view are dropped together.",
	"Use drop_topic()."
};
static const SlRefusal truncate_refusal = {
	"truncate",
	"A log is only ever appended to.",
	"Use delete_records() to remove the oldest records, or drop_topic()."
};
static const SlRefusal index_refusal = {
	"create an index on",
	"A log is found by the order of its file; an index would make every append slower.",
	"Consume the topic into a table of your own, and put the index on that."
};
static const SlRefusal trigger_refusal = {
	"create a trigger or rule on",
	"Records are appended past the executor: it would never run.",
	"Consume the topic, for example with fetch_records()."
};
static const SlRefusal policy_refusal = {
	"enable row security on",
	"Records are read past the executor: it would not hold.",
	"Grant or revoke SELECT on the topic, or use a topic for each group of readers."
};
static const SlRefusal inherit_refusal = {
	"make a table inherit from",
	"The tables that inherit from a topic's are its segments.",
	"Use CREATE TABLE .. (LIKE ..) for a table with the same columns."
};
static const SlRefusal write_refusal = {
	"write to",
	"Only the log itself appends to a segment.",
	"Use produce(), or INSERT or COPY into the topic's table."
};

/* Our own commands and scripts, pg_upgrade, and who knows what he does */
static bool
is_trusted(void)
{
	/* pg_upgrade makes topics before our tables are there to look them up */
	return sl_catalog_is_running() || IsBinaryUpgrade || allowSystemTableMods ||
		(creating_extension &&
		 CurrentExtensionObject == get_extension_oid("streamlog", true));
}

/*
 * Refuse if the relation is ours.  It is not locked: one that is gone meanwhile is
 * for the command to find out.
 */
static void
check_oid(Oid relation, const SlRefusal *refusal)
{
	static const char *const kinds[] = {
		[SL_TOPIC_TABLE] = "the table of a topic",
		[SL_TOPIC_TEXT] = "the text view of a topic",
		[SL_SEGMENT_TABLE] = "a segment of a topic"
	};
	SlOurs		kind;
	char	   *name;

	if (!OidIsValid(relation) || is_trusted())
		return;
	kind = sl_ours(relation);
	name = get_rel_name(relation);
	if (kind == SL_NOT_OURS || name == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot %s \"%s\": it is %s", refusal->action, name, kinds[kind]),
			 errdetail("%s", refusal->detail),
			 errhint("%s", refusal->hint)));
}

static void
check_relation(RangeVar *name, const SlRefusal *refusal)
{
	if (name)
		check_oid(RangeVarGetRelid(name, NoLock, true), refusal);
}

/*
 * CREATE OR REPLACE VIEW is about the schema that it would create a view in, not
 * about what the name is found as.
 */
static void
check_view(ViewStmt *statement)
{
	RangeVar   *name = statement->view;

	if (statement->replace && name->relpersistence != RELPERSISTENCE_TEMP)
		check_oid(get_relname_relid(name->relname,
									RangeVarGetCreationNamespace(name)),
				  &alter_refusal);
}

static void
check_relations(List *names, const SlRefusal *refusal)
{
	ListCell   *lc;

	foreach(lc, names)
		check_relation(lfirst_node(RangeVar, lc), refusal);
}

/* We find our relations by the names of their schemas. */
static void
check_schema(const char *name)
{
	static const char *const schemas[] = {
		SL_SCHEMA, SL_TOPIC_SCHEMA, SL_TEXT_SCHEMA, SL_SEGMENT_SCHEMA
	};

	for (int i = 0; i < lengthof(schemas); i++)
		if (strcmp(name, schemas[i]) == 0 && !is_trusted() &&
			OidIsValid(sl_catalog_owner()))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot rename schema \"%s\": it belongs to streamlog",
							name),
					 errhint("Put it on the search_path to use what it has by bare names.")));
}

/* What ALTER TABLE may do to any of them */
static bool
is_harmless(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_SetStatistics:
		case AT_SetTableSpace:
			return true;
		default:
			return false;
	}
}

/* One of the tables that say what topics and groups there are, also through a view */
static void
refuse_own(Oid relation)
{
	if (get_rel_namespace(relation) != get_namespace_oid(SL_SCHEMA, true) ||
		is_trusted() || get_rel_relkind(relation) != RELKIND_RELATION ||
		!OidIsValid(sl_catalog_owner()))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change \"%s\": it is a table of streamlog's own",
					get_rel_name(relation)),
			 errdetail("It goes with the tables of topics, and with what is in shared memory."),
			 errhint("Topics have create_topic(), alter_topic(), drop_topic() and delete_records(), consumer groups alter_group(), delete_group() and reset_offsets().")));
}

/* We read our own tables by the numbers of their columns. */
static bool
changes_columns(const AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
		case AT_DropColumn:
		case AT_AlterColumnType:
			return true;
		default:
			return false;
	}
}

static void
check_alter_table(AlterTableStmt *alter)
{
	const SlRefusal *refusal = NULL;
	ListCell   *lc;

	foreach(lc, alter->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddInherit)
			check_relation(castNode(RangeVar, cmd->def), &inherit_refusal);
		if (cmd->subtype == AT_EnableRowSecurity ||
			cmd->subtype == AT_ForceRowSecurity)
			refusal = &policy_refusal;
		else if (!is_harmless(cmd) && refusal == NULL)
			refusal = &alter_refusal;
		if (changes_columns(cmd))
			refuse_own(RangeVarGetRelid(alter->relation, NoLock, true));
	}
	if (refusal)
		check_relation(alter->relation, refusal);
}

static void
check_drop(DropStmt *drop)
{
	ListCell   *lc;

	foreach(lc, drop->objects)
	{
		List	   *name = NIL;

		switch (drop->removeType)
		{
			case OBJECT_TABLE:
			case OBJECT_VIEW:
				name = lfirst_node(List, lc);
				break;
			case OBJECT_TRIGGER:
			case OBJECT_RULE:
			case OBJECT_POLICY:
				/* the relation's name, then the object's */
				name = list_copy(lfirst_node(List, lc));
				name = list_truncate(name, list_length(name) - 1);
				break;
			default:
				return;
		}
		if (name != NIL && list_length(name) <= 3)
			check_relation(makeRangeVarFromNameList(name), &drop_refusal);
	}
}

/* What we write past the executor has no expressions computed. */
static void
check_index(IndexStmt *statement)
{
	check_relation(statement->relation, &index_refusal);
	refuse_own(RangeVarGetRelid(statement->relation, NoLock, true));
}

static void
check_truncate(TruncateStmt *truncate)
{
	ListCell   *lc;

	check_relations(truncate->relations, &truncate_refusal);
	foreach(lc, truncate->relations)
		refuse_own(RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock, true));
}

/* ALTER EXTENSION .. ADD: what is another's goes with it. */
static void
check_member(AlterExtensionContentsStmt *alter)
{
	if (alter->objtype == OBJECT_TABLE || alter->objtype == OBJECT_VIEW)
		check_relation(makeRangeVarFromNameList(castNode(List, alter->object)),
					   &alter_refusal);
}

void
sl_guard_check_command(Node *command)
{
	switch (nodeTag(command))
	{
		case T_AlterTableStmt:
			check_alter_table((AlterTableStmt *) command);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) command)->renameType == OBJECT_SCHEMA)
				check_schema(((RenameStmt *) command)->subname);
			else
				check_relation(((RenameStmt *) command)->relation,
							   &rename_refusal);
			break;
		case T_AlterObjectSchemaStmt:
			check_relation(((AlterObjectSchemaStmt *) command)->relation,
						   &rename_refusal);
			break;
		case T_AlterObjectDependsStmt:
			check_relation(((AlterObjectDependsStmt *) command)->relation,
						   &alter_refusal);
			break;
		case T_AlterExtensionContentsStmt:
			check_member((AlterExtensionContentsStmt *) command);
			break;
		case T_IndexStmt:
			check_index((IndexStmt *) command);
			break;
		case T_CreateTrigStmt:
			check_relation(((CreateTrigStmt *) command)->relation,
						   &trigger_refusal);
			break;
		case T_RuleStmt:
			check_relation(((RuleStmt *) command)->relation, &trigger_refusal);
			break;
		case T_CreatePolicyStmt:
			check_relation(((CreatePolicyStmt *) command)->table,
						   &policy_refusal);
			break;
		case T_ViewStmt:
			check_view((ViewStmt *) command);
			break;
		case T_TruncateStmt:
			check_truncate((TruncateStmt *) command);
			break;
		case T_CreateStmt:
			check_relations(((CreateStmt *) command)->inhRelations,
							&inherit_refusal);
			break;
		case T_CreateForeignTableStmt:
			check_relations(((CreateForeignTableStmt *) command)->base.inhRelations,
							&inherit_refusal);
			break;
		case T_DropStmt:
			check_drop((DropStmt *) command);
			break;
		default:
			break;
	}
}

bool
sl_guard_enable_always(Node *command)
{
	AlterTableStmt *alter = (AlterTableStmt *) command;
	AlterTableCmd *cmd;
	Oid			view;

	if (!IsA(command, AlterTableStmt) || list_length(alter->cmds) != 1)
		return false;
	cmd = linitial_node(AlterTableCmd, alter->cmds);
	if (cmd->subtype != AT_EnableAlwaysTrig ||
		strcmp(cmd->name, "produce_text") != 0)
		return false;
	view = RangeVarGetRelid(alter->relation, NoLock, true);
	if (!OidIsValid(view) || get_rel_relkind(view) != RELKIND_VIEW ||
		get_rel_namespace(view) != get_namespace_oid(SL_TEXT_SCHEMA, true))
		return false;
	if (!pg_class_ownercheck(view, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(view));
	sl_ours_enable_always(view, cmd->name);
	return true;
}

/* A restore inserts into our own tables, and into segments of no topic yet. */
void
sl_guard_check_writes(List *range_table)
{
	ListCell   *lc;

	foreach(lc, range_table)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind != RTE_RELATION ||
			!(rte->requiredPerms & (ACL_INSERT | ACL_UPDATE | ACL_DELETE)))
			continue;
		if (get_rel_namespace(rte->relid) == get_namespace_oid(SL_SEGMENT_SCHEMA, true))
			check_oid(rte->relid, &write_refusal);
		if (rte->requiredPerms & (ACL_UPDATE | ACL_DELETE))
			refuse_own(rte->relid);
	}
}
