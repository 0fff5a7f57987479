# pg_dump and what it is restored with: the records are the same, the offsets go on,
# new topics get new ids; and a database into which a dump is being restored has a
# worker that leaves its topics alone until finish_restore() has seen them.
#
# Each test names the change to the code that it would notice.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Cwd ();
use IPC::Run;
use Test::More;

# parallel restores that sort many tables at a time would need more memory
my $node = PostgreSQL::Test::Cluster->new('restore');
$node->init;
$node->append_conf('postgresql.conf',
	"streamlog.worker_naptime = 100ms\nstreamlog.max_workers = 30\nmax_worker_processes = 40\n"
	  . "autovacuum = off\n");
$node->start;
my $dir = $node->basedir;
my @server = ('-h', $node->host, '-p', $node->port);

sub sql
{
	my ($db, $query) = @_;

	return $node->safe_psql($db, $query);
}

# What a command writes to stderr, and whether it was content
sub run_command_of
{
	my (@command) = @_;
	my ($out, $err) = ('', '');
	my $program = shift @command;
	my $ok = IPC::Run::run([ $program, @server, @command ], '>', \$out, '2>', \$err);

	note("$program @command: $err") if $err ne '';
	return ($ok, $err);
}

sub succeeds
{
	my ($what, @command) = @_;
	my ($ok, $err) = run_command_of(@command);

	ok($ok && $err eq '', $what);
	return;
}

sub fresh
{
	my ($db) = @_;

	sql('postgres', "CREATE DATABASE $db");
	return $db;
}

# All that a reader may see of all topics, and where they go on
sub log_of
{
	my ($db, $but) = @_;

	$but ||= '';
	return sql(
		$db, qq(
		SELECT p.topic, p.partition, p.start_offset, p.end_offset, n, sum
		FROM streamlog.partitions p, LATERAL (
			SELECT count(*) AS n, md5(string_agg(r::text, '' ORDER BY record_offset)) AS sum
			FROM streamlog.fetch_records(p.topic, p.partition, p.start_offset, 1000000, 1000000000) r) r
		WHERE p.topic <> '$but'
		ORDER BY 1, 2));
}

# What is known of consumer groups; the owners as they are by OID
sub groups_of
{
	my ($db) = @_;

	return sql(
		$db, q(
		SELECT g.name, coalesce(r.rolname, 'nobody'), t.name, o.partition, o.next_offset, o.epoch, o.member, o.metadata
		FROM streamlog.consumer_group g JOIN streamlog.committed_offset o USING (group_id)
			JOIN streamlog.topic t USING (topic_id)
			LEFT JOIN streamlog.local_group l USING (group_id) LEFT JOIN pg_roles r ON r.oid = l.owner
		ORDER BY 1, 4));
}

sub problems
{
	return sql($_[0],
		'SELECT count(c.problem) FROM streamlog.topics t, streamlog.check_topic(t.topic) c');
}

sub finish
{
	return sql($_[0],
		q(SELECT topic, problem FROM streamlog.finish_restore() WHERE problem IS NOT NULL));
}

# The worker of a database has had time to look twice at everything.
sub let_the_worker_look
{
	my ($db) = @_;

	ok( $node->poll_query_until(
			$db,
			q(SELECT count(*) = 1 FROM streamlog.workers WHERE kind = 'worker' AND database = current_database())
		),
		"$db: a worker runs");
	for (1 .. 2)
	{
		my $last = sql($db,
			q(SELECT last_run FROM streamlog.workers WHERE kind = 'worker' AND database = current_database()));
		$node->poll_query_until(
			$db,
			"SELECT last_run > '$last' FROM streamlog.workers WHERE kind = 'worker' AND database = current_database()"
		) or die 'the worker does not look';
	}
	return;
}

# Errors that workers have logged
sub worker_errors
{
	return join '', grep { /streamlog worker/ && /(ERROR|FATAL|PANIC|WARNING)/ && !/administrator command/ }
	  split /^/, slurp_file($node->logfile);
}

