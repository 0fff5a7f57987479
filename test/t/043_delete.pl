# delete_records(): that the worker drops what is below the start of a log and no
# more, under load, after a crash and on a promoted standby, and that offsets go on.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('delete');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf',
	"streamlog.worker_naptime = 100ms\nrestart_after_crash = on\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $has_waitpoints =
  ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

sub soon
{
	my ($query, $what) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 40;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub make_topic
{
	my ($topic, $partitions) = @_;

	sql("SELECT streamlog.create_topic('$topic', $partitions,"
		  . " config => '{\"segment.bytes\": 1048576}')");
	return;
}

# 1000 records that are a little more than 1 MiB together, and so fill a segment
sub fill
{
	my ($topic) = @_;

	# what cannot be compressed
	sql("SELECT count(*) FROM streamlog.produce_batch('$topic', NULL, array_fill("
		  . "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 34) i), ARRAY[1000]))");
	return;
}

# fill n segments, each of 1000 records, and have them rolled
sub fill_segments
{
	my ($topic, $n) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = 40;

	for my $i (1 .. $n)
	{
		fill($topic);
		$node->poll_query_until('postgres',
			"SELECT count(*) > $i FROM streamlog.segments WHERE topic = '$topic'")
		  or die "segment $i does not roll";
	}
	return;
}

sub start_and_end
{
	return sql("SELECT streamlog.start_offset('$_[0]', 0), streamlog.end_offset('$_[0]', 0)");
}

sub bases
{
	return sql("SELECT string_agg(base_offset::text, ' ' ORDER BY base_offset)"
		  . " FROM streamlog.segments WHERE topic = '$_[0]'");
}

# what can be read: the first offset, the last, and how many
sub readable
{
	return sql("SELECT min(record_offset), max(record_offset), count(*)"
		  . " FROM streamlog.fetch_records('$_[0]', 0, streamlog.start_offset('$_[0]', 0),"
		  . " max_records => 1000000, max_bytes => 1000000000)");
}

sub dropped
{
	my ($topic, $what) = @_;

	soon("SELECT count(*) = 0 FROM streamlog.segment s JOIN streamlog.partition p"
		  . " USING (topic_id, partition) JOIN streamlog.topic t USING (topic_id)"
		  . " WHERE t.name = '$topic' AND EXISTS (SELECT FROM streamlog.segment n"
		  . " WHERE n.topic_id = s.topic_id AND n.partition = s.partition"
		  . " AND n.base > s.base AND n.base <= p.log_start_offset)",
		$what);
	return;
}

sub problems
{
	return sql("SELECT count(problem) FROM streamlog.check_topic('$_[0]')");
}

# A new worker, with this setting in force
sub restart_worker
{
	my ($setting) = @_;
	my $pid = sql("SELECT pid FROM streamlog.workers WHERE kind = 'worker'");

	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting; ");
	sql('SELECT pg_reload_conf()');
	sql("SELECT pg_terminate_backend($pid)");
	soon("SELECT count(*) = 1 FROM streamlog.workers WHERE kind = 'worker'"
		  . " AND last_run > started + interval '50 ms' AND pid <> $pid",
		"a new worker with $setting");
	return;
}

# Whole segments go, the oldest first, and no other.
# Mutation: drop a segment whose successor begins above the start; begin a fetch in
# the middle of a segment at its base.
make_topic('some', 1);
fill_segments('some', 5);
is(bases('some'), '0 1000 2000 3000 4000 5000', 'a topic with six segments');
sql("SELECT streamlog.delete_records('some', 0, 1999)");
dropped('some', 'the worker drops a segment');
is(bases('some'), '1000 2000 3000 4000 5000', 'the one that is wholly below the start');
sql("SELECT streamlog.delete_records('some', 0, 3000)");
dropped('some', 'and what is below a start that is a base');
is(bases('some'), '3000 4000 5000', 'which stays');
sql("SELECT streamlog.delete_records('some', 0, 4500)");
dropped('some', 'and once more');
is(bases('some'), '4000 5000', 'the segment with the start stays');
is(readable('some'), '4500|4999|500', 'what is above the start can be read');
is(sql('SELECT count(*) FROM topic.some'), 1000, 'the table shows what is stored');
is(sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'streamlog_segment'::regnamespace AND relkind = 'r'"),
	2, 'no table is left behind');
is(sql("SELECT count(*) FROM streamlog.segment_time WHERE relation NOT IN (SELECT relation FROM streamlog.segment)"),
	0, 'nor what was known of its times');
is(problems('some'), 0, 'check_topic() finds nothing');

# All of it, and a restart.
# Mutation: drop the active segment too; roll an empty one.
sql("SELECT streamlog.delete_records('some')");
dropped('some', 'everything is deleted');
is(start_and_end('some'), '5000|5000', 'and the end stays where it was');
$node->restart;
is(start_and_end('some'), '5000|5000', 'also after a restart');
is(bases('some'), '5000', 'the active segment is empty and is not rolled');
is(sql("SELECT streamlog.produce('some', NULL, 'v')"), 5000, 'offsets go on');

# More than are dropped in one transaction.
# Mutation: stop after the first; forget the partition.
make_topic('long', 1);
fill_segments('long', 34);
sql("SELECT streamlog.delete_records('long')");
soon("SELECT count(*) = 1 FROM streamlog.segments WHERE topic = 'long'", '34 segments are dropped');
is(bases('long'), '34000', 'all but the active one');

# More partitions than are remembered for the worker, and more than in a turn, none
# of whose segments has reached its size.
# Mutation: do not look at all of them when some were lost; roll only what is large.
make_topic('many', 80);
soon("SELECT count(*) = 80 FROM streamlog.segments WHERE topic = 'many'", 'a topic with 80 partitions');
sql("SELECT count(*) FROM generate_series(0, 79) p,"
	  . " streamlog.produce_batch('many', NULL, ARRAY['a', 'b', 'c'], partition => p)");
is(sql("SELECT count(*), min(start_offset), max(start_offset) FROM streamlog.delete_records('many')"),
	'80|3|3', 'all partitions are emptied in one call');
soon("SELECT count(*) = 80 AND min(base_offset) = 3 FROM streamlog.segments WHERE topic = 'many'",
	'each active segment is rolled and dropped');
is(sql("SELECT sum(streamlog.end_offset('many', p)) FROM generate_series(0, 79) p"),
	240, 'offsets go on');
is(problems('many'), 0, 'check_topic() finds nothing');

# Who reads a segment keeps it, and nobody waits for him.
# Mutation: expire-waits, which the test runs: queries wait behind the worker.
for my $mutant ('', 'expire-waits')
{
	my $topic = $mutant ? 'waited_for' : 'read';
	my $reader = $node->background_psql('postgres');

	restart_worker("streamlog.mutants = '$mutant'") if $has_waitpoints;
	next if $mutant && !$has_waitpoints;
	make_topic($topic, 1);
	make_topic("$topic.other", 1);
	fill_segments($topic, 2);
	fill_segments("$topic.other", 1);
	$reader->query_safe("BEGIN; SELECT count(*) FROM topic.$topic");
	sql("SELECT streamlog.delete_records('$topic', 0, 1500)");
	if ($mutant)
	{
		soon(q(SELECT count(*) = 1 FROM pg_locks l JOIN streamlog.workers w USING (pid)
			WHERE l.locktype = 'relation' AND NOT l.granted), 'the worker waits for a reader');
		my ($rc, $out, $err) = $node->psql('postgres',
			"SET lock_timeout = '200ms'; SELECT count(*) FROM topic.$topic");
		like($err, qr/lock timeout/, 'and a query for the worker');
	}
	else
	{
		sql("SELECT streamlog.delete_records('$topic.other')");
		dropped("$topic.other", 'while a segment is read, one of another topic is dropped');
		is(bases($topic), '0 1000 2000', 'and that one stays');
		is(sql("SET lock_timeout = '200ms'; SELECT count(*) FROM topic.$topic"),
			2000, 'other queries read it too');
		is(readable($topic), '1500|1999|500', 'a fetch begins at the start');
		is($reader->query_safe("SELECT count(*) FROM topic.$topic"), 2000, 'the reader sees what he saw');
	}
	$reader->query_safe('COMMIT');
	dropped($topic, 'it goes when it is not read any more');
	is(bases($topic), '1000 2000', 'and nothing else');
	$reader->quit;
}
restart_worker("streamlog.mutants = ''") if $has_waitpoints;

# Producers, readers from the start on and a session that deletes all the time.
# A reader may be overtaken, which he is told, and meets no hole.
# Mutation: no look at the start where a segment is gone.
make_topic('load', 2);
sql(q(
	CREATE FUNCTION read_some(of_partition int) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		first bigint := streamlog.start_offset('load', of_partition);
		at bigint := first;
		r record;
	BEGIN
		FOR i IN 1..20 LOOP
			BEGIN
				FOR r IN SELECT record_offset FROM streamlog.fetch_records('load', of_partition, at) LOOP
					IF r.record_offset <> at THEN
						RAISE EXCEPTION '% instead of %', r.record_offset, at;
					END IF;
					at := at + 1;
				END LOOP;
				PERFORM streamlog.offset_for_time('load', of_partition, now() - interval '1 s');
			EXCEPTION WHEN SQLSTATE 'SL001' THEN
				IF streamlog.start_offset('load', of_partition) <= at THEN
					RAISE EXCEPTION '% is said to be below %', at, streamlog.start_offset('load', of_partition);
				END IF;
				at := streamlog.start_offset('load', of_partition);
			END;
		END LOOP;
		RETURN at - first;
	END$$;
));
$node->pgbench(
	'--no-vacuum --client=5 --jobs=2 --transactions=150',
	0,
	[qr/processed: 750/],
	[qr/^$/],
	'load from five clients',
	{
		'043_produce@4' => q(
			SELECT count(*) FROM streamlog.produce_batch('load', NULL,
				array_fill(repeat('x', 500), ARRAY[500]), partition => :client_id % 2);),
		'043_read@3' => q(SELECT read_some(:client_id % 2);),
		'043_delete@2' => q(SELECT count(*) FROM streamlog.delete_records('load');),
		'043_check@1' => q(SELECT count(problem) AS problems FROM streamlog.check_topic('load') \gset
			\if :problems
				SELECT 1 / 0;
			\endif
		)
	});
dropped('load', 'the worker comes to an end');
is(problems('load'), 0, 'the tables are in order');
cmp_ok(sql("SELECT count(*) FROM streamlog.segments WHERE topic = 'load'"), '<', 20, 'and few');
sql("SELECT streamlog.delete_records('load')");
dropped('load', 'what is left goes');
unlike(slurp_file($node->logfile), qr/streamlog worker (ERROR|WARNING)/, 'the worker met no error');

# A crash before the worker has come to it, and in the middle of it.
# Mutation: do not look at all partitions when the worker starts; drop the table and
# the row in two transactions.
make_topic('crashed', 1);
fill_segments('crashed', 3);
my $locker = $node->background_psql('postgres');
$locker->query_safe("BEGIN; SELECT count(*) FROM topic.crashed");
sql("SELECT streamlog.delete_records('crashed', 0, 2500)");
$node->stop('immediate');
eval { $locker->quit };
$node->start;
dropped('crashed', 'after a crash the worker finds what is to be dropped');
is(bases('crashed'), '2000 3000', 'and no more');
is(start_and_end('crashed'), '2500|3000', 'the start is what it was');
is(readable('crashed'), '2500|2999|500', 'and can be read');

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	my $session = $node->background_psql('postgres');
	my $hold = "SELECT pg_advisory_lock(1936488304, hashtext('%s'))";

	restart_worker("streamlog.waitpoints = 'expire-before-commit'");
	$session->query_safe(sprintf $hold, 'expire-before-commit');
	sql("SELECT streamlog.delete_records('crashed')");
	soon(q(SELECT count(*) = 1 FROM pg_locks l JOIN streamlog.workers w USING (pid)
		WHERE l.locktype = 'advisory' AND NOT l.granted), 'the worker has dropped a segment');
	is(sql("SELECT streamlog.produce('crashed', NULL, 'v')"), 3000, 'a producer does not wait for it');
	is(readable('crashed'), '3000|3000|1', 'nor does a reader');
	$node->stop('immediate');
	eval { $session->quit };
	$node->adjust_conf('postgresql.auto.conf', 'streamlog.waitpoints', undef);
	$node->start;
	dropped('crashed', 'after a crash in the middle of it the worker does it again');
	is(readable('crashed'), '3000|3000|1', 'nothing else is gone');
	is(problems('crashed'), 0, 'check_topic() finds nothing');
}

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	# A delete has committed and not told anybody: readers read on.
	# Mutation: drop by the row's start, and a reader finds a damage.
	my $control = $node->background_psql('postgres');
	my $deleter = $node->background_psql('postgres');

	make_topic('untold', 1);
	fill_segments('untold', 2);
	is(readable('untold'), '0|1999|2000', 'a topic with three segments');
	$control->query_safe("SELECT pg_advisory_lock(1936488304, hashtext('delete-at-commit'))");
	$deleter->query_safe("SET streamlog.waitpoints = 'delete-at-commit'");
	$deleter->query_until(qr/sent/,
		"\\echo sent\nSELECT start_offset FROM streamlog.delete_records('untold', 0, 1500);\n");
	soon(q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted),
		'a delete stops in its commit');
	is(sql("SELECT start_offset FROM streamlog.partitions WHERE topic = 'untold'"),
		1500, 'everybody can see the row');
	restart_worker("streamlog.mutants = ''");
	is(bases('untold'), '0 1000 2000', 'the worker has looked, and dropped nothing');
	is(readable('untold'), '0|1999|2000', 'and all can be read');
	$control->query_safe('SELECT pg_advisory_unlock_all()');
	is($deleter->query_safe('SELECT 1;'), "1500\n1", 'the delete comes to its end');
	dropped('untold', 'and the segment below goes');
	is(bases('untold'), '1000 2000', 'that one only');
	$_->quit for $control, $deleter;
}

