# Waiting for records with wait_for_records(): what it holds meanwhile, what ends it,
# and what it leaves behind.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $node = PostgreSQL::Test::Cluster->new('wait');
$node->init;
$node->append_conf(
	'postgresql.conf', q(
max_connections = 240
streamlog.max_partitions = 64
streamlog.worker_naptime = 100ms
autovacuum = off
));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog; CREATE EXTENSION dblink');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, streamlog');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub soon
{
	my ($query, $what) = @_;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

my $number = 0;

# Start a client that waits, by default psql with these commands; returns it when
# it sleeps, or what the condition says.
sub start
{
	my ($commands, %how) = @_;
	my $name = 'waiter' . ++$number;
	my $client = { name => $name, out => '', err => '' };
	my $file = $node->basedir . "/$name.sql";
	my @command = $how{command} ? @{ $how{command} } : ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file);

	append_to_file($file, $commands) if !$how{command};
	local $ENV{PGAPPNAME} = $name;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	$client->{run} = IPC::Run::start(\@command, '<', \undef, '>', \$client->{out},
		'2>', \$client->{err}, IPC::Run::timeout($limit));
	my $sleeps = $how{until} || "wait_event_type = 'Extension' AND state = 'active'";
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$name' AND $sleeps")
	  or die "$name does not wait: $client->{out} $client->{err}";
	return $client;
}

# The client comes to its end, with this output or error.
sub ends
{
	my ($client, $what, %how) = @_;

	my $succeeded = $client->{run}->finish;

	if ($how{fails})
	{
		like($client->{err}, $how{fails}, $what);
	}
	else
	{
		ok($succeeded, $what) or diag($client->{err});
		like($client->{out}, $how{like}, "$what: its output") if $how{like};
	}
	return;
}

sub told
{
	my ($client, $columns) = @_;

	return sql("SELECT $columns FROM pg_stat_activity WHERE application_name = '$client->{name}'");
}

sub signal_waiter
{
	my ($client, $function) = @_;

	sql("SELECT $function(pid) FROM pg_stat_activity WHERE application_name = '$client->{name}'");
	return;
}

my $wait = "CALL wait_for_records('t', max_wait => '1 hour');";

sql("SELECT create_topic('t', 5), create_topic('other', 3), create_topic('grows')");

# This one comes to its end by itself, in 10 s: see below.
my $grows = start("CALL wait_for_records('grows'); SELECT 'returned';");

# Every form in which a call can wait holds no snapshot and no xid, and is woken by a
# record of any partition.  Mutations: wait-with-snapshot; the catalog's snapshot is
# kept.
my $script = $node->basedir . '/wait.sql';
append_to_file($script, "$wait\n");
my @pgbench = ('pgbench', '-n', '-t', '1', '-f', $script, '-M');
my @forms = (
	[ 'a command of its own', $wait ],
	[ 'an array', "CALL wait_for_records(ARRAY['other', 't']);" ],
	[ 'the extended protocol', undef, command => [ @pgbench, 'extended' ] ],
	[ 'a prepared statement', undef, command => [ @pgbench, 'prepared' ] ],
	[ 'several commands in one string', "SELECT 1\\; $wait" ],
	[ 'a transaction block', "BEGIN; $wait COMMIT;" ],
	[ 'a block that has read', "BEGIN; SELECT count(*) FROM tail('t'); SELECT count(*) FROM topic.t; $wait COMMIT;" ],
	[ 'a savepoint', "BEGIN; SAVEPOINT s; $wait COMMIT;" ],
	[ 'DO', "DO \$\$ BEGIN $wait END \$\$;" ],
	[ 'DO, after a query', "DO \$\$ BEGIN PERFORM count(*) FROM topic.t; $wait PERFORM 1; END \$\$;" ],
	[ 'a procedure', 'CALL waits();' ]);
sql("CREATE PROCEDURE waits() LANGUAGE plpgsql AS \$\$ BEGIN PERFORM 1; $wait COMMIT; PERFORM 1; END \$\$");
my $partition = 0;
foreach my $form (@forms)
{
	my ($what, $commands, %how) = @$form;
	my $client = start($commands, %how);

	is(told($client, "coalesce(backend_xmin::text, 'none') || ' ' || coalesce(backend_xid::text, 'none')"),
		'none none', "$what: no xmin, no xid");
	sql("SELECT produce('t', 'k', 'v', partition => " . $partition++ % 5 . ')');
	ends($client, "$what: woken");
}
my $mutant = start("SET streamlog.mutants = 'wait-with-snapshot'; $wait");
isnt(told($mutant, 'backend_xmin'), '', 'the mutant wait-with-snapshot shows');
sql("SELECT produce('t', 'k', 'v')");
ends($mutant, 'the mutant ends');

