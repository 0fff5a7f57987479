# Who reads what, with several sessions: without a group everybody reads everything; a
# group divides the partitions, one reader each; more members than partitions leave the
# surplus idle, and it takes over on failure; fewer take several each; two groups each
# get every record.
#
# Mutation: a member is told to read what others are to read.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('mission');
$node->init;
$node->append_conf('postgresql.conf', "streamlog.worker_naptime = 100ms\n");
$node->start;
$node->safe_psql('postgres', q(
	CREATE EXTENSION streamlog;
	ALTER DATABASE postgres SET search_path = public, streamlog;));
$node->safe_psql('postgres', q(SELECT create_topic('rides', partitions => 4)));

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my %session;

# What a session answers, line by line; it lives on.
sub ask
{
	my ($name, $query) = @_;

	if (!$session{$name})
	{
		$session{$name} = $node->background_psql('postgres');
		$session{$name}->query_safe('SET client_min_messages = warning');
	}
	return join(' ', split /\n/, $session{$name}->query_safe($query));
}

sub end_session
{
	my ($name) = @_;

	(delete $session{$name})->quit;
	return;
}

sub produce
{
	my ($n) = @_;

	return $node->safe_psql('postgres', "SELECT count(produce('rides', NULL, (i / 4)::text, partition => i % 4)) FROM generate_series(0, 4 * $n - 1) i");
}

# The partitions that a call hands records out of, and how many from each
sub consume
{
	my ($name, $group, $more) = @_;
	my $arguments = join(', ', "'rides'", $group ? "'$group'" : (), $more // ());

	return ask($name, "SELECT partition || ':' || count(*) FROM consume($arguments) GROUP BY partition ORDER BY partition");
}

# Until every one has what it is to have: partitions move as their readers call.
sub settle
{
	my ($group, @names) = @_;
	my $settled = '';

	for (1 .. 10 * $timeout)
	{
		consume($_, $group, 'max_records => 0') for @names;
		$settled = $node->safe_psql('postgres', "SELECT string_agg(cardinality(assignment)::text, ' ' ORDER BY cardinality(assignment))
			|| CASE WHEN bool_or(cardinality(moving) > 0) THEN ' moving' ELSE '' END FROM group_members WHERE consumer_group = '$group' AND state = 'active'");
		my $n = () = $settled =~ /\d+/g;
		my $sum = 0;
		$sum += $_ for $settled =~ /\d+/g;
		last if $n == @names && $sum == 4 && $settled !~ /moving/;
		select(undef, undef, undef, 0.1);
	}
	return $settled;
}

# All that members are handed, until there is no more; each partition by one of them.
sub drain
{
	my ($group, @names) = @_;
	my (%reader, %records);

	for (1 .. 3)
	{
		for my $name (@names)
		{
			for my $part (split / /, consume($name, $group))
			{
				my ($partition, $n) = split /:/, $part;

				fail("partition $partition has two readers") if ($reader{$partition} //= $name) ne $name;
				$records{$partition} += $n;
			}
		}
	}
	my %read;
	push @{ $read{ $reader{$_} } }, $_ for sort keys %reader;
	return (join(' ', map { "$_:$records{$_}" } sort keys %records), join(' ', sort { $a <=> $b } map { scalar(@{ $read{$_} // [] }) } @names));
}

# Without a group
consume($_, undef) for 'a', 'b';
produce(10);
is(consume('a'), '0:10 1:10 2:10 3:10', 'without a group one reads everything');
is(consume('b'), '0:10 1:10 2:10 3:10', 'and so does another');
is(consume('a'), '', 'each once');

# A group with as many members as partitions
my @four = qw(a b c d);
is(settle('even', @four), '1 1 1 1', 'a group divides the partitions');
my ($records, $shares) = drain('even', @four);
is($records, '0:10 1:10 2:10 3:10', 'all records are read once');
is($shares, '1 1 1 1', 'and each partition by one member');

# More members than partitions
is(settle('even', @four, 'e', 'f'), '0 0 1 1 1 1', 'who comes late is idle');
produce(5);
($records, $shares) = drain('even', @four, 'e', 'f');
is("$records, $shares", '0:5 1:5 2:5 3:5, 0 0 1 1 1 1', 'and reads nothing');

# It takes over on failure: what had been handed out and was not confirmed comes again
produce(5);
my $lost = consume('a', 'even');
like($lost, qr/^[0-3]:5$/, 'a member is handed records');
my $pid = ask('a', 'SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
delete $session{'a'};
is(settle('even', qw(b c d e f)), '0 1 1 1 1', 'and is killed: an idle one takes its place');
($records, $shares) = drain('even', qw(b c d e f));
is("$records, $shares", '0:5 1:5 2:5 3:5, 0 1 1 1 1', 'and is handed them, too');
end_session($_) for 'c', 'd', 'e', 'f';

# Fewer members
is(settle('even', 'b'), '4', 'one that is left has all');
produce(5);
($records, $shares) = drain('even', 'b');
is("$records, $shares", '0:5 1:5 2:5 3:5, 4', 'and reads all');
is(settle('even', 'b', 'g'), '2 2', 'two have two each');
is(settle('even', 'b', 'g', 'h'), '1 1 2', 'three share four as evenly as they can');
produce(5);
($records, $shares) = drain('even', qw(b g h));
is("$records, $shares", '0:5 1:5 2:5 3:5, 1 1 2', 'and all is read once');

# Two groups
settle('second', 'b', 'g');
($records, $shares) = drain('second', 'b', 'g');
is("$records, $shares", '0:30 1:30 2:30 3:30, 2 2', 'another group reads everything for itself');
produce(5);
($records) = drain('even', qw(b g h));
is($records, '0:5 1:5 2:5 3:5', 'what comes now is read by the one');
($records) = drain('second', qw(b g));
is($records, '0:5 1:5 2:5 3:5', 'and by the other');

end_session($_) for keys %session;
is( $node->safe_psql('postgres', q(
	SELECT string_agg(DISTINCT format('%s %s', consumer_group, next_offset), ', ') FROM (VALUES ('even'), ('second')) g (consumer_group), committed_offsets(consumer_group))),
	'even 35, second 35', 'and all of it is confirmed');
$node->stop;
done_testing();
