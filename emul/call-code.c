/* SPDX-License-Identifier: MIT */
/*
 * What the code around a system call of arm64 tells of it.
 *
 * The first argument: the kernel puts the result where it was, and keeps it from signal handlers.
 * But where it came from is in most cases still there: the call has changed no other register. So
 * the code in front of it is read backwards to the instruction that gave it to x0. If that took it from a register
 * that was given something else on the way to the call, whoever else had it from there before is
 * looked for; the preload's syscall(2) (shim/syscall.S) and rm_syscall put it aside so.
 *
 * The code is taken to be straight: a jump to between the two, from where x0 was given another
 * value, can not be seen. Compilers put a call's arguments in place just before it, so glibc's
 * waits tell where they can be cancelled, which keeps the arguments. Those that are only a sign
 * extension and the call (semtimedop) do not, nor do assembly routines that shift all arguments by
 * one: glibc's from 2.41 on, and musl's.
 *
 * Whether the condition flags are in use behind it: not if they are set by a comparison first, or a
 * function is called or returned from, to neither of which they are handed.
 */
#include "emul/call-code.h"

#if defined(__aarch64__)

#include <string.h>

#include "emul/copy.h"

enum { MOST = 24, INSN_LEN = 4, PAGE = 4096, SP = 31, ZERO = 31 };

/* One that gives registers values, and nothing else that matters here. */
struct given {
	unsigned int to, too; /* registers; ZERO: none */
	enum { UNKNOWN, COPY, CONSTANT, LOAD, SUM } how;
	unsigned int from;   /* COPY, LOAD, SUM: a register; for the latter two SP counts */
	bool half, extended; /* 32 bits of it; with their sign */
	int64_t number;	     /* CONSTANT: the value; LOAD: bytes from there; SUM: added */
};

static int64_t sign(uint32_t bits, unsigned int width)
{
	return (int64_t)((uint64_t)bits << (64 - width)) >> (64 - width);
}

/* False: an instruction that is not known here. */
static bool decode(uint32_t insn, struct given *g)
{
	const unsigned int rd = insn & 31, rn = insn >> 5 & 31, rm = insn >> 16 & 31;

	*g = (struct given){.to = rd, .too = ZERO, .from = rn, .half = !(insn >> 31)};
	if ((insn & 0x7fe0ffe0) == 0x2a0003e0) { /* mov (register) */
		g->how = COPY;
		g->from = rm;
	} else if ((insn & 0xfffffc00) == 0x93407c00) { /* sxtw */
		g->how = COPY;
		g->half = g->extended = true;
	} else if ((insn & 0x7fe00000) == 0x52800000) { /* movz without a shift */
		g->how = CONSTANT;
		g->number = insn >> 5 & 0xffff;
	} else if ((insn & 0x7fe00000) == 0x12800000) { /* movn without a shift */
		g->how = CONSTANT;
		g->number = ~(int64_t)(insn >> 5 & 0xffff);
	} else if ((insn & 0xbfc00000) == 0xb9400000) { /* ldr, at an offset */
		g->how = LOAD;
		g->half = !(insn >> 30 & 1);
		g->number = (int64_t)(insn >> 10 & 0xfff) * (g->half ? 4 : 8);
	} else if ((insn & 0xffc00000) == 0xb9800000) { /* ldrsw, at an offset */
		g->how = LOAD;
		g->half = g->extended = true;
		g->number = (int64_t)(insn >> 10 & 0xfff) * 4;
	} else if ((insn & 0xffc00000) == 0xa9400000) { /* ldp of two whole ones, at an offset */
		g->how = LOAD;
		g->half = false;
		g->too = insn >> 10 & 31;
		g->number = sign(insn >> 15 & 0x7f, 7) * 8;
	} else if ((insn & 0xffc00000) == 0x91000000) { /* add, a number */
		g->how = SUM;
		g->number = insn >> 10 & 0xfff;
	} else if ((insn & 0x9f000000) == 0x90000000) { /* adrp */
		g->how = UNKNOWN;
	} else if ((insn & 0xbfc00000) == 0xb9000000 || (insn & 0xffc00000) == 0xa9000000 ||
		   insn == 0xd503201f) { /* str, stp, at an offset; nop */
		g->to = ZERO;
	} else {
		return false;
	}
	return true;
}

