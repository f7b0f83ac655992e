/* SPDX-License-Identifier: MIT */
/*
 * Waits of other threads that a stop cuts short.
 *
 * Most system calls that our signal interrupts are restarted by the kernel (SA_RESTART). Some never
 * are, signal(7) lists them: poll, epoll_wait, select, sleeps, waits for signals, System V and
 * futex waits with a timeout; and there are tcdrain and fallocate, which do not wait for anybody.
 * Their caller would see EINTR although no handler of the program ran. So where the context shows
 * such a call, just returned with EINTR, it is set back onto the system call instruction with the
 * number in place: the arguments are still in their registers, and the wait begins again when our
 * handler returns. Should fallocate not get done between two stops, it is done in the handler.
 *
 * That is done only if beginning again is the same as going on: no timeout; an absolute one; or one
 * that the kernel has updated in memory with the time that remains. For poll, sleeps and relative
 * futex waits the kernel itself has kept what remains, and goes on with that if the handler is left
 * without the return that makes it forget (leave.c).
 *
 * What has a relative timeout in a register and no restart block (epoll_wait, semtimedop,
 * sigtimedwait) begins again with what remains, if somebody has noted when it ends (deadline.c):
 * the shim does. Else it is left as it is: EINTR, documented in remap(7). A call that the kernel
 * would have restarted is ended with EINTR when a handler without SA_RESTART is due for the
 * program. Likewise when a signal of the program is waiting to be delivered: then EINTR is what the
 * program is due, also if the next stop comes first (rm_call_is_over()).
 *
 * A thread that was stopped by ptrace (freeze.c) has neither frame nor handler: there the tracer
 * turns EINTR back into what the kernel says to itself of waits that go on when no handler runs,
 * ERESTARTNOHAND. It knows the number.
 *
 * How the call is known, and its arguments: call.c. On arm64 where the first argument is not known
 * nothing is begun again.
 *
 * Runs in the stop handler: async-signal-safe, raw system calls only.
 */
#include "emul/restart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <ucontext.h>

#include "emul/call.h"
#include "emul/copy.h"
#include "emul/deadline.h"
#include "emul/due.h"
#include "emul/leave.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"

#ifndef SYS_io_pgetevents
#if defined(__x86_64__)
#define SYS_io_pgetevents 333
#else
#define SYS_io_pgetevents 292
#endif
#endif
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter    426
#define SYS_io_uring_register 427
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* The timeout is in argument arg (0: there is none) and is of the kind: */
enum timeout_kind {
	TIMEOUT_NONE,  /* waits until something happens */
	TIMEOUT_MS,    /* milliseconds in a register: "forever" goes on, and what is noted */
	TIMEOUT_BLOCK, /* kept in the restart block */
	/* pointer to a relative time that is not updated: NULL goes on, and what is noted */
	TIMEOUT_POINTER,
	TIMEOUT_UPDATED, /* the kernel leaves the remaining time there */
	TIMEOUT_CLOCK,	 /* clock_nanosleep: absolute, or in the restart block */
	TIMEOUT_FUTEX,	 /* FUTEX_WAIT_BITSET: absolute; FUTEX_WAIT: in the restart block */
	TIMEOUT_RING,	 /* in a struct that the flags tell of */
	/* no wait, but ended by any signal; what has been done is done again */
	DRAIN,	  /* tcdrain(3), not the other ioctls (tty_ioctl()) */
	ALLOCATE, /* fallocate that adds: tmpfs gives back what it has got */
};

