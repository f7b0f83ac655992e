/* SPDX-License-Identifier: MIT */
/*
 * getdents64 over a directory whose interesting entries are decimal numbers. Async-signal-safe.
 */
#include "emul/numbers.h"

#include <errno.h>

#include "emul/sys.h"

/* struct linux_dirent64, which no header of libc shows. */
struct dirent_kernel {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

int rm_numbers_open(struct rm_numbers *n, const char *path, char *buf, size_t size)
{
	long dir = rm_sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (dir < 0)
		return (int)dir;
	*n = (struct rm_numbers){
		.dir = (int)dir, .id = rm_fd_id((int)dir), .buf = buf, .size = size};
	return 0;
}

int rm_numbers_next(struct rm_numbers *n, int *number)
{
	for (;;) {
		const struct dirent_kernel *entry;
		const char *c;
		int value = 0;

		if (n->at >= n->filled) {
			n->at = 0;
			n->filled = rm_sys_getdents64(n->dir, n->buf, n->size);
			if (n->filled <= 0)
				return n->any && rm_fd_is(n->dir, &n->id) ? (int)n->filled : -EBADF;
			n->any = true;
		}
		entry = (const void *)(n->buf + n->at);
		n->at += entry->reclen;
		for (c = entry->name; *c >= '0' && *c <= '9'; c++)
			value = value * 10 + (*c - '0');
		if (*c || c == entry->name)
			continue;
		*number = value;
		return 1;
	}
}

int rm_numbers_rewind(struct rm_numbers *n)
{
	long r = rm_sys_lseek(n->dir, 0, SEEK_SET);

	n->at = n->filled = 0;
	return r ? -EBADF : 0; /* a directory can be rewound */
}

void rm_numbers_close(struct rm_numbers *n)
{
	rm_fd_close(n->dir, &n->id);
}
