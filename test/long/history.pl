# The histories of t/050_history.pl for longer: ten of one minute each.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed history_node history_run history_read
  history_complaints);

my $seed = history_seed();

for my $round (1 .. 10)
{
	my $node = history_node("round_$round");

	is(join("\n", history_run($node, seed => $seed + $round, seconds => 60,
		producers => 2 + $round % 4 * 3, readers => 1 + $round % 3)),
		'', "round $round: everybody gets through");
	history_read($node);
	is(join("\n", history_complaints($node)), '', 'and all is as it should be');
	$node->stop;
	$node->clean_node;
}

done_testing();
