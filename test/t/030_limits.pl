# Limits: what happens when shared memory is full, when there is no worker, and when
# somebody holds others up: errors that say what to do, and that cost nothing.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('limits');
$node->init;
$node->append_conf(
	'postgresql.conf', q(
streamlog.max_partitions = 16
streamlog.max_undecided = 64
streamlog.max_workers = 0
streamlog.worker_naptime = 100ms
wal_writer_delay = 10s
# so that a commit can wait for a standby
wal_level = replica
max_wal_senders = 1
));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 40;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# The commands fail, with this message.
sub fails
{
	my ($commands, $pattern, $what) = @_;
	my ($rc, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$commands");

	isnt($rc, 0, $what);
	like($err, $pattern, 'and the message says why');
	return;
}

my $too_many_partitions =
  qr/ERROR:  53400: too many partitions are in use.*streamlog\.max_partitions/s;
my $too_many_undecided =
  qr/ERROR:  53400: too many partitions have undecided records.*streamlog\.max_undecided/s;

# One record for each of the partitions, appended and not committed
sub hold
{
	my ($from, $upto) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe('BEGIN;');
	$session->query_safe("SELECT count(streamlog.produce('t', 'k', 'held', partition => p))"
		  . " FROM generate_series($from, $upto) p;");
	$session->query_safe('SELECT count(*) FROM streamlog.flush();');
	return $session;
}

sub release
{
	my (@sessions) = @_;

	$_->query_safe('ROLLBACK;') for @sessions;
	$_->quit for @sessions;
	return;
}

# Entries for partitions.  Mutation: evict entries that have claims, and two would
# be given the same offset; never evict.
sql("SELECT streamlog.create_topic('$_', 16)") for ('t', 'more');
fails("SELECT streamlog.create_topic('too_wide', 17)",
	qr/ERROR:.*invalid number of partitions: 17.*streamlog\.max_partitions/s, 'a topic for which there is no room');
my $holder = hold(0, 15);
fails("SELECT streamlog.produce('more', 'k', 'v', partition => 0)",
	$too_many_partitions, 'produce while all entries are in use');
fails("SELECT streamlog.end_offset('more', 0)", $too_many_partitions, 'end_offset');
fails("SELECT * FROM streamlog.fetch_records('more', 0, 0)",
	$too_many_partitions, 'fetch');
is(sql("SELECT streamlog.produce('t', 'k', 'v', partition => 3)"),
	1, 'whoever is in goes on');
release($holder);
fails(
	q(BEGIN; SELECT streamlog.produce(t, 'k', 'v', partition => p)
		FROM generate_series(0, 15) p, unnest(ARRAY['t', 'more']) t; COMMIT),
	$too_many_partitions,
	'one transaction that needs too many');
is( sql(q(
	SELECT count(*) FROM unnest(ARRAY['t', 'more']) t, generate_series(0, 15) p,
		streamlog.fetch_records(t, p, streamlog.start_offset(t, p)))),
	1, 'it has left nothing, and more partitions than there are entries can be read');

my $counts = q(
	SELECT array_agg(DISTINCT (SELECT count(*) FROM streamlog.fetch_records(t, p, 0)))
	FROM unnest(ARRAY['t', 'more']) t, generate_series(4, 15) p);
for my $round (1, 2)
{
	for my $topic ('t', 'more')
	{
		sql("SELECT streamlog.produce('$topic', 'k', 'v', partition => $_)") for 4 .. 15;
	}
	is(sql($counts), "{$round}", 'more partitions than there are entries are used in turn');
}

# What somebody may have to flush WAL for is not evicted before that is done.
# Mutation: fail without a flush.
sql("SET synchronous_commit = off;\n" . join(
		"\n",
		map {
			"SELECT streamlog.produce('t', 'k', 'a', partition => $_);"
			  . " SELECT streamlog.produce('more', 'k', 'a', partition => $_);"
		} 4 .. 15));
is(sql($counts), '{3}', 'asynchronous commits in turn');

# Claims.  Mutation: leave the claims of a transaction that failed.
for my $round (1, 2)
{
	my @holders = map { hold(0, 15) } 1 .. 4;

	is(sql('SELECT count(*) FROM streamlog.undecided_transactions'),
		64, "round $round: all claims are taken");
	fails("SELECT streamlog.produce('t', 'k', 'v', partition => 0)",
		$too_many_undecided, 'produce while they are');
	fails("BEGIN; SELECT streamlog.produce('t', 'k', 'v', partition => 0); COMMIT",
		$too_many_undecided, 'a commit');
	is(sql("SELECT count(*) FROM streamlog.fetch_records('t', 4, 0)"),
		3, 'readers go on');

	# one claim short: the transaction fails as a whole
	$holders[0]->query_safe('ROLLBACK; BEGIN;');
	$holders[0]->query_safe(
		"SELECT count(streamlog.produce('t', 'k', 'held', partition => p))"
		  . ' FROM generate_series(0, 14) p;');
	$holders[0]->query_safe('SELECT count(*) FROM streamlog.flush();');
	fails(
		"BEGIN; SELECT streamlog.produce('t', 'k', 'v', partition => p) FROM generate_series(0, 1) p; COMMIT",
		$too_many_undecided,
		'a commit that gets one claim of two');
	is(sql('SELECT count(*) FROM streamlog.undecided_transactions'),
		63, 'gives it back');
	release(@holders);
	is(sql('SELECT count(*) FROM streamlog.undecided_transactions'),
		0, 'none is left');
}
is( sql(q(
	SELECT count(*), sum(record_offset) FROM streamlog.fetch_records('t', 0, 0))),
	'0|', 'nothing of all that was committed');
is(sql("SELECT count(problem) FROM streamlog.check_topic('t')"), 0, 'or is out of order');

# No worker.  Mutation: wait for ever; do not say what is missing.
$node->append_conf('postgresql.conf', "streamlog.max_partitions = 40\n");
$node->restart;
sql("SELECT streamlog.create_topic('wide', 40)");
is(sql("SELECT streamlog.produce('wide', 'k', 'v', partition => 31)"),
	0, 'the first 32 segments of a topic are there at once');
my $start = time;
fails(
	"SELECT streamlog.produce('wide', 'k', 'v', partition => 39)",
	qr/ERROR:  55000: partition 39 of topic "wide" has no segment yet.*HINT:  If the view "workers" shows that it runs/s,
	'the others need a worker');
my $took = time - $start;
ok($took >= 5 && $took < 15, "it is waited for 5 s ($took)");
is(sql("SELECT streamlog.end_offset('wide', 39)"), 0, 'and is an empty log to readers');
fails(
	"SET statement_timeout = '200ms'; SELECT streamlog.produce('wide', 'k', 'v', partition => 39)",
	qr/57014/,
	'the wait can be cancelled');
$node->append_conf('postgresql.conf', "streamlog.max_workers = 8\n");
$node->restart;
is(sql("SELECT streamlog.produce('wide', 'k', 'v', partition => 39)"),
	0, 'with a worker it works');
soon(q(SELECT count(DISTINCT partition) = 40 FROM streamlog.segments WHERE topic = 'wide'),
	'and all get their segments');

# A session that sits on records.  Mutation: no timeout; leave the claim.
sql("SELECT streamlog.create_topic('stalled')");
my $log_at = -s $node->logfile;
my $sitter = $node->background_psql('postgres', on_error_stop => 0);
my $sitter_pid = $sitter->query_safe('SELECT pg_backend_pid();');
$sitter->query_safe("SET streamlog.producer_timeout = '1s'; BEGIN;");
$sitter->query_safe("SELECT streamlog.produce('stalled', 'k', 'gone');");
$start = time;
$sitter->query_safe('SELECT count(*) FROM streamlog.flush();');
sql("SELECT streamlog.produce('stalled', 'k', 'after')");
is( sql(q(
	SELECT record_offset, streamlog.as_text(value)
	FROM streamlog.fetch_records('stalled', 0, 0, max_wait => '30 s'))),
	'1|after', 'a reader gets what comes after records that a session has sat on');
$took = time - $start;
ok($took >= 1 && $took < 10, "when that is ended after 1 s ($took)");
$node->wait_for_log(
	qr/\[$sitter_pid\].*ended a session that had appended records and neither committed/,
	$log_at);
soon("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $sitter_pid",
	'the session is gone, and the log says why');
eval { $sitter->quit };

fails(
	q(SET streamlog.producer_timeout = '1s'; BEGIN; SELECT streamlog.produce('stalled', 'k', 'gone');
	SELECT count(*) FROM streamlog.flush(); SELECT pg_sleep(60);),
	qr/57P01/,
	'also in the middle of a statement');

# Mutation: do not disable it at the end of a transaction.
is( sql(q(
	SET streamlog.producer_timeout = '500ms';
	BEGIN;
	SELECT streamlog.produce('stalled', 'k', 'stays');
	SELECT count(*) FROM streamlog.flush();
	COMMIT;
	BEGIN;
	SELECT streamlog.produce('stalled', 'k', 'buffered');
	SELECT pg_sleep(1);
	COMMIT;)) =~ s/\n//gr,
	'1', 'who commits in time, or only buffers, is let be');
is(sql("SELECT count(*) FROM streamlog.fetch_records('stalled', 0, 0)"),
	3, 'and has produced');

# Nor who had nothing to flush, nor a commit that waits for a standby.
# Mutations: arm it at every flush(); do not disable it before the commit.
is( sql(q(
	SET streamlog.producer_timeout = '300ms';
	BEGIN;
	SELECT count(*) FROM streamlog.flush();
	SELECT pg_sleep(1);
	COMMIT;)) =~ s/\n//gr,
	'0', 'an empty flush() holds back nobody');
{
	sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->restart;
	my $client = $node->background_psql('postgres', on_error_stop => 0);

	$client->query_safe("SET streamlog.producer_timeout = '300ms';");
	$client->query_until(qr/sent/, "\\echo sent\nSELECT streamlog.produce('stalled', 'k', 'synchronous');\n");
	soon(q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'
		AND now() - state_change > interval '1 s'), 'a commit waits for its standby, however long');
	is(sql("SELECT count(*) FROM streamlog.fetch_records('stalled', 0, 0) WHERE streamlog.as_text(value) = 'synchronous'"),
		0, 'and is not seen before');
	sql("SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names");
	$node->reload;
	$client->query_safe('SELECT 1;');
	$client->quit;
	is(sql("SELECT count(*) FROM streamlog.fetch_records('stalled', 0, 0) WHERE streamlog.as_text(value) = 'synchronous'"),
		1, 'then it is');
}

