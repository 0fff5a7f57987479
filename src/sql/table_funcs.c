/*
 * table_funcs.c
 *		Topics as tables: the triggers on topic.<name> and topic_text.<name>.
 *
 * A row that INSERT or COPY brings for a topic's table is taken by a BEFORE ROW
 * trigger, which produces it and lets the executor believe that there is nothing
 * to insert.  The view of the same name in schema topic_text has an INSTEAD OF
 * trigger that does so with text, with the same end.  Both triggers fire ALWAYS, so that
 * session_replication_role changes nothing.
 *
 * The executor has checked that the table may be inserted into, as whom the query
 * has to: the current user, or the owner of a view over it.  The text view is
 * everybody's to insert into, so there the trigger checks the topic's privileges.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/catalog.h"
#include "catalog/segment.h"
#include "log/produce.h"
#include "sql/convert.h"
#include "sql/direct.h"
#include "sql/executor.h"
#include "sql/headers.h"

PG_FUNCTION_INFO_V1(streamlog_produce_row);
PG_FUNCTION_INFO_V1(streamlog_produce_text);
PG_FUNCTION_INFO_V1(streamlog_refuse_change);

/* Columns of topic_text.<name> */
enum
{
	SL_TEXT_PARTITION = 1,
	SL_TEXT_OFFSET,
	SL_TEXT_TIMESTAMP,
	SL_TEXT_KEY,
	SL_TEXT_VALUE,
	SL_TEXT_HEADERS,
	SL_TEXT_ATTS = SL_TEXT_HEADERS
};

/* What a trigger of a statement keeps between rows */
typedef struct SlTableSite
{
	char		name[SL_MAX_TOPIC_NAME + 1];
	int			name_len;
} SlTableSite;

/* What create_topic() has made such a trigger for */
typedef struct SlTableKind
{
	const char *schema;
	TriggerEvent event;
	int			natts;
} SlTableKind;

static const SlTableKind topic_table = {
	SL_TOPIC_SCHEMA,
	TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE,
	SL_SEGMENT_ATTS
};
static const SlTableKind text_view = {
	SL_TEXT_SCHEMA,
	TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_INSTEAD,
	SL_TEXT_ATTS
};

static void
check_called_as(FunctionCallInfo fcinfo, const SlTableKind *kind)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(trigger->tg_event & (TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)) != kind->event ||
		RelationGetNamespace(trigger->tg_relation) != get_namespace_oid(kind->schema, false) ||
		RelationGetDescr(trigger->tg_relation)->natts != kind->natts)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("this is the trigger function of what create_topic() has made in schema \"%s\"",
						kind->schema),
				 errhint("Use produce_changes() in a trigger on a table of your own.")));
}

/* The topic behind a table or, of the same name, a view */
static SlTopic *
find_topic(Relation rel)
{
	Oid			table = RelationGetRelid(rel);
	SlTopic    *topic = NULL;

	if (rel->rd_rel->relkind == RELKIND_VIEW)
		table = get_relname_relid(RelationGetRelationName(rel),
								  get_namespace_oid(SL_TOPIC_SCHEMA, false));
	if (OidIsValid(table))
		topic = sl_topic_find_by_relation(table);
	if (topic == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a topic", RelationGetRelationName(rel)),
				 errhint("The view \"topics\" lists the topics.")));
	return topic;
}

/* For every row: open the topic; for a statement's first one: find it. */
static SlTopic *
open_topic(FunctionCallInfo fcinfo, const SlTableKind *kind, AclMode acl)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	SlTableSite *site = flinfo->fn_extra;

	if (site == NULL)
	{
		SlTopic    *topic;

		check_called_as(fcinfo, kind);
		topic = find_topic(((TriggerData *) fcinfo->context)->tg_relation);
		site = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(SlTableSite));
		site->name_len = strlen(topic->name);
		memcpy(site->name, topic->name, site->name_len + 1);
		flinfo->fn_extra = site;
	}
	sl_direct_check_can_produce("INSERT");
	return sl_topic_open(site->name, site->name_len, RowExclusiveLock, acl);
}

