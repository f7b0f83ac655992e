/* SPDX-License-Identifier: MIT */
/*
 * Facts that are kept from move to move (emul/known.c), and every call that makes them untrue
 * (shim/watch.c).
 *
 *   known [CASE...]   a range is moved away three times, so that it is well known; then it is
 *                     changed by one call, in one of the ways a program has; then it is moved once
 *                     more. It must be left as it was just before that: protection, VmFlags,
 *                     protection key and name as smaps shows them, and its content at the
 *                     destination. TAP. Then the same with a range that has never moved, and first
 *                     moves of ranges that came to be in many ways (emul/born.c).
 *   known --blind     repeated moves when no descriptor can be opened any more: exit 0 if they
 *                     still work
 *   known --first     the same with the range's first move
 *   known --back      repeated moves, and back each time by a move of the kernel's own
 *
 * Right natively, too. Single-threaded; one case has a thread that changes the range while it
 * moves.
 */
#include "tests/preload/known.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
static char *area;
char *range, *target;
int uffd = -1;

static bool move_to(char *to)
{
	return mremap(range, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
}

/*
 * What smaps says of the mapping at addr, without addresses, counts and what comes and goes
 * (softdirty).
 */
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

/* Ways in which a range comes to be. */
static const struct birth {
	const char *name;
	int prot, flags;    /* MAP_ANONYMOUS, but where there is an object */
	int then[2];	    /* protections that it is given; -1: none */
	int advice[3];	    /* then; none if the first is 0 (MADV_NORMAL) */
	const char *object; /* "" for a memfd, else a directory for a file */
} births[] = {
	{"rw", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1}, {0}, NULL},
	{"rw-noreserve", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, {-1, -1}, {0}, NULL},
	{"rw-populated", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, {-1, -1}, {0}, NULL},
	{"none-rw", PROT_NONE, MAP_PRIVATE, {PROT_READ | PROT_WRITE, -1}, {0}, NULL},
	{"none-rw-noreserve", PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, {PROT_READ | PROT_WRITE, -1},
		{0}, NULL},
	{"r-rw", PROT_READ, MAP_PRIVATE, {PROT_READ | PROT_WRITE, -1}, {0}, NULL},
	{"rw-none-rw", PROT_READ | PROT_WRITE, MAP_PRIVATE, {PROT_NONE, PROT_READ | PROT_WRITE},
		{0}, NULL},
	{"rw-exec-rw", PROT_READ | PROT_WRITE, MAP_PRIVATE,
		{PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE}, {0}, NULL},
	{"shared", PROT_READ | PROT_WRITE, MAP_SHARED, {-1, -1}, {0}, NULL},
	{"shared-noreserve", PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, {-1, -1}, {0},
		NULL},
	{"hugepage", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1}, {MADV_HUGEPAGE}, NULL},
	{"hugepage-nohugepage", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_HUGEPAGE, MADV_NOHUGEPAGE}, NULL},
	{"none-rw-hugepage", PROT_NONE, MAP_PRIVATE, {PROT_READ | PROT_WRITE, -1}, {MADV_HUGEPAGE},
		NULL},
	{"three-advices", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_DONTFORK, MADV_DONTDUMP, MADV_RANDOM}, NULL},
	{"taken-back", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_DONTFORK, MADV_DONTDUMP, MADV_DOFORK}, NULL},
	{"random-sequential", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_RANDOM, MADV_SEQUENTIAL}, NULL},
	{"random-normal", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1}, {MADV_RANDOM, MADV_NORMAL},
		NULL},
	{"wipe-keep-on-fork", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_WIPEONFORK, MADV_KEEPONFORK}, NULL},
	{"mergeable", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1},
		{MADV_MERGEABLE, MADV_HUGEPAGE}, NULL},
	{"memfd", PROT_READ | PROT_WRITE, MAP_SHARED, {-1, -1}, {0}, ""},
	{"memfd-dontfork", PROT_READ | PROT_WRITE, MAP_SHARED, {-1, -1}, {MADV_DONTFORK}, ""},
	{"memfd-private", PROT_READ | PROT_WRITE, MAP_PRIVATE, {-1, -1}, {0}, ""},
	{"file", PROT_READ | PROT_WRITE, MAP_SHARED, {-1, -1}, {0}, "/tmp"},
	{"stack", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_STACK, {-1, -1}, {0}, NULL},
	{"growsdown", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN, {-1, -1}, {0}, NULL},
	{"locked", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_LOCKED, {-1, -1}, {0}, NULL},
};

