/*
 * convert.c
 *		Keys and values of any type as bytes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sql/convert.h"

void
sl_conversion_init(SlConversion *conversion, Oid type, MemoryContext context)
{
	/* the look-up is not for the common ones: a call site may live for one call */
	Oid			base = type == TEXTOID || type == BYTEAOID ? type : getBaseType(type);
	Oid			output;
	bool		is_varlena;

	conversion->type = type;
	conversion->is_bytes = base == BYTEAOID;
	conversion->is_text = base == TEXTOID || base == VARCHAROID ||
		base == BPCHAROID || base == JSONOID;
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
	if (conversion->is_text)
		return sl_utf8(PG_DETOAST_DATUM_PACKED(value));
	return sl_utf8((struct varlena *) cstring_to_text(OutputFunctionCall(&conversion->output, value)));
}
