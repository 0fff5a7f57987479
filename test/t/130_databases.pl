# Several databases with topics that look the same, copies of databases, databases
# that are renamed, moved and dropped while they are in use, and an extension that is
# dropped and made again.  What the workers do meanwhile is 040_worker.pl's.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamlogLoad qw(load_setup load_start load_stop load_check load_ends load_goes_on);
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('databases');
$node->init;
$node->append_conf(
	'postgresql.conf', q(
allow_in_place_tablespaces = on
streamlog.worker_naptime = 100ms
streamlog.max_partitions = 64
streamlog.max_undecided = 64
wal_writer_delay = 10s
));
$node->start;

sub sql
{
	my ($db, $query) = @_;

	return $node->safe_psql($db, $query);
}

sub soon
{
	my ($db, $query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 30;

	ok($node->poll_query_until($db, $query), $what);
	return;
}

sub has_worker
{
	my ($db) = @_;

	soon('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'streamlog worker' AND datname = '$db'",
		"$db has a worker");
	return;
}

# Enough for every partition to roll
sub rolls
{
	my ($db, $what) = @_;
	my $before = sql($db, "SELECT count(*) FROM streamlog.segments WHERE topic = 'log'");

	sql($db, "SELECT load(6000, p) FROM generate_series(0, 2) p");
	soon($db, "SELECT count(*) >= $before + 3 FROM streamlog.segments WHERE topic = 'log'", "$what: the worker rolls");
	return;
}

my $records = q(SELECT count(*), md5(string_agg(l::text, ',')) FROM log_keys() l);

# Twins: two databases in which everything has the same OID and the same id.
# Mutations: no database in the key of a partition; in the tag of an append lock.
sql('postgres', 'CREATE DATABASE one');
sql('one', 'CREATE EXTENSION streamlog');
load_setup($node, 'one');
sql('one', "SELECT load(20, 0)");
sql('postgres', 'CREATE DATABASE two TEMPLATE one');
my $identity = q(SELECT topic_id, relation::oid FROM streamlog.topics WHERE topic = 'log');
is(sql('one', $identity), sql('two', $identity), 'two databases have a topic with the same ids');
has_worker($_) for 'one', 'two';

my $holder = $node->background_psql('one');
$holder->query_safe("BEGIN; SELECT load(5, 0);");
$holder->query_safe('SELECT count(*) FROM streamlog.flush();');
is(sql('one', 'SELECT count(*) FROM streamlog.undecided_transactions'), 1, 'what is undecided in one');
is(sql('two', 'SELECT count(*) FROM streamlog.undecided_transactions'), 0, 'is not shown in the other');
is(sql('two', "SELECT load(1, 0); SELECT streamlog.end_offset('log', 0)"), "\n21", 'and holds nobody back there');
is(load_ends($node, 'one'), '20 0 0', 'nor does what is produced in one show in the other');

# Who waits in one is not woken from the other.
{
	my $out = '';
	my $start = time;
	my $waiter = IPC::Run::start(
		[
			'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'two', '-c',
			q(SELECT count(*) FROM streamlog.fetch_records('log', 0, 21, max_wait => '6 s'))
		],
		'>', \$out);
	soon('two', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ 'max_wait' AND wait_event_type = 'Extension'"
			. ' AND pid <> pg_backend_pid()', 'a reader waits');
	$holder->query_safe('COMMIT;');
	sql('one', "SELECT load(1, 0)") for 1 .. 3;
	$waiter->finish;
	is($out, "0\n", 'for what is produced in its own database only');
	cmp_ok(time - $start, '>=', 6, 'to the end of its time');
	is(load_ends($node, 'one'), '28 0 0', 'while the other has gone on');
	is(load_ends($node, 'two'), '21 0 0', 'and it has not');
}
$holder->quit;

# Who is appending in one keeps nobody in the other from it.
SKIP:
{
	skip 'built without WAITPOINTS', 3 if ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] != 0;
	my $stopper = $node->background_psql('one');
	my $producer = $node->background_psql('one');

	$stopper->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('append-allocated'));");
	$producer->query_safe("SET streamlog.waitpoints = 'append-allocated';");
	$producer->query_until(qr/sent/, "\\echo sent\nSELECT load(1, 0);\n");
	soon('one', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 'a producer is in the middle of an append');
	is(sql('two', "SET lock_timeout = '2s'; SELECT load(1, 0); SELECT streamlog.end_offset('log', 0)"),
		"\n22", 'one in the other database passes it');
	$stopper->query_safe('SELECT pg_advisory_unlock_all();');
	$_->quit for $producer, $stopper;
	is(load_ends($node, 'one'), '29 0 0', 'and both have produced');
}

