/* SPDX-License-Identifier: MIT */
/*
 * A process that has its own descriptors and our memory.
 *
 * The kernel needs no descriptor to move pages, we need one to look at /proc. When RLIMIT_NOFILE is
 * reached, or other threads close or replace ours (fd.h), the looking is done by a process made
 * without CLONE_FILES: the limit and the table are its own, so that nothing of what it does can be
 * seen in ours. /proc/self is its own, too, but shows the same memory. It has no exit signal, so
 * the program sees no SIGCHLD, and we sleep until it has ended (CLONE_VFORK).
 *
 * Raw system calls only, no libc: in a window as well. Threads are not in /proc/self there, but the
 * wrong process's.
 */
#include "emul/apart.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "emul/clone.h"
#include "emul/sys.h"

struct apart {
	long (*function)(void *);
	void *argument;
	long result;
};

/*
 * The soft limit may be raised to the hard one. If that is reached as well the copies of the
 * standard streams are given up; no userfaultfd is looked for there.
 */
static void make_room(void)
{
	struct {
		uint64_t now, most;
	} limit;

	if (rm_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0))
		return;
	if (limit.now < limit.most) {
		limit.now = limit.most;
		if (!rm_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&limit, 0, 0, 0))
			return;
	}
	for (int fd = 0; fd < 3; fd++)
		rm_sys_close(fd);
}

static int run(void *argument)
{
	struct apart *apart = argument;

	make_room();
	apart->result = apart->function(apart->argument);
	return 0;
}

long rm_apart(struct rm_world *world, long (*function)(void *), void *argument)
{
	struct apart apart = {function, argument, -EMFILE};
	long pid, r;

	pid = rm_clone(run, world->apart_stack + sizeof(world->apart_stack), CLONE_VM | CLONE_VFORK,
		&apart);
	if (pid < 0)
		return -EMFILE;
	do {
		r = rm_syscall(SYS_wait4, pid, 0, __WALL, 0, 0, 0);
	} while (r == -EINTR);
	return apart.result;
}
