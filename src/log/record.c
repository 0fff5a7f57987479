/*
 * record.c
 *		A record in memory: the very tuple that will be stored.
 *
 * A record is formed once, when it is produced: what is buffered, spilled and
 * at last handed to the heap is the same bytes, in which only the offset (and
 * the timestamp, if the log decides it) is filled in at the append.  The layout
 * is the one that heap_fill_tuple() gives the columns of a segment; the tests
 * compare the two.
 */
#include "postgres.h"

#include "log/record.h"

/* Where a variable-length column that follows at pos would begin and end. */
static inline Size
varlena_end(Size pos, const struct varlena *value, char align, Size *start)
{
	Size		size = VARSIZE_ANY(value);

	if (VARATT_IS_SHORT(value))
		*start = pos;
	else if (VARATT_CAN_MAKE_SHORT(value))
	{
		size = VARATT_CONVERTED_SHORT_SIZE(value);
		*start = pos;
	}
	else
		*start = att_align_nominal(pos, align);
	return *start + size;
}

static Size
put_varlena(char *data, Size pos, const struct varlena *value, char align)
{
	Size		start;
	Size		end = varlena_end(pos, value, align, &start);

	if (!VARATT_IS_SHORT(value) && VARATT_CAN_MAKE_SHORT(value))
	{
		SET_VARSIZE_SHORT(data + start, end - start);
		memcpy(data + start + VARHDRSZ_SHORT, VARDATA(value),
			   end - start - VARHDRSZ_SHORT);
	}
	else
	{
		/* padding must be zero: a reader looks at it to find the value */
		memset(data + pos, 0, start - pos);
		memcpy(data + start, value, end - start);
	}
	return end;
}

Size
sl_record_tuple_len(const SlRecordParts *parts)
{
	Size		pos = SL_FIXED_SIZE;
	Size		start;

	if (parts->key)
		pos = varlena_end(pos, parts->key, TYPALIGN_INT, &start);
	if (parts->value)
		pos = varlena_end(pos, parts->value, TYPALIGN_INT, &start);
	if (parts->headers)
		pos = varlena_end(pos, parts->headers, TYPALIGN_DOUBLE, &start);
	return SL_HOFF + pos;
}

void
sl_record_form(const SlRecordParts *parts, SlRecord *record, Size tuple_len)
{
	HeapTupleHeader tuple = sl_record_tuple(record);
	SlRecordFixed *fixed = sl_tuple_fixed(tuple);
	char	   *data = (char *) fixed;
	Size		pos = SL_FIXED_SIZE;

	record->tuple_len = tuple_len;
	record->ordinal = 0;

	memset(tuple, 0, SL_HOFF);
	HeapTupleHeaderSetNatts(tuple, SL_SEGMENT_ATTS);
	tuple->t_hoff = SL_HOFF;
	tuple->t_infomask = 0;
	if (!parts->key || !parts->value || !parts->headers)
	{
		tuple->t_infomask |= HEAP_HASNULL;
		tuple->t_bits[0] = 0x07 | (parts->key ? 0x08 : 0) |
			(parts->value ? 0x10 : 0) | (parts->headers ? 0x20 : 0);
	}
	if (parts->key || parts->value || parts->headers)
		tuple->t_infomask |= HEAP_HASVARWIDTH;

	fixed->record_offset = -1;
	fixed->timestamp = parts->timestamp;
	memcpy(&fixed->partition, &parts->partition, sizeof(int32));
	if (parts->key)
		pos = put_varlena(data, pos, parts->key, TYPALIGN_INT);
	if (parts->value)
		pos = put_varlena(data, pos, parts->value, TYPALIGN_INT);
	if (parts->headers)
		pos = put_varlena(data, pos, parts->headers, TYPALIGN_DOUBLE);
	Assert(SL_HOFF + pos == tuple_len);

	/* nothing of what was in the memory before may reach the disk */
	memset(data + pos, 0, MAXALIGN(tuple_len) - tuple_len);
}
