--
-- produce: the spellings of a call, null and empty, headers, partitions, times,
-- sizes
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('spellings');

--
-- Whatever key and value are written as, the call resolves: bytea goes in as it
-- is, all else as its text
--
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN bytes_domain AS bytea;
CREATE DOMAIN text_domain AS text;
CREATE TYPE colour AS ENUM ('red', 'green');
SELECT produce('spellings', 'literal', 'literal');
SELECT produce('spellings', NULL, NULL);
SELECT produce('spellings', NULL, 'literal');
SELECT produce('spellings', 'literal', NULL);
SELECT produce('spellings', 'text'::text, 'text'::text);
SELECT produce('spellings', 'varchar'::varchar, 'varchar'::varchar(10));
SELECT produce('spellings', 'char'::char(6), 'char'::char(6));
SELECT produce('spellings', 'name'::name, 'name'::name);
SELECT produce('spellings', '\x00ff'::bytea, '\xff00'::bytea);
SELECT produce('spellings', '\x00ff'::bytea, 'literal');
SELECT produce('spellings', 'literal', '\xff00'::bytea);
SELECT produce('spellings', '\x00ff'::bytea, NULL);
SELECT produce('spellings', 1, 2);
SELECT produce('spellings', 1::smallint, 2::bigint);
SELECT produce('spellings', 42::bigint, 'literal');
SELECT produce('spellings', 'literal', 42::bigint);
SELECT produce('spellings', 42::bigint, NULL);
SELECT produce('spellings', 1.50, 2.5::float8);
SELECT produce('spellings', 'd9428888-122b-11e1-b85c-61cd3cbb3210'::uuid, true);
SELECT produce('spellings', 'literal', '{"b":  1, "a": 2}'::json);
SELECT produce('spellings', 'literal', '{"b":  1, "a": 2}'::jsonb);
SELECT produce('spellings', 7, '{"b":  1, "a": 2}'::jsonb);
SELECT produce('spellings', 'literal', ROW(1, 'x'));
SELECT produce('spellings', ROW(1, 'x')::pair, ROW(1, 'x,y')::pair);
SELECT produce('spellings', 'red'::colour, 'green'::colour);
SELECT produce('spellings', ARRAY[1,2], ARRAY['a', NULL, 'c d']);
SELECT produce('spellings', '\x01'::bytes_domain, '\x02'::bytes_domain);
SELECT produce('spellings', 'domain'::text_domain, 'domain'::text_domain);
SELECT produce('spellings', '2001-02-03'::date, '2001-02-03 04:05:06'::timestamp);
SELECT produce('spellings', '10.0.0.1'::inet, '(1,2)'::point);
SELECT produce('spellings', 'concat' || 1, 'sub' || 'query');
SELECT produce('spellings', (SELECT 'sub'), (SELECT 42));
SELECT produce('spellings', t.a, t.*) FROM (VALUES (1, 'x')) t (a, b);
SELECT record_offset, key, value FROM fetch_records('spellings', 0, 8, 4);
SELECT record_offset, as_text(key), as_text(value) FROM fetch_records('spellings', 0, 0)
WHERE record_offset NOT BETWEEN 8 AND 11;

-- parameters, with and without types
PREPARE untyped AS SELECT produce('spellings', $1, $2);
PREPARE typed (bytea, bigint) AS SELECT produce('spellings', $1, $2);
PREPARE all_untyped AS SELECT produce($1, $2, $3, $4, $5, $6);
EXECUTE untyped('param', 'param');
EXECUTE untyped(NULL, NULL);
EXECUTE typed('\x0102', 3);
EXECUTE all_untyped('spellings', 'param', 'param', NULL, NULL, NULL);
EXECUTE all_untyped('spellings', 'param', 'param', headers('{"a": 1}'), 0, '2001-02-03 04:05:06+00');
SELECT as_text(key), as_text(value), headers FROM fetch_records('spellings', 0, end_offset('spellings', 0) - 5);

