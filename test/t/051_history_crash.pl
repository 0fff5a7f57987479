# Histories with crashes in them.  Readers and producers outside of the server keep
# what it has told them: what readers were shown must be what the log begins with,
# crash after crash, each offset for the same record; what was acknowledged must be
# there, and no log may end before where it was said to end.
#
# Mutations: no-reader-flush and show-aborted-tail, which the test runs; evict what
# shared memory tells about a partition while there is WAL to flush for its readers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use StreamlogHistory qw(history_seed history_node history_read history_complaints
  history_has_waitpoints history_load history_launch history_end);

my $seed = history_seed();
srand($seed);

# Nobody flushes WAL but who is asked to.
my $conf = q(
restart_after_crash = on
wal_writer_delay = 10s
checkpoint_timeout = 1h
streamlog.max_partitions = 16
);
my $dir = PostgreSQL::Test::Utils::tempdir();

# The end of the log that a partition was said to have is printed before and with
# each fetch; then what was fetched.
my $fetch = q(
SELECT streamlog.end_offset('history', :p) AS end \gset
\echo end :end
SELECT coalesce(max(record_offset) + 1, :at) AS at,
	coalesce(string_agg(record_offset || ' ' || md5(convert_from(key, 'UTF8') || ' ' || md5(value)), ','), '') AS got
FROM streamlog.fetch_records('history', :p, :at, 300, max_wait => '20 ms') \gset
\echo got :got
);
my $produce = q(
SELECT 'told-outside-' || nextval('sequence_number') AS key \gset
SELECT streamlog.produce('history', :'key', 'v', partition => :p) AS at \gset
\echo told :at :key
);
# These take the places of the others in shared memory.
append_to_file("$dir/evict.sql", q(
\set p random(0, 15)
SELECT count(*) FROM streamlog.fetch_records('other', :p, 0);
));
append_to_file("$dir/fetch.sql", $fetch x 20000);
append_to_file("$dir/produce.sql", $produce x 20000);

sub wal_writer
{
	my ($node) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
}

# A crash of the server, which goes on by itself.
sub crash_by_killing
{
	my ($node, $pid) = @_;
	my $log_at = -s $node->logfile;

	kill('KILL', $pid);
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log_at);

	# not a query: psql that cannot connect does not read it, which ends the test
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0)
	{
		die 'the server does not come back' if time > $deadline;
		usleep(20_000);
	}
}

