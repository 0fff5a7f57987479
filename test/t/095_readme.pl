# The README's SQL, from the quick start to the end, in one database: every example
# runs, and prints what stands below it.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# An example, and what it prints: a table in a block of its own at most five lines
# below it.
my (@examples, @block, $language, $indent);
my $line = 0;
foreach (split /\n/, slurp_file('README.md'))
{
	$line++;
	if (!defined $language && /^( *)```(\w*)$/)
	{
		($indent, $language, @block) = ($1, $2);
	}
	elsif (defined $language && /^ *```$/)
	{
		my $text = join "\n", @block;
		my $last = $examples[-1];

		if ($language eq 'sql')
		{
			push @examples, { line => $line, sql => $text };
		}
		elsif ($language eq '' && $text =~ /^-+(\+-+)*$/m && $last
			&& !$last->{output} && $line - @block - $last->{line} <= 6)
		{
			$last->{output} = $text;
		}
		undef $language;
	}
	elsif (defined $language)
	{
		push @block, s/^$indent//r;
	}
}
cmp_ok(scalar @examples, '>', 20, 'the README has examples');
cmp_ok(scalar(grep { $_->{output} } @examples), '>', 15, 'most with a result');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$ENV{PGDATABASE} = 'shop';

sub trimmed { return $_[0] =~ s/[ \t]+$//mgr =~ s/\A\s+|\s+\z//gr }

foreach my $example (@examples)
{
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-P', 'pager=off', '-d', $node->connstr('shop') ],
		'<', \$example->{sql}, '>', \$out, '2>', \$err);
	my $name = "the example that ends in line $example->{line}";

	ok($ok, "$name runs") or diag($err);
	next unless $example->{output};

	# the tables that are shown, in their order, maybe among others
	my $at = 0;
	my $missing = '';
	foreach my $table (split /\n\n+/, trimmed($example->{output}))
	{
		my $found = index(trimmed($out), trimmed($table), $at);

		if ($found < 0)
		{
			$missing = $table;
			last;
		}
		$at = $found + 1;
	}
	is($missing, '', "$name prints what it says") or diag($out);
}
$node->stop;
done_testing();
