--
-- order: the order in the file whichever way the rows come: by a statement of
-- their own, a batch, at commit, in two segments at once, with values out of line.
-- The test "file_order" has the plain sequence, VACUUM FULL and damage.
--
-- After a rollback VACUUM leaves free line pointers before the last rows; the hint
-- that there are some must be off before the next append.  Mutation: it stays.
--
SET client_min_messages = warning;
-- the names of segments show below
DROP EXTENSION IF EXISTS streamlog CASCADE;
CREATE EXTENSION streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

-- 3 rows that are kept, 3 that are not, 4 that are, and VACUUM
CREATE PROCEDURE append(topic text, n int, keep bool, value text DEFAULT 'v') LANGUAGE plpgsql AS $$
BEGIN
	PERFORM produce(topic, NULL, value, partition => p)
	FROM generate_series(1, n) i, generate_series(0, (SELECT partitions - 1 FROM topics t WHERE t.topic = append.topic)) p;
	PERFORM flush();
	IF keep THEN
		COMMIT;
	ELSE
		ROLLBACK;
	END IF;
END $$;
CREATE PROCEDURE holes(topic text, value text DEFAULT 'v') LANGUAGE plpgsql AS $$
BEGIN
	CALL append(topic, 3, true, value);
	CALL append(topic, 3, false, value);
	CALL append(topic, 4, true, value);
END $$;
-- rows of each segment, as they lie there
CREATE FUNCTION places(topic text) RETURNS TABLE (partition int, "rows" bigint, ordered bool, offsets text) LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT g.partition AS p, relation FROM segments g WHERE g.topic = places.topic ORDER BY g.partition, base_offset LOOP
		RETURN QUERY EXECUTE format($q$
			SELECT %s, count(*), array_agg(record_offset ORDER BY ctid) = array_agg(record_offset ORDER BY record_offset),
				string_agg(record_offset::text, ' ' ORDER BY ctid)
			FROM %s $q$, s.p, s.relation);
	END LOOP;
END $$;

-- a statement of its own
SELECT create_topic('single');
SELECT relation AS segment FROM segments WHERE topic = 'single' \gset
CALL holes('single');
VACUUM :segment;
SELECT produce('single', NULL, 'v');
SELECT produce('single', NULL, 'v'), produce('single', NULL, 'v');
SELECT produce('single', NULL, repeat('v', 7000));
SELECT * FROM places('single');
SELECT array_agg(record_offset) FROM fetch_records('single', 0, 0);
SELECT records, problem FROM check_topic('single');

-- a batch
SELECT create_topic('batch');
SELECT relation AS segment FROM segments WHERE topic = 'batch' \gset
CALL holes('batch');
VACUUM :segment;
SELECT array_agg(record_offset) FROM produce_batch('batch', NULL, ARRAY['a', 'b', 'c', 'd', 'e']);
SELECT * FROM places('batch');
SELECT array_agg(record_offset) FROM fetch_records('batch', 0, 0);
SELECT records, problem FROM check_topic('batch');

-- what a savepoint took back, between two flushes of a transaction that is kept
SELECT create_topic('savepoint');
SELECT relation AS segment FROM segments WHERE topic = 'savepoint' \gset
CALL append('savepoint', 3, true);
BEGIN;
SAVEPOINT s;
SELECT produce('savepoint', NULL, 'v');
SELECT record_offset FROM flush();
ROLLBACK TO s;
SELECT produce('savepoint', NULL, 'v');
SELECT record_offset FROM flush();
COMMIT;
VACUUM :segment;
SELECT produce('savepoint', NULL, 'v');
SELECT * FROM places('savepoint');
SELECT records, problem FROM check_topic('savepoint');

-- several partitions in one transaction
SELECT create_topic('several', 3);
CALL holes('several');
SELECT format('VACUUM %s', relation) FROM segments WHERE topic = 'several' \gexec
CALL append('several', 4, true);
SELECT * FROM places('several');
SELECT partition, array_agg(record_offset ORDER BY ordinality) FROM generate_series(0, 2) p, fetch_records('several', p, 0) WITH ORDINALITY GROUP BY 1 ORDER BY 1;
SELECT partition, records, problem FROM check_topic('several');

-- values out of line: their table is vacuumed, too, and its rows stand anywhere
SELECT create_topic('out_of_line', config => '{"compression.type": "uncompressed"}');
SELECT relation AS segment FROM segments WHERE topic = 'out_of_line' \gset
CALL holes('out_of_line', repeat('v', 9000));
VACUUM :segment;
CALL append('out_of_line', 4, true, repeat('w', 9000));
SELECT * FROM places('out_of_line');
SELECT record_offset, length(value), substr(value, 9000) FROM fetch_records('out_of_line', 0, 0);
SELECT records, problem FROM check_topic('out_of_line');

-- all that is there was rolled back: VACUUM makes the file shorter if it can, and
-- offsets are not given out again
SELECT create_topic('emptied');
SELECT relation AS segment FROM segments WHERE topic = 'emptied' \gset
CALL append('emptied', 500, false);
SELECT end_offset('emptied', 0);
VACUUM (TRUNCATE) :segment;
SELECT end_offset('emptied', 0);
SELECT produce('emptied', NULL, 'v');
SELECT * FROM places('emptied');
SELECT array_agg(record_offset) FROM fetch_records('emptied', 0, 0);
CALL append('emptied', 500, false);
VACUUM (TRUNCATE, FREEZE) :segment;
SELECT produce('emptied', NULL, 'v');
SELECT * FROM places('emptied');
SELECT array_agg(record_offset) FROM fetch_records('emptied', 0, 0);
SELECT records, problem FROM check_topic('emptied');

--
-- The mutation: each way puts rows among the old ones.  The append notices and
-- fails; the rows are in the way until VACUUM has removed them.
--
SELECT create_topic('mutant', 4);
CALL holes('mutant');
SELECT format('VACUUM %s', relation) FROM segments WHERE topic = 'mutant' \gexec
SET streamlog.mutants = 'keep-free-lines';
SELECT produce('mutant', NULL, 'v', partition => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT record_offset FROM produce_batch('mutant', NULL, ARRAY['a', 'b'], partition => 1);
BEGIN;
SELECT produce('mutant', NULL, 'v', partition => 2);
SELECT record_offset FROM flush();
ROLLBACK;
BEGIN;
SELECT produce('mutant', NULL, 'v', partition => 3);
COMMIT;
RESET streamlog.mutants;
SELECT partition, end_offset FROM partitions WHERE topic = 'mutant' ORDER BY 1;
SELECT partition, problem FROM check_topic('mutant') WHERE problem IS NOT NULL;
SELECT record_offset FROM fetch_records('mutant', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT format('VACUUM %s', relation) FROM segments WHERE topic = 'mutant' \gexec
CALL append('mutant', 1, true);
SELECT * FROM places('mutant');
SELECT array_agg(record_offset) FROM fetch_records('mutant', 0, 0);
SELECT partition, records, problem FROM check_topic('mutant');

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP PROCEDURE append, holes;
DROP FUNCTION places;
