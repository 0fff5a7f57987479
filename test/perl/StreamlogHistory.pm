# StreamlogHistory.pm: a whole history of a topic under load, and what is wrong
# with it.
#
# Producers of every kind run against one topic: short and long transactions,
# rollbacks, savepoints, flush(), batches, values of every size, sessions that sit
# in an open transaction, that are terminated or cancelled, and serializable ones
# that fail.  Whatever is produced in a transaction block is also written to the
# table "produced" there, so that the two commit or roll back together; the offset
# that a single statement returns is written to "told" afterwards.  Readers fetch,
# a transaction at a time and in each isolation level, and note in "seen" what they
# get, in the order in which they get it.
#
# At the end the log is read once more, into "final", and complaints() compares:
# what a reader has seen of a partition must be a prefix of the log, record by
# record; the log must hold what was committed and nothing else, each of it once,
# the records of a producer in their order.
#
# All randomness comes from one seed, which is printed; the scheduling does not, so
# a seed gives the same load but not the same history.

package StreamlogHistory;

use strict;
use warnings;
use Exporter 'import';
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT_OK = qw(history_seed history_node history_run history_read
  history_complaints history_has_waitpoints history_load history_launch history_end);

my $partitions = 3;
my %unfinished;

# whatever happens, nothing goes on
END
{
	my $status = $?;

	kill('TERM', map { -$_ } keys %unfinished);
	$? = $status;
}

my $class = 1936488304;

# The stop points that a session in the way holds for a moment now and then, which
# makes every window wider.
my @points = qw(append-before-lock append-allocated append-pinned precommit-appended
  commit-before-release between-allocate-and-register fetch-begin fetch-before-snapshot);

sub history_seed
{
	my $seed = $ENV{STREAMLOG_SEED} || int(rand(1_000_000_000));

	diag("STREAMLOG_SEED=$seed");
	return $seed;
}

sub history_has_waitpoints
{
	my ($node) = @_;

	return ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;
}

