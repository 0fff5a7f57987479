/*
 * headers.c
 *		Headers of records from JSON, and as JSON.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "sql/convert.h"
#include "sql/headers.h"

/* As many as fit: the members of an object that is being made are in one array. */
#define SL_MAX_SHOWN_HEADERS (8 * 1024 * 1024)

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

Datum
sl_headers_from_json(Jsonb *json, Oid array_type)
{
	SlHeaderList list = {0};
	Oid			type = get_element_type(array_type);

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

	return PointerGetDatum(construct_array(list.items, list.n, type, -1, false,
										   TYPALIGN_DOUBLE));
}

/* The headers of a record, taken apart */
typedef struct SlHeaderParts
{
	JsonbValue	key;
	JsonbValue	value;
} SlHeaderParts;

static void
set_string(JsonbValue *value, text *string)
{
	value->type = jbvString;
	value->val.string.val = VARDATA_ANY(string);
	value->val.string.len = VARSIZE_ANY_EXHDR(string);
}

static void
take_apart(Datum header, SlHeaderParts *parts)
{
	HeapTupleHeader tuple = DatumGetHeapTupleHeader(header);
	bool		isnull;
	Datum		datum = GetAttributeByNum(tuple, 1, &isnull);

	set_string(&parts->key, isnull ? cstring_to_text("") : DatumGetTextPP(datum));
	datum = GetAttributeByNum(tuple, 2, &isnull);
	if (isnull)
		parts->value.type = jbvNull;
	else
		set_string(&parts->value, sl_shown_text(DatumGetByteaPP(datum)));
}

static int
compare_keys(const void *a, const void *b)
{
	const JsonbValue *left = &((const SlHeaderParts *) a)->key;
	const JsonbValue *right = &((const SlHeaderParts *) b)->key;
	int			len = Min(left->val.string.len, right->val.string.len);
	int			result = memcmp(left->val.string.val, right->val.string.val, len);

	return result != 0 ? result : left->val.string.len - right->val.string.len;
}

static bool
has_duplicates(const SlHeaderParts *parts, int n)
{
	SlHeaderParts *sorted = palloc_array(SlHeaderParts, Max(n, 1));
	bool		found = false;

	memcpy(sorted, parts, n * sizeof(SlHeaderParts));
	qsort(sorted, n, sizeof(SlHeaderParts), compare_keys);
	for (int i = 1; i < n && !found; i++)
		found = compare_keys(&sorted[i - 1], &sorted[i]) == 0;
	pfree(sorted);
	return found;
}

Jsonb *
sl_headers_as_json(Datum headers)
{
	ArrayType  *array = DatumGetArrayTypeP(headers);
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	SlHeaderParts *parts;
	JsonbParseState *state = NULL;
	ArrayIterator it;
	Datum		element;
	bool		isnull;
	bool		as_array;

	if (n > SL_MAX_SHOWN_HEADERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot show %d headers as JSON", n),
				 errdetail("At most %d can be shown.", SL_MAX_SHOWN_HEADERS)));

	parts = palloc_array(SlHeaderParts, Max(n, 1));
	it = array_create_iterator(array, 0, NULL);
	n = 0;
	while (array_iterate(it, &element, &isnull))
		if (!isnull)
			take_apart(element, &parts[n++]);
	array_free_iterator(it);

	as_array = has_duplicates(parts, n);
	(void) pushJsonbValue(&state, as_array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		if (as_array)
			(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		(void) pushJsonbValue(&state, WJB_KEY, &parts[i].key);
		(void) pushJsonbValue(&state, WJB_VALUE, &parts[i].value);
		if (as_array)
			(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, as_array ? WJB_END_ARRAY : WJB_END_OBJECT,
											NULL));
}
