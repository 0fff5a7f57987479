-- consume(): whose records, from where on, and when their offsets are committed
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET client_min_messages = notice;
SET search_path = public, streamlog;

-- what a call handed out, in short
CREATE FUNCTION show(log_record) RETURNS text LANGUAGE sql IMMUTABLE
RETURN $1.topic || '-' || $1.partition || '@' || $1.record_offset;
CREATE VIEW committed AS
SELECT g.name AS consumer_group, t.name AS topic, c.partition, c.next_offset, c.epoch,
	c.member ~ '^s-[a-z2-7]{13}$' AS is_session, c.metadata
FROM streamlog.committed_offset c JOIN streamlog.consumer_group g USING (group_id)
JOIN streamlog.topic t USING (topic_id);
CREATE TABLE work (topic text, partition int, record_offset bigint, note text);

SELECT create_topic('orders', partitions => 2);
SELECT count(*) FROM produce_batch('orders', NULL, ARRAY['a', 'b', 'c'], partition => 0);
SELECT count(*) FROM produce_batch('orders', NULL, ARRAY['x', 'y'], partition => 1);

--
-- Without a group: everything, from the session's own position
--
SELECT show(r) FROM consume('orders') r;
SELECT show(r) FROM consume('orders') r;
SELECT produce('orders', NULL, 'd', partition => 0);
SELECT show(r) FROM consume('orders') r;
SELECT show(r) FROM consume('orders') r;
SELECT * FROM seek('orders', to_position => 'earliest');
SELECT show(r) FROM consume('orders', max_records => 2) r;
SELECT show(r) FROM consume('orders', max_records => 2) r;
SELECT show(r) FROM consume('orders') r;
SELECT next_offset('orders', NULL, 0), next_offset('orders', NULL, 1);
-- the position rolls back with the transaction, and with a savepoint
SELECT * FROM seek('orders', partition => 0, to_offset => 1);
BEGIN;
SELECT show(r) FROM consume('orders', max_records => 1) r;
SAVEPOINT s;
SELECT show(r) FROM consume('orders', max_records => 1) r;
ROLLBACK TO s;
SELECT show(r) FROM consume('orders', max_records => 1) r;
ROLLBACK;
SELECT show(r) FROM consume('orders', max_records => 1) r;
DISCARD ALL;
SET search_path = public, streamlog;
SELECT show(r) FROM consume('orders', auto_offset_reset => 'earliest', partitions => '{1}') r;

--
-- A group, deferred: a plain SELECT, confirmed by the next one
--
SELECT show(r) FROM consume('orders', 'billing') r;
SELECT * FROM committed ORDER BY 1, 2, 3;
SELECT next_offset('orders', 'billing', 0);
SELECT show(r) FROM consume('orders', 'billing') r;
SELECT * FROM committed ORDER BY 1, 2, 3;
-- an error takes the confirmation back
SELECT produce('orders', NULL, 'e', partition => 0);
SELECT show(r) FROM consume('orders', 'billing') r;
SELECT 1 / count(*) FROM consume('orders', 'billing') r WHERE r.partition > 5;
SELECT next_offset FROM committed WHERE partition = 0;
SELECT * FROM commit_offsets('orders', 'billing');
SELECT next_offset FROM committed WHERE partition = 0;
-- leaving commits nothing
SELECT produce('orders', NULL, 'f', partition => 0);
SELECT show(r) FROM consume('orders', 'billing') r;
SELECT leave('billing');
SELECT leave('billing');
SELECT show(r) FROM consume('orders', 'billing') r;
-- two calls in one statement do not confirm each other
SELECT count(*) FROM produce_batch('orders', NULL, ARRAY['g', 'h'], partition => 0);
SELECT show(a), show(b)
FROM consume('orders', 'billing', max_records => 1) a,
	consume('orders', 'billing', max_records => 1) b;
SELECT next_offset FROM committed WHERE partition = 0;
SELECT show(r) FROM consume('orders', 'billing') r;
SELECT next_offset FROM committed WHERE partition = 0;

