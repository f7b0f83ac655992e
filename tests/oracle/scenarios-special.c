/*
 * scenarios-special.c - mappings and limits that a script of operations cannot make: sealed and
 * guarded memory, huge pages, kernel-made mappings, System V memory, stacks that grow down,
 * resource limits.
 *
 * What is outside the field is described by pages relative to it, like everything else. A scenario
 * whose precondition this machine or this (pretended) kernel lacks says "skip" and why. Where the
 * native kernel destroys the destination on a late failure (RLIMIT_AS) only the answer and the
 * source are looked at: keeping the destination is allowed.
 */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define MIB	  ((size_t)1 << 20)
#define HUGE_PAGE (2 * MIB)
#define BIG	  ((char *)oracle_base + 64 * MIB) /* room for huge pages, away from the field */

static void say_int(const char *what, long got)
{
	if (got < 0)
		oracle_out("op %s %s\n", what, oracle_errno_name(errno));
	else
		oracle_out("op %s %ld\n", what, got);
}

static void look(void)
{
	oracle_observe(NULL);
	oracle_observe_content();
}

/* The VMAs of [from, from + len), in pages from BIG. */
static void look_big(const char *from, size_t len)
{
	static struct oracle_vma vmas[32];
	int count = oracle_read_smaps(vmas, 32, (uintptr_t)from, (uintptr_t)from + len);
	int i;

	for (i = 0; i < count; i++) {
		oracle_out("vma big%+ld pages %lu %s\n",
			((long)vmas[i].start - (long)BIG) / (long)oracle_page,
			(unsigned long)(vmas[i].end - vmas[i].start) / oracle_page, vmas[i].prot);
		oracle_out("flags%s\nrss%s\n", vmas[i].flags, vmas[i].rss);
	}
}

static void *dontunmap(int from, int pages, int to)
{
	size_t len = (size_t)pages * oracle_page;

	return mremap(oracle_at(from), len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		oracle_at(to));
}

#define B 40
#define C 80

