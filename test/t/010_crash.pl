# Crashes: nothing acknowledged is lost, and no offset that anything has shown is
# given out again for something else.
#
# What readers are shown is remembered here, outside of the server; then the server
# crashes, and must agree.  Each test names the change to the code that it would
# notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;

# Nothing writes WAL out but who is asked to: not even the WAL writer, soon.
$node->append_conf(
	'postgresql.conf', q(
restart_after_crash = on
streamlog.worker_naptime = 100ms
wal_writer_delay = 10s
checkpoint_timeout = 1h
bgwriter_lru_maxpages = 0
autovacuum = off
));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $has_waitpoints =
  ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 40;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub process
{
	return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = '$_[0]'");
}

# What a fetch returns: a line per record, with its offset and a hash of all of it
sub fetch_query
{
	my ($topic, $max_records) = @_;

	return "SELECT record_offset || ' ' || md5(r::text) FROM streamlog.fetch_records("
	  . "'$topic', 0, 0, max_records => $max_records, max_bytes => 1000000000) r;";
}

sub records_of
{
	return map { [ split / /, $_ ] } split /\n/, $_[0];
}

sub make_topic
{
	my ($topic) = @_;

	sql("SELECT streamlog.create_topic('$topic', config => '{\"segment.bytes\": 1048576}')");
	return;
}

# Let $session be shown the first records of a topic, and where it ends.
sub show_to
{
	my ($session, $topic, $max_records) = @_;
	my $end = "SELECT streamlog.end_offset('$topic', 0);";
	my %shown = (topic => $topic);

	$shown{records} = [ records_of($session->query_safe(fetch_query($topic, $max_records))) ];
	$shown{end} = $session->query_safe($end);
	$shown{view} = $session->query_safe(
		"SELECT end_offset FROM streamlog.partitions WHERE topic = '$topic';");
	return \%shown;
}

