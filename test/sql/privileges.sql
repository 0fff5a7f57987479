--
-- privileges: every call by a role with nothing, with INSERT, with SELECT, as the
-- owner and as a member of the owner; whose rights count where the role changes;
-- what a search_path can do.  The test "rights" goes through it as a story.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_a;
CREATE ROLE regress_streamlog_b;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_a;

-- 'ok', or the SQLSTATE of a statement; it leaves nothing
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE statement;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END;
	RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
EXCEPTION WHEN SQLSTATE 'UN001' THEN
	RETURN 'ok';
END $$;
CREATE TABLE calls (id int GENERATED ALWAYS AS IDENTITY, call text);
GRANT SELECT ON calls TO PUBLIC;
INSERT INTO calls (call) VALUES
	('SELECT produce(''priv'', ''k'', ''v'')'),
	('SELECT produce(''priv'', 1, 2)'),
	('SELECT produce_batch(''priv'', NULL, ARRAY[''v''])'),
	('SELECT produce_batch(''priv'', NULL, ARRAY[]::text[])'),
	('SELECT produce_batch_bytes(''priv'', NULL, ARRAY[''\x76''::bytea])'),
	('SELECT partition_for(''priv'', ''k'')'),
	('SELECT partition_for(''priv'', NULL)'),
	('SELECT partition_for(''priv'', 1)'),
	('SELECT fetch_records(''priv'', 0, 0)'),
	('SELECT fetch_records(''priv'', 99, 0)'),
	('SELECT start_offset(''priv'', 0)'),
	('SELECT end_offset(''priv'', 0)'),
	('SELECT offset_for_time(''priv'', 0, ''2020-01-01'')'),
	('SELECT check_topic(''priv'')'),
	('SELECT describe_topic(''priv'')'),
	('SELECT * FROM topic.priv'),
	('COPY (SELECT * FROM topic.priv) TO ''/dev/null'''),
	('SELECT topic.priv.value FROM topic.priv WHERE partition = 0'),
	('SELECT alter_topic(''priv'', 9)'),
	('SELECT alter_topic(''priv'', config => ''{"segment.bytes": 2000000}'')'),
	('SELECT alter_topic(''priv'')'),
	('SELECT drop_topic(''priv'')'),
	('SELECT drop_topic(''priv'', if_exists => true)'),
	('SELECT create_topic(''priv'')'),
	('SELECT create_topic(''priv'', if_not_exists => true)'),
	('SELECT create_topic(''other'')'),
	('INSERT INTO topic.priv (partition, value) VALUES (0, ''v'')'),
	('UPDATE topic.priv SET value = ''v'''),
	('DELETE FROM topic.priv'),
	('TRUNCATE topic.priv'),
	('DROP TABLE topic.priv'),
	('ALTER TABLE topic.priv ADD x int'),
	('ALTER TABLE topic.priv OWNER TO regress_streamlog_b'),
	('ALTER TABLE topic.priv DISABLE TRIGGER ALL'),
	('CREATE RULE r AS ON SELECT TO topic.priv DO INSTEAD SELECT 1'),
	('CREATE TABLE public.child () INHERITS (topic.priv)'),
	('SELECT * FROM streamlog.topic'),
	('SELECT * FROM streamlog.partition'),
	('SELECT * FROM streamlog.segment'),
	('SELECT * FROM streamlog.segment_time'),
	('SELECT * FROM streamlog.topic_id_seq'),
	('DELETE FROM streamlog.segment'),
	('DELETE FROM streamlog.topics'),
	('UPDATE streamlog.topics SET owner = CURRENT_USER'),
	('CREATE TABLE streamlog.mine ()'),
	('CREATE FUNCTION streamlog.mine() RETURNS int LANGUAGE sql AS ''SELECT 1'''),
	('CREATE TABLE streamlog_segment.mine ()'),
	('DROP EXTENSION streamlog');

SET ROLE regress_streamlog_a;
SELECT create_topic('priv', 3);
SELECT produce('priv', 'k', 'v', partition => 0);
SELECT produce('priv', 'k', 'w', partition => 1);
RESET ROLE;
SELECT owner FROM topics WHERE topic = 'priv';
SELECT relation AS segment FROM segments WHERE topic = 'priv' AND partition = 0 \gset
INSERT INTO calls (call) VALUES
	(format('SELECT * FROM %s', :'segment')), (format('INSERT INTO %s (record_offset) VALUES (9)', :'segment')),
	(format('LOCK TABLE %s', :'segment')), (format('DROP TABLE %s', :'segment'));

