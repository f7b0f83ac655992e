# shellcheck shell=sh
# What the tests of remap-run share, beside tests/tap.sh: a scratch directory ($tmp, removed at the end), the directory
# of the helpers, $remap_run itself, and running it with everything caught.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tap.sh"
helpers=$RM_BUILD/tests/tools
remap_run=$(tap_program remap-run)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/remap-run-test.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM
# The caller's own settings would be merged into what is tested.
unset LIBREMAP_CONF LIBREMAP_DEBUG LIBREMAP_LOG LIBREMAP_DISABLE LIBREMAP_PRELOAD_LIB LD_PRELOAD

if ! test -x "$remap_run"; then
	echo "Bail out! no remap-run at $remap_run (set abs_top_builddir)"
	exit 99
fi

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
	test "$status" = 0 || tap_skip_all "cannot pretend here: $err"
}