# A standby, which shows the start and deletes nothing until it is promoted.
# Mutation: no refusal; what is below the start is kept by a promoted standby.
make_topic('copied', 1);
fill_segments('copied', 2);
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $primary_reader = $node->background_psql('postgres');
$primary_reader->query_safe('BEGIN; SELECT count(*) FROM topic.copied');
sql("SELECT streamlog.delete_records('copied', 0, 1200)");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT start_offset FROM streamlog.partitions WHERE topic = 'copied'"),
	1200, 'a standby shows the start');
my ($rc, $out, $err) = $standby->psql('postgres', "SELECT streamlog.delete_records('copied')");
like($err, qr/cannot execute delete_records\(\) during recovery/, 'and deletes nothing');
$node->stop('immediate');
eval { $primary_reader->quit };
$standby->promote;
$node = $standby;
is(start_and_end('copied'), '1200|2000', 'promoted, it knows where the log starts');
dropped('copied', 'and drops what is below');
is(bases('copied'), '1000 2000', 'and no more');
is(readable('copied'), '1200|1999|800', 'the rest can be read');
is(sql("SELECT streamlog.produce('copied', NULL, 'v')"), 2000, 'offsets go on');

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	# With room for few partitions, what is known of one is soon forgotten.
	$node->append_conf('postgresql.conf', "streamlog.max_partitions = 16\n");
	$node->restart;
	make_topic('others', 16);
	my $evict = "SELECT sum(streamlog.end_offset('others', p)) FROM generate_series(0, 15) p";
	my $hold = "SELECT pg_advisory_lock(1936488304, hashtext('initialise-row-read'))";
	my $control = $node->background_psql('postgres');
	my $deleter = $node->background_psql('postgres');
	my $reader = $node->background_psql('postgres');

	# The transaction that deletes finds out anew what the partition holds, and rolls
	# back.  Mutation: own-start, which the test runs: it publishes its own start.
	for my $mutant ('own-start', '')
	{
		my $topic = $mutant ? 'own_control' : 'own';

		make_topic($topic, 1);
		sql("SELECT count(*) FROM streamlog.produce_batch('$topic', NULL, ARRAY['0', '1', '2', '3'])");
		$deleter->query_safe("SET streamlog.mutants = '$mutant'");
		$deleter->query_safe("BEGIN; SELECT streamlog.delete_records('$topic', 0, 2);"
			  . " SAVEPOINT s; SELECT streamlog.delete_records('$topic', 0, 3)");
		$deleter->query_safe($evict);
		$deleter->query_safe("SELECT streamlog.start_offset('$topic', 0)");
		is($deleter->query_safe("SELECT streamlog.start_offset('$topic', 0)"),
			$mutant ? 3 : 0, 'the start within the transaction' . ($mutant ? ', mutated' : ''));
		$deleter->query_safe('ROLLBACK');
		is(start_and_end($topic), $mutant ? '3|4' : '0|4', 'and after it was rolled back');
	}

	# A reader has found the old start, and the new one is committed before he tells
	# everybody.  Mutation: forget-raised-start, which the test runs.
	for my $mutant ('forget-raised-start', '')
	{
		my $topic = $mutant ? 'raised_control' : 'raised';

		make_topic($topic, 1);
		sql("SELECT count(*) FROM streamlog.produce_batch('$topic', NULL, ARRAY['0', '1', '2', '3'])");
		$deleter->query_safe("BEGIN; SELECT streamlog.delete_records('$topic', 0, 2)");
		sql($evict);
		$control->query_safe($hold);
		$reader->query_safe("SET streamlog.waitpoints = 'initialise-row-read'; SET streamlog.mutants = '$mutant'");
		$reader->query_until(qr/sent/, "\\echo sent\nSELECT streamlog.start_offset('$topic', 0);\n");
		soon(q(SELECT count(*) = 1 FROM pg_locks l WHERE locktype = 'advisory' AND NOT granted),
			'a reader initialises the partition');
		$deleter->query_safe('COMMIT');
		$control->query_safe('SELECT pg_advisory_unlock_all()');
		is($reader->query_safe('SELECT 1;'), ($mutant ? 0 : 2) . "\n1",
			'he sees the start' . ($mutant ? ' of before, mutated' : ''));
		is(start_and_end($topic), $mutant ? '0|4' : '2|4', 'and so does everybody');
	}
	$_->quit for $control, $deleter, $reader;
}

$node->stop;
done_testing();
