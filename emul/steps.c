/* SPDX-License-Identifier: MIT */
/*
 * The steps of a plan.
 *
 * A place is "owned" while what lies there is ours to unmap: a reservation, a twin. Moving
 * something onto a reserved place or out of the twin's place ends that, and undoing the move
 * restores it; so undoing never unmaps a range that another thread may have been given in the
 * meantime. What can not be undone is ordered last in every plan or is what 6.18 loses too (a FIXED
 * destination, semantics.md 1.4).
 *
 * Between STOP and RESUME: raw system calls and no log.
 */
#include "emul/steps.h"

#include <errno.h>
#include <linux/userfaultfd.h>

#include "emul/attributes.h"
#include "emul/file.h"
#include "emul/grow.h"
#include "emul/guard.h"
#include "emul/part.h"
#include "emul/quiesce.h"
#include "emul/rejoin.h"
#include "emul/sys.h"
#include "emul/transfer.h"
#include "emul/went.h"
#include "emul/world.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#define PMD_SIZE ((size_t)2 << 20)

static size_t length(const struct rm_steps *x)
{
	return x->piece->source.len;
}

static size_t length_at(const struct rm_steps *x, enum rm_place place)
{
	const bool grown = place == RM_TARGET || place == RM_TWIN;

	return place == RM_SCRATCH ? rm_page_size() : length(x) + (grown ? x->piece->grown : 0);
}

struct rm_range rm_steps_range(const struct rm_steps *x, enum rm_place place)
{
	return (struct rm_range){x->at[place], length_at(x, place)};
}

/* Where the destination will be, if that is fixed: nothing of ours may come to lie there. */
static struct rm_range fixed_target(const struct rm_steps *x)
{
	return x->piece->flags & RM_FIXED
		       ? (struct rm_range){x->piece->target, length_at(x, RM_TARGET)}
		       : (struct rm_range){0, 0};
}

