/* SPDX-License-Identifier: MIT */
/*
 * What others see of converted memory: /proc, core dumps, counters of the whole machine
 * (semantics.md 10.B, B3, B8 to B11, B18, B20). Counters of the machine are looked at several
 * times, since others use memory too. Needs a core_pattern that is a plain name for the core dump.
 * RM_SHMEM_THP=yes: transparent huge pages of shared memory may be switched on for a moment.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/behave/mirror.h"

#define MIB	  ((size_t)1 << 20)
#define HUGE_PAGE (2 * MIB)
#define TRIES	  30
#define SHMEM_THP "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static char *make(size_t len)
{
	char *p = mmap(NULL, len, RW, ANON, -1, 0);

	check(p != MAP_FAILED);
	fill(p, len, 1);
	return p;
}

static char *mirror(char *p, size_t len)
{
	char *view = mremap(p, len, len, MIRROR, NULL);

	check(view != MAP_FAILED);
	return view;
}

/* A number of KiB, in bytes. */
static size_t meminfo(const char *field)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	size_t kib = 0;

	check(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			kib = strtoul(line + strlen(field), NULL, 10);
	fclose(f);
	return kib << 10;
}

static bool is_near(size_t a, size_t b, size_t tolerance)
{
	return a < b + tolerance && b < a + tolerance;
}

/* B10 */
static void names(void **state)
{
	const size_t len = 4 * PAGE;
	char *p = make(len), *view = mirror(p, len);
	struct vma s, v;

	(void)state;
	check(vma_at(p, &s) && vma_at(view, &v));
	check(!strcmp(s.name, "/dev/zero (deleted)") && !strcmp(v.name, s.name));
	check(!strcmp(s.perms, "rw-s") && !strcmp(v.perms, s.perms));
	check(s.inode && v.inode == s.inode);
	check(!munmap(p, len) && !munmap(view, len));
}

/*
 * B8: counted as shared memory, in every view that was touched. By smaps: what /proc/self/status
 * says lags behind until 6.2, by 64 faults a thread, and a fault may bring 16 pages.
 */
static void counted_in_each_view(void **state)
{
	const size_t len = 2 * MIB;
	const unsigned long kib = len / 1024;
	struct vma s, v;
	char *p, *view;

	(void)state;
	p = make(len);
	view = mirror(p, len);
	check(filled(p, len, 1));
	check(vma_at(p, &s) && vma_at(view, &v));
	check_is(s.rss, kib);
	check_is(s.anonymous, 0);
	check_is(v.rss, 0);
	check(filled(view, len, 1));
	check(vma_at(p, &s) && vma_at(view, &v));
	check_is(s.rss, kib);
	check_is(v.rss, kib);
	check_is(v.anonymous, 0);
	check(!munmap(p, len) && !munmap(view, len));
}

/* B8: no descriptor, no list keeps the memory when the last view has gone; and not before. */
static void freed_with_the_last_view(void **state)
{
	const size_t len = 64 * MIB;
	bool good = false;

	(void)state;
	for (int i = 0; i < TRIES && !good; i++) {
		size_t before = meminfo("Shmem:"), there, half, after;
		char *p = make(len), *view = mirror(p, len);

		check(filled(p, len, 1) && filled(view, len, 1));
		there = meminfo("Shmem:");
		check(!munmap(p, len));
		half = meminfo("Shmem:");
		check(filled(view, len, 1));
		check(!munmap(view, len));
		after = meminfo("Shmem:");
		good = is_near(there, before + len, len / 4) && is_near(half, there, len / 4) &&
		       is_near(after, before, len / 4);
	}
	check(good);
}

