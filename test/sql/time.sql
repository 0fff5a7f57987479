--
-- time: offset_for_time() in small logs, where each answer can be seen.  The test
-- "times" compares it in a log of some MB.
--
-- Mutations: > for >=; the last record that is not older for the first; times
-- taken to ascend; records that are not decided, or that were rolled back, counted.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

-- nothing in it
SELECT create_topic('clock', 2);
SELECT offset_for_time('clock', 0, '2020-01-01'), offset_for_time('clock', 0, '-infinity');

-- by default a record may be as old as one likes
SELECT config FROM topics WHERE topic = 'clock';
SELECT produce('clock', 'k', 'v' || hour, partition => 0, record_time => '2020-01-01 00:00+00'::timestamptz + hour * interval '1 hour')
FROM unnest(ARRAY[0, 1, 2, 2, 2, 4]) hour;
SELECT record_offset, timestamp FROM fetch_records('clock', 0, 0);

-- exact, between, among equal ones, before the first, after the last
CREATE TABLE asked (id int GENERATED ALWAYS AS IDENTITY, t timestamptz);
INSERT INTO asked (t) VALUES
	('-infinity'), ('0001-01-01 00:00+00'), ('1970-01-01 00:00+00'), ('2019-12-31 23:59:59.999999+00'),
	('2020-01-01 00:00+00'), ('2020-01-01 00:00:00.000001+00'), ('2020-01-01 00:30+00'), ('2020-01-01 01:00+00'),
	('2020-01-01 01:00:00.000001+00'), ('2020-01-01 02:00+00'), ('2020-01-01 02:00:00.000001+00'),
	('2020-01-01 03:59:59.999999+00'), ('2020-01-01 04:00+00'), ('2020-01-01 04:00:00.000001+00'),
	('2021-01-01 00:00+00'), ('infinity');
SELECT t, offset_for_time('clock', 0, t) FROM asked ORDER BY id;
-- partitions are apart
SELECT count(*), count(offset_for_time('clock', 1, t)) AS found FROM asked;
-- a time is a time, in whichever zone it is written
SELECT offset_for_time('clock', 0, '2020-01-01 03:00+02') AS one, offset_for_time('clock', 0, '2019-12-31 20:00-05') AS the_same;

--
-- Times need not ascend: it is the first offset whose record is not older
--
SELECT create_topic('unordered');
SELECT produce('unordered', 'k', day::text, record_time => '2020-01-01 00:00+00'::timestamptz + day * interval '1 day')
FROM unnest(ARRAY[5, 3, 9, 1, 9, 7, 12, 0]) day;
SELECT day, offset_for_time('unordered', 0, '2020-01-01 00:00+00'::timestamptz + day * interval '1 day'),
	(SELECT min(record_offset) FROM topic.unordered WHERE timestamp >= '2020-01-01 00:00+00'::timestamptz + day * interval '1 day') AS wanted
FROM generate_series(-1, 13) day ORDER BY day;

--
-- What was rolled back, or is not decided, has no time
--
BEGIN;
SELECT produce('unordered', 'k', 'rolled back', record_time => '2020-02-01 00:00+00');
SELECT record_offset FROM flush();
SELECT offset_for_time('unordered', 0, '2020-01-20 00:00+00') AS own_flushed;
ROLLBACK;
SELECT offset_for_time('unordered', 0, '2020-01-20 00:00+00') AS rolled_back;
SELECT produce('unordered', 'k', 'v', record_time => '2020-02-01 00:00+00');
SELECT offset_for_time('unordered', 0, '2020-01-20 00:00+00') AS behind_it;
-- and a savepoint that was rolled back
BEGIN;
SELECT produce('unordered', 'k', 'kept', record_time => '2020-03-01 00:00+00');
SELECT record_offset FROM flush();
SAVEPOINT s;
SELECT produce('unordered', 'k', 'taken back', record_time => '2020-04-01 00:00+00');
SELECT record_offset FROM flush();
ROLLBACK TO s;
SELECT produce('unordered', 'k', 'kept', record_time => '2020-05-01 00:00+00');
COMMIT;
SELECT offset_for_time('unordered', 0, '2020-02-15 00:00+00') AS march, offset_for_time('unordered', 0, '2020-03-15 00:00+00') AS may;
SELECT record_offset, timestamp FROM fetch_records('unordered', 0, 8);

--
-- LogAppendTime: the log's time, whatever was given; a time before it finds it
--
SELECT create_topic('by_append', config => '{"message.timestamp.type": "LogAppendTime"}');
SELECT produce('by_append', 'k', 'v', record_time => '2020-01-01 00:00+00');
SELECT offset_for_time('by_append', 0, '2020-01-02 00:00+00') AS later_than_given,
	offset_for_time('by_append', 0, (SELECT timestamp FROM fetch_records('by_append', 0, 0))) AS its_own,
	offset_for_time('by_append', 0, clock_timestamp()) AS now;

--
-- The bounds: as old as that and no older
--
SELECT alter_topic('clock', config => '{"message.timestamp.before.max.ms": 86400000}');
SELECT produce('clock', 'k', 'v', partition => 1, record_time => now() - interval '23 hours') AS younger;
\set VERBOSITY sqlstate
SELECT produce('clock', 'k', 'v', partition => 1, record_time => '2020-01-01 00:00+00');
\set VERBOSITY default
-- what is there stays, and is found
SELECT offset_for_time('clock', 0, '2020-01-01 01:00+00');
SELECT alter_topic('clock', config => '{"message.timestamp.before.max.ms": null}');
SELECT config FROM topics WHERE topic = 'clock';
SELECT produce('clock', 'k', 'v', partition => 1, record_time => '2020-01-01 00:00+00') AS again;
SELECT record_offset, timestamp < now() AS past FROM fetch_records('clock', 1, 0);

SELECT drop_topic('clock'), drop_topic('unordered'), drop_topic('by_append');
DROP TABLE asked;
