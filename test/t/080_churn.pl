# Topics come and go under producers and readers.  A call may find that a topic is
# not there, or that its position is of an older topic of that name; nothing else
# may happen, no record may come to a topic that was made after it was produced, and
# in the end nothing is left over.
#
# Mutations: do not forget a topic that was looked up when it is changed; do not look
# again when the lock on it has been waited for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed history_launch);

my $seed = history_seed();
my $seconds = 6;
my $node = PostgreSQL::Test::Cluster->new('churn');
$node->init;
$node->append_conf('postgresql.conf',
	"max_connections = 60\nstreamlog.worker_naptime = 100ms\nstreamlog.max_partitions = 64\n"
	  . "log_statement = none\nlog_min_error_statement = panic\n");
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	CREATE TABLE made (name text, topic_id int, n serial);
	CREATE TABLE produced (topic_id int, key text);
	CREATE TABLE surprises (what text);
	CREATE SEQUENCE sequence_number;

	CREATE FUNCTION is_expected(state text) RETURNS bool LANGUAGE sql
	RETURN state IN ('SL007', 'SL001', '40P01');

	CREATE FUNCTION topic_id(topic text) RETURNS int LANGUAGE sql AS $$
		SELECT topic_id FROM streamlog.topics t WHERE t.topic = topic_id.topic;
	$$;

	-- what was produced is told apart by the topic that is seen after that, whose
	-- table is locked then
	CREATE FUNCTION emit(topic text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		key text := nextval('sequence_number');
	BEGIN
		PERFORM streamlog.produce(topic, key, repeat('v', 500), partition => i) FROM generate_series(0, 1) i;
		INSERT INTO produced SELECT topic_id(topic), key;
	EXCEPTION WHEN OTHERS THEN
		IF NOT is_expected(SQLSTATE) THEN
			INSERT INTO surprises VALUES ('produce ' || SQLSTATE || ' ' || SQLERRM);
		END IF;
	END$$;

	CREATE FUNCTION read(topic text, max_wait interval) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		at bigint := coalesce(nullif(current_setting('reader.' || topic, true), ''), '0');
		r record;
	BEGIN
		FOR r IN SELECT * FROM streamlog.fetch_records(topic, 1, at, 100, 100000, max_wait) LOOP
			IF r.record_offset < at OR r.topic <> topic OR r.partition <> 1 THEN
				INSERT INTO surprises VALUES ('fetch ' || r::text);
			END IF;
			at := r.record_offset + 1;
		END LOOP;
		PERFORM streamlog.end_offset(topic, 0);
		PERFORM set_config('reader.' || topic, at::text, false);
	EXCEPTION WHEN OTHERS THEN
		PERFORM set_config('reader.' || topic, '0', false);
		IF NOT is_expected(SQLSTATE) THEN
			INSERT INTO surprises VALUES ('fetch ' || SQLSTATE || ' ' || SQLERRM);
		END IF;
	END$$;));

my $dir = PostgreSQL::Test::Utils::tempdir();
my %script = (
	produce => q(
\set t random(0, 3)
\set flush random(0, 1)
BEGIN;
SELECT emit('t' || :t);
\set t random(0, 3)
SELECT emit('t' || :t);
\if :flush = 1
SELECT count(*) FROM streamlog.flush();
\endif
COMMIT;
),
	single => q(
\set t random(0, 3)
SELECT emit('t' || :t);
),
	rollback => q(
\set t random(0, 3)
BEGIN;
SELECT emit('t' || :t);
SELECT count(*) FROM streamlog.flush();
ROLLBACK;
),
	read => q(
\set t random(0, 3)
\set wait random(0, 30)
SELECT read('t' || :t, :wait * interval '1 ms');
),
	# one session for each topic
	churn => q(
\set rest random(20, 200)
\set partitions random(2, 6)
\set kind random(1, 4)
BEGIN;
SELECT streamlog.drop_topic('t' || :client_id, if_exists => true);
COMMIT;
\if :kind = 1
\sleep :rest ms
\endif
BEGIN;
SELECT streamlog.create_topic('t' || :client_id, :partitions, config => '{"segment.bytes": 1048576}');
INSERT INTO made SELECT 't' || :client_id, topic_id('t' || :client_id);
COMMIT;
\sleep :rest ms
\if :kind = 2
SELECT streamlog.alter_topic('t' || :client_id, 8);
\endif
\if :kind = 3
BEGIN;
SELECT emit('t' || :client_id);
SELECT count(*) FROM streamlog.flush();
SELECT streamlog.drop_topic('t' || :client_id);
SELECT streamlog.create_topic('t' || :client_id, 2);
SELECT emit('t' || :client_id);
SELECT count(*) FROM streamlog.flush();
ROLLBACK;
\endif
));
append_to_file("$dir/$_.sql", $script{$_}) for keys %script;

