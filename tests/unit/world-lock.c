/* SPDX-License-Identifier: MIT */
/*
 * The world (emul/world.c): its lock, the signal mask of whoever is inside, and what becomes of it
 * in children.
 *
 * Checked: entering and leaving keeps the mask, errno and a pending signal; no handler runs inside;
 * a second thread waits and gets in; many threads never overlap; a child made by fork or a raw
 * clone finds a free lock although a thread of its parent holds it, and no stop under way; vfork
 * and CLONE_VM children are refused, the first caller or not, and harm nobody; which ranges are the
 * engine's own; that a handler is noticed which an ignored signal was given meanwhile. Needs
 * nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "emul/ignored.h"
#include "emul/log.h"
#include "emul/obey.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

static uint64_t kernel_mask(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	return mask;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *idle(void *end)
{
	sem_wait(end);
	return NULL;
}

/* Alone, all is blocked; with other threads, what is ignored would be offered to them. */
static void mask_and_errno(bool alone)
{
	static const uint64_t masks[] = {0, 1ULL << (SIGUSR1 - 1), 1ULL << 32, 1ULL << 31,
		1ULL << (SIGCHLD - 1) | 1ULL << (SIGWINCH - 1),
		~0ULL & ~(1ULL << (SIGKILL - 1)) & ~(1ULL << (SIGSTOP - 1))};
	const uint64_t unblockable = 1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1);
	uint64_t old = kernel_mask(), inside, after, open;
	struct rm_entry entry;
	int r;

	/* inherited from who started the tests in the background */
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGURG, on_signal);
	signal(SIGHUP, SIG_IGN);
	for (size_t i = 0; i < RM_ARRAY_LEN(masks); i++) {
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &masks[i], NULL, 8);
		errno = 12345;
		r = rm_world_enter(&entry);
		inside = kernel_mask();
		if (!r)
			rm_world_leave(&entry);
		after = kernel_mask();
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
		assert_int_equal(r, 0);
		assert_int_equal(errno, 12345);
		/* all but what is ignored, by default or not, and not blocked by the program */
		open = ~(inside | unblockable);
		assert_true(
			open == (alone ? 0
				       : (1ULL << (SIGCHLD - 1) | 1ULL << (SIGCONT - 1) |
						 1ULL << (SIGWINCH - 1) | 1ULL << (SIGHUP - 1)) &
							~masks[i]));
		assert_true(after == masks[i]);
	}
	signal(SIGURG, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
}

static void mask_and_errno_are_restored(void **state)
{
	pthread_t thread;
	sem_t end;

	(void)state;
	while (!rm_quiesce_is_alone()) /* who was joined may still be on its way out */
		usleep(1000);
	mask_and_errno(true);
	sem_init(&end, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, idle, &end), 0);
	mask_and_errno(false);
	sem_post(&end);
	pthread_join(thread, NULL);
}

static _Atomic int handled;
static struct rm_world *world_inside;
static _Atomic bool handler_inside;

static void on_usr1(int sig)
{
	struct rm_entry entry;

	(void)sig;
	handled++;
	/* the program's handler may move memory itself: the lock is free for it */
	if (rm_world_enter(&entry) == 0) {
		handler_inside = atomic_load(&entry.world->lock) != 0;
		rm_world_leave(&entry);
	}
}

static void signals_wait_until_the_lock_is_free(void **state)
{
	struct sigaction sa = {.sa_handler = on_usr1}, old;
	struct rm_entry entry;
	int r, inside = -1;

	(void)state;
	sigaction(SIGUSR1, &sa, &old);
	handled = 0;
	r = rm_world_enter(&entry);
	if (!r) {
		raise(SIGUSR1);
		kill(getpid(), SIGUSR1);
		inside = handled;
		rm_world_leave(&entry);
	}
	sigaction(SIGUSR1, &old, NULL);
	assert_int_equal(r, 0);
	assert_int_equal(inside, 0);
	assert_true(handled >= 1);
	assert_true(handler_inside);
}

/* --- threads --- */

static _Atomic int holders, overlaps, entries;

