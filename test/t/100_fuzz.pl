# Every function of streamlog with arguments that make no sense, and whatever else
# SQL can do to it: the server lives on, nothing is an internal error, nothing is
# left behind, and no record that was committed is lost.
#
# perl/StreamlogFuzz.pm says how it works; long/fuzz.pl goes on for longer.
#
# Mutations: elog() for a negative max_wait; do not look whether partition_for()'s
# topic is null; open a relation in fetch_records() and do not close it; keep
# produce()'s call site in TopMemoryContext (where its turn comes); ROLLBACK TO leaves its
# records in the buffer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogHistory qw(history_seed);
use StreamlogFuzz qw(fuzz_node fuzz_functions fuzz_run fuzz_growth fuzz_complaints fuzz_called);

my $seed = history_seed();
my $node = fuzz_node('fuzz');

is(join("\n", fuzz_run($node, seed => $seed, seconds => 20)), '', 'the sessions get through');
is(join("\n", fuzz_growth($node, seed => $seed, calls => 10, times => 10000)), '', 'no call makes a session grow');
is(join("\n", fuzz_complaints($node)), '', 'and all is as it should be');

# that there was something to go wrong
my %called = fuzz_called();
note("$called{scripts} scripts");
cmp_ok($called{scripts}, '>=', 20, 'many scripts were run');
is(join(' ', grep { ($called{$_} // 0) < 20 } map { $_->{name} } fuzz_functions($node)),
	'', 'every function was called');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM kept'), '>', 100, 'records were kept');
my %states = map { $_ => 1 } slurp_file($node->logfile) =~ /ERROR:  (\w{5}): /g;
cmp_ok(scalar(keys %states), '>', 30, 'there were errors of many kinds');

$node->stop;
done_testing();
