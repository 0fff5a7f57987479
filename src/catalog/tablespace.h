/*
 * tablespace.h
 *		The tablespace that a topic's new segments are made in.
 */
#ifndef SL_TABLESPACE_H
#define SL_TABLESPACE_H

/*
 * Raise unless there is such a tablespace, and the current user and the
 * extension's owner may create tables in it.
 */
extern void sl_tablespace_check(const char *name);

/*
 * What CREATE TABLE says for it, palloc'd.  A tablespace that cannot be used is
 * logged and not named, so that the table is made in the database's.
 */
extern char *sl_tablespace_clause(const char *name, const char *topic);

#endif							/* SL_TABLESPACE_H */
