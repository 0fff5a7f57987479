--
-- configs: every config of a topic, with units, bounds and refusals; what is not
-- acting yet says so; describe_topic(), compression.type and tablespace
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('c');
SELECT * FROM describe_topic('c');

-- set one config to one value: what is stored, or what is said against it
CREATE FUNCTION given(name text, given jsonb) RETURNS text LANGUAGE plpgsql
SET client_min_messages = warning AS $$
DECLARE
	hint text;
BEGIN
	PERFORM alter_topic('c', config => jsonb_build_object(name, given));
	RETURN (SELECT config->name FROM topics WHERE topic = 'c');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' ', SQLSTATE, left(SQLERRM, 200), '|', hint);
END $$;

--
-- Units.  What is stored is the plain number; without a unit all of int64 is exact.
-- Mutation: parse every string as a real number.
--
SELECT v, given('retention.bytes', to_jsonb(v)) FROM unnest(ARRAY['1', '1B', '1kB', '512kB', '1MB', '1GB',
	'1.5GB', '2 TB', ' 7 ', '1e3', '-1', '0', '9223372036854775807', '9223372036854775806', '8388607TB']) v;
SELECT v, given('retention.ms', to_jsonb(v)) FROM unnest(ARRAY['1', '1ms', '5s', '10min', '1h', '1.5h',
	'7d', '7 d', '0.25d', '1000us', '-1', '0', '9223372036854775807', '106751991167d']) v;
SELECT v, given('retention.ms', v) FROM unnest(ARRAY['604800000', '1e3', '1.0', '1.50e1', '-1', '9223372036854775807']::jsonb[]) v;
SELECT v, given('segment.bytes', to_jsonb(v)) FROM unnest(ARRAY['1MB', '1024kB', '2047MB', '2147483647B']) v;

-- what is no number of that kind, or out of bounds
SELECT left(v::text, 30) AS v, given('retention.ms', v) FROM unnest(ARRAY['""', '" "', '"7days"', '"7D"', '"7w"', '"1GB"', '"d"', '"7d7h"', '"7d "',
	'"1us"', '"1.5"', '1.5', '"0.5ms"', '"1,5h"', '"-2"', '-2', '"-1d"', '"NaN"', '"nan"', '"Infinity"', '"-inf"', '"1e400"', '1e400',
	'"9223372036854775808"', '9223372036854775808', '-9223372036854775809', '"106751991168d"', '"1e308d"', 'true', '[1]', '{"d": 7}']::jsonb[]) v;
SELECT v, given('retention.bytes', v) FROM unnest(ARRAY['"1gb"', '"1K"', '"1KB"', '"7d"', '"-1kB"', '"8388608TB"', '-2']::jsonb[]) v;
SELECT v, given('segment.bytes', v) FROM unnest(ARRAY['"1023kB"', '1048575', '"2GB"', '2147483648', '-1']::jsonb[]) v;
SELECT v, given('max.message.bytes', v) FROM unnest(ARRAY['0', '"960MB"', '1006632959', '"960.5MB"', '-1']::jsonb[]) v;
SELECT v, given('segment.ms', v) FROM unnest(ARRAY['0', '1', '-1', '"14d"']::jsonb[]) v;
SELECT c, v, given(c, v) FROM unnest(ARRAY['message.timestamp.after.max.ms', 'message.timestamp.before.max.ms']) c,
	unnest(ARRAY['0', '"1d"', '-1', '"9223372036854775807"']::jsonb[]) v;
SELECT v, given('notify', v) FROM unnest(ARRAY['true', 'false', '"true"', '"off"', '""', '"maybe"', '1', '[true]']::jsonb[]) v;
SELECT v, given('message.timestamp.type', v) FROM unnest(ARRAY['"LogAppendTime"', '"CreateTime"', '"createtime"', '""', 'true', '0']::jsonb[]) v;

-- cleanup.policy: what would be taken and not done is refused
SELECT v, given('cleanup.policy', v) FROM unnest(ARRAY['"delete"', '"compact"', '"compact,delete"', '"delete, compact"',
	'"none"', '""', '["compact"]', 'true']::jsonb[]) v;