static uint64_t value_of(const mcontext_t *context, unsigned int reg, bool sp)
{
	if (reg == SP)
		return sp ? context->sp : 0;
	return context->regs[reg];
}

static uint64_t narrow(const struct given *g, uint64_t value)
{
	if (!g->half)
		return value;
	return g->extended ? (uint64_t)(int64_t)(int32_t)value : (uint32_t)value;
}

/* What it has given to the register, if that is what came of it then and is there still. */
static bool evaluate(
	const mcontext_t *context, const struct given *g, unsigned int reg, uint64_t *value)
{
	uint64_t at;

	*value = 0;
	switch (g->how) {
	case COPY:
		*value = narrow(g, value_of(context, g->from, false));
		return true;
	case CONSTANT:
		*value = narrow(g, (uint64_t)g->number);
		return true;
	case SUM:
		*value = narrow(g, value_of(context, g->from, true) + (uint64_t)g->number);
		return true;
	case LOAD:
		at = value_of(context, g->from, true) + (uint64_t)g->number +
		     (g->too == reg && g->to != reg ? 8 : 0);
		if (!rm_read_own(at, value, g->half ? 4 : 8))
			return false;
		*value = narrow(g, *value);
		return true;
	default:
		return false;
	}
}

bool rm_call_first_argument(const mcontext_t *context, uintptr_t insn, uint64_t *value)
{
	uint32_t code[MOST],
		given = 1; /* the registers that are not what they were, from there on */
	const uintptr_t in_page = insn % PAGE / INSN_LEN;
	size_t n = MOST;
	unsigned int wanted = 0; /* the register that has it, at the place that is looked at */
	struct given g;

	if (in_page < MOST && !rm_read_own(insn - sizeof(code), code, sizeof(code)))
		n = in_page;
	if (in_page >= n)
		memcpy(code, (const void *)(insn - n * INSN_LEN), n * INSN_LEN);
	while (n-- && decode(code[n], &g)) {
		/* somebody else has had it from there, and has it still */
		if (wanted && g.how == COPY && g.from == wanted && !g.half && g.to != ZERO &&
			!(given & 1U << g.to)) {
			*value = context->regs[g.to];
			return true;
		}
		if (g.to == wanted || (g.too != ZERO && g.too == wanted)) {
			if (g.how == CONSTANT || g.from == ZERO || !(given & 1U << g.from))
				return evaluate(context, &g, wanted, value);
			if (g.how != COPY || g.half)
				return false;
			wanted = g.from;
		}
		given |= (g.to != ZERO ? 1U << g.to : 0) | (g.too != ZERO ? 1U << g.too : 0);
	}
	return false;
}

bool rm_call_flags_are_dead(uintptr_t pc)
{
	enum { FARTHEST = 8 };
	const uint32_t *code = (const uint32_t *)pc;
	struct given g;

	for (size_t n = 0; n < FARTHEST && pc % PAGE + n * INSN_LEN < PAGE; n++) {
		const uint32_t insn = code[n];

		if ((insn & 0x7f00001f) == 0x3100001f ||     /* cmn, a number */
			(insn & 0x7f00001f) == 0x7100001f || /* cmp, a number */
			(insn & 0x7f20001f) == 0x6b00001f || /* cmp, a register */
			(insn & 0xfc000000) == 0x94000000 || /* bl */
			(insn & 0xfffffc1f) == 0xd65f0000)   /* ret */
			return true;
		if (!decode(insn, &g))
			return false;
	}
	return false;
}

#endif
