# StreamlogFuzz.pm: calls and statements that nobody would write.
#
# Sessions of several roles run scripts of random statements: every function of
# schema streamlog, as pg_proc has them, with arguments from a pool for each type,
# in every place where a call can stand; its trigger functions on tables of every
# kind; its views; DML, COPY and DDL on the tables of topics; settings with odd
# values.  One more session cancels the others now and then.
#
# In between, and in the same transactions, sessions produce to topic "control",
# which none of them may change, and note in "kept" what they have produced: what is
# there in the end must be what was committed.
#
# They are consumers, too, of a few groups: all calls of a member in any order, as one
# role and another, in transactions that end well or badly, while topics, groups and the
# extension come and go.  Of a session that has ended nothing may be left in a group, but
# for the place of an instance_id.
#
# What is wrong is found in the server's log, by SQLSTATE, and in what is left
# behind.  A superuser may do anything, also to the tables of topics and to our own;
# he does so in database "broken" only, where damage that is reported is no failure.
#
# All randomness of a session comes from the seed and its number; the scheduling, and
# so what a statement finds, does not.  Where something is wrong its script is kept
# beside the server's log.

package StreamlogFuzz;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT_OK = qw(fuzz_node fuzz_functions fuzz_run fuzz_complaints fuzz_growth fuzz_big
  fuzz_called fuzz_unsuccessful);

my @databases = ('postgres', 'ascii', 'broken');
my @roles = qw(postgres fuzz_owner fuzz_writer fuzz_reader fuzz_nobody);
my @topics = ('t0', 't1', 'UPPER.case-1', 'x' x 249);
my @groups = ('g0', 'g1', "it's a \"group\"", 'g' x 249);

# of the session that statements are made for
my ($role, $database, @functions, @views, @settings, %made);

# A server with roles, topics and what statements need
sub fuzz_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf(
		'postgresql.conf', q(
max_connections = 40
log_line_prefix = '%e [%p] %q%u@%d/%a '
log_statement = none
log_lock_waits = off
log_error_verbosity = verbose
log_temp_files = -1
deadlock_timeout = 100ms
track_functions = all
max_wal_size = 4GB
streamlog.worker_naptime = 100ms
streamlog.max_partitions = 256
) . ($conf // ''));
	$node->start;
	$node->safe_psql(
		'postgres', q(
		CREATE ROLE fuzz_owner LOGIN;
		CREATE ROLE fuzz_writer LOGIN;
		CREATE ROLE fuzz_reader LOGIN;
		CREATE ROLE fuzz_nobody LOGIN;
		GRANT pg_read_all_stats TO fuzz_owner;
		CREATE ROLE keeper;
		CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;
		CREATE DATABASE broken;));

	for my $db (@databases)
	{
		$node->safe_psql(
			$db, q(
			CREATE EXTENSION streamlog;
			GRANT CREATE ON SCHEMA topic TO fuzz_owner, keeper;
			GRANT CREATE ON SCHEMA public TO PUBLIC;

			CREATE TYPE colour AS ENUM ('red', 'it''s "green"');
			CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 10);
			CREATE DOMAIN bytes AS bytea;
			CREATE DOMAIN number AS int NOT NULL;
			CREATE TYPE pair AS (a int, b text, c streamlog.header[]);
			CREATE DOMAIN pairs AS pair[];

			CREATE TABLE kept (session int, n int);
			REVOKE ALL ON TABLE kept FROM PUBLIC;
			ALTER TABLE kept OWNER TO keeper;
			SET ROLE keeper;
			SELECT streamlog.create_topic('control', 2);
			GRANT SELECT ON topic.control TO fuzz_reader;
			RESET ROLE;

			-- records that count if the transaction commits
			CREATE FUNCTION keep(session int, first int, last int, size int) RETURNS void
			LANGUAGE plpgsql SECURITY DEFINER
			SET search_path = pg_catalog, public, pg_temp AS $$
			BEGIN
				FOR n IN first .. last LOOP
					INSERT INTO kept VALUES (session, n);
					PERFORM streamlog.produce('control', session::text,
						n || ' ' || repeat('x', size));
				END LOOP;
			END$$;
			ALTER FUNCTION keep OWNER TO keeper;

			-- a call in an expression that is not evaluated at once
			CREATE FUNCTION swallow(statement text) RETURNS text LANGUAGE plpgsql AS $$
			BEGIN
				EXECUTE statement;
				RETURN 'ok';
			EXCEPTION WHEN OTHERS THEN
				RETURN SQLSTATE;
			END$$;));
		$node->safe_psql($db, join(' ', map { make_topic($_) } @topics));
	}
	return $node;
}

