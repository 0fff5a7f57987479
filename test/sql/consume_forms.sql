--
-- consume_forms: every form of a call of consume(), and which rule it is under.  After
-- each form state() says what became of it: how many records were handed out, and
-- whether their offsets were committed with the transaction or wait to be confirmed.
-- In doubt it is the latter: a duplicate, never a loss.  What needs the extended
-- protocol is in t/160_forms.pl.
--
-- Mutations: ask IsTransactionBlock() for a BEGIN; AND CHAIN forgotten after a failed
-- savepoint; a write marks what earlier statements were handed, too, or a later trigger's
-- does; our own writes count as work; every CALL is the client's; EXPLAIN not noted in a DO;
-- a cursor WITH HOLD counts as read in its block.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;

SELECT create_topic('forms');
SELECT create_topic('other');
SELECT count(*) FROM produce_batch('forms', NULL, (SELECT array_agg(i::text) FROM generate_series(0, 999) i));
SELECT count(*) FROM produce_batch('other', NULL, (SELECT array_agg(i::text) FROM generate_series(0, 99) i));
CREATE TABLE work (note text);
CREATE TABLE notes (note text);

CREATE VIEW next AS SELECT as_text(value) AS v FROM consume('forms', 'g', max_records => 1);

CREATE FUNCTION committed(topic text, consumer_group text DEFAULT 'g') RETURNS bigint LANGUAGE sql
AS $$ SELECT next_offset FROM streamlog.committed_offset JOIN streamlog.topic t USING (topic_id) JOIN streamlog.consumer_group g USING (group_id)
	WHERE t.name = $1 AND g.name = $2 $$;
-- what has become of what was handed out since the last time; it is committed now
CREATE FUNCTION state() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	base bigint := coalesce(nullif(current_setting('forms.base', true), '')::bigint, 0);
	c bigint := coalesce(committed('forms'), 0);
	p bigint := coalesce(next_offset('forms', 'g', 0), 0);
BEGIN
	IF EXISTS (SELECT FROM committed_offset) THEN
		PERFORM commit_offsets('forms', 'g');
	END IF;
	PERFORM set_config('forms.base', greatest(p, c)::text, false);
	RETURN (greatest(p, c) - base) || ' handed out: ' || CASE
		WHEN p < base THEN 'position moved back to ' || p
		WHEN c <> p AND c <> base THEN (c - base) || ' committed'
		WHEN p = base THEN 'nothing'
		WHEN c = p THEN 'with the transaction'
		ELSE 'deferred' END;
END $$;

--
-- A plain query: deferred, wherever the call is in it
--
SELECT as_text(value) FROM consume('forms', 'g', max_records => 1);
SELECT state();
SELECT (consume('forms', 'g', max_records => 1)).record_offset;
SELECT state();
TABLE next;
SELECT state();
SELECT v, i FROM next JOIN generate_series(1, 2) i ON true;
SELECT state();
SELECT i, c.record_offset FROM generate_series(1, 2) i, LATERAL consume('forms', 'g', max_records => i) c;
SELECT state();
WITH a AS MATERIALIZED (SELECT * FROM next) SELECT count(*) FROM a;
SELECT state();
SELECT * FROM next UNION ALL SELECT * FROM next ORDER BY 1;
SELECT state();
SELECT count(*) FROM ROWS FROM (consume('forms', 'g', max_records => 1), generate_series(1, 3));
SELECT state();
SELECT count(*) FROM generate_series(1, 2) WHERE EXISTS (SELECT FROM next);
SELECT state();
SELECT ARRAY(SELECT v FROM next), (SELECT v FROM next);
SELECT state();
VALUES ((SELECT v FROM next));
SELECT state();
SELECT * FROM work FULL JOIN next ON true;
SELECT state();
SELECT * FROM next FOR UPDATE;
SELECT state();
PREPARE p AS TABLE next;
EXECUTE p;
SELECT state();
COPY (TABLE next) TO STDOUT;
SELECT state();
-- the cursor is held, and its records handed out, when its transaction commits
DECLARE c CURSOR WITH HOLD FOR TABLE next;
SELECT state();
FETCH ALL FROM c;
CLOSE c;
-- nothing is run here
SELECT * FROM next LIMIT 0;
SELECT state();

