#!/bin/sh
# Waits of limited length beside moves: natively (the test is right), emulated and on pretended old kernels.
. "${srcdir:-.}/tests/tap.sh"
run=$(tap_program remap-run)
waits=$(tap_program tests/preload/waits)

each() { # description command...
	what=$1
	shift
	out=$("$@" 2>&1)
	status=$?
	echo "$out" | sed -n 's/^#/# /p; s/^not ok/# not ok/p; s/^Bail out!/# Bail out/p'
	[ "$status" -eq 0 ] && [ "$(echo "$out" | grep -c '^ok ')" -eq 19 ] && ! echo "$out" | grep -q '^not ok'
	tap_ok $? "$what"
}

each "native" "$waits"
each "emulated" "$run" --emulate -- "$waits"
each "pretend 4.14" "$run" --pretend 4.14 -- "$waits"
tap_done
