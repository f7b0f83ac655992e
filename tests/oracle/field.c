/*
 * field.c - the field: fixed places to map at, files to map, and tags that tell pages apart.
 *
 * The field lies where no kernel puts a mapping by itself and below everything else a process has,
 * so that neither address space randomization nor a preloaded library changes what is next to a
 * test mapping, and so that the field's VMAs come first in /proc/self/smaps, which is slow to
 * read.
 *
 * A page's tag is two 64-bit words, one at each end of the page: (field page + 1) << 32 | number
 * of the writing operation. Tags are read and written by process_vm_readv and process_vm_writev on
 * ourselves: a bad page is EFAULT and not a signal, and the fault is an ordinary one otherwise.
 *
 * oracle_plug_gaps fills the free places between libraries: what the kernel places itself then
 * always has a neighbour that it cannot merge with, whatever libraries are there. It must not be
 * called in a process whose later mmap calls need those gaps.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

uintptr_t oracle_base;
size_t oracle_page;

static pid_t self; /* getpid costs a system call; forks go through oracle_fork */
static int kind_fds[KINDS];
static char tmpfs_path[64];
static uint64_t *template;

/* What every file begins as: page i holds ORACLE_FILE_TAG | i at both ends. */
static int make_template(void)
{
	size_t words = oracle_page / sizeof(uint64_t), i;

	template = calloc(ORACLE_FILE_PAGES, oracle_page);
	for (i = 0; template && i < ORACLE_FILE_PAGES; i++)
		template[i * words] = template[(i + 1) * words - 1] = ORACLE_FILE_TAG | i;
	return template ? 0 : -ENOMEM;
}

int oracle_field_init(void)
{
	/* 32 TiB: clear of AddressSanitizer's shadow; 64 GiB: for 39-bit address spaces. */
	static const uint64_t places[] = {0x200000000000, 0x1000000000};
	uint64_t word = 1;
	struct iovec iov = {&word, sizeof(word)};
	size_t i;

	self = getpid();
	oracle_page = (size_t)sysconf(_SC_PAGESIZE);
	for (i = 0; i < KINDS; i++)
		kind_fds[i] = -1;
	if (make_template())
		return -1;
	if (process_vm_readv(getpid(), &iov, 1, &iov, 1, 0) != sizeof(word)) {
		fprintf(stderr, "remap-oracle: process_vm_readv is refused here: %s\n",
			strerror(errno));
		return -1;
	}
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		void *want = (void *)(uintptr_t)places[i];
		size_t len = 2 * ORACLE_PAGES * oracle_page;
		void *got = mmap(
			want, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (got != MAP_FAILED)
			munmap(got, len);
		if (got == want) {
			oracle_base = (uintptr_t)want;
			return 0;
		}
	}
	fprintf(stderr, "remap-oracle: no free place for the field\n");
	return -1;
}

/*
 * A plug is shared memory: it merges with no test mapping. The gap below the stack stays: the
 * stack grows.
 */
void oracle_plug_gaps(void)
{
	static struct oracle_vma vmas[512];
	int count = oracle_read_maps(vmas, 512, 0, UINTPTR_MAX);
	int fd = memfd_create("plug", MFD_CLOEXEC);
	int i;

	if (fd < 0)
		return;
	for (i = 0; i + 1 < count; i++) {
		uintptr_t gap = vmas[i + 1].start - vmas[i].end;

		if (gap == 0 || gap > (uintptr_t)1 << 34 || !strcmp(vmas[i + 1].what, "stack") ||
			!strcmp(vmas[i].what, "heap"))
			continue;
		mmap((void *)vmas[i].end, gap, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			fd, 0);
	}
	/* One more below the lowest library: the search for a free place is top-down. */
	mmap(NULL, oracle_page, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
}

void *oracle_at(int page)
{
	return (void *)(oracle_base + (size_t)page * oracle_page);
}

uintptr_t oracle_value(const struct oracle_num *num)
{
	switch (num->kind) {
	case NUM_FIELD:
		return (uintptr_t)oracle_at(num->page) + (uintptr_t)(intptr_t)num->delta;
	case NUM_PAGES:
		return (uintptr_t)num->page * oracle_page + (uintptr_t)(intptr_t)num->delta;
	case NUM_PLAIN:
		return (uintptr_t)num->plain;
	case NUM_NONE:
		break;
	}
	return 0;
}

const char *oracle_place(uintptr_t addr, char buf[32])
{
	uintptr_t page = (addr - oracle_base) / oracle_page;
	unsigned int delta = (unsigned int)((addr - oracle_base) % oracle_page);

	if (addr < oracle_base || page >= 2 * ORACLE_PAGES) {
		snprintf(buf, 32, "%s%s", addr == 0 ? "null" : "away",
			addr & (oracle_page - 1) ? "-unaligned" : "");
		return buf;
	}
	/* The gap behind the last arena has a letter too: mappings may grow into it. */
	snprintf(buf, 32, delta ? "%c+%u:%u" : "%c+%u", (int)('A' + page / ORACLE_ARENA_PAGES),
		(unsigned int)(page % ORACLE_ARENA_PAGES), delta);
	return buf;
}

static int fill_file(int fd)
{
	size_t size = ORACLE_FILE_PAGES * oracle_page;

	return pwrite(fd, template, size, 0) == (ssize_t)size ? 0 : -EIO;
}

/* The file of a kind, made at first use and only for this sequence. -1 for anonymous kinds. */
int oracle_kind_fd(enum oracle_kind kind)
{
	char link[64];

	if (kind == KIND_ANON || kind == KIND_SHARED)
		return -1;
	if (kind_fds[kind] >= 0)
		return kind_fds[kind];
	if (kind == KIND_MEMFD_RO) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", oracle_kind_fd(KIND_MEMFD));
		kind_fds[kind] = open(link, O_RDONLY | O_CLOEXEC);
	} else if (kind == KIND_TMPFS_PRIVATE) {
		kind_fds[kind] = oracle_kind_fd(KIND_TMPFS);
	} else if (kind == KIND_TMPFS) {
		snprintf(tmpfs_path, sizeof(tmpfs_path), "/dev/shm/remap-oracle.%d", getpid());
		kind_fds[kind] = open(tmpfs_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	} else {
		kind_fds[kind] = memfd_create("oracle", MFD_CLOEXEC);
	}
	if (kind_fds[kind] < 0 || (kind != KIND_MEMFD_RO && kind != KIND_TMPFS_PRIVATE &&
					  fill_file(kind_fds[kind]))) {
		oracle_out("trouble no file of kind %s: %s\n", oracle_kind_names[kind],
			strerror(errno));
		_exit(99);
	}
	return kind_fds[kind];
}

/* What a child leaves behind, crashed or not; called by its parent. */
void oracle_field_cleanup(pid_t child)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/shm/remap-oracle.%d", child);
	unlink(path);
}

