/* SPDX-License-Identifier: MIT */
/*
 * pretend-rows.c - is every errno row of the table in force?
 *
 * Linked with the table itself. Run under remap-run --pretend KERNEL, makes for each row that the
 * filter should answer the very call that the row describes, all other arguments -1, in a child,
 * and compares the errno. Says nothing about whether the row is right: that is kernel-probe's part.
 *
 * Usage: remap-run --no-preload --pretend KERNEL -- pretend-rows KERNEL
 * One line for a row that is not in force; then the number of rows tried. Exit 0 or 1.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/pretend.h"

/* The call itself may be missing on that kernel: then that answer wins. */
static int expected(const struct rm_row *row, unsigned kernel)
{
	size_t i;

	for (i = 0; i < rm_pretend_nr_rows; i++)
		if (rm_pretend_rows[i].nr == row->nr && rm_pretend_rows[i].how == RM_HOW_ERRNO &&
			!rm_pretend_rows[i].test[0].mask &&
			rm_row_applies(&rm_pretend_rows[i], kernel))
			return rm_pretend_rows[i].err;
	return row->err;
}

/* In a child: what is not refused may do something. 0 stands for success. */
static int errno_of(const struct rm_row *row)
{
	long args[6] = {-1, -1, -1, -1, -1, -1};
	pid_t child = fork();
	int status;
	size_t i;

	if (child == 0) {
		alarm(5);
		for (i = 0; i < 2; i++)
			if (row->test[i].mask)
				args[row->test[i].arg] = (long)row->test[i].value;
		_exit(syscall(row->nr, args[0], args[1], args[2], args[3], args[4], args[5]) < 0
				? errno
				: 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		exit(2);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	unsigned tried = 0;
	unsigned wrong = 0;
	unsigned kernel;
	size_t i;
	int err;

	if (argc != 2 || rm_pretend_parse(argv[1], &kernel) < 0) {
		fputs("usage: pretend-rows KERNEL\n", stderr);
		return 2;
	}
	for (i = 0; i < rm_pretend_nr_rows; i++) {
		const struct rm_row *row = &rm_pretend_rows[i];

		if (row->how != RM_HOW_ERRNO || !rm_row_applies(row, kernel))
			continue;
		tried++;
		err = errno_of(row);
		if (err == expected(row, kernel))
			continue;
		printf("%s: %d instead of %d\n", row->what, err, expected(row, kernel));
		wrong++;
	}
	printf("%u rows\n", tried);
	return wrong != 0;
}
