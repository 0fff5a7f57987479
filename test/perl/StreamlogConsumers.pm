# StreamlogConsumers.pm: members of consumer groups at work, and what was worked off.
#
# Producers append to one topic all the time.  Workers, a process each, read it as members
# of four groups, by what is promised there:
#
#	exactly		consume() with the transaction: the work is a row of the table "work", or
#				a record of the topic "done"
#	least,		consume() deferred, in two groups by turns in one session; poll() and
#	other		commit_offsets() later, by sessions and by member_ids; the work is a line
#				in a file of the worker's own, written before it calls again in that group
#	most		the commit first, then the line in the file
#
# What a worker does, and in which form, is random.  Meanwhile it is terminated, cancelled,
# stopped until max_poll_interval is over, or killed; members leave and join, and the
# server crashes.  "calm" is a run without any of that.
#
# When the producers have ended and all groups are at the end of the log, the log itself
# says what there was to be worked off.
#
# Where the server has waitpoints, another session holds those of the group code up for
# some milliseconds now and then, which makes every window wider.
#
# All randomness comes from one seed; the scheduling does not.

package StreamlogConsumers;

use strict;
use warnings;
use DBI;
use DBD::Pg;
use Exporter 'import';
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamlogHistory qw(history_has_waitpoints);
use Test::More;
use Time::HiRes qw(time sleep usleep);

our @EXPORT_OK = qw(consumers_node consumers_run consumers_complaints consumers_connect
  consumers_mutants);

my $partitions = 6;
my %started;

# whatever happens, nothing goes on
END
{
	my $status = $?;

	kill('KILL', keys %started);
	$? = $status;
}

# Stop points that are held up
my @points = qw(own-before-lock own-locked commit-before-publish consume-before-sleep);

# What may happen to a worker: its session is ended, cancelled, or cannot be made; it is
# not serializable; it is no member any more, or another has its place; who was to make the
# group has not come to it
my $expected = qr/^(?:08|57|40001|SL009|SL010|SL011|SL013)/;
my $lost = qr/^(?:08|57P)/;
my $no_server = qr/connection to server|server closed|no connection to the server|database system is|terminating connection/;

# A server with the tables and functions, and the topics.
sub consumers_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf(
		'postgresql.conf', q(
max_connections = 150
max_wal_size = 4GB
restart_after_crash = on
log_lock_waits = off
log_statement = none
streamlog.worker_naptime = 100ms
) . ($conf // ''));
	$node->start;
	$node->safe_psql(
		'postgres', q(
		CREATE EXTENSION IF NOT EXISTS streamlog;

		CREATE SEQUENCE work_order;
		CREATE TABLE work (n bigint DEFAULT nextval('work_order'), partition int,
			record_offset bigint, value text, form text);
		CREATE TABLE seen (consumer_group text, worker text, n int, partition int,
			record_offset bigint, value text);

		-- with the transaction, in a function; "call" is of consume()
		CREATE FUNCTION work_off(call text, form text) RETURNS int LANGUAGE plpgsql AS $$
		DECLARE
			r record;
			n int := 0;
		BEGIN
			FOR r IN EXECUTE 'SELECT * FROM ' || call LOOP
				INSERT INTO work (partition, record_offset, value, form)
				VALUES (r.partition, r.record_offset, streamlog.as_text(r.value), form);
				n := n + 1;
			END LOOP;
			RETURN n;
		END$$;

		CREATE FUNCTION insert_from(call text, form text) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE 'INSERT INTO work (partition, record_offset, value, form)
				SELECT partition, record_offset, streamlog.as_text(value), $1 FROM ' || call USING form;
		END$$;

		-- what was consumed first is taken back
		CREATE FUNCTION work_off_again(call text) RETURNS int LANGUAGE plpgsql AS $$
		BEGIN
			BEGIN
				PERFORM work_off(call, 'undone');
				PERFORM 1 / 0;
			EXCEPTION WHEN division_by_zero THEN
				NULL;
			END;
			RETURN work_off(call, 'again');
		END$$;

		-- the work is taken back, and is done in the end
		CREATE FUNCTION work_off_late(call text) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			all_of_it streamlog.log_record[];
		BEGIN
			EXECUTE 'SELECT array_agg(r) FROM ' || call || ' r' INTO all_of_it;
			BEGIN
				INSERT INTO work SELECT 0, 0, 0, 'undone' FROM unnest(all_of_it);
				PERFORM 1 / 0;
			EXCEPTION WHEN division_by_zero THEN
				NULL;
			END;
			INSERT INTO work (partition, record_offset, value, form)
			SELECT partition, record_offset, streamlog.as_text(value), 'late' FROM unnest(all_of_it);
		END$$;

		-- the work is a record
		CREATE FUNCTION relay(call text) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			r record;
		BEGIN
			FOR r IN EXECUTE 'SELECT * FROM ' || call LOOP
				PERFORM streamlog.produce('done', NULL, format('%s:%s:%s:%s', nextval('work_order'),
					r.partition, r.record_offset, streamlog.as_text(r.value)), partition => 0);
			END LOOP;
		END$$;

		CREATE PROCEDURE work_off_all(call text, n int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1 .. n LOOP
				PERFORM work_off(call, 'procedure');
				IF random() < 0.3 THEN
					ROLLBACK;
				ELSE
					COMMIT;
				END IF;
			END LOOP;
		END$$;

		-- deferred, since it only hands on
		CREATE FUNCTION hand_on(call text) RETURNS SETOF streamlog.log_record LANGUAGE plpgsql AS $$
		BEGIN
			RETURN QUERY EXECUTE 'SELECT * FROM ' || call;
		END$$;

		-- at most once for who is handed the rows: what it writes commits the offsets
		CREATE TABLE handed (n int);
		CREATE FUNCTION write_and_hand_on(call text) RETURNS SETOF streamlog.log_record LANGUAGE plpgsql AS $$
		BEGIN
			RETURN QUERY EXECUTE 'SELECT * FROM ' || call;
			INSERT INTO handed VALUES (1);
		END$$;));
	return $node;
}

# A session; undef if the server does not take it.
sub consumers_connect
{
	my ($node, $name, @settings) = @_;
	local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @settings);

	return DBI->connect(
		'dbi:Pg:dbname=postgres;host=' . $node->host . ';port=' . $node->port . ";application_name=$name",
		undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1,
			AutoInactiveDestroy => 1 });
}