--
-- With the transaction
--
SELECT count(*) FROM produce_batch('orders', NULL, ARRAY['i', 'j', 'k', 'l', 'm', 'n', 'o'], partition => 0);
BEGIN;
SELECT show(r) FROM consume('orders', 'billing', max_records => 1) r;
COMMIT;
SELECT next_offset FROM committed WHERE partition = 0;
BEGIN;
SELECT show(r) FROM consume('orders', 'billing', max_records => 1) r;
ROLLBACK;
SELECT next_offset FROM committed WHERE partition = 0;
BEGIN;
SELECT show(r) FROM consume('orders', 'billing', max_records => 1) r;
SAVEPOINT s;
SELECT show(r) FROM consume('orders', 'billing', max_records => 2) r;
ROLLBACK TO s;
SELECT show(r) FROM consume('orders', 'billing', max_records => 1) r;
COMMIT;
SELECT next_offset FROM committed WHERE partition = 0;
-- one statement
INSERT INTO work SELECT topic, partition, record_offset FROM consume('orders', 'billing', max_records => 1);
SELECT next_offset FROM committed WHERE partition = 0;
WITH done AS (INSERT INTO work SELECT topic, partition, record_offset FROM consume('orders', 'billing', max_records => 1) RETURNING *)
SELECT count(*) FROM done;
SELECT next_offset FROM committed WHERE partition = 0;
DO $$ BEGIN PERFORM consume('orders', 'billing', max_records => 1); END $$;
SELECT next_offset FROM committed WHERE partition = 0;
CREATE TABLE made AS SELECT show(r) FROM consume('orders', 'billing', max_records => 1) r;
SELECT next_offset FROM committed WHERE partition = 0;
SELECT * FROM work;

-- a function that works on what it consumes
CREATE FUNCTION work_off(fail bool DEFAULT false) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; r log_record;
BEGIN
	FOR r IN SELECT * FROM streamlog.consume('orders', 'billing', max_records => 2) LOOP
		INSERT INTO public.work VALUES (r.topic, r.partition, r.record_offset, 'function');
		n := n + 1;
	END LOOP;
	IF fail THEN RAISE 'failed'; END IF;
	RETURN n;
END $$;
SELECT count(*) FROM produce_batch('orders', NULL, ARRAY['p', 'q', 'r', 's', 't'], partition => 0);
SELECT next_offset FROM committed WHERE partition = 0;
SELECT work_off();
SELECT next_offset FROM committed WHERE partition = 0;
SELECT work_off(fail => true);
SELECT next_offset FROM committed WHERE partition = 0;
-- and one that only hands on
CREATE FUNCTION hand_on() RETURNS SETOF log_record LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY SELECT * FROM streamlog.consume('orders', 'billing', max_records => 1); END $$;
SELECT show(r) FROM hand_on() r;
SELECT next_offset FROM committed WHERE partition = 0;
SELECT show(r) FROM hand_on() r;
SELECT next_offset FROM committed WHERE partition = 0;

-- metadata goes with its offset
SELECT * FROM commit_offsets('orders', 'billing', partitions => '{0}', next_offsets => '{18}', metadata => 'by hand');
SELECT next_offset, metadata FROM committed WHERE partition = 0;
INSERT INTO work SELECT topic, partition, record_offset FROM consume('orders', 'billing', max_records => 1);
SELECT next_offset, metadata FROM committed WHERE partition = 0;

-- nothing is written of a topic that the transaction drops
BEGIN;
SELECT create_topic('passing');
SELECT count(*) FROM consume('passing', 'billing');
SAVEPOINT s;
SELECT drop_topic('passing');
ROLLBACK TO s;
SELECT drop_topic('passing');
COMMIT;
SELECT count(*) FROM streamlog.committed_offset c
WHERE NOT EXISTS (SELECT FROM streamlog.topic t WHERE t.topic_id = c.topic_id);
-- who names no topic that there is makes no group
SELECT show(r) FROM consume(topic_pattern => '^none$', consumer_group => 'nobody') r;
SELECT count(*) FROM streamlog.consumer_group WHERE name = 'nobody';
-- without a group a partition that is read later than others begins where the topic was
-- said to: it was there
DISCARD ALL;
SET search_path = public, streamlog;
SELECT show(r) FROM consume('orders', partitions => '{0}') r;
SELECT show(r) FROM consume('orders') r;
SET client_min_messages = warning;
SELECT alter_topic('orders', partitions => 3);
RESET client_min_messages;
SELECT produce('orders', NULL, 'new', partition => 2);
SELECT show(r) FROM consume('orders') r;

SET client_min_messages = warning;
DROP VIEW committed;
DROP TABLE work, made;
DROP FUNCTION show, work_off, hand_on;
DROP EXTENSION streamlog CASCADE;
