# Groups that nobody uses: what keeps one, what does not, and how long; and group_lag
# over ten thousand groups.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('expiry');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
streamlog.worker_naptime = 50ms
streamlog.offsets_retention = 2s
streamlog.max_poll_interval = 1500ms
restart_after_crash = on
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $has_waitpoints =
  ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 40;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub place
{
	sql("SELECT count(*) FROM streamlog.reset_offsets('$_', 'orders', to_offset => 1, dry_run => false)")
	  foreach @_;
	return;
}

# what is left of a group: its row, and how many offsets
sub left_of
{
	my ($group) = @_;

	return sql("SELECT g.name, count(o.*) FROM streamlog.consumer_group g"
		  . " LEFT JOIN streamlog.committed_offset o USING (group_id) WHERE g.name = '$group' GROUP BY g.name");
}

sub gone
{
	my ($group, $what) = @_;

	soon("SELECT NOT EXISTS (SELECT FROM streamlog.consumer_group WHERE name = '$group')"
		  . " AND NOT EXISTS (SELECT FROM streamlog.local_group l WHERE l.group_id NOT IN (SELECT group_id FROM streamlog.consumer_group))"
		  . " AND NOT EXISTS (SELECT FROM streamlog.committed_offset o WHERE o.group_id NOT IN (SELECT group_id FROM streamlog.consumer_group))",
		$what);
	return;
}

# make the group look as if it had not been used for a day, also to the worker
sub age
{
	my ($group) = @_;

	usleep(500_000);
	sql("SET allow_system_table_mods = on;"
		  . "UPDATE streamlog.consumer_group SET last_used = now() - interval '1 day' WHERE name = '$group'");
	return;
}

sql("SELECT streamlog.create_topic('orders', 2);"
	  . "SELECT count(*) FROM streamlog.produce_batch('orders', NULL, array_fill('v'::text, ARRAY[10]), partition => 0);"
	  . "SELECT count(*) FROM streamlog.produce_batch('orders', NULL, array_fill('v'::text, ARRAY[10]), partition => 1)");

# Not before its time, and then with its offsets.  Changes: the retention is not added;
# the offsets are left; a group of a reset is not noted as used (it would go as soon).
my $start = time;
place('idle');
while (time - $start < 1.5)
{
	is(left_of('idle'), 'idle|2', 'a group is there before its time is up')
	  or last;
	usleep(300_000);
}
gone('idle', 'an unused group goes, with its offsets');
cmp_ok(time - $start, '>', 2, 'after the retention');

# A member keeps it: a session, also one that waits or has a transaction open, and a
# member_id that calls.  Change: what is collected is not renewed.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe("SELECT count(*) FROM streamlog.consume('orders', 'kept')");
place('waiting', 'unused');
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_safe("SELECT count(*) FROM streamlog.consume('orders', 'waiting')") for 1 .. 2;
$waiter->query_until(qr/go/, "\\echo go\nSELECT streamlog.consume('orders', 'waiting', max_wait => '8s');\n");
for (1 .. 12)
{
	sql("SELECT count(*) FROM streamlog.poll('orders', 'called', member_id => 'm')");
	$session->query_safe("SELECT count(*) FROM streamlog.consume('orders', 'kept')");
	usleep(500_000);
}
gone('unused', 'a group without a member goes');
is(left_of('kept'), 'kept|2', 'a session keeps its group');
is(left_of('waiting'), 'waiting|2', 'a member that waits keeps its group');
is(left_of('called'), 'called|2', 'a member_id that calls keeps its group');
is(sql("SELECT string_agg(consumer_group, ' ' ORDER BY consumer_group) FROM streamlog.consumer_groups WHERE now() - last_used < '1 s'"),
	'called kept waiting', 'and last_used is renewed');
$waiter->quit;

# A member whose time is up is put out by the worker, and its group goes later.  Change:
# sl_groups_expire() is not called.
soon("SELECT NOT EXISTS (SELECT FROM streamlog.group_members WHERE member = 'm')",
	'a member that does not call is put out');
gone('called', 'and its group goes');
gone('waiting', 'so does one whose session has ended');

# An open transaction that uses it keeps it, though nobody is a member.  Change: the lock
# is not taken, or not asked for.
place('open');
$session->query_safe("BEGIN; SELECT streamlog.next_offset('orders', 'open', 0)");
age('open');
usleep(1_000_000);
is(left_of('open'), 'open|2', 'a transaction keeps a group that it uses');
$session->query_safe('COMMIT');
gone('open', 'until it ends');