/* B20: charged once, as the private memory was. */
static void charged_once(void **state)
{
	const size_t len = 512 * MIB;
	bool good = false;

	(void)state;
	for (int i = 0; i < TRIES && !good; i++) {
		size_t before = meminfo("Committed_AS:"), as_private, as_shared, with_two;
		char *p = mmap(NULL, len, RW, ANON, -1, 0), *view, *other;

		if (p == MAP_FAILED)
			behave_skip("512 MiB are not to be had here");
		as_private = meminfo("Committed_AS:");
		view = mremap(p, len, len, MIRROR, NULL);
		if (view == MAP_FAILED && errno == ENOMEM) {
			munmap(p, len);
			behave_skip("twice 512 MiB are not to be had here");
		}
		check(view != MAP_FAILED);
		for (int j = 0; j < 1000 && process_status("Threads:") > 1; j++)
			usleep(1000); /* until nothing is put aside any more */
		as_shared = meminfo("Committed_AS:");
		other = mirror(p, len);
		with_two = meminfo("Committed_AS:");
		good = is_near(as_private, before + len, len / 4) &&
		       is_near(as_shared, as_private, len / 4) &&
		       is_near(with_two, as_shared, len / 4);
		check(!munmap(p, len) && !munmap(view, len) && !munmap(other, len));
	}
	check(good);
}

/* B18: the source's policy is the object's, in both views. */
static void policy(void **state)
{
	const size_t len = 4 * PAGE;
	unsigned long node0[16] = {1}, nodes[16];
	char *p = mmap(NULL, len, RW, ANON, -1, 0), *views[2] = {p};
	int mode = -1;

	(void)state;
	check(p != MAP_FAILED);
	if (syscall(SYS_mbind, p, len, (long)MPOL_BIND, node0, 1025L, 0L)) {
		munmap(p, len);
		behave_skip("no NUMA policies");
	}
	fill(p, len, 1);
	views[1] = mirror(p, len);
	for (int i = 0; i < 2; i++) {
		memset(nodes, 0, sizeof(nodes));
		check(!syscall(
			SYS_get_mempolicy, &mode, nodes, 1024L, views[i], (long)MPOL_F_ADDR));
		check_is(mode, MPOL_BIND);
		check_is(nodes[0], 1);
		check(filled(views[i], len, 1));
		check(!munmap(views[i], len));
	}
}

/* B3: allowed, and without effect. */
static void mergeable(void **state)
{
	const size_t len = 4 * PAGE;
	char *p = mmap(NULL, len, RW, ANON, -1, 0), *view;

	(void)state;
	if (madvise(p, len, MADV_MERGEABLE)) {
		munmap(p, len);
		behave_skip("no KSM");
	}
	fill(p, len, 1);
	view = mirror(p, len);
	check(filled(p, len, 1) && filled(view, len, 1));
	check(!madvise(view, len, MADV_MERGEABLE) && !madvise(view, len, MADV_UNMERGEABLE));
	check_one_memory(p, view, len);
	check(!munmap(p, len) && !munmap(view, len));
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static unsigned long huge_kib(const char *at)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end, kib, found = 0;
	bool here = false;
	char line[512];

	check(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)at && (uintptr_t)at < end;
		else if (here && sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1)
			found = kib;
	}
	fclose(f);
	return found;
}

/*
 * B11: advice for huge pages goes with the memory, and is heeded where the machine allows it for
 * shared memory.
 */
