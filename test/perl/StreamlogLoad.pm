# StreamlogLoad.pm: a load whose log can be proved from within its database.
#
# Every transaction that produces to topic "log" also writes the keys to table
# "produced", so whatever is done to the database, the two must hold the same: the
# copy of a database, a backup, a server that has recovered to some point in time.
# There are short transactions and larger ones, some that commit asynchronously,
# some that append and roll back, wholly or to a savepoint.

package StreamlogLoad;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT_OK = qw(load_setup load_start load_stop load_check load_ends load_goes_on);

my $script = q(
\set kind random(1, 10)
\set p random(0, 2)
\set n random(1, 40)
BEGIN;
\if :kind <= 2
SET LOCAL synchronous_commit = off;
\endif
\if :kind = 3
SELECT load(:n, :p);
SAVEPOINT s;
SELECT load(:n, NULL);
ROLLBACK TO s;
SELECT load(1, :p);
\elif :kind <= 5
SELECT load(:n, NULL);
SELECT count(*) FROM streamlog.flush();
\else
SELECT load(:n, :p);
\endif
\if :kind = 5
ROLLBACK;
\else
COMMIT;
\endif
);
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/load.sql", $script);

# The topic and the table; the extension is there.
sub load_setup
{
	my ($node, $db) = @_;

	$node->safe_psql(
		$db, q(
		CREATE TABLE produced (key text PRIMARY KEY);
		CREATE FUNCTION load(n int, partition int) RETURNS void LANGUAGE sql AS $$
			WITH k AS (
				INSERT INTO produced SELECT gen_random_uuid() FROM generate_series(1, n) RETURNING key)
			SELECT streamlog.produce('log', key, repeat('x', 200), partition => $2) FROM k $$;
		CREATE FUNCTION log_keys() RETURNS TABLE (partition int, record_offset bigint, key text) LANGUAGE plpgsql AS $$
		DECLARE
			at bigint;
		BEGIN
			FOR partition IN 0..2 LOOP
				record_offset := streamlog.start_offset('log', partition) - 1;
				LOOP
					at := record_offset;
					FOR record_offset, key IN SELECT f.record_offset, streamlog.as_text(f.key)
						FROM streamlog.fetch_records('log', partition, at + 1, 10000, 1000000) f
					LOOP
						RETURN NEXT;
					END LOOP;
					EXIT WHEN at IS NOT DISTINCT FROM record_offset OR record_offset IS NULL;
				END LOOP;
			END LOOP;
		END $$;
		SELECT streamlog.create_topic('log', 3, config => '{"segment.bytes": 1048576}');));
	return;
}

# Start it, for at most two minutes, at a pace that leaves a machine something for the
# rest of the test; it runs in the background.
sub load_start
{
	my ($node, $db, %opt) = @_;
	my $out = '';
	my $handle = IPC::Run::start(
		[
			'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $opt{clients} // 4,
			'-T', 120, '-R', 300, '-f', "$dir/load.sql", $db
		],
		'<', \undef, '>&', \$out);

	$node->poll_query_until($db, $opt{until} // 'SELECT count(*) > 2000 FROM produced')
	  or die "no load";
	return $handle;
}

sub load_stop
{
	my ($node, $db, $handle) = @_;

	$handle->kill_kill;
	$node->poll_query_until('postgres', qq(
		SELECT count(*) = 0 FROM pg_stat_activity
		WHERE application_name = 'pgbench' AND datname = '$db')) or die "the load has not ended";
	return;
}

# The log and the table hold the same, everything once, and the log is in order.
sub load_check
{
	my ($node, $db, $what) = @_;

	is( $node->safe_psql(
			$db, q(
			CREATE TEMP TABLE l AS SELECT * FROM log_keys();
			SELECT CASE WHEN count(*) > 0 THEN 'lost: ' || count(*) END FROM produced WHERE key NOT IN (SELECT key FROM l);
			SELECT CASE WHEN count(*) > 0 THEN 'invented: ' || count(*) END FROM l WHERE key NOT IN (SELECT key FROM produced);
			SELECT CASE WHEN count(*) <> count(DISTINCT key) THEN 'twice' END FROM l;
			SELECT CASE WHEN count(*) <> (SELECT count(*) FROM topic.log) THEN 'different in the table' END FROM l;
			SELECT string_agg(DISTINCT problem, ', ') FROM streamlog.check_topic('log');
			SELECT CASE WHEN count(*) > 0 THEN 'undecided' END FROM streamlog.undecided_transactions)) =~ s/\s+/ /gr,
		' ',
		"$what: the log has what was committed, and nothing else");
	return;
}

# The ends of the partitions, as one line
sub load_ends
{
	my ($node, $db) = @_;

	return $node->safe_psql($db,
		q(SELECT string_agg(streamlog.end_offset('log', p)::text, ' ' ORDER BY p) FROM generate_series(0, 2) p));
}

# Produce to each partition, and see that it goes on where it was said to end.
sub load_goes_on
{
	my ($node, $db, $ends, $what) = @_;
	my @ends = split / /, $ends;

	for my $p (0 .. 2)
	{
		my $key = $node->safe_psql($db, 'INSERT INTO produced VALUES (gen_random_uuid()) RETURNING key');
		my $offset = $node->safe_psql($db, "SELECT streamlog.produce('log', '$key', 'v', partition => $p)");

		cmp_ok($offset, '>=', $ends[$p], "$what: partition $p goes on");
		is($node->safe_psql($db, "SELECT streamlog.end_offset('log', $p)"), $offset + 1, 'and is read');
	}
	load_check($node, $db, "$what, after that");
	return;
}

1;
