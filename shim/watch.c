/* SPDX-License-Identifier: MIT */
/*
 * Calls that may change what the engine knows of a mapping (emul/known.h), taken over from libc
 * only to be seen.
 *
 * Each goes on to the next definition in the search order, libc's or another interposer's, and says
 * before and after what it may change. Where the kernel's own mremap will do, nothing is said. What
 * comes by syscall(2) is seen here as well; syscall.S sends those numbers. Not seen: system calls
 * that a program makes by itself, io_uring's MADVISE, and what libc maps for itself; known.c says
 * what that means.
 *
 * Of mmap, those of anonymous or shared memory (born.c) and those that replace something are of
 * interest; of advice, what changes the mapping, not its content. close, dup2 and the like matter
 * once a userfaultfd has been used.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/charges.h"
#include "emul/converted.h"
#include "emul/copy.h"
#include "emul/dontneed.h"
#include "emul/known.h"
#include "emul/strays.h"
#include "emul/sys.h"
#include "shim/next.h"
#include "shim/shim.h"
#include "shim/poison.h"

#define EXPORT __attribute__((visibility("default")))

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

static inline bool watched(void)
{
	return rm_shim_state != RM_SHIM_PASS;
}

static struct rm_range range_of(const void *addr, size_t len)
{
	const uintptr_t start = (uintptr_t)addr;

	/* The kernel rounds up; a length that wraps is refused by it. */
	return (struct rm_range){start, len > SIZE_MAX - start ? SIZE_MAX - start : len};
}

/*
 * What is done to the content, or at once, changes nothing that lasts. All else, unknown advice
 * too, may.
 */
static bool advice_lasts(int advice)
{
	switch (advice) {
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case 20: /* COLD, 5.4 */
	case 21: /* PAGEOUT, 5.4 */
	case 22: /* POPULATE_READ, 5.14 */
	case 23: /* POPULATE_WRITE, 5.14 */
	case 24: /* DONTNEED_LOCKED, 5.18 */
	case 25: /* COLLAPSE, 6.1 */
		return false;
	default:
		return true;
	}
}

/* Both are said before the call, for it is true from its first moment. */
static void see_mlockall(int flags)
{
	if (flags & MCL_FUTURE)
		rm_known_saw(RM_SEEN_LOCK_FUTURE);
}

/*
 * What *reg names, read as the kernel will read it: a bad pointer must be its EFAULT and not our
 * fault.
 */
static struct rm_range read_range(const void *arg)
{
	struct uffdio_range copy;

	if (!rm_read_own((uintptr_t)arg, &copy, sizeof(copy)))
		return (struct rm_range){0, SIZE_MAX / 2}; /* anything, for all that is known */
	return (struct rm_range){(uintptr_t)copy.start, (size_t)copy.len};
}

#define SEEN(range, call)                                                                          \
	do {                                                                                       \
		struct rm_change change_;                                                          \
		__typeof__(call) result_;                                                          \
		if (!watched())                                                                    \
			return call;                                                               \
		rm_strays_look(range);                                                             \
		rm_known_begin(&change_);                                                          \
		result_ = call;                                                                    \
		rm_known_end(&change_, range);                                                     \
		return result_;                                                                    \
	} while (0)

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct rm_change change;
	void *p;

	if (!(flags & (MAP_FIXED | MAP_ANONYMOUS | MAP_SHARED)) || !watched())
		return rm_next_mmap(addr, len, prot, flags, fd, offset);
	rm_known_begin(&change);
	p = rm_next_mmap(addr, len, prot, flags, fd, offset);
	if (p == MAP_FAILED)
		rm_known_end(
			&change, flags & MAP_FIXED ? range_of(addr, len) : (struct rm_range){0, 0});
	else
		rm_known_end_mapped(&change, range_of(p, len), prot, flags);
	return p;
}

/* off_t has 64 bits wherever libremap runs */
EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t len)
{
	struct rm_change change;
	int r;

	if (!watched())
		return rm_next_munmap(addr, len);
	rm_known_begin(&change);
	r = rm_next_munmap(addr, len);
	rm_known_end_unmapped(&change, range_of(addr, len));
	return r;
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	struct rm_change change;
	int r;

	if (!watched())
		return rm_next_mprotect(addr, len, prot);
	rm_charges_look(range_of(addr, len));
	rm_known_begin(&change);
	r = rm_next_mprotect(addr, len, prot);
	if (r)
		rm_known_end(&change, range_of(addr, len)); /* a part of it may have been changed */
	else
		rm_known_end_protected(&change, range_of(addr, len), prot);
	return r;
}

EXPORT int pkey_mprotect(void *addr, size_t len, int prot, int pkey)
{
	SEEN(range_of(addr, len), rm_next_pkey_mprotect(addr, len, prot, pkey));
}

