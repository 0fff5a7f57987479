/*
 * transaction.c
 *		What the current transaction has produced.
 *
 * The path of a record through a transaction:
 *
 *	1.	produce() adds it to the buffer of its partition.  A rollback to a
 *		savepoint takes away what was added after that.
 *	2.	At PRE_COMMIT, when nothing of the user's runs any more and an ERROR can
 *		still end everything, all that is left is appended: first every segment
 *		is locked, in one order for all transactions, and a claim taken for each
 *		partition, then the records go to the partitions one by one.  From the
 *		first append on the transaction holds back readers of its partitions.
 *	3.	At COMMIT, when everybody can see that we have committed, each claim
 *		raises its partition's committed_end and falls.  At ABORT it just falls.
 *
 * So readers are held back for as long as a commit takes to be written, however
 * long the transaction was.  flush(), and a produce() that is a statement of its
 * own, append at once and hold readers back from then on; a session that sits
 * on such records for longer than streamlog.producer_timeout is ended.
 *
 * What flush() has appended in a savepoint that is rolled back does not count as
 * committed.  Each partition therefore keeps a stack of (nesting level, last
 * offset appended in it); its top at the end is the last offset that survived.
 *
 * Nothing may raise at COMMIT: the server would restart.  The callbacks there
 * take locks of partitions and set latches, and no more.  ABORT may come twice.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/waitpoint.h"
#include "log/append.h"
#include "log/transaction.h"

#define SL_MIN_PRODUCER_BUFFER		64	/* kB */
#define SL_DEFAULT_PRODUCER_BUFFER	32768
#define SL_DEFAULT_PRODUCER_TIMEOUT	60000	/* ms */

/* The last offset that was appended at a nesting level */
typedef struct SlAppended
{
	int			level;
	int64		last;
} SlAppended;

typedef struct SlPending
{
	SlTopic    *topic;
	Oid			relation;		/* of the topic at the time */
	int32		topic_id;
	int32		partition;
	SlLog	   *log;
	SlBuffer   *buffer;
	SlClaim    *claim;			/* NULL: nothing appended */
	SlAppended *appended;
	int			nappended;
	int			max_appended;
} SlPending;

/* Settings */
static int	producer_buffer = SL_DEFAULT_PRODUCER_BUFFER;
static int	producer_timeout = SL_DEFAULT_PRODUCER_TIMEOUT;

/* The current transaction; all of it is empty between transactions. */
static MemoryContext pending_context = NULL;	/* everything below is in it */
static SlPending **pendings = NULL;
static int	npendings = 0;
static int	max_pendings = 0;
static SlPending *last_pending = NULL;
static Size memory = 0;			/* of all buffers */
static SlSpillFile spill_file = {.file = -1};
static bool appending = false;
static bool committing = false;

/* The timeout of a session that sits on undecided records */
static TimeoutId timeout_id;
static bool timeout_registered = false;
static bool timeout_enabled = false;
static volatile sig_atomic_t timed_out = false;

