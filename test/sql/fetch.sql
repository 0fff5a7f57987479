--
-- fetch: where it begins and ends, its bounds, what is out of range, and the
-- functions around it
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

--
-- An empty log
--
SELECT create_topic('fetched', 2);
SELECT start_offset('fetched', 0), end_offset('fetched', 0), offset_for_time('fetched', 0, '2001-01-01');
SELECT * FROM fetch_records('fetched', 0, 0);
SELECT * FROM fetch_records('fetched', 0, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', 0, -1);
\echo :LAST_ERROR_SQLSTATE

--
-- From everywhere
--
SELECT count(produce('fetched', 'k' || i, 'v' || i, partition => 0, record_time => '2001-01-01 00:00:00'::timestamptz + i * interval '1 minute'))
FROM generate_series(0, 9) i;
SELECT start_offset('fetched', 0), end_offset('fetched', 0);
SELECT record_offset, timestamp, partition, key, value, headers, topic FROM fetch_records('fetched', 0, 7);
SELECT start, count(f), min(record_offset), max(record_offset), string_agg(as_text(value), ' ') AS in_order
FROM generate_series(0, 10) start LEFT JOIN fetch_records('fetched', 0, start) f ON true GROUP BY start ORDER BY start;
-- exactly at the end: nothing; beyond it, and before the start: out of range
SELECT * FROM fetch_records('fetched', 0, 10);
SELECT * FROM fetch_records('fetched', 0, 11);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', 0, 9223372036854775807);
SELECT * FROM fetch_records('fetched', 0, -1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', 0, -9223372036854775808);
-- out of range whatever the bounds
SELECT * FROM fetch_records('fetched', 0, 11, 0);
-- the other partition has its own offsets
SELECT * FROM fetch_records('fetched', 1, 0);
SELECT * FROM fetch_records('fetched', 1, 1);

--
-- max_records
--
SELECT m, count(f) AS records, min(record_offset), max(record_offset)
FROM unnest(ARRAY[0, 1, 2, 7, 8, 9, 2147483647]) m LEFT JOIN fetch_records('fetched', 0, 2, m) f ON true GROUP BY m ORDER BY m;
SELECT count(*) FROM fetch_records('fetched', 0, 2, max_records => 0);
SELECT * FROM fetch_records('fetched', 0, 2, -1);
\echo :LAST_ERROR_SQLSTATE
-- 500 by default
SELECT count(produce('fetched', NULL, 'v' || i, partition => 1)) FROM generate_series(0, 1199) i;
SELECT count(*), min(record_offset), max(record_offset) FROM fetch_records('fetched', 1, 0);
SELECT count(*), min(record_offset), max(record_offset) FROM fetch_records('fetched', 1, 500);
SELECT count(*), min(record_offset), max(record_offset) FROM fetch_records('fetched', 1, 1000);
SELECT count(*), min(record_offset), max(record_offset) FROM fetch_records('fetched', 1, 0, 5000);
-- every position finds its record
SELECT count(*) FROM generate_series(0, 1199) i, fetch_records('fetched', 1, i, 1) f
WHERE f.record_offset = i AND as_text(f.value) = 'v' || i;

--
-- max_bytes: about so much, and the first record always
--
SELECT create_topic('bytes');
SELECT count(produce('bytes', NULL, string_agg_md5)) FROM
	(SELECT (SELECT string_agg(md5(i * 100 + j || ''), '' ORDER BY j) FROM generate_series(1, 25) j) AS string_agg_md5
	FROM generate_series(1, 20) i) v;
SELECT count(*), min(record_offset) FROM fetch_records('bytes', 0, 3, max_bytes => 0);
SELECT count(*), min(record_offset) FROM fetch_records('bytes', 0, 3, max_bytes => 1);
SELECT count(*), min(record_offset) FROM fetch_records('bytes', 0, 3, max_bytes => 799);
SELECT count(*) BETWEEN 3 AND 5 AS some FROM fetch_records('bytes', 0, 3, max_bytes => 4000);
SELECT count(*) FROM fetch_records('bytes', 0, 0, max_bytes => 2147483647);
SELECT count(*) FROM fetch_records('bytes', 0, 0, max_records => 0, max_bytes => 0);
SELECT count(*) FROM fetch_records('bytes', 0, 0, 2, 1000000);
SELECT * FROM fetch_records('bytes', 0, 0, max_bytes => -1);
\echo :LAST_ERROR_SQLSTATE
-- 1 MB by default; a large first record alone, the next one follows
SELECT alter_topic('bytes', config => '{"max.message.bytes": 4000000}');
SELECT produce('bytes', NULL, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 90000) i));
SELECT produce('bytes', NULL, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 90000) i));
SELECT produce('bytes', NULL, 'last');
SELECT record_offset, length(value) FROM fetch_records('bytes', 0, 19);
SELECT record_offset, length(value) FROM fetch_records('bytes', 0, 20);
SELECT record_offset, length(value) FROM fetch_records('bytes', 0, 21);
SELECT record_offset, length(value) FROM fetch_records('bytes', 0, 22);
SELECT record_offset, length(value) FROM fetch_records('bytes', 0, 20, max_bytes => 10000000);
-- one by one through all of it
DO $$
DECLARE
	next bigint := start_offset('bytes', 0);
	calls int := 0;
	r log_record;
BEGIN
	WHILE next < end_offset('bytes', 0) LOOP
		calls := calls + 1;
		FOR r IN SELECT * FROM fetch_records('bytes', 0, next, max_bytes => 0) LOOP
			IF r.record_offset <> next THEN
				RAISE EXCEPTION 'got % at %', r.record_offset, next;
			END IF;
			next := r.record_offset + 1;
		END LOOP;
	END LOOP;
	RAISE NOTICE '% calls to %', calls, next;