/*
 * Memory that was converted for MREMAP_MIRROR is treated in another way than by the kernel
 * (emul/dontneed.c).
 */
static int next_madvise(void *addr, size_t len, int advice)
{
	const int before = errno;
	int r;

	if (!rm_converted_any()) {
		r = rm_next_madvise(addr, len, advice);
		if (!rm_converted_any())
			return r;
		/* the first conversion has come between: it may be for us (rm_madvise) */
		errno = before;
	}
	return (int)rm_shim_errno(rm_madvise((uintptr_t)addr, len, advice));
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	struct rm_change change;
	int r;

	if (!advice_lasts(advice) || !watched())
		return next_madvise(addr, len, advice);
	rm_strays_look(range_of(addr, len));
	rm_known_begin(&change);
	r = next_madvise(addr, len, advice);
	if (r)
		rm_known_end(&change, range_of(addr, len)); /* a part of it may have it */
	else
		rm_known_end_advised(&change, range_of(addr, len), advice);
	return r;
}

EXPORT int posix_madvise(void *addr, size_t len, int advice)
{
	SEEN(range_of(addr, len), rm_next_posix_madvise(addr, len, advice));
}

EXPORT int mlock(const void *addr, size_t len)
{
	SEEN(range_of(addr, len), rm_next_mlock(addr, len));
}

EXPORT int mlock2(const void *addr, size_t len, unsigned int flags)
{
	SEEN(range_of(addr, len), rm_next_mlock2(addr, len, flags));
}

EXPORT int munlock(const void *addr, size_t len)
{
	SEEN(range_of(addr, len), rm_next_munlock(addr, len));
}

EXPORT int mlockall(int flags)
{
	see_mlockall(flags);
	SEEN(rm_everything, rm_next_mlockall(flags));
}

EXPORT int munlockall(void)
{
	SEEN(rm_everything, rm_next_munlockall());
}

EXPORT int remap_file_pages(void *addr, size_t len, int prot, size_t pgoff, int flags)
{
	SEEN(range_of(addr, len), rm_next_remap_file_pages(addr, len, prot, pgoff, flags));
}

/* How much is mapped or unmapped is not said; rare enough. */
EXPORT void *shmat(int id, const void *addr, int flags)
{
	if (!(flags & SHM_REMAP))
		return rm_next_shmat(id, addr, flags);
	SEEN(rm_everything, rm_next_shmat(id, addr, flags));
}

EXPORT int shmdt(const void *addr)
{
	SEEN(rm_everything, rm_next_shmdt(addr));
}

/* These two are variadic in libc; the registers are passed on as they are (E1). */
EXPORT int prctl(int op, ...)
{
	unsigned long a, b, c, d;
	va_list args;

	va_start(args, op);
	a = va_arg(args, unsigned long);
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	if (op != PR_SET_VMA && op != PR_SET_MEMORY_MERGE)
		return rm_next_prctl(op, a, b, c, d);
	if (op == PR_SET_MEMORY_MERGE)
		rm_known_saw(RM_SEEN_MERGE);
	SEEN(op == PR_SET_VMA ? range_of((void *)b, c) : rm_everything,
		rm_next_prctl(op, a, b, c, d));
}

static int seen_ioctl(int fd, unsigned long op, void *arg)
{
	const struct rm_range range = read_range(arg);
	struct rm_change change;
	int r;

	if (op == UFFDIO_REGISTER)
		rm_known_armed(range);
	rm_known_begin(&change);
	r = rm_next_ioctl(fd, op, arg);
	if (op == UFFDIO_UNREGISTER && !r)
		rm_known_disarmed(range);
	rm_known_end(&change, range);
	return r;
}

EXPORT int ioctl(int fd, unsigned long op, ...)
{
	va_list args;
	void *arg;

	va_start(args, op);
	arg = va_arg(args, void *);
	va_end(args);
	if ((op != UFFDIO_REGISTER && op != UFFDIO_UNREGISTER) || !watched())
		return rm_next_ioctl(fd, op, arg);
	return seen_ioctl(fd, op, arg);
}

/* A userfaultfd that goes lets go of what it watched. */
#define SEEN_CLOSED(first, last, call)                                                             \
	do {                                                                                       \
		struct rm_change change_;                                                          \
		int result_;                                                                       \
		if (!watched() || !rm_known_has_seen(RM_SEEN_UFFD))                                \
			return call;                                                               \
		rm_known_begin(&change_);                                                          \
		result_ = call;                                                                    \
		rm_known_end_closed(&change_, (unsigned int)(first), (unsigned int)(last));        \
		return result_;                                                                    \
	} while (0)

