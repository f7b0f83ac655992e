/* SPDX-License-Identifier: MIT */
/*
 * kernel-probe-uffd.c - what userfaultfd can do here
 *
 * An unprivileged caller may get only a USER_MODE_ONLY userfaultfd, or none: then the answer begins
 * with "no", which says nothing about the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel-probe.h"
#include "tools/errname.h"

static char *map_page(void)
{
	return mmap(NULL, rm_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int new_uffd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
	return fd;
}

void rm_ask_uffd(const struct question *question, char *answer)
{
	int fd = (int)syscall(SYS_userfaultfd, (int)question->a);

	if (fd < 0 && errno == EPERM && geteuid() != 0)
		rm_say(answer, "no userfaultfd for this user");
	else
		rm_say_ok_or_errno(answer, fd);
}

/* An initialised userfaultfd, or -1 with the answer filled in. */
static int api_uffd(struct uffdio_api *api, char *answer)
{
	int fd = new_uffd();

	*api = (struct uffdio_api){.api = UFFD_API};
	if (fd < 0)
		rm_say(answer, "no userfaultfd here (%s)", rm_errname(errno));
	else if (ioctl(fd, UFFDIO_API, api) == 0)
		return fd;
	else
		rm_say(answer, "no UFFDIO_API (%s)", rm_errname(errno));
	return -1;
}

/* a: 0 the feature word, 1 the ioctls */
void rm_ask_uffd_api(const struct question *question, char *answer)
{
	struct uffdio_api api;

	if (api_uffd(&api, answer) >= 0)
		rm_say(answer, "%#llx", question->a ? api.ioctls : api.features);
}

/*
 * a: a feature to ask for. Not in kernel-answers.md: known or EINVAL, and then a zeroed struct and
 * a usable fd
 */
void rm_ask_uffd_feature(const struct question *question, char *answer)
{
	struct uffdio_api api = {.api = UFFD_API, .features = (uint64_t)question->a};
	int fd = new_uffd();

	if (fd < 0) {
		rm_say(answer, "no userfaultfd here (%s)", rm_errname(errno));
		return;
	}
	if (ioctl(fd, UFFDIO_API, &api) == 0) {
		rm_say(answer, "ok");
		return;
	}
	rm_say_errno(answer);
	if (api.api || api.features || api.ioctls)
		rm_say(answer + strlen(answer), ", struct not zeroed");
	api = (struct uffdio_api){.api = UFFD_API};
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		rm_say(answer + strlen(answer), ", fd spoilt");
}

/* a: mode */
void rm_ask_uffd_register(const struct question *question, char *answer)
{
	static const struct {
		unsigned bit;
		const char *name;
	} ioctls[] = {{3, "COPY"}, {4, "ZEROPAGE"}, {5, "MOVE"}, {6, "WP"}, {7, "CONTINUE"},
		{8, "POISON"}};
	struct uffdio_register reg = {.mode = (uint64_t)question->a};
	struct uffdio_api api;
	const char *before = ": ";
	size_t i, len;
	char *p;
	int fd = api_uffd(&api, answer);

	if (fd < 0)
		return;
	p = rm_region(question, &len, answer);
	if (!p)
		return;
	reg.range.start = (uintptr_t)p;
	reg.range.len = len;
	if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
		rm_say_errno(answer);
		return;
	}
	rm_say(answer, "ok");
	for (i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++) {
		if (!(reg.ioctls >> ioctls[i].bit & 1))
			continue;
		rm_say(answer + strlen(answer), "%s%s", before, ioctls[i].name);
		before = ",";
	}
}

void rm_ask_uffd_move(const struct question *question, char *answer)
{
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api;
	int fd = api_uffd(&api, answer);
	char *from = map_page();
	char *to = map_page();
	uint64_t move[5] = {(uintptr_t)to, (uintptr_t)from, rm_page, 0, 0};

	(void)question;
	if (fd < 0)
		return;
	*from = 'A';
	reg.range.start = (uintptr_t)to;
	reg.range.len = rm_page;
	if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
		rm_say(answer, "no UFFDIO_REGISTER (%s)", rm_errname(errno));
		return;
	}
	rm_say_ok_or_errno(answer, ioctl(fd, 0xc028aa05, move));
}
