--
-- The order in the file: tuples of a segment stand in the order of their offsets,
-- also after rollbacks and VACUUM
--
SET client_min_messages = warning;
-- the names of segments show below
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
-- else what damages a segment below is refused
SET allow_system_table_mods = on;

-- VACUUM frees the line pointers of rows that were rolled back; rows appended
-- after that must not get those in the middle
CREATE PROCEDURE append(topic text, n int, keep bool) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce(topic, NULL, 'value') FROM generate_series(1, n);
	PERFORM flush();
	IF keep THEN
		COMMIT;
	ELSE
		ROLLBACK;
	END IF;
END $$;

SELECT create_topic('vacuumed');
SELECT relation AS segment FROM segments WHERE topic = 'vacuumed' \gset
CALL append('vacuumed', 3, true);
CALL append('vacuumed', 3, false);
CALL append('vacuumed', 4, true);
VACUUM :segment;
CALL append('vacuumed', 4, true);
SELECT ctid, record_offset FROM :segment ORDER BY ctid;
SELECT record_offset FROM fetch_records('vacuumed', 0, 0);
SELECT records, problem FROM check_topic('vacuumed');

-- the same again and again, over several pages
DO $$
BEGIN
	FOR i IN 1..40 LOOP
		CALL append('vacuumed', 7, i % 3 = 0);
	END LOOP;
END $$;
VACUUM :segment;
CALL append('vacuumed', 300, true);
CALL append('vacuumed', 1, false);
VACUUM :segment;
CALL append('vacuumed', 1, true);
SELECT count(*), bool_and(ordered) AS ordered FROM
	(SELECT record_offset > lag(record_offset, 1, -1::bigint) OVER (ORDER BY ctid) AS ordered FROM :segment) s;
SELECT (SELECT count(*) FROM fetch_records('vacuumed', 0, 0, 10000)) = (SELECT count(*) FROM topic.vacuumed) AS complete;
SELECT records, problem FROM check_topic('vacuumed');

-- Mutation: the hint that there are free line pointers stays.  The new rows get
-- places among the old ones, and the append notices.
SELECT create_topic('mutated');
SELECT relation AS mutated FROM segments WHERE topic = 'mutated' \gset
CALL append('mutated', 3, true);
CALL append('mutated', 3, false);
CALL append('mutated', 4, true);
VACUUM :mutated;
SET streamlog.mutants = 'keep-free-lines';
CALL append('mutated', 4, true);
RESET streamlog.mutants;
SELECT record_offset FROM fetch_records('mutated', 0, 0);
CALL append('mutated', 4, true);
SELECT record_offset FROM fetch_records('mutated', 0, 0);

-- VACUUM FULL copies a segment in its order
VACUUM FULL :segment;
SELECT problem FROM check_topic('vacuumed');
SELECT record_offset FROM fetch_records('vacuumed', 0, 100, 3);
CALL append('vacuumed', 2, true);
SELECT problem FROM check_topic('vacuumed');

-- Damage.  check_topic() finds it, and a fetch that meets it raises: it never
-- goes on behind it.
SELECT create_topic('damaged');
SELECT relation AS damaged FROM segments WHERE topic = 'damaged' \gset
CALL append('damaged', 5, true);
INSERT INTO :damaged VALUES (2, now(), 0, NULL, 'out of order', NULL);
SELECT records, problem FROM check_topic('damaged');
SELECT record_offset FROM fetch_records('damaged', 0, 0);
\echo :LAST_ERROR_SQLSTATE
DELETE FROM :damaged WHERE value = 'out of order';
VACUUM FULL :damaged;
SELECT records, problem FROM check_topic('damaged');
SELECT record_offset FROM fetch_records('damaged', 0, 0);

CREATE INDEX ON :damaged (record_offset);
SELECT produce('damaged', 'k', 'v');
SELECT count(*) FROM fetch_records('damaged', 0, 0);
SELECT problem FROM check_topic('damaged');
SELECT indexrelid::regclass AS damaged_index FROM pg_index WHERE indrelid = :'damaged'::regclass \gset
DROP INDEX :damaged_index;
SELECT produce('damaged', 'k', 'v');

CREATE ROLE regress_streamlog_other;
ALTER TABLE :damaged OWNER TO regress_streamlog_other;
SELECT produce('damaged', 'k', 'v');
SELECT problem FROM check_topic('damaged');
ALTER TABLE :damaged OWNER TO CURRENT_USER;
DROP ROLE regress_streamlog_other;

DROP TABLE :damaged;
SELECT count(*) FROM fetch_records('damaged', 0, 0);
SELECT produce('damaged', 'k', 'v');
SELECT segment, problem FROM check_topic('damaged');

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP PROCEDURE append;