-- and by name, in any order
SELECT produce(value => 'v', key => 'k', topic => 'spellings');

--
-- Null and empty are told apart, keys and values
--
SELECT create_topic('empties');
SELECT produce('empties', '', '');
SELECT produce('empties', NULL, '');
SELECT produce('empties', '', NULL);
SELECT produce('empties', NULL, NULL);
SELECT produce('empties', ''::bytea, ''::bytea);
SELECT produce('empties', NULL::bytea, NULL::bytea);
SELECT record_offset, key IS NULL AS null_key, length(key), value IS NULL AS null_value, length(value)
FROM fetch_records('empties', 0, 0);

--
-- Headers: in order, with duplicates and null values; keys are not null
--
SELECT headers('{"a": "x", "b": 2, "c": null, "d": [1, {"e": 2}], "f": true, "g": ""}');
SELECT headers('[{"b": "1"}, {"a": "2"}, {"b": "3"}, {"b": null}, {"z": 1, "y": 2}]');
SELECT headers('{}'), headers('[]'), headers('[{}]'), headers(NULL);
SELECT headers('1');
SELECT headers('"a"');
SELECT headers('null');
SELECT headers('[1]');
SELECT headers('[[{"a": 1}]]');
SELECT headers('{"ключ": "значение"}');

SELECT create_topic('with_headers');
SELECT produce('with_headers', 'k', 'v', headers('[{"b": "1"}, {"a": "2"}, {"b": "3"}, {"b": null}, {"": ""}]'));
SELECT produce('with_headers', 'k', 'v', ARRAY[('x', '\x00ff')::header, ('x', NULL)::header]);
SELECT produce('with_headers', 'k', 'v', '{}');
SELECT produce('with_headers', 'k', 'v', NULL);
SELECT produce('with_headers', 'k', 'v', ARRAY[(NULL, 'v')::header]);
\echo :LAST_ERROR_SQLSTATE
SELECT produce('with_headers', 'k', 'v', ARRAY[('x', 'v')::header, NULL]);
SELECT produce('with_headers', 'k', 'v', ARRAY[ARRAY[('x', 'v')::header]]);
SELECT produce('with_headers', NULL, NULL, headers(jsonb_object_agg('h' || i, repeat('v', 100)))) FROM generate_series(1, 1000) i;
SELECT record_offset, ord, h.key, h.value
FROM fetch_records('with_headers', 0, 0, 4), unnest(headers) WITH ORDINALITY h (key, value, ord)
ORDER BY record_offset, ord;
SELECT record_offset, headers FROM fetch_records('with_headers', 0, 2, 2);
SELECT count(*), count(DISTINCT h.key), sum(length(h.value))
FROM fetch_records('with_headers', 0, 4), unnest(headers) h;

--
-- Partitions: an explicit one wins over the key; out of range is refused and
-- costs no offset
--
SELECT create_topic('three', 3);
SELECT partition_for('three', 'foobar');
SELECT produce('three', 'foobar', 'by key');
SELECT produce('three', 'foobar', 'explicit', partition => 2);
SELECT produce('three', NULL, 'no key', partition => 1);
SELECT produce('three', 'foobar', 'v', partition => 3);
\echo :LAST_ERROR_SQLSTATE
SELECT produce('three', 'foobar', 'v', partition => -1);
SELECT produce('spellings', 'foobar', 'v', partition => 1);
SELECT produce('three', 'foobar', 'next', partition => 2);
SELECT partition, end_offset FROM partitions WHERE topic = 'three' ORDER BY 1;
SELECT produce('no_such_topic', 'k', 'v');
\echo :LAST_ERROR_SQLSTATE
SELECT produce(NULL, 'k', 'v');
SELECT produce(repeat('x', 1000), 'k', 'v') \g /dev/null

