/*
 * lag.c
 *		How far consumer groups are behind.
 *
 * The offsets are read first and the ends after them, so none is beyond its end.
 * Sorted by topic, the groups of a topic share what is found out about its partitions:
 * the end, and the timestamp at an offset, as groups that stand still or keep up
 * are often at the same one.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "catalog/group_ids.h"
#include "catalog/offset_row.h"
#include "catalog/topic_row.h"
#include "group/lag.h"
#include "log/fetch.h"

typedef struct SlLagList
{
	SlLag	   *items;
	int			n;
	int			max;
	int32	   *groups;			/* that the user may see */
	int			ngroups;
} SlLagList;

/* What has been found out about a partition */
typedef struct SlPartitionEnd
{
	bool		known;
	int64		end;
	int64		dated_offset;	/* of this the timestamp is known; -1: none */
	bool		has_timestamp;
	TimestampTz timestamp;
} SlPartitionEnd;

/* A topic whose lags are being added */
typedef struct SlLagTopic
{
	SlTopic    *topic;			/* NULL: its ends are not known */
	SlPartitionEnd *ends;
} SlLagTopic;

static SlLag *
add(SlLagList *list, int32 group_id, int32 topic_id, int32 partition,
	int64 committed)
{
	SlLag	   *lag;

	if (list->n == list->max)
	{
		list->max = Max(64, list->max * 2);
		list->items = list->items ?
			repalloc_huge(list->items, mul_size(list->max, sizeof(SlLag))) :
			palloc_array(SlLag, list->max);
	}
	lag = &list->items[list->n++];
	memset(lag, 0, sizeof(SlLag));
	lag->group_id = group_id;
	lag->topic_id = topic_id;
	lag->partition = partition;
	lag->committed = committed;
	lag->end = -1;
	return lag;
}

static void
visit_row(void *arg, const SlOffsetKey *key, int64 next_offset)
{
	SlLagList  *list = arg;

	if (sl_group_is_listed(list->groups, list->ngroups, key->group_id))
		(void) add(list, key->group_id, key->topic_id, key->partition, next_offset);
}

static int
compare_lags(const void *a, const void *b)
{
	const SlLag *left = a;
	const SlLag *right = b;

	if (left->topic_id != right->topic_id)
		return left->topic_id < right->topic_id ? -1 : 1;
	if (left->group_id != right->group_id)
		return left->group_id < right->group_id ? -1 : 1;
	return left->partition < right->partition ? -1 : left->partition > right->partition;
}

/* False if the topic is gone, or not to be seen. */
static bool
open_topic(int32 topic_id, bool (*may_see) (Oid relation), SlLagTopic *result)
{
	Oid			relation;
	char	   *name = sl_topic_name(topic_id, &relation);
	SlTopic    *topic;

	memset(result, 0, sizeof(SlLagTopic));
	if (name == NULL || !may_see(relation))
		return false;
	if (RecoveryInProgress() || !sl_topic_is_local(topic_id))
		return true;
	topic = sl_topic_open_unfinished(name, strlen(name), AccessShareLock,
									 ACL_NO_RIGHTS);
	if (topic->topic_id != topic_id || !topic->is_local)
		return true;
	result->topic = topic;
	result->ends = palloc0_array(SlPartitionEnd, topic->partitions);
	return true;
}

static SlPartitionEnd *
find_end(SlLagTopic *topic, int32 partition)
{
	SlPartitionEnd *end;

	if (topic->topic == NULL || partition >= topic->topic->partitions)
		return NULL;
	end = &topic->ends[partition];
	if (!end->known)
	{
		SlPartitionState state;

		(void) sl_fetch_bounds(topic->topic, partition, &state);
		end->end = state.visible_end;
		end->dated_offset = -1;
		end->known = true;
	}
	return end;
}

static void
find_lag(SlLagTopic *topic, SlLag *lag)
{
	SlPartitionEnd *end = find_end(topic, lag->partition);

	CHECK_FOR_INTERRUPTS();
	if (end == NULL)
		return;
	lag->end = end->end;
	if (lag->committed < 0 || lag->committed >= end->end)
		return;
	if (end->dated_offset != lag->committed)
	{
		end->has_timestamp = sl_fetch_timestamp(topic->topic, lag->partition,
												lag->committed, &end->timestamp);
		end->dated_offset = lag->committed;
	}
	lag->has_oldest = end->has_timestamp;
	lag->oldest = end->timestamp;
}

/* Add the rows of a group and a topic, and the partitions that have none. */
static void
add_group(SlLagList *result, SlLagTopic *topic, const SlLag *rows, int n)
{
	int32		partition = 0;

	for (int i = 0; i <= n; i++)
	{
		int32		end = i < n ? rows[i].partition :
		topic->topic ? topic->topic->partitions : 0;

		for (; partition < end; partition++)
			find_lag(topic, add(result, rows[0].group_id, rows[0].topic_id, partition, -1));
		if (i < n)
			find_lag(topic, add(result, rows[i].group_id, rows[i].topic_id, rows[i].partition,
								rows[i].committed));
		partition = end + 1;
	}
}

SlLag *
sl_lag_list(bool (*may_see) (Oid relation), int *n)
{
	SlLagList	rows = {0};
	SlLagList	result = {0};
	SlLagTopic	topic;
	bool		seen = false;
	int			next;

	rows.groups = sl_group_list_visible(&rows.ngroups);
	sl_offset_visit(visit_row, &rows);
	if (rows.n > 0)
		qsort(rows.items, rows.n, sizeof(SlLag), compare_lags);
	for (int i = 0; i < rows.n; i = next)
	{
		const SlLag *first = &rows.items[i];

		if (i == 0 || first->topic_id != first[-1].topic_id)
			seen = open_topic(first->topic_id, may_see, &topic);
		for (next = i + 1; next < rows.n && rows.items[next].topic_id == first->topic_id &&
			 rows.items[next].group_id == first->group_id; next++)
			 /* count */ ;
		if (seen)
			add_group(&result, &topic, first, next - i);
	}
	*n = result.n;
	return result.items;
}