EXPORT int close(int fd)
{
	SEEN_CLOSED(fd, fd, rm_next_close(fd));
}

EXPORT int dup2(int from, int to)
{
	SEEN_CLOSED(to, to, rm_next_dup2(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
	SEEN_CLOSED(to, to, rm_next_dup3(from, to, flags));
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	SEEN_CLOSED(first, last, rm_next_close_range(first, last, flags));
}

EXPORT void closefrom(int first)
{
	struct rm_change change = {NULL};

	if (watched() && rm_known_has_seen(RM_SEEN_UFFD))
		rm_known_begin(&change);
	rm_next_closefrom(first);
	rm_known_end_closed(&change, first < 0 ? 0 : (unsigned int)first, UINT32_MAX);
}

/* --- by syscall(2) --- */

/* The range that a system call may change; false if none. */
static bool changes(long nr, long a, long b, long c, long d, struct rm_range *range)
{
	*range = range_of((void *)a, (size_t)b);
	switch (nr) {
	case SYS_mmap:
		return d & MAP_FIXED;
	case SYS_madvise:
		return advice_lasts((int)c);
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case SYS_remap_file_pages:
		return true;
	case SYS_mbind:
		rm_known_saw(RM_SEEN_POLICY);
		return true;
	case 450: /* set_mempolicy_home_node, 5.17 */
		return true;
	case SYS_mlockall:
		see_mlockall((int)a);
		*range = rm_everything;
		return true;
	case SYS_prctl:
		if (a == PR_SET_MEMORY_MERGE)
			rm_known_saw(RM_SEEN_MERGE);
		*range = a == PR_SET_VMA ? range_of((void *)c, (size_t)d) : rm_everything;
		return a == PR_SET_VMA || a == PR_SET_MEMORY_MERGE;
	case SYS_ioctl:
		if ((unsigned long)b != UFFDIO_REGISTER && (unsigned long)b != UFFDIO_UNREGISTER)
			return false;
		*range = read_range((void *)c);
		if ((unsigned long)b == UFFDIO_REGISTER)
			rm_known_armed(*range);
		return true;
	case SYS_close:
	case SYS_dup3:
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case 436: /* close_range, 5.9 */
		*range = rm_everything;
		return rm_known_has_seen(RM_SEEN_UFFD);
	default:
		*range = rm_everything;
		return true;
	}
}

/*
 * What syscall.S sends to rm_shim_syscall(), by number: 1, if something is watched or converted; 2,
 * always.
 */
_Static_assert(RM_SHIM_PASS == 1, "syscall.S");
const uint8_t rm_shim_watched[RM_SHIM_NUMBERS] __attribute__((visibility("hidden"))) = {
	[SYS_mmap] = 1,
	[SYS_munmap] = 1,
	[SYS_mprotect] = 1,
	[SYS_pkey_mprotect] = 1,
	[SYS_madvise] = 1,
	[SYS_mlock] = 1,
	[SYS_mlock2] = 1,
	[SYS_munlock] = 1,
	[SYS_mlockall] = 1,
	[SYS_munlockall] = 1,
	[SYS_remap_file_pages] = 1,
	[SYS_mbind] = 1,
	[SYS_set_mempolicy] = 1, /* what equals the thread's own policy is taken for none */
	[450] = 1,
	[SYS_shmdt] = 1,
	[SYS_prctl] = 1,
	[SYS_ioctl] = 1,
	[SYS_close] = 1,
	[SYS_dup3] = 1,
#ifdef SYS_dup2
	[SYS_dup2] = 1,
#endif
	[436] = 1,
	[SYS_execve] = 2,
	[SYS_execveat] = 2,
};

long rm_shim_syscall(long nr, long a, long b, long c, long d, long e, long f)
	__attribute__((visibility("hidden")));

/* From syscall.S, with the arguments where the caller has put them. */
long rm_shim_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	struct rm_change change;
	struct rm_range range;
	long r;

	if (nr == SYS_execve || nr == SYS_execveat)
		return rm_shim_exec(nr, a, b, c, d, e);
	if (nr == SYS_madvise && rm_converted_any())
		return madvise((void *)a, (size_t)b, (int)c);
	if (!watched() || !changes(nr, a, b, c, d, &range))
		return rm_shim_errno(rm_syscall(nr, a, b, c, d, e, f));
	if (nr != SYS_mprotect)
		rm_strays_look(range);
	rm_known_begin(&change);
	r = rm_syscall(nr, a, b, c, d, e, f);
	if (nr == SYS_munmap || nr == SYS_mmap)
		rm_known_end_unmapped(&change, range);
	else
		rm_known_end(&change, range);
	return rm_shim_errno(r);
}
