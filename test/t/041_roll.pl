# Segments: that partitions roll, under load and in the middle of a crash, and
# that no record is lost or out of order by it; that dropped topics go away.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('roll');
$node->init;
$node->append_conf('postgresql.conf', "streamlog.worker_naptime = 100ms\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
my $has_waitpoints =
  ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

sub soon
{
	my ($query, $what, $limit) = @_;
	local $PostgreSQL::Test::Utils::timeout_default = $limit || 40;

	ok($node->poll_query_until('postgres', $query), $what);
	return;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# 100-byte records, n of them; 9000 are more than 1 MiB
sub produce
{
	my ($topic, $partition, $n) = @_;

	sql("SELECT count(*) FROM streamlog.produce_batch('$topic', NULL,"
		  . " array_fill(repeat('x', 100), ARRAY[$n]), partition => $partition)");
	return;
}

sub make_topic
{
	my ($topic, $partitions) = @_;

	sql("SELECT streamlog.create_topic('$topic', $partitions,"
		  . " config => '{\"segment.bytes\": 1048576}')");
	return;
}

sub segments
{
	return sql("SELECT count(*) FROM streamlog.segments WHERE topic = '$_[0]'");
}

# What a reader finds who goes through a partition: the records from 0 on, each
# once and in order.
sub read_all
{
	my ($topic, $partition) = @_;

	return sql(qq(
		CREATE OR REPLACE FUNCTION pg_temp.read_all() RETURNS text LANGUAGE plpgsql AS \$\$
		DECLARE
			at bigint := 0;
			seen bigint := 0;
			r record;
		BEGIN
			LOOP
				FOR r IN SELECT record_offset o FROM streamlog.fetch_records(
					'$topic', $partition, at, max_records => 100000, max_bytes => 100000000)
				LOOP
					IF r.o <> at THEN RETURN format('%s after %s', r.o, at - 1); END IF;
					at := at + 1;
				END LOOP;
				EXIT WHEN at = seen;
				seen := at;
			END LOOP;
			RETURN at::text;
		END\$\$;
		SELECT pg_temp.read_all();));
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
	sql("SELECT pg_terminate_backend($pid)") if $pid;
	soon("SELECT count(*) = 1 FROM streamlog.workers WHERE kind = 'worker'"
		  . " AND last_run > started + interval '50 ms'"
		  . ($pid ? " AND pid <> $pid" : ''),
		"a new worker with $setting");
	return;
}

# Under load: every partition rolls again and again, and nothing is lost.
# Mutation: do not look again at the active segment under the append lock; take
# the base from before the lock; publish after the lock has fallen.
make_topic('load', 4);
$node->pgbench(
	'--no-vacuum --client=4 --jobs=2 --transactions=200',
	0,
	[qr/processed: 800/],
	[qr/^$/],
	'load from four clients',
	{
		'041_load' => q(
			SELECT count(*) FROM streamlog.produce_batch('load', NULL,
				array_fill(repeat('x', 100), ARRAY[1000]), partition => :client_id);
		)
	});
soon(
	q(SELECT min(n) >= 3 FROM (SELECT count(*) n FROM streamlog.segments
		WHERE topic = 'load' GROUP BY partition) s),
	'every partition has rolled several times');
is(read_all('load', $_), 200000, "all of partition $_ is read in order") for 0 .. 3;
is(problems('load'), 0, 'and the tables are in order');
cmp_ok(sql("SELECT max(bytes) FROM streamlog.segments WHERE topic = 'load'"),
	'<', 65 * 1024 * 1024, 'no segment exceeds segment.bytes by 64 MB');
is( sql(
		q(SELECT count(*) FROM streamlog.segments s WHERE topic = 'load'
		AND active <> (base_offset = (SELECT max(base_offset) FROM streamlog.segments o
			WHERE o.topic = s.topic AND o.partition = s.partition)))),
	0,
	'the last segment is the active one');

# Values that are stored out of line count.  Mutation: only look at the heap.
make_topic('large', 1);
sql(q(SELECT count(*) FROM streamlog.produce_batch('large', NULL, (SELECT array_agg(
	(SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 1000) j))
	FROM generate_series(1, 60) i))));
soon(q(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = 'large'),
	'a segment with large values rolls');

# A producer that needs a first segment gets it.
# Mutation: no wait in sl_log_open_for_append(); no check for segments that the
# creating transaction has made.
sql("SELECT streamlog.create_topic('wide', 100)");
is(sql("SELECT streamlog.produce('wide', 'k', 'v', partition => 99)"),
	0, 'produce to a partition without a segment waits for the worker');
sql("SELECT pg_terminate_backend(pid) FROM streamlog.workers WHERE kind = 'worker';"
	  . " SELECT streamlog.create_topic('wider', 64)");
is(sql("SELECT streamlog.produce('wider', 'k', 'v', partition => 63)"),
	0, 'also if the worker has to be started first');
sql("BEGIN; SELECT streamlog.create_topic('own', 50);"
	  . " SELECT streamlog.produce('own', 'k', 'v', partition => 45); COMMIT");
soon(q(SELECT count(*) = 50 AND count(DISTINCT partition) = 50
	FROM streamlog.segments WHERE topic = 'own'),
	'and none gets two');

# DDL on a topic that is locked waits, the other topics do not.
# Mutation: lock without Conditional.
make_topic('locked', 1);
make_topic('free', 1);
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE ONLY topic.locked IN SHARE UPDATE EXCLUSIVE MODE');
produce('locked', 0, 9000);
produce('free', 0, 9000);
soon(q(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = 'free'),
	'a topic rolls while another one is locked');
is(segments('locked'), 1, 'which does not');
unlike(slurp_file($node->logfile), qr/streamlog worker.*lock timeout/,
	'and which the worker does not wait for');
produce('locked', 0, 10);
$session->query_safe('COMMIT');
soon(q(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = 'locked'),
	'until it is free');
is(read_all('locked', 0), 9010, 'nothing is lost');

# A segment that is large enough but empty, after what was in it has been rolled
# back and vacuumed, does not roll.  Mutation: roll-empty, upon which two segments
# would have the same base.
make_topic('empty', 1);
my $segment = sql("SELECT relation FROM streamlog.segments WHERE topic = 'empty'");
$session->query_safe('BEGIN; LOCK TABLE ONLY topic.empty IN SHARE UPDATE EXCLUSIVE MODE');
sql(q(BEGIN; SELECT count(*) FROM streamlog.produce_batch('empty', NULL,
	array_fill(repeat('x', 100), ARRAY[9000])); SELECT count(*) FROM streamlog.flush(); ROLLBACK));
sql("VACUUM (INDEX_CLEANUP off, TRUNCATE off) $segment");
$session->quit;
$node->restart;
soon(q(SELECT last_run > started + interval '1.5 s' FROM streamlog.workers
	WHERE kind = 'worker'), 'the worker has looked');
cmp_ok(sql("SELECT pg_relation_size('$segment')"), '>=', 1048576, 'the segment is large');
is(segments('empty'), 1, 'an empty segment does not roll');
unlike(slurp_file($node->logfile), qr/streamlog worker.*ERROR/, 'nor is it tried');
is(sql("SELECT streamlog.produce('empty', 'k', 'v')"), 0, 'and the log begins at 0');
$session = $node->background_psql('postgres');

SKIP:
{
	skip 'built without WAITPOINTS', 1 unless $has_waitpoints;

	my $lock = "SELECT pg_advisory_lock(1936488304, hashtext('%s'))";
	my $stopped = q(SELECT count(*) = 1 FROM pg_locks l JOIN streamlog.workers w
		USING (pid) WHERE l.locktype = 'advisory' AND NOT l.granted);
	my $waits = q(SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a
		USING (pid) WHERE l.locktype = 'object' AND NOT l.granted
		AND a.backend_type = 'client backend');

	# Who appends while the partition rolls waits, and appends to the new segment.
	# Mutation: roll-without-lock, which the test runs; no second look under the
	# append lock.
	for my $point ('roll-before-publish', 'roll-at-commit')
	{
		my $topic = $point =~ tr/-/_/r;

		restart_worker("streamlog.waitpoints = '$point'");
		make_topic($topic, 1);
		$session->query_safe(sprintf($lock, $point));
		produce($topic, 0, 9000);
		soon($stopped, "the worker stops at $point");
		my $producer = $node->background_psql('postgres');
		$producer->query_until(
			qr/sent/,
			"\\echo sent\nSELECT streamlog.produce('$topic', 'k', 'during');\n");
		soon($waits, 'a producer waits for the append lock');
		is(read_all($topic, 0), 9000, 'a reader does not');
		$session->query_safe('SELECT pg_advisory_unlock_all()');
		is($producer->query_safe("SELECT streamlog.produce('$topic', 'k', 'after')"),
			"9000\n9001", 'it goes on');
		$producer->quit;
		is( sql(
				qq(SELECT base_offset FROM streamlog.segments
				WHERE topic = '$topic' AND active)),
			9000,
			'the roll is done, and the new segment begins where the old one ends');
		is(read_all($topic, 0), 9002, 'and nothing is lost');
		is(problems($topic), 0, 'nor out of order');
	}

	# The control.
	restart_worker("streamlog.mutants = 'roll-without-lock'");
	restart_worker("streamlog.waitpoints = 'roll-before-publish'");
	make_topic('control', 1);
	$session->query_safe(sprintf($lock, 'roll-before-publish'));
	produce('control', 0, 9000);
	soon($stopped, 'the worker stops, without the append lock');
	sql("SELECT streamlog.produce('control', 'k', 'lost')");
	$session->query_safe('SELECT pg_advisory_unlock_all()');
	soon(q(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = 'control'),
		'the roll is done');
	sql("SELECT streamlog.produce('control', 'k', 'after')");
	is( sql("SELECT min(record_offset) FROM streamlog.fetch_records('control', 0, 9000)"),
		9001, 'without the lock a record is lost');
	sql("ALTER SYSTEM RESET streamlog.mutants");
	restart_worker("streamlog.waitpoints = ''");

	# An append has added blocks, and is about to fill them: they are not indexed by
	# their times.  Mutation: index-while-filled, which the test runs.
	for my $mutant ('index-while-filled', '')
	{
		my $topic = $mutant ? 'filling_control' : 'filling';
		my $record = "streamlog.produce('$topic', NULL, repeat('x', 1000), record_time => '2001-01-01'::timestamptz";
		my $producer = $node->background_psql('postgres');

		restart_worker("streamlog.mutants = '$mutant'");
		sql("SELECT streamlog.create_topic('$topic')");
		sql("SELECT count($record)) FROM generate_series(1, 400)");
		$session->query_safe(sprintf($lock, 'append-extended'));
		$producer->query_safe("SET streamlog.waitpoints = 'append-extended';");
		$producer->query_until(qr/sent/,
			"\\echo sent\nSELECT count($record + i * interval '1 min')) FROM generate_series(1, 800) i;\n");
		soon(q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted),
			'a producer has added blocks');
		sql("SELECT pg_terminate_backend(pid) FROM streamlog.workers WHERE kind = 'worker'");
		soon($mutant
			? "SELECT count(*) > 0 FROM streamlog.segment_time t JOIN streamlog.segments s USING (relation) WHERE s.topic = '$topic'"
			: q(SELECT count(*) = 1 FROM pg_locks l JOIN streamlog.workers w USING (pid)
				WHERE l.locktype = 'object' AND NOT l.granted), 'a worker that has just come up looks at them');
		$session->query_safe('SELECT pg_advisory_unlock_all()');
		$producer->query_safe('SELECT 1;');
		$producer->quit;
		soon("SELECT count(*) > 0 FROM streamlog.segment_time t JOIN streamlog.segments s USING (relation) WHERE s.topic = '$topic'",
			'and indexes');
		my $found = sql("SELECT streamlog.offset_for_time('$topic', 0, '2001-01-01 00:10')");
		$mutant
		  ? cmp_ok($found, '>', 409, 'too late a record is found if they are')
		  : is($found, 409, 'a time that is in them is found');
	}
	sql('ALTER SYSTEM RESET streamlog.mutants');

	# More partitions at once than are remembered for the worker.
	# Mutation: do not look at all of them when some were lost.
	restart_worker("streamlog.waitpoints = 'roll-table-made'");
	make_topic('many', 45);
	soon(q(SELECT count(*) = 45 FROM streamlog.segments WHERE topic = 'many'),
		'the worker makes first segments');
	$session->query_safe(sprintf($lock, 'roll-table-made'));
	produce('many', 0, 9000);
	soon($stopped, 'the worker stops');
	sql(q(SELECT count(*) FROM generate_series(1, 44) p,
		streamlog.produce_batch('many', NULL, array_fill(repeat('x', 100), ARRAY[9000]),
			partition => p)));
	$session->query_safe('SELECT pg_advisory_unlock_all()');
	soon(q(SELECT count(*) = 90 FROM streamlog.segments WHERE topic = 'many'),
		'44 partitions that are due at once roll');

	# Who wakes the worker while it waits for the append lock, in which it resets
	# its latch, is not forgotten until the next look.
	# Mutation: sleep without asking sl_workers_is_woken(); index an empty part of a
	# segment again and again.
	make_topic('woken', 3);
	restart_worker("streamlog.waitpoints = ''");
	sql("ALTER SYSTEM SET streamlog.worker_naptime = '60s'");
	sql('SELECT pg_reload_conf()');
	soon(q(SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'streamlog worker' AND state = 'idle'
		AND state_change < clock_timestamp() - interval '500 ms'),
		'the worker finds an end, also with a sealed segment that begins with empty blocks');
	my $appender = $node->background_psql('postgres');
	$session->query_safe(sprintf($lock, 'append-allocated'));
	$session->query_safe('BEGIN; LOCK TABLE ONLY topic.woken IN SHARE UPDATE EXCLUSIVE MODE');
	produce('woken', 0, 9020);
	$appender->query_safe("SET streamlog.waitpoints = 'append-allocated'");
	$appender->query_until(
		qr/sent/,
		"\\echo sent\nSELECT streamlog.produce('woken', 'k', 'v', partition => 0);\n");
	soon(q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted),
		'an append does not end');
	$session->query_safe('COMMIT');
	produce('woken', 1, 9000);
	soon(q(SELECT count(*) = 1 FROM pg_locks l JOIN streamlog.workers w USING (pid)
		WHERE l.locktype = 'object' AND NOT l.granted
		AND l.waitstart < clock_timestamp() - interval '200 ms'),
		'the worker waits for it');
	produce('woken', 2, 9000);
	$session->query_safe('SELECT pg_advisory_unlock_all()');

	# before the timer of lock_timeout, 5 s, sets the latch once more
	soon(q(SELECT count(*) = 6 FROM streamlog.segments WHERE topic = 'woken'),
		'and then does what it was asked to meanwhile', 4);
	$appender->quit;
	sql("ALTER SYSTEM RESET streamlog.worker_naptime");
	sql('SELECT pg_reload_conf()');
	restart_worker("streamlog.waitpoints = 'roll-table-made'");

	# A topic that is dropped in the middle of a roll: also the table that was made
	# goes.  Mutation: drop the tables that have a row.
	make_topic('halfway', 1);
	$session->query_safe(sprintf($lock, 'roll-table-made'));
	produce('halfway', 0, 9000);
	soon($stopped, 'the worker stops with a table made');
	sql("SELECT streamlog.drop_topic('halfway')");
	$session->query_safe('SELECT pg_advisory_unlock_all()');
	soon('SELECT count(*) = 0 FROM streamlog.topic WHERE dropped',
		'all of a topic goes that was dropped in the middle of a roll');

	# A crash in the middle.  Mutation: publish before the commit; make a table in
	# each attempt.
	for my $point ('roll-table-made', 'roll-before-publish', 'roll-at-commit')
	{
		my $topic = 'crash_' . $point =~ tr/-/_/r;

		restart_worker("streamlog.waitpoints = '$point'");
		make_topic($topic, 1);
		$session->query_safe(sprintf($lock, $point));
		produce($topic, 0, 9000);
		soon($stopped, "the worker stops at $point");
		$node->stop('immediate');
		$session->quit;
		$node->start;
		$session = $node->background_psql('postgres');
		$session->query_safe(sprintf($lock, $point));
		is(read_all($topic, 0), 9000, "nothing is lost by a crash at $point");
		is(sql("SELECT streamlog.produce('$topic', 'k', 'v')"),
			9000, 'and the log goes on') if $point eq 'roll-table-made';
		$session->query_safe('SELECT pg_advisory_unlock_all()');
		soon(qq(SELECT count(*) = 2 FROM streamlog.segments WHERE topic = '$topic'),
			'the roll is done in the end');
		sql("SELECT streamlog.produce('$topic', 'k', 'v')");
		is(read_all($topic, 0), $point eq 'roll-table-made' ? 9002 : 9001,
			'nothing is lost or doubled');
		is(problems($topic), 0, 'nor out of order');
		is( sql(
				qq(SELECT count(*) FROM pg_inherits
				WHERE inhparent = 'topic.$topic'::regclass)),
			2,
			'and no table is left over');
	}
	restart_worker("streamlog.waitpoints = ''");
}