# alter_group() and commit_offsets() are uses.  Change: sl_group_set_owner() leaves last_used.
place('given');
usleep(500_000);
sql("SET allow_system_table_mods = on; BEGIN;"
	  . "UPDATE streamlog.consumer_group SET last_used = now() - interval '1 day' WHERE name = 'given';"
	  . "SELECT streamlog.alter_group('given', current_user); COMMIT");
is(left_of('given'), 'given|2', 'a group that is given away is used');
sql("SELECT count(*) FROM streamlog.poll('orders', 'late', member_id => 'm'); SELECT streamlog.kick_member('late', 'm')");
usleep(500_000);
sql("SET allow_system_table_mods = on; BEGIN;"
	  . "UPDATE streamlog.consumer_group SET last_used = now() - interval '1 day' WHERE name = 'late';"
	  . "SELECT streamlog.commit_offsets('orders', 'late', partitions => '{0}', next_offsets => '{1}', member_id => 'm');"
	  . "SELECT streamlog.kick_member('late', 'm'); COMMIT");
usleep(500_000);
is(left_of('late'), 'late|2', 'so is one for which an offset is committed, by who is no member');

SKIP:
{
	skip 'built without WAITPOINTS=1', 3 unless $has_waitpoints;

	# Who comes and goes between the worker's list and its lock.  Change: shared memory is
	# asked before the lock, or the list is not made again.
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('expire-groups-listed'))");
	$node->append_conf('postgresql.conf', "streamlog.waitpoints = 'expire-groups-listed'\n");
	place('raced');
	$node->reload;
	age('raced');
	soon("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)",
		'the worker is about to delete a group');
	is(left_of('raced'), 'raced|2', 'which is there still');
	place('raced');
	$node->append_conf('postgresql.conf', "streamlog.waitpoints = ''\n");
	$node->reload;
	$holder->query_safe("SELECT pg_advisory_unlock_all()");
	$holder->quit;
	usleep(1_000_000);
	is(left_of('raced'), 'raced|2', 'and stays, for it was used meanwhile');
}

# After a restart a group has max_poll_interval to show up.  Change: is_expiring() is
# true at once.
sql("SELECT count(*) FROM streamlog.poll('orders', 'back', member_id => 'm')");
$session->quit;
place('never');
$node->append_conf('postgresql.conf', "streamlog.max_poll_interval = 6s\nstreamlog.worker_naptime = 1h\n");
$node->reload;
age('back');
age('never');
$node->stop('immediate');
$node->append_conf('postgresql.conf', "streamlog.worker_naptime = 50ms\n");
$node->start;
usleep(2_000_000);
is(left_of('never'), 'never|2', 'after a start no group goes at once');
sql("SELECT count(*) FROM streamlog.poll('orders', 'back', member_id => 'm')");
gone('never', 'who does not show up goes');
is(left_of('back'), 'back|2', 'who does stays');

# Ten thousand groups, each with an offset of its own.  Change: an index scan, or a look
# at the partition, for each row of the table.
sql(<<'SQL');
SELECT count(*) FROM streamlog.produce_batch('orders', NULL, array_fill('v'::text, ARRAY[20000]), partition => 0);
SET allow_system_table_mods = on;
INSERT INTO streamlog.consumer_group SELECT i + 100000, 'many' || i, current_user, now(), now() FROM generate_series(1, 10000) i;
INSERT INTO streamlog.local_group SELECT i + 100000, 10 FROM generate_series(1, 10000) i;
INSERT INTO streamlog.committed_offset SELECT i * 2 - 1, i + 100000, topic_id, 0, 1, 2, 'm', NULL
FROM generate_series(1, 10000) i, streamlog.topics WHERE topic = 'orders';
SQL
my $best = 1e9;
for (1 .. 3)
{
	my $before = time;
	my $counts = sql("SELECT count(*), count(committed_offset), count(oldest_unconsumed), min(lag), max(lag)"
		  . " FROM streamlog.group_lag WHERE consumer_group LIKE 'many%'");
	my $took = time - $before;

	$best = $took if $took < $best;
	is($counts, '20000|10000|10000|11|20009', 'group_lag shows all groups and partitions');
}
note("group_lag over 10,000 groups: $best s");
cmp_ok($best, '<', 1, 'group_lag over ten thousand groups takes less than a second');

$node->stop;
done_testing();
