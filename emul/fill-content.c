/* SPDX-License-Identifier: MIT */
/*
 * What the thread of a lazy conversion does: the content comes, page by page, and who waits for
 * some gets that first. fill.c explains, and has the thread.
 */
#include "emul/fill-own.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>

#include "emul/procmaps.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#define MAX_TRIES    1000		 /* a millisecond each */
#define PIECE	     ((size_t)256 << 10) /* copied between two looks for faults */
#define LET_GO	     ((size_t)2 << 20)	 /* what is let go of at once, aligned */
#define PRESENT_BITS (3ULL << 62)

static void wake(const struct rm_fill *fill, uintptr_t page)
{
	struct uffdio_range range = {page, rm_page_size()};

	(void)rm_sys_ioctl(fill->uffd, UFFDIO_WAKE, &range);
}

static bool is_view(const struct rm_fill *fill, const struct rm_vma *vma)
{
	return vma->shared && vma->inode == fill->inode && vma->dev_major == fill->dev_major &&
	       vma->dev_minor == fill->dev_minor && vma->start != fill->back.start;
}

/* Where in the object a watched address is; false: it is not mapped any more. */
static bool find_offset(struct rm_fill *fill, uintptr_t addr, size_t *offset)
{
	struct rm_vma vma;

	for (unsigned int i = 0; i < fill->nviews && !fill->moved; i++)
		if (rm_range_holds(fill->views[i], addr)) {
			*offset = addr - fill->views[i].start;
			return true;
		}
	if (rm_maps_find(&fill->maps, false, addr, &vma) <= 0 || !is_view(fill, &vma))
		return false;
	*offset = (size_t)(addr - vma.start + vma.offset);
	return *offset < fill->back.len;
}

static void follow(struct rm_fill *fill, uintptr_t from, uintptr_t to, size_t len)
{
	for (unsigned int i = 0; i < fill->nviews; i++)
		if (fill->views[i].start == from && fill->views[i].len == len) {
			fill->views[i].start = to;
			return;
		}
	fill->moved = true;
}

static void serve_faults(struct rm_fill *fill);

/*
 * len bytes from source to the object at offset; what is there already is passed over. Bytes that
 * are there now, or -errno.
 */
static long put(struct rm_fill *fill, size_t offset, uintptr_t source, size_t len)
{
	struct uffdio_copy copy = {fill->back.start + offset, source, len, 0, 0};
	long r = rm_sys_ioctl(fill->uffd, UFFDIO_COPY, &copy);

	if (!r)
		return (long)len;
	if (copy.copy > 0)
		return (long)copy.copy;
	return r == -EEXIST ? (long)rm_page_size() : r;
}

static void done(struct rm_fill *fill, size_t bytes)
{
	bytes = bytes < fill->left ? bytes : fill->left;
	fill->left -= bytes;
	rm_stat_add(RM_STAT_FILLING, -(uint64_t)bytes);
}

/* All of a range of the object, from source. nested: faults are being served already. */
static void put_all(struct rm_fill *fill, size_t offset, uintptr_t source, size_t len, bool nested)
{
	const size_t page = rm_page_size();
	unsigned int tries = 0;

	while (len) {
		long r = put(fill, offset, source, len);

		if (r == -EAGAIN) { /* an event has to be read first */
			if (nested)
				return; /* which is what goes on now; who waits will ask again */
			serve_faults(fill);
			continue;
		}
		/*
		 * what has been let go of makes room; and what is no fault of the source's may
		 * pass: nothing is given up for it
		 */
		if (r == -ENOMEM || (r < 0 && r != -EFAULT && tries++ < MAX_TRIES)) {
			rm_sys_sleep_ns(1000000);
			continue;
		}
		if (r < 0) {
			rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
			if (put(fill, offset, (uintptr_t)fill->zero, page) < 0)
				return; /* the object is not there any more */
			r = (long)page;
		}
		offset += (size_t)r;
		source += (size_t)r;
		len -= (size_t)r;
	}
}

