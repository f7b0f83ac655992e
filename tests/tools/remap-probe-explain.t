#!/bin/sh
# remap-probe --explain: the plan for a made-up mapping, by kind and attribute, and what is wrong with wrong ones.
# The steps themselves are the unit tests' (plan-steps); here it is that every word reaches the planner.
# Needs nothing.
. "${srcdir:-.}/tests/tap.sh"
probe=$(tap_program remap-probe)
unset LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_DISABLE
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT

run() { # mapping
	"$probe" --explain "$1" >"$tmp/out" 2>"$tmp/err"
	status=$?
	out=$(cat "$tmp/out")
	err=$(cat "$tmp/err")
}

like() { # text pattern description
	case $1 in
	$2) tap_ok 0 "$3" ;;
	*) tap_is "$1" "$2" "$3" ;;
	esac
}

LIBREMAP_CONF=native:no
export LIBREMAP_CONF

# The first line names mapping and strategy; the steps are numbered from 1 on.
explains() { # mapping strategy pattern
	run "$1"
	tap_is "$status:$err" "0:" "$1: exit 0, nothing on standard error"
	tap_is "$(sed -n 1p "$tmp/out")" "$1: $2" "$1: the strategy is $2"
	like "$out" "$3" "$1: the steps are there"
	awk 'NR > 1 && $1 != NR - 1 { bad = 1 } END { exit bad || NR < 2 }' "$tmp/out"
	tap_ok $? "$1: the steps are numbered"
}

explains anon twin "*reserve the destination*map an empty mapping*mremap the source onto the destination*mremap the twin onto the source*let the threads run"
explains anon,fixed twin "*1  map an empty mapping*"
explains anon,hint twin "*1  reserve the destination*"
explains file twin "*map an empty mapping*"
explains shared twin "*old_size 0*"
explains anon,readonly twin "*mprotect the twin to r--*"
explains anon,none twin "*mprotect the twin to ---*"
explains anon,exec twin "*mprotect the twin to r-x*"
explains anon,locked twin "*munlock the twin*"
explains shared,locked twin "*munlock the twin*MADV_DONTNEED*"
explains anon,armed twin "*unregister the source*register the source*"
for word in dontfork wipeonfork dontdump mergeable hugepage nohugepage; do
	explains "anon,$word" twin "*MADV_$(echo $word | tr a-z A-Z)*"
done
explains anon,middle grow "*reserve the scratch page*mremap the source onto the destination*grow what lies before the source*merge*"
explains file,tail grow "*mremap the source onto the destination*grow what lies before the source*"
case $out in *scratch* | *twin*) false ;; esac
tap_ok $? "file,tail: nothing behind it to merge with"
explains anon,head twin "*mremap the twin onto the source*"
explains shared,middle twin "*old_size 0*"
explains anon,middle,locked twin "*munlock the twin*"
explains anon,middle,armed grow "*unregister the source*grow*merge*register the source*"
explains anon,remap-event twin "*by a helper that waits for the monitor*wait until the program's monitor*"
case $out in *unregister*) false ;; esac
tap_ok $? "anon,remap-event: the source is not unregistered"
explains anon,middle,remap-event twin "*by a helper*"
explains anon,unmap-event twin "*unregister the source*register the source*"
explains anon,tight twin-late "*mremap the source onto the destination*map an empty mapping like the source at the source*"
explains anon,tight,dontdump,readonly,fixed,armed twin-late "*MADV_DONTDUMP*"
explains anon,relocate relocate "*reserve the destination*mremap the twin onto the destination*mremap the source onto the place aside*let the threads run"
explains anon,locked,fixed,relocate relocate "*munlock the source*mremap the twin onto the destination*mlock the destination*let the threads run"
explains fixed,locked,anon twin "*" # the kind may stand anywhere

# An attribute that is not there adds no step.
run anon
plain=$out
like "$plain" "*mprotect the twin to rw-*" "anon: writable once, so that it is charged"
case $plain in *MADV_* | *register* | *mlock\ the\ dest*) false ;; esac
tap_ok $? "anon: no advice, no registration, no lock"
run anon,noreserve
[ "$(grep -c . "$tmp/out")" -le "$(printf '%s\n' "$plain" | grep -c .)" ]
tap_ok $? "anon,noreserve: no step more"

refuses() { # mapping text
	run "$1"
	tap_is "$status:$out:$err" "0:$1: $2:" "$1: $2"
}
refuses hugetlb "Invalid argument, as every kernel answers"
refuses special "Invalid argument, as every kernel answers"
refuses anon,remap-event,unmap-event "Invalid argument: the range's userfaultfd has both EVENT_REMAP and \
EVENT_UNMAP: its monitor would be told of an unmapping that does not happen"
refuses anon,sealed "Operation not permitted, as every kernel answers"
refuses shared,sealed,locked "Operation not permitted, as every kernel answers"

wrong() { # mapping text
	run "$1"
	tap_is "$status:$out:$err" "2::remap-probe: --explain: $2.  Try 'remap-probe --help'." "'$1' is refused: $2"
}
wrong "" "name a kind: anon, shared, file, hugetlb or special"
wrong fixed "name a kind: anon, shared, file, hugetlb or special"
wrong locked,armed "name a kind: anon, shared, file, hugetlb or special"
wrong anon,shared "one kind only, and 'shared' is another"
wrong anon,anon "one kind only, and 'anon' is another"
wrong anon,nonsense "unknown word 'nonsense'"
wrong Anon "unknown word 'Anon'"
wrong "anon, locked" "unknown word ' locked'"
wrong anon,,locked "unknown word ''"
wrong ,anon "unknown word ''"
long=$(printf '%0500d' 0)
run "anon,$long"
tap_is "$status" 2 "a word of 500 characters is refused"

# Every word of --help is one that --explain knows, and the other way round.
"$probe" --help | sed -n '/attributes, separated/,/--list/p' | sed 's/.*commas: //; /--list/d' |
	tr -s ', \n' '\n' | grep . | sort >"$tmp/told"
printf '%s\n' fixed hint readonly none exec locked armed noreserve sealed dontfork wipeonfork dontdump \
	mergeable hugepage nohugepage tight head middle tail remap-event unmap-event | sort >"$tmp/known"
tap_is "$(comm -13 "$tmp/told" "$tmp/known")" "" "--help names every attribute"
unknown=
while read -r word; do
	run "anon,$word"
	[ "$status" -eq 0 ] || unknown="$unknown $word"
done <"$tmp/told"
tap_is "$unknown" "" "every attribute that --help names is known"

# With the kernel's own flag there is one step.
LIBREMAP_CONF=native:yes
if "$probe" --require native; then
	for kind in anon shared file; do
		explains $kind native "*give the call to the kernel as it is"
	done
else
	tap_skip "this kernel lacks it" "natively there is one step"
fi
tap_done
