--
-- What would break a topic is refused, to whoever may do it, with what to do
-- instead.
--
-- Mutation: a command is missing in the list.
--
SET client_min_messages = warning;
-- the names of segments show below
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('kept');
SELECT produce('kept', 'k', 'v');
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

-- the messages
ALTER TABLE topic.kept RENAME TO other;
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON topic.kept (key);
CREATE TRIGGER mine AFTER INSERT ON topic.kept FOR EACH ROW EXECUTE FUNCTION trig();
CREATE POLICY mine ON topic.kept USING (true);
CREATE TABLE child () INHERITS (topic.kept);
DROP TABLE topic.kept;
ALTER TABLE topic.kept ADD COLUMN c int;
TRUNCATE topic.kept;
DROP VIEW topic_text.kept;
INSERT INTO streamlog_segment.t1_p0_1 VALUES (1, now(), 0);
TRUNCATE streamlog.topic, streamlog.segment;

-- all of it, on each of the three
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE TABLE commands (id int GENERATED ALWAYS AS IDENTITY, command text);
INSERT INTO commands (command) VALUES
	('ALTER TABLE %s RENAME TO other'),
	('ALTER TABLE %s RENAME COLUMN key TO other'),
	('ALTER TABLE %s SET SCHEMA public'),
	('ALTER TABLE %s OWNER TO pg_database_owner'),
	('ALTER TABLE %s ADD COLUMN c int'),
	('ALTER TABLE %s DROP COLUMN key'),
	('ALTER TABLE %s ALTER COLUMN key TYPE text'),
	('ALTER TABLE %s ALTER COLUMN key SET DEFAULT ''k'''),
	('ALTER TABLE %s ALTER COLUMN key SET STORAGE MAIN'),
	('ALTER TABLE %s ADD CHECK (key IS NOT NULL)'),
	('ALTER TABLE %s ADD PRIMARY KEY (record_offset)'),
	('ALTER TABLE %s DISABLE TRIGGER ALL'),
	('ALTER TABLE %s ENABLE TRIGGER ALL'),
	('ALTER TABLE %s ENABLE ROW LEVEL SECURITY'),
	('ALTER TABLE %s FORCE ROW LEVEL SECURITY'),
	('ALTER TABLE %s SET (fillfactor = 50)'),
	('ALTER TABLE %s SET UNLOGGED'),
	('ALTER TABLE %s REPLICA IDENTITY FULL'),
	('ALTER TABLE %s INHERIT plain'),
	('ALTER TABLE plain INHERIT %s'),
	('ALTER VIEW %s SET (security_invoker = false)'),
	('ALTER TRIGGER refuse_change ON %s RENAME TO other'),
	('ALTER TRIGGER refuse_change ON %s DEPENDS ON EXTENSION plpgsql'),
	('ALTER EXTENSION plpgsql ADD TABLE %s'),
	('CREATE INDEX ON %s (key)'),
	('CREATE UNIQUE INDEX ON %s (record_offset)'),
	('CREATE TRIGGER mine BEFORE INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION trig()'),
	('CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION trig()'),
	('CREATE RULE mine AS ON INSERT TO %s DO INSTEAD NOTHING'),
	('CREATE OR REPLACE VIEW %s AS SELECT 1'),
	('CREATE POLICY mine ON %s USING (true)'),
	('CREATE TABLE child () INHERITS (%s)'),
	('CREATE FOREIGN TABLE child () INHERITS (%s) SERVER none'),
	('DROP TABLE %s CASCADE'),
	('DROP VIEW %s CASCADE'),
	('DROP TRIGGER refuse_change ON %s'),
	('DROP TRIGGER produce_row ON %s'),
	('DROP TRIGGER produce_text ON %s'),
	('DROP RULE "_RETURN" ON %s'),
	('TRUNCATE %s'),
	('TRUNCATE plain, %s'),
	('UPDATE %s SET partition = 1'),
	('DELETE FROM %s'),
	('INSERT INTO %s (partition) VALUES (7)'),
	('COPY %s (partition) FROM PROGRAM ''echo 7''');
CREATE TABLE plain (LIKE topic.kept);
SELECT replace(command, '%s', name) AS command, try(format(command, relation)) AS result
FROM commands, (VALUES (1, 'TABLE', 'topic.kept'), (2, 'TEXT', 'topic_text.kept'), (3, 'SEGMENT', 'streamlog_segment.t1_p0_1')) r (n, name, relation)
ORDER BY id, n;

