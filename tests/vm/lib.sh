# What the scripts of tests/vm share: messages, options, the cache folder, apt with lists of its
# own, and a few facts about the host.
#
# Sourced, never run: `. "$(dirname "$0")/lib.sh"` under `set -eu`, with vm_name set by the caller.
# Everything here begins with vm_. Nothing here touches the system's apt lists or sources, installs
# anything, or weakens a signature check: vm_apt reads a sources.list of ours that names a keyring,
# keeps lists and archives in the cache, and treats any index that did not arrive as an error.
#
#   RM_VM_CACHE            where everything is kept   ${XDG_CACHE_HOME:-$HOME/.cache}/libremap/vm
#   RM_VM_OFFLINE=1        never use the network, whatever the age of the cache
#   RM_VM_MIRROR           Debian's archive, and the security archive: by default those that the
#   RM_VM_SECURITY_MIRROR  system's own apt is set up for
#   RM_VM_KEYRING          the keyring that signatures are checked against
#   RM_VM_QEMU             the qemu to run            qemu-system-x86_64
#   RM_VM_ACCEL            qemu's accelerator         tcg,thread=multi

vm_cache=${RM_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/libremap/vm}
vm_qemu=${RM_VM_QEMU:-qemu-system-x86_64}
vm_kernels='5.10 6.1 6.12 7.2'
vm_tab=$(printf '\t')

vm_say()
{
	printf '%s: %s\n' "$vm_name" "$*" >&2
}

# vm_fail STATUS TEXT...: one line, and out.
vm_fail()
{
	vm_status=$1
	shift
	vm_say "$*"
	exit "$vm_status"
}

# vm_usage_error TEXT...: a wrong command line; exit 2.
vm_usage_error()
{
	vm_fail 2 "$*. Try '$vm_name --help'."
}

# vm_value OPTION COUNT [VALUE]: an option that takes a value was given one; COUNT is $#.
vm_value()
{
	[ "$2" -ge 2 ] || vm_usage_error "$1 needs a value"
}

# vm_number OPTION VALUE: VALUE is a whole number of 1 or more.
vm_number()
{
	case $2 in
	'' | *[!0-9]* | 0*) vm_usage_error "$1 takes a whole number of 1 or more, not '$2'" ;;
	esac
}

vm_is_kernel()
{
	case $1 in
	5.10 | 6.1 | 6.12 | 7.2) return 0 ;;
	*) return 1 ;;
	esac
}

vm_offline()
{
	[ -n "${RM_VM_OFFLINE:-}" ]
}

vm_has()
{
	command -v "$1" >/dev/null 2>&1
}

# The kernels are amd64: nothing that this host builds would run on them if it is not.
vm_host_is_amd64()
{
	[ "$(uname -m)" = x86_64 ]
}

# qemu's major version, or 0 where there is no qemu.
vm_qemu_major()
{
	vm_major=$("$vm_qemu" --version 2>/dev/null |
		sed -n 's/^QEMU emulator version \([0-9][0-9]*\)\..*/\1/p')
	echo "${vm_major:-0}"
}

# The path of a busybox that needs no library; status 1 if there is none.
vm_static_busybox()
{
	for vm_b in /usr/bin/busybox /bin/busybox; do
		[ -x "$vm_b" ] || continue
		# Nothing to interpret: static. ldd says so with status 1.
		if ! ldd "$vm_b" >/dev/null 2>&1; then
			echo "$vm_b"
			return 0
		fi
	done
	return 1
}

# One lock for all that changes the cache; held until the shell that took it ends.
vm_lock()
{
	mkdir -p "$vm_cache"
	exec 9>"$vm_cache/lock"
	flock -n 9 || {
		vm_say "waiting for another run to leave the cache"
		flock -w 1200 9 || vm_fail 77 "the cache $vm_cache stays locked"
	}
}

# vm_fresh FILE: it is in the cache, and a newer one was looked for this week; offline it always is.
vm_fresh()
{
	[ -e "$1" ] && { vm_offline || [ -n "$(find "$(dirname "$1")/checked" -mtime -7 2>/dev/null)" ]; }
}

# vm_ask_tomorrow FILE: a newer one could not be had; not asked for again in every run.
vm_ask_tomorrow()
{
	touch -d '6 days ago' "$(dirname "$1")/checked"
}

# vm_work FOLDER: sets work, a new folder in that one, which goes away with this shell.
vm_work()
{
	mkdir -p "$1"
	work=$(mktemp -d "$1/.fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# vm_mirror main|security: the archive's address, as the system's apt has it.
vm_mirror()
{
	case $1 in
	main) vm_label=Debian vm_uri=${RM_VM_MIRROR:-} ;;
	*) vm_label=Debian-Security vm_uri=${RM_VM_SECURITY_MIRROR:-} ;;
	esac
	if [ -z "$vm_uri" ]; then
		vm_uri=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
			'Created-By: Packages' 2>/dev/null |
			awk -v l="$vm_label" '$1 == "Debian" && $2 == l { print $3; exit }')
	fi
	[ -n "$vm_uri" ] && echo "$vm_uri"
}

vm_keyring()
{
	if [ -n "${RM_VM_KEYRING:-}" ]; then
		echo "$RM_VM_KEYRING"
	elif [ -e "$vm_cache/keyring.gpg" ]; then
		echo "$vm_cache/keyring.gpg"
	else
		echo /usr/share/keyrings/debian-archive-keyring.gpg
	fi
}

