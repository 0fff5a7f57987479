/*
 * notify_switch.h
 *		Topics whose config notify the current transaction changes.
 */
#ifndef SL_NOTIFY_SWITCH_H
#define SL_NOTIFY_SWITCH_H

#include "catalog/topic.h"

/*
 * Note that a topic, with so many partitions now, had notify before and has it from
 * the commit on: shared memory is told then.  The caller holds a lock on the
 * topic's table that excludes another change.  Raises nothing but OOM.
 */
extern void sl_notify_switch(Oid relation, int32 partitions, bool before, bool on);

/*
 * Does a topic have notify, as far as is committed?  Read from its row, since what
 * the cache says may be from before a change that no lock has kept off.
 */
extern bool sl_notify_is_on(const SlTopic *topic);

#endif							/* SL_NOTIFY_SWITCH_H */
