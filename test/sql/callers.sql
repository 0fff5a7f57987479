--
-- callers: who gets an offset at once, who buffers until the commit; and that
-- the records are there in the order of the calls, whoever made them
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('callers');
CREATE TABLE business (id int, record_offset bigint);
CREATE TABLE other (id int, record_offset bigint);

-- the next record that has not been shown
\set position 0

--
-- The call is the statement: an offset, and the record can be read
--
SELECT produce('callers', 'select', '1');
SELECT produce('callers', 'select', '2') AS a, produce('callers', 'select', '3') AS b, 'x' AS c;
SELECT * FROM produce('callers', 'from', '4');
SELECT record_offset FROM produce('callers', 'from', '5') AS p (record_offset);
SELECT * FROM produce('callers', 'from', '6') WITH ORDINALITY;
SELECT produce('callers', 'select', '7') LIMIT 1;
SELECT produce('callers', 'select', 'not called') LIMIT 0;
SELECT partition, record_offset FROM produce_batch('callers', NULL, ARRAY['8', '9']);
SELECT (produce_batch('callers', ARRAY['batch'], ARRAY['10'])).record_offset;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- It is a part of one: buffered
--
SELECT produce('callers', 'part', '1') + 1 AS expression;
SELECT coalesce(produce('callers', 'part', '2'), -1);
SELECT produce('callers', 'part', i::text) FROM generate_series(3, 5) i;
SELECT count(produce('callers', 'part', i::text)) FROM generate_series(6, 7) i;
SELECT i, p FROM generate_series(8, 9) i, produce('callers', 'part', i::text) p ORDER BY i;
WITH w AS MATERIALIZED (SELECT produce('callers', 'part', '10') AS p) SELECT p FROM w;
SELECT (SELECT produce('callers', 'part', '11'));
SELECT produce('callers', 'part', '12') UNION ALL SELECT produce('callers', 'part', '13');
SELECT produce('callers', 'part', '14') WHERE false;
SELECT 1 AS one WHERE produce('callers', 'part', '15') IS NULL;
SELECT i, (SELECT count(*) FROM produce_batch('callers', NULL, ARRAY['batch ' || i])) FROM generate_series(16, 17) i;
COPY (SELECT produce('callers', 'part', '18')) TO STDOUT;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT produce('callers', 'part', '19');
EXPLAIN (COSTS off) SELECT produce('callers', 'part', 'not executed');
CREATE TABLE made AS SELECT produce('callers', 'part', '20');
SELECT * FROM made;
DROP TABLE made;
VALUES (produce('callers', 'part', '21'));
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- INSERT, UPDATE and DELETE with produce in them: buffered
--
INSERT INTO business SELECT i, produce('callers', 'insert select', i::text) FROM generate_series(1, 3) i;
INSERT INTO business VALUES (4, produce('callers', 'values', '4'));
INSERT INTO business SELECT 5, produce('callers', 'insert one', '5');
INSERT INTO business VALUES (6) RETURNING id, produce('callers', 'returning', id::text);
UPDATE business SET record_offset = produce('callers', 'update', id::text) WHERE id <= 2;
DELETE FROM business WHERE id = 1 AND produce('callers', 'delete', id::text) IS NULL;
SELECT * FROM business ORDER BY id;
TRUNCATE business;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- A block: buffered, in the order of the calls, whatever makes them
--
BEGIN;
SELECT produce('callers', 'block', '1');
SELECT * FROM produce('callers', 'block', '2');
SELECT * FROM produce_batch('callers', NULL, ARRAY['block 3', 'block 4']);
INSERT INTO business SELECT i, produce('callers', 'block', i::text) FROM generate_series(5, 6) i;
-- not there yet
SELECT end_offset('callers', 0) = :position AS unchanged;
SELECT count(*) FROM fetch_records('callers', 0, :position);
COMMIT AND CHAIN;
SELECT produce('callers', 'chained', '7');
ROLLBACK AND CHAIN;
SELECT produce('callers', 'chained', '8');
COMMIT;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- A string of several statements is a block, unless it ends one itself
--
SELECT produce('callers', 'string', '1') \; SELECT produce('callers', 'string', '2');
SELECT produce('callers', 'string', '3') \; SELECT 1 / 0;
SELECT produce('callers', 'string', '4') \; COMMIT \; SELECT produce('callers', 'string', '5');
BEGIN \; SELECT produce('callers', 'string', '6') \; ROLLBACK;
SELECT 1 AS one \; SELECT * FROM produce('callers', 'string', '7');
SELECT produce('callers', 'string', '8');
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- Functions
--
CREATE FUNCTION by_perform(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce('callers', 'perform', n::text);
END $$;
CREATE FUNCTION by_assignment(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint := -1;
BEGIN
	x := produce('callers', 'assignment', n::text);
	RETURN x;
END $$;
CREATE FUNCTION by_return(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN produce('callers', 'return', n::text);
END $$;
CREATE FUNCTION by_default(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint := produce('callers', 'default', n::text);
BEGIN
	RETURN x;
END $$;
CREATE FUNCTION by_into(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint;
BEGIN
	SELECT produce('callers', 'into', n::text) INTO x;
	RETURN x;
END $$;
CREATE FUNCTION by_from(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint;
BEGIN
	SELECT * FROM produce('callers', 'from', n::text) INTO x;
	RETURN x;
END $$;
CREATE FUNCTION by_execute(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint;
BEGIN
	EXECUTE 'SELECT produce(''callers'', ''execute'', $1::text)' INTO x USING n;
	RETURN x;
END $$;
CREATE FUNCTION by_query(n int) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT produce('callers', 'query', n::text);
	RETURN NEXT produce('callers', 'next', n::text);
END $$;
CREATE FUNCTION by_condition(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF produce('callers', 'if', n::text) IS NULL THEN
		RETURN 'buffered';
	END IF;
	RETURN 'appended';
END $$;
CREATE FUNCTION by_batch(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint := 0;
	r record_metadata;
BEGIN
	FOR r IN SELECT * FROM produce_batch('callers', NULL, ARRAY['batch ' || n, 'batch ' || n + 1]) LOOP
		x := x + 1;
	END LOOP;
	RETURN x;
END $$;
CREATE FUNCTION by_sql(n int) RETURNS bigint LANGUAGE sql AS $$
	SELECT 1;
	SELECT produce('callers', 'sql', n::text);
$$;
CREATE FUNCTION by_inlined(n int) RETURNS bigint LANGUAGE sql AS $$
	SELECT produce('callers', 'inlined', n::text);
$$;
SELECT by_perform(1);
SELECT by_assignment(2);
SELECT by_return(3);
SELECT * FROM by_return(4);
SELECT by_default(5);
SELECT by_into(6);
SELECT by_from(7);
SELECT by_execute(8);
SELECT by_query(9);
SELECT by_condition(10);
SELECT by_batch(11);
SELECT by_sql(12);
-- this one becomes a part of the statement that calls it
SELECT by_inlined(0) \g /dev/null
-- the second time, with the plans that are kept
SELECT by_assignment(13), by_return(14), by_into(15), by_sql(16);
-- a statement that produces itself, and by a function: one transaction, in the
-- order of the calls
SELECT by_return(17), produce('callers', 'beside', '18'), by_return(19);
-- the offset of a record that is an argument of a record
SELECT produce('callers', 'argument', coalesce(by_return(20)::text, 'null'));
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- Triggers
--
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	x bigint := -1;
BEGIN
	x := produce('callers', TG_NAME, NEW.id::text);
	NEW.record_offset := x;
	RETURN NEW;
END $$;
CREATE FUNCTION on_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO other SELECT -1, produce('callers', TG_NAME, lower(TG_OP));
	INSERT INTO other SELECT id, produce('callers', TG_NAME, id::text) FROM new_rows ORDER BY id;
	RETURN NULL;
END $$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON business FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TRIGGER after_row AFTER INSERT ON business FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TRIGGER after_statement AFTER INSERT ON business REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION on_statement();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON business DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION on_row();
INSERT INTO business SELECT generate_series(1, 2);
SELECT * FROM business ORDER BY id;
SELECT * FROM other ORDER BY id;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

BEGIN;
INSERT INTO business VALUES (3);
SELECT produce('callers', 'block', 'before the deferred ones');
COMMIT;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

-- a deferred one that fails takes all with it, and no offset
CREATE FUNCTION on_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce('callers', TG_NAME, 'never stored');
	RAISE EXCEPTION 'deferred failure';
END $$;
CREATE CONSTRAINT TRIGGER deferred_failure AFTER UPDATE ON business DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION on_failure();
BEGIN;
UPDATE business SET id = 4 WHERE id = 3;
SELECT produce('callers', 'block', 'never stored');
COMMIT;
SELECT end_offset('callers', 0) = :position AS unchanged;

-- by a rule and by a default
CREATE TABLE ruled (id int, record_offset bigint DEFAULT produce('callers', 'column default', 'd'));
CREATE RULE also AS ON INSERT TO ruled DO ALSO SELECT produce('callers', 'rule', 'r');
INSERT INTO ruled VALUES (1) \g /dev/null
SELECT * FROM ruled;
DROP TABLE ruled;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- DO and procedures
--
DO $$
DECLARE
	x bigint := -1;
BEGIN
	x := produce('callers', 'do', '1');
	RAISE NOTICE 'DO: %', x;
	SELECT produce('callers', 'do', '2') INTO x;
	RAISE NOTICE 'DO: %', x;
END $$;

CREATE PROCEDURE by_procedure(INOUT x bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 3..8 LOOP
		x := produce('callers', 'procedure', i::text);
		IF i = 5 THEN
			ROLLBACK;
		ELSIF i IN (4, 6) THEN
			COMMIT;
			RAISE NOTICE 'after %: %', i, end_offset('callers', 0);
		END IF;
	END LOOP;
END $$;
CALL by_procedure(-1);
-- DO with a COMMIT, and an error after it
DO $$
BEGIN
	PERFORM produce('callers', 'do', '9');
	COMMIT;
	PERFORM produce('callers', 'do', 'never stored');
	RAISE EXCEPTION 'after a COMMIT';
END $$;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

--
-- PREPARE and EXECUTE, cursors
--
PREPARE direct (int) AS SELECT produce('callers', 'prepared', $1::text);
PREPARE series (int, int) AS SELECT produce('callers', 'prepared', i::text) FROM generate_series($1, $2) i;
EXECUTE direct(1);
EXECUTE series(2, 3);
CREATE TABLE made AS EXECUTE direct(4);
SELECT * FROM made;
DROP TABLE made;
BEGIN;
EXECUTE direct(5);
DECLARE c CURSOR FOR SELECT produce('callers', 'cursor', i::text) FROM generate_series(6, 9) i;
FETCH 2 FROM c;
CLOSE c;
COMMIT;
-- more than five times: with a generic plan
SELECT format('EXECUTE direct(%s)', i) FROM generate_series(8, 14) i \gexec
-- a cursor that is held runs at the commit
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT produce('callers', 'held', i::text) FROM generate_series(15, 16) i;
COMMIT;
FETCH ALL FROM held;
CLOSE held;
DECLARE held CURSOR WITH HOLD FOR SELECT produce('callers', 'held', '17');
FETCH ALL FROM held;
CLOSE held;
DEALLOCATE ALL;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('callers', 0, :position);
SELECT end_offset('callers', 0) AS position \gset

-- a statement that fails after the call has appended: nothing is there, and the
-- offset remains unused, as after a flush; a call that is refused costs none
SELECT produce('callers', 'fails', 'v'), 1 / (end_offset('callers', 0) - :position);
SELECT produce('callers', 'k', 'v', partition => 1);
SELECT end_offset('callers', 0) = :position AS unchanged;
SELECT produce('callers', 'after it', 'v') AS produced \gset
SELECT :produced - :position AS unused;
SELECT record_offset = :produced AS as_told, as_text(key) AS key FROM fetch_records('callers', 0, :position);

SELECT records, problem FROM check_topic('callers');
SELECT drop_topic('callers');
DROP TABLE business, other;
DROP FUNCTION by_perform, by_assignment, by_return, by_default, by_into, by_from, by_execute, by_query,
	by_condition, by_batch, by_sql, by_inlined, on_row, on_statement, on_failure;
DROP PROCEDURE by_procedure;
