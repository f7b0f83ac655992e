/* SPDX-License-Identifier: MIT */
/*
 * Looking at a process from inside, for the behaviour tests.
 *
 * Between the two looks of watched() nothing allocates, so that what differs is the call's doing.
 * [stack] and [heap] are left out of the comparison. Mappings are compared with both ranges cut out
 * of them: whether a mapping is split there is for the tests to say, with vma_count().
 */
#include "tests/behave/behave.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define SENTINEL  4242 /* no errno */
#define MAX_LINES 2000
#define MAX_FDS	  512

struct line {
	uintptr_t start, end;
	char perms[5];
	unsigned long offset, inode;
};

struct look {
	sigset_t mask;
	stack_t altstack;
	unsigned long actions[65][4]; /* as the kernel has them */
	ino_t fds[MAX_FDS];
	unsigned long threads, vm_size;
	int nlines;
	struct line lines[MAX_LINES];
};

/* A file of /proc, read in one go into a buffer that is there already. */
static char *proc_text(const char *path)
{
	static char text[1 << 21];
	size_t got = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(fd >= 0);
	while ((n = read(fd, text + got, sizeof(text) - 1 - got)) > 0)
		got += (size_t)n;
	close(fd);
	check(got < sizeof(text) - 1);
	text[got] = '\0';
	return text;
}

static const char *next_line(const char *p)
{
	p = strchr(p, '\n');
	return p ? p + 1 : "";
}

/* The number of "Field:   1234 kB" if this line is that one. */
static void take(const char *p, const char *field, unsigned long *number)
{
	if (!strncmp(p, field, strlen(field)))
		*number = strtoul(p + strlen(field), NULL, 10);
}

static bool parse_head(const char *text, struct vma *vma)
{
	size_t len = strcspn(text, "\n");
	char line[400];
	int name = 0;

	/*
	 * sscanf looks for the end of the whole text first: give it one line, and only of the right
	 * sort
	 */
	if (text[strspn(text, "0123456789abcdef")] != '-')
		return false;
	memset(vma, 0, sizeof(*vma));
	snprintf(line, sizeof(line), "%.*s", (int)len, text);
	if (sscanf(line, "%lx-%lx %4s %lx %*x:%*x %lu %n", &vma->start, &vma->end, vma->perms,
		    &vma->offset, &vma->inode, &name) != 5)
		return false;
	if (name)
		snprintf(vma->name, sizeof(vma->name), "%.*s", (int)sizeof(vma->name) - 1,
			line + name);
	return true;
}

bool vma_at(const void *at, struct vma *vma)
{
	const uintptr_t addr = (uintptr_t)at;
	bool here = false;
	struct vma head;

	for (const char *p = proc_text("/proc/self/smaps"); *p; p = next_line(p)) {
		if (parse_head(p, &head)) {
			if (here)
				break;
			here = head.start <= addr && addr < head.end;
			if (here)
				*vma = head;
		}
		if (!here)
			continue;
		take(p, "Rss:", &vma->rss);
		take(p, "Anonymous:", &vma->anonymous);
		take(p, "Locked:", &vma->locked);
		take(p, "AnonHugePages:", &vma->anon_huge);
		take(p, "Shared_Hugetlb:", &vma->shared_hugetlb);
		take(p, "Private_Hugetlb:", &vma->private_hugetlb);
		take(p, "ProtectionKey:", &vma->key);
		if (!strncmp(p, "VmFlags: ", 9)) {
			for (const char *f = p + 9; *f > ' '; f += 3)
				if (strncmp(f, "sd ", 3))
					strncat(vma->flags, f, 3);
		}
	}
	return here;
}

bool vma_has(const struct vma *vma, const char *flag)
{
	const char *p = strstr(vma->flags, flag);

	return p && p[2] == ' ';
}

int vma_count(const void *from, size_t len)
{
	const uintptr_t start = (uintptr_t)from;
	struct vma vma;
	int count = 0;

	for (const char *p = proc_text("/proc/self/maps"); *p; p = next_line(p))
		count += parse_head(p, &vma) && vma.start < start + len && vma.end > start;
	return count;
}

unsigned long process_status(const char *field)
{
	const char *p = strstr(proc_text("/proc/self/status"), field);

	check(p);
	return p ? strtoul(p + strlen(field), NULL, 10) : 0;
}

/* Whether a thread is on its way out; also if it is gone. */
static bool is_exiting(const char *tid)
{
	enum { EXITING = 0x4 }; /* PF_EXITING: include/linux/sched.h */
	char path[300], stat[512] = "";
	unsigned int flags = EXITING;
	const char *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%s/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, stat, sizeof(stat) - 1) > 0 && (p = strrchr(stat, ')')))
		sscanf(p, ") %*c %*d %*d %*d %*d %*d %u", &flags);
	close(fd);
	return flags & EXITING;
}

/*
 * pthread_join() returns before the thread has left its group (exit_mm()): such a one is not
 * counted any more.
 */
