/* SPDX-License-Identifier: MIT */
/*
 * rm_format, log lines and reasons of refusals (emul/log.c).
 *
 * Checked: every conversion and its extremes, truncation at every length; which levels are written
 * where; that warnings stop after 32 and errors never; LIBREMAP_LOG's file, its mode, and what
 * happens if it can not be opened; that a line is one write; that a reason is its own thread's. Log
 * state is a process's, so each runs in a child. Needs nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "emul/log.h"
#include "emul/stats.h"
#include "libremap.h"

static void conversions(void **state)
{
	char buf[200], all[200];
	const char *volatile none = NULL;

	(void)state;
	assert_int_equal(rm_format(buf, sizeof(buf), "plain"), 5);
	assert_string_equal(buf, "plain");
	rm_format(buf, sizeof(buf), "%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
	snprintf(all, sizeof(all), "%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
	assert_string_equal(buf, all);
	rm_format(buf, sizeof(buf), "%u %x %u", UINT_MAX, UINT_MAX, 0U);
	assert_string_equal(buf, "4294967295 ffffffff 0");
	rm_format(buf, sizeof(buf), "%ld %ld", LONG_MIN, LONG_MAX);
	assert_string_equal(buf, "-9223372036854775808 9223372036854775807");
	rm_format(buf, sizeof(buf), "%lu %lx %lx", ULONG_MAX, ULONG_MAX, 0UL);
	assert_string_equal(buf, "18446744073709551615 ffffffffffffffff 0");
	rm_format(buf, sizeof(buf), "%s%s|%s|", "a", "b", "");
	assert_string_equal(buf, "ab||");
	rm_format(buf, sizeof(buf), "%s", none);
	assert_string_equal(buf, "");
	rm_format(buf, sizeof(buf), "100%% %d%%", 7);
	assert_string_equal(buf, "100% 7%");
	/* an int after a string after a long: the argument list stays in step */
	rm_format(buf, sizeof(buf), "%lx %s %d %u", 0xabcUL, "x", -5, 6U);
	assert_string_equal(buf, "abc x -5 6");
}

static void truncation_at_every_length(void **state)
{
	char whole[64], buf[64];
	size_t len = rm_format(
		whole, sizeof(whole), "start %s %d %lx end", "text", -12345, 0xfeedUL);

	(void)state;
	assert_string_equal(whole, "start text -12345 feed end");
	assert_int_equal(len, strlen(whole));
	for (size_t size = 0; size <= len + 1; size++) {
		size_t wanted = size ? size - 1 : 0;

		memset(buf, '#', sizeof(buf));
		assert_int_equal(
			rm_format(buf, size, "start %s %d %lx end", "text", -12345, 0xfeedUL),
			wanted);
		assert_memory_equal(buf, whole, wanted);
		if (size)
			assert_int_equal(buf[wanted], '\0');
		for (size_t i = size; i < sizeof(buf); i++)
			assert_int_equal(buf[i], '#');
	}
}

/* --- log lines --- */

static char path[64];
static char text[65536];

