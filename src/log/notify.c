/*
 * notify.c
 *		Notifications of new records, for sessions that LISTEN.
 *
 * A topic with the config notify has the worker of its database send NOTIFY on
 * channel streamlog_<topic> when the visible end of a partition has moved, by a
 * commit or because an older transaction has ended.  The payload, JSON, is the
 * topic, the partition and where it ends now.
 *
 * The producer does not send it: NOTIFY holds a lock of the whole server to the
 * end of the commit.  It puts the partition into a list (shmem/notices.c) and wakes
 * the worker.
 *
 *	1.	The worker takes the partitions of a topic from the list, reads where each
 *		ends, and flushes WAL up to there, since an end that a crash takes back
 *		must not have been heard of.
 *	2.	It sends a notification for each in one transaction, and after its commit
 *		takes out of the list what still ends there.
 *	3.	What has moved meanwhile, or moves later, waits until SL_NOTIFY_INTERVAL
 *		has passed since then.  So a topic has one such transaction in an
 *		interval at most, and the last movement is always told.
 *
 * A notification is a hint and may come twice.  None is lost for good while a session
 * listens: the list outlives the worker, and where an entry of it had to be given
 * up, the worker sends one notification for each partition of all topics.
 *
 * One topic that cannot be dealt with must not keep the others: each has a
 * transaction of its own, and one that has failed waits for SL_NOTIFY_RETRY.
 *
 * Locking: the topic's table (AccessShare), if that is free; else the topic waits for
 * another interval.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/waitpoint.h"
#include "catalog/worklist.h"
#include "log/fetch.h"
#include "log/notify.h"
#include "shmem/notices.h"

#define SL_NOTIFY_CHANNEL	"streamlog_"

/* Between two notifications of a partition, and after a failure (ms) */
#define SL_NOTIFY_INTERVAL	50
#define SL_NOTIFY_RETRY		1000

/* Between two looks at all topics (ms) */
#define SL_LOOK_INTERVAL	1000

/* A topic that has been dealt with lately */
typedef struct SlNotifyTopic
{
	Oid			relation;		/* hash key: the topic's table */
	int64		next;			/* not before this time (sl_clock_ms) */
	bool		all;			/* tell of all partitions */
} SlNotifyTopic;

static HTAB *topics = NULL;

/* What sl_notices_lost() was when we looked at all topics */
static uint32 seen_lost = 0;
static int64 look_next = 0;

/* The memory of one turn, current outside of transactions */
static MemoryContext context = NULL;

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
}

static void
commit(void)
{
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

static SlNotifyTopic *
enter_topic(Oid relation)
{
	SlNotifyTopic *topic;
	bool		found;

	if (topics == NULL)
	{
		HASHCTL		info;

		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(SlNotifyTopic);
		info.hcxt = TopMemoryContext;
		topics = hash_create("streamlog notified topics", 64, &info,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	topic = hash_search(topics, &relation, HASH_ENTER, &found);
	if (!found)
	{
		topic->next = 0;
		topic->all = false;
	}
	return topic;
}

/* From when on a topic may be dealt with */
static int64
due_at(Oid relation)
{
	SlNotifyTopic *topic = topics ?
	hash_search(topics, &relation, HASH_FIND, NULL) : NULL;

	return topic ? topic->next : 0;
}

long
sl_notify_wait(void)
{
	int64		first = PG_INT64_MAX;
	SlPartitionKey *keys;
	HASH_SEQ_STATUS status;
	SlNotifyTopic *topic;
	int			n;

	if (sl_notices_lost() != seen_lost)
		first = look_next;
	keys = sl_notices_list(&n);
	for (int i = 0; i < n; i++)
		first = Min(first, due_at(keys[i].relation));
	pfree(keys);
	if (topics)
	{
		hash_seq_init(&status, topics);
		while ((topic = hash_seq_search(&status)) != NULL)
			if (topic->all)
				first = Min(first, topic->next);
	}
	return first == PG_INT64_MAX ? -1 : (long) Max(first - sl_clock_ms(), 0);
}

static void
forget_topics(int64 now)
{
	HASH_SEQ_STATUS status;
	SlNotifyTopic *topic;

	if (topics == NULL)
		return;
	hash_seq_init(&status, topics);
	while ((topic = hash_seq_search(&status)) != NULL)
		if (topic->next <= now && !topic->all)
			hash_search(topics, &topic->relation, HASH_REMOVE, NULL);
}

/* As LISTEN would cut the name */
static char *
channel_name(const char *topic)
{
	char	   *name = psprintf("%s%s", SL_NOTIFY_CHANNEL, topic);

	name[pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1)] = '\0';
	return name;
}

static void
notify(const char *channel, const SlTopic *topic, int32 partition, int64 end)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"topic\": ");
	escape_json(&payload, topic->name);
	appendStringInfo(&payload, ", \"partition\": %d, \"end_offset\": %lld}",
					 partition, (long long) end);
	Async_Notify(channel, payload.data);
	pfree(payload.data);
}

