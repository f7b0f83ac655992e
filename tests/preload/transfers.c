/* SPDX-License-Identifier: MIT */
/*
 * Transfers beside moves: a write to a pipe or socket that has no room for all of it, and a recv
 * that waits for all, transfer all. One thread makes the call, a second is at the other end and
 * slow, the third moves a page again and again until the call returns. What ends such a call
 * natively, a handler of the program or the other end's going away, still does, and what does not
 * wait still does not. Run by transfers.t, natively and emulated.
 *
 * TAP on standard output. A call that does not return makes the alarm end the program, a minute
 * after the last one has.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "libremap.h"
#include "tests/preload/guarded-stack.h"
#include "tests/preload/until-stop.h"

#define PAGE  4096UL
#define LEN   ((size_t)2 << 20)
#define LARGE ((size_t)64 << 10) /* alternate signal stacks: handlers can nest there */
#define SMALL ((size_t)8 << 10)	 /* or can not */
#define SLICE ((size_t)24 << 10) /* what the other end transfers before it rests */
#define HANGS 60		 /* seconds */

static int tests;
static unsigned char *sent, *received;

static void ok(bool good, const char *what, const char *where)
{
	printf("%sok %d - %s%s\n", good ? "" : "not ", ++tests, what, where);
	fflush(stdout);
	alarm(HANGS);
}

static void on_alarm(int sig)
{
	static const char text[] = "Bail out! a call does not return\n";

	(void)sig;
	(void)!write(1, text, sizeof(text) - 1);
	_exit(1);
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void rest(long ms)
{
	const struct timespec ts = {0, ms * 1000000L};

	nanosleep(&ts, NULL);
}

/* --- the calls: on one end, all of it; what they return --- */

static ssize_t by_write(int fd)
{
	return write(fd, sent, LEN);
}

#define PIECES 5

/* Pieces of different lengths, one of them empty. */
static void cut(unsigned char *buffer, struct iovec pieces[PIECES])
{
	static const size_t lens[PIECES] = {
		1, LEN / 2 + 77, 0, 5000, LEN - LEN / 2 - 77 - 1 - 5000};

	for (int i = 0; i < PIECES; i++) {
		pieces[i] = (struct iovec){buffer, lens[i]};
		buffer += lens[i];
	}
}

static ssize_t by_writev(int fd)
{
	struct iovec pieces[PIECES];

	cut(sent, pieces);
	return writev(fd, pieces, PIECES);
}

static ssize_t by_send(int fd)
{
	return send(fd, sent, LEN, MSG_NOSIGNAL);
}

static ssize_t by_sendmsg(int fd)
{
	struct iovec pieces[PIECES];
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = PIECES};

	cut(sent, pieces);
	return sendmsg(fd, &message, 0);
}

static ssize_t by_recv(int fd)
{
	return recv(fd, received, LEN, MSG_WAITALL);
}

static ssize_t by_recvmsg(int fd)
{
	struct iovec pieces[PIECES];
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = PIECES};

	cut(received, pieces);
	return recvmsg(fd, &message, MSG_WAITALL);
}

static ssize_t by_send_at_once(int fd)
{
	return send(fd, sent, LEN, MSG_DONTWAIT);
}

/* --- the two ends: [0] is the caller's --- */

static void make_pipe(int ends[2])
{
	int fds[2];

	if (pipe(fds))
		die("pipe");
	ends[0] = fds[1];
	ends[1] = fds[0];
}

static void make_unix(int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
}

static void make_tcp(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int listening = socket(AF_INET, SOCK_STREAM, 0), small = 16 << 10;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listening < 0 || bind(listening, (struct sockaddr *)&address, len) ||
		listen(listening, 1) || getsockname(listening, (struct sockaddr *)&address, &len))
		die("a listening socket");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, len))
		die("connect");
	ends[1] = accept(listening, NULL, NULL);
	if (ends[1] < 0)
		die("accept");
	close(listening);
}

static const struct transfer {
	const char *name;
	void (*make)(int ends[2]);
	ssize_t (*call)(int fd);
	bool in;
} transfers[] = {
	{"write to a pipe", make_pipe, by_write, false},
	{"writev to a pipe", make_pipe, by_writev, false},
	{"write to a Unix socket", make_unix, by_write, false},
	{"send to a Unix socket", make_unix, by_send, false},
	{"sendmsg to a Unix socket", make_unix, by_sendmsg, false},
	{"writev to a TCP socket", make_tcp, by_writev, false},
	{"send to a TCP socket", make_tcp, by_send, false},
	{"recv of all from a TCP socket", make_tcp, by_recv, true},
	{"recvmsg of all from a TCP socket", make_tcp, by_recvmsg, true},
};

