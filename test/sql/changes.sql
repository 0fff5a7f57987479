--
-- changes: the row trigger produce_changes()
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE FUNCTION records_of(topic text) RETURNS TABLE (at bigint, key text, value text) LANGUAGE sql AS $$
	SELECT record_offset, as_text(r.key), as_text(r.value)
	FROM fetch_records(topic, 0, 0, 100000, 100000000) r
$$;

--
-- What a change becomes
--
SELECT create_topic('changes');
CREATE SCHEMA "some Shop";
CREATE TABLE "some Shop"."a ""table""" (id int, gone int, "the Name" text, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE "some Shop"."a ""table""" DROP gone;
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON "some Shop"."a ""table"""
	FOR EACH ROW EXECUTE FUNCTION produce_changes('changes', 'id');
INSERT INTO "some Shop"."a ""table""" VALUES (1, 'a'), (2, NULL);
UPDATE "some Shop"."a ""table""" SET "the Name" = E'"b" \\ \u00e4 \u20ac\n\x01\x7f' WHERE id = 1;
UPDATE "some Shop"."a ""table""" SET id = 3 WHERE id = 2;
UPDATE "some Shop"."a ""table""" SET id = NULL WHERE id = 3;
DELETE FROM "some Shop"."a ""table""";
SELECT * FROM records_of('changes');
-- it is JSON, in UTF-8
SELECT count(as_json(value)), min(as_json(value) -> 'new' ->> 'the Name') FROM fetch_records('changes', 0, 2, 1);
DROP SCHEMA "some Shop" CASCADE;

-- no key column: no key; a table without columns, and one whose columns are new
SELECT create_topic('keyless');
CREATE TABLE bare ();
CREATE TRIGGER changes AFTER INSERT OR UPDATE ON bare FOR EACH ROW EXECUTE FUNCTION produce_changes('keyless');
INSERT INTO bare DEFAULT VALUES;
ALTER TABLE bare ADD id int DEFAULT 7, ADD t text DEFAULT 'added';
UPDATE bare SET id = 8;
SELECT * FROM records_of('keyless');
DROP TABLE bare;

--
-- Every kind of value is what row_to_json() makes of it, and a key is what
-- produce() makes of it.  Mutations: old and new are exchanged; the row is taken
-- with its dropped columns; a char(n) keeps its blanks in a key.
--
CREATE TYPE pair AS (a int, b text);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE color AS ENUM ('red', 'green');
CREATE FUNCTION color_json(color) RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('color', $1::text) WHERE $1 <> 'green' $$;
CREATE CAST (color AS json) WITH FUNCTION color_json(color);
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE DOMAIN twofold AS positive;
CREATE DOMAIN pair_domain AS pair;
CREATE DOMAIN ints AS int[];
CREATE DOMAIN doc AS json;
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN padded AS char(4);
CREATE TABLE kinds (
	id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, d date, ts timestamp, tz timestamptz,
	t time, ttz timetz, iv interval, tx text, vc varchar(200), c char(5), c1 "char", nm name, by bytea, j json, jb jsonb,
	ia int[], ta text[], pr pair, prs pair[], md mood, mds mood[], co color, cos color[], pos positive, two twofold,
	pd pair_domain, ints ints, doc doc, mo moment, u uuid, ip inet, pt point, rg int4range, mr int4multirange, bt bit(3),
	vb varbit, tsv tsvector, o oid, rc regclass, lsn pg_lsn, x xml, iv2 int2vector, mon money, pad padded);
INSERT INTO kinds (id) VALUES (0);
INSERT INTO kinds VALUES
	(1, true, 32767, 9223372036854775807, 'NaN', 'Infinity', 'NaN', 'infinity', 'infinity', 'infinity',
	'23:59:59.999999', '12:00+02', '1 year 2 days 3 s', E'a "q" \\ / \b\f\n\r\t\x1f\x7f \u00e4\U0001F600', 'varchar', 'c', 'c', 'name', '\x00ff', E'{"a":\n [1, null]}', '{"b": [1.50, "\u00e4"]}',
	'{{1,2},{NULL,4}}', '{"a\"b",NULL}', '(1,"x ""y")', '{"(1,a)",NULL}', 'sad', '{sad,ok}', 'red', '{red,red}', 0.50, 1e20,
	'(,)', '{}', '[]', '2001-02-03 04:05:06.7+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.0/8', '(1,2)', '[1,5)', '{[1,2),[5,6)}', B'101',
	B'1', 'a:1 b', 4294967295, 'pg_class', '16/B374D848', NULL, '1 2 3', 1.5, 'p'),
	(2, false, -32768, -9223372036854775808, '-Infinity', '-0', '-Infinity', '-infinity', '-infinity', '-infinity',
	'00:00', '12:00-12:59', '-1 month', '', '', '', '', '', '', 'null', 'null',
	'{}', '{}', '(,)', '{}', 'ok', '{}', NULL, '{}', 'NaN', 1,
	NULL, '[5:6]={1,2}', '"s"', '-infinity', NULL, '::1', '(NaN,0)', 'empty', '{}', B'000',
	B'', '', 0, 0, '0/0', NULL, '', -0.01, ''),
	(3, NULL, 0, 0, 1.1, 1e-300, 0.000000000000000000001, '0044-03-15 BC', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999+00',
	'24:00', NULL, '00:00:00.000001', repeat('compressed "', 20000), repeat('v', 200), 'umläu', 'x', repeat('n', 63), decode(repeat('00', 3000), 'hex'), ' 1', '1e400',
	NULL, ARRAY[repeat('y', 3000)], ROW(1, repeat('z', 3000)), ARRAY[ROW(2, repeat('z', 3000))::pair], NULL, NULL, NULL, NULL, 12345678901234567890.5, NULL,
	ROW(1, 'x'), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'four');
-- a large value out of line, and not compressible
INSERT INTO kinds (id, tx) SELECT 4, string_agg(md5(i::text) || E'\t', '') FROM generate_series(1, 10000) i;
SELECT create_topic('kinds');
CREATE TRIGGER changes AFTER UPDATE ON kinds FOR EACH ROW EXECUTE FUNCTION produce_changes('kinds', 'id');
CREATE TABLE before AS SELECT id, row_to_json(k)::text AS json FROM kinds k;
UPDATE kinds SET id = id + 10;
SELECT k.id, as_text(r.value) = format('{"op":"update","table":"public.kinds","old":%s,"new":%s}', b.json, row_to_json(k)) AS the_same
FROM kinds k JOIN before b ON b.id = k.id - 10 LEFT JOIN fetch_records('kinds', 0, 0, max_bytes => 100000000) r ON as_text(r.key) = k.id::text
ORDER BY k.id;
SELECT key, length(value), left(value, 300) AS value FROM records_of('kinds') LIMIT 5;
DROP TRIGGER changes ON kinds;

SELECT create_topic('keys');
CREATE PROCEDURE compare_keys() LANGUAGE plpgsql AS $$
DECLARE
	columns name[] := array_agg(attname) FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0 AND attname NOT IN ('tx', 'c1');
	col name;
	next bigint := 0;
	different int;
	n int;
BEGIN
	FOREACH col IN ARRAY columns LOOP
		EXECUTE format('CREATE OR REPLACE TRIGGER changes AFTER UPDATE ON kinds
			FOR EACH ROW EXECUTE FUNCTION produce_changes(''keys'', %L)', col);
		UPDATE kinds SET c1 = c1 WHERE id < 14;
		EXECUTE format('SELECT count(produce(''keys'', %I, ''expected'')) FROM kinds WHERE id < 14', col);
		COMMIT;
		WITH r AS MATERIALIZED (SELECT *, as_text(value) <> 'expected' AS ours FROM fetch_records('keys', 0, next, max_bytes => 100000000)),
			d AS ((SELECT key FROM r WHERE ours EXCEPT ALL SELECT key FROM r WHERE NOT ours) UNION ALL
				(SELECT key FROM r WHERE NOT ours EXCEPT ALL SELECT key FROM r WHERE ours))
		SELECT (SELECT count(*) FROM d), count(*) INTO different, n FROM r;
		IF different > 0 OR n <> 8 THEN
			RAISE NOTICE 'key column %: % of % differ', col, different, n;
		END IF;
		next := next + n;
	END LOOP;
	RAISE NOTICE '% columns', cardinality(columns);
END $$;
CALL compare_keys();
DROP PROCEDURE compare_keys;
DROP TABLE kinds, before;
DROP TYPE pair, mood, color, positive, pair_domain, ints, doc, moment, padded CASCADE;

--
-- Tombstones.  Mutations: a changed key leaves none behind; a delete has a value.
--
SELECT create_topic('compacted');
CREATE TABLE account (id int, balance int);
INSERT INTO account VALUES (NULL, 0);
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON account
	FOR EACH ROW EXECUTE FUNCTION produce_changes('compacted', 'id', 'tombstone');
INSERT INTO account VALUES (1, 10), (2, 20);
UPDATE account SET balance = 11 WHERE id = 1;
UPDATE account SET id = 3 WHERE id = 2;
DELETE FROM account WHERE id IS NOT NULL;
-- a row that had no key
UPDATE account SET id = 4;
UPDATE account SET id = NULL;
INSERT INTO account VALUES (NULL, 0);
ALTER TABLE account DISABLE TRIGGER changes;
UPDATE account SET id = NULL;
ALTER TABLE account ENABLE TRIGGER changes;
DELETE FROM account;
SELECT at, key, value, value IS NULL AS is_null FROM records_of('compacted');
DROP TABLE account;

--
-- 10,000 rows of one statement are one append: the log's time is one for an
-- append.  Mutation: the trigger flushes.
--
SELECT create_topic('many', config => '{"message.timestamp.type": "LogAppendTime"}');
CREATE TABLE many (i int);
CREATE TRIGGER changes AFTER INSERT ON many FOR EACH ROW EXECUTE FUNCTION produce_changes('many', 'i');
INSERT INTO many SELECT generate_series(1, 10000);
SELECT count(*), count(DISTINCT timestamp) AS appends, max(record_offset),
	bool_and(as_text(key)::int = record_offset + 1) AS in_order
FROM fetch_records('many', 0, 0, 100000, 100000000);
BEGIN;
COPY many FROM STDIN;
10001
10002
\.
INSERT INTO many VALUES (10003);
SELECT end_offset('many', 0);
SAVEPOINT s;
INSERT INTO many VALUES (10004);
ROLLBACK TO s;
INSERT INTO many VALUES (10005);
COMMIT;
SELECT count(*), count(DISTINCT timestamp) AS appends, array_agg(as_text(key)) AS keys FROM fetch_records('many', 0, 10000);
-- a statement that fails leaves none
INSERT INTO many SELECT i / (3 - i) FROM generate_series(1, 3) i;
CREATE UNIQUE INDEX ON many (i);
INSERT INTO many VALUES (20000), (1);
SELECT end_offset('many', 0);
-- a row at a time, each on its own
INSERT INTO many VALUES (10006);
INSERT INTO many VALUES (10007);
SELECT count(*), count(DISTINCT timestamp) AS appends FROM fetch_records('many', 0, 10004);
DROP TABLE many;

--
-- All ways to write
--
SELECT create_topic('ways');
CREATE TABLE ways (id int PRIMARY KEY, v text);
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON ways FOR EACH ROW EXECUTE FUNCTION produce_changes('ways', 'id');
INSERT INTO ways VALUES (1, 'conflict') ON CONFLICT (id) DO UPDATE SET v = 'not yet';
INSERT INTO ways VALUES (1, 'conflict') ON CONFLICT (id) DO UPDATE SET v = 'updated';
INSERT INTO ways VALUES (1, 'nothing') ON CONFLICT DO NOTHING;
MERGE INTO ways USING (VALUES (1), (2)) s (id) ON ways.id = s.id
	WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'merged');
WITH deleted AS (DELETE FROM ways WHERE id = 1 RETURNING v) INSERT INTO ways SELECT 3, v FROM deleted;
UPDATE ways SET v = v WHERE false;
TRUNCATE ways;
SELECT * FROM records_of('ways');
DROP TABLE ways;

-- WHEN and UPDATE OF; several triggers, for several topics
SELECT create_topic('narrow');
CREATE TABLE narrow (id int, v text, w text);
CREATE TRIGGER a AFTER UPDATE OF v ON narrow FOR EACH ROW WHEN (OLD.v <> NEW.v) EXECUTE FUNCTION produce_changes('narrow', 'v');
CREATE TRIGGER b AFTER UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION produce_changes('ways', 'w');
INSERT INTO narrow VALUES (1, 'a', 'x');
UPDATE narrow SET v = 'a';
UPDATE narrow SET w = 'y';
UPDATE narrow SET v = 'b';
SELECT * FROM records_of('narrow');
SELECT * FROM records_of('ways') WHERE value ~ 'narrow';
DROP TABLE narrow;

--
-- Partitions and children: the table that holds the row
--
SELECT create_topic('parts');
CREATE TABLE parted (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 (v text, dropped int, id int);
ALTER TABLE parted_2 DROP dropped;
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON parted FOR EACH ROW EXECUTE FUNCTION produce_changes('parts', 'id', 'tombstone');
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (10) TO (20);
INSERT INTO parted VALUES (1, 'one'), (11, 'eleven'), (2, 'two');
UPDATE parted SET v = upper(v);
UPDATE parted SET id = 12 WHERE id = 2;
DELETE FROM parted WHERE id < 12;
SELECT * FROM records_of('parts');
DROP TABLE parted;

SELECT create_topic('children');
CREATE TABLE parent (id int);
CREATE TABLE child (more text) INHERITS (parent);
CREATE TRIGGER changes AFTER INSERT OR UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION produce_changes('children', 'id');
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 'silent');
UPDATE parent SET id = id + 10;
CREATE TRIGGER changes AFTER UPDATE ON child FOR EACH ROW EXECUTE FUNCTION produce_changes('children', 'id');
UPDATE parent SET id = id + 10;
SELECT * FROM records_of('children');
DROP TABLE parent CASCADE;

--
-- Deferred: in the commit, before the append
--
SELECT create_topic('deferred');
CREATE TABLE later (id int);
CREATE CONSTRAINT TRIGGER changes AFTER INSERT OR UPDATE ON later DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION produce_changes('deferred', 'id');
BEGIN;
INSERT INTO later VALUES (1);
SELECT produce('deferred', 'between', NULL);
INSERT INTO later VALUES (2);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT produce('deferred', 'immediate', NULL);
SET CONSTRAINTS ALL DEFERRED;
UPDATE later SET id = 3 WHERE id = 1;
SELECT produce('deferred', 'last', NULL);
COMMIT;
BEGIN;
INSERT INTO later VALUES (4);
SAVEPOINT s;
INSERT INTO later VALUES (5);
ROLLBACK TO s;
COMMIT;
INSERT INTO later VALUES (6);
SELECT at, key FROM records_of('deferred');
DROP TABLE later;

--
-- As a replica, a subscriber's apply included, triggers fire only where they are
-- told to
--
SELECT create_topic('replica');
CREATE TABLE replica (id int);
CREATE TRIGGER changes AFTER INSERT ON replica FOR EACH ROW EXECUTE FUNCTION produce_changes('replica', 'id');
SET session_replication_role = replica;
INSERT INTO replica VALUES (1);
ALTER TABLE replica ENABLE ALWAYS TRIGGER changes;
INSERT INTO replica VALUES (2);
RESET session_replication_role;
INSERT INTO replica VALUES (3);
SELECT at, key FROM records_of('replica');
DROP TABLE replica;

--
-- Refusals
--
\set VERBOSITY default
SELECT produce_changes();
SELECT * FROM produce_changes();
CREATE TABLE refused (id int, gone int, v text);
ALTER TABLE refused DROP gone;
CREATE VIEW refused_view AS SELECT * FROM refused;
-- one that cannot be, for the time of a statement
CREATE PROCEDURE refuse(timing text, level text, arguments text, statement text, tab text DEFAULT 'refused') LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	EXECUTE format('CREATE TRIGGER changes %s ON %s FOR EACH %s EXECUTE FUNCTION produce_changes(%s)', timing, tab, level, arguments);
	BEGIN
		EXECUTE statement;
		RAISE NOTICE 'not refused';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
		RAISE NOTICE '%', concat_ws(E'\n', state || ': ' || message, nullif(detail, ''), nullif(hint, ''));
	END;
	EXECUTE format('DROP TRIGGER changes ON %s', tab);
END $$;
INSERT INTO refused VALUES (1, 'there');
CALL refuse('BEFORE INSERT', 'ROW', $$'ways', 'id'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('BEFORE DELETE', 'ROW', $$'ways', 'id'$$, 'DELETE FROM refused');
CALL refuse('AFTER INSERT', 'STATEMENT', $$'ways', 'id'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('BEFORE UPDATE', 'STATEMENT', $$'ways', 'id'$$, 'UPDATE refused SET id = 1');
CALL refuse('AFTER TRUNCATE', 'STATEMENT', $$'ways', 'id'$$, 'TRUNCATE refused');
CALL refuse('INSTEAD OF INSERT', 'ROW', $$'ways', 'id'$$, 'INSERT INTO refused_view VALUES (2)', 'refused_view');
CALL refuse('AFTER INSERT', 'ROW', '', 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'id', 'tombstone', 'more'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'nothing'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'ID'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', ''$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', '........pg.dropped.2........'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'ctid'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'tableoid'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'tombstone'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', '', 'tombstone'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'id', 'compact'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'id', ''$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'id', 'tombstone'$$, 'INSERT INTO refused VALUES (NULL)');
CALL refuse('AFTER UPDATE', 'ROW', $$'ways', 'id', 'tombstone'$$, 'UPDATE refused SET id = NULL');
CALL refuse('AFTER INSERT', 'ROW', $$'no_such_topic', 'id'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$''$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER INSERT', 'ROW', $$'a topic'$$, 'INSERT INTO refused VALUES (2)');
CALL refuse('AFTER DELETE', 'ROW', format('%L', repeat('t', 300)), 'DELETE FROM refused');
-- a row that no trigger fires for is no error
CALL refuse('AFTER INSERT', 'ROW', $$'no_such_topic'$$, 'INSERT INTO refused SELECT WHERE false');
-- many columns are not all listed
CREATE TABLE wide ();
SELECT format('ALTER TABLE wide %s', string_agg(format('ADD c%s int', i), ', ')) FROM generate_series(1, 31) i \gexec
CALL refuse('AFTER INSERT', 'ROW', $$'ways', 'c0'$$, 'INSERT INTO wide VALUES (2)', 'wide');
DROP TABLE wide;
-- a row that is too large
SELECT create_topic('small', config => '{"max.message.bytes": 200}');
CALL refuse('AFTER INSERT', 'ROW', $$'small', 'id'$$, $$INSERT INTO refused VALUES (2, repeat('v', 1000))$$);
SELECT * FROM refused;
-- the trigger and the table are told
CREATE TRIGGER too_large AFTER INSERT ON refused FOR EACH ROW EXECUTE FUNCTION produce_changes('small', 'id');
INSERT INTO refused VALUES (2, repeat('v', 1000));
DROP TRIGGER too_large ON refused;

-- the key column is renamed, or dropped, later
SELECT create_topic('later');
CREATE TRIGGER changes AFTER INSERT OR UPDATE ON refused FOR EACH ROW EXECUTE FUNCTION produce_changes('later', 'id');
INSERT INTO refused VALUES (3);
ALTER TABLE refused RENAME id TO number;
INSERT INTO refused VALUES (4);
ALTER TABLE refused RENAME number TO id;
INSERT INTO refused VALUES (5);
DROP VIEW refused_view;
ALTER TABLE refused DROP id;
INSERT INTO refused VALUES ('v');
ALTER TABLE refused ADD id bigint;
INSERT INTO refused VALUES ('v', 6);
SELECT * FROM records_of('later');

-- a column is renamed while the statement runs.  Mutation: what was found out for
-- the first row is taken for the second.
TRUNCATE refused;
CREATE FUNCTION rename_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v = 'rename' THEN
		ALTER TABLE refused RENAME v TO renamed;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER z AFTER INSERT ON refused FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION rename_column();
INSERT INTO refused VALUES ('rename', 7), ('next', 8);
SELECT * FROM records_of('later') OFFSET 3;
DROP TRIGGER changes ON refused;
DROP FUNCTION rename_column CASCADE;

-- where nothing can be produced.  Mutation: it is not asked.
CREATE TEMPORARY TABLE temporary (id int);
CREATE TRIGGER changes AFTER INSERT ON temporary FOR EACH ROW EXECUTE FUNCTION produce_changes('later', 'id');
BEGIN READ ONLY;
INSERT INTO temporary VALUES (9);
ROLLBACK;
INSERT INTO temporary VALUES (10);
SELECT key, regexp_replace(value, 'pg_temp_\d+', 'pg_temp_n') AS value FROM records_of('later') OFFSET 5;
DROP TABLE temporary;
CREATE TABLE restricted (id int);
CREATE TRIGGER changes AFTER INSERT ON restricted FOR EACH ROW EXECUTE FUNCTION produce_changes('later', 'id');
CREATE FUNCTION restricted() RETURNS int LANGUAGE sql AS $$ INSERT INTO public.restricted VALUES (1) RETURNING id $$;
CREATE MATERIALIZED VIEW restricted_view AS SELECT restricted() WITH NO DATA;
REFRESH MATERIALIZED VIEW restricted_view;
DROP MATERIALIZED VIEW restricted_view;
DROP FUNCTION restricted;
BEGIN;
INSERT INTO restricted VALUES (1);
PREPARE TRANSACTION 'refused';
DROP TABLE restricted, refused;
DROP PROCEDURE refuse;

--
-- Rights: of whoever writes.  Mutation: the topic is opened without a check.
--
CREATE ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_writer;
GRANT CREATE ON SCHEMA public TO regress_streamlog_owner;
SELECT create_topic('rights');
SET ROLE regress_streamlog_owner;
CREATE TABLE orders (id int PRIMARY KEY);
CREATE TABLE items (order_id int REFERENCES orders ON UPDATE CASCADE ON DELETE CASCADE, n int);
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO regress_streamlog_writer;
GRANT INSERT ON items TO regress_streamlog_writer;
-- anybody may use it in a trigger, the owner of the table included
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION produce_changes('rights', 'id');
INSERT INTO orders VALUES (1);
SET ROLE regress_streamlog_writer;
INSERT INTO orders VALUES (1);
RESET ROLE;
SET client_min_messages = error;
CREATE ROLE "regress streamlog Quoted";
RESET client_min_messages;
GRANT INSERT ON orders TO "regress streamlog Quoted";
SET ROLE "regress streamlog Quoted";
INSERT INTO orders VALUES (1);
RESET ROLE;
-- what the hint says
GRANT INSERT ON topic.rights TO regress_streamlog_writer;
SET ROLE regress_streamlog_writer;
INSERT INTO orders VALUES (1), (2), (3);
RESET ROLE;
-- whose rights: of a function's definer, as long as it runs
CREATE FUNCTION by_definer(id int) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$ INSERT INTO public.orders VALUES (id) $$;
SET ROLE regress_streamlog_owner;
SELECT by_definer(4);
INSERT INTO orders VALUES (5);
-- of who uses a view, not of its owner
RESET ROLE;
CREATE VIEW orders_view AS SELECT * FROM orders;
GRANT INSERT ON orders_view TO "regress streamlog Quoted";
SET ROLE "regress streamlog Quoted";
INSERT INTO orders_view VALUES (5);
RESET ROLE;
-- what a foreign key does to other tables: of who has caused it
INSERT INTO items VALUES (1, 1), (2, 1), (2, 2);
CREATE TRIGGER changes AFTER UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION produce_changes('rights', 'order_id');
SET ROLE regress_streamlog_writer;
UPDATE orders SET id = 10 WHERE id = 1;
DELETE FROM orders WHERE id = 2;
RESET ROLE;
REVOKE INSERT ON topic.rights FROM regress_streamlog_writer;
GRANT INSERT ON topic.rights TO regress_streamlog_owner;
SET ROLE regress_streamlog_writer;
DELETE FROM orders WHERE id = 10;
RESET ROLE;
DROP TRIGGER changes ON orders;
SET ROLE regress_streamlog_writer;
DELETE FROM orders WHERE id = 10;
RESET ROLE;
-- a deferred one: of who commits
CREATE CONSTRAINT TRIGGER changes AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION produce_changes('rights', 'id');
SET ROLE regress_streamlog_writer;
SELECT by_definer(20);
BEGIN;
INSERT INTO orders VALUES (21);
RESET ROLE;
COMMIT;
SELECT at, key, value FROM records_of('rights');
SELECT records, problem FROM check_topic('rights');
DROP VIEW orders_view;
DROP FUNCTION by_definer;
DROP TABLE items, orders;
REVOKE CREATE ON SCHEMA public FROM regress_streamlog_owner;
SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP ROLE regress_streamlog_owner, regress_streamlog_writer, "regress streamlog Quoted";
DROP FUNCTION records_of;

--
-- In a database of another encoding: UTF-8 all the same
--
SELECT current_database() AS here \gset
CREATE DATABASE regress_streamlog_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\c regress_streamlog_latin1
SET client_encoding = 'UTF8';
SET search_path = public;
CREATE EXTENSION streamlog;
SET search_path = public, streamlog;
SELECT create_topic('latin');
CREATE TABLE latin ("Schlüssel" text);
CREATE TRIGGER changes AFTER INSERT OR DELETE ON latin FOR EACH ROW EXECUTE FUNCTION produce_changes('latin', 'Schlüssel', 'tombstone');
INSERT INTO latin VALUES ('grün');
DELETE FROM latin;
SELECT key, encode(value, 'escape') AS value, as_text(value) FROM fetch_records('latin', 0, 0);
SELECT drop_topic('latin');
\c :here
DROP DATABASE regress_streamlog_latin1 WITH (FORCE);