sub pick { return $_[ rand @_ ] }

sub nap
{
	my ($most) = @_;

	usleep(rand($most * 1000)) if rand() < .5;
	return;
}

#
# A worker is a hash: node, dir, id, slot (whose place it has), kind, group, calm,
# assignor, mutants; member and instance, or undef; db, its session; hand, for each
# group what it was handed and has not worked off; ack, for a member_id what it is to
# commit.
#

sub call
{
	my ($w, $function, %arg) = @_;
	my $group = $arg{group} // $w->{group};
	my @args = (
		"'orders'", "'$group'",
		'max_records => ' . pick(1, 2, 5, 10, 20, 50, 200),
		"max_wait => '" . int(rand 60) . " ms'",
		$w->{assignor} ? "assignor => '$w->{assignor}'" : (),
		$w->{member} ? "member_id => '$w->{member}'" : (),
		$w->{instance} ? "instance_id => '$w->{instance}'" : (),
		$w->{calm} ? () : "max_poll_interval => '2 s'");

	return "streamlog.$function(" . join(', ', @args) . ')';
}

my $columns = 'partition, record_offset, streamlog.as_text(value)';

sub rows { return @{ $_[0]{db}->selectall_arrayref($_[1]) } }

sub insert
{
	my ($w, $form, @rows) = @_;

	return unless @rows;
	$w->{db}->do(
		'INSERT INTO work (partition, record_offset, value, form) VALUES '
		  . join(', ', map { "($_->[0], $_->[1], '$_->[2]', '$form')" } @rows));
	return;
}

sub leave
{
	my ($w, $group) = @_;

	rows($w, "SELECT streamlog.leave('$group'" . ($w->{member} ? ", '$w->{member}'" : '') . ')');
	return;
}

sub divide
{
	my ($w) = @_;

	eval { $w->{db}->do('SELECT 1 / 0') };
	die $@ if $@ !~ /division by zero/;
	return;
}

