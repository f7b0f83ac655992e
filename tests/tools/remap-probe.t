#!/bin/sh
# remap-probe: its options, its three formats, its exit statuses, and what it does with wrong requests.
# Needs nothing; the JSON is looked at by python3 or jq if there is one.
. "${srcdir:-.}/tests/tap.sh"
probe=$(tap_program remap-probe)
features='dontunmap-anon dontunmap-shared dontunmap-file mirror relocate-anon multi-vma-move userfaultfd
userfaultfd-wp userfaultfd-minor userfaultfd-move seccomp-notify memfd procmap-query'
unset LIBREMAP_CONF LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_DISABLE
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT

# out, err and status of a run
run() {
	"$probe" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	out=$(cat "$tmp/out")
	err=$(cat "$tmp/err")
}

# The same with LIBREMAP_CONF set: not as a prefix of a function's call, which shells take differently.
with() { # settings option...
	LIBREMAP_CONF=$1
	export LIBREMAP_CONF
	shift
	run "$@"
	unset LIBREMAP_CONF
}

like() { # text pattern description
	case $1 in
	$2) tap_ok 0 "$3" ;;
	*) tap_is "$1" "$2" "$3" ;;
	esac
}

# A wrong request: exit 2, one line of reason that points to the help, nothing on standard output.
refused() { # description pattern option...
	what=$1 pattern=$2
	shift 2
	run "$@"
	tap_is "$status" 2 "$what: exit 2"
	like "$err" "$pattern" "$what: says so"
	like "$err" "*Try 'remap-probe --help'." "$what: points to the help"
	tap_is "$out" "" "$what: nothing on standard output"
}

# --- help, version, list ---
run --help
tap_is "$status" 0 "--help: exit 0"
like "$out" "Usage: remap-probe *" "--help: begins with the usage"
tap_is "$err" "" "--help: nothing on standard error"
long=$out
run -h
tap_is "$out" "$long" "-h is --help"
for option in json shell feature require explain list help version; do
	like "$long" "*--$option*" "--help tells of --$option"
done
[ "$(printf '%s\n' "$long" | awk 'length > 100' | wc -l)" -eq 0 ]
tap_ok $? "--help: no line is longer than 100 columns"
run --version
tap_is "$status" 0 "--version: exit 0"
like "$out" "remap-probe (libremap) [0-9]*.[0-9]*.[0-9]*" "--version: name and number"
run --list
tap_is "$(echo $out)" "$(echo $features)" "--list: every feature, in order"

# --- one feature ---
for conf in native:yes native:no; do
	for feature in $features; do
		with $conf --feature "$feature"
		case $out:$status in
		native:0 | emulated:0 | unavailable:1) tap_ok 0 "$conf, --feature $feature: state and status agree" ;;
		*) tap_is "$out:$status" "state:status" "$conf, --feature $feature: state and status agree" ;;
		esac
		case $conf:$feature in
		native:no:dontunmap-*) tap_is "$out" emulated "$conf, --feature $feature: emulated" ;;
		esac
	done
done
run -f dontunmap-anon -f memfd
like "$out" "dontunmap-anon *
memfd native" "several features: a name and a state each"
run --feature userfaultfd-move
[ "$out" = native ] && move=emulated || move=unavailable
run --feature relocate-anon
tap_is "$out" "$move" "relocate-anon is emulated where the kernel has UFFDIO_MOVE, and nowhere else"
run
case $move in
emulated) like "$out" "*UFFDIO_MOVE into a fresh mapping*" "relocate-anon: how" ;;
*) like "$out" "*the kernel has no UFFDIO_MOVE*" "relocate-anon: why not" ;;
esac

run --feature mirror
tap_is "$status:$out" "0:emulated" "mirror is nobody's own, and emulated"

# --- require ---
native=0
for feature in dontunmap-anon dontunmap-shared dontunmap-file; do
	run --feature $feature
	[ "$out" = native ] || native=1
done
run --require native
tap_is "$status:$out$err" "$native:" "--require native: as the three features say, and silent"
run --require emulated
tap_is "$status:$out$err" "0:" "--require emulated: yes, natively or not"
with native:no --require native
tap_is "$status:$out$err" "1:" "--require native with native:no: no"
with native:no --require emulated
tap_is "$status:$out$err" "0:" "--require emulated with native:no: yes"
run --require native --feature memfd
tap_is "$status:$out$err" "0:" "--require native --feature: that one only"
run --require native --feature relocate-anon
tap_is "$status:$out$err" "1:" "--require native of what no kernel has: no"
run --feature memfd --require native --feature relocate-anon
tap_is "$status:$out$err" "1:" "--require of several: all of them"

