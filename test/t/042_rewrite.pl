# Commands that rewrite a table: they keep a segment in its order.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A table is scanned from where another scan is if it is larger than a quarter of
# shared_buffers.
my $node = PostgreSQL::Test::Cluster->new('rewrite');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_buffers = 1MB\nstreamlog.max_partitions = 100\n"
	  . "streamlog.max_undecided = 100\nstreamlog.max_workers = 0\n");
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	SELECT streamlog.create_topic('t');
	SELECT count(*) FROM streamlog.produce_batch('t', NULL,
		array_fill(repeat('x', 100), ARRAY[20000]));));
my $segment = $node->safe_psql('postgres',
	"SELECT relation FROM streamlog.segments WHERE topic = 't'");

# Leave a scan in the middle, rewrite, and count what is wrong.
sub problems_after
{
	my ($setup, $command) = @_;

	return $node->safe_psql(
		'postgres', qq(
		SET synchronize_seqscans = on;
		BEGIN;
		DECLARE c CURSOR FOR SELECT 1 FROM $segment;
		MOVE 10000 IN c;
		ROLLBACK;
		$setup;
		$command;
		SELECT count(problem) > 0 FROM streamlog.check_topic('t');));
}

# Mutation: keep-syncscan, which the test runs; leave the command out of the hook.
my @commands = (
	"VACUUM FULL $segment",
	"ALTER TABLE $segment SET ACCESS METHOD heap",
	"ALTER TABLE topic.t ALTER COLUMN value TYPE bytea"
	  . " USING value || ''::bytea");
for my $command (@commands[ 0, 2 ])
{
	is(problems_after(
			'SET allow_system_table_mods = on; DROP VIEW IF EXISTS topic_text.t',
			$command) =~ /f$/,
		1, "in order after: $command");
}
is( $node->safe_psql(
		'postgres', qq(
		SET synchronize_seqscans = on;
		VACUUM FULL $segment;
		SHOW synchronize_seqscans)),
	'on',
	'the setting is what it was');
my ($rc, $out, $err) = $node->psql(
	'postgres', qq(
	SET synchronize_seqscans = on;
	ALTER TABLE topic.no_such_table ADD COLUMN c int;
	SHOW synchronize_seqscans), on_error_stop => 0);
is($out, 'on', 'also after an error');

SKIP:
{
	skip 'built without WAITPOINTS', 1
	  if ($node->psql('postgres', 'SHOW streamlog.mutants'))[0] != 0;
	is( problems_after(
			"SET streamlog.mutants = 'keep-syncscan'", $commands[0]) =~ /t$/,
		1,
		'without this the order is lost');
}

$node->stop;
done_testing();
