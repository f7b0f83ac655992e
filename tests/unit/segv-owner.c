/* SPDX-License-Identifier: MIT */
/*
 * Owning SIGSEGV without a preload (emul/segv.c): a program that knows nothing of it sets and asks
 * by libc's own sigaction, before, inside and after windows. Each case is a process of its own. And
 * what else mode "guard" does where it can not be had: limits, a raw fork inside a window, a stack
 * in the range. Needs /proc; no privilege.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "emul/quiesce.h"
#include "emul/segv.h"
#include "emul/stats.h"
#include "libremap.h"

#define PAGE  4096UL
#define LEN   (16 * PAGE)
#define FLAGS (MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP)

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #condition);                  \
			_exit(100);                                                                \
		}                                                                                  \
	} while (0)

static char *bad;
static volatile int calls_a, calls_b;

static void mend_a(int sig)
{
	(void)sig;
	calls_a++;
	mprotect(bad, PAGE, PROT_READ | PROT_WRITE);
}

static void mend_b(int sig)
{
	(void)sig;
	calls_b++;
	mprotect(bad, PAGE, PROT_READ | PROT_WRITE);
}

static void touch(void)
{
	mprotect(bad, PAGE, PROT_NONE);
	*(volatile char *)bad = 1;
}

static void window(void)
{
	expect(!rm_segv_open());
	expect(rm_segv_close());
}

static void set_up(void)
{
	bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(bad != MAP_FAILED && !rm_segv_prepare());
}

static struct sigaction now(void)
{
	struct sigaction a;

	expect(!sigaction(SIGSEGV, NULL, &a));
	return a;
}

/* Nothing is taken over before the first window. */
static int untouched_before_the_first_window(void *arg)
{
	(void)arg;
	set_up();
	expect(now().sa_handler == SIG_DFL);
	signal(SIGSEGV, mend_a);
	expect(now().sa_handler == mend_a);
	window();
	expect(now().sa_handler != mend_a);
	touch();
	expect(calls_a == 1);
	return 0;
}

/* A new handler between windows is found and kept, whatever was there. */
static int a_handler_set_later_is_kept(void *arg)
{
	(void)arg;
	set_up();
	for (int i = 1; i < 50; i++) {
		signal(SIGSEGV, i % 2 ? mend_a : mend_b);
		touch();
		window();
		touch();
		expect(calls_a == (i + 1) / 2 * 2 && calls_b == i / 2 * 2);
	}
	return 0;
}

/* What a program has found, which is ours, and puts back, means what it meant when it was found. */
static int what_was_found_can_be_put_back(void *arg)
{
	struct sigaction found_default, found_a;

	(void)arg;
	set_up();
	window();
	found_default = now();
	signal(SIGSEGV, mend_a);
	window();
	found_a = now();
	signal(SIGSEGV, mend_b);
	window();
	sigaction(SIGSEGV, &found_a, NULL);
	touch();
	expect(calls_a == 1 && !calls_b);
	sigaction(SIGSEGV, &found_default, NULL);
	window();
	touch();
	return 0;
}

/* Replaced inside a window: it is noticed, the new action stays, and there are no more windows. */
static int replaced_inside_a_window(void *arg)
{
	(void)arg;
	set_up();
	window();
	expect(!rm_segv_open());
	signal(SIGSEGV, mend_b);
	expect(!rm_segv_close());
	expect(now().sa_handler == mend_b);
	expect(rm_segv_open());
	touch();
	expect(calls_b == 1);
	return 0;
}

static int too_many_actions(void *arg)
{
	int windows = 0;

	(void)arg;
	set_up();
	for (int i = 1; i < 60; i++) {
		struct sigaction action = {.sa_handler = mend_a};

		for (int bit = 0; bit < 6; bit++)
			if (i >> bit & 1)
				sigaddset(&action.sa_mask, SIGHUP + bit);
		sigaction(SIGSEGV, &action, NULL);
		if (!rm_segv_open()) {
			expect(rm_segv_close());
			windows++;
		} else {
			expect(now().sa_handler == mend_a);
		}
		touch();
		expect(calls_a == i);
	}
	expect(windows == 32);
	return 0;
}

