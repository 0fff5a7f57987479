# t/051_history_crash.pl with many more crashes in one history.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{STREAMLOG_CRASHES} = 60;
my $test = "$FindBin::Bin/../t/051_history_crash.pl";
do $test;
die $@ if $@;
