#!/bin/sh
# Facts that are kept between moves: natively (the test is right), emulated and on a pretended old kernel; and that a
# repeated move needs no /proc, but with facts:exact it does.
. "${srcdir:-.}/tests/tap.sh"
run=$(tap_program remap-run)
known=$(tap_program tests/preload/known)

each() { # description command...
	what=$1
	shift
	out=$("$@" 2>&1)
	status=$?
	echo "$out" | sed -n 's/^#/# /p; s/^not ok/# not ok/p; s/# SKIP.*//; s/^\(ok.*SKIP.*\)/# \1/p'
	[ "$status" -eq 0 ] && [ "$(echo "$out" | grep -c '^ok ')" -ge 95 ]
	tap_ok $? "$what"
}

each "native" "$known"
each "emulated" "$run" --emulate -- "$known"
each "pretend 4.14" "$run" --pretend 4.14 -- "$known"
each "emulated, facts:exact" "$run" --emulate --conf facts:exact -- "$known"
"$run" --emulate -- "$known" --blind
tap_ok $? "a repeated move opens nothing"
"$run" --emulate --conf facts:exact -- "$known" --blind
[ $? -eq 1 ]
tap_ok $? "with facts:exact it has to"
"$run" --emulate -- "$known" --back
tap_ok $? "nor does one after the memory was moved back"
"$run" --emulate -- "$known" --first
tap_ok $? "nor does the first move of memory whose mmap was seen"
tap_done
