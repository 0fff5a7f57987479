--
-- consume_rights: who may consume what.  SELECT on the topic and membership in the role
-- that owns the group are asked for at every call; what a stranger tries with another's
-- group changes nothing in it.
--
-- Mutations: check_user() remembers without a look at the role; topic_pattern matches all
-- topics.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_member IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_noinherit NOINHERIT IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_reader;
CREATE ROLE regress_streamlog_nobody;
GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC;

SELECT create_topic('open', 2);
SELECT create_topic('secret');
SELECT count(*) FROM produce_batch('open', NULL, (SELECT array_agg(i::text) FROM generate_series(0, 9) i), partition => 0);
SELECT produce('secret', NULL, 'x');
GRANT SELECT ON topic.open TO regress_streamlog_owner, regress_streamlog_reader;
GRANT SELECT ON topic.open TO regress_streamlog_noinherit;
-- who is a member of the owner, and may read everything
CREATE ROLE regress_streamlog_both IN ROLE regress_streamlog_owner;
GRANT SELECT ON topic.secret TO regress_streamlog_both;

SET ROLE regress_streamlog_owner;
SELECT as_text(value) FROM poll('open', 'it''s a "group"', max_records => 2, member_id => 'run-1', instance_id => 'place');
RESET ROLE;
CREATE VIEW state AS SELECT array_agg(m.member ORDER BY m.member COLLATE "C") FILTER (WHERE member !~ '^s-') AS members, array_agg(DISTINCT m.state) AS states,
	(SELECT array_agg((c.partition, c.next_offset, c.epoch, c.member, c.metadata)::text ORDER BY c.partition) FROM committed_offset c) AS offsets,
	(SELECT array_agg((g.name, g.owner)::text) FROM consumer_group g) AS groups
FROM group_members m;
SELECT * FROM state;

-- 'ok', or the SQLSTATE of a call; its transaction leaves nothing
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE 'SELECT count(*) FROM ' || call;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END;
	RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
EXCEPTION WHEN SQLSTATE 'UN001' THEN
	RETURN 'ok';
