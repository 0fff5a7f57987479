/*
 * group_args.h
 *		The arguments that the calls of a consumer have in common.
 */
#ifndef SL_GROUP_ARGS_H
#define SL_GROUP_ARGS_H

#include "fmgr.h"
#include "utils/array.h"

#include "group/consume.h"

/* Where a function has them; -1: it has no such argument */
typedef struct SlGroupArgs
{
	const char *function;		/* as errors name it */
	int			topics;
	bool		is_list;		/* text[], not text */
	int			topic_pattern;
	int			consumer_group;
	int			partitions;
	int			member_id;
	int			instance_id;
	int			assignor;
	int			max_poll_interval;
} SlGroupArgs;

/* What becomes of a group that is not there */
typedef enum SlGroupUse
{
	SL_GROUP_OPTIONAL,			/* a null is no group; else it is made */
	SL_GROUP_CREATE,			/* it is made */
	SL_GROUP_EXPECTED,			/* an error */
	SL_GROUP_IF_THERE			/* a null is no group; else false is returned */
} SlGroupUse;

/*
 * Fill in a membership from the arguments: checks them, opens the topics to be read,
 * and the group.  Raises for what is not valid.  False if the group is being made by
 * another transaction, which has not ended.
 */
extern bool sl_group_args_read(FunctionCallInfo fcinfo, const SlGroupArgs *args,
							   SlGroupUse use, SlMembership *membership);

/*
 * The topics that are named, not null: an array, or a text, which is a name, or an
 * array as a literal: no name has a brace, and a list without a type is taken for a
 * text.  Raises for a malformed one.
 */
extern ArrayType *sl_group_args_topics(FunctionCallInfo fcinfo, int arg,
									   bool is_list);

/* Null or an offset reset policy; the default is given. */
extern SlResetPolicy sl_group_args_reset_policy(FunctionCallInfo fcinfo, int arg,
												SlResetPolicy default_policy);

/* A member_id, or NULL for a null; raises for what cannot be one. */
extern char *sl_group_args_member_id(FunctionCallInfo fcinfo, int arg);

/* A text that may be null, as a palloc'd string */
extern char *sl_group_args_text(FunctionCallInfo fcinfo, int arg);

/* An interval as milliseconds (a month is 30 days), not negative; null is 0. */
extern int64 sl_group_args_interval(FunctionCallInfo fcinfo, int arg,
									const char *function, const char *name);

/*
 * The one of to_offset, to_time, to_position (with_shift: and shift_by) that is given;
 * they stand side by side.
 */
extern SlSeekTarget sl_group_args_target(FunctionCallInfo fcinfo, int arg,
										 bool with_shift);

/* Raise for a null. */
extern void sl_group_args_not_null(FunctionCallInfo fcinfo, int arg,
								   const char *function, const char *name);

#endif							/* SL_GROUP_ARGS_H */
