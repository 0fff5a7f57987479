/*
 * config.h
 *		The configs of a topic: names, bounds, defaults.
 */
#ifndef SL_CONFIG_H
#define SL_CONFIG_H

#include "utils/jsonb.h"

/* compression.type, in the order of its words */
typedef enum SlCompression
{
	SL_COMPRESSION_PRODUCER,
	SL_COMPRESSION_NONE,
	SL_COMPRESSION_LZ4,
	SL_COMPRESSION_PGLZ
} SlCompression;

/* What of a topic's configs has an effect */
typedef struct SlTopicConfig
{
	int64		segment_bytes;
	int64		max_message_bytes;
	int64		timestamp_before_max_ms;
	int64		timestamp_after_max_ms;
	bool		log_append_time;	/* message.timestamp.type */
	bool		notify;
	uint8		compression;	/* SlCompression */
	NameData	tablespace;		/* of new segments; empty: the database's */
} SlTopicConfig;

/* A config as it is described */
typedef struct SlConfigLine
{
	const char *name;
	char	   *value;			/* NULL if it has none */
	bool		is_default;
	char	   *meaning;
} SlConfigLine;

/*
 * Lay changes over old (or over nothing, if NULL); null resets a config to its
 * default.  Returns what is to be stored, in palloc'd memory: units are resolved,
 * a number is a number.  Raises INVALID_CONFIG for whatever is unknown or out of
 * bounds, and what sl_tablespace_check() does.
 */
extern Jsonb *sl_config_merge(Jsonb *old, Jsonb *changes);

/* Tell about configs among the changes that are stored and do nothing else. */
extern void sl_config_tell(Jsonb *changes);

/*
 * The meaning of what is stored, defaults filled in, also for what cannot be
 * used here: it may have been stored by another server.
 */
extern void sl_config_read(Jsonb *stored, SlTopicConfig *config);

/* The nth config, in the order of names, palloc'd; false if n is too large. */
extern bool sl_config_line(Jsonb *stored, int n, SlConfigLine *line);

#endif							/* SL_CONFIG_H */
