# Who only confirms what it was handed does not wait for the disk; who commits an offset,
# or does anything else, does.  A synchronous standby that is not there holds back every
# commit that waits.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('confirm');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q(
synchronous_standby_names = 'nobody'
synchronous_commit = local
autovacuum = off
));
$node->start;
$node->safe_psql('postgres', q(
CREATE EXTENSION streamlog;
ALTER DATABASE postgres SET search_path = public, streamlog;
CREATE TABLE work (record_offset bigint)));
$node->safe_psql('postgres', q(
SELECT create_topic('orders');
SELECT create_topic('answers');
SELECT produce_batch('orders', NULL, array_agg('v' || i)) FROM generate_series(1, 100) i;
CREATE FUNCTION note(record_offset bigint) RETURNS bigint LANGUAGE sql AS
	'INSERT INTO work VALUES (record_offset) RETURNING record_offset'));

my $group = 0;

# What clients do with a group of their own, one statement after the other.  That the group
# is made, with another topic, is not what counts here.
sub run
{
	my ($statements) = @_;
	my $name = 'group' . ++$group;

	s/GROUP/'$name'/g for @$statements;
	return ('psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name",
		'-c', "SELECT FROM consume('answers', '$name', max_records => 0)",
		'-c', 'SET synchronous_commit = on', map { ('-c', $_) } @$statements);
}

# Nothing waits, neither for what the second call confirms nor for the row that the first
# one makes (mutation: relax_commit() does nothing).
my $deferred = q(SELECT record_offset FROM consume('orders', GROUP, max_records => 2));
my ($out, $err) = ('', '');
my @command = run([ $deferred, $deferred, $deferred ]);
ok( IPC::Run::run(\@command, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
	'a deferred consumer does not wait');
is($out, "0\n1\n2\n3\n4\n5\n", 'it gets its records');
is($err, '', 'and no warning');
is($node->safe_psql('postgres', 'SELECT max(next_offset) FROM committed_offset'), 4, 'they are confirmed');

# The last of these statements waits; cancelled, it is committed all the same.
sub waits
{
	my ($what, @statements) = @_;
	my @command = run(\@statements);
	my ($out, $err) = ('', '');
	my $client = IPC::Run::start(\@command, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	ok( $node->poll_query_until('postgres', qq(
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'group$group' AND wait_event = 'SyncRep')), "$what: waits");
	$node->safe_psql('postgres', qq(
		SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'group$group'));
	$client->finish;
	like($err, qr/canceling wait for synchronous replication/, "$what: until it is cancelled");
	return;
}

# (mutation for all: never-flush)
waits('commit_offsets()', $deferred, q(SELECT commit_offsets('orders', GROUP)));
waits('after BEGIN', q(BEGIN; SELECT FROM consume('orders', GROUP, max_records => 2); COMMIT));
waits('poll()', q(SELECT FROM poll('orders', GROUP, max_records => 2)));
waits('consume() and commit_offsets() in one statement', $deferred,
	q(SELECT (SELECT count(*) FROM commit_offsets('orders', GROUP)),
		(SELECT count(*) FROM consume('orders', GROUP, max_records => 2))));

waits('INSERT', q(INSERT INTO work SELECT record_offset FROM consume('orders', GROUP, max_records => 2)));

# (mutation: no look for an xid)
waits('a function that writes', q(SELECT note(record_offset) FROM consume('orders', GROUP, max_records => 2)));

# (mutation: no look for what was produced; a confirmation that also answers)
waits('consume() and produce() in one statement',
	q(SELECT produce('answers', NULL, 'a') FROM consume('orders', GROUP, max_records => 2)));

$node->stop;
done_testing();