--
-- Times: given ones are kept, within the topic's bounds; what is refused costs
-- no offset
--
SELECT create_topic('times');
SELECT produce('times', 'k', 'v', record_time => '2001-02-03 04:05:06.789012+00');
SELECT produce('times', 'k', 'v', record_time => '1970-01-01 00:00:00+00');
SELECT produce('times', 'k', 'v', record_time => '1969-12-31 23:59:59.999+00');
\echo :LAST_ERROR_SQLSTATE
SELECT produce('times', 'k', 'v', record_time => 'infinity');
SELECT produce('times', 'k', 'v', record_time => '-infinity');
SELECT produce('times', 'k', 'v', record_time => now() + interval '59 minutes');
\set VERBOSITY terse
DO $$
BEGIN
	PERFORM produce('times', 'k', 'v', record_time => now() + interval '61 minutes');
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', SQLSTATE, regexp_replace(SQLERRM, 'time .* is', 'time (...) is');
END $$;
SELECT alter_topic('times', config => '{"message.timestamp.before.max.ms": 60000, "message.timestamp.after.max.ms": 0}');
DO $$
BEGIN
	PERFORM produce('times', 'k', 'v', record_time => now() - interval '61 seconds');
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', SQLSTATE, regexp_replace(SQLERRM, 'time .* is', 'time (...) is');
END $$;
DO $$
BEGIN
	PERFORM produce('times', 'k', 'v', record_time => now() + interval '10 seconds');
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', SQLSTATE, regexp_replace(SQLERRM, 'time .* is', 'time (...) is');
END $$;
\set VERBOSITY default
SELECT produce('times', 'k', 'v', record_time => now() - interval '30 seconds');
SELECT record_offset, timestamp FROM fetch_records('times', 0, 0, 2);
SELECT timestamp - now() BETWEEN '58 minutes' AND '60 minutes' AS as_given FROM fetch_records('times', 0, 2, 1);

-- none given: the time of the call, not of the transaction
BEGIN;
SELECT produce('times', 'k', 'v');
SELECT clock_timestamp() AS before \gset
SELECT produce('times', 'k', 'v');
COMMIT;
SELECT record_offset, timestamp >= :'before' AS after FROM fetch_records('times', 0, 4);

-- LogAppendTime: the log's time whatever is given, also when it is out of
-- bounds, and the time that is returned
SELECT create_topic('log_time', config => '{"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": 0}');
SELECT clock_timestamp() AS before \gset
SELECT produce('log_time', 'k', 'v', record_time => '2001-01-01');
BEGIN;
SELECT produce('log_time', 'k', 'v');
SELECT clock_timestamp() AS between \gset
SELECT timestamp AS returned FROM flush() \gset
COMMIT;
SELECT record_offset, timestamp BETWEEN :'before' AND clock_timestamp() AS log_time,
	timestamp = :'returned' AS returned, timestamp > :'between' AS of_the_append
FROM fetch_records('log_time', 0, 0);

--
-- max.message.bytes bounds key, value and headers together, to the byte; what is
-- refused costs no offset
--
SELECT create_topic('bounded', config => '{"max.message.bytes": 1000}');
SELECT produce('bounded', 'key', repeat('x', 997));
SELECT produce('bounded', 'key', repeat('x', 998));
\echo :LAST_ERROR_SQLSTATE
SELECT produce('bounded', NULL, repeat('x', 1000));
SELECT produce('bounded', repeat('x', 1000), NULL);
SELECT produce('bounded', NULL, repeat('x', 1001));
SELECT produce('bounded', repeat('x', 1001), NULL);
SELECT produce('bounded', 'key', repeat('x', 923), ARRAY[('head', '\x010203')::header, ('end', NULL)::header]);
SELECT produce('bounded', 'key', repeat('x', 924), ARRAY[('head', '\x010203')::header, ('end', NULL)::header]);
-- what compresses well is as large as it is
SELECT produce('bounded', NULL, repeat('x', 100000));
-- characters are counted as bytes
SELECT produce('bounded', NULL, repeat('ä', 500));
SELECT produce('bounded', NULL, repeat('ä', 500) || 'x');
SELECT end_offset('bounded', 0);
SELECT record_offset, length(key), length(value) FROM fetch_records('bounded', 0, 0);
SELECT alter_topic('bounded', config => '{"max.message.bytes": 0}');
SELECT produce('bounded', '', NULL);
SELECT produce('bounded', NULL, 'x');

