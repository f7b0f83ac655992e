/*
 * smaps.c - the VMAs of an address range, from /proc/self/maps or /proc/self/smaps.
 *
 * Both files are in address order and cost time per VMA that is printed, so reading stops at the
 * first VMA past the range; the field is the lowest thing in the address space. Only what is the
 * same in every run is kept: no inode, no device, flags that depend on the kernel's configuration
 * left out (sd, and what the kernel itself prints as unknown), sizes in pages.
 *
 * Runs inside test children: no allocation, no stdio streams, static buffers.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum amount { RSS, SHARED, PRIVATE, ANONYMOUS, HUGE, SWAP, LOCKED, AMOUNTS };

struct amounts {
	unsigned long long kib[AMOUNTS];
};

struct reader {
	int fd;
	size_t at, have;
	char buf[16384];
};

/* The next line, without its newline, or NULL. A line longer than the buffer does not occur. */
static char *next_line(struct reader *reader)
{
	char *line, *end;
	ssize_t got;

	for (;;) {
		line = reader->buf + reader->at;
		end = memchr(line, '\n', reader->have - reader->at);
		if (end) {
			*end = 0;
			reader->at = (size_t)(end + 1 - reader->buf);
			return line;
		}
		reader->have -= reader->at;
		memmove(reader->buf, line, reader->have);
		reader->at = 0;
		got = read(
			reader->fd, reader->buf + reader->have, sizeof(reader->buf) - reader->have);
		if (got <= 0)
			return NULL;
		reader->have += (size_t)got;
	}
}

static const char *classify(const char *name, const char *prot)
{
	static const struct {
		const char *prefix, *what;
	} names[] = {
		{"[heap]", "heap"},
		{"[stack]", "stack"},
		{"[vdso]", "vdso"},
		{"[vvar", "vvar"},
		{"/memfd:", "memfd"},
		{"/dev/zero", "shared"},
		{"/dev/shm/remap-oracle", "tmpfs"},
		{"/SYSV", "sysv"},
		{"/[aio]", "aio"},
		{"/anon_hugepage", "hugetlb"},
		{"[anon:", "named"},
	};
	size_t i;

	if (!*name)
		return prot[3] == 's' ? "shared" : "anon";
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(name, names[i].prefix, strlen(names[i].prefix)))
			return names[i].what;
	return "file";
}

/* "start-end prot offset dev inode   name" */
static bool parse_header(char *line, struct oracle_vma *vma)
{
	char *at = line;
	int field;

	vma->start = strtoull(at, &at, 16);
	if (*at++ != '-')
		return false;
	vma->end = strtoull(at, &at, 16);
	if (*at++ != ' ' || strlen(at) < 5)
		return false;
	memcpy(vma->prot, at, 4);
	vma->prot[4] = 0;
	vma->offset = strtoull(at + 5, &at, 16) / oracle_page;
	for (field = 0; field < 2; field++) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	at += strspn(at, " ");
	snprintf(vma->what, sizeof(vma->what), "%s", classify(at, vma->prot));
	vma->flags[0] = 0;
	vma->rss[0] = 0;
	return true;
}

static void parse_flags(const char *at, struct oracle_vma *vma)
{
	size_t len = 0;

	while (*(at += strspn(at, " "))) {
		size_t word = strcspn(at, " ");

		if (word == 2 && memcmp(at, "sd", 2) && memcmp(at, "??", 2) &&
			len + 4 < sizeof(vma->flags)) {
			vma->flags[len++] = ' ';
			memcpy(vma->flags + len, at, 2);
			len += 2;
		}
		at += word;
	}
	vma->flags[len] = 0;
}

/*
 * Clean and dirty are added up: for anonymous pages the kernel's answer is not the same in every
 * run (a page that was written now and then counts as clean), and nothing but accounting depends
 * on it.
 */
static void parse_amount(const char *line, struct amounts *amounts)
{
	static const struct {
		const char *prefix;
		int amount;
	} wanted[] = {
		{"Rss:", RSS},
		{"Shared_Clean:", SHARED},
		{"Shared_Dirty:", SHARED},
		{"Private_Clean:", PRIVATE},
		{"Private_Dirty:", PRIVATE},
		{"Anonymous:", ANONYMOUS},
		{"AnonHugePages:", HUGE},
		{"Swap:", SWAP},
		{"Locked:", LOCKED},
	};
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		size_t len = strlen(wanted[i].prefix);

		if (line[0] == wanted[i].prefix[0] && !strncmp(line, wanted[i].prefix, len)) {
			amounts->kib[wanted[i].amount] += strtoull(line + len, NULL, 10);
			return;
		}
	}
}

/* of all VMAs that have been read */
static unsigned long long shared_kib;

static void finish(struct oracle_vma *vma, struct amounts *amounts)
{
	static const char *const names[AMOUNTS] = {
		"Rss", "Shared", "Private", "Anonymous", "AnonHugePages", "Swap", "Locked"};
	size_t len = 0;
	int i;

	if (vma)
		shared_kib += amounts->kib[SHARED];
	for (i = 0; vma && i < AMOUNTS; i++)
		if (amounts->kib[i])
			len += (size_t)snprintf(vma->rss + len, sizeof(vma->rss) - len, " %s=%llu",
				names[i], amounts->kib[i] * 1024 / oracle_page);
	memset(amounts, 0, sizeof(*amounts));
}

static int read_vmas(
	const char *path, struct oracle_vma *vmas, int max, uintptr_t from, uintptr_t to)
{
	static struct reader reader;
	struct oracle_vma skipped, *vma = NULL;
	struct amounts amounts = {0};
	int count = 0;
	char *line;

	reader.at = reader.have = 0;
	reader.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader.fd < 0)
		return -errno;
	while ((line = next_line(&reader))) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			if (!parse_header(line, &skipped))
				continue;
			finish(vma, &amounts);
			vma = NULL;
			if (skipped.start >= to)
				break;
			if (skipped.end > from && count < max) {
				vma = &vmas[count++];
				*vma = skipped;
			}
		} else if (vma && !strncmp(line, "VmFlags:", 8)) {
			parse_flags(line + 8, vma);
		} else if (vma) {
			parse_amount(line, &amounts);
		}
	}
	finish(vma, &amounts);
	close(reader.fd);
	return count;
}

int oracle_read_maps(struct oracle_vma *vmas, int max, uintptr_t from, uintptr_t to)
{
	return read_vmas("/proc/self/maps", vmas, max, from, to);
}

void oracle_pause(void)
{
	const struct timespec ts = {0, 500000};

	nanosleep(&ts, NULL);
}

/*
 * A page that is being migrated, by compaction for instance, is counted as shared (smaps_account:
 * what is not present). So where something is shared, it has to be so twice in a row.
 */
int oracle_read_smaps(struct oracle_vma *vmas, int max, uintptr_t from, uintptr_t to)
{
	unsigned long long before;
	int count, tries = 0;

	shared_kib = 0;
	do {
		if (tries)
			oracle_pause();
		before = shared_kib;
		shared_kib = 0;
		count = read_vmas("/proc/self/smaps", vmas, max, from, to);
	} while (shared_kib && shared_kib != before && tries++ < ORACLE_TRIES);
	return count;
}