# Both at once, and both logs are what was committed there.
my @loads = map { load_start($node, $_) } 'one', 'two';
soon('one', "SELECT count(*) > 6 FROM streamlog.segments WHERE topic = 'log'", 'both roll');
soon('two', "SELECT count(*) > 6 FROM streamlog.segments WHERE topic = 'log'", 'both roll');
load_stop($node, 'one', $loads[0]);

# A copy of a database whose producers have just stopped, and have committed without
# waiting for WAL; the other goes on meanwhile.
# Mutation: do not flush what readers of the copy will see; keep the worker.
sql('one', "SET synchronous_commit = off; BEGIN; SELECT load(10, 1); COMMIT;"
	. " BEGIN; SELECT load(10, 2); SELECT count(*) FROM streamlog.flush(); ROLLBACK");
my $is = sql('one', $records);
my $ends = load_ends($node, 'one');
my %copies = (logged => 'wal_log', filed => 'file_copy');
sql('postgres', "CREATE DATABASE $_ TEMPLATE one STRATEGY $copies{$_}") for sort keys %copies;
load_stop($node, 'two', $loads[1]);
for my $db ('logged', 'filed')
{
	is(sql($db, $records), $is, "$db: the copy has the same records");
	is(load_ends($node, $db), $ends, 'and ends');
	load_check($node, $db, $db);
}
$node->stop('immediate');
$node->start;
for my $db ('one', 'two', 'logged', 'filed')
{
	is(sql($db, $records), $is, "$db after a crash: the same records") if $db ne 'two';
	load_goes_on($node, $db, load_ends($node, $db), "$db after a crash");
	rolls($db, $db);
	has_worker($db);
}

# each has gone its own way
sql('logged', "SELECT streamlog.create_topic('more'); SELECT streamlog.produce('more', 'k', 'logged')");
sql('one', "SELECT streamlog.create_topic('more'); SELECT streamlog.produce('more', 'k', 'one')");
is( sql($_, q(SELECT string_agg(streamlog.as_text(value), ' ') FROM streamlog.fetch_records('more', 0, 0))),
	$_, "$_: a topic of its own") for 'logged', 'one';
is(sql('filed', "SELECT count(*) FROM streamlog.topics"), 1, 'of which another copy knows nothing');
sql('logged', "SELECT streamlog.drop_topic('log')");
load_check($node, 'one', 'a topic was dropped in the copy');
sql('postgres', 'DROP DATABASE logged');
load_check($node, 'one', 'the copy was dropped');
load_check($node, 'filed', 'and the other copy');

# Renamed and moved.  Mutation: remember a block by database and relation alone.
my $oid = sql('postgres', "SELECT oid FROM pg_database WHERE datname = 'one'");
$is = sql('one', $records);
$ends = load_ends($node, 'one');
sql('postgres', 'ALTER DATABASE one RENAME TO uno');
is(sql('uno', $records), $is, 'renamed: the same records');
load_goes_on($node, 'uno', $ends, 'renamed');
$is = sql('uno', $records);
$ends = load_ends($node, 'uno');
sql('postgres', "CREATE TABLESPACE elsewhere LOCATION ''");
sql('postgres', 'ALTER DATABASE uno SET TABLESPACE elsewhere');
is(sql('uno', $records), $is, 'moved: the same records');
load_goes_on($node, 'uno', $ends, 'moved');
rolls('uno', 'moved');
is(sql('postgres', "SELECT datname FROM pg_database WHERE oid = $oid"), 'uno', 'and it is the same database');

