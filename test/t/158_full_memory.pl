# No more room in shared memory for consumer groups: who comes new is refused, who is there
# goes on, and what was handed out is confirmed all the same.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('full');
$node->init;
$node->append_conf('postgresql.conf', 'streamlog.group_memory = 1MB');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION streamlog');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = public, streamlog');
$node->safe_psql('postgres', q{
SELECT create_topic('orders'), create_topic('other'), create_topic('wide', 2000);
SELECT count(*) FROM produce_batch('orders', NULL, '{a,b,c,d}');
CREATE TABLE full_at (n int);
CREATE PROCEDURE fill(prefix text) LANGUAGE plpgsql AS $$
DECLARE state text; said text; hint text;
BEGIN
	FOR i IN 1 .. 10000 LOOP
		PERFORM count(*) FROM poll('other', 'fill', member_id => prefix || i);
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE clear(prefix text) LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM group_members WHERE consumer_group = 'fill') LOOP
		PERFORM leave('fill', member) FROM group_members WHERE consumer_group = 'fill';
		COMMIT;
	END LOOP;
END $$;
});

# How many members there is room for; the error
sub fill
{
	my ($prefix) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nCALL fill('$prefix')");

	return ($node->safe_psql('postgres', "SELECT count(*) FROM group_members WHERE consumer_group = 'fill'"), $err);
}

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $consume = "SELECT string_agg(as_text(value), ',') FROM consume(%s, 'g', max_records => 1);";
is($session->query(sprintf $consume, "'orders'"), 'a', 'a consumer has a record in hand');

my ($members, $error) = fill('x');
cmp_ok($members, '>', 50, "there was room for $members members");
like($error, qr/ERROR:  53400: too many members of consumer groups/, 'and then no more');
like($error, qr/HINT:  Raise "streamlog.group_memory"/, 'it is said which setting to raise');

# A topic that finds no room: the call confirms what is in hand and returns nothing, so that
# the confirmation commits; with nothing to confirm it fails, and the offset stays.
# Mutations: it fails at once, so that the batch stays for ever; it goes on without
# the topic and says nothing.
is($session->query(sprintf $consume, "ARRAY['orders', 'wide']"), '', 'the batch is confirmed, nothing is handed out');
is($node->safe_psql('postgres', "SELECT next_offset FROM committed_offsets('g')"), 1, 'its offset is committed');
$session->query(sprintf $consume, "ARRAY['orders', 'wide']");
like($session->{stderr}, qr/ERROR:  out of shared memory for consumer groups/, 'the next call fails');
$session->{stderr} = '';
is($session->query(sprintf $consume, "'orders'"), 'b', 'without the topic the consumer goes on');
is($session->query(sprintf $consume, "'orders'"), 'c', 'and on');

# What is given back can be used again, all of it
$node->safe_psql('postgres', "CALL clear('x')");
my ($again) = fill('y');
cmp_ok($again, '>=', $members - 5, 'as many find room again');
$node->safe_psql('postgres', "CALL clear('y')");
is($session->query(sprintf $consume, "ARRAY['orders', 'wide']"), 'd', 'there is room for the topic, and nothing is missing');
$session->quit;
$node->stop;
done_testing();
