/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the engine makes fails once, from outside: the engine under test is the
 * one in production, no hook is set. After each failure all must be as scenario_check_failure says,
 * or, where the engine found another way, as scenario_check_success says.
 *
 * A child process makes the calls under a seccomp filter that hands to its parent whatever leaves
 * from rm_syscall, and nothing else: the test's own calls, and libc's, are not seen. The parent
 * counts, and fails the k-th with each errno that the call can give; k runs over all of a call that
 * succeeds. munmap is let through: memory that can not be unmapped is left over by any program.
 * Needs seccomp user notification with CONTINUE (5.5), and /proc.
 */
#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emul/sys.h"

#define MAX_CALLS      512
#define CHILD_SECONDS  60
#define EVERY_NTH_READ 6 /* smaps is read in many small pieces, which are all alike */

/* What the parent and the child share. */
static struct control {
	_Atomic bool active;
	int fail_at, error; /* the call's number, from 1; 0: none */
	_Atomic int count;
	_Atomic bool target_touched; /* a MREMAP_FIXED destination was replaced */
	bool late_done;		     /* the failure that a scenario begins with was made */
	struct {
		int nr;
		long args[6];
	} calls[MAX_CALLS];
} * control;

static const struct failing {
	int nr;
	const char *name;
	int errors[3];
} failing[] = {
	{SYS_mmap, "mmap", {ENOMEM, EPERM}},
	{SYS_mprotect, "mprotect", {ENOMEM, EACCES}},
	{SYS_pkey_mprotect, "pkey_mprotect", {ENOMEM, EINVAL}},
	{SYS_mremap, "mremap", {ENOMEM, EFAULT}},
	{SYS_madvise, "madvise", {ENOMEM, EAGAIN}},
	{SYS_mlock, "mlock", {ENOMEM, EAGAIN}},
	{SYS_mlock2, "mlock2", {ENOMEM, EAGAIN}},
	{SYS_munlock, "munlock", {ENOMEM}},
	{SYS_mbind, "mbind", {ENOMEM, EPERM}},
	{SYS_get_mempolicy, "get_mempolicy", {ENOSYS, EINVAL}},
	{SYS_prctl, "prctl", {EINVAL}},
	{SYS_openat, "openat", {EMFILE, EACCES}},
	{SYS_read, "read", {EIO, ENOMEM}},
	{SYS_getdents64, "getdents64", {EIO, ENOENT}},
	{SYS_lseek, "lseek", {EINVAL}},
	{SYS_readlinkat, "readlinkat", {EACCES}},
	{SYS_newfstatat, "newfstatat", {EACCES}},
	{SYS_fstat, "fstat", {EIO}},
	{SYS_ioctl, "ioctl", {ENOMEM, EBUSY}},
	{SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", {EPERM, EAGAIN}},
	{SYS_rt_sigaction, "rt_sigaction", {EINVAL}},
	{SYS_clone, "clone", {EAGAIN}},
};
#define FAILING (sizeof(failing) / sizeof(failing[0]))

static const struct failing *failing_of(int nr)
{
	for (size_t i = 0; i < FAILING; i++)
		if (failing[i].nr == nr)
			return &failing[i];
	return NULL;
}

/* --- the parent --- */

static bool goes_to_target(const struct seccomp_data *d)
{
	const uintptr_t to = (uintptr_t)(d->nr == SYS_mmap ? d->args[0] : d->args[4]);

	return ((d->nr == SYS_mmap && (d->args[3] & MAP_FIXED)) ||
		       (d->nr == SYS_mremap && (d->args[3] & MREMAP_FIXED))) &&
	       to >= DESTINATION && to < DESTINATION + (PAGES + 2) * PAGE;
}

/* What a scenario begins with: no room for the twin, or nobody to be stopped. */
static int scenario_error(const struct scenario *s, const struct seccomp_data *d)
{
	if ((s->flags & SECOND_VIEW) && d->nr == SYS_rt_tgsigqueueinfo)
		return EPERM;
	if (!(s->flags & LATE) || control->late_done)
		return 0;
	if ((d->nr == SYS_mmap && !d->args[0] && !(d->args[3] & MAP_NORESERVE)) ||
		(d->nr == SYS_mremap && !d->args[1])) {
		control->late_done = true;
		return ENOMEM;
	}
	return 0;
}

static void answer(const struct scenario *s, int listener, const struct seccomp_notif *req)
{
	struct seccomp_notif_resp resp = {.id = req->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	int error = 0;

	if (control->active && failing_of(req->data.nr)) {
		int k = ++control->count;

		if (k <= MAX_CALLS) {
			control->calls[k - 1].nr = req->data.nr;
			for (int i = 0; i < 6; i++)
				control->calls[k - 1].args[i] = (long)req->data.args[i];
		}
		error = k == control->fail_at ? control->error : scenario_error(s, &req->data);
		if (!error && goes_to_target(&req->data))
			control->target_touched = true;
	}
	if (error) {
		resp.flags = 0;
		resp.error = -error;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

/* Serves until the child is gone: its status. A child that hangs is killed. */
static int supervise(const struct scenario *s, int listener, pid_t pid)
{
	const time_t end = time(NULL) + CHILD_SECONDS;
	int status = -1;

	for (;;) {
		struct pollfd p = {listener, POLLIN, 0};
		struct seccomp_notif req;

		if (poll(&p, 1, 100) > 0 && (p.revents & POLLIN)) {
			memset(&req, 0, sizeof(req));
			if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
				answer(s, listener, &req);
			if (time(NULL) <= end)
				continue;
		}
		if (time(NULL) > end)
			kill(pid, SIGKILL);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
	}
}

/* --- the child --- */

static int install_filter(void)
{
	const uintptr_t stub = (uintptr_t)&rm_syscall;
	const uint32_t high = (uint32_t)(stub >> 32), low = (uint32_t)stub;
	/* the stub is on a page of its own, so its addresses have one upper half */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low + 64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

static bool pass_fd(int channel, int fd)
{
	char byte = 'f', room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(channel, &msg, 0) == 1;
}

static int take_fd(int channel)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room)};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(channel, &msg, MSG_CMSG_CLOEXEC) != 1 || !(c = CMSG_FIRSTHDR(&msg)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static long call(const struct scenario *s, int fail_at, int error)
{
	long r;

	control->fail_at = fail_at;
	control->error = error;
	control->count = 0;
	control->target_touched = control->late_done = false;
	control->active = true;
	r = scenario_call(s);
	control->active = false;
	return r;
}

static bool fail_call(
	const struct scenario *s, int k, const struct failing *f, int error, const long *args)
{
	bool ok, failed;
	long r;

	if (!scenario_set_up(s))
		return false;
	r = call(s, k, error);
	failed = r < 0 && r > -4096;
	ok = failed ? scenario_check_failure(s, r, control->target_touched)
		    : scenario_check_success(s, r);
	if (!ok)
		printf("#   returned %ld (%s) when call %d failed with %s: %s(%lx, %lx, %lx, %lx, "
		       "%lx)\n",
			r, failed ? strerror((int)-r) : "success", k, strerror(error), f->name,
			args[0], args[1], args[2], args[3], args[4]);
	return ok;
}

static bool every_call_fails(const struct scenario *s)
{
	static struct control first;
	int calls, reads = 0;
	bool ok = true;
	long r;

	if (!scenario_set_up(s))
		return false;
	r = call(s, 0, 0);
	if (r < 0 && r > -4096) {
		printf("#   returned %ld (%s) although nothing failed\n", r, strerror((int)-r));
		return s->kind == KIND_SEVERAL && (s->flags & TARGET_ARMED);
	}
	if (!scenario_check_success(s, r))
		return false;
	memcpy(&first, control, sizeof(first));
	calls = first.count < MAX_CALLS ? first.count : MAX_CALLS;
	for (int k = 1; k <= calls; k++) {
		const struct failing *f = failing_of(first.calls[k - 1].nr);

		if (f->nr == SYS_read && reads++ % EVERY_NTH_READ)
			continue;
		for (const int *e = f->errors; *e; e++)
			ok &= fail_call(s, k, f, *e, first.calls[k - 1].args);
	}
	printf("#   %d system calls\n", calls);
	return ok;
}

static int child(const struct scenario *s, int channel)
{
	int listener;
	bool ok;

	if (!scenario_begin(s) || (listener = install_filter()) < 0 || !pass_fd(channel, listener))
		return 1;
	close(listener);
	close(channel);
	ok = every_call_fails(s);
	fflush(stdout);
	return ok ? 0 : 1;
}

static bool test_scenario(unsigned int number, const struct scenario *s)
{
	int channel[2], listener, status;
	bool passed;
	pid_t pid;

	fflush(stdout);
	memset(control, 0, sizeof(*control));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel))
		return false;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(channel[0]);
		_exit(child(s, channel[1]));
	}
	close(channel[1]);
	listener = take_fd(channel[0]);
	status = listener < 0 ? -1 : supervise(s, listener, pid);
	if (listener < 0)
		waitpid(pid, &status, 0);
	close(listener);
	close(channel[0]);
	passed = WIFEXITED(status) && !WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		printf("#   died by signal %d%s in call %d (fails: %d)\n", WTERMSIG(status),
			WTERMSIG(status) == SIGKILL ? ": it hung" : "", control->count,
			control->fail_at);
	printf("%s %u - %s: every system call fails\n", passed ? "ok" : "not ok", number, s->name);
	return passed;
}

static bool have_continue(void)
{
	const unsigned int action = SECCOMP_RET_USER_NOTIF;
	struct seccomp_notif_sizes sizes;

	return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) &&
	       !syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) &&
	       sizes.seccomp_notif <= sizeof(struct seccomp_notif) &&
	       sizes.seccomp_notif_resp <= sizeof(struct seccomp_notif_resp);
}

int main(int argc, char **argv)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	unsigned int number = 0;
	bool ok = true;

	if (!have_continue()) {
		puts("1..0 # SKIP no seccomp user notification");
		return 77;
	}
	close(uffd);
	setenv("LIBREMAP_CONF", "native:no", 1);
	control = mmap(
		NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (control == MAP_FAILED)
		return 99;
	for (size_t i = 0; i < scenario_count; i++) {
		const struct scenario *s = &scenarios[i];

		if (argc > 1 && !strstr(s->name, argv[1]))
			continue;
		/* what is left of several mappings in the middle is the hook's test's */
		if (s->kind == KIND_SEVERAL)
			continue;
		if ((s->flags & (ARMED | TARGET_ARMED)) && uffd < 0)
			printf("ok %u - %s # SKIP no userfaultfd for this user\n", ++number,
				s->name);
		else
			ok &= test_scenario(++number, s);
	}
	printf("1..%u\n", number);
	return ok ? 0 : 1;
}
