--
-- extension: dropping it with topics in it, and making it again
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

SELECT create_topic('leftover');
SELECT produce('leftover', 'k', 'v1');
SELECT produce('leftover', 'k', 'v2');

-- not while there are topics
\set VERBOSITY terse
DROP EXTENSION streamlog;
\set VERBOSITY default
SELECT end_offset('leftover', 0);

-- rolled back: everything goes on
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
ROLLBACK;
SELECT produce('leftover', 'k', 'v3');

SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
RESET client_min_messages;
SELECT nspname FROM pg_namespace WHERE nspname IN ('streamlog', 'topic', 'streamlog_segment') ORDER BY 1;
SELECT produce('leftover', 'k', 'v');

-- never in a schema of another's, who could put his tables where ours belong
CREATE SCHEMA streamlog;
CREATE EXTENSION streamlog;
CREATE EXTENSION streamlog SCHEMA streamlog;
DROP SCHEMA streamlog;

-- made again, in the same session: nothing of the old one is remembered,
-- although topics get the same ids
CREATE EXTENSION streamlog;
SELECT count(*) FROM topics;
SELECT produce('leftover', 'k', 'v');
SELECT create_topic('leftover');
SELECT topic_id FROM topics;
SELECT start_offset('leftover', 0), end_offset('leftover', 0);
SELECT produce('leftover', 'k', 'new');
SELECT record_offset, as_text(value) FROM fetch_records('leftover', 0, 0);

-- dropped in the transaction that has produced
BEGIN;
SELECT produce('leftover', 'k', 'never stored');
SET LOCAL client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
COMMIT;
CREATE EXTENSION streamlog;
SELECT count(*) FROM topics;

-- the functions may be called by everybody, our tables are nobody's
SELECT c.relname, c.relkind, c.relacl IS NOT NULL AS has_acl,
	has_table_privilege('public', c.oid, 'SELECT') AS public_reads
FROM pg_class c WHERE c.relnamespace = 'streamlog'::regnamespace AND c.relkind IN ('r', 'v', 'S')
ORDER BY 2, 1;

-- default privileges of whoever makes it give nobody a right to what is ours
-- Mutation: the last block of the script is left out.
SET client_min_messages = warning;
DROP EXTENSION streamlog CASCADE;
RESET client_min_messages;
CREATE ROLE regress_streamlog_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_streamlog_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_streamlog_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_streamlog_default;
CREATE EXTENSION streamlog;
SELECT relname FROM pg_class, aclexplode(relacl) a
WHERE relnamespace = 'streamlog'::regnamespace AND a.grantee = 'regress_streamlog_default'::regrole
UNION
SELECT nspname FROM pg_namespace, aclexplode(nspacl) a
WHERE nspname ~ '^(streamlog|topic)' AND a.grantee = 'regress_streamlog_default'::regrole;
SELECT create_topic('by_default');
SET ROLE regress_streamlog_default;
SELECT produce('by_default', 'k', 'v');
SELECT count(*) FROM topics;
UPDATE topics SET owner = 'me';
SELECT * FROM streamlog_segment.t1_p0_1;
CREATE TABLE topic.mine (a int);
RESET ROLE;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_streamlog_default;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM regress_streamlog_default;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM regress_streamlog_default;
SELECT drop_topic('by_default');
DROP OWNED BY regress_streamlog_default;
DROP ROLE regress_streamlog_default;
