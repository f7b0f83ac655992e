/* SPDX-License-Identifier: MIT */
/*
 * pretend-table.c - what older kernels lack, one row a thing
 *
 * A row says: kernels before .since answer .err to this call. The filter and the server are both
 * made from these rows, `remap-run --list-pretend` prints them, and tests/tools/ compares them with
 * what real kernels answered (kernel-answers.md, "measured" below). To teach --pretend something,
 * add a row; only what needs a new kind of decision in the server needs code.
 *
 * Rules:
 * - int and unsigned arguments are compared in their low 32 bits (I32), as the kernel sees them; a
 *   mremap flags word and other longs in all 64.
 * - Numbers from 424 on are the same on x86-64 and arm64, so they are written down; older ones come
 *   from <sys/syscall.h>.
 * - Stable kernels that got a thing by back-port are pretended as their x.y.0: 4.14 here has no
 *   PR_SET_SPECULATION_CTRL row, because every kept 4.14 has it.
 * - mremap flag bits that no kernel has are not refused here: they are EINVAL anyway, and a row for
 *   them would take the call away from libremap's own raw-call supervisor (an errno beats a
 *   notification).
 *
 * Sources: "sem" is semantics.md by section, "measured" kernel-answers.md, "man" the Linux manual
 * pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "tools/errname.h"
#include "tools/pretend.h"

/* 4.18 */
#ifndef SYS_rseq
#ifdef __x86_64__
#define SYS_io_pgetevents 333
#define SYS_rseq	  334
#else
#define SYS_io_pgetevents 292
#define SYS_rseq	  293
#endif
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define I32(n, v)                                                                                  \
	{                                                                                          \
		(n), 0xffffffffu, (uint32_t)(v)                                                    \
	}
#define FLAG(n, bit)                                                                               \
	{                                                                                          \
		(n), (bit), (bit)                                                                  \
	}
#define FIELD(n, m, v)                                                                             \
	{                                                                                          \
		(n), (m), (v)                                                                      \
	}
#define V(major, minor) RM_KV(major, minor)
#define MAN(page)	"man " page

/* A system call that is not there yet. */
#define CALL(name, number, version, source)                                                        \
	{                                                                                          \
		.call = #name, .what = #name "()", .nr = (number), .since = (version),             \
		.err = ENOSYS, .cite = (source), .how = RM_HOW_ERRNO                               \
	}
/* A value of one argument, or of two, that is not known yet. */
#define ARG(name, text, t0, version, errnum, source)                                               \
	{                                                                                          \
		.call = #name, .what = #name " " text, .nr = SYS_##name, .test = {t0},             \
		.since = (version), .err = (errnum), .cite = (source), .how = RM_HOW_ERRNO         \
	}
#define ARG2(name, number, text, t0, t1, version, errnum, source)                                  \
	{                                                                                          \
		.call = #name, .what = #name " " text, .nr = (number), .test = {t0, t1},           \
		.since = (version), .err = (errnum), .cite = (source), .how = RM_HOW_ERRNO         \
	}
#define MADV(text, value, version)	    ARG(madvise, text, I32(2, value), version, EINVAL, "measured")
#define PRCTL(text, value, version, source) ARG(prctl, text, I32(0, value), version, EINVAL, source)
#define IOCTL(text, cmd, version, errnum, source)                                                  \
	ARG(ioctl, text, I32(1, cmd), version, errnum, source)
/* The server's. */
#define SERVE(name, text, t0, first, version, errnum, r, source)                                   \
	{                                                                                          \
		.call = #name, .what = #name " " text, .nr = SYS_##name, .test = {t0},             \
		.from = (first), .since = (version), .err = (errnum), .cite = (source),            \
		.how = RM_HOW_SERVE, .rule = (r)                                                   \
	}
#define BIT(name, text, t0, w, b, version, errnum, source)                                         \
	{                                                                                          \
		.call = #name, .what = #name " " text, .nr = SYS_##name, .test = {t0},             \
		.since = (version), .err = (errnum), .cite = (source), .how = RM_HOW_BIT,          \
		.word = (w), .bits = (b)                                                           \
	}
#define BLIND(name, text, version, reason)                                                         \
	{                                                                                          \
		.call = #name, .what = text, .nr = -1, .since = (version), .cite = (reason),       \
		.how = RM_HOW_BLIND                                                                \
	}
