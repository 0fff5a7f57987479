/*
 * topic_args.h
 *		The argument that names a topic.
 */
#ifndef SL_TOPIC_ARGS_H
#define SL_TOPIC_ARGS_H

#include "fmgr.h"

#include "catalog/topic.h"

/*
 * Open the topic that a function's first argument names, to be read.  Raises for
 * a null, during recovery, for an unknown topic, and for want of SELECT.
 */
extern SlTopic *sl_open_topic_to_read(FunctionCallInfo fcinfo,
									  const char *function);

/* The same for a name that comes otherwise, and is not null */
extern SlTopic *sl_open_to_read(const char *name, int len);

#endif							/* SL_TOPIC_ARGS_H */
