/*
 * topic_row.h
 *		The rows of topics.
 */
#ifndef SL_TOPIC_ROW_H
#define SL_TOPIC_ROW_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* columns of streamlog.topic */
enum
{
	Anum_topic_id = 1,
	Anum_topic_name,
	Anum_topic_relation,
	Anum_topic_owner,
	Anum_topic_partitions,
	Anum_topic_config,
	Anum_topic_created,
	Anum_topic_dropped
};

/* Raise, for a name that no topic has. */
extern void sl_topic_unknown(const char *name) pg_attribute_noreturn();

/*
 * What a row tells, of living topics and palloc'd.  No lock on the topic, no
 * privilege.
 *
 * The row itself, by name or (name NULL) by the topic's table, from our table, which
 * the caller has opened; NULL if there is none.
 */
extern HeapTuple sl_topic_row(Relation rel, const char *name, Oid relation);

/* The id of the topic with this table; 0 if there is none. */
extern int32 sl_topic_id_by_relation(Oid relation);

extern bool sl_topic_exists(const char *name);

/* The name of a topic and its table by its id; NULL if there is none. */
extern char *sl_topic_name(int32 topic_id, Oid *relation);

/* The id of a topic and its table, which need not be there; false if none. */
extern bool sl_topic_table(const char *name, int32 *topic_id, Oid *relation);

/* How many partitions a topic has, and its table; 0 if there is none. */
extern int32 sl_topic_partitions(const char *name, Oid *relation);

/* The tables of the topics whose row names this owner (NULL: of all). */
extern List *sl_topic_list_owned(const char *owner);

/* The names of the topics that are ready for use and that the current user may read. */
extern List *sl_topic_list_readable(void);

/*
 * Is the topic ready for use?  Not so if it came from a dump and finish_restore()
 * has not found it in order.
 */
extern bool sl_topic_is_local(int32 topic_id);

/*
 * The row's other columns and its changes; the caller holds a lock on the
 * topic's table that excludes another change.
 */
extern Jsonb *sl_topic_config(const char *name);
extern void sl_topic_insert(int32 topic_id, const char *name, Oid relation,
							Oid owner, int32 partitions, Jsonb *config);
extern void sl_topic_update(int32 topic_id, Oid relation, int32 partitions,
							Jsonb *config);
extern void sl_topic_set_owner(int32 topic_id, Oid relation,
							   const char *owner);
extern void sl_topic_rename_owner(const char *before, const char *after);
extern void sl_topic_mark_dropped(int32 topic_id);
extern void sl_topic_delete(int32 topic_id);

/* The topic is ready for use; its table may be missing. */
extern void sl_topic_set_local(int32 topic_id, Oid relation);

#endif							/* SL_TOPIC_ROW_H */
