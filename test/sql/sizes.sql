--
-- sizes: keys, values and headers of every size come back byte for byte, however
-- they were produced; and the largest that is allowed, to the byte
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('sizes', config => '{"max.message.bytes": 10000000}');

-- n bytes that compress well, or a chain of hashes, which does not compress
CREATE FUNCTION filled(n int, noisy bool, seed int) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	link bytea := decode(md5(seed::text), 'hex');
	chain bytea[] := '{}';
BEGIN
	IF NOT noisy THEN
		RETURN convert_to(repeat(chr(97 + seed % 26), n), 'UTF8');
	END IF;
	FOR i IN 0..n / 16 LOOP
		chain[i] := link;
		link := decode(md5(link), 'hex');
	END LOOP;
	RETURN substr(string_agg(part, '' ORDER BY place), 1, n)
	FROM unnest(chain) WITH ORDINALITY c (part, place);
END $$;
SELECT length(filled(100, true, 1)), length(filled(0, true, 1)), length(filled(16, true, 1)), length(filled(100, false, 1));
SELECT pg_column_size(filled(5000, true, 1)) >= 5000 AS noisy;

-- every size of value with every kind of key and headers; of 3 MB only some
CREATE TABLE produced (id int, key bytea, value bytea, headers header[]);
INSERT INTO produced
SELECT row_number() OVER (ORDER BY size, noisy, key_size NULLS FIRST, header_size NULLS FIRST) - 1,
	CASE WHEN key_size IS NOT NULL THEN filled(key_size, noisy, key_size) END,
	filled(size, noisy, size + coalesce(key_size, 0)),
	CASE WHEN header_size IS NOT NULL THEN ARRAY[
		('first', filled(header_size, noisy, 1)), ('null', NULL), ('', filled(3, true, 2)),
		(repeat('n', header_size / 10), '')]::header[] END
FROM unnest(ARRAY[0, 1, 126, 127, 900, 1024, 1025, 2000, 2032, 5000, 7990, 8000, 8100, 8200, 100000, 3000000]) size,
	unnest(ARRAY[false, true]) noisy, unnest(ARRAY[NULL, 0, 5, 126, 127, 3000]) key_size,
	unnest(ARRAY[NULL, 10, 4000]) header_size
WHERE size < 100000 OR (key_size IS NULL) = (header_size IS NULL) AND coalesce(key_size, 5) = 5;
-- and null values, with keys and with nothing at all
INSERT INTO produced
SELECT (SELECT max(id) FROM produced) + row_number() OVER (ORDER BY n), filled(n, true, n), NULL, NULL
FROM unnest(ARRAY[0, 1, 127, 2000, 8100, 100000]) n;
INSERT INTO produced SELECT max(id) + 1, NULL, NULL, NULL FROM produced;
CREATE FUNCTION digest(r produced) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('|', coalesce(md5(r.key), 'null'), coalesce(md5(r.value), 'null'), coalesce(md5(r.headers::text), 'null'));
$$;
ALTER TABLE produced ADD md5 text;
UPDATE produced p SET md5 = digest(p);
SELECT count(*) AS records FROM produced \gset
\echo :records

-- what is not there as it was produced, from an offset on
CREATE FUNCTION differ(topic text, first bigint) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE p.id IS NULL OR f.record_offset IS NULL OR p.md5 <> concat_ws('|',
		coalesce(md5(f.key), 'null'), coalesce(md5(f.value), 'null'), coalesce(md5(f.headers::text), 'null')))
	FROM produced p FULL JOIN fetch_records(topic, 0, first, 100000, 2000000000) f
		ON p.id = f.record_offset - first;
$$;

--
-- As one statement, from a buffer that has spilled, one by one, as a batch
--
SELECT count(produce('sizes', key, value, headers)) AS offsets FROM (SELECT * FROM produced ORDER BY id) p;
SELECT end_offset('sizes', 0) = :records AS all_there, differ('sizes', 0) AS differ;
BEGIN;
SET LOCAL streamlog.producer_buffer = '64kB';
SELECT count(produce('sizes', key, value, headers)) AS offsets FROM (SELECT * FROM produced ORDER BY id) p;
COMMIT;
SELECT end_offset('sizes', 0) = 2 * :records AS all_there, differ('sizes', :records) AS differ;
-- each by an append of its own
DO $$
DECLARE
	p produced;
BEGIN
	FOR p IN SELECT * FROM produced ORDER BY id LOOP
		PERFORM produce('sizes', p.key, p.value, p.headers);
		PERFORM flush();
	END LOOP;
END $$;
SELECT end_offset('sizes', 0) = 3 * :records AS all_there, differ('sizes', 2 * :records) AS differ;
-- a batch takes the same headers for all
SELECT create_topic('batch', config => '{"max.message.bytes": 10000000}');
UPDATE produced p SET headers = headers('{"all": "same"}');
UPDATE produced p SET md5 = digest(p);
SELECT count(*) = :records AS all_there FROM produce_batch_bytes('batch', (SELECT array_agg(key ORDER BY id) FROM produced),
	(SELECT array_agg(value ORDER BY id) FROM produced), headers('{"all": "same"}'));
SELECT end_offset('batch', 0) = :records AS all_there, differ('batch', 0) AS differ;

