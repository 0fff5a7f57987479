--
-- restore: a topic that came with a dump, and what is refused until
-- finish_restore() has found it in order.  Here a topic is made such a one by
-- hand; test/t/110_restore.pl restores dumps.
--
-- Each test names the change to the code that it would notice.
--
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SET allow_system_table_mods = on;

CREATE ROLE regress_streamlog_seller;
CREATE ROLE regress_streamlog_other;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_seller;

-- nothing to be done
SELECT * FROM finish_restore();

SET ROLE regress_streamlog_seller;
SELECT create_topic('sold', 2);
RESET ROLE;
SELECT create_topic('kept');
SELECT produce('sold', 'k', 'v' || i, partition => 0) FROM generate_series(0, 4) i;
SELECT produce('kept', 'k', 'v');
SELECT end_offset('sold', 0);

-- rolled back with the topic
BEGIN;
SELECT create_topic('undone');
SELECT count(*) FROM streamlog.local_topic;
SELECT drop_topic('undone');
SELECT count(*) FROM streamlog.local_topic;
ROLLBACK;

DELETE FROM streamlog.local_topic WHERE topic_id = (SELECT topic_id FROM topics WHERE topic = 'sold');
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;

-- Mutation: do not look in local_topic, or only in sl_topic_open().
SELECT produce('sold', 'k', 'v');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT produce_batch('sold', NULL, ARRAY['v']);
SELECT * FROM fetch_records('sold', 0, 0);
SELECT start_offset('sold', 0);
SELECT end_offset('sold', 0);
SELECT offset_for_time('sold', 0, now());
SELECT alter_topic('sold', 3);
SELECT alter_topic('sold', config => '{"segment.bytes": 2097152}');
INSERT INTO topic.sold (key, value) VALUES ('k', 'v');
INSERT INTO topic_text.sold (key, value) VALUES ('k', 'v');
COPY topic.sold (key, value) FROM STDIN;
k	v
\.
SELECT * FROM records('sold');
SELECT * FROM tail('sold');
SELECT partition_for('sold', 'k');
-- who has no right is told that, and no more
SET ROLE regress_streamlog_other;
SELECT produce('sold', 'k', 'v');
SELECT * FROM check_topic('sold');
SELECT drop_topic('sold');
RESET ROLE;
\set VERBOSITY default
-- others are not concerned
SELECT produce('kept', 'k', 'v');

-- what can be seen; mutation: partition_end() looks at the log
SELECT topic, partitions, owner FROM topics ORDER BY 1;
SELECT topic, partition, start_offset, end_offset FROM partitions ORDER BY 1, 2;
SELECT record_offset, as_text(value) FROM topic.sold;
SELECT partition, base_offset, records, problem FROM check_topic('sold');

-- who may; mutation: no check
SET ROLE regress_streamlog_seller;
SELECT * FROM finish_restore();
RESET ROLE;
BEGIN READ ONLY;
SELECT * FROM finish_restore();
ROLLBACK;

-- once more in use, as far as the transaction goes
BEGIN;
SELECT * FROM finish_restore();
SELECT record_offset FROM fetch_records('sold', 0, 4);
ROLLBACK;
SELECT * FROM fetch_records('sold', 0, 0);

-- What was there before is forgotten.  Mutation: it is not.
SELECT relation AS segment FROM segments WHERE topic = 'sold' AND partition = 0 \gset
INSERT INTO :segment VALUES (9, '2001-01-01', 0, NULL, 'restored', NULL);
SELECT * FROM finish_restore();
SELECT * FROM finish_restore();
SELECT end_offset('sold', 0);
SELECT produce('sold', 'k', 'v10', partition => 0);
SELECT record_offset, as_text(value) FROM fetch_records('sold', 0, 3);

