/*
 * text_funcs.c
 *		The SQL functions between bytes, text and JSON.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "sql/convert.h"
#include "sql/headers.h"

PG_FUNCTION_INFO_V1(streamlog_headers);
PG_FUNCTION_INFO_V1(streamlog_as_text);
PG_FUNCTION_INFO_V1(streamlog_as_json);
PG_FUNCTION_INFO_V1(streamlog_show_text);
PG_FUNCTION_INFO_V1(streamlog_show_headers);

/* UTF-8 in the server's encoding; raises if it is not UTF-8. */
static char *
server_text(struct varlena *bytes, int *len)
{
	char	   *data = VARDATA_ANY(bytes);
	char	   *text;

	*len = VARSIZE_ANY_EXHDR(bytes);
	text = pg_any_to_server(data, *len, PG_UTF8);

	if (text !=data)
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

/* headers(jsonb) */
Datum
streamlog_headers(PG_FUNCTION_ARGS)
{
	Oid			array_type = get_fn_expr_rettype(fcinfo->flinfo);

	if (!OidIsValid(array_type))
		array_type = get_func_rettype(fcinfo->flinfo->fn_oid);
	return sl_headers_from_json(PG_GETARG_JSONB_P(0), array_type);
}

/* show_text(bytes) */
Datum
streamlog_show_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(sl_shown_text(PG_GETARG_BYTEA_PP(0)));
}

/* show_headers(headers) */
Datum
streamlog_show_headers(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(sl_headers_as_json(PG_GETARG_DATUM(0)));
}
