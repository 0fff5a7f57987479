# Many topics and many partitions on a server whose lock table has PostgreSQL's
# default size: what works, and what the message says where the lock table is full.
#
# A topic of one partition takes some 15 locks in the transaction that makes it, a
# partition two in one that produces to it.  The default lock table has room for
# some 8,000.  So nothing of ours may lock all segments of a topic or all topics
# of a database at once; what the user does in one transaction is for him to say.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $start = time;
my $node = PostgreSQL::Test::Cluster->new('counts');
$node->init;
$node->append_conf(
	'postgresql.conf', q(
max_connections = 100
max_locks_per_transaction = 64
max_prepared_transactions = 0
streamlog.worker_naptime = 100ms
autovacuum = off
));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, streamlog');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 60;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

# The commands fail with this message; what they print goes before it.
sub fails
{
	my ($commands, $pattern, $what) = @_;
	my ($rc, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$commands", on_error_stop => 1);
	isnt($rc, 0, $what);
	like($err, $pattern, 'and the message says why');
	return;
}

my $no_locks = qr/ERROR:  53200: out of shared memory.*max_locks_per_transaction/s;
my $locks = 'SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()';

# 1,000 topics, one call and one transaction each.
# Mutation: keep a lock from one call to the next.
$node->safe_psql('postgres', join("\n", map { "SELECT create_topic('topic.$_');" } 1 .. 1000));
is(sql('SELECT count(*), count(DISTINCT relation) FROM topics'), '1000|1000', '1,000 topics');
$node->safe_psql('postgres', join("\n", map { "SELECT produce('topic.$_', 'k', 'record $_');" } 1 .. 1000));
my $read = q(SELECT count(*), count(DISTINCT f.topic), count(DISTINCT f.value),
	count(*) FILTER (WHERE substring(f.topic, '\d+') = substring(as_text(f.value), '\d+'))
	FROM generate_series(1, 1000) i, fetch_records('topic.' || i, 0, 0) f);
is(sql($read), '1000|1000|1000|1000', 'a record to each, one transaction each, and read in one');
is(sql('SELECT count(*), sum(end_offset), count(DISTINCT relation) FROM partitions JOIN segments USING (topic, partition)'),
	'1000|1000|1000', 'the views show them all');

# one transaction that writes to all of them, and one session that has used all
is( sql(qq(
	BEGIN;
	DO \$\$BEGIN
		FOR i IN 1..1000 LOOP PERFORM produce('topic.' || i, 'k', 'and ' || i); END LOOP;
	END\$\$;
	COMMIT;
	SELECT sum(n) FROM generate_series(1, 1000) i,
		LATERAL (SELECT count(*) AS n FROM fetch_records('topic.' || i, 0, 1)) f;
	$locks)),
	"1000\n2", 'a transaction that produces to 1,000 topics, and leaves no lock');
is(sql('SELECT count(*), count(problem) FROM topics, check_topic(topic)'),
	'1000|0', 'nothing is out of order');

# What one transaction makes is limited by the lock table, which says so; nothing is
# left of it.  Mutation: leave the rows, or the names, of a creation that failed.
is( sql(q(
	BEGIN;
	SELECT count(create_topic('together.' || i)) FROM generate_series(1, 300) i;
	ROLLBACK;
	SELECT count(*) FROM topics WHERE topic ~ '^together')),
	"300\n0", '300 topics in one transaction');
fails(
	q(SELECT count(create_topic('together.' || i)) FROM generate_series(1, 5000) i),
	$no_locks, '5,000 topics in one transaction are too many');
is(sql(q(SELECT count(*) FROM topics WHERE topic ~ '^together')), 0, 'nothing is left of it');
is( sql(q(SELECT count(create_topic('together.' || i)) FROM generate_series(1, 3) i)),
	3, 'and the names are free');
sql(q(SELECT drop_topic('together.' || i) FROM generate_series(1, 3) i));

# A topic of 1,000 partitions: the worker makes most of the segments.
# Mutations: make all segments in create_topic(); all that are missing in one
# transaction of the worker.
is( sql(qq(
	BEGIN;
	SELECT create_topic('wide', 1000);
	SELECT n < 300 FROM ($locks) l (n);
	COMMIT;)) =~ s/\n//gr,
	't', 'a topic of 1,000 partitions takes few locks');
soon(q(SELECT count(*) = 1000 AND count(DISTINCT partition) = 1000 FROM segments WHERE topic = 'wide'),
	'the worker makes all segments');

# one transaction to all of them, and what it costs
is( sql(qq(
	BEGIN;
	DO \$\$BEGIN
		FOR p IN 0..999 LOOP PERFORM produce('wide', 'k', 'record ' || p, partition => p); END LOOP;
	END\$\$;
	SELECT n < 10 FROM ($locks) l (n);
	SELECT count(*) FROM flush();
	SELECT n BETWEEN 1000 AND 3000 FROM ($locks) l (n);
	COMMIT)),
	"t\n1000\nt", 'a transaction that produces to all partitions: locks only as it appends');
is( sql(q(
	SELECT count(*), count(DISTINCT f.partition), bool_and(f.record_offset = 0 AND f.partition = p
		AND as_text(f.value) = 'record ' || p)
	FROM generate_series(0, 999) p, fetch_records('wide', p, 0) f)),
	'1000|1000|t', 'one session reads them all');
is( sql(qq(
	BEGIN;
	SELECT count(*) FROM generate_series(0, 999) p, fetch_records('wide', p, 0) f;
	SELECT n < 1100 FROM ($locks) l (n);
	COMMIT)),
	"1000\nt", 'with a lock on each segment and no more');
is( sql(q(SELECT count(*), sum(end_offset), min(segments), max(segments) FROM partitions WHERE topic = 'wide')),
	'1000|1000|1|1', 'the view partitions');
is( sql(qq(
	BEGIN;
	SELECT count(*) FROM topic.wide;
	SELECT n BETWEEN 1000 AND 1100 FROM ($locks) l (n);
	COMMIT)),
	"1000\nt", 'SQL reads the whole topic in one query');
is( sql(q(SELECT count(*), min(partition), max(partition) FROM topic.wide WHERE partition = 777)),
	'1|777|777', 'or one partition');
like(
	sql(q(EXPLAIN (COSTS OFF) SELECT * FROM topic.wide WHERE partition = 777)) =~ s/\n/ /gr,
	qr/^(?!.*p776_).*p777_.*/, 'which is the only one that is scanned');
is(sql(q(SELECT count(*), count(problem), sum(records) FROM check_topic('wide'))), '1000|0|1000', 'check_topic');

# Several at once: each takes what it takes.
is( sql(q(SELECT count(DISTINCT partition_for('wide', 'key ' || i)) > 990 FROM generate_series(1, 20000) i)),
	't', 'keys go everywhere');
{
	my @sessions = map { $node->background_psql('postgres') } 1 .. 3;

	for my $session (@sessions)
	{
		$session->query_safe('BEGIN;');
		$session->query_safe("SELECT count(*) FROM topic.wide;");
	}
	is( sql(q(SELECT count(produce('wide', 'k', 'while all is locked', partition => p)) FROM generate_series(0, 999) p;
		SELECT count(*) FROM topic.wide)),
		"0\n2000", 'three sessions that read all of it, and a fourth that produces to all');
	is($_->query_safe('SELECT count(*) FROM topic.wide;'), 2000, 'all see it') for @sessions;
	$_->query_safe('COMMIT;') for @sessions;
	$_->quit for @sessions;
}

# A second one does not fit into what DROP EXTENSION locks.  It says so, and
# has done nothing.  Mutation: the worker goes on meanwhile; now and then there is a
# deadlock with it.
sql(q(SELECT create_topic('wider', 1000)));
soon(q(SELECT count(*) = 1000 FROM segments WHERE topic = 'wider'), 'one more of that kind');
fails('SET client_min_messages = error; DROP EXTENSION streamlog CASCADE',
	$no_locks, 'DROP EXTENSION CASCADE with more than the lock table holds');
is( sql(q(SELECT produce('wider', 'k', 'v', partition => 999); SELECT count(*) FROM topics)),
	"0\n1002", 'has done nothing');

# drop_topic() takes few locks, and so does the worker, which removes the segments
# some at a time: it all works where somebody has left room for 1,000 locks only.
# Mutation: drop all segments in one transaction.
my $filler = $node->background_psql('postgres');
$filler->query_safe(
	q(DO $$
	DECLARE
		i int := 0;
	BEGIN
		LOOP
			PERFORM pg_advisory_lock(i);
			i := i + 1;
		END LOOP;
	EXCEPTION WHEN out_of_memory THEN
		PERFORM pg_advisory_unlock(j) FROM generate_series(0, 999) j;
	END$$;));
cmp_ok(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '>', 5000, 'the lock table is nearly full');
is( sql(qq(
	BEGIN;
	SELECT drop_topic('wide');
	SELECT n < 300 FROM ($locks) l (n);
	COMMIT)) =~ s/\n//gr,
	't', 'drop_topic of 1,000 partitions takes few locks');
soon(q(SELECT count(*) = 0 FROM streamlog.topic WHERE dropped), 'the worker removes 1,000 segments');
$filler->quit;
sql(q(SELECT drop_topic('wider')));
sql(join("\n", map { "SELECT drop_topic('topic.$_');" } 501 .. 1000));
soon(
	q(SELECT count(*) = 500 FROM pg_class WHERE relkind = 'r' AND relnamespace = 'streamlog_segment'::regnamespace),
	'and 1,500 more');
is( sql(q(SELECT count(*), count(DISTINCT f.topic) FROM topics t, fetch_records(t.topic, 0, 0) f)),
	'1000|500', 'the other topics are there');

# In the transaction that made it a topic is dropped at once.
is( sql(q(
	BEGIN;
	SELECT create_topic('brief', 1000);
	SELECT count(produce('brief', 'k', 'v', partition => p)) FROM generate_series(0, 999, 7) p;
	SELECT drop_topic('brief');
	COMMIT;
	SELECT count(*) FROM streamlog.topic WHERE name = 'brief')) =~ s/\n//gr,
	'00', 'a topic that lives for a transaction');

my @errors = grep { !/out of shared memory/ } slurp_file($node->logfile) =~ /streamlog worker (ERROR:.*)/g;
is("@errors", '', 'no worker has had an error but that others had taken all locks');

# and what is left fits
fails('DROP EXTENSION streamlog', qr/ERROR:  2BP01: .*because other objects depend on it/s, 'DROP EXTENSION with topics');
sql('SET client_min_messages = error; DROP EXTENSION streamlog CASCADE');
is( sql(q(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname ~ '^(streamlog|topic)')),
	0, 'DROP EXTENSION CASCADE with 500 topics');
sql('CREATE EXTENSION streamlog');
is(sql(q(SELECT create_topic('topic.1'); SELECT produce('topic.1', 'k', 'v'))) =~ s/\n//gr, 0, 'and all begins anew');

my $took = time - $start;
note(sprintf('all of it took %.0f s', $took));
$node->stop;
done_testing();
