# Whole histories: producers of every kind and readers in every isolation level at
# once, across segments, with sessions that die and VACUUM at work; and what is
# wrong with what the readers have seen and with the log at the end.
#
# The controls leave one step out of the code, and the same load must then show what
# that step is for.  perl/StreamlogHistory.pm says how all of it works.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed history_node history_run history_read
  history_complaints history_has_waitpoints);

my $seed = history_seed();
my $node = history_node('history');
my $has_waitpoints = history_has_waitpoints($node);

is(join("\n", history_run($node, seed => $seed, seconds => 10)),
	'', 'everybody gets through');
history_read($node);
is(join("\n", history_complaints($node)), '', 'and all is as it should be');

# that it was a history worth the name
for my $what (
	[ 'records', 5000, 'SELECT count(*) FROM final' ],
	[ 'records that were rolled back', 500, 'SELECT sum(record_offset + 1 - n) FROM ('
		  . 'SELECT max(record_offset) AS record_offset, count(*) AS n FROM final GROUP BY partition) s' ],
	[ 'segments', 6, "SELECT count(*) FROM streamlog.segments WHERE topic = 'history'" ],
	[ 'large values', 20, 'SELECT count(*) FROM topic.history WHERE length(value) > 10000' ],
	[ 'records seen in each isolation level', 1000,
		'SELECT min(n) FROM (SELECT count(*) AS n FROM seen GROUP BY left(reader, 3)) s' ])
{
	my ($name, $least, $query) = @$what;
	my $n = $node->safe_psql('postgres', $query);

	cmp_ok($n, '>=', $least, "there are $name: $n");
}

# The questions find what they ask for.
$node->safe_psql(
	'postgres', q(
	UPDATE final SET record_offset = record_offset + 1000 WHERE i = 100 AND partition = 0;
	DELETE FROM final WHERE i = 200 AND partition = 0;
	INSERT INTO final SELECT 1, i + 1, record_offset + 1, key, hash FROM final f
		WHERE partition = 1 AND i = (SELECT max(i) FROM final WHERE partition = 1);
	DELETE FROM produced WHERE key = (SELECT key FROM produced LIMIT 1);
	DELETE FROM final WHERE key = (SELECT key FROM told LIMIT 1);
	INSERT INTO orphans VALUES ('reader', 'key')));
my $found = join("\n", history_complaints($node));
like($found, qr/^\Q$_/m, "$_: that is found")
  for (
	'read differently', 'read before', 'not in the order of offsets',
	'not in the order of its producer', 'twice', 'lost:', 'lost after', 'invented',
	'different in the table', 'not what the view shows');
$node->stop;

# The same with less shared memory than there are partitions in use: what it tells
# about a partition is lost and found out anew all the time.  Mutation: evict a
# partition that has claims, or WAL to flush.
$node = history_node('evicted', "streamlog.max_partitions = 16\n");
is(join("\n", history_run($node, seed => $seed, seconds => 5, evict => 1)),
	'', 'everybody gets through with little shared memory');
history_read($node);
is(join("\n", history_complaints($node)), '', 'and all is as it should be');
$node->stop;

SKIP:
{
	skip 'built without WAITPOINTS', 4 unless $has_waitpoints;

	for my $control (

		# a snapshot from before the look at the end of the log
		[ 'statement-snapshot', qr/read differently/, 'READ COMMITTED' ],

		# a claim that falls before the commit can be seen
		[ 'release-before-commit', qr/read differently/, 'READ COMMITTED' ],

		# offsets that nobody has a claim on for a moment.  Alone this is covered up
		# by committed_end.
		[ 'register-late,show-aborted-tail', qr/read differently/, 'READ COMMITTED' ],

		# records that the reader's transaction does not see
		[ 'ignore-own-snapshot', qr/read before/, 'REPEATABLE READ' ])
	{
		my ($mutants, $expected, $level) = @$control;
		my $name = 'control_' . $mutants =~ tr/a-z/_/cr;
		my $control_node = history_node($name);
		my $wrong = '';

		# one attempt is enough nearly always
		for (1 .. 4)
		{
			history_run($control_node,
				seed => $seed + $_,
				seconds => 2,
				mutants => $mutants,
				levels => [$level],
				calm => 1);
			history_read($control_node);
			$wrong = join("\n", history_complaints($control_node));
			last if $wrong =~ $expected;
		}
		like($wrong, $expected, "$mutants: that shows");
		$control_node->stop('immediate');
	}
}

done_testing();