-- what each role may do, column by column
CREATE TABLE outcomes (id int, who text, outcome text);
GRANT ALL ON outcomes TO PUBLIC;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'nothing', try(call) FROM calls ORDER BY id;
RESET ROLE;
GRANT INSERT ON topic.priv TO regress_streamlog_b;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'insert', try(call) FROM calls ORDER BY id;
RESET ROLE;
REVOKE INSERT ON topic.priv FROM regress_streamlog_b;
GRANT SELECT ON topic.priv TO regress_streamlog_b;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'select', try(call) FROM calls ORDER BY id;
RESET ROLE;
REVOKE SELECT ON topic.priv FROM regress_streamlog_b;
SET ROLE regress_streamlog_a;
INSERT INTO outcomes SELECT id, 'owner', try(call) FROM calls ORDER BY id;
RESET ROLE;
GRANT regress_streamlog_a TO regress_streamlog_b;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'member', try(call) FROM calls ORDER BY id;
RESET ROLE;
ALTER ROLE regress_streamlog_b NOINHERIT;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'noinherit', try(call) FROM calls ORDER BY id;
RESET ROLE;
ALTER ROLE regress_streamlog_b INHERIT;
REVOKE regress_streamlog_a FROM regress_streamlog_b;
SET ROLE regress_streamlog_b;
INSERT INTO outcomes SELECT id, 'nothing again', try(call) FROM calls ORDER BY id;
RESET ROLE;
SELECT replace(call, :'segment', '(segment)') AS call,
	max(outcome) FILTER (WHERE who = 'nothing') AS nothing, max(outcome) FILTER (WHERE who = 'insert') AS insert,
	max(outcome) FILTER (WHERE who = 'select') AS select, max(outcome) FILTER (WHERE who = 'owner') AS owner,
	max(outcome) FILTER (WHERE who = 'member') AS member
FROM calls JOIN outcomes USING (id) GROUP BY id, call ORDER BY id;
-- who is a member and has to SET ROLE first may do nothing; nothing is remembered
SELECT call, o.who, o.outcome AS now, n.outcome AS nothing
FROM calls JOIN outcomes o USING (id) JOIN outcomes n USING (id)
WHERE o.who IN ('noinherit', 'nothing again') AND n.who = 'nothing' AND o.outcome <> n.outcome ORDER BY id, o.who;
SELECT count(*) AS partitions, sum(end_offset) AS records FROM partitions WHERE topic = 'priv';

-- what the views show
CREATE FUNCTION seen() RETURNS text LANGUAGE sql AS $$
	SELECT format('topics %s, partitions %s, segments %s, undecided %s', (SELECT count(*) FROM topics WHERE topic = 'priv'),
		(SELECT count(*) FROM partitions WHERE topic = 'priv'), (SELECT count(*) FROM segments WHERE topic = 'priv'),
		(SELECT count(*) FROM undecided_transactions WHERE topic = 'priv')) $$;
BEGIN;
SELECT produce('priv', 'k', 'v', partition => 2);
SELECT count(*) FROM flush();
SET LOCAL ROLE regress_streamlog_a;
SELECT seen() AS owner;
SET LOCAL ROLE regress_streamlog_b;
SELECT seen() AS nothing;
RESET ROLE;
GRANT INSERT ON topic.priv TO regress_streamlog_b;
SET LOCAL ROLE regress_streamlog_b;
SELECT seen() AS insert;
RESET ROLE;
REVOKE INSERT ON topic.priv FROM regress_streamlog_b;
GRANT SELECT ON topic.priv TO PUBLIC;
SET LOCAL ROLE regress_streamlog_b;
SELECT seen() AS public;
SELECT count(*) FROM fetch_records('priv', 0, 0);
RESET ROLE;
REVOKE SELECT ON topic.priv FROM PUBLIC;
GRANT SELECT (value), INSERT (value) ON topic.priv TO regress_streamlog_b;
SET LOCAL ROLE regress_streamlog_b;
-- rights to a column are not rights to the topic
SELECT seen() AS column_only;
SELECT try('SELECT fetch_records(''priv'', 0, 0)') AS fetch, try('SELECT produce(''priv'', ''k'', ''v'')') AS produce;
ROLLBACK;
-- a condition that tells what it is given is not given what one may not see
CREATE FUNCTION leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$;
SET ROLE regress_streamlog_b;
SELECT topic FROM topics WHERE leak(topic);
SELECT topic FROM partitions WHERE leak(topic);
SELECT topic FROM segments WHERE leak(topic);
SELECT topic FROM undecided_transactions WHERE leak(topic);
RESET ROLE;
DROP FUNCTION leak;

