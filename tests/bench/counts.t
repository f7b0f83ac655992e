#!/bin/sh
# The engine's pure parts take as many instructions as the file "counts" says, give or take a tenth (or 4, if that is
# more). Fewer is a failure too: then the file is to be renewed, by make counts, and the commit tells what has got better.
# Counts are those of one compiler and its flags, which the file names; with others nothing is compared. Needs valgrind.
. "${srcdir:-.}/tests/tap.sh"
counted=$(tap_program tests/bench/counted)
[ -x "$counted" ] || tap_skip_all "tests/bench/counted was not built"
for tool in valgrind nm; do
	command -v $tool >/dev/null || tap_skip_all "$tool is not installed"
done
expected=$RM_SRC/tests/bench/counts
here=$("$counted" --build) || exit 99
there=$(sed -n 's/^build //p' "$expected")
[ "$here" = "$there" ] || tap_skip_all "the counts are those of $there; this build is $here"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

sh "$RM_SRC/tests/bench/count" "$counted" >"$dir/counts" 2>"$dir/err"
tap_ok $? "callgrind counts"
sed 's/^/# /' "$dir/err"

names() {
	sed -e '/^#/d' -e '/^build /d' -e 's/ .*//' "$1"
}
tap_is "$(names "$dir/counts")" "$(names "$expected")" "the parts are those that are expected"

while read -r name wanted; do
	case $name in '#'* | build) continue ;; esac
	got=$(sed -n "s/^$name //p" "$dir/counts")
	slack=$((wanted / 10 > 4 ? wanted / 10 : 4))
	[ -n "$got" ] && [ "$got" -ge $((wanted - slack)) ] && [ "$got" -le $((wanted + slack)) ]
	tap_ok $? "$name: ${got:-no} instructions, $wanted expected"
done <"$expected"
[ "$TAP_FAILED" -eq 0 ] || echo "# If that is as it should be: make counts, and commit tests/bench/counts"
tap_done
