/* SPDX-License-Identifier: MIT */
/*
 * kernel-probe.c - ask a kernel the questions of kernel-answers.md, one answer a line
 *
 * Prints "question<TAB>answer" in the words of that file, so that what a pretended kernel says can be compared with
 * what the real one said. Every question is asked in a forked child with an alarm: one that goes wrong costs one line
 * ("signal N") and nothing else. "no" plus a reason is an answer that says nothing about the kernel (no huge pages here,
 * not allowed here); the tests skip such lines.
 *
 * Usage: kernel-probe [DIR]	DIR: where ordinary files may be made, default the current directory
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel-probe.h"
#include "tools/errname.h"

const char *rm_file_dir = ".";
size_t rm_page;

void rm_say(char *answer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(answer, 256, format, args);
	va_end(args);
}

void rm_say_errno(char *answer)
{
	rm_say(answer, "%s", rm_errname(errno));
}

void rm_say_ok_or_errno(char *answer, long ret)
{
	if (ret < 0)
		rm_say_errno(answer);
	else
		rm_say(answer, "ok");
}

/* ---- memfd, mmap, madvise ---- */

static void ask_memfd(const struct question *question, char *answer)
{
	rm_say_ok_or_errno(answer, rm_new_memfd((unsigned)question->a, 0, 0));
}

static void ask_seal(const struct question *question, char *answer)
{
	rm_say_ok_or_errno(
		answer, fcntl(rm_new_memfd(2 /* ALLOW_SEALING */, 0, 0), 1033, question->a));
}

/* a: leave the page mapped */
static void ask_noreplace(const struct question *question, char *answer)
{
	char *p = rm_private_anon.map(rm_page);
	char *got;

	if (!question->a)
		munmap(p, rm_page);
	got = mmap(p, rm_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0);
	if (got == MAP_FAILED)
		rm_say_errno(answer);
	else
		rm_say(answer, "%s", got == p ? "ok" : "ignored");
}

static void ask_droppable(const struct question *question, char *answer)
{
	char *p = mmap(NULL, rm_page, PROT_READ | PROT_WRITE, 8 | MAP_ANONYMOUS, -1, 0);

	(void)question;
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}

static void ask_map_sync(const struct question *question, char *answer)
{
	int fd = rm_new_memfd(0, 'F', rm_page);
	char *p = mmap(NULL, rm_page, PROT_READ, 3 | 0x80000, fd, 0);

	(void)question;
	rm_say_ok_or_errno(answer, p == MAP_FAILED ? -1 : 0);
}

static void ask_remap_file_pages(const struct question *question, char *answer)
{
	char *p = rm_memfd_shared.map(2 * rm_page);

	(void)question;
	rm_say_ok_or_errno(answer, syscall(SYS_remap_file_pages, p, rm_page, 0, 1, 0));
}

/* a: advice; the kind is what it makes sense on */
static void ask_madvise(const struct question *question, char *answer)
{
	char *p = question->kind->map(2 * HUGE);
	char *start = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

	memset(start, 'A', HUGE);
	rm_say_ok_or_errno(answer, madvise(start, HUGE, (int)question->a));
}

static void ask_prctl(const struct question *question, char *answer)
{
	static const char name[] = "probe";
	char *p = rm_private_anon.map(rm_page);

	rm_say_ok_or_errno(answer, prctl((int)question->a, 0UL, p, rm_page, name));
}

/* ---- ioctls on /proc, membarrier, system calls ---- */

static void ask_proc_ioctl(const struct question *question, char *answer)
{
	uint64_t arg[16] = {0};
	int fd;

	if (question->a == (long)0xc0686611) {
		fd = open("/proc/self/maps", O_RDONLY);
		arg[0] = 104;
		arg[2] = (uintptr_t)&fd;
	} else {
		fd = open("/proc/self/pagemap", O_RDONLY);
		arg[0] = 96;
		arg[2] = (uintptr_t)rm_file_dir & ~(rm_page - 1);
		arg[3] = arg[2] + rm_page;
	}
	rm_say_ok_or_errno(answer, ioctl(fd, (unsigned long)question->a, arg));
}

