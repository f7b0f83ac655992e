/* SPDX-License-Identifier: MIT */
/*
 * Finding and renewing the program's userfaultfd registration.
 *
 * The mapping's VmFlags say that it is armed and how, not by which descriptor. Registering the same
 * range with the same mode again is a no-op for the owner and EBUSY for everybody else
 * (semantics.md 7), so every userfaultfd that /proc/self/fd shows is asked. That finds descriptors
 * however they were come by: made by the system call or by /dev/userfaultfd, received over a
 * socket, duplicated, opened before the library was loaded. What was asked for in UFFDIO_API stands
 * in fdinfo ("API: aa:FEATURES:...").
 *
 * A userfaultfd acts on the memory of the process that made it, also in the hands of another: of a
 * forked child, or of who was sent it. Asked for our range it would arm that range over there. So
 * it is first asked for a page of our own at an address where hardly another process has memory;
 * the kernel refuses a range that is not mapped.
 *
 * A descriptor that only another process holds can not be found; such a range is refused by the
 * caller.
 */
#include "emul/uffd.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>

#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/sys.h"
#include "emul/world.h"

#ifndef UFFDIO_REGISTER_MODE_MINOR
#define UFFDIO_REGISTER_MODE_MINOR ((uint64_t)1 << 2)
#endif

#define NEW_UFFD  _IO(0xAA, 0) /* USERFAULTFD_IOC_NEW of /dev/userfaultfd, 6.1 */
#define USER_ONLY 1	       /* UFFD_USER_MODE_ONLY, 5.11 */

static uint64_t mode_of(uint32_t vmflags)
{
	return (vmflags & RM_VF_UFFD_MISSING ? UFFDIO_REGISTER_MODE_MISSING : 0) |
	       (vmflags & RM_VF_UFFD_WP ? UFFDIO_REGISTER_MODE_WP : 0) |
	       (vmflags & RM_VF_UFFD_MINOR ? UFFDIO_REGISTER_MODE_MINOR : 0);
}

static int register_range(int fd, uint64_t mode, struct rm_range range)
{
	struct uffdio_register reg;

	memset(&reg, 0, sizeof(reg));
	reg.range.start = range.start;
	reg.range.len = range.len;
	reg.mode = mode;
	return (int)rm_sys_ioctl(fd, UFFDIO_REGISTER, &reg);
}

int rm_uffd_open(int flags, uint64_t features)
{
	struct uffdio_api api;
	long fd, device;

	flags |= O_CLOEXEC | O_NONBLOCK;
	fd = rm_syscall(SYS_userfaultfd, flags, 0, 0, 0, 0, 0);
	if (fd == -EPERM) {
		device = rm_sys_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);
		if (device >= 0) {
			fd = rm_sys_ioctl((int)device, NEW_UFFD, (void *)(uintptr_t)flags);
			rm_sys_close((int)device);
		}
	}
	fd = rm_fd_aside(fd);
	if (fd < 0)
		return (int)fd;
	memset(&api, 0, sizeof(api));
	api.api = UFFD_API;
	api.features = features;
	if (rm_sys_ioctl((int)fd, UFFDIO_API, &api)) {
		rm_sys_close((int)fd);
		return -EINVAL;
	}
	return (int)fd;
}

int rm_uffd_watch(int fd, struct rm_range range)
{
	return register_range(fd, UFFDIO_REGISTER_MODE_MISSING, range);
}

int rm_uffd_open_own(uint64_t features)
{
	int fd = rm_uffd_open(USER_ONLY, features);

	return fd == -EINVAL ? rm_uffd_open(0, features) : fd;
}

int rm_uffd_set_apart(struct rm_range range)
{
	int fd = rm_uffd_open_own(0), r;

	if (fd < 0)
		return fd;
	r = rm_uffd_watch(fd, range);
	if (r)
		rm_sys_close(fd);
	return r ? r : fd;
}

