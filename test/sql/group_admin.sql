--
-- group_admin: committed_offsets(), reset_offsets(), delete_offsets(), delete_group(),
-- kick_member(), alter_group(), and the views of groups
--
-- Mutations: reset-keeps-member, which the test runs; no clamp; current of a dry run
-- without the transaction's own offsets; a fenced member counts as active; members of
-- another topic count; delete_group() leaves the transaction's offsets to be written;
-- delete_offsets() does not; kick_member() does not look at instance_id; topics in
-- committed_offsets() or owners in the views not checked; a reset keeps the metadata; the
-- oldest record is one that was deleted; blocked_by shows the member's own session.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
SET search_path = public, streamlog;
DO $$ -- no groups of other tests
BEGIN
	PERFORM kick_member(consumer_group, member) FROM group_members WHERE state = 'active';
	PERFORM delete_group(consumer_group) FROM consumer_groups;
END $$;
CREATE ROLE regress_streamlog_a;
CREATE ROLE regress_streamlog_b;
CREATE ROLE regress_streamlog_c;
GRANT regress_streamlog_b TO regress_streamlog_a;

SELECT create_topic('orders', partitions => 2);
SELECT create_topic('other');
SELECT count(produce('orders', NULL, 'v', partition => 0, record_time => '2001-01-01'::timestamptz + i * interval '3 hours')) FROM generate_series(0, 9) i;
SELECT count(*) FROM produce_batch('orders', NULL, array_fill('v'::text, ARRAY[4]), partition => 1, record_time => '2001-01-02');
SELECT count(*) FROM delete_records('orders', 0, 2);

--
-- What is refused
--
SELECT * FROM reset_offsets('g', 'orders');
SELECT * FROM reset_offsets('g', 'orders', to_offset => 1, shift_by => 1);
SELECT * FROM reset_offsets('g', 'orders', to_position => 'first');
SELECT * FROM reset_offsets('g', 'orders', to_offset => 1, partition => 2);
SELECT * FROM reset_offsets('g', 'orders', to_offset => 1, dry_run => NULL);
SELECT * FROM reset_offsets(NULL, 'orders', to_offset => 1);
SELECT * FROM reset_offsets('g', NULL, to_offset => 1);
SELECT * FROM reset_offsets('', 'orders', to_offset => 1);
SELECT * FROM reset_offsets('g', 'missing', to_offset => 1);
SELECT * FROM reset_offsets('g', 'orders', shift_by => 1);
SELECT * FROM committed_offsets('g');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM committed_offsets(NULL);
SELECT delete_offsets('g', 'orders');
SELECT delete_group('g');
\echo :LAST_ERROR_SQLSTATE
SELECT kick_member('g', 'm');
SELECT kick_member('g', NULL);
SELECT alter_group('g', 'regress_streamlog_a');
SELECT alter_group('g', NULL);
BEGIN READ ONLY;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 5);
SELECT * FROM reset_offsets('g', 'orders', to_offset => 5, dry_run => false);
ROLLBACK;
-- a dry run makes no group
SELECT count(*) FROM consumer_groups;

--
-- A group is placed before its first consumer; each kind of target
--
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3, dry_run => false);
SELECT * FROM committed_offsets('g');
SELECT * FROM reset_offsets('g', 'orders', to_offset => 0);
SELECT * FROM reset_offsets('g', 'orders', to_position => 'earliest');
SELECT * FROM reset_offsets('g', 'orders', to_position => 'latest');
SELECT * FROM reset_offsets('g', 'orders', to_time => '2001-01-01 12:00');
SELECT * FROM reset_offsets('g', 'orders', to_time => '2001-01-03');
SELECT * FROM reset_offsets('g', 'orders', shift_by => 1, partition => 0);
SELECT * FROM reset_offsets('g', 'orders', shift_by => -9223372036854775808, partition => 1);
SELECT * FROM reset_offsets('g', 'orders', shift_by => 9223372036854775807, partition => 1);
SELECT partition, record_offset FROM consume('orders', 'g', max_records => 1, partitions => '{1}');
SELECT leave('g');

-- the transaction sees what it will commit, and takes it back
BEGIN;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 4, dry_run => false);
SAVEPOINT s;
SELECT * FROM reset_offsets('g', 'orders', shift_by => 2, partition => 0, dry_run => false);
SELECT * FROM reset_offsets('g', 'orders', shift_by => 2, partition => 0);
SELECT partition, next_offset FROM committed_offsets('g', 'orders');
ROLLBACK TO s;
SELECT partition, next_offset FROM committed_offsets('g', 'orders');
SELECT partition, record_offset FROM consume('orders', 'g', max_records => 1);
SELECT leave('g');
ROLLBACK;
SELECT partition, next_offset FROM committed_offsets('g', 'orders');
BEGIN;
SELECT * FROM reset_offsets('unborn', 'orders', to_offset => 4, dry_run => false);
ROLLBACK;
SELECT count(*) FROM consumer_groups WHERE consumer_group = 'unborn';

