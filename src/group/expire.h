/*
 * expire.h
 *		Putting out members whose time is up, and deleting groups that nobody uses.
 */
#ifndef SL_GROUP_EXPIRE_H
#define SL_GROUP_EXPIRE_H

extern void sl_group_expire_define_gucs(void);

/*
 * The worker's job.  Runs transactions of its own; true if there is more to do at
 * once.
 */
extern bool sl_group_expire_due(void);

#endif							/* SL_GROUP_EXPIRE_H */
