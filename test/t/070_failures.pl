# What goes wrong in the middle of an append, and who sits around: a full disk, a
# full spill, locks, serialization failures, open transactions.  The transaction
# fails as a whole, nobody is held back by it, and the log goes on.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('failures');
$node->init;
$node->append_conf(
	'postgresql.conf', q(
streamlog.max_workers = 0
autovacuum = off
max_wal_size = 4GB
));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# The next command of a session fails with this SQLSTATE.
sub fails
{
	my ($session, $command, $state, $what) = @_;

	$session->{stderr} = '';
	$session->query("\\set VERBOSITY verbose\n$command");
	like($session->{stderr}, qr/ERROR:  $state/, $what);
	$session->{stderr} = '';
	$session->query('ROLLBACK;');
	$session->{stderr} = '';
	return;
}

# Nothing of a failure is left: nobody is held back, no record is there, the log
# is in order.
sub nothing_left
{
	my ($topic, $what) = @_;

	is(sql('SELECT count(*) FROM streamlog.undecided_transactions'), 0, "$what: nobody is held back");
	is(sql("SELECT count(*) FROM topic.$topic WHERE key = 'lost'"), 0, 'nothing of it is there');
	is(sql("SELECT count(problem) FROM streamlog.check_topic('$topic')"), 0, 'nothing is out of order');
	return;
}

sub session
{
	return $node->background_psql('postgres', on_error_stop => 0);
}

sub backend
{
	return $_[0]->query_safe('SELECT pg_backend_pid();');
}

# A full disk: a process may not write a file beyond this size.  The segment's file
# is larger than a WAL file, which must not be hit.
sub full_disk
{
	my ($session, $megabytes) = @_;
	my $limit = $megabytes ? $megabytes * 1024 * 1024 : 'unlimited';

	return system_log('prlimit', '--pid', backend($session), "--fsize=$limit:unlimited");
}

SKIP:
{
	skip 'no prlimit', 8 if system_log('prlimit', '--version') != 0;

	sql("SELECT streamlog.create_topic('disk', 2)");
	sql("SELECT count(*) FROM streamlog.produce_batch('disk', NULL, array_fill(repeat('x', 1000), ARRAY[18000]), partition => 0)");
	my $at = sql("SELECT streamlog.end_offset('disk', 0)");
	my $session = session();

	# Mutation: an abort leaves the claims.
	full_disk($session, 21);
	for my $round (1, 2)
	{
		$session->query_safe('BEGIN;');
		$session->query_safe("SELECT streamlog.produce('disk', 'lost', 'v', partition => 1);");
		$session->query_safe(
			"SELECT count(streamlog.produce('disk', 'lost', repeat('x', 900), partition => 0)) FROM generate_series(1, 20000);");
		fails($session, 'COMMIT;', '(53100|XX000): could not extend', 'a commit finds the disk full');
		nothing_left('disk', 'disk full');
	}
	cmp_ok(sql("SELECT streamlog.produce('disk', 'k', 'v', partition => 0)"), '>=', $at, 'others go on');
	full_disk($session, 0);
	is( $session->query_safe(
			"SELECT count(*) FROM streamlog.produce_batch('disk', NULL, array_fill(repeat('x', 1000), ARRAY[3000]), partition => 0);"),
		3000, 'and so does the session when there is room again');
	is( sql("SELECT count(*) FROM streamlog.fetch_records('disk', 0, 0, 100000, 1000000000)"),
		21001, 'all is read');
	is(sql("SELECT count(problem) FROM streamlog.check_topic('disk')"), 0, 'in order');
	$session->quit;
}

