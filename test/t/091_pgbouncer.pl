# pgbouncer in transaction pooling: many clients on few server connections lose
# nothing, see nothing of each other, and are told offsets that are right; whatever
# the pooler does between transactions, and when clients or the pooler itself are
# killed in the middle of one.
#
# Needs what scripts/test installs: pgbouncer, psycopg 3, DBD::Pg, JDBC and a JDK.
#
# Mutations: do not let go of claims at abort; keep a privilege that was found for
# another role of the session; and those named release-before-commit and
# statement-snapshot.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use DBI;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use StreamlogHistory qw(history_seed history_node history_launch history_read history_complaints);
use StreamlogPooler;

my $seed = history_seed();
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = history_node('pgbouncer');

sub sql
{
	my ($query, $database) = @_;

	return $node->safe_psql($database // 'postgres', $query);
}

# A client of a pooler, with no prepared statements
sub client
{
	my ($pooler, $database, %options) = @_;

	return DBI->connect('dbi:Pg:' . $pooler->conninfo($database) =~ tr/ /;/r,
		'', '', { RaiseError => 1, PrintError => 0, pg_server_prepare => 0, %options });
}

sub sqlstate
{
	my ($call) = @_;

	return eval { $call->(); 1 } ? '' : $DBI::state;
}

#
# Whole histories, see StreamlogHistory.pm.  What its clients keep in a session is
# kept in variables of pgbench here: who a producer is, and where a reader is.
#
sql(q(
	ALTER SEQUENCE seen_number CACHE 1;

	CREATE FUNCTION emit(client text, size int, seed int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		key text := format('%s-%s', client, nextval('sequence_number'));
		value text := value_of(key, size);
		p int := seed % 3;
	BEGIN
		INSERT INTO produced VALUES (key, p, md5(value));
		PERFORM streamlog.produce('history', key, value, partition => p);
	END$$;

	CREATE FUNCTION emit_many(n int, client text, size int, seed int) RETURNS bigint LANGUAGE sql AS $$
		SELECT count(emit(client, size, seed + i)) FROM generate_series(1, n) i;
	$$;

	CREATE FUNCTION read_on(me text, p int, at bigint, max_records int, max_wait interval)
	RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		read_next bigint;
		keys text[];
	BEGIN
		WITH new AS (
			INSERT INTO seen
			SELECT me, p, nextval('seen_number'), record_offset, convert_from(key, 'UTF8'), md5(value)
			FROM streamlog.fetch_records('history', p, at, max_records, max_bytes => 300000, max_wait => max_wait)
			RETURNING record_offset, key)
		SELECT max(record_offset) + 1, array_agg(key) INTO read_next, keys FROM new;
		INSERT INTO orphans
		SELECT me, k FROM unnest(keys) k
		WHERE k NOT LIKE 'told-%' AND NOT EXISTS (SELECT FROM produced WHERE key = k);
		RETURN coalesce(read_next, at);
	END$$;

	CREATE ROLE app;
	GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
	GRANT SELECT, INSERT ON topic.history TO app;
	CREATE ROLE stranger));

my $random = q(
\set seed random(0, 1000)
\set size CASE WHEN random(1, 20) = 1 THEN random(1000, 20000) ELSE random(0, 300) END
\set few random(1, 5)
\set rest random(0, 5)
\set p :seed % 3
);
my %script = (
	single => q(
SELECT nextval('sequence_number') AS n \gset
SELECT streamlog.produce('history', 'told-' || :me || '-' || :n, value_of('told-' || :n, :size), partition => :p) AS told_at \gset
INSERT INTO told VALUES ('told-' || :me || '-' || :n, :p, :told_at);
),
	block => q(
BEGIN;
SELECT emit_many(:few, :me, :size, :seed);
\sleep :rest ms
SELECT emit(:me, :size, :seed);
COMMIT;
),
	rollback => q(
BEGIN;
SELECT emit_many(:few, :me, :size, :seed);
SELECT count(*) FROM streamlog.flush();
\sleep :rest ms
ROLLBACK;
),
	savepoint => q(
BEGIN;
SELECT emit_many(:few, :me, :size, :seed);
SAVEPOINT s;
SELECT emit(:me, :size, :seed);
ROLLBACK TO s;
SELECT emit(:me, :size, :seed + 1);
COMMIT;
),
	flush => q(
BEGIN;
SELECT emit_many(:few, :me, :size, :seed);
SELECT count(*) FROM streamlog.flush();
\sleep :rest ms
SELECT emit(:me, :size, :seed);
COMMIT;
),
	insert => q(
SELECT nextval('sequence_number') AS n \gset
BEGIN;
INSERT INTO produced VALUES (:me || '-' || :n, :p, md5(value_of('insert-' || :n, :size)));
INSERT INTO topic_text.history (key, value, partition) VALUES (:me || '-' || :n, value_of('insert-' || :n, :size), :p);
COMMIT;
),
	role => q(
BEGIN;
SET LOCAL ROLE app;
SELECT emit_many(:few, :me, :size, :seed);
COMMIT;
));
my %reader = (
	read => q(
SELECT read_on('reader ' || :me, :client_id % 3, :at, :few * 50, :rest * interval '1 ms') AS at \gset
),
	read_repeatably => q(
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1;
\sleep :rest ms
SELECT read_on('reader ' || :me, :client_id % 3, :at, :few * 50, '0') AS at \gset
COMMIT;
));
for my $all (\%script, \%reader)
{
	append_to_file("$dir/$_.sql", $random . $all->{$_} =~ s/:me\b/:run || '-' || :client_id/gr) for keys %$all;
}

my $runs = 0;

sub pgbench
{
	my ($pooler, $mode, $clients, $seconds, @scripts) = @_;
	my $run = 'run' . ++$runs;

	return history_launch($pooler, $dir, $run, [],
		'pgbench', '-n', '-j', 1, '-M', $mode, '--max-tries=0', '--random-seed=' . ($seed + $runs), '-c', $clients,
		'-T', $seconds, '-D', "run='$run'", '-D', 'at=0', map { ('-f', "$dir/$_.sql") } @scripts);
}

sub load
{
	my ($pooler, $seconds) = @_;

	return (
		pgbench($pooler, 'simple', 6, $seconds, sort keys %script),
		pgbench($pooler, 'extended', 6, $seconds, sort keys %script),
		pgbench($pooler, 'simple', 3, $seconds, 'read'),
		pgbench($pooler, 'extended', 3, $seconds, 'read_repeatably'));
}

sub wait_for
{
	my @wrong;

	for my $run (@_)
	{
		waitpid($run->{pid}, 0);
		push @wrong, "$run->{name}: " . substr(join("\n", grep { /error|FATAL|aborted/i } split /\n/,
				slurp_file($run->{log})), 0, 800) if $? != 0;
	}
	return join("\n", @wrong);
}

sub complaints
{
	history_read($node);
	return join("\n", history_complaints($node));
}

my $pooler = StreamlogPooler->new($node);
is(wait_for(load($pooler, 3)), '', 'everybody gets through');
cmp_ok(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
	'<=', 3, 'on three connections');
is(complaints(), '', 'and all is as it should be');

# Clients that are killed in whatever they do
my @running = load($pooler, 3);
for my $i (1 .. 6)
{
	my $victim = pgbench($pooler, $i % 2 ? 'simple' : 'extended', 4, 60, sort keys %script);

	usleep(150_000 + 50_000 * ($i % 4));
	kill('KILL', -$victim->{pid});
	waitpid($victim->{pid}, 0);
}
is(wait_for(@running), '', 'everybody else gets through when clients are killed');
is(complaints(), '', 'and all is as it should be');
$pooler->kill;

# DISCARD ALL after each transaction; and the pooler is killed
$pooler = StreamlogPooler->new($node,
	settings => "server_reset_query = DISCARD ALL\nserver_reset_query_always = 1\n");
is(wait_for(load($pooler, 2)), '', 'everybody gets through with DISCARD ALL');
for (1 .. 3)
{
	@running = load($pooler, 60);
	usleep(700_000);
	$pooler->kill;
	isnt(wait_for(@running), '', 'the pooler is killed');
	$pooler->start;
}
is(wait_for(load($pooler, 2)), '', 'it comes back');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM streamlog.undecided_transactions'),
	'what the killed pooler had begun is undone');
is(complaints(), '', 'and all is as it should be');
$pooler->kill;

# that it was a history worth the name
for my $what (
	[ 'records', 2000, 'SELECT count(*) FROM final' ],
	[ 'offsets that were told', 300, 'SELECT count(*) FROM told' ],
	[ 'records that were rolled back', 200, 'SELECT sum(record_offset + 1 - n) FROM ('
		  . 'SELECT max(record_offset) AS record_offset, count(*) AS n FROM final GROUP BY partition) s' ],
	[ 'records that were read', 2000, 'SELECT count(*) FROM seen' ])
{
	my ($name, $least, $query) = @$what;
	my $n = sql($query);

	cmp_ok($n, '>=', $least, "there are $name: $n");
}

#
# One by one, on a single server connection
#
sql("ALTER DATABASE postgres SET search_path = public, streamlog; SELECT streamlog.create_topic('plain')");
$pooler = StreamlogPooler->new($node, settings => "default_pool_size = 1\n");

sub log_of
{
	my ($topic) = @_;

	return sql("SELECT string_agg(as_text(value), ',' ORDER BY record_offset) FROM fetch_records('$topic', 0, 0)");
}

my ($one, $two) = map { client($pooler, 'postgres') } 1, 2;
my $pid = 'SELECT pg_backend_pid()';
is($one->selectrow_array($pid), $two->selectrow_array($pid), 'two clients on one connection');
is($one->selectrow_array("SELECT produce('plain', 'k', 'a')"), 0, 'an offset is told');
is($two->selectrow_array("SELECT produce('plain', 'k', 'b')"), 1, 'and to the other client');

# A client is gone in the middle of a transaction.
for my $flush (0, 1)
{
	my $lost = client($pooler, 'postgres');

	$lost->begin_work;
	$lost->do("SELECT produce('plain', 'k', 'lost')");
	$lost->do('SELECT * FROM flush()') if $flush;
	POSIX::close($lost->{pg_socket});
	$lost->{InactiveDestroy} = 1;
	is($two->selectrow_array("SELECT produce('plain', 'k', 'c$flush')"), $flush ? 4 : 2,
		'a client is gone, and its records with it');
}
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM undecided_transactions'),
	'nothing is held back');