#
# The source: records of all sizes and kinds, segments that have rolled, gaps, a log
# that does not start at 0, roles.
#
my $has_waitpoints = ($node->psql('postgres', 'SHOW streamlog.waitpoints'))[0] == 0;

fresh('shop');
sql('shop', 'CREATE EXTENSION streamlog');
sql(
	'shop', q(
	CREATE ROLE seller;
	CREATE ROLE reader;
	CREATE ROLE gone;
	GRANT CREATE ON SCHEMA topic TO seller, gone;
	SET search_path = streamlog, public;
	SELECT create_topic('orders', 3, config => '{"segment.bytes": 1048576}');
	SELECT create_topic('kinds');
	SELECT create_topic('gaps');
	SELECT create_topic('started');
	SELECT create_topic('wide', 40);
	SELECT create_topic('Weird.Name-1');
	SELECT create_topic(repeat('long.', 20));
	SET ROLE seller;
	SELECT create_topic('sold');
	SET ROLE gone;
	SELECT create_topic('left');
	RESET ROLE;
	GRANT SELECT ON topic.orders TO reader, gone;
	GRANT INSERT ON topic.orders TO seller;

	SELECT produce('kinds', NULL::text, NULL::text);
	SELECT produce('kinds', '', '');
	SELECT produce('kinds', E'a\tb', E'line\nback\x5cslash', headers('{"h": "v", "none": null}'));
	SELECT produce('kinds', '\x00ff'::bytea, '\x5c5c2e0a'::bytea, headers('[{"h": "1"}, {"h": "2"}]'));
	SELECT produce('kinds', 'old', 'v', record_time => '1999-12-31 23:59:59.123456+00');
	SELECT produce('kinds', 'large', string_agg(sha512(i::text::bytea), '')) FROM generate_series(1, 3000) i;
	SELECT produce('kinds', 'compressible', repeat('x', 200000));
	SELECT produce('kinds', 'k', 'v', partition => 0) FROM generate_series(1, 3);
	SELECT produce('Weird.Name-1', 'k', 'v');
	SELECT produce(repeat('long.', 20), 'k', 'v');
	SELECT produce('sold', 'k', 'v');
	SELECT produce('left', 'k', 'v');
	SELECT produce('wide', i::text, 'v') FROM generate_series(1, 100) i;
	SELECT produce('started', 'k', 'v' || i) FROM generate_series(1, 10) i;

	INSERT INTO consumer_group SELECT nextval('group_id_seq'), o || 's', o, now(), now()
	FROM unnest(ARRAY['seller', 'gone']) o;
	INSERT INTO local_group SELECT group_id, owner::text::regrole FROM consumer_group;
	INSERT INTO committed_offset SELECT 100 + p, group_id, topic_id, p, 2, 3, 'member', 'meta' || p
	FROM consumer_group g, topic t, generate_series(0, 2) p WHERE t.name = 'orders';));
# sizes of all kinds, so that COPY puts some records into pages before the last
for my $round (1 .. 3)
{
	for my $partition (0, 1)
	{
		sql(
			'shop', qq(
			SELECT setseed(0.$round);
			SELECT count(streamlog.produce('orders', 'k' || i,
				substr(m.v, 1, (random() ^ 4 * 5000)::int), partition => $partition))
			FROM generate_series(1, 1500) i,
				(SELECT string_agg(sha512(j::text::bytea)::text, '') AS v FROM generate_series(1, 50) j) m));
	}
	$node->poll_query_until(
		'shop', qq(
		SELECT count(*) >= 2 FROM (SELECT max(segments) n FROM streamlog.partitions
			WHERE topic = 'orders' AND partition < 2 GROUP BY partition) p WHERE n > $round))
	  or die 'no roll';
}
sql(
	'shop', q(
	SET search_path = streamlog, public;
	SELECT produce('gaps', 'k', 'v1');
	BEGIN; SELECT produce('gaps', 'k', 'lost'); SELECT count(*) FROM flush(); ROLLBACK;
	SELECT produce('gaps', 'k', 'v2');
	SET allow_system_table_mods = on;
	UPDATE streamlog.partition SET log_start_offset = 4
	WHERE topic_id = (SELECT topic_id FROM topics WHERE topic = 'started');));