static void huge_pages(void **state)
{
	char was[64] = "", *room, *p, *view, *word;
	int fd = open(SHMEM_THP, O_RDONLY | O_CLOEXEC);
	unsigned long huge;

	(void)state;
	if (fd < 0 || read(fd, was, sizeof(was) - 1) <= 0)
		behave_skip("no transparent huge pages of shared memory");
	close(fd);
	word = strchr(was, '[') + 1;
	*strchr(word, ']') = '\0';
	if (!strcmp(word, "never") && (!getenv("RM_SHMEM_THP") || !write_text(SHMEM_THP, "advise")))
		behave_skip("never for shared memory; RM_SHMEM_THP=yes changes that for a moment");
	if (!strcmp(word, "deny"))
		behave_skip("denied for shared memory");
	room = mmap(NULL, 2 * HUGE_PAGE, PROT_NONE, ANON, -1, 0);
	p = (char *)(((uintptr_t)room + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	check(mmap(p, HUGE_PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
	check(!madvise(p, HUGE_PAGE, MADV_HUGEPAGE));
	fill(p, HUGE_PAGE, 1);
	view = mremap(p, HUGE_PAGE, HUGE_PAGE, MIRROR, NULL);
	huge = huge_kib(p);
	if (!strcmp(word, "never"))
		check(write_text(SHMEM_THP, "never"));
	check(view != MAP_FAILED);
	check(filled(p, HUGE_PAGE, 1) && filled(view, HUGE_PAGE, 1));
	check_one_memory(p, view, HUGE_PAGE);
	check(!munmap(view, HUGE_PAGE) && !munmap(room, 2 * HUGE_PAGE));
	if (!huge)
		behave_skip("content right, but no huge page was to be had");
}

/* Bytes of the program's range that the core file holds; -1: the range is not in it at all. */
static long dumped(const char *core, const void *at)
{
	Elf64_Ehdr head;
	Elf64_Phdr segment;
	long bytes = -1;
	int fd = open(core, O_RDONLY | O_CLOEXEC);

	check(fd >= 0);
	check(pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head));
	check(!memcmp(head.e_ident, ELFMAG, SELFMAG) && head.e_type == ET_CORE);
	for (unsigned int i = 0; i < head.e_phnum; i++) {
		check(pread(fd, &segment, sizeof(segment),
			      (off_t)(head.e_phoff + i * sizeof(segment))) ==
			(ssize_t)sizeof(segment));
		if (segment.p_type == PT_LOAD && segment.p_vaddr <= (uintptr_t)at &&
			(uintptr_t)at < segment.p_vaddr + segment.p_memsz)
			bytes = (long)segment.p_filesz;
	}
	close(fd);
	return bytes;
}

/* B9: the content is dumped once, by the source. */
static void core_dump(void **state)
{
	const struct rlimit limit = {256 * MIB, 256 * MIB};
	const size_t len = 64 * PAGE;
	char folder[] = "/tmp/mirror-core-XXXXXX", core[200], pattern[64] = "";
	char *p = make(len), *view = mirror(p, len);
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC), status;
	pid_t pid;

	(void)state;
	check(fd >= 0 && read(fd, pattern, sizeof(pattern) - 1) > 0);
	close(fd);
	if (strcmp(pattern, "core\n"))
		behave_skip("core_pattern is not \"core\"");
	check(mkdtemp(folder));
	/*
	 * the source as it was left, and unadvised: vfork'ed children would share it, so a fork's
	 * copy is looked at
	 */
	pid = behave_fork();
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		if (chdir(folder) || setrlimit(RLIMIT_CORE, &limit))
			_exit(1);
		abort();
	}
	check_is(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	snprintf(core, sizeof(core), "%s/core", folder);
	if (access(core, R_OK))
		snprintf(core, sizeof(core), "%s/core.%d", folder, (int)pid);
	if (!WCOREDUMP(status) || access(core, R_OK)) {
		unlink(core);
		rmdir(folder);
		behave_skip("no core dumps here");
	}
	check_is(dumped(core, p), len);
	check(dumped(core, view) <= 0);
	unlink(core);
	rmdir(folder);
	check(!munmap(p, len) && !munmap(view, len));
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(names, "converted-memory-in-proc-maps"),
		CASE(counted_in_each_view, "converted-memory-is-counted-in-each-view"),
		CASE(freed_with_the_last_view, "converted-memory-is-freed-with-its-last-view"),
		CASE(charged_once, "converted-memory-is-charged-once"),
		CASE(policy, "converted-memory-keeps-its-numa-policy"),
		CASE(mergeable, "mergeable-of-converted-memory-has-no-effect"),
		CASE(huge_pages, "converted-memory-has-huge-pages-where-allowed"),
		CASE(core_dump, "converted-memory-is-dumped-once"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
