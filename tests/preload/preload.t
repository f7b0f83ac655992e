#!/bin/sh
# What the preload must be beside doing its work: the switches in the environment, what it exports and needs,
# other libraries that want mremap too, and that it costs nothing where the kernel has the flag.
. "${srcdir:-.}/tests/tap.sh"
unset LD_PRELOAD LIBREMAP_CONF LIBREMAP_DISABLE LIBREMAP_DEBUG LIBREMAP_LOG
run=$(tap_program remap-run)
workout=$(tap_program tests/preload/workout)
own=$(tap_program tests/preload/own-mremap)
stats=$(tap_program tests/preload/stats)
stats_static=$(tap_program tests/preload/stats-static)
count=$(tap_program tests/preload/count-syscalls)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

lib=$("$run" -- sh -c 'echo "$LD_PRELOAD"')
[ -r "$lib" ] || { echo "Bail out! remap-run knows no preload library"; exit 99; }
folder=${lib%/*}
# A module of this folder: in the build tree under .libs, installed beside its program.
module() {
	for place in "$RM_BUILD/tests/preload/.libs" "${workout%/*}" "$folder"; do
		[ -r "$place/lib$1.so" ] && echo "$place/lib$1.so" && return
	done
}
other=$(module other)
early=$(module early)
# Whether this kernel does everything by itself: then the library must be out of the way.
if "$(tap_program remap-probe)" | grep -E '^(dontunmap-|multi-vma)' | grep -qv ' native '; then
	native=no
else
	native=yes
fi
# Where the linked program finds libremap.so.0, in a build tree as well as in tests/vm's.
LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

# A kernel that has not the flag, so that "ok" is the library's doing. The words before the program: its environment.
on_5_4() {
	"$run" --no-preload --pretend 5.4 -- env "$@" 2>&1
}

# --- switches ---
tap_is "$(on_5_4 "$workout" move)" "move: Invalid argument" "without-the-preload-5.4-says-no"
tap_is "$(on_5_4 LD_PRELOAD="$lib" "$workout" move)" "move: ok" "preload-by-ld-preload-alone"
out=$("$run" --pretend 5.4 -- "$workout" move 2>&1)
tap_is "$out" "move: ok" "preload-serves-a-kernel-without-the-flag"
tap_is "$(on_5_4 LIBREMAP_DISABLE=1 LD_PRELOAD="$lib" "$workout" move)" "move: Invalid argument" \
	"disable-passes-everything-to-the-kernel"
for value in '' 0; do
	tap_is "$(on_5_4 LIBREMAP_DISABLE=$value LD_PRELOAD="$lib" "$workout" move)" "move: ok" \
		"disable-set-to-'$value'-does-not-disable"
done
LIBREMAP_CONF=nonsense:1,native:no,other,native:maybe LD_PRELOAD=$lib "$workout" move \
	>"$work/out" 2>"$work/err"
tap_is "$? $(cat "$work/out")" "0 move: ok" "unknown-settings-do-not-stop-the-program"
tap_is "$(wc -l <"$work/err" | tr -d ' ') $(grep -c -e nonsense -e other -e maybe "$work/err")" "3 3" \
	"unknown-settings-give-one-line-each"
LIBREMAP_CONF=nonsense:1 LIBREMAP_LOG=$work/log LD_PRELOAD=$lib "$workout" move >/dev/null 2>"$work/err"
tap_is "$(wc -l <"$work/log" | tr -d ' ') $(wc -c <"$work/err" | tr -d ' ')" "1 0" \
	"the-log-goes-to-the-file"
tap_is "$(LD_PRELOAD=$lib "$workout" move syscalls clone 2>&1 >/dev/null | wc -c | tr -d ' ')" 0 \
	"nothing-is-said-unasked"

# --- secure mode: the environment of a setuid program is not to be trusted ---
if [ "$(id -u)" -ne 0 ]; then
	tap_skip "needs root to make a setuid program" "setuid-ignores-the-environment"
else
	chmod 777 "$work"
	cp "$stats_static" "$work/setuid"
	chown 65534 "$work/setuid"
	chmod 4755 "$work/setuid"
	plain=$(LIBREMAP_CONF=native:no "$stats_static")
	secure=$(LIBREMAP_CONF=native:no,nonsense:1 LIBREMAP_LOG=$work/secure-log "$work/setuid" 2>&1)
	case "$native $secure" in
	*"secure 1"*) ;;
	*) secure='' ;;
	esac
	if [ -z "$secure" ]; then
		tap_skip "no setuid programs on that file system" "setuid-ignores-the-environment"
	elif [ $native = no ]; then
		tap_skip "this kernel does not do everything by itself" "setuid-ignores-the-environment"
	else
		tap_is "$plain / $secure" "secure 0, by libc yes, by libremap yes, native 0, emulated 1 / \
secure 1, by libc yes, by libremap yes, native 1, emulated 0" "setuid-ignores-the-environment"
	fi
	[ ! -e "$work/secure-log" ]
	tap_ok $? "setuid-writes-no-log"
fi

# --- one engine, whoever is linked with what ---
tap_is "$("$run" --emulate -- "$stats" 2>&1)" \
	"secure 0, by libc yes, by libremap yes, native 0, emulated 2" "linked-and-preloaded-is-one-engine"
out=$(LIBREMAP_CONF=native:no "$(tap_program tests/preload/loaded-late)" "$folder/libremap.so.0" 2>&1)
if [ "$out" = "no userfaultfd" ]; then
	tap_skip "userfaultfd is not permitted" "a-library-that-is-loaded-late-finds-what-was-there-before"
else
	tap_is "$out" "moved, source missing, destination there and whole; beside the thread moved" \
		"a-library-that-is-loaded-late-finds-what-was-there-before"
fi
tap_is "$(LIBREMAP_CONF=native:no "$stats" 2>&1 | sed 's/.*native/native/')" "native 0, emulated 1" \
	"linked-alone-serves-its-own-calls"

# --- libc's names stay transparent ---
"$workout" syscalls clone >"$work/native" 2>&1
for how in "" --emulate; do
	# shellcheck disable=SC2086 # a flag or nothing
	"$run" $how -- "$workout" syscalls clone >"$work/served" 2>&1
	tap_is "$(cat "$work/served")" "$(cat "$work/native")" "syscall-is-transparent${how:+ ($how)}"
done
grep -q "clone with a stack: 7, it was here: 1" "$work/served"
tap_ok $? "syscall-may-return-on-another-stack"

# --- what it leaves behind ---
native_out=$("$workout" resources)
tap_is "$("$run" --emulate -- "$workout" move move resources | tail -n 1)" "$native_out" \
	"no-descriptor-is-left-open-and-no-thread-started"

# --- others who want mremap ---
if [ -z "$other" ] || [ -z "$early" ]; then
	tap_skip "the test's own libraries are not there" "two-interposers"
else
	for how in next syscall; do
		out=$(on_5_4 OTHER_HOW=$how LD_PRELOAD="$other $lib" "$workout" move)
		tap_is "$out" "move: ok
other saw 1" "two-interposers-the-other-first-by-$how"
	done
	out=$(on_5_4 LD_PRELOAD="$lib $other" "$workout" move)
	tap_is "$out" "move: ok
other saw 0" "two-interposers-ours-first"
	for order in "$other $lib" "$lib $other"; do
		# shellcheck disable=SC2016 # for the inner shell
		out=$(on_5_4 LD_PRELOAD="$order" sh -c 'exec "$0" move' "$workout" | head -n 1)
		tap_is "$out" "move: ok" "two-interposers-of-execve,-$(basename "${order%% *}" .so)-first"
	done
	out=$(on_5_4 LD_PRELOAD="$lib $early" "$workout" move)
	tap_is "$out" "early: ok
move: ok" "a-constructor-calls-before-ours-has-run"
	out=$(on_5_4 LD_PRELOAD="$early $lib" "$workout" move)
	tap_is "$out" "early: ok
move: ok" "a-constructor-calls-after-ours-has-run"
	out=$(on_5_4 LIBREMAP_DISABLE=1 LD_PRELOAD="$lib $early" "$workout" move)
	tap_is "$out" "early: failed
move: Invalid argument" "a-constructor-that-comes-first-finds-it-disabled"
fi
tap_is "$(on_5_4 LD_PRELOAD="$lib" "$own" move)" "move: ok
own calls: 1" "a-program-with-its-own-mremap"

# --- what it is ---
symbols() { nm -D --defined-only "$1" | sed 's/.* //' | grep -v '^LIBREMAP_' | LC_ALL=C sort | tr '\n' ' '; }
api="remap_changed@@LIBREMAP_0.1 remap_mremap@@LIBREMAP_0.1 remap_prepare@@LIBREMAP_0.1 remap_probe@@LIBREMAP_0.1 \
remap_set_quiesce@@LIBREMAP_0.1 remap_stats@@LIBREMAP_0.1 remap_strerror_last@@LIBREMAP_0.1 "
if command -v nm >/dev/null && command -v readelf >/dev/null; then
	# what is served, what is only seen (shim/watch.c, shim/waits.c, shim/sockets.c), and how signals are set (shim/signals.c)
	tap_is "$(symbols "$lib")" "__read_chk __recv_chk __recvfrom_chk __sigaction __sysv_signal accept accept4 bsd_signal close close_range closefrom \
connect dup2 dup3 epoll_pwait epoll_pwait2 epoll_wait execl execle execlp execv execve execveat execvp execvpe fexecve ioctl madvise \
mlock mlock2 mlockall mmap mmap64 mprotect mremap munlock munlockall munmap pkey_mprotect posix_madvise prctl \
pthread_sigmask read readv recv recvfrom recvmsg remap_changed@@LIBREMAP_0.1 remap_file_pages ${api#* }semtimedop send sendmsg sendto \
setsockopt shmat shmdt sigaction sighold sigignore siginterrupt signal sigprocmask sigset sigtimedwait ssignal \
syscall sysv_signal write writev " "preload-exports-just-this"
	tap_is "$(symbols "$folder/libremap.so")" "$api" "libremap-exports-just-this"
	for so in "$lib" "$folder/libremap.so"; do
		tap_is "$(readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | tr '\n' ' ')" "libc.so.6 " \
			"${so##*/}-needs-libc-only"
		[ "$(readelf -lW "$so" | grep -c -e '^ *TLS ' -e 'GNU_STACK.*RWE')" -eq 0 ] &&
			! readelf -d "$so" | grep -q TEXTREL
		tap_ok $? "${so##*/}-has-no-tls-no-executable-stack-no-text-relocation"
	done
else
	tap_skip "no binutils" "preload-exports-just-this"
fi

# --- what it costs where the kernel has the flag ---
if [ $native = no ]; then
	tap_skip "this kernel does not do everything by itself" "native-calls-cost-no-further-system-call"
else
	"$count" "$workout" count >"$work/native" 2>"$work/err"
	case $? in
	77) tap_skip "$(cat "$work/err")" "native-calls-cost-no-further-system-call" ;;
	*)
		"$count" env LD_PRELOAD="$lib" "$workout" count >"$work/served" 2>&1
		tap_is "$(cat "$work/served")" "count: ok
300" "native-calls-are-one-system-call-each"
		tap_is "$(cat "$work/served")" "$(cat "$work/native")" "native-calls-cost-no-further-system-call"
		"$count" env LIBREMAP_DISABLE=1 LIBREMAP_CONF=native:no LD_PRELOAD="$lib" \
			"$workout" count >"$work/served" 2>&1
		tap_is "$(cat "$work/served")" "$(cat "$work/native")" "disabled-costs-no-further-system-call"
		;;
	esac
fi
tap_done
