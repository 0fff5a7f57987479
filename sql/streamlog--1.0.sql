/* sql/streamlog--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION streamlog" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;

/*
 * Schemas, all of them made here and so ours: who owned one that was there before
 * could put a table of his into the place of one of ours.
 *
 * streamlog holds the functions, the views and our own tables;
 * topic holds one table per topic, the object that privileges are granted on;
 * topic_text holds a view of each, with keys, values and headers as text;
 * streamlog_segment holds the tables that the records are stored in, which
 * nobody but us needs to name.
 */
CREATE SCHEMA streamlog;
REVOKE ALL ON SCHEMA streamlog FROM PUBLIC;
COMMENT ON SCHEMA streamlog IS 'streamlog: functions and views';

CREATE SCHEMA topic;
REVOKE ALL ON SCHEMA topic FROM PUBLIC;
COMMENT ON SCHEMA topic IS 'streamlog: one table per topic; CREATE here allows create_topic()';

CREATE SCHEMA topic_text;
REVOKE ALL ON SCHEMA topic_text FROM PUBLIC;
COMMENT ON SCHEMA topic_text IS 'streamlog: a view of each topic as text; needs the privileges on the topic''s table';

CREATE SCHEMA streamlog_segment;
REVOKE ALL ON SCHEMA streamlog_segment FROM PUBLIC;
COMMENT ON SCHEMA streamlog_segment IS 'streamlog: the tables that the records of all topics are stored in';

GRANT USAGE ON SCHEMA streamlog, topic, topic_text TO PUBLIC;

/* Types */

CREATE TYPE streamlog.header AS (
	key pg_catalog.text,
	value pg_catalog.bytea
);
COMMENT ON TYPE streamlog.header IS 'a header of a record: a key and a value that may be null';

/* A segment's columns first, in a segment's order: fetch copies tuple bodies. */
CREATE TYPE streamlog.log_record AS (
	record_offset pg_catalog.int8,
	"timestamp" pg_catalog.timestamptz,
	partition pg_catalog.int4,
	key pg_catalog.bytea,
	value pg_catalog.bytea,
	headers streamlog.header[],
	topic pg_catalog.text
);
COMMENT ON TYPE streamlog.log_record IS 'a record as it is read';

CREATE TYPE streamlog.record_metadata AS (
	topic pg_catalog.text,
	partition pg_catalog.int4,
	record_offset pg_catalog.int8,
	"timestamp" pg_catalog.timestamptz
);
COMMENT ON TYPE streamlog.record_metadata IS 'where a produced record went';

/*
 * Tables.  All access goes through functions and views; nothing here is
 * written per record.
 */
CREATE SEQUENCE streamlog.topic_id_seq AS pg_catalog.int4;
REVOKE ALL ON SEQUENCE streamlog.topic_id_seq FROM PUBLIC;

CREATE TABLE streamlog.topic (
	topic_id pg_catalog.int4 PRIMARY KEY,
	name pg_catalog.text COLLATE "C" NOT NULL,
	relation pg_catalog.regclass NOT NULL,
	owner pg_catalog.name NOT NULL,
	partitions pg_catalog.int4 NOT NULL CHECK (partitions OPERATOR(pg_catalog.>) 0),
	config pg_catalog.jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(config) OPERATOR(pg_catalog.=) 'object'),
	created pg_catalog.timestamptz NOT NULL,
	dropped pg_catalog.bool NOT NULL
);
REVOKE ALL ON TABLE streamlog.topic FROM PUBLIC;
COMMENT ON TABLE streamlog.topic IS 'one row per topic; a dropped one stays until the worker has removed its segments';
-- two living topics may not differ in dots and underscores only, as in Kafka
CREATE UNIQUE INDEX topic_name_collision ON streamlog.topic
	(pg_catalog.replace(name, '.', '_')) WHERE NOT dropped;
CREATE INDEX topic_name ON streamlog.topic (name);

CREATE TABLE streamlog.partition (
	topic_id pg_catalog.int4 NOT NULL,
	partition pg_catalog.int4 NOT NULL,
	log_start_offset pg_catalog.int8 NOT NULL CHECK (log_start_offset OPERATOR(pg_catalog.>=) 0),
	PRIMARY KEY (topic_id, partition)
);
REVOKE ALL ON TABLE streamlog.partition FROM PUBLIC;
COMMENT ON TABLE streamlog.partition IS 'one row per partition of a topic';

/*
 * A segment holds the offsets from base up to the base of the next one.  bytes
 * and the two timestamps are known once it is sealed, that is, has a successor.
 */
CREATE TABLE streamlog.segment (
	topic_id pg_catalog.int4 NOT NULL,
	partition pg_catalog.int4 NOT NULL,
	base pg_catalog.int8 NOT NULL CHECK (base OPERATOR(pg_catalog.>=) 0),
	relation pg_catalog.regclass NOT NULL,
	min_timestamp pg_catalog.timestamptz,
	max_timestamp pg_catalog.timestamptz,
	bytes pg_catalog.int8,
	PRIMARY KEY (topic_id, partition, base)
);
REVOKE ALL ON TABLE streamlog.segment FROM PUBLIC;
COMMENT ON TABLE streamlog.segment IS 'which offsets of a partition are in which table';

/*
 * The time index: for every MB (chunk) of a segment that is full, the smallest
 * and the largest timestamp from the segment's beginning up to its end.  A cache
 * that the worker fills; readers scan what it lacks.
 */
