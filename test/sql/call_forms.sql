--
-- Where produce() is called from: a call that is the client's statement appends
-- at once and returns its offset; everywhere else records are collected and
-- appended at the commit
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('calls');

-- the client's statement
SELECT produce('calls', 'k', 'select');
SELECT produce('calls', 'k', 'first of two'), produce('calls', 'k', 'second of two');
SELECT * FROM produce('calls', 'k', 'from item');
SELECT partition, record_offset FROM produce_batch('calls', NULL, ARRAY['batch 1', 'batch 2']);
SELECT count(*) FROM produce_batch('calls', ARRAY['k', NULL], ARRAY['batch 3', NULL]);
SELECT produce_batch('calls', NULL, '{}');

-- not the client's statement itself
SELECT produce('calls', 'k', 'cast')::text;
SELECT produce('calls', 'k', 'row ' || i) FROM generate_series(1, 2) i;
SELECT produce('calls', 'k', 'a'), i FROM generate_series(1, 1) i;
CREATE TABLE outcome (id int, produced bigint);
INSERT INTO outcome SELECT 1, produce('calls', 'k', 'insert select');
CREATE FUNCTION wrapped(value text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	x bigint;
BEGIN
	x := produce('calls', 'k', value || ' assigned');
	PERFORM produce('calls', 'k', value || ' performed');
	RETURN coalesce(x, produce('calls', 'k', value || ' returned'));
END $$;
SELECT wrapped('plpgsql');
CREATE FUNCTION wrapped_sql(value text) RETURNS bigint LANGUAGE sql AS $$ SELECT produce('calls', 'k', value) $$;
SELECT wrapped_sql('sql function');
DO $$ BEGIN PERFORM produce('calls', 'k', 'do'); END $$;
PREPARE p (text) AS SELECT produce('calls', 'k', $1);
EXECUTE p('execute');
DEALLOCATE p;
SELECT produce('calls', 'k', 'first of a string') \; SELECT produce('calls', 'k', 'second of a string');
BEGIN;
SELECT produce('calls', 'k', 'block');
COMMIT;
COPY (SELECT produce('calls', 'k', 'copy')) TO STDOUT;
CREATE TABLE made AS SELECT produce('calls', 'k', 'create table as') AS record_offset;
SELECT record_offset, as_text(key), as_text(value) FROM fetch_records('calls', 0, 0);

-- a procedure with commits: each transaction's records are there at its commit
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce('calls', 'k', 'step 1');
	COMMIT;
	RAISE NOTICE 'end %', end_offset('calls', 0);
	PERFORM produce('calls', 'k', 'undone');
	ROLLBACK;
	PERFORM produce('calls', 'k', 'step 2');
	COMMIT AND CHAIN;
	RAISE NOTICE 'end %', end_offset('calls', 0);
END $$;
CALL steps();

-- triggers: of rows, of statements, deferred
CREATE TABLE orders (id int PRIMARY KEY, state text);
CREATE FUNCTION outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce('calls', coalesce(NEW.id, 0), TG_NAME);
	RETURN NEW;
END $$;
CREATE FUNCTION outbox_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce('calls', 'statement', TG_NAME);
	RETURN NULL;
END $$;
CREATE TRIGGER by_row AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION outbox();
CREATE TRIGGER by_statement AFTER INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION outbox_statement();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION outbox();
SELECT end_offset('calls', 0) AS trigger_start \gset
INSERT INTO orders VALUES (1, 'new'), (2, 'new');
BEGIN;
INSERT INTO orders VALUES (3, 'undone');
ROLLBACK;
SELECT as_text(key), as_text(value) FROM fetch_records('calls', 0, :trigger_start);

-- 10,000 calls of a statement are one append
SELECT end_offset('calls', 0) AS many_start \gset
INSERT INTO orders SELECT i FROM generate_series(1001, 11000) i;
SELECT end_offset('calls', 0) - :many_start AS appended;
SELECT count(DISTINCT xmin::text) FROM topic.calls WHERE record_offset >= :many_start;

--
-- Savepoints
--
SELECT create_topic('savepoints');
BEGIN;
SELECT produce('savepoints', 'k', '1');
SAVEPOINT a;
SELECT produce('savepoints', 'k', 'undone');
SAVEPOINT b;
SELECT produce('savepoints', 'k', 'undone');
ROLLBACK TO a;
SELECT produce('savepoints', 'k', '2');
SAVEPOINT c;
SELECT produce('savepoints', 'k', '3');
RELEASE c;
SAVEPOINT d;
SELECT produce('savepoints', 'k', 'undone');
ROLLBACK TO d;
RELEASE a;
SELECT produce('savepoints', 'k', '4');
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('savepoints', 0, 0);

-- flush(): what was appended and rolled back leaves a gap; in a savepoint it is
-- refused while records from before it are pending
BEGIN;
SELECT produce('savepoints', 'k', '5');
SELECT partition, record_offset FROM flush();
SAVEPOINT a;
SELECT produce('savepoints', 'k', 'undone');
SELECT partition, record_offset FROM flush();
ROLLBACK TO a;
SELECT produce('savepoints', 'k', '6');
SAVEPOINT b;
SELECT partition, record_offset FROM flush();
ROLLBACK TO b;
SELECT count(*) FROM fetch_records('savepoints', 0, 4);
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('savepoints', 0, 4);
SELECT end_offset('savepoints', 0);

-- exception blocks, and a buffer so small that it spills between them
SET streamlog.producer_buffer = '64kB';
DO $$
BEGIN
	FOR i IN 1..3000 LOOP
		BEGIN
			PERFORM produce('savepoints', i, repeat(i::text, 50));
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
RESET streamlog.producer_buffer;
SELECT count(*), min(as_text(key)::int), max(as_text(key)::int), count(*) FILTER (WHERE as_text(key)::int % 3 = 0) AS undone,
	bool_and(value = convert_to(repeat(as_text(key), 50), 'UTF8')) AS intact
FROM fetch_records('savepoints', 0, 7, 10000, 100000000);
SELECT bool_and(ordered) AS ordered FROM
	(SELECT as_text(key)::int > lag(as_text(key)::int, 1, 0) OVER (ORDER BY record_offset) AS ordered
	 FROM fetch_records('savepoints', 0, 7, 10000, 100000000)) s;
SELECT records, problem FROM check_topic('savepoints');

--
-- Refused
--
BEGIN;
SELECT produce('calls', 'k', 'v');
PREPARE TRANSACTION 'never';
SELECT produce('calls', 'k', 'fine after it');
BEGIN READ ONLY;
SELECT produce('calls', 'k', 'v');
ROLLBACK;
INSERT INTO topic.calls (key, value) VALUES ('k', 'v');
COPY topic.calls (key, value) FROM STDIN;
\.
UPDATE topic.calls SET key = NULL;
DELETE FROM topic.calls;
TRUNCATE topic.calls;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM topic.calls;
ROLLBACK;
CREATE MATERIALIZED VIEW sandboxed AS SELECT produce('calls', 'k', 'v');
CREATE FUNCTION hidden(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM produce('calls', 'k', 'v'); RETURN $1; END $$;
CREATE INDEX ON orders (hidden(id));
SELECT produce_batch('calls', ARRAY['a'], ARRAY['b', 'c']);
SELECT produce_batch('calls', NULL, NULL);
SELECT produce_batch('calls', NULL, ARRAY[ARRAY['a']]);

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP TABLE orders, outcome, made;
DROP FUNCTION outbox, outbox_statement, wrapped, wrapped_sql, hidden;
DROP PROCEDURE steps;
