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
use StreamlogHistory qw(history_seed history_init history_run history_read
  history_complaints history_has_waitpoints);

my $seed = history_seed();

sub make_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf(
		'postgresql.conf', q(
max_connections = 60
streamlog.worker_naptime = 100ms
shared_buffers = 16MB
max_wal_size = 4GB
autovacuum_naptime = 1s
autovacuum_vacuum_threshold = 1
autovacuum_vacuum_scale_factor = 0
autovacuum_vacuum_cost_delay = 0
log_statement = none
log_lock_waits = off
));
	$node->start;
	history_init($node);
	return $node;
}

my $node = make_node('history');
is(join("\n", history_run($node, seed => $seed, seconds => $ENV{STREAMLOG_SECONDS} // 15)),
	'', 'everybody gets through');
history_read($node);
is(join("\n", history_complaints($node)), '', 'and all is as it should be');

# that it was a history worth the name
for my $what (
	[ 'records', 5000, 'SELECT count(*) FROM final' ],
	[ 'records that were rolled back', 500, 'SELECT sum(record_offset + 1 - n) FROM ('
		  . 'SELECT max(record_offset) AS record_offset, count(*) AS n FROM final GROUP BY partition) s' ],
	[ 'segments', 6, "SELECT count(*) FROM streamlog.segments WHERE topic = 'history'" ],
	[ 'large values', 20, "SELECT count(*) FROM topic.history WHERE length(value) > 10000" ],
	[ 'records seen in each isolation level', 1000,
		"SELECT min(n) FROM (SELECT count(*) AS n FROM seen GROUP BY left(reader, 3)) s" ])
{
	my ($name, $least, $query) = @$what;
	my $n = $node->safe_psql('postgres', $query);

	note("$name: $n");
	cmp_ok($n, '>=', $least, "there are $name");
}
$node->stop;

SKIP:
{
	skip 'built without WAITPOINTS', 1 if $node->config_data('--version') eq '';
	$node->start;
	my $has_waitpoints = history_has_waitpoints($node);
	$node->stop;
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

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
		my $control_node = make_node('control_' . $mutants =~ tr/a-z/_/cr);
		my $wrong = '';

		# at most three attempts
		for (1 .. 3)
		{
			history_run($control_node,
				seed => $seed + $_,
				seconds => 3,
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
