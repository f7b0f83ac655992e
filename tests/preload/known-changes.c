/* SPDX-License-Identifier: MIT */
/*
 * The ways in which a program changes what is mapped, one call each: by libc's names and by
 * syscall(2). And what libc might do by itself, which nobody sees. Those that end a userfaultfd
 * leave its number to another one, which must not come to watch the range.
 */
#include "tests/preload/known.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* --- the ways to change it --- */

static bool c_nothing(void)
{
	return true;
}
static bool c_mprotect(void)
{
	return !mprotect(range, LEN, PROT_READ);
}
static bool c_mprotect_part(void)
{
	return !mprotect(range + 4 * PAGE, PAGE, PROT_READ) &&
	       !mprotect(range + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE);
}
static bool c_madvise_fork(void)
{
	return !madvise(range, LEN, MADV_DONTFORK);
}
static bool c_madvise_dump(void)
{
	return !madvise(range, LEN, MADV_DONTDUMP);
}
static bool c_madvise_wipe(void)
{
	return !madvise(range, LEN, MADV_WIPEONFORK);
}
static bool c_madvise_huge(void)
{
	return !madvise(range, LEN, MADV_NOHUGEPAGE);
}
static bool c_madvise_merge(void)
{
	return !madvise(range, LEN, MADV_MERGEABLE);
}
static bool c_posix_madvise(void)
{
	return !posix_madvise(range, LEN, POSIX_MADV_RANDOM);
}
static bool c_mlock(void)
{
	return !mlock(range, LEN);
}
static bool c_mlock2(void)
{
	return !mlock2(range, LEN, MLOCK_ONFAULT);
}
static bool c_mlockall(void)
{
	return !mlockall(MCL_CURRENT);
}
static bool c_mlockall_future(void)
{
	return !mlockall(MCL_CURRENT | MCL_FUTURE);
}
static bool c_unlocked(void)
{
	return !mlock(range, LEN) && !munlock(range, LEN);
}
static bool c_munlockall(void)
{
	return !mlockall(MCL_CURRENT | MCL_FUTURE) && !munlockall();
}
static bool c_pkey(void)
{
	int key = pkey_alloc(0, 0);
	return key >= 0 ? !pkey_mprotect(range, LEN, PROT_READ | PROT_WRITE, key) : true;
}
static bool c_name(void)
{
	return !prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, range, LEN, "gc") || errno == EINVAL;
}
static bool c_mapped_again(void)
{
	return mmap(range, LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == range;
}
static bool c_mapped_shared(void)
{
	return mmap(range, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) == range;
}
static bool c_unmapped_and_mapped(void)
{
	return !munmap(range, LEN) &&
	       mmap64(range, LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
		       range;
}
static bool c_moved_away_and_back(void)
{
	return mremap(range, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target &&
	       !madvise(target, LEN, MADV_DONTFORK) &&
	       mremap(target, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, range) == range;
}
static bool c_joined(void) /* what libc might do by itself: the bounds change and nobody tells */
{
	return (char *)syscall(SYS_mmap, range - PAGE, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == range - PAGE &&
	       (range[-1] = 1);
}
static bool c_joined_behind(void)
{
	return mmap(range + LEN, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0) == range + LEN &&
	       (range[LEN] = 1);
}
static bool c_raw_mprotect(void)
{
	return !syscall(SYS_mprotect, range, LEN, PROT_READ);
}
static bool c_raw_madvise(void)
{
	return !syscall(SYS_madvise, range, LEN, MADV_DONTFORK);
}
static bool c_raw_mlock(void)
{
	return !syscall(SYS_mlock, range, LEN);
}
static bool c_raw_mlock2(void)
{
	return !syscall(SYS_mlock2, range, LEN, MLOCK_ONFAULT);
}
static bool c_raw_mlockall(void)
{
	return !syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE);
}
static bool c_raw_mbind(void)
{
	unsigned long node = 1;
	return !syscall(SYS_mbind, range, LEN, 2 /* BIND */, &node, 64, 0) || errno == ENOSYS;
}
static bool c_raw_name(void)
{
	return !syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, range, LEN, "gc") ||
	       errno == EINVAL;
}
static bool c_raw_mapped(void)
{
	return (char *)syscall(SYS_mmap, range, LEN, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == range;
}

bool arm(int fd)
{
	struct uffdio_register reg = {
		.range = {(unsigned long)range, LEN}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}
bool disarm(void)
{
	struct uffdio_range r = {(unsigned long)range, LEN};

	return !ioctl(uffd, UFFDIO_UNREGISTER, &r);
}
static bool c_armed(void)
{
	return arm(uffd);
}
static bool c_raw_armed(void)
{
	struct uffdio_register reg = {
		.range = {(unsigned long)range, LEN}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	return !syscall(SYS_ioctl, uffd, UFFDIO_REGISTER, &reg);
}
static bool c_raw_disarmed(void)
{
	struct uffdio_range r = {(unsigned long)range, LEN};

	return !syscall(SYS_ioctl, uffd, UFFDIO_UNREGISTER, &r);
}
int open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}
/*
 * The number stands for another userfaultfd after each of these, which must not come to watch the
 * range.
 */
static bool c_closed(void)
{
	return !close(uffd) && open_uffd() == uffd;
}
static bool c_raw_closed(void)
{
	return !syscall(SYS_close, uffd) && open_uffd() == uffd;
}
static bool c_dup2(void)
{
	int other = open_uffd();
	return dup2(other, uffd) == uffd && !close(other);
}
static bool c_dup3(void)
{
	int other = open_uffd();
	return dup3(other, uffd, O_CLOEXEC) == uffd && !close(other);
}
/* glibc 2.34; before, only the preload's are there */
int close_range(unsigned int first, unsigned int last, int flags) __attribute__((weak));
void closefrom(int first) __attribute__((weak));
static bool c_close_range(void)
{
	if (!close_range)
		return !close(uffd) && open_uffd() == uffd;
	return (!close_range((unsigned int)uffd, (unsigned int)uffd, 0) ||
		       (errno == ENOSYS && !close(uffd))) &&
	       open_uffd() == uffd;
}
static bool c_closefrom(void)
{
	if (closefrom)
		closefrom(uffd);
	else
		close(uffd);
	return open_uffd() == uffd;
}

const struct change changes[] = {
	{"nothing", c_nothing, PLAIN},
	{"mprotect", c_mprotect, PLAIN},
	{"mprotect-part", c_mprotect_part, PLAIN},
	{"madvise-dontfork", c_madvise_fork, PLAIN},
	{"madvise-dontdump", c_madvise_dump, PLAIN},
	{"madvise-wipeonfork", c_madvise_wipe, PLAIN},
	{"madvise-nohugepage", c_madvise_huge, PLAIN},
	{"madvise-mergeable", c_madvise_merge, PLAIN},
	{"posix_madvise", c_posix_madvise, PLAIN},
	{"mlock", c_mlock, PLAIN},
	{"mlock2", c_mlock2, PLAIN},
	{"mlockall", c_mlockall, PLAIN},
	{"mlockall-future", c_mlockall_future, PLAIN},
	{"munlock", c_unlocked, PLAIN},
	{"munlockall", c_munlockall, PLAIN},
	{"pkey_mprotect", c_pkey, PLAIN},
	{"prctl-name", c_name, PLAIN},
	{"mmap-fixed", c_mapped_again, PLAIN},
	{"mmap-fixed-shared", c_mapped_shared, PLAIN},
	{"munmap-mmap", c_unmapped_and_mapped, PLAIN},
	{"mremap", c_moved_away_and_back, PLAIN},
	{"joined-unseen", c_joined, PLAIN},
	{"joined-behind", c_joined_behind, PLAIN},
	{"syscall-mprotect", c_raw_mprotect, PLAIN},
	{"syscall-madvise", c_raw_madvise, PLAIN},
	{"syscall-mlock", c_raw_mlock, PLAIN},
	{"syscall-mlock2", c_raw_mlock2, PLAIN},
	{"syscall-mlockall", c_raw_mlockall, PLAIN},
	{"syscall-mbind", c_raw_mbind, PLAIN},
	{"syscall-prctl", c_raw_name, PLAIN},
	{"syscall-mmap", c_raw_mapped, PLAIN},
	{"uffd-nothing", c_nothing, ARMED},
	{"uffd-register", c_armed, PLAIN},
	{"uffd-unregister", disarm, ARMED},
	{"uffd-syscall-register", c_raw_armed, PLAIN},
	{"uffd-syscall-unregister", c_raw_disarmed, ARMED},
	{"uffd-close", c_closed, ARMED},
	{"uffd-syscall-close", c_raw_closed, ARMED},
	{"uffd-dup2", c_dup2, ARMED},
	{"uffd-dup3", c_dup3, ARMED},
	{"uffd-close_range", c_close_range, ARMED},
	{"uffd-closefrom", c_closefrom, ARMED},
};
const int change_count = sizeof(changes) / sizeof(changes[0]);