static long read_log(const char *from)
{
	int fd = open(from, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got;
}

static int count(const char *what)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static int levels(void *arg)
{
	static const bool wanted[4][5] = {/* by LIBREMAP_DEBUG, by level */
		{false, true, true, false, false}, {false, true, true, true, false},
		{false, true, true, true, true}, {false, true, true, true, true}};

	(void)arg;
	for (int debug = 0; debug < 4; debug++) {
		unlink(path);
		rm_log_setup(debug, path);
		for (int level = RM_LOG_ERROR; level <= RM_LOG_DEBUG; level++) {
			if (rm_log_on(level) != wanted[debug][level])
				return 1 + level;
			rm_log(level, "level<%d>", level);
		}
		read_log(path);
		for (int level = RM_LOG_ERROR; level <= RM_LOG_DEBUG; level++) {
			char line[32];

			snprintf(line, sizeof(line), "level<%d>\n", level);
			if (count(line) != wanted[debug][level])
				return 10 + level;
		}
	}
	rm_log_setup(-5, path); /* nonsense never hides what must be said */
	return rm_log_on(RM_LOG_ERROR) && rm_log_on(RM_LOG_WARN) && !rm_log_on(RM_LOG_INFO) ? 0
											    : 20;
}

static int capped(void *arg)
{
	struct stat st;
	char prefix[48];

	(void)arg;
	unlink(path);
	umask(0);
	rm_log_setup(1, path);
	for (int i = 0; i < 100; i++) {
		rm_log(RM_LOG_WARN, "warning %d.", i);
		rm_log(RM_LOG_ERROR, "error %d.", i);
		rm_log(RM_LOG_INFO, "info %d.", i);
	}
	read_log(path);
	if (count("warning ") != 32 || !strstr(text, "warning 31.") || strstr(text, "warning 32."))
		return 1;
	if (count("error ") != 100 || count("info ") != 100)
		return 2;
	snprintf(prefix, sizeof(prefix), "libremap[%d]: ", (int)syscall(SYS_gettid));
	if (count(prefix) != 232 || count("\n") != 232)
		return 3;
	if (stat(path, &st) || (st.st_mode & 0777) != 0600)
		return 4;
	return 0;
}

static int long_lines(void *arg)
{
	static char word[3000];
	long len;

	(void)arg;
	unlink(path);
	rm_log_setup(0, path);
	memset(word, 'w', sizeof(word) - 1);
	rm_log(RM_LOG_ERROR, "%s%s", word, word);
	len = read_log(path);
	if (len > 512 || len < 500 || text[len - 1] != '\n')
		return 1;
	return count("\n") == 1 ? 0 : 2;
}

/*
 * Standard error without a path; nothing at all, and nothing on standard error, if the path can not
 * be opened.
 */
static int to_stderr_or_nowhere(void *arg)
{
	int ends[2], fds;

	(void)arg;
	if (pipe2(ends, O_NONBLOCK) || dup2(ends[1], 2) != 2)
		return 1;
	rm_log_setup(0, NULL);
	rm_log(RM_LOG_ERROR, "to stderr %s", "now");
	if (read(ends[0], text, sizeof(text)) < 20 || !strstr(text, "to stderr now\n"))
		return 2;
	rm_log_setup(0, "/nonexistent/dir/file");
	fds = dup(0);
	close(fds);
	rm_log(RM_LOG_ERROR, "to nowhere");
	if (read(ends[0], text, sizeof(text)) != -1 || errno != EAGAIN)
		return 3;
	return dup(0) == fds ? 0 : 4; /* no descriptor is left open */
}

static void log_lines(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(levels, NULL));
	assert_child_ok(unit_in_child(capped, NULL));
	assert_child_ok(unit_in_child(long_lines, NULL));
	assert_child_ok(unit_in_child(to_stderr_or_nowhere, NULL));
	unlink(path);
}

/* --- reasons --- */

static pthread_barrier_t both;

static void *other_thread(void *arg)
{
	const char *result = "ok";

	(void)arg;
	if (strcmp(remap_strerror_last(), ""))
		result = "starts with a reason";
	pthread_barrier_wait(&both); /* the other one has its reason now */
	if (strcmp(remap_strerror_last(), ""))
		result = "sees the other's reason";
	if (rm_refuse("reason of the second") != -EINVAL)
		result = "rm_refuse does not return -EINVAL";
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both); /* the other one has cleared its own */
	if (strcmp(remap_strerror_last(), "reason of the second"))
		result = "has lost its own reason";
	return (void *)result;
}

static void reasons_are_each_threads_own(void **state)
{
	uint64_t refused = rm_stat_get(RM_STAT_REFUSED);
	pthread_t thread;
	void *result;

	(void)state;
	pthread_barrier_init(&both, NULL, 2);
	assert_string_equal(remap_strerror_last(), "");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
	rm_refuse("first");
	rm_refuse("reason of the first");
	pthread_barrier_wait(&both);
	pthread_barrier_wait(&both);
	assert_string_equal(remap_strerror_last(), "reason of the first");
	rm_refuse_clear();
	assert_string_equal(remap_strerror_last(), "");
	pthread_barrier_wait(&both);
	pthread_join(thread, &result);
	assert_string_equal(result, "ok");
	assert_int_equal(rm_stat_get(RM_STAT_REFUSED) - refused, 3);
}

/* Threads come and go; one that gets an old slot does not see what is in it. */
static void *newborn(void *arg)
{
	*(bool *)arg |= *remap_strerror_last() != '\0';
	rm_refuse("a newborn's");
	return NULL;
}

static void newborns_have_no_reason(void **state)
{
	bool seen = false;

	(void)state;
	for (int i = 0; i < 600; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, newborn, &seen), 0);
		pthread_join(thread, NULL);
	}
	assert_false(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversions),
		cmocka_unit_test(truncation_at_every_length),
		cmocka_unit_test(log_lines),
		cmocka_unit_test(reasons_are_each_threads_own),
		cmocka_unit_test(newborns_have_no_reason),
	};

	snprintf(path, sizeof(path), "/tmp/log-format-%d.log", getpid());
	return unit_run(tests);
}