# A commit between the look and the sleep.  Mutation: the end is read only when the
# wait begins to sleep.
my $holder = $node->background_psql('postgres');
$holder->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('wait-before-sleep'));");
my $client = start("SET streamlog.waitpoints = 'wait-before-sleep'; $wait",
	until => "wait_event_type = 'Lock'");
sql("SELECT produce('t', 'k', 'v', partition => 3)");
$holder->query_safe('SELECT pg_advisory_unlock_all();');
ends($client, 'a commit before the sleep is not missed');

# What does not concern it does not end it: other topics' records, those rolled back.
$client = start($wait);
sql("SELECT produce('other', 'k', 'v')");
sql("BEGIN; SELECT produce('t', 'k', 'v'); SELECT count(*) FROM flush(); ROLLBACK");
usleep(100_000);
is(told($client, 'state'), 'active', 'it waits on');
my $begun = time;
sql("SELECT produce('t', 'k', 'v', partition => 4)");
ends($client, 'and is woken');
cmp_ok(time - $begun, '<', 5, 'at once');
$begun = time;
$client = start("CALL wait_for_records('t', max_wait => '300 ms');");
ends($client, 'a wait comes to its end without a record');
cmp_ok(time - $begun, '>=', 0.3, 'and not before its time');

# Cancelled, terminated, rolled back to a savepoint: nothing is left,
# neither a place in the pool nor an entry in a list, which would keep the partition's
# entry from being evicted: with the topic "grows" this is all 64 of them.
# Mutations: wait_end() does not give back, or not at a subtransaction's abort.
sql("SELECT create_topic('many' || i, 4) FROM generate_series(1, 16) i");
my $all = 'ARRAY[' . join(', ', map { "'many$_'" } 1 .. 15) . ", 'other']";
for my $i (1 .. 20)
{
	$client = start("CALL wait_for_records($all);");
	signal_waiter($client, $i % 2 ? 'pg_cancel_backend' : 'pg_terminate_backend');
	ends($client, "wait $i has ended", fails => $i % 2 ? qr/canceling statement due to user request/ : qr/terminating connection/);
	soon("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$client->{name}'", 'and its session');
}
my $stays = start("\\set ON_ERROR_STOP off\nBEGIN; SAVEPOINT s; CALL wait_for_records($all); ROLLBACK TO s;"
	  . " SELECT pg_advisory_lock(1); COMMIT; SELECT 'went on';");
$holder->query_safe('SELECT pg_advisory_lock(1);');
signal_waiter($stays, 'pg_cancel_backend');
soon("SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$stays->{name}' AND wait_event_type = 'Lock'",
	'a wait is cancelled, and its savepoint rolled back');
is(sql("SELECT count(end_offset('many' || i, p)) FROM generate_series(1, 16) i, generate_series(0, 3) p"),
	64, 'nobody waits for the partitions any more');
$holder->query_safe('SELECT pg_advisory_unlock_all();');
ends($stays, 'the session goes on', like => qr/went on/);

# Where the pool is empty a wait looks again from time to time.  Mutation: no-waiters,
# with a sleep that is as long as any other.
$holder->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('no-room-to-wait'));");
my $at_waitpoint = "SET streamlog.waitpoints = 'no-room-to-wait';";
my $without = start("$at_waitpoint SET streamlog.mutants = 'no-waiters'; $wait", until => "wait_event_type = 'Lock'");
my $with = start("$at_waitpoint $wait");
pass('after all that there is room in the pool');
$holder->query_safe('SELECT pg_advisory_unlock_all();');
soon("SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$without->{name}' AND wait_event_type = 'Extension'",
	'it sleeps without a place');
$begun = time;
sql("SELECT produce('t', 'k', 'v')");
ends($_, 'a wait with or without a place ends') foreach $with, $without;
cmp_ok(time - $begun, '<', 5, 'soon');

