/*
 * drop.c
 *		Removing what is left of dropped topics.
 *
 * drop_topic() has taken the topic out of everybody's sight and left the rest to
 * the worker: some segments in each transaction, for every table that is dropped
 * takes a few locks until its end, and at last the topic's table and its rows.
 *
 * No lock is waited for.  Who still has one on a segment, pg_dump for example,
 * keeps it alive; the next look finds it again.  Topics are taken in turn, so
 * that one that cannot be removed does not keep the others.
 *
 * Crash safety: each transaction leaves a topic with fewer segments, and its row
 * goes last.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "catalog/catalog.h"
#include "catalog/topic_row.h"
#include "catalog/worklist.h"
#include "log/drop.h"
#include "shmem/partition.h"

typedef enum SlDropResult
{
	SL_DROP_BUSY,				/* somebody has locks on all that is left */
	SL_DROP_SOME,
	SL_DROP_ALL
} SlDropResult;

/* The topic that the last turn was about */
static int32 last_topic = 0;

static const char *
qualified_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

/*
 * Those of the tables that inherit from the topic's that are segments and can
 * be locked at once.  Also those without a row: a roll may not have come to its
 * end.
 */
static int
lock_segments(List *children, Oid *segments)
{
	Oid			schema = get_namespace_oid(SL_SEGMENT_SCHEMA, false);
	ListCell   *lc;
	int			n = 0;

	foreach(lc, children)
	{
		Oid			child = lfirst_oid(lc);

		if (n == SL_DROPS_A_TURN)
			break;
		if (!ConditionalLockRelationOid(child, AccessExclusiveLock))
			continue;
		if (get_rel_namespace(child) == schema)
			segments[n++] = child;
		else
			UnlockRelationOid(child, AccessExclusiveLock);
	}
	return n;
}

void
sl_drop_segments(int32 topic_id, const Oid *segments, int n)
{
	Oid			schema = get_namespace_oid(SL_SEGMENT_SCHEMA, false);
	StringInfoData command;

	initStringInfo(&command);
	for (int i = 0; i < n; i++)
		if (get_rel_namespace(segments[i]) == schema)
			appendStringInfo(&command, "%s %s",
							 command.len == 0 ? "DROP TABLE" : ",",
							 qualified_name(segments[i]));
	if (command.len > 0)
		sl_catalog_execute(command.data, 0, NULL, NULL);
	sl_worklist_delete_segments(topic_id, segments, n);
}

static SlDropResult
drop_some(const SlTopicEntry *topic)
{
	Oid			segments[SL_DROPS_A_TURN];
	List	   *children = NIL;
	int			n;

	/* the table is not there if somebody has dropped it by hand */
	if (get_rel_name(topic->relation) != NULL)
	{
		children = find_inheritance_children(topic->relation, NoLock);
		n = lock_segments(children, segments);
		if (n > 0)
		{
			sl_drop_segments(topic->topic_id, segments, n);
			return SL_DROP_SOME;
		}
		if (children != NIL ||
			!ConditionalLockRelationOid(topic->relation, AccessExclusiveLock))
			return SL_DROP_BUSY;
	}
	/* once more, since now it stays as it is */
	if (get_rel_name(topic->relation) != NULL)
		sl_catalog_execute(psprintf("DROP TABLE %s", qualified_name(topic->relation)),
						   0, NULL, NULL);
	sl_topic_delete(topic->topic_id);
	return SL_DROP_ALL;
}

/* What shared memory knows of it is of no use any more. */
static void
forget_partitions(const SlTopicEntry *topic)
{
	for (int32 p = 0; p < topic->partitions; p++)
	{
		SlPartitionKey key = {MyDatabaseId, topic->relation, p};

		sl_partition_forget(&key);
	}
}

bool
sl_drop_next(void)
{
	SlTopicEntry *list;
	SlTopicEntry dropped = {0};
	SlDropResult result = SL_DROP_BUSY;
	int			n;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());	/* DDL asks for one */
	n = sl_worklist_topics(last_topic, &list);
	for (int i = 0; i < n && result == SL_DROP_BUSY; i++)
	{
		if (!list[i].dropped)
			continue;
		dropped = list[i];
		last_topic = dropped.topic_id;
		result = drop_some(&dropped);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();

	if (result == SL_DROP_ALL)
		forget_partitions(&dropped);
	return result != SL_DROP_BUSY;
}
