--
-- owner: a topic's owner changes; GRANT and REVOKE by the owner, by who holds a grant
-- option and by a superuser; REASSIGN OWNED, DROP OWNED, DROP ROLE, ALTER ROLE RENAME.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_a;
CREATE ROLE regress_streamlog_b;
CREATE ROLE regress_streamlog_c;
CREATE ROLE regress_streamlog_d;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_a, regress_streamlog_b;

-- Who holds what of a topic, and that PostgreSQL knows on which roles it depends.
CREATE FUNCTION acl(topic text) RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	WITH table_ AS (SELECT c.* FROM pg_class c WHERE c.oid = (SELECT relation FROM streamlog.topics t WHERE t.topic = $1)),
	items AS (
		SELECT 0 AS objsubid, '' AS name, relacl AS acl FROM table_
		UNION ALL SELECT attnum, attname || ': ', attacl FROM pg_attribute WHERE attrelid = (SELECT oid FROM table_) AND attacl IS NOT NULL),
	known AS (SELECT objsubid, refobjid FROM pg_shdepend WHERE objid = (SELECT oid FROM table_) AND classid = 'pg_class'::regclass AND deptype = 'a'),
	named AS (SELECT DISTINCT i.objsubid, m.role FROM items i, aclexplode(i.acl) x, LATERAL (VALUES (x.grantor), (x.grantee)) m (role)
		WHERE m.role NOT IN (0, 10) AND m.role <> (SELECT relowner FROM table_))
	SELECT (SELECT replace(owner, SESSION_USER, 'super') FROM streamlog.topics t WHERE t.topic = $1)
		|| (SELECT string_agg(' ' || name || replace(replace(acl::text, 'regress_streamlog_', ''), SESSION_USER, 'super'), '' ORDER BY objsubid) FROM items)
		|| CASE WHEN EXISTS (TABLE known EXCEPT TABLE named) OR EXISTS (TABLE named EXCEPT TABLE known)
			THEN ' but depends on ' || (SELECT string_agg(refobjid::regrole || '/' || objsubid, ' ') FROM known) ELSE '' END $$;
