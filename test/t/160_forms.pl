# Forms of a call of consume() that psql has not: the extended protocol, one statement
# at a time and in a pipeline, portals that are read in portions, and the fast path.  The
# messages are written by hand.
#
# The test consume_forms has all others, and says what is to be seen.
#
# Mutations: the statements of the client are not counted; every CALL is the client's.

use strict;
use warnings;
use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('forms');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	SELECT streamlog.create_topic('forms');
	SELECT count(*) FROM streamlog.produce_batch('forms', NULL, (SELECT array_agg(i::text) FROM generate_series(0, 199) i));
	CREATE TABLE work (note text);
	CREATE VIEW next AS SELECT streamlog.as_text(value) AS v FROM streamlog.consume('forms', 'g', max_records => 1);
	CREATE FUNCTION hand_on() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT v FROM next); END $$;
	CREATE FUNCTION work_off() RETURNS text LANGUAGE plpgsql AS $$
	DECLARE r text; BEGIN SELECT v INTO r FROM next; INSERT INTO work VALUES (r); RETURN r; END $$;
	CREATE FUNCTION sql_hand_on() RETURNS text LANGUAGE sql AS $$ SELECT v FROM public.next $$;
	CREATE FUNCTION sql_work_off() RETURNS text LANGUAGE sql AS $$ INSERT INTO public.work SELECT v FROM public.next RETURNING note $$;
	CREATE PROCEDURE take(INOUT r text) LANGUAGE plpgsql AS $$ BEGIN SELECT v INTO r FROM next; END $$;
	CREATE FUNCTION call_take() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN CALL take(r); RETURN r; END $$;
	CREATE FUNCTION insert_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO work VALUES ('later'); RETURN NULL; END $$;
	CREATE TABLE fires (i int);
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON fires DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION insert_later();));

my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "cannot connect: $!";

sub message
{
	my ($type, $body) = @_;

	return $type . pack('N', 4 + length($body)) . $body;
}

