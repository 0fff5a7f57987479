/*
 * takeover.h
 *		Making tables that came with a dump ours.
 */
#ifndef SL_TAKEOVER_H
#define SL_TAKEOVER_H

#include "catalog/topic.h"

/*
 * What these tell is what a row that came with a dump says of its table.  Such a
 * row holds a bare number where the table was gone when it was dumped, and some
 * other table may have it here.
 */
extern bool sl_takeover_is_topic_table(Oid relation, const char *topic);
extern bool sl_takeover_is_dropped_table(Oid relation, int32 topic_id);

/* If it is neither: the topic has no table, and drop_topic() is to know. */
extern void sl_takeover_clear_table(int32 topic_id);

/* Do a topic's table and its view have the triggers that a dump creates last? */
extern bool sl_takeover_has_triggers(Oid relation);

/*
 * Has a topic's table the columns of a record?  Its segments have the same, and
 * records are written and read past the executor, that is past their types.
 */
extern bool sl_takeover_has_columns(Oid relation);

/*
 * What a topic's table or its view has that create_topic() gives to none: a rule,
 * a trigger, a policy, a constraint, ..., or a table that inherits from it outside
 * the segments' schema.  Who had made a table of that name before the dump came
 * could have put his code there, to run as whoever inserts.  Its description,
 * palloc'd, or NULL.
 */
extern char *sl_takeover_addition(const SlTopic *topic);

/* A partition that there are rows of, but the topic has not; -1 if none. */
extern int32 sl_takeover_stray_partition(const SlTopic *topic);

/*
 * A table of a topic that holds records and is none of its segments, as after
 * the rows of the segments could not be loaded: its name, palloc'd, or NULL.
 */
extern char *sl_takeover_stray_table(const SlTopic *topic);

/*
 * Make the extension's owner the owner of a topic's table, view and segments, as
 * the current user, who needs the right to: a superuser has it.  Takes
 * AccessExclusiveLock on what belongs to another role.  Returns the former owner of
 * the topic's table.
 */
extern Oid	sl_takeover_own(const SlTopic *topic);

/*
 * After it, the privileges: the topic's owner keeps his rights if the table was his,
 * too, and nobody has more than a topic has.
 */
extern void sl_takeover_grants(const SlTopic *topic, Oid former);

/*
 * Rewrite a segment's table in the order of its records; with it goes what is
 * dead in it.  Takes AccessExclusiveLock.
 */
extern void sl_takeover_sort(Oid segment);

#endif							/* SL_TAKEOVER_H */
