/*
 * config.c
 *		The configs of a topic: names, bounds, defaults.
 *
 * A topic's row keeps what was given, as a JSON object of numbers, words and
 * booleans; the names are Kafka's.  Everything about a config stands in the table
 * below, so a new one is a line in it and, once it acts, a field of
 * SlTopicConfig.
 *
 * What is given is checked when it is stored.  What is read was stored, but maybe
 * by another server, whose topics a dump has brought here: what cannot be used
 * here counts as the default, for a topic has to work in any case.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/errors.h"
#include "catalog/catalog.h"
#include "catalog/config.h"
#include "catalog/tablespace.h"

#define ONE_MB		INT64CONST(1048576)
#define ONE_DAY		INT64CONST(86400000)
#define UNLIMITED	(-1)

#ifdef USE_LZ4
#define HAS_LZ4		true
#else
#define HAS_LZ4		false
#endif

typedef enum SlConfigKind
{
	SL_CONFIG_BYTES,
	SL_CONFIG_MS,
	SL_CONFIG_WORD,
	SL_CONFIG_BOOL,
	SL_CONFIG_TABLESPACE
} SlConfigKind;

typedef struct SlConfigDef
{
	const char *name;
	SlConfigKind kind;
	int64		def;			/* number, index of the word, or 0 and 1 */
	int64		min;
	int64		max;
	const char *const *words;	/* up to a NULL */
	int			field;			/* offset in SlTopicConfig, NO_FIELD if none */
	const char *meaning;
	const char *instead;		/* what happens as it does not act yet */
} SlConfigDef;

#define FIELD(name)		offsetof(SlTopicConfig, name)
#define NO_FIELD		(-1)

static const char *const cleanup_policies[] = {"delete", NULL};
static const char *const compression_types[] = {
	"producer", "uncompressed", "lz4", "pglz", NULL
};
static const char *const timestamp_types[] = {
	"CreateTime", "LogAppendTime", NULL
};

#define KEPT	"records are kept until delete_records()"

/* In the order of their names, for describe_topic() */
static const SlConfigDef defs[] = {
	{"cleanup.policy", SL_CONFIG_WORD, 0, 0, 0, cleanup_policies, NO_FIELD,
		"what becomes of old records; delete: whole segments are removed as the retention configs say",
	KEPT},
	{"compression.type", SL_CONFIG_WORD, SL_COMPRESSION_PRODUCER, 0, 0,
		compression_types, FIELD(compression),
		"how keys, values and headers of more than 1 kB are stored: producer (lz4 where the server has it, else pglz), uncompressed, lz4 or pglz",
	NULL},
	{"max.message.bytes", SL_CONFIG_BYTES, ONE_MB + 12, 0, MaxAllocSize - 64 * ONE_MB,
		NULL, FIELD(max_message_bytes),
		"the largest record, in bytes before compression",
	NULL},
	{"message.timestamp.after.max.ms", SL_CONFIG_MS, 3600000, 0, PG_INT64_MAX,
		NULL, FIELD(timestamp_after_max_ms),
		"how far in the future the time of a record may be, in milliseconds; with CreateTime",
	NULL},
	{"message.timestamp.before.max.ms", SL_CONFIG_MS, PG_INT64_MAX, 0, PG_INT64_MAX,
		NULL, FIELD(timestamp_before_max_ms),
		"how far in the past the time of a record may be, in milliseconds; with CreateTime",
	NULL},
	{"message.timestamp.type", SL_CONFIG_WORD, 0, 0, 0, timestamp_types,
		FIELD(log_append_time),
		"the time of a record: CreateTime, the producer's, or LogAppendTime, that of the append",
	NULL},
	{"notify", SL_CONFIG_BOOL, 0, 0, 0, NULL, FIELD(notify),
		"whether sessions that LISTEN on channel streamlog_<topic>, cut to 63 bytes, are told of new records soon after their commit",
	NULL},
	{"retention.bytes", SL_CONFIG_BYTES, UNLIMITED, UNLIMITED, PG_INT64_MAX, NULL, NO_FIELD,
		"the size of a partition above which its oldest segments are removed, in bytes; -1 is unlimited",
	KEPT},
	{"retention.ms", SL_CONFIG_MS, 7 * ONE_DAY, UNLIMITED, PG_INT64_MAX, NULL, NO_FIELD,
		"the age of its newest record at which a segment is removed, in milliseconds; -1 is unlimited",
	KEPT},
	{"segment.bytes", SL_CONFIG_BYTES, 1024 * ONE_MB, ONE_MB, PG_INT32_MAX,
		NULL, FIELD(segment_bytes),
		"the size at which a segment is closed and the next one begins, in bytes",
	NULL},
	{"segment.ms", SL_CONFIG_MS, 7 * ONE_DAY, 1, PG_INT64_MAX, NULL, NO_FIELD,
		"the age of its first record at which a segment is closed and the next one begins, in milliseconds",
	"only segment.bytes closes segments"},
	{"tablespace", SL_CONFIG_TABLESPACE, 0, 0, 0, NULL, FIELD(tablespace),
		"the tablespace that new segments are made in; null is the default of the database",
	NULL},
};

