/*
 * append.h
 *		Appending records to the end of a partition.
 */
#ifndef SL_APPEND_H
#define SL_APPEND_H

#include "log/buffer.h"
#include "log/log.h"

/* Held for at most this much at a time */
#define SL_APPEND_RECORDS	10000
#define SL_APPEND_BYTES		(8 * 1024 * 1024)

/* Called for every record once it is in the log, in order. */
typedef void (*SlAppendReport) (void *arg, const SlRecord *record);

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
 * Append the records from first up to end.  The current transaction has a claim
 * to be used for the partition, and a snapshot that is active.
 * *last becomes the last offset given out.
 */
extern void sl_append(SlTopic *topic, SlLog *log, SlClaim *claim,
					  SlRecord *first, SlRecord *end,
					  SlAppendReport report, void *arg, int64 *last);

/* Forget what an append that failed has left in this backend. */
extern void sl_append_at_abort(void);

#endif							/* SL_APPEND_H */
