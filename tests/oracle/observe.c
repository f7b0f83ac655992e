/*
 * observe.c - what a program could notice about the field, as lines without addresses.
 *
 *   line      level    meaning
 *   perm      content  protection of each page (independent of how VMAs are cut)
 *   content   content  what each page reads as; reading is an access, so this comes last
 *   vma       vmas     bounds, protection, backing and offset of each VMA
 *   flags     flags    VmFlags of each VMA
 *   rss       rss      Rss, Locked, Private_Dirty ... of each VMA
 *   present   rss      which page table entries exist: a anonymous, f file or shared, s swapped
 *   mincore   all      mincore(2) of each VMA
 *   vmsize    all      VmSize against the start of the sequence, without the field's own VMAs: what
 *                      an
 *   vmdata    all      emulation leaves lying elsewhere; the same for VmData
 *   vmlck     all      VmLck against the start of the sequence
 *
 * Everything but "content" is seen without touching a page: an access would create the page table
 * entries that are being observed. The digest after each operation follows the same rule: it
 * covers the tags of anonymous pages that are there, and from level rss on which entries exist.
 */
#include "oracle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* The field and the gap behind it, where a mapping may grow to. */
#define WATCHED	       (ORACLE_PAGES + ORACLE_ARENA_PAGES)
#define PAGE_PRESENT   (1ull << 63)
#define PAGE_SWAPPED   (1ull << 62)
#define PAGE_FILE      (1ull << 61)
#define MAX_FIELD_VMAS 512

static uint64_t entries[WATCHED];
static uint64_t tags[WATCHED];
static struct oracle_vma vmas[MAX_FIELD_VMAS];
static int vma_count;

/* A file of /proc/self must be opened by the process that it is about: reopened after each fork. */
static int proc_fd(const char *path)
{
	static struct {
		const char *path;
		int fd;
		pid_t pid;
	} kept[2];
	size_t i;

	for (i = 0; i < 2; i++) {
		if (kept[i].path && strcmp(kept[i].path, path))
			continue;
		if (!kept[i].path || kept[i].pid != oracle_pid()) {
			kept[i].path = path;
			kept[i].pid = oracle_pid();
			kept[i].fd = open(path, O_RDONLY | O_CLOEXEC);
		}
		return kept[i].fd;
	}
	return -1;
}

/* A page that is being migrated is shown as swapped, until then. */
static void read_entries(void)
{
	off_t at = (off_t)(oracle_base / oracle_page * sizeof(uint64_t));
	int tries = 0, swapped, i;

	do {
		if (tries)
			oracle_pause();
		memset(entries, 0, sizeof(entries));
		if (pread(proc_fd("/proc/self/pagemap"), entries, sizeof(entries), at) !=
			sizeof(entries))
			oracle_out("trouble pagemap\n");
		for (i = swapped = 0; i < WATCHED; i++)
			swapped += entries[i] & PAGE_SWAPPED ? 1 : 0;
	} while (swapped && tries++ < ORACLE_TRIES);
}

/* Pages that one process_vm_readv cannot get (PROT_NONE) are read by /proc/self/mem, which may. */
static void read_tags(bool files)
{
	static struct iovec remote[WATCHED];
	static uint64_t values[WATCHED];
	static int pages[WATCHED];
	int count = 0, done = 0, i;

	memset(tags, 0, sizeof(tags));
	for (i = 0; i < WATCHED; i++) {
		if (!(entries[i] & PAGE_PRESENT) || (!files && entries[i] & PAGE_FILE))
			continue;
		remote[count] = (struct iovec){oracle_at(i), sizeof(uint64_t)};
		pages[count++] = i;
	}
	while (done < count) {
		struct iovec local = {values + done, (size_t)(count - done) * sizeof(uint64_t)};
		ssize_t got = process_vm_readv(
			oracle_pid(), &local, 1, remote + done, (unsigned long)(count - done), 0);

		if (got > 0)
			done += (int)((size_t)got / sizeof(uint64_t));
		if (done < count) {
			off_t at = (off_t)(uintptr_t)oracle_at(pages[done]);

			values[done] = 1;
			if (pread(proc_fd("/proc/self/mem"), values + done, sizeof(uint64_t), at) <
				0)
				values[done] = 2;
			done++;
		}
	}
	for (i = 0; i < count; i++)
		tags[pages[i]] = values[i];
}