static void ask_membarrier(const struct question *question, char *answer)
{
	(void)question;
	rm_say(answer, "%#lx", syscall(SYS_membarrier, 0, 0, 0));
}

static void ask_membarrier_command(const struct question *question, char *answer)
{
	rm_say_ok_or_errno(answer, syscall(SYS_membarrier, (int)question->a, 0, 0));
}

/* Is the number known? All arguments are such that no call does anything. */
static void ask_call(const struct question *question, char *answer)
{
	long ret = syscall(question->a, -1L, -1L, -1L, -1L, -1L, -1L);

	rm_say(answer, "%s", ret < 0 && errno == ENOSYS ? "ENOSYS" : "there");
}

/* ---- seccomp ---- */

static void ask_action(const struct question *question, char *answer)
{
	uint32_t action = (uint32_t)question->a;

	rm_say_ok_or_errno(answer, syscall(SYS_seccomp, 2, 0, &action));
}

static void ask_notif_sizes(const struct question *question, char *answer)
{
	uint16_t sizes[3] = {0};

	(void)question;
	if (syscall(SYS_seccomp, 3, 0, sizes) < 0)
		rm_say_errno(answer);
	else
		rm_say(answer, "%u %u %u", sizes[0], sizes[1], sizes[2]);
}

/* A flag that is known gets as far as the bad pointer. */
static void ask_filter_flags(const struct question *question, char *answer)
{
	static const struct {
		unsigned long flag;
		const char *name;
	} flags[] = {{1, "TSYNC"}, {2, "LOG"}, {4, "SPEC_ALLOW"}, {8, "NEW_LISTENER"},
		{0x10, "TSYNC_ESRCH"}, {0x20, "WAIT_KILLABLE_RECV"}};
	size_t i;

	(void)question;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		/* WAIT_KILLABLE_RECV is EINVAL without a listener. */
		unsigned long with = flags[i].flag | (flags[i].flag == 0x20 ? 8 : 0);

		if (syscall(SYS_seccomp, 1, with, NULL) < 0 && errno == EFAULT)
			rm_say(answer + strlen(answer), "%s%s", i ? " " : "", flags[i].name);
	}
}