static void *in_and_out(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3000; i++) {
		struct rm_entry entry;

		if (rm_world_enter(&entry))
			return (void *)1;
		if (atomic_fetch_add(&holders, 1))
			overlaps++;
		entries++;
		if (i % 50 == 0)
			sched_yield();
		atomic_fetch_sub(&holders, 1);
		rm_world_leave(&entry);
	}
	return NULL;
}

static void threads_take_turns(void **state)
{
	pthread_t threads[8];
	struct rm_entry entry;
	void *result;
	int r;

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, in_and_out, NULL), 0);
	for (size_t i = 0; i < RM_ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(overlaps, 0);
	assert_int_equal(entries, 8 * 3000);
	r = rm_world_enter(&entry);
	assert_int_equal(r, 0);
	rm_world_leave(&entry);
	assert_int_equal(atomic_load(&entry.world->lock), 0);
}

static sem_t is_held, let_go;
static _Atomic bool second_in;

static void *hold(void *arg)
{
	struct rm_entry entry;

	(void)arg;
	if (rm_world_enter(&entry))
		return (void *)1;
	entry.world->depth = 1; /* as if a stop were in force */
	atomic_store(&entry.world->generation, 7);
	world_inside = entry.world;
	sem_post(&is_held);
	sem_wait(&let_go);
	entry.world->depth = 0;
	rm_world_leave(&entry);
	return NULL;
}

static void *second(void *arg)
{
	struct rm_entry entry;

	(void)arg;
	if (rm_world_enter(&entry))
		return (void *)1;
	second_in = true;
	rm_world_leave(&entry);
	return NULL;
}

static void the_second_waits(void **state)
{
	pthread_t holder, waiter;
	void *result;
	bool early;

	(void)state;
	second_in = false;
	pthread_create(&holder, NULL, hold, NULL);
	sem_wait(&is_held);
	pthread_create(&waiter, NULL, second, NULL);
	usleep(50000);
	early = second_in;
	sem_post(&let_go);
	pthread_join(waiter, &result);
	assert_null(result);
	pthread_join(holder, &result);
	assert_null(result);
	assert_false(early);
	assert_true(second_in);
}

/* --- children --- */

static int child_enters(void *arg)
{
	struct rm_entry entry;
	int pid = getpid();

	(void)arg;
	if (rm_world_enter(&entry))
		return 1;
	if (entry.world != world_inside) /* the same address, wiped */
		return 2;
	if (entry.world->pid != pid || entry.world->depth || (entry.world->generation & 1))
		return 3;
	rm_world_leave(&entry);
	return kernel_mask() ? 4 : 0;
}

static int raw_fork(int (*run)(void *), void *arg)
{
	int status = -1;
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid) {
		alarm(UNIT_CHILD_SECONDS);
		syscall(SYS_exit_group, run(arg));
	}
	waitpid((int)pid, &status, 0);
	return status;
}

static void forked_children_find_a_free_lock(void **state)
{
	int status, raw;
	pthread_t holder;

	(void)state;
	pthread_create(&holder, NULL, hold, NULL);
	sem_wait(&is_held);
	status = unit_in_child(child_enters, NULL);
	raw = raw_fork(child_enters, NULL);
	sem_post(&let_go);
	pthread_join(holder, NULL);
	assert_child_ok(status);
	assert_child_ok(raw);
}

/*
 * A child that shares the memory: it must be told apart whether its parent has been in before or
 * not.
 */
static int cloned_enters(void *arg)
{
	struct rm_entry entry;
	int *result = arg;

	*result = rm_world_enter(&entry);
	if (!*result)
		rm_world_leave(&entry);
	syscall(SYS_exit, 0);
	return 0;
}

static int clone_and_enter(int flags)
{
	static char stack[65536] __attribute__((aligned(16)));
	volatile int result = 99;
	int pid, status;

	pid = clone(
		cloned_enters, stack + sizeof(stack), flags | SIGCHLD, (void *)(uintptr_t)&result);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 98;
	return result;
}

