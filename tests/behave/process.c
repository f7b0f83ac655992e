/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP wherever a program may be when it calls: in signal handlers and in children of
 * every kind; and where another process takes the pages from. Beside other threads: beside.c.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/behave/behave.h"

static struct arena a;

static volatile sig_atomic_t handler_ok, handler_errno;

static void on_signal(int sig)
{
	(void)sig;
	errno = 4242;
	handler_ok = arena_moves(&a);
	handler_errno = errno;
}

static void in_handler(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags}, old;
	sigset_t before, after;

	arena_make_filled(&a, 8, RW, ANON);
	sigfillset(&action.sa_mask);
	check(!sigaction(SIGUSR1, &action, &old));
	sigprocmask(SIG_BLOCK, NULL, &before);
	handler_ok = 0;
	check(!raise(SIGUSR1));
	check(handler_ok);
	check_is(handler_errno, 4242);
	sigprocmask(SIG_BLOCK, NULL, &after);
	check(!memcmp(&before, &after, 8));
	check(!sigaction(SIGUSR1, &old, NULL));
	arena_end(&a);
}

static void handler(void **state)
{
	(void)state;
	in_handler(0);
}

static void handler_on_alternate_stack(void **state)
{
	static char room[65536];
	stack_t stack = {.ss_sp = room, .ss_size = sizeof(room)}, old;

	(void)state;
	check(!sigaltstack(&stack, &old));
	in_handler(SA_ONSTACK);
	check(!sigaltstack(&old, NULL));
}

/* A timer's handler moves while the program moves something else. */
static char *handlers_page;
static atomic_int handlers_moves, handlers_failures;

static void on_timer(int sig)
{
	char *new = mremap(handlers_page, PAGE, PAGE, ANYWHERE, NULL);
	int saved = errno;

	(void)sig;
	if (new == MAP_FAILED || *(unsigned int *)new != 77 || *(unsigned int *)handlers_page)
		handlers_failures++;
	else
		munmap(new, PAGE);
	*(unsigned int *)handlers_page = 77;
	handlers_moves++;
	errno = saved;
}

static void handler_while_moving(void **state)
{
	struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART}, old;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec spec = {{0, 0}, {0, 0}};
	timer_t timer;
	bool ok = true;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	handlers_page = mmap(NULL, PAGE, RW, ANON, -1, 0);
	check(handlers_page != MAP_FAILED);
	*(unsigned int *)handlers_page = 77;
	check(!sigaction(SIGUSR2, &action, &old));
	check(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	/* a timer that is set again before it has expired says nothing: as often as it takes */
	for (int i = 0; i < 300 || (i < 100000 && handlers_moves < 20); i++) {
		/* once each time, sooner and later: it must not keep us from going on */
		spec.it_value.tv_nsec = 1000 + i % 300 * 2000;
		ok = !timer_settime(timer, 0, &spec, NULL) && arena_moves(&a) && ok;
		fill(a.source, a.len, 1);
	}
	check(!timer_delete(timer));
	check(!sigaction(SIGUSR2, &old, NULL));
	check(ok);
	check(filled(a.source, a.len, 1));
	check_is(handlers_failures, 0);
	check(handlers_moves >= 20);
	check(!munmap(handlers_page, PAGE));
	arena_end(&a);
}

static void all_blocked(void **state)
{
	sigset_t all, old, now;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	sigfillset(&all);
	check(!sigprocmask(SIG_SETMASK, &all, &old));
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, a.len, 1));
	check(!sigprocmask(SIG_SETMASK, &old, &now));
	check(sigismember(&now, SIGTERM) && sigismember(&now, SIGUSR1));
	arena_end(&a);
}

static void child(void *arg)
{
	(void)arg;
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
}

static void forked_child(void **state)
{
	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	in_child(child, NULL);
	check(filled(a.source, a.len, 1));
	check(arena_moves(&a));
	/* and again, now that the parent has moved */
	fill(a.source, a.len, 1);
	in_child(child, NULL);
	arena_end(&a);
}

