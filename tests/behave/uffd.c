/* SPDX-License-Identifier: MIT */
/*
 * What the tests of userfaultfd share.
 */
#include "tests/behave/uffd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

int open_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK));

	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, (long)(O_CLOEXEC | O_NONBLOCK | 1));
	if (fd < 0)
		behave_skip("userfaultfd is not permitted");
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		behave_skip("this kernel's userfaultfd has not that feature");
	}
	return fd;
}

bool arm(int fd, void *at, size_t len, uint64_t mode)
{
	struct uffdio_register reg = {{(uintptr_t)at, len}, mode, 0};

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}

bool armed(const void *at, const char *flag)
{
	struct vma vma;

	return vma_at(at, &vma) && vma_has(&vma, flag);
}

bool serve(int fd, void *at, unsigned int seed)
{
	static char page[65536] __attribute__((aligned(65536)));
	struct uffdio_copy copy = {.dst = (uintptr_t)at, .src = (uintptr_t)page, .len = PAGE};

	fill(page, PAGE, seed);
	return !ioctl(fd, UFFDIO_COPY, &copy) && copy.copy == (long)PAGE;
}

/*
 * poll with a timeout may be cut short where threads are stopped (remap(7), LIMITS): EINTR is no
 * answer.
 */
bool read_event(int fd, struct uffd_msg *msg, int timeout)
{
	struct pollfd p = {fd, POLLIN, 0};
	int n;

	while ((n = poll(&p, 1, timeout)) < 0 && errno == EINTR)
		;
	return n == 1 && read(fd, msg, sizeof(*msg)) == sizeof(*msg);
}

static void *touch(void *arg)
{
	struct touch *t = arg;

	t->value = *t->at;
	return NULL;
}

void touch_start(struct touch *t, void *at)
{
	t->at = at;
	check(!pthread_create(&t->thread, NULL, touch, t));
}

uint64_t touch_end(struct touch *t)
{
	check(!pthread_join(t->thread, NULL));
	return t->value;
}

void check_faults(int fd, char *at)
{
	struct uffd_msg msg;
	struct touch t;

	touch_start(&t, at);
	if (!read_event(fd, &msg, 5000)) {
		touch_end(&t); /* nobody has it wait, then */
		check(!"the fault was reported");
	}
	check_is(msg.event, UFFD_EVENT_PAGEFAULT);
	check_is(msg.arg.pagefault.address & ~(PAGE - 1), (uintptr_t)at & ~(PAGE - 1));
	check(serve(fd, (void *)((uintptr_t)at & ~(PAGE - 1)), 40));
	touch_end(&t);
	check(filled((void *)((uintptr_t)at & ~(PAGE - 1)), PAGE, 40));
}

void check_quiet(int fd, char *at)
{
	struct uffd_msg msg;
	struct touch t;
	bool event;

	touch_start(&t, at);
	event = read_event(fd, &msg, 30);
	if (event)
		serve(fd, (void *)((uintptr_t)at & ~(PAGE - 1)), 0);
	touch_end(&t);
	check(!event);
}