#define NO_TEST                                                                                    \
	{                                                                                          \
		0, 0, 0                                                                            \
	}

/*
 * ioctl numbers, written out: the headers of the building machine may be older than what is
 * pretended away.
 */
#define IOC_UFFDIO_REGISTER	0xc020aa00u
#define IOC_UFFDIO_API		0xc018aa3fu
#define IOC_UFFDIO_WRITEPROTECT 0xc018aa06u
#define IOC_UFFDIO_CONTINUE	0xc020aa07u
#define IOC_UFFDIO_POISON	0xc020aa08u
#define IOC_UFFDIO_MOVE		0xc028aa05u
#define IOC_USERFAULTFD_NEW	0x0000aa00u
#define IOC_PROCMAP_QUERY	0xc0686611u
#define IOC_PAGEMAP_SCAN	0xc0606610u
#define IOC_NOTIF_ADDFD		0x40182103u
#define IOC_NOTIF_SET_FLAGS	0x40082104u

#define FEATURE(text, bit, version, source)                                                        \
	BIT(ioctl, "UFFDIO_API " text, I32(1, IOC_UFFDIO_API), RM_WORD_UFFD_FEATURES, 1u << (bit), \
		version, EINVAL, source)
#define RANGE_IOCTL(text, bit, version)                                                            \
	BIT(ioctl, "UFFDIO_REGISTER reports " text, I32(1, IOC_UFFDIO_REGISTER),                   \
		RM_WORD_UFFD_IOCTLS, 1u << (bit), version, 0, "measured")
#define REGISTER_MODE(text, bit, version)                                                          \
	BIT(ioctl, "UFFDIO_REGISTER " text, I32(1, IOC_UFFDIO_REGISTER), RM_WORD_UFFD_MODES,       \
		1u << (bit), version, EINVAL, "sem 7, measured")
#define MEMBARRIER(text, bit, version)                                                             \
	ARG(membarrier, text, I32(0, 1u << (bit)), version, EINVAL, "measured"),                   \
		BIT(membarrier, "QUERY reports " text, I32(0, 0), RM_WORD_MEMBARRIER, 1u << (bit), \
			version, 0, "measured")
#define RWF(text, flag, version)                                                                   \
	ARG(preadv2, text, FLAG(5, flag), version, EOPNOTSUPP, MAN("2 preadv2")),                  \
		ARG(pwritev2, text, FLAG(5, flag), version, EOPNOTSUPP, MAN("2 preadv2"))
#define SECCOMP_FLAG(text, flag, version)                                                          \
	ARG2(seccomp, SYS_seccomp, text, I32(0, 1), FLAG(1, flag), version, EINVAL,                \
		"sem 8, measured")
#define SEAL(text, flag, version)                                                                  \
	ARG2(fcntl, SYS_fcntl, text, I32(1, 1033), FLAG(2, flag), version, EINVAL, "measured")
#define PROCESS_MADV(text, value, version)                                                         \
	ARG2(process_madvise, 440, text, I32(3, value), NO_TEST, version, EINVAL,                  \
		MAN("2 process_madvise"))
/* The mode of a memory policy, without its flag bits. */
#define MPOL(text, value, version)                                                                 \
	ARG(mbind, text, FIELD(2, 0x1fff, value), version, EINVAL, MAN("2 mbind")),                \
		ARG(set_mempolicy, text, FIELD(0, 0x1fff, value), version, EINVAL,                 \
			MAN("2 set_mempolicy"))

const unsigned rm_pretend_kernels[] = {
	V(4, 14), V(4, 18), V(4, 19), V(5, 4), V(5, 10), V(5, 15), V(6, 1), V(6, 6), V(6, 12), 0};