uint32_t oracle_digest(void)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	int i;

	read_entries();
	read_tags(oracle_opt.level >= LEVEL_RSS);
	for (i = 0; i < WATCHED; i++) {
		uint64_t word = tags[i];

		if (oracle_opt.level >= LEVEL_RSS)
			word ^= (entries[i] >> 61) << 48;
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return (uint32_t)(hash ^ hash >> 32);
}

void oracle_baseline_take(struct oracle_baseline *base)
{
	char buf[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, buf, sizeof(buf) - 1);
	static const char *const names[] = {"\nVmSize:", "\nVmLck:", "\nVmData:"};
	long values[3] = {0};
	size_t i;

	if (fd >= 0)
		close(fd);
	buf[got > 0 ? got : 0] = 0;
	for (i = 0; i < 3; i++) {
		const char *at = strstr(buf, names[i]);

		if (at)
			values[i] = strtol(at + strlen(names[i]), NULL, 10) * 1024 /
				    (long)oracle_page;
	}
	*base = (struct oracle_baseline){values[0], values[1], values[2]};
}

/*
 * One line an arena: runs of equal codes as text*count, code 0 as "-". Arenas with nothing in them
 * are left out.
 */
static void print_runs(
	const char *field, const uint64_t *codes, const char *(*name)(uint64_t code, char buf[72]))
{
	char text[72];
	int arena, page;

	for (arena = 0; arena * ORACLE_ARENA_PAGES < WATCHED; arena++) {
		const uint64_t *at = codes + arena * ORACLE_ARENA_PAGES;
		int last = ORACLE_ARENA_PAGES - 1;

		while (last >= 0 && !at[last])
			last--;
		if (last < 0)
			continue;
		oracle_out("%s %c", field, 'A' + arena);
		for (page = 0; page <= last;) {
			const char *what = at[page] ? name(at[page], text) : "-";
			int run = 1;

			while (page + run <= last && at[page] == at[page + run])
				run++;
			oracle_out(run > 1 ? " %s*%d" : " %s", what, run);
			page += run;
		}
		oracle_out("\n");
	}
}

static const char *perm_name(uint64_t code, char buf[72])
{
	strcpy(buf, vmas[code - 1].prot);
	return buf;
}

/* A page's code is the number of the first VMA with the same protection. */
static void print_perms(int count)
{
	uint64_t codes[WATCHED] = {0};
	int i, same;
	size_t page, end;

	for (i = 0; i < count; i++) {
		for (same = 0; strcmp(vmas[same].prot, vmas[i].prot); same++)
			;
		end = (vmas[i].end - oracle_base) / oracle_page;
		for (page = vmas[i].start < oracle_base
				    ? 0
				    : (vmas[i].start - oracle_base) / oracle_page;
			page < end && page < WATCHED; page++)
			codes[page] = (uint64_t)same + 1;
	}
	print_runs("perm", codes, perm_name);
}

static const char *present_name(uint64_t code, char buf[72])
{
	char name[32];

	snprintf(buf, 72, "%c=%s", (int)(code >> 56),
		oracle_tag_name(code & ~((uint64_t)0xff << 56), name));
	return buf;
}

/* The tag of a page of a file begins with a byte of its own, which gives way to the letter. */
static void print_present(void)
{
	uint64_t codes[WATCHED] = {0};
	int page;

	read_entries();
	read_tags(true);
	for (page = 0; page < WATCHED; page++) {
		uint64_t letter = entries[page] & PAGE_SWAPPED ? 's'
				  : entries[page] & PAGE_FILE  ? 'f'
							       : 'a';

		if (entries[page] & (PAGE_PRESENT | PAGE_SWAPPED))
			codes[page] = letter << 56 | (tags[page] & ~((uint64_t)0xff << 56));
	}
	print_runs("present", codes, present_name);
}

