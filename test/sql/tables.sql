--
-- Topics as tables: INSERT and COPY into topic.<name> and topic_text.<name> are
-- produce(), on every rule of it.
--
-- Mutations: the row trigger ignores a partition, a time or headers that are
-- given, lets a record_offset pass, takes a partial update of the row count; it is
-- enabled as other triggers are; the text view's trigger does not check INSERT, or
-- decodes its text; a query's WITH counts for the query; what is taken counts with
-- RETURNING, too.
--
SET client_min_messages = warning;
-- the numbers of segments show below
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE FUNCTION log_of(topic text)
RETURNS TABLE (p int, o bigint, k text, v text, h jsonb) LANGUAGE sql
BEGIN ATOMIC
	SELECT r.partition, record_offset, show_text(key), show_text(value), show_headers(headers)
	FROM partitions g, fetch_records(g.topic, g.partition, 0) r
	WHERE g.topic = log_of.topic ORDER BY 1, 2;
END;
SELECT create_topic('tab');
SELECT create_topic('wide', 4);

--
-- INSERT
--
INSERT INTO topic.tab (key, value) VALUES ('k0', 'v0'), ('k1', NULL), (NULL, 'v2');
INSERT INTO topic.tab DEFAULT VALUES;
INSERT INTO topic.tab (key, value, headers) VALUES ('k4', '\x00ff', headers('{"trace": "1f"}'));
INSERT INTO topic.tab (value) SELECT i::text::bytea FROM generate_series(5, 7) i;
INSERT INTO topic.tab (key) SELECT key FROM topic.tab WHERE false;
INSERT INTO topic.tab (key) VALUES ('k8') ON CONFLICT DO NOTHING;
-- the trigger has taken it, so there is no row to return
INSERT INTO topic.tab (key) VALUES ('k9') RETURNING *;
SELECT * FROM log_of('tab');
-- times
INSERT INTO topic.tab (timestamp, value) VALUES (now() - interval '1 day', 'yesterday');
SELECT now() - timestamp BETWEEN '1 day' AND '1 day 1 hour' AS yesterday FROM fetch_records('tab', 0, 10);
BEGIN;
INSERT INTO topic.tab (timestamp, value) VALUES ('2001-02-03 04:05:06.789+00', 'then');
COMMIT;
SELECT timestamp FROM fetch_records('tab', 0, 11);
-- partitions: the one given, or the key's
INSERT INTO topic.wide (partition, key) SELECT p, 'given' FROM generate_series(0, 3) p;
INSERT INTO topic.wide (key) SELECT ('key' || i)::bytea FROM generate_series(1, 20) i;
SELECT bool_and(partition = partition_for('wide', key)) FROM topic.wide WHERE key LIKE 'key%';
SELECT partition, count(*) FILTER (WHERE key = 'given') AS given FROM topic.wide GROUP BY 1 ORDER BY 1;