static int do_reserve(struct rm_steps *x, const struct rm_step *step)
{
	const int fixed = x->piece->flags & RM_FIXED ? MAP_FIXED : 0;
	long addr;

	if (step->place == RM_TARGET && !x->piece->target)
		addr = rm_went_reserve(
			x->world, (struct rm_range){x->at[RM_SOURCE], length_at(x, RM_TARGET)});
	else if (step->place == RM_TARGET)
		addr = rm_sys_mmap(x->piece->target, length_at(x, RM_TARGET), PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
	else if (step->place == RM_ASIDE && length(x) >= PMD_SIZE)
		addr = rm_map_remote(
			length(x), PROT_NONE, x->at[RM_SOURCE], PMD_SIZE, fixed_target(x));
	else
		addr = rm_map_remote(
			length_at(x, step->place), PROT_NONE, 0, rm_page_size(), fixed_target(x));
	if (rm_is_err(addr))
		return (int)addr;
	x->at[step->place] = (uintptr_t)addr;
	x->owned[step->place] =
		true; /* what FIXED has replaced is gone, as in 6.18 when a call fails late */
	return 0;
}

/*
 * Room for the twin, with a page of our own on either side until it has moved. Without them it
 * could merge with a mapping of the program's that has been touched, and what has once been part of
 * one keeps its page offset and does not merge at the source any more.
 */
static int make_room(struct rm_steps *x, uintptr_t *where)
{
	const size_t page = rm_page_size();
	const size_t len = length_at(x, RM_TWIN) + 2 * page;
	/*
	 * Page tables that the twin shares with something else would be made at the destination,
	 * too, when it is moved there, and what is to take huge pages must have none.
	 */
	const size_t align = x->uffd >= 0 && len >= PMD_SIZE ? PMD_SIZE : page;
	long addr;

	addr = rm_map_remote(len, PROT_NONE, x->at[RM_TARGET] - page, align, fixed_target(x));
	if (rm_is_err(addr))
		return (int)addr;
	x->room = (uintptr_t)addr;
	*where = x->room + page;
	x->at[RM_TWIN] = *where;
	x->owned[RM_TWIN] = true;
	return 0;
}

static void close_uffd(struct rm_steps *x)
{
	if (x->uffd >= 0)
		rm_sys_close(x->uffd);
	x->uffd = -1;
}

/* The pages beside the twin, which is not there any more. */
int rm_steps_leave_room(struct rm_steps *x)
{
	const size_t page = rm_page_size();
	long low, high;

	close_uffd(x);
	if (!x->room)
		return 0;
	low = rm_sys_munmap(x->room, page);
	high = rm_sys_munmap(x->room + page + length_at(x, RM_TWIN), page);
	x->room = 0;
	return (int)(low ? low : high);
}

/*
 * The flags of mmap that the source must have been made with. MAP_FIXED_NOREPLACE is only a hint
 * before 4.17, hence the look at the address.
 */
static int do_map(struct rm_steps *x, const struct rm_step *step)
{
	const struct rm_vma *vma = &x->facts->vma;
	const bool in_hole = step->place == RM_SOURCE;
	const int prot = step->arg == RM_MAP_PROT ? vma->prot : PROT_NONE;
	uintptr_t where = in_hole ? x->at[RM_SOURCE] : 0;
	int r = in_hole ? 0 : make_room(x, &where);
	int flags = vma->vmflags & RM_VF_DROPPABLE ? MAP_DROPPABLE : MAP_PRIVATE, fd = -1;
	long offset = 0, addr;

	if (r)
		return r;
	if (vma->vmflags & RM_VF_NORESERVE)
		flags |= MAP_NORESERVE;
	if (vma->vmflags & RM_VF_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	flags |= in_hole ? MAP_FIXED_NOREPLACE : MAP_FIXED;
	if (x->facts->kind == RM_KIND_FILE) {
		fd = rm_file_open(vma, false, x->world->dirents, sizeof(x->world->dirents));
		if (fd < 0)
			return fd;
		offset = (long)(vma->offset + (x->at[RM_SOURCE] - vma->start));
	} else {
		flags |= MAP_ANONYMOUS;
	}
	addr = rm_sys_mmap(where, length_at(x, step->place), prot, flags, fd, offset);
	if (fd >= 0)
		rm_sys_close(fd);
	if (rm_is_err(addr))
		return (int)addr;
	if ((uintptr_t)addr != where) {
		rm_sys_munmap((uintptr_t)addr, length_at(x, step->place));
		return -ENOMEM;
	}
	x->at[step->place] = (uintptr_t)addr;
	x->owned[step->place] = true;
	return 0;
}

int rm_steps_disarm(const struct rm_steps *x, enum rm_place place)
{
	struct uffdio_range r = {x->at[place], length(x)};

	return (int)rm_sys_ioctl(x->facts->uffd.fd, UFFDIO_UNREGISTER, &r);
}

/*
 * mremap onto a hole in the source, which another thread may have been given if they are not
 * stopped (A2).
 */
static long fill_hole(const struct rm_steps *x, uintptr_t from, struct rm_range hole)
{
	if (x->guarded)
		return rm_guard_fill(from, hole);
	return rm_sys_mremap(from, hole.len, hole.len, RM_MAYMOVE | RM_FIXED, hole.start);
}

int rm_steps_move(struct rm_steps *x, enum rm_place from, enum rm_place to)
{
	long r = to == RM_SOURCE ? fill_hole(x, x->at[from], rm_steps_range(x, to))
				 : rm_sys_mremap(x->at[from], length_at(x, from),
					   length_at(x, from), RM_MAYMOVE | RM_FIXED, x->at[to]);

	if (rm_is_err(r)) {
		x->owned[RM_ASIDE] &= to != RM_ASIDE || rm_sys_is_mapped(x->at[to]);
		return (int)r;
	}
	x->owned[from] = false;
	x->owned[to] = to == RM_ASIDE;
	return 0;
}

static int do_move_told(struct rm_steps *x, enum rm_place from, enum rm_place to)
{
	int r = rm_mover_start(&x->mover, rm_steps_range(x, from), x->at[to]);

	if (r)
		return r;
	x->owned[from] = false;
	x->owned[to] = false;
	return 0;
}

static int do_duplicate(struct rm_steps *x, const struct rm_step *step)
{
	uintptr_t where;
	int made = step->other == RM_TWIN ? make_room(x, &where) : 0;
	/*
	 * The hole, what was reserved, or what the caller has FIXED: the address is known. Else
	 * anywhere.
	 */
	const bool known = step->other == RM_SOURCE || x->owned[step->other] ||
			   (step->other == RM_TARGET && (x->piece->flags & RM_FIXED));
	long r;

	if (made)
		return made;
	r = rm_sys_mremap(x->at[step->place], 0, length(x), RM_MAYMOVE | (known ? RM_FIXED : 0),
		known ? x->at[step->other] : 0);
	/*
	 * The source is not there any more, or is another mapping: who says so is the look at the
	 * facts that follows.
	 */
	if (step->place == RM_SOURCE && (r == -EFAULT || r == -EINVAL))
		return -ESTALE;
	if (rm_is_err(r))
		return (int)r;
	x->at[step->other] = (uintptr_t)r;
	x->owned[step->other] = true;
	return 0;
}

/*
 * Others may run, and the source was right when the second view was made: the move has happened.
 * What they have taken away since is not there to be emptied (-ENOMEM). What they have mapped there
 * instead is emptied, as the move would have taken it along, had it come a little later; to know
 * that it comes earlier they would have to be told by whoever made the call.
 */
static int do_empty(struct rm_range range, bool others_run)
{
	const int r = (int)rm_sys_madvise(range.start, range.len, MADV_DONTNEED);

	if (!others_run)
		return r;
	return r == -ENOMEM ? 0 : r == -EINVAL ? -ESTALE : r; /* -EINVAL: locked meanwhile */
}

int rm_steps_unmap(struct rm_steps *x, enum rm_place place)
{
	int r = x->owned[place] ? (int)rm_sys_munmap(x->at[place], length_at(x, place)) : 0;

	if (!r)
		x->owned[place] = false;
	return r;
}

/* In place: what ends where the source begins takes the source's addresses in, empty. */
static int do_grow(struct rm_steps *x, const struct rm_step *step)
{
	const size_t page = rm_page_size();
	long r = rm_sys_mremap(x->at[step->place] - page, page, page + length(x), 0, 0);

	if (rm_is_err(r))
		return (int)r;
	x->owned[step->place] = true;
	return 0;
}

/*
 * Not to go is no harm: the mapping stays in two. Not to come back would be a hole, and undoes the
 * plan.
 */
static int do_heal(struct rm_steps *x, const struct rm_step *step)
{
	const size_t page = rm_page_size();
	const uintptr_t last = x->at[step->place] + length(x) - page;
	long r = rm_sys_mremap(last, page, page, RM_MAYMOVE | RM_FIXED, x->at[step->other]);

	if (rm_is_err(r))
		return rm_steps_unmap(x, step->other);
	r = fill_hole(x, x->at[step->other], (struct rm_range){last, page});
	if (rm_is_err(r))
		return (int)r;
	x->owned[step->other] = false;
	return 0;
}

int rm_steps_lock(const struct rm_steps *x, enum rm_place place, bool on_fault)
{
	const struct rm_range r = rm_steps_range(x, place);

	return (int)(on_fault ? rm_sys_mlock2(r.start, r.len, MLOCK_ONFAULT)
			      : rm_sys_mlock(r.start, r.len));
}

/* Of the source's length: what the destination has more stays empty. */
static int do_transfer(struct rm_steps *x, const struct rm_step *step)
{
	int r = rm_transfer(
		x->uffd, (struct rm_range){x->at[step->place], length(x)}, x->at[step->other]);

	x->undo_failures += r == -EIO;
	return r;
}

static int open_window(struct rm_steps *x)
{
	const struct rm_range hole = rm_steps_range(x, RM_SOURCE);
	int r;

	x->guarded = rm_guard_open(x->world, x->plan, hole);
	r = x->guarded ? 0 : rm_quiesce_stop(x->world, hole);
	x->stopped = !r;
	return r;
}

void rm_steps_close_window(struct rm_steps *x)
{
	if (x->guarded)
		rm_guard_close();
	else
		rm_quiesce_resume(x->world);
	x->guarded = x->stopped = false;
}

static uintptr_t rest_end(const struct rm_steps *x)
{
	return rm_range_end(rm_facts_rest(x->facts, x->piece));
}

static int do_rejoin(struct rm_steps *x, struct rm_range range, const struct rm_step *step)
{
	const int r = rm_rejoin(range, rest_end(x), x->at[step->other], (unsigned int)step->arg);

	x->rejoined = r > 0;
	return r < 0 ? r : 0;
}

int rm_steps_do(struct rm_steps *x, const struct rm_step *step)
{
	const struct rm_range r = rm_steps_range(x, step->place);

	switch (step->op) {
	case RM_OP_NATIVE:
		x->native = rm_sys_mremap(x->piece->source.start, length(x), length(x),
			x->piece->flags, x->piece->target);
		if (rm_is_err(x->native))
			return (int)x->native;
		x->at[RM_TARGET] = (uintptr_t)x->native;
		return 0;
	case RM_OP_RESERVE:
		return do_reserve(x, step);
	case RM_OP_MAP:
		return do_map(x, step);
	case RM_OP_UNLOCK:
		return (int)rm_sys_munlock(r.start, r.len);
	case RM_OP_LOCK:
		return rm_steps_lock(x, step->place, step->arg);
	case RM_OP_PROTECT:
		return rm_protect_like(r, &x->facts->vma, step->arg);
	case RM_OP_CHARGE:
		/* RLIMIT_DATA does not count what is not writable, and the source need not be */
		(void)rm_sys_mprotect(r.start, r.len, step->arg);
		return 0;
	case RM_OP_TOUCH:
		if (step->arg && !rm_is_joined(r.start) && !rm_is_joined(rm_range_end(r)))
			return 0;
		rm_sys_touch(r.start);
		return 0;
	case RM_OP_ADVISE:
		return (int)rm_sys_madvise(r.start, r.len, step->arg);
	case RM_OP_BIND:
		return (int)rm_sys_mbind(r.start, r.len, x->facts->policy.mode,
			x->facts->policy.nodes, RM_POLICY_NODES + 1);
	case RM_OP_NAME:
		return rm_name_like(r, &x->facts->vma);
	case RM_OP_APART:
		x->uffd = rm_uffd_set_apart(r);
		return 0;
	case RM_OP_OPEN:
		x->uffd = rm_transfer_open();
		return x->uffd < 0 ? x->uffd : 0;
	case RM_OP_TRANSFER:
		return do_transfer(x, step);
	case RM_OP_NONE:
		return rm_transfer_has_content(r, x->world->dirents, sizeof(x->world->dirents))
			       ? -EBUSY
			       : 0;
	case RM_OP_STOP:
		return open_window(x);
	case RM_OP_VERIFY:
		/*
		 * nobody else has run: what was just read is true, what is known from earlier has
		 * to be asked for
		 */
		return (x->facts->others && x->world->depth) || x->guarded || x->facts->known
			       ? rm_facts_verify(x->world, x->facts, x->piece->source)
			       : 0;
	case RM_OP_DISARM:
		return rm_steps_disarm(x, step->place);
	case RM_OP_MOVE:
		if (step->arg && !x->guarded &&
			rm_grow_locked(rm_steps_range(x, step->other), x->facts->vma.vmflags))
			return 0;
		return rm_steps_move(x, step->place, step->other);
	case RM_OP_GROW:
		return do_grow(x, step);
	case RM_OP_HEAL:
		return do_heal(x, step);
	case RM_OP_JOIN:
		/* all of it, as less would split huge pages */
		rm_advise_again((struct rm_range){rm_range_end(r), rest_end(x) - rm_range_end(r)},
			&x->facts->vma);
		return 0;
	case RM_OP_REJOIN:
		return do_rejoin(x, r, step);
	case RM_OP_PART:
		return x->rejoined ? 0 : rm_part(x);
	case RM_OP_MOVE_TOLD:
		return do_move_told(x, step->place, step->other);
	case RM_OP_AWAIT:
		/* Not here: until then the monitor may have moves of its own to make. */
		x->world->mover = x->mover;
		x->mover.shared = NULL;
		return 0;
	case RM_OP_ARM:
		return rm_uffd_arm(&x->facts->uffd, r);
	case RM_OP_RESUME:
		close_uffd(x);
		rm_steps_close_window(x);
		return 0;
	case RM_OP_DUPLICATE:
		return do_duplicate(x, step);
	case RM_OP_EMPTY:
		return do_empty(r, step->arg);
	case RM_OP_PRESENT:
		return rm_present_read(
			&x->present, r, x->world->dirents, sizeof(x->world->dirents));
	case RM_OP_BRING:
		rm_present_touch(&x->present, r.start);
		return 0;
	}
	return -EINVAL;
}

/*
 * The destination is empty and nobody else runs: it is reserved, again or, if it is FIXED and was
 * the program's until now, for the first time. Nobody's mmap may come to lie where the next attempt
 * moves something.
 */
void rm_steps_reserve_again(struct rm_steps *x)
{
	long again = rm_sys_mmap(x->at[RM_TARGET], length_at(x, RM_TARGET), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (rm_is_err(again))
		return;
	x->owned[RM_TARGET] = (uintptr_t)again == x->at[RM_TARGET];
	if (!x->owned[RM_TARGET])
		rm_sys_munmap((uintptr_t)again, length_at(x, RM_TARGET)); /* a kernel before 4.17 */
}
