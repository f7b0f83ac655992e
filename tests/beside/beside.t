#!/bin/sh
# Programs that know nothing of moves, with a thread in each process that moves memory all the time (mover.c): what they check
# of themselves holds as it does beside the kernel's own moves, and no move fails.
#
# CPython's tests of the operating system's interface (not test_time: it counts the processor time of all threads), and stress-ng's
# stressors with --verify: first those that have found something. What does not pass natively here is not asked of the others.
# Not test_close_file: its child looks whether descriptor 0 is free, which a first move takes for a moment (remap(7), LIMITS): 1 of 1500.
# BESIDE_PAUSE: microseconds between two moves of a thread (default 1000). RM_CONFIGS: only these configurations.
. "${srcdir:-.}/tests/tap.sh"
mover=$(tap_program tests/beside/.libs/libmover.so)
pause=${BESIDE_PAUSE:-1000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

modules='test_select test_epoll test_os test_mmap test_thread test_pty test_posix test_fcntl test_popen test_gc
	test_resource test_shutil test_socketserver test_threading_local'
few='close dup fallocate getrandom pty'
many='epoll fork futex mincore mmap mmapfixed pipe pthread sigfd timer zero'

python=
for one in /usr/bin/python3 python3; do
	"$one" -c 'import test.libregrtest, test.test_os' 2>/dev/null && python=$one && break
done

# beside CONFIG PAUSE COMMAND...: its status; what it printed is in $dir/output, how the moves went in $processes, $moves and $bad.
beside() {
	config=$1 pause_now=$2 report=$dir/report
	shift 2
	head -c 4096 /dev/zero >"$report"
	# shellcheck disable=SC2046 # words
	(cd "$dir" && env MOVER_REPORT="$report" MOVER_PAUSE="$pause_now" MOVER_FORKED=yes LD_PRELOAD="$mover" \
		timeout -k 10 300 $(tap_config "$config") "$@" >"$dir/output" 2>&1 </dev/null)
	status=$?
	# shellcheck disable=SC2046
	set -- $(od -An -tu8 -N40 "$report")
	processes=$1 moves=$2 bad=$(($3 + $5)) error=$4
	return $status
}

# program NAME PAUSE COMMAND...
program() {
	name=$1 pause_of=$2 native_passes=yes
	shift 2
	for config in ${RM_CONFIGS:-native emulate pretend-4.14 pretend-5.10}; do
		if [ $native_passes = no ]; then
			tap_skip "it does not pass natively here" "$config: $name"
			continue
		fi
		beside "$config" "$pause_of" "$@"
		status=$?
		echo "# $config: $name: $processes processes, $moves moves, $bad bad${error:+, errno $error}"
		if [ "$config" = native ] && [ $status -ne 0 ]; then
			native_passes=no
			tail -20 "$dir/output" | sed 's/^/# /'
			tap_skip "it does not pass natively here" "$config: $name"
			continue
		fi
		[ $status -eq 0 ] && [ "$moves" -gt 100 ] && [ "$bad" -eq 0 ]
		good=$?
		[ $good -eq 0 ] || tail -40 "$dir/output" | sed 's/^/# /'
		tap_ok $good "$config: $name"
	done
}

# stress NAME PAUSE SECONDS STRESSOR...
stress() {
	name=$1 pause_of=$2 seconds=$3
	shift 3
	for one in "$@"; do
		set -- "$@" "--$one" 1
		shift
	done
	program "$name" "$pause_of" stress-ng "$@" --timeout "$seconds" --verify --no-rand-seed
}

# shellcheck disable=SC2086 # words
if [ -n "$python" ]; then
	program "CPython's tests" "$pause" "$python" -m test -q -i test_close_file $modules
	program "CPython's tests of interrupted reads and writes" "$pause" "$python" -m test -q -m '*_interrupted_*' test_io
else
	tap_skip "Python and its tests are not installed (libpython3.11-testsuite)" "CPython's tests"
	tap_skip "Python and its tests are not installed (libpython3.11-testsuite)" "CPython's tests of interrupted reads and writes"
fi
# shellcheck disable=SC2086 # words
if command -v stress-ng >/dev/null; then
	stress "stress-ng, few stressors" $((pause / 2)) 5 $few
	stress "stress-ng, many stressors" $((3 * pause)) 3 $many
else
	tap_skip "stress-ng is not installed" "stress-ng"
fi
tap_done
