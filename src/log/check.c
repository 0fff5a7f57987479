/*
 * check.c
 *		Proving that a topic is in order.
 *
 * What a fetch relies on is compared with what is there, for every tuple with
 * storage, visible or not:
 *
 *	-	segments follow each other: the first begins at or below the log start,
 *		bases ascend, every table is there and fit to be a segment
 *	-	in a segment offsets ascend with the places of the tuples, are at least
 *		the segment's base, below the next one's, and below the log end
 *	-	every tuple has the shape of a record and its segment's partition, and no
 *		record was deleted or updated
 *	-	values that lie out of line can be read
 *
 * A page with a problem does not hide the ones after it: each is reported with
 * its place, up to some number for a segment.
 *
 * A topic that came from a dump and is not ready for use is compared with its
 * tables alone: nothing is known of it in shared memory, or may be before it is
 * found in order.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/waitpoint.h"
#include "log/check.h"
#include "log/fetch.h"
#include "log/log.h"
#include "log/record.h"
#include "log/search.h"

/* Problems that are reported for one segment */
#define SL_MAX_PROBLEMS 20

typedef struct SlCheck
{
	TupleDesc	desc;
	Tuplestorestate *store;		/* NULL: no rows, only the two below */
	char	   *first_problem;
	List	   *disordered;		/* segments whose only fault may be the order */
	int32		partition;
	Oid			segment;
	int64		base;
	int64		end;			/* offsets are below this */
	int64		records;		/* visible ones */
	int64		previous;		/* offset */
	int64		highest;		/* offset in the partition */
	int			problems;
	bool		dropped;		/* the segment, since it was listed */
	bool		sound;			/* no problem in the partition so far */
	bool		ascending;		/* nor in the order of the segment */
	Relation	rel;
	Snapshot	snapshot;
	MemoryContext context;		/* for a value */
	MemoryContext result;
} SlCheck;

static void
put_row(SlCheck *check, const char *problem)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	if (check->store == NULL)
		return;
	values[0] = Int32GetDatum(check->partition);
	values[1] = ObjectIdGetDatum(check->segment);
	nulls[1] = !OidIsValid(check->segment);
	values[2] = Int64GetDatum(check->base);
	values[3] = Int64GetDatum(check->records);
	nulls[3] = problem != NULL;
	nulls[4] = problem == NULL;
	if (problem)
		values[4] = CStringGetTextDatum(problem);
	tuplestore_putvalues(check->store, check->desc, values, nulls);
}

static void report(SlCheck *check, const char *format,...) pg_attribute_printf(2, 3);

static void
report(SlCheck *check, const char *format,...)
{
	char		problem[512];
	va_list		args;

	check->sound = false;
	if (check->problems++ >= SL_MAX_PROBLEMS)
		return;
	va_start(args, format);
	vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	if (check->first_problem == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(check->result);
		char	   *table = OidIsValid(check->segment) ? get_rel_name(check->segment) : NULL;

		check->first_problem = table ?
			psprintf("table \"%s\": %s", table, problem) :
			psprintf("partition %d: %s", check->partition, problem);
		MemoryContextSwitchTo(old);
	}
	put_row(check, problem);
}

/* Read what lies out of line; what is damaged is a problem of the segment. */
static void
check_toasted(SlCheck *check, HeapTuple tuple, BlockNumber block,
			  OffsetNumber lp)
{
	MemoryContext old = MemoryContextSwitchTo(check->context);
	ResourceOwner owner = CurrentResourceOwner;
	Datum		values[SL_SEGMENT_ATTS];
	bool		nulls[SL_SEGMENT_ATTS];

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(check->context);
	PG_TRY();
	{
		heap_deform_tuple(tuple, RelationGetDescr(check->rel), values, nulls);
		for (int i = SL_ATT_KEY - 1; i < SL_SEGMENT_ATTS; i++)
			if (!nulls[i] && TupleDescAttr(RelationGetDescr(check->rel), i)->attlen == -1)
				(void) detoast_attr((struct varlena *) DatumGetPointer(values[i]));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(check->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_DATA_CORRUPTED))
			ReThrowError(error);
		report(check, "block %u item %u: a value cannot be read: %s",
			   block, lp, error->message);
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	MemoryContextReset(check->context);
}