-- compression.type: Kafka's codecs that PostgreSQL does not have are refused
SELECT v, given('compression.type', v) FROM unnest(ARRAY['"producer"', '"uncompressed"', '"lz4"', '"pglz"',
	'"gzip"', '"snappy"', '"zstd"', '"LZ4"', '"none"', '1', 'null']::jsonb[]) v;

-- an error is not as long as what was given; the last of two values counts
SELECT left(name, 20) AS name, length(given(name, value)) < 700 AS brief, left(given(name, value), 60) AS said
FROM (VALUES (1, repeat('x', 1000000), '1'::jsonb), (2, repeat('é', 500), '1'), (3, 'notify', to_jsonb(repeat('t', 1000000))),
	(4, 'retention.ms', to_jsonb(repeat('7', 1000000))), (5, 'retention.ms', to_jsonb(repeat('7', 130000)::numeric)),
	(6, 'retention.ms', to_jsonb(repeat(' ', 1000000) || '7d')), (7, 'cleanup.policy', to_jsonb(repeat('compact,', 100000))),
	(8, 'tablespace', to_jsonb(repeat('t', 1000000))), (9, 'segment.bytes', (repeat('[', 5000) || repeat(']', 5000))::jsonb),
	(10, 'segment.bytes', (repeat('{"segment.bytes":', 5000) || '1' || repeat('}', 5000))::jsonb),
	(11, '', '1'), (12, 'Segment.Bytes', '1'), (13, 'segment.bytes ', '1')) v (id, name, value) ORDER BY id;
SELECT alter_topic('c', config => '{"segment.bytes": "nonsense", "segment.bytes": "3MB"}');
SELECT alter_topic('c', config => 'null');
SELECT alter_topic('c', config => '[{"segment.bytes": "3MB"}]');
SELECT alter_topic('c', config => '{"no.such.config": null}');
SELECT config FROM topics WHERE topic = 'c';

--
-- What does not act yet says so: when it is given, not when it is reset, and not if
-- the topic exists
--
SELECT drop_topic('c');
SELECT create_topic('c', config => '{"retention.ms": "7d", "retention.bytes": "1GB", "segment.ms": "1h", "notify": true,
	"cleanup.policy": "delete", "segment.bytes": "100MB"}');
SELECT create_topic('c', config => '{"notify": true}', if_not_exists => true);
SELECT alter_topic('c', config => '{"retention.ms": -1, "segment.ms": null}');
SELECT alter_topic('c', config => '{"notify": null, "segment.bytes": "1MB", "retention.bytes": "x"}');
SELECT alter_topic('c', config => '{"notify": null, "segment.bytes": "1MB"}');
SELECT config FROM topics WHERE topic = 'c';
SELECT config, value, source FROM describe_topic('c');

-- a transaction that is rolled back has changed nothing
BEGIN;
SELECT alter_topic('c', config => '{"retention.bytes": null, "compression.type": "pglz"}');
SELECT config, value FROM describe_topic('c') WHERE source = 'topic';
ROLLBACK;
SELECT config, value FROM describe_topic('c') WHERE source = 'topic';
SELECT drop_topic('c');

-- a transaction that changes notify cannot be prepared: shared memory is told at
-- COMMIT; one that makes a topic can
BEGIN;
SELECT create_topic('c', config => '{"notify": true}');
PREPARE TRANSACTION 'regress_streamlog';
ROLLBACK PREPARED 'regress_streamlog';
BEGIN;
SELECT create_topic('c');
SELECT alter_topic('c', config => '{"notify": true}');
PREPARE TRANSACTION 'regress_streamlog';
BEGIN;
SELECT create_topic('c', config => '{"notify": "off"}');
SAVEPOINT s;
SELECT alter_topic('c', config => '{"notify": "on"}');
SELECT produce('c', 'k', 'v');
ROLLBACK TO s;
SELECT alter_topic('c', 2, config => '{"notify": false}');
PREPARE TRANSACTION 'regress_streamlog';
ROLLBACK PREPARED 'regress_streamlog';

