/* SPDX-License-Identifier: MIT */
/*
 * The reader of numbers in directories of /proc (emul/numbers.c): which names count, small buffers,
 * many entries, a second look, and errors. Over a directory in /tmp, and over /proc/self/task.
 * Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "emul/numbers.h"

static char dir[64];
static char buf[1024]; /* as small as numbers.h allows */

static void put(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void names_that_are_numbers(void **state)
{
	static const char *const names[] = {"0", "7", "0042", "1234567", "-1", "7a", "a7", "7 ",
		"x", ".7", "7.", "+7", "0x10", "self"};
	struct rm_numbers n;
	int number, r, count = 0;
	long sum = 0;

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(names); i++)
		put(names[i]);
	assert_int_equal(rm_numbers_open(&n, dir, buf, sizeof(buf)), 0);
	while ((r = rm_numbers_next(&n, &number)) > 0) {
		count++;
		sum += number;
	}
	assert_int_equal(r, 0);
	assert_int_equal(rm_numbers_next(&n, &number), 0);
	rm_numbers_close(&n);
	assert_int_equal(count, 4);
	assert_int_equal(sum, 0 + 7 + 42 + 1234567);
}

static void many_numbers_in_a_small_buffer(void **state)
{
	static bool seen[5000];
	struct rm_numbers n;
	int number, r;

	(void)state;
	for (int i = 2000; i < 5000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		put(name);
	}
	assert_int_equal(rm_numbers_open(&n, dir, buf, sizeof(buf)), 0);
	for (int look = 0; look < 3; look++) {
		int count = 0;

		memset(seen, 0, sizeof(seen));
		while ((r = rm_numbers_next(&n, &number)) > 0) {
			if (number < 2000 || number >= 5000)
				continue;
			assert_false(seen[number]);
			seen[number] = true;
			count++;
		}
		assert_int_equal(r, 0);
		assert_int_equal(count, 3000);
		assert_int_equal(rm_numbers_rewind(&n), 0);
	}
	/* rewound in the middle: from the beginning, and nothing of what was read before */
	for (int i = 0; i < 10; i++)
		assert_int_equal(rm_numbers_next(&n, &number), 1);
	assert_int_equal(rm_numbers_rewind(&n), 0);
	memset(seen, 0, sizeof(seen));
	while ((r = rm_numbers_next(&n, &number)) > 0) {
		assert_false(seen[number]);
		seen[number] = true;
	}
	assert_int_equal(r, 0);
	rm_numbers_close(&n);
	assert_int_equal(fcntl(n.dir, F_GETFD), -1);
}

static void threads_of_this_process(void **state)
{
	struct rm_numbers n;
	int number;

	(void)state;
	assert_int_equal(rm_numbers_open(&n, "/proc/self/task", buf, sizeof(buf)), 0);
	assert_true(fcntl(n.dir, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(rm_numbers_next(&n, &number), 1);
	assert_int_equal(number, syscall(SYS_gettid));
	assert_int_equal(rm_numbers_next(&n, &number), 0);
	rm_numbers_close(&n);
}

static void errors_come_through(void **state)
{
	struct rm_numbers n = {.dir = 77};
	int number = 55;

	(void)state;
	assert_int_equal(rm_numbers_open(&n, "/nonexistent", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(rm_numbers_open(&n, "/dev/null", buf, sizeof(buf)), -ENOTDIR);
	assert_int_equal(n.dir, 77);
	n = (struct rm_numbers){.dir = -1, .buf = buf, .size = sizeof(buf)};
	assert_int_equal(rm_numbers_next(&n, &number), -EBADF);
	assert_int_equal(number, 55);
	assert_int_equal(rm_numbers_rewind(&n), -EBADF);
}

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/numbers-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_that_are_numbers, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			many_numbers_in_a_small_buffer, make_dir, remove_dir),
		cmocka_unit_test(threads_of_this_process),
		cmocka_unit_test(errors_come_through),
	};

	return unit_run(tests);
}
