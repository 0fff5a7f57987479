/*
 * delete.h
 *		Deleting the oldest records of partitions.
 */
#ifndef SL_DELETE_H
#define SL_DELETE_H

#include "log/log.h"

/* All that can be read, for before_offset */
#define SL_DELETE_ALL	(-1)

/*
 * Let a partition's log start at before_offset when the transaction commits, and
 * return where it then starts, which is not before_offset where it starts above
 * that already.  The caller has checked that the user owns the topic and has
 * locked its table.  Waits for other transactions that delete from the partition.
 * Raises OFFSET_OUT_OF_RANGE above the end of what can be read.
 */
extern int64 sl_delete_records(SlTopic *topic, int32 partition,
							   int64 before_offset);

#endif							/* SL_DELETE_H */
