/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a process as it can see itself, and running cases in children. No allocation between
 * two snapshots: the heap must not change by being looked at.
 */
#include "tests/faults/faults.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED false
#endif

static char smaps[1 << 20];

static bool read_smaps(void)
{
	/* thread-self: a zombie main thread's own is empty */
	int fd = open("/proc/thread-self/smaps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got = 0;

	if (fd < 0)
		return false;
	while (len < sizeof(smaps) - 1 &&
		(got = read(fd, smaps + len, sizeof(smaps) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	smaps[len] = '\0';
	return !got;
}

bool snapshot_take(struct snapshot *s)
{
	size_t at = 0;

	memset(s, 0, sizeof(*s));
	if (!read_smaps())
		return false;
	for (char *line = smaps; *line;) {
		char *end = strchr(line, '\n');
		const size_t line_len = end ? (size_t)(end - line) : strlen(line);
		size_t len = line_len;
		bool header = (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');

		if (header || !strncmp(line, "VmFlags:", 8)) {
			if (at + len + 2 > sizeof(s->maps))
				return false;
			memcpy(s->maps + at, line, len);
			s->maps[at + len] = '\0';
			if (!header) {
				char *dirty = strstr(s->maps + at, " sd");

				if (dirty)
					memmove(dirty, dirty + 3, strlen(dirty + 3) + 1);
			}
			at += strlen(s->maps + at);
			s->maps[at++] = '\n';
		}
		line += line_len + (end != NULL);
	}
	s->maps[at] = '\0';
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &s->mask, sizeof(s->mask));
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			s->fds[fd / 64] |= 1ULL << fd % 64;
	return true;
}

bool snapshot_same_process(const struct snapshot *before, const struct snapshot *after)
{
	bool same = true;

	if (before->mask != after->mask) {
		printf("#   signal mask %lx became %lx\n", before->mask, after->mask);
		same = false;
	}
	for (int fd = 0; fd < 256; fd++) {
		bool was = before->fds[fd / 64] >> fd % 64 & 1,
		     is = after->fds[fd / 64] >> fd % 64 & 1;

		if (was != is) {
			printf("#   descriptor %d was %s\n", fd, is ? "left open" : "closed");
			same = false;
		}
	}
	return same;
}

/*
 * The next header of text outside [but, but + len): copies "header\nVmFlags" into record. The rest,
 * NULL at the end.
 */
static const char *next_record(
	const char *text, uintptr_t but, size_t len, char *record, size_t size)
{
	while (*text) {
		unsigned long start = 0, end = 0;
		const char *stop = strchr(text, '\n');

		stop = stop ? strchr(stop + 1, '\n') : NULL;
		if (!stop)
			return NULL;
		sscanf(text, "%lx-%lx", &start, &end);
		snprintf(record, size, "%.*s", (int)(stop - text), text);
		text = stop + 1;
		if (!len || end <= but || start >= but + len)
			return text;
	}
	return NULL;
}

/*
 * AddressSanitizer maps and advises as it likes: there only the scenario's own areas are looked at.
 */
static bool is_looked_at(const char *header)
{
	const unsigned long slack = 16UL << 20;
	unsigned long start = 0;

	sscanf(header, "%lx-", &start);
	return !SANITIZED || (start >= SOURCE && start < SOURCE + slack) ||
	       (start >= DESTINATION && start < DESTINATION + slack);
}

/* The next record to be compared. */
static const char *next_compared(
	const char *text, uintptr_t around, size_t around_len, char *record, size_t size)
{
	do {
		text = next_record(text, around, around_len, record, size);
	} while (text && !is_looked_at(record));
	return text;
}

/* "header|VmFlags", to be printed in one line. */
static const char *in_a_line(char *record)
{
	char *newline = strchr(record, '\n');

	if (newline)
		*newline = '|';
	return record;
}

/* The exception may cut mappings in two, so everything that touches it is passed over. */
bool snapshot_same_maps(const struct snapshot *before, const struct snapshot *after,
	uintptr_t around, size_t around_len, bool tell)
{
	const char *b = before->maps, *a = after->maps;
	char was[1024] = "", is[1024] = "";

	for (;;) {
		b = next_compared(b, around, around_len, was, sizeof(was));
		a = next_compared(a, around, around_len, is, sizeof(is));
		if (!a && !b)
			return true;
		if (a && b && !strcmp(was, is))
			continue;
		if (tell)
			printf("#   mapping was: %s\n#   and is:      %s\n",
				b ? in_a_line(was) : "-", a ? in_a_line(is) : "-");
		return false;
	}
}

bool snapshot_is_hole(const struct snapshot *s, uintptr_t start, size_t len)
{
	char record[1024];
	const char *rest = s->maps;

	while ((rest = next_record(rest, 0, 0, record, sizeof(record)))) {
		unsigned long from, to;

		if (sscanf(record, "%lx-%lx", &from, &to) == 2 && from < start + len &&
			to > start) {
			*strchr(record, '\n') = '\0';
			printf("#   left over: %s\n", record);
			return false;
		}
	}
	return true;
}

const char *snapshot_flags(
	const struct snapshot *s, uintptr_t addr, uintptr_t *start, uintptr_t *end)
{
	static char record[1024];
	const char *rest = s->maps;

	while ((rest = next_record(rest, 0, 0, record, sizeof(record)))) {
		unsigned long from, to;

		if (sscanf(record, "%lx-%lx", &from, &to) == 2 && from <= addr && addr < to) {
			if (start)
				*start = from;
			if (end)
				*end = to;
			return strchr(record, '\n') + 1;
		}
	}
	return "";
}

bool run_in_child(unsigned int number, const char *name, bool (*run)(const void *), const void *arg,
	unsigned int seconds)
{
	int status = -1;
	pid_t pid;
	bool passed;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		bool ok;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = run(arg);
		fflush(stdout);
		_exit(ok ? 0 : 1);
	}
	/*
	 * Killed from outside if it hangs: it may do so with every signal blocked, in a call that
	 * only SIGKILL ends.
	 */
	for (unsigned long ms = 0; pid > 0 && waitpid(pid, &status, WNOHANG) == 0; ms += 2) {
		if (ms > seconds * 1000UL)
			kill(pid, SIGKILL);
		usleep(2000);
	}
	passed = WIFEXITED(status) && !WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		printf("#   died by signal %d%s\n", WTERMSIG(status),
			WTERMSIG(status) == SIGKILL ? ": it hung" : "");
	printf("%s %u - %s\n", passed ? "ok" : "not ok", number, name);
	fflush(stdout);
	return passed;
}