/* arg: whether the parent enters first. 0, or what is wrong. */
static int shared_memory_children(void *arg)
{
	const bool parent_first = *(bool *)arg;
	struct rm_entry entry;

	if (parent_first) {
		if (rm_world_enter(&entry))
			return 1;
		rm_world_leave(&entry);
	}
	if (clone_and_enter(CLONE_VM | CLONE_VFORK) != -EINVAL)
		return 2;
	if (clone_and_enter(CLONE_VM) != -EINVAL)
		return 3;
	if (kernel_mask())
		return 4;
	if (rm_world_enter(&entry)) /* and the parent is none the worse */
		return 5;
	rm_world_leave(&entry);
	return 0;
}

static void children_that_share_memory_are_refused(void **state)
{
	bool parent_first = true;

	(void)state;
	assert_child_ok(unit_in_child(shared_memory_children, &parent_first));
}

/*
 * In a forked child the world is wiped, so this is the case of a program that has not moved
 * anything yet.
 */
static void also_when_they_come_first(void **state)
{
	bool parent_first = false;

	(void)state;
	assert_child_ok(unit_in_child(shared_memory_children, &parent_first));
}

/* --- its own memory --- */

static void ranges_of_its_own(void **state)
{
	const size_t page = rm_page_size(), size = rm_page_round(sizeof(struct rm_world));
	struct rm_entry entry;
	uintptr_t world;
	char on_stack;
	void *other = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r = rm_world_enter(&entry);

	(void)state;
	if (!r)
		rm_world_leave(&entry);
	assert_int_equal(r, 0);
	world = (uintptr_t)entry.world;
	assert_true(rm_world_is_own((struct rm_range){world, page}));
	assert_true(rm_world_is_own((struct rm_range){world + size - page, page}));
	assert_true(rm_world_is_own((struct rm_range){world - page, 2 * page}));
	assert_false(rm_world_is_own((struct rm_range){world - page, page}));
	assert_false(rm_world_is_own((struct rm_range){world + size, page}));
	/*
	 * its own frame is at most a page below ours, whichever side of a page's bound they lie on
	 */
	assert_true(rm_world_is_own(
		(struct rm_range){((uintptr_t)&on_stack & ~(page - 1)) - page, 2 * page}));
	assert_true(rm_world_is_own(
		(struct rm_range){(uintptr_t)&rm_world_is_own & ~(page - 1), page}));
	assert_false(rm_world_is_own((struct rm_range){(uintptr_t)other, page}));
	munmap(other, page);
	assert_int_equal(rm_page_round(0), 0);
	assert_int_equal(rm_page_round(1), page);
	assert_int_equal(rm_page_round(page), page);
	assert_int_equal(rm_page_round(SIZE_MAX), 0);
}

static void handlers_given_meanwhile_are_noticed(void **state)
{
	/* ignored by default, or because we say so */
	static const int signals[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGHUP, SIGINT, SIGQUIT};
	const uint64_t before = kernel_mask();

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(signals); i++) {
		void (*was)(int) = signal(signals[i], SIG_IGN);

		assert_int_equal(rm_obey_prepare(rm_signals_to_block()), 0);
		assert_true(rm_obey_handlers_rest());
		signal(signals[i], on_signal);
		assert_false(rm_obey_handlers_rest());
		assert_int_equal(rm_obey_prepare(rm_signals_to_block()), 0); /* blocks it now */
		assert_true(rm_obey_handlers_rest());
		signal(signals[i], was);
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(also_when_they_come_first),
		cmocka_unit_test(mask_and_errno_are_restored),
		cmocka_unit_test(signals_wait_until_the_lock_is_free),
		cmocka_unit_test(threads_take_turns),
		cmocka_unit_test(the_second_waits),
		cmocka_unit_test(forked_children_find_a_free_lock),
		cmocka_unit_test(children_that_share_memory_are_refused),
		cmocka_unit_test(ranges_of_its_own),
		cmocka_unit_test(handlers_given_meanwhile_are_noticed),
	};

	sem_init(&is_held, 0, 0);
	sem_init(&let_go, 0, 0);
	return unit_run(tests);
}