static void
check_item(SlCheck *check, Page page, BlockNumber block, OffsetNumber lp,
		   Buffer buffer, HeapTuple toasted)
{
	ItemId		item = PageGetItemId(page, lp);
	HeapTupleHeader header = (HeapTupleHeader) PageGetItem(page, item);
	HeapTupleData tuple;
	SlRecordFixed *fixed;
	int32		partition;

	if (!sl_is_record(item, header))
	{
		report(check, "block %u item %u: not a record", block, lp);
		return;
	}
	fixed = sl_tuple_fixed(header);
	memcpy(&partition, &fixed->partition, sizeof(int32));
	if (partition != check->partition)
		report(check, "block %u item %u: a record of partition %d",
			   block, lp, partition);
	if (fixed->record_offset <= check->previous)
	{
		check->ascending = false;
		report(check, "block %u item %u: offset %lld after %lld", block, lp,
			   (long long) fixed->record_offset, (long long) check->previous);
	}
	else if (fixed->record_offset < check->base)
		report(check, "block %u item %u: offset %lld, the segment begins at %lld",
			   block, lp, (long long) fixed->record_offset,
			   (long long) check->base);
	else if (fixed->record_offset >= check->end)
		report(check, "block %u item %u: offset %lld, the next segment begins at %lld",
			   block, lp, (long long) fixed->record_offset,
			   (long long) check->end);
	check->previous = fixed->record_offset;
	check->highest = Max(check->highest, fixed->record_offset);

	tuple.t_data = header;
	tuple.t_len = ItemIdGetLength(item);
	tuple.t_tableOid = RelationGetRelid(check->rel);
	ItemPointerSet(&tuple.t_self, block, lp);
	if (!HeapTupleSatisfiesVisibility(&tuple, check->snapshot, buffer))
	{
		if (sl_tuple_is_deleted(header))
			report(check, "block %u item %u: the record with offset %lld was deleted or updated",
				   block, lp, (long long) fixed->record_offset);
		return;
	}
	check->records++;
	if (HeapTupleHasExternal(&tuple) ||
		(header->t_infomask & HEAP_HASVARWIDTH && tuple.t_len > 1024))
		*toasted = tuple;
}

static void
check_block(SlCheck *check, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(check->rel, block);
	Page		page = BufferGetPage(buffer);
	OffsetNumber max;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	max = PageIsNew(page) ? InvalidOffsetNumber : PageGetMaxOffsetNumber(page);
	for (OffsetNumber lp = FirstOffsetNumber; lp <= max; lp++)
	{
		HeapTupleData toasted = {0};

		if (!ItemIdIsNormal(PageGetItemId(page, lp)))
			continue;
		check_item(check, page, block, lp, buffer, &toasted);
		if (toasted.t_data)
		{
			/* the page stays pinned, so the tuple stays where it is */
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			check_toasted(check, &toasted, block, lp);
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
		}
	}
	UnlockReleaseBuffer(buffer);
}

/* Is the segment still one, or has it been dropped since it was listed? */
static bool
is_listed(SlTopic *topic, const SlCheck *check)
{
	SlSegment  *segments;
	int			n = sl_segment_list(topic->topic_id, check->partition, &segments);
	bool		found = SL_MUTANT("check-dropped");

	for (int i = 0; i < n && !found; i++)
		found = segments[i].relation == check->segment;
	pfree(segments);
	return found;
}

/* The table itself, as sl_segment_open() wants it, but said and not raised */
static bool
check_table(SlCheck *check, SlTopic *topic)
{
	Relation	rel = try_relation_open(check->segment, AccessShareLock);

	check->rel = rel;
	check->dropped = false;
	if (rel == NULL)
	{
		check->dropped = !is_listed(topic, check);
		if (check->dropped)
			return false;
		check->segment = InvalidOid;
		report(check, "the table of the segment is gone");
		return false;
	}
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		!sl_segment_has_columns(topic, RelationGetDescr(rel)))
	{
		report(check, "the table is not a heap with the columns of a segment");
		relation_close(rel, AccessShareLock);
		return false;
	}
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		report(check, "the table is not permanent");
	if (rel->rd_rel->relowner != topic->table_owner)
		report(check, "the table belongs to another role than the topic's");
	if (sl_segment_has_index(rel))
		report(check, "the table has an index");
	if (!sl_segment_is_filled_up(rel))
		report(check, "the table has a fillfactor other than 100");
	if (!typeInheritsFrom(rel->rd_rel->reltype, get_rel_type_id(topic->relation)))
		report(check, "the table does not inherit from the topic's table, which does not show its records");
	return true;
}

/* A table is one segment only, also one that holds nothing. */
static void
check_list(SlCheck *check, const SlSegment *segments, int n)
{
	check->problems = 0;
	check->segment = InvalidOid;
	for (int i = 1; i < n; i++)
	{
		check->base = segments[i].base;
		if (segments[i].relation == segments[i - 1].relation)
			report(check, "the segments from offsets %lld and %lld are the same table",
				   (long long) segments[i - 1].base, (long long) segments[i].base);
	}
}