is(log_of('plain'), 'a,b,c0,c1', 'only what was committed is there');

# What a transaction may is its role's affair, and ends with it.
for (1 .. 2)
{
	$one->begin_work;
	$one->do('SET LOCAL ROLE stranger');
	is(sqlstate(sub { $one->do("SELECT produce('plain', 'k', 'lost')") }), '42501', 'a role may not produce');
	$one->rollback;
	$one->begin_work;
	$one->do('SET LOCAL ROLE stranger');
	is(sqlstate(sub { $one->do("SELECT * FROM fetch_records('plain', 0, 0)") }), '42501', 'and not read');
	$one->rollback;
	is(sqlstate(sub { $two->do("SELECT produce('plain', 'k', 'd$_')") }), '', 'the next transaction has its own');
}
$one->do('DISCARD ALL');
is(sqlstate(sub { $two->do("SELECT produce('plain', 'k', 'e')") }), '', 'DISCARD ALL takes nothing away');
is(sqlstate(sub { $two->do("SELECT produce('missing', 'k', 'v')") }), 'SL007', 'an error has its code');
is(log_of('plain'), 'a,b,c0,c1,d1,d2,e', 'and everything is there once');
$_->disconnect for $one, $two;

# Statements that a driver prepares
my $prepared = StreamlogPooler->new($node);
sql("SELECT create_topic('drivers')");
my $python = q(
import psycopg, sys
connections = [psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=%s) for _ in range(4)]
# others are in a transaction now and then, so that the server connections change
for i in range(40):
    conn = connections[i %% 3]
    other = connections[3]
    if i %% 4 == 0:
        other.execute("BEGIN")
    conn.execute("SELECT produce('drivers', %%s, %%s)", (i, b"\\x00"))
    conn.execute("SELECT record_offset, value FROM fetch_records('drivers', 0, %%s)", (0,)).fetchall()
    if i %% 4 == 2:
        other.execute("COMMIT")
);
my ($out, $err) = ('', '');
my $conninfo = $prepared->conninfo('postgres');
ok(IPC::Run::run([ '/usr/bin/python3', '-c', sprintf($python, 'None'), $conninfo ], '>', \$out, '2>', \$err),
	'psycopg without prepared statements') or diag($err);
