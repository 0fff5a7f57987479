--
-- records(), tail() and pending_records(): a log, its end, and what is pending as
-- relations
--
-- Mutations: the range is not clamped at one of its ends; tail() does not look
-- further back over a hole, merges by time alone, or keeps the first rows;
-- pending_records() shows what was undone, or what may not be read.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;

SELECT create_topic('rel', 3);
SELECT count(*) FROM records('rel');
SELECT count(*) FROM tail('rel');
DO $$
BEGIN
	PERFORM produce('rel', 'k' || i, 'v' || i, headers('{"n": "x"}'), i % 3) FROM generate_series(1, 20) i;
	PERFORM produce('rel', NULL, repeat('x', 20000), partition => 0);
END $$;

--
-- records()
--
SELECT partition, count(*), min(record_offset), max(record_offset) FROM records('rel') GROUP BY 1 ORDER BY 1;
SELECT partition, record_offset, as_text(key), show_text(value), show_headers(headers), topic FROM records('rel', 1, 2, 4);
SELECT count(*) FROM records('rel', from_offset => 5);
SELECT count(*) FROM records('rel', before_offset => 2);
SELECT count(*) FROM records('rel', 0, 3, 3) a, records('rel', 0, 4, 2) b;
SELECT count(*) FROM records('rel', 0, -9223372036854775808, 9223372036854775807);
SELECT count(*) FROM records('rel', 0, 9223372036854775807, -9223372036854775808);
SELECT count(*), max(length(value)) FROM records('rel', 0) WHERE record_offset > 4;
-- the same as the table, when nothing is on its way
SELECT count(*) FROM (TABLE topic.rel EXCEPT SELECT record_offset, timestamp, partition, key, value, headers FROM records('rel')) d;
-- and not what is
BEGIN;
SELECT produce('rel', 'pending', 'v', partition => 0);
SELECT count(*) FROM flush();
SELECT count(*) FROM topic.rel WHERE key = 'pending';
SELECT count(*) FROM records('rel') WHERE key = 'pending';
ROLLBACK;
-- joined, and as a row source of another statement
SELECT count(*) FROM records('rel', 0) a JOIN records('rel', 0) b USING (record_offset);
CREATE TABLE copied AS SELECT * FROM records('rel');
SELECT count(*) FROM copied;
SELECT create_topic('rel2');
INSERT INTO topic.rel2 (key, value, headers) SELECT key, value, headers FROM records('rel', 0);
SELECT count(*) FROM records('rel2');

--
-- tail()
--
SELECT partition, record_offset, show_text(key) FROM tail('rel2', 3);
SELECT count(*) FROM tail('rel2', 0) a, tail('rel2', 1) b;
SELECT count(*) FROM tail('rel2');
SELECT count(*) FROM tail('rel2', 2147483647);
-- by time, over partitions, and never against the order of one
SELECT create_topic('times', 2, config => '{"message.timestamp.before.max.ms": 9223372036854775807}');
DO $$
BEGIN
	INSERT INTO topic_text.times (partition, timestamp, value) VALUES
		(0, '2020-01-01 00:00:00', 'a 1'), (0, '2020-01-05 00:00:00', 'a 5'), (0, '2020-01-02 00:00:00', 'a 2'),
		(1, '2020-01-03 00:00:00', 'b 3'), (1, '2020-01-04 00:00:00', 'b 4'), (1, '2020-01-06 00:00:00', 'b 6');
END $$;
SELECT show_text(value) FROM tail('times');
SELECT show_text(value) FROM tail('times', 4);
SELECT show_text(value) FROM tail('times', 1);
-- over a hole
SELECT create_topic('holes');
SELECT produce('holes', NULL, 'v' || i) FROM generate_series(0, 4) i;
BEGIN;
SELECT produce('holes', NULL, 'lost') FROM generate_series(1, 50) i \g /dev/null
SELECT count(*) FROM flush();
ROLLBACK;
SELECT produce('holes', NULL, 'after the hole');
SELECT record_offset, show_text(value) FROM tail('holes', 3);
SELECT count(*) FROM tail('holes', 7);

--
-- pending_records()
--
SELECT count(*) FROM pending_records();
BEGIN;
SELECT produce('rel', 'p1', 'v1', headers('{"h": "1"}'), 1, '2020-02-03 04:05:06+00');
SELECT produce('rel', 'p2', repeat('y', 5000), partition => 1);
SAVEPOINT s;
SELECT produce('rel', 'undone', 'v', partition => 1);
SELECT produce('rel2', 'undone', 'v');
SELECT count(*) FROM pending_records();
ROLLBACK TO s;
SELECT produce('rel2', NULL, NULL);
SELECT topic, partition, record_offset, timestamp = '2020-02-03 04:05:06+00' AS given, show_text(key) AS key, length(value), show_headers(headers) FROM pending_records();
RELEASE s;
SELECT count(*) FROM flush();
SELECT count(*) FROM pending_records();
SELECT produce('rel2', 'after', 'v');
SELECT topic, show_text(key) AS key FROM pending_records();
COMMIT;
SELECT count(*) FROM pending_records();
-- from the temporary file, too, and appended all the same
BEGIN;
SET LOCAL streamlog.producer_buffer = '64kB';
SELECT count(*) FROM (SELECT produce('rel2', i::text, repeat('z', 100)) FROM generate_series(1, 5000) i) p;
SELECT count(*), count(DISTINCT key), min(length(value)) FROM pending_records();
COMMIT;
SELECT count(*) FROM records('rel2', 0, 10) WHERE value LIKE 'zz%';
-- of a topic that is dropped in the transaction
BEGIN;
SELECT create_topic('brief');
SELECT produce('brief', 'k', 'v');
SELECT topic FROM pending_records();
SELECT drop_topic('brief');
SELECT topic FROM pending_records();
COMMIT;

--
-- Errors and privileges
--
SELECT command, try('SELECT * FROM ' || command) FROM unnest(ARRAY[
	'records(NULL)', 'records(''none'')', 'records(''rel'', 3)', 'records(''rel'', -1)',
	'tail(NULL)', 'tail(''none'')', 'tail(''rel'', -1)', 'tail(''rel'', NULL)', 'records(''rel'', NULL, NULL, NULL)']) command;
CREATE ROLE regress_streamlog_p;
GRANT INSERT ON topic.rel TO regress_streamlog_p;
GRANT SELECT, INSERT ON topic.rel2 TO regress_streamlog_p;
SET ROLE regress_streamlog_p;
SELECT * FROM records('rel');
SELECT * FROM tail('rel');
BEGIN;
SELECT produce('rel', 'k', 'v');
SELECT produce('rel2', 'k', 'v');
SELECT topic FROM pending_records();
ROLLBACK;
SELECT count(*) > 0 FROM records('rel2');
RESET ROLE;
-- nothing beyond a snapshot that is kept
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM records('holes');
SELECT count(*) FROM tail('holes', 3);
COMMIT;

SELECT drop_topic(topic) FROM unnest(ARRAY['rel', 'rel2', 'times', 'holes']) topic;
DROP ROLE regress_streamlog_p;
DROP TABLE copied;
DROP FUNCTION try;
