# Consumers that end: their sessions are terminated, their clients killed, their
# time runs out.  Their partitions go to others, what they had not committed is
# handed out again, and nothing of them is left behind.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('groups');
$node->init;
$node->append_conf('postgresql.conf',
	"max_connections = 300\nstreamlog.worker_naptime = 1h\nstreamlog.max_wait = 1h\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, streamlog');
$node->safe_psql(
	'postgres', q(
	CREATE TABLE done (record_offset bigint, who text);
	SELECT create_topic('t');
	SELECT count(*) FROM produce_batch('t', NULL, ARRAY['0', '1', '2', '3']);));

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 30;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub session
{
	my $psql = $node->background_psql('postgres', on_error_stop => 0);

	return ($psql, $psql->query_safe('SELECT pg_backend_pid()'));
}

# Start a query of which no answer comes yet.
sub start_query
{
	my ($psql, $query) = @_;

	$psql->query_until(qr/sent/, "\\echo sent\n$query;\n");
	return;
}

sub gone
{
	my ($pid, $what) = @_;

	soon("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid", $what);
	return;
}

sub committed
{
	my ($group) = @_;

	return sql(
		"SELECT string_agg(next_offset::text, ' ' ORDER BY partition) FROM committed_offset JOIN consumer_group USING (group_id) WHERE name = '$group'"
	);
}

sub members
{
	my ($group) = @_;

	return sql("SELECT count(*) FROM group_members WHERE consumer_group = '$group'");
}

my $quarter = q(SELECT string_agg(record_offset::text, ' ') FROM consume('t', '%s', max_records => 2));
my $all = q(SELECT string_agg(record_offset::text, ' ') FROM consume('t', '%s'));
my $asleep = q(SELECT count(*) = %d FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension');

# Terminated with a batch in hand, and the next one gets it.
# Mutation: at_exit() does not put the session's members out.
{
	my ($one, $pid) = session();
	my ($two) = session();

	is($one->query_safe(sprintf $quarter, 'ended'), '0 1', 'a session is handed records');
	is($two->query_safe(sprintf $all, 'ended'), '', 'and no other one is');
	sql("SELECT pg_terminate_backend($pid)");
	gone($pid, 'it is terminated');
	is(members('ended'), 1, 'it is no member any more');
	is($two->query_safe(sprintf $all, 'ended'), '0 1 2 3', 'the other one is handed all that it had not confirmed');
	is($two->query_safe(sprintf $all, 'ended'), '', 'and confirms it');
	is(committed('ended'), '4', 'by its next call');
	eval { $one->quit };
	$two->quit;
}

# Terminated in its transaction: what it did goes with it, and its lock.
{
	my ($one, $pid) = session();
	my ($two) = session();

	$one->query_safe('BEGIN');
	$one->query_safe("INSERT INTO done SELECT record_offset, 'one' FROM consume('t', 'work', max_records => 2)");
	is($two->query_safe(sprintf $all, 'work'), '', 'a group is being made');
	sql("SELECT pg_terminate_backend($pid)");
	gone($pid, 'who makes it is terminated');
	$two->query_safe("INSERT INTO done SELECT record_offset, 'two' FROM consume('t', 'work')");
	is(sql("SELECT string_agg(record_offset || who, ' ' ORDER BY 1) FROM done"),
		'0two 1two 2two 3two', 'each record is worked off once');
	is(committed('work'), '4', 'and committed');
	eval { $one->quit };
	$two->quit;
}

# Terminated in its wait: who waits too is woken.
# Mutation: sl_group_put_out() wakes nobody.
{
	my ($one, $pid) = session();
	my ($two) = session();

	sql("SELECT create_topic('wait')");
	$one->query_safe("SELECT count(*) FROM consume('wait', 'waits')");
	start_query($one, "SELECT count(*) FROM consume('wait', 'waits', max_wait => '1h')");
	soon(sprintf($asleep, 1), 'the partition\'s reader waits');
	start_query($two, "SELECT record_offset FROM consume('wait', 'waits', max_wait => '1h')");
	soon(sprintf($asleep, 2), 'so does another member');
	is(members('waits'), 2, 'of two');
	sql("SELECT pg_terminate_backend($pid)");
	gone($pid, 'the reader is terminated');
	soon(q(SELECT bool_and(assignment = '{wait-0}') FROM group_members WHERE consumer_group = 'waits'),
		'the other one has its partition');
	sql("SELECT produce('wait', NULL, 'v')");
	like($two->query_safe('SELECT 1'), qr/^0\n1$/, 'and its records');
	eval { $one->quit };
	$two->quit;
}

# A client that is killed while it waits is noticed by the server, if only as it has
# records to send; the session is ended by what ends sessions without a client.
{
	my ($one, $pid) = session();
	my ($two) = session();

	sql("SELECT create_topic('killed')");
	$one->query_safe("SET client_connection_check_interval = '10ms'");
	$one->query_safe("SELECT count(*) FROM consume('killed', 'killed')");
	start_query($one, "SELECT count(*) FROM consume('killed', 'killed', max_wait => '1h')");
	soon(sprintf($asleep, 1), 'a consumer waits');
	$one->{run}->kill_kill;
	gone($pid, 'its client is killed, and it is gone');
	sql("SELECT produce('killed', NULL, 'v')");
	is($two->query_safe("SELECT record_offset FROM consume('killed', 'killed')"),
		'0', 'another one has its records');
	is(members('killed'), 1, 'and it is no member');
	$two->quit;
}

# Overdue in an open transaction: ended, since nothing else can release it; its work
# is undone.  One that is overdue and holds nothing is put out, and goes on.
# Mutation: sl_member_end_overdue_holder() ends nobody.
{
	my ($one, $pid) = session();
	my ($two) = session();
	my ($idle, $idle_pid) = session();

	sql("TRUNCATE done; SELECT create_topic('u')");
	$two->query_safe("SELECT count(*) FROM consume('u', 'overdue')");
	$idle->query_safe("SELECT count(*) FROM consume('u', 'overdue', max_poll_interval => '1 ms')");
	$one->query_safe('BEGIN');
	$one->query_safe(
		"INSERT INTO done SELECT record_offset, 'one' FROM consume('t', 'overdue', max_records => 2, max_poll_interval => '1 ms')"
	);
	$two->query_safe('SELECT pg_sleep(0.01)');
	is($two->query_safe(sprintf $all, 'overdue'), '', 'a holder has the partition');
	gone($pid, 'and is ended when another member asks for it');
	is($two->query_safe(sprintf $all, 'overdue'), '0 1 2 3', 'who is handed its records');
	is(sql('SELECT count(*) FROM done'), 0, 'its work is undone');
	is($idle->query_safe('SELECT pg_backend_pid()'), $idle_pid, 'who is late and holds nothing goes on');
	eval { $one->quit };
	$_->quit for $two, $idle;
}

# So it is when the other member waits for the partition in seek().
# Mutation: sl_member_own_waiting() only waits.
{
	my ($one, $pid) = session();
	my ($two) = session();

	$one->query_safe("SELECT count(*) FROM consume('t', 'sought', max_records => 0, max_poll_interval => '1 ms')");
	$one->query_safe('BEGIN');
	$one->query_safe("SELECT count(*) FROM consume('t', 'sought', max_records => 2, max_poll_interval => '1 ms')");
	$two->query_safe("SET lock_timeout = '30s'");
	is($two->query_safe("SELECT next_offset FROM seek('t', 'sought', to_offset => 3)"),
		'3', 'a seek waits for an overdue holder');
	gone($pid, 'which is ended');
	eval { $one->quit };
	$two->quit;
}

# Who resets offsets has as long, whatever his session consumed before.
# Mutation: own_partitions() notes no call.
{
	my ($admin) = session();
	my ($two) = session();

	$admin->query_safe("SELECT count(*) FROM consume('u', 'before', max_poll_interval => '1 ms')");
	$two->query_safe("SELECT count(*), leave('reset') FROM poll('t', 'reset')");
	$admin->query_safe('BEGIN');
	$admin->query_safe("SELECT reset_offsets('reset', 't', to_offset => 2, dry_run => false)");
	is($two->query_safe("SELECT record_offset FROM poll('t', 'reset') WHERE pg_sleep(0.01) IS NOT NULL"),
		'', 'who resets offsets has the partition');
	$admin->query_safe('COMMIT');
	is($two->query_safe("SELECT string_agg(record_offset::text, ' ') FROM poll('t', 'reset')"),
		'2 3', 'and is not ended');
	$_->quit for $admin, $two;
}

# Two hundred that wait for one partition: whoever has it when it gets records is woken,
# and then the next one.
# Mutation: as above.
{
	my @sessions = map { (session())[0] } 1 .. 200;

	sql("SELECT create_topic('many')");
	$_->query_safe("SELECT count(*) FROM consume('many', 'many')") for $sessions[0];
	start_query($_, "SELECT record_offset FROM consume('many', 'many', max_wait => '1h')") for @sessions;
	soon(sprintf($asleep, 200), 'two hundred consumers wait');
	is(members('many'), 200, 'as members');
	is(sql("SELECT count(*) FROM group_members WHERE consumer_group = 'many' AND assignment = '{many-0}'"),
		1, 'one has the partition');
	for my $n (1 .. 3)
	{
		my $pid = sql(
			"SELECT pid FROM group_members WHERE consumer_group = 'many' AND assignment = '{many-0}'");

		sql("SELECT pg_terminate_backend($pid)");
		gone($pid, "reader $n is terminated");
		soon(
			"SELECT count(*) = 1 FROM group_members WHERE consumer_group = 'many' AND assignment = '{many-0}'",
			'another one has the partition');
	}
	is(members('many'), 197, 'the others are members');
	sql("SELECT produce('many', NULL, 'v')");
	soon(sprintf($asleep, 196), 'one of them gets the record');
	sql(q(SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = 'psql' OR backend_type = 'client backend' AND pid <> pg_backend_pid()));
	soon(q(SELECT count(*) = 0 FROM group_members WHERE consumer_group = 'many'), 'and all of them can be ended');
	eval { $_->quit } for @sessions;
}

is(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0, 'no lock is left');
$node->stop;
done_testing();
