/* SPDX-License-Identifier: MIT */
/*
 * libremap: the mremap(2) of the newest kernel, on any Linux from 4.14 on.
 *
 * This is the one public header. Everything here starts with remap_ or REMAP_. Functions return 0
 * or a negative errno value, except remap_mremap(), which has mremap(2)'s own shape. All of them
 * may be called from any thread; which ones may be called from a signal handler is said at each.
 * Structures begin with their own size, which the caller sets, so that they can grow: fields that
 * an older library does not know stay as they were, and a newer library writes no further than the
 * size says.
 *
 * Rules cited as "semantics" are those of the project's semantics notes; the reference is Linux
 * 6.18.
 */
#ifndef LIBREMAP_H
#define LIBREMAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REMAP_VERSION_MAJOR 0
#define REMAP_VERSION_MINOR 1
#define REMAP_VERSION_PATCH 0

#if defined(__GNUC__) && !defined(REMAP_API)
#define REMAP_API __attribute__((visibility("default")))
#endif
#ifndef REMAP_API
#define REMAP_API
#endif

/* Flags of mremap(2), for C libraries whose headers are older than the flag. */
#define REMAP_MREMAP_MAYMOVE   1
#define REMAP_MREMAP_FIXED     2
#define REMAP_MREMAP_DONTUNMAP 4
/* Proposed in 2025, known to no kernel; the values are those of the proposal. */
#define REMAP_MREMAP_RELOCATE_ANON	8
#define REMAP_MREMAP_MUST_RELOCATE_ANON 16
/*
 * libremap's own, known to no kernel. The value that the kernel's RFC had, 4, has become
 * MREMAP_DONTUNMAP's.
 */
#define REMAP_MREMAP_MIRROR   (1 << 24)
#define REMAP_MREMAP_POPULATE (1 << 25)

/*
 * remap_mremap: mremap(2) as Linux 6.18 does it.
 *
 * old_address, old_size, new_size, flags, and new_address (read only if flags has MREMAP_FIXED,
 * MREMAP_DONTUNMAP or REMAP_MREMAP_MIRROR) are those of mremap(2), in bytes; addresses are
 * page-aligned, sizes are rounded up to pages. Without MREMAP_DONTUNMAP and REMAP_MREMAP_MIRROR the
 * call goes to the kernel as it is.
 *
 * MREMAP_DONTUNMAP (native from 5.7 for private anonymous memory, from 5.13 for every mapping that
 * is neither VM_DONTEXPAND nor VM_PFNMAP): the pages move to the new range, the old range stays
 * mapped and empty, and a userfaultfd that watches it goes on watching it. Where the kernel lacks
 * it, private anonymous memory and shared memory of every kind but hugetlb are moved by older
 * calls; other threads of the process are stopped for the microseconds in which the range would be
 * a hole.
 *
 * REMAP_MREMAP_MIRROR (native nowhere; semantics 3 and 10.C), with MREMAP_MAYMOVE: [old_address,
 * old_address + new_size) gets a second view at the new address, of the same pages; the source
 * stays. old_size is new_size or 0, which mean the same. The range lies in one mapping, and the
 * view does not touch it. With MREMAP_FIXED the view replaces what is at new_address; without,
 * new_address is a wish, and one that can not be fulfilled is none. Shared memory of every kind,
 * huge pages (hugetlb), and private anonymous memory, which becomes shared memory with its content:
 * remap(7), "Mirrors", says what changes for the program then. A view has the protection, the
 * advice and the limits of what it was made from, and its own from then on. The view of a locked
 * mapping is locked as it is touched. REMAP_MREMAP_POPULATE with it makes the view's page tables at
 * once, and reports what can not be had.
 *
 * REMAP_MREMAP_RELOCATE_ANON and REMAP_MREMAP_MUST_RELOCATE_ANON (native nowhere; semantics 4 and
 * 10.D), with MREMAP_MAYMOVE, alone or together, also beside MREMAP_FIXED, MREMAP_DONTUNMAP and
 * sizes that differ: private anonymous memory that is moved counts afterwards as if it had been
 * touched where it is now, so that it merges with its neighbours there, now or later. They mean
 * nothing where nothing is moved. What can not be relocated (other memory; what is shared with
 * relatives by fork; see remap(7)) is moved as without the flag by the first, and by the second is
 * EFAULT, with source and destination as they were.
 *
 * Returns the new address, or MAP_FAILED with errno:
 *   EINVAL  a flag this kernel and libremap do not know; an address that is not page-aligned or not
 *           in user space; MAYMOVE missing; sizes that differ with DONTUNMAP; overlapping ranges;
 *           new_size 0; a mapping that can not be left behind (hugetlb, vdso, AIO ring, device);
 *           or: libremap can not do it identically here (remap_strerror_last() says why). With
 *           REMAP_MREMAP_MIRROR also: MREMAP_DONTUNMAP beside it, sizes that differ, a private file
 *           mapping, huge pages whose file is out of reach, private memory that can not be shared
 *           or is watched by a userfaultfd; REMAP_MREMAP_POPULATE without it
 *   EFAULT  the source is not mapped, or reaches past the end of its mapping; the mirror of a
 *           special mapping (AIO ring, device); REMAP_MREMAP_POPULATE beyond the end of the object;
 *           REMAP_MREMAP_MUST_RELOCATE_ANON of what can not be relocated (remap_strerror_last()
 *           says why)
 *   ENOMEM  RLIMIT_AS, RLIMIT_DATA, the commit limit or vm.max_map_count is reached; too few huge
 *           pages
 *   EPERM   the source or the destination is sealed (mseal, 6.10)
 *   EAGAIN  RLIMIT_MEMLOCK (growth without DONTUNMAP, and mirrors of locked memory)
 *
 * Async-signal-safe, but for the mirror of private memory. May sleep. After vfork() and other
 * CLONE_VM clones that are not threads: EINVAL where it would have to be emulated.
 */
