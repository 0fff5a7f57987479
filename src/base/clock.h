/*
 * clock.h
 *		A clock that nobody sets.
 */
#ifndef SL_CLOCK_H
#define SL_CLOCK_H

#include "portability/instr_time.h"

/* Milliseconds since some point in the past; for lengths of time in this process. */
static inline int64
sl_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

#endif							/* SL_CLOCK_H */
