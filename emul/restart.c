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
 * futex waits the kernel itself has kept what remains, in the thread's restart block, for
 * restart_syscall(2); but the return from a signal handler makes it forget. So those contexts are
 * gone back to without that return: mask, registers and floating point state are put back here, and
 * restart_syscall is what the program's own system call instruction then executes. Should a handler
 * of the program run in between, its return clears the restart block, and the answer is EINTR, as
 * it must be.
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
 * x86-64: the number is known from the code before the system call (call-number.c), in every wait
 * of glibc and musl. arm64 has overwritten the first argument by then: nothing is restarted there.
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

#include "emul/call-number.h"
#include "emul/copy.h"
#include "emul/deadline.h"
#include "emul/due.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"

#if defined(__x86_64__)

#ifndef SYS_io_pgetevents
#define SYS_io_pgetevents 333
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
	{SYS_poll, TIMEOUT_BLOCK, 0}, {SYS_epoll_wait, TIMEOUT_MS, 4},
	{SYS_epoll_pwait, TIMEOUT_MS, 4}, {SYS_select, TIMEOUT_UPDATED, 5},
	{SYS_pselect6, TIMEOUT_UPDATED, 5}, {SYS_ppoll, TIMEOUT_UPDATED, 3},
	{SYS_nanosleep, TIMEOUT_BLOCK, 0}, {SYS_clock_nanosleep, TIMEOUT_CLOCK, 0},
	{SYS_futex, TIMEOUT_FUTEX, 0}, {SYS_rt_sigtimedwait, TIMEOUT_POINTER, 3},
	{SYS_rt_sigsuspend, TIMEOUT_NONE, 0}, {SYS_pause, TIMEOUT_NONE, 0},
	{SYS_semop, TIMEOUT_NONE, 0}, {SYS_semtimedop, TIMEOUT_POINTER, 4},
	{SYS_msgrcv, TIMEOUT_NONE, 0}, {SYS_msgsnd, TIMEOUT_NONE, 0},
	{SYS_io_getevents, TIMEOUT_POINTER, 5}, {SYS_io_pgetevents, TIMEOUT_POINTER, 5},
	{SYS_epoll_pwait2, TIMEOUT_POINTER, 4}, {SYS_io_uring_enter, TIMEOUT_RING, 0},
	{SYS_io_uring_register, TIMEOUT_NONE, 0}, /* waits before it changes anything */
	{SYS_ioctl, DRAIN, 0}, {SYS_fallocate, ALLOCATE, 0},
};

static const int argument_register[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

static uint64_t argument(const greg_t *regs, int arg)
{
	return (uint64_t)regs[argument_register[arg - 1]];
}

enum way { WAY_NONE, WAY_AGAIN, WAY_BLOCK };

#define ERESTARTNOHAND 514 /* the kernel's own, include/linux/errno.h: only tracers see it */

/*
 * io_uring_enter says EINTR only if it has submitted nothing (io_uring_enter(), io_cqring_wait()).
 */
static enum way way_on_ring(const greg_t *regs)
{
	enum { EXT_ARG = 1 << 3, ABS_TIMER = 1 << 5, EXT_ARG_REG = 1 << 6 };
	const uint64_t flags = argument(regs, 4);
	struct {
		uint64_t sigmask;
		uint32_t sigmask_size, min_wait_us;
		uint64_t timeout;
	} more;

	if (!(flags & EXT_ARG))
		return WAY_AGAIN;
	if ((flags & EXT_ARG_REG) || !rm_read_own(argument(regs, 5), &more, sizeof(more)) ||
		more.min_wait_us)
		return WAY_NONE;
	return !more.timeout || (flags & ABS_TIMER) ? WAY_AGAIN : WAY_NONE;
}

/* Whether the thread's wait can go on, and how: by beginning again, or from the restart block. */
static enum way way_on(const greg_t *regs, const struct wait *wait, int tid)
{
	const uint64_t timeout = wait->arg ? argument(regs, wait->arg) : 0;

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
		return argument(regs, 2) & TIMER_ABSTIME ? WAY_AGAIN : WAY_BLOCK;
	case TIMEOUT_FUTEX:
		switch (argument(regs, 2) & FUTEX_CMD_MASK) {
		case FUTEX_WAIT_BITSET:
			return WAY_AGAIN;
		case FUTEX_WAIT:
			return WAY_BLOCK;
		}
		break;
	case TIMEOUT_RING:
		return way_on_ring(regs);
	case DRAIN:
		return (uint32_t)argument(regs, 2) == TCSBRK && argument(regs, 3) ? WAY_AGAIN
										  : WAY_NONE;
	case ALLOCATE:
		return argument(regs, 2) & ~(uint64_t)FALLOC_FL_KEEP_SIZE ? WAY_NONE : WAY_AGAIN;
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
static void put_rest(greg_t *regs, const struct wait *wait, int tid)
{
	greg_t *timeout = wait->arg ? &regs[argument_register[wait->arg - 1]] : NULL;

	if (wait->kind == TIMEOUT_MS && (int32_t)*timeout >= 0)
		*timeout = (greg_t)rm_deadline_rest_ms(tid);
	else if (wait->kind == TIMEOUT_POINTER && *timeout)
		*timeout = (greg_t)rm_deadline_rest_pointer(tid);
}

#define SYSCALL_LEN 2

void rm_leave_handler(const ucontext_t *context, const void *fpstate, uint64_t xfeatures,
	uintptr_t pc, long nr) __attribute__((noreturn));
extern const char rm_leave_begin[], rm_leave_load[], rm_leave_jump[];

/* What stub.S counts on. */
_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs) == 40, "struct ucontext");
_Static_assert(offsetof(ucontext_t, uc_sigmask) == 296, "struct ucontext");
_Static_assert(REG_R8 == 0 && REG_RDI == 8 && REG_RSP == 15 && REG_EFL == 17, "struct ucontext");