CREATE TABLE streamlog.segment_time (
	relation pg_catalog.oid NOT NULL,
	chunk pg_catalog.int4 NOT NULL,
	file pg_catalog.oid NOT NULL,
	min_timestamp pg_catalog.timestamptz NOT NULL,
	max_timestamp pg_catalog.timestamptz NOT NULL,
	PRIMARY KEY (relation, chunk)
);
REVOKE ALL ON TABLE streamlog.segment_time FROM PUBLIC;
COMMENT ON TABLE streamlog.segment_time IS 'the smallest and the largest timestamp up to the end of each MB of a segment';

/*
 * Which topics were made here, and which came with a dump and may not be all there
 * yet.  Alone of our tables it is not marked to be dumped: pg_dump leaves its rows
 * behind, pg_upgrade and physical copies keep them.
 */
CREATE TABLE streamlog.local_topic (
	topic_id pg_catalog.int4 PRIMARY KEY
);
REVOKE ALL ON TABLE streamlog.local_topic FROM PUBLIC;
COMMENT ON TABLE streamlog.local_topic IS 'the topics that are in use: made here, or restored from a dump and found in order by finish_restore()';

/* Consumer groups */
CREATE SEQUENCE streamlog.group_id_seq AS pg_catalog.int4;
REVOKE ALL ON SEQUENCE streamlog.group_id_seq FROM PUBLIC;

CREATE TABLE streamlog.consumer_group (
	group_id pg_catalog.int4 PRIMARY KEY,
	name pg_catalog.text COLLATE "C" NOT NULL UNIQUE,
	owner pg_catalog.name NOT NULL,
	created pg_catalog.timestamptz NOT NULL,
	last_used pg_catalog.timestamptz NOT NULL
);
REVOKE ALL ON TABLE streamlog.consumer_group FROM PUBLIC;
COMMENT ON TABLE streamlog.consumer_group IS 'one row per consumer group; last_used is renewed once an hour while it has members';

/*
 * Who owns which group.  owner in consumer_group is for a dump, to be restored where
 * roles have other OIDs; here it is a role and not a name, so that who is given the
 * name of a role that is gone does not own its groups.  Not marked to be dumped: a group
 * without a row came from a dump, see local_topic.
 */
CREATE TABLE streamlog.local_group (
	group_id pg_catalog.int4 PRIMARY KEY,
	owner pg_catalog.oid NOT NULL
);
REVOKE ALL ON TABLE streamlog.local_group FROM PUBLIC;
COMMENT ON TABLE streamlog.local_group IS 'the owner of each group that was made here, or taken into use by finish_restore()';

/*
 * Written at each commit of a consumer, in place as far as possible (HOT).  The index
 * is not unique: a unique one would look at every dead version at each insertion; the
 * ownership lock keeps the rows apart.  Eight columns: a ninth would make each row,
 * of which metadata is null as a rule, 8 bytes longer.
 */
CREATE TABLE streamlog.committed_offset (
	next_offset pg_catalog.int8 NOT NULL,
	group_id pg_catalog.int4 NOT NULL,
	topic_id pg_catalog.int4 NOT NULL,
	partition pg_catalog.int4 NOT NULL,
	epoch pg_catalog.int4 NOT NULL,
	topic_partitions pg_catalog.int4 NOT NULL,
	member pg_catalog.text COLLATE "C" NOT NULL,
	metadata pg_catalog.text
) WITH (fillfactor = 85);
REVOKE ALL ON TABLE streamlog.committed_offset FROM PUBLIC;
COMMENT ON TABLE streamlog.committed_offset IS 'how far each group has got with each partition, and which member was handed it last';
CREATE INDEX committed_offset_key ON streamlog.committed_offset (group_id, topic_id, partition);