# A topic can be dropped while somebody waits for it, who is told so.  Mutations: the
# lock is kept; who forgets a partition wakes nobody.
my $gone = qr/ERROR:  topic "dropped" does not exist/;
sql("SELECT create_topic('dropped', 2)");
my @waiting = map { start($_) } ("CALL wait_for_records('dropped');", "BEGIN; CALL wait_for_records(ARRAY['t', 'dropped']);");
$begun = time;
sql("SET lock_timeout = '5 s'; SELECT drop_topic('dropped')");
ends($_, 'the wait for a dropped topic fails', fails => $gone) foreach @waiting;
cmp_ok(time - $begun, '<', 8, 'soon');
# a transaction that has read it keeps its lock
sql("SELECT create_topic('dropped', 2)");
$client = start("BEGIN; SELECT count(*) FROM fetch_records('dropped', 0, 0); CALL wait_for_records('dropped'); COMMIT;");
my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '10 ms'; SELECT drop_topic('dropped')");
like($err, qr/lock timeout/, 'who has read a topic keeps its lock while he waits');
sql("SELECT produce('dropped', 'k', 'v')");
ends($client, 'and can be woken');

# A consumer waits for what it has not been handed.  In a group that is what came since
# its last call, also before the wait; without one likewise.  Mutations: await_partition()
# wants what comes after the end; assignment_has_changed() is always false.
sql("SELECT create_topic('consumed', 2)");
my $drained = "SELECT count(*) FROM consume('consumed', 'g');" x 3;
$client = start("$drained CALL wait_for_records('consumed', 'g'); SELECT 'got ' || count(*) FROM consume('consumed', 'g');");
sql("SELECT produce('consumed', 'k', 'v')");
ends($client, 'a member of a group is woken', like => qr/got 1/);
$begun = time;
like(sql("$drained SELECT produce('consumed', 'k', 'v'); CALL wait_for_records('consumed', 'g'); SELECT 'got ' || count(*) FROM consume('consumed', 'g')"),
	qr/got 1/, 'what came before the wait ends it');
sql("CALL wait_for_records('consumed', 'none')");
cmp_ok(time - $begun, '<', 8, 'so does a group that is not there yet');
$client = start("SELECT count(*) FROM consume('consumed'); CALL wait_for_records('consumed'); SELECT 'got ' || count(*) FROM consume('consumed');");
sql("SELECT produce('consumed', 'k', 'v')");
ends($client, 'so without a group', like => qr/got 1/);
my $other = $node->background_psql('postgres');
$other->query_safe("SELECT count(*) FROM consume('consumed', 'g');");
$other->query_safe("SELECT count(*) FROM consume('consumed', 'g');");
$client = start("SELECT count(*) FROM poll('consumed', 'g'); CALL wait_for_records('consumed', 'g'); SELECT 'awake';");
$other->quit;
ends($client, 'another assignment ends the wait', like => qr/awake/);

# 200 sessions that wait for one partition, each half in its way: more than one sl_waiters_take()
# hands over.  Mutation: a commit wakes SL_MAX_TAKEN at most.
sql("SELECT create_topic('crowd')");
my $dsn = sprintf "host=%s port=%s dbname=postgres application_name=crowd", $node->host, $node->port;
my $crowd = $node->background_psql('postgres');
$crowd->query_safe("SELECT count(dblink_connect('c' || i, '$dsn')) FROM generate_series(1, 200) i;");
$crowd->query_safe("SELECT sum(dblink_send_query('c' || i, CASE WHEN i % 2 = 0 THEN 'CALL wait_for_records(''crowd'')'"
	  . " ELSE 'SELECT as_text(value) FROM fetch_records(''crowd'', 0, 0, max_wait => ''1 hour'')' END)) FROM generate_series(1, 200) i;");
soon("SELECT count(*) = 200 FROM pg_stat_activity WHERE application_name = 'crowd' AND wait_event_type = 'Extension'",
	'200 sessions wait');
sql("SELECT produce('crowd', 'k', 'woken')");
soon("SELECT count(*) = 200 FROM pg_stat_activity WHERE application_name = 'crowd' AND state = 'idle'",
	'200 sessions are woken');
is($crowd->query_safe("SELECT count(*), min(r) FROM generate_series(1, 200, 2) i, dblink_get_result('c' || i) AS d (r text);"),
	'100|woken', 'and those that fetch have the record');
$crowd->quit;

# Partitions that are added end the wait at the next look at the topics.  Mutation: no
# such look.
sql("SELECT alter_topic('grows', partitions => 2)");
ends($grows, 'a topic has new partitions', like => qr/returned/);

$holder->quit;
$node->stop;
done_testing();
