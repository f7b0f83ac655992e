/* SPDX-License-Identifier: MIT */
/*
 * Private anonymous memory becomes shared memory in its place (DESIGN 5).
 *
 * The object is MAP_SHARED | MAP_ANONYMOUS and not a memfd: all of it is charged when it is made,
 * so that want of memory is ENOMEM then and not SIGBUS later (B6); RLIMIT_FSIZE and its signal do
 * not apply (B7); there is no descriptor for the program to close or to inherit (B16), no name, and
 * nothing that vm.memfd_noexec could forbid (B15). Further views come from mremap with old_size 0.
 * A source that was not charged (MAP_NORESERVE) gets an object that is not.
 *
 *   before the stop   the object, its second view, with the source's attributes; a place to put the
 *                     source aside, congruent to the source modulo 2 MiB, or 1 GiB, so that page
 *                     tables can move whole; pages for what the source has (MADV_POPULATE_WRITE,
 *                     5.14), so that only their content is missing
 *   everybody stands  the mapping is the one that was looked at; its pages move aside; what there
 *                     are of them is copied (only
 *   still             those: holes stay holes); the object moves into the source's place
 *   afterwards        what was put aside is unmapped; the lock is put on
 *
 * From 4 MiB of content, or 32 MiB of mapping, on the copying is left for later (fill.c): then the
 * stop is one move of page tables, as that of a DONTUNMAP, and three calls that cost the same for
 * any size: the question for the mapping, one more view of the object onto the source's place (it
 * has no pages yet, so there is nothing to move), our userfaultfd on it. Not if userfaultfd is
 * refused, the source is locked (it has to be all there at once), or part of it can not be read:
 * that must be known before it is too late to say so. What is not in memory is therefore brought in
 * before the stop. What is in swap can be read then, also if it goes there again; guard regions and
 * poison can not. Of memory without PROT_READ that can not be found out.
 *
 * Nothing is irreversible before the last move, and what can fail by want of memory has been done
 * before the stop; if a move fails all the same, the pages go back. The source is never absent for
 * anybody who runs: a thread that waits in a system call with a buffer there is brought out of it
 * by the stop and goes in again.
 *
 * Refused: what shared memory can not be (WIPEONFORK, GROWSDOWN, droppable, shadow stacks, memory
 * tags), what a userfaultfd of the program's watches (B13: missing pages and missing page tables
 * are not the same thing any more), guard regions. Not seen: pages that devices or io_uring write
 * to by themselves (B4; remap(7), LIMITS).
 *
 * Core dumps: the second view is marked MADV_DONTDUMP, so that the content is dumped once (B9).
 */
#include "emul/convert.h"

#include <errno.h>

#include "emul/again.h"
#include "emul/attributes.h"
#include "emul/cgroup.h"
#include "emul/conf.h"
#include "emul/converted.h"
#include "emul/copy.h"
#include "emul/facts.h"
#include "emul/fill.h"
#include "emul/forked.h"
#include "emul/log.h"
#include "emul/pagemap.h"
#include "emul/populate.h"
#include "emul/quiesce.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MAX_TRIES 100
#define PMD_SIZE  ((size_t)2 << 20)
#define PUD_SIZE  ((size_t)1 << 30)
#define LAZY_FROM ((size_t)4 << 20) /* bytes of content */
/* bytes of source: to look for its content takes as long as to copy little */
#define LARGE_FROM ((size_t)32 << 20)
/* bytes that are there twice while content follows: one piece of fill.c, and what is touched */
#define FILL_ROOM ((size_t)4 << 20)

struct conversion {
	struct rm_world *world;
	struct rm_range source;
	struct rm_range avoid; /* a MREMAP_FIXED destination: nothing of ours may lie there */
	struct rm_facts facts;
	/* its first view, which takes the source's place or is copied there; 0: nowhere */
	uintptr_t object;
	uintptr_t view;	      /* the second one */
	uintptr_t aside;      /* reserved for the source's pages, or where they are */
	uintptr_t back;	      /* a third view, for the fill */
	struct rm_fill *fill; /* NULL: everything is copied during the stop */
	size_t content;	      /* bytes that the source has */
	struct rm_pagemap pagemap;
};

