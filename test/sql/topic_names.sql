--
-- topic_names: every name that Kafka allows goes through every function, and no
-- two of them are ever mixed up.  Mutations: fold a name's case; cut a long one and
-- add no hash; say of any table that is in the way that it is no topic.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

-- names of one letter each, names that SQL or psql would read as something else,
-- twins that differ in case, after 54, 63 and 248 bytes; a table's name, its row
-- type and the array type of that share a catalog
CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, name text);
INSERT INTO n (name) VALUES
	('a'), ('A'), ('0'), ('-'), ('--'), ('...'), ('.a'), ('a.'), ('a-b.C_d'), ('A-B.C_D'),
	('1e5'), ('-1'), ('0x1F'), ('NULL'), ('null'), ('select'), ('public.t'), ('topic.t'),
	('pg_temp'), ('pg_catalog.int4'), ('int4'), ('orders'), ('_orders'), ('__orders'),
	('-..-'), ('--comment'), ('CamelCase'), ('camelcase'), ('xmin'), ('header'), ('topic'),
	(repeat('x', 53)), (repeat('x', 54)), (repeat('x', 55)),
	(repeat('x', 62)), (repeat('x', 63)), (repeat('x', 64)),
	(repeat('y', 54) || 'a' || repeat('y', 100)), (repeat('y', 54) || 'b' || repeat('y', 100)),
	(repeat('y', 54) || 'A' || repeat('y', 100)),
	(repeat('z', 248) || '0'), (repeat('z', 248) || '1'), (repeat('Z', 248) || '1'),
	(rpad('', 249, 'Dots.and-dashes_')), (rpad('', 63, '-.-')), (rpad('', 64, '-.-'));

-- what was produced to a topic, and nothing else, is read from it
SELECT count(create_topic(name, 2)) FROM n;
SELECT count(produce(name, name, 'one of ' || id, partition => 0)) FROM n;
SELECT count(m.topic) FROM n, produce_batch(name, ARRAY[name], ARRAY['two of ' || id], partition => 1) m;
SELECT count(produce(name, name, 'three of ' || id)) FROM n;
SELECT count(*), count(*) FILTER (WHERE right(as_text(r.value), -position('of' IN as_text(r.value)) - 2) = id::text
	AND as_text(r.key) = name AND r.topic = name AND record_offset < 2) AS own
FROM n, generate_series(0, 1) p, fetch_records(name, p, 0) r;
SELECT count(*) FROM n WHERE partition_for(name, name) = partition_for('a', name);
SELECT sum(end_offset(name, p)), sum(start_offset(name, p)), sum(offset_for_time(name, p, '-infinity'))
FROM n, generate_series(0, 1) p;
SELECT count(*), count(problem), sum(records) FROM n, check_topic(name);
SET client_min_messages = warning;
SELECT count(alter_topic(name, 3, '{"max.message.bytes": 2000}')) FROM n;
RESET client_min_messages;

-- the views show each as what it is called, and its table is another's never
SELECT count(*), count(DISTINCT relation), sum(partitions), count(*) FILTER (WHERE config ? 'max.message.bytes')
FROM n JOIN topics ON topic = name;
SELECT count(*), sum(end_offset) FROM n JOIN partitions ON topic = name;
SELECT count(*) FROM n JOIN segments ON topic = name;
SELECT left(name, 60) AS name, length(name), c.relname FROM n JOIN topics t ON t.topic = name JOIN pg_class c ON c.oid = t.relation
WHERE c.relname <> name ORDER BY id;
-- as SQL tables, with the privileges of SQL tables
CREATE ROLE regress_named;
GRANT USAGE ON SCHEMA topic TO regress_named;
DO $$
DECLARE
	t record;
	found int;
	asked int := 0;
