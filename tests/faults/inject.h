/* SPDX-License-Identifier: MIT */
/*
 * System calls of the engine that fail from outside: the engine under test is the one in
 * production, no hook is set.
 *
 * A child process makes the calls under a seccomp filter that hands to its parent whatever leaves
 * from rm_syscall, and nothing else: the test's own calls, and libc's, are not seen. The parent
 * counts, and fails the one that control says. Threads that the library makes inherit the filter,
 * and are counted by themselves. munmap is let through: memory that can not be unmapped is left
 * over by any program. Needs seccomp user notification with CONTINUE (5.5).
 */
#ifndef RM_TESTS_INJECT_H
#define RM_TESTS_INJECT_H

#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INJECT_CALLS 512

/* Whose calls: the test's own, or those of the library's threads. */
enum inject_who { INJECT_CALLER, INJECT_BESIDE, INJECT_BOTH };

/* What the parent and the child share. */
struct inject_control {
	_Atomic bool active;
	/* how often the test has begun to be watched: each has its own time */
	_Atomic unsigned int rounds;
	enum inject_who fail_who;
	/*
	 * the first call from this number on, from 1, that has this system call's number; then
	 * which it was; 0: none
	 */
	int fail_at;
	int fail_nr, error;
	_Atomic int count[INJECT_BOTH];
	_Atomic bool failed;	     /* that call was made */
	_Atomic bool target_touched; /* a MREMAP_FIXED destination was replaced, or was to be */
	bool late_done;		     /* scratch of the test's errors */
	struct {
		int nr;
		long args[6];
	} calls[INJECT_BOTH][INJECT_CALLS];
};
extern struct inject_control *inject;

/* What can be made to fail, and how. NULL: not that. */
struct inject_failing {
	int nr;
	const char *name;
	int errors[3];
};
const struct inject_failing *inject_failing(int nr);

struct inject_test {
	/* in the child, before its calls are seen and then; both with arg */
	bool (*begin)(const void *arg);
	bool (*run)(const void *arg);
	/* in the parent: the errno that the scenario itself has for a call; 0: none */
	int (*error_of)(const void *arg, const struct seccomp_data *d);
	const void *arg;
	size_t target_len; /* from DESTINATION on */
	unsigned int seconds; /* for one round: a slow machine is none that hangs */
};

/* In the child: from now on its calls are seen, and one of them fails as inject says. */
void inject_begin(void);

/* Before everything else: false, with TAP's line, if it can not be done here. */
bool inject_available(void);
/* One TAP line. */
bool inject_run(unsigned int number, const char *name, const struct inject_test *test);

#endif
