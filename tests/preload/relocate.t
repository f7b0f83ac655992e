#!/bin/sh
# The example that lives by MREMAP_RELOCATE_ANON, unmodified: a heap in pieces becomes one mapping, where the kernel has UFFDIO_MOVE, and
# is gathered as ever where it has not.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_CONF
run=$(tap_program remap-run)
probe=$(tap_program remap-probe)
relocate=$(tap_program examples/relocate)

# says WHAT STATUS OUTPUT COMMAND...
says() {
	what=$1 wanted="$2 $3"
	shift 3
	out=$(timeout -s KILL "${RM_TIMEOUT:-60}" "$@" 2>&1)
	tap_is "$? $out" "$wanted" "$what"
}

# in_config CONFIG COMMAND...: what is right is what this kernel, as it is shown there, can do
in_config() {
	config=$1
	shift
	move=$("$@" "$probe" --feature userfaultfd-move)
	case $move in
	native)
		says "in one mapping ($config)" 0 \
			'relocate: 64 chunks of 64 KiB, 64 mappings moved, 1 relocated: all correct' "$@" "$relocate"
		says "--must ($config)" 0 \
			'relocate: 500 chunks of 4 KiB, 500 mappings moved, 1 relocated: all correct' \
			"$@" "$relocate" --must --chunks 500 --kib 4
		;;
	*)
		says "gathered all the same ($config)" 0 \
			'relocate: 64 chunks of 64 KiB, 64 mappings moved, 64 relocated: all correct' "$@" "$relocate"
		says "--must ($config)" 1 'relocate: mremap(MREMAP_MUST_RELOCATE_ANON): Bad address' "$@" "$relocate" --must
		;;
	esac
}

tap_in_configs in_config real emulate pretend-4.14 pretend-5.10
says "large chunks" 0 '' "$run" -- "$relocate" --quiet --chunks 4 --kib 8192
says "without libremap" 1 'relocate: mremap(MREMAP_RELOCATE_ANON): Invalid argument' "$relocate"
for wrong in '--chunks 1' '--chunks 10001' '--chunks x' '--kib 0' '--kib 5' '--nothing' 'word'; do
	# shellcheck disable=SC2086 # an option and its value
	"$relocate" $wrong >/dev/null 2>&1
	tap_is $? 2 "$wrong: exit 2"
done
says "--help" 0 "$("$relocate" --help)" "$relocate" --help
tap_done