# --- the formats say the same ---
run
tap_is "$status" 0 "table: exit 0"
for feature in $features; do
	line=$(printf '%s\n' "$out" | sed -n "s/^$feature  *\([a-z]*\) .*/\1/p")
	like "$line" "[neu]*" "table: has $feature"
done
with native:no --shell
tap_is "$status" 0 "--shell: exit 0"
[ "$(printf '%s\n' "$out" | grep -vc "^REMAP_[A-Z_]*='[a-z]*'\$")" -eq 0 ]
tap_ok $? "--shell: assignments and nothing else"
REMAP_DONTUNMAP_ANON=''
eval "$out"
tap_is "$REMAP_DONTUNMAP_ANON" emulated "--shell: eval gives the state"
shell=$out
for feature in $features; do
	with native:no --feature "$feature"
	eval "value=\$REMAP_$(echo "$feature" | tr a-z- A-Z_)"
	tap_is "$value" "$out" "--shell: $feature is what --feature says"
done
with native:no -s
tap_is "$out" "$shell" "-s is --shell"

cat >"$tmp/check.py" <<'EOF'
import json, sys
root = json.load(open(sys.argv[1]))
assert set(root) == {"kernel", "version", "features"}, sorted(root)
assert list(root["features"]) == sys.argv[2:], list(root["features"])
for name, row in root["features"].items():
    assert set(row) == {"state", "since", "how", "reason", "remedy", "errno"}, (name, row)
    assert row["state"] in ("native", "emulated", "unavailable"), (name, row)
    assert isinstance(row["errno"], int) and row["errno"] >= 0, (name, row)
    assert row["since"], (name, row)
    assert (row["state"] == "native") == (row["reason"] == ""), (name, row)
    assert (row["state"] == "emulated") == (row["how"] != ""), (name, row)
    assert (row["state"] == "unavailable") == (row["remedy"] != ""), (name, row)
EOF
for conf in native:yes native:no; do
	with $conf --json
	tap_is "$status" 0 "--json, $conf: exit 0"
	if command -v python3 >/dev/null; then
		python3 "$tmp/check.py" "$tmp/out" $features 2>"$tmp/why"
		tap_ok $? "--json, $conf: valid, with every feature and a state that fits its reason"
		sed 's/^/# /' "$tmp/why"
	elif command -v jq >/dev/null; then
		jq -e '.features | map(.state == "native" or .state == "emulated" or .state == "unavailable") | all' \
			"$tmp/out" >/dev/null
		tap_ok $? "--json, $conf: valid, and every state is one"
	else
		tap_skip "neither python3 nor jq" "--json, $conf: valid"
	fi
done
run -j
like "$out" "{*\"features\"*}" "-j is --json"

# --- wrong requests ---
refused "unknown option" "*unrecognized option '--nonsense'*" --nonsense
refused "unknown short option" "*invalid option -- 'x'*" -x
refused "option without its argument" "*requires an argument*" --feature
refused "argument that is not wanted" "*doesn't allow an argument*" --json=1
refused "unexpected argument" "*unexpected argument 'memfd'.*" memfd
refused "unexpected argument after an option" "*unexpected argument 'x'.*" --json x
refused "unknown feature" "*unknown feature 'nonsense'; see --list.*" --feature nonsense
refused "unknown feature among others" "*unknown feature 'nonsense'*" --require native --feature nonsense
refused "empty feature" "*unknown feature ''*" --feature ""
refused "unknown level" "*--require takes native or emulated, not 'yes'.*" --require yes
refused "empty level" "*--require takes native or emulated, not ''.*" --require ""
for pair in "--json --list" "--shell --list" "--json --feature memfd" "--shell --require native" \
	"--list --feature memfd" "--explain anon --json" "--explain anon --list" \
	"--explain anon --feature memfd" "--explain anon --require native"; do
	# shellcheck disable=SC2086
	refused "$pair" "*these options do not go together.*" $pair
done

# --- nowhere to write to ---
if [ -w /dev/full ]; then
	for options in "" --json --shell --list --help --version "--feature memfd" "--explain anon"; do
		# shellcheck disable=SC2086
		"$probe" $options >/dev/full 2>"$tmp/err"
		[ $? -eq 1 ] && grep -q 'remap-probe: write error' "$tmp/err"
		tap_ok $? "remap-probe $options to a full device: exit 1, and says so"
	done
	"$probe" --require emulated >/dev/full 2>"$tmp/err"
	tap_is $? 0 "remap-probe --require emulated to a full device: it writes nothing"
else
	tap_skip "no /dev/full" "a full device"
fi

# --- wrong settings ---
with nonsense:1,native:no --feature dontunmap-anon
tap_is "$status:$out" "0:emulated" "a wrong setting in LIBREMAP_CONF does not matter"
like "$err" "*LIBREMAP_CONF: unknown setting 'nonsense:1'*" "and is told"
tap_done
