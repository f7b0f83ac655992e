/* SPDX-License-Identifier: MIT */
/*
 * The lazy half of a conversion: the pause is page-table work, and the content follows.
 *
 * When the program runs on, its range and the second view show an object that has no pages yet, and
 * both are watched by a userfaultfd of ours. A thread of ours has the source's pages, put aside,
 * and a view of its own (back); through that it puts page after page into the object by
 * UFFDIO_COPY: those that somebody waits for first, then the rest in order. What it has copied it
 * lets go of, 2 MiB a time, so that little exists twice. When all is there, the userfaultfd is
 * closed: nothing is watched any more, and what is still missing is a hole and reads as zeros.
 *
 * Views may move meanwhile (MREMAP_FIXED destinations do): our userfaultfd has EVENT_REMAP, so that
 * the kernel keeps watching them and tells us. A fault is found its place in the object by the two
 * views that we know, or by /proc/self/maps as soon as there has been a move that we do not follow.
 *
 * The thread is made by clone, knows nothing of libc, and libc nothing of it: all signals blocked,
 * a stack and thread-local storage of its own, and a descriptor table of its own, in which it
 * closes everything but the userfaultfd. So nothing that the program does to its descriptors stops
 * it, and it keeps no pipe of the program's open. quiesce.c passes it over: a thread that waits in
 * the kernel for a page can only be stopped when it has got it. It ends with the process, and with
 * exec.
 *
 * fork, MADV_DONTNEED and emulated moves wait until everything is filled. Pages that can not be
 * read any more (poison) come as zeros and are counted as lost.
 */
#include "emul/fill.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>

#include "emul/clone.h"
#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/pagemap.h"
#include "emul/procmaps.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/uffd.h"
#include "emul/world.h"

#define FILLS	      8
#define MAX_TRIES     1000		  /* a millisecond each */
#define PIECE	      ((size_t)256 << 10) /* copied between two looks for faults */
#define LET_GO	      ((size_t)2 << 20)	  /* what is let go of at once, aligned */
#define PRESENT_BITS  (3ULL << 62)
#define SYS_CLOSE_ALL 436 /* close_range, 5.9 */

#if defined(__SANITIZE_ADDRESS__) /* wants to know every thread */
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { WAITING, GOING, CANCELLED };

struct rm_fill {
	char zero[4096] __attribute__((aligned(4096))); /* only with such pages */
	int pid, tid;
	int uffd;		/* the caller's; the thread's own has the same number */
	_Atomic uint32_t order; /* futex: WAITING, GOING, CANCELLED */
	_Atomic uint32_t busy;	/* futex: 1 until the thread has nothing more to do */
	struct rm_range back, aside;
	struct rm_range views[2];
	unsigned int nviews;
	bool moved;	 /* views are not where they were */
	bool unreadable; /* what was put aside is */
	bool apart;	 /* views are not for children afterwards either */
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	size_t left; /* bytes of content that are not filled */
	struct rm_pagemap pagemap;
	uint64_t entries[512];
	struct rm_maps maps;
	char tls[256] __attribute__((aligned(64)));
	char stack[16384] __attribute__((aligned(16)));
};

_Atomic unsigned int rm_fills_active;

static _Atomic(struct rm_fill *) fills[FILLS];

bool rm_fill_is_ours(int tid)
{
	for (unsigned int i = 0; i < FILLS; i++) {
		struct rm_fill *fill = atomic_load(&fills[i]);

		/* only while it is busy: its number may be another thread's afterwards */
		if (fill && fill->tid == tid && atomic_load(&fill->busy) &&
			fill->pid == rm_sys_getpid())
			return true;
	}
	return false;
}

bool rm_fill_running(void)
{
	const int pid = rm_sys_getpid();

	for (unsigned int i = 0; i < FILLS && atomic_load(&rm_fills_active); i++) {
		struct rm_fill *fill = atomic_load(&fills[i]);

		if (fill && fill->pid == pid && atomic_load(&fill->busy))
			return true;
	}
	return false;
}

void rm_fill_wait(void)
{
	const int pid = rm_sys_getpid();

	if (!atomic_load(&rm_fills_active))
		return;
	for (unsigned int i = 0; i < FILLS; i++) {
		struct rm_fill *fill = atomic_load(&fills[i]);

		if (fill && fill->pid == pid && atomic_load(&fill->busy))
			rm_log(RM_LOG_INFO, "waiting for content: %lu bytes are to come",
				rm_stat_get(RM_STAT_FILLING));
		while (fill && fill->pid == pid && atomic_load(&fill->busy))
			rm_sys_futex_wait(&fill->busy, 1, NULL);
	}
}

