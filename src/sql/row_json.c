/*
 * row_json.c
 *		Rows as JSON.
 *
 * The text is row_to_json()'s.  That function finds out for each value of each
 * row how its type becomes JSON; here it is found out once for a table, the
 * names of the columns are made JSON once, and the common types are written
 * without a text of their own in between.  What is nested, arrays and composite
 * types, is left to PostgreSQL.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "sql/row_json.h"

/* How a value becomes JSON */
typedef enum SlJsonKind
{
	SL_JSON_BOOL,
	SL_JSON_INT2,
	SL_JSON_INT4,
	SL_JSON_INT8,
	SL_JSON_NUMBER,				/* its text, a string if it is NaN or infinite */
	SL_JSON_DATETIME,
	SL_JSON_JSON,
	SL_JSON_JSONB,
	SL_JSON_ARRAY,
	SL_JSON_COMPOSITE,
	SL_JSON_CAST,				/* by a function that makes json of it */
	SL_JSON_TEXT,				/* a string: its varlena */
	SL_JSON_OTHER				/* a string: its text */
} SlJsonKind;

typedef struct SlJsonColumn
{
	int			attribute;		/* from 0 */
	SlJsonKind	kind;
	Oid			type;			/* looked through domains */
	FmgrInfo	function;		/* for its text, or its json */
	char	   *name;			/* as JSON, with what stands around it */
	int			name_len;
} SlJsonColumn;

struct SlRowJson
{
	int			n;
	SlJsonColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/* The function that casts to json, for a type that is not PostgreSQL's own */
static Oid
cast_to_json(Oid type)
{
	Oid			function;

	if (type >= FirstNormalObjectId &&
		find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT,
							  &function) == COERCION_PATH_FUNC)
		return function;
	return InvalidOid;
}

static SlJsonKind
kind_of_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return SL_JSON_BOOL;
		case INT2OID:
			return SL_JSON_INT2;
		case INT4OID:
			return SL_JSON_INT4;
		case INT8OID:
			return SL_JSON_INT8;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return SL_JSON_NUMBER;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return SL_JSON_DATETIME;
		case JSONOID:
			return SL_JSON_JSON;
		case JSONBOID:
			return SL_JSON_JSONB;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return SL_JSON_TEXT;
	}
	if (OidIsValid(get_element_type(type)))
		return SL_JSON_ARRAY;
	if (type_is_rowtype(type))
		return SL_JSON_COMPOSITE;
	if (OidIsValid(cast_to_json(type)))
		return SL_JSON_CAST;
	return SL_JSON_OTHER;
}

static void
column_init(SlJsonColumn *column, Form_pg_attribute att, bool is_first,
			MemoryContext context)
{
	StringInfoData name;
	Oid			output;
	bool		is_varlena;

	column->attribute = att->attnum - 1;
	column->type = getBaseType(att->atttypid);
	column->kind = kind_of_type(column->type);
	if (column->kind == SL_JSON_CAST)
		fmgr_info_cxt(cast_to_json(column->type), &column->function, context);
	else if (column->kind == SL_JSON_NUMBER || column->kind == SL_JSON_OTHER)
	{
		getTypeOutputInfo(column->type, &output, &is_varlena);
		fmgr_info_cxt(output, &column->function, context);
	}

	initStringInfo(&name);
	appendStringInfoChar(&name, is_first ? '{' : ',');
	sl_json_append_string(&name, NameStr(att->attname),
						  strlen(NameStr(att->attname)));
	appendStringInfoChar(&name, ':');
	column->name = name.data;
	column->name_len = name.len;
}

SlRowJson *
sl_row_json_create(TupleDesc desc, MemoryContext context)
{
	MemoryContext save = MemoryContextSwitchTo(context);
	SlRowJson  *row = palloc0(offsetof(SlRowJson, columns) +
							  desc->natts * sizeof(SlJsonColumn));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		column_init(&row->columns[row->n], att, row->n == 0, context);
		row->n++;
	}
	MemoryContextSwitchTo(save);
	return row;
}