--
-- While there are members
--
SELECT count(*) FROM poll('orders', 'g', member_id => 'm1', instance_id => 'place', max_records => 1);
SELECT * FROM reset_offsets('g', 'orders', to_offset => 4, dry_run => false);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM reset_offsets('g', 'orders', to_offset => 4);
SELECT delete_offsets('g', 'orders');
SELECT delete_group('g');
\echo :LAST_ERROR_SQLSTATE
-- of another topic
SELECT * FROM reset_offsets('g', 'other', to_position => 'latest', dry_run => false);
SELECT delete_offsets('g', 'other');
SELECT delete_offsets('g', 'other');
-- m2 takes the place of m1, which is fenced, is no active member and cannot be put out
SELECT count(*) FROM poll('orders', 'g', member_id => 'm2', instance_id => 'place', max_records => 1);
SELECT consumer_group, state, owner = session_user AS mine, members, assignor FROM consumer_groups;
SELECT consumer_group, member, instance_id, state, pid = pg_backend_pid() AS me, usename = session_user AS mine,
	host, application <> '' AS named, last_call <= clock_timestamp() AS called, assignment, moving, blocked_by, blocked_since
FROM group_members ORDER BY member;
SELECT kick_member('g', 'm1');
SELECT kick_member('g', 'nobody');
SELECT kick_member('g', 'place');
SELECT kick_member('g', 'place');
SELECT count(*) FROM poll('orders', 'g', member_id => 'm1', max_records => 1);
SELECT state, members FROM consumer_groups;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 4, dry_run => false);
-- more members than an error names
SELECT count(*) FROM generate_series(10, 21) i, poll('orders', 'g', member_id => 'n' || i, max_records => 0);
SELECT delete_group('g');
SELECT count(kick_member('g', member)) FROM group_members WHERE state = 'active';

--
-- Who was handed records before a reset cannot commit them
--
SELECT partition, record_offset FROM poll('orders', 'g', member_id => 'm3', max_records => 1, partitions => '{0}');
SELECT kick_member('g', 'm3');
SELECT * FROM reset_offsets('g', 'orders', to_offset => 6, partition => 0, dry_run => false);
SELECT * FROM commit_offsets('orders', 'g', partitions => '{0}', next_offsets => '{5}', member_id => 'm3');
\echo :LAST_ERROR_SQLSTATE
SELECT kick_member('g', 'm3');
-- with the mutation it can
SELECT partition, record_offset FROM poll('orders', 'g', member_id => 'm3', max_records => 1, partitions => '{0}');
SELECT kick_member('g', 'm3');
SET streamlog.mutants = 'reset-keeps-member';
SELECT * FROM reset_offsets('g', 'orders', to_offset => 6, partition => 0, dry_run => false);
RESET streamlog.mutants;
SELECT * FROM commit_offsets('orders', 'g', partitions => '{0}', next_offsets => '{5}', member_id => 'm3');
SELECT kick_member('g', 'm3');

--
-- Metadata, deletion, also of what the transaction itself has committed
--
SELECT count(*) FROM poll('orders', 'g', member_id => 'm3', max_records => 1);
SELECT * FROM commit_offsets('orders', 'g', partitions => '{0}', next_offsets => '{7}', metadata => 'done', member_id => 'm3');
SELECT * FROM committed_offsets('g', 'orders');
SELECT kick_member('g', 'm3');
BEGIN;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3, dry_run => false);
SELECT * FROM committed_offsets('g');
SELECT delete_offsets('g', 'orders', 0);
SELECT * FROM committed_offsets('g');
COMMIT;
SELECT * FROM committed_offsets('g');
SELECT * FROM group_lag WHERE partition = 0;
BEGIN;
SELECT delete_offsets('g', 'orders');
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3, dry_run => false);
COMMIT;
SELECT * FROM committed_offsets('g');
BEGIN;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3, dry_run => false);
SELECT delete_group('g');
SAVEPOINT s;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 2, dry_run => false);
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM consumer_groups;
SELECT count(*) FROM streamlog.committed_offset;
BEGIN;
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3, dry_run => false);
SAVEPOINT s;
SELECT delete_group('g');
ROLLBACK TO s;
COMMIT;
SELECT partition, next_offset FROM committed_offsets('g');

