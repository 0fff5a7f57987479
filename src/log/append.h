/*
 * append.h
 *		Appending records to the end of a partition.
 */
#ifndef SL_APPEND_H
#define SL_APPEND_H

#include "log/buffer.h"
#include "log/log.h"
#include "shmem/claim.h"

/* The append lock is held for at most this much at a time. */
#define SL_APPEND_RECORDS	10000
#define SL_APPEND_BYTES		(8 * 1024 * 1024)

/*
 * The append lock of a partition, exclusive: waits for it; released by an abort
 * at the latest.
 */
extern void sl_append_lock(Oid relation, int32 partition);
extern void sl_append_unlock(Oid relation, int32 partition);

/*
 * Lock the active segment as an append will, for the rest of the transaction,
 * so that no append of this transaction has to wait for it while it holds
 * readers back.
 */
extern void sl_append_prepare(SlTopic *topic, SlLog *log);

/*
 * Append n records, no more than the above.  The current transaction has a claim
 * to be used for the partition, and a snapshot that is active.  Returns the last
 * offset given out.
 */
extern int64 sl_append(SlTopic *topic, SlLog *log, SlClaim *claim,
					   SlRecord **records, int n);

/* Forget what an append that failed has left in this backend. */
extern void sl_append_at_abort(void);

#endif							/* SL_APPEND_H */
