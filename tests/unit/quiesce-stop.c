/* SPDX-License-Identifier: MIT */
/*
 * Stopping and resuming the other threads (emul/quiesce.c), each case in a process of its own.
 *
 * Checked: how many threads there are; that none of many advances while stopped and all do afterwards; nesting;
 * threads that block every signal, by libc and by a raw system call; threads blocked in every kind of wait, none
 * of which may end because of a stop; a signal queue that is nearly full; mode "caller", which stops nobody.
 * Needs /proc/self/task; the raw-deaf case needs ptrace of the own process.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/world.h"
#include "libremap.h"

#define MANY 24

static _Atomic unsigned long counters[MANY];
static const struct rm_range nowhere = {0x10000, 0x1000};

static void *spin(void *arg)
{
	_Atomic unsigned long *counter = arg;

	for (;;) {
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
		if (atomic_load_explicit(counter, memory_order_relaxed) % 512 == 0)
			sched_yield();
	}
	return NULL;
}

static void *spin_deaf(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return spin(arg);
}

static void *spin_stone_deaf(void *arg)
{
	const uint64_t all = ~0ULL;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	return spin(arg);
}

static int start(int n, void *(*run)(void *))
{
	for (int i = 0; i < n; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, run, &counters[i]))
			return -1;
	}
	for (int i = 0; i < n; i++)
		while (!counters[i])
			sched_yield();
	return 0;
}

static void snapshot(unsigned long *copy, int n)
{
	for (int i = 0; i < n; i++)
		copy[i] = counters[i];
}

/* Whether every counter moves on within two seconds. */
static bool all_advance(const unsigned long *since, int n)
{
	for (int round = 0; round < 2000; round++) {
		int behind = 0;

		for (int i = 0; i < n; i++)
			behind += counters[i] == since[i];
		if (!behind)
			return true;
		usleep(1000);
	}
	return false;
}

static void busy_wait_us(unsigned int us)
{
	struct timespec t0, t;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec - t0.tv_sec) * 1000000L + (t.tv_nsec - t0.tv_nsec) / 1000 < (long)us);
}

/* The stops of a world in which n threads spin: 0, or what went wrong. */
static int stops(int n, int rounds)
{
	unsigned long before[MANY], after[MANY];
	struct rm_entry entry;

	for (int i = 0; i < rounds; i++) {
		int r;

		if (rm_world_enter(&entry))
			return 1;
		r = rm_quiesce_stop(entry.world, nowhere);
		if (!r) {
			snapshot(before, n);
			busy_wait_us(i % 10 ? 300 : 5000);
			snapshot(after, n);
			rm_quiesce_resume(entry.world);
		}
		rm_world_leave(&entry);
		if (r)
			return 2;
		if (memcmp(before, after, (size_t)n * sizeof(before[0])))
			return 3;
		if (!all_advance(after, n))
			return 4;
	}
	return 0;
}

static int many_threads(void *arg)
{
	uint64_t stopped = rm_stat_get(RM_STAT_STOPS);
	int r;

	(void)arg;
	if (rm_quiesce_count_threads() != 1)
		return 10;
	if (start(MANY, spin))
		return 11;
	if (rm_quiesce_count_threads() != MANY + 1)
		return 12;
	r = stops(MANY, 60);
	if (r)
		return r;
	if (rm_stat_get(RM_STAT_STOPS) - stopped != 60 || !rm_stat_get(RM_STAT_STOP_NS_TOTAL))
		return 13;
	return rm_stat_get(RM_STAT_STOP_NS_MAX) >= 5000000 ? 0 : 14;
}

static int deaf_threads(void *arg)
{
	(void)arg;
	return start(6, spin_deaf) ? 10 : stops(6, 40);
}

static int stone_deaf_threads(void *arg)
{
	(void)arg;
	return start(3, spin_stone_deaf) ? 10 : stops(3, 10);
}

