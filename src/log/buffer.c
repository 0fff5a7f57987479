/*
 * buffer.c
 *		What a transaction has produced to one partition and not appended yet.
 *
 * Records lie one behind the other in chunks of memory.  When the transaction
 * has too much in memory, its buffers' chunks are written to a temporary file,
 * each as an extent; what is produced after that goes into chunks again.  A
 * buffer is thus a string of bytes, first extents and then chunks.
 *
 * Rolling back to a savepoint cuts off the end of the string.  Where to cut is
 * known from the buffer's runs: one for each nesting level that has records
 * here, innermost last, with the position and the number of the first of them.
 * The end of a subtransaction that has rolled back takes away the runs of its
 * level and deeper and what lies behind their beginning; the end of one that is
 * released makes its run one of its parent.
 *
 * Bytes that are cut off stay in the file.  They are gone with it at the end of
 * the transaction.  Chunks go into it, and come back, in one piece each: BufFile
 * would write and read them by the block, which takes more than twice as long.
 *
 * Chunks that are done with, but for those of large records, are kept for the next
 * ones of their size to the end of the transaction, and a few for ever: memory that
 * comes fresh from the system has to be filled with zeroes first, which takes longer
 * than to fill it with records.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "log/buffer.h"

#define SL_FIRST_CHUNK		((Size) 4096)
#define SL_LAST_CHUNK		((Size) 1024 * 1024)

/* Idle chunks that are kept beyond the end of the transaction, at most */
#define SL_KEPT_IDLE		((Size) 1024 * 1024)

/* An extent that has less takes in what is written right behind it. */
#define SL_SMALL_EXTENT		((Size) 1024 * 1024)

typedef struct SlChunk
{
	struct SlChunk *next;
	struct SlChunk *prev;
	uint64		start;			/* position of its first byte in the buffer */
	Size		used;
	Size		size;
} SlChunk;

#define CHUNK_DATA(chunk)	((char *) (chunk) + MAXALIGN(sizeof(SlChunk)))

typedef struct SlExtent
{
	uint64		start;			/* position of its first byte in the buffer */
	Size		length;
	off_t		offset;			/* in the file */
} SlExtent;

typedef struct SlRun
{
	int			level;
	uint64		start;			/* position of its first record */
	int64		count;			/* records before it */
} SlRun;

struct SlBuffer
{
	MemoryContext context;
	SlChunk    *first;
	SlChunk    *last;
	Size		next_size;		/* of the next chunk */
	Size		memory;			/* of all chunks */
	uint64		end;			/* position of the next record */
	int64		count;
	SlExtent   *extents;
	int			nextents;
	int			max_extents;
	SlRun	   *runs;
	int			nruns;
	int			max_runs;
};

/* Chunks that no buffer uses */
static MemoryContext chunk_context = NULL;
static SlChunk *idle_chunks = NULL;
static Size idle_bytes = 0;

SlBuffer *
sl_buffer_create(MemoryContext context)
{
	SlBuffer   *buffer = MemoryContextAllocZero(context, sizeof(SlBuffer));

	buffer->context = context;
	buffer->next_size = SL_FIRST_CHUNK;
	buffer->max_runs = 4;
	buffer->runs = MemoryContextAlloc(context,
									  buffer->max_runs * sizeof(SlRun));
	return buffer;
}

static void
free_idle_chunk(void)
{
	SlChunk    *chunk = idle_chunks;

	idle_chunks = chunk->next;
	idle_bytes -= chunk->size;
	pfree(chunk);
}

/*
 * A chunk of this size or not much more: an idle one, or one in the place of idle
 * ones.  A large one for few records would make the transaction spill too soon.
 */
static SlChunk *
take_chunk(Size size)
{
	SlChunk    *chunk;
	Size		freed = 0;

	for (SlChunk **link = &idle_chunks; (chunk = *link) != NULL; link = &chunk->next)
		if (chunk->size >= size && chunk->size / 2 < size)
		{
			*link = chunk->next;
			idle_bytes -= chunk->size;
			return chunk;
		}

	while (idle_chunks && freed < size)
	{
		freed += idle_chunks->size;
		free_idle_chunk();
	}
	if (chunk_context == NULL)
		chunk_context = AllocSetContextCreate(TopMemoryContext,
											  "streamlog record chunks",
											  ALLOCSET_DEFAULT_SIZES);
	chunk = MemoryContextAllocHuge(chunk_context,
								   MAXALIGN(sizeof(SlChunk)) + size);
	chunk->size = size;
	return chunk;
}

