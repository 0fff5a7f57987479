/*
 * role_commands.h
 *		What commands on roles mean for the topics that they own.
 */
#ifndef SL_ROLE_COMMANDS_H
#define SL_ROLE_COMMANDS_H

#include "nodes/parsenodes.h"

/*
 * REASSIGN OWNED: the topics of the roles, before PostgreSQL does its part, and
 * what is to be done with these after it.
 */
extern List *sl_role_owned_topics(ReassignOwnedStmt *statement);
extern void sl_role_reassign(ReassignOwnedStmt *statement, List *owned);

/* DROP OWNED, after it */
extern void sl_role_dropped_owned(DropOwnedStmt *statement);

/* ALTER ROLE .. RENAME, after it */
extern void sl_role_renamed(RenameStmt *statement);

/* GRANT and REVOKE of privileges, after it */
extern void sl_role_granted(GrantStmt *statement);

#endif							/* SL_ROLE_COMMANDS_H */