static int nested_stops(void *arg)
{
	unsigned long before[4], after[4];
	struct rm_entry entry;
	int r = 0;

	(void)arg;
	if (start(4, spin) || rm_world_enter(&entry))
		return 1;
	if (rm_quiesce_stop(entry.world, nowhere) || rm_quiesce_stop(entry.world, nowhere))
		r = 2;
	rm_quiesce_resume(entry.world);
	snapshot(before, 4);
	busy_wait_us(3000);
	snapshot(after, 4);
	if (memcmp(before, after, sizeof(before)))
		r = 3; /* the inner one must not let them go */
	rm_quiesce_resume(entry.world);
	rm_world_leave(&entry);
	if (!r && !all_advance(after, 4))
		r = 4;
	return r;
}

/* Two signals fit into the user's queue, ten threads want one. Root takes a user that nobody else is. */
static int nearly_full_queue(void *arg)
{
	struct rlimit limit = {getuid() ? 40 : 2, RLIM_INFINITY};

	(void)arg;
	if (!getuid() && setresuid(61234, 61234, 61234))
		return 9;
	limit.rlim_max = limit.rlim_cur;
	if (start(10, spin) || setrlimit(RLIMIT_SIGPENDING, &limit))
		return 10;
	return stops(10, 5);
}

static int mode_caller(void *arg)
{
	unsigned long before[2];
	struct rm_entry entry;
	bool advanced;

	(void)arg;
	remap_set_quiesce(REMAP_QUIESCE_CALLER);
	if (start(2, spin) || rm_world_enter(&entry))
		return 1;
	if (rm_quiesce_stop(entry.world, nowhere))
		return 2;
	snapshot(before, 2);
	advanced = all_advance(before, 2);
	rm_quiesce_resume(entry.world);
	rm_world_leave(&entry);
	return advanced && !rm_stat_get(RM_STAT_STOPS) ? 0 : 3;
}

/* --- waits: each in a thread; one that comes back has failed --- */

static int pipe_ends[2], sockets[2], event, epoll, listener, semid, msqid, locked, child_pid;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;

static long w_poll(void) { struct pollfd p = {event, POLLIN, 0}; return poll(&p, 1, -1); }
static long w_ppoll(void) { struct pollfd p = {event, POLLIN, 0}; struct timespec t = {99, 0}; return ppoll(&p, 1, &t, NULL); }
static long w_epoll(void) { struct epoll_event e; return epoll_wait(epoll, &e, 1, -1); }
static long w_epoll_pwait(void) { struct epoll_event e; sigset_t s; sigemptyset(&s); return epoll_pwait(epoll, &e, 1, -1, &s); }
static long w_select(void) { fd_set f; struct timeval t = {99, 0}; FD_ZERO(&f); FD_SET(event, &f); return select(event + 1, &f, NULL, NULL, &t); }
static long w_pselect(void) { fd_set f; FD_ZERO(&f); FD_SET(event, &f); return pselect(event + 1, &f, NULL, NULL, NULL, NULL); }
static long w_read(void) { char c; return read(pipe_ends[0], &c, 1); }
static long w_recv(void) { char c; return recv(sockets[0], &c, 1, 0); }
static long w_accept(void) { return accept(listener, NULL, NULL); }
static long w_flock(void) { int fd = open("/proc/self/exe", O_RDONLY); return flock(fd, LOCK_EX); }
static long w_sem(void) { return sem_wait(&semaphore); }
static long w_sem_timed(void) { struct timespec t = {4000000000L, 0}; return sem_timedwait(&semaphore, &t); }
static long w_mutex(void) { return pthread_mutex_lock(&mutex); }
static long w_mutex_timed(void) { struct timespec t = {4000000000L, 0}; return pthread_mutex_timedlock(&mutex, &t); }
static long w_barrier(void) { return pthread_barrier_wait(&barrier); }
static long w_pause(void) { return pause(); }
static long w_sigwait(void) { sigset_t s; int n; sigemptyset(&s); sigaddset(&s, SIGUSR2); return sigwait(&s, &n); }
static long w_sigsuspend(void) { sigset_t s; sigemptyset(&s); return sigsuspend(&s); }
static long w_semop(void) { struct sembuf s = {0, -1, 0}; return semop(semid, &s, 1); }
static long w_msgrcv(void) { char buf[32]; return msgrcv(msqid, buf, 8, 0, 0); }
static long w_waitpid(void) { return waitpid(child_pid, NULL, 0); }
static long w_sleep(void) { struct timespec t = {99, 0}; return nanosleep(&t, &t); }
static long w_until(void) { struct timespec t = {4000000000L, 0}; return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL); }

