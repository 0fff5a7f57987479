# scripts/common.sh: what scripts/demo and scripts/test share; not to be run.

PG_MAJOR=15
# what is worth keeping from one run to the next, outside the tree
if [ -n "${STREAMLOG_CACHE:-}" ]; then
	cache=$STREAMLOG_CACHE
elif [ "$(id -u)" -eq 0 ]; then
	cache=/var/cache/streamlog
else
	cache=$HOME/.cache/streamlog
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() {
	printf '==> %s\n' "$*"
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# Run as the superuser, for apt-get and make install.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "run this as root, or install sudo"
		sudo "$@"
	fi
}

# Run as a user that PostgreSQL accepts: root runs it as server_user.  The caller
# sees to it that this user can use the current directory.
server_user=postgres
as_server() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid="$server_user" --regid="$(id -gn "$server_user")" --init-groups \
			env HOME=/tmp USER="$server_user" LOGNAME="$server_user" "$@"
	else
		"$@"
	fi
}

installed() {
	[[ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" == ?i* ]]
}

# Install those of the named Debian packages that are missing.  A new PostgreSQL
# package would also create and start a server of its own, and a new pgbouncer a
# pooler, which is nobody's wish here.
need_packages() {
	local package log missing=() dropin=/etc/postgresql-common/createcluster.d/streamlog.conf
	local policy=/usr/sbin/policy-rc.d

	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	command -v apt-get >/dev/null || die "needs Debian 12, or by hand: ${missing[*]}"
	say "installing ${missing[*]} (a minute or two)"
	as_root apt-get -qq update
	as_root mkdir -p "$(dirname "$dropin")"
	echo 'create_main_cluster = false' | as_root tee "$dropin" >/dev/null
	if [ -e "$policy" ]; then
		policy=
	else
		printf '#!/bin/sh\ncase $1 in pgbouncer*) exit 101 ;; esac\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
	log=$(mktemp)
	(with_dots "$log" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y --no-install-recommends install "${missing[@]}") || {
		as_root rm -f "$dropin" $policy
		die "apt-get could not install ${missing[*]}"
	}
	as_root rm -f "$dropin" $policy
	rm -f "$log"
	if [[ " ${missing[*]} " == *' pgbouncer '* ]]; then
		as_root update-rc.d pgbouncer disable >/dev/null
	fi
}

# Run a command with its output in a file, a dot for every tenth line of it as a
# sign of life; show the end of the output if it fails.
with_dots() {
	local log=$1 lines=0

	shift
	if "$@" 2>&1 | tee "$log" | {
		while IFS= read -r _; do
			[ $((lines++ % 10)) -ne 0 ] || printf .
		done
		echo
	}; then
		return 0
	fi
	tail -n 40 "$log"
	die "failed: $*"
}