#define TRANSFERS (sizeof(transfers) / sizeof(transfers[0]))

struct work {
	const struct transfer *transfer;
	int ends[2];
	size_t most; /* after so much the other end goes away, or does nothing more */
	bool close_then;
	size_t stack; /* the caller's alternate stack */
	ssize_t said;
	_Atomic pid_t tid;
	atomic_bool over;
};

static void *run_caller(void *arg)
{
	struct work *w = arg;
	char *stack = guarded_stack_begin(w->stack);

	atomic_store(&w->tid, (pid_t)syscall(SYS_gettid));
	w->said = w->transfer->call(w->ends[0]);
	guarded_stack_end(stack, w->stack);
	atomic_store(&w->over, true);
	return NULL;
}

static void *run_other_end(void *arg)
{
	struct work *w = arg;
	size_t done = 0;

	while (done < w->most) {
		size_t len = w->most - done < SLICE ? w->most - done : SLICE;
		ssize_t n = w->transfer->in ? send(w->ends[1], sent + done, len, MSG_NOSIGNAL)
					    : read(w->ends[1], received + done, len);

		if (n <= 0)
			break;
		done += (size_t)n;
		rest(1);
	}
	if (w->close_then) {
		close(w->ends[1]);
		w->ends[1] = -1;
	}
	return NULL;
}

/* Moves until the call has returned; "meanwhile" after some moves. How many, or -1. */
static int move_beside(struct work *w, void (*meanwhile)(struct work *))
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *area = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t caller, other;
	int moves = 0;

	memset(received, 0, LEN);
	w->transfer->make(w->ends);
	if (area == MAP_FAILED || mprotect(area, PAGE, PROT_READ | PROT_WRITE) ||
		pthread_create(&caller, NULL, run_caller, w) ||
		pthread_create(&other, NULL, run_other_end, w))
		die("threads");
	while (!atomic_load(&w->tid))
		rest(1);
	for (; !atomic_load(&w->over); moves++) {
		*area = 'x';
		if (mremap(area, PAGE, PAGE, flags, area + 2 * PAGE) != area + 2 * PAGE ||
			area[2 * PAGE] != 'x' || *area) {
			moves = -1;
			break;
		}
		if (meanwhile && moves == 30)
			meanwhile(w);
		rest(1);
	}
	pthread_join(caller, NULL);
	close(w->ends[0]); /* what is on its way is still taken; more is not waited for */
	pthread_join(other, NULL);
	if (w->ends[1] >= 0)
		close(w->ends[1]);
	munmap(area, 4 * PAGE);
	return moves;
}

static void all_of_it(size_t stack, const char *what)
{
	for (size_t i = 0; i < TRANSFERS; i++) {
		struct work w = {.transfer = &transfers[i], .most = LEN, .stack = stack};
		int moves = move_beside(&w, NULL);
		bool same = !memcmp(sent, received, LEN);

		if (moves < 10 || w.said != (ssize_t)LEN || !same)
			printf("# %zd of %zu, %s after %d moves\n", w.said, LEN,
				same ? "all" : "not all", moves);
		ok(moves >= 10 && w.said == (ssize_t)LEN && same, what, w.transfer->name);
	}
}

static atomic_int handled;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static void send_usr1(struct work *w)
{
	syscall(SYS_tgkill, getpid(), atomic_load(&w->tid), SIGUSR1);
}

static bool is_part(const struct work *w)
{
	return w->said > 0 && w->said < (ssize_t)LEN &&
	       !memcmp(sent, received, w->most < (size_t)w->said ? w->most : (size_t)w->said);
}

/* The next stop comes before the call has returned to the program. */
static void on_signal_until_stop(int sig)
{
	on_signal(sig);
	block_until_stop();
}

/* The other end stops in the middle, and a handler of the program ends the call, as ever. */
static void a_handler(void (*handler)(int), int flags, size_t stack, const char *what)
{
	for (size_t i = 0; i < TRANSFERS; i++) {
		struct sigaction act = {.sa_handler = handler, .sa_flags = flags};
		struct work w = {.transfer = &transfers[i], .most = LEN / 4, .stack = stack};

		sigaction(SIGUSR1, &act, NULL);
		atomic_store(&handled, 0);
		move_beside(&w, send_usr1);
		if (!is_part(&w) || handled != 1)
			printf("# it said %zd, handled %d\n", w.said, handled);
		ok(is_part(&w) && handled == 1, what, w.transfer->name);
	}
}

