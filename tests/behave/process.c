/* SPDX-License-Identifier: MIT */
/*
 * MREMAP_DONTUNMAP wherever a program may be when it calls: in signal handlers, children, threads, and beside others
 * who use the range meanwhile. The stress test does the same for longer and in worse company.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/behave/behave.h"

static struct arena a;

static void make(void)
{
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	fill(a.source, a.len, 1);
}

static bool move_is_right(void)
{
	return mremap(a.source, a.len, a.len, ONTO, a.target) == a.target &&
	       filled(a.target, a.len, 1) && zeroed(a.source, a.len);
}

static volatile sig_atomic_t handler_ok, handler_errno;

static void on_signal(int sig)
{
	(void)sig;
	errno = 4242;
	handler_ok = move_is_right();
	handler_errno = errno;
}

static void in_handler(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags}, old;
	sigset_t before, after;

	make();
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
	make();
	handlers_page = mmap(NULL, PAGE, RW, ANON, -1, 0);
	check(handlers_page != MAP_FAILED);
	*(unsigned int *)handlers_page = 77;
	check(!sigaction(SIGUSR2, &action, &old));
	check(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	for (int i = 0; i < 300; i++) {
		/* once each time, sooner and later: it must not keep us from going on */
		spec.it_value.tv_nsec = 1000 + i * 2000;
		ok = !timer_settime(timer, 0, &spec, NULL) && move_is_right() && ok;
		fill(a.source, a.len, 1);
	}
	for (int i = 0; i < 1000 && handlers_moves < 20; i++)
		usleep(1000);
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
	make();
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
	make();
	in_child(child, NULL);
	check(filled(a.source, a.len, 1));
	check(move_is_right());
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
	make();
	pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (!pid)
		_exit(!move_is_right());
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
	make();
	in_child(grandchild, &a);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

/*
 * In a vfork child the memory is the parent's. Natively it moves; where it would have to be emulated EINVAL, with
 * nothing done, is the documented answer (remap_mremap: "After vfork()"). Never a crash, never a hang.
 */
static void vfork_child(void **state)
{
	void *volatile new = NULL;
	volatile int error = 0;
	int status = -1;
	pid_t pid;

	(void)state;
	make();
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
		check(move_is_right());
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

static void *thread_moves(void *arg)
{
	*(bool *)arg = move_is_right();
	return NULL;
}

static void other_thread(void **state)
{
	bool ok = false;
	pthread_t thread;

	(void)state;
	make();
	check(!pthread_create(&thread, NULL, thread_moves, &ok));
	check(!pthread_join(thread, NULL));
	check(ok);
	arena_end(&a);
}

/* Reads the range all the time: every page is what was written or zero, never a fault, never anything else. */
static atomic_bool stop;
static atomic_ulong reads;

static void *reader(void *arg)
{
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		for (size_t at = 0; at < a.len; at += 512) {
			uint64_t value = *(volatile uint64_t *)(a.source + at);

			wrong += value != 0 && value != 0x5a5a5a5a00000000u + at;
		}
		atomic_fetch_add(&reads, 1);
	}
	return (void *)wrong;
}

static void write_marks(void)
{
	for (size_t at = 0; at < a.len; at += 512)
		*(volatile uint64_t *)(a.source + at) = 0x5a5a5a5a00000000u + at;
}

static bool marked(const char *where)
{
	for (size_t at = 0; at < a.len; at += 512)
		if (*(const volatile uint64_t *)(where + at) != 0x5a5a5a5a00000000u + at)
			return false;
	return true;
}

