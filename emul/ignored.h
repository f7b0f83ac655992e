/* SPDX-License-Identifier: MIT */
#ifndef RM_IGNORED_H
#define RM_IGNORED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the program ignores the signal: by SIG_IGN, or by default. Async-signal-safe, as the
 * other one.
 */
bool rm_is_ignored(int sig);

/*
 * What we may block while we work: every signal but those that nobody can block and those that the
 * program ignores. As a mask of the kernel: signal n at bit n - 1.
 */
uint64_t rm_signals_to_block(void);
/*
 * Those of them that are in asked. One system call for each signal in it that programs ignore at
 * times.
 */
uint64_t rm_signals_to_block_of(uint64_t asked);

#endif
