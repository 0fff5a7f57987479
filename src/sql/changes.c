/*
 * changes.c
 *		The row trigger that produces a table's changes.
 *
 * produce_changes() is for what is otherwise done with an outbox table: each row
 * that is inserted, updated or deleted becomes a record, in the transaction that
 * does it.  Like every record of a trigger it is buffered: all those of a
 * transaction are one append for each partition.
 *
 * It runs as whoever the statement runs as, and that role needs INSERT on the
 * topic.  A deferred trigger runs in the commit, before the records are appended,
 * as whoever the session is then.
 *
 * What a trigger's arguments mean for its table is found out once for a statement
 * and kept with the call site.  It is found out again should the table's tuple
 * descriptor be another one: a column can be renamed by what the same statement
 * calls, though none can be added or dropped.
 */
#include "postgres.h"

#include "catalog/heap.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "log/produce.h"
#include "sql/convert.h"
#include "sql/direct.h"

PG_FUNCTION_INFO_V1(streamlog_produce_changes);

/* What a hint shows; more columns than these are not listed */
#define SL_COLUMNS_LISTED	30

/* What a trigger keeps between the rows of a statement */
typedef struct SlChanges
{
	TupleDesc	desc;			/* of the table; compared, not looked into */
	char	   *topic;
	int			topic_len;
	int			key;			/* the column's attribute number; 0: none */
	SlConversion key_conversion;
	bool		tombstones;
	char	   *table;			/* the member "table" and what is around it */
	int			table_len;
} SlChanges;

static void
wrong_trigger(const char *message)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s", message),
			 errhint("Create it with CREATE TRIGGER ... AFTER INSERT OR UPDATE OR DELETE ON ... FOR EACH ROW EXECUTE FUNCTION produce_changes('topic', 'key column').")));
}

/* The columns of a table, for a hint */
static char *
list_columns(TupleDesc desc)
{
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (n++ == SL_COLUMNS_LISTED)
		{
			appendStringInfoString(&list, " and more");
			break;
		}
		appendStringInfo(&list, "%s\"%s\"", n > 1 ? ", " : "",
						 NameStr(TupleDescAttr(desc, i)->attname));
	}
	return list.data;
}

/* The number of the key column; raises if it cannot be one. */
static int
find_key(Relation rel, const char *name, bool is_last)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	if (SystemAttributeByName(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("system column \"%s\" cannot be the key of records", name),
				 errhint("The columns of table \"%s\" are %s.",
						 RelationGetRelationName(rel), list_columns(desc))));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("key column \"%s\" of table \"%s\" does not exist", name,
					RelationGetRelationName(rel)),
			 is_last && strcmp(name, "tombstone") == 0 ?
			 errhint("The option stands behind the key column: produce_changes('topic', 'key column', 'tombstone').") :
			 errhint("The columns of table \"%s\" are %s.",
					 RelationGetRelationName(rel), list_columns(desc))));
}

/* The member "table" of a record */
static void
set_table(SlChanges *changes, Relation rel)
{
	StringInfoData member;
	char	   *name = psprintf("%s.%s",
								get_namespace_name(RelationGetNamespace(rel)),
								RelationGetRelationName(rel));

	initStringInfo(&member);
	appendStringInfoString(&member, ",\"table\":");
	escape_json(&member, name);
	appendStringInfoString(&member, ",\"old\":");
	changes->table = member.data;
	changes->table_len = member.len;
}

static SlChanges *
create_call_site(TriggerData *trigger, MemoryContext context)
{
	MemoryContext save = MemoryContextSwitchTo(context);
	SlChanges  *changes = palloc0(sizeof(SlChanges));
	Relation	rel = trigger->tg_relation;
	TupleDesc	desc = RelationGetDescr(rel);
	int			nargs = trigger->tg_trigger->tgnargs;
	char	  **args = trigger->tg_trigger->tgargs;

	if (nargs < 1 || nargs > 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("produce_changes() takes one to three arguments, not %d", nargs),
				 errhint("They are the topic, the key column, and the option 'tombstone'.")));
	changes->desc = desc;
	changes->topic = pstrdup(args[0]);
	changes->topic_len = strlen(args[0]);
	if (nargs > 1)
	{
		changes->key = find_key(rel, args[1], nargs == 2);
		sl_conversion_init(&changes->key_conversion,
						   TupleDescAttr(desc, changes->key - 1)->atttypid, context);
	}
	if (nargs > 2)
	{
		if (strcmp(args[2], "tombstone") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\" of produce_changes()", args[2]),
					 errhint("The only option is 'tombstone': a row that is deleted becomes a record without a value.")));
		changes->tombstones = true;
	}
	set_table(changes, rel);
	MemoryContextSwitchTo(save);
	return changes;
}