--
-- describe_topic(): for who may read or produce
--
SELECT create_topic('c', config => '{"max.message.bytes": "1kB"}');
CREATE ROLE regress_streamlog_configs;
SET ROLE regress_streamlog_configs;
SELECT count(*) FROM describe_topic('c');
RESET ROLE;
GRANT SELECT ON topic.c TO regress_streamlog_configs;
SET ROLE regress_streamlog_configs;
SELECT value FROM describe_topic('c') WHERE source = 'topic';
RESET ROLE;
REVOKE SELECT ON topic.c FROM regress_streamlog_configs;
GRANT INSERT ON topic.c TO regress_streamlog_configs;
SET ROLE regress_streamlog_configs;
SELECT value FROM describe_topic('c') WHERE source = 'topic';
SELECT alter_topic('c', config => '{"max.message.bytes": "1MB"}');
RESET ROLE;
SELECT * FROM describe_topic(NULL);
SELECT * FROM describe_topic('no such topic');
SELECT * FROM describe_topic(repeat('x', 1000000));
BEGIN READ ONLY;
SELECT value FROM describe_topic('c') WHERE source = 'topic';
COMMIT;

-- what another server has stored is shown as it is, and counts as the default
SET allow_system_table_mods = on;
UPDATE streamlog.topic SET config = '{"compression.type": "zstd", "segment.bytes": "huge", "max.message.bytes": [1], "tablespace": 7,
	"notify": "perhaps", "message.timestamp.type": null, "of.the.future": 1}' WHERE name = 'c';
REVOKE INSERT ON topic.c FROM regress_streamlog_configs;
SELECT config, value, source FROM describe_topic('c') WHERE source = 'topic';
SELECT produce('c', 'k', repeat('v', 1048587));
SELECT produce('c', 'k', repeat('v', 1048588));
SELECT alter_topic('c', 2, '{"compression.type": null}');
SELECT config FROM topics WHERE topic = 'c';
SELECT drop_topic('c');

--
-- compression.type.  Keys, values and headers of more than 1 kB are compressed before
-- any lock is taken, or not at all: PostgreSQL's toaster, which would do it under the
-- append lock, does not, whether they are then stored in line or out of line.
-- Mutation: no SET STORAGE EXTERNAL; what we did not compress is then tried.
--
CREATE FUNCTION digits(n int) RETURNS text LANGUAGE sql AS $$
	SELECT left(string_agg(md5(i::text), '' ORDER BY i), n) FROM generate_series(0, n / 32) i;
$$;
SELECT create_topic(t), alter_topic(t, config => jsonb_build_object('compression.type', t))
FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t;
SELECT DISTINCT a.attname, a.attstorage FROM pg_attribute a JOIN pg_inherits i ON a.attrelid IN (i.inhrelid, i.inhparent)
WHERE i.inhparent = ANY ('{topic.uncompressed,topic.lz4,topic.pglz,topic.producer}'::regclass[]) AND a.attnum > 3;
SELECT count(produce(t, repeat('k', n), repeat('v', n), ARRAY[('h', convert_to(repeat('h', n), 'UTF8'))]::header[]))
FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t, unnest(ARRAY[900, 1100, 7000, 300000]) n;
-- digits compress, but not so well that 40 kB of them would fit into a page
SELECT count(produce(t, NULL, digits(40000))) FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t;
SELECT t.topic, s.* FROM (VALUES ('uncompressed'), ('lz4'), ('pglz')) t (topic), LATERAL (
	SELECT record_offset, length(value), pg_column_compression(key) AS key, pg_column_compression(value) AS value,
		pg_column_compression(headers) AS headers, pg_column_size(value) BETWEEN length(value) AND length(value) + 4 AS plain
	FROM topic.uncompressed WHERE t.topic = 'uncompressed' UNION ALL
	SELECT record_offset, length(value), pg_column_compression(key), pg_column_compression(value),
		pg_column_compression(headers), pg_column_size(value) BETWEEN length(value) AND length(value) + 4
	FROM topic.lz4 WHERE t.topic = 'lz4' UNION ALL
	SELECT record_offset, length(value), pg_column_compression(key), pg_column_compression(value),
		pg_column_compression(headers), pg_column_size(value) BETWEEN length(value) AND length(value) + 4
	FROM topic.pglz WHERE t.topic = 'pglz') s
