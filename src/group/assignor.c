/*
 * assignor.c
 *		Which member of a group is to read which partition.
 *
 * range and roundrobin are Kafka's, to the letter.  range gives each member a
 * contiguous block of each topic; roundrobin deals the partitions of all topics in
 * turn, passing over those who are not subscribed.
 *
 * sticky leaves each partition with the member that has it, as far as the loads
 * allow.  Where all members want the same topics, each has a quota, loads differ by
 * one at most, and only what exceeds a quota moves.  Where subscriptions differ, loads
 * are as even as moves of single partitions make them:
 *
 *	1.	everybody keeps what it has,
 *	2.	the others go to the least loaded who wants them,
 *	3.	as long as somebody who has a partition has two more than somebody who wants
 *		it, the most loaded such member gives one to the least loaded, if possible one
 *		that it did not have before.
 *
 * Each such move makes the sum of the squares of the loads smaller, so there is an end.
 */
#include "postgres.h"

#include "group/assignor.h"

static const char *const names[] = {
	[SL_ASSIGNOR_STICKY] = "sticky",
	[SL_ASSIGNOR_RANGE] = "range",
	[SL_ASSIGNOR_ROUNDROBIN] = "roundrobin",
};

static inline bool
is_subscribed(const SlAssignment *a, int topic, int member)
{
	return a->subscribed[(Size) topic * a->nmembers + member];
}

static void
assign_range(SlAssignment *a)
{
	for (int topic = 0; topic < a->ntopics; topic++)
	{
		int			n = a->first[topic + 1] - a->first[topic];
		int			next = a->first[topic];
		int			subscribers = 0;
		int			i = 0;

		for (int member = 0; member < a->nmembers; member++)
			subscribers += is_subscribed(a, topic, member);
		for (int member = 0; member < a->nmembers; member++)
		{
			int			share;

			if (!is_subscribed(a, topic, member))
				continue;
			share = n / subscribers + (i++ < n % subscribers);
			while (share-- > 0)
				a->result[next++] = member;
		}
	}
}

static void
assign_roundrobin(SlAssignment *a)
{
	int			turn = 0;

	for (int topic = 0; topic < a->ntopics; topic++)
		for (int p = a->first[topic]; p < a->first[topic + 1]; p++)
			for (int tried = 0; tried < a->nmembers; tried++)
			{
				int			member = turn;

				turn = (turn + 1) % a->nmembers;
				if (is_subscribed(a, topic, member))
				{
					a->result[p] = member;
					break;
				}
			}
}

/* One of the topics, if all that anybody wants have the same subscribers; else -1. */
static int
model_topic(const SlAssignment *a)
{
	int			model = -1;

	for (int topic = 0; topic < a->ntopics; topic++)
	{
		const bool *wanted = &a->subscribed[(Size) topic * a->nmembers];

		if (memchr(wanted, true, a->nmembers) == NULL)
			continue;
		if (model < 0)
			model = topic;
		else if (memcmp(wanted, &a->subscribed[(Size) model * a->nmembers],
						a->nmembers) != 0)
			return -1;
	}
	return model;
}

/* How many members want the topic */
static int
count_subscribers(const SlAssignment *a, int topic)
{
	int			n = 0;

	for (int member = 0; member < a->nmembers; member++)
		n += is_subscribed(a, topic, member);
	return n;
}

/* The member that has the partition and wants its topic, or -1 */
static inline int
keeper(const SlAssignment *a, int topic, int p)
{
	int			owner = a->owner[p];

	return owner >= 0 && is_subscribed(a, topic, owner) ? owner : -1;
}

/* How many partitions are to be given out, and how many of them each member has */
static int
count_kept(const SlAssignment *a, int *load)
{
	int			total = 0;

	memset(load, 0, a->nmembers * sizeof(int));
	for (int topic = 0; topic < a->ntopics; topic++)
	{
		bool		wanted = count_subscribers(a, topic) > 0;

		for (int p = a->first[topic]; wanted && p < a->first[topic + 1]; p++)
		{
			if (a->left_out[p])
				continue;
			total++;
			if (keeper(a, topic, p) >= 0)
				load[keeper(a, topic, p)]++;
		}
	}
	return total;
}

/*
 * Those who want a topic like all others share evenly; those who have more than the
 * smaller quota are the first to get the larger one.
 */
static void
set_quotas(const SlAssignment *a, int model, const int *load, int total,
		   int *quota)
{
	int			smaller = total / count_subscribers(a, model);
	int			larger = total % count_subscribers(a, model);

	for (int member = 0; member < a->nmembers; member++)
	{
		quota[member] = is_subscribed(a, model, member) ? smaller : 0;
		if (larger > 0 && is_subscribed(a, model, member) &&
			load[member] > smaller)
		{
			quota[member]++;
			larger--;
		}
	}
	for (int member = 0; larger > 0; member++)
		if (is_subscribed(a, model, member) && quota[member] == smaller)
		{
			quota[member]++;
			larger--;
		}
}

