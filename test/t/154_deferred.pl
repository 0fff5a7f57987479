# What a consumer was handed and has not confirmed is handed out again: in whichever form
# it was asked for, and however its client, its session or the answer came to an end.
#
# Each case has a group of its own.  Mutations, which the test runs: never-deferred,
# which commits the offsets with the hand-out; same-statement; run-remembered.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use StreamlogConsumers qw(consumers_connect);
use StreamlogHistory qw(history_has_waitpoints);

my $node = PostgreSQL::Test::Cluster->new('deferred');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\n");
$node->start;
$node->safe_psql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	SELECT streamlog.create_topic('orders');
	SELECT count(*) FROM streamlog.produce_batch('orders', NULL, '{a,b,c,d,e}'::text[]);
	CREATE TABLE work (consumer_group text, record_offset bigint);
	CREATE FUNCTION hand_on(consumer_group text) RETURNS SETOF streamlog.log_record LANGUAGE plpgsql
	AS $$ BEGIN RETURN QUERY SELECT * FROM streamlog.consume('orders', consumer_group, max_records => 2); END $$;));

#
# A proxy that ends both connections when the server answers to what has "cut" in it, and
# at once for "cut now".
#
my $proxy_dir = PostgreSQL::Test::Utils::tempdir_short();
my $proxy;

END
{
	my $status = $?;

	kill('KILL', $proxy) if $proxy;
	$? = $status;
}

sub relay
{
	my ($client) = @_;
	my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or return;
	my $select = IO::Select->new($client, $server);
	my $cut;

	while (1)
	{
		for my $from ($select->can_read)
		{
			sysread($from, my $bytes, 65536) or return;
			return if $cut;
			$cut = 1 if $from == $client && $bytes =~ /cut/;
			syswrite($from == $client ? $server : $client, $bytes) == length $bytes or return;
			return if $bytes =~ /cut now/;
		}
	}
}

