/*
 * interval_arg.h
 *		Arguments that say how long.
 */
#ifndef SL_INTERVAL_ARG_H
#define SL_INTERVAL_ARG_H

#include "datatype/timestamp.h"

/*
 * An interval in ms, at most INT_MAX; a month counts as 30 days.  Raises if it is
 * negative, for this argument of this function ("fetch_records()").
 */
extern long sl_interval_ms(const Interval *interval, const char *argument,
						   const char *function);

#endif							/* SL_INTERVAL_ARG_H */
