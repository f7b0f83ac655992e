/* SPDX-License-Identifier: MIT */
/*
 * Threads blocked in every kind of wait while the world is stopped and let go a hundred times
 * (emul/quiesce.c, restart.c): none of the waits may end because of it; also if the threads block
 * every signal by the raw call and are stopped by ptrace. Waits with a relative time
 * that the kernel does not update are not among them; they may end with EINTR (restart.c says why).
 * In a process of its own. Needs /proc/self/task.
 */
#include "tests/unit/unit.h"

#if defined(__x86_64__) || defined(__aarch64__)

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
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "emul/quiesce.h"
#include "emul/world.h"

static const struct rm_range nowhere = {0x10000, 0x1000};

static int one_stop(void)
{
	struct rm_entry entry;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	r = rm_quiesce_stop(entry.world, nowhere);
	if (!r)
		rm_quiesce_resume(entry.world);
	rm_world_leave(&entry);
	return r;
}

/* --- waits: each in a thread; one that comes back has failed --- */

static int pipe_ends[2], sockets[2], event, epoll, listener, semid, msqid, locked, child_pid;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;

static long w_poll(void)
{
	struct pollfd p = {event, POLLIN, 0};
	return poll(&p, 1, -1);
}
static long w_ppoll(void)
{
	struct pollfd p = {event, POLLIN, 0};
	struct timespec t = {99, 0};
	return ppoll(&p, 1, &t, NULL);
}
static long w_epoll(void)
{
	struct epoll_event e;
	return epoll_wait(epoll, &e, 1, -1);
}
static long w_epoll_pwait(void)
{
	struct epoll_event e;
	sigset_t s;
	sigemptyset(&s);
	return epoll_pwait(epoll, &e, 1, -1, &s);
}
static long w_select(void)
{
	fd_set f;
	struct timeval t = {99, 0};
	FD_ZERO(&f);
	FD_SET(event, &f);
	return select(event + 1, &f, NULL, NULL, &t);
}
static long w_pselect(void)
{
	fd_set f;
	FD_ZERO(&f);
	FD_SET(event, &f);
	return pselect(event + 1, &f, NULL, NULL, NULL, NULL);
}
static long w_read(void)
{
	char c;
	return read(pipe_ends[0], &c, 1);
}
static long w_recv(void)
{
	char c;
	return recv(sockets[0], &c, 1, 0);
}
static long w_accept(void)
{
	return accept(listener, NULL, NULL);
}
static long w_flock(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	return flock(fd, LOCK_EX);
}
static long w_sem(void)
{
	return sem_wait(&semaphore);
}
static long w_sem_timed(void)
{
	struct timespec t = {4000000000L, 0};
	return sem_timedwait(&semaphore, &t);
}
static long w_mutex(void)
{
	return pthread_mutex_lock(&mutex);
}
static long w_mutex_timed(void)
{
	struct timespec t = {4000000000L, 0};
	return pthread_mutex_timedlock(&mutex, &t);
}
static long w_barrier(void)
{
	return pthread_barrier_wait(&barrier);
}
static long w_pause(void)
{
	return pause();
}
static long w_sigwait(void)
{
	sigset_t s;
	int n;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return sigwait(&s, &n);
}
static long w_sigsuspend(void)
{
	sigset_t s;
	sigemptyset(&s);
	return sigsuspend(&s);
}
__attribute__((unused)) static long w_semop(void)
{
	struct sembuf s = {0, -1, 0};
	return semop(semid, &s, 1);
}
static long w_msgrcv(void)
{
	char buf[32];
	return msgrcv(msqid, buf, 8, 0, 0);
}
static long w_waitpid(void)
{
	return waitpid(child_pid, NULL, 0);
}
static long w_sleep(void)
{
	struct timespec t = {99, 0};
	return nanosleep(&t, &t);
}
static long w_until(void)
{
	struct timespec t = {4000000000L, 0};
	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);
}

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
	{"poll", w_poll},
	{"ppoll", w_ppoll},
	{"epoll_wait", w_epoll},
	{"epoll_pwait", w_epoll_pwait},
	{"select", w_select},
	{"pselect", w_pselect},
	{"read", w_read},
	{"recv", w_recv},
	{"accept", w_accept},
	{"flock", w_flock},
	{"sem_wait", w_sem},
	{"sem_timedwait", w_sem_timed},
	{"mutex", w_mutex},
	{"mutex, timed", w_mutex_timed},
	{"cond_wait", w_cond},
	{"barrier", w_barrier},
	{"pause", w_pause},
	{"sigwait", w_sigwait},
	{"sigsuspend", w_sigsuspend},
#if defined(__x86_64__) /* glibc's on arm64 leaves no trace of the first argument */
	{"semop", w_semop},
#endif
	{"msgrcv", w_msgrcv},
	{"waitpid", w_waitpid},
	{"nanosleep", w_sleep},
	{"clock_nanosleep", w_until},
};

static const char *_Atomic returned;
static _Atomic int returned_errno, waiting;
static bool deaf;

static void *wait_for_ever(void *arg)
{
	const struct wait *w = arg;
	const uint64_t all = ~0ULL;

	if (deaf)
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
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

	deaf = arg;
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
	for (int i = 0; i < (deaf ? 10 : 100) && !r; i++) {
		r = one_stop();
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

static void no_wait_ends(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(in_every_wait, NULL));
}

static void no_wait_of_the_deaf_ends(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(in_every_wait, "deaf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wait_ends),
		cmocka_unit_test(no_wait_of_the_deaf_ends),
	};

	return unit_run(tests);
}

#else

int main(void)
{
	return unit_skip_all("waits are not restarted here");
}

#endif
