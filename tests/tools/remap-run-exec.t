#!/bin/sh
# remap-run-exec.t - the command's pid, arguments, signals and exit status are its own, with and without --pretend
# --pretend cases need seccomp, else they are skipped.
. "$(dirname "$0")/remap-run.sh"
# A directory of PATH that may not be searched makes "not found" a 126, as with env(1).
PATH=/usr/bin:/bin

modes="plain filter server"
options() { # MODE
	case $1 in
	plain) echo "--no-preload" ;;
	filter) echo "--no-preload --pretend 5.4 --filter-only" ;;
	server) echo "--no-preload --pretend 5.10" ;;
	esac
}

for mode in $modes; do
	o=$(options $mode)
	# shellcheck disable=SC2086
	{
	run $o -- true
	if test "$status" != 0 && test $mode != plain; then
		tap_skip "cannot pretend here: $err" "$mode"
		continue
	fi
	tap_is "$status" 0 "$mode: exit 0"
	run $o -- sh -c 'exit 42'
	tap_is "$status" 42 "$mode: the command's exit status"
	run $o -- sh -c 'exit 125'
	tap_is "$status/$err" "125/" "$mode: a command's own 125"
	run $o -- "$tmp/absent"
	tap_is "$status" 127 "$mode: 127 for a path that is not there"
	tap_like "$err" "remap-run: cannot run '$tmp/absent': *" "$mode: and says so"
	run $o -- absent-from-the-path-too
	tap_is "$status" 127 "$mode: 127 for a name not in PATH"
	echo 'exit 3' >"$tmp/plain"
	run $o -- "$tmp/plain"
	tap_is "$status" 126 "$mode: 126 for a file without x"
	run $o -- "$tmp"
	tap_is "$status" 126 "$mode: 126 for a directory"
	chmod +x "$tmp/plain"
	run $o -- "$tmp/plain"
	tap_is "$status" 3 "$mode: a file without #! is a shell script, as for execvp"
	rm -f "$tmp/plain"
	for sig in 15 9 11; do
		run $o -- sh -c "kill -$sig \$\$"
		tap_is "$status" "$((128 + sig))" "$mode: dies of its own signal $sig"
	done
	rm -f "$tmp/pid"
	"$remap_run" $o -- sh -c 'echo $$; exec sleep 30' >"$tmp/pid" &
	pid=$!
	while ! test -s "$tmp/pid"; do sleep 0.05; done
	tap_is "$(cat "$tmp/pid")" $pid "$mode: keeps the pid"
	kill -TERM $pid
	wait $pid
	tap_is $? 143 "$mode: a SIGTERM to that pid reaches it"
	run $o -- sh -c 'printf "<%s>" "$@"' x "a b" "" -- --help
	tap_is "$out" "<a b><><--><--help>" "$mode: arguments unchanged"
	run $o sh -c 'printf "<%s>" "$@"' x --strict -h
	tap_is "$status$out" "0<--strict><-h>" "$mode: without --, what follows the command is the command's"
	tap_is "$(echo text | "$remap_run" $o -- cat)" text "$mode: standard input is the command's"
	run $o -- sh -c 'echo /proc/self/fd/*'
	tap_is "$out" "$(sh -c 'echo /proc/self/fd/*' </dev/null 2>/dev/null)" "$mode: no fd leaks into the command"
	before=$(awk '/^Sig(Ign|Blk)/' /proc/self/status)
	tap_is "$("$remap_run" $o -- awk '/^Sig(Ign|Blk)/' /proc/self/status)" "$before" "$mode: signal mask and dispositions kept"
	run $o -- sh -c 'wait; ps -o pid= --ppid $$ 2>/dev/null | wc -l' # ps itself, and wc
	tap_is "$(echo $out)" "$(echo $(sh -c 'wait; ps -o pid= --ppid $$ 2>/dev/null | wc -l'))" "$mode: no child that the command did not make"
	}
done

tap_done