static void wake(const struct rm_fill *fill, uintptr_t page)
{
	struct uffdio_range range = {page, rm_page_size()};

	(void)rm_sys_ioctl(fill->uffd, UFFDIO_WAKE, &range);
}

static bool is_view(const struct rm_fill *fill, const struct rm_vma *vma)
{
	return vma->shared && vma->inode == fill->inode && vma->dev_major == fill->dev_major &&
	       vma->dev_minor == fill->dev_minor && vma->start != fill->back.start;
}

/* Where in the object a watched address is; false: it is not mapped any more. */
static bool find_offset(struct rm_fill *fill, uintptr_t addr, size_t *offset)
{
	struct rm_vma vma;

	for (unsigned int i = 0; i < fill->nviews && !fill->moved; i++)
		if (rm_range_holds(fill->views[i], addr)) {
			*offset = addr - fill->views[i].start;
			return true;
		}
	if (rm_maps_find(&fill->maps, false, addr, &vma) <= 0 || !is_view(fill, &vma))
		return false;
	*offset = (size_t)(addr - vma.start + vma.offset);
	return *offset < fill->back.len;
}

static void follow(struct rm_fill *fill, uintptr_t from, uintptr_t to, size_t len)
{
	for (unsigned int i = 0; i < fill->nviews; i++)
		if (fill->views[i].start == from && fill->views[i].len == len) {
			fill->views[i].start = to;
			return;
		}
	fill->moved = true;
}

static void serve_faults(struct rm_fill *fill);

/*
 * len bytes from source to the object at offset; what is there already is passed over. Bytes that
 * are there now, or -errno.
 */
static long put(struct rm_fill *fill, size_t offset, uintptr_t source, size_t len)
{
	struct uffdio_copy copy = {fill->back.start + offset, source, len, 0, 0};
	long r = rm_sys_ioctl(fill->uffd, UFFDIO_COPY, &copy);

	if (!r)
		return (long)len;
	if (copy.copy > 0)
		return (long)copy.copy;
	return r == -EEXIST ? (long)rm_page_size() : r;
}

static void done(struct rm_fill *fill, size_t bytes)
{
	bytes = bytes < fill->left ? bytes : fill->left;
	fill->left -= bytes;
	rm_stat_add(RM_STAT_FILLING, -(uint64_t)bytes);
}

/* All of a range of the object, from source. nested: faults are being served already. */
static void put_all(struct rm_fill *fill, size_t offset, uintptr_t source, size_t len, bool nested)
{
	const size_t page = rm_page_size();
	unsigned int tries = 0;

	while (len) {
		long r = put(fill, offset, source, len);

		if (r == -EAGAIN) { /* an event has to be read first */
			if (nested)
				return; /* which is what goes on now; who waits will ask again */
			serve_faults(fill);
			continue;
		}
		/*
		 * what has been let go of makes room; and what is no fault of the source's may
		 * pass: nothing is given up for it
		 */
		if (r == -ENOMEM || (r < 0 && r != -EFAULT && tries++ < MAX_TRIES)) {
			rm_sys_sleep_ns(1000000);
			continue;
		}
		if (r < 0) {
			rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
			if (put(fill, offset, (uintptr_t)fill->zero, page) < 0)
				return; /* the object is not there any more */
			r = (long)page;
		}
		offset += (size_t)r;
		source += (size_t)r;
		len -= (size_t)r;
	}
}

static void serve_fault(struct rm_fill *fill, uintptr_t addr)
{
	const size_t page = rm_page_size();
	uint64_t entry = 0;
	size_t offset;

	if (find_offset(fill, addr, &offset)) {
		const uintptr_t source = fill->aside.start + offset;
		const bool known = rm_syscall(SYS_pread64, fill->pagemap.fd, (long)&entry,
					   sizeof(entry), (long)(source / page * sizeof(entry)), 0,
					   0) == sizeof(entry);

		/* reading a hole of the source would make a page of it */
		put_all(fill, offset,
			known && !(entry & PRESENT_BITS) ? (uintptr_t)fill->zero : source, page,
			true);
	}
	wake(fill, addr);
}

