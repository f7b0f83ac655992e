#!/bin/sh
# Stops with other C libraries than this machine's: waits and transfers go on, in each of their ways to make system
# calls (emul/call-number.c), and threads are born, cancelled and interrupted beside moves.
# RM_LIBCS: folders as tests/vm/fetch-libc prints. RM_OLD_LIBC: one of fetch-libc --dev, to build with. make check-libc.
. "${srcdir:-.}/tests/tap.sh"
run=$(tap_program remap-run)
stress=$(tap_program tests/stress/stress)

[ -n "${RM_LIBCS:-}" ] || tap_skip_all "RM_LIBCS names no other C library (make check-libc)"

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
stress_scenes='crowd births movers handlers signals'

for folder in $RM_LIBCS; do
	loader=$folder/ld-linux-x86-64.so.2
	libc=glibc-$("$loader" --version 2>/dev/null | sed -n '1s/.*version \([0-9.]*[0-9]\).*/\1/p')
	[ "$libc" != glibc- ]
	tap_ok $? "$folder has a loader ($libc)"
	for name in waits transfers; do
		RM_LOADER="$loader --library-path $folder"
		export RM_LOADER
		tap_passes 3 "$libc: $name" sh "$RM_SRC/tests/preload/$name.t"
		unset RM_LOADER
	done
	for name in $stress_scenes; do
		tap_passes 3 "$libc: stress, $name" "$run" --emulate -- "$loader" --library-path "$folder" \
			"$stress" --scene "$name" --moves 200 --seconds 120
	done
done

# How many cases a program has, as its own test says.
cases() { # NAME
	sed -n 's/.*tap_passes \([0-9][0-9]*\) .*/\1/p' "$RM_SRC/tests/preload/$1.t"
}

# Programs are built with another C library: transfers, waits, stress. What follows CC is for all of them.
build_tests() { # CC OPTION...
	for name in transfers waits; do
		"$@" -o "$work/$name" "$RM_SRC/tests/preload/$name.c" ./*.o -pthread || return 1
	done
	"$@" -o "$work/stress" "$RM_SRC"/tests/stress/[!m]*.c "$RM_SRC/tests/stress/movers.c" ./*.o -pthread
}

built() { # STATUS DESCRIPTION
	tap_ok "$1" "$2"
	grep error "$work/log" | sed 's/^/# /' | head -20
}

# musl, and the engine linked.
linked_with_musl() {
	headers=/usr/include
	set -- -O1 -std=gnu11 -D_GNU_SOURCE -DHAVE_CONFIG_H "-I$RM_BUILD" "-I$RM_SRC" "-I$RM_SRC/include" \
		-idirafter $headers -idirafter $headers/x86_64-linux-gnu
	mkdir "$work/musl"
	(cd "$work/musl" && musl-gcc "$@" -c "$RM_SRC"/emul/*.c "$RM_SRC/emul/stub.S" &&
		build_tests musl-gcc "$@" -Dmremap=remap_mremap) >"$work/log" 2>&1
	built $? "musl: the engine and its tests are built"
	tap_passes "$(cases transfers)" "musl, linked: transfers" env LIBREMAP_CONF=native:no "$work/transfers"
	for name in $stress_scenes forks; do
		tap_passes 3 "musl, linked: stress, $name" env LIBREMAP_CONF=native:no \
			"$work/stress" --scene "$name" --moves 200 --seconds 120
	done
}

# The preload built with an older glibc, and preloaded there.
built_with() { # FOLDER
	root=$1/sysroot
	loader=$1/ld-linux-x86-64.so.2
	# before 2.33 the loader does not tell
	libc=glibc-$("$loader" --library-path "$1" "$1/libc.so.6" | sed -n '1s/.*version \([0-9.]*[0-9]\).*/\1/p')
	set -- gcc "--sysroot=$root" "-B$root/usr/lib/x86_64-linux-gnu" "-L$root/usr/lib/x86_64-linux-gnu" \
		"-L$root/lib/x86_64-linux-gnu" -O2 -std=gnu11 -D_GNU_SOURCE "-I$RM_SRC" "-I$RM_SRC/include" \
		"-DPACKAGE_VERSION=\"test\"" -Werror=implicit-function-declaration
	for part in emul shim tests; do
		mkdir -p "$work/$part"
	done
	(cd "$work/emul" && "$@" -fPIC -fvisibility=hidden -c "$RM_SRC"/emul/*.c "$RM_SRC/emul/stub.S" &&
		cd ../shim && "$@" -fPIC -fvisibility=hidden -c "$RM_SRC"/shim/*.c "$RM_SRC/shim/syscall.S" &&
		"$@" -shared -Wl,-z,defs,-z,now "-Wl,--version-script=$RM_SRC/shim/preload.map" -o ../preload.so \
			../emul/*.o ./*.o -ldl &&
		cd ../tests && echo >none.c && "$@" -c none.c && build_tests "$@") >"$work/log" 2>&1
	built $? "$libc: the preload and its tests are built"
	for name in waits transfers; do
		tap_passes "$(cases $name)" "$libc: $name" env LIBREMAP_CONF=native:no "LD_PRELOAD=$work/preload.so" \
			"$loader" --library-path "${loader%/*}" "$work/$name"
	done
	for name in $stress_scenes; do
		tap_passes 3 "$libc: stress, $name" env LIBREMAP_CONF=native:no "LD_PRELOAD=$work/preload.so" \
			"$loader" --library-path "${loader%/*}" "$work/stress" --scene "$name" --moves 200 --seconds 120
	done
}

if command -v musl-gcc >/dev/null; then
	linked_with_musl
else
	tap_skip "no musl-gcc" "musl, linked"
fi
for folder in ${RM_OLD_LIBC:-}; do
	built_with "$folder"
done
tap_done
