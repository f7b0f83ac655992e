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
 *
 * Here is how it begins and ends; what the thread does in between is fill-content.c.
 */
#include "emul/fill.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>

#include "emul/clone.h"
#include "emul/fill-own.h"
#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/procmaps.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/uffd.h"
#include "emul/world.h"

#define FILLS	      8
#define SYS_CLOSE_ALL 436 /* close_range, 5.9 */

#if defined(__SANITIZE_ADDRESS__) /* wants to know every thread */
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { WAITING, GOING, CANCELLED };

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
		rm_fill_all(fill);
		/* it has no standard error, only LIBREMAP_LOG shows it */
		rm_log(RM_LOG_INFO, "all content of %lu bytes has come", fill->back.len);
		rm_fill_finish(fill);
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
			at = rm_map_own(rm_page_round(sizeof(*fill)), PROT_READ | PROT_WRITE);
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
	/* a refusal leaves nothing to be seen, so no thread in /proc that is about to be gone either */
	while (!rm_sys_tgkill(fill->pid, fill->tid, 0))
		rm_sys_sleep_ns(50000);
}
