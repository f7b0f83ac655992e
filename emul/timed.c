/* SPDX-License-Identifier: MIT */
/*
 * Calls on sockets that have a timeout (SO_RCVTIMEO, SO_SNDTIMEO).
 *
 * Any signal ends them with EINTR, and how long they had waited is known to nobody but who has
 * noted it (deadline.c; the shim does). They can not be begun again: they would wait for the whole
 * timeout once more. So the stop handler waits in their place for what remains: when the socket is
 * ready the call is made again, and finds something; when the time is over it says what the kernel
 * says then. A handler of the program that runs meanwhile ends the call with EINTR, as ever.
 *
 * Two readers of one socket: who finds it ready and then empty waits for the whole timeout again.
 * connect(2) of a Unix socket waits for something that poll(2) does not tell of, and is left as it
 * is.
 */
#include "emul/timed.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>

#include "emul/call.h"
#include "emul/deadline.h"
#include "emul/due.h"
#include "emul/handler-wait.h"
#include "emul/sockopt.h"
#include "emul/stats.h"
#include "emul/sys.h"

#define NS_PER_S 1000000000ULL

/* What the call waits for; 0: it is none of these. */
static short events_of(int nr)
{
	switch (nr) {
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_accept:
	case SYS_accept4:
		return POLLIN;
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_connect:
		return POLLOUT;
	default:
		return 0;
	}
}

static bool may_be_polled(int fd)
{
	const int domain = rm_sockopt(fd, SO_DOMAIN);

	return domain >= 0 && domain != AF_UNIX;
}

void rm_timed_go_on(void *context)
{
	ucontext_t *uc = context;
	struct rm_call call;
	struct rm_wait wait;
	struct timespec timeout;
	uint64_t rest;
	short events;
	long ready;
	int fd, tid;

	if (rm_call_result(uc) != -EINTR || !rm_call_find(uc, &call) || !call.whole)
		return;
	fd = (int)call.args[0];
	tid = rm_sys_gettid();
	events = events_of(call.nr);
	if (!events || !rm_deadline_is_known(tid, (unsigned int)fd) ||
		(call.nr == SYS_connect && !may_be_polled(fd)))
		return;
	if (rm_due_here(rm_due_signals(uc))) {
		rm_call_is_over(uc);
		return;
	}
	if (!rm_wait_begin(&wait, uc))
		return;
	rest = rm_deadline_rest_ns(tid);
	timeout = (struct timespec){(time_t)(rest / NS_PER_S), (long)(rest % NS_PER_S)};
	ready = rm_wait_for(&wait, fd, events, &timeout);
	rm_wait_end(&wait);
	if (ready < 0) {
		rm_call_is_over(uc);
		return;
	}
	rm_stat_add(RM_STAT_RESTARTED, 1);
	if (ready)
		rm_call_again(uc, &call);
	else
		rm_call_set_result(uc, call.nr == SYS_connect ? -EINPROGRESS : -EAGAIN);
}
