# Drivers: the programs of the README run and print what it says; and whatever a
# driver sends as a key or a value, in whichever way, arrives as the README's table
# says, byte for byte.  A consumer that waits for notifications hears of every record.
#
# Needs what scripts/test installs: psycopg 3 and 2, DBD::Pg, JDBC and a JDK.
#
# Mutations: convert a bytea by its output function; append at once in a transaction
# block, too; no sl_workers_wake_for_notices() in end_claim().

use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/../..";
my $jar = '/usr/share/java/postgresql.jar';
my $dir = PostgreSQL::Test::Utils::tempdir();

# Java has no Unix-domain sockets
my $node = PostgreSQL::Test::Cluster->new('drivers');
$node->init;
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nlog_statement = none\n");
$node->start;
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $url = 'jdbc:postgresql://127.0.0.1:' . $node->port . "/shop?user=$user";
my @java = ('java', '-XX:TieredStopAtLevel=1', '-cp', $jar);

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PYTHONUTF8} = 1;

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('shop', $query);
}

# The blocks of a kind in the section
my $readme = slurp_file("$root/README.md");
my ($section) = $readme =~ /^## From your language\n(.*?)^## /ms or die 'no section';
my ($search_path) = $readme =~ /^ +(ALTER DATABASE shop SET search_path = .*;)$/m or die 'no search_path';

