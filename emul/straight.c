/* SPDX-License-Identifier: MIT */
/*
 * What straight code has put into a register: for the number of a system call, which the kernel
 * overwrites with the result (call-number.c).
 *
 * Compilers put it into its register, or into another one and that into this, and some more
 * instructions that prepare arguments in between. Where the value comes from can be a constant, the
 * stack (by %rsp or %rbp), or a register that is still as it was. So every place before the end is
 * tried, the nearest first: if an instruction is there that has one of these sources, and if from
 * there on all instructions are known ones, without a jump or a call, that lead exactly to the end
 * and leave the value in the register that is asked for, it is that value.
 *
 * Known are the few forms in which mov, lea, push and arithmetic come; what is not known ends the
 * attempt. That somebody jumps into the midst of such code with another value is possible, and is
 * not what compilers do with numbers of system calls.
 */
#include "emul/straight.h"

#include <stddef.h>
#include <string.h>

#include "emul/copy.h"

#define NONE	 16  /* no register */
#define BACK	 56  /* bytes before the end that are looked at */
#define OF_FRAME 256 /* bytes above %rsp: the frame's, or arguments */

struct insn {
	enum { OTHER, COPY, CONSTANT, LOAD, PUSH } kind;
	size_t len;
	unsigned int to;   /* the register that is changed */
	unsigned int from; /* copied, or %rsp or %rbp by which is loaded */
	int32_t value;	   /* the constant, or what is added to that address */
	bool half;	   /* 32 bits */
};