static void
check_no_offset(TupleTableSlot *row, AttrNumber att)
{
	if (row->tts_isnull[att - 1])
		return;
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("cannot insert a value into column \"%s\"", "record_offset"),
			 errdetail("The log gives a record its offset when the transaction commits."),
			 errhint("Leave the column out, for example with a list of columns: (key, value).")));
}

static void
set_partition_and_time(SlProduceArgs *args, TupleTableSlot *row,
					   AttrNumber partition, AttrNumber timestamp)
{
	args->has_partition = !row->tts_isnull[partition - 1];
	if (args->has_partition)
		args->partition = DatumGetInt32(row->tts_values[partition - 1]);
	args->has_time = !row->tts_isnull[timestamp - 1];
	if (args->has_time)
		args->time = DatumGetTimestampTz(row->tts_values[timestamp - 1]);
	args->now = GetCurrentTimestamp();
}

static struct varlena *
get_varlena(TupleTableSlot *row, AttrNumber att)
{
	return row->tts_isnull[att - 1] ? NULL :
		PG_DETOAST_DATUM_PACKED(row->tts_values[att - 1]);
}

/* produce_row(): BEFORE INSERT FOR EACH ROW on topic.<name> */
Datum
streamlog_produce_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SlProduceArgs args = {0};
	TupleTableSlot *row;
	SlTopic    *topic;

	topic = open_topic(fcinfo, &topic_table, ACL_NO_RIGHTS);
	row = trigger->tg_trigslot;
	slot_getallattrs(row);
	check_no_offset(row, SL_ATT_OFFSET);
	set_partition_and_time(&args, row, SL_ATT_PARTITION, SL_ATT_TIMESTAMP);
	args.key = get_varlena(row, SL_ATT_KEY);
	args.value = get_varlena(row, SL_ATT_VALUE);
	if (!row->tts_isnull[SL_ATT_HEADERS - 1])
		args.headers = sl_produce_headers(topic, row->tts_values[SL_ATT_HEADERS - 1],
										  &args.headers_size);
	sl_produce(topic, &args);
	sl_executor_count_row(fcinfo->flinfo, false);
	return PointerGetDatum(NULL);
}

static struct varlena *
get_utf8(TupleTableSlot *row, AttrNumber att)
{
	struct varlena *value = get_varlena(row, att);

	return value ? sl_utf8(value) : NULL;
}

/* produce_text(): INSTEAD OF INSERT FOR EACH ROW on topic_text.<name> */
Datum
streamlog_produce_text(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	SlProduceArgs args = {0};
	TupleTableSlot *row;
	SlTopic    *topic;

	topic = open_topic(fcinfo, &text_view, ACL_INSERT);
	row = trigger->tg_trigslot;
	slot_getallattrs(row);
	check_no_offset(row, SL_TEXT_OFFSET);
	set_partition_and_time(&args, row, SL_TEXT_PARTITION, SL_TEXT_TIMESTAMP);
	args.key = get_utf8(row, SL_TEXT_KEY);
	args.value = get_utf8(row, SL_TEXT_VALUE);
	if (!row->tts_isnull[SL_TEXT_HEADERS - 1])
	{
		Jsonb	   *json = DatumGetJsonbP(row->tts_values[SL_TEXT_HEADERS - 1]);

		args.headers = sl_produce_headers(topic, sl_headers_from_json(json, topic->headers_type),
										  &args.headers_size);
	}
	sl_produce(topic, &args);
	sl_executor_count_row(fcinfo->flinfo, true);

	/* PostgreSQL would not free the row until the statement's end */
	return PointerGetDatum(NULL);
}

/* refuse_change(): on the table of every topic, whatever SQL does but insert */
Datum
streamlog_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("refuse_change() must be called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change the records of topic \"%s\"",
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail("A log is only ever appended to."),
			 errhint("drop_topic() removes a topic with all its records, delete_records() the oldest of them.")));
	return (Datum) 0;
}