ORDER BY 1 DESC, 2;
-- producer: the better of those that there are, wherever this is built
SELECT DISTINCT pg_column_compression(value) IN ('lz4', 'pglz') AS compressed FROM topic.producer WHERE length(value) > 1024;
SELECT topic, record_offset, md5(key) = md5(repeat('k', length(key))) AS key, value IN (convert_to(repeat('v', length(value)), 'UTF8'),
	convert_to(digits(40000), 'UTF8')) AS value, (headers[1]).value = convert_to(repeat('h', length((headers[1]).value)), 'UTF8') AS headers
FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t, fetch_records(t, 0, 0, max_bytes => 100000000);
SELECT t, sum(records) AS records, count(problem) AS problems
FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t, check_topic(t) GROUP BY 1 ORDER BY 1;

-- a change acts on what is produced from then on, also in a transaction
BEGIN;
SELECT produce('pglz', NULL, repeat('v', 5000), partition => 0);
SELECT alter_topic('pglz', config => '{"compression.type": "uncompressed"}');
SELECT produce('pglz', NULL, repeat('v', 5000), partition => 0);
COMMIT;
SELECT record_offset, pg_column_compression(value) FROM topic.pglz WHERE record_offset >= 5;
-- produce_batch() compresses headers once for all its records
SELECT count(*) FROM produce_batch('lz4', NULL, ARRAY['a', 'b'], headers => ARRAY[('h', convert_to(repeat('h', 5000), 'UTF8'))]::header[]);
SELECT record_offset, pg_column_compression(headers), length((headers[1]).value) FROM topic.lz4 WHERE record_offset >= 5;
SELECT drop_topic(t) FROM unnest(ARRAY['uncompressed', 'lz4', 'pglz', 'producer']) t;

--
-- tablespace
--
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE regress_streamlog_space LOCATION '';
CREATE TABLESPACE "regress_streamlog Space" LOCATION '';
CREATE FUNCTION space(topic text) RETURNS TABLE (partition int, space name, toast_space name) LANGUAGE sql AS $$
	SELECT s.partition, coalesce(t.spcname, 'default'), coalesce(tt.spcname, 'default')
	FROM streamlog.segments s JOIN pg_class c ON c.oid = s.relation JOIN pg_class toast ON toast.oid = c.reltoastrelid
	LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace LEFT JOIN pg_tablespace tt ON tt.oid = toast.reltablespace
	WHERE s.topic = $1 ORDER BY s.partition, s.base_offset;
$$;

SELECT create_topic('spaced', config => '{"tablespace": "no_such_space"}');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('spaced', config => '{"tablespace": ""}');
SELECT create_topic('spaced', config => '{"tablespace": "pg_global"}');
SELECT create_topic('spaced', config => '{"tablespace": 1663}');
SELECT create_topic('spaced', config => '{"tablespace": "x; DROP TABLE streamlog.topic"}');

-- segments and what they have out of line; not the table of the topic.  A session's
-- default_tablespace is not asked.
SET default_tablespace = "regress_streamlog Space";
SELECT create_topic('spaced', config => '{"tablespace": "regress_streamlog_space"}');
RESET default_tablespace;
SELECT * FROM space('spaced');
SELECT reltablespace FROM pg_class WHERE oid = 'topic.spaced'::regclass;
SELECT produce('spaced', 'k', digits(30000));
-- the new segments only
SELECT alter_topic('spaced', 2, '{"tablespace": "regress_streamlog Space"}');
SELECT alter_topic('spaced', 3, '{"tablespace": "pg_default"}');
SELECT alter_topic('spaced', 4, '{"tablespace": null}');
SELECT * FROM space('spaced');
-- older ones are moved as tables are
ALTER TABLE ALL IN TABLESPACE regress_streamlog_space SET TABLESPACE "regress_streamlog Space";
SELECT * FROM space('spaced');
SELECT produce('spaced', 'k', 'v', partition => 0);
SELECT record_offset, length(value) FROM fetch_records('spaced', 0, 0);
SELECT sum(records) AS records, count(problem) AS problems FROM check_topic('spaced');

