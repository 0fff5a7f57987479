/*
 * owner.h
 *		Who owns a topic: changes of it.
 */
#ifndef SL_OWNER_H
#define SL_OWNER_H

#include "catalog/topic.h"

/*
 * Keep a role's name as it is, or (exclusively) others from storing it, to the end
 * of the transaction.
 */
extern void sl_owner_lock(Oid owner, LOCKMODE lockmode);

/*
 * Raise unless the current user, who has been found to be owner, may make a role
 * the owner, by the rules of ALTER TABLE .. OWNER TO.
 */
extern void sl_owner_check_new(Oid owner);

/*
 * Give a topic from its owner (InvalidOid: from none, see sl_topic_owner()) to
 * another, with the grants.  The caller has locked its table with
 * ShareUpdateExclusiveLock or more.
 */
extern void sl_owner_change(const SlTopic *topic, Oid before, Oid after);

/*
 * Make what the table's owner has granted on a topic the grants of its owner
 * (InvalidOid if there is none), and no more than SELECT and INSERT, and give the owner
 * his own rights.  Locks the table with ShareUpdateExclusiveLock.
 */
extern void sl_owner_take_grants(const SlTopic *topic, Oid owner);

/* What is to be given on: a topic by its table, and its owner */
typedef struct SlOwned
{
	Oid			relation;
	Oid			owner;
} SlOwned;

/*
 * The topics that roles (OIDs) own, a palloc'd List of SlOwned; and to give these
 * to another, each with a lock on its table to the end of the transaction.  A topic
 * that is gone or another's by then is left alone.
 */
extern List *sl_owner_list(List *roles);
extern void sl_owner_reassign(List *owned, Oid after);

/*
 * Take everything from a role that it has been granted on topics, and what it has
 * granted.  Locks the tables of these as sl_owner_reassign() does.
 */
extern void sl_owner_forget(Oid role);

/* Leave nobody any right to a topic; the caller has locked its table. */
extern void sl_owner_forget_all(const SlTopic *topic);

/* A role has been given another name. */
extern void sl_owner_rename(const char *before, const char *after);

#endif							/* SL_OWNER_H */
