--
-- check: what somebody with the rights to do it may have done to the tables below
-- a topic.  check_topic() says what and where; a fetch that comes across it
-- raises, and never returns the records behind a damage as if nothing were there.
--
-- Mutations: a scan, or the check, takes a deleted record for one that never was;
-- does not compare offsets, the partition, or where the next segment begins; the
-- check does not compare what is stored with what was given out; an append does
-- not look at the last record.
--
SET client_min_messages = warning;
-- the names of segments show below
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
-- else all of it is refused
SET allow_system_table_mods = on;

-- a topic of one partition and n records, and its segment
CREATE FUNCTION make(topic text, n int DEFAULT 5) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN
	PERFORM create_topic(topic);
	PERFORM produce(topic, 'k' || i, 'v' || i) FROM generate_series(0, n - 1) i;
	PERFORM flush();
	RETURN (SELECT relation FROM segments s WHERE s.topic = make.topic);
END $$;

-- sound, with a gap
SELECT make('sound') AS segment \gset
BEGIN;
SELECT produce('sound', 'k', 'lost');
SELECT count(*) FROM flush();
ROLLBACK;
SELECT produce('sound', 'k', 'v6');
SELECT * FROM check_topic('sound');

--
-- A record that was changed, or deleted: it must not be skipped
--
SELECT make('changed') AS segment \gset
UPDATE :segment SET value = 'other' WHERE record_offset = 2;
SELECT partition, segment, base_offset, records, problem FROM check_topic('changed');
SELECT record_offset, as_text(value) FROM fetch_records('changed', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT record_offset, as_text(value) FROM fetch_records('changed', 0, 2);
SELECT record_offset, as_text(value) FROM fetch_records('changed', 0, 3);

SELECT make('changed_last') AS segment \gset
UPDATE :segment SET value = 'other' WHERE record_offset = 4;
SELECT records, problem FROM check_topic('changed_last');
SELECT record_offset, as_text(value) FROM fetch_records('changed_last', 0, 0);

SELECT make('deleted') AS segment \gset
DELETE FROM :segment WHERE record_offset = 2;
SELECT records, problem FROM check_topic('deleted');
SELECT record_offset FROM fetch_records('deleted', 0, 0);
\echo :LAST_ERROR_SQLSTATE

-- a lock, or a deletion that was rolled back, changes nothing
SELECT make('locked') AS segment \gset
BEGIN;
SELECT count(*) FROM (SELECT FROM :segment FOR UPDATE) l;
COMMIT;
BEGIN;
DELETE FROM :segment;
SELECT records, problem FROM check_topic('locked');
ROLLBACK;
SELECT records, problem FROM check_topic('locked');
SELECT count(*) FROM fetch_records('locked', 0, 0);

--
-- A record that was put in
--
-- above the end: what is appended after it is behind it
SELECT make('planted') AS segment \gset
INSERT INTO :segment VALUES (100, '2001-01-01', 0, NULL, 'planted', NULL);
SELECT records, problem FROM check_topic('planted');
SELECT record_offset FROM fetch_records('planted', 0, 0);
SELECT produce('planted', 'k', 'v5');
SELECT records, problem FROM check_topic('planted');
SELECT record_offset FROM fetch_records('planted', 0, 0);
SELECT record_offset FROM fetch_records('planted', 0, 5);

DELETE FROM :segment WHERE record_offset = 100;
VACUUM FULL :segment;
SELECT produce('planted', 'k', 'after the repair');
SELECT record_offset FROM fetch_records('planted', 0, 4);

-- below the end
SELECT make('twice') AS segment \gset
INSERT INTO :segment SELECT * FROM :segment WHERE record_offset = 4;
SELECT records, problem FROM check_topic('twice');
SELECT record_offset FROM fetch_records('twice', 0, 0);

-- of another partition; the constraint has to be dropped for that
SELECT make('foreign') AS segment \gset
INSERT INTO :segment VALUES (5, '2001-01-01', 1, NULL, NULL, NULL);
SELECT conname FROM pg_constraint WHERE conrelid = :'segment'::regclass \gset
ALTER TABLE :segment DROP CONSTRAINT :conname;
INSERT INTO :segment VALUES (5, '2001-01-01', 1, NULL, NULL, NULL);
SELECT records, problem FROM check_topic('foreign');
SELECT count(*) FROM fetch_records('foreign', 0, 0);

-- more problems than are worth reading
SELECT make('many', 100) AS segment \gset
INSERT INTO :segment SELECT * FROM :segment ORDER BY record_offset DESC LIMIT 50;
SELECT records, problem FROM check_topic('many');

-- in order again after a repair by hand
DELETE FROM :segment;
VACUUM FULL :segment;
SELECT records, problem FROM check_topic('many');

--
-- Values that cannot be read
--
CREATE EXTENSION pg_surgery;
SELECT create_topic('unreadable');
SELECT relation AS segment FROM segments WHERE topic = 'unreadable' \gset
SELECT produce('unreadable', 'k', 'v0');
SELECT produce('unreadable', 'k', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i));
SELECT produce('unreadable', 'k', 'v2');
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = :'segment'::regclass \gset
SELECT heap_force_kill(:'toast'::regclass, ARRAY['(0,2)']::tid[]);
SELECT records, regexp_replace(problem, '\d+ in pg_toast_\d+', '... in pg_toast_...') AS problem FROM check_topic('unreadable');
\set VERBOSITY sqlstate
SELECT record_offset FROM fetch_records('unreadable', 0, 0);
\set VERBOSITY default
SELECT record_offset FROM fetch_records('unreadable', 0, 2);
DROP EXTENSION pg_surgery;

