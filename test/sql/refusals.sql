--
-- refusals: what is not possible is refused at the call, with its SQLSTATE, and
-- costs no offset
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
SELECT create_topic('refused');
SELECT produce('refused', 'k', 'v0');

--
-- PREPARE TRANSACTION, when something was produced
--
BEGIN;
SELECT produce('refused', 'k', 'lost');
PREPARE TRANSACTION 'streamlog';
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT produce('refused', 'k', 'lost');
SELECT record_offset FROM flush();
PREPARE TRANSACTION 'streamlog';
SELECT count(*) FROM pg_prepared_xacts;
-- also when that was undone
BEGIN;
SAVEPOINT a;
SELECT produce('refused', 'k', 'lost');
ROLLBACK TO a;
PREPARE TRANSACTION 'streamlog';
-- the flush has used an offset, nothing else has
SELECT produce('refused', 'k', 'v2');
-- when nothing was produced it is allowed, also when the log was read
CREATE TABLE business (id int);
BEGIN;
INSERT INTO business VALUES (1);
SELECT record_offset, as_text(value) FROM fetch_records('refused', 0, 0);
PREPARE TRANSACTION 'streamlog';
SELECT produce('refused', 'k', 'v3');
COMMIT PREPARED 'streamlog';
SELECT count(*) FROM business;
-- so is what makes and drops topics
BEGIN;
SELECT create_topic('prepared', 2);
PREPARE TRANSACTION 'streamlog';
SELECT produce('prepared', 'k', 'v');
COMMIT PREPARED 'streamlog';
SELECT produce('prepared', 'k', 'v', partition => 1);
BEGIN;
SELECT drop_topic('prepared');
PREPARE TRANSACTION 'streamlog';
ROLLBACK PREPARED 'streamlog';
SELECT produce('prepared', 'k', 'v', partition => 1);
BEGIN;
SELECT drop_topic('prepared');
PREPARE TRANSACTION 'streamlog';
COMMIT PREPARED 'streamlog';
SELECT produce('prepared', 'k', 'v', partition => 1);

--
-- Transactions that are read-only
--
BEGIN READ ONLY;
SELECT produce('refused', 'k', 'lost');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM produce_batch('refused', NULL, ARRAY['lost']);
ROLLBACK;
BEGIN READ ONLY;
SELECT record_offset, as_text(value) FROM fetch_records('refused', 0, 2);
SELECT end_offset('refused', 0), partition_for('refused', 'k');
SELECT records, problem FROM check_topic('refused');
COMMIT;
SET default_transaction_read_only = on;
SELECT produce('refused', 'k', 'lost');
RESET default_transaction_read_only;
-- a savepoint can be read-only; and what was produced before it becomes so stays
BEGIN;
SELECT produce('refused', 'k', 'v4');
SAVEPOINT a;
SET TRANSACTION READ ONLY;
SELECT produce('refused', 'k', 'lost');
ROLLBACK TO a;
SELECT produce('refused', 'k', 'v5');
SET TRANSACTION READ ONLY;
SAVEPOINT b;
SELECT * FROM flush();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO b;
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('refused', 0, 4);

--
-- What is in the table of a topic stays; see tables.sql for what is inserted
--
UPDATE topic.refused SET value = 'other';
\echo :LAST_ERROR_SQLSTATE
UPDATE topic.refused SET value = 'other' WHERE false;
DELETE FROM topic.refused;
\echo :LAST_ERROR_SQLSTATE
DELETE FROM topic.refused WHERE record_offset = 0;
WITH gone AS (DELETE FROM topic.refused RETURNING *) SELECT count(*) FROM gone;
MERGE INTO topic.refused t USING (VALUES (0)) s (o) ON t.record_offset = s.o
	WHEN MATCHED THEN DELETE;
TRUNCATE topic.refused;
\echo :LAST_ERROR_SQLSTATE
TRUNCATE ONLY topic.refused;
TRUNCATE business, topic.refused;
-- also where triggers do not fire as usual
SET session_replication_role = replica;
UPDATE topic.refused SET value = 'other';
DELETE FROM topic.refused;
TRUNCATE topic.refused;
SELECT produce('refused', 'k', 'v6');
SET session_replication_role = local;
UPDATE topic.refused SET value = 'other';
RESET session_replication_role;
-- it can be read
SELECT record_offset, as_text(value) FROM topic.refused ORDER BY 1;
COPY (SELECT record_offset, as_text(value) FROM topic.refused ORDER BY 1 LIMIT 1) TO STDOUT;