-- 'ok' or the error of a statement as a role; it leaves nothing
CREATE FUNCTION try(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	BEGIN
		EXECUTE format('SET LOCAL ROLE %I', 'regress_streamlog_' || role);
		EXECUTE statement;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_HINT;
		RETURN concat_ws(' ', SQLSTATE, SQLERRM, detail);
	END;
	RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
EXCEPTION WHEN SQLSTATE 'UN001' THEN
	RETURN 'ok';
END $$;

--
-- alter_topic(owner): who may, and to whom
--
SET ROLE regress_streamlog_a;
SELECT create_topic('t', 2);
RESET ROLE;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_b'')') AS not_member;
SELECT try('c', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_c'')') AS not_owner;
SELECT try('b', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_b'')') AS not_owner;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_nobody'')') AS no_role;
SELECT try('a', 'SELECT alter_topic(''t'', owner => '''')') AS no_role;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''public'')') AS no_role;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''a"b; DROP TABLE x'')') AS no_role;
SELECT try('a', 'SELECT alter_topic(''nothing'', owner => ''regress_streamlog_b'')') AS no_topic;
GRANT regress_streamlog_b, regress_streamlog_c TO regress_streamlog_a;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_c'')') AS no_create;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_a'')') AS same;
SELECT try('a', 'SELECT alter_topic(''t'', owner => NULL)') AS same;
SELECT try('a', 'SELECT alter_topic(''t'', owner => ''regress_streamlog_b'')') AS member;
REVOKE regress_streamlog_b, regress_streamlog_c FROM regress_streamlog_a;
SELECT acl('t');

--
-- What is granted stays, and is the new owner's.  Mutations: sl_owner_change() leaves
-- the ACL, or the columns', or pg_shdepend as it is; keeps what others had granted to
-- the new owner; does not make the table owner's grants the new owner's.
--
SET ROLE regress_streamlog_a;
GRANT SELECT, INSERT ON topic.t TO regress_streamlog_c WITH GRANT OPTION;
GRANT SELECT (value) ON topic.t TO regress_streamlog_b, regress_streamlog_d;
GRANT SELECT ON topic.t TO PUBLIC;
SET ROLE regress_streamlog_c;
GRANT SELECT ON topic.t TO regress_streamlog_d;
GRANT INSERT ON topic.t TO regress_streamlog_b;
GRANT INSERT (key) ON topic.t TO regress_streamlog_d;
RESET ROLE;
SELECT acl('t');
BEGIN;
SELECT alter_topic('t', 3, config => '{"max.message.bytes": 1000}', owner => 'regress_streamlog_b');
SELECT acl('t');
SAVEPOINT s;
SELECT alter_topic('t', owner => 'regress_streamlog_d');
SELECT acl('t');
ROLLBACK TO s;
SELECT acl('t');
ROLLBACK;
SELECT acl('t');
SELECT alter_topic('t', 3, owner => 'regress_streamlog_b');
SELECT acl('t');
SELECT r AS role, try(r, 'SELECT produce(''t'', ''k'', ''v'')') AS produce, try(r, 'SELECT fetch_records(''t'', 0, 0)') AS fetch,
	try(r, 'SELECT alter_topic(''t'', 9)') AS alter, try(r, 'SELECT drop_topic(''t'')') AS drop
FROM unnest(ARRAY['a', 'b', 'c', 'd']) r;
-- the new owner revokes what the old one granted, and whole chains
SET ROLE regress_streamlog_b;
REVOKE SELECT ON topic.t FROM PUBLIC;
REVOKE SELECT (value) ON topic.t FROM regress_streamlog_d;
REVOKE SELECT, INSERT ON topic.t FROM regress_streamlog_c;
REVOKE SELECT, INSERT ON topic.t FROM regress_streamlog_c CASCADE;
RESET ROLE;
SELECT acl('t');
SELECT r AS role, try(r, 'SELECT produce(''t'', ''k'', ''v'')') AS produce, try(r, 'SELECT fetch_records(''t'', 0, 0)') AS fetch
FROM unnest(ARRAY['a', 'b', 'c', 'd']) r;
-- who was given what and gives it back is no circle that nobody can cut
SET ROLE regress_streamlog_b;
GRANT SELECT, INSERT ON topic.t TO regress_streamlog_c WITH GRANT OPTION;
SET ROLE regress_streamlog_c;
GRANT SELECT, INSERT ON topic.t TO regress_streamlog_a WITH GRANT OPTION;
RESET ROLE;
SELECT alter_topic('t', owner => 'regress_streamlog_a');
SELECT acl('t');
REVOKE ALL ON topic.t FROM regress_streamlog_a CASCADE;
SELECT acl('t');
-- he lost what made him the owner; the superuser makes him, or another, one again
SELECT try('a', 'SELECT drop_topic(''t'')');
SELECT alter_topic('t', owner => 'regress_streamlog_a');
SELECT try('a', 'SELECT drop_topic(''t'')'), acl('t');

--
-- A superuser's grants are the owner's, and he revokes the owner's.  Mutation:
-- sl_role_granted() does nothing.
--
GRANT SELECT, INSERT ON topic.t TO regress_streamlog_c WITH GRANT OPTION;
GRANT SELECT (key), INSERT (key) ON topic.t TO PUBLIC;
SELECT acl('t');
SET ROLE regress_streamlog_a;
REVOKE INSERT ON topic.t FROM regress_streamlog_c;
GRANT INSERT ON topic.t TO regress_streamlog_d WITH GRANT OPTION;
SET ROLE regress_streamlog_d;
GRANT INSERT ON topic.t TO regress_streamlog_c;
RESET ROLE;
SELECT acl('t');
REVOKE INSERT ON topic.t FROM regress_streamlog_d;
REVOKE GRANT OPTION FOR INSERT ON topic.t FROM regress_streamlog_d CASCADE;
SELECT acl('t');
REVOKE ALL ON topic.t FROM PUBLIC, regress_streamlog_c, regress_streamlog_d;
SELECT acl('t');
SELECT create_topic('of_super');
GRANT SELECT ON ALL TABLES IN SCHEMA topic TO regress_streamlog_c;
SELECT acl('t'), acl('of_super');
SET ROLE regress_streamlog_a;
GRANT INSERT ON topic.t TO CURRENT_USER, regress_streamlog_c;
RESET ROLE;
REVOKE ALL ON ALL TABLES IN SCHEMA topic FROM CURRENT_USER, regress_streamlog_c;
GRANT ALL ON topic.t, topic.of_super TO CURRENT_USER;
SELECT acl('t');
-- no more than a topic has: who had TRIGGER could put code into another's INSERT.
-- Mutation: change_acl() leaves other rights.
GRANT ALL ON topic.t, topic.of_super TO regress_streamlog_c;
GRANT TRIGGER, SELECT, UPDATE (key) ON topic.t, topic.of_super TO regress_streamlog_d WITH GRANT OPTION;
SELECT acl('t'), acl('of_super');
REVOKE ALL ON topic.t, topic.of_super FROM regress_streamlog_c, regress_streamlog_d;
SELECT acl('t'), acl('of_super');
-- nor by default.  Mutation: create_topic() grants to the owner and leaves the rest.
ALTER DEFAULT PRIVILEGES IN SCHEMA topic GRANT ALL ON TABLES TO regress_streamlog_c;
SET ROLE regress_streamlog_a;
SELECT create_topic('by_default');
SELECT acl('by_default');
REVOKE SELECT ON topic.by_default FROM regress_streamlog_c;
SELECT acl('by_default');
SELECT drop_topic('by_default');
RESET ROLE;
ALTER DEFAULT PRIVILEGES IN SCHEMA topic REVOKE ALL ON TABLES FROM regress_streamlog_c;
-- a superuser's topic given away, and back
GRANT SELECT ON topic.of_super TO regress_streamlog_c WITH GRANT OPTION;
GRANT INSERT ON topic.of_super TO regress_streamlog_d;
SELECT acl('of_super');
SELECT alter_topic('of_super', owner => 'regress_streamlog_b');
SELECT acl('of_super');
SET ROLE regress_streamlog_b;
REVOKE ALL ON topic.of_super FROM regress_streamlog_d;
RESET ROLE;
SELECT alter_topic('of_super', owner => SESSION_USER);
SELECT acl('of_super');
SELECT try('b', 'SELECT drop_topic(''of_super'')');
SELECT drop_topic('of_super');

--
-- REASSIGN OWNED: by who may, and not what the role has lost.  Mutation: the hook does
-- not call sl_role_reassign().
--
SET ROLE regress_streamlog_a;
SELECT create_topic('second');
GRANT SELECT ON topic.second TO regress_streamlog_c;
SELECT create_topic('lost');
RESET ROLE;
REVOKE ALL ON topic.lost FROM regress_streamlog_a CASCADE;
SELECT try('a', 'REASSIGN OWNED BY regress_streamlog_a TO regress_streamlog_b');
SELECT acl('t'), acl('second'), acl('lost');
BEGIN;
REASSIGN OWNED BY regress_streamlog_a TO regress_streamlog_b;
SELECT acl('t'), acl('second'), acl('lost');
SELECT try('b', 'SELECT drop_topic(''second'')');
ROLLBACK;
SELECT acl('t'), acl('second'), acl('lost');
GRANT regress_streamlog_b TO regress_streamlog_a;
SET ROLE regress_streamlog_a;
REASSIGN OWNED BY CURRENT_USER TO regress_streamlog_b;
RESET ROLE;
REVOKE regress_streamlog_b FROM regress_streamlog_a;
SELECT acl('t'), acl('second'), acl('lost');
-- to a role that could not create one: PostgreSQL does not ask for that either
REASSIGN OWNED BY regress_streamlog_b, regress_streamlog_a TO regress_streamlog_d;
SELECT acl('t'), acl('second');
REASSIGN OWNED BY regress_streamlog_d TO regress_streamlog_nobody;
REASSIGN OWNED BY regress_streamlog_d TO regress_streamlog_a;

--
-- ALTER ROLE .. RENAME.  Mutation: the hook does not call sl_role_renamed().
--
BEGIN;
ALTER ROLE regress_streamlog_a RENAME TO regress_streamlog_e;
SELECT acl('t'), acl('second');
SELECT try('e', 'SELECT alter_topic(''t'', 9)');
ROLLBACK;
SELECT try('a', 'SELECT alter_topic(''t'', 9)');
ALTER ROLE regress_streamlog_a RENAME TO regress_streamlog_e;
-- another one with the old name owns nothing
CREATE ROLE regress_streamlog_a;
SELECT try('a', 'SELECT alter_topic(''t'', 9)'), try('e', 'SELECT alter_topic(''t'', 9)');
DROP ROLE regress_streamlog_a;
ALTER ROLE regress_streamlog_e RENAME TO regress_streamlog_c;
SELECT try('b', 'ALTER ROLE regress_streamlog_e RENAME TO regress_streamlog_a');
SELECT acl('t');
ALTER ROLE regress_streamlog_e RENAME TO regress_streamlog_a;

--
-- DROP ROLE and DROP OWNED.  Mutation: the hook does not call sl_role_dropped_owned().
--
SET ROLE regress_streamlog_a;
GRANT SELECT ON topic.t TO regress_streamlog_c WITH GRANT OPTION;
GRANT INSERT (key) ON topic.t TO regress_streamlog_c;
SET ROLE regress_streamlog_c;
GRANT SELECT ON topic.t TO regress_streamlog_d;
GRANT SELECT (value) ON topic.t TO regress_streamlog_d;
SET ROLE regress_streamlog_a;
SELECT produce('t', 'k', 'v', partition => 0);
RESET ROLE;
SELECT drop_topic('lost');
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_a, regress_streamlog_b;
DROP ROLE regress_streamlog_a;
DROP ROLE regress_streamlog_c;
BEGIN;
SELECT acl('t'), acl('second');
DROP OWNED BY regress_streamlog_c;
SELECT acl('t'), acl('second');
DROP ROLE regress_streamlog_c;
ROLLBACK;
SELECT try('b', 'DROP OWNED BY regress_streamlog_c');
-- the topic stays, with nobody's rights on it
DROP OWNED BY regress_streamlog_a;
DROP ROLE regress_streamlog_a;
SELECT acl('t');
CREATE ROLE regress_streamlog_a;
SELECT try('a', 'SELECT drop_topic(''t'')'), try('a', 'SELECT produce(''t'', ''k'', ''v'')'), try('c', 'SELECT fetch_records(''t'', 0, 0)');
SELECT end_offset('t', 0);
-- for a role that is gone, too
DROP ROLE regress_streamlog_a;
SELECT alter_topic('t', owner => 'regress_streamlog_b');
SELECT try('b', 'SELECT drop_topic(''t'')'), acl('t');

--
-- Names of roles that would be something else without quotes
--
CREATE ROLE "regress_streamlog_a""b'; DROP ROLE regress_streamlog_c; --";
CREATE ROLE "regress_streamlog_ PUBLIC";
CREATE ROLE "PUBLIC";
CREATE ROLE "Current_User";
CREATE ROLE "user";
CREATE ROLE "group";
DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY ARRAY['regress_streamlog_a"b''; DROP ROLE regress_streamlog_c; --', 'regress_streamlog_ PUBLIC', 'PUBLIC', 'Current_User', 'user', 'group'] LOOP
		PERFORM alter_topic('t', owner => r);
		RAISE INFO '%', acl('t');
		EXECUTE format('GRANT CREATE ON SCHEMA topic TO %I', r);
		EXECUTE format('SET LOCAL ROLE %I', r);
		PERFORM produce('t', 'k', 'v', partition => 0), create_topic('theirs');
		PERFORM alter_topic('theirs', 2, owner => r);
		EXECUTE 'GRANT SELECT ON topic.theirs TO regress_streamlog_c';
		RESET ROLE;
		EXECUTE 'REVOKE SELECT ON topic.theirs FROM regress_streamlog_c';
		RAISE INFO '%', acl('theirs');
		EXECUTE format('REASSIGN OWNED BY %I TO regress_streamlog_b', r);
		EXECUTE format('SET LOCAL ROLE %I', r);
		BEGIN
			PERFORM produce('theirs', 'k', 'v');
		EXCEPTION WHEN insufficient_privilege THEN
			GET STACKED DIAGNOSTICS r = PG_EXCEPTION_HINT;
			RAISE INFO '%', r;
		END;
		RESET ROLE;
		PERFORM drop_topic('theirs');
	END LOOP;
END $$;
SELECT count(*) FROM pg_roles WHERE rolname = 'regress_streamlog_c';
-- a topic that was in use keeps no grant when it is dropped
GRANT SELECT, INSERT ON topic.t TO "regress_streamlog_a""b'; DROP ROLE regress_streamlog_c; --", "regress_streamlog_ PUBLIC", "PUBLIC", "Current_User", "user", "group", PUBLIC;
SELECT acl('t');
SELECT drop_topic('t');
SELECT count(drop_topic(topic)) AS dropped FROM topics;
REVOKE CREATE ON SCHEMA topic FROM "regress_streamlog_a""b'; DROP ROLE regress_streamlog_c; --", "regress_streamlog_ PUBLIC", "PUBLIC", "Current_User", "user", "group";
DROP ROLE "regress_streamlog_a""b'; DROP ROLE regress_streamlog_c; --", "regress_streamlog_ PUBLIC", "PUBLIC", "Current_User", "user", "group";
DROP FUNCTION acl, try;
DROP ROLE regress_streamlog_b, regress_streamlog_c, regress_streamlog_d;

--
-- Another database, where the extension belongs to a role that can be given a name,
-- and be rid of what it owns.  A name given elsewhere leaves a topic without an owner.
--
CREATE ROLE regress_streamlog_a;
CREATE ROLE regress_streamlog_b;
CREATE ROLE regress_streamlog_c;
CREATE ROLE regress_streamlog_x SUPERUSER;
CREATE ROLE regress_streamlog_y SUPERUSER;
CREATE DATABASE regress_streamlog_owner;
SELECT current_database() AS here \gset
\c regress_streamlog_owner
SET client_min_messages = warning;
SET ROLE regress_streamlog_x;
CREATE EXTENSION streamlog;
SET search_path = streamlog;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_a;
SELECT create_topic('of_x');
GRANT SELECT ON topic.of_x TO regress_streamlog_b;
SET ROLE regress_streamlog_a;
SELECT create_topic('of_a');
GRANT SELECT ON topic.of_a TO regress_streamlog_b;
RESET ROLE;
CREATE VIEW public.rights AS SELECT topic, owner, relowner::regrole AS table_owner, replace(relacl::text, 'regress_streamlog_', '') AS acl
FROM topics JOIN pg_class c ON c.oid = relation;
GRANT SELECT ON public.rights TO PUBLIC;
REASSIGN OWNED BY regress_streamlog_x TO regress_streamlog_y;
SELECT * FROM public.rights ORDER BY topic;
SET ROLE regress_streamlog_a;
SELECT produce('of_a', 'k', 'v', partition => 0), alter_topic('of_a', 2);
RESET ROLE;
SELECT produce('of_x', 'k', 'v'), alter_topic('of_x', 2, owner => 'regress_streamlog_a');
-- its owner need not be a superuser
ALTER ROLE regress_streamlog_y NOSUPERUSER;
SET ROLE regress_streamlog_y;
GRANT ALL ON topic.of_x TO regress_streamlog_c;
REVOKE SELECT ON topic.of_a FROM regress_streamlog_b;
SELECT alter_topic('of_x', owner => 'regress_streamlog_y');
SELECT alter_topic('of_a', owner => 'regress_streamlog_b');
SELECT * FROM public.rights ORDER BY topic;
\c :here
ALTER ROLE regress_streamlog_a RENAME TO regress_streamlog_d;
\c regress_streamlog_owner
SET search_path = streamlog;
SET ROLE regress_streamlog_d;
SELECT produce('of_a', 'k', 'v', partition => 0);
SELECT drop_topic('of_a');
RESET ROLE;
SELECT alter_topic('of_a', owner => 'regress_streamlog_d');
SELECT * FROM public.rights ORDER BY topic;
SET ROLE regress_streamlog_d;
SELECT drop_topic('of_a');
RESET ROLE;
\c :here
DROP DATABASE regress_streamlog_owner;
DROP ROLE regress_streamlog_b, regress_streamlog_c, regress_streamlog_d, regress_streamlog_x, regress_streamlog_y;
