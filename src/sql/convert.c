/*
 * convert.c
 *		Keys and values of any type as bytes.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "sql/convert.h"

void
sl_conversion_init(SlConversion *conversion, Oid type, MemoryContext context)
{
	/*
	 * the look-up is not for the common ones: a call site may live for one
	 * call
	 */
	Oid			base = type == TEXTOID || type == BYTEAOID ? type : getBaseType(type);
	Oid			output;
	bool		is_varlena;

	conversion->type = type;
	conversion->is_bytes = base == BYTEAOID;
	conversion->is_text = base == TEXTOID || base == VARCHAROID ||
		base == BPCHAROID || base == JSONOID;
	conversion->is_padded = base == BPCHAROID;
	if (!conversion->is_bytes && !conversion->is_text)
	{
		getTypeOutputInfo(type, &output, &is_varlena);
		fmgr_info_cxt(output, &conversion->output, context);
	}
}

struct varlena *
sl_utf8(struct varlena *text)
{
	char	   *data;
	int			len;
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8)
		return text;

	data = VARDATA_ANY(text);
	len = VARSIZE_ANY_EXHDR(text);
	converted = (char *) pg_server_to_any(data, len, PG_UTF8);
	if (converted == data)
		return text;

	return (struct varlena *) cstring_to_text(converted);
}

struct varlena *
sl_convert(SlConversion *conversion, Datum value)
{
	if (conversion->is_bytes)
		return PG_DETOAST_DATUM_PACKED(value);
	if (conversion->is_padded)
		value = DirectFunctionCall1(rtrim1, value); /* as its cast to text */
	if (conversion->is_text)
		return sl_utf8(PG_DETOAST_DATUM_PACKED(value));
	return sl_utf8((struct varlena *) cstring_to_text(OutputFunctionCall(&conversion->output, value)));
}

/* UTF-8 in the server's encoding; NULL if there it has no such characters. */
static text *
convert_or_null(const char *data, int len)
{
	Oid			proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	Size		room = (Size) len * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;
	text	   *result = NULL;

	if (!OidIsValid(proc))
		return NULL;
	converted = palloc_extended(room, MCXT_ALLOC_HUGE);
	if (pg_do_encoding_conversion_buf(proc, PG_UTF8, GetDatabaseEncoding(),
									  (unsigned char *) unconstify(char *, data), len,
									  (unsigned char *) converted,
									  (int) Min(room, (Size) INT_MAX), true) == len)
		result = cstring_to_text(converted);
	pfree(converted);
	return result;
}

static text *
hex_text(const char *data, int len)
{
	Size		size = VARHDRSZ + 2 + (Size) len * 2;
	text	   *result;

	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value of %d bytes is too long to be shown", len),
				 errdetail("It is not text in UTF-8, and would be shown as hexadecimal digits."),
				 errhint("Read its bytes from the topic's table.")));
	result = palloc(size);
	SET_VARSIZE(result, size);
	memcpy(VARDATA(result), "\\x", 2);
	(void) hex_encode(data, len, VARDATA(result) + 2);
	return result;
}

text *
sl_shown_text(struct varlena *bytes)
{
	char	   *data = VARDATA_ANY(bytes);
	int			len = VARSIZE_ANY_EXHDR(bytes);
	text	   *converted;

	if (!pg_verify_mbstr(PG_UTF8, data, len, true))
		return hex_text(data, len);
	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return bytes;
	converted = convert_or_null(data, len);
	return converted ? converted : hex_text(data, len);
}
