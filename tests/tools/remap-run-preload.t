#!/bin/sh
# remap-run-preload.t - which library is passed on, and --strict where it would not take effect
# The library is a stub (LIBREMAP_PRELOAD_LIB), so this is about remap-run alone. setuid cases need root.
. "$(dirname "$0")/remap-run.sh"

stub=$helpers/.libs/libstub-preload.so
test -r "$stub" || tap_skip_all "no shared libraries built here ($stub)"
cp "$stub" "$tmp/stub.so" || exit 99
tmp=$(cd "$tmp" && pwd -P)
LIBREMAP_PRELOAD_LIB=$tmp/stub.so
export LIBREMAP_PRELOAD_LIB

run -- sh -c 'echo "$LD_PRELOAD"'
tap_is "$out" "$tmp/stub.so" "LIBREMAP_PRELOAD_LIB is preloaded"
STUB_SAYS="I am in" "$remap_run" -- true 2>"$tmp/err"
tap_is "$(cat "$tmp/err")" "I am in" "and really loaded"
STUB_SAYS="I am in" "$remap_run" --strict -- true 2>"$tmp/err"
tap_is "$(cat "$tmp/err")" "I am in" "and with --strict"
LD_PRELOAD=$tmp/other.so "$remap_run" -- /bin/sh -c 'echo "$LD_PRELOAD"' >"$tmp/out" 2>/dev/null
tap_is "$(cat "$tmp/out")" "$tmp/stub.so:$tmp/other.so" "another LD_PRELOAD is kept, after ours"
run --no-preload -- sh -c 'echo "${LD_PRELOAD-unset}"'
tap_is "$out" unset "--no-preload"
(cd "$tmp" && LIBREMAP_PRELOAD_LIB=stub.so "$remap_run" -- sh -c 'echo "$LD_PRELOAD"') >"$tmp/out"
tap_is "$(cat "$tmp/out")" "$tmp/stub.so" "a relative LIBREMAP_PRELOAD_LIB is made absolute"

refused() { # NAME PATTERN ARG...
	name=$1 pattern=$2
	shift 2
	run "$@"
	tap_is "$status/$out" "125/" "$name: 125, nothing run"
	tap_like "$err" "remap-run: $pattern" "$name: says why"
}

# Where the library is looked for: a copy of remap-run in the layouts of an installation and of a build.
for layout in "bin/remap-run lib" "tools/remap-run .libs" "tools/.libs/remap-run .libs" "remap-run .libs" "x/remap-run x"; do
	exe=$tmp/layout/${layout% *}
	lib=$tmp/layout/${layout#* }
	mkdir -p "${exe%/*}" "$lib"
	cp "$remap_run" "$exe" && cp "$stub" "$lib/libremap-preload.so" || exit 99
	got=$(unset LIBREMAP_PRELOAD_LIB; "$exe" -- sh -c 'echo "$LD_PRELOAD"' 2>&1)
	tap_is "$got" "$lib/libremap-preload.so" "found: $layout"
	rm -rf "$tmp/layout"
done
mkdir "$tmp/bare"
cp "$remap_run" "$tmp/bare/"
if ls /usr/local/lib/libremap-preload.so /usr/lib/libremap-preload.so /usr/lib/*/libremap-preload.so >/dev/null 2>&1; then
	tap_skip "libremap is installed here" "nowhere to be found"
else
	(unset LIBREMAP_PRELOAD_LIB; "$tmp/bare/remap-run" -- echo run) >"$tmp/out" 2>"$tmp/err"
	tap_is "$?/$(cat "$tmp/out")" "125/" "nowhere to be found: 125, nothing run"
	tap_like "$(cat "$tmp/err")" "remap-run: cannot find libremap-preload.so in $tmp/bare, *" "nowhere to be found: says where it looked"
fi
LIBREMAP_PRELOAD_LIB=$tmp/absent.so
refused "named but absent" "cannot find the library LIBREMAP_PRELOAD_LIB=$tmp/absent.so: *" -- echo run

# --strict, and the warning without it
LIBREMAP_PRELOAD_LIB=$tmp/stub.so
"$helpers/make-elf" static "$tmp/static" && "$helpers/make-elf" foreign "$tmp/foreign" &&
	"$helpers/make-elf" class32 "$tmp/class32" || exit 99
printf '#!%s/static\n' "$tmp" >"$tmp/script"
printf '#! %s/script with arguments\n' "$tmp" >"$tmp/script2"
printf '#!/bin/sh\necho run\n' >"$tmp/shell"
chmod +x "$tmp/script" "$tmp/script2" "$tmp/shell"

refused "static" "$tmp/static is static, *; nothing was run (--strict)" --strict -- "$tmp/static"
run -- "$tmp/static"
tap_is "$status" 42 "static without --strict: run"
tap_like "$err" "remap-run: warning: $tmp/static is static, *" "static without --strict: a warning"
tap_is "$(wc -l <"$tmp/err" | tr -d ' ')" 1 "static without --strict: one line of it"
(PATH=$tmp:$PATH && export PATH && "$remap_run" --strict -- static) >"$tmp/out" 2>"$tmp/err"
tap_is $? 125 "static, found in PATH"
refused "script for a static interpreter" "$tmp/static is static, *" --strict -- "$tmp/script"
refused "script for a script" "$tmp/static is static, *" --strict -- "$tmp/script2"
run --strict -- "$tmp/shell"
tap_is "$status/$out/$err" "0/run/" "script for a dynamic shell: fine"
refused "another machine" "$tmp/foreign is for another architecture, *" --strict -- "$tmp/foreign"
refused "another class" "$tmp/class32 is for another architecture, *" --strict -- "$tmp/class32"
run --strict -- "$tmp/absent"
tap_is "$status" 127 "absent command: still 127"
LIBREMAP_PRELOAD_LIB=$tmp/shell
refused "library is a script" "not a shared library for this machine: $tmp/shell*" --strict -- echo run
LIBREMAP_PRELOAD_LIB=$tmp/foreign
refused "library of another machine" "not a shared library for this machine: *" --strict -- echo run
cp "$stub" "$tmp/with space.so"
LIBREMAP_PRELOAD_LIB="$tmp/with space.so"
refused "path that LD_PRELOAD cannot hold" "LD_PRELOAD cannot hold *" --strict -- echo run
LIBREMAP_PRELOAD_LIB=$tmp/stub.so
LIBREMAP_DISABLE=1
export LIBREMAP_DISABLE
refused "LIBREMAP_DISABLE" "LIBREMAP_DISABLE is set*" --strict -- echo run
for LIBREMAP_DISABLE in 0 ''; do
	run --strict -- echo run
	is "$status/$out/$err" "0/run/" "LIBREMAP_DISABLE set to '$LIBREMAP_DISABLE' does not disable"
done
unset LIBREMAP_DISABLE
if test "$(id -u)" = 0; then
	cp /bin/true "$tmp/suid" && chown 65534 "$tmp/suid" && chmod 4755 "$tmp/suid"
	refused "setuid to another user" "$tmp/suid is setuid, *" --strict -- "$tmp/suid"
	cp /bin/true "$tmp/sgid" && chgrp 65534 "$tmp/sgid" && chmod 2755 "$tmp/sgid"
	refused "setgid to another group" "$tmp/sgid is setgid, *" --strict -- "$tmp/sgid"
	chown 0 "$tmp/suid" && chmod 4755 "$tmp/suid"
	run --strict -- "$tmp/suid"
	tap_is "$status" 0 "setuid to ourselves: fine"
else
	tap_skip "needs root" "setuid to another user"
fi

tap_done
