#!/bin/sh
# A skipped program is no error to automake's TAP driver (tests/tap-run); every other exit status stays.
. "${srcdir:-.}/tests/tap.sh"
run=$RM_SRC/tests/tap-run
driver=$RM_SRC/build-aux/tap-driver.sh
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

for status in 0 1 2 99; do
	sh "$run" sh -c "exit $status"
	tap_is $? $status "exit status $status stays"
done
sh "$run" sh -c 'kill -KILL $$' 2>"$dir/err"
tap_is $? 137 "so does a signal"

drive() { # script
	sh "$driver" --test-name x --log-file "$dir/log" --trs-file "$dir/trs" --color-tests no \
		--enable-hard-errors yes --expect-failure no -- sh "$run" sh -c "$1" >"$dir/out" 2>&1
	sed -n 's/^:global-test-result: //p' "$dir/trs"
}
if [ -f "$driver" ]; then
	tap_is "$(drive 'echo "1..0 # SKIP no such thing"; exit 77')" SKIP "all skipped: SKIP"
	tap_is "$(drive 'exit 77')" ERROR "77 without a word: ERROR"
	tap_is "$(drive 'echo "ok 1"; echo 1..1; exit 3')" ERROR "all well, and exit status 3: ERROR"
else
	tap_skip "build-aux/tap-driver.sh is not here" "what the driver makes of it"
fi
tap_done