END $$;

--
-- max_wait: nothing to wait for, an interval of any kind, not negative
--
SELECT count(*) FROM fetch_records('fetched', 0, 9, max_wait => '1 hour');
SELECT count(*) FROM fetch_records('fetched', 0, 9, max_wait => make_interval(years => 1000000));
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '0');
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => interval '20 ms');
SELECT count(*) FROM fetch_records('fetched', 0, 10, 0, 0, '1 us');
SELECT count(*) FROM fetch_records('fetched', 0, 10, 0, max_wait => '30 ms');
SELECT * FROM fetch_records('fetched', 0, 10, max_wait => '-1 ms');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', 0, 10, max_wait => '-1 month');
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '1 month -30 days');
SELECT * FROM fetch_records('fetched', 0, 11, max_wait => '1 hour');
-- it waits as long as it is told, and not longer than streamlog.max_wait
SELECT clock_timestamp() AS before \gset
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '300 ms');
SELECT clock_timestamp() - :'before' BETWEEN '299 ms' AND '20 s' AS waited;
SET streamlog.max_wait = '100ms';
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '1 hour');
SELECT clock_timestamp() - :'before' < '30 s' AS capped;
RESET streamlog.max_wait;
-- not in a transaction that has written, and not with a snapshot that is kept
BEGIN;
CREATE TABLE written ();
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '1 hour');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM fetch_records('fetched', 0, 10, max_wait => '1 hour');
ROLLBACK;
SELECT clock_timestamp() - :'before' < '30 s' AS at_once;

--
-- No such thing, and nulls
--
SELECT * FROM fetch_records('no_such_topic', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', 2, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', -1, 0);
SELECT start_offset('fetched', 2);
SELECT end_offset('fetched', -1);
SELECT offset_for_time('fetched', 2, '2001-01-01');
SELECT end_offset('no_such_topic', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records(NULL, 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('fetched', NULL, 0);
SELECT * FROM fetch_records('fetched', 0, NULL);
SELECT * FROM fetch_records('fetched', 0, 0, NULL);
SELECT * FROM fetch_records('fetched', 0, 0, max_bytes => NULL);
SELECT * FROM fetch_records('fetched', 0, 0, max_wait => NULL);
SELECT start_offset(NULL, 0), end_offset('fetched', NULL), offset_for_time('fetched', 0, NULL);

--
-- offset_for_time: the first record that is not older
--
SELECT t, offset_for_time('fetched', 0, t::timestamptz) FROM unnest(ARRAY['-infinity', '1970-01-01', '2001-01-01 00:00:00',
	'2001-01-01 00:00:00.000001', '2001-01-01 00:04:59.999999', '2001-01-01 00:05:00', '2001-01-01 00:05:00.000001',
	'2001-01-01 00:09:00', '2001-01-01 00:09:00.000001', 'infinity']) t;
-- times need not ascend: the first one by offset
SELECT produce('fetched', 'old', 'v', partition => 0, record_time => '2000-01-01');
SELECT produce('fetched', 'new', 'v', partition => 0, record_time => '2002-01-01');
SELECT produce('fetched', 'old', 'v', partition => 0, record_time => '2000-06-01');
SELECT t, offset_for_time('fetched', 0, t::timestamptz) FROM unnest(ARRAY['2000-01-01', '2001-01-01 00:09:00',
	'2001-06-01', '2002-01-01', '2002-01-02']) t;

--
-- Where a fetch may stand in a query
--
SELECT p, count(*) FROM generate_series(0, 1) p, fetch_records('fetched', p, 3, 5) GROUP BY p ORDER BY p;
SELECT (fetch_records('fetched', 0, 3, 2)).record_offset;
SELECT record_offset FROM fetch_records('fetched', 0, 3) LIMIT 2;
SELECT a.record_offset, b.record_offset FROM fetch_records('fetched', 0, 3, 2) a JOIN fetch_records('fetched', 0, 4, 2) b USING (key);
PREPARE next_records (bigint) AS SELECT record_offset FROM fetch_records('fetched', 0, $1, 1);
EXECUTE next_records(0);
EXECUTE next_records(12);
EXECUTE next_records(13);
DEALLOCATE next_records;
BEGIN;
DECLARE c CURSOR FOR SELECT record_offset FROM fetch_records('fetched', 0, 0);
FETCH 2 FROM c;
FETCH 1 FROM c;
COMMIT;
-- the records of the transaction itself: not before it commits, also when flushed
BEGIN;
SELECT produce('fetched', 'own', 'v', partition => 0);
SELECT count(*) FROM fetch_records('fetched', 0, 13);
SELECT record_offset FROM flush();
SELECT count(*) FROM fetch_records('fetched', 0, 13);
SELECT end_offset('fetched', 0);
SELECT topic, partition, held_offset, pid = pg_backend_pid() AS mine FROM undecided_transactions;
COMMIT;
SELECT record_offset, as_text(key) FROM fetch_records('fetched', 0, 13);
SELECT count(*) FROM undecided_transactions;

--
-- as_text and as_json
--
SELECT as_text('\x61c3a4'), as_text(''), as_text(NULL);
SELECT as_text('\xff');
\echo :LAST_ERROR_SQLSTATE
SELECT as_text('\x6100');
SELECT as_json('{"b": 1, "a": [null]}'), as_json('1'), as_json(NULL);
SELECT as_json('');
\echo :LAST_ERROR_SQLSTATE
SELECT as_json('{');
SELECT as_json('\xff');
\echo :LAST_ERROR_SQLSTATE

SELECT drop_topic('fetched'), drop_topic('bytes');
