/* SPDX-License-Identifier: MIT */
/*
 * Leaving the stop handler without sigreturn.
 *
 * What remains of a sleep, or of a poll or futex wait with a relative timeout, the kernel itself has
 * kept, in the thread's restart block, for restart_syscall(2); but the return from a signal handler
 * makes it forget. So those contexts are gone back to without that return: mask, registers and
 * floating point state are put back here, and restart_syscall is what the program's own system call
 * instruction then executes. Should a handler of the program run in between, its return clears the
 * restart block, and the answer is EINTR, as it must be.
 *
 * A context is gone back to by a jump, which takes a register that the program has nothing in. On
 * arm64 there is one behind a call, for the result, and it would take two, as the stack pointer has
 * to be put back last. So there the wait goes on in the handler, where restart_syscall is as good
 * (rm_go_on, stub.S). When the next stop's handler interrupts that, it does not return either: it
 * lets go of its own stack and begins rm_go_on anew. So they do not pile up, and -EINTR is what the
 * program's handlers make of it, however close to a stop they come.
 */
#include "emul/leave.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "emul/call.h"
#include "emul/handler-wait.h"
#include "emul/stats.h"
#include "emul/sys.h"

#if defined(__x86_64__)

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
 * Whether sigreturn can be done without: it alone restores shadow stacks and
 * SS_AUTODISARM stacks.
 */
bool rm_restart_is_leaving(const ucontext_t *uc)
{
	(void)uc;
	return false;
}

bool rm_restart_can_leave(const ucontext_t *uc)
{
	return uc->uc_mcontext.fpregs && !has_shadow_stack() &&
	       !((unsigned int)uc->uc_stack.ss_flags & (1U << 31));
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
		(uintptr_t)regs[REG_RIP] - (rm_call_is_restarting(uc) ? 0 : SYSCALL_LEN),
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

#define PR_GET_SHADOW_STACK 74 /* PR_GET_SHADOW_STACK_STATUS, 6.13 */

long rm_go_on(const uint64_t *open, const uint64_t *closed);
void rm_go_on_again(const mcontext_t *context) __attribute__((noreturn));
extern const char rm_go_on_begin[], rm_go_on_made[];

/* What stub.S counts on. */
_Static_assert(offsetof(mcontext_t, regs) == 8 && offsetof(mcontext_t, sp) == 256, "mcontext_t");

/* At rm_go_on_made restart_syscall has returned. */
bool rm_restart_is_leaving(const ucontext_t *uc)
{
	const uintptr_t pc = uc->uc_mcontext.pc;

	return pc >= (uintptr_t)rm_go_on_begin &&
	       (pc < (uintptr_t)rm_go_on_made ||
		       (pc == (uintptr_t)rm_go_on_made && rm_call_result(uc) == -EINTR));
}

/* Its shadow stack is not wound back by hand. */
static bool has_shadow_stack(void)
{
	uint64_t status = 0;

	return !rm_sys_prctl(PR_GET_SHADOW_STACK, (unsigned long)&status, 0, 0, 0) && status;
}

bool rm_restart_can_leave(const ucontext_t *uc)
{
	return rm_wait_has_room(uc) && !has_shadow_stack();
}

RM_LEFT_EARLY void rm_restart_leave(void *context)
{
	ucontext_t *uc = context;
	uint64_t open, closed;
	long result;

	if (rm_restart_is_leaving(uc))
		rm_go_on_again(&uc->uc_mcontext);
	rm_stat_add(RM_STAT_RESTARTED, 1);
	memcpy(&open, &uc->uc_sigmask, sizeof(open));
	rm_sys_rt_sigprocmask(SIG_BLOCK, NULL, &closed);
	result = rm_go_on(&open, &closed);
	if (rm_call_is_restarting(uc))
		rm_call_skip(uc, result);
	else
		rm_call_set_result(uc, result);
	if (result == -EINTR)
		rm_call_is_over(uc);
}

void *rm_restart_was_leaving(void *context)
{
	return context;
}

#endif
