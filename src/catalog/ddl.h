/*
 * ddl.h
 *		Making, changing and dropping topics.
 */
#ifndef SL_DDL_H
#define SL_DDL_H

#include "utils/jsonb.h"

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

#endif							/* SL_DDL_H */
