/* SPDX-License-Identifier: MIT */
/*
 * What straight code has put into a register. straight.c explains.
 */
#ifndef RM_STRAIGHT_H
#define RM_STRAIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* x86-64's registers as instructions number them */
enum { RM_AX, RM_CX, RM_DX, RM_BX, RM_SP, RM_BP, RM_SI, RM_DI, RM_R11 = 11, RM_R12, RM_R15 = 15 };

/* At "end", where the code has come to. */
struct rm_straight {
	const uint8_t *begin, *end; /* the bytes that are there */
	uint64_t values[16];	    /* of the registers that "intact" has, by its bits */
	uint32_t intact;
	uintptr_t sp;
};

/*
 * The value of a register at the end, if the code before it tells; only that of its lower half
 * where that is all it was given. Async-signal-safe.
 */
bool rm_straight_value(const struct rm_straight *code, unsigned int reg, int64_t *value);

#endif
