#!/bin/sh
# The stress test in the ways that matter: native (the test itself is right), emulated, and pretended old kernels.
# STRESS_MOVES: moves of each run (default 300, a part of that where a move costs more); `make stress` runs 100,000.
# STRESS_SECONDS: a run that takes longer hangs (default: 300 and a second for every 5 moves).
# RM_CONFIGS: only these configurations (tests/vm sets "real": the kernel it runs on is the point).
. "${srcdir:-.}/tests/tap.sh"
all=${STRESS_MOVES:-300}
run=$(tap_program remap-run)
stress=$(tap_program tests/stress/stress)

run_stress() { # description moves command...
	what=$1
	moves=$2
	shift 2
	out=$("$@" --moves "$moves" --seconds "${STRESS_SECONDS:-$((300 + moves / 5))}" 2>&1)
	status=$?
	echo "$out" | sed -n 's/^# /# /p; s/^not ok/# not ok/p; s/^Bail out!/# Bail out/p'
	case $out in
	*"1..0 # SKIP "*)
		tap_skip "${out##*SKIP }" "$what"
		return
		;;
	esac
	[ "$status" -eq 0 ] && [ "$(echo "$out" | grep -c '^ok ')" -eq 3 ]
	tap_ok $? "$what"
}

# Kernels before 6.12: a request that needs a worker ends with ECANCELED if any signal is pending. The program's own
# signals do that natively.
cancels_io_uring() {
	version=$(uname -r)
	minor=${version#*.}
	[ "${version%%.*}" -lt 6 ] || { [ "${version%%.*}" -eq 6 ] && [ "${minor%%.*}" -lt 12 ]; }
}

# scene CONFIG NAME KINDS DIVISOR OPTION...: the scene for each kind, with a part of the moves
scene() {
	config=$1 name=$2 kinds=$3 moves=$((all / $4 + 1))
	shift 4
	for kind in $kinds; do
		# shellcheck disable=SC2046
		run_stress "$config: $name, $kind${*:+ $*}" $moves $(tap_config "$config") "$stress" --scene "$name" --kind "$kind" "$@"
	done
}

for config in ${RM_CONFIGS:-native emulate pretend-4.14 pretend-5.10}; do
	case $config in
	native | real | emulate)
		# A request of io_uring's that the kernel's own workers do may meet the hole: remap(7), LIMITS.
		efault=--efault
		[ $config != native ] || efault=
		scene $config crowd "anon shared file" 1
		scene $config crowd anon 4 --anywhere
		scene $config crowd anon 100 --threads 7 # 66 threads
		scene $config births "anon shared" 4
		scene $config forks "anon shared file" 4
		scene $config spawns anon 4
		# Where the kernel moves private memory itself, before 6.17, a destination is lost to a source that is
		# taken away meanwhile, and others' memory may come to lie there: remap(7), LIMITS.
		kinds="anon shared file"
		[ $config != real ] || kinds="shared file"
		scene $config movers "$kinds" 8
		scene $config handlers "anon shared file" 8
		scene $config signals anon 2
		# shellcheck disable=SC2086
		if [ $config != native ] && cancels_io_uring; then
			tap_skip "this kernel cancels requests of io_uring when a stop comes (remap(7), LIMITS)" "$config: ring"
		else
			scene $config ring "anon shared file" 8 $efault
		fi
		scene $config aio "anon shared file" 4
		scene $config safepoint anon 4
		# Each of these stops costs a process and ptrace: fewer moves.
		scene $config crowd anon 50 --raw-deaf
		;;
	pretend-*)
		# remap-run answers some calls there and competes with the spinning threads: fewer moves
		scene $config crowd "anon shared" 10
		scene $config forks shared 20
		scene $config movers shared 40
		scene $config handlers shared 20
		scene $config ring shared 20 --efault
		scene $config aio shared 10
		;;
	esac
done
case " ${RM_CONFIGS:-emulate} " in
*emulate*)
	# Where the program stops its world itself nobody has to be stopped.
	run_stress "emulated, quiesce:caller: safepoint, anon" "$all" \
		"$run" --emulate --conf quiesce:caller -- "$stress" --scene safepoint
	# Threads that only touch the heap and run on meanwhile. A thread that is being born, or has just faulted, blocks SIGSEGV,
	# and that move stops the threads: how many do depends on the machine (in a slow one half), that some do not is what
	# there is to see here; unit/guard-window has none that blocks it. 72 pages: smaller shared memory has no window.
	for kind in anon shared file; do
		moves=$((all / 2 + 1))
		run_stress "emulated, quiesce:guard: crowd, $kind --touch --pages 72" $moves \
			"$run" --emulate --conf quiesce:guard -- "$stress" --touch --pages 72 --kind $kind
		guarded=$(echo "$out" | sed -n 's/^# stops.* guarded \([0-9]*\),.*/\1/p')
		[ "${guarded:-0}" -gt $((moves / 20)) ]
		tap_ok $? "of $moves moves $guarded windows were guarded"
	done
	# The test must be able to fail: nobody is stopped here, so somebody meets the hole.
	"$run" --emulate --conf quiesce:caller -- "$stress" --moves 200000 --seconds 300 >/dev/null 2>&1
	[ $? -ne 0 ]
	tap_ok $? "the test notices when no thread is stopped"
	;;
esac
tap_done