static const SlConfigDef *
find_def(const JsonbValue *key)
{
	for (int i = 0; i < lengthof(defs); i++)
		if (strlen(defs[i].name) == key->val.string.len &&
			memcmp(defs[i].name, key->val.string.val, key->val.string.len) == 0)
			return &defs[i];
	return NULL;
}

static void
unknown_config(const char *name)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < lengthof(defs); i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", defs[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_CONFIG),
			 errmsg("unknown topic config \"%s\"", sl_clip_name(name)),
			 errhint("The known configs are: %s.", known.data)));
}

/* What a config takes, as a hint says it */
static char *
expected(const SlConfigDef *def)
{
	bool		unlimited = def->min == UNLIMITED;
	StringInfoData hint;

	initStringInfo(&hint);
	switch (def->kind)
	{
		case SL_CONFIG_BYTES:
		case SL_CONFIG_MS:
			appendStringInfo(&hint, "Use a whole number of %s from %lld to %lld%s; a string may have one of the units %s.",
							 def->kind == SL_CONFIG_BYTES ? "bytes" : "milliseconds",
							 (long long) (unlimited ? 0 : def->min),
							 (long long) def->max,
							 unlimited ? ", or -1 for no limit" : "",
							 def->kind == SL_CONFIG_BYTES ?
							 "B, kB, MB, GB and TB, as \"1GB\"" :
							 "us, ms, s, min, h and d, as \"7d\"");
			break;
		case SL_CONFIG_WORD:
			appendStringInfo(&hint, "Use \"%s\"", def->words[0]);
			for (int i = 1; def->words[i]; i++)
				appendStringInfo(&hint, "%s \"%s\"", def->words[i + 1] ? "," : " or",
								 def->words[i]);
			appendStringInfoChar(&hint, '.');
			break;
		case SL_CONFIG_BOOL:
			appendStringInfoString(&hint, "Use true or false.");
			break;
		case SL_CONFIG_TABLESPACE:
			appendStringInfoString(&hint, "Use the name of a tablespace.");
			break;
	}
	return hint.data;
}

static void
invalid_value(const SlConfigDef *def, const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_CONFIG),
			 errmsg("invalid value \"%s\" for topic config \"%s\"",
					sl_clip_name(text), def->name),
			 errhint("%s", expected(def))));
}

static char *
value_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvNull:
			return pstrdup("null");
		default:
			return pstrdup("[...]");
	}
}

/* A whole number, of the full range if it is given without a unit */
static bool
parse_number(const SlConfigDef *def, const char *text, int64 *number)
{
	char	   *end;
	double		real;

	errno = 0;
	*number = strtoi64(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text)
	{
		if (!parse_real(text, &real, def->kind == SL_CONFIG_BYTES ?
						GUC_UNIT_BYTE : GUC_UNIT_MS, NULL) ||
			real != rint(real) || !FLOAT8_FITS_IN_INT64(real))
			return false;
		*number = (int64) real;
	}
	return *number >= def->min && *number <= def->max;
}

/*
 * The value of a config, whose text the caller has, as a number (of a word, its
 * index); false if it is none that the config takes.
 */
static bool
parse(const SlConfigDef *def, const JsonbValue *value, const char *text,
	  int64 *number)
{
	bool		is_true;

	*number = 0;
	switch (def->kind)
	{
		case SL_CONFIG_BYTES:
		case SL_CONFIG_MS:
			return (value->type == jbvNumeric || value->type == jbvString) &&
				parse_number(def, text, number);
		case SL_CONFIG_WORD:
			for (int i = 0; def->words[i]; i++)
				if (value->type == jbvString && strcmp(text, def->words[i]) == 0)
				{
					*number = i;
					return true;
				}
			return false;
		case SL_CONFIG_BOOL:
			if ((value->type != jbvBool && value->type != jbvString) ||
				!parse_bool(text, &is_true))
				return false;
			*number = is_true;
			return true;
		case SL_CONFIG_TABLESPACE:
			return value->type == jbvString;
	}
	return false;
}

/* Refuse what is Kafka's or ours but does not work here. */
static void
check_supported(const SlConfigDef *def, const char *text)
{
	if (def->words == cleanup_policies && strstr(text, "compact"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s \"%s\" is not supported yet",
						def->name, sl_clip_name(text)),
				 errdetail("Compaction does not act yet: a topic would keep every record of every key."),
				 errhint("%s", expected(def))));
	if (def->words == compression_types && strcmp(text, "lz4") == 0 && !HAS_LZ4)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s \"%s\" is not supported by this server",
						def->name, text),
				 errdetail("PostgreSQL was built without lz4."),
				 errhint("Use \"%s\", which is pglz here.", compression_types[0])));
	if (def->kind == SL_CONFIG_TABLESPACE)
		sl_tablespace_check(text);
}

