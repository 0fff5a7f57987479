/*
 * expire.h
 *		Dropping segments below the start of their log.
 */
#ifndef SL_EXPIRE_H
#define SL_EXPIRE_H

/*
 * The worker's job: drop segments that hold nothing but deleted records, in
 * transactions of its own.  True if there is more to do at once.
 */
extern bool sl_expire_due(void);

#endif							/* SL_EXPIRE_H */
