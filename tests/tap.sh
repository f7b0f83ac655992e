# Shared by the shell tests: TAP, finding what was built, one way to skip.
# Usage: . "${srcdir:-.}/tests/tap.sh"; then tap_ok, tap_is or tap_like per case and tap_done at the end.
#
# RM_BUILD is the build tree, RM_SRC the source tree; programs of the build come first, then PATH, so that the same
# scripts run in an installed image (tests/vm).
RM_SRC=${abs_top_srcdir:-${top_srcdir:-.}}
RM_BUILD=${abs_top_builddir:-$PWD}
TAP_COUNT=0
TAP_FAILED=0

# The program of that name: from the build tree, else from PATH.
tap_program() {
	if [ -x "$RM_BUILD/$1" ]; then
		echo "$RM_BUILD/$1"
	else
		command -v "${1##*/}" || echo "$RM_BUILD/$1"
	fi
}

tap_ok() { # status description
	TAP_COUNT=$((TAP_COUNT + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $TAP_COUNT - $2"
	else
		echo "not ok $TAP_COUNT - $2"
		case $2 in
		*"# TODO"*) ;; # expected: not a failure, and an error once it passes
		*) TAP_FAILED=$((TAP_FAILED + 1)) ;;
		esac
	fi
}

tap_is() { # got wanted description
	if [ "$1" = "$2" ]; then
		tap_ok 0 "$3"
	else
		tap_ok 1 "$3"
		printf '%s\n' "got:" "$1" "wanted:" "$2" | sed 's/^/# /'
	fi
}

tap_like() { # got pattern description; a pattern of the shell
	# shellcheck disable=SC2254
	case $1 in
	$2) tap_ok 0 "$3" ;;
	*)
		tap_ok 1 "$3"
		printf '%s\n' "got:" "$1" "wanted:" "$2" | sed 's/^/# /'
		;;
	esac
}

tap_skip() { # reason description
	TAP_COUNT=$((TAP_COUNT + 1))
	echo "ok $TAP_COUNT - $2 # SKIP $1"
}

# The whole script can not run here: exit 77 with the reason, as automake and tests/vm understand it.
tap_skip_all() {
	echo "1..0 # SKIP $1"
	exit 77
}

# The command that runs a program in a configuration, in words: "native" is nothing, "real" the preload on this kernel as it is.
# RM_LOADER: words that go in front of every program (a C library's own loader).
tap_config() { # CONFIG
	case $1 in
	native) echo "${RM_LOADER:-}" ;;
	real) echo "$(tap_program remap-run) -- ${RM_LOADER:-}" ;;
	emulate) echo "$(tap_program remap-run) --emulate -- ${RM_LOADER:-}" ;;
	pretend-*) echo "$(tap_program remap-run) --pretend ${1#pretend-} -- ${RM_LOADER:-}" ;;
	esac
}

# FUNCTION CONFIG COMMAND... for each configuration of RM_CONFIGS, or of those given.
tap_in_configs() { # FUNCTION CONFIG...
	tap_function=$1
	shift
	for tap_one in ${RM_CONFIGS:-"$@"}; do
		# shellcheck disable=SC2046 # words
		"$tap_function" "$tap_one" $(tap_config "$tap_one")
	done
}

# A program that speaks TAP itself is one case here: it ends well, after so many that are ok, and none that is not. What it
# complains of becomes comments.
tap_passes() { # CASES DESCRIPTION COMMAND...
	tap_cases=$1
	tap_what=$2
	shift 2
	tap_out=$("$@" 2>&1)
	tap_status=$?
	echo "$tap_out" | sed -n 's/^#/# /p; s/^not ok/# not ok/p; s/^Bail out!/# Bail out/p'
	[ "$tap_status" -eq 0 ] && [ "$(echo "$tap_out" | grep -c '^ok ')" -eq "$tap_cases" ] &&
		! echo "$tap_out" | grep -q '^not ok'
	tap_ok $? "$tap_what"
}

tap_done() {
	echo "1..$TAP_COUNT"
	[ "$TAP_FAILED" -eq 0 ]
	exit $?
}