SELECT pg_catalog.pg_extension_config_dump('streamlog.topic_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.topic', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.partition', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.segment', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.group_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.consumer_group', '');
SELECT pg_catalog.pg_extension_config_dump('streamlog.committed_offset', '');

/* Topics */

CREATE FUNCTION streamlog.create_topic(
	topic pg_catalog.text,
	partitions pg_catalog.int4 DEFAULT 1,
	replication_factor pg_catalog.int4 DEFAULT 1,
	config pg_catalog.jsonb DEFAULT '{}',
	if_not_exists pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_create_topic';
COMMENT ON FUNCTION streamlog.create_topic(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.bool)
IS 'create a topic; needs CREATE on schema topic';

CREATE FUNCTION streamlog.alter_topic(
	topic pg_catalog.text,
	partitions pg_catalog.int4 DEFAULT NULL,
	config pg_catalog.jsonb DEFAULT NULL,
	owner pg_catalog.name DEFAULT NULL)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_alter_topic';
COMMENT ON FUNCTION streamlog.alter_topic(pg_catalog.text, pg_catalog.int4, pg_catalog.jsonb, pg_catalog.name)
IS 'raise the number of partitions of a topic to a new total, change its configs, its owner';

CREATE FUNCTION streamlog.drop_topic(
	topic pg_catalog.text,
	if_exists pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_drop_topic';
COMMENT ON FUNCTION streamlog.drop_topic(pg_catalog.text, pg_catalog.bool)
IS 'drop a topic and all its records';

CREATE FUNCTION streamlog.describe_topic(
	topic pg_catalog.text,
	OUT config pg_catalog.text,
	OUT value pg_catalog.text,
	OUT source pg_catalog.text,
	OUT meaning pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'streamlog_describe_topic';
COMMENT ON FUNCTION streamlog.describe_topic(pg_catalog.text)
IS 'every config of a topic: its value, whether the topic or the default says so, and what it means';

CREATE FUNCTION streamlog.delete_records(
	topic pg_catalog.text,
	partition pg_catalog.int4 DEFAULT NULL,
	before_offset pg_catalog.int8 DEFAULT NULL,
	OUT partition pg_catalog.int4,
	OUT start_offset pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_delete_records';
COMMENT ON FUNCTION streamlog.delete_records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8)
IS 'delete the records of a partition, or of all, before an offset, or all that can be read; returns where each then starts';

CREATE FUNCTION streamlog.check_topic(
	topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT segment pg_catalog.regclass,
	OUT base_offset pg_catalog.int8,
	OUT records pg_catalog.int8,
	OUT problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_check_topic';
COMMENT ON FUNCTION streamlog.check_topic(pg_catalog.text)
IS 'read a whole topic and prove its order: a row per segment, and one per problem';

CREATE FUNCTION streamlog.finish_restore(
	OUT topic pg_catalog.text,
	OUT segments_rewritten pg_catalog.int4,
	OUT problem pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_finish_restore';
COMMENT ON FUNCTION streamlog.finish_restore()
IS 'check the topics that were restored from a dump, and make those in order ready for use: a row for each';

/* Produce */

CREATE FUNCTION streamlog.produce(
	topic pg_catalog.text,
	key pg_catalog.text,
	value pg_catalog.text,
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce';

CREATE FUNCTION streamlog.produce(
	topic pg_catalog.text,
	key pg_catalog.anyelement,
	value pg_catalog.text,
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce';

CREATE FUNCTION streamlog.produce(
	topic pg_catalog.text,
	key pg_catalog.text,
	value pg_catalog.anycompatible,
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce';

CREATE FUNCTION streamlog.produce(
	topic pg_catalog.text,
	key pg_catalog.anyelement,
	value pg_catalog.anycompatible,
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce';

COMMENT ON FUNCTION streamlog.produce(pg_catalog.text, pg_catalog.text, pg_catalog.text, streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce a record in this transaction; returns its offset, or null where that is known only at commit';
COMMENT ON FUNCTION streamlog.produce(pg_catalog.text, pg_catalog.anyelement, pg_catalog.text, streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce a record in this transaction; returns its offset, or null where that is known only at commit';
COMMENT ON FUNCTION streamlog.produce(pg_catalog.text, pg_catalog.text, pg_catalog.anycompatible, streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce a record in this transaction; returns its offset, or null where that is known only at commit';
COMMENT ON FUNCTION streamlog.produce(pg_catalog.text, pg_catalog.anyelement, pg_catalog.anycompatible, streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce a record in this transaction; returns its offset, or null where that is known only at commit';

CREATE FUNCTION streamlog.produce_batch(
	topic pg_catalog.text,
	keys pg_catalog.text[],
	record_values pg_catalog.text[],
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS SETOF streamlog.record_metadata
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'streamlog_produce_batch';
COMMENT ON FUNCTION streamlog.produce_batch(pg_catalog.text, pg_catalog.text[], pg_catalog.text[], streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce one record per value, and return where they went if that is known before commit; keys may be null; headers, partition and record_time are given to every record';

CREATE FUNCTION streamlog.produce_batch_bytes(
	topic pg_catalog.text,
	keys pg_catalog.bytea[],
	record_values pg_catalog.bytea[],
	headers streamlog.header[] DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	record_time pg_catalog.timestamptz DEFAULT NULL)
RETURNS SETOF streamlog.record_metadata
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'streamlog_produce_batch';
COMMENT ON FUNCTION streamlog.produce_batch_bytes(pg_catalog.text, pg_catalog.bytea[], pg_catalog.bytea[], streamlog.header[], pg_catalog.int4, pg_catalog.timestamptz)
IS 'produce_batch() for keys and values that are bytes';

CREATE FUNCTION streamlog.flush()
RETURNS SETOF streamlog.record_metadata
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_flush';
COMMENT ON FUNCTION streamlog.flush()
IS 'append what this transaction has produced now, and return where it went';

CREATE FUNCTION streamlog.pending_records()
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_pending_records';
COMMENT ON FUNCTION streamlog.pending_records()
IS 'what this transaction has produced and not appended yet; these records have no offset so far';

CREATE FUNCTION streamlog.produce_changes()
RETURNS pg_catalog.trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce_changes';
COMMENT ON FUNCTION streamlog.produce_changes()
IS 'trigger function: produce_changes(''topic'' [, ''key column'' [, ''tombstone'']]), AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW, produces what becomes of a row';

CREATE FUNCTION streamlog.headers(headers pg_catalog.jsonb)
RETURNS streamlog.header[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'streamlog_headers';
COMMENT ON FUNCTION streamlog.headers(pg_catalog.jsonb)
IS 'headers from {"key": value, ...} or, in order and with duplicates, [{"key": value}, ...]';

CREATE FUNCTION streamlog.partition_for(topic pg_catalog.text, key pg_catalog.text)
RETURNS pg_catalog.int4
LANGUAGE c STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_partition_for';
COMMENT ON FUNCTION streamlog.partition_for(pg_catalog.text, pg_catalog.text)
IS 'the partition that a record with this key goes to; null for a null key';

CREATE FUNCTION streamlog.partition_for(topic pg_catalog.text, key pg_catalog.anyelement)
RETURNS pg_catalog.int4
LANGUAGE c STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_partition_for';
COMMENT ON FUNCTION streamlog.partition_for(pg_catalog.text, pg_catalog.anyelement)
IS 'the partition that a record with this key goes to; null for a null key';

/* Read */

CREATE FUNCTION streamlog.fetch_records(
	topic pg_catalog.text,
	partition pg_catalog.int4,
	start_offset pg_catalog.int8,
	max_records pg_catalog.int4 DEFAULT 500,
	max_bytes pg_catalog.int4 DEFAULT 1048576,
	max_wait pg_catalog.interval DEFAULT '0')
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 500
AS 'MODULE_PATHNAME', 'streamlog_fetch_records';
COMMENT ON FUNCTION streamlog.fetch_records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.int4, pg_catalog.int4, pg_catalog.interval)
IS 'the records of a partition from an offset on, waiting up to max_wait for the first';

CREATE PROCEDURE streamlog.wait_for_records(
	topics pg_catalog.text,
	consumer_group pg_catalog.text DEFAULT NULL,
	max_wait pg_catalog.interval DEFAULT '1 hour',
	member_id pg_catalog.text DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'streamlog_wait_for_records';
COMMENT ON PROCEDURE streamlog.wait_for_records(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text)
IS 'wait until a topic has records for the caller, without holding a snapshot';

CREATE PROCEDURE streamlog.wait_for_records(
	topics pg_catalog.text[],
	consumer_group pg_catalog.text DEFAULT NULL,
	max_wait pg_catalog.interval DEFAULT '1 hour',
	member_id pg_catalog.text DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'streamlog_wait_for_records_array';
COMMENT ON PROCEDURE streamlog.wait_for_records(pg_catalog.text[], pg_catalog.text, pg_catalog.interval, pg_catalog.text)
IS 'wait until any of some topics has records for the caller, without holding a snapshot';

CREATE FUNCTION streamlog.records(
	topic pg_catalog.text,
	partition pg_catalog.int4 DEFAULT NULL,
	from_offset pg_catalog.int8 DEFAULT NULL,
	before_offset pg_catalog.int8 DEFAULT NULL)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100000
AS 'MODULE_PATHNAME', 'streamlog_records';
COMMENT ON FUNCTION streamlog.records(pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8)
IS 'the log of a topic, or of one partition, as a relation: all that a consumer could read now';

CREATE FUNCTION streamlog.tail(
	topic pg_catalog.text,
	n pg_catalog.int4 DEFAULT 10)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_tail';
COMMENT ON FUNCTION streamlog.tail(pg_catalog.text, pg_catalog.int4)
IS 'the last n records of a topic, over all partitions, the latest last';

CREATE FUNCTION streamlog.offset_for_time(
	topic pg_catalog.text,
	partition pg_catalog.int4,
	record_time pg_catalog.timestamptz)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_offset_for_time';
COMMENT ON FUNCTION streamlog.offset_for_time(pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz)
IS 'the first offset whose record is not older than this time; null if there is none';

CREATE FUNCTION streamlog.start_offset(topic pg_catalog.text, partition pg_catalog.int4)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_start_offset';
COMMENT ON FUNCTION streamlog.start_offset(pg_catalog.text, pg_catalog.int4)
IS 'the oldest offset that can be read';

CREATE FUNCTION streamlog.end_offset(topic pg_catalog.text, partition pg_catalog.int4)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_end_offset';
COMMENT ON FUNCTION streamlog.end_offset(pg_catalog.text, pg_catalog.int4)
IS 'one more than the last offset that can be read';

/* Consume */

CREATE FUNCTION streamlog.consume(
	topics pg_catalog.text DEFAULT NULL,
	consumer_group pg_catalog.text DEFAULT NULL,
	max_records pg_catalog.int4 DEFAULT 500,
	max_wait pg_catalog.interval DEFAULT '0',
	max_bytes pg_catalog.int4 DEFAULT 1048576,
	topic_pattern pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	assignor pg_catalog.text DEFAULT NULL,
	auto_offset_reset pg_catalog.text DEFAULT NULL,
	max_poll_interval pg_catalog.interval DEFAULT NULL)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 500
AS 'MODULE_PATHNAME', 'streamlog_consume';

CREATE FUNCTION streamlog.consume(
	topics pg_catalog.text[],
	consumer_group pg_catalog.text DEFAULT NULL,
	max_records pg_catalog.int4 DEFAULT 500,
	max_wait pg_catalog.interval DEFAULT '0',
	max_bytes pg_catalog.int4 DEFAULT 1048576,
	topic_pattern pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	assignor pg_catalog.text DEFAULT NULL,
	auto_offset_reset pg_catalog.text DEFAULT NULL,
	max_poll_interval pg_catalog.interval DEFAULT NULL)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 500
AS 'MODULE_PATHNAME', 'streamlog_consume_list';

CREATE FUNCTION streamlog.poll(
	topics pg_catalog.text DEFAULT NULL,
	consumer_group pg_catalog.text DEFAULT NULL,
	max_records pg_catalog.int4 DEFAULT 500,
	max_wait pg_catalog.interval DEFAULT '0',
	max_bytes pg_catalog.int4 DEFAULT 1048576,
	topic_pattern pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	assignor pg_catalog.text DEFAULT NULL,
	auto_offset_reset pg_catalog.text DEFAULT NULL,
	max_poll_interval pg_catalog.interval DEFAULT NULL)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 500
AS 'MODULE_PATHNAME', 'streamlog_poll';

CREATE FUNCTION streamlog.poll(
	topics pg_catalog.text[],
	consumer_group pg_catalog.text DEFAULT NULL,
	max_records pg_catalog.int4 DEFAULT 500,
	max_wait pg_catalog.interval DEFAULT '0',
	max_bytes pg_catalog.int4 DEFAULT 1048576,
	topic_pattern pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	assignor pg_catalog.text DEFAULT NULL,
	auto_offset_reset pg_catalog.text DEFAULT NULL,
	max_poll_interval pg_catalog.interval DEFAULT NULL)
RETURNS SETOF streamlog.log_record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 500
AS 'MODULE_PATHNAME', 'streamlog_poll_list';

COMMENT ON FUNCTION streamlog.consume(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.interval, pg_catalog.int4, pg_catalog.text, pg_catalog.int4[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.interval)
IS 'the next records for this session, or for its share of a consumer group; their offsets are committed with the transaction, or by the next consume()';
COMMENT ON FUNCTION streamlog.consume(pg_catalog.text[], pg_catalog.text, pg_catalog.int4, pg_catalog.interval, pg_catalog.int4, pg_catalog.text, pg_catalog.int4[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.interval)
IS 'the next records for this session, or for its share of a consumer group; their offsets are committed with the transaction, or by the next consume()';
COMMENT ON FUNCTION streamlog.poll(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.interval, pg_catalog.int4, pg_catalog.text, pg_catalog.int4[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.interval)
IS 'the next records for the caller''s share of a consumer group; only commit_offsets() commits their offsets';
COMMENT ON FUNCTION streamlog.poll(pg_catalog.text[], pg_catalog.text, pg_catalog.int4, pg_catalog.interval, pg_catalog.int4, pg_catalog.text, pg_catalog.int4[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.interval)
IS 'the next records for the caller''s share of a consumer group; only commit_offsets() commits their offsets';

CREATE FUNCTION streamlog.commit_offsets(
	topics pg_catalog.text DEFAULT NULL,
	consumer_group pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	next_offsets pg_catalog.int8[] DEFAULT NULL,
	metadata pg_catalog.text DEFAULT NULL,
	topic_pattern pg_catalog.text DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	OUT topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT next_offset pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_commit_offsets';
COMMENT ON FUNCTION streamlog.commit_offsets(pg_catalog.text, pg_catalog.text, pg_catalog.int4[], pg_catalog.int8[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text)
IS 'commit the offsets of all that this session was handed, or given ones, with this transaction';

CREATE FUNCTION streamlog.commit_offsets(
	topics pg_catalog.text[],
	consumer_group pg_catalog.text DEFAULT NULL,
	partitions pg_catalog.int4[] DEFAULT NULL,
	next_offsets pg_catalog.int8[] DEFAULT NULL,
	metadata pg_catalog.text DEFAULT NULL,
	topic_pattern pg_catalog.text DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	OUT topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT next_offset pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_commit_offsets_list';
COMMENT ON FUNCTION streamlog.commit_offsets(pg_catalog.text[], pg_catalog.text, pg_catalog.int4[], pg_catalog.int8[], pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text)
IS 'commit the offsets of all that this session was handed, or given ones, with this transaction';

CREATE FUNCTION streamlog.seek(
	topic pg_catalog.text,
	consumer_group pg_catalog.text DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	to_offset pg_catalog.int8 DEFAULT NULL,
	to_time pg_catalog.timestamptz DEFAULT NULL,
	to_position pg_catalog.text DEFAULT NULL,
	member_id pg_catalog.text DEFAULT NULL,
	instance_id pg_catalog.text DEFAULT NULL,
	OUT topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT next_offset pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_seek';
COMMENT ON FUNCTION streamlog.seek(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int8, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text, pg_catalog.text)
IS 'go on reading elsewhere, in a partition or in all that are assigned to the caller';

CREATE FUNCTION streamlog.next_offset(
	topic pg_catalog.text,
	consumer_group pg_catalog.text,
	partition pg_catalog.int4,
	member_id pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_next_offset';
COMMENT ON FUNCTION streamlog.next_offset(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.text)
IS 'the offset that the caller''s next consume() or poll() begins with; null if that is not decided yet; a null consumer_group is this session by itself';

CREATE FUNCTION streamlog.leave(
	consumer_group pg_catalog.text,
	member_id pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_leave';
COMMENT ON FUNCTION streamlog.leave(pg_catalog.text, pg_catalog.text)
IS 'leave a consumer group at once, committing nothing; false if the caller was no member';

/* Consumer groups, from outside */

CREATE FUNCTION streamlog.committed_offsets(
	consumer_group pg_catalog.text,
	topic pg_catalog.text DEFAULT NULL,
	OUT topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT next_offset pg_catalog.int8,
	OUT metadata pg_catalog.text,
	OUT member pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_committed_offsets';
COMMENT ON FUNCTION streamlog.committed_offsets(pg_catalog.text, pg_catalog.text)
IS 'the committed offsets of a consumer group, of one topic or of all that can be read';

CREATE FUNCTION streamlog.reset_offsets(
	consumer_group pg_catalog.text,
	topic pg_catalog.text,
	to_offset pg_catalog.int8 DEFAULT NULL,
	to_time pg_catalog.timestamptz DEFAULT NULL,
	to_position pg_catalog.text DEFAULT NULL,
	shift_by pg_catalog.int8 DEFAULT NULL,
	partition pg_catalog.int4 DEFAULT NULL,
	dry_run pg_catalog.bool DEFAULT true,
	OUT topic pg_catalog.text,
	OUT partition pg_catalog.int4,
	OUT current_offset pg_catalog.int8,
	OUT new_offset pg_catalog.int8,
	OUT applied pg_catalog.bool)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'streamlog_reset_offsets';
COMMENT ON FUNCTION streamlog.reset_offsets(pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.int8, pg_catalog.int4, pg_catalog.bool)
IS 'show where the offsets of a consumer group without active members would be put, and (dry_run => false) put them there';

CREATE FUNCTION streamlog.delete_offsets(
	consumer_group pg_catalog.text,
	topic pg_catalog.text,
	partition pg_catalog.int4 DEFAULT NULL)
RETURNS pg_catalog.int4
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_delete_offsets';
COMMENT ON FUNCTION streamlog.delete_offsets(pg_catalog.text, pg_catalog.text, pg_catalog.int4)
IS 'delete the committed offsets of a topic from a consumer group without active members; how many there were';

CREATE FUNCTION streamlog.delete_group(consumer_group pg_catalog.text)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_delete_group';
COMMENT ON FUNCTION streamlog.delete_group(pg_catalog.text)
IS 'delete a consumer group without active members, and its offsets';

CREATE FUNCTION streamlog.kick_member(
	consumer_group pg_catalog.text,
	member pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_kick_member';
COMMENT ON FUNCTION streamlog.kick_member(pg_catalog.text, pg_catalog.text)
IS 'put a member out of a consumer group, by its name or its instance_id; false if there is none';

CREATE FUNCTION streamlog.alter_group(
	consumer_group pg_catalog.text,
	owner pg_catalog.name)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_alter_group';
COMMENT ON FUNCTION streamlog.alter_group(pg_catalog.text, pg_catalog.name)
IS 'give a consumer group to another role';

/* Text */

CREATE FUNCTION streamlog.as_text(bytes pg_catalog.bytea)
RETURNS pg_catalog.text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'streamlog_as_text';
COMMENT ON FUNCTION streamlog.as_text(pg_catalog.bytea)
IS 'the text that a key, a value or a header value holds as UTF-8';

CREATE FUNCTION streamlog.as_json(bytes pg_catalog.bytea)
RETURNS pg_catalog.jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'streamlog_as_json';
COMMENT ON FUNCTION streamlog.as_json(pg_catalog.bytea)
IS 'the JSON that a key, a value or a header value holds as UTF-8';

CREATE FUNCTION streamlog.show_text(bytes pg_catalog.bytea)
RETURNS pg_catalog.text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'streamlog_show_text';
COMMENT ON FUNCTION streamlog.show_text(pg_catalog.bytea)
IS 'as_text() for people: bytes that are not text are shown as hexadecimal digits';

CREATE FUNCTION streamlog.show_headers(headers streamlog.header[])
RETURNS pg_catalog.jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'streamlog_show_headers';
COMMENT ON FUNCTION streamlog.show_headers(streamlog.header[])
IS 'headers as JSON from which headers() would make them: {"key": value, ...}, or, with duplicates, [{"key": value}, ...]';

/*
 * Behind the topics' tables and the views.  None of these is for users: the
 * trigger functions make INSERT and COPY into a topic's table and its text view
 * produce, and refuse what else SQL would do to it.  The others show what is in
 * shared memory and are called by the views; a view's functions run as whoever
 * queries it, so each of them checks for itself what that role may see.
 */
CREATE FUNCTION streamlog.produce_row()
RETURNS pg_catalog.trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce_row';
REVOKE ALL ON FUNCTION streamlog.produce_row() FROM PUBLIC;
COMMENT ON FUNCTION streamlog.produce_row()
IS 'trigger function: produces the rows that are inserted into the table of a topic';

CREATE FUNCTION streamlog.produce_text()
RETURNS pg_catalog.trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_produce_text';
REVOKE ALL ON FUNCTION streamlog.produce_text() FROM PUBLIC;
COMMENT ON FUNCTION streamlog.produce_text()
IS 'trigger function: produces the rows that are inserted into the text view of a topic';

CREATE FUNCTION streamlog.refuse_change()
RETURNS pg_catalog.trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_refuse_change';
REVOKE ALL ON FUNCTION streamlog.refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION streamlog.refuse_change()
IS 'trigger function: refuses UPDATE, DELETE and TRUNCATE on the table of a topic';

CREATE FUNCTION streamlog.partition_end(relation pg_catalog.regclass, partition pg_catalog.int4)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_partition_end';
COMMENT ON FUNCTION streamlog.partition_end(pg_catalog.regclass, pg_catalog.int4)
IS 'the end offset of a partition, for the views';

CREATE FUNCTION streamlog.worker_states(
	OUT pid pg_catalog.int4,
	OUT kind pg_catalog.text,
	OUT database pg_catalog.oid,
	OUT started pg_catalog.timestamptz,
	OUT last_run pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_worker_states';
COMMENT ON FUNCTION streamlog.worker_states()
IS 'the launcher and the database workers, for the view workers';

CREATE FUNCTION streamlog.undecided_states(
	OUT relation pg_catalog.regclass,
	OUT partition pg_catalog.int4,
	OUT pid pg_catalog.int4,
	OUT held_offset pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_undecided_states';
COMMENT ON FUNCTION streamlog.undecided_states()
IS 'transactions with appended records that are not yet decided, for the view undecided_transactions';

CREATE FUNCTION streamlog.member_states(
	OUT group_id pg_catalog.int4,
	OUT assignor pg_catalog.text,
	OUT member pg_catalog.text,
	OUT instance_id pg_catalog.text,
	OUT is_fenced pg_catalog.bool,
	OUT pid pg_catalog.int4,
	OUT last_call pg_catalog.timestamptz,
	OUT topic_id pg_catalog.int4,
	OUT partition pg_catalog.int4,
	OUT is_reader pg_catalog.bool,
	OUT is_target pg_catalog.bool)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_member_states';
COMMENT ON FUNCTION streamlog.member_states()
IS 'the members of consumer groups, and each partition that one reads or is to read, for the views';

CREATE FUNCTION streamlog.lag_states(
	OUT group_id pg_catalog.int4,
	OUT topic_id pg_catalog.int4,
	OUT partition pg_catalog.int4,
	OUT committed_offset pg_catalog.int8,
	OUT end_offset pg_catalog.int8,
	OUT oldest_unconsumed pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'streamlog_lag_states';
COMMENT ON FUNCTION streamlog.lag_states()
IS 'how far each consumer group is with each partition, for the view group_lag';

/*
 * Views.  They show a role the topics that it may read or produce to and the groups
 * of roles that it is a member of, and members of pg_monitor everything.
 */
CREATE FUNCTION streamlog.topic_visible(relation pg_catalog.regclass)
RETURNS pg_catalog.bool
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.pg_has_role('pg_monitor', 'USAGE')
	OR pg_catalog.has_table_privilege(relation, 'SELECT, INSERT');
COMMENT ON FUNCTION streamlog.topic_visible(pg_catalog.regclass)
IS 'whether the views show this topic to the current role';

CREATE FUNCTION streamlog.group_visible(owner pg_catalog.oid)
RETURNS pg_catalog.bool
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.pg_has_role('pg_monitor', 'USAGE')
	OR pg_catalog.pg_has_role(owner, 'USAGE');
COMMENT ON FUNCTION streamlog.group_visible(pg_catalog.oid)
IS 'whether the views show the groups of this owner to the current role';

CREATE VIEW streamlog.topics WITH (security_barrier) AS
SELECT t.name AS topic, t.topic_id, t.relation, t.owner, t.partitions,
	1 AS replication_factor, t.config, t.created
FROM streamlog.topic t
WHERE NOT t.dropped AND streamlog.topic_visible(t.relation);
COMMENT ON VIEW streamlog.topics IS 'the topics of this database';
GRANT SELECT ON streamlog.topics TO PUBLIC;

CREATE VIEW streamlog.partitions WITH (security_barrier) AS
SELECT t.name AS topic, p.partition, p.log_start_offset AS start_offset,
	streamlog.partition_end(t.relation, p.partition) AS end_offset,
	s.segments, s.bytes
FROM streamlog.topic t
JOIN streamlog.partition p USING (topic_id)
LEFT JOIN LATERAL (
	SELECT pg_catalog.count(*) AS segments,
		pg_catalog.sum(pg_catalog.pg_table_size(g.relation))::pg_catalog.int8 AS bytes
	FROM streamlog.segment g
	WHERE g.topic_id OPERATOR(pg_catalog.=) p.topic_id
		AND g.partition OPERATOR(pg_catalog.=) p.partition) s ON true
WHERE NOT t.dropped AND streamlog.topic_visible(t.relation);
COMMENT ON VIEW streamlog.partitions IS 'the partitions of every topic: what can be read, and what it takes on disk';
GRANT SELECT ON streamlog.partitions TO PUBLIC;

CREATE VIEW streamlog.segments WITH (security_barrier) AS
SELECT t.name AS topic, g.partition, g.base AS base_offset, g.relation,
	g.bytes IS NULL AS active, g.min_timestamp, g.max_timestamp,
	pg_catalog.pg_table_size(g.relation) AS bytes
FROM streamlog.topic t
JOIN streamlog.segment g USING (topic_id)
WHERE NOT t.dropped AND streamlog.topic_visible(t.relation);
COMMENT ON VIEW streamlog.segments IS 'the segments of every partition; the timestamps are known once a segment is sealed';
GRANT SELECT ON streamlog.segments TO PUBLIC;

CREATE VIEW streamlog.workers WITH (security_barrier) AS
SELECT w.pid, w.kind, d.datname AS database, w.started, w.last_run
FROM streamlog.worker_states() w
LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) w.database;
COMMENT ON VIEW streamlog.workers IS 'the launcher, and the worker of each database';
GRANT SELECT ON streamlog.workers TO PUBLIC;

CREATE VIEW streamlog.undecided_transactions WITH (security_barrier) AS
SELECT t.name AS topic, u.partition, u.held_offset, u.pid, a.usename, a.state,
	a.xact_start
FROM streamlog.undecided_states() u
JOIN streamlog.topic t ON t.relation OPERATOR(pg_catalog.=) u.relation
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) u.pid
WHERE streamlog.topic_visible(t.relation);
COMMENT ON VIEW streamlog.undecided_transactions IS 'who holds readers of a partition back: transactions that have appended records and not ended';
GRANT SELECT ON streamlog.undecided_transactions TO PUBLIC;

CREATE VIEW streamlog.consumer_groups WITH (security_barrier) AS
SELECT g.name AS consumer_group,
	CASE WHEN m.group_id IS NULL THEN 'empty' WHEN m.moves THEN 'rebalancing' ELSE 'stable' END AS state,
	coalesce(r.rolname, g.owner) AS owner, coalesce(m.members, 0) AS members,
	m.assignor, g.created, g.last_used
FROM streamlog.consumer_group g
LEFT JOIN streamlog.local_group l USING (group_id)
LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) l.owner
LEFT JOIN (
	SELECT s.group_id, pg_catalog.min(s.assignor) AS assignor,
		pg_catalog.count(DISTINCT s.member) AS members,
		pg_catalog.bool_or(s.is_reader OPERATOR(pg_catalog.<>) s.is_target) AS moves
	FROM streamlog.member_states() s
	WHERE NOT s.is_fenced
	GROUP BY s.group_id) m USING (group_id)
WHERE streamlog.group_visible(l.owner);
COMMENT ON VIEW streamlog.consumer_groups IS 'the consumer groups of this database; last_used is renewed once an hour while there are members';
GRANT SELECT ON streamlog.consumer_groups TO PUBLIC;

/*
 * Who holds a partition is found by its lock, see offset_row.c; pg_locks shows the fourth
 * field of its tag as a signed number.
 */
CREATE VIEW streamlog.group_members WITH (security_barrier) AS
SELECT g.name AS consumer_group, m.member, m.instance_id,
	CASE WHEN m.is_fenced THEN 'fenced' ELSE 'active' END AS state,
	m.pid, a.usename, a.client_addr AS host, a.application_name AS application,
	m.last_call, m.assignment, m.moving, m.blocked_by, m.blocked_since
FROM (
	SELECT s.group_id, s.member, s.instance_id, s.is_fenced, s.pid, s.last_call,
		coalesce(pg_catalog.array_agg(p.label ORDER BY t.name, s.partition) FILTER (WHERE s.is_reader AND p.label IS NOT NULL), '{}') AS assignment,
		coalesce(pg_catalog.array_agg(p.label ORDER BY t.name, s.partition)
			FILTER (WHERE s.is_reader OPERATOR(pg_catalog.<>) s.is_target AND p.label IS NOT NULL), '{}') AS moving,
		pg_catalog.array_agg(DISTINCT h.pid) FILTER (WHERE h.pid IS NOT NULL) AS blocked_by,
		pg_catalog.min(h.xact_start) AS blocked_since
	FROM streamlog.member_states() s
	LEFT JOIN streamlog.topic t ON t.topic_id OPERATOR(pg_catalog.=) s.topic_id
		AND NOT t.dropped AND streamlog.topic_visible(t.relation)
	LEFT JOIN LATERAL (
		SELECT t.name OPERATOR(pg_catalog.||) '-' OPERATOR(pg_catalog.||) s.partition::pg_catalog.text AS label
		WHERE t.name IS NOT NULL) p ON true
	LEFT JOIN (
		SELECT k.classid, k.objid, k.objsubid::pg_catalog.int4 OPERATOR(pg_catalog.&) 65535 AS objsubid,
			k.pid, b.xact_start
		FROM pg_catalog.pg_locks k
		LEFT JOIN pg_catalog.pg_stat_activity b USING (pid)
		WHERE k.locktype OPERATOR(pg_catalog.=) 'advisory' AND k.granted
			AND k.database OPERATOR(pg_catalog.=) (
				SELECT d.oid FROM pg_catalog.pg_database d
				WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) h
		ON h.classid OPERATOR(pg_catalog.=) s.group_id::pg_catalog.oid
		AND h.objid OPERATOR(pg_catalog.=) s.topic_id::pg_catalog.oid
		AND h.objsubid OPERATOR(pg_catalog.=) (3 OPERATOR(pg_catalog.+) (s.partition OPERATOR(pg_catalog.%) 65533))
		AND h.pid IS DISTINCT FROM s.pid
	GROUP BY s.group_id, s.member, s.instance_id, s.is_fenced, s.pid, s.last_call) m
JOIN streamlog.consumer_group g USING (group_id)
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) m.pid;
COMMENT ON VIEW streamlog.group_members IS 'the members of consumer groups: what each reads, what is to move, and whose open transaction it waits for';
GRANT SELECT ON streamlog.group_members TO PUBLIC;

CREATE VIEW streamlog.group_lag WITH (security_barrier) AS
SELECT g.name AS consumer_group, t.name AS topic, s.partition, s.committed_offset,
	s.end_offset, s.end_offset OPERATOR(pg_catalog.-) s.committed_offset AS lag,
	s.oldest_unconsumed,
	pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.oldest_unconsumed AS age
FROM streamlog.lag_states() s
JOIN streamlog.consumer_group g USING (group_id)
JOIN streamlog.topic t USING (topic_id);
COMMENT ON VIEW streamlog.group_lag IS 'how far each consumer group is behind, in records and in time';
GRANT SELECT ON streamlog.group_lag TO PUBLIC;

/*
 * Whoever creates the extension may have default privileges that give others rights
 * on all that he makes.  None of that is meant for what is above.
 */
DO $$
DECLARE
	command pg_catalog.text;
BEGIN
	FOR command IN
		SELECT pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM %s', n.nspname, r.name)
		FROM pg_catalog.pg_namespace n
		CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
		CROSS JOIN LATERAL (SELECT a.grantee::pg_catalog.regrole::pg_catalog.text) r (name)
		WHERE n.nspname IN ('streamlog', 'topic', 'topic_text', 'streamlog_segment')
			AND a.grantee NOT IN (0, n.nspowner)
		UNION
		SELECT pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', c.oid::pg_catalog.regclass, r.name)
		FROM pg_catalog.pg_class c
		CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
		CROSS JOIN LATERAL (SELECT a.grantee::pg_catalog.regrole::pg_catalog.text) r (name)
		WHERE c.relnamespace = 'streamlog'::pg_catalog.regnamespace
			AND c.relkind IN ('r', 'v', 'S') AND a.grantee NOT IN (0, c.relowner)
	LOOP
		EXECUTE command;
	END LOOP;
END $$;
