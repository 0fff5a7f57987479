--
-- Who may do what: the privileges on the topic's table govern, at every call
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_member IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_producer;
CREATE ROLE regress_streamlog_reader;
CREATE ROLE regress_streamlog_nobody;

-- a topic is made by who has CREATE on schema topic, and is his
SET ROLE regress_streamlog_owner;
SELECT create_topic('ours');
RESET ROLE;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_owner;
SET ROLE regress_streamlog_owner;
SELECT create_topic('ours');
SELECT owner FROM topics;
SELECT produce('ours', 'k', 'by the owner');
GRANT INSERT ON topic.ours TO regress_streamlog_producer;
GRANT SELECT ON topic.ours TO regress_streamlog_reader;
-- and yet not his table
CREATE INDEX ON topic.ours (key);
ALTER TABLE topic.ours ADD COLUMN x int;
DELETE FROM topic.ours;
TRUNCATE topic.ours;
RESET ROLE;

SET ROLE regress_streamlog_producer;
SELECT produce('ours', 'k', 'by a producer');
SELECT count(*) FROM produce_batch('ours', NULL, ARRAY['a']);
SELECT partition_for('ours', 'k');
SELECT * FROM fetch_records('ours', 0, 0);
SELECT end_offset('ours', 0);
SELECT offset_for_time('ours', 0, now());
SELECT * FROM check_topic('ours');
SELECT alter_topic('ours', 2);
SELECT drop_topic('ours');
SELECT topic, end_offset FROM partitions;
RESET ROLE;

SET ROLE regress_streamlog_reader;
SELECT as_text(value) FROM fetch_records('ours', 0, 0);
SELECT end_offset('ours', 0);
SELECT problem FROM check_topic('ours');
SELECT produce('ours', 'k', 'v');
SELECT count(*) FROM produce_batch('ours', NULL, ARRAY['a']);
SELECT drop_topic('ours');
RESET ROLE;

SET ROLE regress_streamlog_nobody;
SELECT produce('ours', 'k', 'v');
SELECT * FROM fetch_records('ours', 0, 0);
SELECT partition_for('ours', 'k');
SELECT topic FROM topics;
SELECT topic FROM partitions;
SELECT topic FROM segments;
SELECT partition_end('topic.ours', 0);
SELECT * FROM undecided_states();
SELECT * FROM streamlog.topic;
SELECT * FROM streamlog_segment.t1_p0_1;
SELECT nextval('streamlog.topic_id_seq');
RESET ROLE;

-- the views show a member of pg_monitor everything, which gives no right to read
CREATE ROLE regress_streamlog_monitor IN ROLE pg_monitor;
BEGIN;
SELECT produce('ours', 'k', 'undecided', partition => 0);
SELECT count(*) FROM flush();
SET LOCAL ROLE regress_streamlog_monitor;
SELECT topic, partitions FROM topics;
SELECT topic, start_offset, end_offset FROM partitions;
SELECT topic, base_offset FROM segments;
SELECT topic, partition, held_offset FROM undecided_transactions;
SAVEPOINT s;
SELECT * FROM fetch_records('ours', 0, 0);
ROLLBACK TO s;
SELECT produce('ours', 'k', 'v');
ROLLBACK TO s;
SET LOCAL ROLE regress_streamlog_nobody;
SELECT topic FROM undecided_transactions;
ROLLBACK;
DROP ROLE regress_streamlog_monitor;

