/* SPDX-License-Identifier: MIT */
/*
 * The helper that makes a move which a userfaultfd with EVENT_REMAP is told of.
 *
 * The kernel moves the pages, lets go of the mmap lock, and then holds the caller until the event
 * was read. The program's monitor may be one of the threads that we have stopped, so the caller
 * must not be us: it is a process of its own that shares the memory (CLONE_VM). That its pages have
 * gone is seen from the hole that they leave: with everybody stopped nobody else can fill it. The
 * helper has no exit signal, so the program sees no SIGCHLD; it dies with its parent.
 *
 * Raw system calls only, no libc.
 */
#include "emul/mover.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "emul/clone.h"
#include "emul/sys.h"
#include "emul/world.h"

struct rm_mover_shared {
	struct rm_range source;
	uintptr_t target;
	_Atomic long result; /* RUNNING until the call has returned */
	char stack[8192] __attribute__((aligned(16)));
};

#define RUNNING 1L /* no address and no errno */
#define LOOK_NS 20000

static int run(void *argument)
{
	struct rm_mover_shared *shared = argument;

	rm_sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	atomic_store(&shared->result,
		rm_sys_mremap(shared->source.start, shared->source.len, shared->source.len,
			RM_MAYMOVE | RM_FIXED, shared->target));
	return 0;
}

int rm_mover_start(struct rm_mover *mover, struct rm_range source, uintptr_t target)
{
	const size_t len = rm_page_round(sizeof(struct rm_mover_shared));
	/* Not into the destination, which may be a hole. */
	long at = rm_map_remote(len, PROT_READ | PROT_WRITE, 0, rm_page_size(),
		(struct rm_range){target, source.len});
	struct rm_mover_shared *shared = (struct rm_mover_shared *)at;
	long pid, result;

	if (rm_is_err(at))
		return (int)at;
	shared->source = source;
	shared->target = target;
	atomic_store(&shared->result, RUNNING);
	pid = rm_clone(run, shared->stack + sizeof(shared->stack), CLONE_VM, shared);
	if (pid < 0) {
		rm_sys_munmap((uintptr_t)at, len);
		return (int)pid;
	}
	mover->shared = shared;
	mover->pid = (int)pid;
	while ((result = atomic_load(&shared->result)) == RUNNING && rm_sys_is_mapped(source.start))
		rm_sys_sleep_ns(LOOK_NS);
	if (result == RUNNING || !rm_is_err(result))
		return 0;
	rm_mover_finish(mover);
	return (int)result;
}

void rm_mover_finish(struct rm_mover *mover)
{
	long r;

	if (!mover->shared)
		return;
	do {
		r = rm_syscall(SYS_wait4, mover->pid, 0, __WALL, 0, 0, 0);
	} while (r == -EINTR);
	rm_sys_munmap((uintptr_t)mover->shared, rm_page_round(sizeof(struct rm_mover_shared)));
	mover->shared = NULL;
}