# The form of work in a block, with savepoints.  The first statement may fix a snapshot.
sub in_block
{
	my ($w) = @_;
	my $db = $w->{db};

	$db->do(pick('BEGIN', 'BEGIN', 'START TRANSACTION', 'BEGIN ISOLATION LEVEL REPEATABLE READ',
		'BEGIN ISOLATION LEVEL SERIALIZABLE'));
	$db->do('SELECT 1 FROM work LIMIT 1') if rand() < .2;
	for my $i (1 .. 1 + rand 4)
	{
		my $depth = pick(0, 0, 1, 2);

		$db->do("SAVEPOINT s$_") for 1 .. $depth;
		my @rows = rows($w, "SELECT $columns FROM " . call($w, 'consume'));
		nap(20);
		insert($w, 'block', @rows);
		$db->do('RELEASE s2') if $depth == 2 && rand() < .5;
		if ($depth && rand() < .5)
		{
			divide($w) if rand() < .3;
			$db->do('ROLLBACK TO s1');
			if (rand() < .3)
			{
				insert($w, 'block after', rows($w, "SELECT $columns FROM " . call($w, 'consume')));
			}
		}
	}
	# the partitions are others' from here on, but for the transaction
	leave($w, $w->{group}) if !$w->{calm} && rand() < .1;
	nap(50);
	$db->do(pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK'));
	return;
}

my %exactly = (
	block => \&in_block,
	insert => sub {
		my ($w) = @_;

		$w->{db}->do("INSERT INTO work (partition, record_offset, value, form) SELECT $columns, 'insert' FROM "
			  . call($w, 'consume'));
	},
	cte => sub {
		my ($w) = @_;

		rows($w, 'WITH r AS (INSERT INTO work (partition, record_offset, value, form)'
			  . " SELECT $columns, 'cte' FROM " . call($w, 'consume') . ' RETURNING 1) SELECT count(*) FROM r');
	},
	into_topic => sub {
		my ($w) = @_;

		$w->{db}->do("INSERT INTO topic_text.done (value) SELECT format('%s:%s:%s:%s', nextval('work_order'),"
			  . ' partition, record_offset, streamlog.as_text(value)) FROM ' . call($w, 'consume'));
	},
	function => sub { my ($w) = @_; rows($w, 'SELECT work_off(' . quoted($w, 'consume') . ", 'function')") },
	insert_from => sub { my ($w) = @_; rows($w, 'SELECT insert_from(' . quoted($w, 'consume') . ", 'insert_from')") },
	again => sub { my ($w) = @_; rows($w, 'SELECT work_off_again(' . quoted($w, 'consume') . ')') },
	late => sub { my ($w) = @_; rows($w, 'SELECT work_off_late(' . quoted($w, 'consume') . ')') },
	relay => sub { my ($w) = @_; rows($w, 'SELECT relay(' . quoted($w, 'consume') . ')') },
	two => sub {
		my ($w) = @_;

		# one string, one transaction, each statement with work of its own
		$w->{db}->do(join ';', map { 'SELECT work_off(' . quoted($w, 'consume') . ", 'string')" } 1 .. 2);
	},
	do => sub {
		my ($w) = @_;
		my $fail = pick(0, 0, 1);

		$w->{db}->do("DO \$do\$ BEGIN INSERT INTO work (partition, record_offset, value, form) SELECT $columns, 'do' FROM "
			  . call($w, 'consume') . '; PERFORM 1 / ' . (1 - $fail) . '; END$do$');
	},
	procedure => sub { my ($w) = @_; $w->{db}->do('CALL work_off_all(' . quoted($w, 'consume') . ', ' . int(1 + rand 4) . ')') },
	undone => sub {
		my ($w) = @_;

		$w->{db}->do('BEGIN');
		rows($w, "SELECT $columns FROM " . call($w, 'consume'));
		$w->{db}->do('ROLLBACK');
	});

sub quoted { my ($w, @call) = @_; return $w->{db}->quote(call($w, @call)) }

# What was handed out is worked off: lines in the worker's file.
sub work_off
{
	my ($w, $group, @rows) = @_;
	my $text = join('', map { join("\t", $group, "$w->{kind}$w->{id}", ++$w->{lines}, @$_) . "\n" } @rows);

	syswrite($w->{file}, $text) == length $text or die "cannot write: $!" if $text ne '';
	return;
}

# The same with what is in hand of a group
sub work_off_hand
{
	my ($w, $group) = @_;

	for my $row (my @rows = @{ $w->{hand}{$group} // [] })
	{
		$w->{ack}{ $row->[0] } = $row->[1] + 1;
	}
	work_off($w, $group, @{ delete $w->{hand}{$group} // [] });
	return;
}

# The rows of a call that is deferred
sub handed_deferred
{
	my ($w, $group) = @_;
	my $db = $w->{db};
	my $call = call($w, 'consume', group => $group);
	my $form = pick(qw(select select twice function execute copy cursor));
	my @rows;

	if ($form eq 'select')
	{
		@rows = rows($w, "SELECT $columns FROM $call");
	}
	elsif ($form eq 'twice')
	{
		@rows = rows($w, "SELECT $columns FROM $call UNION ALL SELECT $columns FROM $call");
	}
	elsif ($form eq 'function')
	{
		@rows = rows($w, "SELECT $columns FROM hand_on(" . $db->quote($call) . ')');
	}
	elsif ($form eq 'execute')
	{
		my $name = 'p' . ++$w->{prepared};		# one that failed stays behind

		$db->do("PREPARE $name AS SELECT $columns FROM $call");
		@rows = rows($w, "EXECUTE $name");
		$db->do("DEALLOCATE $name");
	}
	elsif ($form eq 'copy')
	{
		my $line;

		$db->do("COPY (SELECT $columns FROM $call) TO STDOUT");
		while ($db->pg_getcopydata($line) >= 0)
		{
			chomp $line;
			push @rows, [ split /\t/, $line ];
		}
	}
	else
	{
		$db->do("DECLARE c CURSOR WITH HOLD FOR SELECT $columns FROM $call");
		@rows = rows($w, 'FETCH ALL FROM c');
		$db->do('CLOSE c');
	}
	return @rows;
}

sub commit_offsets
{
	my ($w, $group) = @_;
	my $given = '';

	if ($w->{member})
	{
		my %ack = %{ $w->{ack} // {} };
		my @p = sort keys %ack;

		return unless @p;
		$given = sprintf(", '{%s}', '{%s}', member_id => '%s'", join(',', @p), join(',', @ack{@p}), $w->{member})
		  . ($w->{instance} ? ", instance_id => '$w->{instance}'" : '');
	}
	$w->{ack} = {};
	rows($w, "SELECT * FROM streamlog.commit_offsets('orders', '$group'$given)");
	return;
}

# Calls of a worker, by its kind: each is one step of its session.
my %step = (
	exactly => sub {
		my ($w) = @_;
		my $form = pick(sort keys %exactly);

		$w->{db}->do('SET synchronous_commit = ' . pick('on', 'off')) if rand() < .1;
		eval { $exactly{$form}->($w); 1 } or $@ =~ /division by zero/ or die $@;
	},
	deferred => sub {
		my ($w) = @_;
		my $group = pick('least', 'other');

		work_off_hand($w, $group);
		if ($w->{met}{$group} && rand() < .15)
		{
			commit_offsets($w, $group);
			return;
		}
		$w->{hand}{$group} = [ handed_deferred($w, $group) ];
		$w->{met}{$group} = 1;
		nap(20);
	},
	poll => sub {
		my ($w) = @_;
		my $group = 'least';

		push @{ $w->{hand}{$group} }, rows($w, "SELECT $columns FROM " . call($w, 'poll'));
		nap(20);
		return if rand() < .5;
		work_off_hand($w, $group);
		commit_offsets($w, $group);
	},
	run => sub {
		my ($w) = @_;
		my $group = 'least';
		my $block = rand() < .3;

		$w->{db}->do('BEGIN') if $block;
		$w->{hand}{$group} = [ rows($w, "SELECT $columns FROM " . call($w, 'poll')) ];
		nap(20);
		work_off_hand($w, $group);
		commit_offsets($w, $group);
		$w->{db}->do('COMMIT') if $block;
		if (rand() < .3)
		{
			$w->{db}->disconnect;		# the next session is any of a pool's
			delete $w->{db};
		}
	},
	most => sub {
		my ($w) = @_;
		my $form = pick(qw(block block poll apart function));
		my $begin = $form ne 'apart';
		my @rows;

		if ($form eq 'function')
		{
			@rows = rows($w, "SELECT $columns FROM write_and_hand_on(" . quoted($w, 'consume') . ')');
		}
		else
		{
			$w->{db}->do('BEGIN') if $begin;
			@rows = rows($w, "SELECT $columns FROM " . call($w, $form eq 'block' ? 'consume' : 'poll'));
			nap(20);
			sleep(2.3) if $form eq 'apart' && !$w->{calm} && rand() < .03;
			if ($form ne 'block')
			{
				$w->{ack} = {};
				$w->{ack}{ $_->[0] } = $_->[1] + 1 for @rows;
				commit_offsets($w, 'most');
			}
			$w->{db}->do('COMMIT') if $begin;
		}
		nap(10);
		work_off($w, 'most', @rows);
	});

# The ends of a session, some of them with records in hand
sub end_session
{
	my ($w) = @_;
	my @groups = $w->{kind} eq 'deferred' ? ('least', 'other') : ($w->{group});
	my $db = $w->{db} //= consumers_connect($w->{node}, 'consumer', @{ $w->{settings} });

	if ($w->{calm} || rand() < .5)
	{
		for my $group (grep { $w->{hand}{$_} } @groups)
		{
			work_off_hand($w, $group);
			commit_offsets($w, $group) if $w->{kind} ne 'exactly';
		}
	}
	for (1 .. ($w->{calm} ? 1 : pick(0, 1)))
	{
		my $how = $w->{calm} || $w->{member} ? 'leave' : pick(qw(leave discard));

		if ($how eq 'leave')
		{
			leave($w, $_) for @groups;
		}
		else
		{
			$db->do('DISCARD ALL');
		}
		$w->{hand} = {};
		$w->{ack} = {};
		$step{ $w->{kind} }->($w) if !$w->{calm};		# and goes on
	}
	$db->disconnect if $w->{db};
	return;
}

sub note_error
{
	my ($w, $error) = @_;
	my $state = $w->{db} ? $w->{db}->state : '';

	$state = '08006' if $error =~ $no_server;
	append_to_file("$w->{dir}/errors", "$w->{kind} $state: " . $error =~ s/\n/ /gr . "\n")
	  if $w->{calm} ? $state ne '40001' : $state !~ $expected;
	if ($state eq 'SL010')
	{
		$w->{member} = new_member($w);
		usleep(rand 300_000);
	}
	return;
}

sub new_member
{
	my ($w) = @_;

	return sprintf('run-%d-%d-%d', $w->{slot}, $$, ++$w->{members});
}

sub work
{
	my ($w) = @_;
	my $stop = 0;

	local $SIG{TERM} = sub { $stop = 1 };
	srand($w->{seed});
	open($w->{file}, '>>', "$w->{dir}/seen.$w->{id}") or die $!;
	$w->{lines} = 0;
	$w->{member} = new_member($w) if $w->{is_run};
	while (!$stop)
	{
		my $steps = 5 + rand 60;

		eval {
			while ($steps-- > 0 && !$stop)
			{
				$w->{db} //= consumers_connect($w->{node}, 'consumer', @{ $w->{settings} });
				$step{ $w->{kind} }->($w);
			}
			if ($stop || !$w->{calm})
			{
				end_session($w);
				$w->{has_left} = $stop;
			}
			1;
		} or note_error($w, $@);
		next if $w->{calm} && eval { $w->{db}->do('ROLLBACK') };
		eval { $w->{db}->disconnect } if $w->{db};
		delete @$w{qw(db hand ack)};
		usleep(20_000 + rand 100_000);
	}

	# told to stop in a step that failed: without faults it leaves all the same
	eval { end_session($w) } if $w->{calm} && !$w->{has_left};
	return;
}

sub produce
{
	my ($w) = @_;
	my $stop = 0;
	my $seq = 0;

	local $SIG{TERM} = sub { $stop = 1 };
	srand($w->{seed});
	while (!$stop)
	{
		eval {
			$w->{db} //= consumers_connect($w->{node}, 'producer');
			my $block = rand() < .3;
			$w->{db}->do('BEGIN') if $block;
			for (1 .. ($block ? 1 + rand 3 : 1))
			{
				my $n = 1 + int rand 12;

				rows($w, sprintf("SELECT count(*) FROM streamlog.produce_batch('orders', NULL,"
						. " ARRAY(SELECT format('%d-%%s', i) FROM generate_series(%d, %d) i), partition => %d)",
						$w->{id}, $seq, $seq + $n - 1, int rand $partitions));
				$seq += $n;
				rows($w, 'SELECT count(*) FROM streamlog.flush()') if $block && rand() < .3;
			}
			$w->{db}->do(pick('COMMIT', 'COMMIT', 'ROLLBACK')) if $block;
			usleep(rand 25_000);
			1;
		} or do
		{
			note_error($w, $@);
			delete $w->{db};
			usleep(100_000);
		};
	}
	return;
}

sub start
{
	my ($w, $what) = @_;
	my $pid = fork() // die "cannot fork: $!";

	if ($pid == 0)
	{
		%started = ();
		eval { $what->($w); 1 } or append_to_file("$w->{dir}/errors", "$w->{kind} $w->{id}: $@");
		POSIX::_exit(0);
	}
	$started{$pid} = $w;
	$w->{pid} = $pid;
	return $w;
}

# Wait for it to end, after a signal
sub end
{
	my ($w, $signal) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my $pid = $w->{pid};

	kill($signal, $pid);
	kill('CONT', $pid);
	until (waitpid($pid, WNOHANG) == $pid)
	{
		if (time > $until)
		{
			append_to_file("$w->{dir}/errors", "$w->{kind} $w->{id} does not end\n");
			kill('KILL', $pid);
		}
		usleep(10_000);
	}
	delete $started{$pid};
	return;
}

# One question or command of the test's own; undef if the server is not there.
sub ask
{
	my ($node, $query) = @_;
	my $db = eval { consumers_connect($node, 'test') } // return;
	my $answer = eval { $db->selectrow_array($query) };

	die "$query: $@" if $@ && $@ !~ $no_server;
	return $@ ? undef : $answer // '';
}

sub wait_for_server
{
	my ($node) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;

	until (defined ask($node, 'SELECT 1'))
	{
		die 'the server does not come back' if time > $until;
		usleep(50_000);
	}
	return;
}

sub crash
{
	my ($node, $kind) = @_;

	if ($kind % 2 == 0)
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		my $log_at = -s $node->logfile;
		my $pid = ask($node, "SELECT pid FROM pg_stat_activity WHERE application_name = 'consumer' ORDER BY random() LIMIT 1");

		return unless $pid;
		kill('KILL', $pid);
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log_at);
	}
	wait_for_server($node);
	return;
}

# What does not run to the end of the log, in words
sub behind
{
	my ($node, @groups) = @_;

	my $names = join(', ', map { "'$_'" } @groups);

	return ask($node, qq(
		SELECT string_agg(format('%s %s: %s of %s', w.name, p.partition, c.next_offset, p.end_offset), ', ')
		FROM unnest(ARRAY[$names]) w(name)
		CROSS JOIN streamlog.partitions p
		LEFT JOIN streamlog.consumer_group g ON g.name = w.name
		LEFT JOIN streamlog.topic t ON t.name = p.topic
		LEFT JOIN streamlog.committed_offset c ON c.group_id = g.group_id
			AND c.topic_id = t.topic_id AND c.partition = p.partition
		WHERE p.topic = 'orders' AND p.end_offset > 0 AND c.next_offset IS DISTINCT FROM p.end_offset));
}

# Workers by their slots; a run is a member_id, and may have an instance_id of its slot.
my @slots = (
	{ kind => 'exactly', group => 'exactly' },
	{ kind => 'exactly', group => 'exactly', is_run => 1 },
	{ kind => 'exactly', group => 'exactly', is_run => 1, has_instance => 1 },
	{ kind => 'exactly', group => 'exactly', has_instance => 1 },
	{ kind => 'deferred', group => 'least' },
	{ kind => 'deferred', group => 'least' },
	{ kind => 'poll', group => 'least' },
	{ kind => 'run', group => 'least', is_run => 1 },
	{ kind => 'run', group => 'least', is_run => 1, has_instance => 1 },
	{ kind => 'most', group => 'most' },
	{ kind => 'most', group => 'most', is_run => 1 });

# Run producers and workers for so many seconds, then the workers to the end of the log.
# Named arguments: seed, seconds; groups, which of them; calm; crashes, how many; workers,
# so many in each slot; assignor; mutants; patience, seconds for the way to the end.
# What went wrong with the programs themselves is returned.
sub consumers_run
{
	my ($node, %arg) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @groups = @{ $arg{groups} // [qw(exactly least other most)] };
	my %wanted = map { $_ => 1 } @groups;
	my @mine = grep { $wanted{ $_->{group} } } @slots;
	my $calm = $arg{calm};
	my $ids = 0;
	my (@workers, @producers, $jitter, %faults, @wrong);

	srand($arg{seed});
	$node->safe_psql(
		'postgres', qq(
		SET client_min_messages = warning;
		SELECT streamlog.kick_member(consumer_group, member) FROM streamlog.group_members;
		SELECT streamlog.drop_topic('orders', true), streamlog.drop_topic('done', true);
		SELECT streamlog.create_topic('orders', $partitions, config => '{"segment.bytes": 1048576}');
		SELECT streamlog.create_topic('done');
		TRUNCATE work, seen;));

	my $new = sub {
		my ($slot) = @_;

		return start({ %{ $mine[$slot % @mine] }, node => $node, dir => $dir, id => ++$ids,
				slot => $slot, instance => $mine[$slot % @mine]{has_instance} ? "place $slot" : undef, seed => $arg{seed} + $ids * 1000, calm => $calm,
				assignor => $arg{assignor},
				settings => $arg{mutants} ? ["streamlog.mutants=$arg{mutants}", waiting($node)] : [waiting($node)] },
			\&work);
	};
	@producers = map {
		start({ kind => 'producer', node => $node, dir => $dir, id => $_, seed => $arg{seed} + $_, calm => $calm }, \&produce)
	} 1 .. 2;
	@workers = map { $new->($_) } 0 .. @mine * ($arg{workers} // 1) - 1;
	$jitter = start({ kind => 'jitter', node => $node, dir => $dir, id => 0, seed => $arg{seed} }, \&hold_up)
	  if waiting($node);

	my $begin = time;
	my $crashes = 0;
	my %fault = (
		terminate => sub {
			ask($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE application_name = 'consumer' ORDER BY random() LIMIT 1));
		},
		cancel => sub {
			ask($node, q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity
				WHERE application_name = 'consumer' AND state = 'active' ORDER BY random() LIMIT 1));
		},
		kill => sub {
			my $i = int rand @workers;

			end($workers[$i], 'KILL');
			$workers[$i] = $new->($workers[$i]{slot});
		},
		kick => sub {
			ask($node, q(SELECT streamlog.kick_member(consumer_group, member) FROM streamlog.group_members
				ORDER BY random() LIMIT 1));
		},
		replace => sub {
			my $i = int rand @workers;

			end($workers[$i], 'TERM');
			$workers[$i] = $new->($workers[$i]{slot});
		},
		join => sub {
			return if @workers > 2 * @mine;
			push @workers, $new->(int(rand @mine) + ($calm ? @mine * ++$ids : 0));
		},
		leave => sub {
			return if @workers <= @mine;
			end(splice(@workers, @mine + int(rand(@workers - @mine)), 1), 'TERM');
		},
		stop => sub {
			my $w = pick(@workers);

			return if $w->{continue};
			kill('STOP', $w->{pid});
			$w->{continue} = time + 2.5;
		});
	my @kinds = $calm ? qw(join leave) :
	  qw(terminate terminate terminate cancel kill kill kill kick kick replace join join leave leave stop);

	while (time < $begin + $arg{seconds})
	{
		usleep($calm ? 300_000 : 50_000 + rand 250_000);
		for my $w (grep { ($_->{continue} // time) < time } @workers)
		{
			kill('CONT', $w->{pid});
			delete $w->{continue};
		}
		my $kind = pick(@kinds);
		$faults{$kind}++;
		$fault{$kind}->();
		if ($crashes < ($arg{crashes} // 0)
			&& time > $begin + ($crashes + .7) * $arg{seconds} / $arg{crashes})
		{
			crash($node, $crashes++);
			$faults{crash}++;
		}
	}
	note('faults: ' . join(', ', map { "$_ $faults{$_}" } sort keys %faults));

	end($_, 'TERM') for @producers;
	kill('CONT', map { $_->{pid} } @workers);
	my $rest;
	my $until = time + ($arg{patience} // $PostgreSQL::Test::Utils::timeout_default);
	do
	{
		usleep(200_000);
		$rest = behind($node, @groups);
	} until (defined $rest && $rest eq '' || time > $until);
	if (($rest // '?') ne '')
	{
		push @wrong, 'not at the end: ' . ($rest // 'no server');
		note(ask($node, q(SELECT string_agg(m::text, E'\n') FROM streamlog.group_members m)));
	}
	note(sprintf('at the end %.1f s after the producers', $PostgreSQL::Test::Utils::timeout_default + time - $until))
	  unless $arg{patience};
	kill('TERM', map { $_->{pid} } @workers);
	end($_, 'TERM') for @workers, $jitter // ();

	if (-e "$dir/errors")
	{
		my %errors = map { s/\d+/N/gr => $_ } split /\n/, slurp_file("$dir/errors");

		push @wrong, sort values %errors;
	}
	$node->safe_psql('postgres', "COPY seen FROM '$_'") for glob("$dir/seen.*");
	return @wrong;
}

sub waiting
{
	my ($node) = @_;

	$node->{consumers_waiting} //= history_has_waitpoints($node) ? 'streamlog.waitpoints=' . join(',', @points) : '';
	return $node->{consumers_waiting} || ();
}

# Hold workers up for a moment where they stop.
sub hold_up
{
	my ($w) = @_;
	my $stop = 0;

	local $SIG{TERM} = sub { $stop = 1 };
	srand($w->{seed});
	while (!$stop)
	{
		eval {
			$w->{db} //= consumers_connect($w->{node}, 'jitter');
			my $name = pick(@points);

			rows($w, "SELECT pg_advisory_lock(1936488304, hashtext('$name'))");
			usleep(rand 15_000);
			rows($w, "SELECT pg_advisory_unlock(1936488304, hashtext('$name'))");
			usleep(rand 20_000);
			1;
		} or do
		{
			delete $w->{db};
			usleep(100_000);
		};
	}
	return;
}

# What is wrong, with a query for each.  Missing is what the group has passed over.
my %question = (
	'exactly: missing' => q(
		SELECT l.* FROM log l JOIN reached r USING (partition)
		LEFT JOIN done d USING (partition, record_offset, value)
		WHERE d.n IS NULL AND r.consumer_group = 'exactly' AND l.record_offset < r.next_offset),
	'exactly: twice' => q(
		SELECT partition, record_offset, string_agg(form, ' and ') FROM done
		GROUP BY partition, record_offset HAVING count(*) > 1),
	'exactly: phantom' => q(
		SELECT d.* FROM done d LEFT JOIN log l USING (partition, record_offset, value)
		WHERE l.partition IS NULL),
	'exactly: out of order' => q(
		SELECT * FROM (SELECT *, lag(record_offset) OVER (PARTITION BY partition ORDER BY n) AS before FROM done) s
		WHERE before >= record_offset),
	'least: missing' => q(
		SELECT r.consumer_group, l.* FROM log l JOIN reached r USING (partition)
		LEFT JOIN seen s USING (consumer_group, partition, record_offset, value)
		WHERE s.n IS NULL AND r.consumer_group IN ('least', 'other') AND l.record_offset < r.next_offset),
	'most: twice' => q(
		SELECT partition, record_offset, count(*), string_agg(worker, ' ') FROM seen WHERE consumer_group = 'most'
		GROUP BY partition, record_offset HAVING count(*) > 1),
	'handed out, and not in the log' => q(
		SELECT s.* FROM seen s LEFT JOIN log l USING (partition, record_offset, value)
		WHERE l.partition IS NULL));
# and in a run without faults
my %calm_question = (
	'least: twice' => q(
		SELECT consumer_group, partition, record_offset, count(*), string_agg(worker, ' ') FROM seen
		GROUP BY consumer_group, partition, record_offset HAVING count(*) > 1),
	'most: missing' => q(
		SELECT l.* FROM log l JOIN reached r USING (partition)
		LEFT JOIN seen s USING (consumer_group, partition, record_offset, value)
		WHERE s.n IS NULL AND r.consumer_group = 'most' AND l.record_offset < r.next_offset),
	'out of order' => q(
		SELECT * FROM (SELECT *, lag(record_offset) OVER (
			PARTITION BY consumer_group, partition, worker ORDER BY n) AS before FROM seen) s
		WHERE before >= record_offset));

# Mutations of the code: the name, the groups in which it shows, what is complained of
sub consumers_mutants
{
	return (
		[ 'read-first', ['exactly'], qr/^exactly: twice/m ],
		[ 'no-ownership', ['exactly'], qr/^exactly: twice/m ],
		[ 'keep-savepoint', ['exactly'], qr/^exactly: missing/m ],
		[ 'membership-only', ['most'], qr/^most: twice/m ],
		[ 'same-statement', [ 'least', 'other' ], qr/^least: missing/m ],
		[ 'any-group', [ 'least', 'other' ], qr/^least: missing/m ]);
}

# All that is wrong, a line of a kind.  Named arguments: groups, calm.
sub consumers_complaints
{
	my ($node, %arg) = @_;
	my %all = (%question, $arg{calm} ? %calm_question : ());
	my @wrong;

	if ($arg{groups})
	{
		delete $all{$_} for grep { /^(\w+): / && !grep { $1 eq $_ } @{ $arg{groups} } } keys %all;
	}
	$node->safe_psql(
		'postgres', q(
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS log, done, reached;
		CREATE TABLE reached AS SELECT g.name AS consumer_group, c.partition, c.next_offset
		FROM streamlog.committed_offset c JOIN streamlog.consumer_group g USING (group_id)
		JOIN streamlog.topic t USING (topic_id) WHERE t.name = 'orders' AND NOT t.dropped;
		CREATE TABLE log AS SELECT partition, record_offset, streamlog.as_text(value) AS value FROM topic.orders;
		CREATE TABLE done AS SELECT n, partition, record_offset, value, form FROM work
		UNION ALL SELECT split_part(value, ':', 1)::bigint, split_part(value, ':', 2)::int,
			split_part(value, ':', 3)::bigint, split_part(value, ':', 4), 'record'
		FROM (SELECT streamlog.as_text(value) AS value FROM topic.done) t;
		CREATE INDEX ON seen (consumer_group, partition, record_offset);
		ANALYZE log, done, seen, reached;));
	for my $what (sort keys %all)
	{
		my $rows = $node->safe_psql('postgres',
			"SET enable_mergejoin = off; WITH q AS ($all{$what}) SELECT count(*) OVER (), q FROM q LIMIT 3");

		push @wrong, "$what: " . join(' ', split /\n/, $rows) if $rows ne '';
	}
	$node->safe_psql('postgres', 'DROP INDEX seen_consumer_group_partition_record_offset_idx');
	note($node->safe_psql('postgres',
			q(SELECT string_agg(w || ' ' || n, ', ') FROM (
			SELECT 1 AS o, 'records' AS w, count(*) AS n FROM log UNION ALL
			SELECT 2, consumer_group, count(*) FROM seen GROUP BY 2 UNION ALL
			SELECT 3, form, count(*) FROM done GROUP BY 2 ORDER BY 1, 2) s)));
	return @wrong;
}

1;
