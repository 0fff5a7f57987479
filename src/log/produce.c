/*
 * produce.c
 *		A record on its way into the transaction's buffer.
 *
 * A record's size, which max.message.bytes bounds, is that of its key, its value
 * and its headers' keys and values, as they were given, and SL_HEADER_OVERHEAD
 * for each header: else there could be any number of empty ones.
 *
 * What is large is compressed here, as the topic's compression.type has it, before
 * any lock is taken.  The toaster runs under the append lock and never compresses:
 * a segment's columns are EXTERNAL.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/toast_internals.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "base/errors.h"
#include "log/log.h"
#include "log/partitioner.h"
#include "log/produce.h"
#include "log/record.h"
#include "log/transaction.h"

/* What is counted for a header beside its key and value, as stored */
#define SL_HEADER_OVERHEAD	32

/* Larger keys, values and headers are compressed */
#define SL_COMPRESS_ABOVE	1024

/* but none that could need a larger buffer than there can be */
#define SL_COMPRESS_UPTO	(MaxAllocSize - 64 * 1024 * 1024)

/* What stands for lz4, which the topic's config may have from another server */
#ifdef USE_LZ4
#define SL_LZ4		TOAST_LZ4_COMPRESSION
#else
#define SL_LZ4		TOAST_PGLZ_COMPRESSION
#endif

static struct varlena *
compress(const SlTopic *topic, struct varlena *value)
{
	SlCompression type = topic->config.compression;
	Datum		compressed;

	if (value == NULL || VARSIZE_ANY(value) <= SL_COMPRESS_ABOVE ||
		VARSIZE_ANY(value) > SL_COMPRESS_UPTO || type == SL_COMPRESSION_NONE)
		return value;
	compressed = toast_compress_datum(PointerGetDatum(value),
									  type == SL_COMPRESSION_PGLZ ?
									  TOAST_PGLZ_COMPRESSION : SL_LZ4);
	return compressed ? (struct varlena *) DatumGetPointer(compressed) : value;
}

static void
invalid_headers(const char *message)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s", message),
			 errhint("A header has a key and a value that may be null; make them with headers('{\"key\": \"value\"}').")));
}

/* The size of one of a header's attributes; *isnull as usual. */
static Size
attribute_size(HeapTupleHeader header, AttrNumber att, bool *isnull)
{
	Datum		value = GetAttributeByNum(header, att, isnull);

	return *isnull ? 0 : toast_raw_datum_size(value) - VARHDRSZ;
}

struct varlena *
sl_produce_headers(const SlTopic *topic, Datum headers, Size *size)
{
	ArrayType  *array = DatumGetArrayTypeP(headers);
	ArrayIterator it;
	Datum		element;
	bool		isnull;

	*size = 0;
	if (ARR_NDIM(array) == 0)
		return NULL;
	if (ARR_NDIM(array) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("headers must be a one-dimensional array")));

	it = array_create_iterator(array, 0, NULL);
	while (array_iterate(it, &element, &isnull))
	{
		HeapTupleHeader header;

		if (isnull)
			invalid_headers("a header must not be null");
		*size += SL_HEADER_OVERHEAD;
		header = DatumGetHeapTupleHeader(element);
		*size += attribute_size(header, 1, &isnull);
		if (isnull)
			invalid_headers("the key of a header must not be null");
		*size += attribute_size(header, 2, &isnull);
	}
	array_free_iterator(it);
	return compress(topic, (struct varlena *) array);
}

static void
check_size(SlTopic *topic, const SlProduceArgs *args)
{
	Size		size = args->headers_size;

	if (args->key)
		size += VARSIZE_ANY_EXHDR(args->key);
	if (args->value)
		size += VARSIZE_ANY_EXHDR(args->value);
	if (size > topic->config.max_message_bytes)
		ereport(ERROR,
				(errcode(ERRCODE_SL_MESSAGE_TOO_LARGE),
				 errmsg("record of %zu bytes is too large for topic \"%s\"",
						size, topic->name),
				 errdetail("Its max.message.bytes is %lld.",
						   (long long) topic->config.max_message_bytes),
				 errhint("Raise it with alter_topic('%s', config => '{\"max.message.bytes\": ...}').",
						 topic->name)));
}

static void
invalid_timestamp(SlTopic *topic, TimestampTz time, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_TIMESTAMP),
			 errmsg("record time %s is not valid for topic \"%s\"",
					timestamptz_to_str(time),
					topic->name),
			 errdetail("%s", detail)));
}

/* The time that a record gets; the log decides it later if it is the log's. */
static TimestampTz
record_time(SlTopic *topic, const SlProduceArgs *args)
{
	TimestampTz now = args->now;
	const TimestampTz epoch =
	(UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	int64		before = topic->config.timestamp_before_max_ms;
	int64		after = topic->config.timestamp_after_max_ms;

	if (!args->has_time || topic->config.log_append_time)
		return now;
	if (TIMESTAMP_NOT_FINITE(args->time))
		invalid_timestamp(topic, args->time, "It is not finite.");
	if (args->time < epoch)
		invalid_timestamp(topic, args->time, "It is before 1970.");
	if (now > args->time && (now - args->time) / 1000 > before)
		invalid_timestamp(topic, args->time,
						  psprintf("It is older than message.timestamp.before.max.ms, %lld, allows.",
								   (long long) before));
	if (args->time > now && (args->time - now) / 1000 > after)
		invalid_timestamp(topic, args->time,
						  psprintf("It is further in the future than message.timestamp.after.max.ms, %lld, allows.",
								   (long long) after));
	return args->time;
}

static int32
route(SlTopic *topic, const SlProduceArgs *args)
{
	if (args->has_partition)
	{
		sl_check_partition(topic, args->partition);
		return args->partition;
	}
	if (args->key)
		return sl_partition_for_key((unsigned char *) VARDATA_ANY(args->key),
									VARSIZE_ANY_EXHDR(args->key),
									topic->partitions);
	return sl_partition_sticky(topic, args->headers_size +
							   (args->value ? VARSIZE_ANY_EXHDR(args->value) : 0));
}

void
sl_produce(SlTopic *topic, const SlProduceArgs *args)
{
	SlRecordParts parts;
	SlRecord   *record;
	Size		len;

	check_size(topic, args);
	parts.timestamp = record_time(topic, args);
	parts.partition = route(topic, args);
	parts.key = compress(topic, args->key);
	parts.value = compress(topic, args->value);
	parts.headers = args->headers;

	len = sl_record_tuple_len(&parts);
	record = sl_transaction_add(topic, parts.partition, len);
	sl_record_form(&parts, record, len);
	record->ordinal = args->ordinal;

	if (parts.key != args->key)
		pfree(parts.key);
	if (parts.value != args->value)
		pfree(parts.value);
}
