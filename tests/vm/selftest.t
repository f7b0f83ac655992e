#!/bin/sh
# Tests the harness itself: that it sees failure wherever there is one, above all. TAP.
#
# Needs no kernel, no qemu and no network: qemu is a script that plays the guest's part from a file,
# the kernels in the cache are empty files. Needs a static busybox and cpio, else it skips.
# Does not test that Debian's kernels boot: make check-vm does.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
vm_name=selftest
. "$here/lib.sh"
if ! busybox=$(vm_static_busybox) || ! vm_has cpio; then
	echo "1..0 # SKIP no static busybox or no cpio here"
	exit 77
fi
unset RM_VM_MIRROR RM_VM_SECURITY_MIRROR RM_VM_KEYRING RM_VM_ACCEL

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
tests=0 faults=0

# check NAME COMMAND...: a TAP point; what the command printed follows a failure.
check()
{
	tests=$((tests + 1))
	name=$1
	shift
	if "$@" >check.out 2>&1; then
		echo "ok $tests - $name"
	else
		faults=$((faults + 1))
		echo "not ok $tests - $name"
		sed 's/^/# /' check.out
	fi
}

# ends STATUS COMMAND...: COMMAND exits with STATUS; its output is in out and err.
ends()
{
	want=$1
	shift
	got=0
	"$@" >out 2>err </dev/null || got=$?
	[ "$got" -eq "$want" ] || {
		echo "status $got, not $want: $*"
		cat out err
		return 1
	}
}

last_line()
{
	[ "$(tail -n 1 out)" = "$1" ] || {
		echo "last line is not '$1':"
		cat out err
		return 1
	}
}

has()
{
	grep -qxF -e "$2" "$1" || {
		echo "$1 has no line '$2':"
		cat "$1"
		return 1
	}
}

has_not()
{
	! grep -qF -e "$2" "$1" || {
		echo "$1 has '$2':"
		cat "$1"
		return 1
	}
}

# --- command lines

helps()
{
	ends 0 "$here/$1" --help && grep -q "^Usage: $1" out && [ ! -s err ]
}

refuses()
{
	ends 2 "$@" && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && grep -q 'Try' err
}

for tool in packages fetch-kernel mkinitramfs boot check-vm run-in; do
	check "$tool --help" helps $tool
	check "$tool refuses an unknown option" refuses "$here/$tool" --no-such-option
done
mkdir -p empty
check "fetch-kernel refuses a kernel it does not know" refuses "$here/fetch-kernel" 4.2
check "fetch-kernel refuses to run without a version" refuses "$here/fetch-kernel"
check "boot refuses a kernel image that is not there" refuses "$here/boot" --kernel none --initrd none
check "boot refuses a time limit that is no number" refuses "$here/boot" --timeout 1h
check "check-vm refuses to run without a tree" refuses "$here/check-vm"
check "check-vm refuses a tree without a list" refuses "$here/check-vm" --staging empty
check "run-in refuses to run without a command" refuses "$here/run-in" 6.1 --staging empty
check "run-in refuses a kernel it does not know" refuses "$here/run-in" 4.2 --staging empty -- true
check "an option without its value is refused" refuses "$here/check-vm" --staging

# --- the list

mkdir -p tree/vm tree/bin
line()
{
	printf '%s\t%s\t%s\n' "$1" "$2" "$3"
}

list_is()
{
	ends "$1" "$here/check-vm" --staging tree --check-list
}

list_fault()
{
	list_is 2 && grep -q "$1" err
}

{ echo '# a comment'; echo; line a 10 'x  y'; line b/c.d-e_f 1 true; } >tree/vm/list
check "a good list is accepted" list_is 0
echo 'a 10 true' >tree/vm/list
check "a line without tabs is refused" list_fault ':1: not NAME'
line a 0 true >tree/vm/list
check "a time limit of 0 is refused" list_fault 'bad time limit'
line a 10s true >tree/vm/list
check "a time limit with a unit is refused" list_fault 'bad time limit'
line 'a b' 10 true >tree/vm/list
check "a name with a space is refused" list_fault 'bad name'
{ line a 1 true; line a 2 true; } >tree/vm/list
check "a name that comes twice is refused" list_fault 'comes twice'
line a 1 ' ' >tree/vm/list
check "an empty command is refused" list_fault 'no command'
echo '# nothing' >tree/vm/list
check "a list without a test is refused" list_fault 'lists no test'

# --- the verdict on one test

