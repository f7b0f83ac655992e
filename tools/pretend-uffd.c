/* SPDX-License-Identifier: MIT */
/*
 * pretend-uffd.c - UFFDIO_API and UFFDIO_REGISTER as an older kernel answers them
 *
 * Both return words of bits in the caller's memory, so neither can be let go on: the server takes a duplicate of the
 * userfaultfd (pidfd_getfd), does the ioctl itself - the kernel works on the memory that the userfaultfd belongs to,
 * not on the caller's - and writes the struct back without the bits that came later.
 *
 *	UFFDIO_API	an unknown feature asked for: EINVAL and a zeroed struct, as the kernel does
 *			known ones: granted by this kernel, reported features masked
 *	UFFDIO_REGISTER	an unknown mode, or (5.7 to 5.18) write protection of shared or file memory: EINVAL
 *			else done, and the range's ioctls masked
 *
 * Where the target cannot be read or its fd not duplicated (not our user, not dumpable, Yama), the ioctl goes on and
 * reports what this kernel has.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tools/pretend.h"

#define UFFD_API_VALUE	   0xaau
#define FEATURE_EVENT_FORK 0x2u
#define MODE_WP		   0x2u
#define CAP_PTRACE_BIT	   19 /* CAP_SYS_PTRACE */

struct api_arg {
	uint64_t api, features, ioctls;
};

struct register_arg {
	uint64_t start, len, mode, ioctls;
};

#define IOC_API	     _IOWR(0xaa, 0x3f, struct api_arg)
#define IOC_REGISTER _IOWR(0xaa, 0x00, struct register_arg)

static bool target_read(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec here = {buf, len};
	struct iovec there = {(void *)(uintptr_t)addr, len};

	return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

static bool target_write(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec here = {buf, len};
	struct iovec there = {(void *)(uintptr_t)addr, len};

	return process_vm_writev(tid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* pidfd_open wants the process, a notification names the thread. */
static bool target_status(pid_t tid, pid_t *process, uint64_t *capabilities)
{
	char path[64], line[256];
	unsigned found = 0;
	FILE *status;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	status = fopen(path, "re");
	if (!status)
		return false;
	while (found != 3 && fgets(line, sizeof(line), status)) {
		if (sscanf(line, "Tgid: %d", &pid) == 1) {
			*process = pid;
			found |= 1;
		} else if (sscanf(line, "CapEff: %" SCNx64, capabilities) == 1) {
			found |= 2;
		}
	}
	fclose(status);
	return found == 3;
}

/* A duplicate of the target's fd if that is a userfaultfd, else -1. */
static int target_uffd(const struct rm_asked *asked, pid_t process)
{
	char path[64], link[64];
	ssize_t len;
	int pidfd, fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)asked->tid, (int)asked->args[0]);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -1;
	link[len] = '\0';
	if (strcmp(link, "anon_inode:[userfaultfd]") != 0)
		return -1;
	pidfd = (int)syscall(434 /* pidfd_open */, process, 0);
	if (pidfd < 0)
		return -1;
	fd = (int)syscall(438 /* pidfd_getfd */, pidfd, (int)asked->args[0], 0);
	close(pidfd);
	/* The target waits for us, unless it was killed and its pid is another's by now. */
	if (fd >= 0 && !rm_asked_alive(asked)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void answer_with(struct rm_answer *answer, int err)
{
	answer->go_on = false;
	answer->val = 0;
	answer->err = err;
}

static void answer_api(
	const struct rm_asked *asked, int uffd, uint64_t capabilities, struct rm_answer *answer)
{
	const uint64_t unknown = rm_word_unknown(RM_WORD_UFFD_FEATURES, asked->kernel);
	struct api_arg arg;
	int err = 0;

	if (!target_read(asked->tid, asked->args[2], &arg, sizeof(arg)) ||
		arg.api != UFFD_API_VALUE)
		return;
	if (arg.features & unknown)
		err = EINVAL;
	else if (arg.features & FEATURE_EVENT_FORK &&
		 !rm_rule_applies(RM_RULE_UFFD_FORK_CAP, asked->kernel) &&
		 !(capabilities >> CAP_PTRACE_BIT & 1))
		/* The server may have what the target has not. */
		err = EPERM;
	else if (ioctl(uffd, IOC_API, &arg) < 0)
		err = errno;
	if (err)
		memset(&arg, 0, sizeof(arg));
	arg.features &= ~unknown;
	answer_with(
		answer, target_write(asked->tid, asked->args[2], &arg, sizeof(arg)) ? err : EFAULT);
}

/* Does [start, start + len) hold anything but private anonymous memory? */
static bool other_than_private_anon(pid_t tid, uintptr_t start, size_t len)
{
	struct rm_target_vma vma;
	uintptr_t at = start;

	while (at < start + len && rm_target_vma_find(tid, at, &vma) == 0 &&
		vma.start < start + len) {
		if (!vma.private_anon)
			return true;
		at = vma.end;
	}
	return false;
}

static void answer_register(const struct rm_asked *asked, int uffd, struct rm_answer *answer)
{
	const size_t head = offsetof(struct register_arg, ioctls);
	struct register_arg arg;

	/* The kernel reads everything but the last word and writes only that. */
	if (!target_read(asked->tid, asked->args[2], &arg, head))
		return;
	arg.ioctls = 0;
	if (arg.mode & rm_word_unknown(RM_WORD_UFFD_MODES, asked->kernel) ||
		(arg.mode & MODE_WP && rm_rule_applies(RM_RULE_UFFD_WP_KIND, asked->kernel) &&
			other_than_private_anon(asked->tid, arg.start, arg.len))) {
		answer_with(answer, EINVAL);
		return;
	}
	if (ioctl(uffd, IOC_REGISTER, &arg) < 0) {
		answer_with(answer, errno);
		return;
	}
	arg.ioctls &= ~rm_word_unknown(RM_WORD_UFFD_IOCTLS, asked->kernel);
	answer_with(answer,
		target_write(asked->tid, asked->args[2] + head, &arg.ioctls, sizeof(arg.ioctls))
			? 0
			: EFAULT);
}

void rm_answer_ioctl(const struct rm_asked *asked, struct rm_answer *answer)
{
	const unsigned cmd = (unsigned)asked->args[1];
	uint64_t capabilities = 0;
	pid_t process = 0;
	int uffd;

	if (cmd != IOC_API && cmd != IOC_REGISTER)
		return;
	if (!target_status(asked->tid, &process, &capabilities))
		return;
	uffd = target_uffd(asked, process);
	if (uffd < 0)
		return;
	if (cmd == IOC_API)
		answer_api(asked, uffd, capabilities, answer);
	else
		answer_register(asked, uffd, answer);
	close(uffd);
}