my $listen = IO::Socket::UNIX->new(Local => "$proxy_dir/.s.PGSQL." . $node->port, Listen => 20) or die "cannot listen: $!";
$proxy = fork() // die "cannot fork: $!";
if ($proxy == 0)
{
	local $SIG{CHLD} = 'IGNORE';
	while (my $client = $listen->accept)
	{
		next if fork();
		relay($client);
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

my @settings;

sub session
{
	return consumers_connect($node, 'test', @settings);
}

sub through_proxy
{
	local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @settings);

	return DBI->connect("dbi:Pg:dbname=postgres;host=$proxy_dir;port=" . $node->port, undef, undef,
		{ RaiseError => 1, PrintError => 0, AutoInactiveDestroy => 1 });
}

sub offsets
{
	my ($db, $query) = @_;

	return @{ $db->selectcol_arrayref($query) };
}

# What a client gets that is killed then
sub killed
{
	my ($code) = @_;

	pipe(my $read, my $write) or die $!;
	my $pid = fork() // die "cannot fork: $!";
	if ($pid == 0)
	{
		my @got = eval { $code->(session()) };

		syswrite($write, $@ ? "error: $@" : join(' ', @got));
		close $write;
		kill('KILL', $$);
	}
	close $write;
	my $text = do { local $/; <$read> } // '';
	waitpid($pid, 0);
	die $text if $text =~ /^error/;
	return split / /, $text;
}

# Names of members, each run has another
my $runs = 0;

sub consume
{
	my ($group, $more) = @_;

	return "streamlog.consume('orders', '$group', max_records => 2" . ($more // '') . ')';
}

sub poll_as
{
	my ($group, $member, $instance) = @_;

	return "SELECT record_offset FROM streamlog.poll('orders', '$group', max_records => 2, max_wait => '10 s', member_id => '$member'"
	  . ($instance ? ", instance_id => '$instance'" : '') . ')';
}

# Each case returns what a client was handed and has not confirmed.
my %case = (
	'a SELECT' => sub {
		my ($group) = @_;

		return killed(sub { offsets($_[0], 'SELECT record_offset FROM ' . consume($group)) });
	},
	'a function that hands on' => sub {
		my ($group) = @_;

		return killed(sub { offsets($_[0], "SELECT record_offset FROM hand_on('$group')") });
	},
	'two statements in one string' => sub {
		my ($group) = @_;
		my $one = "SELECT record_offset FROM streamlog.consume('orders', '$group', max_records => 1)";
		local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @settings);
		my ($out) = run_command([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "$one; $one" ]);

		return split /\n/, $out;
	},
	'two calls in one statement' => sub {
		my ($group) = @_;
		my $one = "SELECT record_offset FROM streamlog.consume('orders', '$group', max_records => 1)";

		return killed(sub { offsets($_[0], "$one UNION ALL $one") });
	},
	'the rest after the first of two in one string failed' => sub {
		my ($group) = @_;
		my $one = "SELECT record_offset FROM streamlog.consume('orders', '$group', max_records => 1)";
		local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @settings);

		run_command([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "$one; SELECT 1 / 0" ]);
		return (0);
	},
	'EXECUTE' => sub {
		my ($group) = @_;

		return killed(
			sub {
				$_[0]->do('PREPARE p AS SELECT record_offset FROM ' . consume($group));
				offsets($_[0], 'EXECUTE p');
			});
	},
	'COPY (SELECT ..) TO STDOUT' => sub {
		my ($group) = @_;

		return killed(
			sub {
				my ($line, @got);

				$_[0]->do('COPY (SELECT record_offset FROM ' . consume($group) . ') TO STDOUT');
				push @got, $line =~ s/\n//r while $_[0]->pg_getcopydata($line) >= 0;
				return @got;
			});
	},
	'a cursor WITH HOLD' => sub {
		my ($group) = @_;

		return killed(
			sub {
				$_[0]->do('DECLARE c CURSOR WITH HOLD FOR SELECT record_offset FROM ' . consume($group));
				offsets($_[0], 'FETCH ALL FROM c');
			});
	},
	'EXPLAIN ANALYZE' => sub {
		my ($group) = @_;
		my $db = session();

		$db->do("SELECT * FROM streamlog.consume('orders', '$group', max_records => 0)");
		offsets($db, 'EXPLAIN ANALYZE SELECT record_offset FROM ' . consume($group));
		$db->disconnect;
		return (0, 1);
	},
	'leave() after an error' => sub {
		my ($group) = @_;
		my $db = session();
		my @got = offsets($db, 'SELECT record_offset FROM ' . consume($group));

		eval { $db->do('INSERT INTO work SELECT 1 / 0') };
		offsets($db, "SELECT streamlog.leave('$group')");
		return ($db, @got);
	},
	'leave() after an error of the next call' => sub {
		my ($group) = @_;
		my $db = session();
		my @got = offsets($db, 'SELECT record_offset FROM ' . consume($group));

		eval { $db->do('SELECT 1 / (record_offset - 2) FROM ' . consume($group)) };
		offsets($db, "SELECT streamlog.leave('$group')");
		return ($db, @got);
	},
	'DISCARD ALL' => sub {
		my ($group) = @_;
		my $db = session();
		my @got = offsets($db, 'SELECT record_offset FROM ' . consume($group));

		$db->do('DISCARD ALL');
		return ($db, @got);
	},
	'DISCARD ALL, and the same session' => sub {
		my ($group) = @_;
		my $db = session();

		$db->do('SELECT * FROM ' . consume($group));
		$db->do('DISCARD ALL');
		return offsets($db, 'SELECT record_offset FROM ' . consume($group));
	},
	'poll() of a session' => sub {
		my ($group) = @_;

		return killed(sub { offsets($_[0], "SELECT record_offset FROM streamlog.poll('orders', '$group', max_records => 2)") });
	},
	'the same member_id and instance_id, its client killed' => sub {
		my ($group) = @_;
		my @got = killed(sub { offsets($_[0], poll_as($group, 'run-1', 'place')) });
		my @again = killed(sub { offsets($_[0], poll_as($group, 'run-1', 'place')) });
		my @new = killed(sub { offsets($_[0], poll_as($group, 'run-2', 'place')) });

		return () if "@got" ne "@again" || "@got" ne "@new";
		session()->do("SELECT streamlog.kick_member('$group', 'run-2')");
		return @got;
	},
	'the same member_id, its transaction not committed' => sub {
		my ($group) = @_;
		my $work = sub {
			$_[0]->do('BEGIN');
			offsets($_[0], 'SELECT record_offset FROM ' . consume($group, ", member_id => 'run-1', max_wait => '10 s'"));
		};
		my @got = killed($work);
		my @again = killed($work);

		return () if "@got" ne "@again";
		session()->do("SELECT streamlog.leave('$group', 'run-1')");
		return @got;
	},
	'an answer that was cut' => sub {
		my ($group) = @_;
		my $db = through_proxy();

		return () if eval { offsets($db, '/* cut */ SELECT record_offset FROM ' . consume($group)); 1 };
		return (0, 1);
	},
	'a query after which it was cut' => sub {
		my ($group) = @_;
		my $db = through_proxy();

		return () if eval { offsets($db, '/* cut now */ SELECT record_offset FROM ' . consume($group)); 1 };
		return (0, 1);
	},
	'an answer to poll() that was cut, and the call repeated' => sub {
		my ($group) = @_;
		my $db = through_proxy();

		return () if eval { offsets($db, '/* cut */' . poll_as($group, 'run-1')); 1 };
		my @again = offsets(session(), poll_as($group, 'run-1'));

		session()->do("SELECT streamlog.leave('$group', 'run-1')");
		return @again;
	});

