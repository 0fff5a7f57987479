# A physical standby: what it refuses, and that the log goes on when it is promoted.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "streamlog.worker_naptime = 100ms\nautovacuum = off\n");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$primary->safe_psql('postgres', "SELECT streamlog.create_topic('$_', config => '{\"segment.bytes\": 1048576}')")
  for 'plain', 'tail', 'rolled';
$primary->safe_psql('postgres', "SELECT streamlog.create_topic('wide', 40)");
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

my $aborted = q(BEGIN; SELECT count(*) FROM streamlog.produce_batch('%1$s', NULL, array_fill(repeat('x', 100), ARRAY[%2$d]));
	SELECT count(*) FROM streamlog.flush(); ROLLBACK;);

sql($primary, "SELECT streamlog.produce(t, 'k', 'v' || i) FROM generate_series(1, 10) i, unnest(ARRAY['plain', 'tail']) t");
sql($primary, sprintf $aborted, 'tail', 2000);
sql($primary, "SELECT count(*) FROM streamlog.produce_batch('rolled', NULL, array_fill(repeat('x', 100), ARRAY[9000]))");
ok($primary->poll_query_until('postgres', q(
	SELECT (SELECT count(*) FROM streamlog.segments WHERE topic = 'rolled') = 2
		AND (SELECT count(*) FROM streamlog.segments WHERE topic = 'wide') = 40)), 'a partition rolls');
sql($primary, sprintf $aborted, 'rolled', 100);
my $ends = 'SELECT topic, partition, end_offset FROM streamlog.partitions ORDER BY 1, 2';
my $before = sql($primary, $ends);
my $records = sql($primary, "SELECT md5(string_agg(r::text, '')) FROM streamlog.fetch_records('plain', 0, 0) r");
$primary->wait_for_catchup($standby);

# Mutation: look at shared memory, which says nothing on a standby, or initialise it
# there, when what is seen is not all that there is.
for my $call (
	q(SELECT * FROM streamlog.fetch_records('plain', 0, 0)),
	q(SELECT streamlog.end_offset('plain', 0)),
	q(SELECT streamlog.start_offset('plain', 0)),
	q(SELECT streamlog.offset_for_time('plain', 0, now())),
	q(SELECT * FROM streamlog.check_topic('plain')))
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$call");
	like($err, qr/ERROR:  (25006|0A000|55000): .*(standby|recovery)/, "a standby says so: $call");
}
for my $call (
	q(SELECT streamlog.produce('plain', 'k', 'v')),
	q(SELECT * FROM streamlog.produce_batch('plain', NULL, ARRAY['v'])),
	q(SELECT streamlog.create_topic('more')),
	q(SELECT streamlog.alter_topic('plain', 2)),
	q(SELECT streamlog.drop_topic('plain')),
	q(SELECT * FROM streamlog.consume('plain')),
	q(SELECT * FROM streamlog.consume('plain', 'group')),
	q(SELECT * FROM streamlog.poll('plain', 'group')),
	q(SELECT * FROM streamlog.commit_offsets('plain', 'group')),
	q(SELECT * FROM streamlog.seek('plain', 'group', to_offset => 0)),
	q(SELECT * FROM streamlog.seek('plain', to_offset => 0)),
	q(SELECT streamlog.next_offset('plain', 'group', 0)),
	q(SELECT streamlog.leave('group')),
	q(SELECT streamlog.kick_member('group', 'm')),
	q(SELECT * FROM streamlog.committed_offsets('group')),
	q(SELECT * FROM streamlog.reset_offsets('group', 'plain', to_offset => 0, dry_run => false)),
	q(SELECT streamlog.delete_offsets('group', 'plain')),
	q(SELECT streamlog.alter_group('group', 'postgres')),
	q(SELECT streamlog.delete_group('group')),
	q(CALL streamlog.wait_for_records('plain', max_wait => '1 ms')))
{
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$call");
	like($err, qr/ERROR:  (25006|0A000|55000): .*(standby|recovery|read-only)/, "nor does it: $call");
}
is(sql($standby, "SELECT count(*) FROM topic.plain"), 10, 'but the table of a topic can be read');
is(sql($standby, 'SELECT count(*) FROM streamlog.topics'), 4, 'and the topics are known');
is(sql($standby, q(SELECT source FROM streamlog.describe_topic('plain') WHERE config = 'notify')),
	'default', 'and their configs');
is(sql($standby, 'SELECT count(*) FROM streamlog.partitions'), 43, 'and the partitions');
is(sql($standby, 'SELECT count(*) FROM streamlog.segments'), 44, 'and the segments');
is(sql($standby, "SELECT count(*) FROM streamlog.workers WHERE kind = 'worker'"), 0, 'no worker runs there');

# What was shown before is what the log is after.  Mutation: what was found out in
# recovery is used; next is taken from what is visible.
$primary->stop('immediate');
$standby->promote;
is(sql($standby, $ends), $before, 'after the promotion all partitions end where they did');
is(sql($standby, "SELECT md5(string_agg(r::text, '')) FROM streamlog.fetch_records('plain', 0, 0) r"),
	$records, 'with the same records');
is(sql($standby, "SELECT streamlog.produce('plain', 'k', 'after')"), 10, 'the log goes on at its end');
my $offset = sql($standby, "SELECT streamlog.produce('tail', 'k', 'after')");
cmp_ok($offset, '>=', 10, "also behind an aborted end: $offset");
$offset = sql($standby, "SELECT streamlog.produce('rolled', 'k', 'after')");
cmp_ok($offset, '>=', 9000, "and in a new segment: $offset");
is( sql($standby, q(
	SELECT string_agg(format('%s %s', topic, n), ',' ORDER BY topic)
	FROM unnest(ARRAY['plain', 'tail', 'rolled']) t(topic),
		LATERAL (SELECT count(*) AS n FROM streamlog.fetch_records(topic, 0, 0, 10000, 100000000)) f)),
	'plain 11,rolled 9001,tail 11', 'all of it is read');
is( sql($standby, q(SELECT count(problem) FROM streamlog.topics, streamlog.check_topic(topic))),
	0, 'nothing is out of order');
sql($standby, "SELECT count(*) FROM streamlog.produce_batch('plain', NULL, array_fill(repeat('x', 100), ARRAY[9000]))");
ok( $standby->poll_query_until(
		'postgres', q(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = 'plain')),
	'and a worker rolls');

$standby->stop;
done_testing();