/* False if it has been dropped since it was listed. */
static bool
check_segment(SlCheck *check, SlTopic *topic)
{
	check->previous = -1;
	check->records = 0;
	check->problems = 0;
	check->ascending = true;
	if (check_table(check, topic))
	{
		BlockNumber nblocks = RelationGetNumberOfBlocks(check->rel);
		bool		fit = check->problems == 0;

		for (BlockNumber block = 0; block < nblocks; block++)
		{
			CHECK_FOR_INTERRUPTS();
			check_block(check, block);
		}
		if (fit && !check->ascending)
			check->disordered = lappend_oid(check->disordered, check->segment);
		relation_close(check->rel, AccessShareLock);
	}
	if (check->problems > SL_MAX_PROBLEMS)
	{
		int			more = check->problems - SL_MAX_PROBLEMS;

		check->problems = 0;
		report(check, "and %d more problems", more);
	}
	if (!check->dropped)
		put_row(check, NULL);
	return !check->dropped;
}

/*
 * The bounds of a partition that nobody uses: whatever is stored has been given
 * out.  false if it has no row.
 */
static bool
bounds_of_unused(SlTopic *topic, int32 partition, int nsegments,
				 SlPartitionState *state)
{
	SlPartitionRow row;

	if (!sl_partition_row(topic->topic_id, partition, &row))
		return false;
	state->log_start = row.log_start;
	state->log_end = nsegments > 0 || row.log_start > 0 ? PG_INT64_MAX : 0;
	return true;
}

/*
 * The segments against what shared memory knows of the partition, which is read
 * after them: they grow meanwhile.
 */
static void
check_bounds(SlCheck *check, SlTopic *topic, const SlSegment *segments, int n)
{
	SlPartitionState state;
	SlSegment  *now;

	check->problems = 0;
	if (topic->is_local)
		(void) sl_fetch_bounds(topic, check->partition, &state);
	else if (!bounds_of_unused(topic, check->partition, n, &state))
	{
		check->segment = InvalidOid;
		report(check, "the partition has no row");
		return;
	}
	if (n == 0)
	{
		check->segment = InvalidOid;
		check->base = state.log_start;
		check->records = 0;
		/* the first segment may have been made meanwhile */
		if (state.log_end > state.log_start &&
			sl_segment_list(topic->topic_id, check->partition, &now) == 0)
			report(check, "no segment holds the records of the partition");
	}
	else if (segments[0].base > state.log_start)
		report(check, "the log starts at offset %lld, its first segment at %lld",
			   (long long) state.log_start, (long long) segments[0].base);
	if (check->highest >= state.log_end)
		report(check, "offset %lld is stored, but has not been given out yet",
			   (long long) check->highest);
}

static void
check_partition(SlCheck *check, SlTopic *topic)
{
	SlSegment  *segments;
	int			n = sl_segment_list(topic->topic_id, check->partition, &segments);

	check->sound = true;
	check->highest = -1;
	check_list(check, segments, n);
	PushActiveSnapshot(GetLatestSnapshot());
	check->snapshot = GetActiveSnapshot();
	SL_WAITPOINT("check-listed");
	for (int i = 0; i < n;)
	{
		check->segment = segments[i].relation;
		check->base = segments[i].base;
		check->end = i + 1 < n ? segments[i + 1].base : PG_INT64_MAX;
		if (check_segment(check, topic))
			i++;
		else
		{
			/* from the oldest that is left on */
			pfree(segments);
			n = sl_segment_list(topic->topic_id, check->partition, &segments);
			i = 0;
		}
	}
	PopActiveSnapshot();

	/* with a problem, to find out what shared memory does not know may raise */
	if (check->sound)
		check_bounds(check, topic, segments, n);
	pfree(segments);
}

static void
check_topic(SlCheck *check, SlTopic *topic)
{
	check->result = CurrentMemoryContext;
	check->context = AllocSetContextCreate(CurrentMemoryContext,
										   "streamlog check",
										   ALLOCSET_DEFAULT_SIZES);
	for (int32 p = 0; p < topic->partitions; p++)
	{
		CHECK_FOR_INTERRUPTS();
		check->partition = p;
		check_partition(check, topic);
	}
	MemoryContextDelete(check->context);
}

void
sl_check_topic(SlTopic *topic, TupleDesc desc, Tuplestorestate *store)
{
	SlCheck		check = {.desc = desc,.store = store};

	check_topic(&check, topic);
}

char *
sl_check_first_problem(SlTopic *topic, List **disordered)
{
	SlCheck		check = {0};

	check_topic(&check, topic);
	*disordered = check.disordered;
	return check.first_problem;
}
