/*
 * notify.h
 *		Notifications of new records, for sessions that LISTEN.
 */
#ifndef SL_NOTIFY_H
#define SL_NOTIFY_H

/*
 * The worker's job: send the notifications that are due, in transactions of its
 * own.  Always false: what is not due is no reason to have another turn at once.
 */
extern bool sl_notify_due(void);

/* How long until one is due (ms); -1 if there is none.  Runs no transaction. */
extern long sl_notify_wait(void);

#endif							/* SL_NOTIFY_H */