-- rules
INSERT INTO topic.tab (record_offset, value) VALUES (5, 'v');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO topic.tab SELECT * FROM topic.tab;
INSERT INTO topic.tab (partition) VALUES (1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO topic.tab (partition) VALUES (-1);
INSERT INTO topic.tab (timestamp) VALUES ('2100-01-01 00:00:00+00');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO topic.tab (timestamp) VALUES ('infinity');
INSERT INTO topic.tab (timestamp) VALUES ('1969-12-31 23:59:59+00');
INSERT INTO topic.tab (headers) VALUES (ARRAY[NULL]::header[]);
INSERT INTO topic.tab (headers) VALUES (ARRAY[ROW(NULL, 'x')]::header[]);
INSERT INTO topic.tab (headers) VALUES (ARRAY[[ROW('a', 'x')]]::header[]);
SELECT alter_topic('tab', config => '{"max.message.bytes": 1000}');
INSERT INTO topic.tab (value) VALUES (convert_to(repeat('x', 1001), 'UTF8'));
\echo :LAST_ERROR_SQLSTATE
INSERT INTO topic.tab (value) VALUES (convert_to(repeat('x', 1000), 'UTF8'));
SELECT alter_topic('tab', config => '{"max.message.bytes": null}');
-- a statement that fails leaves nothing
INSERT INTO topic.tab (value) SELECT (100 / (3 - i))::text::bytea FROM generate_series(1, 3) i;
SELECT count(*), max(record_offset) FROM topic.tab;
BEGIN READ ONLY;
INSERT INTO topic.tab (value) VALUES ('v');
ROLLBACK;
-- out of line, compressed, and as another table has it
CREATE TABLE blobs (id int, b bytea, t text);
INSERT INTO blobs VALUES (1, convert_to(repeat('x', 100000), 'UTF8'), repeat('y', 100000)),
	(2, (SELECT string_agg(sha256(i::text::bytea), NULL) FROM generate_series(1, 1000) i), NULL);
INSERT INTO topic.tab (key, value) SELECT 'blob', b FROM blobs ORDER BY id;
INSERT INTO topic_text.tab (key, value) SELECT 'text', t FROM blobs WHERE t IS NOT NULL;
SELECT count(*), count(*) FILTER (WHERE r.value IN (SELECT b FROM blobs)) AS as_bytes,
	count(*) FILTER (WHERE r.value = (SELECT convert_to(t, 'UTF8') FROM blobs WHERE id = 1)) AS as_text
FROM fetch_records('tab', 0, 13) r WHERE key IN ('blob', 'text');

--
-- Counts: as if the rows had been inserted
--
DO $$
DECLARE
	n int;
BEGIN
	INSERT INTO topic.tab (value) SELECT 'v' FROM generate_series(1, 5);
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows, found: %', n, FOUND;
	COPY topic.tab (value) FROM PROGRAM 'printf "a\nb\n"';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows', n;
	INSERT INTO topic.tab (value) SELECT 'v' WHERE false;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows, found: %', n, FOUND;
	EXECUTE 'INSERT INTO topic.tab (value) VALUES ($1)' USING 'v'::bytea;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows', n;
END $$;
-- with RETURNING it is the rows that are returned that count
DO $$
DECLARE
	k text;
	n int;
BEGIN
	INSERT INTO topic.tab (value) VALUES ('returning') RETURNING key INTO k;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows, found: %', n, FOUND;
	EXECUTE 'INSERT INTO topic_text.tab (value) VALUES (''returning'') RETURNING key' INTO k;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows', n;
END $$;
-- a WITH does not count, a table's own rows do
CREATE TABLE rows_of (id int);
WITH w AS (INSERT INTO topic.tab (value) SELECT 'w' FROM generate_series(1, 3))
INSERT INTO rows_of SELECT generate_series(1, 2);
\echo :ROW_COUNT
WITH w AS (INSERT INTO rows_of SELECT generate_series(1, 2))
INSERT INTO topic.tab (value) SELECT 'w' FROM generate_series(1, 3);
\echo :ROW_COUNT
WITH w AS (INSERT INTO topic.tab (value) SELECT 'w' FROM generate_series(1, 3))
INSERT INTO topic.tab (value) SELECT 'w' FROM generate_series(1, 4);
\echo :ROW_COUNT
WITH w AS (INSERT INTO topic.tab (value) SELECT 'w' FROM generate_series(1, 3)) SELECT 1;
\echo :ROW_COUNT
-- a trigger's rows are not the statement's
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN INSERT INTO topic.tab (value) VALUES (''also''); RETURN NEW; END';
CREATE TRIGGER also BEFORE INSERT ON rows_of FOR EACH ROW EXECUTE FUNCTION also();
INSERT INTO rows_of VALUES (1), (2);
\echo :ROW_COUNT
COPY rows_of FROM PROGRAM 'printf "1\n2\n3\n"';
\echo :ROW_COUNT
MERGE INTO topic.tab t USING (VALUES (-1), (-2)) s (o) ON t.record_offset = s.o
	WHEN NOT MATCHED THEN INSERT (value) VALUES ('merged');
\echo :ROW_COUNT
MERGE INTO topic.tab t USING (VALUES (0)) s (o) ON t.record_offset = s.o
	WHEN MATCHED THEN UPDATE SET value = 'x';
\echo :ROW_COUNT
PREPARE ins (bytea) AS INSERT INTO topic.tab (value) VALUES ($1), ($1);
EXECUTE ins ('p');
\echo :ROW_COUNT
EXECUTE ins ('p');
\echo :ROW_COUNT
SELECT as_text(value) AS v, count(*) FROM topic.tab WHERE length(value) < 7 AND record_offset > 15 GROUP BY 1 ORDER BY 1;

-- they are buffered, as all that is not a call of the client's own
BEGIN;
INSERT INTO topic.tab (value) VALUES ('kept');
SAVEPOINT s;
INSERT INTO topic.tab (value) VALUES ('undone');
ROLLBACK TO s;
RELEASE s;
INSERT INTO topic_text.tab (value) VALUES ('kept too');
SELECT record_offset IS NOT NULL AS appended FROM flush();
COMMIT;
SELECT as_text(value) FROM topic.tab WHERE value LIKE '%kept%' ORDER BY record_offset;

--
-- COPY
--
SELECT create_topic('copied');
COPY topic.copied (key, value) FROM STDIN;
k0	v0
k1	\N
\\x00ff	\\xdeadbeef
\.
COPY topic.copied (partition, value, headers) FROM STDIN (FORMAT csv);
0,csv,"{""(trace,\\x3166)""}"
\.
COPY topic.copied FROM STDIN;
\N	\N	\N	k	v	\N
\.
COPY topic.copied FROM STDIN;
1	\N	\N	k	v	\N
\.
COPY topic.copied (partition, value) FROM STDIN;
0	good
7	bad
\.
\copy (SELECT key, value, headers FROM topic.copied ORDER BY record_offset) TO 'results/copied.bin' (FORMAT binary)
\copy topic.copied (key, value, headers) FROM 'results/copied.bin' (FORMAT binary)
SELECT * FROM log_of('copied');

--
-- Text
--
SELECT create_topic('told', 2);
COPY topic_text.told (partition, key, value) FROM STDIN;
0	plain	{"a": 1}
0	backslash	{"path": "C:\\\\dir\\\\new", "u": "\\u00e9\\u0000\\ud83d\\ude00", "q": "\\"q\\""}
0	unicode	{"é": "☃ 😀"}
0	null	\N
\.
COPY topic_text.told (partition, key, value) FROM STDIN (FORMAT csv);
0,json,"{""path"": ""C:\\dir"", ""u"": ""\u00e9""}"
0,lines,"one
two"
0,empty,""
0,null,
\.
COPY topic_text.told (partition, value, headers) FROM PROGRAM 'printf ''0\tprogram\t{"trace": "1f", "n": 1, "none": null}\n''';
INSERT INTO topic_text.told (partition, key, value, headers) VALUES
	(0, 'dup', 'v', '[{"a": "1"}, {"b": "2"}, {"a": "3"}]'), (0, 'none', 'v', '{}') RETURNING record_offset;
INSERT INTO topic.told (partition, key, value, headers) VALUES
	(0, '\xff00', '\xc3', ARRAY[ROW('bin', '\xfe'), ROW('é', 'x')]::header[]);
SELECT record_offset AS o, key, value, headers FROM topic_text.told WHERE partition = 0 ORDER BY 1;
SELECT record_offset AS o, encode(value, 'escape') AS bytes FROM topic.told WHERE partition = 0 AND value IS NOT NULL ORDER BY 1;
-- what headers() would make of what is shown is what is there
SELECT bool_and(headers(show_headers(headers)) = headers) FROM topic.told WHERE headers IS NOT NULL AND key <> '\xff00';
SELECT show_headers(array_fill(ROW('', NULL)::header, ARRAY[8 * 1024 * 1024 + 1]));
-- rules
INSERT INTO topic_text.told (record_offset) VALUES (1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO topic_text.told (partition) VALUES (2);
INSERT INTO topic_text.told (timestamp) VALUES ('infinity');
INSERT INTO topic_text.told (headers) VALUES ('[1]');
INSERT INTO topic_text.told (headers) VALUES ('"x"');
UPDATE topic_text.told SET value = 'v';
DELETE FROM topic_text.told;
UPDATE topic_text.told SET partition = 1;
TRUNCATE topic_text.told;
COPY topic_text.told (partition, key) FROM STDIN;
0	good
2	bad
\.
SELECT count(*) FROM topic_text.told;
DO $$
DECLARE
	n int;
BEGIN
	INSERT INTO topic_text.told (value) SELECT 'v' FROM generate_series(1, 5);
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE '% rows', n;
END $$;

--
-- Reading: joins, pruning, EXPLAIN
--
EXPLAIN (COSTS OFF) SELECT * FROM topic.told WHERE partition = 1;
EXPLAIN (COSTS OFF) SELECT key FROM topic_text.told WHERE partition = 1;
EXPLAIN (COSTS OFF) INSERT INTO topic.told (value) VALUES ('v');
SELECT t.key, count(*) FROM topic_text.told t JOIN topic_text.copied c USING (key) GROUP BY 1 ORDER BY 1;

--
-- session_replication_role changes nothing
--
SET session_replication_role = replica;
INSERT INTO topic.copied (value) VALUES ('replica');
INSERT INTO topic_text.copied (value) VALUES ('replica');
COPY topic.copied (value) FROM PROGRAM 'echo replica';
COPY topic_text.copied (value) FROM PROGRAM 'echo replica';
RESET session_replication_role;
SELECT count(*) FROM fetch_records('copied', 0, 0) WHERE value = 'replica';

--
-- Privileges
--
CREATE ROLE regress_streamlog_p;
CREATE ROLE regress_streamlog_nobody;
GRANT INSERT ON topic.copied TO regress_streamlog_p;
SET ROLE regress_streamlog_p;
INSERT INTO topic.copied (key) VALUES ('p');
INSERT INTO topic_text.copied (key) VALUES ('p');
COPY topic_text.copied (key) FROM STDIN;
p
\.
SELECT * FROM topic.copied;
SELECT * FROM topic_text.copied;
SET ROLE regress_streamlog_nobody;
INSERT INTO topic.copied (key) VALUES ('n');
INSERT INTO topic_text.copied (key) VALUES ('n');
\echo :LAST_ERROR_SQLSTATE
COPY topic_text.copied (key) FROM STDIN;
n
\.
SELECT * FROM topic_text.copied;
RESET ROLE;
-- columns
GRANT INSERT (key, value) ON topic.copied TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
INSERT INTO topic.copied (key) VALUES ('c');
INSERT INTO topic.copied (headers) VALUES ('{}');
INSERT INTO topic_text.copied (key) VALUES ('c');
RESET ROLE;
REVOKE INSERT (key, value) ON topic.copied FROM regress_streamlog_nobody;
-- a view of the owner's rights
CREATE VIEW front AS SELECT key, value FROM topic.copied;
GRANT INSERT, SELECT ON front TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
INSERT INTO front (key) VALUES ('front');
SELECT count(*) FROM front WHERE key = 'front';
RESET ROLE;
SELECT count(*) FROM topic.copied WHERE key = 'n';

-- the trigger functions serve nobody else
CREATE TRIGGER mine BEFORE INSERT ON blobs FOR EACH ROW EXECUTE FUNCTION produce_row();
INSERT INTO blobs VALUES (1);
DROP TRIGGER mine ON blobs;
CREATE TRIGGER mine BEFORE INSERT ON blobs FOR EACH ROW EXECUTE FUNCTION produce_text();
INSERT INTO blobs VALUES (1);
DROP TRIGGER mine ON blobs;
SELECT produce_row();
CREATE TABLE topic.six (a int, b int, c int, d int, e int, f int);
CREATE TRIGGER mine BEFORE INSERT ON topic.six FOR EACH ROW EXECUTE FUNCTION produce_row();
INSERT INTO topic.six VALUES (1);
DROP TABLE topic.six;
CREATE TABLE mine (LIKE topic.copied);
SET ROLE regress_streamlog_nobody;
CREATE TEMP TABLE temp_mine (a int);
CREATE TRIGGER mine BEFORE INSERT ON temp_mine FOR EACH ROW EXECUTE FUNCTION streamlog.produce_row();
DROP TABLE temp_mine;
RESET ROLE;

--
-- Dropping: the view goes along; what uses it keeps the topic
--
CREATE VIEW uses AS SELECT key FROM topic_text.copied;
SELECT drop_topic('copied');
DROP VIEW uses;
CREATE TABLE typed (r topic_text.copied);
SELECT drop_topic('copied');
DROP TABLE typed;
SELECT drop_topic('copied');
DROP VIEW front;
SELECT drop_topic('copied');
SELECT relname FROM pg_class WHERE relnamespace = 'topic_text'::regnamespace ORDER BY 1;
INSERT INTO topic_text.copied (key) VALUES ('k');
BEGIN;
SELECT create_topic('brief');
INSERT INTO topic_text.brief (value) VALUES ('v');
SELECT drop_topic('brief');
COMMIT;
CREATE VIEW topic_text.taken AS SELECT 1;
SELECT create_topic('taken');
DROP VIEW topic_text.taken;
SELECT create_topic(repeat('Long.Name-', 20));
INSERT INTO topic_text."Long.Name-Long.Name-Long.Name-Long.Name-Long.Name-Long_1" DEFAULT VALUES;
SELECT format('INSERT INTO topic_text.%I (value) VALUES (''long'')', c.relname) FROM topics t JOIN pg_class c ON c.oid = t.relation WHERE topic LIKE 'Long%' \gexec
SELECT v FROM log_of(repeat('Long.Name-', 20));

DROP ROLE regress_streamlog_p, regress_streamlog_nobody;
DROP TABLE blobs, rows_of, mine;
DROP FUNCTION log_of, also;
SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
