#!/bin/sh
# remap-bench works and refuses what it does not understand. Nothing is asserted about any time.
. "${srcdir:-.}/tests/tap.sh"
bench=$(tap_program tests/bench/remap-bench)
[ -x "$bench" ] || tap_skip_all "remap-bench was not built"
[ "$(getconf PAGESIZE)" = 4096 ] || tap_skip_all "pages are not 4 KiB"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

"$bench" --quick --sizes 4K --rounds 3 --json "$dir/out" >"$dir/table" 2>"$dir/err"
tap_ok $? "three rounds of every way at 4 KiB"
sed 's/^/# /' "$dir/err" | grep remap-bench:
grep -q '^4K ' "$dir/table"
tap_ok $? "the table has the size"
tap_is "$(awk 'length($0) > 100' "$dir/table")" "" "the table fits into 100 columns"

# The program's own reader is jansson, which takes nothing but JSON.
"$bench" --read "$dir/out" --tsv "$dir/tsv" >"$dir/again" 2>&1
tap_ok $? "the JSON can be read back"
cmp -s "$dir/table" "$dir/again"
tap_ok $? "and gives the same table"
tap_is "$(awk -F'\t' 'NF != 10' "$dir/tsv")" "" "every row of the TSV has ten fields"
tap_is "$(awk -F'\t' '$6 == "emulated" && $7 != 3' "$dir/tsv")" "" "three rounds are three rounds"

out=$("$(tap_program tests/bench/mirror-bench)" 8 1)
tap_is "$? $(echo "$out" | grep -c -E '^ +[18] MiB (empty|sparse|full) +([0-9.]+ *){6}$')" "0 6" "mirrors: a row for each size and memory"

refuse() { # option value
	"$bench" "$@" >"$dir/stdout" 2>"$dir/stderr"
	[ $? -eq 2 ] && [ ! -s "$dir/stdout" ] && [ "$(wc -l <"$dir/stderr")" -eq 1 ]
	tap_ok $? "refused in one line, exit 2: $*"
}
refuse --sizes 5000
refuse --sizes 4K,,8K
refuse --sizes 4X
refuse --sizes 99999999999999999999
refuse --threads 4:asleep
refuse --threads=-1
refuse --kinds hugetlb
refuse --mappings 12x
refuse --ways magic
refuse --rounds 0
refuse --rounds three
refuse --json /nonexistent/out
refuse --read /nonexistent/out
refuse --no-such-option
refuse more
tap_done