pid_t oracle_pid(void)
{
	return self;
}

pid_t oracle_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		self = getpid();
	return pid;
}

#define BATCH ((size_t)2 * ORACLE_PAGES)

/*
 * Both words of each page, to or from tags; good gets 1 for each page where that worked. Count
 * up to BATCH.
 */
static void access_pages(const int *pages, int count, uint64_t *tags, char *good, bool write)
{
	static struct iovec remote[2 * BATCH];
	int i, done;

	for (i = 0; i < count; i++) {
		char *at = oracle_at(pages[i]);

		remote[2 * i] = (struct iovec){at, sizeof(*tags)};
		remote[2 * i + 1] = (struct iovec){at + oracle_page - sizeof(*tags), sizeof(*tags)};
		good[i] = 0;
	}
	for (i = 0; i < count; i += done + 1) {
		struct iovec local = {tags + 2 * i, (size_t)(count - i) * 2 * sizeof(*tags)};
		unsigned long iovs = (unsigned long)(count - i) * 2;
		ssize_t got = write ? process_vm_writev(self, &local, 1, remote + 2 * i, iovs, 0)
				    : process_vm_readv(self, &local, 1, remote + 2 * i, iovs, 0);

		/* It stops at the first bad page; go on behind it. */
		done = got > 0 ? (int)((size_t)got / (2 * sizeof(*tags))) : 0;
		memset(good + i, 1, (size_t)done);
	}
}

void oracle_tags_read(const int *pages, int count, uint64_t *tags, char *good)
{
	access_pages(pages, count, tags, good, false);
}

/*
 * Writes (version > 0) or reads count pages one by one; returns how many of them could be
 * accessed.
 */
int oracle_touch(int first, int count, unsigned int version)
{
	static uint64_t tags[2 * BATCH];
	static int pages[BATCH];
	static char good[BATCH];
	int total = 0, i;

	if (count > (int)BATCH - first)
		count = (int)BATCH - first;
	for (i = 0; i < count; i++) {
		pages[i] = first + i;
		tags[2 * i] = tags[2 * i + 1] = (uint64_t)(unsigned int)(first + i + 1) << 32 |
						version;
	}
	access_pages(pages, count, tags, good, version > 0);
	for (i = 0; i < count; i++)
		total += good[i];
	return total;
}

const char *oracle_tag_name(uint64_t tag, char buf[32])
{
	unsigned int page = (unsigned int)(tag >> 32) - 1;

	if (tag == 0)
		snprintf(buf, 32, "0");
	else if ((tag & 0xffffffffffff0000ull) == ORACLE_FILE_TAG)
		snprintf(buf, 32, "f%u", (unsigned int)(tag & 0xffff));
	else if (tag >> 32 && page < ORACLE_PAGES)
		snprintf(buf, 32, "%c%u.%u", (int)('A' + page / ORACLE_ARENA_PAGES),
			page % ORACLE_ARENA_PAGES, (unsigned int)tag);
	else
		snprintf(buf, 32, "alien");
	return buf;
}