ok( $node->poll_query_until('shop', q(SELECT count(*) = 40 FROM streamlog.segments WHERE topic = 'wide')),
	'the source has all its segments');
# so that the new log start is seen
$node->restart;
my $source = log_of('shop');
like($source, qr/^started\|0\|4\|10\|6\|/m, 'a log that starts at 4');
like($source, qr/^gaps\|0\|0\|3\|2\|/m, 'a log with a gap');
my $last_id = sql('shop', 'SELECT max(topic_id) FROM streamlog.topics');

for my $form (
	[ 'plain', '-f', "$dir/plain.sql" ],
	[ 'custom', '-Fc', '-f', "$dir/custom.dump" ],
	[ 'directory', '-Fd', '-j4', '-f', "$dir/directory.dump" ])
{
	my ($name, @options) = @$form;

	succeeds("pg_dump, $name", 'pg_dump', '-d', 'shop', @options);
}

# Its grants are lost, and nothing else.
my $groups = groups_of('shop');
like($groups, qr/^gones\|gone\|orders\|2\|102\|2\|member\|meta2\n.*^sellers\|seller\|orders\|0\|/ms, 'groups');
sql('shop', 'DROP OWNED BY gone; DROP ROLE gone');

# What a dump has to be after finish_restore()
sub is_restored
{
	my ($db, $what) = @_;
	my ($next) = $source =~ /^orders\|0\|0\|(\d+)/m;

	is(finish($db), '', "$what: finish_restore() finds nothing wrong");
	is(log_of($db), $source, "$what: the same records, where they were");
	is(problems($db), 0, "$what: in order");
	is(sql($db, q(SELECT streamlog.produce('orders', 'k', 'v', partition => 0))),
		$next, "$what: the offsets go on");
	is(sql($db, q(SELECT streamlog.produce('gaps', 'k', 'v'), streamlog.produce('started', 'k', 'v'))),
		'3|10', "$what: also after a gap, and where the log does not start at 0");
	sql($db, q(SELECT streamlog.create_topic('new')));
	is(sql($db, q(SELECT topic_id FROM streamlog.topics WHERE topic = 'new')),
		$last_id + 1, "$what: a new topic gets a new id");

	# Mutations: finish_restore() leaves groups alone; group_id_seq is not dumped.
	my $expected = $groups;
	$expected =~ s/\|gone\|/|nobody|/g if sql($db, q(SELECT count(*) FROM pg_roles WHERE rolname = 'gone')) == 0;
	is(groups_of($db), $expected, "$what: the groups, their owners and offsets");
	is(sql($db, q(SELECT nextval('streamlog.group_id_seq'))), 3, "$what: a new group gets a new id");
	is(worker_errors(), '', "$what: no error of a worker");
	return;
}

#
# psql, with a role missing
#
# Mutation: the owner of a topic is a column of type regrole: all topics are lost.
fresh('plain');
my ($ok, $err) = run_command_of('psql', '-Xq', '-d', 'plain', '-o', "$dir/out", '-f', "$dir/plain.sql");
my @errors = grep { /ERROR/ } split /\n/, $err;
is(scalar(grep { !/role "gone" does not exist/ } @errors),
	0, 'psql: no error but of the missing role');
let_the_worker_look('plain');
for my $call (
	q(SELECT streamlog.produce('orders', 'k', 'v')),
	q(SELECT streamlog.fetch_records('orders', 0, 0)),
	q(SELECT streamlog.alter_topic('orders', 4)))
{
	my ($rc, $out, $stderr) = $node->psql('plain', $call);
	like($stderr, qr/topic "orders" was restored from a dump.*finish_restore/s, "psql: refused: $call");
}
is(sql('plain', 'SELECT count(*), count(end_offset) FROM streamlog.partitions'),
	'50|0', 'psql: the view has no ends before');
# Mutation: restore-unsorted; see below.  That there is something to sort:
cmp_ok(problems('plain'), '>', 0, 'psql: COPY has put records out of order');
is_restored('plain', 'psql');
is( sql('plain', q(
		SELECT has_table_privilege('reader', 'topic.orders', 'SELECT'),
			has_table_privilege('seller', 'topic.orders', 'INSERT'),
			has_table_privilege('reader', 'topic.orders', 'INSERT'))),
	't|t|f',
	'psql: the grants to others are there');
