# The demo: scripts/demo.sql gets through, more than once in a database, and shows a
# consumer group that works everything off exactly once although a member is killed.
#
# Mutation: commit between consume() and the work.

use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $script = "$FindBin::Bin/../../scripts/demo.sql";
my $log = PostgreSQL::Test::Utils::tempdir() . '/dpkg.log';
my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE demo');

# as dpkg writes it
for my $i (1 .. 1200)
{
	append_to_file($log, sprintf("2026-01-%02d 10:%02d:%02d status %s package%d:amd64 1.%d\n",
		1 + $i / 60, $i / 60, $i % 60, $i % 3 ? 'unpacked' : 'installed', $i % 90, $i / 90));
}

for my $run (1, 2)
{
	my ($out, $err) = ('', '');

	ok( IPC::Run::run([
			'psql', '-X', '-h', $node->host, '-p', $node->port, '-d', 'demo', '-a', '-v', 'ON_ERROR_STOP=1',
			'-v', "log=$log", '-P', 'pager=off', '-P', 'footer=off', '-f', $script ],
			'>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
		"run $run gets through") or diag($err);
	is($err, '', 'without a warning');
	like($out, qr/^ *worked_off \| different \| records *\n[-+]+\n +1201 \| +1201 \| +1201$/m, 'all is worked off once');
	like($out, qr/^ anna .*\{packages-\d,packages-\d\}\n bert .*\{packages-\d,packages-\d\}\n/m, 'shared by two');
	like($out, qr/^ bert .*\{packages-0,packages-1,packages-2,packages-3\}\n/m, 'one takes over');
	is($node->safe_psql('demo', q(SELECT count(DISTINCT consumer) FROM worked_off)), 2, 'both were at work');
	is($node->safe_psql('demo', q(SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('anna', 'bert'))),
		0, 'and are gone');
}

$node->stop;
done_testing();
