--
-- attacks: a search_path whose first schema has a function and an operator of its own in
-- the place of every one of PostgreSQL's and of ours, and types and tables with the names
-- of those that we use.  None of it may be reached, by a call, a view, a command that
-- topics follow, or the worker.  What is reached says so and is counted, also where
-- an error were swallowed.
--
-- Mutations: execute() in catalog.c keeps the caller's search_path; a function of the
-- script that is written in SQL has its body as a string.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
CREATE ROLE regress_streamlog_attacker;
CREATE ROLE regress_streamlog_victim;
CREATE ROLE regress_streamlog_friend;
GRANT regress_streamlog_friend TO regress_streamlog_victim;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_victim, regress_streamlog_friend;
CREATE SCHEMA attack AUTHORIZATION regress_streamlog_attacker;
GRANT USAGE ON SCHEMA attack TO PUBLIC;
SET ROLE regress_streamlog_attacker;
CREATE SEQUENCE attack.hits;
GRANT ALL ON SEQUENCE attack.hits TO PUBLIC;
DO $$
DECLARE
	body constant text := 'BEGIN PERFORM pg_catalog.nextval(''attack.hits''); RAISE EXCEPTION ''reached''; END';
	n int := 0;
	f record;
BEGIN
	SET LOCAL search_path = pg_catalog;
	FOR f IN
		SELECT p.proname, a.args, r.typtype = 'p' AS is_pseudo, format_type(p.prorettype, NULL) AS result
		FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype,
			LATERAL (SELECT coalesce(string_agg(format_type(t.oid, NULL), ', ' ORDER BY u.n), '') AS args, coalesce(bool_or(t.typtype = 'p'), false) AS has_pseudo
				FROM unnest(p.proargtypes) WITH ORDINALITY u (type, n) JOIN pg_type t ON t.oid = u.type) a
		WHERE p.pronamespace IN ('pg_catalog'::regnamespace, 'streamlog'::regnamespace) AND NOT a.has_pseudo
	LOOP
		EXECUTE format('CREATE FUNCTION attack.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname, f.args,
			CASE WHEN f.is_pseudo THEN 'bool' ELSE f.result END, body);
	END LOOP;
	FOR f IN
		SELECT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r, format_type(o.oprresult, NULL) AS result, o.oprleft = 0 AS is_prefix
		FROM pg_operator o
		WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND NOT EXISTS (SELECT FROM pg_type WHERE oid IN (o.oprleft, o.oprright) AND typtype = 'p')
	LOOP
		n := n + 1;
		EXECUTE format('CREATE FUNCTION attack.operator_%s(%s) RETURNS %s LANGUAGE plpgsql AS %L', n,
			CASE WHEN f.is_prefix THEN f.r ELSE f.l || ', ' || f.r END, f.result, body);
		EXECUTE format('CREATE OPERATOR attack.%s (FUNCTION = attack.operator_%s, %s RIGHTARG = %s)', f.oprname, n,
			CASE WHEN f.is_prefix THEN '' ELSE format('LEFTARG = %s,', f.l) END, f.r);
	END LOOP;
	-- what has the right name and is nothing that we could use
	FOR f IN SELECT relname AS name FROM pg_class WHERE relnamespace IN ('streamlog'::regnamespace, 'pg_catalog'::regnamespace) AND relkind IN ('r', 'v') LOOP
		EXECUTE format('CREATE TABLE attack.%I (nothing xid)', f.name);
	END LOOP;
	FOR f IN SELECT unnest(ARRAY['text', 'int4', 'int8', 'oid', 'name', 'jsonb', 'bytea', 'regclass', 'timestamptz', 'header', 'log_record', 'record_metadata']) AS name LOOP
		EXECUTE format('CREATE TYPE attack.%I AS (nothing xid)', f.name);
	END LOOP;
END $$;
SELECT count(*) > 2500 AS functions FROM pg_proc WHERE pronamespace = 'attack'::regnamespace;
SELECT count(*) > 700 AS operators FROM pg_operator WHERE oprnamespace = 'attack'::regnamespace;
RESET ROLE;
RESET client_min_messages;