# A server with the tables and functions of a history, and its topic.
sub history_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf(
		'postgresql.conf', q(
max_connections = 60
shared_buffers = 16MB
max_wal_size = 4GB
autovacuum_naptime = 1s
autovacuum_vacuum_threshold = 1
autovacuum_vacuum_scale_factor = 0
autovacuum_vacuum_cost_delay = 0
log_lock_waits = off
log_statement = none
streamlog.worker_naptime = 100ms
) . ($conf // ''));
	$node->start;

	$node->safe_psql(
		'postgres', q(
		CREATE EXTENSION IF NOT EXISTS streamlog;

		CREATE SEQUENCE sequence_number;
		CREATE SEQUENCE seen_number CACHE 100;
		CREATE TABLE produced (key text, partition int, hash text);
		CREATE INDEX ON produced (key);
		CREATE TABLE told (key text, partition int, record_offset bigint);
		CREATE UNLOGGED TABLE seen (reader text, partition int, n bigint,
			record_offset bigint, key text, hash text);
		CREATE UNLOGGED TABLE orphans (reader text, key text);
		CREATE UNLOGGED TABLE final (partition int, i bigint, record_offset bigint,
			key text, hash text);
		CREATE TABLE account (id int PRIMARY KEY, balance int);
		INSERT INTO account SELECT i, 100 FROM generate_series(0, 19) i;

		-- a value that is known from its key, and does not compress
		CREATE FUNCTION value_of(key text, size int) RETURNS text LANGUAGE sql
		RETURN size || ' ' || (SELECT string_agg(md5(key || i), '') FROM generate_series(0, size / 32) i);

		-- a record that counts if the transaction commits
		CREATE FUNCTION emit(size int, seed int) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			key text := format('%s-%s', pg_backend_pid(), nextval('sequence_number'));
			value text := value_of(key, size);
			p int := seed % (SELECT partitions FROM streamlog.topics WHERE topic = 'history');
		BEGIN
			INSERT INTO produced VALUES (key, p, md5(value));
			PERFORM streamlog.produce('history', key, value, partition => p);
		END$$;

		CREATE FUNCTION emit_many(n int, size int, seed int) RETURNS bigint LANGUAGE sql AS $$
			SELECT count(emit(size, seed + i)) FROM generate_series(1, n) i;
		$$;

		CREATE FUNCTION emit_batch(n int, size int, seed int) RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE
			keys text[] := ARRAY(SELECT format('%s-%s', pg_backend_pid(), nextval('sequence_number'))
				FROM generate_series(1, n));
			vals text[] := ARRAY(SELECT value_of(k, size) FROM unnest(keys) WITH ORDINALITY u(k, o) ORDER BY o);
			p int := seed % (SELECT partitions FROM streamlog.topics WHERE topic = 'history');
		BEGIN
			INSERT INTO produced SELECT k, p, md5(v) FROM unnest(keys, vals) u(k, v);
			RETURN (SELECT count(*) FROM streamlog.produce_batch('history', keys, vals, partition => p));
		END$$;

		-- subtransactions, every other one of which fails
		CREATE FUNCTION emit_and_fail(n int, size int, seed int) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN 1 .. n LOOP
				BEGIN
					PERFORM emit(size, seed + i);
					PERFORM 1 / (i % 2);
				EXCEPTION WHEN division_by_zero THEN
					NULL;
				END;
			END LOOP;
		END$$;

		CREATE FUNCTION slowly(at bigint, delay int) RETURNS bigint LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_sleep(delay / 1000.0);
			RETURN at;
		END$$;

		-- The position of a reader is rolled back with its transaction.
		CREATE FUNCTION read_on(me text, p int, max_records int, max_wait interval, delay int)
		RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE
			at bigint := coalesce(nullif(current_setting('reader.at' || p, true), ''), '0');
			read_next bigint;
			keys text[];
		BEGIN
			-- a new reader in each session
			IF me = 'victim' THEN
				SELECT format('victim %s %s', pid, backend_start) INTO me
				FROM pg_stat_activity WHERE pid = pg_backend_pid();
			END IF;

			-- what is in the statement before the fetch takes its time
			WITH new AS (
				INSERT INTO seen
				SELECT me, p, nextval('seen_number'), f.record_offset,
					convert_from(f.key, 'UTF8'), md5(f.value)
				FROM slowly(at, delay) s, LATERAL streamlog.fetch_records('history', p, s,
					max_records, max_bytes => 300000, max_wait => max_wait) f
				RETURNING record_offset, key)
			SELECT max(record_offset) + 1, array_agg(key) INTO read_next, keys FROM new;

			-- a record refers to rows that its reader can see
			INSERT INTO orphans
			SELECT me, k FROM unnest(keys) k
			WHERE k NOT LIKE 'told-%' AND NOT EXISTS (SELECT FROM produced WHERE key = k);

			PERFORM set_config('reader.at' || p, coalesce(read_next, at)::text, false);
			RETURN read_next;
		END$$;));
	$node->safe_psql('postgres',
		"SELECT streamlog.create_topic('history', $partitions, config => '{\"segment.bytes\": 1048576}')");
	return $node;
}

# pgbench scripts with their weights.  "size" is mostly small.
my $random = q(
\set seed random(0, 1000)
\set kind random(1, 40)
\set size CASE WHEN :kind = 1 THEN random(2000, 40000) WHEN :kind < 4 THEN random(1000, 9000) ELSE random(0, 300) END
\set few random(1, 5)
\set rest random(0, 5)
);

my %producer = (
	single => [ 5, q(
SELECT 'told-' || pg_backend_pid() || '-' || nextval('sequence_number') AS key \gset
\set p :seed % 3
SELECT streamlog.produce('history', :key, value_of(:key, :size), partition => :p) AS at \gset
INSERT INTO told VALUES (:key, :p, :at);
) ],
	single_batch => [ 1, q(
WITH k AS MATERIALIZED (SELECT 'told-' || pg_backend_pid() || '-' || nextval('sequence_number') AS key FROM generate_series(1, 3))
SELECT array_agg(key)::text AS keys, array_agg(value_of(key, :size))::text AS vals FROM k \gset
\set p :seed % 3
SELECT array_agg(record_offset ORDER BY record_offset)::text AS ats FROM streamlog.produce_batch('history', (:keys)::text[], (:vals)::text[], partition => :p) \gset
INSERT INTO told SELECT k, :p, o FROM unnest((:keys)::text[], (:ats)::bigint[]) u(k, o);
) ],
	statement => [ 3, q(
SELECT emit_many(:few, :size, :seed);
) ],
	block => [ 6, q(
BEGIN;
SELECT emit_many(:few, :size, :seed);
\sleep :rest ms
SELECT emit(:size, :seed);
COMMIT;
) ],
	rollback => [ 3, q(
BEGIN;
SELECT emit_many(:few, :size, :seed);
ROLLBACK;
) ],
	savepoints => [ 3, q(
BEGIN;
SELECT emit(:size, :seed);
SAVEPOINT a;
SELECT emit_many(:few, :size, :seed);
ROLLBACK TO a;
SELECT emit(:size, :seed + 1);
SAVEPOINT b;
SELECT emit_many(:few, :size, :seed);
RELEASE b;
SELECT emit(:size, :seed + 2);
COMMIT;
) ],
	exceptions => [ 2, q(
SELECT emit_and_fail(:few, :size, :seed);
) ],
	flush => [ 3, q(
BEGIN;
SELECT emit_many(:few, :size, :seed);
SELECT count(*) FROM streamlog.flush();
\sleep :rest ms
SELECT emit_many(:few, :size, :seed + 1);
COMMIT;
) ],
	flush_and_rollback => [ 2, q(
BEGIN;
SELECT emit_many(:few, :size, :seed);
SELECT count(*) FROM streamlog.flush();
\sleep :rest ms
ROLLBACK;
) ],
	flush_undone => [ 2, q(
BEGIN;
SELECT emit_many(:few, :size, :seed);
SELECT count(*) FROM streamlog.flush();
SAVEPOINT s;
SELECT emit_many(:few, :size, :seed + 1);
SELECT count(*) FROM streamlog.flush();
ROLLBACK TO s;
SELECT emit(:size, :seed + 2);
COMMIT;
) ],
	batch => [ 2, q(
\set many random(1, 400)
\set width random(0, 200)
BEGIN;
SELECT emit_batch(:many, :width, :seed);
SELECT emit(:size, :seed + 1);
COMMIT;
) ],
	lost_batch => [ 1, q(
\set many random(1, 400)
BEGIN;
SELECT emit_batch(:many, 100, :seed);
SELECT count(*) FROM streamlog.flush();
ROLLBACK;
) ],
	serializable => [ 2, q(
\set from random(0, 19)
\set into random(0, 19)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(balance) FROM account WHERE id IN (:from, :into);
SELECT emit(:size, :seed);
UPDATE account SET balance = balance + 1 WHERE id = :into;
SELECT emit(:size, :seed + 1);
COMMIT;
) ]);

# A transaction of a reader
sub reader_script
{
	my ($level, $name) = @_;
	my $snapshot =
	  $level eq 'READ COMMITTED' ? '' : "SELECT 1;\n\\sleep :rest ms\n";

	return qq(
\\set p random(0, 2)
\\set q random(0, 2)
\\set n random(1, 300)
\\set wait random(0, 20)
\\set delay random(0, 4)
\\set rest random(0, 2)
BEGIN ISOLATION LEVEL $level;
${snapshot}SELECT read_on($name, :p, :n, :wait * interval '1 ms', :delay);
SELECT read_on($name, :q, :n, '0', 0);
COMMIT;
);
}

my @levels = ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');

# Somebody stands in the way for a moment, now here, now there.
my $jitter = join('',
	map {
		qq(
\\set ms random(0, 10)
\\sleep :ms ms
SELECT pg_advisory_lock($class, hashtext('$_'));
\\set ms random(1, 3)
\\sleep :ms ms
SELECT pg_advisory_unlock_all();
)
	} @points);

# Sessions that are ended or cancelled in whatever they do.
my $killer = q(
\set ms random(20, 120)
\sleep :ms ms
SELECT CASE WHEN random() < 0.7 THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END
FROM pg_stat_activity WHERE application_name = 'victim' ORDER BY random() LIMIT 1;
);

# All of them are vacuumed, and one of them is written anew.
my $vacuum = q(
SELECT format('VACUUM %s %s', CASE row_number() OVER (ORDER BY random()) WHEN 1 THEN 'FULL' END, relation)
FROM streamlog.segments WHERE topic = 'history' ORDER BY base_offset DESC LIMIT 6
\gexec
SELECT pg_sleep(0.2);
);

# Another topic, whose partitions take the places of this one's in shared memory.
my $evict = q(
\set p random(0, 15)
SELECT streamlog.end_offset('other', :p);
SELECT streamlog.produce('other', 'k', 'v', partition => :p) WHERE :p < 4;
SELECT count(*) FROM streamlog.fetch_records('other', :p, 0);
);

sub write_scripts
{
	my ($dir) = @_;
	my %all = (
		(map { $_ => $random . $producer{$_}->[1] } keys %producer),
		(map { tr/ /_/r => reader_script($_, "'$_ ' || :client_id") } @levels),
		victim => reader_script('READ COMMITTED', "'victim'"),
		jitter => $jitter,
		evict => $evict,
		killer => $killer,
		vacuum => $vacuum);

	for my $name (keys %all)
	{
		append_to_file("$dir/$name.sql", $all{$name});
	}
	return;
}

# Start a command with these settings in its sessions and its output in a file.
sub history_launch
{
	my ($node, $dir, $name, $options, @command) = @_;
	local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @$options);
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	local $ENV{PGAPPNAME} = $name;
	my $pid = fork() // die "cannot fork: $!";

	if ($pid == 0)
	{
		setpgrp;
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$dir/$name.log");
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	$unfinished{$pid} = 1;
	return { name => $name, pid => $pid, log => "$dir/$name.log" };
}

# Wait for it to end; undef if it does not until then.
sub finish
{
	my ($run, $deadline) = @_;
	my $status;

	while (time < $deadline && !defined $status)
	{
		$status = $? if waitpid($run->{pid}, WNOHANG) == $run->{pid};
		usleep(20_000) unless defined $status;
	}
	if (!defined $status)
	{
		kill('KILL', -$run->{pid});
		waitpid($run->{pid}, 0);
	}
	delete $unfinished{ $run->{pid} };
	return $status;
}

sub pgbench
{
	my ($seed) = @_;

	return ('pgbench', '-n', '-j', 1, '-M', 'prepared', '--max-tries=0', "--random-seed=$seed");
}

# The scripts of the producers, with their weights
sub load
{
	my ($dir) = @_;

	return map { ('-f', "$dir/$_.sql\@$producer{$_}->[0]") } sort keys %producer;
}

# Producers alone, which go on until history_end() or a crash
sub history_load
{
	my ($node, $seed, $clients, @settings) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();

	write_scripts($dir);
	return history_launch($node, $dir, 'load', \@settings, pgbench($seed), '-c', $clients, '-T', 3600,
		load($dir));
}

# End what runs, if it does, and return what it has printed.
sub history_end
{
	my ($run) = @_;

	kill('TERM', -$run->{pid});
	finish($run, time + $PostgreSQL::Test::Utils::timeout_default);
	return slurp_file($run->{log});
}

# Run a history for so many seconds.  Named arguments: seconds, seed; producers and
# readers, how many of each kind; mutants, of all of them; calm, without sessions that
# die and VACUUM; evict, with more partitions in use than there is room for.  What went wrong with the
# programs themselves is returned.
sub history_run
{
	my ($node, %arg) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $stop = "$dir/stop";
	my $seed = $arg{seed} // 1;
	my $seconds = $arg{seconds};
	my $producers = $arg{producers} // 6;
	my $readers = $arg{readers} // 2;
	my @mutants = $arg{mutants} ? ("streamlog.mutants=$arg{mutants}") : ();
	my @wait =
	  history_has_waitpoints($node) ? ('streamlog.waitpoints=' . join(',', @points)) : ();
	my @common = (@wait, @mutants);
	my @running;
	my @wrong;

	write_scripts($dir);
	my @load = load($dir);
	my @pgbench = pgbench($seed);

	for my $kind (@{ $arg{levels} // \@levels })
	{
		my $name = $kind =~ tr/ /_/r;
		push @running,
		  history_launch($node, $dir, $name, [@common], @pgbench,
			'-c', $readers, '-T', $seconds + 2, '-f', "$dir/$name.sql");
	}
	push @running,
	  history_launch($node, $dir, 'producer', [@common], @pgbench, '-c', $producers, '-T', $seconds, @load);
	push @running,
	  history_launch($node, $dir, 'asynchronous', [ @common, 'synchronous_commit=off' ], @pgbench,
		'-c', 1 + int($producers / 3), '-T', $seconds, @load);
	if (@wait)
	{
		push @running, history_launch($node, $dir, 'jitter', [], @pgbench, '-c', 1, '-T', $seconds, '-f', "$dir/jitter.sql");
	}
	if (!$arg{calm})
	{
		push @running,
		  history_launch($node, $dir, 'killer', [], @pgbench, '-c', 1, '-T', $seconds, '-f', "$dir/killer.sql"),
		  history_launch($node, $dir, 'victim', [@common], 'sh', '-c',
			qq(while [ -d '$dir' ] && [ ! -e '$stop' ]; do "\$@" || :; done), 'sh', @pgbench, '-c', 3, '-t', 50, @load,
			'-f', "$dir/victim.sql\@5"),
		  history_launch($node, $dir, 'vacuum', [], 'sh', '-c',
			qq(while [ -d '$dir' ] && [ ! -e '$stop' ]; do psql -XAtq -v ON_ERROR_STOP=1 -f '$dir/vacuum.sql' || exit; done));
	}

	if ($arg{evict})
	{
		$node->safe_psql('postgres', "SELECT streamlog.create_topic('other', 16, if_not_exists => true)");
		push @running,
		  history_launch($node, $dir, 'evict', [@common], @pgbench, '-c', 2, '-T', $seconds, '-f', "$dir/evict.sql");
	}
	else
	{
		push @running,
		  history_launch($node, $dir, 'alter', [@common], 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
			'-c', "SELECT pg_sleep($seconds / 2.0)", '-c', "SELECT streamlog.alter_topic('history', partitions + 1) FROM streamlog.topics");
	}

	my $deadline = time + $seconds + 2 * $PostgreSQL::Test::Utils::timeout_default;
	for my $last (0, 1)
	{
		append_to_file($stop, '') if $last;
		for my $run (@running)
		{
			next if !$last && $run->{name} =~ /^(victim|vacuum)$/;
			next if $run->{ended};
			my $status = finish($run, $deadline);
			my $text = slurp_file($run->{log});
			$run->{ended} = 1;
			note("$run->{name}: $1") if $text =~ /(number of transactions actually processed.*)/;
			push @wrong, "$run->{name}: " . substr($text, -600)
			  if ($status // -1) != 0 || $text =~ /PANIC|TRAP/;
			next if $run->{name} eq 'victim';
			push @wrong, "$run->{name}: $1" if $text =~ /(.*aborted.*)/;
		}
	}
	return @wrong;
}

# Read the log as it is at the end.
sub history_read
{
	my ($node) = @_;

	$node->safe_psql(
		'postgres', q(
		TRUNCATE final;
		CREATE OR REPLACE PROCEDURE read_all() LANGUAGE plpgsql AS $$
		DECLARE
			at bigint;
			read_next bigint;
			number bigint;
		BEGIN
			FOR p IN 0 .. (SELECT partitions - 1 FROM streamlog.topics WHERE topic = 'history') LOOP
				at := 0;
				number := 0;
				LOOP
					WITH new AS (
						INSERT INTO final
						SELECT p, number + row_number() OVER (), record_offset,
							convert_from(key, 'UTF8'), md5(value)
						FROM streamlog.fetch_records('history', p, at, 5000, 10000000)
						RETURNING i, record_offset)
					SELECT max(record_offset) + 1, max(i) INTO read_next, number FROM new;
					EXIT WHEN read_next IS NULL;
					at := read_next;
					COMMIT;
				END LOOP;
			END LOOP;
		END$$;
		CALL read_all();
		DROP TABLE IF EXISTS seen_in_order;
		CREATE UNLOGGED TABLE seen_in_order AS SELECT reader, partition,
			row_number() OVER (PARTITION BY reader, partition ORDER BY n) AS i,
			record_offset, key, hash FROM seen;
		ANALYZE final, produced, told, seen_in_order;));
	return;
}

# All that is wrong with a history: a line of a kind
my %question = (
	'read differently than it is in the log' => q(
		SELECT s.reader, s.partition, s.i, s.record_offset, s.key, f.record_offset AS log_offset, f.key AS log_key
		FROM seen_in_order s LEFT JOIN final f ON f.partition = s.partition AND f.i = s.i
		WHERE (s.record_offset, s.key, s.hash) IS DISTINCT FROM (f.record_offset, f.key, f.hash)),
	'read before what it refers to' => q(SELECT * FROM orphans),
	'not in the order of offsets' => q(
		SELECT * FROM (SELECT partition, record_offset,
			lag(record_offset) OVER (PARTITION BY partition ORDER BY i) AS before FROM final) f
		WHERE before >= record_offset),
	'not in the order of its producer' => q(
		SELECT * FROM (SELECT partition, record_offset, key,
			split_part(key, '-', -1)::bigint AS number,
			lag(split_part(key, '-', -1)::bigint) OVER (
				PARTITION BY partition, left(key, -length(split_part(key, '-', -1))) ORDER BY i) AS before
			FROM final) f
		WHERE before >= number),
	'twice in the log' => q(SELECT key, count(*) FROM final GROUP BY key HAVING count(*) > 1),
	'lost' => q(
		SELECT p.* FROM produced p LEFT JOIN final f
			ON (f.key, f.partition, f.hash) = (p.key, p.partition, p.hash) WHERE f.key IS NULL),
	'lost after it was acknowledged' => q(
		SELECT t.* FROM told t LEFT JOIN final f
			ON (f.key, f.partition, f.record_offset) = (t.key, t.partition, t.record_offset)
		WHERE f.key IS NULL),
	'invented' => q(
		SELECT f.key FROM final f WHERE f.key NOT LIKE 'told-%'
			AND NOT EXISTS (SELECT FROM produced p WHERE p.key = f.key)),
	'different in the table of the topic' => q(
		(SELECT partition, record_offset, convert_from(key, 'UTF8') FROM topic.history
		EXCEPT ALL SELECT partition, record_offset, key FROM final)
		UNION ALL (SELECT partition, record_offset, key FROM final
		EXCEPT ALL SELECT partition, record_offset, convert_from(key, 'UTF8') FROM topic.history)),
	'a problem for check_topic()' => q(
		SELECT * FROM streamlog.check_topic('history') WHERE problem IS NOT NULL),
	'held for ever' => q(SELECT * FROM streamlog.undecided_transactions),
	'not what the view shows' => q(
		SELECT * FROM streamlog.partitions p
		WHERE topic = 'history' AND end_offset <> coalesce((SELECT max(record_offset) + 1 FROM final f
			WHERE f.partition = p.partition), 0)));

sub history_complaints
{
	my ($node) = @_;
	my @wrong;

	for my $what (sort keys %question)
	{
		my $rows = $node->safe_psql('postgres',
			"SET enable_nestloop = off; SET enable_mergejoin = off;"
			  . " WITH q AS ($question{$what}) SELECT count(*) OVER (), q FROM q LIMIT 3");
		push @wrong, "$what: " . join(' ', split /\n/, $rows) if $rows ne '';
	}
	return @wrong;
}

1;
