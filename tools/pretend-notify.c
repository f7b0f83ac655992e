/* SPDX-License-Identifier: MIT */
/*
 * pretend-notify.c - the server that answers what a filter cannot decide
 *
 * A grandchild of remap-run, started before the filters are loaded and therefore not under them. It gets the seccomp
 * listener through a socket, answers the command and all its descendants, and leaves when the last of them is gone
 * (POLLHUP). The command is not its child: pid, parent, signals, job control and exit status stay the command's own.
 * If the server dies, the calls it would have answered fail with ENOSYS, so it ignores every signal that can be ignored,
 * sits in a session of its own, and holds neither the terminal nor anybody's pipes open (with --debug it keeps stderr).
 *
 * What can go wrong, and what is done:
 *
 *	RECV fails with ENOENT, EINTR		the caller died or a signal came first: wait for the next
 *	the caller dies while being answered	SEND gives ENOENT: nothing to do
 *	the target cannot be read (Yama, dumpable)	the call goes on as this kernel does it; --debug says so
 *	a call that nobody handles		goes on
 *
 * One request at a time. A target's struct that lies in memory armed with a userfaultfd can make the server wait for
 * that fault; the target would have waited in the same place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/errname.h"
#include "tools/pretend.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1UL /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, 6.6 */

/* The kernel's structures may have grown since this was compiled (SECCOMP_GET_NOTIF_SIZES). */
struct buffers {
	struct seccomp_notif *request;
	struct seccomp_notif_resp *response;
	size_t request_size;
	size_t response_size;
};

struct counters {
	unsigned long asked, refused, answered, unsent;
};

bool rm_asked_alive(const struct rm_asked *asked)
{
	uint64_t id = asked->id;

	return ioctl(asked->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* The word that membarrier(QUERY) returns is the same for all processes, so ours will do. */
static void answer_membarrier(const struct rm_asked *asked, struct rm_answer *answer)
{
	long ret = syscall(
		SYS_membarrier, (int)asked->args[0], (unsigned)asked->args[1], (int)asked->args[2]);

	answer->go_on = false;
	if (ret < 0)
		answer->err = errno;
	else
		answer->val = (int64_t)((uint64_t)ret &
					~rm_word_unknown(RM_WORD_MEMBARRIER, asked->kernel));
}

/* SECCOMP_GET_ACTION_AVAIL: flags must be 0, args points at the action. */
static void answer_seccomp(const struct rm_asked *asked, struct rm_answer *answer)
{
	uint32_t action = 0;
	struct iovec here = {&action, sizeof(action)};
	struct iovec there = {(void *)(uintptr_t)asked->args[2], sizeof(action)};

	if ((unsigned)asked->args[1] != 0 ||
		process_vm_readv(asked->tid, &here, 1, &there, 1, 0) != (ssize_t)sizeof(action))
		return;
	if (action != SECCOMP_RET_USER_NOTIF ||
		!rm_rule_applies(RM_RULE_ACTION_AVAIL, asked->kernel))
		return;
	answer->go_on = false;
	answer->err = EOPNOTSUPP;
}

static const struct {
	long nr;
	const char *name;
	void (*answer)(const struct rm_asked *asked, struct rm_answer *answer);
} handlers[] = {
	{SYS_mremap, "mremap", rm_answer_mremap},
	{SYS_ioctl, "ioctl", rm_answer_ioctl},
	{SYS_membarrier, "membarrier", answer_membarrier},
	{SYS_seccomp, "seccomp", answer_seccomp},
};

static int buffers_alloc(struct buffers *buffers)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	buffers->request_size = sizes.seccomp_notif;
	buffers->response_size = sizes.seccomp_notif_resp;
	if (buffers->request_size < sizeof(*buffers->request))
		buffers->request_size = sizeof(*buffers->request);
	if (buffers->response_size < sizeof(*buffers->response))
		buffers->response_size = sizeof(*buffers->response);
	buffers->request = calloc(1, buffers->request_size);
	buffers->response = calloc(1, buffers->response_size);
	return buffers->request && buffers->response ? 0 : -ENOMEM;
}

static void log_answer(
	const struct seccomp_notif *request, const char *name, const struct rm_answer *answer)
{
	const __u64 *a = request->data.args;

	fprintf(stderr, "remap-run: %s(%#llx, %#llx, %#llx, %#llx, %#llx) of %u: ", name,
		(unsigned long long)a[0], (unsigned long long)a[1], (unsigned long long)a[2],
		(unsigned long long)a[3], (unsigned long long)a[4], request->pid);
	if (answer->go_on)
		fputs("goes on\n", stderr);
	else if (answer->err)
		fprintf(stderr, "%s\n", rm_errname(answer->err));
	else
		fprintf(stderr, "= %#llx\n", (unsigned long long)answer->val);
}

static void serve_one(const struct rm_pretend *pretend, int listener, struct buffers *buffers,
	struct counters *counters)
{
	struct seccomp_notif *request = buffers->request;
	struct seccomp_notif_resp *response = buffers->response;
	struct rm_answer answer = {.go_on = true};
	struct rm_asked asked;
	uint64_t args[6];
	const char *name = "?";
	size_t i;

	/* The kernel wants it zeroed (EINVAL). */
	memset(request, 0, buffers->request_size);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request) < 0)
		return;
	for (i = 0; i < 6; i++)
		args[i] = request->data.args[i];
	asked = (struct rm_asked){.kernel = pretend->kernel,
		.listener = listener,
		.id = request->id,
		.tid = (pid_t)request->pid,
		.nr = request->data.nr,
		.args = args};
	counters->asked++;
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].nr != asked.nr)
			continue;
		name = handlers[i].name;
		handlers[i].answer(&asked, &answer);
	}
	if (pretend->debug)
		log_answer(request, name, &answer);

	memset(response, 0, buffers->response_size);
	response->id = request->id;
	if (answer.go_on) {
		response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	} else if (answer.err) {
		response->error = -answer.err;
		counters->refused++;
	} else {
		response->val = answer.val;
		counters->answered++;
	}
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response) < 0)
		counters->unsent++;
}

