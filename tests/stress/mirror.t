#!/bin/sh
# Conversions of private memory under fire: no write may be lost. STRESS_ROUNDS as many rounds (60; "make stress": 1000), and one
# of STRESS_LARGE KiB, which is filled while it is written (64 MiB; "make stress": 1 GiB).
# RM_CONFIGS as for stress.t.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_CONF
run=$(tap_program remap-run)
stress=$(tap_program tests/stress/mirror-stress)
rounds=${STRESS_ROUNDS:-60}
large=${STRESS_LARGE:-65536}

under_fire() { # WHAT COMMAND...
	what=$1
	shift
	out=$(timeout -s KILL 600 "$@" 2>&1)
	case "$? $out" in
	"0 mirror-stress: "*": nothing lost") tap_ok 0 "$what" ;;
	*) tap_ok 1 "$what" ;;
	esac
	echo "$out" | sed 's/^/# /'
}

both_sizes() { # CONFIG COMMAND...
	config=$1
	shift
	[ "$config" != native ] || return 0
	under_fire "$rounds small conversions under 8 writers ($config)" "$@" "$stress" "$rounds"
	under_fire "one of $((large / 1024)) MiB under 8 writers ($config)" "$@" "$stress" 1 8 "$large"
}

tap_in_configs both_sizes real pretend-5.10
case " ${RM_CONFIGS:-real} " in
*" real "*)
	# The test must be able to fail: nobody is stopped here, so writes are lost. With a single processor hardly ever.
	if [ "$(nproc)" -lt 2 ]; then
		tap_skip "one processor" "the test notices when no thread is stopped"
	else
		timeout -s KILL 600 "$run" --conf quiesce:caller -- "$stress" 200 >/dev/null 2>&1
		[ $? -ne 0 ]
		tap_ok $? "the test notices when no thread is stopped"
	fi
	;;
esac
tap_done