BEGIN
	FOR t IN SELECT id, topic, relation FROM n JOIN topics ON topic = name ORDER BY id LOOP
		EXECUTE format('SELECT count(*) FROM %s WHERE convert_from(key, ''UTF8'') = %L', t.relation, t.topic)
			INTO found;
		IF found <> 3 THEN
			RAISE NOTICE '% has % records', t.topic, found;
		END IF;
		EXECUTE format('SELECT count(*) FROM topic_text.%I WHERE key = %L',
			(SELECT relname FROM pg_class WHERE oid = t.relation), t.topic) INTO found;
		IF found <> 3 THEN
			RAISE NOTICE '% has % records in the text view', t.topic, found;
		END IF;
		EXECUTE format('INSERT INTO %s (key, value, partition) VALUES (NULL, %L, 2)', t.relation, 'four of ' || t.id);
		EXECUTE format('INSERT INTO topic_text.%I (key, value, partition) VALUES (NULL, %L, 2)',
			(SELECT relname FROM pg_class WHERE oid = t.relation), 'five of ' || t.id);
		EXECUTE format('GRANT SELECT ON %s TO regress_named', t.relation);
		asked := asked + 1;
	END LOOP;
	RAISE NOTICE '% asked', asked;
END $$;
SELECT count(*), count(*) FILTER (WHERE as_text(r.value) = (ARRAY['four', 'five'])[record_offset + 1] || ' of ' || id) AS own
FROM n, fetch_records(name, 2, 0) r;
GRANT SELECT ON n TO regress_named;
SET ROLE regress_named;
SELECT count(*) FROM n JOIN topics ON topic = name;
SELECT count(*) FROM n, fetch_records(name, 0, 0);
SELECT produce((SELECT name FROM n WHERE name LIKE 'z%1'), 'k', 'v');
RESET ROLE;

-- a name that a long one's table has already
SELECT c.relname AS cut FROM topics t JOIN pg_class c ON c.oid = t.relation
WHERE topic = repeat('z', 248) || '0' \gset
SELECT create_topic(:'cut');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic(:'cut', if_not_exists => true);
SELECT produce(:'cut', 'k', 'v');

-- and the other way round
SELECT drop_topic(repeat('z', 248) || '0');
SELECT create_topic(:'cut');
SELECT create_topic(repeat('z', 248) || '0');
\echo :LAST_ERROR_SQLSTATE
SELECT produce(:'cut', 'k', 'v');
SELECT drop_topic(:'cut');
SELECT create_topic(repeat('z', 248) || '0');
SELECT produce(repeat('z', 248) || '0', 'k', 'v', partition => 0);

-- names that stay apart as they go
SELECT drop_topic('A');
SELECT drop_topic(repeat('y', 54) || 'a' || repeat('y', 100));
SELECT count(*) FROM n, fetch_records(name, 0, 0) WHERE name IN ('a', repeat('y', 54) || 'b' || repeat('y', 100))
	AND record_offset = 0;
SELECT produce('A', 'k', 'v');
SELECT produce(repeat('y', 54) || 'a' || repeat('y', 100), 'k', 'v');

-- and no other character is taken for one of a name (_ would be allowed where . is not there)
CREATE FUNCTION answer(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM create_topic(name);
	RETURN 'created';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT string_agg(chr(c), '' ORDER BY c) FILTER (WHERE first = 'created') AS first,
	string_agg(chr(c), '' ORDER BY c) FILTER (WHERE last = 'created') AS last,
	string_agg(DISTINCT first, ' ') AS all_first, string_agg(DISTINCT last, ' ') AS all_last
FROM generate_series(1, 300) c, answer(chr(c) || 'character') first, answer('character' || chr(c)) last;
SELECT left(f.name, 12) AS name, answer(f.name) FROM (VALUES ('"a"'), ('a;b'), (' a'), ('a '), ('$1'), (E'a\\b'), ('a''b'), ('%s'),
	('topic."a"'), ('t:1'), ('*'), (repeat('/', 300))) f (name);

SELECT count(drop_topic(topic)) > 0 AS dropped FROM topics WHERE topic ~ 'character' OR topic IN (SELECT name FROM n)
	OR relation::regclass::text ~ 'zzz';
DROP FUNCTION answer;
DROP TABLE n;
REVOKE ALL ON SCHEMA topic FROM regress_named;
DROP ROLE regress_named;
