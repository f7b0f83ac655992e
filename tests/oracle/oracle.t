#!/bin/sh
# The differential tester: first that it can fail and does not fail by itself, then the kernel against the library.
# ORACLE_SEQUENCES: random sequences of each configuration (default 250, of 40 operations).
# ORACLE_SEED: the first seed (default 1).
# RM_CONFIGS: only these configurations ("real": this kernel as it is, against what 6.18 answered).
. "${srcdir:-.}/tests/tap.sh"
sequences=${ORACLE_SEQUENCES:-250}
seed=${ORACLE_SEED:-1}
oracle=$(tap_program tests/oracle/remap-oracle)
run=$(tap_program remap-run)
data=$RM_SRC/tests/oracle
shim=$RM_BUILD/tests/oracle/.libs/naive-shim.so
out=$(mktemp) || exit 99
trap 'rm -f "$out" "$out.excused" "$out.open" "$out.documented"' EXIT

# Runs a command, keeps what it printed, and shows the verdict (and of a failure, its beginning) as comments.
oracle() { # wanted-status description command...
	wanted=$1
	what=$2
	shift 2
	"$@" >"$out" 2>&1
	status=$?
	if [ "$status" -ne "$wanted" ]; then
		sed -e '/reproducer:/,/^}/d' -e 's/^/# /' "$out" | head -n 60
	fi
	sed -n 's/^compared/# compared/p; s/^against/# against/p' "$out"
	[ "$status" -eq "$wanted" ]
	tap_ok $? "$what"
}

compare() { # wanted-status description options... -- command...
	wanted=$1
	what=$2
	shift 2
	oracle "$wanted" "$what" "$oracle" --compare --quiet --excused "$data/excused" --seed "$seed" "$@"
}

[ -x "$oracle" ] || tap_skip_all "remap-oracle is not built"
"$oracle" --sequences 1 --ops 1 >/dev/null 2>&1 || tap_skip_all "remap-oracle does not run here"

case " ${RM_CONFIGS:-native} " in
*" native "*)
	oracle 2 "an unknown option is refused" "$oracle" --no-such-option
	oracle 2 "an unknown scenario is refused" "$oracle" no-such-scenario
	oracle 2 "a number out of range is refused" "$oracle" --ops 0
	printf 'dontunmap-locked everything because\n' >"$out.excused"
	oracle 2 "an excuse for no known field is refused" \
		"$oracle" --compare --excused "$out.excused" --sequences 1 -- env
	compare 0 "native against native: nothing differs" --scenarios --sequences "$sequences" -- env
	compare 1 "one wrong observation is found" --sequences 20 --shrink 1 -- env ORACLE_PERTURB=1
	grep -q 'shrunk from .* to 2 operations' "$out"
	tap_ok $? "and is shrunk to two operations"
	if [ -f "$shim" ]; then
		compare 1 "the naive emulation is found out" --sequences 50 --shrink 0 -- env LD_PRELOAD="$shim"
		compare 1 "the naive emulation loses the protection" \
			--shrink 0 dontunmap-of-read-only -- env LD_PRELOAD="$shim"
		compare 1 "the naive emulation loses shared memory" \
			--shrink 0 dontunmap-of-shared -- env LD_PRELOAD="$shim"
		compare 1 "the naive emulation disarms userfaultfd" \
			--shrink 0 uffd-missing-stays-armed-on-source -- env LD_PRELOAD="$shim"
		compare 0 "the naive emulation moves ordinary pages right" --level content \
			--shrink 0 dontunmap-moves-pages-and-leaves-zeros -- env LD_PRELOAD="$shim"
	else
		tap_skip "naive-shim.so is not built" "the naive emulation is found out"
	fi
	case $(uname -r) in
	6.18.*)
		zero=$("$(tap_program tests/oracle/zero-page)")
		for recording in "$data"/recordings/*.txt; do
			case $recording:$zero in
			*/full-*:"a page of its own")
				tap_skip "this kernel has no zero page, the recorded one had" \
					"as recorded: ${recording##*/}"
				continue
				;;
			esac
			oracle 0 "as recorded: ${recording##*/}" "$oracle" --excused "$data/excused" \
				--against "$recording"
		done
		;;
	esac
	;;
esac

# Scenarios that a file, open or documented, lists for the configuration.
listed() { # file configuration
	case $2 in
	emulate | pretend-4.* | pretend-5.4) kinds='old|shared' ;;
	pretend-5.10) kinds=shared ;;
	real) kinds=real ;;
	*) kinds=none ;;
	esac
	sed -nE "s/^($kinds) +([^ ]+) +(.*)/\\2 \\3/p" "$data/$1"
}