static const char *we_refuse(const struct rm_facts *facts)
{
	const uint32_t flags = facts->vma.vmflags;

	if (flags & RM_VF_UFFD)
		return "private memory that a userfaultfd watches can not be converted";
	if (flags & RM_VF_WIPEONFORK)
		return "memory that is wiped on fork can not be converted";
	if (flags & RM_VF_GROWSDOWN)
		return "a stack that grows can not be converted";
	if (flags & (RM_VF_DROPPABLE | RM_VF_SHADOWSTACK | RM_VF_MTE | RM_VF_MIXEDMAP))
		return "droppable memory, shadow stacks and memory tags can not be converted";
	return NULL;
}

/* check_prep_vma() of 6.18 in its order, but that private memory is what we want. */
static int look(struct conversion *c, const struct rm_request *request)
{
	const char *reason;
	int r = rm_facts_read(c->world, request, &c->facts);

	if (r)
		return r == -EFAULT || r == -ENOMEM ? r
						    : rm_refuse("/proc/self/smaps can not be read");
	rm_glance_prepare(c->world, &c->facts);
	if (c->facts.vma.start > c->source.start)
		return -EFAULT;
	if (c->facts.vma.vmflags & RM_VF_SEALED)
		return -EPERM;
	if (c->facts.kind == RM_KIND_SHARED) /* another thread has converted it */
		return -ESTALE;
	if (c->facts.kind != RM_KIND_ANON)
		return -EINVAL;
	if (c->source.len > c->facts.vma.end - c->source.start)
		return -EFAULT;
	reason = we_refuse(&c->facts);
	if (reason)
		return rm_refuse(reason);
	return c->facts.target_sealed ? -EPERM : 0; /* which the view would find too late */
}

/*
 * Room for the source, where its page tables can move whole if there is room for the detour:
 * PROT_NONE. The address or -errno.
 */
static long reserve(const struct conversion *c)
{
	const size_t len = c->source.len, align = len >= PUD_SIZE   ? PUD_SIZE
						  : len >= PMD_SIZE ? PMD_SIZE
								    : rm_page_size();

	return rm_map_remote(len, PROT_NONE, c->source.start, align, c->avoid);
}

static void drop(struct conversion *c)
{
	uintptr_t *const places[] = {&c->object, &c->view, &c->aside, &c->back};

	if (c->fill)
		rm_fill_cancel(c->fill);
	c->fill = NULL;
	for (size_t i = 0; i < RM_ARRAY_LEN(places); i++) {
		if (*places[i])
			rm_sys_munmap(*places[i], c->source.len);
		*places[i] = 0;
	}
}

/*
 * The object with both of its views. It is PROT_NONE at first: mlockall(MCL_FUTURE) would lock and
 * populate what can be touched. 0 or -errno; what there is, is dropped by the caller.
 */
