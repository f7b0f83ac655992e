/* SPDX-License-Identifier: MIT */
/*
 * pretend.c - from the table's rows to seccomp filters in force
 *
 * Two filters, because one filter cannot hold both "errno for this flag" and "ask about every call" for one system
 * call in libseccomp; the kernel runs both and takes the stronger action, and an errno is stronger than a question.
 *
 *	errno filter	rows of RM_HOW_ERRNO
 *	asking filter	rows of RM_HOW_SERVE and RM_HOW_BIT, with a listener held by the server
 *
 * The asking filter is loaded first: under the errno filter of an old kernel it could not be.
 *
 * Rules:
 * - Native architecture only. Calls by another one (int $0x80, a 32-bit program, x32) reach this kernel as they are:
 *   their numbers are different, and refusing them all would end programs that no old kernel would have ended.
 * - The programs are exported from libseccomp and loaded by hand: 2.5 does not know WAIT_KILLABLE_RECV, without which
 *   a signal can make an answered call happen twice.
 * - no_new_privs is set only where the kernel insists (no CAP_SYS_ADMIN).
 *
 * This is the one place that looks at uname: an older kernel can be pretended on a newer one, not the reverse, and no
 * probe tells "everything up to 6.1".
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/pretend.h"

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/*
 * Everything that the server needs is there from here on: CONTINUE (5.5), pidfd_getfd (5.6),
 * POLLHUP (5.8).
 */
#define SERVER_SINCE RM_KV(5, 8)

struct program {
	struct sock_fprog fprog;
	size_t nr_rules;
};

__attribute__((format(printf, 3, 4))) static int fail(char *why, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, RM_PRETEND_WHY, format, args);
	va_end(args);
	return -err;
}