/*
 * fork by a raw call inside a window, which nothing can hold off: the child must not wait for its
 * end.
 */
static int a_raw_fork_inside_a_window(void *arg)
{
	int status = -1;
	long pid;

	(void)arg;
	set_up();
	signal(SIGSEGV, mend_a);
	expect(!rm_segv_open());
	pid = syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* it may hang with every signal blocked */
		touch();
		if (calls_a != 1 || rm_segv_open() || !rm_segv_close())
			_exit(1);
		touch();
		_exit(calls_a == 2 ? 0 : 2);
	}
	expect(waitpid((pid_t)pid, &status, 0) == pid && !status);
	expect(rm_segv_close());
	return 0;
}

/* --- the mode where it can not be had --- */

static _Atomic bool quit, ready;

static void *spin(void *arg)
{
	ready = true;
	while (!quit)
		(*(volatile char *)arg)++;
	return NULL;
}

static char *new_heap(void)
{
	char *heap = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(heap != MAP_FAILED);
	return heap;
}

/* No room for the decoy: threads are stopped, and the program has all that the limit leaves. */
static int a_limit_of_address_space(void *arg)
{
	struct rlimit limit = {900UL << 20, 900UL << 20};
	pthread_t thread;
	char *heap, *large;

	(void)arg;
	setenv("LIBREMAP_CONF", "native:no,quiesce:guard", 1);
	expect(!setrlimit(RLIMIT_AS, &limit));
	expect(!remap_prepare(NULL, 0, 0));
	large = mmap(NULL, 700UL << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(large != MAP_FAILED);
	heap = new_heap();
	expect(!pthread_create(&thread, NULL, spin, heap));
	while (!ready)
		sched_yield();
	for (int i = 0; i < 20; i++)
		expect(remap_mremap(heap, LEN, LEN, FLAGS, NULL) != MAP_FAILED);
	expect(rm_stat_get(RM_STAT_GUARD_STOPS) == 20 && !rm_stat_get(RM_STAT_GUARDED));
	quit = true;
	pthread_join(thread, NULL);
	return 0;
}

/* Stopping refuses to move what a running thread stands on (remap.7). */
static int a_stack_in_the_range(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	char *heap, counter = 0;

	(void)arg;
	setenv("LIBREMAP_CONF", "native:no", 1);
	heap = new_heap();
	pthread_attr_init(&attr);
	expect(!pthread_attr_setstack(&attr, heap, LEN));
	expect(!pthread_create(&thread, &attr, spin, &counter));
	while (!ready)
		sched_yield();
	expect(remap_mremap(heap, LEN, LEN, FLAGS, NULL) == MAP_FAILED && errno == EINVAL);
	expect(strstr(remap_strerror_last(), "stack"));
	quit = true;
	expect(!pthread_join(thread, NULL));
	expect(remap_mremap(heap, LEN, LEN, FLAGS, NULL) != MAP_FAILED);
	return 0;
}

#define CASE(run, signal)                                                                          \
	static void test_##run(void **state)                                                       \
	{                                                                                          \
		const int status = unit_in_child(run, NULL);                                       \
                                                                                                   \
		(void)state;                                                                       \
		assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signal);              \
		assert_int_equal(WEXITSTATUS(status), 0);                                          \
	}
CASE(untouched_before_the_first_window, 0)
CASE(a_handler_set_later_is_kept, 0)
CASE(what_was_found_can_be_put_back, SIGSEGV)
CASE(replaced_inside_a_window, 0)
CASE(too_many_actions, 0)
CASE(a_raw_fork_inside_a_window, 0)
CASE(a_limit_of_address_space, 0)
CASE(a_stack_in_the_range, 0)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untouched_before_the_first_window),
		cmocka_unit_test(test_a_handler_set_later_is_kept),
		cmocka_unit_test(test_what_was_found_can_be_put_back),
		cmocka_unit_test(test_replaced_inside_a_window),
		cmocka_unit_test(test_too_many_actions),
		cmocka_unit_test(test_a_raw_fork_inside_a_window),
		cmocka_unit_test(test_a_limit_of_address_space),
		cmocka_unit_test(test_a_stack_in_the_range),
	};

	return unit_run(tests);
}
