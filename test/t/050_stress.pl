# Slow producers, some of them idle in their transaction or terminated, and readers
# that follow the log to its end in every isolation level: each sees all of it.
#
# perl/StreamlogStress.pm says how it works, and what 050_history.pl has beyond.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed history_has_waitpoints);
use StreamlogStress qw(stress_node stress_run stress_complaints);

my $seed = history_seed();
srand($seed);

my $node = stress_node('stress');
my $has_waitpoints = history_has_waitpoints($node);
is(join("\n", stress_run($node, seed => $seed, seconds => 18)),
	'', 'everybody gets through');
is(join("\n", stress_complaints($node)), '', 'and all is as it should be');

# that there was something to be wrong
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(DISTINCT reader || ': ' || isolation, ', ') FROM position"),
	'committed: read committed, repeatable: repeatable read, serializable: serializable',
	'the readers were in these isolation levels');
like(
	slurp_file($node->logfile),
	qr/ serializable ERROR: .*could not serialize access/,
	'serializable readers had to try again');
for my $what (
	[ 'records', 1000, 'SELECT count(*) FROM log' ],
	[ 'offsets that were rolled back', 50,
		'SELECT sum(n) FROM (SELECT max(record_offset) + 1 - count(*) AS n FROM log GROUP BY partition) s' ],
	[ 'segments', 3, "SELECT count(*) FROM streamlog.segments WHERE topic = 'stress'" ],
	[ 'large values', 10, 'SELECT count(*) FROM topic.stress WHERE length(value) >= 20000' ],
	[ 'sessions of producers', 25, 'SELECT count(DISTINCT producer) FROM log' ])
{
	my ($name, $least, $query) = @$what;
	my $n = $node->safe_psql('postgres', $query);

	cmp_ok($n, '>=', $least, "there are $name: $n");
}

# The questions find what they ask for.
$node->safe_psql(
	'postgres', q(
	CREATE FUNCTION pick(i int) RETURNS bigint LANGUAGE sql
		RETURN (SELECT record_offset FROM log WHERE partition = 0 ORDER BY 1 OFFSET i LIMIT 1);
	DELETE FROM seen WHERE (reader, partition, record_offset) = ('committed', 0, (SELECT pick(10)));
	INSERT INTO seen (reader, partition, record_offset, digest)
		SELECT reader, partition, record_offset, digest FROM seen
		WHERE (reader, partition, record_offset) = ('repeatable', 0, (SELECT pick(11)));
	UPDATE seen SET digest = '' WHERE (reader, partition, record_offset) = ('serializable', 0, (SELECT pick(12)));
	INSERT INTO sent SELECT 1, max(seq) + 1, 0, '' FROM sent WHERE producer = 1;
	UPDATE sent SET record_offset = record_offset + 1
		WHERE record_offset = (SELECT min(record_offset) FROM sent);
	WITH l AS (SELECT producer, seq FROM log WHERE record_offset = (SELECT pick(20)) AND partition = 0),
		a AS (DELETE FROM attempt a USING l WHERE (a.producer, a.seq) = (l.producer, l.seq))
	DELETE FROM sent s USING l WHERE (s.producer, s.seq) = (l.producer, l.seq);));
my $found = join("\n", stress_complaints($node));
like($found, qr/^\Q$_/m, "$_: that is found")
  for (
	'committed but not in the log', 'not at the offset that was returned',
	'in the log but never committed', 'skipped by a reader', 'read twice',
	'read but not in the log', 'read out of order');
$node->stop;

SKIP:
{
	skip 'built without WAITPOINTS', 4 unless $has_waitpoints;

	# a commit takes its time to be seen
	my $control = stress_node('stress_control', "fsync = on\ncommit_siblings = 0\n");

	# with the same settings and nothing left out, all is well
	my @slow = ('commit_delay=5000');
	is( join("\n", stress_run($control, seed => $seed, seconds => 2,
			producer_settings => \@slow, reader_settings => \@slow)),
		'', 'commits that take their time');
	is(join("\n", stress_complaints($control)), '', 'and all is as it should be');

	for my $mutant (
		[ 'statement-snapshot', 'reader_settings' ],
		[ 'release-before-commit', 'producer_settings' ])
	{
		my ($name, $whose) = @$mutant;
		my $wrong = '';

		for my $try (1 .. 4)
		{
			stress_run($control,
				seed => $seed + $try,
				seconds => 2,
				levels => ['committed'],
				calm => 1,
				patience => 1,	# a reader that has missed the last record waits for ever
				producer_settings => \@slow,
				$whose => [ @slow, "streamlog.mutants=$name" ]);
			$wrong = join("\n", stress_complaints($control));
			note("$try: $wrong");
			last if $wrong =~ /^skipped by a reader/m;
		}
		like($wrong, qr/^skipped by a reader/m, "$name: that shows");
	}
	$control->stop('immediate');
}

done_testing();
