/* SPDX-License-Identifier: MIT */
/*
 * Every step of every plan fails once with every errno that it can give, by rm_exec_test_hook;
 * after each the process must be observably what it was before the call (faults.h says what is
 * looked at).
 *
 * One child process a scenario, with a thread that touches the source all the time. In it: the
 * plan's steps are learned from a run that succeeds; then two runs for each step and errno. In the
 * first the engine may try another way and succeed, and then all must be right as well (for want of
 * memory before the window it has to); in the second every other way fails, too. ESTALE makes it
 * look again. What happens if a step can not be undone either is tested last: it is counted,
 * logged, and nobody is left standing. Needs /proc; the armed scenarios a userfaultfd with events
 * (root or the sysctl).
 */
#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/exec.h"
#include "emul/features.h"
#include "emul/log.h"
#include "libremap.h"

#define MAX_RUNS 8
#define NO_STEP	 (-1)
#define AT_STOP	 (-2) /* the world does not stop */

static struct {
	/*
	 * what is to fail: the step of each run with its errno; fail_undo: a step's undoing in any
	 * run
	 */
	int step[MAX_RUNS], error[MAX_RUNS];
	int fail_undo;
	bool always; /* run 0's failure in every run */
	/* what has been seen */
	int run;
	int steps[MAX_RUNS]; /* how many began */
	struct rm_step ops[MAX_RUNS][RM_PLAN_STEPS];
	bool failed, undone;
} h;

static int hook(unsigned int step, const struct rm_step *what, bool undo)
{
	int run;

	if (!undo && step == 0)
		h.run++;
	run = h.run < MAX_RUNS ? h.run : MAX_RUNS - 1;
	if (undo) {
		h.undone |= (int)step == h.fail_undo;
		return (int)step == h.fail_undo ? -ENOMEM : 0;
	}
	h.ops[run][step] = *what;
	h.steps[run] = (int)step + 1;
	if (h.always)
		run = 0;
	if (h.step[run] == AT_STOP ? what->op != RM_OP_STOP : h.step[run] != (int)step)
		return 0;
	h.failed = true;
	return -h.error[run];
}

static void hook_reset(void)
{
	memset(&h, 0, sizeof(h));
	h.run = -1;
	for (int i = 0; i < MAX_RUNS; i++)
		h.step[i] = NO_STEP;
	h.fail_undo = NO_STEP;
}

static void fail_in(int run, int step, int error)
{
	h.step[run] = step;
	h.error[run] = error;
}

static const int *errors_of(enum rm_op op)
{
	static const int errors[][8] = {
		[RM_OP_NATIVE] = {0},
		[RM_OP_RESERVE] = {ENOMEM, EPERM},
		[RM_OP_MAP] = {ENOMEM, EAGAIN, EPERM, EACCES, EINVAL},
		[RM_OP_UNLOCK] = {ENOMEM, EINVAL},
		[RM_OP_LOCK] = {ENOMEM, EAGAIN, EPERM},
		[RM_OP_PROTECT] = {ENOMEM, EACCES, EINVAL},
		[RM_OP_ADVISE] = {ENOMEM, EAGAIN, EINVAL, EBADF},
		[RM_OP_BIND] = {ENOMEM, EFAULT, EINVAL, EIO, EPERM, ENOSYS},
		[RM_OP_NAME] = {ENOMEM, EINVAL, EBADF},
		[RM_OP_APART] = {ENOMEM, EINVAL},
		[RM_OP_TOUCH] = {ENOMEM, EFAULT},
		[RM_OP_STOP] = {EINVAL},
		[RM_OP_VERIFY] = {EIO, EMFILE, ENOENT, ENOMEM},
		[RM_OP_DISARM] = {ENOMEM, EINVAL, EBADF, ENOSYS},
		[RM_OP_MOVE] = {ENOMEM, EAGAIN, EFAULT, EINVAL, EPERM},
		[RM_OP_MOVE_TOLD] = {ENOMEM, EAGAIN, EFAULT, EPERM},
		[RM_OP_GROW] = {ENOMEM, EAGAIN, EFAULT, EINVAL},
		[RM_OP_HEAL] = {ENOMEM, EFAULT},
		[RM_OP_JOIN] = {ENOMEM},
		[RM_OP_REJOIN] = {ENOMEM},
		[RM_OP_PART] = {ENOMEM},
		[RM_OP_ARM] = {ENOMEM, EBUSY, EINVAL, EBADF, EPERM},
		[RM_OP_RESUME] = {0}, /* can not fail, nor can waiting */
		[RM_OP_AWAIT] = {0},
		[RM_OP_DUPLICATE] = {ENOMEM, EAGAIN, EFAULT, EINVAL},
		[RM_OP_EMPTY] = {EINVAL, EIO, ENOMEM},
		[RM_OP_PRESENT] = {EAGAIN},
		[RM_OP_BRING] = {EFAULT},
		[RM_OP_OPEN] = {EPERM, ENOSYS, EMFILE, EINVAL},
		[RM_OP_TRANSFER] = {EBUSY, EFAULT, EAGAIN, ENOMEM, EINVAL, EEXIST},
		[RM_OP_NONE] = {EBUSY},
	};

	return errors[op];
}