static int build(struct conversion *c)
{
	const struct rm_vma *vma = &c->facts.vma;
	const size_t len = c->source.len;
	const int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED |
			  (vma->vmflags & RM_VF_NORESERVE ? MAP_NORESERVE : 0);
	long at = reserve(c);
	struct rm_vma object;
	int r;

	if (rm_is_err(at))
		return (int)at;
	c->object = (uintptr_t)at;
	at = rm_sys_mmap(c->object, len, PROT_NONE, flags, -1, 0);
	if (rm_is_err(at))
		return -ENOMEM; /* and EAGAIN of mlockall(MCL_FUTURE) */
	r = (int)rm_sys_munlock(c->object, len);
	if (!r)
		r = rm_advise_like((struct rm_range){c->object, len}, vma);
	if (!r && c->facts.policy.set)
		r = (int)rm_sys_mbind(c->object, len, c->facts.policy.mode, c->facts.policy.nodes,
			RM_POLICY_NODES + 1);
	if (r)
		return r;
	/* where the kernel names shared memory too (6.2) */
	(void)!rm_name_like((struct rm_range){c->object, len}, vma);
	at = reserve(c);
	if (rm_is_err(at))
		return (int)at;
	c->aside = (uintptr_t)at;
	at = rm_sys_mremap(c->object, 0, len, RM_MAYMOVE, 0);
	if (rm_is_err(at))
		return (int)at;
	c->view = (uintptr_t)at;
	if (rm_range_overlaps((struct rm_range){c->view, len}, c->avoid)) {
		/* elsewhere: to a place of its own that is not there */
		at = reserve(c);
		if (rm_is_err(at))
			return (int)at;
		at = rm_sys_mremap(c->view, len, len, RM_MAYMOVE | RM_FIXED, (uintptr_t)at);
		if (rm_is_err(at))
			return (int)at;
		c->view = (uintptr_t)at;
	}
	r = rm_protect_like((struct rm_range){c->view, len}, vma, vma->prot);
	if (r)
		return r == -ENOMEM ? r
				    : rm_refuse("the protection is forbidden for shared memory");
	(void)rm_sys_madvise(c->view, len, MADV_DONTDUMP);
	if (rm_conf()->mirror_fork == RM_FORK_DROP &&
		(rm_sys_madvise(c->view, len, MADV_DONTFORK) ||
			rm_sys_madvise(c->object, len, MADV_DONTFORK)))
		return -ENOMEM;
	r = rm_maps_find(&c->world->maps, false, c->view, &object);
	if (r <= 0)
		return rm_refuse("/proc/self/maps can not be read");
	r = rm_converted_add(c->world, &object);
	if (r)
		return r;
	r = rm_lock_like((struct rm_range){c->view, len}, vma, false);
	return r ? r : (int)rm_sys_mprotect(c->object, len, PROT_READ | PROT_WRITE);
}

/*
 * Whether all of the source can be read: what is in swap is brought in, which what only looks like
 * it can not be.
 */
static bool is_readable(struct conversion *c)
{
	struct rm_range run;

	if (!c->pagemap.absent)
		return true;
	if (!(c->facts.vma.prot & PROT_READ))
		return false;
	rm_pagemap_begin_absent(&c->pagemap, c->source);
	while (rm_pagemap_next(&c->pagemap, &run))
		if (rm_populate(run, PROT_READ))
			return false;
	return true;
}

/* Whether children have nothing of the range, ever. */
static bool is_apart(const struct conversion *c)
{
	return c->facts.vma.vmflags & RM_VF_DONTFORK || rm_conf()->mirror_fork == RM_FORK_DROP;
}

/*
 * Nothing for a child that is forked by a raw system call before all is there (fill.c); or what
 * children are to have.
 */
static int set_apart(const struct conversion *c, bool for_now)
{
	const int advice = for_now ? MADV_DONTFORK : MADV_DOFORK;
	long r = is_apart(c) ? 0 : rm_sys_madvise(c->view, c->source.len, advice);

	if (!r && !is_apart(c))
		r = rm_sys_madvise(c->object, c->source.len, advice);
	return (int)r;
}

