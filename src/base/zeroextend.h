/*
 * zeroextend.h
 *		Adding many blocks to a file at once, where PostgreSQL cannot.
 */
#ifndef SL_ZEROEXTEND_H
#define SL_ZEROEXTEND_H

#include "storage/smgr.h"

/*
 * Add n blocks of zeroes behind the nblocks that the main fork has, as
 * smgrzeroextend() of 16 does.  Raises if there is no space, before any of it
 * could be missed later.
 */
extern void sl_zeroextend(SMgrRelation reln, BlockNumber nblocks, int n);

#endif							/* SL_ZEROEXTEND_H */
