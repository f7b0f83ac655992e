#!/bin/sh
# Ranges in pieces: the emulation says and does what the native kernel does, case by case.
. "${srcdir:-.}/tests/tap.sh"
run=$(tap_program remap-run)
pieces=$(tap_program tests/preload/pieces)

probe=$(tap_program remap-probe)
for feature in dontunmap-anon dontunmap-file multi-vma-move; do
	"$probe" --require native --feature "$feature" || tap_skip_all "this kernel's own answers are not 6.18's"
done
native=$("$pieces")
# The second time with a file where the heap comes from, so that its head can not be made one with the rest again.
for way in --emulate "--pretend 4.14" "--pretend 5.10" "--emulate file" "--pretend 5.4 file"; do
	# shellcheck disable=SC2086 # words
	emulated=$("$run" ${way% file} -- "$pieces" $(case $way in *file) echo "$run" ;; esac))
	echo "$native" | {
		while IFS=: read -r name wanted; do
			tap_is "$(echo "$emulated" | sed -n "s/^$name://p")" "$wanted" "$way: $name"
		done
		echo "$TAP_COUNT $TAP_FAILED" >"${TMPDIR:-/tmp}/pieces.$$"
	}
	read -r TAP_COUNT TAP_FAILED <"${TMPDIR:-/tmp}/pieces.$$"
	rm -f "${TMPDIR:-/tmp}/pieces.$$"
done
tap_done