is(sql('plain', q(SET ROLE seller; SELECT streamlog.alter_topic('sold', 2);
	SELECT streamlog.produce('sold', 'k', 'v', partition => 0))), "\n1", 'psql: the owner owns');
my ($rc, $out, $stderr) = $node->psql('plain',
	q(CREATE ROLE gone; SET ROLE gone; SELECT streamlog.drop_topic('left')));
like($stderr, qr/must be owner of topic "left"/, 'psql: who comes with the name does not');
# Mutation: finish_restore() enters only groups whose owner is there.
is(finish('plain'), '', 'psql: nothing is left to be finished');
like(groups_of('plain'), qr/^gones\|nobody\|/, 'psql: nor is the group his');
sql('plain', q(SELECT streamlog.drop_topic('left'); DROP ROLE gone));

#
# pg_restore, as one transaction and in parallel
#
sql('postgres', 'CREATE ROLE gone');
like(groups_of('shop'), qr/^gones\|nobody\|/, 'who is given the name of a role that is gone does not own its group');
succeeds('pg_restore in one transaction', 'pg_restore', '-1', '-d', fresh('custom'), "$dir/custom.dump");
is_restored('custom', 'pg_restore');

succeeds('pg_restore in parallel', 'pg_restore', '-j4', '-d', fresh('parallel'), "$dir/directory.dump");
let_the_worker_look('parallel');
is_restored('parallel', 'parallel pg_restore');

# Without the triggers it is not all there, whatever the tables hold.
succeeds('pg_restore without the last section',
	'pg_restore', '--section=pre-data', '--section=data', '-d', fresh('sections'), "$dir/custom.dump");
is( sql('sections',
		q(SELECT count(*), count(problem), min(problem) FROM streamlog.finish_restore())),
	"9|9|the topic's table has not got its triggers yet: the restore has not come to its end",
	'no topic is ready before its triggers are there');
succeeds('the last section', 'pg_restore', '--section=post-data', '-d', 'sections', "$dir/custom.dump");
is_restored('sections', 'pg_restore by sections');

#
# In the middle of a restore: rows of topics and partitions, of segments none
#
# Mutations: the worker's lists have all topics: it makes first segments, and the
# segments' rows cannot be loaded; new topics take what the sequence gives: their
# segments are tables of the dump.
fresh('half');
sub restore_by_list
{
	my ($what, $wanted) = @_;

	IPC::Run::run([ 'pg_restore', '-l', "$dir/custom.dump" ], '>', \my $list);
	append_to_file("$dir/$what.list", join '', grep { $wanted->($_) } split /^/, $list);
	succeeds("pg_restore, $what", 'pg_restore', '-L', "$dir/$what.list", '-d', 'half', "$dir/custom.dump");
	return;
}
my $first = qr/ TABLE DATA streamlog (topic|partition) /;
succeeds('pg_restore, tables', 'pg_restore', '--section=pre-data', '-d', 'half', "$dir/custom.dump");
restore_by_list('rows', sub { $_[0] =~ $first });
let_the_worker_look('half');
is(sql('half', 'SELECT count(*) FROM streamlog.segment'), 0, 'the worker makes no segments of topics half there');
is(sql('half', 'SELECT streamlog.create_topic($$meanwhile$$); SELECT streamlog.produce($$meanwhile$$, $$k$$, $$v$$)'),
	"\n0", 'a topic can be made and used meanwhile');
is(sql('half', q(SELECT count(*) FROM streamlog.finish_restore() WHERE problem IS NULL)),
	0, 'finish_restore() is no way out');
restore_by_list('rest', sub { $_[0] =~ / TABLE DATA / && $_[0] !~ $first });
let_the_worker_look('half');
restore_by_list('sequence', sub { $_[0] =~ / SEQUENCE SET / });
succeeds('the rest', 'pg_restore', '--section=post-data', '-d', 'half', "$dir/custom.dump");
is(sql('half', q(SELECT topic_id FROM streamlog.topics WHERE topic = 'meanwhile')),
	$last_id + 1, 'it has an id that no other has');