# A commit that waits for a lock too long.  Mutation: open a segment only when its
# records are appended, and partition 0 would have used an offset.
sql("SELECT streamlog.create_topic('locked', 2)");
my $segment = sql("SELECT relation FROM streamlog.segments WHERE topic = 'locked' AND partition = 1");
my $locker = $node->background_psql('postgres');
my $producer = $node->background_psql('postgres', on_error_stop => 0);
$producer->query_safe("SET lock_timeout = '200ms'; BEGIN;");
$producer->query_safe(
	"SELECT streamlog.produce('locked', 'k', 'lost', partition => $_);") for 0, 1;
$locker->query_safe('BEGIN;');
$locker->query_safe("LOCK TABLE $segment IN ACCESS EXCLUSIVE MODE;");
$producer->query("\\set VERBOSITY sqlstate\nCOMMIT;");
like($producer->{stderr}, qr/ERROR:  55P03/, 'a commit runs into lock_timeout');
$producer->{stderr} = '';
is(sql('SELECT count(*) FROM streamlog.undecided_transactions'), 0, 'it holds nobody back');
$locker->query_safe('COMMIT;');
is($producer->query_safe("SELECT streamlog.produce('locked', 'k', 'v', partition => $_);"),
	0, "and partition $_ has lost no offset") for 0, 1;
$_->quit for ($locker, $producer);
is( sql(q(
	SELECT count(*) FROM generate_series(0, 1) p, streamlog.fetch_records('locked', p, 0)
	WHERE value = 'lost')),
	0, 'nothing of it is there');

$node->stop;
done_testing();
