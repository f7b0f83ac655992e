/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc/self/maps and /proc/self/smaps without libc and without allocating.
 *
 * A record that one read(2) delivers was made under one hold of the mmap lock, so it is consistent
 * in itself; records next to each other need not be when other threads map and unmap (semantics.md
 * 9). Callers that need more stop the other threads first. The kernel hands out whole lines only,
 * at most a page or so a call; a line longer than the buffer (a path of thousands of characters) is
 * cut, never split in two.
 *
 * It is the thread's own file that is read: once the main thread has exited, the process's ("self")
 * is empty. Without /proc, -ENOENT. Async-signal-safe. Not reentrant on one struct rm_maps: it
 * belongs to the holder of the world's lock.
 */
#include "emul/procmaps.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "emul/sys.h"

static const struct {
	char letters[3];
	uint32_t flag;
} vmflag_names[] = {
	{"ac", RM_VF_ACCOUNT},
	{"nr", RM_VF_NORESERVE},
	{"lo", RM_VF_LOCKED},
	{"de", RM_VF_DONTEXPAND},
	{"pf", RM_VF_PFNMAP},
	{"io", RM_VF_IO},
	{"ht", RM_VF_HUGETLB},
	{"gd", RM_VF_GROWSDOWN},
	{"dc", RM_VF_DONTFORK},
	{"wf", RM_VF_WIPEONFORK},
	{"dd", RM_VF_DONTDUMP},
	{"mg", RM_VF_MERGEABLE},
	{"hg", RM_VF_HUGEPAGE},
	{"nh", RM_VF_NOHUGEPAGE},
	{"sr", RM_VF_SEQUENTIAL},
	{"rr", RM_VF_RANDOM},
	{"um", RM_VF_UFFD_MISSING},
	{"uw", RM_VF_UFFD_WP},
	{"ui", RM_VF_UFFD_MINOR},
	{"sl", RM_VF_SEALED},
	{"dp", RM_VF_DROPPABLE},
	{"ss", RM_VF_SHADOWSTACK},
	{"mm", RM_VF_MIXEDMAP},
	{"mt", RM_VF_MTE},
	{"lf", RM_VF_LOCKONFAULT},
	{"??", RM_VF_NAMELESS},
};

/* A number in the given base at *p; *p moves behind it. False if there is no digit. */
static bool parse_number(const char **p, const char *end, unsigned int base, uint64_t *value)
{
	const char *s = *p;
	uint64_t v = 0;

	while (s < end) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned int)(*s - '0');
		else if (base == 16 && *s >= 'a' && *s <= 'f')
			digit = (unsigned int)(*s - 'a') + 10;
		else
			break;
		v = v * base + digit;
		s++;
	}
	if (s == *p)
		return false;
	*p = s;
	*value = v;
	return true;
}

static bool parse_char(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return false;
	(*p)++;
	return true;
}

