/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd with EVENT_REMAP holds who moves its range until the event was read. Meanwhile
 * everybody else goes on, and moves what they like, the monitor itself above all: it may do so
 * before it reads. Needs userfaultfd(2), as root or with vm.unprivileged_userfaultfd.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "tests/behave/behave.h"

static struct arena a;

static void *move_armed(void *arg)
{
	(void)arg;
	return mremap(a.source, a.len, a.len, ONTO, a.target);
}

/* In a child, which does not live for ever if this hangs. */
static void monitor(void *arg)
{
	const int *flags = arg;
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMAP};
	int fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK));
	struct uffdio_register reg = {{(uintptr_t)a.source, a.len}, 1, 0};
	struct pollfd p = {fd, POLLIN, 0};
	struct uffd_msg msg;
	pthread_t mover;
	char *own, *to;
	void *moved;

	check(!ioctl(fd, UFFDIO_API, &api));
	check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	own = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	fill(own, 4 * PAGE, 2);
	check(!pthread_create(&mover, NULL, move_armed, NULL));
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	/* there is an event, and nobody has read it yet */
	to = mremap(own, 4 * PAGE, 4 * PAGE, ANYWHERE, NULL);
	check(to != MAP_FAILED);
	check(filled(to, 4 * PAGE, 2) && zeroed(own, 4 * PAGE));
	check_is(pthread_tryjoin_np(mover, NULL), EBUSY);
	check_is(read(fd, &msg, sizeof(msg)), sizeof(msg));
	check_is(msg.event, UFFD_EVENT_REMAP);
	check(!pthread_join(mover, &moved));
	check(moved == a.target);
	check(filled(a.target, a.len, *flags & MAP_SHARED ? 3 : 1));
}

static void can_move(int flags, unsigned int seed)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMAP};
	int fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK));
	struct uffdio_register reg;

	if (fd < 0)
		behave_skip("userfaultfd is not permitted");
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		behave_skip("this kernel's userfaultfd does not tell of moves");
	}
	arena_make(&a, 8);
	arena_map(&a, RW, flags, -1);
	fill(a.source, a.len, seed);
	reg = (struct uffdio_register){{(uintptr_t)a.source, a.len}, 1, 0};
	if (ioctl(fd, UFFDIO_REGISTER, &reg)) {
		close(fd);
		arena_end(&a);
		behave_skip("this kernel's userfaultfd takes no shared memory");
	}
	close(fd); /* the child has its own */
	in_child(monitor, &flags);
	arena_end(&a);
}

static void private_memory(void **state)
{
	(void)state;
	can_move(ANON, 1);
}

static void shared_memory(void **state)
{
	(void)state;
	can_move(MAP_SHARED | MAP_ANONYMOUS, 3);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		CASE(private_memory, "a-monitor-can-move-before-it-reads-private"),
		CASE(shared_memory, "a-monitor-can-move-before-it-reads-shared"),
	};

	return BEHAVE_RUN(cases);
}
