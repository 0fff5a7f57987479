/*
 * expire.c
 *		Putting out members whose time is up, and deleting groups that nobody uses.
 *
 * A group without members is deleted, with its offsets, when it has not been used for
 * streamlog.offsets_retention.  When it was used last is in its row; who uses it writes
 * nothing there, but shared memory knows who has had a member since it was asked
 * last.  The worker asks often, for what it has not asked is lost in a crash, and
 * writes seldom: a row's time is renewed when it is a tenth of the retention old, an
 * hour at most.  It may be older than the truth by as much, so a group is not deleted
 * before that has passed as well.
 *
 * Before it is deleted a group is locked as delete_group() does, if nobody uses it, and
 * shared memory is asked after that: who comes later waits for the lock, and who has
 * come and gone before is known.
 *
 * After a start of the server nothing is known of who was a member: a group has
 * max_poll_interval to show up, counted from the start of the worker.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/waitpoint.h"
#include "catalog/catalog.h"
#include "catalog/group_ids.h"
#include "catalog/group_row.h"
#include "group/consume.h"
#include "group/expire.h"

#define SL_DEFAULT_RETENTION	(7 * 24 * 60 * 60)	/* s, as Kafka's */

/* The most time between two renewals of a row, and two looks at shared memory (ms) */
#define SL_MAX_RENEWAL		(60 * 60 * 1000)
#define SL_MAX_LOOK			(60 * 1000)

/* Groups that are deleted in one turn */
#define SL_DELETES_A_TURN	64

/* Setting */
static int	retention = SL_DEFAULT_RETENTION;

/* Groups that were used, and whose rows may not say so yet */
static int32 *told = NULL;
static int	ntold = 0;

static TimestampTz looked = 0;

void
sl_group_expire_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.offsets_retention",
							"Time after which a consumer group that nobody uses is deleted, with its offsets.",
							"-1 keeps all groups.",
							&retention, SL_DEFAULT_RETENTION, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

/* A tenth of the retention, in ms, and no more than a limit */
static int64
tenth(int64 limit)
{
	return retention < 0 ? limit : Min((int64) retention * 100, limit);
}

/* Ask shared memory who was used, and add that to what is not written yet. */
static void
collect(void)
{
	int			n;
	int32	   *used = sl_groups_collect_used(MyDatabaseId,
											  sl_catalog_oid("committed_offset"), &n);
	Size		size = mul_size(Max(ntold + n, 1), sizeof(int32));

	told = told ? repalloc_huge(told, size) : MemoryContextAllocHuge(TopMemoryContext, size);
	memcpy(told + ntold, used, n * sizeof(int32));
	ntold += n;
}

static bool
is_expiring(void)
{
	return retention >= 0 &&
		TimestampDifferenceExceeds(MyStartTimestamp, GetCurrentTimestamp(),
								   Min(sl_consume_max_poll_interval(), INT_MAX));
}

/* Of some groups that look unused, those that nobody uses at the moment, now locked */
static int
lock_unused(int32 *ids, int n)
{
	int			locked = 0;

	for (int i = 0; i < n; i++)
		if (sl_group_lock_unused(ids[i]))
			ids[locked++] = ids[i];
	return locked;
}

/* One look; true if there may be more to delete. */
static bool
look(void)
{
	int64		age = (int64) retention * 1000 + tenth(SL_MAX_RENEWAL);
	bool		expiring = is_expiring();
	int32	   *unused;
	int32	   *locked = NULL;
	int			nunused = 0;
	int			nlocked = 0;
	int			deleted = 0;

	if (expiring)
	{
		locked = sl_group_list_unused(age, SL_DELETES_A_TURN, &nunused);
		if (nunused > 0)
			SL_WAITPOINT("expire-groups-listed");
		nlocked = lock_unused(locked, nunused);
	}
	collect();
	if (ntold > 0)
		sl_group_renew(told, ntold, tenth(SL_MAX_RENEWAL));
	if (nlocked > 0)
	{
		/* once more: some may have been used meanwhile, or be gone */
		unused = sl_group_list_unused(age, SL_DELETES_A_TURN, &nunused);
		for (int i = 0; i < nunused; i++)
			for (int j = 0; j < nlocked; j++)
				if (unused[i] == locked[j])
				{
					sl_group_delete(unused[i]);
					deleted++;
				}
	}
	return deleted == SL_DELETES_A_TURN;
}

bool
sl_group_expire_due(void)
{
	bool		more;

	sl_groups_expire(MyDatabaseId);
	if (looked != 0 &&
		!TimestampDifferenceExceeds(looked, GetCurrentTimestamp(), (int) tenth(SL_MAX_LOOK)))
		return false;
	looked = GetCurrentTimestamp();

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	more = look();
	PopActiveSnapshot();
	CommitTransactionCommand();
	ntold = 0;
	if (more)
		looked = 0;
	return more;
}