--
-- Sizes around what is compressed, what goes out of line and what fills pages:
-- every byte comes back
--
SELECT create_topic('sizes', config => '{"max.message.bytes": 10000000}');
CREATE TABLE produced (record_offset serial, key bytea, value bytea, headers header[]);
-- n bytes that do not compress
CREATE FUNCTION noise(n int) RETURNS bytea LANGUAGE sql AS
$$ SELECT substr(string_agg(sha512(i::text::bytea), '' ORDER BY i), 1, n) FROM generate_series(1, n / 64 + 1) i $$;
INSERT INTO produced (key, value, headers)
SELECT CASE WHEN n % 2 = 0 THEN noise(n % 300) END,
	CASE WHEN noisy THEN noise(n) ELSE convert_to(repeat('x', n), 'UTF8') END,
	CASE WHEN n % 3 = 0 THEN headers(jsonb_build_object('a', repeat('h', n % 5000))) END
FROM unnest(ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 125, 126, 127, 128, 129, 130, 900, 1019, 1020, 1021, 1024, 2000,
	4000, 7900, 7955, 7990, 8000, 8100, 8160, 8192, 9000, 20000, 100000, 5000000]) n,
	unnest(ARRAY[false, true]) noisy;
INSERT INTO produced (key, value, headers) VALUES (noise(100000), NULL, NULL), (noise(3000), noise(3000), headers(jsonb_build_object('a', repeat('h', 30000))));
SELECT count(produce('sizes', key, value, headers)) FROM (SELECT * FROM produced ORDER BY record_offset) p;
SELECT end_offset('sizes', 0);
SELECT count(*) FROM fetch_records('sizes', 0, 0, 1000, 2000000000) f
JOIN produced p ON p.record_offset = f.record_offset + 1
WHERE f.key IS NOT DISTINCT FROM p.key AND f.value IS NOT DISTINCT FROM p.value
	AND f.headers IS NOT DISTINCT FROM p.headers;
-- the same by the topic's table
SELECT count(*) FROM topic.sizes f JOIN produced p ON p.record_offset = f.record_offset + 1
WHERE f.key IS NOT DISTINCT FROM p.key AND f.value IS NOT DISTINCT FROM p.value
	AND f.headers IS NOT DISTINCT FROM p.headers;
-- large values that repeat themselves are stored compressed
SELECT length(value), pg_column_size(value) < length(value) / 5 AS compressed
FROM topic.sizes WHERE length(value) IN (900, 2000, 8000, 100000) AND value = convert_to(repeat('x', length(value)), 'UTF8')
ORDER BY 1;
SELECT records, problem FROM check_topic('sizes');
-- one by one, too
DO $$
DECLARE
	bad int := 0;
	p produced;
	f log_record;
BEGIN
	FOR p IN SELECT * FROM produced LOOP
		SELECT * INTO STRICT f FROM fetch_records('sizes', 0, p.record_offset - 1, 1, 0);
		IF (f.key, f.value, f.headers, f.record_offset) IS DISTINCT FROM (p.key, p.value, p.headers, p.record_offset - 1::bigint) THEN
			bad := bad + 1;
		END IF;
	END LOOP;
	RAISE NOTICE '% of % differ', bad, p.record_offset;
END $$;

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP TABLE produced;
DROP FUNCTION noise;
DROP TYPE pair, colour;
DROP DOMAIN bytes_domain, text_domain;
