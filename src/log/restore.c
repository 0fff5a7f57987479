/*
 * restore.c
 *		Taking topics that were restored from a dump into use.
 *
 * pg_dump writes the rows of our tables, as it does those of any extension, before
 * the records.  So while a dump is restored there are topics whose segments are
 * empty, half full or not there, in a database where a worker runs.  What tells
 * them apart is the table local_topic, whose rows are not dumped:
 *
 *		in local_topic		made here, or found in order here
 *		not				came with a dump; produce, fetch and the worker leave
 *						it alone, finish_restore() looks at it
 *
 * COPY puts a record into whatever page has room for it, and so may put a small
 * one before those that went before it; an append never does.  finish_restore()
 * sorts the tables in which that has happened, checks the topic as check_topic()
 * does, and enters it if nothing is wrong.  If something is, the topic stays as it
 * is, to be mended and looked at again, or dropped.
 *
 * That the restore has come to its end cannot be known for sure.  But a dump
 * creates the triggers of a table after all data of all tables, also in parallel:
 * a topic without them is not looked at.  Nor is one whose table has more than
 * a topic's: the table may be that of somebody who could create one in schema topic
 * before the dump came.
 *
 * Consumer groups, which are but rows, are taken into use as they are.
 *
 * A topic that was being removed when it was dumped is entered unseen, so that
 * the worker removes it.
 *
 * Locking: ShareRowExclusive on the topic's table, to the end of the transaction,
 * so that of two who do this at once the second waits, and finds nothing to do.
 * What shared memory knew of the partitions, of the time before somebody put back
 * a topic that was in use, is forgotten under it; others get to know of
 * the topic by the commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/waitpoint.h"
#include "catalog/group_row.h"
#include "catalog/takeover.h"
#include "catalog/topic_row.h"
#include "catalog/worklist.h"
#include "log/check.h"
#include "log/restore.h"
#include "shmem/partition.h"

/* It has no table any more but, maybe, under the name that drop_topic() gives. */
static void
finish_dropped(const SlTopicEntry *entry)
{
	Oid			relation = entry->relation;

	if (!sl_takeover_is_dropped_table(relation, entry->topic_id))
	{
		sl_takeover_clear_table(entry->topic_id);
		relation = InvalidOid;
	}
	sl_topic_set_local(entry->topic_id, relation);
}

/* Rewrite what is out of order and say what is wrong all the same, or NULL. */
static char *
put_in_order(SlTopic *topic, int32 *rewritten)
{
	List	   *disordered;
	char	   *problem = sl_check_first_problem(topic, &disordered);
	ListCell   *lc;

	if (disordered == NIL)
		return problem;
	foreach(lc, disordered)
		sl_takeover_sort(lfirst_oid(lc));
	*rewritten = list_length(disordered);
	return sl_check_first_problem(topic, &disordered);
}

static void
enter(const SlTopic *topic)
{
	for (int32 p = 0; p < topic->partitions; p++)
	{
		SlPartitionKey key = {MyDatabaseId, topic->relation, p};

		CHECK_FOR_INTERRUPTS();
		sl_partition_forget(&key);
	}
	sl_topic_set_local(topic->topic_id, topic->relation);
	if (!OidIsValid(get_role_oid(NameStr(topic->owner), true)))
		ereport(NOTICE,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\", the owner of topic \"%s\", does not exist",
						NameStr(topic->owner), topic->name),
				 errhint("A superuser can give it to a role with alter_topic().")));
}

/*
 * Look at one topic, and enter it if it is in order; else *problem says why not.
 * false if there is nothing to be done about it any more.
 */
static bool
finish_topic(const SlTopicEntry *entry, int32 *rewritten, char **problem)
{
	SlTopic    *topic;
	char	   *stray;
	char	   *addition;
	int32		partition;
	Oid			former;

	if (!sl_takeover_is_topic_table(entry->relation, entry->name))
	{
		sl_takeover_clear_table(entry->topic_id);
		*problem = "the topic's table is missing; drop_topic() removes the rest";
		return true;
	}
	LockRelationOid(entry->relation, ShareRowExclusiveLock);
	if (!sl_takeover_has_columns(entry->relation))
	{
		*problem = "the topic's table has not the columns of one";
		return true;
	}
	topic = sl_topic_find_by_relation(entry->relation);
	if (!topic || topic->is_local)
		return false;
	if (!sl_takeover_has_triggers(topic->relation))
	{
		*problem = "the topic's table has not got its triggers yet: the restore has not come to its end";
		return true;
	}
	addition = sl_takeover_addition(topic);
	if (addition && !SL_MUTANT("take-additions"))
	{
		*problem = psprintf("what create_topic() has not made: %s", addition);
		return true;
	}
	partition = sl_takeover_stray_partition(topic);
	if (partition >= 0)
	{
		*problem = psprintf("there are rows of partition %d, and the topic has %d partitions",
							partition, topic->partitions);
		return true;
	}
	former = sl_takeover_own(topic);

	/* its table may have another owner now */
	topic = sl_topic_find_by_relation(entry->relation);
	if (!topic)
		return false;
	sl_takeover_grants(topic, former);
	stray = sl_takeover_stray_table(topic);
	if (stray)
		*problem = psprintf("table %s holds records, but is no segment: not all rows could be loaded",
							stray);
	else
		*problem = put_in_order(topic, rewritten);
	if (*problem == NULL)
		enter(topic);
	return true;
}

static void
put_row(TupleDesc desc, Tuplestorestate *store, const char *topic,
		int32 rewritten, const char *problem)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, problem == NULL};

	values[0] = CStringGetTextDatum(topic);
	values[1] = Int32GetDatum(rewritten);
	values[2] = problem ? CStringGetTextDatum(problem) : (Datum) 0;
	tuplestore_putvalues(store, desc, values, nulls);
}

void
sl_restore_finish(TupleDesc desc, Tuplestorestate *store)
{
	SlTopicEntry *list;
	int			n = sl_worklist_restored(&list);

	sl_group_finish_restore();
	for (int i = 0; i < n; i++)
	{
		int32		rewritten = 0;
		char	   *problem = NULL;

		if (list[i].dropped)
			finish_dropped(&list[i]);
		else if (finish_topic(&list[i], &rewritten, &problem))
			put_row(desc, store, list[i].name, rewritten, problem);
		CommandCounterIncrement();
	}
}
