/* SPDX-License-Identifier: MIT */
/*
 * Mirrors of private memory where memory is short: within a memory cgroup that has not room for all
 * of it twice (semantics.md B6, B8), and without overcommitment.
 *
 * The cgroup cases need root and a memory controller, of version 1 or 2, below /sys/fs/cgroup.
 * RM_SWAPON: swap.h; a file of the page cache is in that folder too, or in /var/tmp. RM_OOM=yes: a
 * case may be killed for want of memory, which the kernel's log will tell. RM_OVERCOMMIT=yes: the
 * machine may be without overcommitment (vm.overcommit_memory 2) for a moment, with room for 64 MiB
 * more than it has promised to then; for machines on which nobody else needs more.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "tests/behave/mirror.h"
#include "tests/behave/swap.h"

#define MIB	   ((size_t)1 << 20)
#define GROUP_NAME "libremap-mirror-memory"

static char group[200];
static bool group_v1;

static bool put(const char *name, const char *text)
{
	char path[300];
	int fd;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return good;
}

/* A group that may have that much memory, and swap if so said. */
static void need_group(size_t limit, bool swap)
{
	static const char *const roots[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
	char text[32];

	snprintf(text, sizeof(text), "%zu", limit);
	for (int i = 0; i < 2; i++) {
		group_v1 = !i;
		snprintf(group, sizeof(group), "%s", roots[i]);
		if (i)
			(void)put("cgroup.subtree_control", "+memory");
		snprintf(group, sizeof(group), "%s/" GROUP_NAME, roots[i]);
		if (mkdir(group, 0700) && errno != EEXIST)
			continue;
		if (put(group_v1 ? "memory.limit_in_bytes" : "memory.max", text)) {
			if (!swap && !group_v1)
				(void)put("memory.swap.max", "0");
			return;
		}
		rmdir(group);
	}
	*group = '\0';
	behave_skip("no memory cgroup can be made");
}

static void end_group(void)
{
	/* the last page of a child that has just gone */
	for (int i = 0; *group && i < 100 && rmdir(group); i++)
		usleep(10000);
	*group = '\0';
}

/* The status with which a child ended that ran function within a group. */
static int within(size_t limit, bool swap, void (*function)(void))
{
	int status = -1;
	pid_t pid;

	need_group(limit, swap);
	pid = behave_fork();
	if (!pid) {
		check(put("cgroup.procs", "0"));
		function();
		_exit(0);
	}
	check_is(waitpid(pid, &status, 0), pid);
	end_group();
	return status;
}

static size_t once_len;

static void mirror_once(void)
{
	const size_t len = once_len;
	char *p = make_numbered(len), *view = mremap(p, len, len, MIRROR, NULL);

	check(view != MAP_FAILED);
	/* what is touched before its turn is there twice until then: not part of this */
	for (int i = 0; i < 20000 && process_status("Threads:") > 1; i++)
		usleep(1000);
	check(numbered(view, len) && numbered(p, len));
	memset(view, 5, len);
	check(p[len - 1] == 5 && p[0] == 5);
}

/* What is copied later is let go of as it is copied: twice the size is not needed. */
static void room_for_one(void **state)
{
	(void)state;
	once_len = 24 * MIB;
	check_is(within(30 * MIB, false, mirror_once), 0);
}

static void need_oom(void)
{
	if (!getenv("RM_OOM"))
		behave_skip("RM_OOM=yes lets a child be killed for want of memory");
}

/*
 * Most of it is in swap then; what is copied, and what is brought in to be read, pushes the rest
 * out.
 */
static void swap_for_one(void **state)
{
	int status;

	(void)state;
	need_oom();
	swap_need(LARGE_SWAP);
	once_len = 16 * MIB;
	status = within(12 * MIB, true, mirror_once);
	swap_off();
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		behave_skip("killed: swap is too slow here for so small a group");
	check_is(status, 0);
}

static void refuse_once(bool locked)
{
	const size_t len = once_len;
	char *p = make_numbered(len);
	struct vma vma;

	check(!locked || !mlock(p, len));
	refused(p, len, len, MIRROR, NULL, ENOMEM);
	check(vma_at(p, &vma) && !strcmp(vma.perms, "rw-p") && vma_has(&vma, "lo") == locked);
	check(numbered(p, len));
}

static void refuse_locked(void)
{
	refuse_once(true);
}

static void refuse_later(void)
{
	refuse_once(false);
}

/* Locked memory has to be there twice: ENOMEM, nobody is killed, and nothing is lost. */
static void no_room(void **state)
{
	(void)state;
	once_len = 24 * MIB;
	check_is(within(40 * MIB, false, refuse_locked), 0);
}

/* What is copied later needs room for what is under way. */
static void no_room_later(void **state)
{
	(void)state;
	once_len = 24 * MIB;
	mirror_once(); /* what the engine keeps for such is there then */
	check_is(within(26 * MIB, false, refuse_later), 0);
}

static int on_disk = -1;

/* A file whose pages can be written to disk and taken back. */
static void need_disk(void)
{
	const char *folder = getenv("RM_SWAPON") ? getenv("RM_SWAPON") : "/var/tmp";
	struct statfs fs;
	char path[200];

	snprintf(path, sizeof(path), "%s/libremap-cache-XXXXXX", folder);
	on_disk = mkstemp(path);
	if (on_disk < 0 || unlink(path) || fstatfs(on_disk, &fs) || fs.f_type == TMPFS_MAGIC ||
		fs.f_type == RAMFS_MAGIC)
		behave_skip("no disk file system in /var/tmp; RM_SWAPON=DIR names another folder");
}

/* The group's page cache, clean: written by it. */
static void fill_cache(size_t len)
{
	char *p = make_numbered(len);
	const int fd = on_disk;

	check_is(write(fd, p, len), (ssize_t)len);
	check(!fsync(fd));
	check(!munmap(p, len));
}

static void mirror_beside_cache(void)
{
	const size_t len = once_len;
	char *p, *view;

	fill_cache(len);
	p = make_numbered(len);
	check(!mlock(p, len));
	view = mremap(p, len, len, MIRROR, NULL);
	check(view != MAP_FAILED);
	check(numbered(p, len) && numbered(view, len));
}

/* What the kernel can take back counts as room. */
static void room_in_cache(void **state)
{
	(void)state;
	need_disk();
	once_len = 16 * MIB;
	check_is(within(40 * MIB, false, mirror_beside_cache), 0);
	close(on_disk);
}

#define OVERCOMMIT "/proc/sys/vm/overcommit_memory"
#define COMMITTED  "/proc/sys/vm/overcommit_kbytes"
#define RATIO	   "/proc/sys/vm/overcommit_ratio"

/* The number in a file of /proc, behind a word if there are several. */
static unsigned long number_in(const char *path, const char *word)
{
	char text[8192] = "", *at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	at = strstr(text, word);
	check(at);
	return strtoul(at + strlen(word), NULL, 10);
}

static bool put_number(const char *path, unsigned long number)
{
	char text[24];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good;

	snprintf(text, sizeof(text), "%lu", number);
	good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return good;
}

/* So much may be promised beyond what has been. */
static bool promise(size_t more)
{
	return put_number(COMMITTED, number_in("/proc/meminfo", "Committed_AS:") -
					     number_in("/proc/meminfo", "SwapTotal:") +
					     more / 1024);
}

/*
 * Charged or not at all: there is room for the object, or ENOMEM and nothing has changed; and
 * nothing is charged twice in the end.
 */
static void strict(void)
{
	const size_t len = 32 * MIB;
	char *p = make_numbered(len), *view;
	unsigned long before;
	struct vma vma;

	check(put_number(OVERCOMMIT, 2));
	check(promise(len / 2));
	refused(p, len, len, MIRROR, NULL, ENOMEM);
	check(vma_at(p, &vma) && !strcmp(vma.perms, "rw-p") && numbered(p, len));
	check(promise(3 * len / 2));
	before = number_in("/proc/meminfo", "Committed_AS:");
	view = mremap(p, len, len, MIRROR, NULL);
	check(view != MAP_FAILED);
	for (int i = 0; i < 20000 && process_status("Threads:") > 1; i++)
		usleep(1000);
	check(numbered(view, len) && numbered(p, len));
	check(number_in("/proc/meminfo", "Committed_AS:") < before + len / 4 / 1024);
	memset(view, 5, len); /* what was promised is there: no SIGBUS */
	check(p[len - 1] == 5);
}

static void no_overcommit(void **state)
{
	unsigned long mode, ratio, kbytes;
	int status = -1;
	pid_t pid;

	(void)state;
	if (!getenv("RM_OVERCOMMIT"))
		behave_skip("RM_OVERCOMMIT=yes switches overcommitment off for a moment");
	mode = number_in(OVERCOMMIT, "");
	ratio = number_in(RATIO, "");
	kbytes = number_in(COMMITTED, "");
	pid = behave_fork();
	if (!pid) {
		strict();
		_exit(0);
	}
	check_is(waitpid(pid, &status, 0), pid);
	/* whatever has become of the child; the last two exclude each other */
	check(put_number(OVERCOMMIT, mode));
	check(kbytes ? put_number(COMMITTED, kbytes) : put_number(RATIO, ratio));
	check_is(status, 0);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(room_for_one, "mirror-in-a-memory-cgroup-with-room-for-one"),
		CASE(swap_for_one, "mirror-in-a-memory-cgroup-with-room-in-swap"),
		CASE(no_room, "mirror-of-locked-memory-in-a-memory-cgroup-without-room-is-enomem"),
		CASE(no_room_later, "mirror-in-a-memory-cgroup-without-room-is-enomem"),
		CASE(room_in_cache, "mirror-in-a-memory-cgroup-full-of-cached-files"),
		CASE(no_overcommit, "mirror-without-overcommitment-is-enomem-or-has-all"),
	};

	atexit(swap_off); /* after a failure too */
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