/* The object of a birth; -1 where there is none. */
static int make_object(const struct birth *birth)
{
	int fd;

	if (!birth->object)
		return -1;
	fd = *birth->object ? open(birth->object, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
			    : (int)syscall(SYS_memfd_create, "known", 1U);
	if (fd < 0 || ftruncate(fd, LEN))
		return -1; /* mmap says so */
	return fd;
}

static bool make_range(const struct birth *birth)
{
	const int anonymous = birth->object ? 0 : MAP_ANONYMOUS, fd = make_object(birth);

	area = mmap(NULL, 4 * LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED || munmap(area, 2 * LEN))
		return false;
	range = area + PAGES / 2 * PAGE;
	target = area + 2 * LEN + PAGE;
	if (mmap(range, LEN, birth->prot, birth->flags | anonymous | MAP_FIXED, fd, 0) != range)
		return false;
	if (fd >= 0)
		close(fd);
	for (int i = 0; i < 2 && birth->then[i] >= 0; i++)
		if (mprotect(range, LEN, birth->then[i]))
			return false;
	for (int i = 0; i < 3 && (birth->advice[i] || i); i++)
		if (madvise(range, LEN, birth->advice[i]) &&
			errno != EINVAL) /* KSM may be left out of a kernel */
			return false;
	uffd = open_uffd();
	return true;
}

static bool set_up(int how)
{
	if (!make_range(&births[0]))
		return false;
	for (int i = 0; !(how & UNMOVED) && i < 3; i++) {
		memset(range, 'a' + i, LEN);
		if (!move_to(target))
			return false;
	}
	if (!(how & ARMED))
		return true;
	if (how & UNMOVED)
		return arm(uffd);
	memset(range, 'x', LEN);
	return arm(uffd) && move_to(target) && disarm() && (memset(range, 'y', LEN), arm(uffd)) &&
	       move_to(target);
}

/*
 * What a changed range holds is the destination's afterwards; an empty or armed one is not looked
 * at.
 */
static bool check_move(void)
{
	char before[1024], after[1024], *p;
	bool writable, armed;

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

static bool check(const struct change *c, int how)
{
	if (!set_up(c->how | how) || !c->make()) {
		printf("#   set-up: %s\n", strerror(errno));
		return false;
	}
	return check_move();
}

/* Its first move, and one more. */
static bool check_birth(const struct birth *birth)
{
	if (!make_range(birth)) {
		printf("#   set-up: %s\n", strerror(errno));
		return false;
	}
	return check_move() && check_move();
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

/*
 * Whichever comes first: what advice is in force after the last of the thread's calls must be the
 * last one's.
 */
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

static int blind(int how, bool back)
{
	const struct rlimit none = {0, 0};

	if (!set_up(how))
		return 2;
	memset(range, 1, LEN);
	if (setrlimit(RLIMIT_NOFILE, &none))
		return 2;
	for (int i = 0; i < 5; i++) {
		range[0] = (char)i;
		/* another range is no matter */
		if (madvise(target + LEN, PAGE, MADV_DONTDUMP) || !move_to(target) ||
			target[0] != (char)i)
			return 1;
		if (back &&
			(mremap(target, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, range) != range ||
				range[0] != (char)i))
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

enum { BIRTHS = sizeof(births) / sizeof(births[0]) };

/*
 * Case n: each change to a range that has moved, then to one that has not, then each birth, then
 * the thread.
 */
static bool run_case(int n)
{
	if (n < 2 * change_count)
		return check(&changes[n % change_count], n < change_count ? PLAIN : UNMOVED);
	return n < 2 * change_count + BIRTHS ? check_birth(&births[n - 2 * change_count])
					     : check_thread();
}

static void name_case(int n, char *name, size_t size)
{
	if (n < 2 * change_count)
		snprintf(name, size, "%s%s", changes[n % change_count].name,
			n < change_count ? "" : "-unmoved");
	else if (n < 2 * change_count + BIRTHS)
		snprintf(name, size, "born-%s", births[n - 2 * change_count].name);
	else
		snprintf(name, size, "thread");
}

int main(int argc, char **argv)
{
	int n = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && (!strcmp(argv[1], "--blind") || !strcmp(argv[1], "--first")))
		return blind(argv[1][2] == 'b' ? PLAIN : UNMOVED, false);
	if (argc == 2 && !strcmp(argv[1], "--back"))
		return blind(PLAIN, true);
	uffd = open_uffd();
	for (int i = 0; i <= 2 * change_count + BIRTHS; i++) {
		int status = 0;
		char name[64];
		pid_t pid;

		name_case(i, name, sizeof(name));
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
			_exit(!run_case(i));
		}
		waitpid(pid, &status, 0);
		failed += status != 0;
		printf("%s %d - %s\n", status ? "not ok" : "ok", ++n, name);
	}
	printf("1..%d\n", n);
	return failed != 0;
}