# What is documented to be refused is refused with that errno, and all is as if nothing had been asked.
refusals() { # configuration command...
	config=$1
	shift
	listed documented "$config" >"$out.documented"
	while read -r name errno reason; do
		[ "$errno" != kernel ] || continue
		ORACLE_REFUSED=$errno
		export ORACLE_REFUSED
		compare 0 "$config: $name: $errno, and nothing has changed ($reason)" \
			--shrink 0 "$name" -- env -u ORACLE_REFUSED "$@" </dev/null
		unset ORACLE_REFUSED
	done <"$out.documented"
}

# Everything compared in one configuration. Random sequences must not differ in content; with everything observed a few
# still do (README.md).
compare_config() { # configuration command...
	config=$1
	shift
	opened=$(listed open "$config")
	names=$("$oracle" --list | awk '{ print $1 }')
	for name in $({ echo "$opened" && listed documented "$config"; } | awk '{ print $1 }'); do
		names=$(echo "$names" | grep -vx "$name")
	done
	# shellcheck disable=SC2086 # one word each
	compare 0 "scenarios, $config" $names -- "$@"
	# Threads that have to be stopped, or that a move goes on beside.
	# shellcheck disable=SC2086
	compare 0 "scenarios beside a thread, $config" --threads 1 $names -- "$@"
	echo "$opened" | while read -r name reason; do
		[ -n "$name" ] || continue
		"$oracle" --compare --quiet --shrink 0 --excused "$data/excused" "$name" -- "$@" >/dev/null 2>&1
		echo "$? $name # TODO $reason"
	done >"$out.open"
	while read -r status name reason; do
		tap_ok "$status" "$config: $name $reason"
		compare 0 "$config: $name, content" --level content --shrink 0 "$name" -- "$@" </dev/null
	done <"$out.open"
	refusals "$config" "$@"
	compare 0 "random sequences, content, $config" --level content --sequences "$((sequences * 4))" -- "$@"
	compare 0 "random sequences of mappings that lie apart, content, $config" --portable --level content \
		--sequences "$((sequences * 4))" -- "$@"
	compare 0 "random sequences beside a thread, content, $config" --portable --level content --threads 1 \
		--seed 100001 --sequences "$sequences" -- "$@"
}

# This kernel, under remap-run with the given options, against what 6.18 answered; scenarios that are documented for such a kernel
# may differ.
against_recordings() { # options...
	probe=$(tap_program remap-probe)
	# Where nothing is emulated the comparison would be between two kernels.
	if "$run" "$@" -- "$probe" --require native --feature dontunmap-anon --feature dontunmap-shared \
		--feature dontunmap-file --feature multi-vma-move; then
		tap_skip "this kernel's own mremap is used throughout" "here, remap-run $*, as 6.18 recorded"
		return
	fi
	if ! "$run" "$@" -- "$probe" --require native --feature dontunmap-anon; then
		like=emulate
	elif ! "$run" "$@" -- "$probe" --require native --feature dontunmap-shared; then
		like=pretend-5.10
	else
		like=real
	fi
	meant=$(listed documented $like)
	for recording in "$data"/recordings/portable-*.txt; do
		"$run" "$@" -- "$oracle" --excused "$data/excused" --against "$recording" >"$out" 2>&1
		status=$?
		sed -n 's/^differs/# differs/p; s/^against/# against/p' "$out"
		unexpected=$(sed -nE 's/^differs: (scenario|sequence) ([^ :]*).*/\2/p' "$out" | while read -r name; do
			echo "$meant" | grep -q "^$name " || echo "$name"
		done)
		[ "$status" -eq 0 ] || { [ "$status" -eq 1 ] && [ -z "$unexpected" ]; }
		tap_ok $? "here, remap-run $*, as 6.18 recorded: ${recording##*/}"
	done
	refusals $like "$run" "$@" --
}

# The other configurations are compared with this kernel, so it must be one that has it all.
recent=yes
"$oracle" dontunmap-of-shared multi-move-takes-all-kinds 2>/dev/null | grep -q 'mremap E[A-Z]' && recent=no

for config in ${RM_CONFIGS:-emulate pretend-4.14 pretend-5.4 pretend-5.10 pretend-6.12}; do
	case $config in
	native)
		continue
		;;
	real | real-emulate) ;;
	*)
		if [ $recent = no ]; then
			tap_skip "this kernel lacks a part of 6.18's mremap" "$config"
			continue
		fi
		;;
	esac
	if [ ! -x "$run" ]; then
		tap_skip "remap-run is not built" "$config"
		continue
	fi
	case $config in
	real) against_recordings ;;
	real-emulate) against_recordings --emulate ;;
	emulate) compare_config emulate "$run" --emulate -- ;;
	pretend-*) compare_config "$config" "$run" --pretend "${config#pretend-}" -- ;;
	esac
done
tap_done
