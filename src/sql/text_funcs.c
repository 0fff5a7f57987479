/*
 * text_funcs.c
 *		The SQL functions between bytes, text and JSON.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "sql/convert.h"

PG_FUNCTION_INFO_V1(streamlog_headers);
PG_FUNCTION_INFO_V1(streamlog_as_text);
PG_FUNCTION_INFO_V1(streamlog_as_json);

/* UTF-8 in the server's encoding; raises if it is not UTF-8. */
static char *
server_text(struct varlena *bytes, int *len)
{
	char	   *data = VARDATA_ANY(bytes);
	char	   *text;

	*len = VARSIZE_ANY_EXHDR(bytes);
	text = pg_any_to_server(data, *len, PG_UTF8);
	if (text != data)
		*len = strlen(text);
	return text;
}

/* as_text(bytes) */
Datum
streamlog_as_text(PG_FUNCTION_ARGS)
{
	int			len;
	char	   *text = server_text(PG_GETARG_VARLENA_PP(0), &len);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(text, len));
}

/* as_json(bytes) */
Datum
streamlog_as_json(PG_FUNCTION_ARGS)
{
	int			len;
	char	   *text = server_text(PG_GETARG_VARLENA_PP(0), &len);

	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(pnstrdup(text, len)));
}

/* The headers found so far */
typedef struct SlHeaderList
{
	TupleDesc	desc;			/* of streamlog.header */
	Datum	   *items;
	int			n;
	int			allocated;
} SlHeaderList;

/* The text of a JSON value as bytes; null gives NULL. */
static struct varlena *
header_value(JsonbValue *value)
{
	char	   *text;

	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return sl_utf8((struct varlena *) cstring_to_text_with_len(value->val.string.val,
																	   value->val.string.len));
		default:
			text = JsonbToCString(NULL, &JsonbValueToJsonb(value)->root, -1);
			return sl_utf8((struct varlena *) cstring_to_text(text));
	}
}

static void
add_header(SlHeaderList *list, JsonbValue *key, JsonbValue *value)
{
	struct varlena *bytes = header_value(value);
	Datum		values[2];
	bool		nulls[2] = {false, bytes == NULL};

	values[0] = PointerGetDatum(cstring_to_text_with_len(key->val.string.val,
														 key->val.string.len));
	values[1] = PointerGetDatum(bytes);
	if (list->n == list->allocated)
	{
		list->allocated = Max(8, list->allocated * 2);
		list->items = list->items ?
			repalloc_array(list->items, Datum, list->allocated) :
			palloc_array(Datum, list->allocated);
	}
	list->items[list->n++] = HeapTupleGetDatum(heap_form_tuple(list->desc,
															   values, nulls));
}

/* The members of an object, in the order in which jsonb keeps them */
static void
add_object(SlHeaderList *list, JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		add_header(list, &key, &value);
	}
}

static void
invalid_headers(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("headers must be a JSON object, or an array of objects"),
			 errhint("For example {\"trace\": \"1f\"}, or in a certain order and with duplicates [{\"trace\": \"1f\"}, {\"trace\": \"20\"}].")));
}

/* headers(jsonb) */
Datum
streamlog_headers(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_GETARG_JSONB_P(0);
	SlHeaderList list = {0};
	Oid			array_type = get_fn_expr_rettype(fcinfo->flinfo);
	Oid			type;

	if (!OidIsValid(array_type))
		array_type = get_func_rettype(fcinfo->flinfo->fn_oid);
	type = get_element_type(array_type);
	list.desc = lookup_rowtype_tupdesc_copy(type, -1);

	if (JB_ROOT_IS_OBJECT(json))
		add_object(&list, &json->root);
	else if (JB_ROOT_IS_ARRAY(json) && !JB_ROOT_IS_SCALAR(json))
	{
		for (uint32 i = 0; i < JB_ROOT_COUNT(json); i++)
		{
			JsonbValue *item = getIthJsonbValueFromContainer(&json->root, i);

			if (item->type != jbvBinary ||
				!JsonContainerIsObject(item->val.binary.data))
				invalid_headers();
			add_object(&list, item->val.binary.data);
		}
	}
	else
		invalid_headers();

	PG_RETURN_ARRAYTYPE_P(construct_array(list.items, list.n, type, -1, false,
										  TYPALIGN_DOUBLE));
}