static void sealed_source(void)
{
	size_t len = 4 * oracle_page;

	oracle_setup("mmap A+4 4p anon rw-; write A+4 4p; mmap B+0 4p anon rw-; write B+0 4p");
	if (syscall(SYS_mseal, oracle_at(4), len, 0)) {
		oracle_out("skip mseal: %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_say("dontunmap", dontunmap(4, 4, B));
	oracle_say("move",
		mremap(oracle_at(4), len, len, MREMAP_MAYMOVE | MREMAP_FIXED, oracle_at(B)));
	oracle_say("shrink", mremap(oracle_at(4), len, oracle_page, 0));
	oracle_say("grow", mremap(oracle_at(4), len, 2 * len, MREMAP_MAYMOVE));
	oracle_say("wrong flags", mremap(oracle_at(4), len, len, MREMAP_FIXED, oracle_at(B)));
	look();
}

static void sealed_destination(void)
{
	oracle_setup("mmap A+4 4p anon rw-; write A+4 4p; mmap B+0 8p anon rw-; write B+0 8p");
	if (syscall(SYS_mseal, oracle_at(B + 3), oracle_page, 0)) {
		oracle_out("skip mseal: %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_say("dontunmap", dontunmap(4, 4, B));
	oracle_say("dontunmap beside", dontunmap(4, 2, B));
	look();
}

static void guarded_source(void)
{
	oracle_setup("mmap A+4 8p anon rw-; write A+4 8p");
	if (madvise(oracle_at(6), 2 * oracle_page, 102)) {
		oracle_out("skip guard regions: %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_say("dontunmap", dontunmap(4, 8, C));
	oracle_out("op read source %d\n", oracle_touch(4, 8, 0));
	oracle_out("op read destination %d\n", oracle_touch(C, 8, 0));
}

static void huge_pages(size_t shift, bool partly)
{
	size_t len = 2 * HUGE_PAGE, part = partly ? HUGE_PAGE + 16 * oracle_page : len;
	char *to = BIG + 16 * MIB + shift, *at;

	if (oracle_page != 4096) {
		oracle_out("skip pages of 4 KiB only\n");
		return;
	}
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	at = mmap(BIG, len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say_int("advice", madvise(at, len, MADV_HUGEPAGE));
	memset(at, 1, len);
	look_big(BIG, 64 * MIB);
	oracle_out("op dontunmap %s\n",
		mremap(at, part, part, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to
			? "to its place"
			: oracle_errno_name(errno));
	look_big(BIG, 64 * MIB);
	oracle_out("op bytes %d %d %d\n", at[0], to[0], to[part - 1]);
	munmap(to, part);
}

static void huge_aligned(void)
{
	huge_pages(0, false);
}

static void huge_shifted(void)
{
	huge_pages(16 * 4096, false);
}

static void huge_in_part(void)
{
	huge_pages(0, true);
}

/* Whole page tables move: 6 MiB of small pages between congruent places, and between others. */
static void many_pages(void)
{
	size_t len = 6 * MIB, i, wrong = 0;
	uint64_t *at = mmap(
		BIG, len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t shifts[] = {0, 3 * oracle_page}, round;

	for (round = 0; round < 2; round++) {
		uint64_t *to = (uint64_t *)(BIG + 16 * MIB + shifts[round]), *got;

		for (i = 0; i < len / 8; i += oracle_page / 8)
			at[i] = i + round;
		got = mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
		oracle_out(
			"op dontunmap %s\n", got == to ? "to its place" : oracle_errno_name(errno));
		if (got != to)
			return;
		look_big(BIG, 64 * MIB);
		for (i = 0; i < len / 8; i += oracle_page / 8)
			wrong += to[i] != i + round || at[i] != 0;
		oracle_out("op wrong pages %zu\n", wrong);
	}
}

static void hugetlb(int share)
{
	char *at = mmap(BIG, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
		MAP_FIXED | share | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	size_t len = HUGE_PAGE;
	char *to = BIG + 16 * MIB;

	if (at == MAP_FAILED) {
		oracle_out("skip huge pages: %s\n", oracle_errno_name(errno));
		return;
	}
	at[0] = 1;
	oracle_say("dontunmap", mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	oracle_say("dontunmap fixed",
		mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to));
	oracle_say("duplicate", mremap(at, 0, len, MREMAP_MAYMOVE));
	oracle_say("grow", mremap(at, 2 * len, 3 * len, MREMAP_MAYMOVE));
	look_big(BIG, 64 * MIB);
}

static void hugetlb_private(void)
{
	hugetlb(MAP_PRIVATE);
}

static void hugetlb_shared(void)
{
	hugetlb(MAP_SHARED);
}

static void vdso(void)
{
	uintptr_t at = getauxval(AT_SYSINFO_EHDR);
	struct oracle_vma vma;
	size_t len;

	if (!at || oracle_read_maps(&vma, 1, at, at + 1) != 1) {
		oracle_out("skip no vdso\n");
		return;
	}
	len = vma.end - vma.start;
	oracle_say("dontunmap",
		mremap((void *)vma.start, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	oracle_say("dontunmap fixed",
		mremap((void *)vma.start, len, len,
			MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, oracle_at(4)));
	if (len > oracle_page)
		oracle_say("move of a part", mremap((void *)vma.start, oracle_page, oracle_page,
						     MREMAP_MAYMOVE | MREMAP_FIXED, oracle_at(4)));
	look();
}

static void aio_ring(void)
{
	unsigned long ring = 0;
	struct oracle_vma vma;
	size_t len;

	if (syscall(SYS_io_setup, 16, &ring) || oracle_read_maps(&vma, 1, ring, ring + 1) != 1) {
		oracle_out("skip no asynchronous I/O\n");
		return;
	}
	len = vma.end - vma.start;
	oracle_say("dontunmap",
		mremap((void *)ring, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	oracle_say("grow", mremap((void *)ring, len, 2 * len, MREMAP_MAYMOVE));
	oracle_say("duplicate", mremap((void *)ring, 0, len, MREMAP_MAYMOVE));
	oracle_say("move",
		mremap((void *)ring, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, oracle_at(4)));
	oracle_observe(NULL); /* what is in the ring depends on the machine */
}

static long attached(int id)
{
	struct shmid_ds ds;

	return shmctl(id, IPC_STAT, &ds) ? -1 : (long)ds.shm_nattch;
}

static void system_v(void)
{
	size_t len = 4 * oracle_page;
	int id = shmget(IPC_PRIVATE, len, IPC_CREAT | 0600);
	void *at = id < 0 ? MAP_FAILED : shmat(id, oracle_at(4), 0);

	if (at == MAP_FAILED) {
		oracle_out("skip System V memory: %s\n", oracle_errno_name(errno));
		return;
	}
	shmctl(id, IPC_RMID, NULL);
	oracle_touch(4, 4, 1);
	oracle_say("dontunmap", dontunmap(4, 4, C));
	say_int("attached", attached(id));
	oracle_say("duplicate",
		mremap(oracle_at(4), 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, oracle_at(B)));
	say_int("attached", attached(id));
	look();
	say_int("detach", shmdt(oracle_at(4)));
	say_int("attached", attached(id));
	look();
}

static void grows_down(void)
{
	if (mmap(oracle_at(B), 4 * oracle_page, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0) == MAP_FAILED) {
		oracle_out("skip MAP_GROWSDOWN: %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_touch(B, 4, 1);
	oracle_say("dontunmap", dontunmap(B, 4, C));
	look();
}

static void limit(int resource, long more_pages)
{
	char buf[64] = "", *at = buf;
	FILE *in = fopen("/proc/self/statm", "re");
	long values[6] = {0};
	struct rlimit rlimit;
	int i;

	if (in && fgets(buf, sizeof(buf), in))
		for (i = 0; i < 6; i++)
			values[i] = strtol(at, &at, 10);
	if (in)
		fclose(in);
	getrlimit(resource, &rlimit);
	rlimit.rlim_cur = (rlim_t)((values[0] + more_pages) * (long)oracle_page);
	say_int("limit", setrlimit(resource, &rlimit));
}

static void limit_refuses(void)
{
	oracle_setup("mmap A+4 8p anon rw-; write A+4 8p");
	limit(RLIMIT_AS, 4);
	oracle_say("dontunmap", mremap(oracle_at(4), 8 * oracle_page, 8 * oracle_page,
					MREMAP_MAYMOVE | MREMAP_DONTUNMAP, oracle_at(C)));
	oracle_say("grow", mremap(oracle_at(4), 8 * oracle_page, 16 * oracle_page, MREMAP_MAYMOVE));
	oracle_say("smaller dontunmap", dontunmap(4, 2, C));
	look();
}

static void limit_suffices(void)
{
	oracle_setup("mmap A+4 8p anon rw-; write A+4 8p");
	limit(RLIMIT_AS, 8);
	oracle_say("dontunmap", mremap(oracle_at(4), 8 * oracle_page, 8 * oracle_page,
					MREMAP_MAYMOVE | MREMAP_DONTUNMAP, oracle_at(C)));
	look();
}

static void limit_refuses_fixed(void)
{
	oracle_setup("mmap A+4 8p anon rw-; write A+4 8p; mmap C+0 2p anon rw-; write C+0 2p");
	limit(RLIMIT_AS, 4);
	oracle_say("dontunmap", dontunmap(4, 8, C));
	oracle_out("op source %d\n", oracle_touch(4, 8, 0));
}

const struct oracle_scenario oracle_scenarios_special[] = {
	{"sealed-source-is-eperm", NULL, sealed_source},
	{"sealed-destination-is-eperm-and-intact", NULL, sealed_destination},
	{"guard-regions-travel", NULL, guarded_source},
	{"huge-pages-stay-huge-between-congruent-places", NULL, huge_aligned},
	{"huge-pages-split-between-others", NULL, huge_shifted},
	{"huge-pages-moved-in-part", NULL, huge_in_part},
	{"many-pages-move-as-page-tables", NULL, many_pages},
	{"hugetlb-private-is-refused", NULL, hugetlb_private},
	{"hugetlb-shared-is-refused", NULL, hugetlb_shared},
	{"vdso-is-refused", NULL, vdso},
	{"aio-ring-is-refused-but-moves", NULL, aio_ring},
	{"system-v-memory-counts-attachments", NULL, system_v},
	{"grows-down-is-kept-at-both-ends", NULL, grows_down},
	{"address-space-limit-refuses", NULL, limit_refuses},
	{"address-space-limit-just-suffices", NULL, limit_suffices},
	{"address-space-limit-refuses-fixed", NULL, limit_refuses_fixed},
	{NULL, NULL, NULL},
};