-- our own tables, also through a view
SELECT command, try(command) FROM unnest(ARRAY[
	'UPDATE streamlog.topic SET name = ''x''', 'DELETE FROM streamlog.segment',
	'DELETE FROM streamlog.topics', 'UPDATE streamlog.topics SET partitions = 7',
	'UPDATE streamlog.consumer_group SET name = ''x''', 'DELETE FROM streamlog.local_group',
	'UPDATE streamlog.committed_offset SET next_offset = 0', 'TRUNCATE streamlog.committed_offset',
	'TRUNCATE streamlog.consumer_group', 'CREATE INDEX ON streamlog.committed_offset ((1 / epoch))',
	'ALTER TABLE streamlog.committed_offset ADD COLUMN c int',
	'ALTER TABLE streamlog.consumer_group DROP COLUMN created, ALTER COLUMN name TYPE varchar',
	'ALTER TABLE streamlog.committed_offset SET (autovacuum_enabled = on)',
	'SELECT count(*) FROM (SELECT FROM streamlog.partition FOR UPDATE) p']) command;

ALTER SCHEMA topic RENAME TO other;
SELECT command, try(command) FROM unnest(ARRAY['streamlog', 'topic', 'topic_text', 'streamlog_segment']) s,
	format('ALTER SCHEMA %s RENAME TO other', s) command;

-- not refused: what is about storage, comments and grants
ANALYZE topic.kept;
VACUUM FULL topic.kept;
VACUUM streamlog_segment.t1_p0_1;
ALTER TABLE topic.kept ALTER COLUMN key SET STATISTICS 10;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_streamlog_space LOCATION '';
ALTER TABLE streamlog_segment.t1_p0_1 SET TABLESPACE regress_streamlog_space;
ALTER TABLE streamlog_segment.t1_p0_1 SET TABLESPACE pg_default;
DROP TABLESPACE regress_streamlog_space;
COMMENT ON TABLE topic.kept IS 'kept';
REVOKE SELECT ON topic_text.kept FROM PUBLIC;
-- nor what only has our schemas' names
CREATE TABLE topic.not_one (a int);
CREATE INDEX ON topic.not_one (a);
INSERT INTO topic.not_one VALUES (1);
ALTER TABLE topic.not_one RENAME TO not_one_either;
DROP TABLE topic.not_one_either;
CREATE TABLE streamlog_segment.not_one (a int);
INSERT INTO streamlog_segment.not_one VALUES (1);
TRUNCATE streamlog_segment.not_one;
DROP TABLE streamlog_segment.not_one;
-- nor a view elsewhere, though the search_path finds a topic by its name
SET search_path = public, streamlog, topic, topic_text;
CREATE VIEW kept AS SELECT 1 AS a;
CREATE OR REPLACE VIEW kept AS SELECT 2 AS a;
SELECT * FROM public.kept;
DROP VIEW public.kept;
SET search_path = topic_text, public, streamlog;
CREATE OR REPLACE VIEW kept AS SELECT 2 AS a;
SET search_path = public, streamlog;
-- nor, in the end, to a superuser who has to mend something
SET allow_system_table_mods = on;
CREATE INDEX mending ON streamlog_segment.t1_p0_1 (record_offset);
DROP INDEX streamlog_segment.mending;
RESET allow_system_table_mods;
SELECT problem FROM check_topic('kept');
SELECT as_text(value) FROM fetch_records('kept', 0, 0);
SELECT produce('kept', 'k', 'v');

-- the roles that own nothing here
CREATE ROLE regress_streamlog_owner;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_owner;
SET ROLE regress_streamlog_owner;
SELECT create_topic('owned');
CREATE INDEX ON topic.owned (key);
ALTER TABLE topic_text.owned ENABLE ALWAYS TRIGGER produce_text;
ALTER TABLE topic.owned ENABLE ROW LEVEL SECURITY;
INSERT INTO streamlog_segment.t2_p0_1 VALUES (1, now(), 0);
CREATE TABLE topic.mine (a int);
CREATE TABLE topic_text.mine (a int);
CREATE TABLE streamlog_segment.mine (a int);
SELECT drop_topic('owned');
DROP TABLE topic.mine;
RESET ROLE;

DROP TABLE plain, commands;
DROP FUNCTION try, trig;
SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
DROP ROLE regress_streamlog_owner;
