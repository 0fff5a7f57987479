# The launcher and the workers: that they run, come back and go away, and that
# databases can be dropped, renamed, moved and copied all the same.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init;
$node->append_conf('postgresql.conf', "allow_in_place_tablespaces = on\n");
$node->start;

# "Soon" is well before the launcher would look for itself, once a minute.
sub soon
{
	my ($db, $query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 30;

	ok($node->poll_query_until($db, $query), $what);
	return;
}

my $worker = "SELECT pid FROM pg_stat_activity"
  . " WHERE backend_type = 'streamlog worker' AND datname = ";
my $count = "SELECT count(*) FROM pg_stat_activity"
  . " WHERE backend_type = 'streamlog worker' AND datname = ";

sub worker_pid
{
	my ($db) = @_;

	return $node->safe_psql('postgres', "$worker '$db'");
}

sub has_worker
{
	my ($db, $what) = @_;

	soon('postgres', "SELECT ($count '$db') = 1", $what);
	return worker_pid($db);
}

sub make_database
{
	my ($db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION streamlog');
	return has_worker($db, "$db has a worker");
}

# Run a command that wants nobody to be connected to a database: it must not have
# to wait until PostgreSQL gives up, which takes 5 s.
sub quick
{
	my ($command, $what, $setting) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql('postgres', $command);

	is($rc, 0, "$what: $command") or diag($err);
	cmp_ok(time - $start, '<', 4.5, "$what without waiting for the worker");
	return;
}

# Where there is no extension there is no worker; where there is one, from its
# CREATE EXTENSION on.  Mutation: do not note CREATE EXTENSION in the utility hook.
soon(
	'postgres', q(
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'streamlog launcher' AND datname IS NULL),
	'the launcher runs and is connected to no database');
soon('postgres', "SELECT ($count 'postgres') = 0",
	'no worker without the extension');
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $pid = has_worker('postgres', 'CREATE EXTENSION starts the worker');

$node->safe_psql('postgres',
	'CREATE DATABASE rolled_back; ');
$node->safe_psql('rolled_back', 'BEGIN; CREATE EXTENSION streamlog; ROLLBACK');
is($node->safe_psql('postgres', "$count 'rolled_back'"),
	0, 'one that is rolled back does not');

# The view.
soon(
	'postgres', q(
	SELECT array_agg(kind || ' ' || coalesce(database, '-') ORDER BY kind)
		= ARRAY['launcher -', 'worker postgres']
		AND bool_and(pid > 0 AND started <= last_run)
	FROM streamlog.workers),
	'the view workers shows both, and that they have run');

# Nothing is held between two looks, or VACUUM in the whole cluster would wait.
# Mutation: leave the transaction of a job open.
soon(
	'postgres', q(
	SELECT state = 'idle' AND backend_xmin IS NULL AND xact_start IS NULL
	FROM pg_stat_activity WHERE backend_type = 'streamlog worker'),
	'an idle worker holds no snapshot');

# They come back, and nobody who produces needs them.
# Mutation: no second start_worker() for a database.
$node->safe_psql('postgres', "SELECT streamlog.create_topic('t')");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
is($node->safe_psql('postgres', "SELECT streamlog.produce('t', 'k', 'v')"),
	0, 'produce while the worker is away');
soon(
	'postgres', "SELECT ($count 'postgres') = 1 AND ($worker 'postgres') <> $pid",
	'a worker that was terminated comes back');
$pid = worker_pid('postgres');

# Mutation: let the launcher take RUNNING slots for its own at its start.
my $launcher = $node->safe_psql('postgres',
	"SELECT pid FROM streamlog.workers WHERE kind = 'launcher'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
soon(
	'postgres', qq(
	SELECT count(*) = 1 FROM streamlog.workers
	WHERE kind = 'launcher' AND pid <> $launcher AND last_run IS NOT NULL),
	'a launcher that was terminated comes back');
is(worker_pid('postgres'), $pid, 'and the worker has lived on');

# Mutation: CHECK_FOR_INTERRUPTS() while a cancel is pending.
$node->safe_psql('postgres',
	'SELECT pg_cancel_backend(pid) FROM streamlog.workers');
soon(
	'postgres', qq(
	SELECT bool_and(last_run > clock_timestamp() - interval '100 ms')
		AND bool_or(pid = $pid) FROM streamlog.workers WHERE kind = 'worker'),
	'a cancel does not end a worker');

# Databases.
my $d1 = make_database('d1');
$node->safe_psql('d1', "SELECT streamlog.create_topic('copied')");
quick('CREATE DATABASE d2 TEMPLATE d1', 'copy a database with a worker');
has_worker('d1', 'the worker is back');
has_worker('d2', 'the copy has one of its own');
quick('ALTER DATABASE d2 RENAME TO d3', 'rename');
has_worker('d3', 'the worker is back');
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION ''");
quick('ALTER DATABASE d3 SET TABLESPACE elsewhere', 'move');
has_worker('d3', 'the worker is back');
my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = 'd3'");
$node->safe_psql('d3', "SELECT streamlog.produce('copied', 'k', 'v')");
quick('DROP DATABASE d3', 'drop');
is( $node->safe_psql('postgres', "$count 'd3'"), 0,
	'the worker is gone with it');

# One with the same OIDs.  Mutation: do not forget the partitions of a database that is
# dropped.
quick("CREATE DATABASE d3 TEMPLATE d1 OID = $oid", 'a database with the OID of another');
is($node->safe_psql('d3', "SELECT streamlog.produce('copied', 'k', 'v')"),
	0, 'has a log of its own');
quick('DROP DATABASE d3', 'drop it');

# The control: without the hold PostgreSQL refuses.
SKIP:
{
	my ($rc, $out, $err) = $node->psql('postgres', 'SHOW streamlog.mutants');

	skip 'built without WAITPOINTS', 1 if $rc != 0;
	($rc, $out, $err) = $node->psql('postgres',
		"SET streamlog.mutants = 'no-hold'; ALTER DATABASE d1 RENAME TO d2");
	like($err, qr/being accessed by other users/,
		'without a hold a database cannot be renamed');
}

# A command that fails gives the worker back, while its session lives on.
# Mutation: release the holds at COMMIT only.
my ($rc, $out, $err);
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query('ALTER DATABASE d1 RENAME TO postgres');
like($session->{stderr}, qr/already exists/, 'a rename that fails');
$session->{stderr} = '';
has_worker('d1', 'the worker is back after an error');

# While a transaction has renamed a database nobody can connect to it, and no
# worker tries; it comes back when the session dies.  Mutation: release the holds
# when the command has ended; keep them when the session has.
$session->query_safe('BEGIN; ALTER DATABASE d1 RENAME TO d4');
my $launched = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT -1');
soon(
	'postgres', qq(
	SELECT bool_and(last_run > '$launched')
		AND max(last_run) > timestamptz '$launched' + interval '1 s'
	FROM streamlog.workers),
	'the launcher has looked at the databases, and had time to start a worker');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM streamlog.workers WHERE database = 'd1'"),
	0,
	'no worker while it is held, not even one that waits');
my $holder = $session->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($holder)");
$d1 = has_worker('d1', 'the worker is back when the session has died');
$session->quit;

# Who may not drop a database does not stop its worker either.
# Mutation: hold without asking may_use().
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE maker LOGIN CREATEDB');
for my $command (
	'DROP DATABASE d1',
	'ALTER DATABASE d1 RENAME TO d5',
	'ALTER DATABASE d1 SET TABLESPACE pg_default',
	'CREATE DATABASE d5 TEMPLATE d1')
{
	for my $role ('nobody', 'maker')
	{
		($rc, $out, $err) =
		  $node->psql('postgres', $command, extra_params => [ '-U', $role ]);
		isnt($rc, 0, "$role may not: $command");
	}
}
is(worker_pid('d1'), $d1, 'and the worker has not been disturbed');

# A database that becomes a template loses its worker, and gets it back.
# Mutation: do not look for databases that are no longer listed.
$node->safe_psql('postgres', 'ALTER DATABASE d1 IS_TEMPLATE true');
soon('postgres', "SELECT ($count 'd1') = 0", 'no worker in a template');
$node->safe_psql('postgres', 'ALTER DATABASE d1 IS_TEMPLATE false');
has_worker('d1', 'and one when it is none any more');

# DROP EXTENSION is not hindered, and the worker notices by itself.
# Mutation: keep a lock between two ticks; do not look for the extension.
$node->safe_psql('d1', "SELECT streamlog.create_topic('wide', 40)");
$node->safe_psql('d1',
	"SET lock_timeout = '10s'; DROP EXTENSION streamlog CASCADE");
soon('postgres', "SELECT ($count 'd1') = 0", 'no worker without the extension');
$node->safe_psql('d1', 'CREATE EXTENSION streamlog');
has_worker('d1', 'and a new one with the next');

# What anybody has set for the database has no say in what the worker does.
# Mutation: no harden_settings(), or without any one of most of its lines.
$node->safe_psql(
	'd1', q(
	CREATE SCHEMA evil;
	CREATE FUNCTION evil.refuse() RETURNS event_trigger LANGUAGE plpgsql
		AS $$BEGIN RAISE 'an event trigger has run'; END$$;
	CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION evil.refuse();
	SET session_replication_role = replica;
	ALTER DATABASE d1 SET search_path = evil;
	ALTER DATABASE d1 SET role = nobody;
	ALTER DATABASE d1 SET default_transaction_read_only = on;
	ALTER DATABASE d1 SET default_transaction_isolation = serializable;
	ALTER DATABASE d1 SET default_tablespace = elsewhere;
	ALTER DATABASE d1 SET statement_timeout = 1;
	SELECT pg_terminate_backend(pid) FROM streamlog.workers WHERE kind = 'worker'
		AND database = 'd1';));
my $pgoptions = $ENV{PGOPTIONS};
$ENV{PGOPTIONS} = '-c statement_timeout=0 -c role=none'
  . ' -c default_transaction_read_only=off -c session_replication_role=replica';
$node->safe_psql('d1', "SELECT streamlog.create_topic('wider', 70)");
soon(
	'd1', q(
	SELECT count(*) = 70 AND count(*) FILTER (WHERE c.reltablespace <> 0) = 0
	FROM streamlog.topic t JOIN streamlog.segment s USING (topic_id)
	JOIN pg_class c ON c.oid = s.relation WHERE t.name = 'wider'),
	'segments are made whatever is set for the database');
$ENV{PGOPTIONS} = $pgoptions;
delete $ENV{PGOPTIONS} unless defined $pgoptions;

# An error that comes again at every look is logged once in a minute, ends
# nothing, and does not keep the others.  Mutation: no PG_CATCH, no throttling in report_error(),
# no turns among the topics.
$node->safe_psql(
	'postgres', q(
	BEGIN;
	SELECT streamlog.create_topic('broken', 33);
	SET allow_system_table_mods = on;
	ALTER TABLE topic.broken ENABLE ROW LEVEL SECURITY;
	RESET allow_system_table_mods;
	COMMIT;
	SELECT streamlog.create_topic('fine', 50);));
soon(
	'postgres', q(
	SELECT count(*) = 50 FROM streamlog.segments WHERE topic = 'fine'),
	'other topics get their first segments');

# from the worker's next look but two on it has met the broken one again
soon(
	'postgres', q(
	SELECT last_run > (SELECT created FROM streamlog.topics WHERE topic = 'fine')
		+ interval '3 s' FROM streamlog.workers WHERE database = 'postgres'),
	'the worker looks again');
is(worker_pid('postgres'), $pid, 'and has not ended');
my $log = slurp_file($node->logfile);
my $errors = () = $log =~ /streamlog worker.*ERROR: .*not fit to be a topic/g;
ok($errors >= 1 && $errors <= 3, "the error is logged ($errors), once for a job");
$node->safe_psql('postgres', "DROP EXTENSION streamlog CASCADE");

# Two databases and one slot: the log says so once, and a slot that falls free is
# used.  Mutation: the end of a worker wakes nobody.
$node->append_conf('postgresql.conf', "streamlog.max_workers = 1\n");
$node->restart;
$d1 = has_worker('d1', 'one database has the only worker');
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', "SELECT streamlog.create_topic('t')");
is($node->safe_psql('postgres', "SELECT streamlog.produce('t', 'k', 'v')"),
	0, 'produce without a worker');
is($node->safe_psql('postgres', "$count 'postgres'"), 0, 'there is no slot');
$node->safe_psql('postgres', 'DROP DATABASE d1');
has_worker('postgres', 'a slot that falls free is used');
like(
	slurp_file($node->logfile),
	qr/streamlog cannot start a worker in every database/,
	'the log tells which setting to raise');

# No worker at all: all but the first segments of wide topics goes on.
# Mutation: let a producer make a segment that its transaction does not own.
$node->append_conf('postgresql.conf', "streamlog.max_workers = 0\n");
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamlog.workers'),
	0, 'no launcher, no worker');
$node->safe_psql('postgres', "SELECT streamlog.create_topic('wide', 33)");
is( $node->safe_psql('postgres',
		"SELECT streamlog.produce('wide', 'k', 'v', partition => 31)"),
	0, 'produce to a partition that has a segment');
($rc, $out, $err) = $node->psql('postgres',
	"SELECT streamlog.produce('wide', 'k', 'v', partition => 32)");
like($err, qr/has no segment yet.*view "workers"/s,
	'and what is said where there is none');

$node->stop;
done_testing();
