/*
 * consume.h
 *		The calls of a consumer.
 */
#ifndef SL_CONSUME_H
#define SL_CONSUME_H

#include "group/known.h"
#include "log/fetch.h"

/* What every call of a member says */
typedef struct SlMembership
{
	SlConsumer	consumer;
	const char *instance;		/* or NULL */
	int64		max_poll_interval;	/* ms */
	bool		keeps_interval; /* the call has no such argument */
	SlAssignorKind assignor;
	SlTopic   **topics;			/* opened to be read, each once */
	int			ntopics;
	const int32 *partitions;	/* NULL: all that are assigned */
	int			npartitions;
} SlMembership;

/* A call of consume() or poll() */
typedef struct SlConsumeCall
{
	SlMembership *membership;
	SlHandOut	how;
	SlResetPolicy reset_policy;
	SlFetchLimits limits;
	TupleDesc	desc;
	Tuplestorestate *store;
} SlConsumeCall;

/* A partition and an offset of it, as the calls below return and take them */
typedef struct SlPartitionOffset
{
	SlTopic    *topic;
	int32		partition;
	int64		next_offset;
} SlPartitionOffset;

typedef enum SlSeekKind
{
	SL_SEEK_OFFSET,
	SL_SEEK_TIME,
	SL_SEEK_EARLIEST,
	SL_SEEK_LATEST,
	SL_SEEK_SHIFT				/* from the committed offset; of a reset alone */
} SlSeekKind;

typedef struct SlSeekTarget
{
	SlSeekKind	kind;
	int64		offset;			/* or by how much to shift */
	TimestampTz time;
} SlSeekTarget;

extern void sl_consume_define_gucs(void);

/* streamlog.max_poll_interval (ms) */
extern int64 sl_consume_max_poll_interval(void);

/*
 * Put the next records of the partitions that are assigned to the caller into the
 * store, confirm what the session was handed before, and wait for the first record
 * if there is none.
 */
extern void sl_consume(SlConsumeCall *call);

/*
 * Commit what the session was handed of the topics (and partitions), or, if offsets is
 * given, that of each of the partitions of the one topic; metadata, or NULL, goes
 * with each.  Returns what was committed, palloc'd.
 */
extern SlPartitionOffset *sl_commit_offsets(SlMembership *membership,
											const int64 *offsets,
											const char *metadata, int *n);

/*
 * Move the position of the partitions of the one topic (NULL: of all that are assigned to
 * the caller).  Returns where they are, palloc'd.
 */
extern SlPartitionOffset *sl_seek(SlMembership *membership,
								  const SlSeekTarget *target,
								  SlResetPolicy reset_policy, int *n);

/* Where the target is in a partition; raises if that is out of its range. */
extern int64 sl_seek_offset(SlTopic *topic, int32 partition,
							const SlSeekTarget *target);

/*
 * What the next consume() or poll() of the caller would hand out first.  -1 where that
 * is not decided: there is no committed offset.
 */
extern int64 sl_next_offset(const SlConsumer *consumer, SlTopic *topic,
							int32 partition);

/* Leave a group: false if the caller was no member. */
extern bool sl_leave(const SlConsumer *consumer);

/* DISCARD ALL: leave all groups, forget everything, be somebody new. */
extern void sl_leave_all(void);

#endif							/* SL_CONSUME_H */