void
sl_transaction_define_gucs(void)
{
	DefineCustomIntVariable("streamlog.producer_buffer",
							"Memory for produced records before a transaction writes them to a temporary file.",
							NULL, &producer_buffer, SL_DEFAULT_PRODUCER_BUFFER,
							SL_MIN_PRODUCER_BUFFER, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("streamlog.producer_timeout",
							"Time after which a session is ended that has appended records and neither commits nor rolls back.",
							"Such a session holds back all readers of its partitions. 0 disables this.",
							&producer_timeout, SL_DEFAULT_PRODUCER_TIMEOUT,
							0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
}

/*
 * In the signal handler: end this session as pg_terminate_backend() would.
 */
static void
handle_timeout(void)
{
	timed_out = true;
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Only who has appended holds back anybody. */
static bool
holds_back_readers(void)
{
	for (int i = 0; i < npendings; i++)
		if (pendings[i]->claim)
			return true;
	return false;
}

static void
enable_producer_timeout(void)
{
	if (timeout_enabled || producer_timeout == 0 || !holds_back_readers())
		return;
	if (!timeout_registered)
		timeout_id = RegisterTimeout(USER_TIMEOUT, handle_timeout);
	timeout_registered = true;
	timeout_enabled = true;
	enable_timeout_after(timeout_id, producer_timeout);
}

static void
disable_producer_timeout(void)
{
	if (timeout_enabled)
		disable_timeout(timeout_id, false);
	timeout_enabled = false;
}

static void
release_claims(bool commit)
{
	for (int i = 0; i < npendings; i++)
	{
		SlPending  *pending = pendings[i];

		if (pending->claim == NULL)
			continue;
		if (commit)
			sl_claim_commit(pending->claim,
							pending->nappended > 0 ?
							pending->appended[pending->nappended - 1].last : -1,
							XactLastCommitEnd);
		else
			sl_claim_abort(pending->claim);
		pending->claim = NULL;
	}
}

/* After an exit in which no transaction was aborted, or not by its callback. */
static void
at_exit(int code, Datum arg)
{
	release_claims(false);
}

static SlPending *
make_pending(SlTopic *topic, SlLog *log)
{
	SlPending  *pending;

	if (pending_context == NULL)
	{
		on_shmem_exit(at_exit, (Datum) 0);
		pending_context = AllocSetContextCreate(TopMemoryContext,
												"streamlog produced records",
												0, 16 * 1024, 8 * 1024 * 1024);
	}
	if (npendings == max_pendings)
	{
		int			max = Max(8, max_pendings * 2);

		pendings = pendings ?
			repalloc_array(pendings, SlPending *, max) :
			MemoryContextAlloc(pending_context, max * sizeof(SlPending *));
		max_pendings = max;
	}
	pending = MemoryContextAllocZero(pending_context, sizeof(SlPending));
	pending->topic = topic;
	pending->relation = topic->relation;
	pending->topic_id = topic->topic_id;
	pending->partition = log->key.partition;
	pending->log = log;
	pending->buffer = sl_buffer_create(pending_context);
	pendings[npendings++] = pending;
	log->pending = pending;
	return pending;
}

static SlPending *
find_pending(SlTopic *topic, int32 partition)
{
	SlPending  *pending = last_pending;
	SlPartitionState state;
	SlLog	   *log;

	if (pending && pending->relation == topic->relation &&
		pending->partition == partition)
		return pending;

	/* from the first record on it is known that there is where to append it */
	log = sl_log_open_for_append(topic, partition, &state);
	pending = log->pending ? log->pending : make_pending(topic, log);
	pending->topic = topic;
	last_pending = pending;
	return pending;
}

static void
count_memory(void)
{
	memory = 0;
	for (int i = 0; i < npendings; i++)
		memory += sl_buffer_memory(pendings[i]->buffer);
}

/* Move all that is in memory to the temporary file. */
static void
spill(void)
{
	if (spill_file.file < 0)
	{
		ResourceOwner save_owner = CurrentResourceOwner;

		/* not the statement's or the savepoint's: it lives to the end */
		PrepareTempTablespaces();
		CurrentResourceOwner = TopTransactionResourceOwner;
		PG_TRY();
		{
			spill_file.file = OpenTemporaryFile(false);
			spill_file.end = 0;
		}
		PG_FINALLY();
		{
			CurrentResourceOwner = save_owner;
		}
		PG_END_TRY();
	}
	for (int i = 0; i < npendings; i++)
		sl_buffer_spill(pendings[i]->buffer, &spill_file);
	count_memory();
}

SlRecord *
sl_transaction_add(SlTopic *topic, int32 partition, Size tuple_len)
{
	SlPending  *pending;
	Size		before;
	SlRecord   *record;

	if (appending || committing)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot produce while the transaction's records are being appended")));

	pending = find_pending(topic, partition);
	if (memory > (Size) producer_buffer * 1024)
		spill();

	before = sl_buffer_memory(pending->buffer);
	record = sl_buffer_add(pending->buffer, tuple_len,
						   GetCurrentTransactionNestLevel());
	memory += sl_buffer_memory(pending->buffer) - before;
	return record;
}

static int
compare_pendings(const void *a, const void *b)
{
	const SlPending *left = *(SlPending *const *) a;
	const SlPending *right = *(SlPending *const *) b;

	if (left->topic_id != right->topic_id)
		return left->topic_id < right->topic_id ? -1 : 1;
	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	return 0;
}

/*
 * The topic is as it was when the records were produced, or has been changed by
 * this transaction: then it is looked up again, and if it was dropped, its
 * records go with it.
 */
static bool
topic_is_alive(SlPending *pending)
{
	SlTopic    *topic = pending->topic;

	if (topic->valid && topic->relation == pending->relation)
		return true;
	topic = sl_topic_find_by_relation(pending->relation);
	if (topic == NULL)
		return false;
	pending->topic = topic;
	return true;
}

static void
note_appended(SlPending *pending, int level, int64 last)
{
	if (pending->nappended == 0 ||
		pending->appended[pending->nappended - 1].level < level)
	{
		if (pending->nappended == pending->max_appended)
		{
			int			max = Max(4, pending->max_appended * 2);

			pending->appended = pending->appended ?
				repalloc_array(pending->appended, SlAppended, max) :
				MemoryContextAlloc(pending_context, max * sizeof(SlAppended));
			pending->max_appended = max;
		}
		pending->nappended++;
	}
	pending->appended[pending->nappended - 1].level = level;
	pending->appended[pending->nappended - 1].last = last;
}

static void
append_pending(SlPending *pending, SlProducedReport report, void *arg)
{
	static SlRecord *records[SL_APPEND_RECORDS];
	SlBufferReader reader;
	int64		last = -1;
	int			n;

	sl_buffer_read_begin(pending->buffer, &reader);
	while ((n = sl_buffer_read(&reader, &spill_file, records, SL_APPEND_RECORDS,
							   SL_APPEND_BYTES)) > 0)
	{
		last = sl_append(pending->topic, pending->log, pending->claim,
						 records, n);
		for (int i = 0; i < n && report; i++)
			report(arg, pending->topic, pending->partition, records[i]);
	}
	sl_buffer_read_end(&reader);
	note_appended(pending, GetCurrentTransactionNestLevel(), last);
}

/* Append all that is buffered; there is an active snapshot. */
static void
append_all(SlProducedReport report, void *arg)
{
	appending = true;

	if (npendings > 1)
		qsort(pendings, npendings, sizeof(SlPending *), compare_pendings);

	/* Whatever may be waited for is, before the first append. */
	for (int i = 0; i < npendings; i++)
	{
		SlPending  *pending = pendings[i];

		if (sl_buffer_count(pending->buffer) == 0)
			continue;
		if (!topic_is_alive(pending))
		{
			sl_buffer_clear(pending->buffer);
			continue;
		}
		sl_append_prepare(pending->topic, pending->log);
		if (pending->claim == NULL)
			pending->claim = sl_claim_reserve();
	}

	for (int i = 0; i < npendings; i++)
	{
		SlPending  *pending = pendings[i];

		if (sl_buffer_count(pending->buffer) == 0)
			continue;
		append_pending(pending, report, arg);
		sl_buffer_clear(pending->buffer);
	}

	if (spill_file.file >= 0)
	{
		FileClose(spill_file.file);
		spill_file.file = -1;
	}
	count_memory();
	appending = false;
}

void
sl_transaction_flush(SlProducedReport report, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (appending || committing)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot flush while the transaction's records are being appended")));
	for (int i = 0; i < npendings; i++)
		if (sl_buffer_lowest_level(pendings[i]->buffer) < level)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot flush in a savepoint while records from before it are pending"),
					 errdetail("Rolling back to the savepoint would lose them."),
					 errhint("Call flush() before the savepoint is set.")));
	append_all(report, arg);
	enable_producer_timeout();
}

bool
sl_transaction_has_records(void)
{
	return npendings > 0;
}

void
sl_transaction_read(SlProducedReport visitor, void *arg)
{
	SlRecord  **records = palloc_array(SlRecord *, SL_APPEND_RECORDS);

	for (int i = 0; i < npendings; i++)
	{
		SlPending  *pending = pendings[i];
		SlBufferReader reader;
		int			n;

		if (sl_buffer_count(pending->buffer) == 0 || !topic_is_alive(pending))
			continue;
		sl_buffer_read_begin(pending->buffer, &reader);
		while ((n = sl_buffer_read(&reader, &spill_file, records,
								   SL_APPEND_RECORDS, SL_APPEND_BYTES)) > 0)
			for (int j = 0; j < n; j++)
				visitor(arg, pending->topic, pending->partition, records[j]);
		sl_buffer_read_end(&reader);
	}
	pfree(records);
}

/* The end of the transaction: nothing here may raise. */
static void
forget_transaction(void)
{
	disable_producer_timeout();
	for (int i = 0; i < npendings; i++)
	{
		pendings[i]->log->pending = NULL;
		sl_buffer_clear(pendings[i]->buffer);
	}
	sl_buffer_release_idle();
	pendings = NULL;
	npendings = 0;
	max_pendings = 0;
	last_pending = NULL;
	memory = 0;
	spill_file.file = -1;		/* closed by the resource owner */
	appending = false;
	committing = false;
	if (pending_context)
		MemoryContextReset(pending_context);
}

static bool
anything_buffered(void)
{
	for (int i = 0; i < npendings; i++)
		if (sl_buffer_count(pendings[i]->buffer) > 0)
			return true;
	return false;
}

static void
at_precommit(void)
{
	if (anything_buffered())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		append_all(NULL, NULL);
		PopActiveSnapshot();
	}
	else if (spill_file.file >= 0)
		append_all(NULL, NULL); /* closes it */
	if (npendings > 0)
	{
		if (SL_MUTANT("release-before-commit"))
			release_claims(true);
		SL_WAITPOINT("precommit-appended");
	}
	committing = true;

	/* the commit itself may take as long as a synchronous standby does */
	disable_producer_timeout();
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			at_precommit();
			break;
		case XACT_EVENT_COMMIT:
			if (npendings > 0)
				SL_WAITPOINT("commit-before-release");
			release_claims(true);
			if (npendings > 0)
				SL_WAITPOINT("commit-released");
			sl_partition_wait_end();
			forget_transaction();
			break;
		case XACT_EVENT_ABORT:
			if (timed_out)
				ereport(LOG,
						(errmsg("ended a session that had appended records and neither committed nor rolled back within streamlog.producer_timeout")));
			timed_out = false;
			release_claims(false);
			sl_partition_init_failed();
			sl_partition_wait_end();
			sl_append_at_abort();
			forget_transaction();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (npendings > 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has produced records"),
						 errhint("Use COMMIT.")));
			break;
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		appending = false;
		sl_partition_init_failed();
		sl_partition_wait_end();
		sl_append_at_abort();
	}
	if (npendings == 0 ||
		(event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;

	for (int i = 0; i < npendings; i++)
	{
		SlPending  *pending = pendings[i];

		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			sl_buffer_subabort(pending->buffer, level);
			while (pending->nappended > 0 &&
				   pending->appended[pending->nappended - 1].level >= level)
				pending->nappended--;
		}
		else
		{
			sl_buffer_subcommit(pending->buffer, level);
			if (pending->nappended > 0 &&
				pending->appended[pending->nappended - 1].level >= level)
			{
				int64		last = pending->appended[--pending->nappended].last;

				note_appended(pending, level - 1, last);
			}
		}
	}
	if (event == SUBXACT_EVENT_ABORT_SUB)
		count_memory();
}

void
sl_transaction_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
