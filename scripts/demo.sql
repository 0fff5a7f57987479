--
-- The history of this system's packages as an event log: what dpkg did to which
-- package, keyed by the package.
--

-- if this is not the first run
SET client_min_messages = warning;

-- streamlog's functions are found without their schema from here on
CREATE EXTENSION IF NOT EXISTS streamlog;
ALTER DATABASE demo SET search_path = public, streamlog;
SET search_path = public, streamlog;

-- what an earlier run has left
SELECT drop_topic('packages', if_exists => true);
SELECT drop_topic('package_changes', if_exists => true);
DROP TABLE IF EXISTS dpkg_log, package, worked_off CASCADE;
DROP PROCEDURE IF EXISTS work_off, wait_until;

-- the lines of dpkg's log that tell the new state of a package
\echo the log is :log
CREATE TABLE dpkg_log AS
SELECT line, (word[1] || ' ' || word[2])::timestamptz AS logged,
       split_part(word[5], ':', 1) AS package, word[4] AS state, word[6] AS version
FROM string_to_table(pg_read_file(:'log'), E'\n') WITH ORDINALITY AS file (content, line),
     string_to_array(content, ' ') AS word
WHERE word[3] = 'status';

--
-- Produce: a topic of four partitions, and a record for each line, loaded with COPY.
-- All records of a key are in the same partition, in the order of the file.
--
SELECT create_topic('packages', partitions => 4);

\set events :log '.events'
COPY (SELECT logged, package, jsonb_build_object('state', state, 'version', version)
      FROM dpkg_log ORDER BY line) TO :'events';
\timing on
COPY topic_text.packages (timestamp, key, value) FROM :'events';
\timing off

SELECT partition, start_offset, end_offset, segments, pg_size_pretty(bytes) AS size
FROM partitions WHERE topic = 'packages' ORDER BY partition;

--
-- Fetch: the records of one key, in order
--
SELECT package AS name, partition_for('packages', package) AS partition
FROM dpkg_log GROUP BY package
ORDER BY count(DISTINCT version) DESC, count(*), package LIMIT 1 \gset

\echo the package is :name and its partition :partition
SELECT record_offset, timestamp, as_text(key) AS key, as_text(value) AS value
FROM fetch_records('packages', :partition, 0, max_records => 1000000, max_bytes => 1000000000)
WHERE as_text(key) = :'name';

-- from an offset: the last three
SELECT record_offset, timestamp, as_text(key) AS key, as_json(value) ->> 'state' AS state
FROM fetch_records('packages', :partition, end_offset('packages', :partition) - 3);

-- from a time: the first three that are not older
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY logged) AS moment FROM dpkg_log \gset

\echo the time is :moment
SELECT record_offset, timestamp, as_text(key) AS key, as_json(value) ->> 'state' AS state
FROM fetch_records('packages', :partition,
                   offset_for_time('packages', :partition, :'moment'), max_records => 3);

--
-- A table of the application, and the log that tells of its changes: both change,
-- or neither does.
--
CREATE TABLE package (name text PRIMARY KEY, state text NOT NULL);
INSERT INTO package
SELECT DISTINCT ON (package) package, state FROM dpkg_log ORDER BY package, line DESC;

CREATE VIEW both_sides AS
SELECT name, state AS state_in_table,
       (SELECT as_json(value) ->> 'state'
        FROM fetch_records('packages', partition_for('packages', name), 0,
                           max_records => 1000000, max_bytes => 1000000000)
        WHERE as_text(key) = name ORDER BY record_offset DESC LIMIT 1) AS state_in_log
FROM package;

SELECT * FROM both_sides WHERE name = :'name';

BEGIN;
UPDATE package SET state = 'on hold' WHERE name = :'name';
SELECT produce('packages', :'name', '{"state": "on hold"}');
ROLLBACK;

SELECT * FROM both_sides WHERE name = :'name';

