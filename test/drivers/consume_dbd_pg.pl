# consume_dbd_pg.pl CONNINFO TOPIC: consumers with DBD::Pg, under both rules; see
# consumers.py

use strict;
use warnings;
use DBI;
use DBD::Pg qw(:pg_types);

my ($conninfo, $topic) = @ARGV;
my $count = 30;
my $watch = DBI->connect("dbi:Pg:$conninfo", '', '', { RaiseError => 1, PrintError => 0 });
my ($db, $group);

sub check
{
	my ($is, $label, $detail) = @_;

	print join("\t", $is ? 'ok' : 'not ok', "$group: $label", $detail // ''), "\n";
}

sub committed
{
	return ($watch->selectrow_array(
		'SELECT coalesce(sum(next_offset), 0) FROM consumer_groups g, committed_offsets(g.consumer_group)'
		  . ' WHERE g.consumer_group = ?', {}, $group))[0];
}

sub batch
{
	my ($function) = @_;
	my $statement = $db->prepare_cached(
		"SELECT partition, record_offset, key, value FROM $function(?, ?, max_records => ?, partitions => ?)");

	$statement->execute($topic, $group, 4, [ 0, 1, 2 ]);
	return @{ $statement->fetchall_arrayref };
}

sub places
{
	return join(' ', map { "$_->[0]/$_->[1]" } @_);
}

sub complete
{
	my @rows = @_;
	my (%next, @wrong);

	for my $row (@rows)
	{
		my ($partition, $offset, $key, $value) = @$row;
		my $i = $offset * 3 + $partition;

		push @wrong, "$partition/$offset"
		  if $offset != ($next{$partition} // 0) || $key ne "k$i" || $value ne "\x00\xff\\$i";
		$next{$partition} = $offset + 1;
	}
	check(@rows == $count && !@wrong, 'each record once, in order, as it was produced', "@wrong of " . places(@rows));
}

for my $options ({}, { pg_server_prepare => 0 }, { pg_switch_prepared => 1 })
{
	my $mode = join(',', map { "$_=$options->{$_}" } sort keys %$options);
	my @rows;

	$db = DBI->connect("dbi:Pg:$conninfo", '', '', { RaiseError => 1, PrintError => 0, %$options });

	$group = "DBD::Pg $mode, deferred";
	while (my @more = batch('consume'))
	{
		check(committed() == @rows, 'this call has committed what came before');
		push @rows, @more;
	}
	complete(@rows);
	check(committed() == $count, 'all is committed');

	$group = "DBD::Pg $mode, begin_work";
	@rows = ();
	$db->begin_work;
	batch('consume');
	$db->rollback;
	while (1)
	{
		$db->begin_work;
		my @more = batch('consume');
		$db->pg_savepoint('s');
		batch('consume');
		$db->pg_rollback_to('s');
		$db->commit;
		last unless @more;
		push @rows, @more;
		check(committed() == @rows, 'committed with the transaction');
	}
	complete(@rows);

	$group = "DBD::Pg $mode, without AutoCommit";
	@rows = ();
	$db->{AutoCommit} = 0;
	while (my @more = batch('consume'))
	{
		check(committed() == @rows, 'not before the commit');
		push @rows, @more;
		$db->commit;
	}
	complete(@rows);
	$db->commit;
	$db->{AutoCommit} = 1;

	$group = "DBD::Pg $mode, do";
	$db->do('CREATE TEMP TABLE work (partition int, record_offset bigint, key bytea, value bytea)');
	@rows = ();
	1 while $db->do('INSERT INTO work SELECT partition, record_offset, key, value FROM consume(?, ?, max_records => ?)',
		{}, $topic, $group, 4) > 0;
	complete(@{ $db->selectall_arrayref('TABLE work') });
	check(committed() == $count, 'all is committed');

	# Who reads only some of a batch was handed all of it.
	$group = "DBD::Pg $mode, some of a batch";
	my $statement = $db->prepare('SELECT partition, record_offset FROM consume(?, ?, max_records => 4)');
	$statement->execute($topic, $group);
	$statement->fetchrow_array;
	$statement->finish;
	batch('consume');
	check(committed() == 4, 'the next call commits the whole batch');

	$group = "DBD::Pg $mode, poll";
	@rows = ();
	while (my @more = batch('poll'))
	{
		my %next = map { ($_->[0] => $_->[1] + 1) } @more;
		my @partitions = sort keys %next;
		my $done = $db->selectall_arrayref(
			'SELECT partition, next_offset FROM commit_offsets(?, ?, partitions => ?, next_offsets => ?) ORDER BY 1',
			{}, $topic, $group, \@partitions, [ @next{@partitions} ]);

		check(places(@$done) eq join(' ', map { "$_/$next{$_}" } @partitions), 'what it committed');
		push @rows, @more;
	}
	complete(@rows);
	$db->disconnect;
}
