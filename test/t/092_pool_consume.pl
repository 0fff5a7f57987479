# pgbouncer and consumer groups: with a member_id clients consume through few server
# connections, in transaction pooling, as if each had its own; without one they must
# not, and in session pooling DISCARD ALL makes an end of each.
#
# Needs what scripts/test installs: pgbouncer and DBD::Pg.
#
# Mutations: do not leave at DISCARD ALL; do not refuse a deferred consume() with a
# member_id; remember a hand-out of a member_id; and that named membership-only.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use DBI;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use StreamlogHistory qw(history_launch);
use StreamlogPooler;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('pool_consume');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nmax_connections = 30\n");
$node->start;

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('postgres', $query);
}

sub client
{
	my ($pooler) = @_;

	return DBI->connect('dbi:Pg:' . $pooler->conninfo('postgres') =~ tr/ /;/r,
		'', '', { RaiseError => 1, PrintError => 0, pg_server_prepare => 0 });
}

sub offsets
{
	my ($db, $call) = @_;

	return join(',', @{ $db->selectcol_arrayref("SELECT record_offset FROM $call ORDER BY 1") });
}

# what a call fails with: its SQLSTATE and message
sub failure
{
	my ($db, $call) = @_;

	return eval { $db->do($call); 1 } ? '' : $db->state . ' ' . $db->errstr;
}

sql('ALTER DATABASE postgres SET search_path = public, streamlog');
sql(q(
	CREATE EXTENSION IF NOT EXISTS streamlog;
	SELECT create_topic('jobs', partitions => 6);
	CREATE TABLE done (n bigserial, consumer_group text, member text, partition int, record_offset bigint, key text,
		pid int DEFAULT pg_backend_pid())));

#
# Many clients of three groups, on three connections
#
my $worker = "$FindBin::Bin/../drivers/pooled_consumer.pl";
my %running;
my $runs = 0;
my $produced = 0;

sub launch
{
	my ($pooler, $rule, $interval) = @_;
	my $member = "run-$rule-" . ++$runs;

	$running{$member} = history_launch($pooler, $dir, $member, [],
		'/usr/bin/perl', $worker, $pooler->conninfo('postgres'), $rule, $member, $rule, $interval);
	return $member;
}

sub log_of
{
	my ($member) = @_;

	return slurp_file("$dir/$member.log");
}

# Records for them, a few at a time
sub produce_some
{
	for (1 .. 10)
	{
		sql(qq(
			SELECT count(*) FROM produce_batch('jobs',
				ARRAY(SELECT 'key' || i FROM generate_series($produced + 1, $produced + 30) i),
				ARRAY(SELECT 'value' || i FROM generate_series($produced + 1, $produced + 30) i))));
		$produced += 30;
	}
}

sub all_are_done
{
	return $node->poll_query_until('postgres', qq(
		SELECT count(*) = 3 FROM (SELECT consumer_group FROM done GROUP BY 1
			HAVING count(DISTINCT (partition, record_offset)) = $produced) s));
}

# They stop when they are told to, all without an error.
sub stop_all
{
	my @wrong;

	kill('TERM', $_->{pid}) for values %running;
	for my $member (sort keys %running)
	{
		waitpid($running{$member}{pid}, 0);
		push @wrong, "$member: " . substr(log_of($member), 0, 300) if $? != 0;
	}
	%running = ();
	return join("\n", @wrong);
}

# What was worked off more than once, or was not what had been produced
sub not_once
{
	my ($groups) = @_;

	return sql(qq(
		SELECT consumer_group, partition, record_offset, count(*), string_agg(DISTINCT member, ' ')
		FROM done WHERE consumer_group = ANY ('$groups')
		GROUP BY 1, 2, 3 HAVING count(*) > 1 OR min(key) <> max(key) ORDER BY 1, 2, 3 LIMIT 5))
	  . sql(qq(
		SELECT 'missing', string_agg(key, ' ') FROM (
			SELECT 'key' || i FROM generate_series(1, $produced) i, unnest('{poll,block,insert}'::text[]) g
			WHERE NOT EXISTS (SELECT FROM done WHERE consumer_group = g AND key = 'key' || i) LIMIT 5) s (key)
		HAVING count(*) > 0));
}