# vm_apt_sources AREA SUITE...: writes the sources of AREA, a folder of its own in the cache.
vm_apt_sources()
{
	vm_area=$vm_cache/apt/$1
	shift
	mkdir -p "$vm_area/lists/partial" "$vm_area/archives/partial"
	: >"$vm_area/status"
	for vm_suite in "$@"; do
		case $vm_suite in
		*-security) vm_uri=$(vm_mirror security) || return 1 ;;
		*) vm_uri=$(vm_mirror main) || return 1 ;;
		esac
		echo "deb [arch=amd64 signed-by=$(vm_keyring)] $vm_uri $vm_suite main"
	done >"$vm_area/sources.list"
}

# vm_apt TOOL AREA ARGUMENT...: apt-get or apt-cache on AREA's lists. The status file is empty, so
# that what this machine has installed plays no part, unless vm_apt_status names another.
vm_apt()
{
	vm_tool=$1 vm_area=$vm_cache/apt/$2
	shift 2
	"$vm_tool" -o Dir::State::lists="$vm_area/lists" \
		-o Dir::State::status="${vm_apt_status:-$vm_area/status}" \
		-o Dir::Etc::SourceList="$vm_area/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::Cache="$vm_area" -o Acquire::PDiffs=false -o Acquire::Languages=none \
		-o Acquire::http::Timeout=30 -o Acquire::Retries=1 \
		-o Acquire::AllowInsecureRepositories=false \
		-o APT::Get::AllowUnauthenticated=false \
		-o APT::Sandbox::User=root -o DPkg::Lock::Timeout=600 "$@"
}

# vm_apt_update AREA SUITE...: fetches the lists; any that is missing or unsigned is an error. When
# the installed keyring lacks a key, once, the newest keyring that the system's own, verified
# sources have is used instead.
vm_apt_update()
{
	vm_apt_sources "$@" || {
		vm_why="apt knows no Debian mirror: set RM_VM_MIRROR and RM_VM_SECURITY_MIRROR"
		return 1
	}
	vm_log=$vm_cache/apt/$1/update.log
	vm_apt apt-get "$1" update -qq --error-on=any >"$vm_log" 2>&1 && return 0
	if grep -Eq 'NO_PUBKEY|EXPKEYSIG' "$vm_log" && vm_new_keyring; then
		vm_apt_sources "$@"
		vm_apt apt-get "$1" update -qq --error-on=any >"$vm_log" 2>&1 && return 0
	fi
	vm_why=$(sed -n 's/^[EW]: *//p' "$vm_log" | head -n 1)
	vm_why="no lists for $2: ${vm_why:-apt-get update failed}"
	return 1
}

vm_new_keyring()
{
	[ ! -e "$vm_cache/keyring.gpg" ] || return 1
	vm_say "the installed keyring lacks a key; taking the newest debian-archive-keyring"
	vm_tmp=$(mktemp -d "$vm_cache/keyring.XXXXXX")
	if (cd "$vm_tmp" && apt-get -o APT::Sandbox::User=root -qq download debian-archive-keyring &&
		dpkg-deb -x ./*.deb tree) >/dev/null 2>&1 &&
		vm_ring=$(find "$vm_tmp/tree" -name 'debian-archive-keyring.*pg' ! -type l | head -n 1) &&
		[ -n "$vm_ring" ]; then
		cp "$vm_ring" "$vm_cache/keyring.gpg"
		unset RM_VM_KEYRING
	fi
	rm -rf "$vm_tmp"
	[ -e "$vm_cache/keyring.gpg" ]
}

# vm_list_check FILE: the list of tests is well formed, or one line per fault and status 1.
# A line is NAME, a tab, a time limit in seconds, a tab, a command; # begins a comment line.
vm_list_check()
{
	awk -F '\t' '
	function bad(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; faults++ }
	/^[[:space:]]*(#|$)/ { next }
	{ tests++ }
	NF < 3 { bad("not NAME<tab>SECONDS<tab>COMMAND"); next }
	$1 !~ /^[A-Za-z0-9][A-Za-z0-9._+\/=:,-]*$/ { bad("bad name \"" $1 "\"") }
	$2 !~ /^[1-9][0-9]*$/ { bad("bad time limit \"" $2 "\"") }
	$3 ~ /^[[:space:]]*$/ { bad("no command") }
	seen[$1]++ { bad("the name " $1 " comes twice") }
	END {
		if (!tests) { printf "%s: lists no test\n", FILENAME; faults++ }
		exit faults ? 1 : 0
	}' "$1" >&2
}

# vm_memory FILE: MiB that a guest needs whose initramfs is FILE: the archive, its unpacked copy,
# and 1 GiB for the tests.
vm_memory()
{
	echo $((1024 + 2 * $(wc -c <"$1") / 1048576))
}

# vm_boot_kernel KERNEL: sets vm_image and vm_kernel_dir; calls packages and fetch-kernel if needed.
# Returns fetch-kernel's status and leaves its last words in vm_why.
vm_boot_kernel()
{
	vm_err=$(mktemp)
	vm_image=$("$vm_dir/fetch-kernel" "$1" 2>"$vm_err") && vm_rc=0 || vm_rc=$?
	vm_why=$(tail -n 1 "$vm_err" | sed 's/^fetch-kernel: //')
	[ "$vm_rc" -ne 0 ] || cat "$vm_err" >&2
	rm -f "$vm_err"
	vm_kernel_dir=$vm_cache/kernels/$1
	return "$vm_rc"
}

# Ends all processes that this shell started, and theirs; for traps.
vm_kill_children()
{
	# Substitutions and awk are children too, gone by the time of the kill.
	# shellcheck disable=SC2046 # one word each
	kill $(cat /proc/[0-9]*/stat 2>/dev/null | awk -v root=$$ '
		{
			id = $1
			sub(/^.*\) /, "")
			parent[id] = $2
		}
		END {
			for (id in parent) {
				for (up = parent[id]; up in parent && up != root; up = parent[up])
					;
				if (up == root)
					print id
			}
		}') 2>/dev/null || :
}