/*
 * Whether a MREMAP_FIXED destination may be gone when step fails in run: something was done to it
 * before.
 */
static bool target_touched(int run, int step)
{
	for (int r = 0; r <= run; r++)
		for (int i = 0; i < (r == run ? step : h.steps[r] - 1); i++) {
			const struct rm_step *s = &h.ops[r][i];

			if ((s->op == RM_OP_RESERVE && s->place == RM_TARGET) ||
				s->other == RM_TARGET)
				return true;
		}
	return false;
}

static const char *describe(int run, int step)
{
	static char text[160];
	struct rm_plan plan = {.nsteps = 1};

	plan.steps[0] = h.ops[run][step];
	rm_plan_describe(&plan, 0, text, sizeof(text));
	return text;
}

static uint64_t undo_failures(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};

	remap_stats(&stats);
	return stats.undo_failures;
}

static bool was_told(void)
{
	for (int r = 0; r <= h.run && r < MAX_RUNS; r++)
		for (int i = 0; i < h.steps[r]; i++)
			if (h.ops[r][i].op == RM_OP_MOVE_TOLD)
				return true;
	return false;
}

enum outcome { MUST_SUCCEED, MUST_FAIL, EITHER };

/* One set-up and call with the failures that were asked for; true if it ends as expected. */
static bool attempt(const struct scenario *s, int run, int step, int error, enum outcome wanted)
{
	const uint64_t undo = undo_failures();
	bool ok, failed;
	long r;

	if (!scenario_set_up(s))
		return false;
	r = scenario_call(s);
	if (step != NO_STEP && !h.failed) {
		printf("#   step %d of run %d was not reached\n", step + 1, run + 1);
		return false;
	}
	failed = r < 0 && r > -4096;
	ok = failed ? scenario_check_failure(s, r, target_touched(run, step))
		    : scenario_check_success(s, r);
	if (wanted != EITHER && failed != (wanted == MUST_FAIL))
		ok = false;
	/* that a monitor was told can not be undone, and is said so */
	if (undo_failures() != undo && !was_told()) {
		printf("#   an undo failed\n");
		ok = false;
	}
	if (!ok)
		printf("#   returned %ld (%s) when step %d of run %d failed with %s: %s\n", r,
			failed ? strerror((int)-r) : "success", step + 1, run + 1, strerror(error),
			step == NO_STEP ? "none" : describe(run, step));
	return ok;
}

/*
 * Runs of the engine before the one that is tested, made to fail so that it comes to it. The tested
 * one's number.
 */
static int prepare_run(const struct scenario *s)
{
	int run = 0;

	hook_reset();
	if (s->flags & STOPPED)
		fail_in(run++, 0, EAGAIN);
	if (s->flags & LATE)
		fail_in(run++, 0, ENOMEM);
	if (s->flags & SECOND_VIEW)
		fail_in(run++, AT_STOP, EINVAL);
	return run;
}

/* Whatever the engine tries after it fails at once, and for good. */
static void fail_later(int run)
{
	for (int r = run + 1; r < MAX_RUNS; r++)
		fail_in(r, 0, EPERM);
}