/* Check a value that is given, and bring it into the form that is stored. */
static void
normalise(const SlConfigDef *def, JsonbValue *value)
{
	char	   *text = value_text(value);
	int64		number;

	if (value->type == jbvNull)
		return;
	if (value->type == jbvString)
		check_supported(def, text);
	if (!parse(def, value, text, &number))
		invalid_value(def, text);

	switch (def->kind)
	{
		case SL_CONFIG_BYTES:
		case SL_CONFIG_MS:
			value->type = jbvNumeric;
			value->val.numeric = int64_to_numeric(number);
			break;
		case SL_CONFIG_BOOL:
			value->type = jbvBool;
			value->val.boolean = number != 0;
			break;
		case SL_CONFIG_WORD:
		case SL_CONFIG_TABLESPACE:
			break;
	}
}

static void
require_object(Jsonb *config)
{
	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_CONFIG),
				 errmsg("topic config must be a JSON object"),
				 errhint("For example: {\"segment.bytes\": \"100MB\"}.")));
}

/* The next member of an object; false at its end. */
static bool
next_member(JsonbIterator **it, JsonbValue *key, JsonbValue *value)
{
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(it, key, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			(void) JsonbIteratorNext(it, value, true);
			return true;
		}
	return false;
}

Jsonb *
sl_config_merge(Jsonb *old, Jsonb *changes)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	Datum		merged;

	require_object(changes);
	it = JsonbIteratorInit(&changes->root);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (next_member(&it, &key, &value))
	{
		const SlConfigDef *def = find_def(&key);

		if (!def)
			unknown_config(value_text(&key));
		normalise(def, &value);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	merged = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	if (old)
		merged = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(old), merged);

	/* what was reset by null is no longer there */
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_strip_nulls, merged));
}

void
sl_config_tell(Jsonb *changes)
{
	JsonbIterator *it = JsonbIteratorInit(&changes->root);
	JsonbValue	key;
	JsonbValue	value;

	while (next_member(&it, &key, &value))
	{
		const SlConfigDef *def = find_def(&key);

		if (def && def->instead && value.type != jbvNull)
			ereport(NOTICE,
					(errmsg("topic config \"%s\" is stored, but does not act yet: %s",
							def->name, def->instead)));
	}
}

static JsonbValue *
stored_value(Jsonb *stored, const SlConfigDef *def, JsonbValue *buf)
{
	return getKeyJsonValueFromContainer(&stored->root, def->name,
										strlen(def->name), buf);
}

void
sl_config_read(Jsonb *stored, SlTopicConfig *config)
{
	for (int i = 0; i < lengthof(defs); i++)
	{
		const SlConfigDef *def = &defs[i];
		char	   *field = (char *) config + def->field;
		JsonbValue	buf;
		JsonbValue *value;
		char	   *string;
		int64		number;

		if (def->field == NO_FIELD)
			continue;
		value = stored_value(stored, def, &buf);
		string = value ? value_text(value) : "";
		if (!value || !parse(def, value, string, &number))
		{
			number = def->def;
			string = "";
		}

		switch (def->kind)
		{
			case SL_CONFIG_BYTES:
			case SL_CONFIG_MS:
				*(int64 *) field = number;
				break;
			case SL_CONFIG_WORD:
			case SL_CONFIG_BOOL:
				*(uint8 *) field = (uint8) number;
				break;
			case SL_CONFIG_TABLESPACE:
				namestrcpy((Name) field, string);
				break;
		}
	}
}

/* The default of a config as it would be stored; NULL if it has none. */
static char *
default_text(const SlConfigDef *def)
{
	switch (def->kind)
	{
		case SL_CONFIG_BYTES:
		case SL_CONFIG_MS:
			return psprintf("%lld", (long long) def->def);
		case SL_CONFIG_WORD:
			return pstrdup(def->words[def->def]);
		case SL_CONFIG_BOOL:
			return pstrdup(def->def ? "true" : "false");
		case SL_CONFIG_TABLESPACE:
			break;
	}
	return NULL;
}

bool
sl_config_line(Jsonb *stored, int n, SlConfigLine *line)
{
	const SlConfigDef *def;
	JsonbValue	buf;
	JsonbValue *value;

	if (n >= lengthof(defs))
		return false;
	def = &defs[n];
	value = stored_value(stored, def, &buf);
	line->name = def->name;
	line->value = value ? value_text(value) : default_text(def);
	line->is_default = value == NULL;
	line->meaning = def->instead ?
		psprintf("%s (not acting yet: %s)", def->meaning, def->instead) :
		pstrdup(def->meaning);
	return true;
}