/* clang-format off: a table, one row a line */
const struct rm_row rm_pretend_rows[] = {
	/* mremap: the flag by the filter, the kind of mapping by the server */
	ARG(mremap, "MREMAP_DONTUNMAP", FLAG(3, 4), V(5, 7), EINVAL, "sem 1.1, measured"),
	SERVE(mremap, "MREMAP_DONTUNMAP of shared or file memory", FLAG(3, 4), V(5, 7), V(5, 13),
		EINVAL, RM_RULE_DONTUNMAP_KIND, "sem 1.2, 2.5, measured"),
	SERVE(mremap, "MREMAP_DONTUNMAP, lengths equal only when rounded", FLAG(3, 4), V(5, 7),
		V(6, 17), EINVAL, RM_RULE_DONTUNMAP_RAWLEN, "sem 1.3"),
	SERVE(mremap, "MREMAP_FIXED over several mappings", FLAG(3, 2), 0, V(6, 17), EFAULT,
		RM_RULE_MULTI_VMA, "sem 5, measured"),
	SERVE(mremap, "move of hugetlb memory", NO_TEST, 0, V(5, 16), EINVAL, RM_RULE_HUGETLB_MOVE,
		"sem 1.6, measured"),
	SERVE(mremap, "no-op or shrink where nothing is mapped is EFAULT", NO_TEST, 0, V(5, 16), 0,
		RM_RULE_NOOP_LOOKUP, "sem 1.1"),

	/* mmap: the type is the low four bits */
	ARG(mmap, "MAP_SHARED_VALIDATE (and MAP_SYNC)", FIELD(3, 0xf, 3), V(4, 15), EINVAL,
		"measured"),
	ARG(mmap, "MAP_DROPPABLE", FIELD(3, 0xf, 8), V(6, 11), EINVAL, "measured"),

	MADV("MADV_COLD", 20, V(5, 4)),
	MADV("MADV_PAGEOUT", 21, V(5, 4)),
	MADV("MADV_POPULATE_READ", 22, V(5, 14)),
	MADV("MADV_POPULATE_WRITE", 23, V(5, 14)),
	MADV("MADV_DONTNEED_LOCKED", 24, V(5, 18)),
	MADV("MADV_COLLAPSE", 25, V(6, 1)),
	MADV("MADV_GUARD_INSTALL", 102, V(6, 13)),
	MADV("MADV_GUARD_REMOVE", 103, V(6, 13)),
	PROCESS_MADV("MADV_WILLNEED", 3, V(5, 15)),
	PROCESS_MADV("MADV_COLLAPSE", 25, V(6, 1)),
	PROCESS_MADV("MADV_DONTNEED", 4, V(6, 13)),
	PROCESS_MADV("MADV_FREE", 8, V(6, 13)),
	PROCESS_MADV("MADV_GUARD_INSTALL", 102, V(6, 13)),
	PROCESS_MADV("MADV_GUARD_REMOVE", 103, V(6, 13)),

	MPOL("MPOL_PREFERRED_MANY", 5, V(5, 15)),
	MPOL("MPOL_WEIGHTED_INTERLEAVE", 6, V(6, 9)),

	ARG(memfd_create, "MFD_NOEXEC_SEAL", FLAG(1, 0x8), V(6, 3), EINVAL, "measured"),
	ARG(memfd_create, "MFD_EXEC", FLAG(1, 0x10), V(6, 3), EINVAL, "measured"),
	SEAL("F_SEAL_FUTURE_WRITE", 0x10, V(5, 1)),
	SEAL("F_SEAL_EXEC", 0x20, V(6, 3)),
	ARG(fcntl, "F_DUPFD_QUERY", I32(1, 1027), V(6, 10), EINVAL, MAN("2const F_DUPFD_QUERY")),
	ARG(fcntl, "F_CREATED_QUERY", I32(1, 1028), V(6, 12), EINVAL, "linux/fcntl.h 6.12"),

	/* userfaultfd: an unknown ioctl is EINVAL there, not ENOTTY */
	ARG(userfaultfd, "UFFD_USER_MODE_ONLY", FLAG(0, 1), V(5, 11), EINVAL, "sem 7, measured"),
	IOCTL("UFFDIO_WRITEPROTECT", IOC_UFFDIO_WRITEPROTECT, V(5, 7), EINVAL, "sem 7"),
	IOCTL("UFFDIO_CONTINUE", IOC_UFFDIO_CONTINUE, V(5, 13), EINVAL, "sem 7"),
	IOCTL("UFFDIO_POISON", IOC_UFFDIO_POISON, V(6, 6), EINVAL, "sem 7"),
	IOCTL("UFFDIO_MOVE", IOC_UFFDIO_MOVE, V(6, 8), EINVAL, "sem 7, measured"),
	IOCTL("USERFAULTFD_IOC_NEW", IOC_USERFAULTFD_NEW, V(6, 1), ENOTTY,
		"sem 7; the device itself stays"),
	FEATURE("UFFD_FEATURE_PAGEFAULT_FLAG_WP", 0, V(5, 7), "measured"),
	FEATURE("UFFD_FEATURE_MINOR_HUGETLBFS", 9, V(5, 13), "sem 7"),
	FEATURE("UFFD_FEATURE_MINOR_SHMEM", 10, V(5, 14), "sem 7"),
	FEATURE("UFFD_FEATURE_EXACT_ADDRESS", 11, V(5, 18), "sem 7"),
	FEATURE("UFFD_FEATURE_WP_HUGETLBFS_SHMEM", 12, V(5, 19), "sem 7, measured"),
	FEATURE("UFFD_FEATURE_WP_UNPOPULATED", 13, V(6, 4), "sem 7"),
	FEATURE("UFFD_FEATURE_POISON", 14, V(6, 6), "sem 7"),
	FEATURE("UFFD_FEATURE_WP_ASYNC", 15, V(6, 7), "sem 7"),
	FEATURE("UFFD_FEATURE_MOVE", 16, V(6, 8), "sem 7, measured"),
	SERVE(ioctl, "UFFDIO_API UFFD_FEATURE_EVENT_FORK without CAP_SYS_PTRACE is EPERM",
		I32(1, IOC_UFFDIO_API), 0, V(5, 4), 0, RM_RULE_UFFD_FORK_CAP, "sem 7"),
	REGISTER_MODE("UFFDIO_REGISTER_MODE_WP", 1, V(5, 7)),
	REGISTER_MODE("UFFDIO_REGISTER_MODE_MINOR", 2, V(5, 13)),
	SERVE(ioctl, "UFFDIO_REGISTER UFFDIO_REGISTER_MODE_WP of shared or file memory",
		I32(1, IOC_UFFDIO_REGISTER), V(5, 7), V(5, 19), EINVAL, RM_RULE_UFFD_WP_KIND,
		"sem 7, measured"),
	RANGE_IOCTL("WRITEPROTECT", 6, V(5, 7)),
	RANGE_IOCTL("CONTINUE", 7, V(5, 13)),
	RANGE_IOCTL("POISON", 8, V(6, 6)),
	RANGE_IOCTL("MOVE", 5, V(6, 8)),

	IOCTL("PROCMAP_QUERY", IOC_PROCMAP_QUERY, V(6, 11), ENOTTY, "sem 9, measured"),
	IOCTL("PAGEMAP_SCAN", IOC_PAGEMAP_SCAN, V(6, 7), ENOTTY, "sem 9, measured"),

	MEMBARRIER("GLOBAL_EXPEDITED", 1, V(4, 16)),
	MEMBARRIER("REGISTER_GLOBAL_EXPEDITED", 2, V(4, 16)),
	MEMBARRIER("PRIVATE_EXPEDITED_SYNC_CORE", 5, V(4, 16)),
	MEMBARRIER("REGISTER_PRIVATE_EXPEDITED_SYNC_CORE", 6, V(4, 16)),
	MEMBARRIER("PRIVATE_EXPEDITED_RSEQ", 7, V(5, 10)),
	MEMBARRIER("REGISTER_PRIVATE_EXPEDITED_RSEQ", 8, V(5, 10)),
	MEMBARRIER("GET_REGISTRATIONS", 9, V(6, 3)),

	/* seccomp itself, for programs that choose their supervisor by it */
	ARG(seccomp, "SECCOMP_GET_NOTIF_SIZES", I32(0, 3), V(5, 0), EINVAL, "sem 8, measured"),
	SECCOMP_FLAG("SECCOMP_FILTER_FLAG_NEW_LISTENER", 0x8, V(5, 0)),
	SECCOMP_FLAG("SECCOMP_FILTER_FLAG_TSYNC_ESRCH", 0x10, V(5, 7)),
	SECCOMP_FLAG("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0x20, V(5, 19)),
	SERVE(seccomp, "SECCOMP_GET_ACTION_AVAIL of SECCOMP_RET_USER_NOTIF", I32(0, 2), 0, V(5, 0),
		EOPNOTSUPP, RM_RULE_ACTION_AVAIL, "measured"),
	IOCTL("SECCOMP_IOCTL_NOTIF_ADDFD", IOC_NOTIF_ADDFD, V(5, 9), EINVAL, "sem 8, measured"),
	IOCTL("SECCOMP_IOCTL_NOTIF_SET_FLAGS", IOC_NOTIF_SET_FLAGS, V(6, 6), EINVAL, "sem 8"),

	PRCTL("PR_PAC_RESET_KEYS", 54, V(5, 0), MAN("2 prctl")),
	PRCTL("PR_SET_TAGGED_ADDR_CTRL", 55, V(5, 4), MAN("2 prctl")),
	PRCTL("PR_GET_TAGGED_ADDR_CTRL", 56, V(5, 4), MAN("2 prctl")),
	PRCTL("PR_SET_IO_FLUSHER", 57, V(5, 6), MAN("2 prctl")),
	PRCTL("PR_GET_IO_FLUSHER", 58, V(5, 6), MAN("2 prctl")),
	PRCTL("PR_SET_SYSCALL_USER_DISPATCH", 59, V(5, 11), MAN("2 prctl")),
	PRCTL("PR_SCHED_CORE", 62, V(5, 14), MAN("2 prctl")),
	PRCTL("PR_SET_VMA", 0x53564d41, V(5, 17), MAN("2 PR_SET_VMA")),
	PRCTL("PR_SET_MDWE", 65, V(6, 3), MAN("2 PR_SET_MDWE")),
	PRCTL("PR_GET_MDWE", 66, V(6, 3), MAN("2 PR_GET_MDWE")),
	PRCTL("PR_SET_MEMORY_MERGE", 67, V(6, 4), MAN("2 PR_SET_MEMORY_MERGE")),
	PRCTL("PR_GET_MEMORY_MERGE", 68, V(6, 4), MAN("2 PR_GET_MEMORY_MERGE")),
	PRCTL("PR_GET_AUXV", 0x41555856, V(6, 4), MAN("2 PR_GET_AUXV")),
	PRCTL("PR_TIMER_CREATE_RESTORE_IDS", 77, V(6, 15), "linux/prctl.h 6.15"),
	PRCTL("PR_FUTEX_HASH", 78, V(6, 16), "linux/prctl.h 6.16"),

	ARG(waitid, "P_PIDFD", I32(0, 3), V(5, 4), EINVAL, MAN("2 waitid")),
	ARG(getrandom, "GRND_INSECURE", FLAG(2, 4), V(5, 6), EINVAL, MAN("2 getrandom")),
	ARG(futex, "FUTEX_LOCK_PI2", FIELD(1, 0xfffffe7f, 13), V(5, 14), ENOSYS, MAN("2 futex")),
	RWF("RWF_APPEND", 0x10, V(4, 16)),
	RWF("RWF_NOAPPEND", 0x20, V(6, 9)),
	RWF("RWF_ATOMIC", 0x40, V(6, 11)),
	RWF("RWF_DONTCACHE", 0x80, V(6, 14)),
	ARG2(pidfd_open, 434, "PIDFD_NONBLOCK", FLAG(1, 0x800), NO_TEST, V(5, 10), EINVAL,
		MAN("2 pidfd_open")),
	ARG2(pidfd_open, 434, "PIDFD_THREAD", FLAG(1, 0x80), NO_TEST, V(6, 9), EINVAL,
		MAN("2 pidfd_open")),
	ARG2(close_range, 436, "CLOSE_RANGE_CLOEXEC", FLAG(2, 4), NO_TEST, V(5, 11), EINVAL,
		MAN("2 close_range")),

	CALL(io_pgetevents, SYS_io_pgetevents, V(4, 18), MAN("2 syscalls")),
	CALL(rseq, SYS_rseq, V(4, 18), "measured"),
#ifdef __aarch64__
	CALL(kexec_file_load, SYS_kexec_file_load, V(5, 0), MAN("2 kexec_load")),
#endif
	CALL(pidfd_send_signal, 424, V(5, 1), "measured"),
	CALL(io_uring_setup, 425, V(5, 1), "measured"),
	CALL(io_uring_enter, 426, V(5, 1), MAN("2 syscalls")),
	CALL(io_uring_register, 427, V(5, 1), MAN("2 syscalls")),
	CALL(open_tree, 428, V(5, 2), MAN("2 syscalls")),
	CALL(move_mount, 429, V(5, 2), MAN("2 syscalls")),
	CALL(fsopen, 430, V(5, 2), MAN("2 syscalls")),
	CALL(fsconfig, 431, V(5, 2), MAN("2 syscalls")),
	CALL(fsmount, 432, V(5, 2), MAN("2 syscalls")),
	CALL(fspick, 433, V(5, 2), MAN("2 syscalls")),
	CALL(pidfd_open, 434, V(5, 3), "measured"),
	CALL(clone3, 435, V(5, 3), "measured"),
	CALL(close_range, 436, V(5, 9), "measured"),
	CALL(openat2, 437, V(5, 6), "measured"),
	CALL(pidfd_getfd, 438, V(5, 6), "measured"),
	CALL(faccessat2, 439, V(5, 8), "measured"),
	CALL(process_madvise, 440, V(5, 10), "measured"),
	CALL(epoll_pwait2, 441, V(5, 11), MAN("2 syscalls")),
	CALL(mount_setattr, 442, V(5, 12), MAN("2 syscalls")),
	CALL(quotactl_fd, 443, V(5, 14), MAN("2 syscalls")),
	CALL(landlock_create_ruleset, 444, V(5, 13), MAN("2 syscalls")),
	CALL(landlock_add_rule, 445, V(5, 13), MAN("2 syscalls")),
	CALL(landlock_restrict_self, 446, V(5, 13), MAN("2 syscalls")),
	CALL(memfd_secret, 447, V(5, 14), "measured"),
	CALL(process_mrelease, 448, V(5, 15), "measured"),
	CALL(futex_waitv, 449, V(5, 16), "measured"),
	CALL(set_mempolicy_home_node, 450, V(5, 17), "measured"),
	CALL(cachestat, 451, V(6, 5), "measured"),
	CALL(fchmodat2, 452, V(6, 6), MAN("2 syscalls")),
	CALL(map_shadow_stack, 453, V(6, 6), "measured"),
	CALL(futex_wake, 454, V(6, 7), MAN("2 syscalls")),
	CALL(futex_wait, 455, V(6, 7), MAN("2 syscalls")),
	CALL(futex_requeue, 456, V(6, 7), MAN("2 syscalls")),
	CALL(statmount, 457, V(6, 8), MAN("2 syscalls")),
	CALL(listmount, 458, V(6, 8), MAN("2 syscalls")),
	CALL(lsm_get_self_attr, 459, V(6, 8), MAN("2 syscalls")),
	CALL(lsm_set_self_attr, 460, V(6, 8), MAN("2 syscalls")),
	CALL(lsm_list_modules, 461, V(6, 8), MAN("2 syscalls")),
	CALL(mseal, 462, V(6, 10), "sem 1.1, measured"),
	CALL(setxattrat, 463, V(6, 13), MAN("2 syscalls")),
	CALL(getxattrat, 464, V(6, 13), MAN("2 syscalls")),
	CALL(listxattrat, 465, V(6, 13), MAN("2 syscalls")),
	CALL(removexattrat, 466, V(6, 13), MAN("2 syscalls")),
	CALL(open_tree_attr, 467, V(6, 15), MAN("2 open_tree_attr")),
	CALL(file_getattr, 468, V(6, 17), "asm/unistd.h 6.17"),
	CALL(file_setattr, 469, V(6, 17), "asm/unistd.h 6.17"),
	CALL(listns, 470, V(6, 19), "asm/unistd.h 6.19"),

	/* What neither filter nor server can do. */
	BLIND(mmap, "MAP_FIXED_NOREPLACE is a mere hint", V(4, 17),
		"an occupied range still answers EEXIST: nobody outside can map elsewhere for the "
		"caller"),
	BLIND(mremap, "a MREMAP_FIXED that fails has unmapped its destination", V(6, 17),
		"the server cannot unmap another process's memory (sem 1.4)"),
	BLIND(mremap, "a shrink whose head is unmapped but whose tail is not", V(5, 16),
		"still EFAULT: the server cannot unmap the tail"),
	BLIND(mremap, "new_len above the address space is ENOMEM, not EINVAL, when growing",
		V(6, 17), "order of checks (sem 1.2) is this kernel's"),
	BLIND(mremap, "accounting and merging (VmLck, Committed_AS, bounds of neighbours)",
		V(6, 18), "done by this kernel's code (sem 2.4, 6)"),
	BLIND(ioctl, "UFFDIO_COPY_MODE_WP", V(5, 7),
		"in memory; the call is too frequent to be served"),
	BLIND(userfaultfd, "registrations survive a move (4.14); stale write-protection (to 6.12)",
		V(6, 13), "done by this kernel's code (sem 2.3)"),
	BLIND(userfaultfd, "allowed to everybody (vm.unprivileged_userfaultfd defaults to 1)",
		V(5, 11), "a server cannot make a userfaultfd for another process"),
	BLIND(open, "/dev/userfaultfd does not exist", V(6, 1),
		"a path in memory; the open succeeds, USERFAULTFD_IOC_NEW is ENOTTY"),
	BLIND(ioctl, "SECCOMP_USER_NOTIF_FLAG_CONTINUE (5.5), SECCOMP_ADDFD_FLAG_SEND (5.14)",
		V(5, 14),
		"in memory; and with a server present the command cannot have a listener (EBUSY)"),
	BLIND(io_uring_setup, "features and operations of io_uring", V(6, 18), "in shared memory"),
	BLIND(clone3, "members and flags of clone3, openat2, mount_setattr structures", V(6, 18),
		"in memory"),
	BLIND(open, "/proc and /sys files, their lines and VmFlags; uname", V(6, 18),
		"read as they are here"),
};
/* clang-format on */

const size_t rm_pretend_nr_rows = ARRAY_SIZE(rm_pretend_rows);

bool rm_row_applies(const struct rm_row *row, unsigned kernel)
{
	return kernel < row->since && kernel >= row->from;
}

bool rm_rule_applies(enum rm_rule rule, unsigned kernel)
{
	size_t i;

	for (i = 0; i < rm_pretend_nr_rows; i++)
		if (rm_pretend_rows[i].rule == rule && rm_row_applies(&rm_pretend_rows[i], kernel))
			return true;
	return false;
}

uint64_t rm_word_unknown(enum rm_word word, unsigned kernel)
{
	uint64_t unknown = 0;
	size_t i;

	for (i = 0; i < rm_pretend_nr_rows; i++)
		if (rm_pretend_rows[i].word == word && rm_row_applies(&rm_pretend_rows[i], kernel))
			unknown |= rm_pretend_rows[i].bits;
	return unknown;
}

/*
 * One row a line, four columns between tabs: what, the first kernel that has it, what older ones
 * answer, the source.
 */
void rm_pretend_list(FILE *out, unsigned kernel)
{
	static const char *const by[] = {
		[RM_HOW_ERRNO] = "filter",
		[RM_HOW_SERVE] = "server",
		[RM_HOW_BIT] = "server",
		[RM_HOW_BLIND] = "not pretended",
	};
	const struct rm_row *row;
	size_t i;

	fputs("# what\tsince\tolder kernels answer\tsource\n", out);
	for (i = 0; i < rm_pretend_nr_rows; i++) {
		row = &rm_pretend_rows[i];
		if (kernel && !rm_row_applies(row, kernel))
			continue;
		fprintf(out, "%s\t%u.%u\t", row->what, row->since >> 8, row->since & 0xff);
		if (row->how == RM_HOW_BLIND)
			fputs(by[row->how], out);
		else if (row->err)
			fprintf(out, "%s (%s)", rm_errname(row->err), by[row->how]);
		else
			fprintf(out, "%s (%s)", row->how == RM_HOW_BIT ? "bit clear" : "success",
				by[row->how]);
		fprintf(out, "\t%s\n", row->cite);
	}
}

void rm_pretend_names(char *buf, size_t size)
{
	size_t used = 0;
	size_t i;

	if (size)
		buf[0] = '\0';
	for (i = 0; rm_pretend_kernels[i] && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%u.%u", i ? " " : "",
			rm_pretend_kernels[i] >> 8, rm_pretend_kernels[i] & 0xff);
}

int rm_pretend_parse(const char *name, unsigned *kernel)
{
	char buf[16];
	size_t i;

	for (i = 0; rm_pretend_kernels[i]; i++) {
		snprintf(buf, sizeof(buf), "%u.%u", rm_pretend_kernels[i] >> 8,
			rm_pretend_kernels[i] & 0xff);
		if (strcmp(buf, name) == 0) {
			*kernel = rm_pretend_kernels[i];
			return 0;
		}
	}
	return -EINVAL;
}
