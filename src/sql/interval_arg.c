/*
 * interval_arg.c
 *		Arguments that say how long.
 */
#include "postgres.h"

#include <limits.h>

#include "sql/interval_arg.h"

long
sl_interval_ms(const Interval *interval, const char *argument,
			   const char *function)
{
	double		ms = interval->time / 1000.0 +
	((double) interval->month * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY * 1000.0;

	if (ms < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s is not valid", argument, function),
				 errhint("It must not be negative.")));
	return (long) Min(ms, (double) INT_MAX);
}
