# The config notify: sessions that LISTEN are told when the visible end of a partition
# has moved, not before, not much more often than 20 times a second, of the last
# movement in any case, and whatever becomes of the worker.
#
# Each test names the change to the code that it would notice.  Needs DBD::Pg.

use strict;
use warnings;
use DBI;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

# A worker that looks by itself comes too late for every test here.
my $node = PostgreSQL::Test::Cluster->new('notify');
$node->init;
$node->append_conf('postgresql.conf', "streamlog.worker_naptime = 60s\n");
$node->start;
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = streamlog, public');
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $has_waitpoints =
  ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

# "Soon" is well before the worker would look for itself.
my $soon = 20;
my $worker = q(SELECT pid FROM workers WHERE kind = 'worker');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub poll
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 30;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub produce
{
	my ($topic, $partition) = @_;

	return sql("SELECT produce('$topic', 'k', 'v', partition => " . ($partition // 0) . ')');
}

sub make_topic
{
	my ($topic, $partitions) = @_;

	$partitions //= 1;
	sql(qq{SELECT create_topic('$topic', $partitions, config => '{"notify": true}')});
	return;
}

sub listen_to
{
	my @channels = @_;
	my $session = DBI->connect('dbi:Pg:dbname=postgres;host=' . $node->host . ';port=' . $node->port,
		'', '', { RaiseError => 1, PrintWarn => 0 });

	$session->do("LISTEN $_") for @channels;
	return $session;
}

# What a session hears until something satisfies $enough, or for so many seconds
sub heard
{
	my ($session, $seconds, $enough) = @_;
	my $end = time + $seconds;
	my @heard;

	for (;;)
	{
		while (my $notify = $session->pg_notifies)
		{
			my $told = decode_json($notify->[2]);

			push @heard, { %$told, channel => $notify->[0], at => time };
			return @heard if $enough && $enough->($heard[-1]);
		}
		my $left = $end - time;
		last if $left <= 0;
		my $sockets = '';
		vec($sockets, $session->{pg_socket}, 1) = 1;
		select($sockets, undef, undef, $left);
	}
	return @heard;
}

# It hears just this, and soon: "topic partition end".
sub hears
{
	my ($session, $expected, $what) = @_;
	my ($topic, $partition, $end) = split / /, $expected;
	my @heard = heard($session, $soon, sub {
		$_[0]->{topic} eq $topic && $_[0]->{partition} == $partition && $_[0]->{end_offset} >= $end });

	is(join(', ', map { "$_->{topic} $_->{partition} $_->{end_offset}" } @heard), $expected, $what);
	return;
}

sub hears_nothing
{
	my ($session, $what) = @_;

	is(scalar(heard($session, 0.5)), 0, $what);
	return;
}

poll("SELECT count(*) = 1 FROM workers WHERE kind = 'worker' AND last_run > started", 'there is a worker');

# After the commit, at once, and not before.
# Mutations: do not wake the worker in end_claim(); take the partition into the list
# when offsets are given out, and tell log_end.
make_topic('orders');
my $session = listen_to('streamlog_orders');
produce('orders');
hears($session, 'orders 0 1', 'a commit is told of');
hears_nothing($session, 'once');
my $open = $node->background_psql('postgres');
$open->query_safe("BEGIN; SELECT produce('orders', 'k', 'v'); SELECT count(*) FROM flush();");
hears_nothing($session, 'nothing before the commit');
$open->query_safe('COMMIT;');
hears($session, 'orders 0 2', 'but after it');

# What is rolled back moves nothing, but for what it has held back.
# Mutation: leave out "after > before" in end_claim(), and tell log_end.
$open->query_safe("BEGIN; SELECT produce('orders', 'k', 'v'); SELECT count(*) FROM flush(); ROLLBACK;");
hears_nothing($session, 'nothing of what is rolled back');
produce('orders');
hears($session, 'orders 0 4', 'but of the commit after it');
$open->query_safe("BEGIN; SELECT produce('orders', 'k', 'v'); SELECT count(*) FROM flush();");
produce('orders');
hears_nothing($session, 'nothing of a commit that an older transaction holds back');
$open->query_safe('ROLLBACK;');
hears($session, 'orders 0 6', 'but when that is rolled back');
hears_nothing($session, 'and no more than that');

# Who does not ask for it is not told.  Mutation: take every partition into the list,
# and ignore the config in notify_of().
sql("SELECT create_topic('quiet')");
my $quiet = listen_to('streamlog_quiet');
produce('quiet');
hears_nothing($quiet, 'nothing of a topic without notify');

# Each partition by itself.  Mutation: send what the first one ends at for all.
make_topic('wide', 4);
my $wide = listen_to('streamlog_wide');
sql(q(SELECT count(*) FROM generate_series(0, 3) p, generate_series(0, p) n, produce('wide', NULL, n::text, partition => p)));
my %moved;
is( join(', ', sort map { "$_->{partition} $_->{end_offset}" }
		heard($wide, $soon, sub { $moved{ $_[0]->{partition} } = 1; keys %moved == 4 })),
	'0 1, 1 2, 2 3, 3 4', 'every partition that has moved');

# A channel is what LISTEN makes of the name.
# Mutations: do not cut the name; cut it at NAMEDATALEN.
for my $topic ('Shop.orders-v1', 'x' x 53, 'x' x 54 . '.y', 'Z' x 249)
{
	my $named = listen_to(qq("streamlog_$topic"));

	make_topic($topic);
	produce($topic);
	hears($named, "$topic 0 1", 'a name of ' . length($topic) . ' bytes');
	$named->disconnect;
}

# Many commits, few notifications; the last one tells the end.
# Mutations: SL_NOTIFY_INTERVAL of 0; take what was told out of the list whether it
# has moved again or not (tell-once, below).
make_topic('busy');
my $busy = listen_to('streamlog_busy');
my $producer = listen_to();
my $insert = $producer->prepare(q(SELECT produce('busy', 'k', 'v')));
my $start = time;
for my $i (1 .. 1000)
{
	$insert->execute;
	$insert->fetchall_arrayref;
	sleep($start + $i * 0.001 - time) if $start + $i * 0.001 > time;
}
my $took = time - $start;
my @told = heard($busy, $soon, sub { $_[0]->{end_offset} == 1000 });
my $most = 20 * $took + 3;
cmp_ok(scalar(@told), '<=', $most, sprintf('1,000 commits in %.1f s: %d notifications', $took, scalar @told));
cmp_ok(scalar(@told), '>=', 5, 'which come meanwhile');
is($told[-1]->{end_offset}, 1000, 'and the last one tells the end');
is(join(' ', map { $_->{end_offset} } @told),
	join(' ', sort { $a <=> $b } map { $_->{end_offset} } @told), 'they go forward');
hears_nothing($busy, 'nothing is sent while nothing moves');

# A worker that ends leaves nothing undone; in the middle of it: below, at a waitpoint.
# Mutation: have a worker that starts empty the list.
my $old = sql($worker);
sql("SELECT pg_terminate_backend($old)");
produce('orders');
hears($session, 'orders 0 7', 'told of by the next worker');
hears_nothing($session, 'once');

# A topic that is locked waits, and keeps no other.
# Mutation: wait for the lock on the topic's table.
my $locker = $node->background_psql('postgres');
$producer->do('SET synchronous_commit = off');
$producer->do(q(BEGIN));
$producer->do(q(SELECT produce('orders', 'k', 'v')));
$producer->do(q(COMMIT));
hears($session, 'orders 0 8', 'the worker is awake');
$locker->query_safe('BEGIN; LOCK TABLE topic.wide IN ACCESS EXCLUSIVE MODE;');
$locker->query_safe("SELECT produce('wide', 'k', 'v', partition => 0); COMMIT; BEGIN; LOCK TABLE topic.wide IN ACCESS EXCLUSIVE MODE;");
produce('orders');
hears($session, 'orders 0 9', 'a locked topic does not keep another');
$locker->query_safe('ROLLBACK;');
is((heard($wide, $soon, sub { 1 }))[-1]->{end_offset}, 2, 'and is told of in the end');
$locker->quit;

# On and off.
# Mutations: no sl_notify_switch(); none where partitions are added alone; keep what is
# rolled back to a savepoint.
sql(q(SELECT alter_topic('quiet', config => '{"notify": true}')));
produce('quiet');
hears($quiet, 'quiet 0 2', 'switched on');
sql(q(BEGIN; SELECT alter_topic('quiet', config => '{"notify": null}'); ROLLBACK));
produce('quiet');
hears($quiet, 'quiet 0 3', 'a change that is rolled back is none');
sql(q(BEGIN; SAVEPOINT s; SELECT alter_topic('quiet', config => '{"notify": null}'); ROLLBACK TO s;
	SELECT produce('quiet', 'k', 'v'); COMMIT));
hears($quiet, 'quiet 0 4', 'nor is one that is rolled back to a savepoint');
sql(q(SELECT alter_topic('quiet', config => '{"notify": false}')));
produce('quiet');
hears_nothing($quiet, 'switched off');
sql(q(BEGIN; SAVEPOINT s; SELECT alter_topic('quiet', config => '{"notify": true}'); RELEASE s;
	SELECT produce('quiet', 'k', 'v'); COMMIT));
hears($quiet, 'quiet 0 6', 'switched on by the transaction that produces');
sql(q(BEGIN; SELECT create_topic('new', config => '{"notify": true}'); SELECT produce('new', 'k', 'v'); COMMIT));
my $new = listen_to('streamlog_new');
produce('new');
is((heard($new, $soon, sub { $_[0]->{end_offset} == 2 }))[-1]->{end_offset}, 2, 'made by the transaction that produces');
sql(q(BEGIN; SELECT alter_topic('new', 2); SELECT alter_topic('new', config => '{"notify": false}');
	SELECT alter_topic('new', config => '{"notify": true}'); SELECT alter_topic('new', 3);
	SELECT produce('new', 'k', 'v', partition => 2); COMMIT));
hears($new, 'new 2 1', 'partitions that are added, too');
sql(q(SELECT drop_topic('new')));
make_topic('new');
produce('new');
hears($new, 'new 0 1', 'a topic that is dropped and made again');

# A consumer that waits for notifications: it drains, waits, drains again, and has a
# look from time to time.
# Mutations: take out of the list what is not due; for the second one, let it not look.
sub consume
{
	my ($topic, $total, $look, $deaf) = @_;
	my $consumer = listen_to("streamlog_$topic");
	my $start = time;
	my @next = (0) x 4;
	my ($seen, $looks, $wrong) = (0, 0, 0);

	my @producers;
	for my $p (0 .. 3)
	{
		my $script = PostgreSQL::Test::Utils::tempdir() . "/$topic$p.sql";

		append_to_file($script,
			join '', map { "SELECT FROM produce('$topic', '$p', '$_', partition => $p);\n" } 1 .. $total / 4);
		push @producers, IPC::Run::start([ 'psql', '-XqAt', '-f', $script, $node->connstr('postgres') ]);
	}
	while ($seen < $total && time - $start < 60)
	{
		for my $p (0 .. 3)
		{
			my $records;
			do
			{
				$records = $consumer->selectall_arrayref(
					"SELECT record_offset, convert_from(value, 'UTF8') FROM fetch_records('$topic', $p, $next[$p])");
				for (@$records)
				{
					$wrong++ if $_->[0] != $next[$p] || $_->[1] != $next[$p] + 1;
					$next[$p] = $_->[0] + 1;
				}
				$seen += @$records;
			} while (@$records);
		}

		# for some of the time it listens to nothing
		my $listens = !$deaf || int((time - $start) * 5) % 2;
		$consumer->do($listens ? "LISTEN streamlog_$topic" : 'UNLISTEN *') if $deaf;
		last if $seen >= $total;
		$looks++ unless heard($consumer, $look, sub { 1 });
	}
	$_->finish for @producers;
	$consumer->disconnect;
	return ($seen, $wrong, $looks);
}
make_topic('four', 4);
my ($seen, $wrong, $looks) = consume('four', 5000, 5, 0);
is("$seen $wrong $looks", '5000 0 0', 'a consumer that waits for notifications sees all, and is always told');
make_topic('deaf', 4);
($seen, $wrong, $looks) = consume('deaf', 5000, 0.3, 1);
is("$seen $wrong", '5000 0', "one that does not hear them for a while, too; it looked $looks times by itself");

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	my $control = $node->background_psql('postgres');

	sub set_worker
	{
		my ($setting) = @_;
		my $old = sql($worker);

		sql("ALTER SYSTEM SET $setting");
		sql('SELECT pg_reload_conf()');
		sql("SELECT pg_terminate_backend($old)");
		poll("SELECT count(*) = 1 FROM workers WHERE kind = 'worker' AND pid <> $old AND last_run > started",
			"a worker with $setting");
		return;
	}

	sub stop_at
	{
		my ($point) = @_;

		$control->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('$point'));");
		return;
	}

	sub stopped
	{
		my ($what) = @_;

		poll(q(SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted), $what);
		return;
	}

	sub go_on
	{
		$control->query_safe('SELECT pg_advisory_unlock_all();');
		return;
	}

	# What moves while the worker is about to tell is told after that.
	# Mutation: tell-once, which the test runs.
	for my $mutant ('', 'tell-once')
	{
		my $topic = $mutant ? 'told_once' : 'told_again';
		my $listener = listen_to("streamlog_$topic");

		make_topic($topic);
		set_worker("streamlog.mutants = '$mutant'");
		set_worker("streamlog.waitpoints = 'notify-before-commit'");
		stop_at('notify-before-commit');
		produce($topic);
		stopped('the worker is about to tell');
		produce($topic);
		go_on();
		hears($listener, "$topic 0 1", 'it tells') if $mutant;
		is((heard($listener, $mutant ? 1 : $soon, sub { $_[0]->{end_offset} == 2 }))[-1]->{end_offset}, 2, 'and again')
		  unless $mutant;
		hears_nothing($listener, 'with tell-once the last movement is not told') if $mutant;
		$listener->disconnect;
	}
	sql('ALTER SYSTEM RESET streamlog.mutants');

	# A worker that ends before its commit has told nothing.
	# Mutation: sl_notices_told() before the commit.
	set_worker("streamlog.waitpoints = 'notify-before-commit'");
	stop_at('notify-before-commit');
	produce('orders');
	stopped('the worker is about to tell');
	hears_nothing($session, 'and has not');
	$old = sql($worker);
	sql("SELECT pg_terminate_backend($old)");
	poll("SELECT count(*) = 1 FROM workers WHERE kind = 'worker' AND pid <> $old", 'it ends, and there is another');
	go_on();
	hears($session, 'orders 0 10', 'which tells');
	sql('ALTER SYSTEM RESET streamlog.waitpoints');
	set_worker("streamlog.mutants = ''");

	# The worker hears of a partition before it hears that the topic has it.
	# Mutation: trust-cache, which the test runs.
	for my $mutant ('', 'trust-cache')
	{
		my $topic = $mutant ? 'grown_lost' : 'grown';
		my $listener = listen_to("streamlog_$topic");
		my $grower = $node->background_psql('postgres');

		set_worker("streamlog.mutants = '$mutant'");
		make_topic($topic);
		produce($topic);
		hears($listener, "$topic 0 1", 'the worker knows the topic');
		stop_at('commit-released');
		$grower->query_safe("SET client_min_messages = warning; SET streamlog.waitpoints = 'commit-released'; BEGIN;");
		$grower->query_safe("SELECT alter_topic('$topic', 2); SELECT produce('$topic', 'k', 'v', partition => 1);");
		$grower->query_until(qr/sent/, "\\echo sent\nCOMMIT;\n");
		stopped('a transaction that has added a partition is about to say so');
		$mutant ? hears_nothing($listener, 'without that it is lost') : hears($listener, "$topic 1 1", 'its record is told of');
		go_on();
		$grower->quit;
		$listener->disconnect;
	}
	set_worker("streamlog.mutants = ''");

	# The config changes while somebody finds out about the partition, or is changed
	# and rolled back by who does.
	# Mutations, which the test runs: forget-switched-notify, own-switch.
	for my $mutant ('', 'forget-switched-notify')
	{
		my $topic = $mutant ? 'switched_lost' : 'switched';

		sql("SELECT create_topic('$topic')");
		$node->restart;
		$control = $node->background_psql('postgres');
		my $reader = $node->background_psql('postgres');
		my $listener = listen_to("streamlog_$topic");

		stop_at('initialise-row-read');
		$reader->query_safe("SET streamlog.mutants = '$mutant'; SET streamlog.waitpoints = 'initialise-row-read';");
		$reader->query_until(qr/sent/, "\\echo sent\nSELECT end_offset('$topic', 0);\n");
		stopped('somebody initialises the partition');
		sql(qq(SELECT alter_topic('$topic', config => '{"notify": true}')));
		go_on();
		$reader->quit;
		produce($topic);
		$mutant ? hears_nothing($listener, 'without that it is lost') : hears($listener, "$topic 0 1", 'the change counts');
		$listener->disconnect;
		$control->quit;
	}
	for my $mutant ('', 'own-switch')
	{
		my $topic = $mutant ? 'undone_lost' : 'undone';

		make_topic($topic);
		$node->restart;
		my $listener = listen_to("streamlog_$topic");
		sql(qq(SET streamlog.mutants = '$mutant'; BEGIN;
			SELECT alter_topic('$topic', config => '{"notify": false}'); SELECT end_offset('$topic', 0); ROLLBACK));
		produce($topic);
		$mutant ? hears_nothing($listener, 'without that it is lost') : hears($listener, "$topic 0 1", 'what is undone does not count');
		$listener->disconnect;
	}

	# An entry of the list that had to make room for another partition is told of all
	# the same; a worker that starts has nothing to tell of that again.
	# Mutation: lose-notices, which the test runs.
	$node->append_conf('postgresql.conf', "streamlog.max_partitions = 16\n");
	make_topic('first');
	sql(q(SELECT create_topic('crowd', 16)));
	for my $mutant ('', 'lose-notices')
	{
		my $topic = $mutant ? 'evicted_lost' : 'evicted';

		make_topic($topic);
		$node->restart;
		my $listener = listen_to("streamlog_$topic");
		$control = $node->background_psql('postgres');
		set_worker("streamlog.waitpoints = 'notify-before-commit'");
		stop_at('notify-before-commit');
		produce('first');
		stopped('the worker is busy with another topic');
		sql(qq(SET streamlog.mutants = '$mutant'; SELECT produce('$topic', 'k', 'v'); SELECT sum(end_offset('crowd', p)) FROM generate_series(0, 15) p;
			SELECT sum(end_offset('crowd', p)) FROM generate_series(0, 15) p));
		go_on();
		$mutant ? hears_nothing($listener, 'without the count it is lost') : hears($listener, "$topic 0 1", 'it was evicted, and is told of');
		$listener->disconnect;
		$control->quit;
	}
	sql('ALTER SYSTEM RESET streamlog.waitpoints');
	sql('SELECT pg_reload_conf()');

	# An end that has been told is there after a crash.  The WAL writer is stopped, so
	# that nobody flushes WAL but the worker; and killed, with which the server crashes.
	# Mutation: no-reader-flush, which the test runs.
	$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
	$node->restart;
	for my $mutant ('', 'no-reader-flush')
	{
		my $topic = $mutant ? 'unflushed' : 'flushed';

		make_topic($topic);
		set_worker("streamlog.mutants = '$mutant'");
		my $listener = listen_to("streamlog_$topic");
		my $wal_writer = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
		sql('CHECKPOINT');
		kill('STOP', $wal_writer);
		sql("SET synchronous_commit = off; SELECT produce('$topic', 'k', 'v')");
		hears($listener, "$topic 0 1", 'an asynchronous commit');
		kill('KILL', $wal_writer);
		$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'walwriter' AND pid <> $wal_writer");
		is(sql("SELECT end_offset('$topic', 0)"), $mutant ? 0 : 1, 'what was told is there after a crash' . ($mutant ? ', but for this' : ''));
	}
	sql('ALTER SYSTEM RESET streamlog.mutants');
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|streamlog worker ERROR/, 'the server lives on');
$_->disconnect for grep { $_->{Active} } $session, $quiet, $wide, $busy, $producer, $new;
$node->stop;
done_testing();
