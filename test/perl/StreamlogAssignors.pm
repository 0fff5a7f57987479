# StreamlogAssignors.pm: what assignors have to answer.
#
# A case is {topics => {name => partitions}, members => {name => {topics => [..],
# instance => ..}}}, an assignment {"topic-partition" => member}.  range and roundrobin
# are Kafka's, so there is one right answer; of sticky it is known what makes an answer
# a good one.

package StreamlogAssignors;

use strict;
use warnings;
use Exporter 'import';
use List::Util qw(min sum0 shuffle);

our @EXPORT_OK = qw(assign_range assign_roundrobin sticky_complaints random_case most_kept unevenness wants_are_equal);

# The assignors' order: those with an instance_id first, by it, then by name.
sub in_order
{
	my ($members) = @_;

	return sort {
		my ($i, $j) = map { $members->{$_}{instance} } $a, $b;
		defined $j <=> defined $i
		  || (defined $i ? $i cmp $j : 0)
		  || $a cmp $b
	} keys %$members;
}

# The members that want a topic, in their order
sub subscribers
{
	my ($case, $topic) = @_;

	return grep {
		grep { $_ eq $topic } @{ $case->{members}{$_}{topics} }
	} in_order($case->{members});
}

# A block of each topic for each of its subscribers, the first ones' one larger
sub assign_range
{
	my ($case) = @_;
	my %result;

	foreach my $topic (keys %{ $case->{topics} })
	{
		my @members = subscribers($case, $topic) or next;
		my $n = $case->{topics}{$topic};
		my ($quotient, $rest) = (int($n / @members), $n % @members);

		foreach my $i (0 .. $#members)
		{
			my $first = $i * $quotient + min($i, $rest);
			my $size = $quotient + ($i < $rest ? 1 : 0);

			$result{"$topic-$_"} = $members[$i] for $first .. $first + $size - 1;
		}
	}
	return \%result;
}

# All partitions in the order of their topics, to all members in turn
sub assign_roundrobin
{
	my ($case) = @_;
	my @turn = in_order($case->{members});
	my %result;

	foreach my $topic (sort keys %{ $case->{topics} })
	{
		my %wants = map { $_ => 1 } subscribers($case, $topic) or next;

		foreach my $partition (0 .. $case->{topics}{$topic} - 1)
		{
			push @turn, shift @turn until $wants{ $turn[0] };
			$result{"$topic-$partition"} = $turn[0];
			push @turn, shift @turn;
		}
	}
	return \%result;
}

# Do all members want the same?
sub wants_are_equal
{
	my ($case) = @_;
	my %wants = map { join(' ', sort @{ $_->{topics} }) => 1 }
	  values %{ $case->{members} };

	return keys %wants == 1;
}

# What all partitions that somebody wants can be, with the members that want them
sub choices
{
	my ($case) = @_;
	my %choices;

	foreach my $topic (keys %{ $case->{topics} })
	{
		my @members = subscribers($case, $topic) or next;
		$choices{"$topic-$_"} = \@members for 0 .. $case->{topics}{$topic} - 1;
	}
	return \%choices;
}

# How uneven an assignment is: the sum of the squares of the loads
sub unevenness
{
	my ($assignment) = @_;
	my %load;

	$load{$_}++ for values %$assignment;
	return sum0(map { $_ * $_ } values %load);
}

# The most partitions that can stay where they are in an assignment that is no more
# uneven than this, found by trying all of them.
sub most_kept
{
	my ($case, $before, $limit) = @_;
	my $choices = choices($case);
	my @partitions = sort keys %$choices;
	my %load = map { $_ => 0 } keys %{ $case->{members} };
	my $most = -1;
	my $try;

	$try = sub {
		my ($i, $kept, $uneven) = @_;

		return if $kept + @partitions - $i <= $most || $uneven > $limit;
		if ($i == @partitions)
		{
			$most = $kept;
			return;
		}

		my $had = $before->{ $partitions[$i] } // '';
		my @members = @{ $choices->{ $partitions[$i] } };

		foreach my $member ((grep { $_ eq $had } @members), (grep { $_ ne $had } @members))
		{
			my $load = $load{$member}++;

			$try->($i + 1, $kept + ($member eq $had), $uneven + 2 * $load + 1);
			$load{$member}--;
		}
		return;
	};
	$try->(0, 0, 0);
	return $most;
}

# What is wrong with an answer of sticky, given who had what before
sub sticky_complaints
{
	my ($case, $before, $after) = @_;
	my $choices = choices($case);
	my %load = map { $_ => 0 } keys %{ $case->{members} };
	my %wants;
	my @bad;

	foreach my $partition (sort keys %$choices)
	{
		$wants{$partition}{$_} = 1 for @{ $choices->{$partition} };
		my $member = $after->{$partition};
		if (!defined $member || !$wants{$partition}{$member})
		{
			push @bad, "$partition is with " . ($member // 'nobody');
			next;
		}
		$load{$member}++;
	}
	push @bad, map { "$_ is wanted by nobody" }
	  grep { !$choices->{$_} } sort keys %$after;
	return @bad if @bad;

	foreach my $partition (sort keys %$choices)
	{
		my $has = $after->{$partition};
		my $had = $before->{$partition} // '';

		foreach my $member (@{ $choices->{$partition} })
		{
			push @bad, "$partition should move from $has ($load{$has}) to $member ($load{$member})"
			  if $load{$has} > $load{$member} + 1;
		}
		push @bad, "$partition moved from $had ($load{$had}) to $has ($load{$has}) in vain"
		  if $had ne $has && $wants{$partition}{$had} && $load{$had} < $load{$has};
	}
	if (wants_are_equal($case))
	{
		my $kept = grep { ($before->{$_} // '') eq $after->{$_} } keys %$after;
		my $most = most_kept($case, $before, unevenness($after));

		push @bad, "$kept partitions stayed, $most could have" if $kept != $most;
	}
	return @bad;
}

# Up to these many members and topics; same: with the same topics for all.  The
# number of partitions is one of those given.
sub random_case
{
	my %arg = @_;
	my @topics = (shuffle(sort keys %{ $arg{topics} }))[ 0 .. int(rand($arg{max_topics})) ];
	my @names = map { chr((48 .. 57, 65 .. 90, 97 .. 122)[ int(rand(62)) ]) . int(rand(100)) }
	  0 .. int(rand($arg{max_members}));
	my %case = (topics => { map { $_ => $arg{topics}{$_} } @topics }, members => {});

	foreach my $name (@names)
	{
		my @wanted = grep { $arg{same} || rand() < .6 } @topics;

		@wanted = ($topics[0]) unless @wanted;
		$case{members}{$name} = { topics => \@wanted };
		$case{members}{$name}{instance} = chr(65 + int(rand(58))) . $name
		  if rand() < .3;
	}
	return \%case;
}

1;
