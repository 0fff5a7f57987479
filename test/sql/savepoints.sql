--
-- savepoints: what is rolled back is taken out of the buffer, what survives is
-- there once and in the order of the calls; also when the buffer has spilled
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('saved', 2);

--
-- ROLLBACK TO, RELEASE, the same savepoint again
--
BEGIN;
SELECT produce('saved', 'k', '1', partition => 0);
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost', partition => 0);
SELECT produce('saved', 'k', 'lost', partition => 1);
ROLLBACK TO a;
SELECT produce('saved', 'k', '2', partition => 0);
ROLLBACK TO a;
SELECT produce('saved', 'k', '3', partition => 0);
RELEASE a;
SELECT produce('saved', 'k', '4', partition => 0);
SAVEPOINT b;
ROLLBACK TO b;
SAVEPOINT b;
SELECT produce('saved', 'k', '5', partition => 1);
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 0);
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 1, 0);

--
-- Nested: a released one goes with the one around it
--
BEGIN;
SAVEPOINT a;
SELECT produce('saved', 'k', '6', partition => 0);
SAVEPOINT b;
SELECT produce('saved', 'k', 'lost', partition => 0);
SAVEPOINT c;
SELECT produce('saved', 'k', 'lost', partition => 0);
RELEASE c;
SELECT produce('saved', 'k', 'lost', partition => 0);
ROLLBACK TO b;
SELECT produce('saved', 'k', '7', partition => 0);
SAVEPOINT c;
SELECT produce('saved', 'k', '8', partition => 0);
RELEASE b;
SAVEPOINT d;
SAVEPOINT e;
SELECT produce('saved', 'k', 'lost', partition => 0);
RELEASE e;
RELEASE d;
ROLLBACK TO a;
SELECT produce('saved', 'k', '9', partition => 0);
SAVEPOINT f;
SELECT produce('saved', 'k', '10', partition => 0);
SAVEPOINT g;
SELECT produce('saved', 'k', '11', partition => 0);
RELEASE f;
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 3);

-- a failed statement and ROLLBACK TO; the whole transaction rolled back; COMMIT
-- of a failed one
BEGIN;
SELECT produce('saved', 'k', '12', partition => 0);
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost', partition => 0);
SELECT produce('saved', 'k', 'refused', partition => 2);
SELECT produce('saved', 'k', 'not executed', partition => 0);
ROLLBACK TO a;
SELECT produce('saved', 'k', '13', partition => 0);
COMMIT;
BEGIN;
SELECT produce('saved', 'k', 'lost', partition => 0);
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost', partition => 0);
RELEASE a;
ROLLBACK;
BEGIN;
SELECT produce('saved', 'k', 'lost', partition => 0);
SELECT 1 / 0;
COMMIT;
BEGIN;
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost', partition => 0);
ROLLBACK TO a;
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 6);

--
-- Blocks with EXCEPTION are savepoints
--
DO $$
BEGIN
	PERFORM produce('saved', 'k', '14', partition => 0);
	BEGIN
		PERFORM produce('saved', 'k', 'lost', partition => 0);
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		PERFORM produce('saved', 'k', '15', partition => 0);
	END;
	BEGIN
		PERFORM produce('saved', 'k', '16', partition => 0);
		BEGIN
			PERFORM produce('saved', 'k', 'lost', partition => 0);
			PERFORM produce('saved', 'k', 'refused', partition => -1);
		EXCEPTION WHEN OTHERS THEN
			PERFORM produce('saved', SQLSTATE, '17', partition => 0);
		END;
	EXCEPTION WHEN OTHERS THEN
		RAISE;
	END;
	FOR i IN 18..25 LOOP
		BEGIN
			PERFORM produce('saved', 'k', i::text, partition => 0);
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'not this one';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT record_offset, as_text(key) AS key, as_text(value) AS value FROM fetch_records('saved', 0, 8);
SELECT partition, records, problem FROM check_topic('saved') ORDER BY 1;

