# t/051_history_crash.pl with many more crashes in one history.

use strict;
use warnings;
use FindBin;

$ENV{STREAMLOG_CRASHES} = 60;
my $test = "$FindBin::Bin/../t/051_history_crash.pl";
defined(do $test) or die $@ || "cannot read $test: $!";