static bool fail_step(const struct scenario *s, int run, int step, const struct rm_step *what)
{
	const bool makes_twin = what->place == RM_TWIN || what->other == RM_TWIN;
	bool ok = true;

	for (const int *e = errors_of(what->op); *e; e++) {
		/* want of memory before the window: another way is tried, and works */
		const bool again = *e == ENOMEM && makes_twin && !run && s->kind != KIND_FILE &&
				   !(s->flags & (TOLD | RELOCATED)) &&
				   (what->op == RM_OP_MAP || what->op == RM_OP_DUPLICATE);

		prepare_run(s);
		fail_in(run, step, *e);
		ok &= attempt(s, run, step, *e, again ? MUST_SUCCEED : EITHER);
		prepare_run(s);
		fail_in(run, step, *e);
		fail_later(run);
		ok &= attempt(s, run, step, *e, MUST_FAIL);
	}
	if (what->op != RM_OP_VERIFY)
		return ok;
	/* out of date once: looked at again; always: given up */
	prepare_run(s);
	fail_in(run, step, ESTALE);
	ok &= attempt(s, run, step, ESTALE, MUST_SUCCEED);
	if (!run) {
		prepare_run(s);
		fail_in(0, step, ESTALE);
		h.always = true;
		ok &= attempt(s, run, step, ESTALE, MUST_FAIL);
		if (!strstr(remap_strerror_last(), "keeps changing")) {
			printf("#   reason: %s\n", remap_strerror_last());
			ok = false;
		}
	}
	return ok;
}

static bool every_step_fails(const void *arg)
{
	const struct scenario *s = arg;
	struct rm_step ops[RM_PLAN_STEPS];
	int run, steps;
	bool ok = true;

	rm_exec_test_hook = hook;
	hook_reset();
	if (!scenario_begin(s))
		return false;
	if (s->flags & TOLD)
		rm_log_setup(
			0, "/dev/null"); /* it says every time that telling can not be undone */
	run = prepare_run(s);
	if (!attempt(s, run, NO_STEP, 0, MUST_SUCCEED))
		return false;
	steps = h.steps[run];
	if (!steps) {
		printf("#   there was no run %d\n", run + 1);
		return false;
	}
	memcpy(ops, h.ops[run], sizeof(ops));
	for (int i = 0; i < steps; i++)
		ok &= fail_step(s, run, i, &ops[i]);
	return ok;
}

/*
 * Several mappings: the pieces are plans of their own, so a failure leaves the earlier ones moved,
 * as 6.17 does. What must hold is that the piece that failed and those after it are untouched, and
 * that everybody runs.
 */
static bool several_pieces(const void *arg)
{
	const struct scenario *s = arg;
	int runs, steps[MAX_RUNS];
	struct rm_step ops[MAX_RUNS][RM_PLAN_STEPS];
	static const int first_of[] = {0, 3, 5, 6}; /* page where the piece begins */

	rm_exec_test_hook = hook;
	hook_reset();
	if (!scenario_begin(s))
		return false;
	/*
	 * Over a destination whose monitor must be told of its end, it may be refused; it must not
	 * hang.
	 */
	if (!attempt(s, 0, NO_STEP, 0, s->flags & TARGET_ARMED ? EITHER : MUST_SUCCEED))
		return false;
	if (h.run < 1)
		return s->flags & TARGET_ARMED;
	runs = h.run + 1;
	memcpy(steps, h.steps, sizeof(steps));
	memcpy(ops, h.ops, sizeof(ops));
	if (runs != (int)(sizeof(first_of) / sizeof(first_of[0]))) {
		printf("#   %d plans for 4 mappings\n", runs);
		return false;
	}
	for (int run = 0; run < runs; run++)
		for (int i = 0; i < steps[run]; i++)
			for (const int *e = errors_of(ops[run][i].op); *e; e++) {
				const char *source = (char *)SOURCE + PAGE;
				long r;

				hook_reset();
				fail_in(run, i, *e);
				fail_later(run);
				if (!scenario_set_up(s))
					return false;
				r = scenario_call(s);
				if (r >= 0 || r < -4095 || !scenario_check_process(s))
					return false;
				for (int page = 0; page < PAGES; page++) {
					bool moved = page < first_of[run] && page != 3 && page != 4;
					char wanted = moved || page == 5 ? '\0'
									 : (char)('A' + page);

					if (page != 2 && source[(size_t)page * PAGE] != wanted) {
						printf("#   piece %d, step %d: page %d is %02x\n",
							run, i, page, source[(size_t)page * PAGE]);
						return false;
					}
				}
			}
	return true;
}