/* clang-format off: a table */
static const struct question questions[] = {
#define KINDS(text, ask, modes)                                                                    \
	{text ", private anon", ask, &rm_private_anon, modes, 0},                                  \
		{text ", shared anon", ask, &rm_shared_anon, modes, 0},                            \
		{text ", memfd shared", ask, &rm_memfd_shared, modes, 0},                          \
		{text ", memfd private", ask, &rm_memfd_private, modes, 0},                        \
		{text ", private file (ext4)", ask, &rm_file_private, modes, 0},                   \
		{text ", shared file (ext4)", ask, &rm_file_shared, modes, 0},                     \
		{text ", shared file (/dev/shm)", ask, &rm_shm_file, modes, 0},                    \
		{text ", hugetlb memfd shared", ask, &rm_huge_memfd, modes, 0},                    \
	{                                                                                          \
		text ", hugetlb private anon", ask, &rm_huge_private, modes, 0                     \
	}
	KINDS("mremap DONTUNMAP", rm_ask_dontunmap, 0),
	KINDS("mremap old_size=0", rm_ask_duplicate, 0),
	{"mremap DONTUNMAP|FIXED, private anon", rm_ask_move, &rm_private_anon,
		MREMAP_FIXED | DONTUNMAP, 0},
	{"mremap DONTUNMAP growing", rm_ask_move, &rm_private_anon, DONTUNMAP, 1},
	{"mremap move, hugetlb memfd shared", rm_ask_move, &rm_huge_memfd, MREMAP_FIXED, 0},
	{"mremap move, hugetlb private anon", rm_ask_move, &rm_huge_private, MREMAP_FIXED, 0},
	{"mremap grow, hugetlb private anon", rm_ask_move, &rm_huge_private, 0, 1},
	{"mremap move over 3 VMAs", rm_ask_move_three, NULL, MREMAP_FIXED, 0},
	{"mremap move over VMAs with a hole", rm_ask_move_three, NULL, MREMAP_FIXED, 1},
	{"mremap DONTUNMAP over 3 VMAs", rm_ask_move_three, NULL, DONTUNMAP, 0},
	{"mremap DONTUNMAP, locked private anon", rm_ask_dontunmap_locked, &rm_private_anon, 0, 0},
	{"mremap DONTUNMAP, THP range", rm_ask_dontunmap_thp, NULL, 0, 0},
	{"mremap move over 3 VMAs, overlapping", rm_ask_move_overlapping, NULL, 0, 0},
	{"mremap shrink, unmapped before a mapped tail", rm_ask_shrink_to_tail, NULL, 0, 0},
	{"mremap no-op, unmapped", rm_ask_noop_unmapped, NULL, 0, 0},
	{"mremap shrink, unmapped", rm_ask_noop_unmapped, NULL, 1, 0},
	{"mremap DONTUNMAP, lengths equal when rounded", rm_ask_dontunmap_rawlen, &rm_private_anon,
		0, 0},

	{"memfd_create 0", ask_memfd, NULL, 0, 0},
	{"memfd_create ALLOW_SEALING", ask_memfd, NULL, 2, 0},
	{"memfd_create HUGETLB 2M", ask_memfd, NULL, 4 | 21L << 26, 0},
	{"memfd_create NOEXEC_SEAL", ask_memfd, NULL, 8, 0},
	{"memfd_create EXEC", ask_memfd, NULL, 0x10, 0},
	{"F_SEAL_FUTURE_WRITE", ask_seal, NULL, 0x10, 0},
	{"MAP_FIXED_NOREPLACE on a mapped page", ask_noreplace, NULL, 1, 0},
	{"MAP_FIXED_NOREPLACE on a free page", ask_noreplace, NULL, 0, 0},
	{"PROCMAP_QUERY", ask_proc_ioctl, NULL, 0xc0686611, 0},
	{"PAGEMAP_SCAN", ask_proc_ioctl, NULL, 0xc0606610, 0},
	{"membarrier commands", ask_membarrier, NULL, 0, 0},
	{"membarrier GLOBAL", ask_membarrier_command, NULL, 1, 0},
	{"membarrier GLOBAL_EXPEDITED", ask_membarrier_command, NULL, 2, 0},
	{"membarrier REGISTER_PRIVATE_EXPEDITED", ask_membarrier_command, NULL, 16, 0},
	{"membarrier REGISTER_PRIVATE_EXPEDITED_RSEQ", ask_membarrier_command, NULL, 256, 0},
	{"PR_SET_VMA anon name", ask_prctl, NULL, 0x53564d41, 0},
	{"MAP_DROPPABLE", ask_droppable, NULL, 0, 0},
	{"remap_file_pages", ask_remap_file_pages, NULL, 0, 0},
	{"MAP_SHARED_VALIDATE|MAP_SYNC on memfd", ask_map_sync, NULL, 0, 0},

	{"madvise FREE", ask_madvise, &rm_private_anon, 8, 0},
	{"madvise REMOVE", ask_madvise, &rm_memfd_shared, 9, 0},
	{"madvise MERGEABLE", ask_madvise, &rm_private_anon, 12, 0},
	{"madvise HUGEPAGE", ask_madvise, &rm_private_anon, 14, 0},
	{"madvise DONTDUMP", ask_madvise, &rm_private_anon, 16, 0},
	{"madvise WIPEONFORK", ask_madvise, &rm_private_anon, 18, 0},
	{"madvise COLD", ask_madvise, &rm_private_anon, 20, 0},
	{"madvise PAGEOUT", ask_madvise, &rm_private_anon, 21, 0},
	{"madvise POPULATE_READ", ask_madvise, &rm_private_anon, 22, 0},
	{"madvise POPULATE_WRITE", ask_madvise, &rm_private_anon, 23, 0},
	{"madvise DONTNEED_LOCKED", ask_madvise, &rm_private_anon, 24, 0},
	{"madvise COLLAPSE", ask_madvise, &rm_private_anon, 25, 0},
	{"madvise GUARD_INSTALL", ask_madvise, &rm_private_anon, 102, 0},

	{"seccomp action USER_NOTIF", ask_action, NULL, 0x7fc00000, 0},
	{"seccomp action TRAP", ask_action, NULL, 0x00030000, 0},
	{"seccomp GET_NOTIF_SIZES", ask_notif_sizes, NULL, 0, 0},
	{"seccomp filter flags", ask_filter_flags, NULL, 0, 0},

	{"userfaultfd(0)", rm_ask_uffd, NULL, 0, 0},
	{"userfaultfd(USER_MODE_ONLY)", rm_ask_uffd, NULL, 1, 0},
	KINDS("uffd register MISSING", rm_ask_uffd_register, 1),
	KINDS("uffd register WP", rm_ask_uffd_register, 2),
	KINDS("uffd register MINOR", rm_ask_uffd_register, 4),
	{"UFFDIO_MOVE", rm_ask_uffd_move, NULL, 0, 0},
	{"uffd features", rm_ask_uffd_api, NULL, 0, 0},
	{"uffd api ioctls", rm_ask_uffd_api, NULL, 1, 0},
	{"uffd feature EVENT_REMAP asked for", rm_ask_uffd_feature, NULL, 1 << 2, 0},
	{"uffd feature THREAD_ID asked for", rm_ask_uffd_feature, NULL, 1 << 8, 0},
	{"uffd feature MINOR_SHMEM asked for", rm_ask_uffd_feature, NULL, 1 << 10, 0},
	{"uffd feature WP_HUGETLBFS_SHMEM asked for", rm_ask_uffd_feature, NULL, 1 << 12, 0},
	{"uffd feature MOVE asked for", rm_ask_uffd_feature, NULL, 1 << 16, 0},
	{"uffd feature 1<<40 asked for", rm_ask_uffd_feature, NULL, 1L << 40, 0},

#define CALL(name, nr)                                                                             \
	{                                                                                          \
		"call " name, ask_call, NULL, nr, 0                                                \
	}
	CALL("rseq", SYS_rseq),
	CALL("pidfd_send_signal", 424),
	CALL("io_uring_setup", 425),
	CALL("pidfd_open", 434),
	CALL("clone3", 435),
	CALL("close_range", 436),
	CALL("openat2", 437),
	CALL("pidfd_getfd", 438),
	CALL("faccessat2", 439),
	CALL("process_madvise", 440),
	CALL("memfd_secret", 447),
	CALL("process_mrelease", 448),
	CALL("futex_waitv", 449),
	CALL("set_mempolicy_home_node", 450),
	CALL("cachestat", 451),
	CALL("map_shadow_stack", 453),
	CALL("mseal", 462),
	CALL("setxattrat", 463),
};
/* clang-format on */

static void ask_in_child(const struct question *question)
{
	char answer[256] = "";
	int status, fds[2];
	ssize_t len;
	pid_t child;

	if (pipe(fds) < 0)
		exit(2);
	child = fork();
	if (child == 0) {
		alarm(20);
		question->ask(question, answer);
		len = write(fds[1], answer, strlen(answer));
		_exit(len < 0);
	}
	close(fds[1]);
	len = child < 0 ? -1 : read(fds[0], answer, sizeof(answer) - 1);
	close(fds[0]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		exit(2);
	answer[len > 0 ? len : 0] = '\0';
	if (WIFSIGNALED(status))
		rm_say(answer, "signal %d", WTERMSIG(status));
	printf("%s\t%s\n", question->name, answer);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fputs("usage: kernel-probe [DIR]\n", stderr);
		return 2;
	}
	if (argc == 2)
		rm_file_dir = argv[1];
	rm_page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		ask_in_child(&questions[i]);
	return 0;
}
