/* SPDX-License-Identifier: MIT */
/*
 * MADV_DONTNEED beside the first conversion of a process (emul/dontneed.c): a thread that has found
 * no converted memory and is about to make the system call when the range is converted finds zeros
 * afterwards all the same.
 *
 * A seccomp filter with a listener holds the thread there (5.0), and lets its calls go on
 * afterwards (5.5); needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "emul/converted.h"
#include "emul/dontneed.h"
#include "libremap.h"

#define LEN ((size_t)1 << 20)

#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1
#endif

static char *range;
static _Atomic int listener;
static _Atomic bool done;
static long result;

/* Of this thread's calls, madvise(MADV_DONTNEED) is asked about. */
static int listen_to_dontneed(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_DONTNEED, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		&program);
}

static void *let_go(void *arg)
{
	int fd = listen_to_dontneed();

	listener = fd < 0 ? -1 : fd;
	if (fd >= 0)
		result = rm_madvise((uintptr_t)range, LEN, MADV_DONTNEED);
	done = true;
	return arg;
}

/* The next question: false, if there is none within a while, or it was withdrawn. */
static bool receive(struct seccomp_notif *question)
{
	struct pollfd p = {listener, POLLIN, 0};

	memset(question, 0, sizeof(*question));
	return poll(&p, 1, 100) == 1 && (p.revents & POLLIN) &&
	       !ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, question);
}

static bool let_go_on(const struct seccomp_notif *question)
{
	struct seccomp_notif_resp answer = {
		.id = question->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

	/* what was withdrawn by a signal is asked again */
	return !ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) || errno == ENOENT;
}

enum { NO_LISTENER = 77 };

static int convert_while_it_waits(void *arg)
{
	struct seccomp_notif question;
	pthread_t thread;
	bool asked = false;

	(void)arg;
	range = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(range, 7, LEN);
	listener = 0;
	if (pthread_create(&thread, NULL, let_go, NULL))
		return 1;
	while (!listener)
		usleep(100);
	if (listener < 0)
		return NO_LISTENER;
	while (!asked)
		asked = receive(&question);
	/* it has looked, and found nothing */
	if (rm_converted_any())
		return 2;
	if (remap_prepare(range, LEN, REMAP_PREPARE_MIRROR))
		return 3;
	if (range[LEN - 1] != 7)
		return 4;
	do {
		if (!let_go_on(&question))
			return errno == EINVAL ? NO_LISTENER : 5;
		while (!done && !receive(&question))
			;
	} while (!done);
	/* not joined: libc lets go of its stack in the same way, and nobody would let that go on */
	if (result)
		return 6;
	for (size_t i = 0; i < LEN; i++)
		if (range[i])
			return 7;
	return 0;
}

static int status;

static void content_does_not_survive_it(void **state)
{
	(void)state;
	assert_child_ok(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_does_not_survive_it),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	status = unit_in_child(convert_while_it_waits, NULL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_LISTENER)
		return unit_skip_all("no seccomp filter with a listener that lets calls go on");
	return unit_run(tests);
}
