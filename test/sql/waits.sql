--
-- waits: what wait_for_records() takes, and where it refuses to wait
--
-- Mutations: the check for an xid, for the isolation level, for a snapshot that is
-- left; a literal that resolves to the array form.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('w1', 3), create_topic('w2');
SELECT produce('w1', 'k', 'there before');

-- the time is up; what was there at the call does not count
CALL wait_for_records('w1', max_wait => '0');
CALL wait_for_records('w1', max_wait => '1 ms');
CALL wait_for_records(ARRAY['w1', 'w2', 'w1'], max_wait => '1 ms');
CALL wait_for_records(topics => 'w1', max_wait => interval '10 ms');
CALL wait_for_records('{w1,w2}'::text[], max_wait => '1 ms');

-- arguments
CALL wait_for_records(NULL::text, max_wait => '0');
CALL wait_for_records(NULL::text[], max_wait => '0');
CALL wait_for_records(ARRAY['w1', NULL], max_wait => '0');
CALL wait_for_records('{}'::text[], max_wait => '0');
CALL wait_for_records('w1', max_wait => NULL);
CALL wait_for_records('w1', max_wait => '-1 ms');
CALL wait_for_records('unknown', max_wait => '0');
CALL wait_for_records(ARRAY['w1', 'unknown'], max_wait => '0');
CALL wait_for_records('{w1,w2}', max_wait => '0');
CALL wait_for_records(repeat('x', 300), max_wait => '0');
-- SELECT on the topic is what it takes
CREATE ROLE regress_waits;
GRANT INSERT ON topic.w1 TO regress_waits;
SET ROLE regress_waits;
CALL wait_for_records('w1', max_wait => '0');
RESET ROLE;
GRANT SELECT ON topic.w1 TO regress_waits;
SET ROLE regress_waits;
CALL wait_for_records('w1', max_wait => '0');
CALL wait_for_records(ARRAY['w1', 'w2'], max_wait => '0');
RESET ROLE;
REVOKE ALL ON topic.w1 FROM regress_waits;
DROP ROLE regress_waits;

-- transactions: in a block too, but with a snapshot that goes on, or an xid, not
BEGIN;
SELECT count(*) FROM fetch_records('w1', 0, 0);
CALL wait_for_records('w1', max_wait => '1 ms');
SELECT produce('w2', 'k', 'buffered');
CALL wait_for_records('w1', max_wait => '1 ms');
SAVEPOINT s;
CALL wait_for_records('w1', max_wait => '1 ms');
SELECT count(*) FROM pending_records();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL wait_for_records('w1', max_wait => '0');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
CALL wait_for_records('w1', max_wait => '0');
ROLLBACK;
BEGIN READ ONLY;
CALL wait_for_records('w1', max_wait => '1 ms');
COMMIT;
BEGIN;
CREATE TEMP TABLE written ();
CALL wait_for_records('w1', max_wait => '0');
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 2);
FETCH c;
CALL wait_for_records('w1', max_wait => '0');
ROLLBACK;

-- where the call can commit, it can wait
DO $$ BEGIN CALL wait_for_records('w1', max_wait => '1 ms'); PERFORM 1; CALL wait_for_records('w1', max_wait => '1 ms'); END $$;
CREATE PROCEDURE waiting() LANGUAGE plpgsql AS $$
BEGIN
	CALL wait_for_records('w1', max_wait => '1 ms');
	COMMIT;
	CALL wait_for_records('w1', max_wait => '1 ms');
	RAISE NOTICE 'waited';
END $$;
CALL waiting();
DO $$ BEGIN CALL waiting(); END $$;
-- elsewhere it cannot, and nothing is left of the attempt
BEGIN;
DO $$ BEGIN CALL wait_for_records('w1', max_wait => '0'); END $$;
ROLLBACK;
DO $$ DECLARE r record; BEGIN FOR r IN SELECT generate_series(1, 2) LOOP CALL wait_for_records('w1', max_wait => '0'); END LOOP; END $$;
CREATE FUNCTION waiting_function() RETURNS void LANGUAGE sql AS $$ CALL wait_for_records('w1', max_wait => '0') $$;
SELECT waiting_function();
DO $$
BEGIN
	BEGIN
		CALL wait_for_records('unknown', max_wait => '0');
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE '% %', SQLSTATE, SQLERRM;
	END;
	BEGIN
		PERFORM waiting_function();
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE '% %', SQLSTATE, SQLERRM;
	END;
	PERFORM count(*) FROM topic.w1;
	CALL wait_for_records('w1', max_wait => '1 ms');
END $$;

DROP FUNCTION waiting_function;
DROP PROCEDURE waiting;
SELECT drop_topic('w1'), drop_topic('w2');
