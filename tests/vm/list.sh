# list.sh ROOT: what the guest runs, one line a test: NAME<tab>SECONDS<tab>COMMAND (README.md).
#
# The kernel is the point there, so shell tests that go through configurations get RM_CONFIGS=real: the program as it is
# under remap-run, on whatever this kernel has. Times are generous: emulation is slow.
root=$1
env='cd /opt/libremap && export srcdir=. abs_top_builddir=/opt/libremap abs_top_srcdir=/opt/libremap'
env="$env RM_CONFIGS=real RM_TIMEOUT=280 CMOCKA_MESSAGE_OUTPUT=TAP"

line()
{
	printf '%s\t%s\t%s && %s\n' "$1" "$2" "$env" "$3"
}

line probe 60 './remap-run -- ./remap-probe --require emulated'
line oracle 900 'sh tests/oracle/oracle.t'
line oracle-emulate 900 'RM_CONFIGS=real-emulate sh tests/oracle/oracle.t'
line stress-emulate 1500 'RM_CONFIGS=emulate STRESS_MOVES=40 sh tests/stress/stress.t'
line stress 900 'STRESS_MOVES=60 sh tests/stress/stress.t'
line collector 600 './remap-run -- examples/collector --memfd && ./remap-run -- examples/collector --private && ./remap-run --emulate -- examples/collector --private'
# No kernel has MREMAP_MIRROR or MREMAP_RELOCATE_ANON, so all of it is libremap's, on what this kernel has.
for subject in errno shared private hugetlb life fork lazy meanwhile seen watched memory swap; do
	line behave/mirror-$subject 300 \
		"RM_LAZY_MIB=8 RM_SWAPON=/disk RM_SHMEM_THP=yes sh tests/behave/run-configs tests/behave/mirror-$subject.behave"
done
for subject in calls life merge; do
	line behave/relocate-$subject 300 "sh tests/behave/run-configs tests/behave/relocate-$subject.behave"
done
line stress-mirror 600 'STRESS_ROUNDS=10 STRESS_LARGE=8192 sh tests/stress/mirror.t'
# What libremap does by itself, never this kernel's flag.
for subject in advice calls errno limits locked monitor-moves parts placement private-anonymous private-file shared \
	tiles userfaultfd userfaultfd-events; do
	line behave/$subject 300 "RM_CONFIGS=emulate sh tests/behave/run-configs tests/behave/$subject.behave"
done
# Of siblings what differs from kernel to kernel; its other cases take long here, or count what happens in moments.
line behave/siblings-drain 300 "RM_CONFIGS=emulate RM_CASE='*sibling-drains*' sh tests/behave/run-configs tests/behave/siblings.behave"
line behave/siblings-read 300 "RM_CONFIGS=emulate RM_CASE='*reads-zeros*' sh tests/behave/run-configs tests/behave/siblings.behave"
line preload/waits 300 './remap-run --emulate -- tests/preload/waits'
line preload/transfers 300 './remap-run --emulate -- tests/preload/transfers'
quick='destination-kept facts-collect fill-thread glance-check guard-window known-ranges neighbour-changes'
quick="$quick placement plan-steps prepare-cached restart-calls restart-signals running-races segv-owner world-lock"
for name in $quick; do
	line "unit/$name" 100 "tests/unit/$name"
done
# The rest takes long, or is this kernel's own behaviour where that is not 6.18's, and is for looking into things:
# RM_VM_LIST_ALL=yes make check-vm.
[ "${RM_VM_LIST_ALL:-no}" = yes ] || exit 0
for program in "$root"/tests/behave/*.behave; do
	[ -x "$program" ] || continue
	case $program in
	*/mirror-* | */relocate-*) continue ;; # above
	esac
	name=tests/behave/$(basename "$program")
	line "${name#tests/}" 300 "sh tests/behave/run-configs $name"
done
for kind in unit faults; do
	for program in "$root"/tests/$kind/*; do
		name=$(basename "$program")
		case $name in
		*.t | *.sh | *.*) continue ;;
		esac
		[ -x "$program" ] || continue
		case " $quick " in
		*" $name "*) continue ;; # above
		esac
		line "$kind/$name" 1500 "tests/$kind/$name"
	done
done