# Somebody who is connected keeps a database from being copied or dropped; the worker,
# which was sent away for that, comes back.
{
	my $session = $node->background_psql('uno');

	$session->query_safe("BEGIN; SELECT load(1, 0);");
	for my $command ('CREATE DATABASE never TEMPLATE uno', 'DROP DATABASE uno')
	{
		my ($rc, $out, $err) = $node->psql('postgres', $command);

		like($err, qr/is being accessed by other users\n.*There is 1 other session/s, "refused: $command");
	}
	has_worker('uno');
	$session->query_safe('COMMIT;');
	$session->quit;
	load_check($node, 'uno', 'a producer that was there meanwhile');
}

# Dropped while producers run, a reader waits and a transaction is undecided; nothing
# of it is left in shared memory.  Mutation: leave the claims of a process that dies.
{
	sql('two', "SELECT streamlog.create_topic('idle')");
	my $load = load_start($node, 'two');
	my $session = $node->background_psql('two', on_error_stop => 0);
	my $waiter = IPC::Run::start(
		[
			'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'two', '-c',
			q(SELECT 1 FROM streamlog.fetch_records('idle', 0, 0, max_wait => '30 s'))
		],
		'>&', \my $out);
	$session->query_safe("BEGIN; SELECT load(5, 0);");
	$session->query_safe('SELECT count(*) FROM streamlog.flush();');
	soon('two', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ 'max_wait' AND wait_event_type = 'Extension'"
			. ' AND pid <> pg_backend_pid()', 'a reader waits');

	my $start = time;
	my ($rc, $stdout, $err) = $node->psql('postgres', 'DROP DATABASE two WITH (FORCE)');
	is($rc, 0, 'a database can be dropped under load') or diag($err);
	cmp_ok(time - $start, '<', 20, 'without waiting for the worker');
	$waiter->finish;
	like($out, qr/terminating connection/, 'the reader has been ended');
	$load->kill_kill;
	eval { $session->quit };
}
has_worker('uno');
sql('uno', "SELECT streamlog.create_topic('wide', 64)");
soon('uno', "SELECT count(*) = 64 FROM streamlog.segments WHERE topic = 'wide'", 'a topic as wide as shared memory');
is( sql('uno', q(BEGIN; SELECT count(streamlog.produce('wide', 'k', 'v', partition => p)) FROM generate_series(0, 63) p;
		SELECT count(*) FROM streamlog.flush();
		SELECT count(*) FROM streamlog.undecided_transactions; COMMIT)),
	"0\n64\n64", 'all of shared memory can be used again');
load_check($node, 'uno', 'another database was dropped');

# DROP EXTENSION under load, while its worker runs; then one that is new.
# Mutation: keep what a backend knows of topics.
my $old = $node->background_psql('filed', on_error_stop => 0);
is($old->query_safe("SELECT count(*) FROM streamlog.fetch_records('log', 0, 0, 10);"), 10, 'a session that has read');
$old->query_safe("SELECT load(3, 0);");
my ($rc, $out, $err) = $node->psql('filed', 'DROP EXTENSION streamlog');
like($err, qr/other objects depend on it/, 'DROP EXTENSION refuses while there are topics');
my $load = load_start($node, 'filed');
for my $try (1 .. 20)
{
	# as any DROP, it and a producer may wait for each other
	($rc, $out, $err) = $node->psql('filed', 'SET client_min_messages = error; DROP EXTENSION streamlog CASCADE');
	last if $rc == 0 || $err !~ /deadlock detected/;
}
is($rc, 0, 'DROP EXTENSION CASCADE under load') or diag($err);
$load->kill_kill;
is( sql('filed', "SELECT count(*) FROM pg_namespace WHERE nspname IN ('streamlog', 'topic', 'streamlog_segment')"),
	0, 'nothing is left');
