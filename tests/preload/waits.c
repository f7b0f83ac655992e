/* SPDX-License-Identifier: MIT */
/*
 * Waits of limited length beside moves: they end when they would have ended had nobody been
 * stopped, with what they would have said. One thread waits, the other one moves a page again and
 * again until the wait is over: one that begins anew with all of its time at every stop is never
 * over. Run by waits.t, natively and emulated.
 *
 * TAP on standard output. A wait that does not end makes the alarm end the program.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libremap.h"

#define PAGE	4096UL
#define WAIT_MS 500
#define HANGS	20 /* seconds */

static int tests, epoll, pipe_fds[2], semaphores;
static const struct timespec wait_time = {0, WAIT_MS * 1000000L};

static void ok(bool good, const char *config, const char *what)
{
	printf("%sok %d - %s%s\n", good ? "" : "not ", ++tests, config, what);
	fflush(stdout);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void on_alarm(int sig)
{
	static const char text[] = "Bail out! a wait does not end\n";

	(void)sig;
	(void)!write(1, text, sizeof(text) - 1);
	_exit(1);
}

/* --- the waits: what they return, or -errno --- */

static int result(int r)
{
	return r < 0 ? -errno : r;
}

static int w_epoll_wait(void)
{
	struct epoll_event e;

	return result(epoll_wait(epoll, &e, 1, WAIT_MS));
}

static int w_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t none;

	sigemptyset(&none);
	return result(epoll_pwait(epoll, &e, 1, WAIT_MS, &none));
}

static int w_epoll_pwait2(void)
{
	struct epoll_event e;

	return result(epoll_pwait2(epoll, &e, 1, &wait_time, NULL));
}

static int w_semtimedop(void)
{
	struct sembuf down = {0, -1, 0};

	return result(semtimedop(semaphores, &down, 1, &wait_time));
}

static int w_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return result(sigtimedwait(&set, NULL, &wait_time));
}

static const struct {
	const char *name;
	int (*wait)(void);
	int late; /* what it says when the time is over */
} waits[] = {
	{"epoll_wait", w_epoll_wait, 0},
	{"epoll_pwait", w_epoll_pwait, 0},
	{"epoll_pwait2", w_epoll_pwait2, 0},
	{"semtimedop", w_semtimedop, -EAGAIN},
	{"sigtimedwait", w_sigtimedwait, -EAGAIN},
};

#define WAITS (sizeof(waits) / sizeof(waits[0]))

struct waiter {
	size_t wait;
	bool deaf; /* it blocks every signal */
	int said;
	uint64_t took;
	_Atomic pid_t tid;
	atomic_bool over;
};

static void *run_waiter(void *arg)
{
	struct waiter *w = arg;
	uint64_t began;
	sigset_t all;

	sigfillset(&all);
	if (w->deaf)
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	began = now_ns();
	atomic_store(&w->tid, (pid_t)syscall(SYS_gettid));
	w->said = waits[w->wait].wait();
	w->took = now_ns() - began;
	atomic_store(&w->over, true);
	return NULL;
}

/* Moves until the wait is over. How many there were, or -1 if one failed. */
static int move_beside(struct waiter *w, void (*meanwhile)(struct waiter *))
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *area = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct timespec pause = {0, 3000000};
	pthread_t thread;
	int moves = 0;

	if (area == MAP_FAILED || mprotect(area, PAGE, PROT_READ | PROT_WRITE) ||
		pthread_create(&thread, NULL, run_waiter, w))
		return -1;
	while (!atomic_load(&w->tid))
		nanosleep(&pause, NULL);
	for (; !atomic_load(&w->over); moves++) {
		*area = 'x';
		if (mremap(area, PAGE, PAGE, flags, area + 2 * PAGE) != area + 2 * PAGE ||
			area[2 * PAGE] != 'x' || *area)
			return -1;
		if (meanwhile && moves == 2)
			meanwhile(w);
		nanosleep(&pause, NULL);
	}
	pthread_join(thread, NULL);
	munmap(area, 4 * PAGE);
	return moves;
}

static bool is_missing(size_t wait, int said)
{
	return said == -ENOSYS && !strcmp(waits[wait].name, "epoll_pwait2");
}

static void to_the_end(bool deaf)
{
	for (size_t i = 0; i < WAITS; i++) {
		struct waiter w = {.wait = i, .deaf = deaf};
		char what[80];
		int moves;

		snprintf(what, sizeof(what), "%s%s", waits[i].name,
			deaf ? ", every signal blocked" : "");
		/*
		 * what a thread that blocks every signal is told by epoll_pwait with a mask of its
		 * own is not of interest
		 */
		if (deaf && waits[i].wait == w_epoll_pwait)
			continue;
		moves = move_beside(&w, NULL);
		if (is_missing(i, w.said)) {
			printf("ok %d - %s # SKIP this kernel has it not\n", ++tests, what);
			continue;
		}
		if (moves < 2 || w.said != waits[i].late || w.took < WAIT_MS * 1000000ULL)
			printf("# it said %d after %lu us and %d moves\n", w.said,
				(unsigned long)w.took / 1000, moves);
		ok(moves >= 2 && w.said == waits[i].late && w.took >= WAIT_MS * 1000000ULL,
			"to its end: ", what);
	}
}

