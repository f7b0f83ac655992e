/* SPDX-License-Identifier: MIT */
/*
 * Log lines and reasons of refusals, without libc's stdio: a line may be written from a signal
 * handler, or by a thread that holds the world's lock while another sits inside malloc.
 *
 * Reasons are kept by thread id in a small table instead of in thread-local storage, which a
 * dlopen'ed library must be sparing with (STYLE: known ways to get hurt). A slot is overwritten by
 * another thread only when 256 other ids have come in between at worst; what is read is then ""
 * rather than somebody else's reason.
 *
 * The log file is opened for every line, so that no descriptor of ours is lying about for
 * closefrom(3) to close.
 */
#include "emul/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include "emul/stats.h"
#include "emul/sys.h"

static struct {
	int level;
	const char *path;
	_Atomic int warnings;
} log_state;

#define MAX_WARNINGS 32
#define REASON_SLOTS 256

static struct {
	_Atomic int tid;
	_Atomic(const char *) reason;
} reasons[REASON_SLOTS];
static _Atomic bool any_reason; /* else nobody's need be cleared */

static void put_char(char *buf, size_t size, size_t *at, char c)
{
	if (*at + 1 < size)
		buf[(*at)++] = c;
}

static void put_number(char *buf, size_t size, size_t *at, uint64_t value, unsigned int base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(buf, size, at, digits[--n]);
}

static size_t format_list(char *buf, size_t size, const char *format, va_list args)
{
	size_t at = 0;

	for (const char *p = format; *p; p++) {
		bool is_long = false;

		if (*p != '%') {
			put_char(buf, size, &at, *p);
			continue;
		}
		p++;
		if (*p == 'l') {
			is_long = true;
			p++;
		}
		if (*p == 's') {
			for (const char *s = va_arg(args, const char *); s && *s; s++)
				put_char(buf, size, &at, *s);
		} else if (*p == 'd') {
			long v = is_long ? va_arg(args, long) : va_arg(args, int);

			if (v < 0)
				put_char(buf, size, &at, '-');
			put_number(buf, size, &at, v < 0 ? -(uint64_t)v : (uint64_t)v, 10);
		} else if (*p == 'u' || *p == 'x') {
			uint64_t v = is_long ? va_arg(args, unsigned long)
					     : va_arg(args, unsigned int);

			put_number(buf, size, &at, v, *p == 'x' ? 16 : 10);
		} else {
			put_char(buf, size, &at, '%');
			if (!*p)
				break;
		}
	}
	if (size)
		buf[at] = '\0';
	return at;
}

size_t rm_format(char *buf, size_t size, const char *format, ...)
{
	va_list args;
	size_t len;

	va_start(args, format);
	len = format_list(buf, size, format, args);
	va_end(args);
	return len;
}

bool rm_log_on(enum rm_log_level level)
{
	return level <= RM_LOG_WARN || (int)level <= log_state.level + RM_LOG_WARN;
}

void rm_log(enum rm_log_level level, const char *format, ...)
{
	char line[512];
	size_t len;
	long fd = 2;
	va_list args;

	if (!rm_log_on(level))
		return;
	if (level == RM_LOG_WARN && atomic_fetch_add(&log_state.warnings, 1) >= MAX_WARNINGS)
		return;
	len = rm_format(line, sizeof(line) - 1, "libremap[%d]: ", rm_sys_gettid());
	va_start(args, format);
	len += format_list(line + len, sizeof(line) - 1 - len, format, args);
	va_end(args);
	line[len++] = '\n';

	if (log_state.path)
		fd = rm_sys_open(log_state.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	(void)rm_sys_write((int)fd, line, len);
	if (log_state.path)
		rm_sys_close((int)fd);
}

void rm_log_setup(int level, const char *path)
{
	log_state.level = level;
	log_state.path = path;
}

int rm_refuse(const char *reason)
{
	int tid = rm_sys_gettid();
	unsigned int slot = (unsigned int)tid % REASON_SLOTS;

	atomic_store(&any_reason, true);
	atomic_store(&reasons[slot].tid, 0);
	atomic_store(&reasons[slot].reason, reason);
	atomic_store(&reasons[slot].tid, tid);
	rm_stat_add(RM_STAT_REFUSED, 1);
	rm_log(RM_LOG_INFO, "refused: %s", reason);
	return -EINVAL;
}

void rm_refuse_clear(void)
{
	int tid;
	unsigned int slot;

	if (!atomic_load_explicit(&any_reason, memory_order_relaxed))
		return;
	tid = rm_sys_gettid();
	slot = (unsigned int)tid % REASON_SLOTS;
	if (atomic_load(&reasons[slot].tid) == tid)
		atomic_store(&reasons[slot].tid, 0);
}

const char *rm_refuse_reason(void)
{
	int tid = rm_sys_gettid();
	unsigned int slot = (unsigned int)tid % REASON_SLOTS;
	const char *reason = atomic_load(&reasons[slot].reason);

	return atomic_load(&reasons[slot].tid) == tid && reason ? reason : "";
}