# All that is wrong after a crash, given what was shown before it
sub complaints
{
	my ($shown) = @_;
	my $topic = $shown->{topic};
	my $promised =
	  $shown->{view} > $shown->{end} ? $shown->{view} : $shown->{end};
	my %before = map { $_->[0] => $_->[1] } @{ $shown->{records} };
	my (%after, @wrong);
	my $last = -1;

	my $end = sql("SELECT streamlog.end_offset('$topic', 0)");
	my $more = $shown->{partly} || defined $shown->{told};
	push @wrong, "the log ends at $end, not $promised"
	  if $end < $promised || (!$more && $end > $promised);

	sql("SELECT streamlog.produce('$topic', 'after', 'the crash ' || i) FROM generate_series(1, 3) i");
	for my $record (records_of(sql(fetch_query($topic, 1000000))))
	{
		my ($offset, $hash) = @$record;

		push @wrong, "offset $offset after $last" if $offset <= $last;
		push @wrong, "offset $offset was given to another record"
		  if $offset < $promised
		  && !$shown->{partly}
		  && ($before{$offset} // '') ne $hash;
		$last = $offset;
		$after{$offset} = $hash;
	}
	for my $offset (sort { $a <=> $b } keys %before)
	{
		push @wrong, "record $offset is lost or changed"
		  if ($after{$offset} // '') ne $before{$offset};
	}
	push @wrong, 'the three new records are not at the end'
	  if sql( "SELECT count(*) FROM streamlog.fetch_records('$topic', 0, 0,"
			. " max_records => 1000000, max_bytes => 1000000000)"
			. " WHERE key = 'after' AND record_offset >= $promised") != 3;
	push @wrong, "record $shown->{told}, which was acknowledged, is lost"
	  if defined $shown->{told}
	  && sql( "SELECT count(*) FROM streamlog.fetch_records('$topic', 0, $shown->{told},"
			. " max_records => 1) WHERE value = 'told' AND record_offset = $shown->{told}") != 1;
	push @wrong, map { "check_topic: $_" } split /\n/,
	  sql("SELECT problem FROM streamlog.check_topic('$topic') WHERE problem IS NOT NULL");
	return @wrong;
}

# The ways to crash.  Processes that are killed do not run one more instruction:
# what they had not written to a file is lost.
sub killed
{
	my (@pids) = @_;
	my $log_at = -s $node->logfile;

	# the server ends the others as soon as it has noticed the first
	kill('KILL', @pids) > 0 or BAIL_OUT("cannot kill @pids");
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log_at);
	soon('SELECT true', 'the server is back');
	return;
}

# Sessions whose server has gone: some psqls have noticed and ended.
sub leave
{
	eval { $_->quit } for @_;
	return;
}

my %crash = (
	immediate => sub { $node->stop('immediate'); $node->start },
	restart => sub { $node->restart },
	killed => sub { killed(@_) });

# What there is in the partitions when the server crashes.
my %case = (

	# Mutation: show the end of the log instead of the last committed record;
	# which the test runs below.
	aborted_tail => q(
		SELECT streamlog.produce('%1$s', 'k', 'v' || i) FROM generate_series(1, 10) i;
		BEGIN;
		SELECT count(*) FROM streamlog.produce_batch('%1$s', NULL, array_fill('x'::text, ARRAY[2000]));
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK;),

	# Mutation: at the end of the log go on behind what is visible, in the middle
	# of a page.
	vacuumed_tail => q(
		SELECT streamlog.produce('%1$s', 'k', 'v' || i) FROM generate_series(1, 10) i;
		BEGIN;
		SELECT count(*) FROM streamlog.produce_batch('%1$s', NULL, array_fill('x'::text, ARRAY[2000]));
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK;
		SELECT format('VACUUM %%s', relation) FROM streamlog.segments WHERE topic = '%1$s'
		\gexec
	),

	# Mutation: do not pop what a savepoint had appended, so that committed_end
	# comes to be behind it.
	undone_flush => q(
		BEGIN;
		SELECT streamlog.produce('%1$s', 'k', 'stays');
		SELECT count(*) FROM streamlog.flush();
		SAVEPOINT s;
		SELECT streamlog.produce('%1$s', 'k', 'undone' || i) FROM generate_series(1, 5) i;
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK TO s;
		COMMIT;),
	undone_middle => q(
		BEGIN;
		SAVEPOINT s;
		SELECT streamlog.produce('%1$s', 'k', 'undone' || i) FROM generate_series(1, 5) i;
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK TO s;
		SELECT streamlog.produce('%1$s', 'k', 'stays');
		COMMIT;),

	# Mutation: find the last committed record in the newest segment only.
	rolled => q(
		SELECT count(*) FROM streamlog.produce_batch('%1$s', NULL, array_fill(repeat('x', 100), ARRAY[9000]));),
	rolled_tail => q(
		SELECT streamlog.produce('%1$s', 'k', 'v' || i) FROM generate_series(1, 10) i;
		BEGIN;
		SELECT count(*) FROM streamlog.produce_batch('%1$s', NULL, array_fill(repeat('x', 100), ARRAY[9000]));
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK;),

	# Values in the TOAST table, and values that are compressed.
	large => q(
		SELECT streamlog.produce('%1$s', 'k', (SELECT string_agg(md5(i::text || j), '')
			FROM generate_series(1, 15000) j)) FROM generate_series(1, 3) i;
		SELECT streamlog.produce('%1$s', 'k', repeat('compressed ', 80000));
		BEGIN;
		SELECT streamlog.produce('%1$s', 'k', (SELECT string_agg(md5(j::text), '')
			FROM generate_series(1, 15000) j));
		SELECT count(*) FROM streamlog.flush();
		ROLLBACK;),

	# A producer dies between being given its offsets and writing its records.
	in_append => q(
		SELECT streamlog.produce('%1$s', 'k', 'v' || i) FROM generate_series(1, 10) i;),

	# One more record comes, which nobody reads before the crash, but whose producer
	# has been told its offset.  The control is what nobody has flushed, below.
	acknowledged => q(
		SELECT streamlog.produce('%1$s', 'k', 'v' || i) FROM generate_series(1, 10) i;));

for my $way (sort keys %crash)
{
	my @shown;
	my @to_kill;
	my $reader = $node->background_psql('postgres');
	my $asynchronous = $node->background_psql('postgres');
	my $stopper = $node->background_psql('postgres');
	my $victim = $node->background_psql('postgres', on_error_stop => 0);

	for my $case (sort keys %case)
	{
		make_topic("${case}_$way");
		sql(sprintf $case{$case}, "${case}_$way");
	}
	soon("SELECT count(*) = 2 FROM streamlog.segments WHERE topic = '${_}_$way'",
		"$_: has an empty newest segment")
	  for ('rolled', 'rolled_tail');
	is(sql("SELECT streamlog.end_offset('rolled_tail_$way', 0)"),
		10, 'and its aborted end is not shown');
	make_topic("asynchronous_$way");

	if ($has_waitpoints)
	{
		$stopper->query_safe(
			"SELECT pg_advisory_lock(1936488304, hashtext('append-allocated'));");
		$victim->query_safe("SET streamlog.waitpoints = 'append-allocated';");
		my $pid = $victim->query_safe('SELECT pg_backend_pid();');
		$victim->query_until(qr/sent/,
			"\\echo sent\nSELECT streamlog.produce('in_append_$way', 'k', 'dies');\n");
		soon("SELECT count(*) = 1 FROM pg_locks WHERE pid = $pid"
			  . " AND locktype = 'advisory' AND NOT granted",
			'a producer has been given an offset and has not written its record');
		push @to_kill, $pid;
	}
	push @to_kill, $reader->query_safe('SELECT pg_backend_pid();');

	push @shown, show_to($reader, "${_}_$way", 1000000) for sort keys %case;
	for my $shown (grep { $_->{topic} eq "acknowledged_$way" } @shown)
	{
		$shown->{told} = sql("SELECT streamlog.produce('acknowledged_$way', 'k', 'told')");
	}

	# Some of what was committed asynchronously is shown, and where the log ends;
	# more is committed later on.  Mutation: no-reader-flush, which the test runs
	# below.
	$asynchronous->query_safe(q(SET synchronous_commit = off;));
	$asynchronous->query_safe(
		"SELECT streamlog.produce('asynchronous_$way', 'k', 'v$_');") for 1 .. 5;
	push @shown, show_to($reader, "asynchronous_$way", 3);
	$shown[-1]->{partly} = 1;
	$asynchronous->query_safe(
		"SELECT streamlog.produce('asynchronous_$way', 'k', 'unseen$_');") for 1 .. 2;

	$crash{$way}->(@to_kill);
	leave($reader, $asynchronous, $stopper, $victim);

	for my $shown (@shown)
	{
		is(join("\n", complaints($shown)),
			'', "$way: all that $shown->{topic} had shown is there");
	}

	# The answers are the same if it is not the first who looks.
	$node->restart;
	is( sql(
			qq(SELECT count(problem) FROM streamlog.topics, streamlog.check_topic(topic)
			WHERE topic ~ '_$way\$')),
		0, "$way: and after another restart");
}

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	# The controls.  The WAL writer is stopped, so that nobody flushes WAL but for
	# readers; and killed, with which the server crashes.
	for my $mutant ('', 'no-reader-flush')
	{
		my $topic = $mutant ? 'control' : 'flushed';
		my $reader = $node->background_psql('postgres');
		my $asynchronous = $node->background_psql('postgres');
		my $wal_writer = process('walwriter');

		make_topic($topic);
		$reader->query_safe("SET streamlog.mutants = '$mutant';");
		$asynchronous->query_safe('SET synchronous_commit = off;');
		sql('CHECKPOINT');
		kill('STOP', $wal_writer);
		$asynchronous->query_safe("SELECT streamlog.produce('$topic', 'k', 'v$_');")
		  for 1 .. 5;
		my $shown = show_to($reader, $topic, 3);
		$shown->{partly} = 1;
		$asynchronous->query_safe("SELECT streamlog.produce('$topic', 'k', 'unseen');");
		killed($wal_writer);
		leave($reader, $asynchronous);

		is(sql("SELECT streamlog.end_offset('$topic', 0)"),
			$mutant ? 0 : 5, 'what nobody has flushed is lost');
		my $wrong = join("\n", complaints($shown));
		if ($mutant)
		{
			like($wrong, qr/record 2 is lost or changed/,
				'without a flush before a fetch, what was shown is lost');
		}
		else
		{
			is($wrong, '', 'but nothing that was shown');
		}
	}

	# The worker dies in the middle of a roll.  Mutation: make the next table without a
	# look whether an attempt before has left one.
	for my $point ('roll-table-made', 'roll-before-publish', 'roll-at-commit')
	{
		my $topic = $point =~ tr/-/_/r;
		my $worker = "SELECT pid FROM streamlog.workers WHERE kind = 'worker'";
		my $old = sql($worker);

		sql("ALTER SYSTEM SET streamlog.waitpoints = '$point'");
		sql('SELECT pg_reload_conf()');
		sql("SELECT pg_terminate_backend($old)") if $old;
		soon("SELECT count(*) = 1 FROM streamlog.workers WHERE kind = 'worker'"
			  . " AND pid <> " . ($old || 0) . " AND last_run > started", 'there is a new worker');
		my $stopper = $node->background_psql('postgres');
		my $reader = $node->background_psql('postgres');
		make_topic($topic);
		$stopper->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('$point'));");
		sql(sprintf $case{rolled}, $topic);
		soon("SELECT count(*) = 1 FROM pg_locks WHERE pid = ($worker) AND locktype = 'advisory' AND NOT granted",
			"the worker stops at $point");
		my $shown = show_to($reader, $topic, 1000000);
		killed(sql($worker));
		leave($reader, $stopper);
		is(join("\n", complaints($shown)), '', 'killed there: all that was shown is there');
		soon("SELECT count(*) = 2 FROM streamlog.segments WHERE topic = '$topic'",
			'and the roll is done in the end');
		is(sql("SELECT streamlog.produce('$topic', 'k', 'v')"), 9003, 'the log goes on');
	}
	sql('ALTER SYSTEM RESET streamlog.waitpoints');
	sql('SELECT pg_reload_conf()');

	my $reader = $node->background_psql('postgres');
	make_topic('tail');
	sql(sprintf $case{aborted_tail}, 'tail');
	$reader->query_safe("SET streamlog.mutants = 'show-aborted-tail';");
	my $shown = show_to($reader, 'tail', 1000000);
	is($shown->{end}, 2010, 'an aborted end that is shown');
	$node->stop('immediate');
	leave($reader);
	$node->start;
	like(join("\n", complaints($shown)),
		qr/the log ends at 10, not 2010/, 'is not there after a crash');
}

$node->stop;
done_testing();
