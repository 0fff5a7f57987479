# pooled_consumer.pl CONNINFO GROUP MEMBER RULE INTERVAL: works off the topic "jobs"
# until it is told to stop.  Behind a pooler it is known by its member_id.
#
# RULE is "poll": the offsets are committed in a transaction after that of the work;
# "block": consume() and the work in one transaction, some of which are rolled back;
# "insert": both in one statement.  An offset that may no longer be committed is noted
# as "fenced", any other error ends the program.

use strict;
use warnings;
use DBI;

my ($conninfo, $group, $member, $rule, $interval) = @ARGV;
my $go_on = 1;

local $SIG{TERM} = sub { $go_on = 0 };

my $db = DBI->connect('dbi:Pg:' . $conninfo =~ tr/ /;/r, '', '',
	{ RaiseError => 1, PrintError => 0, pg_server_prepare => 0 });
my $arguments = "'jobs', ?, max_records => 20, member_id => ?, max_poll_interval => '$interval'";
my $work = 'INSERT INTO done (consumer_group, member, partition, record_offset, key) VALUES (?, ?, ?, ?, ?)';
my $rounds = 0;

sub records
{
	my ($function) = @_;

	return @{ $db->selectall_arrayref(
		"SELECT partition, record_offset, as_text(key) FROM $function($arguments)", {}, $group, $member) };
}

sub work_off
{
	my $n = 0;

	if ($rule eq 'insert')
	{
		return $db->do('INSERT INTO done (consumer_group, member, partition, record_offset, key)'
			  . " SELECT ?, ?, partition, record_offset, as_text(key) FROM consume($arguments)",
			{}, $group, $member, $group, $member);
	}
	if ($rule eq 'poll')
	{
		my %next;

		for my $record (records('poll'))
		{
			$db->do($work, {}, $group, $member, @$record);
			$next{ $record->[0] } = $record->[1] + 1;
			$n++;
		}
		my @partitions = sort keys %next;
		$db->do("SELECT * FROM commit_offsets('jobs', ?, member_id => ?, partitions => ?, next_offsets => ?)",
			{}, $group, $member, \@partitions, [ @next{@partitions} ]) if @partitions;
		return $n;
	}
	$db->begin_work;
	for my $record (records('consume'))
	{
		$db->do($work, {}, $group, $member, @$record);
		$n++;
	}
	if ($rounds % 4 == 1)
	{
		$db->do('SAVEPOINT s');
		$db->do($work, {}, $group, $member, @$_) for records('consume');
		$db->do('ROLLBACK TO s');
	}
	if ($rounds % 3 == 1)
	{
		$db->rollback;
	}
	else
	{
		$db->commit;
	}
	return $n;
}

while ($go_on)
{
	my $n = 0;

	$rounds++;
	if (!eval { $n = work_off(); 1 })
	{
		die $@ unless $db->state =~ /^SL(009|010|011)$/;
		print "fenced\n";
		$db->rollback unless $db->{AutoCommit};
	}
	select(undef, undef, undef, 0.02) unless $n > 0;
}
$db->do('SELECT leave(?, member_id => ?)', {}, $group, $member);
