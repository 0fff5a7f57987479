# StreamlogPooler.pm: a pgbouncer in front of a PostgreSQL::Test::Cluster.
#
# It runs as whoever runs the servers, listens on a socket of its own and, for JDBC,
# on 127.0.0.1, and pools transactions unless told otherwise.

package StreamlogPooler;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

my @all;

# whatever happens, none is left
END
{
	my $status = $?;

	$_->kill for @all;
	$? = $status;
}

sub program
{
	for my $dir (split(/:/, $ENV{PATH}), '/usr/sbin')
	{
		return "$dir/pgbouncer" if -x "$dir/pgbouncer";
	}
	die "pgbouncer is missing\n";
}

# The version, as a number
sub version
{
	my ($out) = run_command([ program(), '--version' ]);

	$out =~ /PgBouncer (\d+)\.(\d+)/ or die "unknown version: $out";
	return $1 * 1000 + $2;
}

# new($node, users => [...], databases => "lines", settings => "lines")
sub new
{
	my ($class, $node, %arg) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $user = $node->safe_psql('postgres', 'SELECT current_user');
	my $self = bless { node => $node, dir => $dir, user => $user,
		port => PostgreSQL::Test::Cluster::get_free_port() }, $class;
	my $server = 'host=' . $node->host . ' port=' . $node->port;

	append_to_file("$dir/users", "\"$_\" \"\"\n") for $user, @{ $arg{users} // [] };
	append_to_file("$dir/pgbouncer.ini", join("\n",
		'[databases]',
		($arg{databases} // '') =~ s/SERVER/$server/gr,
		"* = $server",
		'[pgbouncer]',
		'listen_addr = 127.0.0.1',
		"listen_port = $self->{port}",
		"unix_socket_dir = $dir",
		'auth_type = trust',
		"auth_file = $dir/users",
		"admin_users = $user",
		"stats_users = $user",
		'pool_mode = transaction',
		'default_pool_size = 3',
		'max_client_conn = 200',
		'ignore_startup_parameters = extra_float_digits',
		'log_connections = 0',
		'log_disconnections = 0',
		'log_stats = 0',
		$arg{settings} // '', ''));
	push @all, $self;
	$self->start;
	return $self;
}

sub host { return $_[0]->{dir} }
sub port { return $_[0]->{port} }

sub conninfo
{
	my ($self, $database) = @_;

	return "host=$self->{dir} port=$self->{port} dbname=$database";
}

sub start
{
	my ($self) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $log = "$self->{dir}/log";

	$self->{run} = IPC::Run::start([ program(), "$self->{dir}/pgbouncer.ini" ], '<', \undef, '>&', $log);
	while (system_log('pg_isready', '-q', '-h', $self->{dir}, '-p', $self->{port}) != 0)
	{
		die 'pgbouncer does not start: ' . slurp_file($log)
		  if time > $deadline || !$self->{run}->pumpable;
		usleep(50_000);
	}
	return;
}

# At once, as a crash
sub kill
{
	my ($self) = @_;

	my $run = delete $self->{run} or return;

	$run->signal('KILL');
	$run->finish;
	unlink("$self->{dir}/.s.PGSQL.$self->{port}");
	return;
}

# A column of the only row of a pool that SHOW POOLS tells
sub pool
{
	my ($self, $database, $column) = @_;
	my $rows = $self->console('SHOW POOLS');
	my ($row) = grep { $_->{database} eq $database && $_->{user} eq $self->{user} } @$rows;

	return $row ? $row->{$column} : undef;
}

# The rows that a command of the console returns
sub console
{
	my ($self, $command) = @_;
	my ($out) = run_command([
		'psql', '-XA', '-F', '|', '-P', 'footer=off', '-d', $self->conninfo('pgbouncer') . " user=$self->{user}",
		'-c', $command ]);
	my ($header, @lines) = split /\n/, $out;
	my @names = split /\|/, $header;

	return [ map { my %row; @row{@names} = split(/\|/, $_, -1); \%row } @lines ];
}

1;