-- the caller must be allowed to use it, if it is not the database's own
GRANT USAGE, CREATE ON SCHEMA topic TO regress_streamlog_configs;
SET ROLE regress_streamlog_configs;
SELECT create_topic('his', config => '{"tablespace": "regress_streamlog_space"}');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('his', config => '{"tablespace": "pg_default"}');
SELECT alter_topic('his', config => '{"tablespace": "regress_streamlog Space"}');
RESET ROLE;
GRANT CREATE ON TABLESPACE "regress_streamlog Space" TO regress_streamlog_configs;
SET ROLE regress_streamlog_configs;
SELECT alter_topic('his', 2, '{"tablespace": "regress_streamlog Space"}');
RESET ROLE;
REVOKE CREATE ON TABLESPACE "regress_streamlog Space" FROM regress_streamlog_configs;
SELECT * FROM space('his');

-- the worker, too, makes segments there: the first of wide topics, and the next ones
CREATE PROCEDURE await_segments(of text, n int) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	WHILE (SELECT count(*) FROM segments WHERE topic = of) < n LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'the worker has not made the segments of %', of;
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;
SELECT create_topic('wide', 34, config => '{"tablespace": "regress_streamlog_space"}');
CALL await_segments('wide', 34);
SELECT space, toast_space, count(*) FROM space('wide') GROUP BY 1, 2;
SELECT create_topic('rolled', config => '{"tablespace": "regress_streamlog_space", "segment.bytes": "1MB", "compression.type": "uncompressed"}');
SELECT count(produce('rolled', NULL, digits(100000))) FROM generate_series(1, 12);
CALL await_segments('rolled', 2);
SELECT * FROM space('rolled');

-- It has another name, or is gone, by the time that a segment is made: the log goes
-- on.  Mutation: sl_tablespace_clause() names it all the same.
ALTER TABLESPACE regress_streamlog_space RENAME TO regress_streamlog_renamed;
SET client_min_messages = log;
SELECT alter_topic('wide', 35);
RESET client_min_messages;
SELECT space, toast_space, count(*) FROM space('wide') GROUP BY 1, 2 ORDER BY 1;
SELECT count(produce('rolled', NULL, digits(100000))) FROM generate_series(1, 12);
CALL await_segments('rolled', 3);
SELECT * FROM space('rolled');
SELECT value FROM describe_topic('wide') WHERE config = 'tablespace';
CREATE TABLESPACE regress_streamlog_brief LOCATION '';
SELECT alter_topic('his', config => '{"tablespace": "regress_streamlog_brief"}');
DROP TABLESPACE regress_streamlog_brief;
SET client_min_messages = log;
SELECT alter_topic('his', 3);
RESET client_min_messages;
SELECT * FROM space('his');
-- what was stored before is not looked at when something else is changed
SELECT alter_topic('wide', config => '{"segment.bytes": "1MB"}');
SELECT config FROM topics WHERE topic = 'wide';
SELECT count(produce('wide', i::text, 'v')) FROM generate_series(1, 100) i;
SELECT sum(records) AS records, count(problem) AS problems FROM check_topic('wide');

-- the extension's owner, who makes the segments, must be allowed to use it, too
SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
CREATE ROLE regress_streamlog_owner SUPERUSER;
SET ROLE regress_streamlog_owner;
CREATE EXTENSION streamlog;
RESET ROLE;
RESET client_min_messages;
ALTER ROLE regress_streamlog_owner NOSUPERUSER;
SELECT create_topic('spaced', config => '{"tablespace": "regress_streamlog Space"}');
GRANT CREATE ON TABLESPACE "regress_streamlog Space" TO regress_streamlog_owner;
SELECT create_topic('spaced', config => '{"tablespace": "regress_streamlog Space"}');
REVOKE CREATE ON TABLESPACE "regress_streamlog Space" FROM regress_streamlog_owner;
SET client_min_messages = log;
SELECT alter_topic('spaced', 2);
RESET client_min_messages;
SELECT * FROM space('spaced');

SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
DROP ROLE regress_streamlog_owner, regress_streamlog_configs;
DROP TABLESPACE regress_streamlog_renamed;
DROP TABLESPACE "regress_streamlog Space";
DROP FUNCTION given, digits, space;
DROP PROCEDURE await_segments;
CREATE EXTENSION streamlog;