/* Whether the content can follow later: then a fill is ready for it. */
static bool prepare_fill(struct conversion *c)
{
	const size_t len = c->source.len;
	struct rm_range run;
	long back;

	c->content = 0;
	rm_pagemap_begin(&c->pagemap, c->source);
	while (rm_pagemap_next(&c->pagemap, &run))
		c->content += run.len;
	/* a child would have nothing of what is still to come */
	if (c->facts.vma.vmflags & RM_VF_LOCKED || rm_forked_under_way())
		return false;
	if ((c->content < LAZY_FROM && len < LARGE_FROM) || c->pagemap.fd < 0 || !is_readable(c))
		return false;
	back = reserve(c);
	if (rm_is_err(back))
		return false;
	c->back = (uintptr_t)back;
	if (rm_is_err(rm_sys_mremap(c->object, 0, len, RM_MAYMOVE | RM_FIXED, c->back)) ||
		rm_sys_mprotect(c->back, len, PROT_READ | PROT_WRITE))
		return false;
	(void)rm_sys_madvise(c->back, len, MADV_DONTDUMP);
	(void)rm_sys_madvise(c->back, len, MADV_DONTFORK);
	c->fill = rm_fill_prepare((struct rm_range){c->back, len});
	if (c->fill &&
		(rm_fill_watch(c->fill, (struct rm_range){c->view, len}) || set_apart(c, true) ||
			rm_protect_like((struct rm_range){c->object, len}, &c->facts.vma,
				c->facts.vma.prot))) {
		rm_fill_cancel(c->fill);
		c->fill = NULL;
		if (set_apart(c, false) || rm_sys_mprotect(c->object, len, PROT_READ | PROT_WRITE))
			return false; /* the copy will say so: -EFAULT */
	}
	if (!c->fill)
		rm_log(RM_LOG_INFO,
			"no userfaultfd: %lu bytes are copied with every thread stopped",
			c->content);
	return c->fill;
}

