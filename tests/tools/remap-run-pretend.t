#!/bin/sh
# remap-run-pretend.t - every pretended kernel answers kernel-probe as the real one did (kernel-answers.tsv)
#
# One case for each question and kernel. A case is skipped where the probe says "no ..." (this machine has no huge pages,
# or this user may not), and where kernel-answers.blind says what --pretend answers instead, and why.
# A question without a recorded answer fails. Needs seccomp filters and a listener; root and 8 huge pages for all cases.
. "$(dirname "$0")/remap-run.sh"
need_pretend server

compare() { # KERNEL ANSWERS KIND
	awk -F '\t' -v kernel="$1" -v kind="$3" -v count="$TAP_COUNT" '
		FILENAME == ARGV[1] && !/^#/ { blind[$1] = $2; instead[$1] = $3; reason[$1] = $4; next }
		FILENAME == ARGV[2] && $1 == "question" { for (i = 2; i <= NF; i++) if ($i == kernel) column = i; next }
		FILENAME == ARGV[2] && !/^#/ { wanted[$1] = $column; next }
		/^#/ { next }
		{
			name = kernel kind ": " $1
			seen[$1] = 1
			count++
			if (!($1 in wanted))
				print "not ok " count " - " name "\n# no recorded answer; got: " $2
			else if ($2 == wanted[$1])
				print "ok " count " - " name
			else if (index("," blind[$1] ",", "," kernel ",") && $2 == instead[$1])
				print "ok " count " - " name " # SKIP " reason[$1]
			else if ($2 ~ /^no /)
				print "ok " count " - " name " # SKIP " $2
			else
				print "not ok " count " - " name "\n# expected: " wanted[$1] "\n#      got: " $2
		}
		END {
			for (q in wanted)
				if (!(q in seen))
					print "not ok " ++count " - " kernel kind ": " q "\n# not asked"
		}' "$here/kernel-answers.blind" "$here/kernel-answers.tsv" "$2" >"$tmp/tap"
	cat "$tmp/tap"
	TAP_COUNT=$((TAP_COUNT + $(grep -c -E '^(not )?ok ' "$tmp/tap")))
	TAP_FAILED=$((TAP_FAILED + $(grep -c '^not ok ' "$tmp/tap")))
}

for kernel in 4.14 4.19 5.4 5.10 6.1 6.12; do
	run --no-preload --pretend $kernel -- "$helpers/kernel-probe" "$tmp"
	case $err in
	*"older than the $kernel to pretend"*)
		tap_skip "this kernel is older" "$kernel"
		continue
		;;
	esac
	tap_is "$status/$err" 0/ "$kernel: the probe runs"
	cp "$tmp/out" "$tmp/answers"
	compare $kernel "$tmp/answers" ""
done

answer() { # QUESTION
	awk -F '\t' -v q="$1" '$1 == q { print $2 }' "$tmp/out"
}

uffd_is() { # QUESTION WANTED NAME
	case $(answer "$1") in
	no*) tap_skip "$(answer "$1")" "$3" ;;
	*) tap_is "$(answer "$1")" "$2" "$3" ;;
	esac
}