--
-- After BEGIN: with the transaction
--
BEGIN;
TABLE next;
COMMIT;
SELECT state();
START TRANSACTION ISOLATION LEVEL REPEATABLE READ;
TABLE next;
END;
SELECT state();
BEGIN;
EXECUTE p;
COPY (TABLE next) TO STDOUT;
DECLARE c CURSOR FOR TABLE next;
FETCH 1 FROM c;
DECLARE h CURSOR WITH HOLD FOR TABLE next;
FETCH 1 FROM h;
CLOSE h;
COMMIT;
SELECT state();
-- one that is not fetched from hands out nothing
BEGIN;
DECLARE c CURSOR FOR TABLE next;
COMMIT;
SELECT state();
-- and if it is only at COMMIT that it hands out, its records are yet to be worked on
BEGIN;
DECLARE h CURSOR WITH HOLD FOR TABLE next;
COMMIT;
FETCH ALL FROM h;
CLOSE h;
SELECT state();
BEGIN;
TABLE next;
ROLLBACK;
SELECT state();
BEGIN;
TABLE next;
SELECT 1 / 0;
COMMIT;
SELECT state();
-- savepoints
BEGIN;
SAVEPOINT a;
TABLE next;
RELEASE a;
SAVEPOINT a;
TABLE next;
ROLLBACK TO a;
COMMIT;
SELECT state();
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK TO a;
TABLE next;
COMMIT;
SELECT state();
-- BEGIN in a block is none, nor is one that fails
BEGIN;
BEGIN;
TABLE next;
COMMIT;
TABLE next;
SELECT state();
SELECT 1 \; BEGIN ISOLATION LEVEL SERIALIZABLE;
TABLE next;
SELECT state();
DO $$ BEGIN EXECUTE 'BEGIN'; END $$;
TABLE next;
SELECT state();
COMMIT;
ROLLBACK;
TABLE next;
SELECT state();
-- AND CHAIN
BEGIN;
COMMIT AND CHAIN;
TABLE next;
COMMIT AND CHAIN;
TABLE next;
ROLLBACK AND CHAIN;
TABLE next;
COMMIT;
SELECT state();
TABLE next;
SELECT state();
BEGIN;
SELECT 1 / 0;
ROLLBACK AND CHAIN;
TABLE next;
COMMIT;
SELECT state();
BEGIN;
SELECT 1 / 0;
COMMIT AND CHAIN;
TABLE next;
COMMIT;
SELECT state();
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
ROLLBACK AND CHAIN;
TABLE next;
COMMIT;
SELECT state();
BEGIN;
SAVEPOINT a;
SELECT 1 / 0;
COMMIT AND CHAIN;
TABLE next;
COMMIT;
SELECT state();
-- and nothing of it is left
TABLE next;
SELECT state();
SELECT 1 / 0;
TABLE next;
SELECT state();
-- when the chained COMMIT fails there is no block
CREATE TABLE unique_later (i int UNIQUE DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO unique_later VALUES (1), (1);
COMMIT AND CHAIN;
TABLE next;
SELECT state();
COMMIT AND CHAIN;
ROLLBACK AND CHAIN;
TABLE next;
SELECT state();

--
-- Several statements in one string: the implicit block is none
--
TABLE next \; TABLE next;
SELECT state();
TABLE next \; INSERT INTO notes VALUES ('after');
SELECT state();
INSERT INTO notes VALUES ('before') \; TABLE next;
SELECT state();
TABLE next \; SELECT 1 / 0;
SELECT state();
BEGIN \; TABLE next \; COMMIT;
SELECT state();
BEGIN \; TABLE next \; COMMIT \; TABLE next;
SELECT state();
BEGIN \; COMMIT \; TABLE next;
SELECT state();
BEGIN \; TABLE next \; ROLLBACK \; TABLE next;
SELECT state();
-- what was handed out before the BEGIN stays deferred, and all of the partition with it
TABLE next \; BEGIN \; TABLE next \; COMMIT;
SELECT state();
INSERT INTO work TABLE next \; TABLE next;
SELECT state();
TABLE next \; INSERT INTO work TABLE next;
SELECT state();
INSERT INTO work TABLE next \; INSERT INTO work TABLE next;
SELECT state();

--
-- In what changes data: with the transaction
--
INSERT INTO work TABLE next;
SELECT state();
INSERT INTO work SELECT v FROM next WHERE false RETURNING *;
SELECT state();
INSERT INTO work SELECT v FROM next RETURNING *;
SELECT state();
UPDATE work SET note = (SELECT v FROM next) WHERE note = '1' RETURNING note;
UPDATE work SET note = v FROM next WHERE note <> v;
SELECT state();
DELETE FROM work USING next WHERE note = v;
SELECT state();
MERGE INTO work USING next ON note = v WHEN NOT MATCHED THEN INSERT VALUES (v);
SELECT state();
WITH done AS (INSERT INTO work TABLE next RETURNING note) TABLE done;
SELECT state();
WITH done AS (INSERT INTO notes VALUES ('cte')) TABLE next;
SELECT state();
CREATE TABLE made AS TABLE next;
SELECT state();
SELECT * INTO made_2 FROM next;
SELECT state();
CREATE TEMP TABLE made_3 AS EXECUTE p;
SELECT state();
CREATE TABLE made_4 AS TABLE next WITH NO DATA;
SELECT state();
PREPARE i AS INSERT INTO work TABLE next;
EXECUTE i;
SELECT state();
COPY (INSERT INTO work TABLE next RETURNING note) TO STDOUT;
SELECT state();
INSERT INTO topic_text.other (value) TABLE next;
SELECT state();
-- one that fails
INSERT INTO work SELECT 1 / (v::int - v::int) FROM next;
SELECT state();
-- refused, as everything that is kept is
CREATE MATERIALIZED VIEW made_5 AS TABLE next;
CREATE MATERIALIZED VIEW made_5 AS TABLE next WITH NO DATA;
REFRESH MATERIALIZED VIEW made_5;
SELECT state();
DROP MATERIALIZED VIEW made_5;
-- rules
CREATE TABLE ruled (note text);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO work TABLE next;
INSERT INTO ruled VALUES ('x');
SELECT state();
CREATE RULE instead AS ON DELETE TO ruled DO INSTEAD SELECT v FROM next;
DELETE FROM ruled;
SELECT state();
CREATE RULE update_too AS ON UPDATE TO ruled DO ALSO SELECT v FROM next;
UPDATE ruled SET note = 'y';
SELECT state();

--
-- EXPLAIN ANALYZE of a query hands out nothing
--
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT FROM consume('forms', 'g', max_records => 3);
SELECT state();
BEGIN;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT FROM consume('forms', 'g', max_records => 3);
TABLE next;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT FROM consume('forms', 'g', max_records => 3);
COMMIT;
SELECT state();
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE p;
SELECT state();
-- what was handed out before is still to be confirmed
TABLE next;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT FROM consume('forms', 'g', max_records => 3);
SELECT state();
-- of the other statements it does what they do
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO work SELECT value FROM consume('forms', 'g', max_records => 3);
SELECT state();
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TABLE made_6 AS SELECT FROM consume('forms', 'g', max_records => 3);
SELECT state();
EXPLAIN (COSTS OFF) SELECT FROM consume('forms', 'g', max_records => 3);
EXPLAIN (COSTS OFF) INSERT INTO work SELECT value FROM consume('forms', 'g', max_records => 3);
SELECT state();
-- wherever it is
DO $$ DECLARE line text; BEGIN FOR line IN EXPLAIN ANALYZE TABLE next LOOP END LOOP; END $$;
SELECT state();
CREATE FUNCTION explain() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) TABLE next; END $$;
SELECT count(*) > 0 FROM explain();
SELECT state();
INSERT INTO notes SELECT explain();
SELECT state();