--
-- The same by every way to read
--
SELECT count(*) AS differ FROM topic.batch f JOIN produced p ON p.id = f.record_offset
WHERE p.md5 <> concat_ws('|', coalesce(md5(f.key), 'null'), coalesce(md5(f.value), 'null'), coalesce(md5(f.headers::text), 'null'));
DO $$
DECLARE
	next bigint := 0;
	got bigint;
	seen bigint := 0;
	bad int := 0;
	n bigint;
BEGIN
	WHILE next < end_offset('batch', 0) LOOP
		SELECT count(*), max(record_offset), bad + count(*) FILTER (WHERE p.id IS NULL OR f.value IS DISTINCT FROM p.value
			OR f.key IS DISTINCT FROM p.key OR f.headers IS DISTINCT FROM p.headers)
		INTO STRICT n, got, bad
		FROM fetch_records('batch', 0, next, 7, 20000) f LEFT JOIN produced p ON p.id = f.record_offset;
		IF got IS NULL OR got < next THEN
			RAISE EXCEPTION 'nothing at %', next;
		END IF;
		seen := seen + n;
		next := got + 1;
	END LOOP;
	RAISE NOTICE '% seen, % differ', seen, bad;
END $$;
SELECT relation AS segment FROM segments WHERE topic = 'batch' \gset
VACUUM FREEZE :segment;
SELECT differ('batch', 0) AS differ;
SELECT records = 3 * :records AS all_there, problem FROM check_topic('sizes');
SELECT records = :records AS all_there, problem FROM check_topic('batch');
-- null and empty are not mixed up
SELECT (SELECT count(*) FROM produced WHERE key = '') = count(*) FILTER (WHERE key = '') AS empty_keys,
	(SELECT count(*) FROM produced WHERE key IS NULL) = count(*) FILTER (WHERE key IS NULL) AS null_keys,
	(SELECT count(*) FROM produced WHERE value = '') = count(*) FILTER (WHERE value = '') AS empty_values,
	(SELECT count(*) FROM produced WHERE value IS NULL) = count(*) FILTER (WHERE value IS NULL) AS null_values
FROM fetch_records('batch', 0, 0, 100000, 2000000000);
SELECT drop_topic('sizes'), drop_topic('batch');

--
-- max.message.bytes: exactly so many are allowed, one more is refused and uses
-- no offset
--
SELECT create_topic('limited', config => '{"max.message.bytes": 5000}');
SELECT produce('limited', NULL, filled(5000, true, 1));
SELECT produce('limited', NULL, filled(5001, true, 1));
\echo :LAST_ERROR_SQLSTATE
SELECT produce('limited', NULL, filled(5000, false, 1));
SELECT produce('limited', NULL, filled(5001, false, 1));
\echo :LAST_ERROR_SQLSTATE
SELECT produce('limited', filled(5000, true, 2), NULL);
SELECT produce('limited', filled(5001, true, 2), NULL);
SELECT produce('limited', filled(2500, true, 2), filled(2500, true, 3));
SELECT produce('limited', filled(2500, true, 2), filled(2501, true, 3));
-- header keys and values count, and 32 bytes for each header; a null value is nothing
SELECT produce('limited', 'key', filled(4925, true, 3), ARRAY[('four', '\x00ff'), ('ab', NULL)]::header[]);
SELECT produce('limited', 'key', filled(4926, true, 3), ARRAY[('four', '\x00ff'), ('ab', NULL)]::header[]);
SELECT produce('limited', NULL, NULL, ARRAY[('four', filled(4964, true, 4))]::header[]);
SELECT produce('limited', NULL, NULL, ARRAY[('four', filled(4965, true, 4))]::header[]);
-- in a block: refused at the call
BEGIN;
SELECT produce('limited', NULL, filled(5000, true, 5));
SAVEPOINT a;
SELECT produce('limited', NULL, filled(5001, true, 5));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
SELECT produce('limited', NULL, filled(4999, true, 5));
COMMIT;
SELECT partition, record_offset FROM produce_batch_bytes('limited', NULL, ARRAY[filled(5000, true, 6), filled(4999, true, 6)]);
SELECT partition, record_offset FROM produce_batch_bytes('limited', NULL, ARRAY[filled(5000, true, 6), filled(5001, true, 6)]);
\echo :LAST_ERROR_SQLSTATE
SELECT record_offset, coalesce(length(key), 0) + coalesce(length(value), 0)
	+ coalesce((SELECT sum(32 + octet_length(h.key) + coalesce(length(h.value), 0)) FROM unnest(headers) h), 0) AS bytes
FROM fetch_records('limited', 0, 0);
-- the default
SELECT alter_topic('limited', config => '{"max.message.bytes": null}');
SELECT produce('limited', NULL, repeat('x', 1048588));
SELECT produce('limited', NULL, repeat('x', 1048589));
\echo :LAST_ERROR_SQLSTATE
SELECT produce('limited', NULL, filled(1048588, true, 7));
SELECT record_offset, value = filled(1048588, true, 7) AS same, length(value) FROM fetch_records('limited', 0, 11, 5, 2000000000);
-- larger ones stay when the limit is lowered
SELECT alter_topic('limited', config => '{"max.message.bytes": 1}');
SELECT produce('limited', 'k', NULL);
SELECT produce('limited', 'k', 'v');
SELECT count(*) FROM fetch_records('limited', 0, 0, 100, 2000000000);
SELECT records, problem FROM check_topic('limited');

SELECT drop_topic('limited');
DROP FUNCTION differ, digest, filled;
DROP TABLE produced;
