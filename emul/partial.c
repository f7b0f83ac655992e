/* SPDX-License-Identifier: MIT */
/*
 * Transfers that a stop cuts short.
 *
 * A write to a pipe or a stream socket that finds room for a part only, and a recv with MSG_WAITALL
 * that has got a part, wait for the rest; a signal ends them with the size of that part, whether it
 * has a handler with SA_RESTART or not. Many programs that catch no signals count on the whole. So
 * where the context shows such a call, just returned with less than it was asked for, the rest is
 * transferred here, in the stop handler, after the stop. So it is with random numbers and with
 * reads of /dev/zero, /dev/full and /dev/urandom, which look for a signal after each page or few.
 *
 * That must be exactly what the call would have done:
 *
 * - what does not wait (O_NONBLOCK, MSG_DONTWAIT), has a timeout of its own (SO_SNDTIMEO), or is
 *   cut short for other reasons too (files, terminals, records, messages with a boundary) is left
 *   as it is;
 * - all waiting is open to signals (handler-wait.c). A handler of the program ends it, and with it
 *   the transfer, as it would have ended the call; the next stop's does not. What is transferred in
 *   between does not wait: at most PIPE_BUF bytes to a pipe that has room, MSG_DONTWAIT on sockets.
 *   So no transfer in this handler is ever cut short itself;
 * - an error, which a call that has transferred something leaves for the next one to tell, is left
 *   there: a socket that has one is not asked any more. A pipe that nobody reads any more raises
 *   SIGPIPE also beside a partial result, so that is asked;
 * - what has ended it has ended it: the next stop, which may come before the program goes on, finds
 *   the same context, with a part of what was asked for, and must not go on (rm_call_is_over()).
 *
 * Not where the call is not known (call.c). Threads that are stopped by ptrace (freeze.c) have no handler to do
 * this in, and their calls stay cut short: remap(7).
 *
 * Runs in the stop handler: async-signal-safe, raw system calls only.
 */
#include "emul/partial.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "emul/call.h"
#include "emul/copy.h"
#include "emul/due.h"
#include "emul/handler-wait.h"
#include "emul/sockopt.h"
#include "emul/stats.h"
#include "emul/sys.h"

#define ROOM	4096	   /* PIPE_BUF: what a pipe that is ready takes without waiting */
#define WAIT_NS 1000000ULL /* after a socket was ready and then was not */
#define TURN	16384	   /* what is taken from a source that is always ready */

struct transfer {
	int fd;
	bool in, pipe;
	bool random, source; /* getrandom; that or a device that is always ready */
	unsigned int flags;  /* of send and recv */
	struct iovec one;    /* the only piece, or, if there are more: */
	uintptr_t pieces;    /* struct iovec[n] */
	size_t n;
};

/* What the call was asked for; false if it is none of these. */
static bool parse_call(const struct rm_call *call, struct transfer *t)
{
	const uint64_t *args = call->args;
	const struct iovec buffer = {(void *)(uintptr_t)args[1], (size_t)args[2]};
	struct msghdr message;

	memset(t, 0, sizeof(*t));
	t->fd = (int)args[0];
	t->n = 1;
	t->one = buffer;
	switch (call->nr) {
	case SYS_getrandom:
		t->in = t->random = t->source = true;
		t->one = (struct iovec){(void *)(uintptr_t)args[0], (size_t)args[1]};
		t->flags = (unsigned int)args[2];
		return true;
	case SYS_read:
		t->in = true;
		return true;
	case SYS_recvfrom:
	case SYS_sendto:
		t->in = call->nr == SYS_recvfrom;
		t->flags = (unsigned int)args[3];
		return true;
	case SYS_recvmsg:
	case SYS_sendmsg:
		t->in = call->nr == SYS_recvmsg;
		t->flags = (unsigned int)args[2];
		if (!rm_read_own((uintptr_t)args[1], &message, sizeof(message)))
			return false;
		t->pieces = (uintptr_t)message.msg_iov;
		t->n = message.msg_iovlen;
		return true;
	case SYS_writev:
		t->pieces = (uintptr_t)args[1];
		t->n = (size_t)args[2];
		return true;
	default:
		return call->nr == SYS_write;
	}
}

static bool read_piece(const struct transfer *t, size_t i, struct iovec *piece)
{
	*piece = t->one;
	return !t->pieces || rm_read_own(t->pieces + i * sizeof(*piece), piece, sizeof(*piece));
}

static bool asks_for_more(const struct transfer *t, size_t done)
{
	struct iovec piece;

	for (size_t i = 0; i < t->n && read_piece(t, i, &piece); i++) {
		if (piece.iov_len > done)
			return true;
		done -= piece.iov_len;
	}
	return false;
}

/*
 * Whether a socket's call ends early by a signal only. What comes in over a Unix socket ends also
 * where descriptors or another sender's bytes begin.
 */
static bool is_whole_on_socket(const struct transfer *t)
{
	const unsigned int known = t->in ? MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC
					 : MSG_MORE | MSG_NOSIGNAL;
	const int domain = rm_sockopt(t->fd, SO_DOMAIN);

	if ((t->flags & ~known) || (t->in && !(t->flags & MSG_WAITALL)) ||
		rm_sockopt(t->fd, SO_TYPE) != SOCK_STREAM || rm_sockopt_timeout(t->fd, t->in))
		return false;
	if (domain == AF_UNIX)
		return !t->in;
	return (domain == AF_INET || domain == AF_INET6) &&
	       rm_sockopt(t->fd, SO_PROTOCOL) == IPPROTO_TCP &&
	       (!t->in || rm_sockopt(t->fd, SO_RCVLOWAT) == 1);
}

