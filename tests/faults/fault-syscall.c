/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes for a move fails once, from outside (inject.h). After
 * each failure all must be as scenario_check_failure says, or, where the engine found another way,
 * as scenario_check_success says. k, the number of the call that fails, runs over all of a call
 * that succeeds, with each errno that it can give.
 */
#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/features.h"
#include "tests/faults/inject.h"

#define EVERY_NTH_READ 6 /* smaps is read in many small pieces, which are all alike */

/* What a scenario begins with: no room for the twin, nobody to be stopped, or everybody. */
static int scenario_error(const void *arg, const struct seccomp_data *d)
{
	const struct scenario *s = arg;

	if ((s->flags & STOPPED) && d->nr == SYS_mincore)
		return EAGAIN;
	if ((s->flags & SECOND_VIEW) && d->nr == SYS_rt_tgsigqueueinfo)
		return EPERM;
	if (!(s->flags & LATE) || inject->late_done)
		return 0;
	if ((d->nr == SYS_mmap && !d->args[0] && !(d->args[3] & MAP_NORESERVE)) ||
		(d->nr == SYS_mremap && !d->args[1])) {
		inject->late_done = true;
		return ENOMEM;
	}
	return 0;
}

static long call(const struct scenario *s, int fail_at, int nr, int error)
{
	long r;

	inject->fail_at = fail_at;
	inject->fail_nr = nr;
	inject->failed = false;
	inject->error = error;
	inject->count[INJECT_CALLER] = 0;
	inject->target_touched = inject->late_done = false;
	inject_begin();
	r = scenario_call(s);
	inject->active = false;
	return r;
}

static bool fail_call(const struct scenario *s, int k, const struct inject_failing *f, int error,
	const long *args)
{
	bool ok, failed;
	long r;

	if (!scenario_set_up(s))
		return false;
	r = call(s, k, f->nr, error);
	failed = r < 0 && r > -4096;
	ok = failed ? scenario_check_failure(s, r, inject->target_touched)
		    : scenario_check_success(s, r);
	if (!ok)
		printf("#   returned %ld (%s) when call %d failed with %s: %s(%lx, %lx, %lx, %lx, "
		       "%lx)\n",
			r, failed ? strerror((int)-r) : "success", k, strerror(error), f->name,
			args[0], args[1], args[2], args[3], args[4]);
	return ok;
}

static bool every_call_fails(const void *arg)
{
	static struct inject_control first;
	const struct scenario *s = arg;
	int calls, reads = 0;
	bool ok = true;
	long r;

	if (!scenario_set_up(s))
		return false;
	r = call(s, 0, 0, 0);
	if (r < 0 && r > -4096) {
		printf("#   returned %ld (%s) although nothing failed\n", r, strerror((int)-r));
		return s->kind == KIND_SEVERAL && (s->flags & TARGET_ARMED);
	}
	if (!scenario_check_success(s, r))
		return false;
	memcpy(&first, inject, sizeof(first));
	calls = first.count[INJECT_CALLER] < INJECT_CALLS ? first.count[INJECT_CALLER]
							  : INJECT_CALLS;
	for (int k = 1; k <= calls; k++) {
		const struct inject_failing *f = inject_failing(
			first.calls[INJECT_CALLER][k - 1].nr);

		if (f->nr == SYS_read && reads++ % EVERY_NTH_READ)
			continue;
		for (const int *e = f->errors; *e; e++)
			ok &= fail_call(s, k, f, *e, first.calls[INJECT_CALLER][k - 1].args);
	}
	printf("#   %d system calls\n", calls);
	return ok;
}

static bool begin(const void *arg)
{
	return scenario_begin(arg);
}

int main(int argc, char **argv)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	unsigned int number = 0;
	bool ok = true;

	if (!inject_available())
		return 77;
	close(uffd);
	setenv("LIBREMAP_CONF", "native:no", 1);
	for (size_t i = 0; i < scenario_count; i++) {
		const struct scenario *s = &scenarios[i];
		const struct inject_test test = {
			begin, every_call_fails, scenario_error, s, (PAGES + 2) * PAGE, 60};

		if (argc > 1 && !strstr(s->name, argv[1]))
			continue;
		/* what is left of several mappings in the middle is the hook's test's */
		if (s->kind == KIND_SEVERAL)
			continue;
		if ((s->flags & (ARMED | TARGET_ARMED)) && uffd < 0)
			printf("ok %u - %s # SKIP no userfaultfd for this user\n", ++number,
				s->name);
		else if ((s->flags & RELOCATED) && !rm_features_uffd_move())
			printf("ok %u - %s # SKIP no UFFDIO_MOVE (6.8)\n", ++number, s->name);
		else
			ok &= inject_run(++number, s->name, &test);
	}
	printf("1..%u\n", number);
	return ok ? 0 : 1;
}
