/*
 * utility.h
 *		What streamlog has to do when certain commands are run.
 */
#ifndef SL_UTILITY_H
#define SL_UTILITY_H

extern void sl_utility_init(void);

#endif							/* SL_UTILITY_H */
