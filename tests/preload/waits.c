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
#include <netinet/in.h>
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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "libremap.h"
#include "tests/preload/guarded-stack.h"
#include "tests/preload/until-stop.h"

#define PAGE	4096UL
#define WAIT_MS 500
#define HANGS	60 /* seconds */

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

/* glibc 2.35; before, only the preload's is there */
int epoll_pwait2(int, struct epoll_event *, int, const struct timespec *, const sigset_t *)
	__attribute__((weak));

static int w_epoll_pwait2(void)
{
	struct epoll_event e;

	if (!epoll_pwait2)
		return -ENOSYS;
	return result(epoll_pwait2(epoll, &e, 1, &wait_time, NULL));
}

static int w_semtimedop(void)
{
	struct sembuf down = {0, -1, 0};

	return result(semtimedop(semaphores, &down, 1, &wait_time));
}

/* --- sockets that have timeouts: an end of a pair that is full, and nothing to be read; --- */
/* --- one that listens, and nobody comes; and one that listens to nobody any more --- */

static int pair[2], listening, full;
static struct sockaddr_in full_address;

static int make_listening(int backlog, struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, len) || listen(fd, backlog) ||
		getsockname(fd, (struct sockaddr *)address, &len))
		return -1;
	return fd;
}

static void set_timeout(int fd, int name)
{
	const struct timeval length = {0, WAIT_MS * 1000};

	if (setsockopt(fd, SOL_SOCKET, name, &length, sizeof(length)))
		perror("# setsockopt");
}

static bool make_sockets(void)
{
	static const char some[4096];
	struct sockaddr_in address;

	listening = make_listening(1, &address);
	full = make_listening(0, &full_address);
	if (listening < 0 || full < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return false;
	while (send(pair[0], some, sizeof(some), MSG_DONTWAIT) > 0)
		;
	/* as many as its backlog takes, and more */
	for (int i = 0; i < 4; i++)
		(void)connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
			(struct sockaddr *)&full_address, sizeof(full_address));
	set_timeout(pair[0], SO_RCVTIMEO);
	set_timeout(pair[0], SO_SNDTIMEO);
	set_timeout(listening, SO_RCVTIMEO);
	return true;
}

static int w_recv(void)
{
	char byte;

	return result((int)recv(pair[0], &byte, 1, 0));
}

static int w_read(void)
{
	char byte;

	return result((int)read(pair[0], &byte, 1));
}

static int w_recvmsg(void)
{
	char byte;
	struct iovec piece = {&byte, 1};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	return result((int)recvmsg(pair[0], &message, 0));
}

static int w_accept(void)
{
	return result(accept(listening, NULL, NULL));
}

static int w_send(void)
{
	return result((int)send(pair[0], "x", 1, 0));
}

static int w_writev(void)
{
	struct iovec piece = {(char *)"x", 1};

	return result((int)writev(pair[0], &piece, 1));
}

static int w_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	set_timeout(fd, SO_SNDTIMEO);
	r = result(connect(fd, (struct sockaddr *)&full_address, sizeof(full_address)));
	close(fd);
	return r;
}

static int w_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return result(sigtimedwait(&set, NULL, &wait_time));
}

#ifndef SYS_epoll_wait /* arm64 has none: libc's is the other one */
#define SYS_epoll_wait SYS_epoll_pwait
#endif

static const struct {
	const char *name;
	int (*wait)(void);
	int late; /* what it says when the time is over */
	long nr;
	bool socket;
} waits[] = {
	{"epoll_wait", w_epoll_wait, 0, SYS_epoll_wait, false},
	{"epoll_pwait", w_epoll_pwait, 0, SYS_epoll_pwait, false},
	{"epoll_pwait2", w_epoll_pwait2, 0, 441, false},
	{"semtimedop", w_semtimedop, -EAGAIN, SYS_semtimedop, false},
	{"sigtimedwait", w_sigtimedwait, -EAGAIN, SYS_rt_sigtimedwait, false},
	{"recv", w_recv, -EAGAIN, SYS_recvfrom, true},
	{"read of a socket", w_read, -EAGAIN, SYS_read, true},
	{"recvmsg", w_recvmsg, -EAGAIN, SYS_recvmsg, true},
	{"accept", w_accept, -EAGAIN, SYS_accept, true},
	{"send", w_send, -EAGAIN, SYS_sendto, true},
	{"writev to a socket", w_writev, -EAGAIN, SYS_writev, true},
	{"connect", w_connect, -EINPROGRESS, SYS_connect, true},
};

#define WAITS (sizeof(waits) / sizeof(waits[0]))