# Those of a partition that were worked off before one with a smaller offset
sub out_of_order
{
	return sql(q(
		SELECT * FROM (
			SELECT *, lag(record_offset) OVER (PARTITION BY consumer_group, partition ORDER BY n) AS before FROM done) s
		WHERE record_offset <= before LIMIT 5));
}

my $pooler = StreamlogPooler->new($node);
for my $round (1 .. 3)
{
	# more of them come while others are at work
	launch($pooler, $_, '5 min') for (qw(poll block insert)) x 2;
	produce_some();
}
ok(all_are_done(), "three groups of six clients have worked off $produced records");
is(sql('SELECT count(DISTINCT pid) FROM done'), 3, 'on three connections');
is( sql('SELECT consumer_group, count(*) FROM group_members WHERE member ~ \'^run-\' AND cardinality(assignment) = 1 GROUP BY 1 ORDER BY 1'),
	"block|6\ninsert|6\npoll|6", 'each has one of the six partitions');
my %log = map { $_ => log_of($_) } keys %running;
is(stop_all(), '', 'they stop when they are told to');
is(join(' ', grep { $log{$_} ne '' } sort keys %log), '', 'none was fenced');
is(not_once('{poll,block,insert}'), '', 'nothing is missing, and each record was worked off once');
is(out_of_order(), '', 'in the order of its partition');
is(sql('SELECT count(*) FROM group_members'), 0, 'who leaves is no member');
is(sql("SELECT DISTINCT lag FROM group_lag"), 0, 'all is committed');
cmp_ok(sql('SELECT min(n) FROM (SELECT count(DISTINCT member) AS n FROM done GROUP BY consumer_group) s'),
	'>=', 4, 'by several members');
$pooler->kill;

# Clients that are killed, and new ones in their place; DISCARD ALL after each
# transaction is nothing to a member_id.
sql('TRUNCATE done');
sql("SELECT delete_group('$_')") for qw(poll block insert);
$pooler = StreamlogPooler->new($node,
	settings => "server_reset_query = DISCARD ALL\nserver_reset_query_always = 1\n");
launch($pooler, $_, '1 s') for (qw(poll block insert)) x 3;
for my $i (1 .. 4)
{
	my @victims = map { my $rule = $_; (grep { /-$rule-/ } sort keys %running)[0] } qw(poll block insert);

	produce_some();
	usleep(50_000 * $i);
	for my $victim (@victims)
	{
		kill('KILL', $running{$victim}{pid});
		waitpid((delete $running{$victim})->{pid}, 0);
	}
	launch($pooler, $_, '1 s') for qw(poll block insert);
}
produce_some();
ok(all_are_done(), 'others take over from the killed');
is(stop_all(), '', 'they stop when they are told to');
is(not_once('{block,insert}'), '', 'exactly once where offsets and work were one');
is(not_once('{}'), '', 'and nothing is missing where they were not');
$pooler->kill;

#
# One by one, on a single server connection
#
sql("SELECT create_topic('mail'); SELECT count(*) FROM produce_batch('mail', NULL, '{a,b,c,d,e,f}')");
$pooler = StreamlogPooler->new($node, settings => "default_pool_size = 1\n");
my ($one, $two) = map { client($pooler) } 1, 2;
my $pid = 'SELECT pg_backend_pid()';
is($one->selectrow_array($pid), $two->selectrow_array($pid), 'two clients on one connection');

my $run = "consume('mail', 'refused', member_id => 'run-1', max_records => 2)";
like(failure($one, "SELECT * FROM $run"), qr/^55000 .*member_id.*HINT: .*poll\(\) and commit_offsets\(\)/s,
	'a deferred consume() with a member_id is refused, with a hint');
is(sql("SELECT count(*) FROM consumer_groups WHERE consumer_group = 'refused'"), 0, 'and leaves nothing behind');
is($one->do("SELECT * INTO refused FROM $run"), 2, 'in the statement that works it is not');
$one->begin_work;
is(offsets($one, $run), '2,3', 'nor after BEGIN');
$one->rollback;
$one->begin_work;
is(offsets($one, $run), '2,3', 'and after a rollback the same are handed out');
$one->commit;
is(sql("SELECT next_offset FROM committed_offsets('refused')"), 4, 'committed with the transaction');

