# Memory, for longer than t/020_memory.pl: a million small transactions and ten
# million fetched records in one session, which does not grow; ten million records
# in one transaction, with as little memory for them as is allowed.
#
# Mutations: as in t/020_memory.pl; not to spill, or to keep something in memory for
# each record, or chunk, that was spilled.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf',
	"autovacuum = off\nmax_wal_size = 8GB\nsynchronous_commit = off\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', "SELECT streamlog.create_topic('small', 4), streamlog.create_topic('large', 4)");

my $session = $node->background_psql('postgres');
$session->{timeout}->start(3600);

sub allocated
{
	return $session->query_safe('SELECT sum(total_bytes) FROM pg_backend_memory_contexts;');
}

# The most that the session's process has used, in kB, less what it has touched of
# shared memory
sub peak
{
	my $pid = $session->query_safe('SELECT pg_backend_pid();');
	my $status = slurp_file("/proc/$pid/status");
	my ($peak) = $status =~ /^VmHWM:\s+(\d+) kB/m;
	my ($shared) = $status =~ /^RssShmem:\s+(\d+) kB/m;

	return $peak - $shared;
}

sub commits
{
	my ($n) = @_;

	$session->query_safe(qq(
		DO \$\$
		BEGIN
			FOR i IN 1 .. $n LOOP
				PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => i % 4);
				COMMIT;
			END LOOP;
		END\$\$;));
	return;
}

sub fetch
{
	my ($n) = @_;

	return $session->query_safe(qq(
		SELECT sum((SELECT count(*) FROM streamlog.fetch_records('small', i % 4, i * 37 % 200000, max_records => 500)))
		FROM generate_series(1, $n / 500) i;));
}

commits(1000);
fetch(1000);
allocated();
my $before = allocated();
my $start = time;
commits(1_000_000);
note(sprintf 'a million commits: %.0f s', time - $start);
my $after = allocated();
cmp_ok($after - $before, '<', 200 * 1024, "a million commits leave nothing ($before, $after bytes)");
$start = time;
is(fetch(10_000_000), 10_000_000, 'ten million records are fetched');
note(sprintf 'fetched in %.0f s', time - $start);
$after = allocated();
cmp_ok($after - $before, '<', 200 * 1024, "which leaves nothing either ($before, $after bytes)");
$session->quit;

$session = $node->background_psql('postgres');
$session->{timeout}->start(3600);
$session->query_safe("SET streamlog.producer_buffer = '64kB';");
$session->query_safe(
	"SELECT count(streamlog.produce('large', 'k', 'v', partition => i % 4)) FROM generate_series(1, 1000) i;");
my $at_start = peak();
$start = time;
$session->query_safe(
	q(BEGIN;
	DO $$
	BEGIN
		FOR i IN 1 .. 10000000 LOOP
			PERFORM streamlog.produce('large', 'key', 'the value of a record of about 60 bytes ' || i,
				partition => i % 4);
		END LOOP;
	END$$;));
my $buffered = peak();
$session->query_safe('COMMIT;');
my $committed = peak();
note(sprintf 'ten million records in a transaction: %.0f s', time - $start);
cmp_ok(($committed > $buffered ? $committed : $buffered) - $at_start, '<', 16 * 1024,
	"ten million records in a transaction take little memory ($at_start, $buffered, $committed kB)");
$session->quit;
is( $node->safe_psql('postgres', q(SELECT sum(end_offset) FROM streamlog.partitions WHERE topic = 'large')),
	10_001_000, 'and are there');
is($node->safe_psql('postgres', "SELECT count(problem) FROM streamlog.check_topic('large')"), 0, 'in order');

$node->stop;
done_testing();