# Dropped topics: what somebody reads stays, the rest goes, and at last all.
# Mutation: lock without Conditional; delete the rows before the tables.
make_topic('many', 45) unless $has_waitpoints;
soon(q(SELECT count(DISTINCT partition) = 45 FROM streamlog.segments
	WHERE topic = 'many'), 'there is a topic of 45 partitions');
my $id = sql("SELECT topic_id FROM streamlog.topics WHERE topic = 'many'");
$session->query_safe(
	"BEGIN; LOCK TABLE streamlog_segment.t${id}_p7_1 IN ACCESS SHARE MODE");
sql("SELECT streamlog.drop_topic('many'), streamlog.drop_topic('load')");
is( sql("SELECT count(*) FROM streamlog.topics WHERE topic IN ('many', 'load')"),
	0, 'a dropped topic is gone at once');
soon(
	qq(SELECT count(*) = 1 FROM pg_class WHERE relkind = 'r'
		AND relname ~ '^t${id}_p'), 'all segments go but one that is in use');
soon(q(SELECT count(*) = 1 FROM streamlog.topic WHERE dropped),
	'the other topic goes');
make_topic('many', 1);
is(sql("SELECT streamlog.produce('many', 'k', 'v')"),
	0, 'a topic of that name can be made meanwhile');
$session->query_safe('COMMIT');
soon(
	qq(SELECT (SELECT count(*) FROM streamlog.topic WHERE dropped) = 0
	AND (SELECT count(*) FROM pg_class WHERE relname ~ '^t${id}_p' OR relname ~ '^dropped') = 0
	AND (SELECT count(*) FROM streamlog.segment WHERE topic_id = $id) = 0
	AND (SELECT count(*) FROM streamlog.partition WHERE topic_id = $id) = 0
	AND (SELECT count(*) FROM streamlog.segment_time t
		WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)) = 0),
	'and then everything is gone');
is(sql("SELECT streamlog.produce('many', 'k', 'v')"), 1, 'but for the new one');

sql('SELECT streamlog.drop_topic(topic) FROM streamlog.topics');
soon(
	q(SELECT (SELECT count(*) FROM streamlog.topic) = 0
	AND (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE nspname = 'streamlog_segment' AND relkind = 'r') = 0),
	'all topics can be dropped, and leave nothing');

$session->quit;
$node->stop;
done_testing();