BEGIN;
UPDATE package SET state = 'on hold' WHERE name = :'name';
SELECT produce('packages', :'name', '{"state": "on hold"}');
COMMIT;

SELECT * FROM both_sides WHERE name = :'name';

--
-- Outbox: a trigger makes a record of every change of a table.  All records of a
-- transaction are one append, and there is no table to empty.
--
SELECT create_topic('package_changes');
CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON package
    FOR EACH ROW EXECUTE FUNCTION produce_changes('package_changes', 'name');

\timing on
UPDATE package SET state = 'checked' WHERE state = 'installed';
\timing off
DELETE FROM package WHERE name = :'name';

SELECT record_offset, as_text(key) AS key, as_text(value) AS value
FROM fetch_records('package_changes', 0, end_offset('package_changes', 0) - 2);

--
-- A consumer group: anna and bert share the partitions, each in a session of its own.
-- What a consumer has done and how far it has read are committed together.
--
CREATE TABLE worked_off (n bigserial, consumer text, partition int, record_offset bigint);

CREATE PROCEDURE work_off(batch int) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        INSERT INTO worked_off (consumer, partition, record_offset)
        SELECT current_setting('application_name'), partition, record_offset
        FROM consume('packages', 'inventory', max_records => batch, max_wait => '1s');
        PERFORM pg_sleep(0.02);
        COMMIT;
    END LOOP;
END $$;

CREATE PROCEDURE wait_until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    is_true boolean;
    deadline timestamptz := clock_timestamp() + interval '1 min';
BEGIN
    LOOP
        EXECUTE condition INTO is_true;
        EXIT WHEN is_true;
        IF clock_timestamp() > deadline THEN
            RAISE 'waited in vain: %', condition;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;

SELECT count(*) / 60 + 1 AS batch FROM dpkg_log \gset
\setenv BATCH :batch
\setenv PGHOST :HOST
\setenv PGPORT :PORT
\setenv PGUSER :USER
\setenv PGDATABASE :DBNAME

-- both begin when this lock falls
SELECT pg_advisory_lock(1);
\! PGAPPNAME=anna psql -Xqc 'SELECT pg_advisory_lock_shared(1)' -c "CALL work_off($BATCH)" >/dev/null 2>&1 &
\! PGAPPNAME=bert psql -Xqc 'SELECT pg_advisory_lock_shared(1)' -c "CALL work_off($BATCH)" >/dev/null 2>&1 &
CALL wait_until($$ SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted $$);
SELECT pg_advisory_unlock(1);

CALL wait_until($$ SELECT count(DISTINCT consumer) = 2 AND count(*) > (SELECT count(*) / 3 FROM dpkg_log) FROM worked_off $$);
SELECT application, pid, assignment FROM group_members WHERE consumer_group = 'inventory' ORDER BY 1;
SELECT partition, committed_offset, end_offset, lag
FROM group_lag WHERE consumer_group = 'inventory' ORDER BY partition;

-- anna is killed in the middle of a transaction, which is undone
SELECT pid FROM group_members WHERE application = 'anna' \gset
SELECT pg_terminate_backend(:pid, 10000);

-- bert takes over, and goes on where she has committed last
CALL wait_until($$ SELECT sum(lag) = 0 FROM group_lag WHERE consumer_group = 'inventory' $$);
SELECT application, pid, assignment FROM group_members WHERE consumer_group = 'inventory';

SELECT partition, consumer, min(record_offset) AS first, max(record_offset) AS last, count(*) AS records
FROM worked_off GROUP BY partition, consumer ORDER BY partition, min(n);

-- each record was worked off, and none twice
SELECT count(*) AS worked_off, count(DISTINCT (partition, record_offset)) AS different,
       (SELECT sum(end_offset - start_offset) FROM partitions WHERE topic = 'packages') AS records
FROM worked_off;

SELECT pg_terminate_backend(pid, 10000) AS bert_is_sent_home FROM group_members WHERE application = 'bert';