--
-- group_lag
--
SELECT * FROM reset_offsets('g', 'other', to_position => 'earliest', dry_run => false);
SELECT consumer_group, topic, partition, committed_offset, end_offset, lag, oldest_unconsumed, age > '20 years' AS old
FROM group_lag ORDER BY topic, partition;
-- what is deleted is not the oldest; an aborted record has no age
SELECT count(*) FROM delete_records('orders', 0, 6);
BEGIN;
SELECT count(*) FROM produce_batch('other', NULL, '{a,b}');
SELECT count(*) FROM flush();
ROLLBACK;
SELECT produce('other', NULL, 'c', record_time => '2001-01-03') IS NOT NULL AS produced;
SELECT topic, partition, committed_offset, end_offset, lag, oldest_unconsumed FROM group_lag ORDER BY topic, partition;
SELECT count(*) FROM reset_offsets('g', 'other', to_position => 'latest', dry_run => false);
BEGIN;
SELECT count(*) FROM produce_batch('other', NULL, '{a,b}');
SELECT count(*) FROM flush();
ROLLBACK;
SELECT produce('orders', NULL, 'c', partition => 1, record_time => '2001-01-04') IS NOT NULL AS produced;
SELECT topic, partition, lag, oldest_unconsumed FROM group_lag ORDER BY topic, partition;
-- a partition that is added has no offset; a topic that is dropped is not shown
SELECT alter_topic('orders', partitions => 3);
SELECT topic, partition, committed_offset, end_offset, lag, oldest_unconsumed FROM group_lag WHERE partition = 2;
SELECT drop_topic('other');
SELECT topic, partition FROM group_lag ORDER BY topic, partition;
SELECT DISTINCT topic FROM committed_offsets('g');

--
-- Who may; who sees what
--
GRANT SELECT ON topic.orders TO regress_streamlog_a, regress_streamlog_c;
SELECT create_topic('hidden');
SELECT count(*) FROM reset_offsets('g', 'hidden', to_position => 'latest', dry_run => false);
SELECT count(*) FROM poll('{orders,hidden}'::text[], 'g', member_id => 'm5', max_records => 0);
SELECT alter_group('g', 'regress_streamlog_c');
SET ROLE regress_streamlog_a;
SELECT * FROM committed_offsets('g');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM reset_offsets('g', 'orders', to_offset => 3);
SELECT delete_offsets('g', 'orders');
SELECT delete_group('g');
SELECT kick_member('g', 'm5');
SELECT alter_group('g', 'regress_streamlog_a');
SELECT count(*) FROM consumer_groups;
SELECT count(*) FROM group_members;
SELECT count(*) FROM group_lag;
SELECT count(*) FROM member_states();
SELECT count(*) FROM lag_states();
RESET ROLE;
SELECT alter_group('g', 'nobody_there');
SELECT alter_group('g', 'regress_streamlog_b');
SELECT owner FROM consumer_groups;
SET ROLE regress_streamlog_a;
SELECT topic, partition, next_offset FROM committed_offsets('g');
SELECT * FROM committed_offsets('g', 'hidden');
SELECT * FROM reset_offsets('g', 'hidden', to_position => 'earliest');
SELECT delete_offsets('g', 'hidden');
SELECT consumer_group, state, owner, members FROM consumer_groups;
SELECT member, assignment FROM group_members;
SELECT topic, partition FROM group_lag ORDER BY topic, partition;
SELECT alter_group('g', 'regress_streamlog_c');
\echo :LAST_ERROR_SQLSTATE
SELECT alter_group('g', 'regress_streamlog_a');
RESET ROLE;
-- no longer for b, who has no right to be a
SET ROLE regress_streamlog_b;
SELECT kick_member('g', 'm5');
SELECT count(*) FROM consumer_groups;
RESET ROLE;
-- who monitors sees all, and may do nothing
GRANT pg_monitor TO regress_streamlog_c;
SET ROLE regress_streamlog_c;
SELECT consumer_group, owner, members FROM consumer_groups;
SELECT member, assignment FROM group_members;
SELECT DISTINCT topic FROM group_lag ORDER BY topic;
SELECT kick_member('g', 'm5');
RESET ROLE;
-- an owner who is gone: for superusers
SELECT kick_member('g', 'm5');
DROP OWNED BY regress_streamlog_a;
DROP ROLE regress_streamlog_a;
SET ROLE regress_streamlog_b;
SELECT count(*) FROM consumer_groups;
SELECT delete_group('g');
RESET ROLE;
SELECT owner, state FROM consumer_groups;
SELECT delete_group('g');

SELECT drop_topic('orders');
SELECT drop_topic('hidden');
DROP OWNED BY regress_streamlog_b, regress_streamlog_c;
DROP ROLE regress_streamlog_b, regress_streamlog_c;