--
-- Whose rights: those of the current role at the call
--
CREATE FUNCTION as_owner(value text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM streamlog.produce('priv', 'definer', value, partition => 0);
	RETURN (SELECT count(*) FROM streamlog.fetch_records('priv', 0, 0));
END $$;
ALTER FUNCTION as_owner OWNER TO regress_streamlog_a;
CREATE FUNCTION as_caller(value text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN streamlog.produce('priv', 'invoker', value, partition => 0);
END $$;
ALTER FUNCTION as_caller OWNER TO regress_streamlog_a;
SET ROLE regress_streamlog_b;
SELECT as_owner('by b through a');
SELECT as_caller('by b');
SELECT produce('priv', 'k', 'by b');
SELECT as_owner('again'), try('SELECT produce(''priv'', ''k'', ''v'')'), as_owner('and again');
RESET ROLE;
-- a view reads as its owner
CREATE VIEW shown AS SELECT as_text(value) AS value FROM topic.priv WHERE as_text(key) = 'definer';
ALTER VIEW shown OWNER TO regress_streamlog_a;
GRANT SELECT ON shown TO regress_streamlog_b;
SET ROLE regress_streamlog_b;
SELECT * FROM shown ORDER BY value;
RESET ROLE;
DROP VIEW shown;

-- SET ROLE in a transaction, both ways; what was allowed stays produced
BEGIN;
SET LOCAL ROLE regress_streamlog_a;
SELECT produce('priv', 'k', 'by a', partition => 2);
SET LOCAL ROLE regress_streamlog_b;
SELECT try('SELECT produce(''priv'', ''k'', ''by b'')'), try('SELECT fetch_records(''priv'', 0, 0)'), try('SELECT end_offset(''priv'', 0)');
SET LOCAL ROLE regress_streamlog_a;
SELECT try('SELECT produce(''priv'', ''k'', ''by a'')'), try('SELECT fetch_records(''priv'', 0, 0)');
SET LOCAL ROLE regress_streamlog_b;
SELECT topic, record_offset FROM flush();
COMMIT;
BEGIN;
SET LOCAL ROLE regress_streamlog_a;
SELECT produce('priv', 'k', 'revoked before the commit', partition => 2);
RESET ROLE;
REVOKE INSERT ON topic.priv FROM regress_streamlog_a CASCADE;
SET LOCAL ROLE regress_streamlog_a;
SELECT try('SELECT produce(''priv'', ''k'', ''v'')');
RESET ROLE;
GRANT INSERT ON topic.priv TO regress_streamlog_a WITH GRANT OPTION;
SET LOCAL ROLE regress_streamlog_a;
SELECT try('SELECT produce(''priv'', ''k'', ''v'')');
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('priv', 2, 0);
-- a role that is rolled back to
BEGIN;
SAVEPOINT s;
SET LOCAL ROLE regress_streamlog_b;
SELECT produce('priv', 'k', 'v');
ROLLBACK TO s;
SELECT try('SELECT produce(''priv'', ''k'', ''v'')');
COMMIT;
-- a prepared call is looked at each time
PREPARE put AS SELECT produce('priv', 'k', 'prepared', partition => 1);
PREPARE get AS SELECT count(*) FROM fetch_records('priv', 1, 0);
EXECUTE put;
EXECUTE get;
SET ROLE regress_streamlog_b;
EXECUTE put;
EXECUTE get;
RESET ROLE;
DEALLOCATE ALL;

--
-- Ownership
--
-- CREATE on schema topic, at the time of the call
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_a;
SET ROLE regress_streamlog_a;
SELECT create_topic('another');
SELECT alter_topic('priv', 4);
RESET ROLE;
GRANT CREATE ON SCHEMA topic TO PUBLIC;
SET ROLE regress_streamlog_b;
SELECT create_topic('of_b');
SELECT topic, owner FROM topics;
-- the name is taken also where it cannot be seen
SELECT create_topic('priv');
SELECT drop_topic('priv');
RESET ROLE;
REVOKE CREATE ON SCHEMA topic FROM PUBLIC;
-- who is owner needs no right to drop it
SET ROLE regress_streamlog_a;
SELECT drop_topic('of_b');
RESET ROLE;
SET ROLE regress_streamlog_b;
SELECT drop_topic('of_b');
RESET ROLE;

--
-- A search_path with everything in front of ours and of pg_catalog
--
CREATE SCHEMA regress_streamlog_front;
GRANT USAGE ON SCHEMA regress_streamlog_front TO PUBLIC;
CREATE FUNCTION regress_streamlog_front.reached() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'reached'; END $$;
DO $$
DECLARE
	t text;
	o text;
BEGIN
	FOREACH t IN ARRAY ARRAY['int4', 'int8', 'text', 'oid', 'name', 'bool', 'timestamptz', 'regclass'] LOOP
		EXECUTE format('CREATE FUNCTION regress_streamlog_front.op(%1$s, %1$s) RETURNS bool LANGUAGE sql AS ''SELECT regress_streamlog_front.reached()''', t);
		FOREACH o IN ARRAY ARRAY['=', '<', '>', '<=', '>=', '<>'] LOOP
			EXECUTE format('CREATE OPERATOR regress_streamlog_front.%s (FUNCTION = regress_streamlog_front.op, LEFTARG = %2$s, RIGHTARG = %2$s)', o, t);
		END LOOP;
	END LOOP;
	FOREACH t IN ARRAY ARRAY['replace(text, text, text)', 'pg_table_size(regclass)', 'pg_has_role(text, text)', 'pg_has_role(name, text)',
		'has_table_privilege(regclass, text)', 'topic_visible(regclass)', 'partition_end(regclass, int)', 'undecided_states()',
		'worker_states()', 'nextval(regclass)', 'refuse_change(int)', 'murmur2(bytea)', 'now()', 'clock_timestamp()'] LOOP
		EXECUTE format('CREATE FUNCTION regress_streamlog_front.%s RETURNS bool LANGUAGE sql AS ''SELECT regress_streamlog_front.reached()''', t);
	END LOOP;
END $$;
CREATE TABLE regress_streamlog_front.topic AS SELECT 1 AS topic_id;
CREATE TABLE regress_streamlog_front.partition AS SELECT 1 AS topic_id;
CREATE TABLE regress_streamlog_front.segment AS SELECT 1 AS topic_id;
CREATE TABLE regress_streamlog_front.topics AS SELECT 1 AS topic_id;
CREATE TABLE regress_streamlog_front.pg_class AS SELECT 1 AS oid;
CREATE TYPE regress_streamlog_front.header AS (key int, value int);
CREATE DOMAIN regress_streamlog_front.bytea AS pg_catalog.text;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_a;
SET search_path = regress_streamlog_front, pg_catalog, streamlog;
-- it works on whoever does not write pg_catalog
SELECT 1 = 1;
SET ROLE regress_streamlog_a;
SELECT streamlog.create_topic('under_front', 2, config => '{"max.message.bytes": 1000}');
SELECT streamlog.produce('under_front', 'k', 'v', streamlog.headers('{"a": 1}'), 1);
SELECT record_offset FROM streamlog.produce_batch('under_front', ARRAY['k', 'l'], ARRAY['v', 'w'], partition => 1);
BEGIN;
SELECT streamlog.produce('under_front', 7, 'v', partition => 1);
SELECT record_offset FROM streamlog.flush();
SELECT topic, held_offset FROM streamlog.undecided_transactions;
COMMIT;
SELECT record_offset, streamlog.as_text(key), streamlog.as_json('1'), headers FROM streamlog.fetch_records('under_front', 1, 0);
SELECT streamlog.start_offset('under_front', 1), streamlog.end_offset('under_front', 1),
	streamlog.offset_for_time('under_front', 1, '2020-01-01'), streamlog.partition_for('under_front', 'k');
SELECT records, problem FROM streamlog.check_topic('under_front');
SELECT topic, partitions FROM streamlog.topics ORDER BY topic;
SELECT topic, partition, end_offset FROM streamlog.partitions ORDER BY topic, partition;
SELECT topic, partition, base_offset FROM streamlog.segments ORDER BY topic, partition;
SELECT streamlog.alter_topic('under_front', 3);
DELETE FROM topic.under_front;
SELECT streamlog.drop_topic('under_front');
RESET ROLE;
-- and in pg_temp, which comes first where it is not named
SET search_path = public, streamlog;
CREATE TEMP TABLE topic AS SELECT 1 AS topic_id;
CREATE TEMP TABLE pg_class AS SELECT 1 AS oid;
CREATE TEMP TABLE topics AS SELECT 1 AS topic_id;
CREATE TYPE pg_temp.header AS (key int, value int);
SELECT create_topic('under_temp');
SELECT produce('under_temp', 'k', 'v', headers('{"a": 1}'));
SELECT as_text(key), headers FROM fetch_records('under_temp', 0, 0);
SELECT topic, end_offset FROM partitions WHERE topic = 'under_temp';
SELECT drop_topic('under_temp');
DROP TABLE pg_temp.topic, pg_temp.pg_class, pg_temp.topics;
DROP TYPE pg_temp.header;
SET client_min_messages = warning;
DROP SCHEMA regress_streamlog_front CASCADE;

SELECT drop_topic('priv');
DROP TABLE calls, outcomes;
DROP FUNCTION try, seen, as_owner, as_caller;
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_a;
DROP ROLE regress_streamlog_a, regress_streamlog_b;