static void write_to_pipe(struct waiter *w)
{
	(void)w;
	(void)!write(pipe_fds[1], "x", 1);
}

static void something_comes(void)
{
	struct waiter w = {.wait = 0};
	char byte;
	int moves = move_beside(&w, write_to_pipe);

	ok(moves > 2 && w.said == 1 && read(pipe_fds[0], &byte, 1) == 1,
		"epoll_wait: ", "what comes between two stops ends it");
}

static atomic_int handled, inner;

static void on_usr1(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static void on_usr1_waiting(int sig)
{
	struct epoll_event e;

	(void)sig;
	atomic_fetch_add(&handled, 1);
	inner = epoll_wait(epoll, &e, 1, 60);
}

/*
 * When the thread sleeps in its wait. A handler that runs just before a wait goes on does not end
 * it (remap(7), LIMITS), as one that runs just before a wait begins.
 */
static void send_usr1(struct waiter *w)
{
	const pid_t tid = atomic_load(&w->tid);
	char path[64];
	long nr = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	while (nr != SYS_epoll_wait && nr != SYS_epoll_pwait && nr != 441 && nr != SYS_semtimedop &&
		nr != SYS_rt_sigtimedwait && !atomic_load(&w->over)) {
		FILE *file = fopen(path, "re");

		if (!file || fscanf(file, "%ld", &nr) != 1)
			nr = -1; /* "running" */
		if (file)
			fclose(file);
	}
	syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
}

/* A handler of the program's ends the wait, as ever. */
static void a_signal_of_the_program(void)
{
	for (size_t i = 0; i < WAITS; i++) {
		struct sigaction act = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
		struct waiter w = {.wait = i};

		sigaction(SIGUSR1, &act, NULL);
		atomic_store(&handled, 0);
		move_beside(&w, send_usr1);
		if (is_missing(i, w.said)) {
			printf("ok %d - %s # SKIP this kernel has it not\n", ++tests,
				waits[i].name);
			continue;
		}
		if (w.said != -EINTR || handled != 1)
			printf("# it said %d, handled %d\n", w.said, handled);
		ok(w.said == -EINTR && handled == 1, "ended by a handler: ", waits[i].name);
	}
}

/* One that waits itself, also beside moves. */
static void a_handler_that_waits(void)
{
	struct sigaction act = {.sa_handler = on_usr1_waiting};
	struct waiter w = {.wait = 0};

	sigaction(SIGUSR1, &act, NULL);
	inner = -1;
	move_beside(&w, send_usr1);
	ok(w.said == -EINTR && inner == 0,
		"epoll_wait: ", "a handler that waits is not cut short, what it interrupts is");
}

static void arguments(void)
{
	struct sembuf down = {0, -1, 0};
	const struct timespec bad = {0, 1000000000}, negative = {-1, 0};
	const struct timespec *nowhere = (const struct timespec *)8;
	struct epoll_event e;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ok(result(semtimedop(semaphores, &down, 1, nowhere)) == -EFAULT &&
			result(sigtimedwait(&set, NULL, nowhere)) == -EFAULT,
		"", "a timeout out of reach is EFAULT");
	ok(result(semtimedop(semaphores, &down, 1, &bad)) == -EINVAL &&
			result(semtimedop(semaphores, &down, 1, &negative)) == -EINVAL &&
			result(sigtimedwait(&set, NULL, &bad)) == -EINVAL,
		"", "what is no time is EINVAL");
	ok(result(epoll_wait(-1, &e, 1, 5)) == -EBADF &&
			result(epoll_wait(epoll, &e, 0, 5)) == -EINVAL &&
			result(epoll_wait(epoll, &e, 1, 0)) == 0,
		"", "errors are the kernel's");
}

int main(void)
{
	struct epoll_event readable = {.events = EPOLLIN};

	signal(SIGALRM, on_alarm);
	alarm(HANGS);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	if (epoll < 0 || semaphores < 0 || pipe(pipe_fds) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &readable)) {
		perror("Bail out! epoll, a semaphore, a pipe");
		return 1;
	}
	to_the_end(false);
	to_the_end(true);
	something_comes();
	a_signal_of_the_program();
	a_handler_that_waits();
	arguments();
	semctl(semaphores, 0, IPC_RMID);
	printf("1..%d\n", tests);
	return 0;
}