static void
give_chunk(SlChunk *chunk)
{
	/* one that was made for a large record would be too good for others */
	if (chunk->size > SL_LAST_CHUNK)
	{
		pfree(chunk);
		return;
	}
	chunk->next = idle_chunks;
	idle_chunks = chunk;
	idle_bytes += chunk->size;
}

void
sl_buffer_release_idle(void)
{
	while (idle_bytes > SL_KEPT_IDLE)
		free_idle_chunk();
}

static SlChunk *
add_chunk(SlBuffer *buffer, Size want)
{
	SlChunk    *chunk = take_chunk(Max(buffer->next_size, want));

	chunk->used = 0;
	chunk->start = buffer->end;
	chunk->next = NULL;
	chunk->prev = buffer->last;
	if (buffer->last)
		buffer->last->next = chunk;
	else
		buffer->first = chunk;
	buffer->last = chunk;
	buffer->memory += chunk->size;
	buffer->next_size = Min(buffer->next_size * 2, SL_LAST_CHUNK);
	return chunk;
}

static void
begin_run(SlBuffer *buffer, int level)
{
	SlRun	   *run;

	if (buffer->nruns == buffer->max_runs)
	{
		buffer->max_runs *= 2;
		buffer->runs = repalloc_array(buffer->runs, SlRun, buffer->max_runs);
	}
	run = &buffer->runs[buffer->nruns++];
	run->level = level;
	run->start = buffer->end;
	run->count = buffer->count;
}

SlRecord *
sl_buffer_add(SlBuffer *buffer, Size tuple_len, int level)
{
	Size		size = SL_RECORD_SIZE(tuple_len);
	SlChunk    *chunk = buffer->last;
	SlRecord   *record;

	if (chunk == NULL || chunk->size - chunk->used < size)
		chunk = add_chunk(buffer, size);
	if (buffer->nruns == 0 || buffer->runs[buffer->nruns - 1].level < level)
		begin_run(buffer, level);
	Assert(buffer->runs[buffer->nruns - 1].level == level);

	record = (SlRecord *) (CHUNK_DATA(chunk) + chunk->used);
	chunk->used += size;
	buffer->end += size;
	buffer->count++;
	return record;
}

int64
sl_buffer_count(const SlBuffer *buffer)
{
	return buffer->count;
}

Size
sl_buffer_memory(const SlBuffer *buffer)
{
	return buffer->memory;
}

int
sl_buffer_lowest_level(const SlBuffer *buffer)
{
	return buffer->nruns > 0 ? buffer->runs[0].level : INT_MAX;
}

static void
drop_last_chunk(SlBuffer *buffer)
{
	SlChunk    *chunk = buffer->last;

	buffer->last = chunk->prev;
	if (buffer->last)
		buffer->last->next = NULL;
	else
		buffer->first = NULL;
	buffer->memory -= chunk->size;
	give_chunk(chunk);
}

/* Cut the buffer off at a position. */
static void
truncate_at(SlBuffer *buffer, uint64 end, int64 count)
{
	while (buffer->last && buffer->last->start >= end)
		drop_last_chunk(buffer);
	if (buffer->last)
		buffer->last->used = end - buffer->last->start;

	while (buffer->nextents > 0 &&
		   buffer->extents[buffer->nextents - 1].start >= end)
		buffer->nextents--;
	if (buffer->nextents > 0)
	{
		SlExtent   *extent = &buffer->extents[buffer->nextents - 1];

		extent->length = Min(extent->length, end - extent->start);
	}
	buffer->end = end;
	buffer->count = count;
}

void
sl_buffer_subcommit(SlBuffer *buffer, int level)
{
	SlRun	   *run = buffer->nruns > 0 ? &buffer->runs[buffer->nruns - 1] : NULL;

	if (run == NULL || run->level < level)
		return;
	Assert(run->level == level);
	if (buffer->nruns > 1 && run[-1].level == level - 1)
		buffer->nruns--;
	else
		run->level = level - 1;
}