# What is handed out to the next one
sub again
{
	my ($group) = @_;
	my @all;
	my $db = session();

	# the lock of who is gone may fall a little later
	@all = offsets($db, "SELECT record_offset FROM streamlog.consume('orders', '$group', max_wait => '10 s')");
	$db->disconnect;
	return "@all";
}

my $n = 0;

for my $name (sort keys %case)
{
	my $group = 'case ' . $n++;
	my @got = $case{$name}->($group);
	my $db = ref $got[0] ? shift @got : undef;

	like("@got", qr/^0( 1)?$/, "$name: records were handed out");
	is(again($group), '0 1 2 3 4', 'and are again');
	$db->disconnect if $db;
}

# What was confirmed by the call whose answer was cut is not handed out again, but what
# the call handed out is.
my $cut = through_proxy();
is(join(' ', offsets($cut, 'SELECT record_offset FROM ' . consume('half'))), '0 1', 'before the cut');
ok(!eval { offsets($cut, '/* cut */ SELECT record_offset FROM ' . consume('half')) }, 'an answer is cut');
is(again('half'), '2 3 4', 'the next session is handed what was in it');

# With the transaction an unknown answer is a committed one or not, and repeating is safe.
for my $how ('cut', 'cut now')
{
	for my $round (1 .. 3)
	{
		my $db = through_proxy();

		ok( !eval {
				$db->do("/* $how */ INSERT INTO work SELECT '$how', record_offset FROM " . consume($how));
				1;
			},
			"$how: an answer is cut");
	}
	my $db = session();

	for my $try (1 .. 50)
	{
		$db->do("INSERT INTO work SELECT '$how', record_offset FROM " . consume($how, ", max_wait => '200 ms'"));
		last if (offsets($db, "SELECT record_offset FROM work WHERE consumer_group = '$how'")) >= 5;
	}
	is(join(' ', offsets($db, "SELECT record_offset FROM work WHERE consumer_group = '$how' ORDER BY 1")),
		'0 1 2 3 4', 'and all was worked off once');
	$db->disconnect;
}

# commit_offsets() whose answer was cut can be repeated.
my $run = session();
$run->do(poll_as('repeated', 'run-1'));
my $commit = "SELECT next_offset FROM streamlog.commit_offsets('orders', 'repeated', '{0}', '{2}', member_id => 'run-1')";
ok(!eval { offsets(through_proxy(), "/* cut */ $commit") }, 'the answer to commit_offsets() is cut');
is(join(' ', offsets($run, $commit)), '2', 'it is repeated');
is(join(' ', offsets($run, poll_as('repeated', 'run-1'))), '2 3', 'and the run goes on');
$run->disconnect;

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless history_has_waitpoints($node);

	@settings = ('streamlog.mutants=never-deferred');
	my @kept;
	for my $name (grep { !/member_id|call repeated/ } sort keys %case)
	{
		my $group = 'mutant ' . $n++;
		my @got = $case{$name}->($group);
		my $db = ref $got[0] ? shift @got : undef;

		# a failed transaction commits nothing either
		next if !@got || $name =~ /failed/;
		push @kept, $name if again($group) eq '0 1 2 3 4';
		$db->disconnect if $db;
	}
	is(join(', ', @kept), '', 'never-deferred: what was handed out is lost in each case');

	@settings = ('streamlog.mutants=run-remembered');
	isnt(join(' ', $case{$_}->('mutant ' . $n++)), '0 1', "run-remembered: $_: that shows")
	  for ('the same member_id and instance_id, its client killed', 'an answer to poll() that was cut, and the call repeated');

	for my $name ('two statements in one string', 'two calls in one statement')
	{
		my $group = 'mutant ' . $n++;

		@settings = ();
		session()->do("SELECT * FROM streamlog.consume('orders', '$group', max_records => 0)");
		@settings = ('streamlog.mutants=same-statement');
		$case{$name}->($group);
		is(again($group), '1 2 3 4', "same-statement: $name lose one");
	}
}
$node->stop;

done_testing();
