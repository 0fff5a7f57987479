/*
 * group_ids.h
 *		All consumer groups: who may see which, and which are not used any more.
 */
#ifndef SL_GROUP_IDS_H
#define SL_GROUP_IDS_H

/*
 * The ids of the groups that the views show the current user, ascending and palloc'd:
 * those of whose owner he is a member; a member of pg_monitor sees all.
 */
extern int32 *sl_group_list_visible(int *n);

/* Is the id in such a list? */
extern bool sl_group_is_listed(const int32 *ids, int n, int32 group_id);

/*
 * Note that these groups are in use, where that has not been noted for age (ms).  A row
 * that somebody is changing is left out.
 */
extern void sl_group_renew(const int32 *ids, int n, int64 age);

/*
 * Ids of at most max groups that have not been used for age (ms) and that are ready for
 * use; palloc'd.
 */
extern int32 *sl_group_list_unused(int64 age, int max, int *n);

#endif							/* SL_GROUP_IDS_H */
