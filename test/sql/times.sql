--
-- times: offset_for_time() against a look at every record, in a log of some MB
-- whose times go up and down, before and after the worker has indexed them
--
-- Mutations: a bisection that looks at the largest time with <=; an index that
-- keeps the times of each MB by themselves; a search that begins a MB too late.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('timed');
SELECT relation AS segment FROM segments WHERE topic = 'timed' \gset

-- a record for each minute, some of them a day, a week or a year too early, a few
-- too late, and in their middle some that were aborted
CREATE FUNCTION minute(i int) RETURNS timestamptz LANGUAGE sql AS $$
	SELECT '2001-01-01 00:00+00'::timestamptz + i * interval '1 minute'
		- CASE WHEN i % 1000 = 0 THEN interval '1 year' WHEN i % 7 = 0 THEN interval '1 week' WHEN i % 3 = 0 THEN interval '1 day' ELSE '0' END
		+ CASE WHEN i IN (1500, 4321) THEN interval '6 hours' WHEN i = 9000 THEN interval '20 days' ELSE '0' END $$;
BEGIN;
SELECT count(produce('timed', NULL, repeat('x', 500), record_time => '2001-01-01')) FROM generate_series(1, 3000) i;
SELECT count(*) FROM flush();
ROLLBACK;
BEGIN;
SELECT count(produce('timed', NULL, repeat('x', 500), record_time => minute(i))) FROM generate_series(0, 4999) i;
COMMIT;
BEGIN;
SELECT count(produce('timed', NULL, 'aborted', record_time => minute(5001) + interval '12 hours')) FROM generate_series(1, 10) i;
SELECT count(*) FROM flush();
ROLLBACK;
BEGIN;
SELECT count(produce('timed', NULL, repeat('x', 500), record_time => minute(i))) FROM generate_series(5000, 9999) i;
COMMIT;
SELECT end_offset('timed', 0), pg_relation_size(:'segment') / 1048576 AS "MB";

CREATE VIEW chunks AS SELECT chunk, min_timestamp, max_timestamp FROM streamlog.segment_time
WHERE relation = :'segment'::regclass ORDER BY chunk;

-- where the two ways to look for a time differ: none
CREATE FUNCTION differences() RETURNS TABLE (times bigint, found bigint, differ bigint) LANGUAGE sql AS $$
	SELECT count(*), count(f), count(*) FILTER (WHERE f IS DISTINCT FROM wanted)
	FROM (SELECT offset_for_time('timed', 0, t) AS f,
			(SELECT min(record_offset) FROM topic.timed r WHERE r.timestamp >= t) AS wanted
		FROM (SELECT '2001-01-01 00:00+00'::timestamptz + i * interval '37 minutes' + s * interval '1 us'
				FROM generate_series(-100, 1200, 13) i, generate_series(-1, 1) s
			UNION SELECT timestamp FROM topic.timed WHERE record_offset % 397 = 0
			UNION SELECT max_timestamp + s * interval '1 us' FROM chunks, generate_series(-1, 1) s
			UNION SELECT unnest(ARRAY['1999-01-01', '2000-02-01', '2001-12-31', '2002-01-01', 'infinity', '-infinity']::timestamptz[])) w (t)) d $$;
SELECT * FROM differences();

-- the worker indexes every MB that is full; one that has just come up looks at once
SELECT count(pg_terminate_backend(pid)) AS ended FROM workers WHERE database = current_database() \gset
CREATE PROCEDURE await_index(n int) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	WHILE (SELECT count(*) FROM chunks) < n LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'the worker has not indexed the times';
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;
CALL await_index(7);
TABLE chunks;
SELECT * FROM differences();

-- what is missing in it is looked for
SET allow_system_table_mods = on;
DELETE FROM streamlog.segment_time WHERE chunk = 2 AND relation = :'segment'::regclass;
SELECT * FROM differences();

-- VACUUM FULL moves the records to other blocks: the index of the file before is of
-- no use, and it is made anew
CREATE TABLE index_before AS SELECT * FROM streamlog.segment_time WHERE relation = :'segment'::regclass;
VACUUM FULL :segment;
BEGIN;
LOCK TABLE :segment;
DELETE FROM streamlog.segment_time WHERE relation = :'segment'::regclass;
INSERT INTO streamlog.segment_time SELECT * FROM index_before;
SELECT * FROM differences();
SET LOCAL streamlog.mutants = 'any-file';
SELECT differ > 0 AS differ FROM differences();
COMMIT;
DROP TABLE index_before;
SELECT count(pg_terminate_backend(pid)) AS ended FROM workers WHERE database = current_database() \gset
CREATE OR REPLACE VIEW chunks AS SELECT chunk, min_timestamp, max_timestamp FROM streamlog.segment_time
WHERE relation = :'segment'::regclass AND file = pg_relation_filenode(:'segment') ORDER BY chunk;
CALL await_index(5);
TABLE chunks;
SELECT * FROM differences();

-- one that is newer than all but not decided is not found
BEGIN;
SELECT count(produce('timed', NULL, 'aborted', record_time => '2001-12-31'));
SELECT count(*) FROM flush();
SELECT offset_for_time('timed', 0, '2001-12-31');
ROLLBACK;
SELECT offset_for_time('timed', 0, '2001-12-31');

SELECT drop_topic('timed');
DROP PROCEDURE await_index;
DROP FUNCTION minute, differences;
DROP VIEW chunks;