REMAP_API void *remap_mremap(void *old_address, size_t old_size, size_t new_size, int flags,
	... /* void *new_address */);

/* How a feature is to be had on this machine. */
enum remap_state {
	REMAP_UNAVAILABLE = 0, /* not at all: see reason and remedy */
	REMAP_EMULATED = 1,    /* by libremap: see how */
	REMAP_NATIVE = 2       /* by the kernel */
};

struct remap_feature {
	uint32_t size;	    /* in: sizeof(struct remap_feature) */
	int32_t state;	    /* enum remap_state */
	int32_t error;	    /* what the kernel answered to the probe: 0 or a positive errno value */
	int32_t reserved;   /* 0 */
	const char *name;   /* "dontunmap-anon" and so on */
	const char *since;  /* the kernel version that has it natively, or "never merged" */
	const char *how;    /* state EMULATED: by what; else "" */
	const char *reason; /* why not native (or not at all); "" if native */
	const char *remedy; /* what would make it available; "" if nothing is needed */
};

/*
 * remap_probe: what this machine can do, found out by behaviour and never by version number.
 *
 * name is one of the names that remap-probe(1) lists; with name NULL, index counts through all of
 * them from 0. The strings are static. Each feature is probed once per process, on throw-away
 * mappings.
 *
 * Returns 0, or: -EINVAL (feature NULL or its size too small), -ENOENT (no feature of that name or
 * index). May be called from any thread; not from a signal handler the first time.
 */
REMAP_API int remap_probe(const char *name, unsigned int index, struct remap_feature *feature);

/*
 * remap_prepare: pay in advance. Probes the features, sets up the machinery that stops threads, and
 * checks that [addr, addr + len) is memory that a later MREMAP_DONTUNMAP can move. addr NULL: only
 * the machinery. flags: 0, or
 *   REMAP_PREPARE_MIRROR  make private anonymous memory at once what it would become with its first
 *                         mirror, so that later mirrors of it take microseconds at any size; best
 *                         on a fresh heap. A later MREMAP_DONTUNMAP is one of shared memory: page
 *                         tables of what is there are moved or dropped; with REMAP_PREPARE_CACHED
 *                         beside it nothing is read from /proc for that (1 GiB: 0.3 ms instead of
 *                         10, Linux 6.18). Its content is kept. Shared memory is left as it is.
 *
 *   REMAP_PREPARE_CACHED  what is found out about the range now is kept, so that its moves, the
 *                         first one too, read nothing from /proc. The preload library sees what a
 *                         program does to its mappings and needs no such promise; a program that is
 *                         linked with libremap promises by it that until the next move of the
 *                         range, or part of it, begins, - no attribute of its mapping has changed:
 *                         nothing of it was mapped anew, unmapped or moved but by
 *                           remap_mremap(), or given to mprotect, mlock, mbind, prctl(PR_SET_VMA),
 *                           or to madvise for more than its content; no userfaultfd has been made
 *                           to watch it or let go of it, or was closed; and the process has not
 *                           called mlockall, set_mempolicy, or prctl(PR_SET_MEMORY_MERGE); or else
 *                           remap_changed() was called after that;
 *                         - where it is moved to with MREMAP_FIXED no userfaultfd watches. Where
 *                         the mapping begins and ends is asked of the kernel in any case:
 *                         neighbours may merge with it and go again. If the promise is broken, what
 *                         is left behind may have the attributes from before, and nothing else is
 *                         wrong. What was moved within or into a prepared range is known, too. For
 *                         at most 16 ranges; a forked child prepares anew. No effect with
 *                         LIBREMAP_CONF=facts:exact.
 *
 * Returns 0, or: -EINVAL (flags; addr not page-aligned; memory that can not be moved or mirrored),
 * -EFAULT (not one mapping), -ENOSYS (no /proc: nothing can be emulated), -ENOMEM (also for the
 * seventeenth range of REMAP_PREPARE_CACHED); with REMAP_PREPARE_MIRROR also -EPERM (sealed),
 * -EAGAIN (RLIMIT_MEMLOCK). Not to be called from a signal handler.
 */
