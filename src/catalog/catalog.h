/*
 * catalog.h
 *		What all access to our own tables has in common.
 */
#ifndef SL_CATALOG_H
#define SL_CATALOG_H

#define SL_SCHEMA			"streamlog"
#define SL_TOPIC_SCHEMA		"topic"
#define SL_TEXT_SCHEMA		"topic_text"
#define SL_SEGMENT_SCHEMA	"streamlog_segment"

/* Kafka's limit */
#define SL_MAX_TOPIC_NAME	249

/* The OID of one of our tables or indexes; raises if there is none. */
extern Oid	sl_catalog_oid(const char *name);

/* streamlog.header[]; raises if it is not there. */
extern Oid	sl_catalog_headers_type(void);

/* The owner of the extension; InvalidOid if it is not in this database. */
extern Oid	sl_catalog_owner(void);

/*
 * Run one SQL command as the owner of the extension, with a search_path of
 * pg_catalog alone and no setting of the session having a say in what DDL
 * makes.  May raise whatever the command raises.
 *
 * execute_each runs a query that returns commands, and then each of these;
 * fetch_id one that returns one bigint, fetch_text one that returns one
 * text, which is palloc'd, or NULL if it is null.
 */
extern void sl_catalog_execute(const char *command, int nargs, Oid *types,
							   Datum *values);
extern void sl_catalog_execute_each(const char *query, int nargs, Oid *types,
									Datum *values);
extern int64 sl_catalog_fetch_id(const char *query, int nargs, Oid *types,
								 Datum *values);
extern char *sl_catalog_fetch_text(const char *query, int nargs, Oid *types,
								   Datum *values);

/* Is such a command running? */
extern bool sl_catalog_is_running(void);

/*
 * A name as an error shows it, palloc'd: a name may have any length, a message
 * should not.
 */
extern char *sl_clip_name(const char *name);

#endif							/* SL_CATALOG_H */