--
-- Out of order: sorted.  Mutation: restore-unsorted.
--
DELETE FROM streamlog.local_topic WHERE topic_id = (SELECT topic_id FROM topics WHERE topic = 'sold');
BEGIN;
CREATE TEMP TABLE saved AS SELECT * FROM :segment;
TRUNCATE :segment;
INSERT INTO :segment SELECT * FROM saved ORDER BY record_offset DESC;
COMMIT;
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT base_offset, records, problem FROM check_topic('sold');
SELECT * FROM finish_restore();
SELECT record_offset, as_text(value) FROM fetch_records('sold', 0, 0);
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = :'segment'::regclass;
SELECT produce('sold', 'k', 'v11', partition => 0);

--
-- Damaged: refused, and the others are not kept from use.  Mutation: enter a topic
-- with a problem.
--
DELETE FROM streamlog.local_topic;
INSERT INTO :segment SELECT * FROM :segment WHERE record_offset = 2;
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT * FROM finish_restore();
SELECT produce('kept', 'k', 'v');
\set VERBOSITY terse
SELECT produce('sold', 'k', 'v');
\set VERBOSITY default
SELECT partition, base_offset, records, problem FROM check_topic('sold');
-- still
SELECT * FROM finish_restore();
-- until it is mended
DELETE FROM :segment WHERE ctid = (SELECT max(ctid) FROM :segment WHERE record_offset = 2);
SELECT * FROM finish_restore();
SELECT produce('sold', 'k', 'v12', partition => 0);
SELECT record_offset, as_text(value) FROM fetch_records('sold', 0, 0);

--
-- Our rows.  Mutation: the check passes over what is not there.
--
DELETE FROM streamlog.local_topic;
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
BEGIN;
DELETE FROM streamlog.partition WHERE partition = 1;
SELECT * FROM finish_restore();
ROLLBACK;
BEGIN;
UPDATE streamlog.partition SET log_start_offset = 3 WHERE partition = 1;
DELETE FROM streamlog.segment WHERE partition = 1;
SELECT * FROM finish_restore();
ROLLBACK;
BEGIN;
DELETE FROM streamlog.segment WHERE partition = 0;
SELECT * FROM finish_restore();
ROLLBACK;
-- one table for two segments.  Mutation: look at each segment alone.
BEGIN;
INSERT INTO streamlog.segment (topic_id, partition, base, relation)
SELECT topic_id, partition, 1000, relation FROM streamlog.segment WHERE partition = 1;
SELECT * FROM finish_restore();
ROLLBACK;
-- what nobody could use is not loaded.  Mutation: no CHECK.
\set VERBOSITY terse
UPDATE streamlog.topic SET config = '[1]';
UPDATE streamlog.topic SET partitions = -1;
UPDATE streamlog.partition SET log_start_offset = -5;
UPDATE streamlog.segment SET base = -1;
\set VERBOSITY default
-- no segment yet, which is the worker's to make
BEGIN;
DELETE FROM streamlog.segment WHERE partition = 1;
SELECT * FROM finish_restore();
ROLLBACK;

-- Before the triggers are there the dump is not all there.  Mutation: do not look.
BEGIN;
DROP TRIGGER refuse_change ON topic.sold;
SELECT * FROM finish_restore();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON topic.sold
	FOR EACH STATEMENT EXECUTE FUNCTION streamlog.refuse_change();
