/*
 * ours.h
 *		Which relations are ours, and what they are called.
 */
#ifndef SL_OURS_H
#define SL_OURS_H

/* Triggers, all of them ENABLE ALWAYS, on a topic's table; its view has one */
#define SL_TABLE_TRIGGERS	2

/* What is kept of a name that is too long to be a table's, before the hash */
#define SL_NAME_KEPT	(NAMEDATALEN - 1 - 9)

typedef enum SlOurs
{
	SL_NOT_OURS,
	SL_TOPIC_TABLE,				/* topic.<name> */
	SL_TOPIC_TEXT,				/* topic_text.<name> */
	SL_SEGMENT_TABLE			/* a segment, or what is left of a dropped
								 * topic */
} SlOurs;

/*
 * What a relation is to us, which need not be there any more.  No lock on it, no
 * privilege; looks into our tables.
 */
extern SlOurs sl_ours(Oid relation);

/* Let a trigger of ours on a view fire always; ALTER TABLE would not. */
extern void sl_ours_enable_always(Oid view, const char *trigger);

/* The name of a topic's table: its own, or cut and made unique; palloc'd */
extern char *sl_ours_table_name(const char *name);

/* The text view of a topic by its table; InvalidOid if it was dropped by hand */
extern Oid	sl_ours_text_view(Oid relation);

/* The name that it has while a dropped topic is removed; palloc'd */
extern char *sl_ours_dropped_name(int32 topic_id);

#endif							/* SL_OURS_H */
