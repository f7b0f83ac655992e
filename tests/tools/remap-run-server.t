#!/bin/sh
# remap-run-server.t - the server of --pretend: threads, signals, dying callers, orphans, its own end
# Needs a seccomp listener. See pretend-workout.c for what each workout does.
. "$(dirname "$0")/remap-run.sh"
need_pretend server

# The live servers, one /proc/PID a line; a dead one that nobody has waited for yet is gone.
servers() {
	grep -l '^remap-run-serve$' /proc/[0-9]*/comm 2>/dev/null | while read -r file; do
		grep -q '^State:.*Z' "${file%comm}status" 2>/dev/null || echo "${file%/comm}"
	done | sort
}

# Servers of other tests of a parallel run must not be taken for ours: ours have our marker in their environment.
RM_TEST_MARK=mark$$
export RM_TEST_MARK
my_servers() {
	servers | while read -r proc; do
		tr '\0' '\n' <"$proc/environ" 2>/dev/null | grep -q "^RM_TEST_MARK=$RM_TEST_MARK\$" && echo "$proc"
	done
}

until_true() { # COMMAND...: up to ten seconds
	i=0
	while test $i -lt 100; do
		"$@" && return 0
		sleep 0.1
		i=$((i + 1))
	done
	return 1
}
no_servers() {
	test -z "$(my_servers)"
}

for what in threads killed orphan armed api; do
	run --no-preload --pretend 5.10 -- "$helpers/pretend-workout" $what
	if test "$status" = 77; then
		tap_skip "$out" "$what"
		continue
	fi
	tap_is "$status" 0 "$what"
	test $what != orphan || until_true test -s "$tmp/out"
	tap_is "$(cat "$tmp/out")" ok "$what: every answer right"
done
until_true no_servers && tap_ok 0 "the servers leave when the last command is gone" ||
	tap_ok 1 "the servers leave when the last command is gone"

status=0
child=$(timeout 20 "$remap_run" --no-preload --pretend 5.10 -- sh -c 'sleep 30 >/dev/null 2>&1 & echo $!') || status=$?
tap_is "$status" 0 "a server that stays for a child does not hold the output open"
mine=$(my_servers)
tap_like "$mine" "/proc/[0-9]*" "it stays for a child in the background"
if test -n "$mine"; then
	kill -TERM "${mine#/proc/}" 2>/dev/null
	sleep 0.1
	tap_is "$(my_servers)" "$mine" "a SIGTERM does not end it"
	tap_is "$(readlink "$mine/cwd")" / "it keeps no directory busy"
	tap_is "$(readlink "$mine/fd/0")$(readlink "$mine/fd/1")$(readlink "$mine/fd/2")" /dev/null/dev/null/dev/null \
		"it keeps nobody's files open"
fi
test -n "$child" && kill "$child"
until_true no_servers && tap_ok 0 "and leaves after it" || tap_ok 1 "and leaves after it"

run --no-preload --pretend 5.10 -- "$remap_run" --no-preload --pretend 5.10 -- true
tap_is "$status" 125 "a second server in the first one's tree: 125"
tap_like "$err" "remap-run: cannot pretend: *listener*--filter-only*" "and says what to do"
run --no-preload --pretend 5.10 --debug -- "$helpers/pretend-workout" speed
until_true no_servers
tap_like "$(cat "$tmp/err")" "remap-run: mremap(*goes on*remap-run: pretended 5.10: *calls asked about*" \
	"--debug says what was answered"

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}
if test "$(id -u)" = 0 && command -v setpriv >/dev/null; then
	chmod 755 "$tmp"
	cp "$remap_run" "$helpers/kernel-probe" "$tmp/" || exit 99
	status=0
	as_nobody "$tmp/remap-run" --no-preload --pretend 5.10 -- "$tmp/kernel-probe" /dev/shm \
		>"$tmp/out" 2>"$tmp/err" || status=$?
	tap_is "$status/$(cat "$tmp/err")" 0/ "as nobody: it runs"
	tap_is "$(awk -F '\t' '$1 == "mremap DONTUNMAP, shared anon" { print $2 }' "$tmp/out")" EINVAL \
		"as nobody: the server answers"
	tap_is "$(as_nobody "$tmp/remap-run" --no-preload --pretend 5.10 -- awk '/^NoNewPrivs/ { print $2 }' /proc/self/status)" 1 \
		"as nobody: no_new_privs is set"
	tap_is "$("$remap_run" --no-preload --pretend 5.10 -- awk '/^NoNewPrivs/ { print $2 }' /proc/self/status)" \
		"$(awk '/^NoNewPrivs/ { print $2 }' /proc/self/status)" "with CAP_SYS_ADMIN: no_new_privs as it was"
else
	tap_skip "needs root and setpriv" "as nobody"
fi

tap_done