static const struct wait {
	int nr;
	enum timeout_kind kind;
	int arg;
} waits[] = {
#if defined(__x86_64__) /* elsewhere libc's are the others */
	{SYS_poll, TIMEOUT_BLOCK, 0}, {SYS_epoll_wait, TIMEOUT_MS, 4},
	{SYS_select, TIMEOUT_UPDATED, 5}, {SYS_pause, TIMEOUT_NONE, 0},
#else /* what the kernel has gone on with by itself, after ptrace for one */
	{SYS_restart_syscall, TIMEOUT_BLOCK, 0},
#endif
	{SYS_epoll_pwait, TIMEOUT_MS, 4}, {SYS_pselect6, TIMEOUT_UPDATED, 5},
	{SYS_ppoll, TIMEOUT_UPDATED, 3}, {SYS_nanosleep, TIMEOUT_BLOCK, 0},
	{SYS_clock_nanosleep, TIMEOUT_CLOCK, 0}, {SYS_futex, TIMEOUT_FUTEX, 0},
	{SYS_rt_sigtimedwait, TIMEOUT_POINTER, 3}, {SYS_rt_sigsuspend, TIMEOUT_NONE, 0},
	{SYS_semop, TIMEOUT_NONE, 0}, {SYS_semtimedop, TIMEOUT_POINTER, 4},
	{SYS_msgrcv, TIMEOUT_NONE, 0}, {SYS_msgsnd, TIMEOUT_NONE, 0},
	{SYS_io_getevents, TIMEOUT_POINTER, 5}, {SYS_io_pgetevents, TIMEOUT_POINTER, 5},
	{SYS_epoll_pwait2, TIMEOUT_POINTER, 4}, {SYS_io_uring_enter, TIMEOUT_RING, 0},
	{SYS_io_uring_register, TIMEOUT_NONE, 0}, /* waits before it changes anything */
	{SYS_ioctl, DRAIN, 0}, {SYS_fallocate, ALLOCATE, 0},
};

enum way { WAY_NONE, WAY_AGAIN, WAY_BLOCK };

/*
 * io_uring_enter says EINTR only if it has submitted nothing (io_uring_enter(), io_cqring_wait()).
 */
static enum way way_on_ring(const struct rm_call *call)
{
	enum { EXT_ARG = 1 << 3, ABS_TIMER = 1 << 5, EXT_ARG_REG = 1 << 6 };
	const uint64_t flags = call->args[3];
	struct {
		uint64_t sigmask;
		uint32_t sigmask_size, min_wait_us;
		uint64_t timeout;
	} more;

	if (!(flags & EXT_ARG))
		return WAY_AGAIN;
	if ((flags & EXT_ARG_REG) || !rm_read_own(call->args[4], &more, sizeof(more)) ||
		more.min_wait_us)
		return WAY_NONE;
	return !more.timeout || (flags & ABS_TIMER) ? WAY_AGAIN : WAY_NONE;
}

/* Whether the thread's wait can go on, and how: by beginning again, or from the restart block. */
static enum way way_on(const struct rm_call *call, const struct wait *wait, int tid)
{
	const uint64_t timeout = wait->arg ? call->args[wait->arg - 1] : 0;

	switch (wait->kind) {
	case TIMEOUT_NONE:
	case TIMEOUT_UPDATED:
		return WAY_AGAIN;
	case TIMEOUT_MS:
		return (int32_t)timeout < 0 || rm_deadline_is_known(tid, (uint32_t)timeout)
			       ? WAY_AGAIN
			       : WAY_NONE;
	case TIMEOUT_POINTER:
		return !timeout || rm_deadline_is_known(tid, timeout) ? WAY_AGAIN : WAY_NONE;
	case TIMEOUT_BLOCK:
		return WAY_BLOCK;
	case TIMEOUT_CLOCK:
		return call->args[1] & TIMER_ABSTIME ? WAY_AGAIN : WAY_BLOCK;
	case TIMEOUT_FUTEX:
		switch (call->args[1] & FUTEX_CMD_MASK) {
		case FUTEX_WAIT_BITSET:
			return call->whole ? WAY_AGAIN : WAY_BLOCK; /* kept as well */
		case FUTEX_WAIT:
			return WAY_BLOCK;
		}
		break;
	case TIMEOUT_RING:
		return way_on_ring(call);
	case DRAIN:
		return (uint32_t)call->args[1] == TCSBRK && call->args[2] ? WAY_AGAIN : WAY_NONE;
	case ALLOCATE:
		return call->args[1] & ~(uint64_t)FALLOC_FL_KEEP_SIZE ? WAY_NONE : WAY_AGAIN;
	}
	return WAY_NONE;
}