struct waiter {
	size_t wait;
	bool deaf;  /* it blocks every signal */
	bool small; /* it has an alternate signal stack that holds one frame */
	int said;
	uint64_t took;
	_Atomic pid_t tid;
	atomic_bool over;
};

static void *run_waiter(void *arg)
{
	struct waiter *w = arg;
	uint64_t began;
	const size_t size = w->small ? 2 * PAGE : 0;
	char *stack = guarded_stack_begin(size);
	sigset_t all;

	sigfillset(&all);
	if (w->deaf)
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	began = now_ns();
	atomic_store(&w->tid, (pid_t)syscall(SYS_gettid));
	w->said = waits[w->wait].wait();
	w->took = now_ns() - began;
	guarded_stack_end(stack, size);
	atomic_store(&w->over, true);
	return NULL;
}

static atomic_int moved;

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
		moved++;
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

static void to_the_end(bool deaf, bool small)
{
	for (size_t i = 0; i < WAITS; i++) {
		struct waiter w = {.wait = i, .deaf = deaf, .small = small};
		char what[80];
		int moves;

		snprintf(what, sizeof(what), "%s%s", waits[i].name,
			deaf	? ", every signal blocked"
			: small ? ", small alternate stack"
				: "");
		/*
		 * what a thread that blocks every signal is told by epoll_pwait with a mask of its
		 * own is not of interest
		 */
		if (deaf && waits[i].wait == w_epoll_pwait)
			continue;
		if (deaf && waits[i].socket) /* no handler could go on with them: remap(7) */
			continue;
		if (small && !waits[i].socket) /* what does not wait in the handler needs no room */
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

static void write_to_pair(struct waiter *w)
{
	(void)w;
	(void)!write(pair[1], "x", 1);
}

static void something_comes_to_a_socket(void)
{
	struct waiter w = {.wait = 5};
	int moves = move_beside(&w, write_to_pair);

	ok(moves > 2 && w.said == 1 && w.took < WAIT_MS * 1000000ULL,
		"recv: ", "what comes between two stops ends it");
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
	/*
	 * It returns just after a move: a stop that comes in the very moment of a handler's return
	 * takes the EINTR there for its own (remap(7), LIMITS), and 60 ms are a multiple of the
	 * time from one move to the next.
	 */
	for (int before = moved; moved == before;)
		;
}

static void on_usr1_until_stop(int sig)
{
	on_usr1(sig);
	block_until_stop();
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
	while (nr != waits[w->wait].nr && nr != SYS_ppoll && !atomic_load(&w->over)) {
		FILE *file = fopen(path, "re");

		if (!file || fscanf(file, "%ld", &nr) != 1)
			nr = -1; /* "running" */
		if (file)
			fclose(file);
	}
	syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
}

/* A handler of the program's ends the wait, as ever. */
static void a_signal_of_the_program(bool small)
{
	for (size_t i = 0; i < WAITS; i++) {
		struct sigaction act = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
		struct waiter w = {.wait = i, .small = small};

		if (small && !waits[i].socket)
			continue;
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
		ok(w.said == -EINTR && handled == 1,
			small ? "ended by a handler, small alternate stack: "
			      : "ended by a handler: ",
			waits[i].name);
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

/*
 * The next stop comes before the call has returned to the program: of what waited in libremap's
 * handler it can be told that it is over.
 */
static void a_handler_before_a_stop(void)
{
	struct sigaction act = {.sa_handler = on_usr1_until_stop};

	sigaction(SIGUSR1, &act, NULL);
	for (size_t i = 0; i < WAITS; i++) {
		struct waiter w = {.wait = i};

		if (!waits[i].socket)
			continue;
		atomic_store(&handled, 0);
		move_beside(&w, send_usr1);
		if (w.said != -EINTR || handled != 1)
			printf("# it said %d, handled %d\n", w.said, handled);
		ok(w.said == -EINTR && handled == 1,
			"ended by a handler before a stop: ", waits[i].name);
	}
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
	if (!make_sockets() || epoll < 0 || semaphores < 0 || pipe(pipe_fds) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &readable)) {
		perror("Bail out! epoll, a semaphore, a pipe");
		return 1;
	}
	to_the_end(false, false);
	to_the_end(true, false);
	to_the_end(false, true);
	something_comes();
	something_comes_to_a_socket();
	a_signal_of_the_program(false);
	a_signal_of_the_program(true);
	a_handler_that_waits();
	a_handler_before_a_stop();
	arguments();
	semctl(semaphores, 0, IPC_RMID);
	printf("1..%d\n", tests);
	return 0;
}
