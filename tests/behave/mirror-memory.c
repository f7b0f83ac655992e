/* SPDX-License-Identifier: MIT */
/*
 * Mirrors of private memory where memory is short: pages in swap before and after the conversion
 * (semantics.md B12), and within a memory cgroup that has not room for all of it twice (B6, B8).
 *
 * RM_SWAPON=DIR: a swap file of up to 48 MiB may be made in DIR and used for the length of a case;
 * without, swap that is there already is taken. The cgroup cases need root and a memory controller,
 * of version 1 or 2, below /sys/fs/cgroup. RM_OOM=yes: a case may be killed for want of memory,
 * which the kernel's log will tell. RM_OVERCOMMIT=yes: the machine may be without overcommitment
 * (vm.overcommit_memory 2) for a moment, with room for 64 MiB more than it has promised to then;
 * for machines on which nobody else needs more.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "tests/behave/mirror.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* 5.4 */
#endif

#define MIB	   ((size_t)1 << 20)
#define SMALL_SWAP (8 * MIB)
#define LARGE_SWAP (48 * MIB)
#define SWAPPED	   ((uint64_t)1 << 62)
#define GROUP_NAME "libremap-mirror-memory"

static char swap_path[200];

/* Every page has its number, and the rest of it is not all alike. */
static char *make(size_t len)
{
	char *p = mmap(NULL, len, RW, ANON, -1, 0);

	check(p != MAP_FAILED);
	for (size_t i = 0; i < len; i += PAGE) {
		*(size_t *)(p + i) = i + 1;
		*(size_t *)(p + i + PAGE - 8) = ~i;
	}
	return p;
}

static bool is_right(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		if (*(const size_t *)(p + i) != i + 1 || *(const size_t *)(p + i + PAGE - 8) != ~i)
			return false;
	return true;
}

static size_t swapped_pages(const char *p, size_t len)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	uint64_t entry;

	check(fd >= 0);
	for (size_t i = 0; i < len; i += PAGE)
		if (pread(fd, &entry, 8, (off_t)(((uintptr_t)p + i) / PAGE * 8)) == 8)
			n += entry & SWAPPED ? 1 : 0;
	close(fd);
	return n;
}

static bool have_swap(void)
{
	char text[4096];
	int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return strchr(text, '\n') && strchr(text, '\n')[1];
}

/* As mkswap(8) does it. */
static void write_swap_file(int fd, size_t size)
{
	static char page[65536];
	uint32_t *header = (uint32_t *)(page + 1024);

	header[0] = 1; /* version */
	header[1] = (uint32_t)(size / PAGE - 1);
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	for (size_t i = 0; i < size; i += PAGE) {
		check(write(fd, page, PAGE) == (ssize_t)PAGE);
		memset(page, 0, PAGE);
	}
	check(!fsync(fd));
}

static void swap_off(void)
{
	if (!*swap_path)
		return;
	(void)swapoff(swap_path);
	unlink(swap_path);
	*swap_path = '\0';
}

static void need_swap(size_t size)
{
	const char *folder = getenv("RM_SWAPON");
	int fd;

	if (have_swap())
		return;
	if (!folder)
		behave_skip("no swap; RM_SWAPON=DIR makes some");
	snprintf(swap_path, sizeof(swap_path), "%s/libremap-swap-XXXXXX", folder);
	fd = mkstemp(swap_path);
	check(fd >= 0);
	write_swap_file(fd, size);
	close(fd);
	if (swapon(swap_path, 0)) {
		swap_off();
		behave_skip("swapon is not permitted, or not there");
	}
}

static void swap_out(char *p, size_t len)
{
	if (madvise(p, len, MADV_PAGEOUT)) {
		munmap(p, len);
		swap_off();
		behave_skip("no MADV_PAGEOUT");
	}
}

/* What is in swap comes with the rest. */
static void swapped_before(void **state)
{
	static const size_t sizes[] = {64 * 4096, 6 * MIB};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const size_t len = sizes[i];
		char *p, *view;

		need_swap(SMALL_SWAP);
		p = make(len);
		check(!madvise(p, len, MADV_NOHUGEPAGE));
		swap_out(p + len / 4, len / 2);
		if (!swapped_pages(p, len)) {
			munmap(p, len);
			swap_off();
			behave_skip("nothing was swapped out");
		}
		view = mremap(p, len, len, MIRROR, NULL);
		check(view != MAP_FAILED);
		check(is_right(p, len) && is_right(view, len));
		check_one_memory(p, view, len);
		check(!munmap(p, len) && !munmap(view, len));
		swap_off();
	}
}

/*
 * That some of it is in swap does not make the rest come during the stop: it follows, as where
 * userfaultfd lets it.
 */