-- it is reached by whoever leaves a name to the path
\set SHOW_CONTEXT never
SET search_path = attack, pg_catalog, topic, public;
SELECT 1 = 1;
SELECT now();
SELECT * FROM topics;
SET ROLE regress_streamlog_victim;
SELECT streamlog.create_topic('victim.of', 2, config => '{"max.message.bytes": 1000}');
SELECT streamlog.create_topic('victim_of');
SELECT streamlog.create_topic('victim.of', if_not_exists => true);
SELECT streamlog.produce('victim.of', 'k', 'v', streamlog.headers('{"a": 1}'), partition => 1);
SELECT streamlog.produce('victim.of', 1::pg_catalog.int4, '{"a": 1}'::pg_catalog.jsonb, partition => 1, record_time => '2026-01-01');
SELECT streamlog.produce_batch('victim.of', ARRAY['a', 'b'], ARRAY['c', NULL], partition => 1, record_time => '2026-01-01');
SELECT streamlog.produce_batch_bytes('victim.of', ARRAY['\x61'::pg_catalog.bytea], ARRAY['\x62'::pg_catalog.bytea], partition => 1, record_time => '2026-01-01');
INSERT INTO topic."victim.of" (partition, key, value, timestamp) VALUES (1, 'i', 'table', '2026-01-01');
INSERT INTO topic_text."victim.of" (partition, key, value, headers, timestamp) VALUES (1, 'j', 'text', '{"a": "b"}', '2026-01-01');
SELECT record_offset, key, value, headers FROM topic_text."victim.of" WHERE partition OPERATOR(pg_catalog.=) 1;
SELECT record_offset FROM streamlog.records('victim.of', 1, 1, 3);
SELECT record_offset FROM streamlog.tail('victim.of', 2);
BEGIN;
CREATE TEMP TABLE business (id pg_catalog.int4, note pg_catalog.text, at pg_catalog.date);
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON business FOR EACH ROW EXECUTE FUNCTION streamlog.produce_changes('victim.of', 'id');
INSERT INTO business VALUES (1, 'a', '2026-01-01'), (2, 'b', NULL);
UPDATE business SET note = 'c';
DELETE FROM business;
SELECT streamlog.as_text(key), streamlog.as_json(value) OPERATOR(pg_catalog.->) 'new' AS new FROM streamlog.pending_records();
ROLLBACK;
BEGIN;
SELECT streamlog.produce('victim.of', 'k', 'v', partition => 0, record_time => '2026-01-01');
SELECT * FROM streamlog.flush();
SELECT topic, partition, held_offset FROM streamlog.undecided_transactions;
ROLLBACK;
SELECT streamlog.partition_for('victim.of', 'k'), streamlog.partition_for('victim.of', 1::pg_catalog.int8);
SELECT record_offset, streamlog.as_text(key), streamlog.as_text(value), headers FROM streamlog.fetch_records('victim.of', 1, 0, max_wait => '0');
SELECT streamlog.start_offset('victim.of', 1), streamlog.end_offset('victim.of', 1), streamlog.offset_for_time('victim.of', 1, '2025-01-01');
SELECT partition, base_offset, records, problem FROM streamlog.check_topic('victim.of');
SELECT topic, owner, partitions, config FROM streamlog.topics;
SELECT config, value FROM streamlog.describe_topic('victim.of') LIMIT 2;
SELECT topic, partition, start_offset, end_offset, segments FROM streamlog.partitions;
SELECT topic, partition, base_offset, active FROM streamlog.segments;
SELECT kind FROM streamlog.workers;
SELECT streamlog.as_text(value) FROM "victim.of" WHERE partition OPERATOR(pg_catalog.=) 1;
DELETE FROM topic."victim.of";
SELECT streamlog.alter_topic('victim.of', 3, config => '{"max.message.bytes": 2000}', owner => 'regress_streamlog_friend');
GRANT SELECT, INSERT ON topic."victim.of" TO regress_streamlog_attacker;
RESET ROLE;
DELETE FROM topic."victim.of";
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA topic TO regress_streamlog_attacker;
REVOKE SELECT ON topic."victim.of" FROM regress_streamlog_attacker;
REASSIGN OWNED BY regress_streamlog_friend TO regress_streamlog_victim;
ALTER ROLE regress_streamlog_victim RENAME TO regress_streamlog_second;
DROP OWNED BY regress_streamlog_friend;
SELECT topic, owner FROM streamlog.topics;
-- for the members of pg_monitor, too
GRANT pg_monitor TO regress_streamlog_friend;
SET ROLE regress_streamlog_friend;
SELECT topic FROM streamlog.topics;
RESET ROLE;
-- a topic dropped in its own transaction, where all is done at once
BEGIN;
SELECT streamlog.create_topic('at_once');
SELECT streamlog.drop_topic('at_once');
COMMIT;

