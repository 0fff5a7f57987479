/*
 * notify_switch.c
 *		Topics whose config notify the current transaction changes.
 *
 * Each partition in shared memory has a flag that says whether its topic has notify
 * on, so that a producer need not ask.  It is set when the entry is initialised,
 * from the topic's row, and when a change of that row commits.  Changes of a topic
 * exclude one another to the end of their transactions, and an entry that is being
 * initialised at a commit keeps what that says; so the flag is the row's.
 *
 * The one who could see the row too early is this transaction itself, if it
 * initialises the entry: it takes what was there before.  Of a topic that it has made
 * it takes what the row says, for if that is rolled back nobody has the topic.
 *
 * What is still to be told is kept with its nesting level, so that a rollback to a
 * savepoint takes it back as it does the row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/waitpoint.h"
#include "catalog/notify_switch.h"
#include "catalog/topic_row.h"
#include "shmem/notices.h"

typedef struct SlNotifySwitch
{
	Oid			relation;		/* the topic's table */
	int32		partitions;
	int			level;			/* of nesting */
	bool		before;
	bool		on;
} SlNotifySwitch;

/* Of the current transaction, by level ascending; in its memory */
static SlNotifySwitch *switches = NULL;
static int	nswitches = 0;
static int	max_switches = 0;

/* Is there a later switch of the same topic?  That one counts, for all partitions. */
static bool
is_outdated(int n)
{
	for (int i = n + 1; i < nswitches; i++)
		if (switches[i].relation == switches[n].relation)
			return true;
	return false;
}

/* Nothing here may raise at COMMIT. */
static void
xact_callback(XactEvent event, void *arg)
{
	if (nswitches == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has changed the config \"notify\" of a topic"),
					 errhint("Use COMMIT.")));
			break;
		case XACT_EVENT_COMMIT:
			for (int i = 0; i < nswitches; i++)
			{
				if (is_outdated(i))
					continue;
				for (int32 p = 0; p < switches[i].partitions; p++)
				{
					SlPartitionKey key = {MyDatabaseId, switches[i].relation, p};

					sl_notices_switch(&key, switches[i].on);
				}
			}
			nswitches = 0;
			break;
		case XACT_EVENT_ABORT:
			nswitches = 0;
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nswitches > 0 && switches[nswitches - 1].level >= level)
			nswitches--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nswitches - 1; i >= 0 && switches[i].level >= level; i--)
			switches[i].level = level - 1;
}

void
sl_notify_switch(Oid relation, int32 partitions, bool before, bool on)
{
	static bool registered = false;
	SlNotifySwitch *entry;

	/* after a change, partitions that are added are noted, too */
	if (before == on && nswitches == 0)
		return;
	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
	}
	registered = true;

	if (nswitches == 0)
	{
		/* what there was is gone with an earlier transaction */
		max_switches = 8;
		switches = MemoryContextAlloc(TopTransactionContext,
									  max_switches * sizeof(SlNotifySwitch));
	}
	else if (nswitches == max_switches)
	{
		max_switches *= 2;
		switches = repalloc_array(switches, SlNotifySwitch, max_switches);
	}
	entry = &switches[nswitches++];
	entry->relation = relation;
	entry->partitions = partitions;
	entry->level = GetCurrentTransactionNestLevel();
	entry->before = before;
	entry->on = on;
}

bool
sl_notify_is_on(const SlTopic *topic)
{
	SlTopicConfig config = {.notify = false};
	Relation	rel;
	HeapTuple	tuple;
	bool		isnull;

	for (int i = 0; i < nswitches && !SL_MUTANT("own-switch"); i++)
		if (switches[i].relation == topic->relation)
			return switches[i].before;

	rel = table_open(sl_catalog_oid("topic"), AccessShareLock);
	tuple = sl_topic_row(rel, topic->name, InvalidOid);
	if (tuple)
	{
		sl_config_read(DatumGetJsonbP(heap_getattr(tuple, Anum_topic_config,
												   RelationGetDescr(rel), &isnull)),
					   &config);
		heap_freetuple(tuple);
	}
	table_close(rel, AccessShareLock);
	return config.notify;
}