is(finish('half'), '', 'finish_restore() finds nothing wrong');
is(log_of('half', 'meanwhile'), $source, 'all is there');
sql('half', 'SELECT streamlog.create_topic($$after$$)');
is(sql('half', q(SELECT topic_id FROM streamlog.topics WHERE topic = 'after')),
	$last_id + 2, 'the ids go on after both');
is(worker_errors(), '', 'no error of a worker');

# Into a database that has topics: it fails, and says so.  Mutation: COPY may write
# to a segment that is in use.
fresh('taken');
sql('taken', 'CREATE EXTENSION streamlog; SELECT streamlog.create_topic($$mine$$); SELECT streamlog.produce($$mine$$, $$k$$, $$v$$)');
($ok, $err) = run_command_of('pg_restore', '-d', 'taken', "$dir/custom.dump");
like($err, qr/duplicate key value violates unique constraint "topic_pkey"/, 'a database with topics is no place to restore into');
($ok, $err) = run_command_of('pg_restore', '-1', '-d', 'taken', "$dir/custom.dump");
ok(!$ok, 'also as one transaction');
is(sql('taken', 'SELECT streamlog.produce($$mine$$, $$k$$, $$v$$)'), 1, 'what it had is not harmed');

#
# By another role, with and without the owners of the dump
#
# Mutations: leave the owners as they are: the tables of new segments belong to
# another role than those of old ones; leave the grants to the owner's.
sql('postgres', 'CREATE ROLE boss SUPERUSER LOGIN');
for my $options ([], ['--no-owner'])
{
	my $db = 'boss' . scalar(@$options);
	my $what = "another superuser @$options";

	sql('postgres', "CREATE DATABASE $db");
	succeeds("$what: pg_restore", 'pg_restore', '-U', 'boss', @$options, '-d', $db, "$dir/custom.dump");
	is_restored($db, $what);
	is( sql($db, q(
			SELECT count(*) FROM pg_class WHERE relnamespace IN ('topic'::regnamespace, 'streamlog_segment'::regnamespace)
				AND relkind = 'r' AND relowner <> 'boss'::regrole)),
		0, "$what: all tables are the extension's owner's");
	is(sql($db, q(SET ROLE seller; SELECT streamlog.produce('sold', 'k', 'v'); SELECT streamlog.alter_topic('sold', 2))),
		"1\n", "$what: the owners of the topics have what they had");
	is(sql($db, q(SELECT grantee::regrole || ' ' || privilege_type || ' by ' || grantor::regrole
			FROM pg_class, aclexplode(relacl) WHERE oid = 'topic.orders'::regclass AND grantee <> relowner ORDER BY 1)),
		"gone SELECT by postgres\npostgres INSERT by boss\npostgres SELECT by boss\n"
		  . "reader SELECT by postgres\nseller INSERT by postgres", "$what: also those who share a topic");
}

# Without privileges the owners have none: mutation: they count as owners by name.
succeeds('pg_restore without privileges', 'pg_restore', '-x', '-d', fresh('bare'), "$dir/custom.dump");
is(finish('bare'), '', 'without privileges: finish_restore() finds nothing wrong');
($rc, $out, $stderr) = $node->psql('bare', q(SET ROLE seller; SELECT streamlog.drop_topic('sold')));
like($stderr, qr/must be owner of topic "sold"/, 'without privileges: the owner is the extension\'s');

# In the place of the database, and its worker; and a schema without topics
succeeds('pg_restore in the place of a database', 'pg_restore', '--clean', '--create', '-d', 'postgres', "$dir/custom.dump");
is_restored('shop', 'the database itself');
succeeds('pg_dump of a schema without topics',
	'pg_dump', '-s', '-N', 'topic', '-N', 'topic_text', '-N', 'streamlog_segment', '-d', 'shop', '-f', "$dir/schema.sql");