static bool has_shadow_stack(void)
{
	uint64_t ssp = 0;

	__asm__("rdsspq %0" : "+r"(ssp)); /* does nothing where there is none */
	return ssp;
}

/*
 * Whether rm_restart_leave can do without sigreturn, which alone restores shadow stacks and
 * SS_AUTODISARM stacks.
 */
static bool can_leave(const ucontext_t *uc)
{
	return uc->uc_mcontext.fpregs && !has_shadow_stack() &&
	       !((unsigned int)uc->uc_stack.ss_flags & (1U << 31));
}

/*
 * What gives back what it has got when a signal comes makes no headway if stops come faster than it
 * is done: how often each thread has begun it anew, at the same place of its stack. Threads share
 * an entry at times; that a call is then said to starve early does no harm.
 */
#define PATIENCE 3

static bool is_starving(const greg_t *regs, int tid)
{
	static struct {
		_Atomic uint64_t call;
		_Atomic unsigned int tries;
	} counts[64];
	const uint64_t call = (uint64_t)regs[REG_RSP] ^ (uint64_t)tid;
	const unsigned int i = (unsigned int)tid % RM_ARRAY_LEN(counts);

	if (atomic_exchange(&counts[i].call, call) != call)
		atomic_store(&counts[i].tries, 0);
	return atomic_fetch_add(&counts[i].tries, 1) >= PATIENCE;
}

/*
 * The call itself, with every signal blocked: the next stop waits for it (rm_obey_inside()), and so
 * does what comes for the program, as if it had come a little later.
 */