/* A character that cannot stand for itself in a JSON string */
static void
append_escaped(StringInfo out, unsigned char c)
{
	switch (c)
	{
		case '"':
		case '\\':
			appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, c);
			break;
		case '\b':
			appendStringInfoString(out, "\\b");
			break;
		case '\f':
			appendStringInfoString(out, "\\f");
			break;
		case '\n':
			appendStringInfoString(out, "\\n");
			break;
		case '\r':
			appendStringInfoString(out, "\\r");
			break;
		case '\t':
			appendStringInfoString(out, "\\t");
			break;
		default:
			appendStringInfo(out, "\\u%04x", c);
	}
}

void
sl_json_append_string(StringInfo out, const char *string, int len)
{
	const char *end = string + len;
	const char *from = string;	/* not appended yet */

	appendStringInfoChar(out, '"');
	for (const char *p = string; p < end; p++)
	{
		unsigned char c = *p;

		if (likely(c >= ' ' && c != '"' && c != '\\'))
			continue;
		appendBinaryStringInfo(out, from, p - from);
		append_escaped(out, c);
		from = p + 1;
	}
	appendBinaryStringInfo(out, from, end - from);
	appendStringInfoChar(out, '"');
}

static void
append_varlena(StringInfo out, struct varlena *text)
{
	appendBinaryStringInfo(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

/* Its function may return null, which no function call of PostgreSQL's takes. */
static void
append_cast(StringInfo out, FmgrInfo *function, Datum value)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		json;

	InitFunctionCallInfoData(*fcinfo, function, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = false;
	json = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		appendStringInfoString(out, "null");
	else
		append_varlena(out, PG_DETOAST_DATUM_PACKED(json));
}

static void
append_value(StringInfo out, SlJsonColumn *column, Datum value)
{
	char		buffer[MAXDATELEN + 1];
	char	   *string;
	struct varlena *bytes;
	Jsonb	   *jsonb;

	switch (column->kind)
	{
		case SL_JSON_BOOL:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case SL_JSON_INT2:
			appendBinaryStringInfo(out, buffer, pg_itoa(DatumGetInt16(value), buffer));
			break;
		case SL_JSON_INT4:
			appendBinaryStringInfo(out, buffer, pg_ltoa(DatumGetInt32(value), buffer));
			break;
		case SL_JSON_INT8:
			appendBinaryStringInfo(out, buffer, pg_lltoa(DatumGetInt64(value), buffer));
			break;
		case SL_JSON_NUMBER:
			string = OutputFunctionCall(&column->function, value);
			if (IsValidJsonNumber(string, strlen(string)))
				appendStringInfoString(out, string);
			else
				sl_json_append_string(out, string, strlen(string));
			break;
		case SL_JSON_DATETIME:
			JsonEncodeDateTime(buffer, value, column->type, NULL);
			appendStringInfoChar(out, '"');
			appendStringInfoString(out, buffer);
			appendStringInfoChar(out, '"');
			break;
		case SL_JSON_JSON:
			append_varlena(out, PG_DETOAST_DATUM_PACKED(value));
			break;
		case SL_JSON_JSONB:
			jsonb = DatumGetJsonbP(value);
			JsonbToCString(out, &jsonb->root, VARSIZE(jsonb));
			break;
		case SL_JSON_ARRAY:
			append_varlena(out, (struct varlena *)
						   DatumGetPointer(DirectFunctionCall1(array_to_json, value)));
			break;
		case SL_JSON_COMPOSITE:
			append_varlena(out, (struct varlena *)
						   DatumGetPointer(DirectFunctionCall1(row_to_json, value)));
			break;
		case SL_JSON_CAST:
			append_cast(out, &column->function, value);
			break;
		case SL_JSON_TEXT:
			bytes = PG_DETOAST_DATUM_PACKED(value);
			sl_json_append_string(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
			break;
		case SL_JSON_OTHER:
			string = OutputFunctionCall(&column->function, value);
			sl_json_append_string(out, string, strlen(string));
			break;
	}
}

void
sl_row_json_append(StringInfo out, SlRowJson *row, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	for (int i = 0; i < row->n; i++)
	{
		SlJsonColumn *column = &row->columns[i];

		appendBinaryStringInfo(out, column->name, column->name_len);
		if (slot->tts_isnull[column->attribute])
			appendStringInfoString(out, "null");
		else
			append_value(out, column, slot->tts_values[column->attribute]);
	}
	appendStringInfoString(out, row->n == 0 ? "{}" : "}");
}