static const struct wait *find_wait(long nr)
{
	for (size_t i = 0; nr >= 0 && i < RM_ARRAY_LEN(waits); i++)
		if (waits[i].nr == nr)
			return &waits[i];
	return NULL;
}

/* What begins again does so with what remains of its time. */
static void put_rest(struct rm_call *call, const struct wait *wait, int tid)
{
	uint64_t *timeout = wait->arg ? &call->args[wait->arg - 1] : NULL;

	if (wait->kind == TIMEOUT_MS && (int32_t)*timeout >= 0)
		*timeout = rm_deadline_rest_ms(tid);
	else if (wait->kind == TIMEOUT_POINTER && *timeout)
		*timeout = rm_deadline_rest_pointer(tid);
}

/*
 * What gives back what it has got when a signal comes makes no headway if stops come faster than it
 * is done: how often each thread has begun it anew, at the same place of its stack. Threads share
 * an entry at times; that a call is then said to starve early does no harm.
 */
#define PATIENCE 3

static bool is_starving(const ucontext_t *uc, int tid)
{
	static struct {
		_Atomic uint64_t call;
		_Atomic unsigned int tries;
	} counts[64];
	const uint64_t call = (uint64_t)rm_context_stack(uc) ^ (uint64_t)tid;
	const unsigned int i = (unsigned int)tid % RM_ARRAY_LEN(counts);

	if (atomic_exchange(&counts[i].call, call) != call)
		atomic_store(&counts[i].tries, 0);
	return atomic_fetch_add(&counts[i].tries, 1) >= PATIENCE;
}

/*
 * The call itself, with every signal blocked: the next stop waits for it (rm_obey_inside()), and so
 * does what comes for the program, as if it had come a little later.
 */
static long allocate_here(const struct rm_call *call)
{
	return rm_syscall(SYS_fallocate, (long)call->args[0], (long)call->args[1],
		(long)call->args[2], (long)call->args[3], 0, 0);
}

static bool is_due(const ucontext_t *uc)
{
	return rm_due_here(rm_due_signals(uc));
}

/*
 * Calls that the kernel begins again after a handler with SA_RESTART and ends with EINTR after any
 * other (ERESTARTSYS, signal(7)). Not those that it begins again in any case (ERESTARTNOINTR:
 * clone, futexes with priority inheritance).
 */