/* Everything that is to be read now. */
static void serve_faults(struct rm_fill *fill)
{
	struct uffd_msg msg;

	while (rm_sys_read(fill->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			serve_fault(
				fill, (uintptr_t)msg.arg.pagefault.address & ~(rm_page_size() - 1));
		else if (msg.event == UFFD_EVENT_REMAP)
			follow(fill, (uintptr_t)msg.arg.remap.from, (uintptr_t)msg.arg.remap.to,
				(size_t)msg.arg.remap.len);
	}
}

/*
 * What lies below end is in the object: the source's pages can go, in whole pieces, from gone on.
 * By address: of a transparent huge page nothing is free before all of it is.
 */
static uintptr_t let_go(const struct rm_fill *fill, uintptr_t gone, uintptr_t end)
{
	end = end == rm_range_end(fill->aside) ? end : end & ~(LET_GO - 1);
	if (end > gone) {
		(void)rm_sys_madvise(gone, end - gone, MADV_DONTNEED);
		gone = end;
	}
	return gone;
}

static void fill_all(struct rm_fill *fill)
{
	uintptr_t gone = fill->aside.start;
	struct rm_range run;

	for (unsigned int tries = 0; fill->unreadable && tries < MAX_TRIES; tries++) {
		fill->unreadable = rm_sys_mprotect(fill->aside.start, fill->aside.len, PROT_READ) !=
				   0;
		if (fill->unreadable)
			rm_sys_sleep_ns(1000000);
	}
	rm_pagemap_open(&fill->pagemap, fill->entries, sizeof(fill->entries));
	rm_pagemap_begin(&fill->pagemap, fill->aside);
	while (rm_pagemap_next(&fill->pagemap, &run))
		while (run.len) {
			const size_t piece = run.len < PIECE ? run.len : PIECE;
			const size_t offset = run.start - fill->aside.start;

			serve_faults(fill);
			put_all(fill, offset, run.start, piece, false);
			done(fill, piece);
			run.start += piece;
			run.len -= piece;
			gone = let_go(fill, gone, run.start);
		}
	serve_faults(fill);
	rm_pagemap_close(&fill->pagemap);
	done(fill, fill->left);
}

/*
 * One look for views, none of which is watched any more, nor kept from children. Whether nothing
 * has failed. What the program maps in a view's place between the look and the call is taken for
 * the view: that is microseconds after all is there.
 */
static bool let_views_be(struct rm_fill *fill)
{
	bool good = true;
	struct rm_vma vma;
	int r = rm_maps_open(&fill->maps, false, 0);

	if (r)
		return false;
	while ((r = rm_maps_next(&fill->maps, &vma)) > 0) {
		struct uffdio_range range = {vma.start, vma.end - vma.start};

		if (!is_view(fill, &vma))
			continue;
		(void)rm_sys_ioctl(fill->uffd, UFFDIO_UNREGISTER, &range); /* closing does it too */
		if (!fill->apart && rm_sys_madvise(vma.start, range.len, MADV_DOFORK))
			good = false;
	}
	rm_maps_close(&fill->maps);
	return !r && good;
}

/* All is there. Twice, as a view may have been made of one that came late, while we looked. */
static void finish(struct rm_fill *fill)
{
	for (int tries = 0, good = 0; good < 2 && tries < MAX_TRIES; tries++) {
		if (let_views_be(fill))
			good++;
		else
			rm_sys_sleep_ns(1000000);
		serve_faults(fill); /* who moves a view waits until we know of it */
	}
	rm_sys_close(fill->uffd);
	rm_sys_munmap(fill->back.start, fill->back.len);
	rm_sys_munmap(fill->aside.start, fill->aside.len);
}

static void close_others(struct rm_fill *fill)
{
	struct rm_numbers fds;
	int fd;

	if (!rm_syscall(SYS_CLOSE_ALL, fill->uffd + 1, ~0U, 0, 0, 0, 0) &&
		(!fill->uffd || !rm_syscall(SYS_CLOSE_ALL, 0, fill->uffd - 1, 0, 0, 0, 0)))
		return;
	if (rm_numbers_open(
		    &fds, "/proc/thread-self/fd", (char *)fill->entries, sizeof(fill->entries)))
		return;
	while (rm_numbers_next(&fds, &fd) > 0)
		if (fd != fill->uffd && fd != fds.dir)
			rm_sys_close(fd);
	rm_numbers_close(&fds);
}

/* Its maker's thread-local storage may go away; what compilers read there is zero here. */
static void leave_thread_storage(struct rm_fill *fill)
{
#if defined(__x86_64__)
	enum { ARCH_SET_FS_CODE = 0x1002 };

	*(void **)fill->tls = fill->tls;
	rm_syscall(SYS_arch_prctl, ARCH_SET_FS_CODE, (long)fill->tls, 0, 0, 0, 0);
#elif defined(__aarch64__)
	__asm__ volatile("msr tpidr_el0, %0" : : "r"(fill->tls));
#endif
}

static int run(void *argument)
{
	struct rm_fill *fill = argument;

	leave_thread_storage(fill);
	close_others(fill);
	while (atomic_load(&fill->order) == WAITING)
		rm_sys_futex_wait(&fill->order, WAITING, NULL);
	if (atomic_load(&fill->order) == GOING) {
		fill_all(fill);
		/* it has no standard error, only LIBREMAP_LOG shows it */
		rm_log(RM_LOG_INFO, "all content of %lu bytes has come", fill->back.len);
		finish(fill);
	} else {
		rm_sys_close(fill->uffd);
	}
	atomic_fetch_sub(&rm_fills_active, 1);
	atomic_store(&fill->busy, 0);
	rm_sys_futex_wake(&fill->busy, INT32_MAX);
	for (;;)
		rm_syscall(SYS_exit, 0, 0, 0, 0, 0, 0);
	return 0;
}

/* A slot whose thread has gone, with its memory; or a new one. */
static struct rm_fill *get_slot(unsigned int *slot)
{
	const int pid = rm_sys_getpid();

	for (unsigned int i = 0; i < FILLS; i++) {
		struct rm_fill *fill = atomic_load(&fills[i]);
		long at;

		*slot = i;
		if (!fill) {
			at = rm_sys_mmap(0, rm_page_round(sizeof(*fill)), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			return rm_is_err(at) ? NULL : (struct rm_fill *)at;
		}
		/* its stack is in use until the kernel says that there is no such thread */
		if (fill->pid != pid ||
			(!atomic_load(&fill->busy) && rm_sys_tgkill(pid, fill->tid, 0) == -ESRCH))
			return fill;
	}
	return NULL;
}

struct rm_fill *rm_fill_prepare(struct rm_range back)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD |
				    CLONE_SYSVSEM;
	struct rm_fill *fill = NULL;
	struct rm_vma vma;
	unsigned int slot = 0;
	long tid;

	if (!SANITIZED && rm_page_size() == sizeof(fill->zero))
		fill = get_slot(&slot);
	if (!fill)
		return NULL;
	memset(fill, 0, offsetof(struct rm_fill, maps));
	/* one that serves system calls too, and tells of moves */
	fill->uffd = rm_uffd_open(0, UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_MISSING_SHMEM);
	if (fill->uffd < 0)
		goto give_back;
	fill->back = back;
	fill->pid = rm_sys_getpid();
	if (rm_uffd_watch(fill->uffd, back) ||
		rm_maps_find(&fill->maps, false, back.start, &vma) <= 0)
		goto close;
	fill->inode = vma.inode;
	fill->dev_major = vma.dev_major;
	fill->dev_minor = vma.dev_minor;
	atomic_store(&fill->busy, 1);
	atomic_fetch_add(&rm_fills_active, 1);
	tid = rm_clone(run, fill->stack + sizeof(fill->stack), flags, fill);
	if (tid < 0) {
		atomic_fetch_sub(&rm_fills_active, 1);
		atomic_store(&fill->busy, 0);
		goto close;
	}
	fill->tid = (int)tid;
	atomic_store(&fills[slot], fill);
	return fill;
close:
	rm_sys_close(fill->uffd);
give_back:
	if (atomic_load(&fills[slot]) != fill)
		rm_sys_munmap((uintptr_t)fill, rm_page_round(sizeof(*fill)));
	else
		fill->pid = 0;
	return NULL;
}

int rm_fill_watch(struct rm_fill *fill, struct rm_range view)
{
	int r = rm_uffd_watch(fill->uffd, view);

	if (!r)
		fill->views[fill->nviews++] = view;
	return r;
}

static void give_order(struct rm_fill *fill, uint32_t order)
{
	atomic_store(&fill->order, order);
	rm_sys_futex_wake(&fill->order, 1);
}

void rm_fill_go(struct rm_fill *fill, uintptr_t aside, size_t content, bool unreadable, bool apart)
{
	fill->aside = (struct rm_range){aside, fill->back.len};
	fill->unreadable = unreadable;
	fill->apart = apart;
	fill->left = content;
	rm_stat_add(RM_STAT_FILLING, content);
	rm_stat_add(RM_STAT_FILLS, 1);
	give_order(fill, GOING);
}

void rm_fill_leave(struct rm_fill *fill)
{
	rm_sys_close(fill->uffd);
}

void rm_fill_cancel(struct rm_fill *fill)
{
	rm_sys_close(fill->uffd);
	give_order(fill, CANCELLED);
	while (atomic_load(&fill->busy))
		rm_sys_futex_wait(&fill->busy, 1, NULL);
}