SELECT count(problem) FROM finish_restore();
ALTER TABLE topic.sold ENABLE ALWAYS TRIGGER refuse_change;
DROP TRIGGER produce_text ON topic_text.sold;
SELECT count(problem) FROM finish_restore();
CREATE TRIGGER produce_text INSTEAD OF INSERT ON topic_text.sold FOR EACH ROW EXECUTE FUNCTION streamlog.produce_text();
SELECT count(problem) FROM finish_restore();
ALTER TABLE topic_text.sold ENABLE ALWAYS TRIGGER produce_text;
SELECT * FROM finish_restore();
ROLLBACK;
-- What no topic has, from before the dump came, would run as whoever inserts, and
-- the table stays whose it is.  Mutation: take-additions.
CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION public.also() RETURNS bool LANGUAGE sql IMMUTABLE RETURN true;
BEGIN;
ALTER TABLE topic.sold OWNER TO regress_streamlog_seller;
CREATE TRIGGER theirs BEFORE INSERT ON topic.sold FOR EACH ROW EXECUTE FUNCTION public.theirs();
SELECT * FROM finish_restore();
DROP TRIGGER theirs ON topic.sold;
CREATE TRIGGER theirs AFTER INSERT ON topic.sold FOR EACH ROW WHEN (public.also()) EXECUTE FUNCTION streamlog.produce_row();
SELECT problem FROM finish_restore();
DROP TRIGGER theirs ON topic.sold;
CREATE RULE theirs AS ON INSERT TO topic.sold DO ALSO NOTHING;
SELECT problem FROM finish_restore();
DROP RULE theirs ON topic.sold;
CREATE POLICY theirs ON topic.sold;
SELECT problem FROM finish_restore();
DROP POLICY theirs ON topic.sold;
CREATE INDEX theirs ON topic.sold ((public.also()));
SELECT problem FROM finish_restore();
DROP INDEX topic.theirs;
CREATE STATISTICS public.theirs ON (partition + 1) FROM topic.sold;
SELECT problem FROM finish_restore();
DROP STATISTICS public.theirs;
ALTER TABLE topic.sold ALTER key SET DEFAULT 'theirs';
SELECT problem FROM finish_restore();
ALTER TABLE topic.sold ALTER key DROP DEFAULT, ADD CONSTRAINT theirs CHECK (public.also()) NO INHERIT;
SELECT problem FROM finish_restore();
ALTER TABLE topic.sold DROP CONSTRAINT theirs;
CREATE TABLE public.theirs () INHERITS (topic.sold);
SELECT problem FROM finish_restore();
DROP TABLE public.theirs;
CREATE RULE theirs AS ON UPDATE TO topic_text.sold DO INSTEAD NOTHING;
SELECT problem FROM finish_restore();
DROP RULE theirs ON topic_text.sold;
SELECT relowner::regrole FROM pg_class WHERE oid = 'topic.sold'::regclass;
-- what only uses it is nobody's harm
CREATE VIEW public.theirs AS SELECT key FROM topic.sold;
CREATE PUBLICATION theirs FOR TABLE topic.sold;
SELECT * FROM finish_restore();
ROLLBACK;
DROP FUNCTION public.theirs, public.also;
-- Columns of other types.  Mutations: look at the segments alone, which have what the
-- topic's table has; take whatever is in them for a pointer.
BEGIN;
DROP VIEW topic_text.sold;
ALTER TABLE topic.sold ALTER headers SET STORAGE PLAIN, ALTER headers TYPE int8 USING 7;
INSERT INTO :segment SELECT 90, '2001-01-01', 0, NULL, convert_to(string_agg(md5(i::text), ''), 'UTF8'), 7
FROM generate_series(1, 60) i;
SAVEPOINT s;
SELECT count(problem) FROM check_topic('sold');
ROLLBACK TO s;
SELECT problem FROM finish_restore();
ROLLBACK;
-- who has dropped the view can do without it
BEGIN;
DROP VIEW topic_text.sold;
SELECT count(problem) FROM finish_restore();
ROLLBACK;

-- The tables are given to the extension's owner, and the topic's owner, if it was
-- his, too, keeps his rights.  Mutations: only look at the topic's table; no GRANT.
BEGIN;
ALTER TABLE topic.sold OWNER TO regress_streamlog_seller;
ALTER VIEW topic_text.sold OWNER TO regress_streamlog_other;
ALTER TABLE :segment OWNER TO regress_streamlog_other;
SELECT * FROM finish_restore();
SELECT relname, relowner = (SELECT extowner FROM pg_extension WHERE extname = 'streamlog') AS ours
FROM pg_class WHERE oid IN ('topic.sold'::regclass, 'topic_text.sold'::regclass, :'segment'::regclass) ORDER BY 1;
SET ROLE regress_streamlog_seller;
SELECT produce('sold', 'k', 'v', partition => 0);
SELECT alter_topic('sold', 3);
ROLLBACK;

-- who owns neither cannot
BEGIN;
CREATE ROLE regress_streamlog_super SUPERUSER;
ALTER TABLE :segment OWNER TO regress_streamlog_super;
SELECT current_user AS me \gset
GRANT :me TO regress_streamlog_other;
SET ROLE regress_streamlog_other;
SELECT * FROM finish_restore();
ROLLBACK;