# The kernels between: as their recorded neighbours where these agree, and a few answers of their own.
for triple in "4.18 4.14 4.19" "5.15 5.10 6.1" "6.6 6.1 6.12"; do
	# shellcheck disable=SC2086
	set -- $triple
	run --no-preload --pretend "$1" -- "$helpers/kernel-probe" "$tmp"
	case $err in
	*"older than the $1 to pretend"*)
		tap_skip "this kernel is older" "$1"
		continue
		;;
	esac
	bad=$(awk -F '\t' -v low="$2" -v high="$3" '
		FILENAME == ARGV[1] && !/^#/ { blind[$1] = 1; next }
		FILENAME == ARGV[2] && $1 == "question" { for (i = 2; i <= NF; i++) at[$i] = i; next }
		FILENAME == ARGV[2] && !/^#/ { if ($at[low] == $at[high]) wanted[$1] = $at[low]; next }
		($1 in wanted) && !($1 in blind) && $2 != wanted[$1] && $2 !~ /^no / { print $1 ": " $2 }
		' "$here/kernel-answers.blind" "$here/kernel-answers.tsv" "$tmp/out")
	tap_is "$status/$bad" "0/" "$1: as $2 and $3 where they agree"
	case $1 in
	4.18)
		tap_is "$(answer 'call rseq')" there "4.18: rseq"
		tap_is "$(answer 'membarrier commands')" 0x7f "4.18: membarrier commands"
		;;
	5.15)
		tap_is "$(answer 'mremap DONTUNMAP, shared anon')" "ok, old reads A" "5.15: DONTUNMAP of shared memory"
		tap_is "$(answer 'mremap no-op, unmapped')" ok "5.15: no-op where nothing is mapped"
		tap_is "$(answer 'call process_mrelease')" there "5.15: process_mrelease"
		uffd_is "uffd features" 0x7ff "5.15: userfaultfd features"
		uffd_is "uffd register WP, memfd shared" EINVAL "5.15: no write protection of shared memory"
		uffd_is "uffd register MINOR, memfd shared" "ok: COPY,ZEROPAGE,CONTINUE" "5.15: minor faults"
		;;
	6.6)
		tap_is "$(answer 'call cachestat')" there "6.6: cachestat"
		tap_is "$(answer 'memfd_create EXEC')" ok "6.6: MFD_EXEC"
		uffd_is "uffd features" 0x7fff "6.6: userfaultfd features"
		;;
	esac
done

# Every row of the filter is in force, asked by what the table itself says.
for kernel in 4.14 4.18 4.19 5.4 5.10 5.15 6.1 6.6 6.12; do
	run --no-preload --pretend $kernel -- "$helpers/pretend-rows" $kernel
	case $err in
	*"older than the $kernel to pretend"*) tap_skip "this kernel is older" "$kernel: rows" ;;
	*) tap_like "$status/$out" "0/[1-9]* rows" "$kernel: every row of the filter is in force" ;;
	esac
done

# What remains without a server, or without a call's rows
run --no-preload --pretend 5.10 --filter-only -- "$helpers/kernel-probe" "$tmp"
tap_is "$(answer 'mremap DONTUNMAP, shared anon')" "ok, old reads A" "--filter-only: no look at the mapping"
tap_is "$(answer 'madvise POPULATE_READ')" EINVAL "--filter-only: the filter answers"
run --no-preload --pretend 5.4 --filter-only -- "$helpers/kernel-probe" "$tmp"
tap_is "$(answer 'mremap DONTUNMAP, private anon')" EINVAL "--filter-only: DONTUNMAP on 5.4"
native=$("$helpers/kernel-probe" "$tmp" | awk -F '\t' '$1 == "madvise COLLAPSE" { print $2 }')
run --no-preload --pretend 5.4 --except mremap,madvise -- "$helpers/kernel-probe" "$tmp"
tap_is "$(answer 'mremap DONTUNMAP, shared anon')" "ok, old reads A" "--except mremap: left alone"
tap_is "$(answer 'madvise COLLAPSE')" "$native" "--except madvise: left alone"
tap_is "$(answer 'call mseal')" ENOSYS "--except: the others are not"

# Without PROCMAP_QUERY (an outer remap-run takes it away from the server) /proc/PID/maps is read instead.
status=0
"$remap_run" --no-preload --pretend 6.6 --filter-only -- \
	"$remap_run" --no-preload --pretend 5.10 -- "$helpers/kernel-probe" "$tmp" >"$tmp/answers" 2>"$tmp/err" || status=$?
tap_is "$status/$(cat "$tmp/err")" 0/ "inside another --filter-only: the probe runs"
compare 5.10 "$tmp/answers" " by text"

tap_done