/* What is kept for this trigger; an old one goes with the statement. */
static SlChanges *
call_site(FmgrInfo *flinfo, TriggerData *trigger)
{
	SlChanges  *changes = flinfo->fn_extra;

	if (changes == NULL || changes->desc != RelationGetDescr(trigger->tg_relation))
		changes = flinfo->fn_extra = create_call_site(trigger, flinfo->fn_mcxt);
	return changes;
}

/* The key of a row; NULL if there is none. */
static struct varlena *
row_key(SlChanges *changes, TupleTableSlot *slot)
{
	Datum		value;
	bool		isnull;

	if (changes->key == 0)
		return NULL;
	value = slot_getattr(slot, changes->key, &isnull);
	return isnull ? NULL : sl_convert(&changes->key_conversion, value);
}

static bool
same_bytes(struct varlena *a, struct varlena *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Append a row as a JSON object, or null for no row. */
static void
append_row(StringInfo out, TupleTableSlot *slot)
{
	Datum		row;
	text	   *json;

	if (slot == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	row = ExecFetchSlotHeapTupleDatum(slot);
	json = DatumGetTextPP(DirectFunctionCall1(row_to_json, row));
	appendBinaryStringInfo(out, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

/* The value of the record; NULL slots are null. */
static struct varlena *
row_value(SlChanges *changes, const char *op, TupleTableSlot *old,
		  TupleTableSlot *new)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	appendStringInfoString(&out, "{\"op\":\"");
	appendStringInfoString(&out, op);
	appendStringInfoChar(&out, '"');
	appendBinaryStringInfo(&out, changes->table, changes->table_len);
	append_row(&out, old);
	appendStringInfoString(&out, ",\"new\":");
	append_row(&out, new);
	appendStringInfoChar(&out, '}');
	SET_VARSIZE(out.data, out.len);
	return sl_utf8((struct varlena *) out.data);
}

static void
null_key(SlChanges *changes, TupleDesc desc)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("key column \"%s\" must not be null",
					NameStr(TupleDescAttr(desc, changes->key - 1)->attname)),
			 errdetail("A tombstone could not take back a record without a key."),
			 errhint("Declare the column NOT NULL, or leave out the option 'tombstone'.")));
}

static void
in_trigger(void *arg)
{
	TriggerData *trigger = arg;

	errcontext("trigger \"%s\" of table \"%s\"", trigger->tg_trigger->tgname,
			   RelationGetRelationName(trigger->tg_relation));
}

/*
 * Produce the record of one row.  The current memory context is the trigger's for
 * a row.
 */
static void
produce_change(SlChanges *changes, TriggerData *trigger)
{
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	TupleTableSlot *old = is_insert ? NULL : trigger->tg_trigslot;
	TupleTableSlot *new = is_insert ? trigger->tg_trigslot :
	is_update ? trigger->tg_newslot : NULL;
	SlTopic    *topic = sl_topic_open(changes->topic, changes->topic_len,
									  RowExclusiveLock, ACL_INSERT);
	struct varlena *key = row_key(changes, new ? new : old);
	SlProduceArgs args = {0};

	args.now = GetCurrentTimestamp();
	if (changes->tombstones)
	{
		struct varlena *old_key = old == NULL ? NULL : new ? row_key(changes, old) : key;

		if (new && key == NULL)
			null_key(changes, RelationGetDescr(trigger->tg_relation));

		/* a row without a key, from before the trigger, has no record */
		if (old_key && (new == NULL || !same_bytes(old_key, key)))
		{
			args.key = old_key;
			sl_produce(topic, &args);
		}
		if (new == NULL)
			return;
	}
	args.key = key;
	args.value = row_value(changes, is_insert ? "insert" : is_update ? "update" : "delete",
						   old, new);
	sl_produce(topic, &args);
}

/* produce_changes(topic, key column, 'tombstone') */
Datum
streamlog_produce_changes(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ErrorContextCallback context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		wrong_trigger("produce_changes() must be called as a trigger");
	context.callback = in_trigger;
	context.arg = trigger;
	context.previous = error_context_stack;
	error_context_stack = &context;

	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		wrong_trigger("produce_changes() must be an AFTER trigger for each row");
	sl_direct_check_can_produce("produce_changes()");
	/* a statement may have fired this for millions of rows */
	CHECK_FOR_INTERRUPTS();
	produce_change(call_site(fcinfo->flinfo, trigger), trigger);

	error_context_stack = context.previous;
	return PointerGetDatum(NULL);
}
