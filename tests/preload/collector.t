#!/bin/sh
# The example collector, unmodified, wherever the behaviour tests run: private and shared heap.
# RM_CONFIGS as for tests/behave/run-configs.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG
run=$(tap_program remap-run)
collector=$(tap_program examples/collector)

collect() { # CONFIG HEAP COMMAND...
	what="collector-$2 ($1)"
	heap=$2
	shift 2
	out=$(timeout -s KILL "${RM_TIMEOUT:-60}" "$@" "--$heap" 2>&1)
	status=$?
	case $out in
	*"userfaultfd: Operation not permitted"*) tap_skip "userfaultfd is not permitted" "$what" && return ;;
	esac
	[ $status -eq 0 ] && echo "$out" |
		grep -q '^collector: 20 collections, [1-9][0-9]* objects checked, [1-9][0-9]* pages .*: all correct$'
	tap_ok $? "$what"
	echo "$out" | sed 's/^/# /'
}

both_heaps() { # CONFIG COMMAND...
	config=$1
	shift
	for heap in memfd private; do
		collect "$config" $heap "$@" "$collector"
	done
}

tap_in_configs both_heaps native emulate pretend-4.14 pretend-5.4 pretend-5.10
case " ${RM_CONFIGS:-pretend-5.4} " in
*" pretend-5.4 "*)
	for heap in memfd private; do
		out=$("$run" --no-preload --pretend 5.4 -- "$collector" --$heap 2>&1)
		tap_is "$? $out" "1 collector: mremap(MREMAP_DONTUNMAP): Invalid argument" \
			"collector-$heap says what an old kernel lacks"
	done
	;;
esac
out=$("$collector" --threads 0 2>/dev/null)
tap_is "$? $out" "2 " "collector-refuses-a-wrong-option"
out=$("$collector" --help)
[ $? -eq 0 ] && echo "$out" | grep -q '^Usage: collector '
tap_ok $? "collector-has-help"
tap_done
