# After a restart, and after a crash, one hundred member_ids of a group that call within
# two seconds find each its own partitions, with all assignors: nothing moves.  Who does not
# come back loses his when the group has settled.
#
# Mutation, which the test runs: no-settling, with which the first who come are given the
# partitions of those who come later.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);
use StreamlogHistory qw(history_seed history_has_waitpoints);

my @assignors = qw(range roundrobin sticky);
my $seed = history_seed();

srand($seed);
my $node = PostgreSQL::Test::Cluster->new('settling');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\n");
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	SELECT streamlog.create_topic('orders', 120);
	SELECT count(*) FROM generate_series(0, 119) p,
		streamlog.produce_batch('orders', NULL, '{a}'::text[], partition => p);

	-- each in a transaction of its own, the group by the name of its assignor
	CREATE PROCEDURE call_all(assignor text, members int[]) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. cardinality(members) LOOP
			PERFORM streamlog.poll('orders', assignor, member_id => 'm' || members[i], assignor => assignor);
			COMMIT;
		END LOOP;
	END$$;

	CREATE VIEW owners AS
	SELECT g.name AS consumer_group, c.partition, c.member, c.epoch
	FROM streamlog.committed_offset c JOIN streamlog.consumer_group g USING (group_id);

	-- as shared memory has it
	CREATE VIEW readers AS
	SELECT consumer_group, split_part(label, '-', 2)::int AS partition, member
	FROM streamlog.group_members, unnest(assignment) label;));

sub shuffled
{
	my @members = @_;

	for my $i (reverse 1 .. $#members)
	{
		my $j = int rand($i + 1);

		@members[ $i, $j ] = @members[ $j, $i ];
	}
	return 'ARRAY[' . join(',', @members) . ']';
}

# All call, in some order; how long that takes
sub call_all
{
	my ($settings, @members) = @_;
	my $begin = time;

	$node->safe_psql('postgres',
		join('', $settings, map { "CALL call_all('$_', " . shuffled(@members) . ');' } @assignors));
	return time - $begin;
}

sub owners
{
	my ($group) = @_;

	return $node->safe_psql('postgres',
		"SELECT partition, member, epoch FROM owners WHERE consumer_group = '$group' ORDER BY 1");
}

sub unlike_readers
{
	my ($group) = @_;

	return $node->safe_psql('postgres', qq(
		SELECT count(*) FROM (SELECT partition, member FROM owners WHERE consumer_group = '$group') o
		FULL JOIN (SELECT partition, member FROM readers WHERE consumer_group = '$group') r USING (partition, member)
		WHERE o.partition IS NULL OR r.partition IS NULL));
}

call_all('', 1 .. 100) for 1 .. 3;
my %before = map { $_ => owners($_) } @assignors;
for my $group (@assignors)
{
	is(unlike_readers($group), 0, "$group: who was handed records last reads on");
	is( $node->safe_psql('postgres', "SELECT count(DISTINCT member), count(*) FROM owners WHERE consumer_group = '$group'"),
		'100|120',
		"$group: every member has a partition");
}

for my $stop ('fast', 'immediate')
{
	$node->stop($stop);
	$node->start;
	my $took = call_all('', 1 .. 100);
	note(sprintf('100 members of 3 groups have called within %.1f s', $took));
	call_all('', 1 .. 100);
	is(owners($_), $before{$_}, "$stop stop, $_: nothing has moved") for @assignors;
	sleep(3.1) if $stop eq 'immediate';
	call_all('', 1 .. 100) for 1 .. 2;
	for my $group (@assignors)
	{
		is(owners($group), $before{$group}, "$stop stop, $group: nor later");
		is(unlike_readers($group), 0, 'and that is who reads it');
	}
}

# One stays away.
$node->stop('immediate');
$node->start;
call_all('', 2 .. 100);
for my $group (@assignors)
{
	is(owners($group), $before{$group}, "$group: nobody has what is another's, who may come back");
}
sleep(3.1);
call_all('', 2 .. 100) for 1 .. 2;
for my $group (@assignors)
{
	is($node->safe_psql('postgres', "SELECT count(*) FROM owners WHERE consumer_group = '$group' AND member = 'm1'"),
		0, "$group: until it is too late");
}

SKIP:
{
	skip 'built without WAITPOINTS', 3 unless history_has_waitpoints($node);

	%before = map { $_ => owners($_) } @assignors;
	$node->stop('immediate');
	$node->start;
	call_all('SET streamlog.mutants = \'no-settling\';', 2 .. 100);
	isnt(owners($_), $before{$_}, "no-settling, $_: that shows") for @assignors;
}
$node->stop;

done_testing();