# verdict WANT STATUS TIMED_OUT OUTPUT
verdict()
{
	printf "$4" >tap
	got=$(awk -v status="$2" -v limit=9 -v timed_out="$3" -f "$here/tap.awk" tap)
	[ "$got" = "$(printf "$1")" ] || { echo "got '$got'"; return 1; }
}

check "all ok passes" verdict 'PASS\t2 ok' 0 0 '1..2\nok 1 - a\nok 2\n'
check "a plan at the end will do" verdict 'PASS\t1 ok' 0 0 'ok 1\n1..1\n'
check "plans add up" verdict 'PASS\t3 ok' 0 0 '1..2\nok 1\nok 2\n1..1\nok 1\n'
check "no TAP and status 0 passes, and says so" verdict 'PASS\tno TAP' 0 0 'hello\n'
check "not ok fails though the status is 0" \
	verdict 'FAIL\tnot ok 2 - b, 1 ok, 1 not ok' 0 0 '1..2\nok 1\nnot ok 2 - b\n'
check "of what is not ok the first and the last words are quoted" \
	verdict 'FAIL\tnot ok 2 - b (c: 1 ... e), 1 ok, 1 not ok' 0 0 '1..2\n# a\nok 1\n# c: 1\n# d\n# e\nnot ok 2 - b\n'
check "a single word once" verdict 'FAIL\tnot ok 1 (c), 0 ok, 1 not ok' 0 0 '1..1\n# c\nnot ok 1\n'
check "not ok fails though the status is 77" verdict 'FAIL\tnot ok 1, 0 ok, 1 not ok' 77 0 '1..1\nnot ok 1\n'
check "not ok TODO does not fail" verdict 'PASS\t1 ok, 1 todo' 0 0 '1..2\nok 1\nnot ok 2 # TODO x\n'
check "a status of 1 fails though all is ok" verdict 'FAIL\texit status 1, 1 ok' 1 0 '1..1\nok 1\n'
check "a signal fails" verdict 'FAIL\tkilled by signal 11' 139 0 ''
check "running out of time fails" verdict 'FAIL\tno end after 9 s' 137 1 ''
check "running out of time fails whatever was said" verdict 'FAIL\tno end after 9 s, 1 ok' 0 1 '1..1\nok 1\n'
check "fewer points than planned fail" verdict 'FAIL\t3 planned, 1 run, 1 ok' 0 0 '1..3\nok 1\n'
check "a plan without a point fails" verdict 'FAIL\t1 planned, 0 run' 0 0 '1..1\n'
check "points without a plan fail" verdict 'FAIL\tTAP without a plan, 1 ok' 0 0 'ok 1\n'
check "bailing out fails" verdict 'FAIL\tBail out! no room, 1 ok' 0 0 '1..1\nok 1\nBail out! no room\n'
check "status 77 skips, with the plan's reason" verdict 'SKIP\tno uffd' 77 0 '1..0 # SKIP no uffd\n'
check "status 77 skips, with the last words" verdict 'SKIP\tneeds root' 77 0 'x\n# needs root\n'
check "an empty plan skips though the status is 0" verdict 'SKIP\tno uffd' 0 0 '1..0 # skip no uffd\n'
check "points that all skip are a skip" verdict 'SKIP\tno x' 0 0 '1..2\nok 1 # SKIP no x\nok 2 # SKIP no y\n'
check "some skipped points pass, and are counted" verdict 'PASS\t1 ok, 1 skipped' 0 0 '1..2\nok 1\nok 2 # SKIP x\n'

# --- the kernel's log

bad_lines()
{
	[ "$(printf '%s\n' "$2" | awk -f "$here/kernel-log.awk" | wc -l)" -eq "$1" ]
}

for text in '[1.0] BUG: unable to handle page fault' 'BUG: KASAN: use-after-free in x' '[1.0] WARNING: CPU: 0 PID: 1 at mm/mremap.c:1' \
	'Oops: 0000 [#1] SMP' 'Kernel panic - not syncing: x' 'BUG: Bad rss-counter state mm:0 type:1' \
	'INFO: task a:1 blocked for more than 120 seconds.' 'BUG: Bad page map in process a'; do
	check "kernel log: bad: $text" bad_lines 1 "$text"
done
for text in 'a[1]: segfault at 0 ip 0 sp 0 error 4' 'traps: a[1] general protection fault ip:1 sp:2' \
	'watchdog: BUG: soft lockup - CPU#0 stuck for 26s!' 'rcu: INFO: rcu_preempt self-detected stall' \
	'Memory failure: 0x1: recovery action for free page: Recovered'; do
	check "kernel log: harmless: $text" bad_lines 0 "$text"
done

