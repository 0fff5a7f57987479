# The fuzz of t/100_fuzz.pl for ten minutes, in rounds of two, and then every function
# with arguments of up to 1 GB, one at a time; these want about 8 GB of memory.
#
# Mutations: as in t/100_fuzz.pl; compress headers however large they are; show any
# number of headers as JSON.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed);
use StreamlogFuzz qw(fuzz_node fuzz_run fuzz_growth fuzz_big fuzz_complaints fuzz_unsuccessful);

my $seed = history_seed();

for my $round (1 .. 5)
{
	my $node = fuzz_node("round_$round");

	is(join("\n", fuzz_run($node, seed => $seed + $round, seconds => 110, sessions => 2 + $round % 3)),
		'', "round $round: the sessions get through");
	is(join("\n", fuzz_growth($node, seed => $seed + $round, calls => 12, first => 12 * $round, times => 10000)),
		'', 'no call makes a session grow');
	is(join("\n", fuzz_complaints($node)), '', 'and all is as it should be');
	is(join(' ', fuzz_unsuccessful($node)), '', 'every function was also called with success');
	$node->stop;
	$node->clean_node;
}

my $node = fuzz_node('big');
cmp_ok(fuzz_big($node), '>', 50, 'calls with large arguments');
is(join("\n", fuzz_complaints($node)), '', 'and all is as it should be');
$node->stop;

done_testing();
