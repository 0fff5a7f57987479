/*
 * ours.h
 *		Which relations are ours.
 */
#ifndef SL_OURS_H
#define SL_OURS_H

typedef enum SlOurs
{
	SL_NOT_OURS,
	SL_TOPIC_TABLE,				/* topic.<name> */
	SL_TOPIC_TEXT,				/* topic_text.<name> */
	SL_SEGMENT_TABLE			/* a segment, or what is left of a dropped
								 * topic */
} SlOurs;

/* What a relation is to us.  No lock, no privilege; raises nothing. */
extern SlOurs sl_ours(Oid relation);

/* Let a trigger of ours on a view fire always; ALTER TABLE would not. */
extern void sl_ours_enable_always(Oid view, const char *trigger);

#endif							/* SL_OURS_H */
