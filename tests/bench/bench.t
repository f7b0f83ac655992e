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
tap_is "$(awk -F'\t' 'NF != 12' "$dir/tsv")" "" "every row of the TSV has twelve fields"
tap_is "$(awk -F'\t' '$6 == "emulated" && $7 != 3' "$dir/tsv")" "" "three rounds are three rounds"

"$bench" --sizes 4K --kinds private --threads 0 --mappings 0 --rounds 2 --places anywhere,askew:cold --ways emulated,native --tsv "$dir/places.tsv" \
	>"$dir/places" 2>"$dir/err"
tap_is "$? $(sed -nE 's/^(4K [a-z ]+)  .*/\1/p' "$dir/places" | sed 's/ *$//' | tr '\n' ',')" "0 4K anywhere,4K askew cold," "other places, cold caches"
tap_is "$(awk -F'\t' '$6 == "emulated" { printf "%s %s %d;", $11, $12, $7 }' "$dir/places.tsv")" "anywhere warm 2;askew cold 2;" "and in the TSV"

"$bench" --sizes 64K --kinds zero --threads 0 --mappings 0 --rounds 2 --places reserved --ways emulated --tsv "$dir/zero.tsv" >"$dir/zero" 2>"$dir/err"
tap_is "$? $(awk -F'\t' '$6 == "emulated" { print $7 }' "$dir/zero.tsv")" "0 2" "memory that was only read, but for both ends"

# What the machine has no room or time for is left out, and the reason is told.
"$bench" --sizes 4096G --kinds private --threads 0 --mappings 0 --rounds 1 --ways emulated >"$dir/huge" 2>&1
tap_ok $? "four tebibytes are no error"
grep -q '^Left out: private 4096G, alone: more than the memory' "$dir/huge"
tap_ok $? "and are left out with the reason"

# What the preload costs: every call, every program that is here, by every door.
if [ -e "$RM_BUILD/.libs/libremap-preload.so" ]; then
	"$bench" --costs --quick --rounds 2 --json "$dir/costs.json" >"$dir/costs" 2>"$dir/err"
	tap_ok $? "two batches of every call, two runs of every program"
	sed 's/^/# /' "$dir/err" | grep remap-bench:
	tap_is "$(awk '/^(mremap|mmap|munmap|mprotect|madvise|mlock|ioctl|close|syscall).*\(.*\(/ { n++ }
		END { print n + 0 }' "$dir/costs")" 13 "thirteen calls are in the table"
	tap_is "$(grep -c '^/bin/true  *2 ' "$dir/costs")" 1 "/bin/true was run twice"
	tap_is "$(awk 'length($0) > 100' "$dir/costs")" "" "that table fits into 100 columns"
	"$bench" --read "$dir/costs.json" >"$dir/again" 2>&1
	cmp -s "$dir/costs" "$dir/again"
	tap_ok $? "the JSON gives the same table"
else
	tap_skip "the preload was not built" "what the preload costs"
fi

# The pictures, by the rule that makes them.
if ! command -v gnuplot >/dev/null; then
	tap_skip "gnuplot is not installed" "pictures of a run"
elif [ ! -f "$RM_BUILD/Makefile" ]; then
	tap_skip "not in a build tree" "pictures of a run"
else
	MAKEFLAGS='' MAKELEVEL='' make -s -C "$RM_BUILD" bench-plots BENCH_JSON="$dir/out" \
		BENCH_DOC="$dir/doc" >"$dir/plots" 2>&1
	tap_ok $? "make bench-plots"
	grep -vE '^-|no valid points' "$dir/plots" | sed 's/^/# /'
	cmp -s "$dir/out" "$dir/doc/bench.json" && cmp -s "$dir/table" "$dir/doc/bench.txt"
	tap_ok $? "the JSON and the table lie beside the pictures"
	for name in sizes threads mappings; do
		tap_is "$(head -c 8 "$dir/doc/bench-$name.png" | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a \
			"bench-$name.png is a PNG"
		tail -3 "$dir/doc/bench-$name.svg" | grep -q '</svg>' &&
			grep -q '>native<' "$dir/doc/bench-$name.svg" &&
			grep -q 'emulated, again' "$dir/doc/bench-$name.svg"
		tap_ok $? "bench-$name.svg is whole and names the ways"
	done
fi

out=$("$(tap_program tests/bench/mirror-bench)" 8 1)
tap_is "$? $(echo "$out" | grep -c -E '^ +[18] MiB (empty|sparse|full) +([0-9.]+ *){7}$')" "0 6" "mirrors: a row for each size and memory"

refuse() { # option value
	"$bench" "$@" >"$dir/stdout" 2>"$dir/stderr"
	[ $? -eq 2 ] && [ ! -s "$dir/stdout" ] && [ "$(wc -l <"$dir/stderr")" -eq 1 ]
	tap_ok $? "refused in one line, exit 2: $*"
}
refuse --sizes 5000
refuse --minutes 2
refuse --minutes 601
refuse --minutes 3m
refuse --sizes 4K,,8K
refuse --sizes 4X
refuse --sizes 99999999999999999999
refuse --threads 4:asleep
refuse --threads=-1
refuse --kinds hugetlb
refuse --mappings 12x
refuse --places nowhere
refuse --places anywhere:
refuse --places :cold
refuse --ways magic
refuse --rounds 0
refuse --rounds three
refuse --json /nonexistent/out
refuse --read /nonexistent/out
refuse --no-such-option
refuse more
tap_done
