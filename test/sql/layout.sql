--
-- layout: the tuples that streamlog forms are the ones that the heap would have
-- formed from the same values, bit by bit
--
-- Mutations: another alignment of the headers; padding that is not zeroed; the
-- null bitmap kept where nothing is null; a short value with a long header.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
CREATE EXTENSION IF NOT EXISTS pageinspect;
RESET client_min_messages;
SET search_path = public, streamlog;

-- null, empty, short, the last short one, the first long one, long, long enough
-- to be compressed (and one that cannot be) ...
CREATE TABLE kinds (kind int, bytes bytea);
INSERT INTO kinds VALUES (0, NULL), (1, ''), (2, '\x01'), (3, '\x010203'),
	(4, convert_to(repeat('a', 126), 'UTF8')), (5, convert_to(repeat('b', 127), 'UTF8')),
	(6, convert_to(repeat('c', 129), 'UTF8')), (7, convert_to(repeat('d', 1001), 'UTF8')),
	(8, convert_to(repeat('e', 1500), 'UTF8'));
INSERT INTO kinds SELECT 9, string_agg(decode(md5(i::text), 'hex'), '' ORDER BY i) FROM generate_series(1, 100) i;

-- ... as key, as value and in headers, each with each
SELECT create_topic('laid_out');
SELECT relation AS segment FROM segments WHERE topic = 'laid_out' \gset
SELECT count(produce('laid_out', k.bytes, v.bytes,
	CASE WHEN h.kind > 0 THEN ARRAY[('h', h.bytes)::header, (repeat('x', h.kind), NULL)::header] END,
	record_time => '2001-02-03 04:05:06.789+00'))
FROM kinds k, kinds v, kinds h;
SELECT count(*) FROM :segment;

-- the same rows as the executor forms them: with an expression in it, or it would
-- copy the tuples
CREATE TABLE plain (LIKE topic.laid_out) WITH (toast_tuple_target = 8160, fillfactor = 100);
INSERT INTO plain SELECT record_offset + 0, timestamp, partition, key, value, headers FROM :segment;
SELECT count(*), count(DISTINCT length(t_data)) > 100 AS of_many_sizes,
	count(*) FILTER (WHERE t_bits IS NULL) AS without_nulls
FROM generate_series(0, pg_relation_size('plain') / 8192 - 1) block,
	heap_page_items(get_raw_page('plain', block)) WHERE t_data IS NOT NULL;

-- the executor may go back to a page with room; which record it is, is in the
-- first eight bytes
CREATE VIEW stored AS
SELECT relation, substr(t_data, 1, 8) AS record_offset,
	t_hoff, t_infomask2 & 2047 AS natts, t_infomask & 3 AS flags, t_bits, t_data
FROM (SELECT 'plain'::regclass UNION ALL SELECT :'segment'::regclass) r (relation),
	generate_series(0, pg_relation_size(relation) / 8192 - 1) block,
	heap_page_items(get_raw_page(relation::text, block))
WHERE t_data IS NOT NULL;
SELECT count(*) AS records,
	count(*) FILTER (WHERE (a.t_hoff, a.natts, a.flags, a.t_bits, a.t_data)
		IS NOT DISTINCT FROM (b.t_hoff, b.natts, b.flags, b.t_bits, b.t_data)) AS same
FROM stored a JOIN stored b USING (record_offset)
WHERE a.relation = 'plain'::regclass AND b.relation = :'segment'::regclass;
SELECT t_hoff, natts, flags, count(*) FROM stored WHERE relation = :'segment'::regclass GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

DROP VIEW stored;
DROP TABLE plain, kinds;
DROP EXTENSION pageinspect;
SELECT drop_topic('laid_out');
