--
-- delete_records(): where the log starts then, who may, what is taken back; and
-- that the worker drops what is below
--
-- Mutations: keep-undone-start, which the test runs; publish at the call and not at
-- COMMIT; no comparison with the visible end, or with the start that there is; a
-- search for a time that begins at the base of the segment; an active segment that
-- is never rolled, or that is dropped itself.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

-- waits until the worker has left nothing below the start of the topic's logs
CREATE PROCEDURE wait_for_worker(of_topic text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..400 LOOP
        COMMIT;
        EXIT WHEN NOT EXISTS (SELECT FROM segments s JOIN partitions p USING (topic, partition)
            WHERE topic = of_topic AND s.base_offset < p.start_offset);
        PERFORM pg_sleep(0.05);
    END LOOP;
END$$;

SELECT create_topic('deleted', 2);
SELECT count(produce('deleted', NULL, i::text, partition => 0,
	record_time => '2001-01-01'::timestamptz + i * interval '1 hour')) FROM generate_series(0, 9) i;
SELECT count(produce('deleted', NULL, i::text, partition => 1)) FROM generate_series(0, 4) i;

--
-- One partition, up to an offset
--
SELECT * FROM delete_records(topic => 'deleted', partition => 0, before_offset => 4);
SELECT start_offset('deleted', 0), end_offset('deleted', 0);
SELECT start_offset('deleted', 1), end_offset('deleted', 1);
SELECT partition, start_offset, end_offset FROM partitions WHERE topic = 'deleted' ORDER BY partition;
SELECT record_offset, as_text(value) AS value FROM fetch_records('deleted', 0, 4, 2);
SELECT * FROM fetch_records('deleted', 0, 3);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM fetch_records('deleted', 0, 0, 0);

-- a time is found among what is left
SELECT offset_for_time('deleted', 0, '2001-01-01 00:00'), offset_for_time('deleted', 0, '2001-01-01 04:00'),
	offset_for_time('deleted', 0, '2001-01-01 07:00'), offset_for_time('deleted', 0, '2001-01-02');

-- the table shows what is stored
SELECT count(*), min(record_offset) FROM topic.deleted WHERE partition = 0;

-- below the start: no error, and no change
SELECT * FROM delete_records('deleted', 0, 0);
SELECT * FROM delete_records('deleted', 0, 3);
SELECT * FROM delete_records('deleted', 0, 4);
BEGIN;
SELECT * FROM delete_records('deleted', 0, 4);
SELECT pg_current_xact_id_if_assigned();
COMMIT;

-- what there is not
SELECT delete_records('deleted', 0, 11);
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records('deleted', 0, -2);
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records('deleted', 0, 9223372036854775807);
SELECT delete_records('deleted', 0, -9223372036854775808);
SELECT delete_records('deleted', 2);
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records('deleted', -1, 0);
SELECT delete_records('deleted', NULL, 4);
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records('nothing');
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT delete_records('');
SELECT delete_records(repeat('x', 1000));
SELECT start_offset('deleted', 0);

--
-- Up to the end, by null and by Kafka's -1; all partitions
--
SELECT delete_records('deleted', 0, -1);
SELECT start_offset('deleted', 0), end_offset('deleted', 0);
SELECT record_offset FROM fetch_records('deleted', 0, 10);
SELECT record_offset FROM fetch_records('deleted', 0, 9);
SELECT offset_for_time('deleted', 0, '2001-01-01');
SELECT produce('deleted', NULL, 'goes on', partition => 0);
SELECT record_offset FROM fetch_records('deleted', 0, start_offset('deleted', 0));
SELECT * FROM delete_records('deleted', before_offset => NULL);
SELECT * FROM delete_records('deleted');
SELECT partition, start_offset, end_offset FROM partitions WHERE topic = 'deleted' ORDER BY partition;

-- one and the same partition twice in a statement
SELECT count(produce('deleted', NULL, 'v', partition => 1)) FROM generate_series(1, 5);
SELECT delete_records('deleted', 1, o) FROM unnest(ARRAY[6, 8, 7]) o;
SELECT start_offset('deleted', 1);

-- the segments go, and the offsets go on
SELECT delete_records('deleted');
CALL wait_for_worker('deleted');
SELECT partition, base_offset, active FROM segments WHERE topic = 'deleted' ORDER BY 1, 2;
SELECT partition, base_offset, records, problem FROM check_topic('deleted') ORDER BY 1, 2;
SELECT count(*) FROM topic.deleted;
SELECT produce('deleted', NULL, 'goes on', partition => 0), produce('deleted', NULL, 'goes on', partition => 1);
SELECT partition, start_offset, end_offset, segments FROM partitions WHERE topic = 'deleted' ORDER BY partition;

--
-- Undecided records are above the visible end; aborted ones may stay for a while
--
SELECT create_topic('undecided');
SELECT count(produce('undecided', NULL, i::text)) FROM generate_series(0, 2) i;
BEGIN;
SELECT produce('undecided', NULL, 'mine');
SELECT record_offset FROM flush();
SELECT * FROM delete_records('undecided', 0, 4);
ROLLBACK;
BEGIN;
SELECT produce('undecided', NULL, 'mine');
SELECT record_offset FROM flush();
SELECT produce('undecided', NULL, 'also mine');
SELECT * FROM delete_records('undecided');
COMMIT;
SELECT record_offset, as_text(value) AS value FROM fetch_records('undecided', 0, start_offset('undecided', 0));
SELECT delete_records('undecided');
CALL wait_for_worker('undecided');
SELECT base_offset, problem FROM check_topic('undecided');

--
-- It is part of the transaction: known to others at COMMIT, taken back by a
-- rollback, also to a savepoint
--
SELECT create_topic('undone');
SELECT count(produce('undone', NULL, i::text)) FROM generate_series(0, 19) i;
BEGIN;
SELECT * FROM delete_records('undone', 0, 5);
SELECT start_offset('undone', 0), count(*) FROM fetch_records('undone', 0, 0);
SELECT * FROM delete_records('undone', 0, 4);
ROLLBACK;
SELECT start_offset('undone', 0);
SELECT start_offset FROM partitions WHERE topic = 'undone';

BEGIN;
SAVEPOINT a;
SELECT * FROM delete_records('undone', 0, 5);
ROLLBACK TO a;
SELECT * FROM delete_records('undone', 0, 1);
COMMIT;
SELECT start_offset('undone', 0);

BEGIN;
SELECT * FROM delete_records('undone', 0, 2);
SAVEPOINT a;
SELECT * FROM delete_records('undone', 0, 7);
SAVEPOINT b;
SELECT * FROM delete_records('undone', 0, 9);
RELEASE b;
ROLLBACK TO a;
COMMIT;
SELECT start_offset('undone', 0);
SELECT start_offset FROM partitions WHERE topic = 'undone';

BEGIN;
SAVEPOINT a;
SELECT * FROM delete_records('undone', 0, 3);
SAVEPOINT b;
SELECT * FROM delete_records('undone', 0, 4);
RELEASE a;
SAVEPOINT c;
SELECT delete_records('undone', 0, 100);
ROLLBACK TO c;
COMMIT;
SELECT start_offset('undone', 0);

DO $$
BEGIN
    PERFORM streamlog.delete_records('undone', 0, 5);
    BEGIN
        PERFORM streamlog.delete_records('undone', 0, 6);
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN
    END;
END$$;
SELECT start_offset('undone', 0);

BEGIN;
SELECT delete_records('undone', 0, 6);
PREPARE TRANSACTION 'deleted';
ROLLBACK PREPARED 'deleted';
SELECT start_offset('undone', 0);

-- the control: what was rolled back is published all the same
SET streamlog.mutants = 'keep-undone-start';
BEGIN;
SAVEPOINT a;
SELECT delete_records('undone', 0, 8);
ROLLBACK TO a;
COMMIT;
RESET streamlog.mutants;
SELECT start_offset('undone', 0);
SELECT start_offset FROM partitions WHERE topic = 'undone';

-- a topic that is made or dropped in the transaction
BEGIN;
SELECT delete_records('undone', 0, 9);
SELECT drop_topic('undone');
SELECT delete_records('undone', 0, 9);
ROLLBACK;
BEGIN;
SELECT delete_records('undone', 0, 9);
SELECT drop_topic('undone');
COMMIT;
BEGIN;
SELECT create_topic('undone', 34);
SELECT count(*) FROM delete_records('undone');
SELECT produce('undone', NULL, 'v', partition => 33);
SELECT count(*) FROM flush();
SELECT count(*) FROM delete_records('undone');
COMMIT;
SELECT end_offset('undone', 33);
SELECT * FROM delete_records('undone', 33);

--
-- Who may: the owner, and nobody where nothing may be written
--
CREATE ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_member IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_grantee;
CREATE ROLE regress_streamlog_nobody;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_owner;
SET ROLE regress_streamlog_owner;
SELECT create_topic('owned');
SELECT count(produce('owned', NULL, i::text)) FROM generate_series(0, 9) i;
GRANT SELECT, INSERT ON topic.owned TO regress_streamlog_grantee WITH GRANT OPTION;
SELECT * FROM delete_records('owned', 0, 1);
SET ROLE regress_streamlog_member;
SELECT * FROM delete_records('owned', 0, 2);
SET ROLE regress_streamlog_grantee;
SELECT * FROM delete_records('owned', 0, 3);
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_streamlog_nobody;
SELECT * FROM delete_records('owned', 0, 3);
SELECT * FROM delete_records('owned', 0, 2);
SELECT * FROM delete_records('owned', 5);
RESET ROLE;
SELECT * FROM delete_records('owned', 0, 3);

CREATE FUNCTION delete_for_all() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
RETURN (SELECT d.start_offset FROM streamlog.delete_records('owned', 0, 4) d);
ALTER FUNCTION delete_for_all OWNER TO regress_streamlog_owner;
SET ROLE regress_streamlog_nobody;
SELECT delete_for_all();
RESET ROLE;

BEGIN READ ONLY;
SELECT delete_records('owned');
ROLLBACK;
SELECT start_offset('owned', 0);

DROP FUNCTION delete_for_all;
SELECT drop_topic('owned');
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_owner;
DROP ROLE regress_streamlog_member, regress_streamlog_owner, regress_streamlog_grantee, regress_streamlog_nobody;

SELECT drop_topic('deleted'), drop_topic('undecided'), drop_topic('undone');
DROP PROCEDURE wait_for_worker;
