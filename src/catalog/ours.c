/*
 * ours.c
 *		Which relations are ours, and what they are called.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/ours.h"
#include "catalog/topic_row.h"

char *
sl_ours_table_name(const char *name)
{
	if (strlen(name) < NAMEDATALEN)
		return pstrdup(name);
	return psprintf("%.*s_%08x", SL_NAME_KEPT, name,
					DatumGetUInt32(hash_any((const unsigned char *) name,
											strlen(name))));
}

Oid
sl_ours_text_view(Oid relation)
{
	return get_relname_relid(get_rel_name(relation),
							 get_namespace_oid(SL_TEXT_SCHEMA, false));
}

char *
sl_ours_dropped_name(int32 topic_id)
{
	return psprintf("dropped$%d", topic_id);
}

static SlOurs
kind_by_schema(Oid relation)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relation));

	if (schema == NULL)
		return SL_NOT_OURS;
	if (strcmp(schema, SL_TOPIC_SCHEMA) == 0)
		return SL_TOPIC_TABLE;
	if (strcmp(schema, SL_TEXT_SCHEMA) == 0)
		return SL_TOPIC_TEXT;
	if (strcmp(schema, SL_SEGMENT_SCHEMA) == 0)
		return SL_SEGMENT_TABLE;
	return SL_NOT_OURS;
}

/* The id of the topic that a table was made for, which its name begins with */
static int32
id_in_name(const char *name)
{
	int32		topic_id;
	int32		partition;
	int			number;

	if (sscanf(name, "t%d_p%d_%d", &topic_id, &partition, &number) == 3)
		return topic_id;
	if (sscanf(name, "dropped$%d", &topic_id) == 1)
		return topic_id;
	return 0;
}

SlOurs
sl_ours(Oid relation)
{
	SlOurs		kind = OidIsValid(relation) ? kind_by_schema(relation) : SL_NOT_OURS;
	int32		topic_id = 0;
	char	   *name;

	/* somebody may have schemas of these names without the extension */
	if (kind == SL_NOT_OURS || !OidIsValid(sl_catalog_owner()))
		return SL_NOT_OURS;
	/* without a lock on it, it may have been dropped by now */
	SL_WAITPOINT("ours-before-name");
	name = get_rel_name(relation);
	if (name == NULL)
		return SL_NOT_OURS;
	switch (kind)
	{
		case SL_TOPIC_TABLE:
			topic_id = sl_topic_id_by_relation(relation);
			break;
		case SL_TOPIC_TEXT:
			relation = get_relname_relid(name, get_namespace_oid(SL_TOPIC_SCHEMA, false));
			if (OidIsValid(relation))
				topic_id = sl_topic_id_by_relation(relation);
			break;
		default:
			topic_id = id_in_name(name);
			break;
	}
	/* what is being restored from a dump is not, or not yet */
	return topic_id != 0 && sl_topic_is_local(topic_id) ? kind : SL_NOT_OURS;
}

void
sl_ours_enable_always(Oid view, const char *trigger)
{
	Relation	rel = table_open(view, ShareRowExclusiveLock);

	sl_enable_trigger_always(rel, trigger, ShareRowExclusiveLock);
	table_close(rel, NoLock);
}