void
sl_buffer_subabort(SlBuffer *buffer, int level)
{
	while (buffer->nruns > 0 && buffer->runs[buffer->nruns - 1].level >= level)
	{
		SlRun	   *run = &buffer->runs[--buffer->nruns];

		truncate_at(buffer, run->start, run->count);
	}
}

/* Room for an extent behind n of them */
static SlExtent *
extent_at(SlBuffer *buffer, int n)
{
	if (n == buffer->max_extents)
	{
		int			max = Max(16, buffer->max_extents * 2);

		buffer->extents = buffer->extents ?
			repalloc_array(buffer->extents, SlExtent, max) :
			MemoryContextAlloc(buffer->context, max * sizeof(SlExtent));
		buffer->max_extents = max;
	}
	return &buffer->extents[n];
}

static void
write_chunk(const SlChunk *chunk, File file, off_t offset)
{
	if (FileWrite(file, CHUNK_DATA(chunk), chunk->used, offset,
				  WAIT_EVENT_BUFFILE_WRITE) != chunk->used)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to the temporary file of produced records: %m")));
}

void
sl_buffer_spill(SlBuffer *buffer, SlSpillFile *spill)
{
	int			n = buffer->nextents;
	off_t		end = spill->end;
	SlExtent   *extent = NULL;	/* that this call has written */

	for (SlChunk *chunk = buffer->first; chunk; chunk = chunk->next)
	{
		if (chunk->used == 0)
			continue;
		if (extent == NULL || extent->length >= SL_SMALL_EXTENT)
		{
			extent = extent_at(buffer, n++);
			extent->start = chunk->start;
			extent->length = 0;
			extent->offset = end;
		}
		write_chunk(chunk, spill->file, end);
		extent->length += chunk->used;
		end += chunk->used;
	}
	/* now that all of it is written */
	buffer->nextents = n;
	spill->end = end;
	while (buffer->last)
		drop_last_chunk(buffer);
	buffer->next_size = SL_FIRST_CHUNK;
}

void
sl_buffer_clear(SlBuffer *buffer)
{
	buffer->nruns = 0;
	buffer->nextents = 0;
	while (buffer->last)
		drop_last_chunk(buffer);
	buffer->next_size = SL_FIRST_CHUNK;
	buffer->end = 0;
	buffer->count = 0;
}

void
sl_buffer_read_begin(SlBuffer *buffer, SlBufferReader *reader)
{
	memset(reader, 0, sizeof(SlBufferReader));
	reader->buffer = buffer;
	reader->chunk = buffer->first;
}

static void
read_extent(SlBufferReader *reader, const SlSpillFile *spill)
{
	SlBuffer   *buffer = reader->buffer;
	SlExtent   *extent = &buffer->extents[reader->extent++];
	int			done;

	if (reader->page_size < extent->length)
	{
		if (reader->page)
			pfree(reader->page);
		reader->page = MemoryContextAllocHuge(buffer->context, extent->length);
		reader->page_size = extent->length;
	}
	done = FileRead(spill->file, reader->page, extent->length, extent->offset,
					WAIT_EVENT_BUFFILE_READ);
	if (done < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the temporary file of produced records: %m")));
	if (done != extent->length)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read the temporary file of produced records: it has %d of %zu bytes",
						done, extent->length)));
	reader->next = (SlRecord *) reader->page;
	reader->end = (SlRecord *) (reader->page + extent->length);
}

int
sl_buffer_read(SlBufferReader *reader, const SlSpillFile *spill,
			   SlRecord **records, int max, Size max_bytes)
{
	int			n = 0;
	Size		bytes = 0;

	while (n < max && bytes < max_bytes)
	{
		if (reader->next < reader->end)
		{
			records[n++] = reader->next;
			bytes += reader->next->tuple_len;
			reader->next = sl_record_next(reader->next);
		}
		else if (reader->extent < reader->buffer->nextents)
		{
			if (n > 0)
				break;			/* they lie where the next extent goes */
			read_extent(reader, spill);
		}
		else if (reader->chunk)
		{
			reader->next = (SlRecord *) CHUNK_DATA(reader->chunk);
			reader->end = (SlRecord *) (CHUNK_DATA(reader->chunk) + reader->chunk->used);
			reader->chunk = reader->chunk->next;
		}
		else
			break;
	}
	return n;
}

void
sl_buffer_read_end(SlBufferReader *reader)
{
	if (reader->page)
		pfree(reader->page);
	reader->page = NULL;
}