--
-- Triggers
--
CREATE TABLE fires (note text);
CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' AND TG_OP = 'INSERT' THEN
		NEW.note := (SELECT v FROM next);
		RETURN NEW;
	END IF;
	PERFORM v FROM next;
	RETURN NULL;
END $$;
CREATE TRIGGER before BEFORE INSERT ON fires FOR EACH ROW EXECUTE FUNCTION take();
INSERT INTO fires VALUES ('x');
SELECT state();
COPY fires FROM STDIN;
x
y
\.
SELECT state();
-- in a function, its own statement is the work
CREATE FUNCTION fire() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fires VALUES ('x'); END $$;
SELECT fire();
SELECT state();
DROP TRIGGER before ON fires;
CREATE TRIGGER after AFTER INSERT ON fires FOR EACH ROW EXECUTE FUNCTION take();
INSERT INTO fires VALUES ('x');
SELECT state();
COPY fires FROM STDIN;
x
\.
SELECT state();
DROP TRIGGER after ON fires;
CREATE TRIGGER statement AFTER INSERT ON fires FOR EACH STATEMENT EXECUTE FUNCTION take();
INSERT INTO fires VALUES ('x');
SELECT state();
DROP TRIGGER statement ON fires;
CREATE TRIGGER truncated BEFORE TRUNCATE ON fires FOR EACH STATEMENT EXECUTE FUNCTION take();
TRUNCATE fires;
SELECT state();
DROP TRIGGER truncated ON fires;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON fires DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION take();
INSERT INTO fires VALUES ('x');
SELECT state();
SELECT fire();
SELECT state();
BEGIN;
INSERT INTO fires VALUES ('x');
COMMIT;
SELECT state();
BEGIN;
INSERT INTO fires VALUES ('x');
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;
SELECT state();
INSERT INTO fires VALUES ('x') \; SET CONSTRAINTS ALL IMMEDIATE;
SELECT state();
-- one query of the string is deferred
INSERT INTO fires VALUES ('x') \; TABLE next;
SELECT state();
DROP TRIGGER later ON fires;
-- a deferred trigger that writes does not work on what others were handed
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES ('trigger'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON fires DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION hand_on() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY TABLE next; END $$;
INSERT INTO fires VALUES ('x') \; SELECT hand_on();
SELECT state();
INSERT INTO fires VALUES ('x') \; SELECT hand_on() \; SET CONSTRAINTS ALL IMMEDIATE;
SELECT state();
DROP TRIGGER later ON fires;

--
-- DO and CALL: with the transaction
--
DO $$ BEGIN PERFORM v FROM next; END $$;
SELECT state();
DO $$ BEGIN PERFORM v FROM next; COMMIT; PERFORM v FROM next; ROLLBACK; PERFORM v FROM next; END $$;
SELECT state();
CREATE PROCEDURE take_some(INOUT result text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	SELECT v FROM next INTO result;
	COMMIT;
	SELECT result || ' ' || v FROM next INTO result;
END $$;
CALL take_some();
SELECT state();
TABLE next;
SELECT state();
CREATE PROCEDURE take_one(INOUT result text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN SELECT v FROM next INTO result; END $$;
BEGIN;
CALL take_one();
COMMIT;
SELECT state();
DO $$ DECLARE r text; BEGIN CALL take_one(r); END $$;
SELECT state();
DO $$ BEGIN BEGIN PERFORM v FROM next; RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$;
SELECT state();
-- a function under a query is no more than that: it may hand the record on
CREATE FUNCTION call_one() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN CALL take_one(r); RETURN r; END $$;
SELECT call_one();
SELECT state();
CREATE FUNCTION do_one() RETURNS text LANGUAGE plpgsql AS $$
BEGIN EXECUTE 'DO $d$ BEGIN PERFORM set_config(''forms.done'', v, false) FROM public.next; END $d$'; RETURN current_setting('forms.done'); END $$;
SELECT do_one();
SELECT state();

--
-- Functions under a plain query: with the transaction if the statement has written
-- after the call
--
-- an SQL function, inlined or not
CREATE FUNCTION inlined() RETURNS SETOF text STABLE LANGUAGE sql AS $$ SELECT v FROM public.next $$;
CREATE FUNCTION not_inlined() RETURNS text LANGUAGE sql AS $$ SELECT v FROM public.next $$;
CREATE FUNCTION set_returning() RETURNS SETOF text LANGUAGE sql AS $$ SELECT v FROM public.next $$;
SELECT * FROM inlined();
SELECT state();
SELECT not_inlined();
SELECT state();
SELECT set_returning();
SELECT state();
CREATE FUNCTION sql_writes_after() RETURNS SETOF text LANGUAGE sql AS $$ CREATE TEMP TABLE IF NOT EXISTS nothing (); SELECT v FROM public.next; INSERT INTO public.notes VALUES ('after') RETURNING note $$;
SELECT sql_writes_after();
SELECT state();
CREATE FUNCTION sql_writes_before() RETURNS SETOF text LANGUAGE sql AS $$ INSERT INTO public.notes VALUES ('before'); SELECT v FROM public.next $$;
SELECT sql_writes_before();
SELECT state();
CREATE FUNCTION sql_writes() RETURNS SETOF text LANGUAGE sql AS $$ INSERT INTO public.work SELECT v FROM public.next RETURNING note $$;
SELECT sql_writes();
SELECT state();
-- plpgsql, by what the argument says
CREATE FUNCTION f(how text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
	c refcursor;
BEGIN
	IF how ~ 'before' THEN
		INSERT INTO notes VALUES (how);
	END IF;
	IF how ~ 'cursor' THEN
		OPEN c FOR TABLE next;
		FETCH c INTO r;
	ELSIF how ~ 'dynamic' THEN
		EXECUTE 'SELECT v FROM public.next' INTO r;
	ELSE
		SELECT v INTO r FROM next;
	END IF;
	IF how ~ 'insert' THEN INSERT INTO work VALUES (r); END IF;
	IF how ~ 'no row' THEN UPDATE work SET note = r WHERE false; END IF;
	IF how ~ 'create' THEN EXECUTE format('CREATE TEMP TABLE as_%s AS SELECT %1$s', r); END IF;
	IF how ~ 'produce' THEN PERFORM produce('other', NULL, r); END IF;
	IF how ~ 'batch' THEN PERFORM produce_batch('other', NULL, ARRAY[r]); END IF;
	IF how ~ 'topic table' THEN INSERT INTO topic_text.other (value) VALUES (r); END IF;
	IF how ~ 'copy' THEN EXECUTE 'COPY public.work FROM PROGRAM ''echo copied'''; END IF;
	IF how ~ 'explain' THEN EXECUTE 'EXPLAIN INSERT INTO public.work VALUES (1)'; END IF;
	IF how ~ 'analyze' THEN EXECUTE 'EXPLAIN ANALYZE INSERT INTO public.work VALUES (1)'; END IF;
	IF how ~ 'setting' THEN PERFORM set_config('forms.x', r, false), nextval('one'), pg_notify('x', r); END IF;
	IF how ~ 'undone' THEN
		BEGIN
			INSERT INTO work VALUES (r);
			RAISE 'x';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	IF how ~ 'unsent' THEN
		BEGIN
			PERFORM produce('other', NULL, r);
			RAISE 'x';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	IF how ~ 'kept' THEN
		BEGIN
			INSERT INTO work VALUES (r);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	IF how ~ 'failing' THEN
		BEGIN
			INSERT INTO work SELECT 1 / 0;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	IF how ~ 'again' THEN
		SELECT r || ' ' || v INTO r FROM next;
	END IF;
	IF how ~ 'other' THEN
		PERFORM consume('other', r || ' is new', max_records => 1);
	END IF;
	RETURN r;
END $$;
CREATE SEQUENCE one;
\pset tuples_only on
SELECT format('SELECT f(%L)', how), format('SELECT %L, state()', how) FROM unnest(ARRAY['nothing', 'before', 'insert', 'cursor', 'cursor and insert', 'dynamic', 'dynamic and insert', 'no row', 'create', 'produce', 'batch', 'topic table', 'copy',
	'explain', 'analyze', 'setting', 'undone', 'unsent', 'kept', 'failing', 'insert, again', 'again', 'insert, undone', 'other'])
WITH ORDINALITY u (how, n) ORDER BY n \gexec
\pset tuples_only off
-- two calls of one statement share its fate, and its later write; not that of a later call
SELECT f('nothing'), f('insert');
SELECT state();
SELECT f('insert'), f('nothing');
SELECT state();
SELECT hand_on(), f('produce');
SELECT state();
SELECT v, f('nothing') FROM next;
SELECT state();
SELECT v, f('insert') FROM next;
SELECT state();
-- statements of one string do not: what the first was handed is not worked on by the second
SELECT hand_on() \; SELECT f('insert');
SELECT state();
TABLE next \; SELECT f('insert');
SELECT state();
SELECT f('nothing') \; INSERT INTO work VALUES ('x');
SELECT state();
SELECT f('insert') \; SELECT hand_on();
SELECT state();
SELECT f('insert') \; SELECT f('insert');
SELECT state();
SELECT f('insert') \; INSERT INTO work TABLE next;
SELECT state();
SELECT hand_on() \; INSERT INTO work TABLE next;
SELECT state();
SELECT hand_on() \; DO $$ BEGIN INSERT INTO work TABLE next; END $$;
SELECT state();
SELECT hand_on() \; TRUNCATE ruled;
SELECT state();
CREATE TRIGGER truncated BEFORE TRUNCATE ON fires FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT hand_on() \; TRUNCATE fires;
SELECT state();
PREPARE shows (text) AS SELECT $1;
EXECUTE shows (f('nothing'));
SELECT state();
INSERT INTO notes VALUES ('x') \; EXECUTE shows (f('nothing'));
SELECT state();
SELECT hand_on() \; EXECUTE shows (f('insert'));
SELECT state();
COPY (SELECT f('nothing')) TO STDOUT;
SELECT state();
COPY (SELECT f('insert')) TO STDOUT;
SELECT state();
-- in BEGIN, in DO, and in what changes data it does not matter
BEGIN;
SELECT f('nothing');
COMMIT;
SELECT state();
INSERT INTO notes SELECT f('nothing');
SELECT state();
DO $$ BEGIN PERFORM f('nothing'); END $$;
SELECT state();
-- nested
CREATE FUNCTION outer_f(how text, after text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text := f(how); BEGIN IF after IS NOT NULL THEN INSERT INTO notes VALUES (after); END IF; RETURN r; END $$;
SELECT outer_f('nothing');
SELECT state();
SELECT outer_f('insert');
SELECT state();
SELECT outer_f('nothing', 'after');
SELECT state();
CREATE FUNCTION undoing(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM f(how); RAISE 'x'; EXCEPTION WHEN OTHERS THEN RETURN f('nothing'); END $$;
SELECT undoing('insert');
SELECT state();

--
-- With a member_id nothing can be deferred: it is an error, at once or at COMMIT
--
CREATE VIEW members AS SELECT as_text(value) AS v FROM consume('forms', 'm', max_records => 1, member_id => 'run-1');
CREATE FUNCTION m(writes bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN SELECT v INTO r FROM members; IF writes THEN INSERT INTO work VALUES (r); END IF; RETURN r; END $$;
TABLE members;
BEGIN;
TABLE members;
COMMIT;
SELECT committed('forms', 'm');
INSERT INTO work TABLE members;
SELECT committed('forms', 'm');
SELECT m(false);
SELECT committed('forms', 'm');
SELECT m(true);
SELECT committed('forms', 'm');
SELECT m(false) \; SELECT m(true);
SELECT m(true) \; SELECT m(false);
SELECT committed('forms', 'm');
SELECT m(true) \; SELECT m(true);
SELECT committed('forms', 'm');
SELECT m(false) \; INSERT INTO work TABLE members;
SELECT committed('forms', 'm');
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) TABLE members;
SELECT committed('forms', 'm');

SELECT count(drop_topic(topic)) FROM topics;
DROP VIEW next, members CASCADE;
DROP TABLE work, notes, unique_later, made, made_2, made_4, made_6, ruled, fires;
DROP FUNCTION committed, state, explain, take, fire, note, hand_on, call_one, do_one, inlined, not_inlined, set_returning, sql_writes_after, sql_writes_before, sql_writes,
	f, outer_f, undoing, m;
DROP PROCEDURE take_some, take_one;
DROP SEQUENCE one;
DROP EXTENSION streamlog CASCADE;