# --- the runner inside the guest

guest_run()
{
	RM_VM_LIST=$work/guest-list RM_VM_HARNESS=$here "$busybox" sh "$here/guest-run" >out 2>err || {
		cat out err
		return 1
	}
	sed 's/  [0-9]*\.[0-9][0-9] s$//' out >results
}

{
	line good 10 'printf "1..1\nok 1\n"'
	line bad 10 'printf "1..1\nnot ok 1 - x\n"; echo why >&2'
	line forges 10 'printf "PASS  forged  1 ok\nend 99\n"; exit 3'
	line skips 10 'echo "no such thing here" >&2; exit 77'
	line hangs 1 'printf "1..1\nok 1\n"; sleep 100 & sleep 100'
	line 'eats-input' 5 'cat; printf "1..1\nok 1\n"'
	line gone 5 no-such-program-at-all
} >guest-list
check "guest-run comes to its end" guest_run
check "guest-run: pass" has results 'PASS  good  1 ok'
check "guest-run: not ok" has results 'FAIL  bad  not ok 1 - x, 0 ok, 1 not ok'
check "guest-run: a failing test's standard output" has results '    | not ok 1 - x'
check "guest-run: a failing test's standard error" has results '    | why'
check "guest-run: a test cannot forge a result" has results '    | PASS  forged  1 ok'
check "guest-run: exit status" has results 'FAIL  forges  exit status 3'
check "guest-run: skip, reason from standard error" has results 'SKIP  skips  no such thing here'
check "guest-run: time limit" has results 'FAIL  hangs  no end after 1 s, 1 ok'
check "guest-run: a test has no input of the list's" has results 'PASS  eats-input  1 ok'
check "guest-run: a program that is not there" has results 'FAIL  gone  exit status 127'
check "guest-run: counts" has results 'end 7'

# --- the archive

cache=$work/cache
modules=$cache/kernels/6.1/lib/modules/6.1.0-test
mkdir -p $modules/kernel/fs
for kernel in 5.10 6.1; do
	mkdir -p $cache/kernels/$kernel
	echo image >$cache/kernels/$kernel/vmlinuz
	echo $kernel.0-test >$cache/kernels/$kernel/uname
	: >$cache/kernels/$kernel/checked
done
for name in top low mid-dle; do
	echo "module $name" >$modules/kernel/fs/$name.ko
done
xz -k $modules/kernel/fs/top.ko 2>/dev/null && rm $modules/kernel/fs/top.ko &&
	top=kernel/fs/top.ko.xz || top=kernel/fs/top.ko
{
	echo "$top: kernel/fs/mid-dle.ko kernel/fs/low.ko"
	echo "kernel/fs/mid-dle.ko: kernel/fs/low.ko"
	echo "kernel/fs/low.ko:"
} >$modules/modules.dep
echo kernel/fs/inside.ko >$modules/modules.builtin

printf '#!/bin/sh\necho hello\n' >tree/vm/run
chmod +x tree/vm/run
line a 10 true >tree/vm/list
dynamic=$(readlink -f "$(command -v cpio)")
cp "$dynamic" tree/bin/dynamic

pack()
{
	ends "$1" "$here/mkinitramfs" --out initrd --kernel-dir $cache/kernels/6.1 "$2" "$3" "$4" "$5"
}

unpacked()
{
	rm -rf un
	mkdir un
	# Two archives, one behind the other, as the kernel would.
	(cd un && { cpio -idmu --quiet; cpio -idmu --quiet; } <../initrd) 2>&1
}

check "mkinitramfs packs a tree" pack 0 --root tree --modules 'top mid_dle inside'
check "what it wrote unpacks" unpacked
for path in init bin/busybox bin/sh bin/dynamic vm/run vm/list vm/harness/guest-run \
	vm/harness/tap.awk vm/harness/kernel-log.awk etc/passwd usr/bin/env; do
	check "the archive has $path" test -e un/$path