$old->query("SELECT load(1, 0);");
like($old->{stderr}, qr/schema "streamlog" does not exist/, 'the session is told so');
$old->{stderr} = '';

sql('postgres', 'CREATE ROLE boss LOGIN SUPERUSER; CREATE ROLE app LOGIN');
sql('filed', 'DROP TABLE produced; DROP FUNCTION load, log_keys');
$node->safe_psql('filed', 'CREATE EXTENSION streamlog', extra_params => [ '-U', 'boss' ]);
has_worker('filed');
load_setup($node, 'filed');
is(load_ends($node, 'filed'), '0 0 0', 'a topic of the same name has nothing of the old one');
is(sql('filed', "SELECT topic_id FROM streamlog.topics"), 1, 'although its id is the same');
$old->query_safe("SELECT load(3, 0);");
is($old->query_safe("SELECT min(record_offset), count(*) FROM streamlog.fetch_records('log', 0, 0, 10);"),
	'0|3', 'a session that knew the old one begins anew');
$old->quit;
rolls('filed', 'made again');
load_check($node, 'filed', 'made again');

# An owner that is another than that of the other databases, and no longer a superuser.
# Mutation: make segments as the bootstrap superuser.
sql('filed', 'GRANT CREATE, USAGE ON SCHEMA topic TO app');
sql('postgres', 'ALTER ROLE boss NOSUPERUSER');
$node->safe_psql('filed', q(SELECT streamlog.create_topic('apps', 40, config => '{"segment.bytes": 1048576}')),
	extra_params => [ '-U', 'app' ]);
soon('filed', "SELECT count(*) = 40 FROM streamlog.segments WHERE topic = 'apps'", 'the worker makes segments');
sql('filed', q(SELECT count(*) FROM streamlog.produce_batch('apps', NULL, array_fill(repeat('x', 1000), ARRAY[3000]), partition => 7)));
soon('filed', "SELECT count(*) = 41 FROM streamlog.segments WHERE topic = 'apps'", 'and rolls');
is( sql('filed', q(SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM streamlog.segments JOIN pg_class c ON c.oid = relation)),
	'boss', 'all of them are of the owner of the extension');
is( sql('uno', q(SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM streamlog.segments JOIN pg_class c ON c.oid = relation)),
	sql('postgres', 'SELECT current_user'), 'which in another database is another');
sql('postgres', 'CREATE DATABASE copied TEMPLATE filed');
has_worker('copied');
rolls('copied', 'a copy of that');
$node->safe_psql('copied', "SELECT streamlog.drop_topic('apps')", extra_params => [ '-U', 'app' ]);
soon('copied', "SELECT count(*) = 1 FROM streamlog.topic", 'a topic is dropped in the copy');
is(sql('filed', "SELECT count(*) FROM streamlog.segments WHERE topic = 'apps'"), 41, 'and lives on here');

# A template1 that has the extension, and a topic: each new database begins with both.
sql('template1', q(CREATE EXTENSION streamlog; SELECT streamlog.create_topic('born', config => '{"segment.bytes": 1048576}');
	SELECT streamlog.produce('born', 'k', 'v')));
sql('postgres', "CREATE DATABASE $_") for 'x', 'y';
has_worker($_) for 'x', 'y';
is(sql('x', "SELECT streamlog.produce('born', 'k', 'v')"), 1, 'a database from such a template');
is(sql($_, "SELECT streamlog.end_offset('born', 0)"), $_ eq 'x' ? 2 : 1, "its topic is its own in $_") for 'x', 'y', 'template1';

# Mutation: log also what a job meets while its extension goes.
my @errors = grep { !/lock timeout|deadlock/ }
  slurp_file($node->logfile) =~ /streamlog worker ((?:ERROR|PANIC):.*)/g;
is("@errors", '', 'no worker has had an error');
$node->stop;
done_testing();
