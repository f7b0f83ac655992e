/* SPDX-License-Identifier: MIT */
/*
 * The parent that fails the child's system calls, and the child's filter.
 */
#include "tests/faults/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
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
#include "tests/faults/faults.h"

struct inject_control *inject;

static const struct inject_failing failing[] = {
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
	{SYS_clone, "clone", {EAGAIN, ENOMEM}},
	{SYS_userfaultfd, "userfaultfd", {EPERM, EMFILE}},
	{SYS_memfd_create, "memfd_create", {EMFILE, EACCES}},
	{SYS_ftruncate, "ftruncate", {ENOMEM, EFBIG}},
	{SYS_prlimit64, "prlimit64", {EPERM}},
	{SYS_mincore, "mincore", {EAGAIN, ENOMEM}},
	{SYS_pread64, "pread64", {EIO, ENOMEM}},
	{SYS_process_vm_readv, "process_vm_readv", {EPERM, EFAULT}},
};

const struct inject_failing *inject_failing(int nr)
{
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++)
		if (failing[i].nr == nr)
			return &failing[i];
	return NULL;
}

/* --- the parent --- */

static bool goes_to_target(const struct inject_test *test, const struct seccomp_data *d)
{
	const uintptr_t to = (uintptr_t)(d->nr == SYS_mmap ? d->args[0] : d->args[4]);

	return ((d->nr == SYS_mmap && (d->args[3] & MAP_FIXED)) ||
		       (d->nr == SYS_mremap && (d->args[3] & MREMAP_FIXED))) &&
	       to >= DESTINATION && to < DESTINATION + test->target_len;
}

static int error_for(
	const struct inject_test *test, enum inject_who who, const struct seccomp_data *d)
{
	const int k = ++inject->count[who];

	if (k <= INJECT_CALLS) {
		inject->calls[who][k - 1].nr = d->nr;
		for (int i = 0; i < 6; i++)
			inject->calls[who][k - 1].args[i] = (long)d->args[i];
	}
	/*
	 * Who stops threads looks at the slow ones more often on some days: the next call of that
	 * kind, then.
	 */
	if (inject->failed || !inject->fail_at || k < inject->fail_at || k > INJECT_CALLS ||
		who != inject->fail_who || d->nr != inject->fail_nr)
		return test->error_of(test->arg, d);
	inject->failed = true;
	inject->fail_at = k;
	return inject->error;
}

static void answer(
	const struct inject_test *test, int listener, pid_t pid, const struct seccomp_notif *req)
{
	struct seccomp_notif_resp resp = {.id = req->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	int error = 0;

	if (inject->active && inject_failing(req->data.nr)) {
		error = error_for(
			test, (pid_t)req->pid == pid ? INJECT_CALLER : INJECT_BESIDE, &req->data);
		if (!error && goes_to_target(test, &req->data))
			inject->target_touched = true;
	}
	if (error) {
		resp.flags = 0;
		resp.error = -error;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

void inject_begin(void)
{
	inject->rounds++;
	inject->active = true;
}

/* Serves until the child is gone: its status. A child that hangs is killed. */
static int supervise(const struct inject_test *test, int listener, pid_t pid)
{
	time_t end = time(NULL) + test->seconds;
	unsigned int rounds = 0;
	int status = -1;

	for (;;) {
		struct pollfd p = {listener, POLLIN, 0};
		struct seccomp_notif req;

		if (rounds != inject->rounds) {
			rounds = inject->rounds;
			end = time(NULL) + test->seconds;
		}
		if (poll(&p, 1, 100) > 0 && (p.revents & POLLIN)) {
			memset(&req, 0, sizeof(req));
			if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
				answer(test, listener, pid, &req);
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

static int child(const struct inject_test *test, int channel)
{
	int listener;
	bool ok;

	if (!test->begin(test->arg) || (listener = install_filter()) < 0 ||
		!pass_fd(channel, listener))
		return 1;
	close(listener);
	close(channel);
	ok = test->run(test->arg);
	fflush(stdout);
	return ok ? 0 : 1;
}

bool inject_run(unsigned int number, const char *name, const struct inject_test *test)
{
	int channel[2], listener, status;
	bool passed;
	pid_t pid;

	fflush(stdout);
	memset(inject, 0, sizeof(*inject));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel))
		return false;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(channel[0]);
		_exit(child(test, channel[1]));
	}
	close(channel[1]);
	listener = take_fd(channel[0]);
	status = listener < 0 ? -1 : supervise(test, listener, pid);
	if (listener < 0)
		waitpid(pid, &status, 0);
	close(listener);
	close(channel[0]);
	passed = WIFEXITED(status) && !WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		printf("#   died by signal %d%s in call %d (fails: %d)\n", WTERMSIG(status),
			WTERMSIG(status) == SIGKILL ? ": it hung" : "",
			inject->count[inject->fail_who], inject->fail_at);
	printf("%s %u - %s: every system call fails\n", passed ? "ok" : "not ok", number, name);
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

bool inject_available(void)
{
	if (!have_continue()) {
		puts("1..0 # SKIP no seccomp user notification");
		return false;
	}
	inject = mmap(
		NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (inject == MAP_FAILED) {
		puts("Bail out! no memory to be shared");
		exit(99);
	}
	return true;
}
