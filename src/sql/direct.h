/*
 * direct.h
 *		Whether a call is the client's statement itself.
 */
#ifndef SL_DIRECT_H
#define SL_DIRECT_H

#include "fmgr.h"

/*
 * Is this call, outside of a transaction block, an item of the target list of
 * the client's SELECT without FROM, or its only FROM item?
 */
extern bool sl_direct_call(FmgrInfo *flinfo);

/* Raise unless records can be produced here. */
extern void sl_direct_check_can_produce(const char *command);

#endif							/* SL_DIRECT_H */