static int32_t read32(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Of a ModRM byte and what belongs to it. */
static size_t operand_len(const uint8_t *modrm)
{
	const unsigned int mod = *modrm >> 6, rm = *modrm & 7U;
	size_t len = 1;

	if (mod == 3)
		return len;
	if (rm == 4) {
		len++;
		if (!mod && (modrm[1] & 7) == 5)
			len += 4;
	}
	return len + (mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0);
}

/* mov from memory: whether by %rsp or %rbp alone. */
static void parse_load(const uint8_t *modrm, unsigned int rex, struct insn *insn)
{
	const unsigned int mod = *modrm >> 6, rm = *modrm & 7U;
	const uint8_t *disp = modrm + (rm == 4 ? 2 : 1);

	if ((mod != 1 && mod != 2) || (rex & 3) || (rm == 4 ? modrm[1] != 0x24 : rm != 5))
		return;
	insn->kind = LOAD;
	insn->from = rm == 4 ? RM_SP : RM_BP;
	insn->value = mod == 1 ? (int8_t)*disp : read32(disp);
}

/* The instruction that is there, none of it behind "end". */
static bool parse(const uint8_t *start, const uint8_t *end, struct insn *insn)
{
	const uint8_t *p = start;
	bool segment = *p == 0x64; /* %fs: */
	unsigned int rex = 0, reg, rm, op;
	size_t constant = 0, len;

	p += segment;
	if ((*p & 0xf0) == 0x40)
		rex = *p++;
	op = *p++;
	if (op == 0x0f)
		op = 0x0f00U | *p++;
	*insn = (struct insn){OTHER, 0, NONE, NONE, 0, !(rex & 8)};
	reg = (*p >> 3 & 7U) | (rex & 4) << 1;
	rm = *p >= 0xc0 ? (*p & 7U) | (rex & 1) << 3 : NONE;
	len = operand_len(p);
	switch (op) {
	case 0x89: /* mov %reg, to */
		insn->kind = rm == NONE ? OTHER : COPY;
		insn->from = reg;
		insn->to = rm;
		break;
	case 0x8b: /* mov from, %reg */
		insn->to = reg;
		insn->kind = rm == NONE ? OTHER : COPY;
		insn->from = rm;
		if (rm == NONE && !segment)
			parse_load(p, rex, insn);
		break;
	case 0xc7: /* mov $constant, to */
		insn->kind = rm == NONE ? OTHER : CONSTANT;
		insn->value = read32(p + len);
		insn->to = rm;
		constant = 4;
		break;
	case 0x8d: /* lea */
	case 0x63: /* movslq */
	case 0x03: /* add, or, sbb, and, sub, xor into %reg */
	case 0x0b:
	case 0x1b:
	case 0x23:
	case 0x2b:
	case 0x33:
	case 0x0fb6: /* movzbl, movzwl, movsbl, movswl */
	case 0x0fb7:
	case 0x0fbe:
	case 0x0fbf:
		insn->to = reg;
		break;
	case 0x01: /* the same into anything */
	case 0x09:
	case 0x19:
	case 0x21:
	case 0x29:
	case 0x31:
		if (op == 0x31 && rm == reg) /* 0 */
			insn->kind = CONSTANT;
		insn->to = rm;
		break;
	case 0x39: /* cmp, test, nop */
	case 0x3b:
	case 0x85:
	case 0x0f1f:
		break;
	case 0x80: /* the same with a constant; of 8 bits without a prefix 4 is %ah */
	case 0x81:
	case 0x83:
		insn->to = (*p >> 3 & 7) == 7				? NONE
			   : op == 0x80 && !rex && rm != NONE && rm > 3 ? rm - 4
									: rm;
		constant = op == 0x81 ? 4 : 1;
		break;
	case 0xf7: /* not, neg */
		if ((*p >> 3 & 7) != 2 && (*p >> 3 & 7) != 3)
			return false;
		insn->to = rm;
		break;
	case 0x90:
		len = 0;
		break;
	default:
		len = 0;
		if (op >= 0x50 && op < 0x58) {
			insn->kind = PUSH;
		} else if (op >= 0xb8 && op < 0xc0 && !(rex & 8)) {
			insn->kind = CONSTANT;
			insn->to = (op & 7) | (rex & 1) << 3;
			insn->value = read32(p);
			constant = 4;
		} else {
			return false;
		}
	}
	insn->len = (size_t)(p - start) + len + constant;
	return start + insn->len <= end;
}

/*
 * Whether the value that this instruction has a source for is in the register at the end; and in
 * "from", if that is where it is to be taken from. *pushed: bytes, between.
 */
static bool arrives(const struct rm_straight *code, const uint8_t *at, const struct insn *source,
	unsigned int reg, size_t *pushed, bool *half)
{
	uint32_t holds = 1U << source->to | (source->kind == COPY ? 1U << source->from : 0);
	struct insn insn;

	*pushed = 0;
	*half = source->half;
	for (at += source->len; at < code->end; at += insn.len) {
		if (!parse(at, code->end, &insn) || insn.to == RM_SP ||
			(source->kind == LOAD && insn.to == RM_BP))
			return false;
		if (insn.kind == PUSH)
			*pushed += sizeof(uint64_t);
		if (insn.kind == COPY && holds >> insn.from & 1) {
			holds |= 1U << insn.to;
			*half |= insn.half;
		} else if (insn.to != NONE) {
			holds &= ~(1U << insn.to);
		}
	}
	return holds >> reg & 1 && (source->kind != COPY || holds >> source->from & 1);
}

/* The source's value, as it is found at the end. */
static bool read_source(
	const struct rm_straight *code, const struct insn *source, size_t pushed, int64_t *value)
{
	uintptr_t from;

	switch (source->kind) {
	case CONSTANT:
		*value = source->value;
		return true;
	case COPY:
		if (!(code->intact >> source->from & 1))
			return false;
		*value = (int64_t)code->values[source->from];
		return true;
	case LOAD:
		if (source->from == RM_BP && !(code->intact >> RM_BP & 1))
			return false;
		from = (source->from == RM_SP ? code->sp + pushed
					      : (uintptr_t)code->values[RM_BP]) +
		       (uintptr_t)(intptr_t)source->value;
		if (from - code->sp >= OF_FRAME)
			return rm_read_own(from, value, sizeof(*value));
		memcpy(value, (const void *)from, sizeof(*value));
		return true;
	default:
		return false;
	}
}

/* Whether what comes behind this byte may be the rest of an instruction that is another one. */
static bool may_begin(uint8_t byte)
{
	return (byte & 0xf0) == 0x40 || (byte & 0xfc) == 0x64 || byte == 0x0f || byte == 0xf2 ||
	       byte == 0xf3;
}

bool rm_straight_value(const struct rm_straight *code, unsigned int reg, int64_t *value)
{
	struct insn source;
	size_t pushed;
	bool half;

	for (const uint8_t *at = code->end - 1; at > code->begin && code->end - at <= BACK; at--) {
		if (may_begin(at[-1]))
			continue;
		if (!parse(at, code->end, &source) || source.kind == OTHER || source.kind == PUSH ||
			!arrives(code, at, &source, reg, &pushed, &half) ||
			!read_source(code, &source, pushed, value))
			continue;
		if (half)
			*value = (uint32_t)*value;
		return true;
	}
	return false;
}
