/* SPDX-License-Identifier: MIT */
/*
 * The system call that a context has just returned from.
 *
 * x86-64: the arguments are still in their registers, the number is what the code before the call
 * tells (call-number.c). SYSCALL leaves the return address in %rcx, which tells that the context is
 * on its way out of a call, and the program has nothing in there: zero says that the call is over.
 *
 * arm64: the number is still in x8, and the first argument is what the code before the call tells
 * (call-code.c). Every register but x0 is the program's, but not the condition flags, if the code
 * behind the call sets them before it looks: then they say that the call is over.
 */
#include "emul/call.h"

#include <string.h>

#include "emul/call-code.h"
#include "emul/call-number.h"
#include "emul/copy.h"
#include "emul/sys.h"

#if defined(__x86_64__)

#define INSN_LEN 2

static const uint8_t call_insn[INSN_LEN] = {0x0f, 0x05};

static void read_arguments(const greg_t *regs, uint64_t *args)
{
	static const int index[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

	for (size_t i = 0; i < RM_ARRAY_LEN(index); i++)
		args[i] = (uint64_t)regs[index[i]];
}

long rm_call_result(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_RAX];
}

void rm_call_set_result(ucontext_t *uc, long result)
{
	uc->uc_mcontext.gregs[REG_RAX] = result;
}

bool rm_call_find(const ucontext_t *uc, struct rm_call *call)
{
	const greg_t *regs = uc->uc_mcontext.gregs;

	call->nr = rm_call_number(regs);
	call->whole = true;
	read_arguments(regs, call->args);
	return call->nr >= 0;
}

bool rm_call_find_turned_back(const ucontext_t *uc, struct rm_call *call)
{
	const greg_t *regs = uc->uc_mcontext.gregs;

	call->nr = (int)regs[REG_RAX];
	call->whole = true;
	read_arguments(regs, call->args);
	return regs[REG_RCX] == regs[REG_RIP] + INSN_LEN &&
	       !memcmp((const void *)regs[REG_RIP], call_insn, INSN_LEN);
}

/* By the number, which nothing else uses. On the way out of rm_restart_leave %rcx is the place. */
bool rm_call_is_restarting(const ucontext_t *uc)
{
	const greg_t *regs = uc->uc_mcontext.gregs;
	const uintptr_t pc = (uintptr_t)regs[REG_RIP], rcx = (uintptr_t)regs[REG_RCX];

	return regs[REG_RAX] == SYS_restart_syscall && (rcx == pc || rcx == pc + INSN_LEN) &&
	       !memcmp((const void *)pc, call_insn, INSN_LEN);
}

void rm_call_again(ucontext_t *uc, const struct rm_call *call)
{
	greg_t *regs = uc->uc_mcontext.gregs;

	regs[REG_RAX] = call->nr;
	regs[REG_RIP] -= INSN_LEN;
	regs[REG_RDX] = (greg_t)call->args[2];
	regs[REG_R10] = (greg_t)call->args[3];
	regs[REG_R8] = (greg_t)call->args[4];
	regs[REG_R9] = (greg_t)call->args[5];
}

void rm_call_skip(ucontext_t *uc, long result)
{
	uc->uc_mcontext.gregs[REG_RAX] = result;
	uc->uc_mcontext.gregs[REG_RIP] += INSN_LEN;
}

void rm_call_is_over(ucontext_t *uc)
{
	uc->uc_mcontext.gregs[REG_RCX] = 0;
}

uintptr_t rm_context_stack(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}

#else

#define INSN_LEN 4
#define PAGE	 4096 /* at least */
#define NUMBER	 8    /* the register of the number */

/* What lies on the page before the one that the context is at may not be readable. */
static bool is_call_insn(const ucontext_t *uc, uintptr_t at)
{
	uint32_t insn;

	if (at / PAGE == uc->uc_mcontext.pc / PAGE)
		insn = *(const uint32_t *)at;
	else if (!rm_read_own(at, &insn, sizeof(insn)))
		return false;
	return insn == 0xd4000001; /* svc #0 */
}

static void read_rest(const ucontext_t *uc, struct rm_call *call)
{
	call->nr = (int)uc->uc_mcontext.regs[NUMBER];
	for (size_t i = 1; i < RM_ARRAY_LEN(call->args); i++)
		call->args[i] = uc->uc_mcontext.regs[i];
}

/* Negative and zero at once: no comparison and no sum says that. */
#define OVER	 (1UL << 31 | 1UL << 30)

long rm_call_result(const ucontext_t *uc)
{
	return (long)uc->uc_mcontext.regs[0];
}

void rm_call_set_result(ucontext_t *uc, long result)
{
	uc->uc_mcontext.regs[0] = (uint64_t)result;
}

bool rm_call_find(const ucontext_t *uc, struct rm_call *call)
{
	const uintptr_t insn = uc->uc_mcontext.pc - INSN_LEN;

	if (!is_call_insn(uc, insn) || (uc->uc_mcontext.pstate & OVER) == OVER)
		return false;
	read_rest(uc, call);
	call->whole = rm_call_first_argument(&uc->uc_mcontext, insn, &call->args[0]);
	return true;
}

bool rm_call_find_turned_back(const ucontext_t *uc, struct rm_call *call)
{
	read_rest(uc, call);
	call->args[0] = uc->uc_mcontext.regs[0];
	call->whole = true;
	return is_call_insn(uc, uc->uc_mcontext.pc);
}

bool rm_call_is_restarting(const ucontext_t *uc)
{
	return uc->uc_mcontext.regs[NUMBER] == SYS_restart_syscall &&
	       is_call_insn(uc, uc->uc_mcontext.pc);
}

void rm_call_again(ucontext_t *uc, const struct rm_call *call)
{
	for (size_t i = 0; i < RM_ARRAY_LEN(call->args); i++)
		uc->uc_mcontext.regs[i] = call->args[i];
	uc->uc_mcontext.pc -= INSN_LEN;
}

void rm_call_skip(ucontext_t *uc, long result)
{
	uc->uc_mcontext.regs[0] = (uint64_t)result;
	uc->uc_mcontext.pc += INSN_LEN;
}

void rm_call_is_over(ucontext_t *uc)
{
	if (rm_call_flags_are_dead(uc->uc_mcontext.pc))
		uc->uc_mcontext.pstate |= OVER;
}

uintptr_t rm_context_stack(const ucontext_t *uc)
{
	return uc->uc_mcontext.sp;
}

#endif