#define REMAP_PREPARE_MIRROR 1
#define REMAP_PREPARE_CACHED 2
REMAP_API int remap_prepare(void *addr, size_t len, unsigned int flags);

/*
 * remap_changed: attributes of mappings in [addr, addr + len) are not what they were; len 0: of any
 * mapping. To be called after the call that changed them and before the next move of prepared
 * memory (REMAP_PREPARE_CACHED), which finds them out again. The promise stays. Never wrong, but
 * for the time that it costs. Async-signal-safe.
 */
REMAP_API void remap_changed(const void *addr, size_t len);

/*
 * What keeps other threads out of the range while its pages move and no kernel call can do it at
 * once.
 */
enum remap_quiesce {
	REMAP_QUIESCE_STOP = 0, /* every other thread is stopped (the default) */
	/*
	 * The other threads run on; one that touches the range meanwhile waits in a SIGSEGV handler
	 * of libremap and goes on when the pages are there. A system call that is given memory in
	 * the range meanwhile may fail with EFAULT. Where a window can not be guarded the threads
	 * are stopped as by REMAP_QUIESCE_STOP: see remap(7).
	 */
	REMAP_QUIESCE_GUARD = 1,
	REMAP_QUIESCE_CALLER =
		2 /* the caller promises that no thread touches, maps or forks meanwhile */
};

/*
 * remap_set_quiesce: choose it for the whole process, from now on. Overrides quiesce: in
 * LIBREMAP_CONF. REMAP_QUIESCE_GUARD reserves address space above which nothing that is to be moved
 * may lie: set it early. Returns 0 or -EINVAL (no such mode). Async-signal-safe, but for
 * REMAP_QUIESCE_GUARD the first time.
 */
REMAP_API int remap_set_quiesce(int mode);

struct remap_stats {
	uint32_t size;		 /* in: sizeof(struct remap_stats) */
	uint32_t reserved;	 /* 0 */
	uint64_t native_calls;	 /* calls given to the kernel as they were */
	uint64_t emulated_moves; /* moves that libremap did */
	uint64_t refused;	 /* calls answered with an error by libremap itself */
	uint64_t bytes_moved;	 /* bytes of the ranges that libremap moved */
	uint64_t stops;		 /* times the other threads were stopped */
	uint64_t
		/* stops given up and tried again because a thread could not stop yet */
		stop_retries;
	uint64_t stop_ns_total; /* nanoseconds for which the world was stopped, in all */
	uint64_t stop_ns_max;	/* and the longest of them */
	uint64_t undone;	/* plans rolled back after a step failed */
	uint64_t
		/* steps whose undoing failed: memory was lost or left behind; never expected */
		undo_failures;
	uint64_t
		/* waits of other threads, cut short by a stop, that were continued */
		interrupted_restarted;
	uint64_t mirrors; /* second views that MREMAP_MIRROR has made */
	/* private memory that was made shared for them, in bytes of its ranges */
	uint64_t bytes_converted;
	uint64_t guarded;     /* windows in which the other threads ran on (REMAP_QUIESCE_GUARD) */
	uint64_t guard_waits; /* faults of other threads that waited for such a window to close */
	/* windows of that mode that could not be guarded: threads were stopped */
	uint64_t guard_stops;
	/* of these, content that has not been copied yet: 0 when all is there */
	uint64_t bytes_filling;
	/* conversions whose content was copied while the threads ran, not while they stood */
	uint64_t fills;
	/* moves of REMAP_MREMAP_RELOCATE_ANON that have relocated what they moved */
	uint64_t relocated;
	uint64_t not_relocated; /* calls with that flag that had to be ordinary ones */
};

/*
 * remap_stats: the counters of this process since it began (a forked child goes on from its
 * parent's). Returns 0 or -EINVAL (stats NULL or its size too small). Async-signal-safe.
 */
REMAP_API int remap_stats(struct remap_stats *stats);

/*
 * remap_strerror_last: why libremap itself refused the calling thread's last refused call; "" if
 * there is nothing to say. The string is static. Kept for the 256 most recent threads only.
 * Async-signal-safe.
 */
REMAP_API const char *remap_strerror_last(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBREMAP_H */