# Run one history: so many crashes.  Returns all that is wrong.  With mutants the WAL
# writer stands still, so that every crash loses what nobody else has flushed.
sub history
{
	my ($name, $crashes, $mutants) = @_;
	my $node = history_node($name, $conf);
	$node->safe_psql('postgres', "SELECT streamlog.create_topic('other', 16)");
	my @settings = $mutants ? ("streamlog.mutants=$mutants") : ();
	my @seen = ('') x 3;
	my @end = (0) x 3;
	my (@told, @wrong, $runs);

	for my $crash (1 .. $crashes)
	{
		# At times no commit flushes WAL.
		my $asynchronous = $mutants || $crash % 2;
		my $load = history_load($node, $seed + $crash, 6,
			'synchronous_commit=' . ($asynchronous ? 'off' : 'on'));
		my $evict = history_launch($node, $dir, "evict_$crash", [], 'pgbench', '-n', '-c', 2, '-T', 3600,
			'-f', "$dir/evict.sql");
		my $wal_writer = wal_writer($node);
		kill('STOP', $wal_writer) if $mutants;
		my @readers = map {
			my $at = $seen[$_] =~ /(\d+) \S+$/ ? $1 + 1 : 0;
			history_launch($node, $dir, "reader_${crash}_$_", [@settings], 'psql', '-XAtq',
				'-v', 'ON_ERROR_STOP=1', '-v', "p=$_", '-v', "at=$at", '-f', "$dir/fetch.sql")
		} 0 .. 2;
		my @producers = map {
			history_launch($node, $dir, "producer_${crash}_$_", ['synchronous_commit=on'], 'psql', '-XAtq',
				'-v', 'ON_ERROR_STOP=1', '-v', "p=$_", '-f', "$dir/produce.sql")
		} $asynchronous ? () : 0 .. 2;

		# nor do questions of our own
		local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @settings);
		my $ends = q(SELECT sum(end_offset) FROM streamlog.partitions WHERE topic = 'history');
		my $more = $node->safe_psql('postgres', $ends) + 3000 + int(rand(3000));
		$node->poll_query_until('postgres', "SELECT ($ends) >= $more")
		  or push @wrong, 'the log does not grow';

		# At times the log has an aborted end, which is all that has happened since;
		# and readers ask for that end.
		my $quiet = $crash % 4 > 1;
		history_end($load) if $quiet;
		$node->safe_psql('postgres',
			"BEGIN; SELECT emit_many(300, 10, 0); SELECT count(*) FROM streamlog.flush(); ROLLBACK");
		my @ends = split /\n/, $node->safe_psql('postgres',
			"SELECT end_offset FROM streamlog.partitions WHERE topic = 'history' ORDER BY partition");
		$end[$_] = $ends[$_] for grep { $ends[$_] > $end[$_] } 0 .. 2;

		if ($mutants)
		{
			crash_by_killing($node, $wal_writer);
		}
		elsif ($crash % 3 == 0)
		{
			crash_by_killing($node, $node->safe_psql('postgres',
				"SELECT pid FROM pg_stat_activity WHERE application_name ~ '^(load|reader)' ORDER BY random() LIMIT 1"));
		}
		else
		{
			$node->stop('immediate');
			$node->start;
		}

		history_end($load) unless $quiet;
		history_end($evict);
		delete $ENV{PGOPTIONS};
		for my $p (0 .. 2)
		{
			my $text = history_end($readers[$p]);

			push @wrong, "reader: $1" if $text =~ /(ERROR.*)/;
			$seen[$p] .= ",$_" for grep { $_ ne '' } $text =~ /^got (.*)$/mg;
			for my $end ($text =~ /^end (\d+)$/mg)
			{
				$end[$p] = $end if $end > $end[$p];
			}
			my $now = $node->safe_psql('postgres', "SELECT streamlog.end_offset('history', $p)");
			push @wrong, "partition $p ends at $now, not at $end[$p]" if $now < $end[$p];
		}
		push @told, history_end($_) =~ /^told (\d+ \S+)$/mg for @producers;
	}

	# the offsets go on
	$node->safe_psql('postgres', "SELECT emit(10, p) FROM generate_series(0, 2) p");
	history_read($node);
	push @wrong, history_complaints($node);
	for my $p (0 .. 2)
	{
		my @log = split /\n/, $node->safe_psql('postgres',
			"SELECT record_offset || ' ' || md5(key || ' ' || hash) FROM final WHERE partition = $p ORDER BY i");
		my @was = grep { $_ ne '' } split /,/, $seen[$p];
		my ($wrong) = grep { ($log[$_] // '') ne $was[$_] } 0 .. $#was;

		push @wrong, "partition $p had $was[$wrong] and has " . ($log[$wrong] // 'nothing')
		  if defined $wrong;
		note("partition $p: " . @was . ' of ' . @log . ' records seen');
		push @wrong, 'nothing was read' if @was < 500 && !$mutants;
	}
	my %has = map { $_ => 1 } split /\n/,
	  $node->safe_psql('postgres', "SELECT record_offset || ' ' || key FROM final WHERE key ~ '^told-outside'");
	my @lost = grep { !$has{$_} } @told;
	push @wrong, 'acknowledged and lost: ' . join(', ', splice(@lost, 0, 3)) if @lost;
	push @wrong, 'nothing was acknowledged' if @told < 20 && !$mutants;
	note(@told . ' records acknowledged');
	my $has_waitpoints = history_has_waitpoints($node);
	$node->stop('immediate');
	return (join("\n", @wrong), $has_waitpoints);
}

# A partition loses its place in shared memory, and with it the word that readers have
# to flush WAL; then it is read.
sub evicted
{
	my $node = history_node('evicted', $conf . "autovacuum = off\n");
	my $producer = $node->background_psql('postgres');
	my $wal_writer = wal_writer($node);
	my $fetch = "SELECT count(*) FROM streamlog.fetch_records('history', 0, 0)";

	$node->safe_psql('postgres', "SELECT streamlog.create_topic('other', 16)");
	$producer->query_safe('SET synchronous_commit = off;');
	$producer->query_safe('CHECKPOINT;');
	kill('STOP', $wal_writer);
	$producer->query_safe("SELECT streamlog.produce('history', 'k', 'v', partition => 0);") for 1 .. 5;
	$node->safe_psql('postgres', "SELECT streamlog.end_offset('other', p) FROM generate_series(0, 15) p");
	my $before = $node->safe_psql('postgres', $fetch);
	crash_by_killing($node, $wal_writer);
	eval { $producer->quit };
	my $after = $node->safe_psql('postgres', $fetch);
	$node->stop;
	return "$before $after";
}

is(evicted(), '5 5', 'WAL is flushed for whoever reads a partition that was evicted');

my ($wrong, $has_waitpoints) = history('crashes', $ENV{STREAMLOG_CRASHES} // 6, '');
is($wrong, '', 'nothing that was shown or acknowledged is lost in crashes');

SKIP:
{
	skip 'built without WAITPOINTS', 2 unless $has_waitpoints;

	($wrong) = history('no_reader_flush', 5, 'no-reader-flush');
	like($wrong, qr/^partition \d had/m, 'without a flush before a fetch what was shown is lost');
	($wrong) = history('show_aborted_tail', 3, 'show-aborted-tail');
	like($wrong, qr/^partition \d ends at/m, 'without the clamp the log ends before where it ended');
}

done_testing();
