#!/bin/sh
# remap-run-usage.t - bad requests are refused with one line that says what is wrong, and nothing is run
# Needs nothing. Every refusal is exit 125, one line on stderr, nothing on stdout, and no trace of the command.
. "$(dirname "$0")/remap-run.sh"

refused() { # NAME PATTERN ARG...
	name=$1 pattern=$2
	shift 2
	rm -f "$tmp/ran"
	run "$@"
	tap_is "$status" 125 "$name: exit 125"
	tap_like "$err" "remap-run: $pattern" "$name: says so"
	tap_is "$(wc -l <"$tmp/err" | tr -d ' ')" 1 "$name: in one line"
	tap_is "$out" "" "$name: nothing on stdout"
	test -e "$tmp/ran" && tap_ok 1 "$name: the command was run"
}

t="touch $tmp/ran"
# shellcheck disable=SC2086
{
refused "unknown option" "*'--nonsense'*Try 'remap-run --help'." --nonsense -- $t
refused "unknown short option" "*'-x'*Try*" -x -- $t
refused "missing argument" "*--pretend*needs an argument*Try*" --pretend
refused "argument not wanted" "*'--emulate=1'*" --emulate=1 -- $t
refused "no command" "no command given.*" --emulate
refused "no command after --" "no command given.*" --
refused "empty command" "no command given.*" -- ""
refused "unknown kernel" "unknown kernel '4.15' to pretend; known: 4.14 4.18 4.19 5.4 5.10 5.15 6.1 6.6 6.12.  Try 'remap-run --help'." \
	--no-preload --pretend 4.15 -- $t
refused "kernel with a tail" "unknown kernel '5.10.1'*" --no-preload --pretend 5.10.1 -- $t
refused "empty kernel" "unknown kernel ''*" --no-preload --pretend "" -- $t
refused "unknown key" "--conf: unknown setting 'nativ:no'; known: native quiesce*" --conf nativ:no -- $t
refused "unknown value" "--conf: 'native:maybe': native takes yes, no*" --conf native:maybe -- $t
refused "key without value" "--conf: 'raw': raw takes auto, on, off*" --conf raw -- $t
refused "value that is two" "--conf: 'raw:on|off'*" --conf "raw:on|off" -- $t
refused "value cut short" "--conf: 'native:n'*" --conf native:n -- $t
refused "second item bad" "--conf: 'facts:x'*" --conf native:no,facts:x -- $t
refused "--raw" "--raw is not available in this version*" --raw -- $t
refused "--static" "--static is not available in this version*" --static -- $t
refused "--strict --no-preload" "--strict and --no-preload*" --strict --no-preload -- $t
refused "--filter-only alone" "--filter-only and --except need --pretend*" --no-preload --filter-only -- $t
refused "--except unknown" "cannot pretend: no row for the system call 'fork'*" \
	--no-preload --pretend 4.14 --except mremap,fork -- $t
refused "log in no directory" "cannot write the log '$tmp/no/log': *" --no-preload --log "$tmp/no/log" -- $t
refused "unknown kernel to list" "unknown kernel '3.2' to list*" --list-pretend 3.2
refused "two kernels to list" "--list-pretend takes one kernel*" --list-pretend 4.14 5.4
}

run --help
tap_is "$status" 0 "--help: exit 0"
tap_like "$out" "Usage: remap-run *not available*--pretend*4.14 4.18*125*126*127*" "--help: complete"
tap_like "$out" "*MAP_FIXED_NOREPLACE*" "--help: says what is not pretended"
run --version
tap_is "$status" 0 "--version: exit 0"
tap_like "$out" "remap-run (libremap) [0-9u]*" "--version: says it"
"$remap_run" --help >/dev/full 2>"$tmp/err"
tap_is "$?" 125 "--help into a full device: exit 125"

run --list-pretend
tap_is "$status" 0 "--list-pretend: exit 0"
tap_is "$(grep -v '^#' "$tmp/out" | awk -F '\t' 'NF != 4 || $1 == "" || $2 !~ /^[0-9]+\.[0-9]+$/ || $3 == "" || $4 == ""')" "" \
	"--list-pretend: four columns, none empty"
tap_is "$(cut -f 1 "$tmp/out" | sort | uniq -d)" "" "--list-pretend: every row once"
all=$(wc -l <"$tmp/out")
run --list-pretend 6.12
test "$(wc -l <"$tmp/out")" -lt "$all" && tap_ok 0 "--list-pretend 6.12: fewer rows" || tap_ok 1 "--list-pretend 6.12: fewer rows"
tap_like "$out" "*MADV_GUARD_INSTALL*6.13*EINVAL*" "--list-pretend 6.12: what came in 6.13"
case $out in
*MREMAP_DONTUNMAP\	*) tap_ok 1 "--list-pretend 6.12: not what it has" ;;
*) tap_ok 0 "--list-pretend 6.12: not what it has" ;;
esac

tap_done
