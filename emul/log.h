/* SPDX-License-Identifier: MIT */
/*
 * What the engine tells people: a log line (LIBREMAP_DEBUG, LIBREMAP_LOG), and the reason of a
 * refusal.
 */
#ifndef RM_LOG_H
#define RM_LOG_H

#include "emul/types.h"

enum rm_log_level {
	RM_LOG_ERROR = 1, /* something was lost; printed always */
	RM_LOG_WARN =
		2, /* a wrong setting, a stop that takes long; printed always, 32 times at most */
	RM_LOG_INFO = 3,  /* LIBREMAP_DEBUG=1: what was detected, what was refused and why */
	RM_LOG_DEBUG = 4, /* LIBREMAP_DEBUG=2: every step of every plan */
};

/*
 * Formats into a buffer of its own and writes one line with one write(2). Conversions: %s %d %u %lu
 * %lx %%. Async-signal-safe; never inside the window.
 */
void rm_log(enum rm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool rm_log_on(enum rm_log_level level);

/*
 * level 0: warnings and errors only. path NULL: standard error. path must stay valid. Not
 * thread-safe: at start.
 */
void rm_log_setup(int level, const char *path);

/* The same conversions, into buf, always terminated: the length that was written. Pure. */
size_t rm_format(char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Keeps reason, a static string, as the calling thread's last refusal (remap_strerror_last), counts
 * it and logs it. Returns -EINVAL, the errno with which a kernel that does not know the flag
 * answers.
 */
int rm_refuse(const char *reason);
void rm_refuse_clear(void);
const char *rm_refuse_reason(void);

#endif
