-- Several members in one session, and in one transaction
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;

SELECT create_topic('shared');
SELECT count(*) FROM produce_batch('shared', NULL, ARRAY['a', 'b', 'c', 'd', 'e', 'f']);

-- What a member was handed and has not committed is for who comes after it, also in
-- the same transaction (mutant share-position: b begins where a has stopped).
BEGIN;
SELECT record_offset FROM poll('shared', 'left', member_id => 'a', max_records => 2);
SELECT leave('left', 'a');
SELECT record_offset FROM poll('shared', 'left', member_id => 'b', max_records => 2);
SELECT next_offset FROM commit_offsets('shared', 'left', partitions => '{0}', next_offsets => '{2}', member_id => 'b');
COMMIT;
SELECT partition, next_offset, member FROM committed_offsets('left');
BEGIN;
SELECT record_offset FROM poll('shared', 'replaced', member_id => 'a', instance_id => 'i', max_records => 2);
SELECT record_offset FROM poll('shared', 'replaced', member_id => 'b', instance_id => 'i', max_records => 2);
ROLLBACK;
-- but not what the transaction commits
BEGIN;
SELECT record_offset FROM consume('shared', 'done', member_id => 'a', max_records => 2);
SELECT leave('done', 'a');
SELECT record_offset FROM consume('shared', 'done', member_id => 'b', max_records => 2);
SELECT record_offset FROM consume('shared', 'done', member_id => 'b', max_records => 1);
COMMIT;
SELECT partition, next_offset, member FROM committed_offsets('done');
-- and what a function was handed is decided when another member comes
CREATE TABLE worked (record_offset bigint);
CREATE FUNCTION two(g text, works boolean) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
	IF works THEN
		INSERT INTO worked SELECT record_offset FROM consume('shared', g, max_records => 2);
	ELSE
		PERFORM FROM consume('shared', g, max_records => 2);
	END IF;
	PERFORM kick_member(g, member) FROM group_members m WHERE m.consumer_group = g;
	RETURN QUERY SELECT record_offset FROM poll('shared', g, member_id => 'b', max_records => 2);
END $$;
SELECT two('handed on', false);
SELECT two('worked on', true);
SELECT * FROM worked;
SELECT partition, next_offset, member FROM committed_offsets('handed on');
SELECT partition, next_offset, member FROM committed_offsets('worked on');

-- A commit of a member_id that is refused leaves alone what the session was handed
-- (remove the condition in refuse_commit(): nothing is committed then).
SELECT record_offset FROM poll('shared', 'mixed', max_records => 2);
SELECT commit_offsets('shared', 'mixed', partitions => '{0}', next_offsets => '{1}', member_id => 'x');
SELECT next_offset FROM commit_offsets('shared', 'mixed');

DROP TABLE worked;
DROP FUNCTION two;
DROP EXTENSION streamlog CASCADE;