/* What was asked for in UFFDIO_API: 0, or -errno if that can not be learned. */
static int read_features(int fd, uint64_t *features)
{
	char path[64], text[512], *p;
	long info, got;

	rm_format(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	info = rm_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (info < 0)
		return (int)info;
	got = rm_sys_read((int)info, text, sizeof(text) - 1);
	rm_sys_close((int)info);
	if (got < 0)
		return (int)got;
	text[got] = '\0';
	p = strstr(text, "API:");
	p = p ? strchr(p + 4, ':') : NULL; /* behind "aa" */
	if (!p)
		return -EIO;
	*features = 0;
	for (p++; *p; p++) {
		unsigned int digit = *p >= '0' && *p <= '9'   ? (unsigned int)(*p - '0')
				     : *p >= 'a' && *p <= 'f' ? (unsigned int)(*p - 'a') + 10
							      : 16;
		if (digit == 16)
			break;
		*features = *features << 4 | digit;
	}
	return 0;
}

static bool is_userfaultfd(int dir, int fd)
{
	static const char wanted[] = "anon_inode:[userfaultfd]";
	char name[16], link[sizeof(wanted)];

	rm_format(name, sizeof(name), "%d", fd);
	return rm_sys_readlinkat(dir, name, link, sizeof(link)) == (long)sizeof(wanted) - 1 &&
	       !memcmp(link, wanted, sizeof(wanted) - 1);
}

/* The page that descriptors are asked for first. */
static int map_test_page(struct rm_range *page)
{
	long at = rm_map_own(page->len, PROT_READ | PROT_WRITE);

	page->start = (uintptr_t)at;
	return rm_is_err(at) ? (int)at : 0;
}

/*
 * Whether the descriptor watches this process's memory. A page that can not be disarmed is given
 * up, *page is another: unmapping it would be told to the program's monitor.
 */
static bool is_of_this_memory(int fd, struct rm_range *page)
{
	struct uffdio_range r = {page->start, page->len};

	if (register_range(fd, UFFDIO_REGISTER_MODE_MISSING, *page))
		return false;
	if (rm_sys_ioctl(fd, UFFDIO_UNREGISTER, &r) && map_test_page(page))
		page->len = 0;
	return true;
}

int rm_uffd_find(const struct rm_vma *vma, struct rm_range range, char *buf, size_t size,
	struct rm_uffd *uffd)
{
	const uint64_t mode = mode_of(vma->vmflags);
	struct rm_range page = {0, rm_page_size()};
	struct rm_numbers fds;
	int fd, r;

	*uffd = (struct rm_uffd){.fd = -1};
	if (!mode)
		return 0;
	r = map_test_page(&page);
	if (r)
		return r;
	r = rm_numbers_open(&fds, "/proc/thread-self/fd", buf, size);
	if (!r) {
		while ((r = rm_numbers_next(&fds, &fd)) > 0 && page.len)
			if (is_userfaultfd(fds.dir, fd) && is_of_this_memory(fd, &page) &&
				!register_range(fd, mode, range))
				break;
		rm_numbers_close(&fds);
		if (!r || !page.len)
			r = -ENOENT;
	}
	if (page.len)
		rm_sys_munmap(page.start, page.len);
	if (r < 0)
		return r;
	uffd->fd = fd;
	uffd->mode = mode;
	return read_features(fd, &uffd->features);
}

int rm_uffd_arm(const struct rm_uffd *uffd, struct rm_range range)
{
	return register_range(uffd->fd, uffd->mode, range);
}

bool rm_uffd_wants_remap_event(const struct rm_uffd *uffd)
{
	return uffd->fd >= 0 && (uffd->features & UFFD_FEATURE_EVENT_REMAP);
}

bool rm_uffd_wants_unmap_event(const struct rm_uffd *uffd)
{
	return uffd->fd >= 0 && (uffd->features & UFFD_FEATURE_EVENT_UNMAP);
}