--
-- flush: refused in a savepoint with records of an outer level, as rolling back
-- would lose them
--
SELECT drop_topic('saved');
SELECT create_topic('saved');
BEGIN;
SELECT produce('saved', 'k', '1');
SAVEPOINT a;
SELECT * FROM flush();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
SELECT produce('saved', 'k', '2');
SELECT record_offset FROM flush();
ROLLBACK TO a;
SAVEPOINT b;
SELECT record_offset FROM flush();
ROLLBACK TO b;
RELEASE a;
-- all of this level: allowed
SELECT record_offset FROM flush();
SELECT record_offset FROM flush();
SAVEPOINT c;
SELECT record_offset FROM flush();
SELECT produce('saved', 'k', '3');
SELECT record_offset FROM flush();
SELECT produce('saved', 'k', '4');
RELEASE c;
SELECT record_offset FROM flush();
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 0);
-- outside of a block, and with nothing to do
SELECT * FROM flush();

-- in a block with EXCEPTION
DO $$
BEGIN
	PERFORM produce('saved', 'k', '5');
	BEGIN
		PERFORM produce('saved', 'k', 'lost');
		PERFORM flush();
	EXCEPTION WHEN object_not_in_prerequisite_state THEN
		RAISE NOTICE '%', SQLERRM;
	END;
	PERFORM flush();
	BEGIN
		PERFORM produce('saved', 'k', '6');
		PERFORM flush();
	EXCEPTION WHEN OTHERS THEN
		RAISE;
	END;
END $$;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 3);

--
-- flush and ROLLBACK TO: the records are gone, and their offsets remain unused
--
BEGIN;
SELECT produce('saved', 'k', '7');
SELECT record_offset FROM flush();
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost');
SELECT produce('saved', 'k', 'lost');
SELECT record_offset FROM flush();
SELECT produce('saved', 'k', 'lost');
ROLLBACK TO a;
SELECT produce('saved', 'k', '8');
SELECT record_offset FROM flush();
SELECT produce('saved', 'k', '9');
SAVEPOINT b;
SELECT produce('saved', 'k', 'lost');
ROLLBACK TO b;
SELECT count(*) AS not_decided FROM fetch_records('saved', 0, 6);
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 6);
SELECT end_offset('saved', 0);

-- rolled back after a flush that was the last append: readers go on at once
BEGIN;
SELECT produce('saved', 'k', 'lost');
SELECT record_offset FROM flush();
ROLLBACK;
SELECT end_offset('saved', 0) AS before;
SELECT count(*) FROM fetch_records('saved', 0, 11);
SELECT produce('saved', 'k', '10');
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 11);
-- and a subtransaction undone, in a transaction that commits nothing else
BEGIN;
SAVEPOINT a;
SELECT produce('saved', 'k', 'lost');
SELECT record_offset FROM flush();
ROLLBACK TO a;
COMMIT;
SELECT end_offset('saved', 0);
SELECT produce('saved', 'k', '11');
SELECT record_offset, as_text(value) AS value FROM fetch_records('saved', 0, 13);
SELECT records, problem FROM check_topic('saved');

