# dbd_pg.pl CONNINFO TOPIC: everything that DBD::Pg sends, in all its ways.  It prints
# what matrix.py says.

use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types);
use Encode qw(encode_utf8);
use JSON::PP;

my ($conninfo, $topic) = @ARGV;
my ($db, $mode);

binmode(STDOUT, ':encoding(UTF-8)');

sub shown
{
	my ($bytes) = @_;

	return defined $bytes ? 'x' . unpack('H*', $bytes) : '-';
}

sub expect
{
	my ($offset, $key, $value, $label) = @_;

	print join("\t", 'record', $offset // '-', shown($key), shown($value), "$mode $label"), "\n";
}

sub check
{
	my ($is, $label, $detail) = @_;

	print join("\t", $is ? 'ok' : 'not ok', "$mode $label", ($detail // '') =~ tr/\n/ /r), "\n";
}

sub fails
{
	my ($sqlstate, $label, $call) = @_;

	eval { $call->(); 1 } and return check(0, $label, 'no error');
	check($db->state eq $sqlstate, $label, $db->state . " $@");
}

my $special = "żółć 🐘 \\ \\u0041 \\x41 '\"%s?:a\$1\t\n";
my $bytes = "\x00\xff\\'?\x80";

# label, type, value, what has to arrive; these as they are bound without a type
my @untyped = (
	[ 'undef', undef, undef, undef ],
	[ 'string', undef, 'str', 'str' ],
	[ 'empty', undef, '', '' ],
	[ 'special', undef, $special, encode_utf8($special) ],
	[ 'Latin-1 string', undef, "\xe9", "\xc3\xa9" ],
	[ 'looks like bytes', undef, '\x00ff', '\x00ff' ],
	[ 'number', undef, 42, '42' ],
	[ 'large number', undef, 2**40, '1099511627776' ],
	[ 'fraction', undef, 1.5, '1.5' ],
	[ 'JSON', undef, JSON::PP->new->encode([ "\\ \x{e9}\x{17c}" ]), encode_utf8("[\"\\\\ \x{e9}\x{17c}\"]") ],
	[ 'array', undef, [ 1, 2 ], '{"1","2"}' ],
	[ 'array of strings', undef, [ 'a', 'b c', undef ], '{"a","b c",NULL}' ]);
my @typed = (
	[ 'text', PG_TEXT, $special, encode_utf8($special) ],
	[ 'varchar', PG_VARCHAR, 'str', 'str' ],
	[ 'bigint', PG_INT8, -42, '-42' ],
	[ 'int', PG_INT4, 42, '42' ],
	[ 'numeric', PG_NUMERIC, '1.50', '1.50' ],
	[ 'float', PG_FLOAT8, '2.5', '2.5' ],
	[ 'uuid', PG_UUID, '00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000005' ],
	[ 'bool', PG_BOOL, 1, 't' ],
	[ 'date', PG_DATE, '2001-02-03', '2001-02-03' ],
	[ 'json', PG_JSON, '{"b":  1}', '{"b":  1}' ]);
my @prepared = (
	[ 'bytes', PG_BYTEA, $bytes, $bytes ],
	[ 'empty bytes', PG_BYTEA, '', '' ],
	[ 'jsonb', PG_JSONB, '{"b":  1, "a": "é"}', encode_utf8('{"a": "é", "b": 1}') ]);

sub produce
{
	my ($key, $value) = @_;
	my $statement = $db->prepare_cached("SELECT produce('$topic', ?, ?)");

	$statement->execute($key, $value);
	my ($offset) = $statement->fetchrow_array;
	$statement->finish;
	return $offset;
}

sub types
{
	my ($server_prepare) = @_;
	my @cases = (@untyped, @typed, $server_prepare ? @prepared : ());
	my @plain = ([ 'x', undef, 'x', 'x' ], [ 'undef', undef, undef, undef ], [ '42', PG_INT8, 42, '42' ]);

	for my $case (@cases)
	{
		for my $pair ((map { ([ $case, $_ ], [ $_, $case ]) } @plain), [ $case, $case ])
		{
			my $statement = $db->prepare("SELECT produce('$topic', ?, ?)");

			for my $i (0, 1)
			{
				my (undef, $type, $value) = @{ $pair->[$i] };
				$statement->bind_param($i + 1, $value, defined $type ? { pg_type => $type } : {});
			}
			for (1 .. 7)
			{
				$statement->execute;
				expect($statement->fetchrow_array, $pair->[0][3], $pair->[1][3], "$pair->[0][0], $pair->[1][0]");
			}
			if ($server_prepare && $pair->[0] == $case && $pair->[1] == $case)
			{
				my ($plans) = $db->selectrow_array(
					'SELECT max(generic_plans) FROM pg_prepared_statements WHERE name LIKE ?', {},
					$statement->{pg_prepare_name} . '%');
				check($plans, "a generic plan with $case->[0]");
			}
		}
	}

	# the cast does where the driver cannot tell
	my $statement = $db->prepare("SELECT produce('$topic', ?::bytea, ?::bytea)");
	$statement->bind_param($_, undef, { pg_type => PG_BYTEA }) for 1, 2;
	for (1 .. 7)
	{
		$statement->execute($bytes, $bytes);
		expect($statement->fetchrow_array, $bytes, $bytes, 'bytes with a cast');
	}
	if (!$server_prepare)
	{
		$statement = $db->prepare("SELECT produce('$topic', 'k', ?)");
		$statement->bind_param(1, "\xff", { pg_type => PG_BYTEA });
		$statement->execute;
		expect($statement->fetchrow_array, 'k', '\377', 'bytes without a cast are not bytes');
	}
	my $query = "SELECT produce('$topic', ?, ?::jsonb)";
	my ($offset) = $db->selectrow_array($query, {}, 'k', '{"b":  1, "a": "é"}');
	expect($offset, 'k', encode_utf8('{"a": "é", "b": 1}'), 'jsonb with a cast');
}

sub transactions
{
	$db->begin_work;
	for my $i (1 .. 7)
	{
		check(!defined produce('k', $i), 'no offset in a transaction');
		expect(undef, 'k', $i, 'in a transaction');
		$db->pg_savepoint('s');
		produce('lost', $i);
		$db->pg_rollback_to('s');
	}
	$db->commit;
	$db->begin_work;
	produce('lost', 'x');
	$db->rollback;
	$db->{AutoCommit} = 0;
	check(!defined produce('k', 'manual'), 'no offset without AutoCommit');
	$db->commit;
	expect(undef, 'k', 'manual', 'without AutoCommit');
	produce('lost', 'x');
	$db->rollback;
	$db->{AutoCommit} = 1;
}

sub batches
{
	my $statement = $db->prepare('SELECT record_offset FROM produce_batch(?, ?, ?)');

	for (1 .. 7)
	{
		$statement->execute($topic, [ 'a', undef, '' ], [ "\\ ' \x{17c}", undef, '{}' ]);
		my @offsets = map { $_->[0] } @{ $statement->fetchall_arrayref };
		expect($offsets[0], 'a', encode_utf8("\\ ' \x{17c}"), 'batch');
		expect($offsets[1], undef, undef, 'batch');
		expect($offsets[2], '', '{}', 'batch');
	}
	$db->prepare("SELECT produce('$topic', ?, ?)")->execute_array({}, [ 1 .. 5 ], [ 6 .. 10 ]);
	expect(undef, $_, $_ + 5, 'execute_array') for 1 .. 5;
}

# COPY and INSERT
sub tables
{
	my $text = "\x{17c} \\ \\u0041 ,'?";

	$db->do("COPY topic_text.$topic (key, value) FROM STDIN (FORMAT csv)");
	$db->pg_putcopydata(qq(k,"$text"\n));
	$db->pg_putcopydata(qq(,""\n));
	$db->pg_putcopyend;
	expect(undef, 'k', encode_utf8($text), 'COPY');
	expect(undef, undef, '', 'COPY');

	my $statement = $db->prepare("INSERT INTO topic_text.$topic (key, value) VALUES (?, ?)");
	for my $value (($text, '', undef) x 3)
	{
		check($statement->execute($value, $value) == 1, 'one record');
		my $stored = defined $value ? encode_utf8($value) : undef;
		expect(undef, $stored, $stored, 'INSERT of text');
	}
	# here the column makes bytes of what the driver writes
	$statement = $db->prepare("INSERT INTO topic.$topic (key, value) VALUES (?, ?)");
	$statement->bind_param($_, undef, { pg_type => PG_BYTEA }) for 1, 2;
	for my $value (($bytes, '', undef) x 3)
	{
		$statement->execute($value, $value);
		expect(undef, $value, $value, 'INSERT of bytes');
	}
}

sub reading
{
	my ($offset) = $db->selectrow_array(
		'SELECT produce(topic => ?, key => ?, value => ?, headers => headers(?), partition => ?, record_time => ?)',
		{}, $topic, 'k', "\x{17c}", '[{"a": "é"}, {"a": null}]', 0, '2020-01-02 03:04:05.678901+00');
	expect($offset, 'k', "\xc5\xbc", 'all arguments');
	my $statement = $db->prepare(q{
		SELECT record_offset, extract(epoch FROM timestamp) AS epoch, partition, key, value, as_text(value) AS text,
			array(SELECT as_text(value) FROM unnest(headers)) AS headers, topic
		FROM fetch_records(?, ?, ?, max_wait => ?)});
	for (1 .. 7)
	{
		$statement->execute($topic, 0, $offset, '1s');
		my $r = $statement->fetchrow_hashref;
		$statement->finish;
		check( $r->{record_offset} == $offset && $r->{epoch} eq '1577934245.678901' && $r->{key} eq 'k'
			  && $r->{value} eq "\xc5\xbc" && $r->{text} eq "\x{17c}" && $r->{topic} eq $topic
			  && $r->{headers}[0] eq "\x{e9}" && !defined $r->{headers}[1], 'a record as it is fetched');
	}
	$db->do("COPY (SELECT record_offset, as_text(value) FROM fetch_records('$topic', 0, $offset)) TO STDOUT");
	my $line;
	$db->pg_getcopydata($line);
	check($line eq "$offset\t\x{17c}\n", 'COPY of a fetch', $line);
	$db->pg_getcopydata($line);
}

sub errors
{
	for (
		[ SL007 => sub { $db->do("SELECT produce('missing', ?, ?)", {}, 'k', 'v') } ],
		[ SL002 => sub { produce('lost', 'x' x 2000000) } ],
		[ SL001 => sub { $db->selectall_arrayref('SELECT * FROM fetch_records(?, 0, ?)', {}, $topic, 10**9) } ])
	{
		my ($sqlstate, $call) = @$_;

		fails($sqlstate, "$sqlstate outside of a transaction", $call);
		expect(produce('k', $sqlstate), 'k', $sqlstate, "after $sqlstate");
		$db->begin_work;
		produce('lost', $sqlstate);
		fails($sqlstate, "$sqlstate in a transaction", $call);
		fails('25P02', "the transaction has failed with $sqlstate", sub { produce('lost', 'x') });
		$db->rollback;
		expect(produce('k', $sqlstate), 'k', $sqlstate, "after $sqlstate and a rollback");
	}
}

for my $options ({ pg_server_prepare => 1, pg_switch_prepared => 1 }, { pg_server_prepare => 1 },
	{ pg_server_prepare => 0 })
{
	$mode = join(',', map { "$_=$options->{$_}" } sort keys %$options);
	$db = DBI->connect("dbi:Pg:$conninfo", '', '', { RaiseError => 1, PrintError => 0, %$options });
	types($options->{pg_server_prepare});
	transactions();
	batches();
	tables();
	reading();

	# when it lets go of a prepared statement that has failed, the driver rolls back
	# by itself and has no SQLSTATE any more
	errors() unless $options->{pg_switch_prepared};
	$db->disconnect;
}
