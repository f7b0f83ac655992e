#!/bin/sh
# Facts that are kept between moves: natively (the test is right), emulated and on a pretended old kernel; and that a
# repeated move needs no /proc, but with facts:exact it does, unless the kernel has the flag for that memory.
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
each "pretend 5.10" "$run" --pretend 5.10 -- "$known"
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
# This kernel moves private memory itself, and what is known goes with it.
for mode in blind back first; do
	"$run" --pretend 5.10 -- "$known" --$mode
	tap_ok $? "nor do they on a kernel that refuses only shared memory: $mode"
done
"$run" --pretend 5.10 --conf facts:exact -- "$known" --blind
tap_ok $? "where nothing can be read, what such a kernel moves is left to it"
tap_done
