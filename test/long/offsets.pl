# A million commits of an offset while a snapshot is held: each takes as long as the
# first, and none takes more room than one version of the row.
#
# Mutations: sl_offset_read() and sl_offset_write() do not use the place that is
# remembered, but the index; publish() does not remember it.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('offsets');
$node->init;
$node->append_conf('postgresql.conf', "synchronous_commit = off\nmax_wal_size = 4GB\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, streamlog');
$node->safe_psql('postgres', q{
SELECT create_topic('t');
SELECT count(*) FROM produce_batch('t', NULL, array_fill('v'::text, '{1000}'));
CREATE TABLE took (part int, ms float8);
CREATE PROCEDURE commit_many(parts int, each int) LANGUAGE plpgsql AS $$
DECLARE started timestamptz;
BEGIN
	PERFORM count(*) FROM poll('t', 'g');
	COMMIT;
	FOR part IN 1 .. parts LOOP
		started := clock_timestamp();
		FOR i IN 1 .. each LOOP
			PERFORM commit_offsets('t', 'g', partitions => '{0}', next_offsets => ARRAY[i % 1000]);
			COMMIT;
		END LOOP;
		INSERT INTO took VALUES (part, extract(epoch FROM clock_timestamp() - started) * 1000);
		COMMIT;
	END LOOP;
END $$;
});

my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
my $before = $node->safe_psql('postgres', "SELECT pg_total_relation_size('committed_offset')");
$node->safe_psql('postgres', 'CALL commit_many(10, 100000)');
my $grown = $node->safe_psql('postgres', "SELECT (pg_total_relation_size('committed_offset') - $before) / 1000000.0");
my ($first, $last) = split /\|/, $node->safe_psql('postgres',
	"SELECT min(ms) FILTER (WHERE part <= 2), min(ms) FILTER (WHERE part >= 9) FROM took");
note(sprintf 'a commit took %.1f us at first, %.1f us at last; %.0f bytes', $first / 100, $last / 100, $grown);
cmp_ok($last / $first, '<', 1.3, 'the last of a million commits take as long as the first');
cmp_ok($grown, '<', 150, 'and no more room than a version of the row');
$holder->quit;
$node->stop;
done_testing();
