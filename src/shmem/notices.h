/*
 * notices.h
 *		Partitions whose topic has notify on and whose visible end has moved.
 */
#ifndef SL_NOTICES_H
#define SL_NOTICES_H

#include "shmem/partition.h"

extern Size sl_notices_shmem_size(void);
extern void sl_notices_shmem_init(void);

/*
 * For those who have locked an entry exclusively; neither raises.  add() is false
 * if it is in the list already: then the worker has been woken for it.  remove() is
 * for any entry; is_lost says that its worker will not hear of it otherwise.
 */
extern bool sl_notices_add(SlPartition *part);
extern void sl_notices_remove(SlPartition *part, bool is_lost);

/* Say whether a partition's topic has notify on; never raises. */
extern void sl_notices_switch(const SlPartitionKey *key, bool on);

/*
 * For the worker.  list() copies those of this database, the longest in the list
 * first, to palloc'd memory.  told() takes one out, unless its visible end is above
 * the one that was told; it never raises.  lost() changes when some were lost.
 */
extern SlPartitionKey *sl_notices_list(int *n);
extern void sl_notices_told(const SlPartitionKey *key, int64 visible_end);
extern uint32 sl_notices_lost(void);

#endif							/* SL_NOTICES_H */
