/* SPDX-License-Identifier: MIT */
/*
 * The file behind a private mapping, for its twin: the range left behind must show the file's own
 * content again. And that behind shared hugetlb memory, for its mirror.
 *
 * Three ways, each believed only if device and inode are the mapping's: a descriptor of this
 * process (for the twin to merge with the rest of the mapping it has to be the same open file, so
 * this comes first), /proc/self/map_files (any file, even deleted, with privilege), the path that
 * maps shows. If none leads there - the file was deleted, renamed, is not readable now, or its file
 * system shows other numbers in maps than in stat, as overlayfs may - the move is refused, as
 * kernels before 5.13 do.
 */
#include "emul/file.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "emul/log.h"
#include "emul/numbers.h"
#include "emul/sys.h"

static bool is_file_of(int fd, const struct rm_vma *vma)
{
	struct stat st;

	if (rm_syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0))
		return false;
	return major(st.st_dev) == vma->dev_major && minor(st.st_dev) == vma->dev_minor &&
	       st.st_ino == vma->inode;
}

static int open_checked(const char *path, bool write, const struct rm_vma *vma)
{
	long fd = rm_sys_open(path,
		(write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0)
		return -EINVAL;
	if (is_file_of((int)fd, vma))
		return (int)fd;
	rm_sys_close((int)fd);
	return -EINVAL;
}

/*
 * A descriptor for the same open file as one of the program's. What can not be read can not be
 * mapped: -EINVAL.
 */
static int open_from_descriptors(const struct rm_vma *vma, bool write, char *buf, size_t size)
{
	struct rm_numbers fds;
	int fd;
	long found = -EINVAL;

	if (rm_numbers_open(&fds, "/proc/thread-self/fd", buf, size))
		return -EINVAL;
	while (found < 0 && rm_numbers_next(&fds, &fd) > 0) {
		long mode = rm_syscall(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

		if (mode < 0 || (mode & O_PATH) || (mode & O_ACCMODE) == O_WRONLY ||
			(write && (mode & O_ACCMODE) != O_RDWR) || !is_file_of(fd, vma))
			continue;
		found = rm_fd_dup_aside(fd);
	}
	rm_numbers_close(&fds);
	return (int)found;
}

int rm_file_open(const struct rm_vma *vma, bool write, char *buf, size_t size)
{
	char path[80];
	int fd;

	fd = open_from_descriptors(vma, write, buf, size);
	if (fd < 0) {
		rm_format(path, sizeof(path), "/proc/self/map_files/%lx-%lx", vma->start, vma->end);
		fd = open_checked(path, write, vma);
	}
	if (fd < 0 && vma->name[0] == '/')
		fd = open_checked(vma->name, write, vma);
	if (fd < 0)
		return rm_refuse("the file behind the mapping can not be opened again");
	return fd;
}

/* Asked of a memfd, once. */
bool rm_file_is_shmem(const struct rm_vma *vma)
{
	static _Atomic uint64_t known; /* 0: not yet */
	uint64_t dev = atomic_load(&known);
	struct stat st;
	long fd;

	if (!dev) {
		fd = rm_sys_memfd_create("libremap", 1U /* MFD_CLOEXEC */);
		if (fd < 0)
			return false;
		if (!rm_syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0))
			dev = (uint64_t)st.st_dev;
		rm_sys_close((int)fd);
		atomic_store(&known, dev);
	}
	return dev && dev == makedev(vma->dev_major, vma->dev_minor);
}
