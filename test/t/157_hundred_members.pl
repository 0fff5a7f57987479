# A group of one hundred sessions and one of one hundred member_ids, each with a partition
# of its own; and members that there is no partition for, until somebody dies.
#
# Mutations: make no new plan when a member is put out; leave a partition with its reader
# until that is put out.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);
use StreamlogConsumers qw(consumers_connect);

my $node = PostgreSQL::Test::Cluster->new('hundred');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 130\nlog_statement = none\n");
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	SELECT streamlog.create_topic('orders', 100), streamlog.create_topic('few', 2);
	CREATE TABLE work (n bigserial, consumer_group text, partition int, record_offset bigint, who text);));

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub produce
{
	my ($topic, $n) = @_;

	sql("SELECT count(*) FROM streamlog.topics t, generate_series(0, partitions - 1) p, streamlog.produce_batch('$topic', NULL,
		ARRAY(SELECT i::text FROM generate_series(1, $n) i), partition => p) WHERE t.topic = '$topic'");
	return;
}

# Records of the group by how often they were worked off, and those in the wrong order
sub result
{
	my ($group, $topic) = @_;

	return sql(qq(
		SELECT times, count(*) FROM (SELECT count(who) AS times FROM topic.$topic t
			LEFT JOIN work w ON consumer_group = '$group' AND (w.partition, w.record_offset) = (t.partition, t.record_offset)
			GROUP BY t.partition, t.record_offset) s GROUP BY 1
		UNION ALL SELECT -1, count(*) FROM (SELECT *, lag(record_offset) OVER (PARTITION BY partition ORDER BY n) AS before
			FROM work WHERE consumer_group = '$group') o WHERE before >= record_offset ORDER BY 1));
}

# All at once, each as often as it takes
my $dir = PostgreSQL::Test::Utils::tempdir();
my $work = q(INSERT INTO work (consumer_group, partition, record_offset, who)
	SELECT '%s', partition, record_offset, %s FROM streamlog.consume('orders', '%1$s', max_records => 7, max_wait => '10 ms'%s););

append_to_file("$dir/sessions.sql", sprintf($work, 'sessions', 'pg_backend_pid()', ''));
append_to_file("$dir/runs.sql", sprintf($work, 'runs', ':client_id', ", member_id => 'run-' || :client_id"));
produce('orders', 40);
for my $group ('sessions', 'runs')
{
	for my $round (1 .. 20)
	{
		$node->command_ok([ 'pgbench', '-n', '-c', 100, '-j', 1, '-t', 15, '-f', "$dir/$group.sql", 'postgres' ],
			"$group: a round of one hundred");
		last if sql("SELECT count(*) FROM work WHERE consumer_group = '$group'") >= 4000;
	}
	is(result($group, 'orders'), "-1|0\n1|4000", "$group: every record once, in order");
}

# who has ended before the last one came has still to let go
system_or_bail('pgbench', '-n', '-c', 100, '-j', 1, '-t', 2, '-f', "$dir/runs.sql", '-d', $node->connstr('postgres')) for 1 .. 2;
is(sql("SELECT count(DISTINCT member), count(*) FROM streamlog.group_members WHERE consumer_group = 'runs'
	AND cardinality(assignment) = 1"), '100|100', 'each of a hundred has a partition of its own');

# More members than partitions
my %member = map { $_ => consumers_connect($node, "member$_") } 1 .. 5;
my $few = q(INSERT INTO work (consumer_group, partition, record_offset, who)
	SELECT 'few', partition, record_offset, '%s' FROM streamlog.consume('few', 'few'));

sub call_all
{
	my %got;

	for (1 .. 3)
	{
		for my $i (sort keys %member)
		{
			$got{$i} += $member{$i}->do(sprintf($few, $i));
		}
	}
	return map { $_ => $got{$_} } grep { $got{$_} > 0 } keys %got;
}

call_all();
produce('few', 10);
my %got = call_all();
is(join(' ', values %got), '10 10', 'two of five members have the two partitions');
is(sql("SELECT count(*) FROM streamlog.group_members WHERE consumer_group = 'few' AND assignment = '{}'"), 3, 'the others none');

for my $how ('is terminated', 'leaves', 'disconnects')
{
	my ($gone, $stays) = sort keys %got;

	if ($how eq 'is terminated')
	{
		sql("SELECT pg_terminate_backend($member{$gone}{pg_pid}, 10000)");
	}
	elsif ($how eq 'leaves')
	{
		$member{$gone}->do("SELECT streamlog.leave('few')");
	}
	else
	{
		$member{$gone}->disconnect;
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'member$gone'");
	}
	delete $member{$gone};
	call_all();
	produce('few', 10);
	%got = call_all();
	my $surplus = grep { $_ ne $stays } keys %got;
	is(join(' ', values %got) . " $surplus", '10 10 1', "one $how: one that was idle takes its partition over");
}
is(result('few', 'few'), "-1|0\n1|80", 'every record once, in order');

# One that waits is woken to take over.
my $who = (sort keys %got)[0];
my $idle = consumers_connect($node, 'idle');
$idle->do(sprintf($few, 'idle'));
$_->do(sprintf($few, 'x')) for values %member;
for my $i (keys %member)
{
	next if $i eq $who;
	$member{$i}->disconnect;
	delete $member{$i};
}
$idle->do(sprintf($few, 'idle')) for 1 .. 2;
$member{$who}->do(sprintf($few, $who));
$idle->do(sprintf($few, 'idle'));
sql("SELECT pg_terminate_backend($member{$who}{pg_pid}, 10000)");
produce('few', 5);
my $begin = time;
my $n = 0;
$n += $idle->do("INSERT INTO work (consumer_group, partition, record_offset, who)
	SELECT 'few', partition, record_offset, 'idle' FROM streamlog.consume('few', 'few', max_wait => '10 s')") while $n < 10 && time < $begin + 10;
is($n, 10, 'the last one has them all');
$idle->disconnect;
is(result('few', 'few'), "-1|0\n1|90", 'every record once, in order');
$node->stop;

done_testing();