static void print_mincore(const struct oracle_vma *vma, const char *place)
{
	unsigned char vec[WATCHED];
	size_t pages = (vma->end - vma->start) / oracle_page;
	size_t i;

	if (pages > WATCHED || mincore((void *)vma->start, vma->end - vma->start, vec)) {
		oracle_out("mincore %s failed\n", place);
		return;
	}
	for (i = 0; i < pages; i++)
		vec[i] = (vec[i] & 1) + '0';
	oracle_out("mincore %s %.*s\n", place, (int)pages, (const char *)vec);
}

void oracle_observe(const struct oracle_baseline *base)
{
	uintptr_t from = oracle_base, to = from + WATCHED * oracle_page;
	enum oracle_level level = oracle_opt.level;
	long pages = 0, writable = 0;
	struct oracle_baseline now;
	char start[32], end[32];
	int count, i;

	/* Before anything that could change it. */
	oracle_baseline_take(&now);
	count = level >= LEVEL_FLAGS ? oracle_read_smaps(vmas, MAX_FIELD_VMAS, from, to)
				     : oracle_read_maps(vmas, MAX_FIELD_VMAS, from, to);
	vma_count = count;
	if (level >= LEVEL_RSS)
		print_present();
	print_perms(count);
	for (i = 0; i < count && level >= LEVEL_VMAS; i++) {
		long size = (long)((vmas[i].end - vmas[i].start) / oracle_page);

		oracle_place(vmas[i].start, start);
		oracle_place(vmas[i].end, end);
		oracle_out("vma %s..%s %s %s %lu\n", start, end, vmas[i].prot, vmas[i].what,
			vmas[i].offset);
		if (level >= LEVEL_FLAGS)
			oracle_out("flags %s%s\n", start, vmas[i].flags);
		if (level >= LEVEL_RSS)
			oracle_out("rss %s%s\n", start, vmas[i].rss);
		if (level >= LEVEL_ALL)
			print_mincore(&vmas[i], start);
		pages += size;
		if (vmas[i].prot[1] == 'w' && vmas[i].prot[3] == 'p')
			writable += size;
	}
	if (level >= LEVEL_ALL && base)
		oracle_out("vmsize %+ld\nvmdata %+ld\nvmlck %+ld\n",
			now.vm_size - base->vm_size - pages, now.vm_data - base->vm_data - writable,
			now.vm_lck - base->vm_lck);
}

static uint64_t both_ends[2 * WATCHED];

static const char *content_name(uint64_t code, char buf[72])
{
	const uint64_t *tag = &both_ends[2 * (code - 1)];
	char first[32], second[32];

	if (tag[0] == tag[1])
		return oracle_tag_name(tag[0], buf);
	snprintf(buf, 72, "%s/%s", oracle_tag_name(tag[0], first), oracle_tag_name(tag[1], second));
	return buf;
}

/* The pages that are readable by the list that oracle_observe has read. */
static int readable_pages(int *pages)
{
	int count = 0, i;
	size_t page, end;

	for (i = 0; i < vma_count; i++) {
		if (vmas[i].prot[0] != 'r')
			continue;
		end = (vmas[i].end - oracle_base) / oracle_page;
		for (page = (vmas[i].start - oracle_base) / oracle_page;
			page < end && page < WATCHED; page++)
			pages[count++] = (int)page;
	}
	return count;
}

/* Reads every page as the program would. Changes what is present: last, after oracle_observe. */
void oracle_observe_content(void)
{
	uint64_t codes[WATCHED] = {0};
	static int pages[WATCHED];
	static char good[WATCHED];
	int count = readable_pages(pages);
	int i;

	oracle_tags_read(pages, count, both_ends, good);
	for (i = 0; i < count; i++) {
		bool again = i > 0 && good[i] && good[i - 1] &&
			     !memcmp(&both_ends[2 * i - 2], &both_ends[2 * i],
				     2 * sizeof(uint64_t));

		/* Equal runs share a code. */
		if (good[i])
			codes[pages[i]] = again ? codes[pages[i - 1]] : (uint64_t)i + 1;
	}
	print_runs("content", codes, content_name);
}