succeeds('psql, schema', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', "$dir/out", '-d', fresh('empty'), '-f', "$dir/schema.sql");
is(sql('empty', q(SELECT streamlog.create_topic('orders'); SELECT topic_id FROM streamlog.topics)),
	"\n1", 'a schema without topics is a place to begin in');

#
# Disorder, damage, and topics that were lost or on their way out
#
fresh('mended');
succeeds('pg_restore', 'pg_restore', '-d', 'mended', "$dir/custom.dump");
my $segments = q(SELECT relation FROM streamlog.segments WHERE topic = 'orders' AND partition = 0 ORDER BY base_offset);
my ($one, $two, $three) = split /\n/, sql('mended', $segments);
sql('mended', "CREATE TABLE saved AS TABLE $one; TRUNCATE $one; INSERT INTO $one SELECT * FROM saved ORDER BY random()");
SKIP:
{
	skip 'built without WAITPOINTS', 2 if !$has_waitpoints;
	like(sql('mended', q(SET streamlog.mutants = 'restore-unsorted';
		SELECT topic, problem FROM streamlog.finish_restore() WHERE topic = 'orders')),
		qr/^orders\|table "t\d+_p0_\d+": block \d+ item \d+: offset \d+ after \d+$/, 'disorder is a problem');
	# it was checked with the others, which are ready now
	is(sql('mended', q(SELECT count(*) FROM streamlog.local_topic)), 8, 'of that topic alone');
}
# Mutation: enter a topic with a problem.
sql('mended', "INSERT INTO $two SELECT * FROM $two WHERE record_offset = (SELECT min(record_offset) + 5 FROM $two)");
like(finish('mended'), qr/^orders\|table "\w+": block \d+ item \d+: offset (\d+) after \1$/,
	'a record that is there twice is a problem');
($rc, $out, $stderr) = $node->psql('mended', q(SELECT streamlog.fetch_records('orders', 0, 0)));
like($stderr, qr/was restored from a dump/, 'the topic stays refused');
is(sql('mended', q(SELECT streamlog.produce('sold', 'k', 'v'))), 1, 'others are in use');
like(sql('mended', q(SELECT problem FROM streamlog.check_topic('orders') WHERE problem IS NOT NULL)),
	qr/offset (\d+) after \1/, 'check_topic() says where');
sql('mended', "DELETE FROM $two WHERE ctid = (SELECT max(ctid) FROM $two WHERE record_offset = (SELECT min(record_offset) + 5 FROM $two))");
is(sql('mended', 'SELECT topic, segments_rewritten > 0, problem FROM streamlog.finish_restore()'),
	'orders|t|', 'mended, it is ready');
is(log_of('mended', 'sold'), join("\n", grep { !/^sold/ } split /\n/, $source), 'and as it was');

# one that nobody wants to mend
fresh('unwanted');
succeeds('pg_restore', 'pg_restore', '-d', 'unwanted', "$dir/custom.dump");
sql('unwanted', "DROP TABLE $two");
like(finish('unwanted'), qr/^orders\|partition 0: the table of the segment is gone$/, 'a table that is gone is a problem');
sql('unwanted', q(SELECT streamlog.drop_topic('orders')));
ok( $node->poll_query_until('unwanted',
		q(SELECT (SELECT count(*) FROM streamlog.topic WHERE dropped) + (SELECT count(*) FROM pg_class WHERE relname LIKE 't1\_p%' AND relkind = 'r') = 0)),
	'a topic can be dropped instead, and the worker removes it');

fresh('odd');
sql(
	'odd', q(
	CREATE EXTENSION streamlog;
	SET search_path = streamlog;
	SELECT create_topic('first');
	SELECT create_topic('lost');
	SELECT create_topic('lost_segment');
	SELECT create_topic('dropped');
	SELECT create_topic('last');
	SELECT produce(topic, 'k', 'v') FROM topics;));
my $segment_of_dropped = sql('odd', q(SELECT relation FROM streamlog.segments WHERE topic = 'dropped'));
my $lost_segment = sql('odd', q(SELECT relation FROM streamlog.segments WHERE topic = 'lost_segment'));
# who reads a segment keeps the worker from removing it
my $reader = $node->background_psql('odd');
$reader->query("BEGIN; SELECT count(*) FROM $segment_of_dropped;");
sql(
	'odd', qq(
	SET search_path = streamlog;
	SELECT drop_topic('dropped');
	SET client_min_messages = warning;
	SET allow_system_table_mods = on;
	DROP TABLE $lost_segment;
	DROP TABLE topic.lost CASCADE;));
succeeds('pg_dump with topics half gone', 'pg_dump', '-Fc', '-d', 'odd', '-f', "$dir/odd.dump");
$reader->quit;
# Mutations: leave a dropped topic to be mended; believe a row whose table is a
# number.
succeeds('pg_restore', 'pg_restore', '-d', fresh('odd_again'), "$dir/odd.dump");
let_the_worker_look('odd_again');
is(sql('odd_again', q(SELECT count(*) FROM streamlog.topic WHERE dropped)), 1, 'what was on its way out is still there');
is( finish('odd_again'),
	"lost|the topic's table is missing; drop_topic() removes the rest\n"
	  . 'lost_segment|partition 0: the table of the segment is gone',
	'finish_restore() says what is lost');
is(sql('odd_again', q(SELECT streamlog.produce('first', 'k', 'v'), streamlog.produce('last', 'k', 'v'))),
	'1|1', 'and has the others ready');
sql('odd_again', q(SELECT streamlog.drop_topic('lost'), streamlog.drop_topic('lost_segment')));
ok( $node->poll_query_until('odd_again',
		q(SELECT (SELECT count(*) FROM streamlog.topic) = 2 AND (SELECT count(*) FROM streamlog.local_topic) = 2
			AND (SELECT count(*) FROM pg_class WHERE relnamespace = 'streamlog_segment'::regnamespace AND relkind = 'r') = 2)),
	'the worker removes all that is dropped');
sql('odd_again', q(SELECT streamlog.create_topic('dropped')));
is(worker_errors(), '', 'no error of a worker');

#
# A dump while producers run, segments roll and topics are dropped: business rows
# and records are of one moment.  pg_dump keeps nobody from it but drop_topic(), which waits, and
# for which a parallel pg_dump would give up, as it does for any DROP TABLE.
#
# Mutation: a roll waits for what pg_dump has locked.
sql(
	'postgres', q(
	CREATE EXTENSION streamlog;
	CREATE TABLE sale (id bigserial PRIMARY KEY, digest text NOT NULL);
	SELECT streamlog.create_topic('busy', 2, config => '{"segment.bytes": 1048576}');
	SELECT streamlog.create_topic('fleeting');
	SELECT streamlog.produce('fleeting', 'k', 'v');));
my $script = "$dir/producer.sql";
append_to_file(
	$script, q(
	\set size random(1, 6000)
	WITH s AS (INSERT INTO sale (digest) VALUES (md5(random()::text)) RETURNING *)
	SELECT streamlog.produce('busy', id, rpad(digest, :size + 32, digest)) FROM s;));
my $producers = IPC::Run::start(
	[ 'pgbench', @server, '-n', '-c4', '-j2', '-T600', '-f', $script, 'postgres' ],
	'>', \my $bench_out, '2>', \my $bench_err);
ok($node->poll_query_until('postgres', 'SELECT count(*) > 500 FROM sale'), 'producers are at work');
# Holds the dump until its end: nothing can tell how long it takes otherwise.
my $blocker = $node->background_psql('postgres');
$blocker->query('BEGIN; LOCK TABLE pg_catalog.pg_largeobject_metadata IN ACCESS EXCLUSIVE MODE;');
my $dump = IPC::Run::start([ 'pg_dump', @server, '-Fd', '-f', "$dir/busy.dump", 'postgres' ],
	'>', \my $dump_out, '2>', \my $dump_err);
ok( $node->poll_query_until('postgres',
		q(SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'pg_catalog.pg_largeobject_metadata'::regclass)),
	'the dump has its snapshot and waits');
my $at_snapshot = sql('postgres', 'SELECT count(*) FROM sale');
my $segments_then = sql('postgres', q(SELECT count(*) FROM streamlog.segments WHERE topic = 'busy'));
my $dropper = $node->background_psql('postgres');
$dropper->query_until(qr/begun/, "\\echo begun\nSELECT streamlog.drop_topic('fleeting');\n");
ok( $node->poll_query_until('postgres',
		"SELECT (SELECT count(*) FROM streamlog.segments WHERE topic = 'busy') > $segments_then"
		. " AND (SELECT count(*) FROM sale) > $at_snapshot"),
	'producing and rolling goes on beside it');
$blocker->query('COMMIT;');
$blocker->quit;
ok($dump->finish, 'pg_dump beside producers');
$dropper->quit;
$producers->signal('TERM');
$producers->finish;
unlike($bench_err, qr/ERROR/, 'nothing failed for the producers');
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM streamlog.topic)), 'the topic is dropped after it');
succeeds('pg_restore', 'pg_restore', '-j2', '-d', fresh('busy_again'), "$dir/busy.dump");
is(finish('busy_again'), '', 'finish_restore() finds nothing wrong');
cmp_ok(sql('busy_again', 'SELECT count(*) FROM sale'), '<', sql('postgres', 'SELECT count(*) FROM sale'),
	'the dump is of a moment in the middle');
