/* SPDX-License-Identifier: MIT */
/*
 * Waiting in the stop handler, open to signals.
 *
 * By ppoll(2) with the signal mask of what was interrupted: a handler of the program ends it, and
 * the next stop's handler begins it again (restart.c). They run on top of ours, so there has to be
 * room for them. What is known of alternate signal stacks is how large they are; 8 KiB, as many
 * have, Rust's threads for one, hold one frame and no other.
 *
 * There nobody interrupts: every signal stays blocked, and a signalfd tells of those that come. The
 * next stop is obeyed on the spot. What comes for the program ends the wait: its handler runs when
 * ours has returned, on the stack and in the context that are due.
 */
#include "emul/handler-wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>

#include "emul/due.h"
#include "emul/obey.h"
#include "emul/quiesce.h"
#include "emul/sys.h"

#define AT_LEAST   51 /* AT_MINSIGSTKSZ, 5.14: of a signal's frame */
#define STACK_ROOM 16384

/* Whether handlers can interrupt this one: the next stop's, and the program's. */
bool rm_wait_has_room(const ucontext_t *uc)
{
	const stack_t *stack = &uc->uc_stack;
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const unsigned long frame = getauxval(AT_LEAST);

	if ((stack->ss_flags & SS_DISABLE) || here - (uintptr_t)stack->ss_sp >= stack->ss_size)
		return true;
	return here - (uintptr_t)stack->ss_sp >= STACK_ROOM + 2 * frame;
}

/* Makes the signalfd tell of these signals; fd is -1 if there is none yet. */
static long watch(int fd, uint64_t signals)
{
	return rm_syscall(
		SYS_signalfd4, fd, (long)&signals, sizeof(signals), O_CLOEXEC | O_NONBLOCK, 0, 0);
}

bool rm_wait_begin(struct rm_wait *wait, ucontext_t *uc)
{
	wait->uc = uc;
	memcpy(&wait->mask, &uc->uc_sigmask, sizeof(wait->mask));
	wait->signals = -1;
	if (rm_wait_has_room(uc))
		return true;
	wait->watched = ~wait->mask | RM_STOP_BIT;
	wait->signals = (int)rm_fd_aside(watch(-1, wait->watched));
	if (wait->signals < 0)
		return false;
	wait->id = rm_fd_id(wait->signals);
	return true;
}

void rm_wait_end(struct rm_wait *wait)
{
	if (wait->signals >= 0)
		rm_fd_close(wait->signals, &wait->id);
}

/*
 * Whether the wait goes on with the signals that are there. What the program ignores stays pending
 * while it is blocked here: it is not watched any more. It is lost to the watch if it gets a
 * handler meanwhile.
 */
static bool outlasts_signals(struct rm_wait *wait)
{
	uint64_t pending = 0;

	if (!rm_fd_is(wait->signals, &wait->id))
		return false;
	rm_obey_pending(wait->uc);
	if (rm_due_here(rm_due_signals(wait->uc)))
		return false;
	rm_sys_rt_sigpending(&pending);
	wait->watched &= ~pending | RM_STOP_BIT;
	return watch(wait->signals, wait->watched) >= 0;
}

static long wait_watching(struct rm_wait *wait, struct pollfd *what, struct timespec *timeout)
{
	struct pollfd both[2] = {*what, {wait->signals, POLLIN, 0}};
	long r;

	do {
		/* not deaf, though it blocks the signal (quiesce.c) */
		rm_obey_inside(true);
		r = rm_syscall(SYS_ppoll, (long)both, 2, (long)timeout, 0, 0, 0);
		rm_obey_inside(false);
		if (r > 0 && both[1].revents && !outlasts_signals(wait))
			return -EINTR;
	} while (r > 0 && both[1].revents);
	*what = both[0];
	return r;
}

long rm_wait_for(struct rm_wait *wait, int fd, short events, struct timespec *timeout)
{
	struct pollfd what = {fd, events, 0};
	const long r = wait->signals >= 0 ? wait_watching(wait, &what, timeout)
					  : rm_syscall(SYS_ppoll, (long)&what, 1, (long)timeout,
						    (long)&wait->mask, sizeof(wait->mask), 0);

	return r > 0 ? what.revents : r;
}