static bool listed(const char *list, const char *word)
{
	size_t len = strlen(word);
	const char *p;

	for (p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, word, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

static int check_except(const char *except, char *why)
{
	char word[64];
	const char *p = except;
	size_t i, len;

	while (p && *p) {
		len = strcspn(p, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		for (i = 0; i < rm_pretend_nr_rows; i++)
			if (strcmp(rm_pretend_rows[i].call, word) == 0)
				break;
		if (i == rm_pretend_nr_rows)
			return fail(
				why, EINVAL, "no row for the system call '%s' to leave out", word);
		p += len + (p[len] == ',');
	}
	return 0;
}

static int host_kernel(unsigned *kernel)
{
	struct utsname name;
	unsigned major, minor;

	if (uname(&name) < 0)
		return -errno;
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return -EINVAL;
	*kernel = RM_KV(major, minor);
	return 0;
}

static bool wanted(const struct rm_row *row, const struct rm_pretend *pretend, bool asking)
{
	bool errno_row = row->how == RM_HOW_ERRNO;

	return row->nr >= 0 && row->how != RM_HOW_BLIND && errno_row != asking &&
	       rm_row_applies(row, pretend->kernel) && !listed(pretend->except, row->call);
}

static size_t nr_tests(const struct rm_row *row)
{
	return (size_t)(row->test[0].mask != 0) + (size_t)(row->test[1].mask != 0);
}

/* libseccomp may not be given a narrower rule beside one for the whole call. */
static bool covered_by_whole_call(
	const struct rm_row *row, const struct rm_pretend *pretend, bool asking)
{
	size_t i;

	if (nr_tests(row) == 0)
		return false;
	for (i = 0; i < rm_pretend_nr_rows; i++)
		if (rm_pretend_rows[i].nr == row->nr && nr_tests(&rm_pretend_rows[i]) == 0 &&
			wanted(&rm_pretend_rows[i], pretend, asking))
			return true;
	return false;
}

static int add_row(scmp_filter_ctx ctx, const struct rm_row *row, bool asking)
{
	uint32_t action = asking ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO((unsigned)row->err);
	struct scmp_arg_cmp cmp[2];
	unsigned nr_cmp = 0;
	size_t i;
	int ret;

	for (i = 0; i < 2; i++) {
		if (!row->test[i].mask)
			continue;
		cmp[nr_cmp++] = SCMP_CMP(row->test[i].arg, SCMP_CMP_MASKED_EQ, row->test[i].mask,
			row->test[i].value);
	}
	ret = seccomp_rule_add_array(ctx, action, (int)row->nr, nr_cmp, cmp);
	/* Two rows may ask about the same calls. */
	return ret == -EEXIST ? 0 : ret;
}

static void program_free(struct program *program)
{
	free(program->fprog.filter);
	program->fprog.filter = NULL;
}

/*
 * Through a pipe: the largest program the kernel takes (4096 instructions of 8 bytes) fits into an
 * empty one.
 */
static int program_export(scmp_filter_ctx ctx, struct program *program)
{
	const size_t max = BPF_MAXINSNS * sizeof(struct sock_filter);
	ssize_t len = 0;
	ssize_t got;
	char *buf;
	int fds[2];
	int ret;

	if (pipe(fds) < 0)
		return -errno;
	buf = malloc(max);
	if (!buf) {
		ret = -ENOMEM;
		goto out;
	}
	ret = seccomp_export_bpf(ctx, fds[1]);
	if (ret < 0)
		goto out;
	close(fds[1]);
	fds[1] = -1;
	while ((got = read(fds[0], buf + len, max - (size_t)len)) > 0)
		len += got;
	program->fprog.len = (unsigned short)((size_t)len / sizeof(struct sock_filter));
	program->fprog.filter = (struct sock_filter *)(void *)buf;
	buf = NULL;
out:
	free(buf);
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	return ret;
}

static int program_build(
	const struct rm_pretend *pretend, bool asking, struct program *program, char *why)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	const struct rm_row *row;
	size_t i;
	int ret;

	if (!ctx)
		return fail(why, ENOMEM, "libseccomp gives no filter: %s", strerror(ENOMEM));
	program->nr_rules = 0;
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (ret == 0)
		ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (i = 0; ret == 0 && i < rm_pretend_nr_rows; i++) {
		row = &rm_pretend_rows[i];
		if (!wanted(row, pretend, asking) || covered_by_whole_call(row, pretend, asking))
			continue;
		ret = add_row(ctx, row, asking);
		program->nr_rules++;
		if (ret < 0)
			fail(why, -ret, "libseccomp refuses the row '%s': %s", row->what,
				strerror(-ret));
	}
	if (ret == 0 && program->nr_rules) {
		ret = program_export(ctx, program);
		if (ret < 0)
			fail(why, -ret, "cannot build the filter: %s", strerror(-ret));
	}
	seccomp_release(ctx);
	return ret;
}

/*
 * Returns what the kernel does: 0, or the listener. A kernel that lacks an optional flag says
 * EINVAL, so the flags are dropped one after the other; NEW_LISTENER is not optional.
 */
static int program_load(const struct program *program, unsigned long flags)
{
	static const unsigned long optional[] = {
		SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_FILTER_FLAG_SPEC_ALLOW};
	bool privs_tried = false;
	size_t next = 0;
	long ret;

	for (;;) {
		ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program->fprog);
		if (ret >= 0)
			return (int)ret;
		if (errno == EACCES && !privs_tried) {
			privs_tried = true;
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
				return -errno;
		} else if (errno == EINVAL && next < sizeof(optional) / sizeof(optional[0])) {
			flags &= ~optional[next++];
		} else {
			return -errno;
		}
	}
}

static int load_asking(const struct rm_pretend *pretend, const struct program *program, char *why)
{
	int listener = -1;
	int sock = -1;
	pid_t server;
	int ret;

	sock = rm_notify_start(pretend, &server);
	if (sock < 0)
		return fail(why, -sock, "cannot start the server: %s", strerror(-sock));
	listener = program_load(program, SECCOMP_FILTER_FLAG_NEW_LISTENER |
						 SECCOMP_FILTER_FLAG_SPEC_ALLOW |
						 SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (listener < 0) {
		ret = fail(why, -listener,
			"this process cannot have a seccomp listener%s: %s; --filter-only does "
			"without",
			listener == -EBUSY ? " (a container or another remap-run has one)" : "",
			strerror(-listener));
		goto out;
	}
	/*
	 * Yama lets a process look into its descendants only, and the server is none of our
	 * ancestors. This holds for the command, not for its children: without CAP_SYS_PTRACE
	 * theirs are UFFDIO_API calls that go on as they are.
	 */
	prctl(PR_SET_PTRACER, (unsigned long)server, 0, 0, 0);
	ret = rm_notify_hand_over(sock, listener);
	if (ret < 0)
		fail(why, -ret, "the server does not take the listener: %s", strerror(-ret));
	close(listener);
out:
	close(sock);
	return ret;
}

int rm_pretend_enter(const struct rm_pretend *pretend, char *why)
{
	struct program refusing = {.nr_rules = 0};
	struct program asking = {.nr_rules = 0};
	unsigned host = 0;
	int ret;

	ret = host_kernel(&host);
	if (ret < 0)
		return fail(why, -ret, "cannot tell the version of this kernel");
	if (host < pretend->kernel)
		return fail(why, ENOTSUP,
			"this kernel is %u.%u, older than the %u.%u to pretend: what it lacks "
			"cannot be added",
			host >> 8, host & 0xff, pretend->kernel >> 8, pretend->kernel & 0xff);
	ret = check_except(pretend->except, why);
	if (ret < 0)
		return ret;

	ret = program_build(pretend, false, &refusing, why);
	if (ret == 0 && !pretend->filter_only && host >= SERVER_SINCE)
		ret = program_build(pretend, true, &asking, why);
	if (ret < 0)
		goto out;
	if (!pretend->filter_only && host < SERVER_SINCE)
		fprintf(stderr, "remap-run: warning: this kernel has no usable seccomp "
				"notifications (5.8): filter only\n");

	if (asking.nr_rules) {
		ret = load_asking(pretend, &asking, why);
		if (ret < 0)
			goto out;
	}
	if (refusing.nr_rules) {
		ret = program_load(&refusing, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
		if (ret < 0)
			fail(why, -ret, "this process cannot have a seccomp filter: %s",
				strerror(-ret));
	}
out:
	program_free(&asking);
	program_free(&refusing);
	return ret;
}