static unsigned long count_threads(void)
{
	static char entries[32768] __attribute__((aligned(8)));
	unsigned long count = process_status("Threads:");
	int dir = count > 1 ? open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	long got, at;

	if (dir < 0)
		return count;
	for (count = 0; (got = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0;)
		for (at = 0; at < got;) {
			const struct dirent64 *entry = (const void *)(entries + at);

			count += *entry->d_name != '.' && !is_exiting(entry->d_name);
			at += entry->d_reclen;
		}
	close(dir);
	return count;
}

static void look(struct look *l)
{
	struct stat st;
	struct vma vma;

	memset(l, 0, sizeof(*l));
	sigprocmask(SIG_BLOCK, NULL, &l->mask);
	sigaltstack(NULL, &l->altstack);
	/* 33 is libc's own, which the library shares while it has threads to stop */
	for (int sig = 1; sig <= 64; sig++)
		if (sig != 33)
			syscall(SYS_rt_sigaction, sig, NULL, l->actions[sig], 8L);
	for (int fd = 0; fd < MAX_FDS; fd++)
		l->fds[fd] = fstat(fd, &st) ? 0 : st.st_ino;
	l->threads = count_threads();
	l->vm_size = process_status("VmSize:") * 1024;
	for (const char *p = proc_text("/proc/self/maps"); *p; p = next_line(p)) {
		struct line *line = &l->lines[l->nlines];

		if (!parse_head(p, &vma) || !strcmp(vma.name, "[stack]") ||
			!strcmp(vma.name, "[heap]"))
			continue;
		check(l->nlines < MAX_LINES - 3);
		line->start = vma.start;
		line->end = vma.end;
		memcpy(line->perms, vma.perms, sizeof(vma.perms));
		line->inode = vma.inode;
		/* of anonymous memory nobody can say */
		line->offset = vma.inode ? vma.offset - vma.start : 0;
		l->nlines++;
	}
}

/* Bytes mapped in the range. */
static size_t mapped(const struct look *l, uintptr_t start, size_t len)
{
	size_t bytes = 0;

	for (int i = 0; i < l->nlines; i++) {
		uintptr_t from = l->lines[i].start > start ? l->lines[i].start : start;
		uintptr_t to = l->lines[i].end < start + len ? l->lines[i].end : start + len;

		bytes += from < to ? to - from : 0;
	}
	return bytes;
}

static void cut(struct look *l, uintptr_t start, size_t len)
{
	const uintptr_t end = start + len;
	int n = l->nlines;

	for (int i = 0; i < n; i++) {
		struct line *line = &l->lines[i];

		if (line->start < start && line->end > end) {
			l->lines[l->nlines] = *line;
			l->lines[l->nlines++].start = end;
			line->end = start;
		} else if (line->start < end && line->end > start) {
			if (line->start < start)
				line->end = start;
			else if (line->end > end)
				line->start = end;
			else
				memset(line, 0, sizeof(*line));
		}
	}
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* In order, without empty ones, and what is split without need put together again. */
static void tidy(struct look *l)
{
	int n = 0;

	qsort(l->lines, (size_t)l->nlines, sizeof(l->lines[0]), compare_lines);
	for (int i = 0; i < l->nlines; i++) {
		struct line *line = &l->lines[i], *last = n ? &l->lines[n - 1] : NULL;

		if (!line->end)
			continue;
		if (last && last->end == line->start && !strcmp(last->perms, line->perms) &&
			last->inode == line->inode && last->offset == line->offset)
			last->end = line->end;
		else
			l->lines[n++] = *line;
	}
	l->nlines = n;
}

void *watched(void *old, size_t old_len, size_t new_len, int flags, void *target)
{
	static struct look before, after;
	const size_t len = (new_len + PAGE - 1) & ~(PAGE - 1);
	const size_t was = old_len > len ? old_len : len;
	size_t grown, changed = 0;
	void *new;
	int error;

	look(&before);
	errno = SENTINEL;
	new = mremap(old, old_len, new_len, flags, target);
	error = errno;
	look(&after);

	check(!memcmp(&before.mask, &after.mask, sizeof(before.mask)));
	check(before.altstack.ss_sp == after.altstack.ss_sp);
	check_is(after.altstack.ss_flags, before.altstack.ss_flags);
	check(!memcmp(before.actions, after.actions, sizeof(before.actions)));
	check(!memcmp(before.fds, after.fds, sizeof(before.fds)));
	check_is(after.threads, before.threads);
	if (new != MAP_FAILED) {
		check_is(error, SENTINEL);
		grown = mapped(&after, (uintptr_t)old, was) - mapped(&before, (uintptr_t)old, was);
		if (new != old)
			grown += mapped(&after, (uintptr_t) new, len) -
				 mapped(&before, (uintptr_t) new, len);
		check_is(after.vm_size - before.vm_size, grown);
		/* nothing may have been there, unless the caller wants it replaced */
		check(new == old || (flags & MREMAP_FIXED) ||
			!mapped(&before, (uintptr_t) new, len));
		for (int i = 0; i < 2; i++) {
			struct look *l = i ? &after : &before;

			cut(l, (uintptr_t)old, was);
			cut(l, (uintptr_t) new, len);
		}
	}
	tidy(&before);
	tidy(&after);
	for (int i = 0; i < before.nlines || i < after.nlines; i++) {
		struct line *b = &before.lines[i], *a = &after.lines[i];

		if (!memcmp(b, a, sizeof(*b)))
			continue;
		printf("# mapping before: %lx-%lx %s, after: %lx-%lx %s\n", b->start, b->end,
			b->perms, a->start, a->end, a->perms);
		changed++;
		break;
	}
	check_is(changed, 0);
	errno = error;
	return new;
}
