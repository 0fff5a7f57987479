# t/153_exactly_once.pl for longer: each assignor for a minute with a crash every ten
# seconds, a minute without faults, and each mutation of the code until it shows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed history_has_waitpoints);
use StreamlogConsumers qw(consumers_node consumers_run consumers_complaints consumers_mutants);

my $seed = history_seed();
my $node = consumers_node('consumers');

for my $assignor (qw(range roundrobin sticky))
{
	is( join("\n", consumers_run($node, seed => $seed++, seconds => 60, crashes => 6, workers => 2,
				assignor => $assignor)),
		'', "$assignor: everybody gets through");
	is(join("\n", consumers_complaints($node)), '', 'and all is as it should be');
}
is(join("\n", consumers_run($node, seed => $seed++, seconds => 60, workers => 2, calm => 1)), '', 'without faults');
is(join("\n", consumers_complaints($node, calm => 1)), '', 'nothing comes twice');

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless history_has_waitpoints($node);

	for my $mutant (consumers_mutants())
	{
		my ($name, $groups, $expected) = @$mutant;
		my $wrong = '';

		for my $try (1 .. 12)
		{
			my @ends = consumers_run($node, seed => $seed++, seconds => 5, groups => $groups,
				workers => 2, mutants => $name, patience => 2);

			$wrong = join("\n", @ends, consumers_complaints($node, groups => $groups));
			note("$try: $wrong");
			last if $wrong =~ $expected;
		}
		like($wrong, $expected, "$name: that shows");
	}
}
$node->stop;

done_testing();
