/*
 * ddl.h
 *		Making, changing and dropping topics.
 */
#ifndef SL_DDL_H
#define SL_DDL_H

#include "utils/jsonb.h"

/* Triggers, all of them ENABLE ALWAYS, on a topic's table; its view has one */
#define SL_TABLE_TRIGGERS	2

/*
 * All of these are transactional, check what the current user may do and raise
 * with Kafka's rules.  partitions 0, config NULL and owner InvalidOid mean no change.
 * create returns false if the topic is there already and if_not_exists is given.
 */
extern bool sl_ddl_create_topic(const char *name, int32 partitions,
								Jsonb *config, bool if_not_exists);
extern void sl_ddl_alter_topic(const char *name, int32 partitions,
							   Jsonb *config, Oid owner);
extern void sl_ddl_drop_topic(const char *name);

/* The name of a topic's table: its own, or cut and made unique; palloc'd */
extern char *sl_ddl_table_name(const char *name);

/* The text view of a topic by its table; InvalidOid if it was dropped by hand */
extern Oid	sl_ddl_text_view(Oid relation);

/* The name that it has while a dropped topic is removed; palloc'd */
extern char *sl_ddl_dropped_name(int32 topic_id);

#endif							/* SL_DDL_H */