--
-- Security-restricted operations: a record would be produced with the rights of
-- whoever runs the maintenance
--
CREATE FUNCTION sneaky(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM streamlog.produce('refused', 'sneaky', id::text);
	RETURN id;
END $$;
\set VERBOSITY terse
CREATE INDEX sneaky_index ON business (sneaky(id));
\echo :LAST_ERROR_SQLSTATE
CREATE MATERIALIZED VIEW sneaky_view AS SELECT sneaky(id) FROM business;
CREATE MATERIALIZED VIEW sneaky_view AS SELECT sneaky(id) FROM business WITH NO DATA;
REFRESH MATERIALIZED VIEW sneaky_view;
\echo :LAST_ERROR_SQLSTATE
CREATE MATERIALIZED VIEW direct_view AS SELECT produce('refused', 'sneaky', '1') AS p WITH NO DATA;
REFRESH MATERIALIZED VIEW direct_view;
CREATE MATERIALIZED VIEW batch_view AS SELECT * FROM produce_batch('refused', NULL, ARRAY['sneaky']) WITH NO DATA;
REFRESH MATERIALIZED VIEW batch_view;
\set VERBOSITY default
DROP MATERIALIZED VIEW sneaky_view, direct_view, batch_view;
-- elsewhere the same function is allowed
SELECT sneaky(7);
-- and with nothing to index there is no call
TRUNCATE business;
CREATE INDEX sneaky_index ON business (sneaky(id));
INSERT INTO business VALUES (8);
SELECT record_offset, as_text(key), as_text(value) FROM fetch_records('refused', 0, 7);
\set VERBOSITY terse
ANALYZE business;
REINDEX INDEX sneaky_index;
\set VERBOSITY default
SELECT end_offset('refused', 0);
DROP TABLE business;
DROP FUNCTION sneaky;

--
-- Parallel workers, where a function is passed off as fit for them.  Mutation: do
-- not ask; a worker's records would be lost with it.
--
CREATE FUNCTION parallel_produce(id int) RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
	AS $$ SELECT streamlog.produce('refused', 'parallel', id::text) $$;
CREATE FUNCTION parallel_flush(id int) RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
	AS $$ SELECT count(*) FROM streamlog.flush() $$;
SET force_parallel_mode = on;
\set VERBOSITY terse
SELECT parallel_produce(1);
\echo :LAST_ERROR_SQLSTATE
SELECT parallel_flush(1);
\set VERBOSITY default
RESET force_parallel_mode;
DROP FUNCTION parallel_produce, parallel_flush;

--
-- Nulls where there has to be something
--
SELECT produce(NULL, 'k', 'v');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM produce_batch(NULL, NULL, ARRAY['v']);
SELECT * FROM produce_batch('refused', NULL, NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM produce_batch_bytes('refused', NULL, NULL);
SELECT partition_for(NULL, 'k');
SELECT create_topic(NULL);
SELECT create_topic('other', config => NULL);
SELECT create_topic('other', if_not_exists => NULL);
SELECT drop_topic('other', if_exists => NULL);
SELECT alter_topic(NULL, 2);
SELECT * FROM check_topic(NULL);
SELECT count(*) FROM topics;

--
-- Batches of the wrong shape
--
SELECT * FROM produce_batch('refused', ARRAY['k'], ARRAY['v', 'w']);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM produce_batch('refused', ARRAY['k', 'l'], ARRAY['v']);
SELECT * FROM produce_batch('refused', '{}', ARRAY['v']);
SELECT * FROM produce_batch('refused', NULL, ARRAY[['v', 'w'], ['x', 'y']]);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM produce_batch('refused', ARRAY[['k'], ['l']], ARRAY['v', 'w']);
SELECT * FROM produce_batch('refused', NULL, ARRAY['v', 'w'], partition => 1);
\echo :LAST_ERROR_SQLSTATE
-- one that is too large, after one that is not: none of them
SELECT alter_topic('refused', config => '{"max.message.bytes": 10}');
SELECT * FROM produce_batch('refused', NULL, ARRAY['v', repeat('w', 11)]);
\echo :LAST_ERROR_SQLSTATE
SELECT alter_topic('refused', config => '{"max.message.bytes": null}');
-- none at all is fine, and so are nulls in it
SELECT partition, record_offset FROM produce_batch('refused', NULL, '{}');
SELECT partition, record_offset FROM produce_batch('refused', ARRAY[NULL, 'k'], ARRAY['v', NULL]);
SELECT record_offset, as_text(key), as_text(value) FROM fetch_records('refused', 0, 9);

--
-- Without the privilege
--
CREATE ROLE regress_streamlog_nobody;
GRANT USAGE ON SCHEMA public TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
SELECT produce('refused', 'k', 'v');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM produce_batch('refused', NULL, ARRAY['v']);
SELECT * FROM fetch_records('refused', 0, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT end_offset('refused', 0);
SELECT start_offset('refused', 0);
SELECT offset_for_time('refused', 0, '2001-01-01');
SELECT partition_for('refused', 'k');
SELECT * FROM check_topic('refused');
SELECT create_topic('mine');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT alter_topic('refused', 2);
SELECT drop_topic('refused');
\set VERBOSITY default
SELECT * FROM topic.refused;
SELECT count(*) FROM topics;
SELECT count(*) FROM partitions;
RESET ROLE;
GRANT INSERT ON topic.refused TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
SELECT produce('refused', 'k', 'granted');
SELECT * FROM fetch_records('refused', 0, 0);
RESET ROLE;
-- taken back while records are pending: those that were accepted stay
BEGIN;
SET LOCAL ROLE regress_streamlog_nobody;
SELECT produce('refused', 'k', 'accepted');
RESET ROLE;
REVOKE INSERT ON topic.refused FROM regress_streamlog_nobody;
SET LOCAL ROLE regress_streamlog_nobody;
SAVEPOINT a;
SELECT produce('refused', 'k', 'no more');
ROLLBACK TO a;
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('refused', 0, 11);
REVOKE USAGE ON SCHEMA public FROM regress_streamlog_nobody;
DROP ROLE regress_streamlog_nobody;

SELECT records, problem FROM check_topic('refused');
SELECT drop_topic('refused');