sub block
{
	my ($kind, $n) = @_;
	my @blocks = $section =~ /^```\Q$kind\E\n(.*?)^```$/msg;

	return $blocks[ $n // 0 ] // die "no block of $kind";
}

$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', $search_path);
sql('CREATE EXTENSION streamlog');

# The first block without a language is what they print.
my ($printed) = $section =~ /^```\n(appended at .*?)^```$/ms or die 'no output';
my ($consumed) = $section =~ /^```\n(receipt .*?)^```$/ms or die 'no output of the consumer';

for my $example (
	[ 'python', 'payments.py', 'consumer.py', '/usr/bin/python3' ],
	[ 'java', 'Payments.java', 'Consumer.java', @java ],
	[ 'perl', 'payments.pl', 'consumer.pl', '/usr/bin/perl' ])
{
	my ($language, $file, $consumer, @program) = @$example;
	my @arguments = $language eq 'java' ? $url : ();
	my @command = (@program, "$dir/$file", @arguments);
	my ($out, $err) = ('', '');

	append_to_file("$dir/$file", block($language));
	sql(block('sql'));
	my $program = IPC::Run::start(\@command, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	# it waits for more, and is woken
	$node->poll_query_until('shop', q(
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'FROM fetch_records'
			AND wait_event = 'Extension' AND pid <> pg_backend_pid())
		OR NOT EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'payments' AND pid <> pg_backend_pid())
			AND (SELECT end_offset FROM partitions WHERE topic = 'payments') > 4))
	  or diag("$language does not wait");
	sql(q(SELECT produce('payments', 'late', '{"amount": 8}')));
	ok($program->finish, "$language: the example gets through") or diag($err);
	is($out, qq(${printed}5 late {"amount": 8} -\n), "$language: it prints what the README says");
	is(sql(q(
		SELECT record_offset, encode(key, 'escape'), encode(value, 'escape'), to_jsonb(headers)
		FROM fetch_records('payments', 0, 0))),
		q(0|anna|{"id": 1, "amount": 15}|[{"key": "source", "value": "\\\\x776562"}]
1|bert|{"amount": 7}|
2|anna|{"amount": 1}|
3|carl|{"amount": 2}|
4|dora|{"amount": 4}|
5|late|{"amount": 8}|), "$language: the records are there");
	is(sql('SELECT id, customer, amount FROM payment'), '1|anna|15', "$language: and so is the row");

	# the consumer; once more it finds nothing to do
	append_to_file("$dir/$consumer", block($language, 1));
	@command = (@program, "$dir/$consumer", @arguments);
	for my $expected ("${consumed}receipt 5 for late\n", '')
	{
		$out = '';
		ok(IPC::Run::run(\@command, '>', \$out, '2>', \$err,
				IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
			"$language: the consumer gets through") or diag($err);
		is($out, $expected, "$language: it prints what the README says");
		is(sql("SELECT string_agg(customer || ' ' || total, ', ' ORDER BY customer) FROM account"),
			'anna 16, bert 7, carl 2, dora 4, late 8', "$language: and has kept the accounts");
	}
	sql("DROP TABLE payment, account; SELECT drop_topic('payments')");
}

# Everything that a driver sends
for my $driver (
	[ 'psycopg_3', '/usr/bin/python3', '-B', "$root/test/drivers/psycopg_3.py", 'dbname=shop' ],
	[ 'psycopg_2', '/usr/bin/python3', '-B', "$root/test/drivers/psycopg_2.py", 'dbname=shop' ],
	[ 'jdbc', @java, "$root/test/drivers/Matrix.java", $url ],
	[ 'dbd_pg', '/usr/bin/perl', "$root/test/drivers/dbd_pg.pl", 'dbname=shop' ])
{
	my ($topic, @command) = @$driver;
	my ($out, $err) = ('', '');
	my (@expected, @wrong);
	my $claims = 0;

	sql("SELECT create_topic('$topic')");
	ok(IPC::Run::run([ @command, $topic ], '>', \$out, '2>', \$err,
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
		"$topic gets through") or diag(substr($err, -2000));
	for my $line (split /\n/, $out)
	{
		my ($kind, @fields) = split /\t/, $line;

		$claims++ if $kind eq 'ok';
		push @expected, \@fields if $kind eq 'record';
		push @wrong, $line if $kind eq 'not ok';
	}
	is(join("\n", @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]), '', "$topic: all is as it should be");
	cmp_ok($claims, '>=', 5, "$topic: $claims claims");

	@wrong = ();
	my @stored = map { [ split /\|/ ] } split /\n/, sql(qq(
		SELECT record_offset, coalesce('x' || encode(key, 'hex'), '-'), coalesce('x' || encode(value, 'hex'), '-')
		FROM fetch_records('$topic', 0, 0, 1000000, 1000000000)));
	for my $i (0 .. ($#stored > $#expected ? $#stored : $#expected))
	{
		my ($offset, $key, $value, $label) = @{ $expected[$i] // [ '-', 'nothing', 'nothing', 'too much' ] };
		my ($at, @bytes) = @{ $stored[$i] // [ '-', 'nothing', 'nothing' ] };

		push @wrong, "$label: $offset $key $value, is $at @bytes"
		  if "$key $value" ne "@bytes" || $offset ne '-' && $offset ne $at;
		last if @wrong == 5;
	}
	is(join("\n", @wrong), '', "$topic: " . @expected . ' records, byte for byte, at the offsets that were told');
	is(sql("SELECT count(problem) FROM check_topic('$topic')"), 0, "$topic: in order");
}

# A consumer that waits for notifications, and one that looks by itself
for my $notify ('true', 'false')
{
	my ($out, $err) = ('', '');
	my $seconds = $notify eq 'true' ? $PostgreSQL::Test::Utils::timeout_default : 0.3;
	my @listener = ('/usr/bin/python3', '-B', "$root/test/drivers/listen_psycopg.py", 'dbname=shop', 'Heard.of');

	sql(qq(SELECT create_topic('Heard.of', 2, config => '{"notify": $notify}'); SELECT produce('Heard.of', NULL, 'first', partition => 0)));
	my $program = IPC::Run::start([ @listener, 5, $seconds ], '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	for my $n (0 .. 3)
	{
		$program->pump until (() = $out =~ /^\d/mg) > $n;
		sleep 1 if $n == 2;
		my $partition = $n % 2;
		sql("SELECT produce('Heard.of', NULL, 'value $n', partition => $partition)");
	}
	ok($program->finish, "notify $notify: the consumer gets through") or diag($err);
	$out =~ s/^look\n//mg if $notify eq 'false';
	is($out, "0 0 first\n0 1 value 0\n1 0 value 1\n0 2 value 2\n1 1 value 3\n", "notify $notify: it reads everything");
	sql(q(SELECT drop_topic('Heard.of')));
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000/, 'the server lives on');
$node->stop;
done_testing();
