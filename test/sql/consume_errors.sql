--
-- consume_errors: what the calls of a consumer refuse, with its SQLSTATE, and that a call
-- which was refused has changed nothing.  On a standby: t/060_standby.pl.
--
-- Mutations: commit_offsets() makes its caller a member; a refused commit for a member_id
-- drops the batch of the session; leave() is allowed everywhere.
--
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;

SELECT create_topic('errors', 2);
SELECT create_topic('one');
SELECT count(*) FROM produce_batch('errors', NULL, (SELECT array_agg(i::text) FROM generate_series(0, 9) i), partition => 0);
SELECT produce('one', NULL, 'x');

-- 'ok', or the error of a statement, all of it; what it did is kept
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	-- the names of sessions are random
	RETURN SQLSTATE || ': ' || regexp_replace(concat_ws(E'\n\t', message, nullif(detail, ''), nullif(hint, '')), '"s-[a-z2-7]{13}"', '"s-..."', 'g');
END $$;
CREATE PROCEDURE try_all(VARIADIC statements text[]) LANGUAGE plpgsql AS $$
DECLARE
	statement text;
BEGIN
	FOREACH statement IN ARRAY statements LOOP
		RAISE INFO '%', statement || E'\n\t' || public.try('SELECT * FROM ' || statement);
		ROLLBACK;
	END LOOP;
END $$;

--
-- Arguments of consume() and poll()
--
CALL try_all('consume()', 'consume(NULL)', 'consume(NULL::text[], ''g'')', 'consume(''errors'', topic_pattern => ''.'')', 'consume(''no_such'')', 'consume('''')', 'consume(ARRAY[]::text[])',
	'consume(ARRAY[''errors'', NULL])', 'consume(ARRAY[''errors'', ''no_such''])', 'consume(repeat(''x'', 10000))', 'consume(topic_pattern => ''('')', 'consume(topic_pattern => ''nothing_like_it'')',
	'consume(ARRAY[[''errors'', ''one''], [''errors'', ''one'']], auto_offset_reset => ''earliest'')',
	'consume(''errors'', max_records => NULL)', 'consume(''errors'', max_records => -1)', 'consume(''errors'', max_records => 0)', 'consume(''errors'', max_bytes => NULL)', 'consume(''errors'', max_bytes => -1)', 'consume(''errors'', max_bytes => 0)',
	'consume(''errors'', max_wait => ''-1 ms'')', 'consume(''errors'', max_wait => ''-178000000 years'')', 'consume(''errors'', max_wait => NULL)', 'consume(''errors'', max_wait => ''1 month -30 days'')',
	'consume(''errors'', partitions => ''{}'')', 'consume(''errors'', partitions => ''{2}'')', 'consume(''errors'', partitions => ''{-1}'')', 'consume(''errors'', partitions => ''{0,NULL}'')', 'consume(''errors'', partitions => ''{{0},{1}}'')',
	'consume(''errors'', partitions => ''{0,0,1}'')', 'consume(ARRAY[''errors'', ''one''], partitions => ''{1}'')', 'consume(ARRAY[''errors'', ''one''], partitions => ''{2}'')', 'consume(''errors'', partitions => ''[5:6]={0,1}'')',
	'consume(''errors'', auto_offset_reset => ''newest'')', 'consume(''errors'', auto_offset_reset => '''')', 'consume(''errors'', auto_offset_reset => ''none'')', 'consume(''errors'', ''g'', auto_offset_reset => ''none'')');
-- a group, a member
CALL try_all('consume(''errors'', '''')', 'consume(''errors'', repeat(''g'', 256))', 'consume(''errors'', E''a\tb'')', 'consume(''errors'', E''\x7f'')', 'consume(''errors'', repeat(''g'', 255))', 'consume(''errors'', ''ü "quoted"; --'')',
	'consume(''errors'', member_id => ''m'')', 'consume(''errors'', instance_id => ''i'')', 'consume(''errors'', assignor => ''range'')',
	'consume(''errors'', ''g'', member_id => '''')', 'consume(''errors'', ''g'', member_id => repeat(''m'', 256))', 'consume(''errors'', ''g'', member_id => ''s-'')', 'consume(''errors'', ''g'', member_id => ''s-abc'')', 'consume(''errors'', ''g'', member_id => ''S-abc'')',
	'consume(''errors'', ''g'', instance_id => '''')', 'consume(''errors'', ''g'', instance_id => repeat(''i'', 256))',
	'consume(''errors'', ''g'', assignor => ''best'')', 'consume(''errors'', ''g'', assignor => '''')', 'consume(''errors'', ''g'', assignor => ''RANGE'')',
	'consume(''errors'', ''g'', max_poll_interval => ''0'')', 'consume(''errors'', ''g'', max_poll_interval => ''-1 s'')', 'consume(''errors'', ''g'', max_poll_interval => ''1 day'')', 'consume(''errors'', ''g'', max_poll_interval => ''178000000 years'')',
	'poll(''errors'')', 'poll(''errors'', NULL)', 'poll(NULL, ''g'')', 'poll(''no_such'', ''g'')', 'poll(''errors'', ''g'', max_records => -1)');