/* All members want the same topics, of which the model is one. */
static void
assign_equally(SlAssignment *a, int model)
{
	int		   *load = a->scratch;
	int		   *quota = a->scratch + a->nmembers;
	int			total = count_kept(a, load);
	int			next = 0;

	set_quotas(a, model, load, total, quota);
	memset(load, 0, a->nmembers * sizeof(int));
	for (int topic = 0; topic < a->ntopics; topic++)
		for (int p = a->first[topic]; p < a->first[topic + 1]; p++)
		{
			int			member = a->left_out[p] ? -1 : keeper(a, topic, p);

			if (member >= 0 && load[member] < quota[member])
			{
				a->result[p] = member;
				load[member]++;
			}
		}

	/* the others in turn; the quotas add up to all of them */
	for (int topic = 0; topic < a->ntopics; topic++)
	{
		bool		wanted = count_subscribers(a, topic) > 0;

		for (int p = a->first[topic]; wanted && p < a->first[topic + 1]; p++)
		{
			if (a->left_out[p] || a->result[p] >= 0)
				continue;
			while (load[next] >= quota[next])
				next = (next + 1) % a->nmembers;
			a->result[p] = next;
			load[next]++;
			next = (next + 1) % a->nmembers;
		}
	}
}

/* The least loaded who wants a topic, the first of them, or -1 */
static int
least_loaded(const SlAssignment *a, int topic, const int *load)
{
	int			least = -1;

	for (int member = 0; member < a->nmembers; member++)
		if (is_subscribed(a, topic, member) &&
			(least < 0 || load[member] < load[least]))
			least = member;
	return least;
}

/*
 * Move a partition, and where the loads are far apart more of its topic's from the same
 * member, so that the number of looks does not grow with that of partitions: those first
 * that are not its own.
 */
static void
move_some(SlAssignment *a, int *load, int topic, int best, int to)
{
	int			from = a->result[best];
	int			more = (load[from] - load[to]) / 8;

	a->result[best] = to;
	load[from]--;
	load[to]++;
	for (int pass = 0; pass < 2; pass++)
		for (int p = a->first[topic]; p < a->first[topic + 1] && more > 1; p++)
		{
			if (a->result[p] != from || (pass == 0 && a->owner[p] == from))
				continue;
			a->result[p] = to;
			load[from]--;
			load[to]++;
			more--;
		}
}

/*
 * Move one partition from the most loaded member that can give one to somebody who has
 * at least two less; false if there is none.
 */
static bool
move_one(SlAssignment *a, int *load)
{
	int			best = -1;
	int			best_to = -1;
	int			best_topic = -1;
	bool		best_is_new = false;

	for (int topic = 0; topic < a->ntopics; topic++)
	{
		int			to = least_loaded(a, topic, load);

		for (int p = a->first[topic]; to >= 0 && p < a->first[topic + 1]; p++)
		{
			int			from = a->result[p];
			bool		is_new = from >= 0 && from != a->owner[p];
			int			more;

			if (from < 0 || load[from] < load[to] + 2)
				continue;
			more = best < 0 ? 1 : load[from] - load[a->result[best]];
			if (more == 0)
				more = load[best_to] - load[to];
			if (more > 0 || (more == 0 && is_new && !best_is_new))
			{
				best = p;
				best_to = to;
				best_topic = topic;
				best_is_new = is_new;
			}
		}
	}
	if (best < 0)
		return false;
	move_some(a, load, best_topic, best, best_to);
	return true;
}

/* What nobody has goes to the least loaded; first where there is the least choice. */
static void
give_free(SlAssignment *a, int *load, int *subscribers)
{
	for (int topic = 0; topic < a->ntopics; topic++)
		subscribers[topic] = count_subscribers(a, topic);
	for (int choice = 1; choice <= a->nmembers; choice++)
		for (int topic = 0; topic < a->ntopics; topic++)
		{
			if (subscribers[topic] != choice)
				continue;
			for (int p = a->first[topic]; p < a->first[topic + 1]; p++)
			{
				if (a->left_out[p] || a->result[p] >= 0)
					continue;
				a->result[p] = least_loaded(a, topic, load);
				load[a->result[p]]++;
			}
		}
}

/* Members want different topics. */
static void
assign_evenly(SlAssignment *a)
{
	int		   *load = a->scratch;

	memset(load, 0, a->nmembers * sizeof(int));
	for (int topic = 0; topic < a->ntopics; topic++)
		for (int p = a->first[topic]; p < a->first[topic + 1]; p++)
			if (!a->left_out[p] && keeper(a, topic, p) >= 0)
			{
				a->result[p] = a->owner[p];
				load[a->result[p]]++;
			}
	give_free(a, load, a->scratch + a->nmembers);
	while (move_one(a, load))
		;
}

void
sl_assign(SlAssignorKind kind, SlAssignment *assignment)
{
	for (int i = 0; i < assignment->npartitions; i++)
		assignment->result[i] = -1;
	if (assignment->nmembers == 0)
		return;
	if (kind == SL_ASSIGNOR_RANGE)
		assign_range(assignment);
	else if (kind == SL_ASSIGNOR_ROUNDROBIN)
		assign_roundrobin(assignment);
	else if (model_topic(assignment) >= 0)
		assign_equally(assignment, model_topic(assignment));
	else
		assign_evenly(assignment);
}

SlAssignorKind
sl_assignor_kind(const char *name)
{
	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return (SlAssignorKind) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown assignor \"%s\"", name),
			 errhint("Available are \"sticky\", \"range\" and \"roundrobin\".")));
}

const char *
sl_assignor_name(SlAssignorKind kind)
{
	return names[kind];
}