--
-- The table
--
SELECT make('unlogged') AS segment \gset
ALTER TABLE :segment SET UNLOGGED;
SELECT records, problem FROM check_topic('unlogged');
SELECT count(*) FROM fetch_records('unlogged', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT produce('unlogged', 'k', 'v');
ALTER TABLE :segment SET LOGGED;
SELECT produce('unlogged', 'k', 'v');

SELECT make('wider') AS segment \gset
ALTER TABLE :segment ADD COLUMN x int;
SELECT records, problem FROM check_topic('wider');
SELECT count(*) FROM fetch_records('wider', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT produce('wider', 'k', 'v');
ALTER TABLE :segment DROP COLUMN x;
SELECT records, problem FROM check_topic('wider');
SELECT produce('wider', 'k', 'v');

-- read by fetches, not by queries of the topic's table
SELECT make('orphan') AS segment \gset
ALTER TABLE :segment NO INHERIT topic.orphan;
SELECT records, problem FROM check_topic('orphan');
SELECT count(*) FROM topic.orphan;
SELECT count(*) FROM fetch_records('orphan', 0, 0);
ALTER TABLE :segment INHERIT topic.orphan;
SELECT records, problem FROM check_topic('orphan');
SELECT count(*) FROM topic.orphan;

-- an index, another owner, another place and name
CREATE ROLE regress_streamlog_other;
SELECT make('altered') AS segment \gset
CREATE INDEX on_altered ON :segment (record_offset);
ALTER TABLE :segment OWNER TO regress_streamlog_other;
SELECT records, problem FROM check_topic('altered');
SELECT count(*) FROM fetch_records('altered', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT produce('altered', 'k', 'v');
DROP INDEX streamlog_segment.on_altered;
ALTER TABLE :segment OWNER TO CURRENT_USER;
DROP ROLE regress_streamlog_other;
ALTER TABLE :segment RENAME TO renamed;
ALTER TABLE streamlog_segment.renamed SET SCHEMA public;
SELECT produce('altered', 'k', 'v');
SELECT segment, records, problem FROM check_topic('altered');
SELECT count(*) FROM fetch_records('altered', 0, 0);

-- a column of another type
SELECT make('retyped') AS segment \gset
ALTER TABLE :segment NO INHERIT topic.retyped;
ALTER TABLE :segment ALTER key TYPE text USING 'k';
SELECT records, problem FROM check_topic('retyped');
SELECT count(*) FROM fetch_records('retyped', 0, 0);
SELECT produce('retyped', 'k', 'v');

--
-- A log of three segments
--
CREATE PROCEDURE await_segments(of_topic text, n int) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	WHILE (SELECT count(*) FROM segments WHERE topic = of_topic) < n LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'the worker has not rolled';
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE make_rolled(of_topic text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM create_topic(of_topic, config => '{"segment.bytes": 1048576}');
	FOR i IN 1..2 LOOP
		PERFORM produce(of_topic, 'k', sha512(n::text::bytea) || convert_to(repeat('x', 900), 'UTF8')) FROM generate_series(1, 1200) n;
		COMMIT;
		CALL await_segments(of_topic, i + 1);
	END LOOP;
	PERFORM produce(of_topic, 'k', 'v') FROM generate_series(1, 3);
	COMMIT;
END $$;
CREATE VIEW of_rolled AS SELECT relation, base_offset, row_number() OVER (ORDER BY base_offset) AS n
FROM segments WHERE topic = 'rolled';
CALL make_rolled('rolled');
SELECT base_offset, records, problem FROM check_topic('rolled');
SELECT relation AS first FROM of_rolled WHERE n = 1 \gset
SELECT relation AS second FROM of_rolled WHERE n = 2 \gset
SELECT relation AS third FROM of_rolled WHERE n = 3 \gset

-- records in the wrong one
BEGIN;
INSERT INTO :first SELECT * FROM :second WHERE record_offset = 1200;
INSERT INTO :third SELECT * FROM :first WHERE record_offset = 1199;
SELECT base_offset, records, problem FROM check_topic('rolled');
SAVEPOINT s;
SELECT count(*) FROM fetch_records('rolled', 0, 1190, 20);
ROLLBACK TO s;
SELECT count(*) FROM fetch_records('rolled', 0, 0, 1190, 10000000);
SELECT count(*) FROM fetch_records('rolled', 0, 1190, 20);
ROLLBACK TO s;
SELECT record_offset FROM fetch_records('rolled', 0, 2400);
ROLLBACK TO s;
SELECT produce('rolled', 'k', 'v');
SELECT record_offset FROM flush();
ROLLBACK;
VACUUM :first, :third;
SELECT base_offset, records, problem FROM check_topic('rolled');

-- one that was dropped: a fetch does not begin behind it, and none that comes to
-- it goes on
DROP TABLE :second;
SELECT base_offset, segment IS NULL AS gone, records, problem FROM check_topic('rolled');
SELECT count(*) FROM fetch_records('rolled', 0, 0, 1199, 10000000);
SELECT count(*) FROM fetch_records('rolled', 0, 1000);
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM fetch_records('rolled', 0, 1200);
SELECT count(*) FROM fetch_records('rolled', 0, 2399);
SELECT record_offset FROM fetch_records('rolled', 0, 2400);
SELECT offset_for_time('rolled', 0, 'infinity');
SELECT produce('rolled', 'k', 'v');
SELECT record_offset FROM fetch_records('rolled', 0, 2400);
SELECT drop_topic('rolled');
DROP PROCEDURE make_rolled, await_segments;
DROP VIEW of_rolled;

--
-- Our own rows
--
SELECT make('based') AS segment \gset
UPDATE streamlog.segment SET base = 3 WHERE relation = :'segment'::regclass;
SELECT base_offset, records, problem FROM check_topic('based');
SELECT make('without_row') AS segment \gset
DELETE FROM streamlog.segment WHERE relation = :'segment'::regclass;
SELECT * FROM check_topic('without_row');
SELECT make('two_segments') AS segment \gset
SELECT make('two_other') AS other \gset
INSERT INTO streamlog.segment (topic_id, partition, base, relation)
SELECT topic_id, 0, 3, :'other'::regclass FROM topics WHERE topic = 'two_segments';
SELECT segment, base_offset, records, problem FROM check_topic('two_segments');

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP FUNCTION make;