SELECT name FROM streamlog.consumer_group ORDER BY 1;

--
-- The others
--
CALL try_all('commit_offsets(''errors'')', 'commit_offsets(NULL, ''g'')', 'commit_offsets(''errors'', NULL)', 'commit_offsets(''errors'', ''no_such_group'')', 'commit_offsets(''no_such'', ''g'')', 'commit_offsets(''errors'', '''')',
	'commit_offsets(''errors'', ''g'')', 'seek(''errors'')', 'seek(''errors'', to_offset => 0, to_position => ''earliest'')', 'seek(''errors'', to_offset => 0, to_time => now(), to_position => ''earliest'')', 'seek(''errors'', to_position => ''middle'')',
	'seek(NULL, to_offset => 0)', 'seek(''no_such'', to_offset => 0)', 'seek(''errors'', partition => 2, to_offset => 0)', 'seek(''errors'', partition => -1, to_offset => 0)', 'seek(''errors'', to_offset => 1)', 'seek(''errors'', partition => 0, to_offset => -1)',
	'seek(''errors'', partition => 0, to_offset => 11)', 'seek(''errors'', partition => 0, to_offset => 9223372036854775807)', 'seek(''errors'', partition => 0, to_offset => 10)', 'seek(''errors'', to_time => ''infinity'')', 'seek(''errors'', to_time => ''-infinity'')',
	'seek(''errors'', member_id => ''m'', to_offset => 0)', 'seek(''errors'', ''g'', to_offset => 0)', 'seek(''errors'', ''g'', 0, to_offset => 0)', 'seek(''errors'', ''no_such_group'', to_offset => 0)',
	'next_offset(NULL, NULL, 0)', 'next_offset(''errors'', NULL, NULL)', 'next_offset(''errors'', NULL, 2)', 'next_offset(''errors'', ''g'', -1)', 'next_offset(''errors'', ''no_such_group'', 0)', 'next_offset(''no_such'', ''g'', 0)', 'next_offset(''errors'', ''g'', 0, ''s-abc'')', 'next_offset(''errors'', NULL, 0, ''m'')',
	'leave(NULL)', 'leave(''no_such_group'')', 'leave('''')', 'leave(''g'', '''')', 'leave(''g'', ''s-abc'')', 'leave(''g'', ''nobody'')', 'leave(''g'', repeat(''m'', 1000))');

--
-- commit_offsets(): what was handed out, and what was given
--
SELECT count(*) FROM poll('errors', 'g', max_records => 4);
CALL try_all('commit_offsets(''errors'', ''g'', next_offsets => ''{1}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{1,2}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0,1}'', next_offsets => ''{{1,0}}'')',
	'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{NULL}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0,0}'', next_offsets => ''{1,2}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{2}'', next_offsets => ''{1}'')',
	'commit_offsets(ARRAY[''errors'', ''one''], ''g'', partitions => ''{0}'', next_offsets => ''{1}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{-1}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{11}'')',
	'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{9223372036854775807}'')', 'commit_offsets(''errors'', ''g'', partitions => ''{}'', next_offsets => ''{}'')',
	'commit_offsets(''errors'', ''g'', metadata => repeat(''x'', 4097))', 'commit_offsets(''errors'', ''g'', metadata => repeat(''ü'', 2049))', 'commit_offsets(''errors'', ''g'', member_id => ''m'')',
	'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{1}'', member_id => ''m'')', 'commit_offsets(''errors'', ''g'', partitions => ''{0}'', next_offsets => ''{1}'', member_id => ''s-m'')', 'commit_offsets(topic_pattern => ''^err'', consumer_group => ''g'', partitions => ''{0}'', next_offsets => ''{1}'')');
-- none of it has changed what is still to be committed, or made a member
SELECT member ~ '^s-' AS is_session, assignment FROM group_members WHERE consumer_group = 'g';
SELECT * FROM commit_offsets('errors', 'g', metadata => repeat('x', 4096));
SELECT partition, next_offset, length(metadata) FROM committed_offset ORDER BY 1;
SELECT * FROM commit_offsets('errors', 'g', partitions => '{0}', next_offsets => '{3}', metadata => '');
SELECT * FROM commit_offsets('errors', 'g', partitions => '{1,0}', next_offsets => '{0,4}', metadata => NULL);
SELECT partition, next_offset, metadata FROM committed_offset ORDER BY 1;
-- consume() where poll() has handed out
SELECT as_text(value) FROM poll('errors', 'g', max_records => 2);
CALL try_all('consume(''errors'', ''g'')', 'consume(''errors'', ''g'', partitions => ''{0}'')', 'consume(''errors'', ''g'', partitions => ''{1}'')');
SELECT as_text(value) FROM consume('errors', 'g');
SELECT * FROM commit_offsets('errors', 'g');
SELECT as_text(value) FROM consume('errors', 'g', max_records => 1);
-- who was handed nothing: no member, a member of another's partition, and of its own
SELECT count(*) FROM poll('one', 'another', member_id => 'owner');
CALL try_all('commit_offsets(''one'', ''another'')', 'commit_offsets(''one'', ''another'', ''{0}'', ''{1}'')', 'commit_offsets(''one'', ''another'', ''{0}'', ''{1}'', member_id => ''stranger'')', 'commit_offsets(''one'', ''another'', ''{0}'', ''{1}'', member_id => ''owner'')');
SELECT count(*) FROM poll('one', 'another', member_id => 'second');
CALL try_all('commit_offsets(''one'', ''another'', ''{0}'', ''{1}'', member_id => ''second'')', 'seek(''one'', ''another'', 0, 0, member_id => ''second'')', 'seek(''one'', ''another'', to_offset => 0, member_id => ''second'')');
SELECT count(*) FROM consume('one', 'fresh', max_records => 0);
CALL try_all('commit_offsets(''one'', ''fresh'')', 'commit_offsets(''one'', ''fresh'', ''{0}'', ''{1}'')');
-- another assignor, another run
SELECT count(*) FROM poll('one', 'assigned', member_id => 'a', instance_id => 'place', assignor => 'range');
CALL try_all('poll(''one'', ''assigned'', member_id => ''b'', assignor => ''sticky'')', 'poll(''one'', ''assigned'', member_id => ''b'', assignor => ''range'')');
SELECT count(*) FROM poll('one', 'assigned', member_id => 'c', instance_id => 'place');
CALL try_all('poll(''one'', ''assigned'', member_id => ''a'', instance_id => ''place'')', 'poll(''one'', ''assigned'', member_id => ''a'')', 'commit_offsets(''one'', ''assigned'', ''{0}'', ''{1}'', member_id => ''a'')', 'seek(''one'', ''assigned'', 0, 0, member_id => ''a'')');
SELECT leave('assigned', 'a'), leave('assigned', 'b'), leave('assigned', 'c'), leave('assigned', 'c');

--
-- Where nothing can be changed
--
BEGIN READ ONLY;
SELECT try('SELECT * FROM consume(''errors'', ''g'')'), try('SELECT * FROM consume(''errors'')');
SELECT try('SELECT * FROM poll(''errors'', ''g'')'), try('SELECT * FROM commit_offsets(''errors'', ''g'')');
SELECT try('SELECT * FROM seek(''errors'', to_position => ''latest'')'), try('SELECT next_offset(''errors'', ''g'', 0)'), try('SELECT leave(''another'', ''second'')');
COMMIT;
CREATE FUNCTION sneaky(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM streamlog.consume('errors', 'g'); RETURN i; END $$;
CREATE FUNCTION sneaky_commit(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM streamlog.commit_offsets('errors', 'g'); RETURN i; END $$;
CREATE FUNCTION sneaky_seek(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM streamlog.seek('errors', 'g', to_offset => 0); RETURN i; END $$;
CREATE FUNCTION sneaky_leave(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM streamlog.leave('g'); RETURN i; END $$;
CREATE TABLE indexed AS SELECT 1 AS i;
CREATE INDEX ON indexed (sneaky(i));
CREATE INDEX ON indexed (sneaky_commit(i));
CREATE INDEX ON indexed (sneaky_seek(i));
CREATE INDEX ON indexed (sneaky_leave(i));
CREATE FUNCTION parallel(statement text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN EXECUTE statement; RETURN 'ok'; END $$;
SET force_parallel_mode = on;
SELECT parallel('SELECT * FROM consume(''errors'', ''g'')');
SELECT parallel('SELECT * FROM poll(''errors'', ''g'')');
SELECT parallel('SELECT * FROM commit_offsets(''errors'', ''g'')');
SELECT parallel('SELECT * FROM seek(''errors'', to_position => ''latest'')');
SELECT parallel('SELECT * FROM leave(''g'')');
SELECT parallel('SELECT next_offset(''errors'', ''g'', 0)');
RESET force_parallel_mode;
-- of another transaction than this one's
BEGIN;
SELECT count(*) FROM consume('errors', 'g', max_records => 1);
PREPARE TRANSACTION 'consumed';
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT * FROM seek('errors', 'g', 0, 7);
PREPARE TRANSACTION 'consumed';
BEGIN;
SELECT count(*) FROM consume('errors', auto_offset_reset => 'earliest');
PREPARE TRANSACTION 'consumed';
BEGIN;
SAVEPOINT a;
SELECT count(*) FROM consume('errors', 'g', max_records => 1);
ROLLBACK TO a;
PREPARE TRANSACTION 'consumed';
COMMIT PREPARED 'consumed';

-- SERIALIZABLE and REPEATABLE READ consume what their snapshot shows
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT as_text(value) FROM consume('errors', 'g', max_records => 1);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT as_text(value) FROM consume('errors', 'g', max_records => 1);
SELECT as_text(value) FROM consume('errors', 'g', max_records => 1);
COMMIT;
SELECT next_offset FROM committed_offset JOIN consumer_group USING (group_id) WHERE name = 'g' AND partition = 0;

SELECT count(drop_topic(topic)) FROM topics;
DROP TABLE indexed;
DROP FUNCTION try, sneaky, sneaky_commit, sneaky_seek, sneaky_leave, parallel;
DROP PROCEDURE try_all;
DROP EXTENSION streamlog CASCADE;