/* Is this the topic that the partitions were put into the list for? */
static bool
is_up_to_date(const SlTopic *topic, const SlPartitionKey *keys, int n)
{
	if (!topic->config.notify)
		return false;
	for (int i = 0; keys && i < n; i++)
		if (keys[i].partition >= topic->partitions)
			return false;
	return true;
}

/*
 * What shared memory is told at a commit, the cache of topics hears a moment later.
 */
static SlTopic *
find_topic(Oid relation, const SlPartitionKey *keys, int n)
{
	SlTopic    *topic = sl_topic_find_by_relation(relation);

	if (topic && !is_up_to_date(topic, keys, n) && !SL_MUTANT("trust-cache"))
	{
		topic->valid = false;
		topic = sl_topic_find_by_relation(relation);
	}
	return topic;
}

/*
 * Notify of n partitions of a topic, or of all if keys is NULL; ends receives where
 * those of keys end, -1 if nothing is told of one.  False if the topic is locked.
 */
static bool
notify_of(Oid relation, const SlPartitionKey *keys, int n, int64 *ends)
{
	SlTopic    *topic;
	char	   *channel;

	for (int i = 0; keys && i < n; i++)
		ends[i] = -1;
	if (!ConditionalLockRelationOid(relation, AccessShareLock))
		return false;
	topic = find_topic(relation, keys, n);
	if (!topic || !topic->config.notify)
		return true;

	channel = channel_name(topic->name);
	if (!keys)
		n = topic->partitions;
	for (int i = 0; i < n; i++)
	{
		int32		partition = keys ? keys[i].partition : i;
		SlPartitionState state;

		CHECK_FOR_INTERRUPTS();
		if (partition >= topic->partitions)
			continue;
		(void) sl_fetch_bounds(topic, partition, &state);
		notify(channel, topic, partition, state.visible_end);
		if (keys)
			ends[i] = state.visible_end;
	}
	return true;
}

/* All that is to be told of a topic now, see the comment at the top */
static void
notify_topic(Oid relation, const SlPartitionKey *keys, int n)
{
	SlNotifyTopic *entry = enter_topic(relation);
	int64	   *ends = keys ? palloc_array(int64, n) : NULL;
	bool		done;

	entry->next = sl_clock_ms() + SL_NOTIFY_RETRY;

	begin();
	done = notify_of(relation, keys, n, ends);
	SL_WAITPOINT("notify-before-commit");
	commit();

	/* what a topic without notify has in the list is of no use */
	for (int i = 0; keys && done && i < n; i++)
		sl_notices_told(&keys[i], ends[i] < 0 ? PG_INT64_MAX : ends[i]);
	if (done && !keys)
		entry->all = false;
	entry->next = sl_clock_ms() + SL_NOTIFY_INTERVAL;
}

/* Some entries of the list were lost: all partitions are to be told of. */
static void
look_at_all(void)
{
	SlTopicEntry *list;
	int			n;

	seen_lost = sl_notices_lost();
	begin();
	n = sl_worklist_topics(0, &list);
	for (int i = 0; i < n; i++)
		if (!list[i].dropped)
			enter_topic(list[i].relation)->all = true;
	commit();
}

static int
compare_keys(const void *a, const void *b)
{
	const SlPartitionKey *left = a;
	const SlPartitionKey *right = b;

	if (left->relation != right->relation)
		return left->relation < right->relation ? -1 : 1;
	return left->partition < right->partition ? -1 : left->partition > right->partition;
}

static void
notify_listed(int64 now)
{
	int			n;
	SlPartitionKey *keys = sl_notices_list(&n);
	int			end;

	qsort(keys, n, sizeof(SlPartitionKey), compare_keys);
	for (int begin = 0; begin < n; begin = end)
	{
		for (end = begin; end < n && keys[end].relation == keys[begin].relation;)
			end++;
		if (due_at(keys[begin].relation) <= now)
			notify_topic(keys[begin].relation, &keys[begin], end - begin);
	}
}

/* The topics of which all partitions are to be told */
static void
notify_all(int64 now)
{
	List	   *due = NIL;
	HASH_SEQ_STATUS status;
	SlNotifyTopic *topic;
	ListCell   *lc;

	if (topics == NULL)
		return;
	hash_seq_init(&status, topics);
	while ((topic = hash_seq_search(&status)) != NULL)
		if (topic->all && topic->next <= now)
			due = lappend_oid(due, topic->relation);
	foreach(lc, due)
		notify_topic(lfirst_oid(lc), NULL, 0);
}

bool
sl_notify_due(void)
{
	int64		now;
	MemoryContext old;

	if (sl_notify_wait() != 0)
		return false;
	now = sl_clock_ms();
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "streamlog notify",
										ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	MemoryContextReset(context);
	forget_topics(now);
	if (sl_notices_lost() != seen_lost && look_next <= now)
	{
		/* an error must not make us look again at once */
		look_next = now + SL_LOOK_INTERVAL;
		look_at_all();
	}
	notify_all(now);
	notify_listed(now);
	MemoryContextSwitchTo(old);
	return false;
}