bool rm_maps_parse_header(const char *line, size_t len, struct rm_vma *vma)
{
	const char *p = line, *end = line + len;
	uint64_t start, stop, offset, major, minor, inode;
	const char *perms;
	size_t name_len;

	if (!parse_number(&p, end, 16, &start) || !parse_char(&p, end, '-') ||
		!parse_number(&p, end, 16, &stop) || !parse_char(&p, end, ' '))
		return false;
	if (end - p < 5)
		return false;
	perms = p;
	p += 4;
	if (!parse_char(&p, end, ' ') || !parse_number(&p, end, 16, &offset) ||
		!parse_char(&p, end, ' ') || !parse_number(&p, end, 16, &major) ||
		!parse_char(&p, end, ':') || !parse_number(&p, end, 16, &minor) ||
		!parse_char(&p, end, ' ') || !parse_number(&p, end, 10, &inode))
		return false;
	while (p < end && *p == ' ')
		p++;

	memset(vma, 0, sizeof(*vma));
	vma->start = (uintptr_t)start;
	vma->end = (uintptr_t)stop;
	vma->prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
		    (perms[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = perms[3] == 's';
	vma->offset = offset;
	vma->dev_major = (uint32_t)major;
	vma->dev_minor = (uint32_t)minor;
	vma->inode = inode;
	name_len = (size_t)(end - p);
	if (name_len >= sizeof(vma->name))
		name_len = sizeof(vma->name) - 1;
	memcpy(vma->name, p, name_len);
	return true;
}

void rm_maps_parse_detail(const char *line, size_t len, struct rm_vma *vma)
{
	static const char flags_key[] = "VmFlags:", pkey_key[] = "ProtectionKey:",
			  page_key[] = "KernelPageSize:";
	const char *p = line, *end = line + len;
	uint64_t pkey, kib;

	if (len >= sizeof(flags_key) - 1 && !memcmp(p, flags_key, sizeof(flags_key) - 1)) {
		vma->have_flags = true;
		for (p += sizeof(flags_key) - 1; p + 1 < end; p += 2) {
			while (p < end && *p == ' ')
				p++;
			if (p + 1 >= end)
				break;
			for (size_t i = 0; i < RM_ARRAY_LEN(vmflag_names); i++)
				if (!memcmp(p, vmflag_names[i].letters, 2))
					vma->vmflags |= vmflag_names[i].flag;
		}
	} else if (len > sizeof(pkey_key) && !memcmp(p, pkey_key, sizeof(pkey_key) - 1)) {
		p += sizeof(pkey_key) - 1;
		while (p < end && *p == ' ')
			p++;
		if (parse_number(&p, end, 10, &pkey))
			vma->pkey = (int)pkey;
	} else if (len > sizeof(page_key) && !memcmp(p, page_key, sizeof(page_key) - 1)) {
		p += sizeof(page_key) - 1;
		while (p < end && *p == ' ')
			p++;
		if (parse_number(&p, end, 10, &kib))
			vma->page = (size_t)kib << 10;
	}
}

int rm_maps_open(struct rm_maps *maps, bool smaps, uintptr_t interest)
{
	long fd = rm_sys_open(smaps ? "/proc/thread-self/smaps" : "/proc/thread-self/maps",
		O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return (int)fd;
	maps->fd = (int)fd;
	maps->id = rm_fd_id(maps->fd);
	maps->smaps = smaps;
	maps->interest = interest;
	maps->eof = false;
	maps->position = 0;
	maps->begin = maps->end = 0;
	return 0;
}

void rm_maps_close(struct rm_maps *maps)
{
	rm_fd_close(maps->fd, &maps->id);
	maps->fd = -1;
}

/*
 * The next line at buf + begin, reading on as needed: its length without the newline, -1 at the
 * end, -errno.
 */
static long next_line(struct rm_maps *maps)
{
	for (;;) {
		char *base = maps->buf + maps->begin;
		char *newline = memchr(base, '\n', maps->end - maps->begin);
		long got;

		if (newline)
			return newline - base;
		if (maps->eof)
			return maps->end > maps->begin ? (long)(maps->end - maps->begin) : -1;
		if (maps->begin) {
			memmove(maps->buf, base, maps->end - maps->begin);
			maps->end -= maps->begin;
			maps->begin = 0;
		}
		if (maps->end == sizeof(maps->buf)) { /* an endless line: keep its beginning */
			maps->end = sizeof(maps->buf) / 2;
			maps->position += sizeof(maps->buf) - maps->end;
		}
		got = rm_sys_read(maps->fd, maps->buf + maps->end, sizeof(maps->buf) - maps->end);
		if (got == -EINTR)
			continue;
		if (got < 0)
			return got == -1 ? -EIO : got; /* -EPERM (-1) would look like the end */
		if (!got)
			maps->eof = true;
		maps->end += (size_t)got;
	}
}

static void skip_line(struct rm_maps *maps, long len)
{
	const size_t whole = (size_t)len + (maps->begin + (size_t)len < maps->end);

	maps->begin += whole;
	maps->position += whole;
}

/*
 * What a read that brings no mapping says, if it was of the file that was opened. That has one at
 * least; what has none came to be there before the descriptor was looked at.
 */
static int no_mapping(const struct rm_maps *maps, int r)
{
	return maps->position && rm_fd_is(maps->fd, &maps->id) ? r : -EBADF;
}

int rm_maps_next(struct rm_maps *maps, struct rm_vma *vma)
{
	long len = next_line(maps);

	if (len < 0)
		return no_mapping(maps, len == -1 ? 0 : (int)len);
	if (!rm_maps_parse_header(maps->buf + maps->begin, (size_t)len, vma))
		return no_mapping(maps, -EIO);
	skip_line(maps, len);
	if (!maps->smaps)
		return 1;
	/*
	 * Details follow, "Key:", until the next header, which begins with a hexadecimal digit in
	 * lower case.
	 */
	for (;;) {
		const char *line;

		len = next_line(maps);
		if (len < 0 && !rm_fd_is(maps->fd, &maps->id))
			return -EBADF;
		if (len == -1)
			break;
		if (len < 0)
			return (int)len;
		line = maps->buf + maps->begin;
		if (!len || line[0] < 'A' || line[0] > 'Z')
			break;
		if (vma->end > maps->interest)
			rm_maps_parse_detail(line, (size_t)len, vma);
		skip_line(maps, len);
	}
	return 1;
}

int rm_maps_find(struct rm_maps *maps, bool smaps, uintptr_t addr, struct rm_vma *vma)
{
	struct rm_vma candidate;
	int r = rm_maps_open(maps, smaps, addr);

	if (r)
		return r;
	while ((r = rm_maps_next(maps, &candidate)) > 0) {
		if (candidate.end <= addr)
			continue;
		if (candidate.start <= addr)
			*vma = candidate;
		else
			r = 0;
		break;
	}
	rm_maps_close(maps);
	return r;
}

/* struct procmap_query of 6.11, written out for older headers */
struct query {
	uint64_t size, query_flags, query_addr;
	uint64_t start, end, flags, page_size, offset, inode;
	uint32_t dev_major, dev_minor;
	uint32_t name_size, build_id_size;
	uint64_t name, build_id;
};
_Static_assert(sizeof(struct query) == 104, "the ioctl number carries the size");

#define QUERY	     _IOWR('f', 17, struct query)
#define QUERY_PROT   7U /* readable, writable, executable: as PROT_ */
#define QUERY_SHARED 8U

int rm_maps_query(int maps, uintptr_t addr, struct rm_vma *vma)
{
	char name[RM_VMA_NAME_MAX];
	struct query query;
	long r;

	memset(&query, 0, sizeof(query));
	query.size = sizeof(query);
	query.query_addr = addr;
	query.name = (uintptr_t)name;
	query.name_size = sizeof(name);
	r = maps < 0 ? -EBADF : rm_sys_ioctl(maps, QUERY, &query);
	if (r)
		return (int)r;
	memset(vma, 0, sizeof(*vma));
	vma->start = (uintptr_t)query.start;
	vma->end = (uintptr_t)query.end;
	vma->prot = (int)(query.flags & QUERY_PROT);
	vma->shared = query.flags & QUERY_SHARED;
	vma->offset = query.offset;
	vma->dev_major = query.dev_major;
	vma->dev_minor = query.dev_minor;
	vma->inode = query.inode;
	if (query.name_size) /* counts the end */
		memcpy(vma->name, name, query.name_size);
	return 1;
}
