# shellcheck shell=sh
# tap.sh - the few words that the shell tests of tests/tools need to speak TAP
#
# Sourced. Sets up a scratch directory ($tmp, removed at the end), the directories and $remap_run, and ends with
# tap_done, which prints the plan and exits 1 when a case failed.

here=$(cd "$(dirname "$0")" && pwd)
builddir=$(cd "${abs_top_builddir:-${RM_BUILDDIR:-.}}" && pwd)
helpers=$builddir/tests/tools
remap_run=${REMAP_RUN:-$builddir/remap-run}
test -x "$remap_run" || remap_run=$builddir/tools/remap-run
tap_count=0
tap_failed=0
tmp=$(mktemp -d "${TMPDIR:-/tmp}/remap-run-test.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM
# The caller's own settings would be merged into what is tested.
unset LIBREMAP_CONF LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_DISABLE LIBREMAP_PRELOAD_LIB LD_PRELOAD

if ! test -x "$remap_run"; then
	echo "Bail out! no remap-run at $remap_run (set REMAP_RUN or RM_BUILDDIR)"
	exit 99
fi

ok() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $*"
}

not_ok() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $*"
}

skip() { # NAME REASON
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

skip_all() { # REASON; when nothing of a file can be tested
	echo "1..0 # SKIP $1"
	exit 77
}

is() { # GOT WANTED NAME
	if test "$1" = "$2"; then
		ok "$3"
	else
		not_ok "$3"
		echo "#      got: $1" | head -5
		echo "# expected: $2" | head -5
	fi
}

like() { # GOT PATTERN NAME; a pattern of the shell
	# shellcheck disable=SC2254
	case $1 in
	$2) ok "$3" ;;
	*)
		not_ok "$3"
		echo "#      got: $1" | head -5
		echo "# expected: $2" | head -5
		;;
	esac
}

# Run remap-run; leaves $status, $out and $err.
run() {
	status=0
	"$remap_run" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	out=$(cat "$tmp/out")
	err=$(cat "$tmp/err")
}

# Can this machine pretend at all (seccomp filters, and a listener if "$1" is server)?
need_pretend() {
	if test "${1-}" = server; then
		run --no-preload --pretend 4.14 -- true
	else
		run --no-preload --pretend 4.14 --filter-only -- true
	fi
	test "$status" = 0 || skip_all "cannot pretend here: $err"
}

tap_done() {
	echo "1..$tap_count"
	test "$tap_failed" = 0
	exit
}
