/*
 * config.h
 *		The configs of a topic: names, bounds, defaults.
 */
#ifndef SL_CONFIG_H
#define SL_CONFIG_H

#include "utils/jsonb.h"

typedef struct SlTopicConfig
{
	int64		segment_bytes;
	int64		max_message_bytes;
	int64		timestamp_before_max_ms;
	int64		timestamp_after_max_ms;
	bool		log_append_time;	/* message.timestamp.type */
} SlTopicConfig;

/*
 * Lay changes over old (or over nothing, if NULL); null resets a config to its
 * default.  Returns what is to be stored, in palloc'd memory; raises
 * INVALID_CONFIG for whatever is unknown or out of bounds.
 */
extern Jsonb *sl_config_merge(Jsonb *old, Jsonb *changes);

/* The meaning of what is stored, defaults filled in. */
extern void sl_config_read(Jsonb *stored, SlTopicConfig *config);

#endif							/* SL_CONFIG_H */