--
-- A small buffer spills: the same rules across the spill
--
SELECT drop_topic('saved');
SELECT create_topic('saved', 3);
SET streamlog.producer_buffer = '64kB';
-- records from..upto, of about 1 kB, to partition n % 3
CREATE FUNCTION many(first int, last int, tag text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (SELECT produce('saved', tag, i || repeat('.', 1000), partition => i % 3)
		FROM generate_series(first, last) i) p;
$$;
-- what is there, per tag, and whether the values ascend with the offsets
CREATE FUNCTION survived() RETURNS TABLE (tag text, records bigint, first int, last int, ascending bool)
LANGUAGE sql AS $$
	SELECT tag, count(*), min(n), max(n), bool_and(coalesce(n > before, true))
	FROM (SELECT tag, n, lag(n) OVER (PARTITION BY partition ORDER BY record_offset) AS before
		FROM (SELECT partition, record_offset, as_text(key) AS tag, rtrim(as_text(value), '.')::int AS n
			FROM generate_series(0, 2) p, fetch_records('saved', p, 0, 100000, 2000000000)) f) w
	GROUP BY tag ORDER BY min(n);
$$;
BEGIN;
SELECT many(1, 200, 'spilled');
SELECT count(*) > 0 AS has_file FROM pg_ls_tmpdir();
SAVEPOINT a;
SELECT many(201, 500, 'lost in the file');
ROLLBACK TO a;
SELECT many(501, 520, 'in memory');
SAVEPOINT b;
SELECT many(521, 800, 'lost across');
SAVEPOINT c;
SELECT many(801, 1000, 'lost, nested');
RELEASE c;
ROLLBACK TO b;
SELECT many(1001, 1010, 'after');
SAVEPOINT d;
SELECT many(1011, 1400, 'released, spilled');
SAVEPOINT e;
SELECT many(1401, 1403, 'lost, few');
ROLLBACK TO e;
SELECT many(1404, 1500, 'the end');
RELEASE d;
COMMIT;
SELECT * FROM survived();
SELECT partition, end_offset FROM partitions WHERE topic = 'saved' ORDER BY 1;

-- back to the beginning of the file, several times
BEGIN;
SAVEPOINT a;
SELECT many(2001, 2300, 'lost 1');
ROLLBACK TO a;
SELECT many(2301, 2600, 'lost 2');
ROLLBACK TO a;
SELECT many(2601, 2900, 'third time');
SAVEPOINT b;
SELECT many(2901, 3000, 'lost 3');
ROLLBACK TO b;
SELECT many(3001, 3100, 'fourth time');
COMMIT;
SELECT * FROM survived() WHERE first > 2000;

-- flushed from the file, in a savepoint that is undone and in one that is not
BEGIN;
SELECT many(4001, 4200, 'flushed');
SELECT count(*), count(DISTINCT (partition, record_offset)) FROM flush();
SAVEPOINT a;
SELECT many(4201, 4400, 'flushed, lost');
SELECT count(*) FROM flush();
SELECT many(4401, 4600, 'lost in the file');
ROLLBACK TO a;
SELECT many(4601, 4800, 'again');
SELECT count(*) FROM flush();
SELECT many(4801, 5000, 'at commit');
COMMIT;
SELECT * FROM survived() WHERE first > 4000;

-- blocks with EXCEPTION, every second undone
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		BEGIN
			PERFORM many(6000 + i * 50, 6000 + i * 50 + 39, CASE i % 2 WHEN 0 THEN 'lost' ELSE 'odd' END);
			IF i % 2 = 0 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM survived() WHERE first > 6000;

-- records larger than the buffer
BEGIN;
SELECT produce('saved', 'large', '8001' || repeat('.', 200000), partition => 0);
SAVEPOINT a;
SELECT produce('saved', 'lost', '8002' || repeat('.', 200000), partition => 0);
ROLLBACK TO a;
SELECT produce('saved', 'large', '8003' || repeat('.', 100), partition => 0);
SELECT produce('saved', 'large', '8004' || repeat('.', 300000), partition => 0);
COMMIT;
SELECT * FROM survived() WHERE first > 8000;

-- a spill that fails in a savepoint, at a chunk behind others that hold records from
-- before it.  Mutation: count each extent when it is begun.
SET temp_file_limit = '20kB';
BEGIN;
SELECT many(8101, 8130, 'before');
DO $$
BEGIN
	PERFORM many(8201, 8299, 'lost');
EXCEPTION WHEN configuration_limit_exceeded THEN
	RAISE NOTICE '%', SQLERRM;
END $$;
SELECT many(8301, 8303, 'behind');
COMMIT;
RESET temp_file_limit;
SELECT * FROM survived() WHERE first > 8100;

-- rolled back with a file: nothing, and no offset
SELECT sum(end_offset) AS ends FROM partitions WHERE topic = 'saved' \gset
BEGIN;
SELECT many(9001, 9500, 'lost');
ROLLBACK;
SELECT count(*) AS files FROM pg_ls_tmpdir();
SELECT sum(end_offset) = :ends AS unchanged FROM partitions WHERE topic = 'saved';
SELECT partition, records, problem FROM check_topic('saved') ORDER BY 1;
RESET streamlog.producer_buffer;

SELECT drop_topic('saved');
DROP FUNCTION many, survived;
