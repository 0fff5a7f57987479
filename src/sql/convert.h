/*
 * convert.h
 *		Keys and values of any type as bytes.
 */
#ifndef SL_CONVERT_H
#define SL_CONVERT_H

#include "fmgr.h"

/* How a type becomes bytes; found once for a call site */
typedef struct SlConversion
{
	Oid			type;
	bool		is_bytes;		/* bytea */
	bool		is_text;		/* its varlena is its text */
	bool		is_padded;		/* char(n): but for blanks at the end */
	FmgrInfo	output;
} SlConversion;

extern void sl_conversion_init(SlConversion *conversion, Oid type,
							   MemoryContext context);

/*
 * The bytes of a value: bytea as they are, text and everything else that has a
 * text as UTF-8.  Neither compressed nor out of line; memory of the current
 * context, or the value itself.
 */
extern struct varlena *sl_convert(SlConversion *conversion, Datum value);

/* Text of the server's encoding as UTF-8 */
extern struct varlena *sl_utf8(struct varlena *text);

/*
 * Bytes as people read them: the text that they hold as UTF-8, or \x and
 * hexadecimal digits if they are none in the server's encoding.  Palloc'd, or the
 * bytes themselves.  Raises only if the digits would not fit into a text.
 */
extern text *sl_shown_text(struct varlena *bytes);

#endif							/* SL_CONVERT_H */