static void serve_fault(struct rm_fill *fill, uintptr_t addr)
{
	const size_t page = rm_page_size();
	uint64_t entry = 0;
	size_t offset;

	if (find_offset(fill, addr, &offset)) {
		const uintptr_t source = fill->aside.start + offset;
		const bool known = rm_syscall(SYS_pread64, fill->pagemap.fd, (long)&entry,
					   sizeof(entry), (long)(source / page * sizeof(entry)), 0,
					   0) == sizeof(entry);

		/* reading a hole of the source would make a page of it */
		put_all(fill, offset,
			known && !(entry & PRESENT_BITS) ? (uintptr_t)fill->zero : source, page,
			true);
	}
	wake(fill, addr);
}

/* Everything that is to be read now. */
static void serve_faults(struct rm_fill *fill)
{
	struct uffd_msg msg;

	while (rm_sys_read(fill->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			serve_fault(
				fill, (uintptr_t)msg.arg.pagefault.address & ~(rm_page_size() - 1));
		else if (msg.event == UFFD_EVENT_REMAP)
			follow(fill, (uintptr_t)msg.arg.remap.from, (uintptr_t)msg.arg.remap.to,
				(size_t)msg.arg.remap.len);
	}
}

/*
 * What lies below end is in the object: the source's pages can go, in whole pieces, from gone on.
 * By address: of a transparent huge page nothing is free before all of it is.
 */
static uintptr_t let_go(const struct rm_fill *fill, uintptr_t gone, uintptr_t end)
{
	end = end == rm_range_end(fill->aside) ? end : end & ~(LET_GO - 1);
	if (end > gone) {
		(void)rm_sys_madvise(gone, end - gone, MADV_DONTNEED);
		gone = end;
	}
	return gone;
}

void rm_fill_all(struct rm_fill *fill)
{
	uintptr_t gone = fill->aside.start;
	struct rm_range run;

	for (unsigned int tries = 0; fill->unreadable && tries < MAX_TRIES; tries++) {
		fill->unreadable = rm_sys_mprotect(fill->aside.start, fill->aside.len, PROT_READ) !=
				   0;
		if (fill->unreadable)
			rm_sys_sleep_ns(1000000);
	}
	rm_pagemap_open(&fill->pagemap, fill->entries, sizeof(fill->entries));
	rm_pagemap_begin(&fill->pagemap, fill->aside);
	while (rm_pagemap_next(&fill->pagemap, &run))
		while (run.len) {
			const size_t piece = run.len < PIECE ? run.len : PIECE;
			const size_t offset = run.start - fill->aside.start;

			serve_faults(fill);
			put_all(fill, offset, run.start, piece, false);
			done(fill, piece);
			run.start += piece;
			run.len -= piece;
			gone = let_go(fill, gone, run.start);
		}
	serve_faults(fill);
	rm_pagemap_close(&fill->pagemap);
	done(fill, fill->left);
}

/*
 * One look for views, none of which is watched any more, nor kept from children. Whether nothing
 * has failed. What the program maps in a view's place between the look and the call is taken for
 * the view: that is microseconds after all is there.
 */
static bool let_views_be(struct rm_fill *fill)
{
	bool good = true;
	struct rm_vma vma;
	int r = rm_maps_open(&fill->maps, false, 0);

	if (r)
		return false;
	while ((r = rm_maps_next(&fill->maps, &vma)) > 0) {
		struct uffdio_range range = {vma.start, vma.end - vma.start};

		if (!is_view(fill, &vma))
			continue;
		(void)rm_sys_ioctl(fill->uffd, UFFDIO_UNREGISTER, &range); /* closing does it too */
		if (!fill->apart && rm_sys_madvise(vma.start, range.len, MADV_DOFORK))
			good = false;
	}
	rm_maps_close(&fill->maps);
	return !r && good;
}

/* All is there. Twice, as a view may have been made of one that came late, while we looked. */
void rm_fill_finish(struct rm_fill *fill)
{
	for (int tries = 0, good = 0; good < 2 && tries < MAX_TRIES; tries++) {
		if (let_views_be(fill))
			good++;
		else
			rm_sys_sleep_ns(1000000);
		serve_faults(fill); /* who moves a view waits until we know of it */
	}
	rm_sys_close(fill->uffd);
	rm_sys_munmap(fill->back.start, fill->back.len);
	rm_sys_munmap(fill->aside.start, fill->aside.len);
}