sub parse { return message('P', pack('Z*Z*n', '', $_[0], 0)) }
sub bind_to { return message('B', pack('Z*Z*nnn', $_[0] // '', '', 0, 0, 0)) }
sub execute { return message('E', pack('Z*N', $_[0] // '', $_[1] // 0)) }
sub statement { return parse($_[0]) . bind_to() . execute() }
sub sync { return message('S', '') }

# Call a function by its OID, with no arguments
sub fast_path
{
	my ($function) = @_;

	return message('F', pack('Nnnn', $node->safe_psql('postgres', "SELECT '$function'::regproc::oid"), 0, 0, 0));
}

sub get
{
	my ($n) = @_;
	my $data = '';

	while (length($data) < $n)
	{
		sysread($socket, $data, $n - length($data), length($data)) or die 'the server has gone';
	}
	return $data;
}

# Send all of it at once; returns the first columns of what comes until the server is
# ready so many times, and errors.
sub send_all
{
	my ($messages, $times) = @_;
	my @got;

	syswrite($socket, $messages) == length($messages) or die "cannot send: $!";
	for (1 .. $times // 1)
	{
		while (1)
		{
			my ($type, $length) = unpack('aN', get(5));
			my $body = get($length - 4);

			last if $type eq 'Z';
			push @got, unpack('x2N/a', $body) if $type eq 'D';
			push @got, unpack('N/a', $body) if $type eq 'V';
			push @got, "error $1" if $type eq 'E' && $body =~ /\0C(\w{5})\0/;
		}
	}
	return join(' ', @got);
}

my $base = 0;

# The state after messages: how many were handed out, how many of them are committed.
sub state_is
{
	my ($expected, $what) = @_;
	my $c = $node->safe_psql('postgres', 'SELECT coalesce(max(next_offset), 0) FROM streamlog.committed_offset');
	my $p = send_all(statement("SELECT streamlog.next_offset('forms', 'g', 0)") . sync());

	is(($p - $base) . ' handed out, ' . ($c - $base) . ' committed', $expected, $what);
	send_all(statement("SELECT streamlog.commit_offsets('forms', 'g')") . sync());
	$base = $p;
	return;
}

send_all(pack('NNZ*Z*Z*Z*C', 4 + 4 + length("user\0postgres\0") + length("database\0postgres\0") + 1, 196608,
	'user', $node->safe_psql('postgres', 'SELECT current_user'), 'database', 'postgres', 0));

# one statement at a time
is(send_all(statement('TABLE next') . sync()), '0', 'a query in the extended protocol');
state_is('1 handed out, 0 committed', 'is deferred');
is(send_all(statement('INSERT INTO work TABLE next RETURNING note') . sync()), '1', 'an INSERT');
state_is('1 handed out, 1 committed', 'is with the transaction');
is(send_all(statement('SELECT hand_on()') . sync()), '2', 'a function that hands on');
state_is('1 handed out, 0 committed', 'is deferred');
is(send_all(statement('SELECT work_off()') . sync()), '3', 'a function that writes');
state_is('1 handed out, 1 committed', 'is with the transaction');
is(send_all(statement('BEGIN') . sync() . statement('TABLE next') . sync() . statement('COMMIT') . sync(), 3), '4', 'after BEGIN');
state_is('1 handed out, 1 committed', 'it is with the transaction');
is(send_all(statement('CALL take(NULL)') . sync()), '5', 'a CALL');
state_is('1 handed out, 1 committed', 'is with the transaction');

# a portal that is read in portions
is( send_all(parse('SELECT i || hand_on() FROM generate_series(1, 3) i') . bind_to() . execute('', 1) . execute('', 1) . execute('', 1) . sync()),
	'16 27 38', 'rows by and by');
state_is('3 handed out, 0 committed', 'are deferred');
is( send_all(parse('SELECT work_off() FROM generate_series(1, 3) i') . bind_to() . execute('', 1) . execute('', 1) . execute('', 1) . sync()),
	'9 10 11', 'and with a function that writes');
state_is('3 handed out, 3 committed', 'each has been worked on');

# pipelines: one transaction to the Sync, and no BEGIN
is(send_all(statement('TABLE next') . statement('TABLE next') . statement('TABLE next') . sync()), '12 13 14', 'queries in a pipeline');
state_is('3 handed out, 0 committed', 'are deferred');
is(send_all(statement('TABLE next') . statement('SELECT 1/0') . sync()), '15 error 22012', 'a pipeline that fails');
state_is('0 handed out, 0 committed', 'hands out nothing');
is(send_all(statement('TABLE next') . statement("INSERT INTO work VALUES ('x')") . sync()), '15', 'a write after a query in a pipeline');
state_is('1 handed out, 0 committed', 'is no work on its records');
is(send_all(statement("INSERT INTO work VALUES ('x')") . statement('TABLE next') . sync()), '16', 'nor one before it');
state_is('1 handed out, 0 committed', 'is');
is(send_all(statement('SELECT hand_on()') . statement('SELECT work_off()') . sync()), '17 18', 'nor what another function does');
state_is('2 handed out, 0 committed', 'in the same pipeline');
is(send_all(statement('SELECT work_off()') . statement('SELECT hand_on()') . sync()), '19 20', 'what was worked on before');
state_is('2 handed out, 1 committed', 'is committed');
is(send_all(statement('INSERT INTO fires VALUES (1)') . statement('SELECT hand_on()') . sync()), '21', 'nor is a deferred trigger');
state_is('1 handed out, 0 committed', 'work on them');
is( send_all(statement('BEGIN') . statement('TABLE next') . statement('COMMIT') . statement('TABLE next') . sync()),
	'22 23', 'a block in a pipeline');
state_is('2 handed out, 1 committed', 'is one');
is( send_all(statement('TABLE next') . statement('BEGIN') . statement('TABLE next') . statement('COMMIT') . sync()),
	'24 25', 'what comes before a BEGIN in the pipeline');
state_is('2 handed out, 0 committed', 'stays deferred, and with it what comes after');
is( send_all(statement('BEGIN') . statement('COMMIT AND CHAIN') . statement('TABLE next') . statement('COMMIT') . sync()),
	'26', 'a chained block in a pipeline');
state_is('1 handed out, 1 committed', 'is one');

# fast path
is(send_all(fast_path('hand_on')), '27', 'a function by fast path');
state_is('1 handed out, 0 committed', 'that hands on: deferred');
is(send_all(fast_path('work_off')), '28', 'a function by fast path');
state_is('1 handed out, 1 committed', 'that writes: with the transaction');
is(send_all(fast_path('sql_hand_on')), '29', 'a function by fast path');
state_is('1 handed out, 0 committed', 'in SQL that hands on: deferred');
is(send_all(fast_path('sql_work_off')), '30', 'a function by fast path');
state_is('1 handed out, 1 committed', 'in SQL that writes: with the transaction');
is(send_all(fast_path('call_take')), '31', 'a function by fast path');
state_is('1 handed out, 0 committed', 'with a CALL in it: deferred');
is( send_all(statement('BEGIN') . sync() . fast_path('hand_on') . statement('COMMIT') . sync(), 3),
	'32', 'a function by fast path after BEGIN');
state_is('1 handed out, 1 committed', 'is with the transaction');

close($socket);
$node->stop;
done_testing();