# The topic as it is at the beginning; also for when somebody has dropped it
sub make_topic
{
	my ($topic) = @_;
	my $config = '{"segment.bytes": 1048576, "max.message.bytes": 4000000}';

	return qq(
		SET ROLE fuzz_owner;
		SELECT streamlog.create_topic('$topic', 2, config => '$config', if_not_exists => true);
		RESET ROLE;
		SELECT format('GRANT INSERT ON %s TO fuzz_writer; GRANT SELECT ON %1\$s TO fuzz_reader;
			GRANT ALL ON %1\$s TO fuzz_owner', relation)
		FROM streamlog.topics WHERE topic = '$topic' \\gexec
	);
}

sub one_of { return $_[ int(rand(@_)) ] }
sub chance { return rand() < $_[0] }
sub number { my ($low, $high) = @_; return $low + int(rand($high - $low + 1)) }

# A string as a literal
sub quote
{
	my ($s) = @_;

	$s =~ s/'/''/g;
	return "'$s'" if $s !~ /[\\\x00-\x1f]/;
	$s =~ s/([\\\x00-\x1f])/sprintf '\\x%02x', ord $1/ge;
	return "E'$s'";
}

# May this session do no harm that nobody else could?
sub tame
{
	return $role eq 'postgres' && $database ne 'broken';
}

sub topic_name
{
	my @living = (tame() ? () : 'control', @topics);

	return quote(one_of(@living)) if chance(0.8);
	return "repeat('x', 5000000)" if chance(0.05);
	return quote(
		one_of(
			'', '.', '..', 'a' x 249, 'a' x 250, '"; DROP TABLE kept; --', "it's", '\\', "'||'",
			'back\\slash', "\xc3\xbcn\xc3\xaf\xe2\x82\xac", "a\nb", "\x01", '%s%n%1$s', 'topic.t0',
			'"t0"', 't0 ', 'T0', 'x' x 63, 'x' x 64, 'UPPER_case-1', '__consumer_offsets',
			'pg_class', 'a.b.c', '-', "\xf0\x9f\x90\x98", '$1', 't0;', '*', '{t0,t1}', '.*'));
}

sub bytes { return join('', map { sprintf '%02x', number(0, 255) } 1 .. number(0, 20)) }

my @json = (
	'{}', '[]', 'null', '1', '"x"', 'true', '[null]', '[{}]', '[[]]', '[1, {"a": 1}]',
	'{"a": null}', '{"a": "b", "a": "c"}', '[{"a": "1"}, {"a": "2"}]', '{"": ""}',
	'{"a": {"b": [1, {"c": null}]}}', '{"segment.bytes": 1048576}', '{"segment.bytes": null}',
	'{"segment.bytes": "1048576"}', '{"segment.bytes": 1e400}', '{"segment.bytes": -1}',
	'{"segment.bytes": 1.5}', '{"segment.bytes": [1048576]}', '{"segment.bytes": {}}',
	'{"segment.bytes": true}', '{"segment.bytes": " 1048576 "}', '{"segment.bytes": ""}',
	'{"max.message.bytes": 1000}', '{"max.message.bytes": 99999999999999999999999}',
	'{"message.timestamp.type": "LogAppendTime"}', '{"message.timestamp.type": 1}',
	'{"message.timestamp.type": "CreateTime"}', '{"message.timestamp.before.max.ms": 0}',
	'{"message.timestamp.after.max.ms": 9223372036854775807}', '{"retention.ms": "7d"}',
	'{"cleanup.policy": "compact"}', '{"compression.type": "lz4"}', '{"compression.type": "zstd"}',
	'{"segment.bytes": "1GB"}', '{"segment.bytes": "99999999999999999999EB"}',
	'{"tablespace": "nowhere"}', '{"%s%n": "%s"}', '{"notify": "yes"}',
	'{"max.message.bytes": null, "message.timestamp.type": null}',
	'{"\u00fc": "\ud83d\udc18"}', '[{"a": 1, "b": 2}]', '{"a": 1e-400}');

# values of a type, without the null; made anew for each draw
my %pool = (
	text => sub {
		return one_of(
			"''", "'value'", "'1'", "'null'", "'{}'", "E'\\\\\\n\\t\"'", "repeat('x', 2000)",
			"repeat('ab', " . number(0, 100000) . ')', "'\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\x98'", "'%s%n'",
			"repeat(md5('" . number(0, 9) . "'), 3000)", "E'\\x01'", "'id'", "'n'", "'no_such'",
			"chr(" . number(1, 127) . ")", one_of("E'\\xff\\xfe'", "E'\\xc3'", "'x'", "'y'"), "repeat('x', 5000000)",
			topic_name());
	},
	bytea => sub {
		return one_of(
			"'\\x'", "'\\x00'", "'\\xff'", "'\\xc3'", "'\\xeda080'", "'\\x6100'", "'\\xf4908080'",
			"'\\x" . bytes() . "'", "'\\x7b7d'", "'\\x5b5b'", "'\\x2231'", "'\\x225c753030303022'",
			"convert_to(repeat('[', " . number(1, 100000) . "), 'UTF8')",
			"decode(repeat('ff', " . number(0, 3000) . "), 'hex')", "repeat('x', 5000000)::bytea",
			"convert_to(" . quote(one_of(@json)) . ", 'UTF8')");
	},
	int4 => sub {
		return chance(0.7) ? number(0, 3) :
		  one_of('-2147483648', -1, 0, 4, 7, 31, 32, 33, 300, 65535, 1000000, 2147483646, 2147483647);
	},
	int8 => sub {
		return chance(0.7) ? number(0, 50) :
		  one_of("'-9223372036854775808'", -1, 0, 4294967296, 2147483648, '9223372036854775806',
			'9223372036854775807', 1000);
	},
	int2 => sub { return one_of(-32768, -1, 0, 1, 32767) },
	oid => sub { return one_of(0, 1, 1259, 2147483648, 4294967295, "'pg_class'::regclass") },
	bool => sub { return one_of('true', 'false') },
	float8 => sub { return one_of(0, "'NaN'", "'Infinity'", '1e308', '-1e-308') },
	numeric => sub { return one_of(0, "'NaN'", "'Infinity'", '1e1000', "repeat('9', 1000)", '-0.5') },
	jsonb => sub {
		return "(" . quote('[') . " || repeat('[', 3000) || repeat(']', 3000) || ']')" if chance(0.02);
		return "(SELECT jsonb_object_agg(i, repeat('x', i)) FROM generate_series(1, 400) i)"
		  if chance(0.02);
		return quote(one_of(@json));
	},
	interval => sub {
		return chance(0.5) ? one_of("'0'", "'1 ms'", "'5 ms'") :
		  one_of("'-1 ms'", "'178000000 years'", "'-178000000 years'", "'1 month -30 days'",
			"'2147483647 days'", "'-2147483648 months'", "'1 us'", "'9223372036854775807 us'", "'1 hour'");
	},
	timestamptz => sub {
		return chance(0.4) ? one_of('now()', 'clock_timestamp()') :
		  one_of("'infinity'", "'-infinity'", "'epoch'", "'4714-11-24 00:00:00+00 BC'",
			"'294276-12-31 23:59:59.999999+00'", "'1999-01-01'", "now() + '1 day'", "'2038-01-19'",
			"now() - '30 years'::interval");
	},
	regclass => sub {
		return one_of("'topic.t0'", "'topic.t1'", "'topic.control'", "'pg_class'", 0, 4294967295,
			"'kept'", "'streamlog.topics'", "(SELECT max(oid) FROM pg_class)");
	},
	name => sub { return one_of("''", "'" . 'n' x 63 . "'", "'fuzz_owner'", "'public'", "'no_such'", topic_name()) },
	regrole => sub { return one_of("'fuzz_owner'", "'fuzz_nobody'", "'postgres'", 0, 4294967295) },
	uuid => sub { return "'00000000-0000-0000-0000-000000000000'" },
	cstring => sub { return "'x'::cstring" },
	'streamlog.header' => sub {
		return 'ROW('
		  . one_of('NULL', "'k'", "''", "repeat('k', 40000)", "'k'") . ', '
		  . one_of('NULL', "'\\x'", "'v'", "'\\xff00'", "repeat('v', 40000)::bytea") . ')';
	},
	anyelement => sub {
		return one_of(
			'1', '1.5', "'x'::text", "'unknown'", 'NULL', 'NULL::int', 'NULL::pair', "'red'::colour",
			"NULL::colour", "'abc'::short_text", "'\\xff'::bytes", '1::number', "ROW(1, 'a', NULL)",
			"ROW(1, 'a', ARRAY[ROW('k', NULL)::streamlog.header])::pair", 'ARRAY[1, NULL]',
			"ARRAY['x', NULL]::short_text[]", "'{}'::int[]", "'[2:3]={a,b}'::text[]", "'{{1,2},{3,4}}'::int[]",
			"'[1,5)'::int4range", "'{[1,2)}'::int4multirange", "'empty'::tsrange", "point '(1,2)'",
			"inet '::1'", "B'101'", "'12'::money", "'a b'::tsvector", "'a & b'::tsquery", "'x'::\"char\"",
			"'x'::char(5)", "'x'::varchar", "'x'::name", "'\\x00ff'::bytea", "'{\"a\":1}'::json",
			"'{\"a\":1}'::jsonb", "'x'::cstring", 'pg_sleep(0)', 'now()', "'infinity'::date", "interval '-1 year'",
			"'pg_class'::regclass", '0::regclass', 'pg_typeof(1)', "'x'::xid8", "'0/0'::pg_lsn", "'NaN'::float8",
			'NULL::streamlog.header', "NULL::kept", '(SELECT k FROM kept k LIMIT 1)', 'ROW()',
			"ARRAY[ROW(1, 'x', NULL)::pair]::pairs", "'x'::refcursor", "'00:00'::timetz", 'txid_current_snapshot()',
			"repeat('k', 5000000)", "gen_random_uuid()", 'array_fill(1, ARRAY[20, 20])');
	});
$pool{anycompatible} = $pool{anynonarray} = $pool{any} = $pool{anyelement};
$pool{record} = sub { return one_of("ROW(1, 'a')", 'ROW()', "ROW(1, 'a', NULL)::pair", 'NULL::pair') };
$pool{json} = $pool{jsonb};
$pool{varchar} = $pool{text};

sub array_of
{
	my ($element) = @_;
	my $item = sub { return chance(0.15) ? 'NULL' : literal($element) };
	my $list = join(', ', map { $item->() } 1 .. (chance(0.5) ? 2 : number(1, 4)));

	return "ARRAY[$list]" if chance(0.6);
	return one_of(
		"'{}'", "ARRAY[ARRAY[$list], ARRAY[$list]]", "array_fill(NULL::$element, ARRAY[" . number(0, 1000) . '])',
		"array_fill(" . literal($element) . "::$element, ARRAY[2, 2], ARRAY[-5, 7])",
		'array_fill(' . $item->() . "::$element, ARRAY[3], ARRAY[2147483644])", 'NULL');
}

sub literal
{
	my ($type) = @_;

	return array_of($1) if $type =~ /(.*)\[\]$/;
	return $pool{$type} ? $pool{$type}->() : one_of("''", "'x'", '0', 'NULL');
}

# An argument of a consumer's calls that makes sense; undef: it is none, or is not to make any
sub consumer_argument
{
	my ($type, $name) = @_;
	my %sensible = (
		consumer_group => quote(one_of(@groups)),
		topics => $type eq 'text[]' ? 'ARRAY[' . join(', ', map { quote(one_of(@topics)) } 1 .. number(1, 3)) . ']' : undef,
		topic_pattern => one_of('NULL', 'NULL', 'NULL', "'^t'", "'.'", "'^control\$'", "'('"),
		partitions => $type eq 'int4[]' ? one_of('NULL', 'NULL', "'{0}'", "'{1}'", "'{0,1}'", "'{1,1,0}'") : undef,
		next_offsets => one_of('NULL', "'{0}'", "'{1}'", "'{" . number(0, 60) . ',' . number(0, 60) . "}'"),
		member_id => one_of('NULL', 'NULL', 'NULL', "'m0'", "'m1'", "'m2'", "'s-abcdefghijklm'"),
		member => one_of("'m0'", "'m1'", "'m2'", "'i0'", '(SELECT min(member) FROM streamlog.group_members)'),
		instance_id => one_of('NULL', 'NULL', 'NULL', "'i0'", "'i1'"),
		assignor => one_of('NULL', 'NULL', 'NULL', "'range'", "'roundrobin'", "'sticky'"),
		auto_offset_reset => one_of('NULL', "'earliest'", "'latest'", "'none'"),
		to_position => one_of('NULL', "'earliest'", "'latest'"),
		max_records => number(0, 20),
		max_wait => one_of("'0'", "'1 ms'", "'20 ms'"),
		max_poll_interval => one_of('NULL', 'NULL', "'1 ms'", "'50 ms'", "'1 min'"));

	return chance(0.9) ? $sensible{$name} : undef;
}

# An argument: mostly of the type, and what makes sense by its name
sub argument
{
	my ($type, $name) = @_;
	my $value;

	if (chance(0.03))
	{
		return one_of('NULL', "NULL::$type");
	}
	elsif (chance(0.015))
	{
		my $wrong = one_of(sort keys %pool);
		return literal($wrong) . (chance(0.5) ? "::$wrong" : '');
	}
	elsif ($type eq 'text' && $name =~ /^(topic|topics|destination)$/)
	{
		$value = topic_name();
	}
	elsif (my $known = consumer_argument($type, $name))
	{
		$value = $known;
	}
	elsif ($name =~ /^partitions?$|^replication_factor$/ && chance(0.8))
	{
		$value = $name eq 'partition' ? number(0, 2) : $name eq 'partitions' ? number(1, 4) : 1;
	}
	elsif ($name =~ /^(owner|role)$/ && chance(0.7))
	{
		$value = one_of("'fuzz_owner'", "'fuzz_nobody'", "'no_such'", "'postgres'");
	}
	elsif ($name eq 'headers' && $type ne 'jsonb' && chance(0.3))
	{
		$value = 'streamlog.headers(' . quote(one_of(@json)) . ')';
	}
	else
	{
		$value = literal($type);
	}
	return $value if $type =~ /^any|^record|^cstring/;
	return $value if $type !~ /\[/ && chance(0.3);
	return "CAST($value AS $type)";
}

# A call of a function, as an expression
sub call
{
	my ($f) = @_;
	my @arguments;
	my $n = @{ $f->{types} };
	my $least = $n - $f->{defaults};
	my $given = chance(0.95) ? number($least, $n) : number(0, $n + 1);
	my $from_name = chance(0.3) ? number(0, $given) : $given;

	for my $i (0 .. $given - 1)
	{
		my $name = $f->{names}->[$i] // '';
		my $value = argument($f->{types}->[$i] // 'int4', $name);

		if ($i >= $from_name && $name ne '')
		{
			# the rest by name, in any order, some of them left out
			next if $i >= $least && chance(0.4);
			splice(@arguments, number($from_name, scalar(@arguments)), 0, "$name => $value")
			  if @arguments >= $from_name;
		}
		else
		{
			push @arguments, $value;
		}
	}
	$made{ $f->{name} }++;
	return "streamlog.$f->{name}(" . join(', ', @arguments) . ')';
}

sub any_call
{
	my $f;

	# a topic that is dropped is of no use to the others
	do { $f = one_of(@functions) }
	  while ($f->{kind} ne 'f' || $f->{result} =~ /trigger$/ || ($f->{name} eq 'drop_topic' && chance(0.8)));
	return call($f);
}

# The result is counted, lest the client reads megabytes
my @places = (
	sub { "SELECT length((" . $_[0] . ")::text);" },
	sub { "SELECT $_[0] \\g /dev/null" },
	sub { "SELECT count(*) FROM $_[0];" },
	sub { "SELECT * FROM $_[0] LIMIT 3 \\g /dev/null" },
	sub { "SELECT ($_[0]).* \\g /dev/null" },
	sub { "SELECT count(x) FROM $_[0] AS x;" },
	sub { "DO \$fuzz\$ BEGIN PERFORM $_[0]; END\$fuzz\$;" },
	sub { "DO \$fuzz\$ DECLARE x text; BEGIN FOR i IN 1 .. 5 LOOP BEGIN x := $_[0]; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END\$fuzz\$;" },
	sub { "DO \$fuzz\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $_[0] LOOP EXIT; END LOOP; COMMIT; PERFORM $_[0]; ROLLBACK; END\$fuzz\$;" },
	sub { "BEGIN; SELECT count(*) FROM $_[0]; SAVEPOINT a; SELECT count(*) FROM $_[1]; ROLLBACK TO a; SELECT count(*) FROM $_[2]; COMMIT;" },
	sub { "BEGIN; SAVEPOINT a; SELECT count(*) FROM $_[0]; RELEASE a; SELECT count(*) FROM $_[1]; ROLLBACK;" },
	sub { "BEGIN; SELECT count(*) FROM $_[0]; COMMIT AND CHAIN; SELECT count(*) FROM $_[1]; ROLLBACK;" },
	sub { "BEGIN READ ONLY; SELECT count(*) FROM $_[0]; COMMIT;" },
	sub { "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM kept; SELECT count(*) FROM $_[0]; SELECT count(*) FROM $_[1]; COMMIT;" },
	sub { "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM $_[0]; SELECT count(*) FROM $_[1]; COMMIT;" },
	sub { "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT * FROM $_[0]; FETCH 1 FROM c \\g /dev/null\nFETCH BACKWARD 1 FROM c \\g /dev/null\nMOVE LAST FROM c; COMMIT;" },
	sub { "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT $_[0] FROM generate_series(1, 3); FETCH 1 FROM h \\g /dev/null\nCOMMIT; FETCH ALL FROM h \\g /dev/null\nCLOSE ALL;" },
	sub { "PREPARE p AS SELECT count(*) FROM $_[0];\n" . ("EXECUTE p;\n" x 7) . "DEALLOCATE ALL;" },
	sub { "PREPARE p (text, int, bigint) AS SELECT length((" . ($_[0] =~ s/^(.*?\()[^,()]*,/$1\$1,/r) . ")::text);\nEXECUTE p ('t0', 1, 1);\nEXECUTE p (NULL, -1, 1);\nDEALLOCATE ALL;" },
	sub { "SELECT i, length((" . $_[0] . ")::text) FROM generate_series(1, 20) i WHERE i % 5 = 0;" },
	sub { "SELECT count(*) FROM generate_series(1, 3) i, LATERAL $_[0] x WHERE i > 0;" },
	sub { "SELECT count(*) FROM ROWS FROM ($_[0], $_[1]) WITH ORDINALITY;" },
	sub { "SELECT count(*) FROM (VALUES ($_[0], 1)) v;" },
	sub { "SELECT 1 FROM generate_series(1, 2) ORDER BY ($_[0])::text;" },
	sub { "SELECT CASE WHEN random() < 2 THEN ($_[0])::text END IS NULL, coalesce(($_[1])::text, 'x') = 'x';" },
	sub { "WITH a AS MATERIALIZED (SELECT $_[0]), b AS (SELECT $_[1]) SELECT count(*) FROM a, b;" },
	sub { "SELECT string_agg(($_[0])::text, ',') FILTER (WHERE i = 1) IS NULL FROM generate_series(1, 3) i;" },
	sub { "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT * FROM $_[0];" },
	sub { "EXPLAIN (VERBOSE) SELECT $_[0];" },
	sub { "COPY (SELECT count(*) FROM $_[0]) TO STDOUT \\g /dev/null" },
	sub { "CREATE TEMP TABLE made AS SELECT $_[0] AS x; DROP TABLE IF EXISTS made;" },
	sub { "CREATE TEMP TABLE made AS SELECT * FROM $_[0] WITH NO DATA; DROP TABLE IF EXISTS made;" },
	sub { "CREATE TEMP TABLE made (i int, x text DEFAULT ($_[0])::text, CHECK (($_[1]) IS NULL)); INSERT INTO made VALUES (1); UPDATE made SET x = ($_[2])::text RETURNING length(($_[0])::text); DROP TABLE IF EXISTS made;" },
	sub { "BEGIN; CREATE TEMP TABLE made (i text); INSERT INTO made VALUES ('t0'); CREATE INDEX ON made ((($_[0])::text)); ROLLBACK;" },
	sub { "BEGIN; CREATE MATERIALIZED VIEW made_view AS SELECT $_[0] AS x; REFRESH MATERIALIZED VIEW made_view; ROLLBACK;" },
	sub { "SELECT public.swallow(" . quote("SELECT count(*) FROM $_[0]") . "), public.swallow(" . quote("SELECT $_[1]") . ") FROM generate_series(1, 3);" },
	sub { "SET force_parallel_mode = on; SELECT count(*) FROM $_[0]; SELECT length((" . $_[1] . ")::text); RESET force_parallel_mode;" },
	sub { "BEGIN; SELECT count(*) FROM $_[0]; PREPARE TRANSACTION 'fuzz " . number(0, 1000000) . "';\nSELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database() AND owner = current_user \\gexec" },
	sub { "SELECT count(*) FROM $_[0] \\; SELECT count(*) FROM $_[1] \\; SELECT count(*) FROM $_[2];" },
	sub { "SET ROLE fuzz_nobody; SELECT count(*) FROM $_[0]; RESET ROLE;" },
	sub { "BEGIN; SELECT count(*) FROM $_[0]; SET LOCAL ROLE " . one_of(@roles) . "; SELECT count(*) FROM $_[1]; COMMIT;" },
	sub { "SELECT $_[0] = $_[0], $_[1] IS DISTINCT FROM $_[1] \\g /dev/null" },
	sub { "SELECT streamlog.as_text((r).value) FROM $_[0] r \\g /dev/null" },
);

# A transaction that keeps its records, and meets errors on the way
sub keep
{
	my ($session, $n) = @_;
	my $records = sub {
		my $first = $$n;

		$$n += number(1, 5);
		return "SELECT public.keep($session, $first, $$n - 1, " . one_of(0, 10, 500, 5000) . ");\n";
	};
	my $text = chance(0.2) ? $records->() : '';

	$text .= one_of('BEGIN', 'BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'BEGIN ISOLATION LEVEL SERIALIZABLE') . ";\n";
	$text .= $records->();
	for (1 .. number(1, 3))
	{
		my $call = any_call();

		$text .= "SAVEPOINT a;\n";
		$text .= $records->() if chance(0.5);
		$text .= "SELECT count(*) FROM $call;\n";
		$text .= "ROLLBACK TO a;\n";
		$text .= $records->() if chance(0.5);
	}
	$text .= "SELECT count(*) FROM streamlog.flush();\n" if chance(0.3);
	return $text . one_of('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n";
}

sub event
{
	return one_of('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'UPDATE OF n', 'INSERT OR UPDATE',
		'INSERT OR UPDATE OR DELETE', 'INSERT OR UPDATE OR DELETE OR TRUNCATE');
}

sub trigger_argument
{
	return one_of("'t0'", "'t1'", "'n'", "'id'", "'v'", "'gone'", "'no_such'", "''", '1', '-1', '1.5', 'id',
		"'null'", "'tombstone'", "'true'", quote("it's %s"), topic_name() =~ s/^repeat.*/'t1'/r, "'$topics[3]'");
}

# A trigger function on a table of every kind, well and badly
sub trigger
{
	my @triggers = grep { $_->{result} eq 'trigger' } @functions;
	return '' unless @triggers;

	my $f = one_of(@triggers);
	my $name = "streamlog.$f->{name}";
	my @arguments = map { trigger_argument() } 1 .. one_of(0, 0, 1, 1, 2, 3, 40);
	my $arguments = join(', ', chance(0.6) ? ("'" . one_of('t0', 't1') . "'", map { "'$_'" } one_of('id', 'n', 'v', 'j', 'h')) : @arguments);
	my $columns =
	  "id int PRIMARY KEY, n numeric, gone int, v text, j jsonb, h streamlog.header[], b bytea, g int GENERATED ALWAYS AS (id + 1) STORED, p pair, e number DEFAULT 0";
	my $when = one_of('BEFORE', 'AFTER', 'AFTER', 'INSTEAD OF');
	my $row = one_of('ROW', 'ROW', 'STATEMENT');
	my $event = event();
	my $made = "CREATE TRIGGER fuzz $when $event ON made FOR EACH $row EXECUTE FUNCTION $name($arguments);\n";

	$made{ $f->{name} }++;
	return one_of("SELECT $name();\n", "SELECT * FROM $name();\n", "SELECT $name(1, 't0');\n") if chance(0.1);
	$made = "CREATE CONSTRAINT TRIGGER fuzz AFTER " . one_of('INSERT', 'UPDATE', 'DELETE')
	  . " ON made DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION $name($arguments);\n"
	  if chance(0.15);
	$made = "CREATE TRIGGER fuzz AFTER " . one_of('INSERT', 'UPDATE', 'DELETE')
	  . " ON made REFERENCING " . one_of('NEW', 'OLD') . " TABLE AS x FOR EACH $row EXECUTE FUNCTION $name($arguments);\n"
	  if chance(0.1);

	my $table = one_of(
		"CREATE TEMP TABLE made ($columns);\n",
		"CREATE TEMP TABLE made ($columns); ALTER TABLE made DROP COLUMN gone;\n",
		"CREATE TEMP TABLE made ($columns) PARTITION BY RANGE (id); CREATE TEMP TABLE made_1 PARTITION OF made FOR VALUES FROM (0) TO (50); CREATE TEMP TABLE made_2 PARTITION OF made DEFAULT;\n",
		"CREATE TEMP TABLE made_base ($columns); CREATE TEMP VIEW made AS SELECT * FROM made_base;\n",
		"CREATE TEMP TABLE made_base ($columns); CREATE TEMP TABLE made () INHERITS (made_base);\n",
		"CREATE TEMP TABLE made ();\n");
	my @dml = map {
		one_of(
			"INSERT INTO made (id, n, v, j) VALUES ($_, 'NaN', repeat('v', " . number(0, 5000) . "), '{\"a\": 1}');",
			"INSERT INTO made (id, h, b, p) SELECT i, ARRAY[ROW('k', '\\xff')::streamlog.header], '\\x00', ROW(1, 'x', NULL) FROM generate_series(10, 60) i;",
			"INSERT INTO made (id, v) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'conflict';",
			"UPDATE made SET n = n + 1, v = NULL;", "UPDATE made SET id = id + 100;",
			"DELETE FROM made WHERE id % 2 = 0;", 'TRUNCATE made;',
			"MERGE INTO made USING generate_series(1, 20) i ON made.id = i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (i);",
			"COPY made (id, v) FROM STDIN;\n200\tx\n201\t\\N\n\\.\n",
			"WITH x AS (UPDATE made SET v = 'x' RETURNING id) DELETE FROM made WHERE id IN (SELECT id FROM x);",
			"SAVEPOINT b; UPDATE made SET v = v || 'b'; ROLLBACK TO b;",
			'ALTER TABLE made ADD COLUMN more int DEFAULT 1;', 'ALTER TABLE made ALTER COLUMN n TYPE text;')
	} 1 .. number(2, 6);

	return "BEGIN;\n$table" . $made . join("\n", @dml) . one_of("\nCOMMIT;", "\nCOMMIT;", "\nROLLBACK;")
	  . "\nDROP TABLE IF EXISTS made, made_base CASCADE;\nDROP VIEW IF EXISTS made CASCADE;\nDROP TABLE IF EXISTS made_base;\n"
	  if chance(0.5);

	# a statement that fails undoes no other
	return "$table$made" . join("\n", grep { !/SAVEPOINT/ } @dml)
	  . "\nDROP VIEW IF EXISTS made;\nDROP TABLE IF EXISTS made, made_base CASCADE;\n";
}

# SQL on the tables of topics
sub table
{
	my $like = tame() ? "topic <> 'control'" : 'true';
	my $pick = qq(SELECT n.nspname || '.' || quote_ident(c.relname) AS tab
		FROM streamlog.topics JOIN pg_class p ON p.oid = relation
		JOIN pg_class c USING (relname) JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('topic', 'topic_text') AND $like
		ORDER BY random() LIMIT 1 \\gset
	);
	my $key = one_of("'k'", 'NULL', literal('bytea'), literal('text'));
	my $value = one_of("'v'", 'NULL', literal('bytea'), literal('text'));
	my $partition = chance(0.7) ? number(0, 2) : literal('int4');
	my $time = one_of('DEFAULT', literal('timestamptz'));
	my $headers = one_of('NULL', literal('streamlog.header[]'), literal('jsonb'));

	return $pick . one_of(
		"INSERT INTO :tab (key, value) VALUES ($key, $value);\n",
		"INSERT INTO :tab (key, value) VALUES ($key, $value), ('a', $value);\n",
		"INSERT INTO :tab (partition, \"timestamp\", key, value, headers) VALUES ($partition, $time, $key, $value, $headers);\n",
		"INSERT INTO :tab (record_offset, key) VALUES (" . literal('int8') . ", $key);\n",
		"INSERT INTO :tab (key, value) SELECT 'k', 'value ' || i FROM generate_series(1, " . number(0, 3000) . ") i;\n",
		"INSERT INTO :tab (key, value) SELECT convert_to('k', 'UTF8'), convert_to('value ' || i, 'UTF8') FROM generate_series(1, 100) i;\n",
		"INSERT INTO :tab (key, value) VALUES ('k', 'v') ON CONFLICT DO NOTHING RETURNING *;\n",
		"INSERT INTO :tab (key, value) VALUES ('k', 'v') RETURNING record_offset, partition;\n",
		"INSERT INTO :tab DEFAULT VALUES;\n",
		"BEGIN;\nINSERT INTO :tab (key) VALUES ($key);\nSAVEPOINT a;\nINSERT INTO :tab (value) VALUES ($value);\nROLLBACK TO a;\nCOMMIT;\n",
		"COPY :tab (key, value) FROM STDIN;\nk\tv\n\\N\t\\N\n\\\\x00\t\\\\xff\n\\.\n",
		"COPY :tab (key, value) FROM STDIN (FORMAT csv);\nk,\"{\"\"a\"\": \"\"\\u0041\"\"}\"\n,\n\\.\n",
		"COPY :tab FROM STDIN;\n1\t2020-01-01\t0\tk\tv\t\\N\n\\.\n",
		"COPY :tab (key, value, partition) FROM STDIN;\nk\tv\t" . number(-1, 3) . "\nk\n\\.\n",
		"COPY :tab (key, value) FROM STDIN (FREEZE);\nk\tv\n\\.\n",
		"COPY (SELECT * FROM :tab LIMIT 5) TO STDOUT (FORMAT binary) \\g /dev/null\n",
		"COPY :tab TO STDOUT \\g /dev/null\n",
		"UPDATE :tab SET value = 'x';\n", "DELETE FROM :tab WHERE partition = 0;\n", "TRUNCATE :tab;\n",
		"TRUNCATE ONLY :tab CASCADE;\n", "DELETE FROM ONLY :tab;\n",
		"MERGE INTO :tab t USING (SELECT 'x'::bytea AS k) s ON t.key = s.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (key) VALUES ('z');\n",
		"SELECT count(*) FROM :tab WHERE partition = $partition;\n",
		"SELECT * FROM :tab ORDER BY partition, record_offset DESC LIMIT 2 \\g /dev/null\n",
		"SELECT * FROM :tab FOR UPDATE LIMIT 1 \\g /dev/null\n",
		"SELECT count(*), (SELECT count(*) FROM ONLY :tab) FROM :tab a JOIN :tab b USING (key) WHERE a.partition = 0 AND b.record_offset < 5;\n",
		"SELECT count(*) FROM :tab TABLESAMPLE SYSTEM (10);\n",
		"EXPLAIN SELECT * FROM :tab WHERE partition = 1;\n", "EXPLAIN ANALYZE INSERT INTO :tab (key) VALUES ('x');\n",
		"LOCK TABLE :tab IN " . one_of('ACCESS SHARE', 'SHARE', 'ACCESS EXCLUSIVE') . " MODE;\n",
		"BEGIN;\nLOCK TABLE :tab IN ACCESS EXCLUSIVE MODE NOWAIT;\nSELECT count(*) FROM " . any_call() . ";\nROLLBACK;\n",
		"VACUUM :tab;\n", "ANALYZE :tab;\n", "BEGIN;\nSELECT count(*) FROM :tab;\nSELECT count(*) FROM " . any_call() . ";\nCOMMIT;\n",
		"SET session_replication_role = replica;\nINSERT INTO :tab (key) VALUES ('x');\nDELETE FROM :tab;\nRESET session_replication_role;\n");
}

# DDL on the tables and segments of topics, and whatever else could harm them
sub ddl
{
	my $pick = "SELECT relation AS tab FROM streamlog.topics ORDER BY random() LIMIT 1 \\gset\n"
	  . "SELECT relation AS seg FROM streamlog.segments ORDER BY random() LIMIT 1 \\gset\n";

	return '' if tame();
	my $t = one_of(':tab', ':seg', ':tab');
	my $text = one_of(
		"ALTER TABLE $t ADD COLUMN x int;\n", "ALTER TABLE $t DROP COLUMN headers;\n",
		"ALTER TABLE $t ALTER COLUMN value TYPE text USING NULL;\n", "ALTER TABLE $t RENAME COLUMN value TO v;\n",
		"ALTER TABLE $t RENAME TO renamed;\n", "ALTER TABLE $t SET SCHEMA public;\n",
		"ALTER TABLE $t OWNER TO " . one_of(@roles) . ";\n", "ALTER TABLE $t DISABLE TRIGGER ALL;\n",
		"ALTER TABLE $t ENABLE ROW LEVEL SECURITY;\n", "ALTER TABLE $t SET UNLOGGED;\n",
		"ALTER TABLE $t SET (fillfactor = 10);\n", "ALTER TABLE $t NO INHERIT :tab;\n",
		"ALTER TABLE $t INHERIT pg_class;\n", "ALTER TABLE $t DROP CONSTRAINT segments_hold_the_records;\n",
		"ALTER TABLE $t ADD PRIMARY KEY (record_offset);\n", "ALTER TABLE $t CLUSTER ON nothing;\n",
		"ALTER TABLE $t ALTER COLUMN key SET STORAGE PLAIN;\n", "ALTER TABLE $t REPLICA IDENTITY FULL;\n",
		"CREATE INDEX ON $t (record_offset);\n", "CREATE INDEX CONCURRENTLY ON $t (key);\n",
		"CREATE RULE r AS ON INSERT TO $t DO INSTEAD NOTHING;\n", "CREATE POLICY p ON $t USING (false);\n",
		"CREATE TRIGGER x BEFORE INSERT ON $t FOR EACH ROW EXECUTE FUNCTION streamlog.refuse_change();\n",
		"CREATE TABLE heir () INHERITS ($t);\n", "CREATE STATISTICS ON key, value FROM $t;\n",
		"CREATE VIEW leaning AS SELECT * FROM $t;\nDROP VIEW IF EXISTS leaning;\n", "DROP TABLE $t;\n",
		"DROP TABLE $t CASCADE;\n", "DROP TRIGGER refuse_change ON $t;\n", "TRUNCATE $t;\n", "CLUSTER $t;\n",
		"VACUUM FULL $t;\n", "VACUUM (FREEZE) $t;\n", "REINDEX TABLE $t;\n", "COMMENT ON TABLE $t IS 'x';\n",
		"INSERT INTO $t VALUES (99, now(), 0, 'k', 'v', NULL);\n", "DELETE FROM $t;\n", "UPDATE $t SET record_offset = 1;\n",
		"GRANT ALL ON $t TO " . one_of(@roles, 'PUBLIC') . " WITH GRANT OPTION;\n",
		"REVOKE ALL ON $t FROM " . one_of('fuzz_writer', 'fuzz_reader', 'PUBLIC') . " CASCADE;\n",
		"SECURITY LABEL ON TABLE $t IS 'x';\n", "LOCK TABLE $t;\n");

	if ($role ne 'postgres' && chance(0.3))
	{
		$text = one_of(
			'DROP EXTENSION streamlog CASCADE;', 'DROP SCHEMA topic CASCADE;', 'DROP OWNED BY fuzz_nobody CASCADE;',
			'REASSIGN OWNED BY fuzz_owner TO fuzz_nobody;', 'DELETE FROM streamlog.topic;', 'SELECT * FROM streamlog.segment;',
			"SELECT nextval('streamlog.topic_id_seq');", 'CREATE TABLE topic.mine (i int); DROP TABLE IF EXISTS topic.mine;',
			'CREATE FUNCTION streamlog.mine() RETURNS int LANGUAGE sql AS $$SELECT 1$$;', 'ALTER EXTENSION streamlog UPDATE;',
			"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'streamlog', 'streamlog_flush';",
			'CREATE TABLE streamlog_segment.t1_p0_9 (i int);', 'ALTER VIEW streamlog.topics OWNER TO fuzz_owner;',
			'CREATE OR REPLACE VIEW streamlog.topics AS SELECT 1;', 'ALTER FUNCTION streamlog.flush() STRICT;') . "\n";
	}
	return $pick . (chance(0.3) ? "BEGIN;\n${text}SELECT count(*) FROM " . any_call() . ";\nROLLBACK;\n" : $text);
}

# What members of groups do, one thing after the other
my @consumer_calls =
  qw(consume consume consume consume poll poll commit_offsets commit_offsets seek next_offset leave committed_offsets
  reset_offsets delete_offsets delete_group kick_member alter_group);

sub consumer_call
{
	my $name = one_of(@consumer_calls);
	my @named = grep { $_->{name} eq $name } @functions;

	return @named ? call(one_of(@named)) : any_call();
}

sub procedure_call
{
	return 'CALL ' . call(one_of(grep { $_->{kind} eq 'p' } @functions)) . ';';
}

sub consumer
{
	my @text;
	my $is_broken = $database eq 'broken' && $role eq 'postgres';
	my $topic = quote(one_of(@topics));

	for (1 .. number(3, 12))
	{
		my $call = consumer_call();
		my $kind = rand();

		push @text, $kind < 0.35 ? "SELECT count(*) FROM $call;"
		  : $kind < 0.45 ? 'BEGIN;'
		  : $kind < 0.55 ? one_of('COMMIT;', 'COMMIT;', 'ROLLBACK;', 'COMMIT AND CHAIN;', 'ROLLBACK AND CHAIN;')
		  : $kind < 0.60 ? one_of('SAVEPOINT a;', 'SAVEPOINT a;', 'ROLLBACK TO a;', 'RELEASE a;')
		  : $kind < 0.65 ? 'SET ROLE ' . one_of($role eq 'postgres' ? @roles : $role) . ';'
		  : $kind < 0.67 ? 'DISCARD ALL;'
		  : $kind < 0.70 ? procedure_call()
		  : $kind < 0.74 ? "INSERT INTO worked SELECT * FROM $call;"
		  : $kind < 0.78 ? one_of(@places)->($call, consumer_call(), consumer_call())
		  : $kind < 0.84 ? "SELECT count(streamlog.produce($topic, i::text, 'v')) FROM generate_series(1, " . number(1, 30) . ') i;'
		  : $kind < 0.87 ? "SELECT streamlog.alter_topic($topic, " . number(2, 5) . ');'
		  : $kind < 0.90 ? "SELECT streamlog.drop_topic($topic);\n" . make_topic(one_of(@topics))
		  : $kind < 0.93 ? "SELECT count(*) FROM streamlog.delete_records($topic);"
		  : $kind < 0.96 ? "SELECT count(*) FROM streamlog." . one_of('group_members', 'consumer_groups', 'group_lag') . ';'
		  : $is_broken ? one_of('BEGIN; DROP EXTENSION streamlog CASCADE; ROLLBACK;',
			'DROP EXTENSION streamlog CASCADE; CREATE EXTENSION streamlog; GRANT CREATE ON SCHEMA topic TO fuzz_owner;')
		  : "SELECT public.swallow(" . quote("SELECT count(*) FROM $call") . '), public.swallow(' . quote('SELECT count(*) FROM ' . consumer_call()) . ');';
	}
	return "CREATE TEMP TABLE IF NOT EXISTS worked (LIKE streamlog.log_record);\n" . join("\n", @text) . "\nROLLBACK;\n";
}

sub setting
{
	my $odd = one_of("''", "'0'", "'-1'", "'1'", "'64kB'", "'1GB'", "'9223372036854775807'", "'on'", "'NaN'", 'DEFAULT',
		"'x'", "'%s%n'", "'1e10'", "'2147483647'", quote("a, b\n, c"), "'" . 'x' x 5000 . "'", "'100ms'", "'64'", "'fetch-begin'");

	return 'SET ' . one_of('', '', 'LOCAL ') . one_of(@settings) . " TO $odd;\n" if chance(0.6);
	return 'SET ' . one_of(
		"search_path = topic, streamlog, public", "search_path = ''", 'search_path = pg_temp, streamlog', 'work_mem = 64',
		"plan_cache_mode = force_generic_plan", 'enable_seqscan = off', "client_encoding = 'LATIN1'", "client_encoding = 'UTF8'",
		"client_encoding = 'SJIS'", 'bytea_output = escape', "DateStyle = 'German'", "IntervalStyle = sql_standard",
		"default_transaction_isolation = serializable", 'default_transaction_read_only = on', 'client_min_messages = debug1',
		'synchronous_commit = off', 'default_table_access_method = nothing', "default_tablespace = ''", 'row_security = off',
		'default_toast_compression = lz4', 'xmloption = document', 'debug_discard_caches = 1', 'standard_conforming_strings = on',
		'synchronize_seqscans = off', 'temp_buffers = 100', 'lc_messages = C', "TimeZone = 'Asia/Kathmandu'") . ";\n";
}

sub view
{
	my $view = one_of(@views);

	return one_of(
		"SELECT * FROM streamlog.$view \\g /dev/null\n", "SELECT count(*) FROM streamlog.$view WHERE topic = " . topic_name() . ";\n",
		"SELECT * FROM streamlog.$view ORDER BY 1 LIMIT 1 \\g /dev/null\n", "EXPLAIN ANALYZE SELECT * FROM streamlog.$view;\n",
		tame() ? '' : "INSERT INTO streamlog.$view SELECT * FROM streamlog.$view;\nDELETE FROM streamlog.$view;\n",
		"BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT count(*) FROM streamlog.$view;\nSELECT count(*) FROM " . any_call() . ";\nCOMMIT;\n");
}

sub produce_some
{
	my $topic = quote(one_of(@topics));

	return one_of(
		"SELECT streamlog.produce($topic, 'k', 'v');\n",
		"SELECT count(streamlog.produce($topic, 'k' || i, repeat('v', i))) FROM generate_series(1, " . number(1, 2000) . ") i;\n",
		"SELECT streamlog.produce($topic, 'k', repeat(md5('" . number(0, 99) . "'), 30000));\n",
		"BEGIN;\nSELECT streamlog.produce($topic, 'k', 'v');\nSELECT count(*) FROM streamlog.flush();\nCOMMIT;\n",
		make_topic(one_of(@topics)));
}

# What one psql runs
sub script
{
	my ($session, $n) = @_;
	my $text = "\\set ON_ERROR_ROLLBACK " . one_of('on', 'off') . "\n" . make_topic(one_of(@topics));

	for my $name ('statement_timeout', 'lock_timeout')
	{
		$text .= "SET $name = " . one_of(20, 100, 300, 300) . ";\n";
	}
	for (1 .. 40)
	{
		my $kind = rand();

		$text .= $kind < 0.45 ? one_of(@places)->(any_call(), any_call(), any_call()) . "\n"
		  : $kind < 0.60 ? consumer()
		  : $kind < 0.66 ? keep($session, $n)
		  : $kind < 0.72 ? trigger()
		  : $kind < 0.80 ? table()
		  : $kind < 0.85 ? ddl()
		  : $kind < 0.90 ? setting()
		  : $kind < 0.94 ? view()
		  : produce_some();
		$text .= "ROLLBACK;\n" if chance(0.3);
	}
	return $text;
}

# Everything that can be called, with the types and names of its arguments
sub fuzz_functions
{
	my ($node) = @_;
	my @found;

	for my $line (
		split /\n/,
		$node->safe_psql(
			'postgres', q(
			SELECT proname, prokind, lanname, proretset, prorettype::regtype, pronargs, pronargdefaults,
				(SELECT string_agg(t::regtype::text, ';' ORDER BY o)
					FROM unnest(proargtypes) WITH ORDINALITY u(t, o)),
				(SELECT string_agg(n, ';' ORDER BY o) FROM unnest(proargnames) WITH ORDINALITY u(n, o)
					WHERE proargmodes IS NULL OR proargmodes[o] IN ('i', 'b', 'v'))
			FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_language l ON l.oid = prolang
			WHERE nspname = 'streamlog' ORDER BY proname, proargtypes::regtype[]::text)))
	{
		my ($name, $kind, $language, $set, $result, $n, $defaults, $types, $names) = split /\|/, $line, -1;
		my %short = (
			integer => 'int4', bigint => 'int8', boolean => 'bool', 'timestamp with time zone' => 'timestamptz',
			'character varying' => 'varchar', smallint => 'int2', 'double precision' => 'float8');
		my @types = map { s/^([a-z ]+)/$short{$1} \/\/ $1/er } split /;/, $types;

		push @found,
		  { name => $name, kind => $kind, language => $language, set => $set, result => $result, defaults => $defaults,
			types => \@types, names => [ split /;/, $names ] };
	}
	return @found;
}

sub look_around
{
	my ($node) = @_;

	@functions = fuzz_functions($node);
	@views = split /\n/, $node->safe_psql('postgres',
		"SELECT relname FROM pg_class WHERE relnamespace = 'streamlog'::regnamespace AND relkind = 'v' ORDER BY 1");
	@settings = split /\n/,
	  $node->safe_psql('postgres', "SELECT name FROM pg_settings WHERE name ~ '^streamlog[.]' ORDER BY 1");
	return;
}

# Scripts are kept until it is known that nothing was wrong.
sub script_file
{
	my ($session, $n) = @_;

	return "$PostgreSQL::Test::Utils::log_path/fuzz-$session-$n.sql";
}

# Sessions one after the other, until it is time; what went wrong is printed.
sub fuzz_session
{
	my ($node, $dir, $session, $seed, $until) = @_;
	my $n = 0;
	my $chunk = 0;

	srand($seed * 100 + $session);
	while (time < $until)
	{
		my $file = script_file($session, $chunk);

		$database = one_of(('postgres') x 7, 'ascii', 'ascii', 'broken');
		$role = one_of(@roles, 'postgres', 'fuzz_owner', 'fuzz_owner');
		my $text = script($session, \$n);
		append_to_file($file, $text);
		local $ENV{PGAPPNAME} = "fuzz-$session-$chunk";
		my $status = system("timeout -k 10 120 psql -XAtq -U $role -d $database -f $file > $dir/$session.out 2>&1");
		print "seed $seed, session $session, script $chunk: psql ended with $status\n" if $status != 0;
		$chunk++;
	}
	append_to_file("$dir/$session.made", join('', map { "$_ $made{$_}\n" } sort keys %made));
	append_to_file("$dir/$session.made", "scripts $chunk\n");
	return;
}

# Fuzz for so many seconds.  Named arguments: seed, seconds, sessions.  What went wrong
# with the sessions is returned; what they did to the server is for fuzz_complaints().
sub fuzz_run
{
	my ($node, %arg) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $until = time + $arg{seconds};
	my (%running, @wrong);
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;

	look_around($node);
	for my $session (1 .. $arg{sessions} // 3)
	{
		my $pid = fork() // die "cannot fork: $!";

		if ($pid == 0)
		{
			open(STDOUT, '>', "$dir/$session.log");
			open(STDERR, '>&', \*STDOUT);
			my $done = eval { fuzz_session($node, $dir, $session, $arg{seed}, $until); 1 };
			print "session $session: $@\n" unless $done;
			close(STDOUT);
			POSIX::_exit(0);
		}
		$running{$pid} = $session;
	}
	while (time < $until)
	{
		usleep(20_000 + rand(300_000));
		last if ($node->psql(
			'postgres', q(
			SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'fuzz-%'
				AND state = 'active' ORDER BY random() LIMIT 1), timeout => 30))[0] != 0;
	}
	for my $pid (keys %running)
	{
		waitpid($pid, 0);
		my $said = slurp_file("$dir/$running{$pid}.log");
		push @wrong, $said if $said ne '';
		next unless -e "$dir/$running{$pid}.made";
		for (split /\n/, slurp_file("$dir/$running{$pid}.made"))
		{
			my ($name, $times) = split / /;
			$made{$name} += $times;
		}
	}
	return @wrong;
}

# How often a function was called by the statements made
sub fuzz_called
{
	return %made;
}

# The functions that no call of has succeeded.  Trigger functions may be there to
# refuse, and calls of those in SQL are not counted.
sub fuzz_unsuccessful
{
	my ($node) = @_;
	my @names = map { split /\n/, $node->safe_psql($_,
		"SELECT funcname FROM pg_stat_user_functions WHERE schemaname = 'streamlog'") } @databases;
	my %succeeded = map { $_ => 1 } @names;

	return sort grep { !$succeeded{$_} } map { $_->{name} }
	  grep { $_->{language} eq 'c' && $_->{result} !~ /trigger$/ } fuzz_functions($node);
}

# The messages of the server that say it is broken, each with its statement.  That
# two have changed the same row of a system catalog, as two GRANTs may, is PostgreSQL's
# own answer; so is that what a call was about to open has gone, where the extension is
# dropped under it.
sub log_complaints
{
	my ($log) = @_;
	my @wrong;

	my $detail = qr/^.{6}\[\d+\] (?:\S+ )?(?:DETAIL|HINT|CONTEXT|LOCATION|STATEMENT|QUERY): /;
	my @lines = split /\n(?=[0-9A-Z]{5} \[)/, $log;
	for my $i (0 .. $#lines)
	{
		my $line = $lines[$i];
		my $bad = $line =~ /^XX00/ && $line !~ $detail && $line !~ /^XX00[12] \[\d+\] \S*\@broken\//;

		$bad = 0 if $line =~ /ERROR:  XX000: tuple concurrently (?:updated|deleted)$/;
		$bad = 0 if $line =~ /\@broken\/.*ERROR:  XX000: (?:could not open relation with OID|cache lookup failed)/;
		$bad ||= $line =~ /PANIC:|TRAP: |terminated by signal|reinitializing|crash of another/;
		$bad ||= $line =~ /WARNING: .*(?:leak|still referenced|you don't own|problem in alloc|detected write past)/;
		next unless $bad;

		# what the same process says about it, among what others say
		my ($pid) = $line =~ /^.{6}\[(\d+)\]/;
		my $text = $line;
		for my $j ($i + 1 .. $i + 50)
		{
			next if $j > $#lines || $lines[$j] !~ /^.{6}\[$pid\]/;
			last if $lines[$j] !~ $detail;
			$text .= "\n    " . substr($lines[$j], 0, 1500);
		}
		$text .= "\n    in " . script_file($1, $2) if $line =~ m{/fuzz-(\d+)-(\d+) };
		push @wrong, $text;
	}
	return @wrong;
}

my %question = (
	'a problem for check_topic()' => q(
		SELECT topic, c.* FROM streamlog.topics, streamlog.check_topic(topic) c
		WHERE problem IS NOT NULL),
	'kept but not in the log, or the other way round' => q(
		WITH log AS (
			SELECT streamlog.as_text(key) AS session, split_part(streamlog.as_text(value), ' ', 1) AS n
			FROM topic.control)
		SELECT 'lost' AS what, l.* FROM (SELECT session::text, n::text FROM kept EXCEPT ALL SELECT * FROM log) l
		UNION ALL
		SELECT 'not kept', l.* FROM (SELECT * FROM log EXCEPT ALL SELECT session::text, n::text FROM kept) l),
	'out of order' => q(
		SELECT * FROM (
			SELECT key, value, lag(n) OVER (PARTITION BY key, partition ORDER BY record_offset) AS before, n
			FROM (SELECT *, split_part(streamlog.as_text(value), ' ', 1)::int AS n FROM topic.control) c) l
		WHERE before >= n),
	'not to be fetched' => q(
		SELECT p, n, c FROM (SELECT p, (SELECT count(*) FROM streamlog.fetch_records('control', p, 0, 10000000, 1000000000)) AS n,
			(SELECT count(*) FROM topic.control WHERE partition = p) AS c FROM generate_series(0, 1) p) s
		WHERE n <> c),
	'held for ever' => q(SELECT * FROM streamlog.undecided_transactions),
	'no worker' => q(SELECT 1 WHERE NOT EXISTS (SELECT FROM streamlog.workers WHERE database = current_database())),
	'a temporary file' => q(SELECT * FROM pg_ls_tmpdir()),
	'a prepared transaction' => q(SELECT * FROM pg_prepared_xacts));

# All that is wrong after it.
sub fuzz_complaints
{
	my ($node) = @_;
	my @wrong = log_complaints(slurp_file($node->logfile));

	# what hurts no more may still be held, of a session that is about to end
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'fuzz-%'")
	  or push @wrong, 'sessions do not end';
	$node->poll_query_until(
		'postgres', q(
		SELECT count(*) = 0 FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE a.pid IS NULL OR (a.pid <> pg_backend_pid() AND backend_type = 'client backend')))
	  or push @wrong, 'locks are left: '
	  . $node->safe_psql('postgres', 'SELECT l FROM pg_locks l WHERE pid IS DISTINCT FROM pg_backend_pid() LIMIT 5');

	for my $db (@databases)
	{
		next if $db eq 'broken';
		$node->poll_query_until($db, "SELECT NOT EXISTS (SELECT FROM streamlog.group_members WHERE member LIKE 's-%' AND coalesce(instance_id, '') = '')")
		  or push @wrong, "$db: sessions that have ended are members of groups";
		for my $what (sort keys %question)
		{
			my ($status, $rows, $error) = $node->psql($db,
				"WITH q AS ($question{$what}) SELECT count(*) OVER (), q FROM q LIMIT 3");

			push @wrong, "$db: $what: $error" . join(' ', split /\n/, $rows) if $status != 0 || $rows ne '';
		}
	}
	unlink glob(script_file('*', '*')) unless @wrong;
	return @wrong;
}

# Memory: the same call again and again, which fails or not, in one session; so for
# one function after the other.  Named arguments: seed; calls, how many different
# ones; first, the function to begin with; times.  The calls that make the session grow
# are returned.
sub fuzz_growth
{
	my ($node, %arg) = @_;
	my $tried = 0;
	my @wrong;

	srand($arg{seed});
	look_around($node);
	($role, $database) = ('fuzz_owner', 'postgres');
	my @callable = grep { $_->{kind} eq 'f' && $_->{result} !~ /trigger$/ } @functions;
	my $next = $arg{first} // int(rand(@callable));
	while ($tried < $arg{calls})
	{
		my $call = call($callable[ $next++ % @callable ]);

		# none that waits, or leaves ever more to be kept
		next if $call =~ /repeat|_topic|hour|years|days|months|[mu]s'|fill/;

		my $statement = quote(one_of("SELECT count(*) FROM $call", "SELECT length(($call)::text)")) =~ s/\n/ /gr;
		my $again = "DO \$fuzz\$ DECLARE x text; BEGIN FOR i IN 1 .. NTIMES LOOP"
		  . " x := public.swallow($statement); END LOOP; END\$fuzz\$;";
		my $size = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts;";
		my $begin = "SET ROLE fuzz_owner;\nSET statement_timeout = '60s';\n";
		my $start = time;

		# nor one that takes long
		$node->psql('postgres', $begin . $again =~ s/NTIMES/20/r);
		next if time - $start > 0.2;
		$tried++;

		# three times as often: what is kept for the next time grows once, not twice
		$again =~ s/NTIMES/$arg{times}/;
		my ($status, $out, $error) = $node->psql('postgres', $begin . "$again\n$size\n" x 3);
		my ($before, $between, $after) = split /\n/, $out;

		# on a machine that is busy with something else
		next if $error =~ /due to statement timeout/;
		if (!defined $after)
		{
			push @wrong, "$statement: $error";
		}
		elsif ($between - $before > 200 * 1024 && $after - $between > 200 * 1024)
		{
			push @wrong, "$statement: grows from $before to $after bytes";
		}
	}
	return @wrong;
}

# Arguments as large as they can be, one call at a time.  Nothing is returned: what
# goes wrong is for fuzz_complaints().
my %big = (
	text => [ "repeat('x', 1073741800)", "repeat('\xc3\xbc', 250000000)" ],
	bytea => [
		"repeat('x', 1073741800)::bytea", "convert_to(repeat('[', 500000000), 'UTF8')",
		"convert_to('[' || repeat('1,', 10000000) || '1]', 'UTF8')", "decode(repeat('ff', 500000000), 'hex')" ],
	'text[]' => [
		"array_fill(repeat('x', 1000000), ARRAY[1000])", "array_fill(''::text, ARRAY[50000000])",
		"ARRAY[repeat('x', 1073741700)]" ],
	'bytea[]' => [
		"array_fill(repeat('x', 1000000)::bytea, ARRAY[1000])", "array_fill(NULL::bytea, ARRAY[134217727])" ],
	'streamlog.header[]' => [
		"array_fill(ROW('k', repeat('v', 1000000)::bytea)::streamlog.header, ARRAY[1000])",
		"ARRAY[ROW(repeat('k', 1073741600), NULL)::streamlog.header]",
		"array_fill(ROW('', NULL)::streamlog.header, ARRAY[20000000])" ],
	jsonb => [
		"jsonb_build_object('segment.bytes', repeat('1', 268435000))",
		"jsonb_build_object('a', repeat('x', 260000000))",
		"jsonb_build_object(repeat('x', 260000000), 1)",
		"(SELECT jsonb_agg(jsonb_build_object('k', i)) FROM generate_series(1, 3000000) i)" ],
	anyelement => [
		"repeat('x', 1073741800)", "repeat('x', 1073741800)::bytea", "ROW(repeat('x', 1000000000))",
		"ROW(repeat('\"', 600000000))", "array_fill(repeat('x', 1000000), ARRAY[1000])" ]);
$big{anycompatible} = $big{anyelement};

sub fuzz_big
{
	my ($node, %arg) = @_;
	my %sensible = (
		text => "'huge'", int4 => 0, int8 => 0, bool => 'true', interval => "'0'", timestamptz => 'now()',
		regclass => "'topic.huge'", anyelement => "'k'::text", anycompatible => "'v'::text", bytea => "'v'",
		'text[]' => "ARRAY['v']", 'bytea[]' => "ARRAY['v'::bytea]", 'streamlog.header[]' => 'NULL', jsonb => "'{}'");
	my (@statements, %seen);

	look_around($node);
	for my $f (grep { $_->{kind} eq 'f' && $_->{result} !~ /trigger$/ } @functions)
	{
		my @types = @{ $f->{types} };

		for my $i (grep { $big{ $types[$_] } } 0 .. $#types)
		{
			my $name = $f->{names}->[$i] // $i;
			my @values = @{ $big{ $types[$i] } };

			# of functions with the same C code once each, and a name is refused by its length
			@values = ($values[0]) if $name =~ /^topics?$/;
			for my $value (grep { !$seen{"$f->{name} $name $_"}++ } @values)
			{
				my @arguments = map { $sensible{$_} // 'NULL' } @types;

				$arguments[$i] = $value;
				for my $n (0 .. $#types)
				{
					$arguments[$n] = 'NULL' if $n != $i && ($f->{names}->[$n] // '') =~ /^partitions?$|^keys$/;
					$arguments[$n] = "CAST($arguments[$n] AS $types[$n])" unless $types[$n] =~ /^any/;
				}
				my $call = "streamlog.$f->{name}(" . join(', ', @arguments) . ')';
				push @statements, $f->{set} eq 't' ? "SELECT count(*) FROM $call" : "SELECT length(($call)::text)";
			}
		}
	}
	push @statements,
	  "SELECT count(*), sum(length(value)) FROM streamlog.fetch_records('huge', 0, 0, 1000, 2147483647)",
	  "SELECT count(*), max(length(value)) FROM topic.huge",
	  "SELECT count(streamlog.as_text(value)) FROM topic.huge", "SELECT count(*) FROM streamlog.check_topic('huge')",
	  "SELECT count(*), max(length(value)) FROM topic_text.huge",
	  "INSERT INTO topic_text.huge (value) SELECT repeat('x', 1000000000)",
	  "INSERT INTO topic.huge (value) SELECT repeat('x', 1000000000)::bytea",
	  "BEGIN; SELECT streamlog.produce('huge', 'k', repeat('x', 900000000)); SAVEPOINT a;"
	  . " SELECT streamlog.produce('huge', 'k', repeat('y', 900000000)); ROLLBACK TO a; COMMIT";

	$node->safe_psql(
		'postgres', q(
		SELECT streamlog.create_topic('huge', 1, config => '{"max.message.bytes": 1006632959}');
));
	for my $statement (@statements)
	{
		my $start = time;
		my ($status, $out, $error) =
		  $node->psql('postgres', "SET statement_timeout = '120s';\n$statement;\n", timeout => 300);

		note(sprintf '%.1f s: %s: %s', time - $start, substr($statement, 0, 160), substr("$out$error", 0, 120));
	}
	return scalar(@statements);
}

1;