static void moves_beside(void *(*function)(void *), int flags, int moves)
{
	pthread_t threads[2];
	bool ok = true;
	void *wrong;
	int i;

	arena_make(&a, 8);
	arena_map(&a, RW, flags, -1);
	write_marks();
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	for (i = 0; i < 2; i++)
		check(!pthread_create(&threads[i], NULL, function, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (i = 0; i < moves && ok; i++) {
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target && marked(a.target);
		if (i % 10 == 0) /* let them see zeros now and then */
			sched_yield();
		write_marks();
	}
	atomic_store(&stop, true);
	for (int t = 0; t < 2; t++) {
		check(!pthread_join(threads[t], &wrong));
		check_is(wrong, 0);
	}
	check_is(i, moves);
	check(ok);
	arena_end(&a);
}

static void sibling_reads(void **state)
{
	(void)state;
	moves_beside(reader, ANON, 1000);
}

static void sibling_reads_shared(void **state)
{
	(void)state;
	moves_beside(reader, MAP_SHARED | MAP_ANONYMOUS, 200);
}

/* The kernel reads the range for the sibling: no EFAULT, no short count. */
static void *writer_to_pipe(void *arg)
{
	static __thread char sink[65536];
	long wrong = 0;
	int fds[2];

	(void)arg;
	if (pipe(fds))
		return (void *)1;
	while (!atomic_load(&stop)) {
		wrong += write(fds[1], a.source, a.len) != (ssize_t)a.len;
		wrong += read(fds[0], sink, a.len) != (ssize_t)a.len;
		atomic_fetch_add(&reads, 1);
	}
	close(fds[0]);
	close(fds[1]);
	return (void *)wrong;
}

static void kernel_reads(void **state)
{
	(void)state;
	moves_beside(writer_to_pipe, ANON, 200);
}

/* Children forked while another thread moves find the old range mapped, whatever moment it was. */
static void *mover(void *arg)
{
	long wrong = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		wrong += mremap(a.source, a.len, a.len, ONTO, a.target) != a.target;
		write_marks();
		atomic_fetch_add(&reads, 1);
	}
	return (void *)wrong;
}

static void fork_beside(void **state)
{
	pthread_t thread;
	void *wrong;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	atomic_store(&stop, false);
	atomic_store(&reads, 0);
	check(!pthread_create(&thread, NULL, mover, NULL));
	while (!atomic_load(&reads))
		sched_yield();
	for (int i = 0; i < 40; i++) {
		pid_t pid = behave_fork();

		if (!pid) {
			for (size_t at = 0; at < a.len; at += 512) {
				uint64_t value = *(volatile uint64_t *)(a.source + at);

				if (value != 0 && value != 0x5a5a5a5a00000000u + at)
					_exit(2);
			}
			/* and the child can move itself */
			_exit(mremap(a.source, a.len, a.len, ONTO, a.target) != a.target);
		}
		behave_join(pid);
	}
	atomic_store(&stop, true);
	check(!pthread_join(thread, &wrong));
	check_is(wrong, 0);
	arena_end(&a);
}

/* Two threads move ranges of their own at once. */
struct own {
	char *source, *target;
	long wrong;
};

static void *own_mover(void *arg)
{
	const size_t len = 4 * PAGE;
	struct own *own = arg;

	for (unsigned int i = 0; i < 100; i++) {
		fill(own->source, len, i);
		if (mremap(own->source, len, len, ONTO, own->target) != own->target ||
			!filled(own->target, len, i) || !zeroed(own->source, len))
			own->wrong++;
	}
	return NULL;
}

static void two_movers(void **state)
{
	pthread_t threads[2];
	struct own own[2] = {{0}};

	(void)state;
	arena_make(&a, 16);
	arena_map(&a, RW, ANON, -1);
	for (int i = 0; i < 2; i++) {
		own[i].source = a.source + (size_t)i * 8 * PAGE;
		own[i].target = a.target + (size_t)i * 8 * PAGE;
		check(!pthread_create(&threads[i], NULL, own_mover, &own[i]));
	}
	for (int i = 0; i < 2; i++) {
		check(!pthread_join(threads[i], NULL));
		check_is(own[i].wrong, 0);
	}
	arena_end(&a);
}

/* Signals that come while the others stand still are delivered once, none is lost. */
static atomic_int signals_seen;

static void on_counted(int sig)
{
	(void)sig;
	signals_seen++;
}

static void *spinner(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		;
	return NULL;
}

static void signals_beside(void **state)
{
	struct sigaction action = {.sa_handler = on_counted, .sa_flags = SA_RESTART}, old;
	union sigval value = {0};
	pthread_t thread;
	bool ok = true;

	(void)state;
	make();
	atomic_store(&stop, false);
	signals_seen = 0;
	check(!sigaction(SIGRTMIN + 3, &action, &old));
	check(!pthread_create(&thread, NULL, spinner, NULL));
	for (int i = 0; i < 200; i++) {
		ok = !pthread_sigqueue(thread, SIGRTMIN + 3, value) && ok;
		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target && ok;
	}
	for (int i = 0; i < 2000 && signals_seen < 200; i++)
		usleep(1000);
	atomic_store(&stop, true);
	check(!pthread_join(thread, NULL));
	check(!sigaction(SIGRTMIN + 3, &old, NULL));
	check(ok);
	check_is(signals_seen, 200);
	arena_end(&a);
}

/* What Chromium's swap does: another process takes the pages from the destination. */
static void read_by_another(void **state)
{
	struct iovec here, there;
	int go[2];
	pid_t pid;

	(void)state;
	make();
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
		CASE(other_thread, "dontunmap-by-another-thread"),
		CASE(sibling_reads, "dontunmap-while-a-sibling-reads"),
		CASE(sibling_reads_shared, "dontunmap-of-shared-memory-while-a-sibling-reads"),
		CASE(kernel_reads, "dontunmap-while-the-kernel-reads-for-a-sibling"),
		CASE(fork_beside, "dontunmap-while-a-sibling-forks"),
		CASE(two_movers, "dontunmap-by-two-threads-at-once"),
		CASE(signals_beside, "dontunmap-loses-no-signal"),
		CASE(read_by_another, "dontunmap-then-another-process-reads"),
	};

	if (argc > 1 && !strcmp(argv[1], "--vfork"))
		return vfork_first();
	return BEHAVE_RUN(cases);
}
