# Memory: a session does not grow with what it has produced and fetched, and a
# transaction may be larger than its memory.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nmax_wal_size = 4GB\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', "SELECT streamlog.create_topic('small', 4)");
$node->safe_psql('postgres', "SELECT streamlog.create_topic('large', 4)");

my $session = $node->background_psql('postgres');

# What the session has allocated, in bytes
sub allocated
{
	return $session->query_safe('SELECT sum(total_bytes) FROM pg_backend_memory_contexts;');
}

# The most that the session's process has ever used, in kB, without what it has
# touched of shared buffers
sub peak
{
	my $pid = $session->query_safe('SELECT pg_backend_pid();');
	my $status = slurp_file("/proc/$pid/status");
	my ($peak) = $status =~ /^VmHWM:\s+(\d+) kB/m;
	my ($shared) = $status =~ /^RssShmem:\s+(\d+) kB/m;

	return $peak - $shared;
}

# Small transactions, each of which appends to several partitions at its end.
sub produce
{
	my ($n) = @_;

	$session->query_safe(qq(
		DO \$\$
		BEGIN
			FOR i IN 1 .. $n LOOP
				PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => i % 4);
				PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => (i + 1) % 4);
				COMMIT;
			END LOOP;
		END\$\$;));
	return;
}

# Transactions that end in an error, and savepoints that are rolled back
sub fail
{
	my ($n) = @_;

	$session->query_safe(qq(
		DO \$\$
		BEGIN
			FOR i IN 1 .. $n LOOP
				PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => i % 4);
				BEGIN
					PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => 1);
					PERFORM streamlog.produce('small', 'key ' || i, 'value', partition => 99);
				EXCEPTION WHEN OTHERS THEN
					NULL;
				END;
				ROLLBACK;
			END LOOP;
		END\$\$;));
	return;
}

sub fetch
{
	my ($n) = @_;

	return $session->query_safe(qq(
		SELECT sum((SELECT count(*) FROM streamlog.fetch_records('small', i % 4, i % 10, max_records => 100)))
		FROM generate_series(1, $n / 100) i;));
}

# A first round, for whatever is remembered once.  Mutation: allocate a pending
# partition, or a segment list that is read again, in TopMemoryContext.
produce(500);
fail(100);
fetch(1000);
allocated();
my $before = allocated();
produce(20000);
fail(5000);
is(fetch(200000), 200000, 'records are fetched');
my $after = allocated();
cmp_ok($after - $before, '<', 200 * 1024,
	"a session does not grow by small transactions and fetches ($before, $after bytes)");

# Many records in a transaction: how much memory that takes with a producer_buffer
# of this size, in a session of its own
sub million
{
	my ($buffer, $end) = @_;

	$session = $node->background_psql('postgres');
	$session->query_safe("SET streamlog.producer_buffer = '$buffer';");
	$session->query_safe(
		"SELECT count(streamlog.produce('large', 'k', 'v', partition => i % 4)) FROM generate_series(1, 100) i;");
	my $start = peak();
	$session->query_safe(
		q(BEGIN;
		DO $$
		BEGIN
			FOR i IN 1 .. 1000000 LOOP
				PERFORM streamlog.produce('large', 'key', 'the value of a record of about 60 bytes ' || i,
					partition => i % 4);
			END LOOP;
		END$$;));
	my $at_end = peak();
	$session->query_safe("$end;");
	my $after = peak();
	$session->quit;
	note("$buffer: $start kB before, $at_end kB before the end, $after kB after");
	return ($at_end > $after ? $at_end : $after) - $start;
}

# Mutation: do not spill, which the control shows.
my $took = million('1MB', 'COMMIT');
cmp_ok($took, '<', 10 * 1024, "a million records take little memory ($took kB)");
$took = million('1GB', 'ROLLBACK');
cmp_ok($took, '>', 50 * 1024, "where they are kept in memory they do not ($took kB)");
is( $node->safe_psql('postgres', q(
		SELECT sum(end_offset) FROM streamlog.partitions WHERE topic = 'large')),
	1000200, 'and all are there');
is( $node->safe_psql('postgres', q(
		SELECT count(*), count(DISTINCT value) FROM generate_series(0, 3) p,
			streamlog.fetch_records('large', p, 25, max_records => 1100000, max_bytes => 1000000000)
		WHERE key = 'key')),
	'1000000|1000000', 'each of them once');

# Many rows in one statement, into the table and the text view.  Mutation:
# produce_text() returns the row, which PostgreSQL then keeps to the end.
sub rows
{
	my ($statement) = @_;

	$session = $node->background_psql('postgres');
	$session->query_safe("SET streamlog.producer_buffer = '1MB';");
	$session->query_safe("INSERT INTO topic.large (value) SELECT 'v' FROM generate_series(1, 100);"
		  . " INSERT INTO topic_text.large (value) SELECT 'v' FROM generate_series(1, 100);");
	my $start = peak();
	$session->query_safe("$statement;");
	my $took = peak() - $start;
	$session->quit;
	return $took;
}

my $file = PostgreSQL::Test::Utils::tempdir() . '/rows';
$node->safe_psql('postgres', "COPY (SELECT repeat('v', 100) FROM generate_series(1, 200000)) TO '$file'");
foreach my $into ('topic', 'topic_text')
{
	my $type = $into eq 'topic' ? 'bytea' : 'text';

	$took = rows("INSERT INTO $into.large (value) SELECT repeat('v', 100)::$type FROM generate_series(1, 200000)");
	cmp_ok($took, '<', 20 * 1024, "INSERT of many rows into $into takes little memory ($took kB)");
	$took = rows("COPY $into.large (value) FROM '$file'");
	cmp_ok($took, '<', 20 * 1024, "and so does COPY ($took kB)");
}

$node->stop;
done_testing();