# each its own run: the other gets nothing, although it is the same session
is(offsets($one, "poll('mail', 'runs', member_id => 'run-1')"), '0,1,2,3,4,5', 'a run has the partition');
is(offsets($two, "poll('mail', 'runs', member_id => 'run-2')"), '', 'another has none');
is(offsets($one, "poll('mail', 'runs', member_id => 'run-1')"), '0,1,2,3,4,5', 'what is not committed comes again');
like( failure($two, "SELECT * FROM commit_offsets('mail', 'runs', member_id => 'run-2', partitions => '{0}', next_offsets => '{6}')"),
	qr/^SL011 /, 'who was handed nothing commits nothing');
is( failure($one, "SELECT * FROM commit_offsets('mail', 'runs', member_id => 'run-1', partitions => '{0}', next_offsets => '{4}')"),
	'', 'who was, does');
is(offsets($one, "poll('mail', 'runs', member_id => 'run-1')"), '4,5', 'and goes on behind it');

# Without a member_id the clients of a connection are one consumer: what the first has
# in hand is confirmed by the call of the second.
my $session = "consume('mail', 'strangers', max_records => 2)";
is(offsets($one, $session), '0,1', 'without a member_id: the first client has records in hand');
is(offsets($two, $session), '2,3', 'the second is handed the next');
is(sql("SELECT next_offset FROM committed_offsets('strangers')"), 2, 'and has confirmed those of the first');
$_->disconnect for $one, $two;
$pooler->kill;

# On two connections a client is two consumers: what it has in hand by the one it cannot
# confirm by the other.
$pooler = StreamlogPooler->new($node, settings => "default_pool_size = 2\n");
($one, $two) = map { client($pooler) } 1, 2;
is(offsets($one, "consume('mail', 'doubles', max_records => 2)"), '0,1', 'a client has records in hand');
my $at = $one->selectrow_array($pid);
for (1 .. 2)
{
	$two->begin_work;
	last if $two->selectrow_array($pid) == $at;
	$two->rollback;
}
is($two->selectrow_array($pid), $at, 'somebody else has that connection now');
is(offsets($one, "consume('mail', 'doubles', max_records => 2)"), '', 'it is a member without a partition');
$two->rollback;
is(sql("SELECT next_offset FROM committed_offsets('doubles')"), 0, 'that confirms nothing');
$_->disconnect for $one, $two;
$pooler->kill;

#
# Session pooling: a client has its connection for itself until it ends.  Then comes
# server_reset_query, DISCARD ALL unless it is changed: the session leaves its groups.
#
for my $reset (1, 0)
{
	my $group = "session$reset";

	$pooler = StreamlogPooler->new($node, settings => "pool_mode = session\ndefault_pool_size = 1\n"
		  . ($reset ? '' : "server_reset_query =\n"));
	$one = client($pooler);
	$at = $one->selectrow_array($pid);
	is(offsets($one, "consume('mail', '$group', max_records => 2)"), '0,1', 'a client has records in hand');
	is(sql("SELECT count(*) FROM group_members WHERE consumer_group = '$group' AND pid = $at"), 1, 'its session is a member');
	$one->disconnect;
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 1 - $reset FROM group_members WHERE consumer_group = '$group'"),
		$reset ? 'with DISCARD ALL it leaves' : 'without DISCARD ALL it stays');
	$two = client($pooler);
	is($two->selectrow_array($pid), $at, 'the next client has the same connection');
	is(offsets($two, "consume('mail', '$group', max_records => 2)"), $reset ? '0,1' : '2,3',
		$reset ? 'and is handed the same records' : 'and goes on behind what the first had in hand');
	is(sql("SELECT next_offset FROM committed_offsets('$group')"), $reset ? 0 : 2,
		$reset ? 'nothing is lost' : 'which is lost if it was not worked off');
	$two->disconnect;
	$pooler->kill;
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000/, 'the server lives on');
$node->stop;
done_testing();
