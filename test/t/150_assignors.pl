# Assignors: range and roundrobin give what Kafka's give, sticky is even and moves no
# more than it has to.  All members call in one session, each by its member_id.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use StreamlogHistory qw(history_seed);
use StreamlogAssignors
  qw(assign_range assign_roundrobin sticky_complaints random_case);

# In its first seconds a group waits for the members that its offset rows name
my $settles = 3.5;
my $cases = 60;

my $seed = history_seed();
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('assignors');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');

# One call of a member, as SQL
sub poll
{
	my ($group, $assignor, $member, $how) = @_;

	return sprintf(
		"SELECT count(*) FROM streamlog.poll(topics => ARRAY['%s'], consumer_group => '%s', member_id => '%s', instance_id => %s, assignor => '%s');\n",
		join("','", @{ $how->{topics} }), $group, $member,
		defined $how->{instance} ? "'$how->{instance}'" : 'NULL', $assignor);
}

# Calls of all members until all that is to move has moved: the last of them may make
# the plan, then readers let go, then others take.
sub rounds
{
	my ($group, $assignor, $members, @first) = @_;
	my @names = (@first, grep { my $name = $_; !grep { $_ eq $name } @first } sort keys %$members);

	return join('', map { poll($group, $assignor, $_, $members->{$_}) } (@names) x 3);
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# {group => {"topic-partition" => member}}
sub assignments
{
	my %groups;

	foreach my $line (split(/\n/, sql('SELECT consumer_group, member, unnest(assignment) FROM streamlog.group_members')))
	{
		my ($group, $member, $partition) = split(/\|/, $line);

		is($groups{$group}{$partition}, undef, "$partition is assigned once in $group")
		  if defined $groups{$group}{$partition};
		$groups{$group}{$partition} = $member;
	}
	return \%groups;
}

# "A t0-0 t0-1; B t1-0"
sub in_words
{
	my ($assignment) = @_;
	my %of;

	push @{ $of{ $assignment->{$_} } }, $_ for sort {
		my ($s, $m, $t, $n) = map { /^(.*)-(\d+)$/ } $a, $b;
		$s cmp $t || $m <=> $n
	} keys %$assignment;
	return join('; ', map { join(' ', $_, @{ $of{$_} }) } sort keys %of);
}

# What Kafka's documentation and tests give as examples.
#
# Mutations: give the larger blocks to the last members; deal each topic anew; leave
# members in the order in which they came.
my @examples = (
	[ 'range', { ten => 10 }, { A => ['ten'], B => ['ten'], C => ['ten'] },
		'A ten-0 ten-1 ten-2 ten-3; B ten-4 ten-5 ten-6; C ten-7 ten-8 ten-9' ],
	[ 'range', { two => 2 }, { C => ['two'], B => ['two'], A => ['two'] },
		'A two-0; B two-1' ],
	[ 'range', { t0 => 3, t1 => 3 }, { C0 => [ 't0', 't1' ], C1 => [ 't0', 't1' ] },
		'C0 t0-0 t0-1 t1-0 t1-1; C1 t0-2 t1-2' ],
	[ 'roundrobin', { t0 => 3, t1 => 3 }, { C0 => [ 't0', 't1' ], C1 => [ 't0', 't1' ] },
		'C0 t0-0 t0-2 t1-1; C1 t0-1 t1-0 t1-2' ],
	[ 'roundrobin', { u0 => 1, u1 => 2, u2 => 3 },
		{ C0 => ['u0'], C1 => [ 'u0', 'u1' ], C2 => [ 'u0', 'u1', 'u2' ] },
		'C0 u0-0; C1 u1-0; C2 u1-1 u2-0 u2-1 u2-2' ],
	[ 'range', { v => 3 }, { A => ['v'], B => ['v'], 'C=0' => ['v'] },
		'A v-1; B v-2; C v-0' ]);

my %topics = (a => 1, b => 2, c => 3, d => 2, e => 4);
{
	my %all = (%topics, map { %{ $_->[1] } } @examples);

	sql(join('', map { "SELECT streamlog.create_topic('$_', partitions => $all{$_});\n" } sort keys %all));
}

foreach my $i (0 .. $#examples)
{
	my ($assignor, undef, $wants, $expected) = @{ $examples[$i] };
	my %members;

	foreach my $name (keys %$wants)
	{
		my ($member, $instance) = split(/=/, $name);

		$members{$member} = { topics => $wants->{$name}, instance => $instance };
	}
	sql(rounds("example$i", $assignor, \%members, reverse sort keys %members));
	is(in_words(assignments()->{"example$i"} // {}), $expected, "$assignor: example $i");
}

# Who goes leaves its partitions to the others, who keep theirs.
#
# Mutation: deal all partitions anew.
{
	my %members = map { $_ => { topics => [ 'b', 'd', 'c', 'a' ] } } qw(C0 C1 C2);
	my ($before, $after);

	sql(rounds('sticky', 'sticky', \%members));
	$before = assignments()->{sticky};
	is(join(' ', sort { $a <=> $b } map { my $m = $_; scalar grep { $_ eq $m } values %$before } keys %members),
		'2 3 3', 'sticky: an even share for each');

	sleep($settles);
	sql("SELECT streamlog.leave('sticky', 'C1')");
	delete $members{C1};
	sql(rounds('sticky', 'sticky', \%members));
	$after = assignments()->{sticky};
	is(join(' ', map { "$_=$after->{$_}" } grep { $before->{$_} ne 'C1' } sort keys %$before),
		join(' ', map { "$_=$before->{$_}" } grep { $before->{$_} ne 'C1' } sort keys %$before),
		'sticky: who stays keeps all that it had');
	is(scalar(keys %$after), 8, 'sticky: and all is assigned');
}

# A topic that grows is dealt anew by range, as far as sticky is concerned not.
#
# Mutation: do not plan when a topic has more partitions.
{
	my %members = map { $_ => { topics => ['grows'] } } qw(A B);

	sql("SELECT streamlog.create_topic('grows', partitions => 2)");
	sql(rounds("grows_$_", $_, \%members)) for qw(range sticky);
	sql("SELECT streamlog.alter_topic('grows', partitions => 4)");
	sql(rounds("grows_$_", $_, \%members)) for qw(range sticky);
	is(in_words(assignments()->{grows_range}), 'A grows-0 grows-1; B grows-2 grows-3',
		'range: a topic has grown');
	is(in_words(assignments()->{grows_sticky}), 'A grows-0 grows-2; B grows-1 grows-3',
		'sticky: a topic has grown');
}

# A change to a case: who leaves, comes, or wants another topic.  Returns the SQL and
# who calls first.
sub change
{
	my ($group, $case) = @_;
	my @members = sort keys %{ $case->{members} };
	my $member = $members[ int(rand(@members)) ];
	my $what = int(rand(3));

	if ($what == 0 && @members > 1)
	{
		delete $case->{members}{$member};
		return "SELECT streamlog.leave('$group', '$member');\n";
	}
	if ($what == 1)
	{
		my @missing = grep {
			my $topic = $_;
			!grep { $_ eq $topic } @{ $case->{members}{$member}{topics} }
		} sort keys %topics;

		if (@missing)
		{
			$case->{topics}{ $missing[0] } = $topics{ $missing[0] };
			push @{ $case->{members}{$member}{topics} }, $missing[0];
			return ('', $member);
		}
	}
	$case->{members}{"$member-new"} = { topics => [ @{ $case->{members}{$member}{topics} } ] };
	return ('', "$member-new");
}

# Random members and subscriptions, and a change to each case.
#
# Mutations: in roundrobin, go on with the first member at each topic; in range, count
# members that do not want the topic; in sticky, deal all anew, or give the larger quotas
# to the first members, or do not even out where wishes differ.
my %oracle = (range => \&assign_range, roundrobin => \&assign_roundrobin);
my %case;

foreach my $assignor (qw(range roundrobin sticky))
{
	$case{"$assignor$_"} = random_case(
		topics => \%topics,
		max_topics => 4,
		max_members => 4,
		same => $_ % 2) for 1 .. $cases;
}

sub check
{
	my ($when, $before) = @_;
	my $now = assignments();

	foreach my $assignor (qw(range roundrobin sticky))
	{
		my @bad;

		foreach my $group (map { "$assignor$_" } 1 .. $cases)
		{
			my $has = $now->{$group} // {};
			my @wrong;

			if ($oracle{$assignor})
			{
				my ($is, $ought) = map { in_words($_) } $has, $oracle{$assignor}->($case{$group});

				@wrong = ("$is instead of $ought") if $is ne $ought;
			}
			else
			{
				@wrong = sticky_complaints($case{$group}, $before->{$group} // {}, $has);
			}
			push @bad, map { "$group: $_" } @wrong;
		}
		is(join("\n", @bad), '', "$assignor: $cases random cases $when");
	}
	return $now;
}

sql(join('', map { rounds($_, s/\d+$//r, $case{$_}{members}) } sort keys %case));
my $before = check('to begin with', {});

sleep($settles);
{
	my $script = '';

	foreach my $group (sort keys %case)
	{
		my ($sql, @first) = change($group, $case{$group});

		$script .= $sql . rounds($group, $group =~ s/\d+$//r, $case{$group}{members}, @first);
	}
	sql($script);
}
check('after a change', $before);

$node->stop;
done_testing();
