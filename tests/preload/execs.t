#!/bin/sh
# exec while the world is being stopped: natively, emulated, and on a pretended old kernel.
. "${srcdir:-.}/tests/tap.sh"
run=$(tap_program remap-run)
execs=$(tap_program tests/preload/execs)

each() { # description command...
	what=$1
	shift
	out=$("$@" 2>&1)
	status=$?
	echo "$out" | sed -n 's/^#/# /p; s/^not ok/# not ok/p'
	[ $status -eq 0 ] && [ "$(echo "$out" | grep -c '^ok ')" -eq 10 ]
	tap_ok $? "$what"
}

each "native" "$execs" 20
each "emulated" "$run" --emulate -- "$execs"
each "pretend 4.14" "$run" --pretend 4.14 -- "$execs" 20
tap_done