static void swapped_in_part(void **state)
{
	const size_t len = 128 * MIB, swapped = 256 * PAGE;
	bool follows = false, would = false;

	(void)state;
	need_swap(SMALL_SWAP);
	for (int i = 0; i < 20 && (!would || !follows); i++) {
		char *p = make(len), *view;
		struct vma vma;

		check(!madvise(p, len, MADV_NOHUGEPAGE));
		if (would)
			swap_out(p + len / 2, swapped);
		if (would && !swapped_pages(p, len)) {
			munmap(p, len);
			swap_off();
			behave_skip("nothing was swapped out");
		}
		view = mremap(p, len, len, MIRROR, NULL);
		check(view != MAP_FAILED);
		check(vma_at(view, &vma));
		*(would ? &follows : &would) |= vma_has(&vma, "um");
		check(is_right(view, len) && is_right(p, len));
		check(!munmap(p, len) && !munmap(view, len));
	}
	swap_off();
	if (!would)
		behave_skip("nothing is copied later here");
	check(follows);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

/*
 * A guard region looks like a page in swap: what can not be read is found before, and nothing is
 * converted.
 */
static void guarded_and_swapped(void **state)
{
	const size_t len = 8 * MIB;
	struct vma vma;
	char *p;

	(void)state;
	need_swap(SMALL_SWAP);
	p = make(len);
	check(!madvise(p, len, MADV_NOHUGEPAGE));
	swap_out(p + 2 * MIB, 256 * PAGE);
	if (madvise(p + 4 * MIB, PAGE, MADV_GUARD_INSTALL)) {
		munmap(p, len);
		swap_off();
		behave_skip("no guard regions");
	}
	refused(p, len, len, MIRROR, NULL, EINVAL);
	check(vma_at(p, &vma) && vma.perms[3] == 'p');
	check(is_right(p, 4 * MIB));
	check(!munmap(p, len));
	swap_off();
}

/* The object's pages go to swap and come back, in all views; holes are holes still. */
static void swapped_after(void **state)
{
	const size_t len = 64 * PAGE;
	struct vma vma;
	char *p, *view;

	(void)state;
	need_swap(SMALL_SWAP);
	p = make(len);
	check(!madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
	view = mirrored(p, len, MIRROR, NULL);
	check(!munmap(view, len)); /* what two views have mapped is not paged out by advice */
	swap_out(p, len);
	check(vma_at(p, &vma));
	if (vma.rss >= 56 * PAGE / 1024) {
		munmap(p, len);
		swap_off();
		behave_skip("nothing was swapped out");
	}
	view = mirrored(p, len, MIRROR, NULL);
	check(is_right(view, 8 * PAGE) && zeroed(view + 8 * PAGE, 8 * PAGE));
	check(*(size_t *)(p + 16 * PAGE) == 16 * PAGE + 1);
	check(!memcmp(p, view, len));
	check_one_memory(p, view, len);
	check(!munmap(p, len) && !munmap(view, len));
	swap_off();
}

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
	char *p = make(len), *view = mremap(p, len, len, MIRROR, NULL);

	check(view != MAP_FAILED);
	/* what is touched before its turn is there twice until then: not part of this */
	for (int i = 0; i < 20000 && process_status("Threads:") > 1; i++)
		usleep(1000);
	check(is_right(view, len) && is_right(p, len));
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
	need_swap(LARGE_SWAP);
	once_len = 16 * MIB;
	status = within(12 * MIB, true, mirror_once);
	swap_off();
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		behave_skip("killed: swap is too slow here for so small a group");
	check_is(status, 0);
}

static void mirror_locked(void)
{
	const size_t len = 24 * MIB;
	char *p = make(len), *view;

	check(!mlock(p, len));
	view = mremap(p, len, len, MIRROR, NULL);
	check(view == MAP_FAILED);
	check_is(errno, ENOMEM);
	check(is_right(p, len));
}

/*
 * Locked memory has to be there twice: killed as for any write of private memory, or ENOMEM; no
 * SIGBUS, and nothing lost.
 */
static void no_room(void **state)
{
	int status;

	(void)state;
	need_oom();
	status = within(40 * MIB, false, mirror_locked);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		check_is(status, 0);
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
	char *p = make(len), *view;
	unsigned long before;
	struct vma vma;

	check(put_number(OVERCOMMIT, 2));
	check(promise(len / 2));
	refused(p, len, len, MIRROR, NULL, ENOMEM);
	check(vma_at(p, &vma) && !strcmp(vma.perms, "rw-p") && is_right(p, len));
	check(promise(3 * len / 2));
	before = number_in("/proc/meminfo", "Committed_AS:");
	view = mremap(p, len, len, MIRROR, NULL);
	check(view != MAP_FAILED);
	for (int i = 0; i < 20000 && process_status("Threads:") > 1; i++)
		usleep(1000);
	check(is_right(view, len) && is_right(p, len));
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
		CASE(swapped_before, "mirror-of-memory-that-is-in-swap"),
		CASE(swapped_in_part, "mirror-of-memory-partly-in-swap-is-filled-later"),
		CASE(guarded_and_swapped, "mirror-of-memory-in-swap-with-guard-regions-is-einval"),
		CASE(swapped_after, "converted-memory-goes-to-swap-and-comes-back"),
		CASE(room_for_one, "mirror-in-a-memory-cgroup-with-room-for-one"),
		CASE(swap_for_one, "mirror-in-a-memory-cgroup-with-room-in-swap"),
		CASE(no_room, "mirror-of-locked-memory-in-a-memory-cgroup-without-room"),
		CASE(no_overcommit, "mirror-without-overcommitment-is-enomem-or-has-all"),
	};

	atexit(swap_off); /* after a failure too */
	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