done
check "/init is executable" test -x un/init
libraries_there()
{
	for lib in $(ldd "$dynamic" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'); do
		[ -e "un$lib" ] || { echo "no $lib"; return 1; }
	done
	ldd "$dynamic" | grep -q ld-linux
}
check "a dynamic program's libraries and loader are there" libraries_there
modules_there()
{
	printf '/lib/modules/%s.ko\n' low mid-dle top | cmp - un/vm/modules &&
		[ "$(cat un/lib/modules/top.ko)" = "module top" ]
}
check "modules: dependencies first, each once, none that is built in, unpacked" modules_there
check "a module that the kernel lacks is refused" pack 1 --root tree --modules nosuch
check "with one line" grep -qx "mkinitramfs: this kernel has no module 'nosuch'" err
check "a tree without vm/run is refused" pack 1 --root empty --modules ''
mkdir -p linked/usr/lib linked/vm escape/vm
cp tree/vm/run linked/vm
cp tree/vm/run escape/vm
ln -s usr/lib linked/lib
ln -s /usr/lib escape/lib
cp "$dynamic" linked/usr/lib/prog.so
check "a tree where /lib is a link to usr/lib packs" pack 0 --root linked --modules ''
check "and unpacks" unpacked
merged() { [ -L un/lib ] && [ -n "$(find un/usr/lib -name 'libc.so*')" ]; }
check "with the libraries behind the link" merged
check "a link that leads out of the tree is refused" pack 1 --root escape --modules ''
check "--with packs" pack 0 --root tree --with /etc/hostname
check "and unpacks too" unpacked
check "--with brings a file of the host" cmp /etc/hostname un/etc/hostname
printf '# a comment\n/etc/hostname\n-/no/such/file\n' >tree/vm/with
check "vm/with packs, whatever other trees there are" pack 0 --root tree --root linked
check "vm/with unpacks" unpacked
check "vm/with brings a file of the host" cmp /etc/hostname un/etc/hostname
echo /no/such/file >tree/vm/with
check "vm/with refuses a file that is not there" pack 1 --root tree --modules ''
rm tree/vm/with
check "--with refuses a file that is not there" pack 1 --root tree --with /no/such/file
check "--with -PATH does not mind" pack 0 --root tree --with -/no/such/file

# --- boot, with a qemu of ours: plays "script", in which @@ stands for the token's @@

cat >qemu <<'END'
#!/bin/sh
[ "$1" != --version ] || { echo "QEMU emulator version 99.0.0"; exit; }
n=0
while [ $# -gt 0 ]; do
	case $1 in
	-append) token=${2#*rm_vm.token=}; token=${token%% *} ;;
	-serial) n=$((n + 1)); eval "port$n=\${2#file:}" ;;
	esac
	shift
done
[ ! -e console ] || cp console "$port1"
sed "s/@@ /@@$token /" script >"$port2"
[ ! -e stay ] || sleep 30
END
chmod +x qemu
export RM_VM_QEMU=$work/qemu RM_VM_CACHE=$cache RM_VM_OFFLINE=1
: >initrd

boots()
{
	ends "$1" "$here/boot" --kernel $cache/kernels/6.1/vmlinuz --initrd initrd --timeout 2 --log log
}

output_is()
{
	printf "$1" >want
	cmp out want || { cat out; return 1; }
}

good='\n@@ begin 6.1\n'
printf "noise\n${good}a\n\n\nb\n\n\n@@ exit 0\nlate\n" >script
check "boot: status 0" boots 0
check "boot: the output, its empty lines too, and no more" output_is 'a\n\n\nb\n\n'
printf "${good}no newline\n@@ exit 3\n" >script
check "boot: status 3" boots 3
check "boot: an output without a newline at its end" output_is 'no newline\n'
check "boot: names the log on failure" grep -q 'logs: log/console.log' err
printf "${good}@@0123 exit 0\nx\n@@ exit 5\n" >script
check "boot: a marker without the token is output" boots 5
check "boot: and shown" has out '@@0123 exit 0'
printf "${good}a\n" >script
echo '[ 9.0] Kernel panic - not syncing: x' >console
check "boot: no end marker: 126" boots 126
check "boot: no end marker: the panic is shown" has err '[ 9.0] Kernel panic - not syncing: x'
rm console
check "boot: no end marker: says that the guest died" grep -q 'the guest died' err
echo x >script
check "boot: no begin marker: 125" boots 125
printf "${good}a\n" >script
: >stay
check "boot: out of time: 124" boots 124
rm stay
printf "${good}ok\n\n@@ kernel-bad\n[1] WARNING: x\n\n@@ kernel-log\n[0] y\n[1] WARNING: x\n\n@@ exit 0\n" >script
check "boot: a kernel that complained: 123" boots 123
check "boot: its log is not among the output" output_is 'ok\n'
check "boot: what it said is shown" has err '[1] WARNING: x'
check "boot: the whole log is kept" has log/kernel.log '[0] y'

# --- check-vm

{ line a 10 true; line b 10 true; } >tree/vm/list
cp tree/vm/list escape/vm
checks()
{
	ends "$1" "$here/check-vm" --staging tree --kernels "${3:-6.1}" --modules '' && last_line "$2"
}
end='end 2\n\n@@ exit 0\n'
head="${good}kernel 6.1.0-test\n"

printf "${head}PASS  a  1 ok  0.01 s\nPASS  b  1 ok  0.01 s\n$end" >script
check "check-vm: all pass" checks 0 '2 passed, 0 failed, 0 skipped'
check "check-vm: the table names the kernel from inside" grep -q '^6.1    6.1.0-test  *2  *0  *0 ' out
check "check-vm: two kernels" checks 0 '4 passed, 0 failed, 0 skipped' '5.10 6.1'
check "check-vm: a kernel that is not there is a skip" checks 0 '2 passed, 0 failed, 1 skipped' '6.1 6.12'
check "check-vm: and the table says why" grep -q '^6.12   skipped: 6.12 is not in the cache' out
check "check-vm: no kernel at all: 77" checks 77 '0 passed, 0 failed, 2 skipped' '6.12 7.2'
printf "${head}PASS  a  1 ok  0.01 s\nFAIL  b  not ok 1  0.01 s\n    | not ok 1\n$end" >script
check "check-vm: one fails" checks 1 '1 passed, 1 failed, 0 skipped'
check "check-vm: and the table says why" has out '       failed: b: not ok 1'
printf "${head}PASS  a  1 ok  0.01 s\nSKIP  b  no x  0.01 s\n$end" >script
check "check-vm: one skips" checks 0 '1 passed, 0 failed, 1 skipped'
printf "${head}PASS  a  1 ok  0.01 s\n" >script
check "check-vm: the guest died: what gave no result has failed" checks 1 '1 passed, 1 failed, 0 skipped'
check "check-vm: and says so" has out '       failed: b: no result, the guest died'
echo >script
check "check-vm: a kernel that does not boot has failed, not been skipped" \
	checks 1 '0 passed, 2 failed, 0 skipped'
printf "${head}PASS  a  1 ok  0.01 s\n    | PASS  b  1 ok  0.01 s\n$end" >script
check "check-vm: a result in a test's own output does not count" checks 1 '1 passed, 1 failed, 0 skipped'
printf "${head}PASS  a  1 ok  0.01 s\nPASS  a  1 ok  0.01 s\nPASS  z  1 ok  0.01 s\n$end" >script
check "check-vm: only the list's names count, each once" checks 1 '1 passed, 1 failed, 0 skipped'
printf "${head}FAIL  a  x  0.01 s\nPASS  a  1 ok  0.01 s\nPASS  b  1 ok  0.01 s\n$end" >script
check "check-vm: a later pass does not undo a failure" checks 1 '1 passed, 1 failed, 0 skipped'
printf "${head}PASS  a  1 ok  0.01 s\nPASS  b  1 ok  0.01 s\n" >script
check "check-vm: all passed and then the guest died: a failure" checks 1 '2 passed, 1 failed, 0 skipped'
printf "${head}PASS  a  1 ok  0.01 s\nPASS  b  1 ok  0.01 s\nend 2\n\n@@ exit 4\n" >script
check "check-vm: all passed and the runner failed: a failure" checks 1 '2 passed, 1 failed, 0 skipped'
printf "${head}PASS  a  1 ok  0.01 s\nPASS  b  1 ok  0.01 s\nend 2\n\n@@ kernel-bad\nBUG: x\n\n@@ exit 0\n" >script
check "check-vm: the kernel complained: a failure" checks 1 '2 passed, 1 failed, 0 skipped'
check "check-vm: a tree that cannot be packed is a failure" \
	ends 1 "$here/check-vm" --staging escape --kernels 6.1 --modules ''
check "check-vm: --only that matches nothing is refused" \
	refuses "$here/check-vm" --staging tree --kernels 6.1 --only 'z*'

# --- run-in, fetch-kernel

printf "${good}out\n\n@@ exit 9\n" >script
check "run-in: the command's status" ends 9 "$here/run-in" 6.1 --staging tree --modules '' -- sh -c 'exit 9'
check "run-in: its output" output_is 'out\n'
check "run-in: a kernel that is not to be had: 77" ends 77 "$here/run-in" 7.2 --staging tree -- true
check "fetch-kernel: from the cache, without the network" ends 0 "$here/fetch-kernel" 6.1
check "fetch-kernel: prints the image's path" has out $cache/kernels/6.1/vmlinuz
check "fetch-kernel: not to be had: 77" ends 77 "$here/fetch-kernel" 6.12
one_line() { [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ]; }
check "fetch-kernel: in one line" one_line

echo "1..$tests"
[ $faults -eq 0 ]
