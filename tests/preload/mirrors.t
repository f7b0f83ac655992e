#!/bin/sh
# The examples that live by MREMAP_MIRROR, unmodified: the ring that is mapped twice in a row and the heap of three colours.
# "real" is the preload on this kernel as it is. RM_CONFIGS as for tests/behave/run-configs.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_CONF
run=$(tap_program remap-run)
ring=$(tap_program examples/ring)
colours=$(tap_program examples/colours)

mirror() { # WHAT PATTERN COMMAND...
	what=$1 pattern=$2
	shift 2
	out=$(timeout -s KILL "${RM_TIMEOUT:-60}" "$@" 2>&1)
	status=$?
	[ $status -eq 0 ] && echo "$out" | grep -q "$pattern"
	tap_ok $? "$what"
	echo "$out" | sed 's/^/# /'
}

both() { # CONFIG COMMAND...
	config=$1
	shift
	for memory in '' ' --private'; do
		# shellcheck disable=SC2086 # an option or nothing
		mirror "ring$memory ($config)" \
			'^ring: [1-9][0-9]* records, 6[45] MiB, [1-9][0-9]* across the end: all correct$' "$@" "$ring" $memory
		# shellcheck disable=SC2086
		mirror "colours$memory ($config)" \
			'^colours: 30 cycles, 20000 objects at 3 addresses, [1-9].* healed .*: all correct$' "$@" "$colours" $memory
	done
}

tap_in_configs both real emulate pretend-4.14 pretend-5.10
mirror "a ring of 4 KiB" ' all correct$' "$run" -- "$ring" --kib 4 --megabytes 4
mirror "a heap of one page" ' all correct$' "$run" -- "$colours" --objects 100 --threads 1
out=$("$run" --conf mirror_private:einval -- "$ring" --private 2>&1)
tap_is "$? $out" "1 ring: mremap(MREMAP_MIRROR): Invalid argument" "mirror_private:einval refuses private memory"
mirror "and nothing else" ' all correct$' "$run" --conf mirror_private:einval -- "$ring" --megabytes 1
# --- fork ---
forked=$(tap_program tests/preload/mirror-fork)
tap_is "$("$run" -- "$forked")" own "mirror_fork, by default: a copy"
tap_is "$("$run" --conf mirror_fork:snapshot -- "$forked")" own "mirror_fork:snapshot: a copy"
tap_is "$("$run" --conf mirror_fork:share -- "$forked")" same "mirror_fork:share: the parent's memory"
tap_is "$("$run" --conf mirror_fork:drop -- "$forked")" none "mirror_fork:drop: nothing"
log=$(mktemp)
LIBREMAP_DEBUG=1 LIBREMAP_LOG=$log "$run" -- "$forked" >/dev/null 2>&1
if grep -q 'no userfaultfd' "$log"; then
	tap_skip "no userfaultfd" "the log says how much is to be copied, and when it has been"
else
	grep -q ': 6291456 of 6291456 bytes at .* are copied from now on$' "$log" &&
		grep -q ': all content of 6291456 bytes has come$' "$log"
	tap_ok $? "the log says how much is to be copied, and when it has been"
fi
rm -f "$log"
for pair in snapshot:none share:same drop:none; do
	out=$("$run" --conf "mirror_fork:${pair%:*}" -- "$forked" huge)
	case $? in
	77) tap_skip "$out" "mirror_fork:${pair%:*}, huge pages" ;;
	*) tap_is "$out" "${pair#*:}" "mirror_fork:${pair%:*}, huge pages" ;;
	esac
done

for program in ring colours; do
	path=$(tap_program examples/$program)
	out=$("$path" 2>&1)
	tap_is "$? $out" "1 $program: mremap(MREMAP_MIRROR): Invalid argument" "$program says what every kernel lacks"
	out=$("$path" --nonsense 1 2>/dev/null)
	tap_is "$? $out" "2 " "$program refuses a wrong option"
	out=$("$path" --help)
	[ $? -eq 0 ] && echo "$out" | grep -q "^Usage: $program "
	tap_ok $? "$program has help"
done
tap_done
