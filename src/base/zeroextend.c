/*
 * zeroextend.c
 *		Adding many blocks to a file at once, where PostgreSQL cannot.
 *
 * Before 16 a file grows by one written block at a time: every block of a bulk
 * load is written twice, and the first time costs more than all else that an
 * append does.  The file system can reserve the space without writing it.  It
 * must be reserved: a file with a hole would be as fast, but on a full disk a
 * checkpoint could then not write what has been committed.
 *
 * The file is opened by its name, since PostgreSQL does not give out its own
 * descriptor.  PostgreSQL asks the file for its size whenever it wants to know
 * it, and fsyncs it after it has written any of its blocks; one of which it has
 * written none needs no fsync.
 *
 * A file that lies in several pieces of 1 GB is extended within its last piece
 * only; PostgreSQL adds the next one.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/relpath.h"
#include "storage/fd.h"

#include "base/compat.h"
#include "base/zeroextend.h"

/* Fewer blocks are written, which is cheaper than to open the file. */
#define SL_MIN_FALLOCATE	8

static void
extend_by_writing(SMgrRelation reln, BlockNumber nblocks, int n)
{
	PGAlignedBlock zeroes;

	memset(zeroes.data, 0, BLCKSZ);
	for (int i = 0; i < n; i++)
		smgrextend(reln, MAIN_FORKNUM, nblocks + i, zeroes.data, false);
}

/* false if the file system cannot do it */
static bool
extend_by_reserving(SMgrRelation reln, BlockNumber nblocks, int n)
{
	char	   *path = sl_smgr_path(reln);
	BlockNumber piece = nblocks / RELSEG_SIZE;
	char	   *file = piece == 0 ? path : psprintf("%s.%u", path, piece);
	off_t		start = (off_t) (nblocks % RELSEG_SIZE) * BLCKSZ;
	int			fd = OpenTransientFile(file, O_RDWR | PG_BINARY);
	int			error;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", file)));
	do
	{
		error = posix_fallocate(fd, start, (off_t) n * BLCKSZ);
	} while (error == EINTR);
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", file)));
	if (error == EINVAL || error == EOPNOTSUPP)
		return false;
	if (error != 0)
	{
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not extend file \"%s\": %m", file),
				 errhint("Check free disk space.")));
	}
	return true;
}

void
sl_zeroextend(SMgrRelation reln, BlockNumber nblocks, int n)
{
	while (n > 0)
	{
		int			left = RELSEG_SIZE - nblocks % RELSEG_SIZE;
		int			now = Min(n, left);

		/* the first block of a piece creates it */
		if (nblocks % RELSEG_SIZE == 0)
			now = 1;
		if (now < SL_MIN_FALLOCATE || !extend_by_reserving(reln, nblocks, now))
			extend_by_writing(reln, nblocks, now);
		nblocks += now;
		n -= now;
	}
}
