--
-- waiters: many sessions that wait for records of the same and of other
-- partitions, and what is left of one that is cancelled or ended while it waits
--
-- Mutations: a session that ends leaves itself in the list, and who has its place
-- next corrupts that; a commit wakes only the first.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
CREATE EXTENSION IF NOT EXISTS dblink;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('awaited', 3);

CREATE FUNCTION connect(name text) RETURNS text LANGUAGE sql AS $$
	SELECT dblink_connect(name, format('host=%L port=%s dbname=%L user=%L application_name=%L options=%L',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
		current_database(), session_user, name, '-c streamlog.max_wait=1h -c statement_timeout=30s -c search_path=public,streamlog')) $$;
-- let it wait at an offset, and return when it sleeps
CREATE FUNCTION wait_there(name text, partition int, start_offset bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dblink_send_query(name, format('SELECT record_offset, as_text(value) FROM fetch_records(%L, %s, %s, max_wait => %L)',
		'awaited', partition, start_offset, '1 hour'));
	PERFORM sleeping(name, true);
	RETURN 'waits';
END $$;
-- until the session sleeps in a fetch, or is gone
CREATE FUNCTION sleeping(name text, wanted bool) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN wanted = EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = name AND CASE WHEN wanted THEN wait_event_type = 'Extension' ELSE true END);
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'session % is not where it should be', name;
		END IF;
		PERFORM pg_sleep(0.005);
	END LOOP;
END $$;
CREATE FUNCTION result(name text) RETURNS TABLE (session text, record_offset bigint, value text) LANGUAGE sql AS $$
	SELECT name, * FROM dblink_get_result(name) AS r (record_offset bigint, value text) $$;
CREATE FUNCTION busy() RETURNS TABLE (session text) LANGUAGE sql AS $$
	SELECT name FROM unnest(dblink_get_connections()) name WHERE dblink_is_busy(name) = 1 ORDER BY 1 $$;

SELECT connect('w' || i) FROM generate_series(1, 5) i;
SELECT wait_there('w1', 0, 0), wait_there('w2', 0, 0), wait_there('w3', 0, 0), wait_there('w4', 1, 0), wait_there('w5', 2, 0);

-- a record wakes all that wait for its partition, and nobody else
SELECT produce('awaited', NULL, 'first', partition => 0);
SELECT * FROM result('w1') UNION ALL SELECT * FROM result('w2') UNION ALL SELECT * FROM result('w3');
SELECT * FROM busy();

-- a transaction that was rolled back wakes nobody for good
BEGIN;
SELECT produce('awaited', NULL, 'lost', partition => 1);
SELECT count(*) FROM flush();
ROLLBACK;
SELECT sleeping('w4', true);
SELECT * FROM busy();

-- one that commits to two partitions wakes both
BEGIN;
SELECT produce('awaited', NULL, 'second', partition => 1), produce('awaited', NULL, 'third', partition => 2);
COMMIT;
SELECT * FROM result('w4') UNION ALL SELECT * FROM result('w5');

-- of several that wait for the same partition one is ended, one is cancelled
SELECT * FROM dblink_get_result('w1') AS r (record_offset bigint, value text);
SELECT * FROM dblink_get_result('w2') AS r (record_offset bigint, value text);
SELECT * FROM dblink_get_result('w3') AS r (record_offset bigint, value text);
SELECT wait_there('w1', 0, 1), wait_there('w2', 0, 1), wait_there('w3', 0, 1);
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'w2';
SELECT sleeping('w2', false);
SELECT dblink_cancel_query('w3');
\set VERBOSITY terse
SELECT * FROM result('w3');
\set VERBOSITY default
SELECT dblink_disconnect('w2');
SELECT * FROM dblink_get_result('w3') AS r (record_offset bigint, value text);
-- a new session, which has the place of the one that has gone, waits for another one
SELECT connect('w6'), wait_there('w6', 1, 2);
SELECT wait_there('w3', 0, 1);
SELECT produce('awaited', NULL, 'fourth', partition => 0);
SELECT * FROM result('w1') UNION ALL SELECT * FROM result('w3');
SELECT * FROM busy();
SELECT produce('awaited', NULL, 'fifth', partition => 1);
SELECT * FROM result('w6');

-- a topic that is dropped: a waiting reader is a reader, drop_topic() waits for it
SELECT * FROM dblink_get_result('w1') AS r (record_offset bigint, value text);
SELECT wait_there('w1', 0, 2);
SET lock_timeout = '10ms';
SELECT drop_topic('awaited');
\echo :LAST_ERROR_SQLSTATE
RESET lock_timeout;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'w1';
SELECT drop_topic('awaited');
SELECT count(dblink_disconnect(name)) FROM unnest(dblink_get_connections()) name;

DROP EXTENSION dblink;
DROP FUNCTION connect, wait_there, sleeping, result, busy;