static void serve(const struct rm_pretend *pretend, int listener)
{
	struct pollfd pollfd = {.fd = listener, .events = POLLIN};
	struct counters counters = {0};
	struct buffers buffers = {0};

	if (buffers_alloc(&buffers) < 0)
		_exit(125);
	/*
	 * Caller and server take turns: let the wake-up stay on one CPU. Not needed for being
	 * right.
	 */
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
	for (;;) {
		if (poll(&pollfd, 1, -1) < 0)
			continue;
		if (pollfd.revents & POLLIN)
			serve_one(pretend, listener, &buffers, &counters);
		else if (pollfd.revents)
			break;
	}
	if (pretend->debug)
		fprintf(stderr,
			"remap-run: pretended %u.%u: %lu calls asked about, %lu refused, %lu "
			"answered, %lu gone\n",
			pretend->kernel >> 8, pretend->kernel & 0xff, counters.asked,
			counters.refused, counters.answered, counters.unsent);
	_exit(0);
}

static int recv_listener(int sock)
{
	union {
		struct cmsghdr header;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	struct cmsghdr *header;
	int listener;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&listener, CMSG_DATA(header), sizeof(listener));
	return listener;
}

/*
 * Nothing of the command's surroundings may be kept busy by a process that outlives it for a
 * moment.
 */
static void detach(const struct rm_pretend *pretend, int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd, sig;

	prctl(PR_SET_NAME, "remap-run-serve", 0, 0, 0);
	setsid();
	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_IGN);
	if (chdir("/") < 0 || null < 0)
		_exit(125);
	dup2(null, 0);
	dup2(null, 1);
	if (!pretend->debug)
		dup2(null, 2);
	/* sock becomes 3, everything above goes. */
	if (sock != 3)
		dup2(sock, 3);
	if (syscall(436 /* close_range, 5.9 */, 4, ~0u, 0) < 0)
		for (fd = 4; fd < 65536; fd++)
			close(fd);
}

int rm_notify_start(const struct rm_pretend *pretend, pid_t *server)
{
	int socks[2];
	int listener;
	int status;
	pid_t child;
	int ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0)
		return -errno;
	child = fork();
	if (child < 0) {
		ret = -errno;
		close(socks[0]);
		close(socks[1]);
		return ret;
	}
	if (child == 0) {
		/* Twice: the command must not find a child that it never made. */
		child = fork();
		if (child != 0)
			_exit(child < 0 ? 125 : 0);
		close(socks[0]);
		detach(pretend, socks[1]);
		child = getpid();
		if (write(3, &child, sizeof(child)) != (ssize_t)sizeof(child))
			_exit(125);
		listener = recv_listener(3);
		if (listener < 0)
			_exit(125);
		if (write(3, "", 1) != 1)
			_exit(125);
		close(3);
		serve(pretend, listener);
	}
	close(socks[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (read(socks[0], server, sizeof(*server)) != (ssize_t)sizeof(*server)) {
		close(socks[0]);
		return -ECHILD;
	}
	return socks[0];
}

int rm_notify_hand_over(int sock, int listener)
{
	union {
		struct cmsghdr header;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {.buf = {0}};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != 1)
		return -errno;
	return read(sock, &byte, 1) == 1 ? 0 : -EPIPE;
}