/* A step fails, and then one of those before it can not be taken back. */
static bool undoing_fails(const void *arg)
{
	static const char log_path[] = "/tmp/fault-hook.log";
	const struct scenario *s = arg;
	char path[64], text[4096];
	int run, steps, last;
	bool ok = true;

	rm_exec_test_hook = hook;
	hook_reset();
	if (!scenario_begin(s))
		return false;
	run = prepare_run(s);
	if (!attempt(s, run, NO_STEP, 0, MUST_SUCCEED))
		return false;
	steps = h.steps[run];
	for (last = steps - 1;
		h.ops[run][last].op == RM_OP_RESUME || h.ops[run][last].op == RM_OP_AWAIT; last--)
		;
	snprintf(path, sizeof(path), "%s.%d", log_path, getpid());
	rm_log_setup(0, path);
	for (int undo = 0; undo < last; undo++) {
		const uint64_t before = undo_failures();
		ssize_t got = 0;
		long r;
		int fd;

		if (h.ops[run][undo].op == RM_OP_STOP)
			continue; /* its undoing is letting the threads run, which can not fail */
		unlink(path);
		prepare_run(s);
		fail_in(run, last, EINVAL);
		fail_later(run);
		h.fail_undo = undo;
		if (!scenario_set_up(s))
			return false;
		scenario_keep_away();
		r = scenario_call(s);
		/* one that is lost may keep others from being undone */
		if (r >= 0 || r < -4095 || !h.undone || undo_failures() <= before ||
			!scenario_check_process(s)) {
			printf("#   undo of step %d: returned %ld, %lu counted\n", undo + 1, r,
				(unsigned long)(undo_failures() - before));
			ok = false;
		}
		fd = open(path, O_RDONLY);
		got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
		close(fd);
		text[got > 0 ? got : 0] = '\0';
		if (!strstr(text, " steps of plan ") || !strstr(text, "could not be undone")) {
			printf("#   undo of step %d is not in the log: %s\n", undo + 1, text);
			ok = false;
		}
		/* what a lost undoing has left behind must not disturb the next round */
		rm_exec_test_hook = NULL;
		if (s->target == TO_ANYWHERE || s->target == TO_HINT)
			(void)scenario_set_up(s);
		rm_exec_test_hook = hook;
	}
	unlink(path);
	return ok;
}

static bool have_uffd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int main(int argc, char **argv)
{
	const bool armed_too = have_uffd();
	unsigned int number = 0;
	bool ok = true;

	setenv("LIBREMAP_CONF", "native:no", 1);
	for (size_t i = 0; i < scenario_count; i++) {
		const struct scenario *s = &scenarios[i];
		char name[160];

		if (argc > 1 && !strstr(s->name, argv[1]))
			continue;
		if ((s->flags & (ARMED | TARGET_ARMED)) && !armed_too) {
			printf("ok %u - %s # SKIP no userfaultfd for this user\n", ++number,
				s->name);
			continue;
		}
		if ((s->flags & RELOCATED) && !rm_features_uffd_move()) {
			printf("ok %u - %s # SKIP no UFFDIO_MOVE (6.8)\n", ++number, s->name);
			continue;
		}
		snprintf(name, sizeof(name), "%s: every step fails", s->name);
		ok &= run_in_child(++number, name,
			s->kind == KIND_SEVERAL ? several_pieces : every_step_fails, s, 20);
		if (s->kind == KIND_SEVERAL)
			continue;
		snprintf(name, sizeof(name), "%s: undoing fails", s->name);
		ok &= run_in_child(++number, name, undoing_fails, s, 20);
	}
	printf("1..%u\n", number);
	return ok ? 0 : 1;
}
