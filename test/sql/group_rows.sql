--
-- The rows of consumer groups and of committed offsets, made by hand here, as a restore
-- makes them: who owns a group when roles are given new names, give on what they own, or
-- are dropped; what goes with a topic.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_a;
CREATE ROLE regress_streamlog_b;
CREATE ROLE regress_streamlog_c;
INSERT INTO consumer_group
SELECT nextval('group_id_seq'), name, 'regress_streamlog_' || owner, now(), now()
FROM (VALUES ('of_a', 'a'), ('of_b', 'b'), ('of_c', 'c'), ('dumped', 'a'), ('left', 'a')) g (name, owner);
INSERT INTO local_group SELECT group_id, owner::text::regrole FROM consumer_group WHERE name LIKE 'of%';
-- whose owner, a role of that name, was dropped
INSERT INTO local_group SELECT group_id, 1 FROM consumer_group WHERE name = 'left';
CREATE VIEW owners AS SELECT g.name, g.owner AS name_of_owner, r.rolname AS owner
FROM consumer_group g LEFT JOIN local_group l USING (group_id) LEFT JOIN pg_roles r ON r.oid = l.owner;

-- ALTER ROLE .. RENAME, also for a group that came from a dump; not for one of a role
-- that had the name before.  Mutations: sl_owner_rename() leaves groups alone;
-- sl_group_rename_owner() goes by the name alone, by the role alone.
ALTER ROLE regress_streamlog_a RENAME TO regress_streamlog_d;
SELECT * FROM owners ORDER BY name;

-- REASSIGN OWNED.  Mutation: sl_role_reassign() leaves groups alone.
REASSIGN OWNED BY regress_streamlog_d, regress_streamlog_b TO regress_streamlog_c;
SELECT * FROM owners ORDER BY name;
REASSIGN OWNED BY regress_streamlog_c TO regress_streamlog_b;
SET ROLE regress_streamlog_d;
REASSIGN OWNED BY regress_streamlog_b TO regress_streamlog_d;
RESET ROLE;
SELECT * FROM owners ORDER BY name;

-- DROP OWNED leaves groups and their owners; DROP ROLE leaves them without one, and who
-- is given the name owns nothing, whatever he is called later
DROP OWNED BY regress_streamlog_b;
SELECT * FROM owners WHERE name = 'of_b';
DROP ROLE regress_streamlog_b;
CREATE ROLE regress_streamlog_b;
SELECT * FROM owners ORDER BY name;
ALTER ROLE regress_streamlog_b RENAME TO regress_streamlog_a;
REASSIGN OWNED BY regress_streamlog_a TO regress_streamlog_c;
SELECT * FROM owners ORDER BY name;

-- finish_restore() finds the owners of those that came from a dump, and of no others.
-- Mutation: it does so by the names of all groups.
SELECT * FROM finish_restore();
SELECT * FROM owners ORDER BY name;
INSERT INTO consumer_group VALUES (nextval('group_id_seq'), 'o''er', 'regress_streamlog_none', now(), now());
SELECT * FROM finish_restore();
CREATE ROLE regress_streamlog_none;
SELECT * FROM finish_restore();
SELECT * FROM owners ORDER BY name;

-- Offsets go with their topic, also where DELETE is refused for want of a replica
-- identity.  Mutations: sl_topic_delete() leaves them; they are deleted by DELETE.
SET client_min_messages = error;
CREATE PUBLICATION regress_streamlog_all FOR ALL TABLES;
BEGIN;
SELECT create_topic('passing'), create_topic('staying');
INSERT INTO committed_offset SELECT p, g, topic_id, p, 1, 1, 'm', NULL
FROM topics, generate_series(0, 2) p, generate_series(1, 2) g WHERE topic IN ('passing', 'staying');
SELECT drop_topic('passing');
COMMIT;
SELECT t.topic, o.group_id, o.partition FROM committed_offset o LEFT JOIN topics t USING (topic_id) ORDER BY 1, 2, 3;
DROP PUBLICATION regress_streamlog_all;

SET client_min_messages = warning;
DROP VIEW owners;
SELECT drop_topic('staying');
DROP EXTENSION streamlog CASCADE;
DROP ROLE regress_streamlog_a, regress_streamlog_c, regress_streamlog_d, regress_streamlog_none;
