-- A transaction that has consumed, and then drops the extension
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION streamlog;
SELECT streamlog.create_topic('orders');
SELECT streamlog.produce('orders', NULL, 'a');

-- the offsets go with it (mutation: at_precommit() writes them all the same; then the
-- COMMIT fails for want of the table, or writes a row of a group that there is not)
BEGIN;
SELECT count(*) FROM streamlog.consume('orders', 'billing');
DROP EXTENSION streamlog CASCADE;
COMMIT;
CREATE EXTENSION streamlog;
SELECT streamlog.create_topic('orders');
SELECT streamlog.produce('orders', NULL, 'a');
BEGIN;
SELECT count(*) FROM streamlog.consume('orders', 'billing');
DROP EXTENSION streamlog CASCADE;
CREATE EXTENSION streamlog;
COMMIT;
SELECT count(*) FROM streamlog.committed_offset;

-- The new one begins to count groups and topics where the old one did, so what the
-- transaction has to do with the old ones would be taken for theirs (mutation: no
-- check in sl_offsets_enter(); then the COMMIT never ends).
SELECT streamlog.create_topic('orders');
SELECT streamlog.produce('orders', NULL, 'a');
BEGIN;
SELECT count(*) FROM streamlog.consume('orders', 'billing');
DROP EXTENSION streamlog CASCADE;
CREATE EXTENSION streamlog;
SELECT streamlog.create_topic('orders');
SELECT count(*) FROM streamlog.consume('orders', 'billing');
ROLLBACK;
SELECT count(*) FROM streamlog.consume('orders', 'billing');

-- in the next transaction they are others
DROP EXTENSION streamlog CASCADE;
CREATE EXTENSION streamlog;
SELECT streamlog.create_topic('orders');
SELECT streamlog.produce('orders', NULL, 'a');
SELECT count(*) FROM streamlog.consume('orders', 'billing');
SELECT count(*) FROM streamlog.consume('orders', 'billing');
SELECT next_offset FROM streamlog.committed_offset;
DROP EXTENSION streamlog CASCADE;
