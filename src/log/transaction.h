/*
 * transaction.h
 *		What the current transaction has produced.
 */
#ifndef SL_TRANSACTION_H
#define SL_TRANSACTION_H

#include "log/record.h"

/* Called for every record, in the order of the log. */
typedef void (*SlProducedReport) (void *arg, SlTopic *topic, int32 partition,
								  const SlRecord *record);

extern void sl_transaction_define_gucs(void);
extern void sl_transaction_init(void);

/*
 * Room for a record in the current (sub)transaction; the caller forms it there
 * at once.  May raise (no memory, temporary file), in which case the record is
 * not there.  The topic was opened for ACL_INSERT by the caller.
 */
extern SlRecord *sl_transaction_add(SlTopic *topic, int32 partition,
									Size tuple_len);

/* Has it produced anything, even if that has been appended or rolled back? */
extern bool sl_transaction_has_records(void);

/*
 * Visit what is buffered; these records have no offset yet.  May raise if some
 * are in the temporary file.
 */
extern void sl_transaction_read(SlProducedReport visitor, void *arg);

/*
 * Append all that is buffered now, and report it.  Raises if some of it belongs to an outer
 * level of the transaction, which a rollback of this one would take along.
 */
extern void sl_transaction_flush(SlProducedReport report, void *arg);

#endif							/* SL_TRANSACTION_H */
