/*
 * config.c
 *		The configs of a topic: names, bounds, defaults.
 *
 * A topic's row keeps what was given, as a JSON object of numbers and strings;
 * the names are Kafka's.  Everything about a config stands in the table below,
 * so a new one is a line in it and a field of SlTopicConfig.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/errors.h"
#include "catalog/config.h"

#define ONE_MB INT64CONST(1048576)

typedef struct SlConfigDef
{
	const char *name;
	int			field;			/* offset in SlTopicConfig */
	int64		def;
	int64		min;
	int64		max;
	const char *const *words;	/* not a number but one of these two */
} SlConfigDef;

static const char *const timestamp_types[] = {"CreateTime", "LogAppendTime"};

static const SlConfigDef defs[] = {
	{"max.message.bytes", offsetof(SlTopicConfig, max_message_bytes),
	ONE_MB + 12, 0, MaxAllocSize - 64 * ONE_MB, NULL},
	{"message.timestamp.after.max.ms", offsetof(SlTopicConfig, timestamp_after_max_ms),
	3600000, 0, PG_INT64_MAX, NULL},
	{"message.timestamp.before.max.ms", offsetof(SlTopicConfig, timestamp_before_max_ms),
	PG_INT64_MAX, 0, PG_INT64_MAX, NULL},
	{"message.timestamp.type", offsetof(SlTopicConfig, log_append_time),
	0, 0, 1, timestamp_types},
	{"segment.bytes", offsetof(SlTopicConfig, segment_bytes),
	1024 * ONE_MB, ONE_MB, PG_INT32_MAX, NULL},
};

static const SlConfigDef *
find_def(const char *name, int len)
{
	for (int i = 0; i < lengthof(defs); i++)
		if (strlen(defs[i].name) == len && memcmp(defs[i].name, name, len) == 0)
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
			 errmsg("unknown topic config \"%s\"", name),
			 errhint("The known configs are: %s.", known.data)));
}

static void
invalid_value(const SlConfigDef *def, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_SL_INVALID_CONFIG),
			 errmsg("invalid value \"%s\" for topic config \"%s\"",
					value, def->name),
			 def->words ?
			 errhint("Use \"%s\" or \"%s\".", def->words[0], def->words[1]) :
			 errhint("Use a whole number from %lld to %lld.",
					 (long long) def->min, (long long) def->max)));
}

/* The value of a config as a number; a string is taken for what it holds. */
static int64
config_value(const SlConfigDef *def, const JsonbValue *value)
{
	char	   *text;
	char	   *end;
	int64		number;

	if (value->type == jbvNumeric)
		text = numeric_normalize(value->val.numeric);
	else if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		text = pstrdup(value->type == jbvBool ?
					   (value->val.boolean ? "true" : "false") : "[...]");

	if (def->words)
	{
		for (int i = 0; i < 2; i++)
			if (value->type == jbvString && strcmp(text, def->words[i]) == 0)
				return i;
		invalid_value(def, text);
	}

	errno = 0;
	number = strtoi64(text, &end, 10);
	if ((value->type != jbvNumeric && value->type != jbvString) ||
		errno != 0 || end == text || *end != '\0' ||
		number < def->min || number > def->max)
		invalid_value(def, text);
	return number;
}

static void
require_object(Jsonb *config)
{
	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				(errcode(ERRCODE_SL_INVALID_CONFIG),
				 errmsg("topic config must be a JSON object"),
				 errhint("For example: {\"segment.bytes\": 104857600}.")));
}

/* Check every member of a config object. */
static void
validate(Jsonb *config)
{
	JsonbIterator *it = JsonbIteratorInit(&config->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	const SlConfigDef *def = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			def = find_def(value.val.string.val, value.val.string.len);
			if (!def)
				unknown_config(pnstrdup(value.val.string.val,
										value.val.string.len));
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
			(void) config_value(def, &value);
	}
}

Jsonb *
sl_config_merge(Jsonb *old, Jsonb *changes)
{
	Datum		merged = JsonbPGetDatum(changes);

	require_object(changes);
	validate(changes);
	if (old)
		merged = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(old), merged);

	/* what was reset by null is no longer there */
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_strip_nulls, merged));
}

void
sl_config_read(Jsonb *stored, SlTopicConfig *config)
{
	for (int i = 0; i < lengthof(defs); i++)
	{
		const SlConfigDef *def = &defs[i];
		JsonbValue	buf;
		JsonbValue *value = getKeyJsonValueFromContainer(&stored->root,
														 def->name,
														 strlen(def->name),
														 &buf);
		int64		number = value ? config_value(def, value) : def->def;

		if (def->words)
			*(bool *) ((char *) config + def->field) = (number == 1);
		else
			*(int64 *) ((char *) config + def->field) = number;
	}
}