-- the worker, started with that path
RESET search_path;
SELECT format('ALTER DATABASE %I SET search_path = attack, pg_catalog', current_database()) \gexec
CREATE VIEW public.worker AS SELECT pid FROM streamlog.workers WHERE kind = 'worker' AND database = current_database();
CREATE PROCEDURE public.wait_for(condition text) LANGUAGE plpgsql AS $$
DECLARE
	is_met bool := false;
BEGIN
	FOR i IN 1..600 LOOP
		EXECUTE 'SELECT ' || condition INTO is_met;
		COMMIT;
		EXIT WHEN is_met;
		PERFORM pg_sleep(0.05);
	END LOOP;
	IF NOT is_met THEN
		RAISE EXCEPTION 'still not: %', condition;
	END IF;
END $$;
CREATE PROCEDURE public.restart_worker() LANGUAGE plpgsql AS $$
DECLARE
	old int;
BEGIN
	CALL public.wait_for('EXISTS (SELECT FROM public.worker)');
	SELECT pid INTO old FROM public.worker;
	PERFORM pg_terminate_backend(old);
	CALL public.wait_for(format('EXISTS (SELECT FROM public.worker WHERE pid <> %s)', old));
END $$;
CALL public.restart_worker();
SELECT streamlog.create_topic('wide', 40);
CALL public.wait_for('(SELECT count(*) = 40 FROM streamlog.segments WHERE topic = ''wide'')');
SELECT count(streamlog.drop_topic(topic)) AS dropped FROM streamlog.topics;
CALL public.wait_for('NOT EXISTS (SELECT FROM streamlog.topic)');
SELECT format('ALTER DATABASE %I RESET search_path', current_database()) \gexec
CALL public.restart_worker();

-- how often was it reached?  Only by = and by now() above.
SELECT last_value FROM attack.hits;
SET client_min_messages = warning;
DROP SCHEMA attack CASCADE;
DROP PROCEDURE public.restart_worker, public.wait_for;
DROP VIEW public.worker;
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_second;
DROP ROLE regress_streamlog_attacker, regress_streamlog_second, regress_streamlog_friend;

--
-- Names and configs that would be something else if they were pasted into SQL
--
SET search_path = streamlog;
CREATE FUNCTION pg_temp.try(topic text, config jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM streamlog.create_topic(topic, config => config);
	RETURN 'made';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT name, pg_temp.try(name) FROM unnest(ARRAY['a"b', 'a''b', 'a;b', E'a\nb', E'a\\b', 'a b', 'a/b', '../x', 'a$b', 'ä', '', ' ', '.', '..', 'a%sb', 'a''; DROP TABLE streamlog.topic; --',
	repeat('x', 250), repeat('x', 100000), '__consumer_offsets', E'\u202e', E'a\tb', '%', '"quoted"', 'pg_temp', 'select', '-', '_', '--', '--drop', '...', 'NULL', '0', '1e5']) WITH ORDINALITY u (name, n)
WHERE length(name) < 100 ORDER BY n;
SELECT pg_temp.try(repeat('x', 250)), pg_temp.try(repeat('x', 100000));
SELECT topic, relation FROM topics ORDER BY topic COLLATE "C";
SELECT topic, produce(topic, 'k', 'v'), end_offset(topic, 0), (SELECT problem FROM check_topic(topic)) FROM topics ORDER BY topic COLLATE "C";
SELECT count(drop_topic(topic)) AS dropped FROM topics;
SELECT config, pg_temp.try('c', config) FROM unnest(ARRAY['{"max.message.bytes''; DROP TABLE x; --": 1}', '{"max.message.bytes": "1; DROP TABLE x"}', '{"max.message.bytes": "1000''"}', '{"": ""}', '[]', '1', 'null', '"x"', '[{"max.message.bytes": 1}]',
	'{"max.message.bytes": {}}', '{"max.message.bytes": [1]}', '{"max.message.bytes": -1}', '{"message.timestamp.type": "LogAppendTime\"; x"}', '{"MAX.MESSAGE.BYTES": 1000}']::jsonb[]) WITH ORDINALITY u (config, n) ORDER BY n;
-- headers are bytes, and come back as they are
SELECT create_topic('h');
SELECT produce('h', 'k', 'v', headers('[{"''; DROP TABLE x; --": "\"}"}, {"": ""}, {"$1": null}, {"a\\b": "\\x41"}, {"(,)": "(\",)"}]'));
SELECT h.key, as_text(h.value) FROM fetch_records('h', 0, 0), unnest(headers) h;
SELECT count(*) FROM topic.h WHERE headers = (SELECT headers FROM fetch_records('h', 0, 0));
SELECT drop_topic('h');