my @pgbench = ('pgbench', '-n', '-j', 1, '-M', 'prepared', "--random-seed=$seed", '-T', $seconds);
my @runs = (
	history_launch($node, $dir, 'churn', [], @pgbench, '-c', 4, '--max-tries=0', '-f', "$dir/churn.sql"),
	history_launch($node, $dir, 'produce', [], @pgbench, '-c', 6, '--max-tries=0',
		map { ('-f', "$dir/$_.sql") } 'produce', 'single', 'rollback'),
	history_launch($node, $dir, 'read', [], @pgbench, '-c', 4, '-f', "$dir/read.sql"));
for my $run (@runs)
{
	waitpid($run->{pid}, 0);
	is($?, 0, "$run->{name} gets through");
	note(slurp_file($run->{log}) =~ s/^progress.*\n//mgr);
}

is($node->safe_psql('postgres', 'SELECT what, count(*) FROM surprises GROUP BY 1 ORDER BY 2 DESC LIMIT 5'),
	'', 'no call has met what it should not');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM made'), '>', 20, 'many topics have come');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM produced'), '>', 500, 'many records were produced');
is( $node->safe_psql('postgres', q(
		SELECT topic, partition, key, n FROM streamlog.topics
		CROSS JOIN generate_series(0, 1) p(partition),
		LATERAL (SELECT convert_from(key, 'UTF8') AS key, count(*) AS n
			FROM streamlog.fetch_records(topic, partition, 0, 1000000, 1000000000) GROUP BY key) f
		WHERE n <> 1 OR NOT EXISTS (SELECT FROM produced p
			WHERE p.topic_id = topics.topic_id AND p.key = f.key)
		UNION ALL
		SELECT topic, partition, p.key, 0 FROM streamlog.topics
		CROSS JOIN generate_series(0, 1) partition JOIN produced p USING (topic_id)
		WHERE NOT EXISTS (SELECT FROM streamlog.fetch_records(topic, partition, 0, 1000000, 1000000000) f
			WHERE f.key = p.key::bytea)
		LIMIT 5)),
	'', 'what is left is what was produced to it');
is($node->safe_psql('postgres', 'SELECT count(problem) FROM streamlog.topics, streamlog.check_topic(topic)'),
	0, 'in order');
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamlog.undecided_transactions'), 0, 'nobody is held back');
$node->safe_psql('postgres', 'SELECT streamlog.drop_topic(topic) FROM streamlog.topics');
ok( $node->poll_query_until(
		'postgres', q(
		SELECT (SELECT count(*) FROM streamlog.topic) + (SELECT count(*) FROM streamlog.segment)
			+ (SELECT count(*) FROM streamlog.partition)
			+ (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
				WHERE nspname IN ('topic', 'streamlog_segment')) = 0)),
	'and nothing is left of the dropped ones');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'the server lives on');
unlike(slurp_file($node->logfile), qr/streamlog worker.*ERROR/, 'and the worker has met no error');

$node->stop;
done_testing();