/* Pages for those that the source has. Before 5.14 they come as they are copied. 0 or -ENOMEM. */
static int provide_pages(struct conversion *c)
{
	struct rm_range run;

	rm_pagemap_begin(&c->pagemap, c->source);
	while (rm_pagemap_next(&c->pagemap, &run)) {
		long r = rm_sys_madvise(
			run.start - c->source.start + c->object, run.len, MADV_POPULATE_WRITE);

		if (r == -EINVAL)
			return 0;
		if (r && r != -EAGAIN && r != -EINTR)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Whether the process's memory cgroup has room for what is there twice for a while, and for its
 * page tables: asked before, as the kernel kills for want of it. 0 or -ENOMEM.
 */
static int find_room(const struct conversion *c)
{
	_Static_assert(sizeof(struct rm_cgroup_scratch) <= sizeof(c->world->maps.buf), "scratch");
	const size_t need = (c->fill ? FILL_ROOM : c->content) + c->content / 512;

	if (rm_cgroup_may_hold((void *)c->world->maps.buf, need))
		return 0;
	rm_log(RM_LOG_INFO, "the memory cgroup has no room for %lu bytes more", need);
	return -ENOMEM;
}

/* The mapping is still what was looked at, with its advice, its lock and who watches it. */
static int verify(struct conversion *c)
{
	int r = c->facts.others ? rm_facts_verify(c->world, &c->facts, c->source) : 0;

	return r && r != -ESTALE ? -EINVAL : r; /* not -EIO, which exchange() has for worse */
}

static int move(uintptr_t from, size_t len, uintptr_t to)
{
	long r = rm_sys_mremap(from, len, len, RM_MAYMOVE | RM_FIXED, to);

	return rm_is_err(r) ? (int)r : 0;
}

/* Inside the window, the source is aside. The object with a copy of the content takes its place. */
static int place_copy(struct conversion *c)
{
	const struct rm_vma *vma = &c->facts.vma;
	const struct rm_range aside = {c->aside, c->source.len};
	struct rm_range run;
	int r = 0;

	if (!(vma->prot & PROT_READ))
		r = (int)rm_sys_mprotect(aside.start, aside.len, PROT_READ);
	rm_pagemap_begin(&c->pagemap, aside);
	while (!r && rm_pagemap_next(&c->pagemap, &run))
		r = rm_copy(run.start - aside.start + c->object, run.start, run.len);
	if (!r)
		r = rm_protect_like((struct rm_range){c->object, aside.len}, vma, vma->prot);
	if (!r)
		r = move(c->object, aside.len, c->source.start);
	if (!r)
		c->object = 0;
	else if (!(vma->prot & PROT_READ) && rm_protect_like(aside, vma, vma->prot))
		rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
	return r;
}

/*
 * The same for content that is to follow: the object is empty, so a view that is new does as well
 * as one that moves.
 */
static int place_empty(struct conversion *c)
{
	long r = rm_sys_mremap(c->object, 0, c->source.len, RM_MAYMOVE | RM_FIXED, c->source.start);

	return rm_is_err(r) ? (int)r : rm_fill_watch(c->fill, c->source);
}

/*
 * Inside the window. 0, or -errno with the source in its place again; -EIO: it could not be put
 * back.
 */
static int exchange(struct conversion *c)
{
	const size_t len = c->source.len;
	int r = move(c->source.start, len, c->aside);

	if (r)
		return r;
	r = c->fill ? place_empty(c) : place_copy(c);
	if (!r)
		return 0;
	if (move(c->aside, len, c->source.start)) /* in the place of what may be there */
		return -EIO;
	c->aside = 0;
	return r;
}

/* One try with fresh facts. */
static int try_convert(struct conversion *c, const struct rm_request *request)
{
	int r = look(c, request);

	if (!r)
		r = build(c);
	if (!r) {
		bool later = prepare_fill(c);

		r = find_room(c);
		if (!r && !later)
			r = provide_pages(c);
	}
	if (!r)
		r = rm_quiesce_stop(c->world, c->source);
	if (r)
		return r;
	r = verify(c);
	if (!r)
		r = exchange(c);
	if (!r)
		rm_forked_include(c->world);
	rm_quiesce_resume(c->world);
	if (!r && c->fill) {
		/* not sooner: the thread could take this processor from us while everybody waits */
		rm_log(RM_LOG_INFO, "%lu of %lu bytes at %lx are copied from now on", c->content,
			c->source.len, c->source.start);
		rm_fill_go(c->fill, c->aside, c->content, !(c->facts.vma.prot & PROT_READ),
			is_apart(c));
		rm_fill_leave(c->fill);
		c->aside = c->back = 0; /* the fill's */
		c->fill = NULL;
	}
	if (r == -EIO) {
		rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
		rm_log(RM_LOG_ERROR, "the pages of %lx are at %lx and can not be put back",
			c->source.start, c->aside);
		c->aside = 0;
		return -ENOMEM;
	}
	if (r == -EFAULT)
		return rm_refuse(
			"the range has guard pages or poisoned memory, which can not be converted");
	return r;
}

/* It was locked before and fits; were it not to, the content is safe all the same. */
static void lock_again(const struct conversion *c)
{
	for (int tries = 0; tries < MAX_TRIES; tries++)
		if (!rm_lock_like(c->source, &c->facts.vma, true))
			return;
	rm_log(RM_LOG_WARN, "%lx is not locked any more", c->source.start);
}

long rm_convert(const struct rm_request *request)
{
	const struct rm_range target = {request->target, request->source.len};
	struct conversion c = {.source = request->source};
	struct rm_again again = {0};
	struct rm_entry entry;
	long view = 0;
	int r = rm_forked_prepare();

	if (!r)
		r = rm_world_enter(&entry);
	if (r)
		return r;
	c.world = entry.world;
	if (request->flags & RM_FIXED)
		c.avoid = target;
	rm_pagemap_open(&c.pagemap, c.world->dirents, sizeof(c.world->dirents));
	again.world = c.world;
	/* while they are stopped no thread can be started that fills */
	while ((r = try_convert(&c, request)) == -ESTALE && c.facts.kind != RM_KIND_SHARED &&
		!rm_again(&again, c.source, false))
		drop(&c);
	rm_pagemap_close(&c.pagemap);
	if (!r) {
		view = (long)c.view;
		c.view = 0;
		rm_stat_add(RM_STAT_CONVERTED, c.source.len);
	}
	drop(&c);
	if (!r)
		lock_again(&c);
	if (r == -ESTALE && c.facts.kind != RM_KIND_SHARED)
		r = -EINVAL; /* rm_again() has said why */
	rm_world_leave(&entry);
	return r ? r : view;
}