static void send_what_is_ignored(struct work *w)
{
	for (int i = 0; i < 3; i++)
		syscall(SYS_tgkill, getpid(), atomic_load(&w->tid), SIGUSR2);
	kill(getpid(), SIGUSR2);
}

/* What the program ignores ends nothing, wherever it waits. */
static void ignored(size_t stack, const char *what)
{
	struct work w = {.transfer = &transfers[0], .most = LEN, .stack = stack};

	signal(SIGUSR2, SIG_IGN);
	move_beside(&w, send_what_is_ignored);
	ok(w.said == (ssize_t)LEN && !memcmp(sent, received, LEN), what, w.transfer->name);
}

/* Who writes to a pipe that nobody reads any more gets SIGPIPE also beside a partial result. */
static void the_end(void)
{
	for (size_t i = 0; i < TRANSFERS; i++) {
		struct sigaction act = {.sa_handler = on_signal};
		struct work w = {.transfer = &transfers[i], .most = LEN / 4, .close_then = true};
		const int signals = w.transfer->make == make_pipe;

		sigaction(SIGPIPE, &act, NULL);
		atomic_store(&handled, 0);
		move_beside(&w, NULL);
		if (!is_part(&w) || handled != signals)
			printf("# it said %zd, handled %d\n", w.said, handled);
		ok(is_part(&w) && handled == signals,
			"the other end goes away: ", w.transfer->name);
	}
}

static void make_pipe_at_once(int ends[2])
{
	make_pipe(ends);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

/* What does not wait says at once how much went. */
static void at_once(void)
{
	static const struct transfer calls[] = {
		{"write to a pipe", make_pipe_at_once, by_write, false},
		{"send to a TCP socket", make_tcp, by_send_at_once, false},
	};

	for (int i = 0; i < 2; i++)
		for (int round = 0, good = 0; round < 200; round++) {
			struct work w = {.transfer = &calls[i], .most = 0};

			move_beside(&w, NULL);
			good += w.said > 0 && w.said < (ssize_t)LEN;
			if (round == 199)
				ok(good == 200, "at once: ", calls[i].name);
		}
}

static void *run_cancelled(void *arg)
{
	int *ends = arg;

	for (;;)
		if (write(ends[0], sent, LEN) <= 0)
			return NULL;
}

/* A thread that is cancelled in such a call ends, sooner or later. */
static void a_cancelled_thread(void)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *area = mmap(
		NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	void *end = NULL;
	int ends[2];

	make_pipe(ends);
	if (pthread_create(&thread, NULL, run_cancelled, ends))
		die("a thread");
	for (int moves = 0; moves < 30; moves++) {
		if (mremap(area, PAGE, PAGE, flags, area + 2 * PAGE) == MAP_FAILED)
			die("mremap");
		rest(1);
	}
	pthread_cancel(thread);
	pthread_join(thread, &end);
	ok(end == PTHREAD_CANCELED, "cancelled: ", "write to a pipe");
	munmap(area, 4 * PAGE);
}

int main(void)
{
	signal(SIGALRM, on_alarm);
	alarm(HANGS);
	sent = malloc(LEN);
	received = malloc(LEN);
	if (!sent || !received)
		die("memory");
	for (size_t i = 0; i < LEN; i++)
		sent[i] = (unsigned char)(i * 2654435761U >> 13);
	all_of_it(0, "all of it: ");
	all_of_it(LARGE, "all of it, alternate stack: ");
	all_of_it(SMALL, "all of it, small alternate stack: ");
	a_handler(on_signal, 0, 0, "ended by a handler: ");
	a_handler(on_signal, SA_RESTART, 0, "ended by a handler with SA_RESTART: ");
	a_handler(on_signal, 0, SMALL, "ended by a handler, small alternate stack: ");
	a_handler(on_signal_until_stop, SA_RESTART, 0, "ended by a handler before a stop: ");
	a_handler(on_signal_until_stop, 0, SMALL,
		"ended by a handler before a stop, small alternate stack: ");
	ignored(0, "ignored signals: ");
	ignored(SMALL, "ignored signals, small alternate stack: ");
	the_end();
	at_once();
	a_cancelled_thread();
	free(sent);
	free(received);
	printf("1..%d\n", tests);
	return 0;
}
