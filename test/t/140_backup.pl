# Physical copies: a base backup that was taken under load, recovery to a point in
# time, a standby that is promoted under load.  The log of each is what was committed
# there, and goes on where it ends.  What a standby refuses is 060_standby.pl's.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamlogLoad qw(load_setup load_start load_stop load_check load_ends load_goes_on);
use Test::More;

my $conf = "streamlog.worker_naptime = 100ms\nwal_writer_delay = 10s\nautovacuum = off\n"
  . "wal_keep_size = 1GB\nlog_statement = none\n";
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, has_archiving => 1);
$primary->append_conf('postgresql.conf', $conf);
$primary->start;

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

sub soon
{
	my ($node, $query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 60;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

# Enough for every partition to roll, and more rows to prove than before
sub rolls
{
	my ($node, $what) = @_;
	my $before = sql($node, "SELECT count(*) FROM streamlog.segments WHERE topic = 'log'");

	sql($node, 'SELECT load(6000, p) FROM generate_series(0, 2) p');
	soon($node, "SELECT count(*) >= $before + 3 FROM streamlog.segments WHERE topic = 'log'", "$what: a worker rolls");
	return;
}

# A server made from the backup, with these settings; it is no standby.
sub restored
{
	my ($name, $settings, %how) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	# its WAL must not get among that of the primary
	$node->init_from_backup($primary, 'live', %how);
	$node->append_conf('postgresql.conf', "archive_mode = off\n$settings");
	$node->start;
	soon($node, 'SELECT NOT pg_is_in_recovery()', "$name: it has recovered");
	return $node;
}

# What is wrong with the tables beside the topics: one that is nobody's segment, but
# for what is left of a roll, and a segment without a table.
my $loose = q(
	SELECT string_agg(problem, ', ') FROM (
		SELECT relation || ' is no table' FROM streamlog.segments
		WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = relation)
		UNION ALL
		SELECT 'more than one unused table below ' || inhparent::regclass || ': ' || count(*)
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
		WHERE c.relnamespace = 'streamlog_segment'::regnamespace AND inhrelid NOT IN (SELECT relation FROM streamlog.segments)
		GROUP BY inhparent, substring(c.relname, '^t\d+_p\d+_') HAVING count(*) > 1) p (problem));

sql($primary, 'CREATE EXTENSION streamlog');
load_setup($primary, 'postgres');
sql($primary, "SELECT streamlog.create_topic('$_')") for 'plain', 'gone', 'held';
sql($primary, "SELECT streamlog.produce('gone', 'k', 'v')");

# A base backup under load, with the WAL that was written meanwhile: a server made
# from it has all that was committed before it was begun, and more.
# Mutations: say where a log ends before the commit is in the WAL; find the end of a log
# by its visible records only.
my $load = load_start($primary, 'postgres');
soon($primary, "SELECT min(n) >= 2 FROM (SELECT count(*) AS n FROM streamlog.segments WHERE topic = 'log' GROUP BY partition) s",
	'the log has more than one segment');
my $ends = load_ends($primary, 'postgres');
my $count = sql($primary, 'SELECT count(*) FROM produced');
$primary->backup('live');

my $copy = restored('copy', '');
my $copied = load_ends($copy, 'postgres');
my @pairs = map { [ (split / /, $copied)[$_], (split / /, $ends)[$_] ] } 0 .. 2;
cmp_ok($_->[0], '>=', $_->[1], 'a partition ends no earlier than before the backup') for @pairs;
cmp_ok(sql($copy, 'SELECT count(*) FROM produced'), '>=', $count, 'and all of it is there');
load_check($copy, 'postgres', 'a base backup');
is(sql($copy, $loose), '', 'a base backup: every table is a segment');
load_goes_on($copy, 'postgres', $copied, 'a base backup');
rolls($copy, 'a base backup');
sql($copy, "SELECT streamlog.create_topic('new')");
is(sql($copy, "SELECT streamlog.produce('new', 'k', 'v')"), 0, 'a new topic there');
$copied = load_ends($copy, 'postgres');
$copy->stop('immediate');
$copy->start;
is(load_ends($copy, 'postgres'), $copied, 'a base backup: the ends after a crash');
load_goes_on($copy, 'postgres', $copied, 'a base backup, crashed');
$copy->stop;

# Points in time, each with a record before and one behind it, under load.
my (%target, @plain, %plain);

sub produced_plain
{
	my ($value) = @_;

	sql($primary, "SELECT streamlog.produce('plain', 'k', '$value')");
	push @plain, $value;
	return;
}

# The first: a transaction has appended, is undecided then, and commits.
my $session = $primary->background_psql('postgres');
$session->query_safe('BEGIN; SELECT load(20, NULL);');
$session->query_safe("SELECT streamlog.produce('held', 'k', 'undecided');");
$session->query_safe('SELECT count(*) FROM streamlog.flush();');
produced_plain('before the name');
sql($primary, "SELECT pg_create_restore_point('named')");
$target{name} = "recovery_target_name = 'named'";
$plain{name} = [@plain];
$session->query_safe('COMMIT;');
$session->quit;
is(sql($primary, "SELECT streamlog.produce('held', 'k', 'after')"), 1, 'offset 0 was that of the undecided one');
produced_plain('after the name');
soon($primary, "SELECT min(n) >= 4 FROM (SELECT count(*) AS n FROM streamlog.segments WHERE topic = 'log' GROUP BY partition) s",
	'the log goes on into new segments');

produced_plain('before the LSN');
$target{lsn} = sprintf "recovery_target_lsn = '%s'", sql($primary, 'SELECT pg_current_wal_insert_lsn()');
$plain{lsn} = [@plain];
produced_plain('after the LSN');

# The last one: what comes after it is more than records.
produced_plain('before the time');
my $time = sql($primary, 'SELECT clock_timestamp()');
$target{time} = "recovery_target_time = '$time'";
$plain{time} = [@plain];
soon($primary, "SELECT clock_timestamp() > timestamptz '$time' + interval '10 ms'", 'time passes');
sql($primary, "SELECT streamlog.create_topic('later'); SELECT streamlog.produce('later', 'k', 'v')");
sql($primary, "SELECT streamlog.alter_topic('plain', 3)");
sql($primary, "SELECT streamlog.drop_topic('gone')");
soon($primary, "SELECT count(*) = 0 FROM streamlog.topic WHERE name = 'gone'", 'a topic is gone');
produced_plain('after the time');

# A standby that has all of it so far, and is promoted when the primary crashes under
# load.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'live', has_streaming => 1);
$standby->append_conf('postgresql.conf', "archive_mode = off\n");
$standby->start;
$primary->wait_for_catchup($standby);
$ends = load_ends($primary, 'postgres');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
my $switched = sql($primary, 'SELECT pg_walfile_name(pg_switch_wal())');
soon($primary, "SELECT last_archived_wal >= '$switched' FROM pg_stat_archiver", 'the WAL is archived');
$primary->stop('immediate');
$load->kill_kill;
$standby->promote;
soon($standby, 'SELECT NOT pg_is_in_recovery()', 'the standby is promoted');
my $promoted = load_ends($standby, 'postgres');
@pairs = map { [ (split / /, $promoted)[$_], (split / /, $ends)[$_] ] } 0 .. 2;
cmp_ok($_->[0], '>=', $_->[1], 'a partition ends no earlier than the standby has known') for @pairs;
load_check($standby, 'postgres', 'promoted');
is(sql($standby, $loose), '', 'promoted: every table is a segment');
load_goes_on($standby, 'postgres', $promoted, 'promoted');
rolls($standby, 'promoted');
is(sql($standby, 'SELECT timeline_id > 1 FROM pg_control_checkpoint()'), 't', 'on a timeline of its own');
$standby->stop;

# Recovery to each of the points: exactly what was committed before it is there.
# Mutation: find the next offset by what is visible.
for my $kind ('name', 'lsn', 'time')
{
	my $node = restored($kind, "$target{$kind}\nrecovery_target_action = promote\n", has_restoring => 1, standby => 0);
	my $what = "to a $kind";

	is( sql($node, q(SELECT string_agg(streamlog.as_text(value), ',') FROM streamlog.fetch_records('plain', 0, 0))),
		join(',', @{ $plain{$kind} }),
		"$what: the records before it, and no others");
	load_check($node, 'postgres', $what);
	is(sql($node, $loose), '', "$what: every table is a segment");

	my $before = load_ends($node, 'postgres');
	load_goes_on($node, 'postgres', $before, $what);
	rolls($node, $what);

	# what came later has not happened
	is( sql($node, q(SELECT string_agg(topic || ' ' || partitions, ',' ORDER BY topic) FROM streamlog.topics)),
		'gone 1,held 1,log 3,plain 1', "$what: the topics are those of then");
	is( sql($node, q(SELECT string_agg(streamlog.as_text(value), ',') FROM streamlog.fetch_records('gone', 0, 0))),
		'v', "$what: a topic that was dropped later is back");
	is(sql($node, "SELECT streamlog.produce('gone', 'k', 'v')"), 1, 'and goes on');
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT streamlog.produce('later', 'k', 'v')");
	like($err, qr/topic "later" does not exist/, "$what: one that was made later is not there");
	sql($node, "SELECT streamlog.create_topic('later', 2)");
	is(sql($node, "SELECT streamlog.produce('later', 'k', 'v', partition => 1)"), 0, 'and is made anew');

	# the one that was undecided at the first point
	is( sql($node, q(SELECT string_agg(streamlog.as_text(value), ',') FROM streamlog.fetch_records('held', 0, 0))),
		$kind eq 'name' ? '' : 'undecided,after', "$what: what was undecided");
	is(sql($node, "SELECT streamlog.end_offset('held', 0)"), $kind eq 'name' ? 0 : 2, "$what: and where that log ends");
	is(sql($node, "SELECT streamlog.produce('held', 'k', 'v')"), $kind eq 'name' ? 1 : 2, "$what: and goes on, behind it");
	is( sql($node, q(SELECT count(*), count(problem) FROM streamlog.check_topic('held'))), '1|0', 'in order');
	$before = load_ends($node, 'postgres');
	$node->stop('immediate');
	$node->start;
	is(load_ends($node, 'postgres'), $before, "$what: the ends after a crash");
	load_check($node, 'postgres', "$what, crashed");
	$node->stop;
}

done_testing();