/*
 * A read of these brings all of it but for signals (read_iter_zero(), get_random_bytes_user()), and
 * so does getrandom, unless it is asked for what /dev/random has.
 */
static bool is_source(const struct stat *st)
{
	enum { MEMORY = 1, ZERO = 5, FULL = 7, URANDOM = 9 };

	return S_ISCHR(st->st_mode) && major(st->st_rdev) == MEMORY &&
	       (minor(st->st_rdev) == ZERO || minor(st->st_rdev) == FULL ||
		       minor(st->st_rdev) == URANDOM);
}

/* Whether it waits for all of it. */
static bool is_whole(struct transfer *t)
{
	struct stat st;
	long flags;

	if (t->random)
		return !(t->flags & GRND_RANDOM);
	if (rm_syscall(SYS_fstat, t->fd, (long)&st, 0, 0, 0, 0))
		return false;
	t->source = t->in && is_source(&st);
	if (t->source)
		return true;
	flags = rm_syscall(SYS_fcntl, t->fd, F_GETFL, 0, 0, 0, 0);
	if (flags < 0 || (flags & O_NONBLOCK))
		return false;
	t->pipe = S_ISFIFO(st.st_mode);
	return t->pipe ? !t->in : S_ISSOCK(st.st_mode) && is_whole_on_socket(t);
}

/*
 * To a pipe. Another writer may have taken the room meanwhile, so it is open to signals, where there
 * is room for them: that it is all or nothing keeps it whole.
 */
static long write_some(struct rm_wait *wait, const struct transfer *t, uintptr_t at, size_t len)
{
	uint64_t blocked = 0;
	long r;

	if (wait->signals < 0)
		rm_sys_rt_sigprocmask(SIG_SETMASK, &wait->mask, &blocked);
	r = rm_sys_write(t->fd, (const void *)at, len < ROOM ? len : ROOM);
	if (wait->signals < 0)
		rm_sys_rt_sigprocmask(SIG_SETMASK, &blocked, NULL);
	return r;
}

/* The program's signals are let in before each turn. */
static long take_some(struct rm_wait *wait, const struct transfer *t, uintptr_t at, size_t len)
{
	struct timespec none = {0, 0};
	const size_t turn = len < TURN ? len : TURN;
	const long r = rm_wait_for(wait, -1, 0, &none);

	if (r < 0)
		return r;
	return t->random ? rm_syscall(SYS_getrandom, (long)at, (long)turn, t->flags, 0, 0, 0)
			 : rm_sys_read(t->fd, (void *)at, turn);
}

/* As much as there is or goes at the moment: a number of bytes; 0 or -errno if that was all. */
static long transfer_some(struct rm_wait *wait, const struct transfer *t, uintptr_t at, size_t len)
{
	const int errors = t->pipe ? POLLNVAL : POLLNVAL | POLLERR | (t->in ? 0 : POLLHUP);

	if (t->source)
		return take_some(wait, t, at, len);
	for (;;) {
		const long ready = rm_wait_for(wait, t->fd, t->in ? POLLIN : POLLOUT, NULL);
		long r;

		if (ready < 0 || (ready & errors))
			return ready < 0 ? ready : -EIO;
		if (t->pipe)
			return write_some(wait, t, at, len);
		if (t->in)
			r = rm_syscall(SYS_recvfrom, t->fd, (long)at, (long)len,
				(t->flags & ~(unsigned int)MSG_WAITALL) | MSG_DONTWAIT, 0, 0);
		else
			r = rm_syscall(SYS_sendto, t->fd, (long)at, (long)len,
				t->flags | MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
		if (r != -EAGAIN)
			return r;
		rm_sys_sleep_ns(WAIT_NS);
	}
}

/* Until all is transferred, or something ends it. */
static void go_on(struct rm_wait *wait, const struct transfer *t, ucontext_t *uc)
{
	struct iovec piece;
	size_t before = 0;

	for (size_t i = 0; i < t->n && read_piece(t, i, &piece); before += piece.iov_len, i++)
		while ((size_t)rm_call_result(uc) < before + piece.iov_len) {
			const size_t inside = (size_t)rm_call_result(uc) - before;
			const long r = transfer_some(wait, t, (uintptr_t)piece.iov_base + inside,
				piece.iov_len - inside);

			if (r <= 0)
				return;
			rm_call_set_result(uc, rm_call_result(uc) + r);
		}
}

void rm_partial_go_on(void *context)
{
	ucontext_t *uc = context;
	const long done = rm_call_result(uc);
	struct rm_call call;
	struct transfer t;
	struct rm_wait wait;

	if (done <= 0 || !rm_call_find(uc, &call) || !call.whole || !parse_call(&call, &t) ||
		!asks_for_more(&t, (size_t)done) || !is_whole(&t))
		return;
	if (!rm_due_here(rm_due_signals(uc))) {
		if (!rm_wait_begin(&wait, uc))
			return;
		rm_stat_add(RM_STAT_RESTARTED, 1);
		go_on(&wait, &t, uc);
		rm_wait_end(&wait);
	}
	rm_call_is_over(uc);
}