is( sql('busy_again', q(
		WITH record AS (
			SELECT streamlog.as_text(r.key)::bigint AS id, left(streamlog.as_text(r.value), 32) AS digest
			FROM streamlog.partitions p, streamlog.fetch_records(p.topic, p.partition, 0, 1000000, 1000000000) r
			WHERE p.topic = 'busy')
		SELECT count(*) FROM sale FULL JOIN record USING (id, digest)
		WHERE sale.id IS NULL OR record.id IS NULL)),
	0, 'each row has its record, and each record its row');
is(sql('busy_again', q(SELECT streamlog.as_text(value) FROM streamlog.fetch_records('fleeting', 0, 0))),
	'v', 'the topic that was dropped meanwhile is there');
is(worker_errors(), '', 'no error of a worker');

#
# pg_upgrade keeps everything, and there is nothing to finish.
#
# Mutations: local_topic is a table that pg_upgrade leaves behind; the guard looks at
# what pg_upgrade does.  (Were local_topic marked to be dumped, the topics above would
# be in use while they are half restored.)
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init;
sql('postgres', "DROP DATABASE $_")
  for split /\n/, sql('postgres', q(SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'shop') AND NOT datistemplate));
$node->append_conf('postgresql.conf', "streamlog.worker_naptime = 60s\n");
$node->restart;
my $before = log_of('shop');
my $groups_before = groups_of('shop');
my $last_upgraded = sql('shop', 'SELECT max(topic_id) FROM streamlog.topics');
my $ids = sql('shop', 'SELECT topic, topic_id, relation::oid FROM streamlog.topics ORDER BY 2');
$node->stop;
{
	my $bin = $node->config_data('--bindir');
	my $here = Cwd::getcwd();

	chdir $dir or die "cannot change directory: $!";
	ok( run_log(
			[
				'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
				'-s', $new->host, '-p', $node->port, '-P', $new->port
			]),
		'pg_upgrade');
	chdir $here or die "cannot change directory: $!";
}
$new->start;
is($new->safe_psql('shop', 'SELECT topic, topic_id, relation::oid FROM streamlog.topics ORDER BY 2'),
	$ids, 'upgraded: the topics');
$node = $new;
is(log_of('shop'), $before, 'upgraded: the records, at once');
is(sql('shop', 'SELECT count(*) FROM streamlog.finish_restore()'), 0, 'upgraded: nothing to be finished');
is(groups_of('shop'), $groups_before, 'upgraded: the groups');
is(sql('shop', q(SELECT streamlog.produce('sold', 'k', 'v'))), 1, 'upgraded: the offsets go on');
is(sql('shop', q(SELECT streamlog.create_topic('newer'); SELECT topic_id FROM streamlog.topics WHERE topic = 'newer')),
	"\n" . ($last_upgraded + 1), 'upgraded: a new topic gets a new id');
is(problems('shop'), 0, 'upgraded: in order');

$node->stop;
done_testing();
