/*
 * known.c
 *		The partitions of consumer groups that this session knows.
 *
 * An entry is made when the session first calls for a partition of a group, and lasts
 * as long as the session: what it was handed, up to where it has seen that there is
 * nothing to read, and, in offsets.c, what its transaction intends.  Entries without a
 * group are the session's own positions.
 *
 * They are found by their key, and listed by group: a session may know many groups, and
 * each call is about one.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/waitpoint.h"
#include "group/known.h"

/* The partitions of a group, or of none (0), that this session knows */
typedef struct SlKnownGroup
{
	int32		group_id;		/* hash key */
	dlist_head	offsets;
} SlKnownGroup;

static HTAB *offsets = NULL;
static HTAB *known_groups = NULL;

static char session_member[16] = "";

const char *
sl_offsets_session_member(void)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8		random[13];

	if (session_member[0] == '\0')
	{
		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random name")));
		for (int i = 0; i < lengthof(random); i++)
			session_member[i + 2] = digits[random[i] % 32];
		session_member[0] = 's';
		session_member[1] = '-';
	}
	return session_member;
}

SlOffset *
sl_offsets_find(int32 group_id, int32 topic_id, int32 partition)
{
	SlOffsetKey key = {group_id, topic_id, partition};

	return offsets ? hash_search(offsets, &key, HASH_FIND, NULL) : NULL;
}

static void
make_tables(void)
{
	HASHCTL		info;

	info.hcxt = TopMemoryContext;
	info.keysize = sizeof(int32);
	info.entrysize = sizeof(SlKnownGroup);
	known_groups = hash_create("streamlog groups of offsets", 16, &info,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	info.keysize = sizeof(SlOffsetKey);
	info.entrysize = sizeof(SlOffset);
	offsets = hash_create("streamlog offsets", 64, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static SlKnownGroup *
find_group(int32 group_id)
{
	return known_groups ?
		hash_search(known_groups, &group_id, HASH_FIND, NULL) : NULL;
}

static SlKnownGroup *
enter_group(int32 group_id)
{
	bool		found;
	SlKnownGroup *group = hash_search(known_groups, &group_id, HASH_ENTER,
									  &found);

	if (!found)
		dlist_init(&group->offsets);
	return group;
}

SlOffset *
sl_offsets_enter(const SlConsumer *consumer, int32 topic_id, int32 partition)
{
	SlOffsetKey key = {consumer->group.group_id, topic_id, partition};
	SlKnownGroup *group;
	SlOffset   *offset;
	bool		found;

	offset = sl_offsets_find(key.group_id, topic_id, partition);
	if (offset && offset->offsets == consumer->group.relation)
		return offset;

	/* the extension has been made anew, and counts from the beginning */
	if (offset && offset->nstakes > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot consume in the transaction that consumed before and then made the extension anew"),
				 errhint("Commit first.")));

	if (offsets == NULL)
		make_tables();
	group = enter_group(key.group_id);
	offset = hash_search(offsets, &key, HASH_ENTER, &found);
	if (found)
		dlist_delete(&offset->node);
	memset((char *) offset + sizeof(SlOffsetKey), 0,
		   sizeof(SlOffset) - sizeof(SlOffsetKey));
	offset->offsets = consumer->group.relation;
	dlist_push_tail(&group->offsets, &offset->node);
	return offset;
}

int
sl_offsets_compare(const ListCell *a, const ListCell *b)
{
	return sl_offset_key_compare(&((const SlOffset *) lfirst(a))->key,
								 &((const SlOffset *) lfirst(b))->key);
}

static List *
add_in_hand(List *list, SlKnownGroup *group)
{
	dlist_iter	iter;

	dlist_foreach(iter, &group->offsets)
	{
		SlOffset   *offset = dlist_container(SlOffset, node, iter.cur);

		if (sl_offset_batch(offset)->kind != SL_BATCH_NONE)
			list = lappend(list, offset);
	}
	return list;
}

List *
sl_offsets_in_hand(int32 group_id)
{
	SlKnownGroup *group = find_group(group_id);
	List	   *list = group ? add_in_hand(NIL, group) : NIL;
	HASH_SEQ_STATUS groups;

	if (SL_MUTANT("any-group") && group)
	{
		hash_seq_init(&groups, known_groups);
		while ((group = hash_seq_search(&groups)) != NULL)
			if (group->group_id != group_id)
				list = add_in_hand(list, group);
	}
	list_sort(list, sl_offsets_compare);
	return list;
}

void
sl_offset_forget_batch(SlOffset *offset)
{
	memset(&offset->batch, 0, sizeof(SlBatch));
	memset(&offset->seen, 0, sizeof(SlSeen));
	for (int i = 0; i < offset->nstakes; i++)
	{
		memset(&offset->stakes[i].batch, 0, sizeof(SlBatch));
		memset(&offset->stakes[i].seen, 0, sizeof(SlSeen));
	}
}

static void
forget(SlOffset *offset)
{
	sl_offset_forget_batch(offset);
	for (int i = 0; i < offset->nstakes; i++)
	{
		SlStake    *stake = &offset->stakes[i];

		stake->statement = 0;
		if (stake->owned)
		{
			stake->position = stake->row.next_offset;
			stake->shared = false;
		}
	}
}

void
sl_offsets_forget(int32 group_id)
{
	SlKnownGroup *group = group_id != 0 ? find_group(group_id) : NULL;
	dlist_iter	iter;
	HASH_SEQ_STATUS all;
	SlOffset   *offset;

	if (group)
		dlist_foreach(iter, &group->offsets)
			forget(dlist_container(SlOffset, node, iter.cur));
	if (group_id != 0)
		return;

	session_member[0] = '\0';
	if (offsets == NULL)
		return;
	hash_seq_init(&all, offsets);
	while ((offset = hash_seq_search(&all)) != NULL)
	{
		forget(offset);
		offset->has_position = false;
		offset->known_partitions = 0;
	}
}