static long w_cond(void)
{
	static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&own);
	return pthread_cond_wait(&condition, &own);
}

static const struct wait {
	const char *name;
	long (*run)(void);
} waits[] = {
	{"poll", w_poll}, {"ppoll", w_ppoll}, {"epoll_wait", w_epoll},
	{"epoll_pwait", w_epoll_pwait}, {"select", w_select}, {"pselect", w_pselect},
	{"read", w_read}, {"recv", w_recv}, {"accept", w_accept}, {"flock", w_flock},
	{"sem_wait", w_sem}, {"sem_timedwait", w_sem_timed}, {"mutex", w_mutex},
	{"mutex, timed", w_mutex_timed}, {"cond_wait", w_cond}, {"barrier", w_barrier},
	{"pause", w_pause}, {"sigwait", w_sigwait}, {"sigsuspend", w_sigsuspend},
	{"semop", w_semop}, {"msgrcv", w_msgrcv}, {"waitpid", w_waitpid},
	{"nanosleep", w_sleep}, {"clock_nanosleep", w_until},
};

static const char *_Atomic returned;
static _Atomic int returned_errno, waiting;

static void *wait_for_ever(void *arg)
{
	const struct wait *w = arg;

	waiting++;
	errno = 0;
	w->run();
	returned_errno = errno;
	returned = w->name;
	return NULL;
}

static int prepare_waits(void)
{
	struct epoll_event interest = {.events = EPOLLIN};

	event = eventfd(0, 0);
	epoll = epoll_create1(0);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	semid = semget(IPC_PRIVATE, 1, 0600);
	msqid = msgget(IPC_PRIVATE, 0600);
	locked = open("/proc/self/exe", O_RDONLY);
	sem_init(&semaphore, 0, 0);
	pthread_mutex_lock(&mutex);
	pthread_barrier_init(&barrier, NULL, 2);
	child_pid = fork();
	if (!child_pid) {
		alarm(20);
		pause();
		_exit(0);
	}
	return event < 0 || epoll < 0 || listener < 0 || semid < 0 || msqid < 0 || locked < 0 ||
	       flock(locked, LOCK_EX) || pipe(pipe_ends) || child_pid < 0 ||
	       socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) ||
	       bind(listener, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)) ||
	       listen(listener, 1) || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interest);
}

static int in_every_wait(void *arg)
{
	int r = 0;

	(void)arg;
	if (prepare_waits())
		return 10;
	for (size_t i = 0; i < RM_ARRAY_LEN(waits); i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, wait_for_ever, (void *)(uintptr_t)&waits[i]))
			return 11;
	}
	while (waiting < (int)RM_ARRAY_LEN(waits))
		usleep(1000);
	usleep(20000);
	if (returned)
		r = 12;
	for (int i = 0; i < 100 && !r; i++) {
		r = stops(0, 1);
		usleep(i % 5 * 300);
	}
	usleep(20000);
	if (returned) {
		printf("# %s came back, errno %d\n", returned, returned_errno);
		r = 13;
	}
	kill(child_pid, SIGKILL);
	semctl(semid, 0, IPC_RMID);
	msgctl(msqid, IPC_RMID, NULL);
	fflush(stdout);
	return r;
}

#define CASE(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		assert_child_ok(unit_in_child(name, NULL));                                        \
	}
CASE(many_threads)
CASE(deaf_threads)
CASE(stone_deaf_threads)
CASE(nested_stops)
CASE(nearly_full_queue)
CASE(mode_caller)
CASE(in_every_wait)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_deaf_threads),
		cmocka_unit_test(test_stone_deaf_threads),
		cmocka_unit_test(test_nested_stops),
		cmocka_unit_test(test_nearly_full_queue),
		cmocka_unit_test(test_mode_caller),
		cmocka_unit_test(test_in_every_wait),
	};

	return unit_run(tests);
}
