# Consumers with psycopg 3 and 2, JDBC and DBD::Pg: by whatever statement, cursor,
# prepared or not, as text or binary, consume() is under the rule that the README says,
# and each record is handed out once; what a driver makes of lists is understood.
#
# Needs what scripts/test installs: psycopg 3 and 2, DBD::Pg, JDBC and a JDK.
#
# Mutations: do not note a BEGIN; take a list without a type for a name.

use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $drivers = "$FindBin::Bin/../drivers";

# Java has no Unix-domain sockets
my $node = PostgreSQL::Test::Cluster->new('driver_consumers');
$node->init;
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nlog_statement = none\n");
$node->start;
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $url = 'jdbc:postgresql://127.0.0.1:' . $node->port . "/postgres?user=$user";

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PYTHONUTF8} = 1;

$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = "$user", public, streamlog');
$node->safe_psql('postgres', q(
	CREATE EXTENSION IF NOT EXISTS streamlog;
	SELECT create_topic('shared', partitions => 3);
	SELECT produce('shared', 'k' || i, '\x00ff5c'::bytea || (i::text)::bytea, partition => i % 3)
	FROM generate_series(0, 29) i));

for my $driver (
	[ 'psycopg 3', '/usr/bin/python3', '-B', "$drivers/consume_psycopg_3.py", 'dbname=postgres' ],
	[ 'psycopg 2', '/usr/bin/python3', '-B', "$drivers/consume_psycopg_2.py", 'dbname=postgres' ],
	[ 'JDBC', 'java', '-XX:TieredStopAtLevel=1', '-cp', '/usr/share/java/postgresql.jar', "$drivers/Consume.java", $url ],
	[ 'DBD::Pg', '/usr/bin/perl', "$drivers/consume_dbd_pg.pl", 'dbname=postgres' ])
{
	my ($name, @command) = @$driver;
	my ($out, $err) = ('', '');

	ok(IPC::Run::run([ @command, 'shared' ], '>', \$out, '2>', \$err,
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
		"$name gets through") or diag(substr($err, -2000));
	my @lines = split /\n/, $out;
	my @wrong = grep { /^not ok/ } @lines;
	is(join("\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]), '', "$name: all is as it should be");
	cmp_ok(scalar(@lines), '>=', 40, "$name: " . @lines . ' claims');
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000/, 'the server lives on');
$node->stop;
done_testing();