is(sql("SELECT count(*), min(length(value)), max(as_text(key)::int) FROM fetch_records('drivers', 0, 0)"),
	'40|1|39', 'all of it has arrived');
if (StreamlogPooler::version() < 1021)
{
	ok(!IPC::Run::run([ '/usr/bin/python3', '-c', sprintf($python, '0'), $conninfo ], '>', \$out, '2>', \$err),
		'with them this pgbouncer cannot do it');
	like($err, qr/prepared statement .* (does not|already) exist/, 'as the README says');
}
$prepared->kill;

# The README's Java program behind a pooler; it is woken there, too.
sub block
{
	my ($kind) = @_;
	my ($section) = slurp_file("$FindBin::Bin/../../README.md") =~ /^## From your language\n(.*?)^## /ms;

	return $section =~ /^```\Q$kind\E\n(.*?)^```$/ms ? $1 : die "no block of $kind";
}

$node->safe_psql('postgres', 'CREATE DATABASE shop');
sql('ALTER DATABASE shop SET search_path = "$user", public, streamlog');
sql('CREATE EXTENSION streamlog; ' . block('sql'), 'shop');
my $shop = StreamlogPooler->new($node,
	databases => "shop_readers = SERVER dbname=shop pool_size=10\n");
append_to_file("$dir/Payments.java", block('java'));
my $java = IPC::Run::start([
	'java', '-XX:TieredStopAtLevel=1', '-cp', '/usr/share/java/postgresql.jar', "$dir/Payments.java",
	'jdbc:postgresql://127.0.0.1:' . $shop->port . "/shop?user=$shop->{user}&prepareThreshold=0" ],
	'>', \$out, '2>', \$err);

