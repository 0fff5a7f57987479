# StreamlogStress.pm: slow producers, and readers that follow the log to its end.
#
# Each value begins with the number of its producer and a number that only grows
# in that session.  A transaction block notes in "sent" what it produces, so that
# both commit or roll back together.  A produce() that is a statement of its own
# is announced in "attempt" before, and noted in "sent", with the offset that it
# has returned, after: one that was announced and not noted may be in the log.
#
# The producers take their time in the middle of a transaction: between two
# records, between flush() and the end, idle for seconds; some are terminated.
#
# There is one reader for each partition and isolation level.  It fetches from its
# position in one transaction and notes what came, and the new position, mostly in
# another one.  Now and then it reads the other positions too, for conflicts that make
# serializable transactions fail and begin anew.  When the producers have ended the
# readers go on to the end of the log, and then each must have seen all of it.
# That, and producers that are slow, is what StreamlogHistory.pm does not have.
#
# All randomness comes from one seed; the scheduling does not.

package StreamlogStress;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamlogHistory qw(history_launch history_end);
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT_OK = qw(stress_node stress_run stress_complaints);

my $partitions = 3;
my %levels = (
	committed => 'read committed',
	repeatable => 'repeatable read',
	serializable => 'serializable');

# A server with the tables and functions, and the topic.
sub stress_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf(
		'postgresql.conf', q(
max_connections = 60
max_wal_size = 4GB
log_lock_waits = off
log_statement = none
streamlog.worker_naptime = 100ms
) . ($conf // ''));
	$node->start;
	$node->safe_psql(
		'postgres', q(
		CREATE EXTENSION IF NOT EXISTS streamlog;

		CREATE TABLE sent (producer int, seq int, partition int, digest text,
			record_offset bigint);
		CREATE TABLE attempt (producer int, seq int, partition int, digest text);
		CREATE TABLE position (reader text, partition int, next bigint,
			isolation text, PRIMARY KEY (reader, partition));
		CREATE UNLOGGED TABLE seen (n bigserial, reader text, partition int,
			record_offset bigint, digest text);
		CREATE UNLOGGED TABLE log (producer int, seq int, partition int,
			record_offset bigint, digest text);

		-- does not compress
		CREATE FUNCTION value_of(producer int, seq int, size int) RETURNS text
		LANGUAGE sql RETURN format('%s:%s:', producer, seq)
			|| (SELECT string_agg(md5(format('%s %s %s', producer, seq, i)), '')
				FROM generate_series(0, size / 32) i);

		-- records to neighbouring partitions
		CREATE FUNCTION emit(producer int, first int, n int, size int, p int)
		RETURNS void LANGUAGE plpgsql AS $$
		DECLARE
			value text;
		BEGIN
			FOR seq IN first .. first + n - 1 LOOP
				value := value_of(producer, seq, size);
				INSERT INTO sent VALUES (producer, seq, (p + seq) % 3, md5(value));
				PERFORM streamlog.produce('stress', 'k' || seq % 10, value,
					partition => (p + seq) % 3);
			END LOOP;
		END$$;

		-- an offset, and time between the snapshot of a statement and its fetch
		CREATE FUNCTION slowly(at bigint, ms int) RETURNS bigint
		LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_sleep(ms / 1000.0);
			RETURN at;
		END$$;));
	return $node;
}

# "size" is mostly small, "ms" mostly short.
my $random = q(
\set me :base + :client_id
\set kind random(1, 25)
\set size CASE WHEN :kind = 1 THEN 20000 WHEN :kind < 4 THEN random(1000, 9000) ELSE random(0, 300) END
\set p random(0, 2)
\set n random(1, 5)
\set ms random_exponential(0, 150, 4)
\set coin random(0, 1)
);

# Records, after which "seq" has moved on
my $emit = q(SELECT emit(:me, :seq, :n, :size, :p);
\set seq :seq + :n
);
my $flush = "SELECT count(*) FROM streamlog.flush();\n";
my $sleep = "\\sleep :ms ms\n";
my $end = "\\if :coin\nCOMMIT;\n\\else\nROLLBACK;\n\\endif\n";

# pgbench scripts with their weights
my %producer = (
	immediate => [ 8, q(
SELECT value_of(:me, :seq, :size) AS value \gset
INSERT INTO attempt VALUES (:me, :seq, :p, md5(:value));
SELECT streamlog.produce('stress', 'k', :value, partition => :p) AS at \gset
INSERT INTO sent VALUES (:me, :seq, :p, md5(:value), :at);
\set seq :seq + 1
) ],
	statement => [ 4, $emit ],
	block => [ 5, "BEGIN;\n$emit$sleep$emit$sleep${emit}COMMIT;\n" ],
	rollback => [ 2, "BEGIN;\n$emit$sleep${emit}ROLLBACK;\n" ],
	savepoints => [ 3, "BEGIN;\n${emit}SAVEPOINT a;\n$emit${sleep}ROLLBACK TO a;\n"
		  . "${emit}SAVEPOINT b;\n${emit}RELEASE b;\n${sleep}COMMIT;\n" ],
	flush => [ 3, "BEGIN;\n$emit$flush$sleep$emit$end" ],
	flush_undone => [ 3, "BEGIN;\n$emit${flush}SAVEPOINT a;\n$emit$flush$sleep"
		  . "ROLLBACK TO a;\n$emit$end" ],
	flush_last_undone => [ 1, "BEGIN;\n$emit${flush}SAVEPOINT a;\n$emit$flush"
		  . "ROLLBACK TO a;\n${sleep}COMMIT;\n" ],
	idle => [ 1, "BEGIN;\n$emit\\sleep 2 s\n$end" ],
	idle_flushed => [ 1, "BEGIN;\n$emit$flush\\sleep 400 ms\n$end" ]);

# Fetches of a reader, and what it does with them
sub reader_script
{
	my ($reader) = @_;
	my $fetch = sub {
		my ($from, $i) = @_;

		return qq(
SELECT coalesce(max(record_offset) + 1, :$from) AS next$i,
	coalesce(array_agg(record_offset), '{}')::text AS offsets$i,
	coalesce(array_agg(md5(value)), '{}')::text AS digests$i
FROM streamlog.fetch_records('stress', :client_id, slowly(:$from, :delay), :max,
	max_wait => '50 ms') \\gset
);
	};
	my $note = sub {
		my ($i) = @_;

		return qq(
WITH p AS (UPDATE position SET next = :next$i,
		isolation = current_setting('transaction_isolation')
	WHERE reader = '$reader' AND partition = :client_id)
INSERT INTO seen (reader, partition, record_offset, digest)
SELECT '$reader', :client_id, o, d
FROM unnest((:offsets$i)::bigint[], (:digests$i)::text[]) u(o, d);
);
	};

	return q(
\set max random(1, 400)
\set delay random(0, 5)
\set ms random(0, 20)
\set apart random(0, 2)
\set others random(0, 9)
) . qq(
SELECT next FROM position WHERE reader = '$reader' AND partition = :client_id \\gset
BEGIN;
SELECT sum(next) FROM position WHERE :others = 0;
$sleep) . $fetch->('next', 1) . $fetch->('next1', 2) . "\\if :apart\nCOMMIT;\nBEGIN;\n\\endif\n"
	  . $note->(1) . $note->(2) . "COMMIT;\n";
}

sub pgbench
{
	my ($dir, $seed, $clients, %weights) = @_;

	return ('pgbench', '-n', '-j', 1, '-M', 'prepared', '--max-tries=0',
		"--random-seed=$seed", '-T', 100000, '-c', $clients, '-D', 'seq=1',
		map { ('-f', "$dir/$_.sql\@$weights{$_}") } sort keys %weights);
}

# Run producers and readers for so many seconds, then the readers to the end of the
# log.  Named arguments: seed, seconds; levels, some of them only; producers, a
# number; calm, nobody is terminated; patience, seconds for the way to the end;
# producer_settings and reader_settings, as "name=value".  What went wrong with the
# programs themselves is returned.
sub stress_run
{
	my ($node, %arg) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @levels = @{ $arg{levels} // [ sort keys %levels ] };
	my %weights = map { $_ => $producer{$_}->[0] } keys %producer;
	my $names = join(',', map { "'$_'" } @levels);
	my $seed = $arg{seed};
	my (@wrong, @producers, @readers, $victims);

	append_to_file("$dir/$_.sql", $random . $producer{$_}->[1]) for keys %producer;
	append_to_file("$dir/$_.sql", reader_script($_)) for @levels;

	$node->safe_psql(
		'postgres', qq(
		SET client_min_messages = warning;
		SELECT streamlog.drop_topic('stress', true);
		SELECT streamlog.create_topic('stress', $partitions,
			config => '{"segment.bytes": 1048576}');
		TRUNCATE sent, attempt, position, seen;
		INSERT INTO position SELECT reader, partition, 0
		FROM unnest(ARRAY[$names]) reader, generate_series(0, $partitions - 1) partition;));

	for my $level (@levels)
	{
		push @readers,
		  history_launch($node, $dir, $level,
			[
				'default_transaction_isolation=' . $levels{$level} =~ s/ /\\ /r,
				@{ $arg{reader_settings} // [] }
			],
			pgbench($dir, $seed, $partitions, $level => 1));
	}
	push @producers,
	  history_launch($node, $dir, 'producer', $arg{producer_settings} // [],
		pgbench($dir, $seed, $arg{producers} // 16, %weights), '-D', 'base=0');
	if (!$arg{calm})
	{
		push @producers,
		  history_launch($node, $dir, 'asynchronous', ['synchronous_commit=off'],
			pgbench($dir, $seed + 1, 3, %weights), '-D', 'base=100');

		# each session has a number of its own
		$victims = history_launch($node, $dir, 'victim', [], 'sh', '-c',
			'i=1000; while :; do i=$((i + 10)); "$@" -D base=$i; done', 'sh',
			pgbench($dir, $seed + 2, 3, %weights));
	}

	my $until = time + $arg{seconds};
	my $ended = 0;
	while (time < $until)
	{
		usleep(50_000 + rand(200_000));
		next if $arg{calm};
		$ended += $node->safe_psql(
			'postgres', q(
			SELECT count(pg_terminate_backend(pid)) FROM (
				SELECT pid FROM pg_stat_activity WHERE application_name = 'victim'
				ORDER BY random() LIMIT 1) s));
	}
	if ($victims)
	{
		history_end($victims);
		note("$ended sessions were terminated");
	}

	my %text = map { $_->{name} => history_end($_) } @producers;
	$node->poll_query_until(
		'postgres', q(
		SELECT count(*) = 0 FROM pg_stat_activity
		WHERE application_name IN ('producer', 'asynchronous', 'victim')))
	  or push @wrong, 'producers do not end';

	my $rest;
	$until = time + ($arg{patience} // $PostgreSQL::Test::Utils::timeout_default);
	do
	{
		usleep(100_000);
		$rest = $node->safe_psql(
			'postgres', q(
			SELECT reader, partition, next, streamlog.end_offset('stress', partition)
			FROM position WHERE next <> streamlog.end_offset('stress', partition)));
	} until ($rest eq '' || time > $until);

	# PostgreSQL's own, for which it ends the SERIALIZABLE reader: under such a load
	# predicate.c may look for a page of pg_serial that was never written.
	my $lost = slurp_file($node->logfile) =~ m{Could not read from file "pg_serial/};
	$rest = join "\n", grep { !/^serializable\|/ } split /\n/, $rest if $lost;
	push @wrong, "readers do not come to the end: $rest" if $rest ne '';
	$text{ $_->{name} } = history_end($_) for @readers;

	for my $name (sort keys %text)
	{
		next if $name eq 'serializable' && $lost;
		push @wrong, "$name: $1" if $text{$name} =~ /(.*(?:aborted|ERROR|PANIC).*)/;
	}
	return @wrong;
}

# What is wrong, with a query for each
my %question = (
	'committed but not in the log' => q(
		SELECT s.* FROM sent s LEFT JOIN log l USING (producer, seq, partition, digest)
		WHERE l.seq IS NULL),
	'not at the offset that was returned' => q(
		SELECT s.*, l.record_offset AS log_offset FROM sent s
		JOIN log l USING (producer, seq, partition)
		WHERE s.record_offset <> l.record_offset),
	'twice in the log' => q(
		SELECT producer, seq, count(*) FROM log GROUP BY producer, seq HAVING count(*) > 1),
	'in the log but never committed' => q(
		SELECT producer, seq, partition, digest FROM log
		EXCEPT SELECT producer, seq, partition, digest FROM sent
		EXCEPT SELECT producer, seq, partition, digest FROM attempt),
	'not in the order of its producer' => q(
		SELECT * FROM (SELECT *, lag(seq) OVER (PARTITION BY producer, partition
			ORDER BY record_offset) AS before FROM log) l
		WHERE before >= seq),
	'skipped by a reader' => q(
		SELECT p.reader, l.partition, l.record_offset
		FROM position p JOIN log l USING (partition)
		LEFT JOIN seen s USING (reader, partition, record_offset)
		WHERE s.n IS NULL AND l.record_offset < p.next),
	'read twice' => q(
		SELECT reader, partition, record_offset, count(*) FROM seen
		GROUP BY reader, partition, record_offset HAVING count(*) > 1),
	'read but not in the log' => q(
		SELECT s.* FROM seen s LEFT JOIN log l USING (partition, record_offset, digest)
		WHERE l.seq IS NULL),
	'read out of order' => q(
		SELECT * FROM (SELECT *, lag(record_offset) OVER (
			PARTITION BY reader, partition ORDER BY n) AS before FROM seen) s
		WHERE before >= record_offset),
	'a problem for check_topic()' => q(
		SELECT * FROM streamlog.check_topic('stress') WHERE problem IS NOT NULL),
	'held for ever' => q(SELECT * FROM streamlog.undecided_transactions));

# All that is wrong, a line of a kind
sub stress_complaints
{
	my ($node) = @_;
	my @wrong;

	$node->safe_psql(
		'postgres', q(
		TRUNCATE log;
		INSERT INTO log
		SELECT split_part(v, ':', 1)::int AS producer, split_part(v, ':', 2)::int AS seq,
			partition, record_offset, digest
		FROM (SELECT streamlog.as_text(value) AS v, md5(value) AS digest, partition,
			record_offset FROM topic.stress) t;
		ANALYZE log, sent, attempt, seen;));
	for my $what (sort keys %question)
	{
		my $rows = $node->safe_psql('postgres',
			'SET enable_nestloop = off; SET enable_mergejoin = off;'
			  . " WITH q AS ($question{$what}) SELECT count(*) OVER (), q FROM q LIMIT 3");

		push @wrong, "$what: " . join(' ', split /\n/, $rows) if $rows ne '';
	}
	return @wrong;
}

1;
