/*
 * scan.h
 *		Scanning records of a partition in order.
 */
#ifndef SL_SCAN_H
#define SL_SCAN_H

#include "storage/buf.h"
#include "utils/snapshot.h"

#include "log/log.h"

typedef enum SlScanResult
{
	SL_SCAN_END,				/* up to the bound */
	SL_SCAN_STOPPED,			/* the visitor wants no more */
	SL_SCAN_HIDDEN,				/* at a record that the transaction's own
								 * snapshot does not see */
	SL_SCAN_DELETED				/* what comes next is gone: the log starts
								 * above it by now */
} SlScanResult;

/*
 * Called for each visible record; the tuple lies in a pinned page.  Returns
 * false to stop before this record.
 */
typedef bool (*SlScanVisitor) (void *arg, Relation rel, HeapTuple tuple);

/*
 * Visit the records that a fresh snapshot sees, from offset on and below end, in
 * order.  *reached becomes the offset below which all has been visited.  Raises
 * DATA_CORRUPTED at whatever is not in order.
 */
extern SlScanResult sl_scan(SlTopic *topic, SlLog *log, int64 offset,
							int64 end, SlScanVisitor visitor, void *arg,
							int64 *reached);

#endif							/* SL_SCAN_H */