# Meanwhile: readers that wait have their connections.  With their own pool nobody
# else has to wait for one.
sub readers
{
	my ($database, $topic, $max_wait) = @_;

	return map {
		history_launch($shop, $dir, "reader$_", [], 'psql', '-XAt', '-d', $shop->conninfo($database), '-c',
			"SELECT count(*) FROM fetch_records('$topic', 0, 0, max_wait => '$max_wait')")
	} 1 .. 3;
}

sub waiting
{
	return $node->poll_query_until('shop', q(
		SELECT count(*) = 3 FROM pg_stat_activity WHERE query ~ 'rooms?.*max_wait' AND wait_event = 'Extension'));
}

sql("SELECT create_topic('room'); SELECT create_topic('rooms')", 'shop');
@running = readers('shop_readers', 'room', '30s');
ok(waiting(), 'three readers wait in a pool of their own');
is(client($shop, 'shop')->selectrow_array("SELECT produce('room', 'k', 'v')"), 0, 'a producer gets through');
is(wait_for(@running), '', 'and wakes them');
is(slurp_file("$dir/reader$_.log"), "1\n", 'with its record') for 1 .. 3;

$java->finish;
is($out, (slurp_file("$FindBin::Bin/../../README.md") =~ /^```\n(appended at .*?)^```$/ms)[0],
	'the Java program prints what the README says') or diag($err);

@running = readers('shop', 'rooms', '5s');
ok(waiting(), 'three readers have all connections');
my $producer = history_launch($shop, $dir, 'producer', [], 'psql', '-XAt', '-d', $shop->conninfo('shop'), '-c',
	"SELECT produce('rooms', 'k', 'v')");
usleep(100_000) until $shop->pool('shop', 'cl_waiting') || waitpid($producer->{pid}, POSIX::WNOHANG());
is($shop->pool('shop', 'cl_waiting'), 1, 'a producer waits for one of them');
is(wait_for(@running, $producer), '', 'until one of them has waited in vain');
is(slurp_file("$dir/producer.log"), "0\n", 'then it produces');

is(sql("SELECT string_agg(problem, ' ') FROM topics, check_topic(topic)"), '', 'in order');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000/, 'the server lives on');
$_->kill for $pooler, $shop;
$node->stop;
done_testing();