/* fork() by its bare name, which no library hears of. */
static void raw_forked_child(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (!pid)
		_exit(!arena_moves(&a));
	check(waitpid(pid, &status, 0) == pid);
	check_is(status, 0);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

static void grandchild(void *arg)
{
	if (arg)
		in_child(grandchild, NULL);
	child(NULL);
}

static void forked_grandchild(void **state)
{
	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	in_child(grandchild, &a);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

/*
 * In a vfork child the memory is the parent's. Natively it moves; where it would have to be
 * emulated EINVAL, with nothing done, is the documented answer (remap_mremap: "After vfork()").
 * Never a crash, never a hang.
 */
static void vfork_child(void **state)
{
	void *volatile new = NULL;
	volatile int error = 0;
	int status = -1;
	pid_t pid;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	pid = vfork();
	if (!pid) {
		new = mremap(a.source, a.len, a.len, ONTO, a.target);
		error = errno;
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && !status);
	if (new == MAP_FAILED) {
		check(strcmp(behave_config(), "native"));
		check_is(error, EINVAL);
		check(filled(a.source, a.len, 1));
		check(arena_moves(&a));
	} else {
		check(new == a.target);
		check(filled(a.target, a.len, 1) && zeroed(a.source, a.len));
	}
	arena_end(&a);
}

/* The same before this process has ever moved anything: nobody has set anything up. */
static void vfork_child_first(void *arg)
{
	char *const exec[] = {(char *)"/proc/self/exe", (char *)"--vfork", NULL};

	(void)arg;
	execv(exec[0], exec);
	check(!"execv");
}

static int vfork_first(void)
{
	void *volatile new = MAP_FAILED;
	char *volatile p = mmap(NULL, 65536, RW, ANON, -1, 0);
	volatile int error = 0;
	int status = -1;
	pid_t pid;

	*p = 'x';
	alarm(20);
	pid = vfork();
	if (!pid) {
		new = mremap(p, 65536, 65536, ANYWHERE, NULL);
		error = errno;
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	if (new == MAP_FAILED)
		return error != EINVAL || *p != 'x' || !strcmp(behave_config(), "native");
	/* the parent can go on */
	return *(char *)new != 'x' || *p != 0 ||
	       mremap(p, 65536, 65536, ANYWHERE, NULL) == MAP_FAILED;
}

static void vfork_before_all(void **state)
{
	(void)state;
	in_child(vfork_child_first, NULL);
}

/* What Chromium's swap does: another process takes the pages from the destination. */
static void read_by_another(void **state)
{
	struct iovec here, there;
	int go[2];
	pid_t pid;

	(void)state;
	arena_make_filled(&a, 8, RW, ANON);
	check(!pipe(go));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid = behave_fork();
	if (!pid) {
		char *copy = mmap(NULL, 2 * a.len, RW, ANON, -1, 0), c;
		ssize_t n;

		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		here = (struct iovec){copy, a.len};
		there = (struct iovec){a.target, a.len};
		n = process_vm_readv(getppid(), &here, 1, &there, 1, 0);
		if (n < 0 && (errno == EPERM || errno == ENOSYS))
			behave_skip("process_vm_readv is not permitted");
		check_is(n, a.len);
		check(filled(copy, a.len, 1));
		there.iov_base = a.source;
		check_is(process_vm_readv(getppid(), &here, 1, &there, 1, 0), a.len);
		check(zeroed(copy, a.len));
		_exit(0);
	}
	moved(a.source, a.len, ONTO, a.target);
	check_is(write(go[1], "", 1), 1);
	behave_join(pid);
	close(go[0]);
	close(go[1]);
	arena_end(&a);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(handler, "dontunmap-in-a-signal-handler"),
		CASE(handler_on_alternate_stack, "dontunmap-on-an-alternate-stack"),
		CASE(handler_while_moving, "dontunmap-in-a-handler-that-interrupts-one"),
		CASE(all_blocked, "dontunmap-with-all-signals-blocked"),
		CASE(forked_child, "dontunmap-in-a-forked-child"),
		CASE(raw_forked_child, "dontunmap-in-a-child-of-raw-clone"),
		CASE(forked_grandchild, "dontunmap-in-a-grandchild"),
		CASE(vfork_child, "dontunmap-in-a-vfork-child"),
		CASE(vfork_before_all, "dontunmap-in-a-vfork-child-before-any-other"),
		CASE(read_by_another, "dontunmap-then-another-process-reads"),
	};

	if (argc > 1 && !strcmp(argv[1], "--vfork"))
		return vfork_first();
	return BEHAVE_RUN(cases);
}
