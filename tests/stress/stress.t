#!/bin/sh
# The stress test in the ways that matter: native (the test itself is right), emulated, and pretended old kernels.
# STRESS_MOVES: moves of each run (default 1500); `make stress` runs 100,000 of each.
# RM_CONFIGS: only these configurations (tests/vm sets "real": the kernel it runs on is the point).
. "${srcdir:-.}/tests/tap.sh"
moves=${STRESS_MOVES:-1500}
run=$(tap_program remap-run)
stress=$(tap_program tests/stress/stress)

run_stress() { # description command...
	what=$1
	shift
	out=$("$@" --moves "$moves" 2>&1)
	status=$?
	echo "$out" | sed -n 's/^# /# /p; s/^not ok/# not ok/p; s/^Bail out!/# Bail out/p'
	[ "$status" -eq 0 ] && [ "$(echo "$out" | grep -c '^ok ')" -eq 3 ]
	tap_ok $? "$what"
}

for config in ${RM_CONFIGS:-native emulate pretend-4.14 pretend-5.10}; do
	for kind in anon shared file; do
		moves=${STRESS_MOVES:-1500}
		case $config in
		native)
			run_stress "$kind memory, native" "$stress" --kind $kind
			;;
		real)
			run_stress "$kind memory, preloaded" "$run" -- "$stress" --kind $kind
			;;
		emulate)
			run_stress "$kind memory, emulated" "$run" --emulate -- "$stress" --kind $kind
			;;
		pretend-*)
			[ $kind = file ] && continue
			# remap-run answers some calls there and competes with the spinning threads: fewer moves
			moves=$((${STRESS_MOVES:-1500} / 10 + 1))
			run_stress "$kind memory, $config" \
				"$run" --pretend "${config#pretend-}" -- "$stress" --kind $kind
			;;
		esac
	done
done
# Threads that only touch the heap, and run on meanwhile: most windows must have been guarded.
run_guarded() { # description option...
	what=$1
	shift
	run_stress "$what" "$run" "$@" --conf quiesce:guard -- "$stress" --touch --kind "$kind"
	guarded=$(echo "$out" | sed -n 's/^# stops.* guarded \([0-9]*\),.*/\1/p')
	[ "${guarded:-0}" -gt $((moves / 2)) ]
	tap_ok $? "$what: $guarded of $moves moves"
}

case " ${RM_CONFIGS:-emulate} " in
*emulate*)
	for kind in anon shared file; do
		moves=$((${STRESS_MOVES:-1500} / 2 + 1))
		run_guarded "$kind memory, guarded" --emulate
	done
	kind=anon
	moves=$((${STRESS_MOVES:-1500} / 10 + 1))
	run_guarded "$kind memory, guarded, pretend-4.14" --pretend 4.14
	moves=${STRESS_MOVES:-1500}
	run_stress "anon memory, to anywhere, emulated" "$run" --emulate -- "$stress" --anywhere
	# Each of these stops costs a process and ptrace: fewer moves.
	moves=$((${STRESS_MOVES:-1500} / 30 + 1))
	run_stress "threads that block every signal by the raw call" \
		"$run" --emulate -- "$stress" --raw-deaf
	# The test must be able to fail: nobody is stopped here, so somebody meets the hole.
	"$run" --emulate --conf quiesce:caller -- "$stress" --moves 200000 >/dev/null 2>&1
	[ $? -ne 0 ]
	tap_ok $? "the test notices when no thread is stopped"
	;;
esac
tap_done