static bool is_ended_by_handlers(const struct rm_call *call)
{
	switch (call->nr) {
#ifdef SYS_open
	case SYS_open:
#endif
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_openat:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_flock:
	case SYS_mq_timedsend:
	case SYS_mq_timedreceive:
	case SYS_getrandom:
		return true;
	case SYS_fcntl:
		return call->args[1] == F_SETLKW || call->args[1] == 38 /* F_OFD_SETLKW */;
	case SYS_futex:
		return (call->args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ||
		       (call->args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
	default:
		return false;
	}
}

/* Of these signals those that have a handler which ends calls. */
static uint64_t those_that_end(uint64_t signals)
{
	struct rm_ksigaction now;

	for (int sig = 1; sig <= 64; sig++)
		if ((signals & 1ULL << (sig - 1)) &&
			(rm_sys_rt_sigaction(sig, NULL, &now) || now.handler == (void *)SIG_DFL ||
				now.handler == (void *)SIG_IGN || (now.flags & SA_RESTART)))
			signals &= ~(1ULL << (sig - 1));
	return signals;
}

/*
 * The kernel has set the call back onto its instruction, because our handler has SA_RESTART; but a
 * handler of the program is due as well that has not, and would have ended it had ours not come
 * first: EINTR. If the call had not begun yet, that is what the program would have seen had the
 * signal come a moment later.
 */
static bool end_instead(ucontext_t *uc)
{
	struct rm_call call;

	if (!rm_call_find_turned_back(uc, &call) || !is_ended_by_handlers(&call) ||
		!rm_due_here(those_that_end(rm_due_signals(uc))))
		return false;
	rm_call_skip(uc, -EINTR);
	rm_call_is_over(uc);
	return true;
}

/* Who has noted the timeout has noted the first argument as well. */
static bool make_whole(struct rm_call *call, const struct wait *wait, int tid)
{
	const uint64_t timeout = wait->arg ? call->args[wait->arg - 1] : 0;

	if (!call->whole && (wait->kind == TIMEOUT_MS || wait->kind == TIMEOUT_POINTER) &&
		rm_deadline_is_known(tid, wait->kind == TIMEOUT_MS ? (uint32_t)timeout : timeout)) {
		call->args[0] = rm_deadline_first(tid);
		call->whole = true;
	}
	return call->whole;
}

bool rm_restart_wait(void *context)
{
	ucontext_t *uc = context;
	const int tid = rm_sys_gettid();
	const struct wait *wait;
	struct rm_call call;
	enum way way;

	if (rm_restart_is_leaving(uc))
		return true;
	/*
	 * The kernel has turned it back itself, after a signal that had no handler or on the way
	 * out of rm_restart_leave, and ours came in between.
	 */
	if (rm_call_is_restarting(uc))
		return rm_restart_can_leave(uc);
	if (end_instead(uc))
		return false;
	if (rm_call_result(uc) != -EINTR || !rm_call_find(uc, &call))
		return false;
	wait = find_wait(call.nr);
	way = wait ? way_on(&call, wait, tid) : WAY_NONE;
	if (way == WAY_NONE || (way == WAY_AGAIN && !make_whole(&call, wait, tid)))
		return false;
	if (is_due(uc)) {
		rm_call_is_over(uc);
		return false;
	}
	if (way == WAY_BLOCK)
		return rm_restart_can_leave(uc);
	rm_stat_add(RM_STAT_RESTARTED, 1);
	if (wait->kind == ALLOCATE && is_starving(uc, tid)) {
		rm_call_set_result(uc, allocate_here(&call));
		if (rm_call_result(uc) != -EINTR)
			return false;
	}
	put_rest(&call, wait, tid);
	rm_call_again(uc, &call);
	return false;
}

#if defined(__x86_64__)

#define ERESTARTNOHAND 514 /* the kernel's own, include/linux/errno.h: only tracers see it */

bool rm_restart_traced(int tid, struct user_regs_struct *regs)
{
	const struct wait *wait = find_wait((long)regs->orig_rax);
	struct rm_call call = {(int)regs->orig_rax, true,
		{regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9}};

	if ((long)regs->rax != -EINTR || !wait || way_on(&call, wait, tid) != WAY_AGAIN)
		return false;
	put_rest(&call, wait, tid);
	regs->rdx = call.args[2];
	regs->r10 = call.args[3];
	regs->r8 = call.args[4];
	regs->rax = (unsigned long)-ERESTARTNOHAND;
	return true;
}

#else

/*
 * The kernel does not look at the registers again to tell whether the call is begun anew or ended
 * by a handler: a handler of the program that runs as the thread is let go does not end it.
 */
bool rm_restart_traced(int tid, struct user_regs_struct *regs)
{
	const struct wait *wait;
	struct rm_call call;
	ucontext_t uc;

	uc.uc_mcontext.pc = regs->pc;
	uc.uc_mcontext.sp = regs->sp;
	uc.uc_mcontext.pstate = regs->pstate;
	memcpy(uc.uc_mcontext.regs, regs->regs, sizeof(regs->regs));
	if (rm_call_result(&uc) != -EINTR || !rm_call_find(&uc, &call))
		return false;
	wait = find_wait(call.nr);
	if (!wait || way_on(&call, wait, tid) != WAY_AGAIN || !make_whole(&call, wait, tid))
		return false;
	put_rest(&call, wait, tid);
	rm_call_again(&uc, &call);
	regs->pc = uc.uc_mcontext.pc;
	memcpy(regs->regs, uc.uc_mcontext.regs, sizeof(regs->regs));
	return true;
}

#endif
