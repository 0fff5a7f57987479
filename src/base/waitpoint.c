/*
 * waitpoint.c
 *		Named stop points and mutations for the tests.
 *
 * A stop point takes and releases an advisory lock that the test holds: a
 * heavyweight lock, because isolationtester and pg_locks know what it means to
 * wait for one.  It may stand inside a transaction callback, where nothing may
 * raise: there it is the test's duty not to cancel the wait.
 */
#include "postgres.h"

#include "base/waitpoint.h"

#ifdef SL_WAITPOINTS

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"

/* the first key of the advisory locks: "slwp" in ASCII */
#define SL_WAITPOINT_CLASS 1936488304

static char *waitpoints = NULL;
static char *mutants = NULL;

/* Is name one of the comma-separated names in list? */
static bool
list_has(const char *list, const char *name)
{
	size_t		len = strlen(name);
	const char *p = list;

	if (list == NULL || *list == '\0')
		return false;
	while ((p = strstr(p, name)) != NULL)
	{
		if ((p == list || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
			return true;
		p += len;
	}
	return false;
}

void
sl_waitpoint_define_gucs(void)
{
	DefineCustomStringVariable("streamlog.waitpoints",
							   "Stop points at which this session waits (test builds only).",
							   NULL, &waitpoints, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("streamlog.mutants",
							   "Steps that this session leaves out (test builds only).",
							   NULL, &mutants, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
}

/*
 * The session's lock_timeout is not meant for the test's locks.  Nor is the look for a
 * deadlock: its alarm comes also when the wait is over, sets the latch, and hides that
 * something else has failed to.
 */
static void
wait_at(const LOCKTAG *tag)
{
	int			save_timeout = LockTimeout;
	int			save_deadlock = DeadlockTimeout;

	LockTimeout = 0;
	DeadlockTimeout = INT_MAX;
	PG_TRY();
	{
		(void) LockAcquire(tag, ExclusiveLock, false, false);
	}
	PG_FINALLY();
	{
		LockTimeout = save_timeout;
		DeadlockTimeout = save_deadlock;
	}
	PG_END_TRY();

	/* the wait has reset the latch, whoever set it meanwhile */
	SetLatch(MyLatch);
}

void
sl_waitpoint_reach(const char *name)
{
	LOCKTAG		tag;
	uint32		key;

	if (!list_has(waitpoints, name))
		return;

	/* what hashtext(name) returns under a deterministic collation */
	key = DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name)));
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, SL_WAITPOINT_CLASS, key, 2);

	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		wait_at(&tag);
	LockRelease(&tag, ExclusiveLock, false);
}

bool
sl_waitpoint_is_mutant(const char *name)
{
	return list_has(mutants, name);
}

#endif							/* SL_WAITPOINTS */