# A transaction that is larger than temp_file_limit fails at the call.
# Mutation: a temporary file that belongs to the savepoint in which it was made, or
# to nobody.
sql("SELECT streamlog.create_topic('spill', 2)");
my $session = session();
$session->query_safe("SET streamlog.producer_buffer = '1MB'; SET temp_file_limit = '4MB';");
for my $round (1, 2)
{
	$session->query_safe('BEGIN;');
	fails($session,
		"SELECT count(streamlog.produce('spill', 'lost', 'value ' || i, partition => i % 2)) FROM generate_series(1, 200000) i;",
		'53400', 'too much to spill');
	nothing_left('spill', 'temp_file_limit');
	is(sql('SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'and no file');
}

# In a savepoint, what was before it stays.
$session->query_safe('BEGIN;');
$session->query_safe(
	"SELECT count(streamlog.produce('spill', 'kept', 'value ' || i, partition => i % 2)) FROM generate_series(1, 30000) i;");
$session->query_safe('SAVEPOINT s;');
$session->query(
	"SELECT count(streamlog.produce('spill', 'lost', 'value ' || i, partition => i % 2)) FROM generate_series(1, 200000) i;");
like($session->{stderr}, qr/temp_file_limit/, 'too much in a savepoint');
$session->{stderr} = '';
$session->query_safe('ROLLBACK TO s; COMMIT;');
nothing_left('spill', 'a savepoint');
is( sql(q(SELECT count(*), count(DISTINCT value) FROM generate_series(0, 1) p,
		streamlog.fetch_records('spill', p, 0, 100000, 100000000) WHERE key = 'kept')),
	'30000|30000', 'what was produced before it is there');
$session->quit;

# Locks that a commit waits for: VACUUM FULL, or whoever else has a segment.
# Mutation: lock a segment when its turn to be appended to comes, and the offsets of
# those before it are used.
sql("SELECT streamlog.create_topic('locked', 3)");
sql("SELECT streamlog.produce('locked', 'k', 'v', partition => p) FROM generate_series(0, 2) p");
my $segment = sql("SELECT relation FROM streamlog.segments WHERE topic = 'locked' AND partition = 2");
my $locker = session();
my $producer = session();
$locker->query_safe("BEGIN; LOCK TABLE $segment IN ACCESS EXCLUSIVE MODE;");
for my $setting ("SET lock_timeout = '100ms'", "SET deadlock_timeout = '10ms'; SET lock_timeout = '200ms'")
{
	$producer->query_safe("$setting;");
	$producer->query_safe('BEGIN;');
	$producer->query_safe("SELECT streamlog.produce('locked', 'lost', 'v', partition => $_);") for 0 .. 2;
	fails($producer, 'COMMIT;', '55P03', 'a commit runs into lock_timeout');
	is(sql('SELECT count(*) FROM streamlog.undecided_transactions'), 0, 'nobody is held back');
}

# Also readers wait for it, and can be cancelled; those of other partitions do not.
fails($producer, "SELECT * FROM streamlog.fetch_records('locked', 2, 0);", '55P03', 'a fetch runs into it too');
is(sql("SELECT count(*) FROM streamlog.fetch_records('locked', 0, 0)"), 1, 'but not from another partition');
is( sql("SET statement_timeout = '10s'; SELECT streamlog.produce('locked', 'k', 'v', partition => 0)"),
	1, 'nor does produce there');
fails($producer,
	"SET statement_timeout = '100ms'; SET lock_timeout = 0; SELECT * FROM streamlog.produce_batch('locked', NULL, ARRAY['v'], partition => 2);",
	'57014', 'an append at once runs into statement_timeout');
$locker->query_safe('COMMIT;');
$producer->query_safe('RESET statement_timeout; RESET lock_timeout;');
is($producer->query_safe("SELECT streamlog.produce('locked', 'k', 'v', partition => 2);"), 1, 'no offset was lost');
nothing_left('locked', 'locks');

# Two sessions that each hold a segment and produce to the other one: a deadlock,
# which ends as any other.  Mutation: lock segments at the call.
my ($seg0, $seg1) = split /\n/, sql("SELECT relation FROM streamlog.segments WHERE topic = 'locked' AND partition < 2 ORDER BY partition");
$_->query_safe("SET deadlock_timeout = '50ms';") for $locker, $producer;
$locker->query_safe("BEGIN; LOCK TABLE $seg0 IN ACCESS EXCLUSIVE MODE;");
$producer->query_safe("BEGIN; LOCK TABLE $seg1 IN ACCESS EXCLUSIVE MODE;");
$locker->query_safe("SELECT streamlog.produce('locked', 'either', 'v', partition => 1);");
$producer->query_safe("SELECT streamlog.produce('locked', 'either', 'v', partition => 0);");
$locker->{stderr} = $producer->{stderr} = '';
$locker->query_until(qr/sent/, "\\echo sent\n\\set VERBOSITY verbose\nCOMMIT;\n");
$producer->query("\\set VERBOSITY verbose\nCOMMIT;");
$locker->query('SELECT 1;');
my $errors = () = "$locker->{stderr}$producer->{stderr}" =~ /ERROR:  40P01/g;
is($errors, 1, 'one of two is the victim of a deadlock');
is(sql("SELECT count(*) FROM topic.locked WHERE key = 'either'"), 1, 'the other one commits');
nothing_left('locked', 'a deadlock');
$_->quit for $locker, $producer;

# A transaction that has produced and does nothing, and another that has written
# elsewhere, while many small transactions produce and read.  Mutation: append at
# the call, and readers would wait; write something per transaction.
sql("SELECT streamlog.create_topic('idle', 2)");
sql('CREATE TABLE elsewhere (i int)');
my $idle = session();
my $writer = session();
my $holder = session();
$idle->query_safe('BEGIN;');
$idle->query_safe("SELECT streamlog.produce('idle', 'idle', 'v', partition => 0);");
$writer->query_safe('BEGIN; INSERT INTO elsewhere VALUES (1);');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM elsewhere;');
my $dead = q(SELECT coalesce(sum(pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)
		+ CASE WHEN nspname = 'streamlog' THEN pg_stat_get_tuples_inserted(c.oid) ELSE 0 END), 0)
	FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE nspname IN ('streamlog', 'topic', 'streamlog_segment') AND relkind IN ('r', 't'));
sql('SELECT pg_stat_force_next_flush()');
my $dead_before = sql($dead);
my $sizes = q(SELECT sum(pg_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE nspname = 'streamlog');
my $size_before = sql($sizes);
my $load = q(
	DO $$
	DECLARE
		at bigint := 0;
		n bigint;
	BEGIN
		FOR i IN 1 .. 5000 LOOP
			PERFORM streamlog.produce('idle', 'k', 'v', partition => 0);
			COMMIT;
			SELECT count(*) INTO n FROM streamlog.fetch_records('idle', 0, at);
			IF n <> 1 THEN
				RAISE 'fetched % records at %', n, at;
			END IF;
			at := at + 1;
			COMMIT;
		END LOOP;
		PERFORM pg_stat_force_next_flush();
	END$$;);
my ($rc, $out, $err) = $node->psql('postgres', $load);
is($err, '', 'a reader gets each record at once behind an idle transaction');
is(sql($dead), $dead_before, 'and nothing is written but the records');
is(sql($sizes), $size_before, 'nor do our tables grow');
$idle->query_safe('COMMIT;');
is( sql("SELECT record_offset FROM streamlog.fetch_records('idle', 0, 0, 100000) WHERE key = 'idle'"),
	5000, 'what it has produced comes when it commits');
$_->query_safe('ROLLBACK;') for $writer, $holder;
$_->quit for $idle, $writer, $holder;

# A serialization failure that comes after the append, again and again, and one of
# a deferred constraint.  Mutation: an abort leaves the claims.
sql("SELECT streamlog.create_topic('serial')");
sql(q(
	CREATE TABLE oncall (name text PRIMARY KEY, on_call bool);
	INSERT INTO oncall VALUES ('a', true), ('b', true);
	CREATE TABLE number (i int PRIMARY KEY);
	CREATE TABLE other (i int REFERENCES number DEFERRABLE INITIALLY DEFERRED)));
my ($one, $two) = (session(), session());
for my $round (1 .. 5)
{
	$_->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM oncall WHERE on_call;') for $one, $two;
	$one->query_safe("UPDATE oncall SET on_call = NOT on_call WHERE name = 'a'; SELECT streamlog.produce('serial', 'kept', 'v');");
	$two->query_safe("UPDATE oncall SET on_call = NOT on_call WHERE name = 'b'; SELECT streamlog.produce('serial', 'lost', 'v');");
	$two->query_safe('SELECT * FROM streamlog.flush();') if $round % 2;
	$one->query_safe('COMMIT;');
	fails($two, 'COMMIT;', '40001', "round $round: a serialization failure at the commit");
}
nothing_left('serial', 'serialization failures');
$two->query_safe('BEGIN; INSERT INTO other VALUES (1);');
$two->query_safe("SELECT streamlog.produce('serial', 'lost', 'v');");
$two->query_safe('SELECT * FROM streamlog.flush();');
fails($two, 'COMMIT;', '23503', 'a deferred constraint');
nothing_left('serial', 'a deferred constraint');
is(sql("SELECT count(*) FROM streamlog.fetch_records('serial', 0, 0)"), 5, 'the others are there');
$_->quit for $one, $two;

$node->stop;
done_testing();
