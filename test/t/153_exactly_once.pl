# Whole histories of consumer groups under faults: exactly once with the transaction, at
# least once where the offset is committed after the work, at most once where before.
# Without faults all of them are exactly once.
#
# perl/StreamlogConsumers.pm says how it works.  Mutations: keep-savepoint and
# any-group, which the test runs; long/consumers.pl runs the others of
# consumers_mutants(): read-first, no-ownership, membership-only, same-statement.

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
my @assignors = ('range', 'roundrobin', 'sticky', undef);

my $node = consumers_node('exactly_once');
is( join("\n", consumers_run($node, seed => $seed, seconds => 10, crashes => 2, assignor => $assignors[ $seed % 4 ])),
	'', 'everybody gets through');
is(join("\n", consumers_complaints($node)), '', 'and all is as it should be');

# that there was something to be wrong
my $forms = $node->safe_psql('postgres', 'SELECT count(DISTINCT form) FROM done');
cmp_ok($forms, '>=', 12, "work was done in $forms ways");
for my $group (qw(least other most))
{
	cmp_ok($node->safe_psql('postgres', "SELECT count(DISTINCT worker) FROM seen WHERE consumer_group = '$group'"),
		'>=', 3, "$group: several workers have had records");
}

is(join("\n", consumers_run($node, seed => $seed, seconds => 3, calm => 1)), '', 'without faults');
is(join("\n", consumers_complaints($node, calm => 1)), '', 'nothing comes twice');

SKIP:
{
	skip 'built without WAITPOINTS', 2 unless history_has_waitpoints($node);

	for my $mutant (grep { $_->[0] =~ /^(?:keep-savepoint|any-group)$/ } consumers_mutants())
	{
		my ($name, $groups, $expected) = @$mutant;
		my $wrong = '';

		for my $try (1 .. 5)
		{
			my @ends = consumers_run($node, seed => $seed + $try, seconds => 2, groups => $groups,
				workers => 2, mutants => $name, patience => 1);

			$wrong = join("\n", @ends, consumers_complaints($node, groups => $groups));
			note("$try: $wrong");
			last if $wrong =~ $expected;
		}
		like($wrong, $expected, "$name: that shows");
	}
}
$node->stop;

done_testing();
