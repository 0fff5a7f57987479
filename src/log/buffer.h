/*
 * buffer.h
 *		What a transaction has produced to one partition and not appended yet.
 */
#ifndef SL_BUFFER_H
#define SL_BUFFER_H

#include "storage/fd.h"

#include "log/record.h"

typedef struct SlBuffer SlBuffer;

/* The temporary file that buffers are written to, one behind the other. */
typedef struct SlSpillFile
{
	File		file;
	off_t		end;
} SlSpillFile;

/* Reads a buffer from its beginning. */
typedef struct SlBufferReader
{
	SlBuffer   *buffer;
	int			extent;			/* next one to be read from the file */
	struct SlChunk *chunk;		/* next one to be read from memory */
	SlRecord   *next;			/* next record of the current one of these */
	SlRecord   *end;
	char	   *page;			/* memory for an extent */
	Size		page_size;
} SlBufferReader;

/*
 * A buffer lives in context, which the caller resets at the end of the
 * transaction, its records in memory of their own.  level is the nesting level
 * of the transaction that a record belongs to.
 */
extern SlBuffer *sl_buffer_create(MemoryContext context);

/* Room for a record; the caller forms it there.  Raises nothing but OOM. */
extern SlRecord *sl_buffer_add(SlBuffer *buffer, Size tuple_len, int level);

extern int64 sl_buffer_count(const SlBuffer *buffer);
extern Size sl_buffer_memory(const SlBuffer *buffer);

/* The lowest nesting level of its records; INT_MAX if it has none. */
extern int	sl_buffer_lowest_level(const SlBuffer *buffer);

/* The end of a subtransaction of this level; both cost nothing if idle. */
extern void sl_buffer_subcommit(SlBuffer *buffer, int level);
extern void sl_buffer_subabort(SlBuffer *buffer, int level);

/*
 * Move what is in memory to the end of the file.  Raises if it cannot be written,
 * temp_file_limit included; then all is as it was.
 */
extern void sl_buffer_spill(SlBuffer *buffer, SlSpillFile *spill);

/*
 * Forget all records; needed before the buffer's context is reset.  At the end
 * of the transaction, release_idle() gives back what all of them have used.
 * Neither raises.
 */
extern void sl_buffer_clear(SlBuffer *buffer);
extern void sl_buffer_release_idle(void);

/*
 * Hand out the next records, in order: up to max of them, and no more once they
 * have max_bytes.  Returns their number, 0 at the end.  They may be changed, and
 * are valid until the next call.  read_end() gives back the reader's memory.
 */
extern void sl_buffer_read_begin(SlBuffer *buffer, SlBufferReader *reader);
extern int	sl_buffer_read(SlBufferReader *reader, const SlSpillFile *spill,
						   SlRecord **records, int max, Size max_bytes);
extern void sl_buffer_read_end(SlBufferReader *reader);

#endif							/* SL_BUFFER_H */
