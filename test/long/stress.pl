# The load of t/050_stress.pl for longer: five rounds of one minute.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed);
use StreamlogStress qw(stress_node stress_run stress_complaints);

my $seed = history_seed();
srand($seed);

for my $round (1 .. 5)
{
	my $node = stress_node("round_$round");

	is( join("\n", stress_run($node, seed => $seed + 10 * $round, seconds => 60,
			producers => 6 * $round)),
		'', "round $round: everybody gets through");
	is(join("\n", stress_complaints($node)), '', 'and all is as it should be');
	note($node->safe_psql('postgres', 'SELECT count(*) FROM log') . ' records');
	$node->stop;
	$node->clean_node;
}

done_testing();