-- The owner of a topic may be missing.  Mutation: raise.
UPDATE streamlog.topic SET owner = 'regress_streamlog_gone' WHERE name = 'sold';
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
BEGIN;
SELECT * FROM finish_restore();
ROLLBACK;

--
-- Dropped instead.  Mutation: leave it to finish_restore(), which the worker does
-- not wait for.
--
SELECT drop_topic('sold');
SELECT topic FROM topics;
CREATE PROCEDURE await_removal() LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	WHILE EXISTS (SELECT FROM streamlog.topic WHERE dropped) LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'the worker has not removed it';
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;
CALL await_removal();
SELECT count(*) FROM pg_class WHERE oid::regclass::text = :'segment';

--
-- Rows that point at what is not their table: another's is left alone.
-- Mutations: believe the row; look for any table.
--
CREATE TABLE public.mine (LIKE topic.kept);
SELECT create_topic('lost');
DELETE FROM streamlog.local_topic;
DROP TABLE topic.lost CASCADE;
UPDATE streamlog.topic SET relation = 'public.mine' WHERE name = 'lost';
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT * FROM finish_restore();
SELECT drop_topic('lost');
CALL await_removal();
SELECT create_topic('lost');
DELETE FROM streamlog.local_topic;
DROP TABLE topic.lost CASCADE;
UPDATE streamlog.topic SET relation = 'topic.kept' WHERE name = 'lost';
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT * FROM finish_restore();
SELECT drop_topic('lost');
CALL await_removal();
-- dropped without a look: the other topic is not.  Mutation: believe the row.
SELECT create_topic('lost');
DELETE FROM streamlog.local_topic WHERE topic_id = (SELECT max(topic_id) FROM streamlog.topic);
DROP TABLE topic.lost CASCADE;
UPDATE streamlog.topic SET relation = 'topic.kept' WHERE name = 'lost';
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT drop_topic('lost');
CALL await_removal();
SELECT record_offset, as_text(value) FROM fetch_records('kept', 0, 0);
-- dropped already when it was dumped
SELECT create_topic('lost');
DELETE FROM streamlog.local_topic WHERE topic_id = (SELECT max(topic_id) FROM streamlog.topic);
DROP TABLE topic.lost CASCADE;
UPDATE streamlog.topic SET dropped = true, relation = 'public.mine' WHERE name = 'lost';
SELECT * FROM finish_restore();
CALL await_removal();
SELECT to_regclass('public.mine');
SELECT record_offset, as_text(value) FROM fetch_records('kept', 0, 0);

--
-- Rows of partitions that the topic has not: alter_topic() would meet them.
-- Mutation: sl_takeover_stray_partition() finds none.
--
DELETE FROM streamlog.local_topic;
INSERT INTO streamlog.partition SELECT topic_id, 7, 0 FROM topics WHERE topic = 'kept';
\c -
SET search_path = public, streamlog;
SET allow_system_table_mods = on;
SELECT * FROM finish_restore();
DELETE FROM streamlog.partition WHERE partition = 7;
SELECT * FROM finish_restore();

--
-- A new topic takes no id that anything has.  Mutation: what the sequence gives.
--
SELECT last_value AS last FROM streamlog.topic_id_seq \gset
INSERT INTO streamlog.segment (topic_id, partition, base, relation) VALUES (:last + 1, 0, 0, 0);
INSERT INTO streamlog.partition VALUES (:last + 2, 0, 0);
SELECT format('CREATE TABLE streamlog_segment.t%s_p7_3 ()', :last + 3) \gexec
SELECT create_topic('next');
SELECT topic_id - :last AS id FROM topics WHERE topic = 'next';

SET client_min_messages = warning;
SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP EXTENSION streamlog CASCADE;
CREATE EXTENSION streamlog;
DROP TABLE public.mine;
DROP PROCEDURE await_removal;
DROP ROLE regress_streamlog_seller, regress_streamlog_other;
