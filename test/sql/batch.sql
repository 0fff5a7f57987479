--
-- batch: produce_batch() and produce_batch_bytes()
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('batches', 3);

-- a row for each record, in the order of the arrays, whatever the partitions;
-- foobar goes to 0, kafka to 1, key to 1, abc to 0, user-1 to 2
SELECT topic, partition, record_offset, timestamp IS NOT NULL AS has_time
FROM produce_batch('batches', ARRAY['kafka', 'foobar', 'key', 'user-1', 'abc', 'foobar'],
	ARRAY['a', 'b', NULL, 'd', '', 'f']);
SELECT partition, record_offset, as_text(key) AS key, as_text(value) AS value, value IS NULL AS is_null
FROM generate_series(0, 2) p, fetch_records('batches', p, 0) ORDER BY 1, 2;

-- headers, partition and time are those of every record
SELECT partition, record_offset, timestamp FROM produce_batch('batches', ARRAY['kafka', NULL], ARRAY['x', 'y'],
	headers('{"h": "1"}'), 2, '2001-02-03 04:05:06+00');
SELECT record_offset, timestamp, key, value, headers FROM fetch_records('batches', 2, 1);

-- bytes
SELECT partition, record_offset FROM produce_batch_bytes('batches', ARRAY['\x00', '', NULL]::bytea[],
	ARRAY['\xff', '', NULL]::bytea[], partition => 2);
SELECT record_offset, key, value FROM fetch_records('batches', 2, 3);

-- array bounds mean nothing, nor does the size of an element
SELECT partition, record_offset FROM produce_batch('batches', '[5:6]={a,b}', '[-1:0]={v,w}', partition => 2);
SELECT count(*) FROM produce_batch('batches', NULL, array_fill(repeat('x', 100000), ARRAY[20]), partition => 1);
SELECT count(*), sum(length(value)) FROM fetch_records('batches', 1, 2, max_bytes => 100000000);

-- without keys: a run of records, in one partition
SELECT count(DISTINCT partition) FROM produce_batch('batches', NULL, ARRAY['1', '2', '3']);

-- in a block it returns nothing, flush() returns it all, by partition
SELECT create_topic('later', 2);
BEGIN;
SELECT * FROM produce_batch('later', ARRAY['k', 'k', 'k'], ARRAY['1', '2', '3'], partition => 1);
SELECT count(*) FROM produce_batch('later', NULL, ARRAY['4'], partition => 0);
SELECT topic, partition, record_offset FROM flush();
SELECT * FROM flush();
ROLLBACK;
SELECT partition, record_offset FROM produce_batch('later', NULL, ARRAY['5', '6'], partition => 1);
SELECT record_offset, as_text(value) FROM fetch_records('later', 1, 0);

-- one batch is atomic: a value that is too large, and none of them is there
SELECT alter_topic('later', config => '{"max.message.bytes": 10}');
SELECT * FROM produce_batch('later', NULL, ARRAY['1', '12345678901', '3'], partition => 0);
SELECT * FROM produce_batch('later', ARRAY['1234', '1234'], ARRAY['123456', '1234567'], partition => 0);
SELECT end_offset('later', 0);
SELECT alter_topic('later', config => '{"max.message.bytes": null}');

-- the log's time is one for the batch, and is returned
SELECT alter_topic('later', config => '{"message.timestamp.type": "LogAppendTime"}');
SELECT count(*), count(DISTINCT b.timestamp) AS times, bool_and(b.timestamp > '2020-01-01') AS of_the_log
FROM produce_batch('later', NULL, ARRAY['1', '2', '3'], partition => 0, record_time => '2001-01-01') b;
SELECT count(DISTINCT timestamp) AS times FROM fetch_records('later', 0, 0);

-- more than the buffer holds, and than one append takes: in the order of the
-- array all the same, in the log and in what is returned.  Mutation: report the
-- records as they are appended, not as they were given.
SELECT create_topic('large', 5);
SET streamlog.producer_buffer = '64kB';
SELECT array_agg((i % 50)::text ORDER BY i) AS keys, array_agg(i::text ORDER BY i) AS values
FROM generate_series(1, 25000) i \gset
SELECT partition AS last_partition, record_offset AS last_offset
FROM produce_batch('large', :'keys', :'values') OFFSET 24999 \gset
RESET streamlog.producer_buffer;
SELECT partition, count(*), bool_and(as_text(value)::int > before) AS in_order,
	bool_and(partition_for('large', as_text(key)) = partition) AS right_ones
FROM (SELECT f.*, lag(as_text(value)::int, 1, 0) OVER (PARTITION BY partition ORDER BY record_offset) AS before
	FROM generate_series(0, 4) p, fetch_records('large', p, 0, 100000, 100000000) f) w
GROUP BY partition ORDER BY partition;
SELECT as_text(value) FROM fetch_records('large', :last_partition, :last_offset);
SELECT partition, records, problem FROM check_topic('large') ORDER BY 1;

SELECT count(drop_topic(topic)) AS dropped FROM topics;