-- a SECURITY DEFINER function produces as its owner, and a role that is left
-- in the middle of a transaction takes its rights along
CREATE FUNCTION for_everybody(value text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ BEGIN PERFORM streamlog.produce('ours', 'k', value); END $$;
ALTER FUNCTION for_everybody OWNER TO regress_streamlog_producer;
SET ROLE regress_streamlog_nobody;
SELECT for_everybody('through a function');
RESET ROLE;
BEGIN;
SET LOCAL ROLE regress_streamlog_producer;
SELECT produce('ours', 'k', 'before SET ROLE');
SET LOCAL ROLE regress_streamlog_nobody;
SAVEPOINT s;
SELECT produce('ours', 'k', 'v');
ROLLBACK TO s;
COMMIT;

-- revoked: at the next call
SET ROLE regress_streamlog_owner;
REVOKE INSERT ON topic.ours FROM regress_streamlog_producer;
SET ROLE regress_streamlog_producer;
SELECT produce('ours', 'k', 'v');
RESET ROLE;

-- a hostile search_path and operators of its own change nothing
CREATE SCHEMA regress_streamlog_evil;
CREATE FUNCTION regress_streamlog_evil.replace(text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'reached'; END $$;
CREATE FUNCTION regress_streamlog_evil.eq(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'reached'; END $$;
CREATE OPERATOR regress_streamlog_evil.= (FUNCTION = regress_streamlog_evil.eq, LEFTARG = int, RIGHTARG = int);
SET search_path = regress_streamlog_evil, pg_catalog, public, streamlog;
SELECT create_topic('under_evil', 2, config => '{"max.message.bytes": 100}');
SELECT produce('under_evil', 'k', 'v', partition => 1);
SELECT alter_topic('under_evil', 3);
SELECT drop_topic('under_evil');
SET search_path = public, streamlog;
DROP SCHEMA regress_streamlog_evil CASCADE;

-- Who may not do a thing does not get the lock for it either; a lock of DDL goes with
-- the savepoint.  Mutation: sl_topic_open() and sl_topic_open_owned() look at rights
-- after the lock only.
CREATE VIEW locks_on_ours AS SELECT mode FROM pg_locks
WHERE relation = to_regclass('topic.ours') AND pid = pg_backend_pid();
GRANT SELECT ON locks_on_ours TO PUBLIC;
CREATE PROCEDURE attempts() LANGUAGE plpgsql AS $$
DECLARE
	attempt text;
BEGIN
	FOREACH attempt IN ARRAY ARRAY['drop_topic(''ours'')', 'alter_topic(''ours'', 100)', 'partition_for(''ours'', ''k'')',
		'produce(''ours'', ''k'', ''v'')', 'fetch_records(''ours'', 0, 0)', 'check_topic(''ours'')'] LOOP
		BEGIN
			EXECUTE 'SELECT ' || attempt;
			RAISE NOTICE '%: allowed', attempt;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE NOTICE '%: refused', attempt;
		END;
	END LOOP;
END $$;
BEGIN;
SET LOCAL ROLE regress_streamlog_nobody;
CALL attempts();
SELECT mode FROM locks_on_ours;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SET LOCAL ROLE regress_streamlog_owner;
SELECT drop_topic('ours');
ROLLBACK TO s;
SELECT mode FROM locks_on_ours WHERE mode <> 'AccessShareLock';
SELECT end_offset('ours', 0) > 0 AS is_there;
COMMIT;
DROP VIEW locks_on_ours;
DROP PROCEDURE attempts;

-- a column of another's keeps the topic, and drop_topic() says so before it is late
GRANT CREATE ON SCHEMA public TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
CREATE TABLE public.has_a_record (r topic.ours, list topic.ours[]);
SET ROLE regress_streamlog_owner;
SELECT drop_topic('ours');
RESET ROLE;
DROP TABLE public.has_a_record;
REVOKE CREATE ON SCHEMA public FROM regress_streamlog_nobody;

-- a member of the owner is one; who has lost what the owner is granted is not
SET ROLE regress_streamlog_member;
SELECT alter_topic('ours', 2);
RESET ROLE;
REVOKE ALL ON topic.ours FROM regress_streamlog_owner CASCADE;
SET ROLE regress_streamlog_member;
SELECT drop_topic('ours');
RESET ROLE;
SELECT partition, as_text(value) FROM fetch_records('ours', 0, 0);

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP FUNCTION for_everybody;
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_owner;
DROP ROLE regress_streamlog_member, regress_streamlog_owner, regress_streamlog_producer, regress_streamlog_reader, regress_streamlog_nobody;
