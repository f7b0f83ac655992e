/* SPDX-License-Identifier: MIT */
/*
 * Facts that are kept from move to move (emul/known.c), and every call that makes them untrue (shim/watch.c).
 *
 *   known [CASE...]   a range is moved away three times, so that it is well known; then it is changed by one call, in one
 *                     of the ways a program has; then it is moved once more. It must be left as it was just before
 *                     that: protection, VmFlags, protection key and name as smaps shows them, and its content at the
 *                     destination. TAP.
 *   known --blind     a repeated move after which no descriptor can be opened any more: exit 0 if it still works
 *
 * Right natively, too. Single-threaded; one case has a thread that changes the range while it moves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define PAGE  4096UL
#define PAGES 16
#define LEN   (PAGES * PAGE)

static char *area, *range, *target; /* the range has unmapped pages on both sides */
static int uffd = -1;

static bool move_to(char *to)
{
	return mremap(range, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
}

/* What smaps says of the mapping at addr, without addresses, counts and what comes and goes (softdirty). */
static void look(const char *addr, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool here = false;

	*out = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char perms[5], name[128] = "";

		if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %127s", &start, &end, perms, name) >= 3) {
			here = (unsigned long)addr >= start && (unsigned long)addr < end;
			if (here)
				snprintf(out, size, "%lx-%lx %s %s ", start, end, perms, name);
		} else if (here && (!strncmp(line, "VmFlags:", 8) ||
					   !strncmp(line, "ProtectionKey:", 14))) {
			char *sd = strstr(line, " sd");

			if (sd)
				memmove(sd, sd + 3, strlen(sd + 3) + 1);
			strncat(out, line, size - strlen(out) - 1);
		}
	}
	if (f)
		fclose(f);
}

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

static bool arm(int fd)
{
	struct uffdio_register reg = {
		.range = {(unsigned long)range, LEN}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}
static bool disarm(void)
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
static int open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}
/* The number stands for another userfaultfd after each of these, which must not come to watch the range. */
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
static bool c_close_range(void)
{
	return (!close_range((unsigned int)uffd, (unsigned int)uffd, 0) ||
		       (errno == ENOSYS && !close(uffd))) &&
	       open_uffd() == uffd;
}
static bool c_closefrom(void)
{
	closefrom(uffd);
	return open_uffd() == uffd;
}

enum { PLAIN = 0, ARMED = 1, FIRST_PART = 2 };

static const struct change {
	const char *name;
	bool (*make)(void);
	int how;
} changes[] = {
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

static bool set_up(int how)
{
	area = mmap(NULL, 4 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED || munmap(area, 2 * LEN))
		return false;
	range = area + PAGES / 2 * PAGE;
	target = area + 2 * LEN + PAGE;
	if (mmap(range, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) != range)
		return false;
	for (int i = 0; i < 3; i++) {
		memset(range, 'a' + i, LEN);
		if (!move_to(target))
			return false;
	}
	/* low, so that closefrom leaves standard output alone and takes little else */
	uffd = open_uffd();
	if (!(how & ARMED))
		return true;
	memset(range, 'x', LEN);
	return arm(uffd) && move_to(target) && disarm() && (memset(range, 'y', LEN), arm(uffd)) &&
	       move_to(target);
}

/* What a changed range holds is the destination's afterwards; an empty or armed one is not looked at. */
static bool check(const struct change *c)
{
	char before[1024], after[1024], *p;
	bool writable, armed;

	if (!set_up(c->how) || !c->make()) {
		printf("#   set-up: %s\n", strerror(errno));
		return false;
	}
	look(range, before, sizeof(before));
	armed = strstr(before, " um");
	writable = strstr(before, "rw");
	if (writable && !armed)
		memset(range, 'z', LEN);
	look(range, before, sizeof(before));
	if (!move_to(target)) {
		printf("#   move: %s\n", strerror(errno));
		return false;
	}
	if (writable && !armed && (target[0] != 'z' || target[LEN - 1] != 'z')) {
		printf("#   the content has not moved\n");
		return false;
	}
	look(range, after, sizeof(after));
	/* as natively, a lock goes with the pages */
	for (const char *const *gone = (const char *const[]){" lo", " lf", NULL}; *gone; gone++)
		while ((p = strstr(before, *gone)))
			memmove(p, p + 3, strlen(p + 3) + 1);
	if (strcmp(before, after)) {
		printf("#   before: %s#   after:  %s", before, after);
		return false;
	}
	return true;
}

/* --- another thread changes it all the time --- */

static _Atomic bool stop;

static void *change_all_the_time(void *unused)
{
	(void)unused;
	while (!stop) {
		madvise(range, LEN, MADV_DONTFORK);
		mprotect(range, LEN, PROT_READ | PROT_WRITE);
		madvise(range, LEN, MADV_DOFORK);
	}
	return NULL;
}

/* Whichever comes first: what advice is in force after the last of the thread's calls must be the last one's. */
static bool check_thread(void)
{
	char flags[1024];
	pthread_t thread;
	bool ok = true;

	if (!set_up(PLAIN) || pthread_create(&thread, NULL, change_all_the_time, NULL))
		return false;
	for (int i = 0; ok && i < 300; i++) {
		range[0] = (char)i;
		ok = move_to(target) && target[0] == (char)i;
	}
	stop = true;
	pthread_join(thread, NULL);
	look(range, flags, sizeof(flags));
	if (!ok || strstr(flags, " dc"))
		printf("#   %s, %s", ok ? "moved" : strerror(errno), flags);
	return ok && !strstr(flags, " dc");
}

static int blind(void)
{
	const struct rlimit none = {0, 0};

	if (!set_up(PLAIN) || setrlimit(RLIMIT_NOFILE, &none))
		return 2;
	for (int i = 0; i < 5; i++) {
		range[0] = (char)i;
		/* another range is no matter */
		if (madvise(target + LEN, PAGE, MADV_DONTDUMP) || !move_to(target) ||
			target[0] != (char)i)
			return 1;
	}
	return 0;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	int n = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "--blind"))
		return blind();
	uffd = open_uffd();
	for (size_t i = 0; i <= sizeof(changes) / sizeof(changes[0]); i++) {
		const bool thread = i == sizeof(changes) / sizeof(changes[0]);
		const char *name = thread ? "thread" : changes[i].name;
		int status = 0;
		pid_t pid;

		if (!wanted(name, argc, argv))
			continue;
		if (!strncmp(name, "uffd", 4) && uffd < 0) {
			printf("ok %d - %s # SKIP no userfaultfd for this user\n", ++n, name);
			continue;
		}
		/* a process each: locks and policies stay for good */
		pid = fork();
		if (!pid) {
			close(uffd);
			_exit(thread ? !check_thread() : !check(&changes[i]));
		}
		waitpid(pid, &status, 0);
		failed += status != 0;
		printf("%s %d - %s\n", status ? "not ok" : "ok", ++n, name);
	}
	printf("1..%d\n", n);
	return failed != 0;
}
