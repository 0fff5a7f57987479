/*
 * partition.h
 *		What all backends share about a partition: how far its log goes, and
 *		which transactions have appended to it and not ended.
 */
#ifndef SL_PARTITION_H
#define SL_PARTITION_H

#include "access/xlogdefs.h"

/*
 * No OID of a database or table of ours is ever used for two logs at once; what is
 * known of those of a database is forgotten when it is dropped.
 */
typedef struct SlPartitionKey
{
	Oid			database;
	Oid			relation;		/* the topic's table */
	int32		partition;
} SlPartitionKey;

/* A partition in shared memory; owned by partition.c */
typedef struct SlPartition SlPartition;

/* A partition as some backend saw it at one instant */
typedef struct SlPartitionState
{
	int64		log_start;		/* oldest offset that may be read */
	int64		visible_end;	/* one more than the last that may */
	int64		log_end;		/* next offset to be given out; never shown */
	XLogRecPtr	last_commit_lsn;	/* flush up to here before using the above */
	Oid			active_segment; /* table that is appended to, or InvalidOid */
	int64		active_base;	/* its base offset */
	uint32		generation;		/* changes when it is initialised anew */
} SlPartitionState;

/* streamlog.max_partitions */
extern int	sl_partition_limit(void);

extern void sl_partition_define_gucs(void);
extern Size sl_partition_shmem_size(void);
extern void sl_partition_shmem_init(void);

/*
 * Initialisation.  attach() finds or makes the entry of a partition; where it
 * returns false, the caller is the one to find out what the log holds, and must
 * call exactly one of init_done() and init_failed(); until then everybody else
 * waits in attach().  An end of the transaction or of the process does the
 * latter by itself.  An entry stays valid while *part is used with its key: all
 * calls below return false when it has been given to another partition, upon
 * which the caller attaches again.
 */
extern bool sl_partition_attach(const SlPartitionKey *key, SlPartition **part);
extern void sl_partition_init_done(SlPartition *part, int64 log_start,
								   int64 log_end, int64 committed_end,
								   Oid active_segment, int64 active_base,
								   bool notify);
extern void sl_partition_init_failed(void);

extern bool sl_partition_read(SlPartition *part, const SlPartitionKey *key,
							  SlPartitionState *state);

/*
 * Waiting until the visible end is beyond want, of one partition or of many at once.
 * begin() puts this backend on a partition's list, beside those it is on already;
 * the latch is set when the end moves so far, or the partition is forgotten, upon
 * which the backend is on that list no more.  It may be called again for the same
 * partition, and raises only for want of memory.  end() takes the backend off all
 * lists; it may be called at any time, does not raise, and comes by itself at
 * the end of a transaction, savepoint or process.
 */
typedef enum SlWaitResult
{
	SL_WAIT_LISTED,				/* look again when the latch is set */
	SL_WAIT_MOVED,				/* look at once: the end is beyond want, or
								 * the caller has to attach again */
	SL_WAIT_NO_ROOM				/* neither: look again in a while */
} SlWaitResult;

extern SlWaitResult sl_partition_wait_begin(SlPartition *part,
											const SlPartitionKey *key,
											int64 want);
extern void sl_partition_wait_end(void);

/* Rolling, deleting and dropping; never raise. */
extern void sl_partition_set_active(const SlPartitionKey *key,
									Oid active_segment, int64 active_base);
extern void sl_partition_raise_log_start(const SlPartitionKey *key,
										 int64 log_start);
extern void sl_partition_forget(const SlPartitionKey *key);
extern void sl_partition_forget_database(Oid database);

#endif							/* SL_PARTITION_H */