END $$;
CREATE FUNCTION definer(call text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, streamlog, public, pg_temp AS $$ BEGIN RETURN public.try(call); END $$;
ALTER FUNCTION definer OWNER TO regress_streamlog_owner;
CREATE TABLE calls (id int GENERATED ALWAYS AS IDENTITY, call text);
INSERT INTO calls (call) SELECT replace(c, 'G', quote_literal('it''s a "group"')) FROM unnest(ARRAY[
	'consume(''open'')', 'consume(''open'', G)', 'poll(''open'', G)', 'poll(''open'', G, member_id => ''run-1'')', 'poll(''open'', G, member_id => ''run-2'', instance_id => ''place'')',
	'consume(''secret'')', 'consume(''secret'', G)', 'consume(ARRAY[''open'', ''secret''], G)', 'consume(ARRAY[''open'', ''secret''])', 'consume(consumer_group => G, topic_pattern => ''^secret$'')',
	'consume(''open'', ''a new group'')', 'consume(''secret'', ''a new group'')',
	'commit_offsets(''open'', G)', 'commit_offsets(''open'', G, ''{0}'', ''{1}'', member_id => ''run-1'')', 'commit_offsets(''secret'', G)',
	'seek(''open'', to_offset => 0)', 'seek(''secret'', to_offset => 0)', 'seek(''open'', G, to_position => ''latest'', member_id => ''run-1'')', 'seek(''secret'', G, to_offset => 0)',
	'next_offset(''open'', NULL, 0)', 'next_offset(''open'', G, 0)', 'next_offset(''open'', G, 0, ''run-1'')', 'next_offset(''secret'', NULL, 0)', 'next_offset(''secret'', G, 0)',
	'committed_offsets(G)', 'committed_offsets(G, ''open'')', 'committed_offsets(G, ''secret'')',
	'reset_offsets(G, ''open'', to_position => ''latest'')', 'reset_offsets(G, ''open'', to_position => ''latest'', dry_run => false)', 'delete_offsets(G, ''open'')', 'delete_offsets(G, ''secret'')', 'delete_group(G)', 'alter_group(G, CURRENT_USER)',
	'leave(G)', 'leave(G, ''run-1'')', 'kick_member(G, ''run-1'')', 'kick_member(G, ''place'')']) WITH ORDINALITY u (c, n) ORDER BY n;
GRANT SELECT ON calls TO PUBLIC;
CREATE TABLE outcomes (who text, id int, outcome text);
CREATE PROCEDURE call_all(who text, role text, around text DEFAULT 'try') LANGUAGE plpgsql AS $$
DECLARE
	c calls;
	result text;
BEGIN
	FOR c IN SELECT * FROM public.calls ORDER BY id LOOP
		-- the owner has just made it
		SET LOCAL ROLE regress_streamlog_owner;
		PERFORM public.try('next_offset(''open'', ''it''''s a "group"'', 0)');
		EXECUTE format('SET LOCAL ROLE %I', role);
		EXECUTE format('SELECT public.%I($1)', around) INTO result USING c.call;
		RESET ROLE;
		INSERT INTO public.outcomes VALUES (who, c.id, result);
	END LOOP;
END $$;
CALL call_all('nobody', 'regress_streamlog_nobody');
CALL call_all('reader', 'regress_streamlog_reader');
CALL call_all('noinherit', 'regress_streamlog_noinherit');
-- nothing has come of it, but that the roles have read what they may
SELECT * FROM state;
CALL call_all('owner', 'regress_streamlog_owner');
CALL call_all('member', 'regress_streamlog_member');
CALL call_all('both', 'regress_streamlog_both');
CALL call_all('definer', 'regress_streamlog_nobody', 'definer');
CALL call_all('super', CURRENT_USER::text);
SELECT call, max(outcome) FILTER (WHERE who = 'nobody') AS nobody, max(outcome) FILTER (WHERE who = 'reader') AS reader, max(outcome) FILTER (WHERE who = 'noinherit') AS noinherit,
	max(outcome) FILTER (WHERE who = 'owner') AS owner, max(outcome) FILTER (WHERE who = 'member') AS member, max(outcome) FILTER (WHERE who = 'both') AS both,
	max(outcome) FILTER (WHERE who = 'definer') AS definer, max(outcome) FILTER (WHERE who = 'super') AS super
FROM calls JOIN outcomes USING (id) GROUP BY id, call ORDER BY id;
DISCARD ALL;
SET client_min_messages = warning;
SET search_path = public, streamlog;

-- what an error tells, and what the views show
\set VERBOSITY default
SET ROLE regress_streamlog_nobody;
SELECT * FROM consume('open', 'it''s a "group"');
SET ROLE regress_streamlog_reader;
SELECT * FROM consume('open', 'it''s a "group"');
SELECT * FROM leave('it''s a "group"', 'run-1');
SELECT * FROM committed_offsets('it''s a "group"');
SELECT consumer_group FROM consumer_groups;
SELECT consumer_group, member FROM group_members;
SELECT consumer_group, topic FROM group_lag;
SELECT * FROM streamlog.committed_offset;
SELECT * FROM streamlog.consumer_group;
SELECT * FROM member_states();
RESET ROLE;

-- a pattern matches what the role may read, and no more
SET ROLE regress_streamlog_both;
SELECT DISTINCT topic FROM consume(topic_pattern => '', consumer_group => 'patterns', max_records => 100) ORDER BY 1;
SELECT DISTINCT topic FROM poll(topic_pattern => '^(open|secret|nothing)$', consumer_group => 'patterns 2') ORDER BY 1;
SELECT leave('patterns'), leave('patterns 2');
RESET ROLE;
SET ROLE regress_streamlog_reader;
SELECT DISTINCT topic FROM poll(topic_pattern => '', consumer_group => 'patterns 3') ORDER BY 1;
SELECT topic, partition FROM committed_offsets('patterns 3');
SELECT leave('patterns 3');
RESET ROLE;

-- revoked between two calls, while records are in hand
SET ROLE regress_streamlog_reader;
SELECT as_text(value) FROM consume('open', 'mine', max_records => 2);
RESET ROLE;
REVOKE SELECT ON topic.open FROM regress_streamlog_reader;
SET ROLE regress_streamlog_reader;
SELECT as_text(value) FROM consume('open', 'mine', max_records => 2);
SELECT * FROM commit_offsets('open', 'mine');
SELECT * FROM commit_offsets('open', 'mine', '{0}', '{1}');
SELECT * FROM seek('open', 'mine', to_offset => 0);
SELECT next_offset('open', 'mine', 0);
SELECT * FROM committed_offsets('mine');
SELECT topic FROM group_lag WHERE consumer_group = 'mine';
SELECT assignment FROM group_members WHERE consumer_group = 'mine';
SELECT count(*) FROM consume(topic_pattern => 'open', consumer_group => 'mine');
RESET ROLE;
GRANT SELECT ON topic.open TO regress_streamlog_reader;
SET ROLE regress_streamlog_reader;
SELECT as_text(value) FROM consume('open', 'mine', max_records => 2);
SELECT topic, partition, next_offset FROM committed_offsets('mine') ORDER BY 2;
RESET ROLE;
-- and inside of a transaction, where the lock on the topic is held already
BEGIN;
SET LOCAL ROLE regress_streamlog_reader;
SELECT as_text(value) FROM consume('open', 'mine', max_records => 1);
RESET ROLE;
REVOKE SELECT ON topic.open FROM regress_streamlog_reader;
SET LOCAL ROLE regress_streamlog_reader;
SELECT as_text(value) FROM consume('open', 'mine', max_records => 1);
ROLLBACK;
-- membership, too
GRANT regress_streamlog_owner TO regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
SELECT next_offset('open', 'it''s a "group"', 0);
RESET ROLE;
REVOKE regress_streamlog_owner FROM regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
SELECT next_offset('open', 'it''s a "group"', 0);
RESET ROLE;

-- a session has one name in a group, whatever its role is
SET ROLE regress_streamlog_owner;
SELECT as_text(value) FROM consume('open', 'shared', max_records => 1);
SET ROLE regress_streamlog_member;
SELECT as_text(value) FROM consume('open', 'shared', max_records => 1);
SET ROLE regress_streamlog_nobody;
SELECT as_text(value) FROM consume('open', 'shared', max_records => 1);
SELECT leave('shared');
SET ROLE regress_streamlog_owner;
SELECT as_text(value) FROM consume('open', 'shared', max_records => 1);
SELECT partition, next_offset FROM committed_offsets('shared') ORDER BY 1;
RESET ROLE;

SELECT count(drop_topic(topic)) FROM topics;
DROP VIEW state;
DROP TABLE calls, outcomes;
DROP PROCEDURE call_all;
DROP FUNCTION try, definer;
REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
DROP EXTENSION streamlog CASCADE;
DROP ROLE regress_streamlog_member, regress_streamlog_noinherit, regress_streamlog_both, regress_streamlog_owner, regress_streamlog_reader, regress_streamlog_nobody;