static long allocate_here(const greg_t *regs)
{
	return rm_syscall(SYS_fallocate, (long)argument(regs, 1), (long)argument(regs, 2),
		(long)argument(regs, 3), (long)argument(regs, 4), 0, 0);
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
static bool is_ended_by_handlers(const greg_t *regs)
{
	switch (regs[REG_RAX]) {
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_open:
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
		return argument(regs, 2) == F_SETLKW || argument(regs, 2) == 38 /* F_OFD_SETLKW */;
	case SYS_futex:
		return (argument(regs, 2) & FUTEX_CMD_MASK) == FUTEX_WAIT ||
		       (argument(regs, 2) & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
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
	static const uint8_t syscall_insn[SYSCALL_LEN] = {0x0f, 0x05};
	greg_t *regs = uc->uc_mcontext.gregs;

	if (!is_ended_by_handlers(regs) || regs[REG_RCX] != regs[REG_RIP] + SYSCALL_LEN ||
		memcmp((const void *)regs[REG_RIP], syscall_insn, SYSCALL_LEN) ||
		!rm_due_here(those_that_end(rm_due_signals(uc))))
		return false;
	regs[REG_RAX] = -EINTR;
	regs[REG_RIP] += SYSCALL_LEN;
	rm_call_is_over(regs);
	return true;
}

/*
 * Whether the thread is about to execute restart_syscall: the kernel has turned it back itself,
 * after a signal that had no handler or on the way out of rm_restart_leave, and ours came in
 * between. The number tells: nothing else uses it.
 */
static bool is_restarting(const greg_t *regs)
{
	static const uint8_t syscall_insn[SYSCALL_LEN] = {0x0f, 0x05};
	const uintptr_t pc = (uintptr_t)regs[REG_RIP], rcx = (uintptr_t)regs[REG_RCX];

	return regs[REG_RAX] == SYS_restart_syscall && (rcx == pc || rcx == pc + SYSCALL_LEN) &&
	       !memcmp((const void *)pc, syscall_insn, SYSCALL_LEN);
}

bool rm_restart_wait(void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	const int tid = rm_sys_gettid();
	const struct wait *wait;
	enum way way;
	int nr;

	if (is_restarting(regs))
		return can_leave(uc);
	if (end_instead(uc))
		return false;
	if (regs[REG_RAX] != -EINTR)
		return false;
	nr = rm_call_number(regs);
	wait = find_wait(nr);
	way = wait ? way_on(regs, wait, tid) : WAY_NONE;
	if (way == WAY_NONE)
		return false;
	if (is_due(uc)) {
		rm_call_is_over(regs);
		return false;
	}
	if (way == WAY_BLOCK)
		return can_leave(uc);
	rm_stat_add(RM_STAT_RESTARTED, 1);
	if (wait->kind == ALLOCATE && is_starving(regs, tid)) {
		regs[REG_RAX] = allocate_here(regs);
		if (regs[REG_RAX] != -EINTR)
			return false;
	}
	put_rest(regs, wait, tid);
	regs[REG_RAX] = nr;
	regs[REG_RIP] -= SYSCALL_LEN;
	return false;
}

bool rm_restart_traced(int tid, struct user_regs_struct *regs)
{
	const struct wait *wait = find_wait((long)regs->orig_rax);
	greg_t arguments[NGREG] = {[REG_RDI] = (greg_t)regs->rdi,
		[REG_RSI] = (greg_t)regs->rsi,
		[REG_RDX] = (greg_t)regs->rdx,
		[REG_R10] = (greg_t)regs->r10,
		[REG_R8] = (greg_t)regs->r8,
		[REG_R9] = (greg_t)regs->r9};

	if ((long)regs->rax != -EINTR || !wait || way_on(arguments, wait, tid) != WAY_AGAIN)
		return false;
	put_rest(arguments, wait, tid);
	regs->rdx = (unsigned long)arguments[REG_RDX];
	regs->r10 = (unsigned long)arguments[REG_R10];
	regs->r8 = (unsigned long)arguments[REG_R8];
	regs->rax = (unsigned long)-ERESTARTNOHAND;
	return true;
}

RM_LEFT_EARLY void rm_restart_leave(void *context)
{
	enum { SOFTWARE_BYTES = 464, XSTATE_MAGIC = 0x46505853 };
	const ucontext_t *uc = context;
	const char *fpstate = (const char *)uc->uc_mcontext.fpregs;
	const greg_t *regs = uc->uc_mcontext.gregs;
	struct {
		uint32_t magic, extended_size;
		uint64_t xfeatures;
	} software;

	memcpy(&software, fpstate + SOFTWARE_BYTES, sizeof(software));
	rm_stat_add(RM_STAT_RESTARTED, 1);
	/*
	 * It opens the mask: from there on a signal of the program finds us as it would find the
	 * context itself.
	 */
	rm_leave_handler(uc, fpstate, software.magic == XSTATE_MAGIC ? software.xfeatures : 0,
		(uintptr_t)regs[REG_RIP] - (is_restarting(regs) ? 0 : SYSCALL_LEN),
		SYS_restart_syscall);
}

void *rm_restart_was_leaving(void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	const uintptr_t pc = (uintptr_t)regs[REG_RIP];

	if (pc >= (uintptr_t)rm_leave_begin && pc < (uintptr_t)rm_leave_load)
		return (void *)regs[REG_RBX];
	if (pc >= (uintptr_t)rm_leave_load && pc < (uintptr_t)rm_leave_jump)
		return (char *)regs[REG_R11] - offsetof(ucontext_t, uc_mcontext.gregs);
	if (pc == (uintptr_t)rm_leave_jump) {
		/*
		 * The old frame may be overwritten, but this context is what it was but for these.
		 */
		regs[REG_RCX] = regs[REG_RIP] = regs[REG_RCX] + SYSCALL_LEN;
		regs[REG_RAX] = -EINTR;
	}
	return context;
}

#else

bool rm_restart_wait(void *context)
{
	(void)context;
	return false;
}

bool rm_restart_traced(int tid, struct user_regs_struct *regs)
{
	(void)tid;
	(void)regs;
	return false;
}

void rm_restart_leave(void *context)
{
	(void)context;
	__builtin_unreachable();
}

void *rm_restart_was_leaving(void *context)
{
	return context;
}

#endif
