#!/bin/sh
# The program's own SIGSEGV, with windows guarded: segv must see what it sees natively, case by case.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_CONF LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG
run=$(tap_program remap-run)
segv=$(tap_program tests/preload/segv)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$segv" queries >"$work/native" 2>/dev/null
grep -q "a move failed" "$work/native" && tap_skip_all "this kernel has no MREMAP_DONTUNMAP to compare with"
for case in $("$segv" list); do
	"$segv" "$case" >"$work/native" 2>/dev/null
	for how in --emulate "--pretend 4.14"; do
		# shellcheck disable=SC2086 # an option and its value
		"$run" $how --conf quiesce:guard -- "$segv" "$case" >"$work/guarded" 2>"$work/err"
		diff -u "$work/native" "$work/guarded" >"$work/diff"
		tap_ok $? "$case ($how)"
		sed 's/^/# /' "$work/diff"
	done
	# The handler must have been ours, or this has shown nothing.
	grep -q "guarded [1-9]" "$work/err"
	tap_ok $? "$case: windows were guarded before it"
done
tap_done
