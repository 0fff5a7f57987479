--
-- partitioner: keys go where Kafka's Java client puts them; records without a
-- key go in runs
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('p' || n, n) FROM unnest(ARRAY[1, 3, 6, 12, 100]) n;

--
-- Kafka's murmur2 of these keys, its sign masked.  A difference shows.  Mutations:
-- abs() for the mask; a byte of the tail taken as signed; another seed.
--
CREATE TABLE vectors (id int, key bytea, masked int);
INSERT INTO vectors VALUES
	(1, '21', 1173551340),
	(2, 'foobar', 1357151166),
	(3, 'a-little-bit-long-string', 1161502112),
	(4, 'a-little-bit-longer-string', 661178819),
	(5, 'lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', 2088585677),
	(6, 'abc', 479470107),
	(7, 'kafka', 1348980580),
	(8, 'giberish123456789', 257239820),
	(9, '1234', 533297940),
	(10, '234', 1740638666),
	(11, '34', 121188570),
	(12, '4', 1514888353),
	(13, '', 275646681),
	(14, 'PreAmbleWillBeRemoved,ThePrePartThatIs', 2017611548),
	(15, 'reAmbleWillBeRemoved,ThePrePartThatIs', 1247982455),
	(16, 'eAmbleWillBeRemoved,ThePrePartThatIs', 1625612446),
	(17, 'AmbleWillBeRemoved,ThePrePartThatIs', 1656271935),
	(18, 'key', 1067546281),
	(19, 'user-1', 1404122828),
	(20, 'order-42', 501153024),
	(21, '\xd0bad0bbd18ed187', 2122343024),
	(22, '\x0000002a', 1606757304),
	(23, '\x000000000000002a', 506863552),
	(24, '\xffffffff', 644171429),
	-- bytes above 127 behind the last whole word
	(25, '\xff', 1836015963),
	(26, '\x8081', 1642145146),
	(27, '\xfffefd', 998637092);
SELECT id, partition_for('p3', key) AS "3", partition_for('p6', key) AS "6",
	partition_for('p12', key) AS "12", partition_for('p100', key) AS "100"
FROM vectors ORDER BY id;
SELECT v.id, n, partition_for('p' || n, v.key) AS got, v.masked % n AS wanted
FROM vectors v, unnest(ARRAY[1, 3, 6, 12, 100]) n
WHERE partition_for('p' || n, v.key) <> v.masked % n;

-- what is produced goes there, too
SELECT count(produce('p' || n, v.key, v.id)) FROM vectors v, unnest(ARRAY[1, 3, 6, 12, 100]) n;
SELECT t.topic, count(*) AS records, count(*) FILTER (WHERE f.partition = v.masked % t.partitions) AS right_ones
FROM topics t, generate_series(0, t.partitions - 1) p, fetch_records(t.topic, p, 0) f
JOIN vectors v ON v.id = as_text(f.value)::int AND v.key = f.key
GROUP BY t.topic ORDER BY t.topic;
SELECT count(*) AS records,
	count(*) FILTER (WHERE partition = (SELECT array_agg(masked % 100 ORDER BY id) FROM vectors)[ordinality]) AS right_ones
FROM produce_batch_bytes('p100', (SELECT array_agg(key ORDER BY id) FROM vectors),
	(SELECT array_agg(''::bytea) FROM vectors)) WITH ORDINALITY;

-- the bytes decide: text as UTF-8, anything else as its text
SELECT partition_for('p100', 'ключ') AS utf8, partition_for('p100', '1234') AS text,
	partition_for('p100', 1234) AS int, partition_for('p100', 1234::bigint) AS bigint,
	partition_for('p100', '1234'::varchar) AS varchar, partition_for('p100', '\x31323334'::bytea) AS bytea;
SELECT partition_for('p100', NULL) AS no_key, partition_for('p100', NULL::bytea) AS no_bytes,
	partition_for('p100', '') AS empty_key, partition_for('p1', 'whatever') AS only_one;
SELECT partition_for('no_such_topic', 'k');

-- a key stays where it is until the number of partitions changes
SELECT alter_topic('p3', 100);
SELECT bool_and(partition_for('p3', key) = masked % 100) AS as_of_now FROM vectors;

--
-- Without a key: in runs of about 16 kB, and not all in the same partition.
-- Mutations: a new partition for each record; never a new one; the choice of the
-- last transaction stays.
--
SELECT create_topic('sticky', 30);
BEGIN;
SELECT count(produce('sticky', NULL, repeat('x', 100))) FROM generate_series(1, 8200) i;
COMMIT;
-- 820,000 bytes are 50 runs of 164 records; some may have come to the same
-- partition
SELECT sum(end_offset) AS records, count(*) BETWEEN 12 AND 30 AS partitions,
	bool_and(end_offset % 164 = 0) AS whole_runs
FROM partitions WHERE topic = 'sticky' AND end_offset > 0;
SELECT drop_topic('sticky');

-- a transaction of some records goes to one partition, the next one elsewhere
SELECT create_topic('sticky', 30);
DO $$
BEGIN
	FOR i IN 1..40 LOOP
		PERFORM produce('sticky', NULL, 'v'), produce('sticky', NULL, 'w');
		COMMIT;
	END LOOP;
END $$;
SELECT count(*) BETWEEN 8 AND 30 AS partitions, bool_and(end_offset % 2 = 0) AS in_pairs
FROM partitions WHERE topic = 'sticky' AND end_offset > 0;
SELECT drop_topic('sticky');

-- keyed records between them do not end the run; an empty key is a key
SELECT create_topic('sticky', 30);
SELECT count(produce('sticky', CASE WHEN i % 2 = 0 THEN '' END, '')) FROM generate_series(1, 100) i;
SELECT count(*) AS partitions, min(end_offset), max(end_offset) FROM partitions
WHERE topic = 'sticky' AND end_offset > 0;
SELECT end_offset('sticky', partition_for('sticky', ''));

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP TABLE vectors;
