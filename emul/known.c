/* SPDX-License-Identifier: MIT */
/*
 * What is known: facts that outlive the call they were read for.
 *
 * Reading smaps costs up to thousands of times what the move does (it walks the page tables of
 * everything in front), and a collector moves the same range in every cycle. So facts are kept, as
 * long as somebody (the shim) sees every call of the program that could change them: that is the
 * difference between LIBREMAP_CONF's facts:cached and facts:exact.
 *
 * What nobody sees, libc's own mmap and munmap inside malloc, pthread_create and dlopen, can change
 * nothing but the bounds of a mapping that the program made: join something to it, or cut that off.
 * The bounds are therefore asked of the kernel before anything is done, by calls that can not
 * succeed and say EFAULT if a range is not in one mapping (rm_sys_in_one_mapping()).
 *
 * Whoever changes something does not wait and takes no lock, for it may be a signal handler or
 * stand still in the middle:
 *
 *   changer: changing++ ; the call ; changes++ ; entries that it touches become invalid ;
 *   changing-- keeper:  changing is 0, note changes ; read smaps ; write the entry, valid ; both as
 *   before? else invalid again
 *   user:    all others stand still ; changing is 0 and the entry valid? else read again
 *
 * A call that falls between the keeper's looks shows in one of the two; one that stands still
 * between the system call and the end shows in changing. If a call never ends (longjmp out of a
 * signal handler) nothing is kept any more.
 *
 * Where nobody sees the calls, in a program that is linked with us, the program may promise to tell
 * of them itself, range by range (REMAP_PREPARE_CACHED, remap_changed()). All else is the same.
 *
 * Ranges that may be watched by a userfaultfd are listed apart, for destinations: the list may hold
 * too much, never too little. Not seen: registrations by another process that was given the
 * descriptor. Such programs want facts:exact.
 *
 * Entries are in the world's page, which a fork wipes; the list and what was ever seen are
 * inherited.
 */
#include "emul/known.h"

#include <errno.h>

#include "emul/charges.h"
#include "emul/conf.h"
#include "emul/origins.h"
#include "emul/scars.h"
#include "emul/sys.h"
#include "emul/world.h"

#define TAKEN 1 /* length of a list entry that is being written; real ones are whole pages */

static struct {
	_Atomic bool watching;
	_Atomic uint32_t seen;
	_Atomic bool too_many; /* for the list */
	struct {
		_Atomic uintptr_t start;
		_Atomic size_t len; /* 0: free */
	} armed[RM_KNOWN_ARMED];
} all;

void rm_known_watch(void)
{
	if (rm_conf()->facts == RM_FACTS_EXACT)
		return;
	rm_world_prepare((struct rm_range){0, 0});
	atomic_store(&all.watching, rm_world_peek() != NULL);
}

bool rm_known_watching(void)
{
	return atomic_load(&all.watching);
}

void rm_known_saw(enum rm_seen what)
{
	atomic_fetch_or(&all.seen, what);
}

bool rm_known_has_seen(unsigned int what)
{
	return atomic_load(&all.seen) & what;
}

void rm_known_armed(struct rm_range range)
{
	rm_known_saw(RM_SEEN_UFFD);
	for (size_t i = 0; i < RM_KNOWN_ARMED; i++) {
		size_t free = 0;

		if (atomic_load(&all.armed[i].len) == range.len &&
			atomic_load(&all.armed[i].start) == range.start)
			return;
		if (!atomic_compare_exchange_strong(&all.armed[i].len, &free, TAKEN))
			continue;
		atomic_store(&all.armed[i].start, range.start);
		atomic_store(&all.armed[i].len, range.len ? range.len : TAKEN);
		return;
	}
	atomic_store(&all.too_many, true);
}

void rm_known_disarmed(struct rm_range range)
{
	for (size_t i = 0; i < RM_KNOWN_ARMED; i++) {
		size_t len = atomic_load(&all.armed[i].len);
		const struct rm_range r = {atomic_load(&all.armed[i].start), len};

		if (len > TAKEN && r.start >= range.start && rm_range_end(r) <= rm_range_end(range))
			atomic_compare_exchange_strong(&all.armed[i].len, &len, 0);
	}
}

bool rm_known_may_be_armed(struct rm_range range)
{
	/*
	 * Said before the first range is listed; going through an empty list took nine tenths of
	 * finding a range.
	 */
	if (!rm_known_has_seen(RM_SEEN_UFFD))
		return false;
	if (atomic_load(&all.too_many))
		return true;
	for (size_t i = 0; i < RM_KNOWN_ARMED; i++) {
		const struct rm_range r = {
			atomic_load(&all.armed[i].start), atomic_load(&all.armed[i].len)};

		if (r.len == TAKEN || (r.len && rm_range_overlaps(r, range)))
			return true;
	}
	return false;
}

void rm_known_begin(struct rm_change *change)
{
	struct rm_world *world = atomic_load_explicit(&all.watching, memory_order_relaxed)
					 ? rm_world_peek()
					 : NULL;

	change->known = world ? &world->known : NULL;
	if (change->known)
		atomic_fetch_add(&change->known->changing, 1);
}

static void end(struct rm_known *known)
{
	uint32_t now = atomic_load(&known->changing);

	/*
	 * 0: this is a child, forked by a signal handler in the middle of the call, and all was
	 * wiped.
	 */
	while (now && !atomic_compare_exchange_weak(&known->changing, &now, now - 1))
		;
}

/*
 * What is mapped beside a mapping that is known may be one with it now: who looks at the bounds
 * will see that, and looks again for what it merges with. What is mapped in it, or done to it,
 * makes the facts untrue. The length need not be rounded.
 */
static void forget_some(struct rm_known *known, struct rm_range range, bool facts)
{
	const uintptr_t end = rm_range_end(range), gap = rm_page_size() - 1;
	const uintptr_t last = end < SIZE_MAX - gap ? end + gap : SIZE_MAX;

	for (size_t i = 0; i < RM_KNOWN_RANGES; i++) {
		struct rm_known_entry *e = &known->ranges[i];
		const uintptr_t e_start = atomic_load(&e->start), e_end = atomic_load(&e->end);

		if (e_start > last || range.start > e_end || !atomic_load(&e->valid))
			continue;
		atomic_store(&e->loose, 0);
		if (facts && e_start < end && range.start < e_end)
			atomic_store(&e->valid, false);
	}
}

static void forget_facts(struct rm_known *known, struct rm_range range)
{
	forget_some(known, range, true);
}

static void forget_range(struct rm_known *known, struct rm_range range)
{
	forget_facts(known, range);
	rm_born_forget(&known->born, range);
	rm_seams_forget(range);
}

void rm_known_also(struct rm_change *change, struct rm_range range)
{
	if (!change->known)
		return;
	atomic_fetch_add(&change->known->changes, 1);
	forget_range(change->known, range);
}

void rm_known_tell(struct rm_range range)
{
	struct rm_world *world = rm_world_peek();
	struct rm_change change = {world ? &world->known : NULL};

	rm_known_also(&change, range);
}

void rm_known_end(struct rm_change *change, struct rm_range range)
{
	if (!change->known)
		return;
	atomic_fetch_add(&change->known->changes, 1);
	forget_range(change->known, range);
	end(change->known);
}

void rm_known_end_mapped(struct rm_change *change, struct rm_range range, int prot, int flags)
{
	struct rm_known *known = change->known;

	if (!known)
		return;
	atomic_fetch_add(&known->changes, 1);
	if (flags & MAP_FIXED) {
		forget_range(known, range);
		rm_scars_forget(range);
	} else {
		forget_some(known, range, false);
	}
	rm_origins_forget((struct rm_range){range.start, rm_page_round(range.len)});
	rm_born_mapped(&known->born, range, prot, flags);
	end(known);
}

void rm_known_end_unmapped(struct rm_change *change, struct rm_range range)
{
	if (change->known)
		rm_scars_forget(range);
	rm_known_end(change, range);
}

/*
 * Attributes have changed; what else is known of how the range was mapped still counts. NULL if
 * nobody watches.
 */
static struct rm_known *attributes_changed(struct rm_change *change, struct rm_range range)
{
	if (change->known) {
		atomic_fetch_add(&change->known->changes, 1);
		forget_facts(change->known, range);
		rm_seams_forget(range);
	}
	return change->known;
}

void rm_known_end_protected(struct rm_change *change, struct rm_range range, int prot)
{
	struct rm_known *known = attributes_changed(change, range);

	if (!known)
		return;
	rm_born_protected(&known->born, range, prot);
	rm_charges_protected(range, prot);
	end(known);
}

void rm_known_end_advised(struct rm_change *change, struct rm_range range, int advice)
{
	struct rm_known *known = attributes_changed(change, range);

	if (!known)
		return;
	rm_born_advised(&known->born, range, advice);
	end(known);
}

void rm_known_end_closed(struct rm_change *change, unsigned int first, unsigned int last)
{
	struct rm_known *known = change->known;

	if (!known)
		return;
	atomic_fetch_add(&known->changes, 1);
	for (size_t i = 0; i < RM_KNOWN_RANGES; i++) {
		const int fd = known->facts[i].uffd.fd;

		if (fd >= 0 && (unsigned int)fd >= first && (unsigned int)fd <= last)
			atomic_store(&known->ranges[i].valid, false);
	}
	end(known);
}

bool rm_known_find(struct rm_world *world, const struct rm_request *request, struct rm_facts *facts)
{
	const struct rm_range source = request->source, target = {request->target, source.len};

	if (!rm_known_is_told(world, source) ||
		((request->flags & RM_FIXED) && rm_known_may_be_armed(target)))
		return false;
	for (size_t i = 0; i < RM_KNOWN_RANGES; i++) {
		const struct rm_known_entry *e = &world->known.ranges[i];

		if (!atomic_load(&e->valid) || source.start < atomic_load(&e->start) ||
			rm_range_end(source) > atomic_load(&e->end))
			continue;
		*facts = world->known.facts[i];
		facts->target_armed = false;
		return true;
	}
	return false;
}

bool rm_known_covers(struct rm_range range)
{
	const struct rm_world *world = rm_world_peek();

	for (size_t i = 0; world && i < RM_KNOWN_RANGES; i++) {
		const struct rm_known_entry *e = &world->known.ranges[i];

		if (atomic_load(&e->valid) && atomic_load(&e->start) == range.start &&
			atomic_load(&e->end) == rm_range_end(range))
			return true;
	}
	return false;
}

uint32_t rm_known_mark(struct rm_world *world)
{
	return atomic_load(&world->known.changes);
}

/* What a move leaves as it was, and whose bounds the kernel tells. */
static bool is_lasting(const struct rm_facts *facts)
{
	return (facts->kind == RM_KIND_ANON || facts->kind == RM_KIND_FILE ||
		       facts->kind == RM_KIND_SHARED) &&
	       !facts->uffd_error &&
	       !(facts->vma.vmflags &
		       (RM_VF_LOCKED | RM_VF_GROWSDOWN | RM_VF_SEALED | RM_VF_IO | RM_VF_MIXEDMAP));
}

static bool is_promised(const struct rm_known *known, struct rm_range range)
{
	for (unsigned int i = 0; i < known->npromised; i++)
		if (range.start >= known->promised[i].start &&
			rm_range_end(range) <= rm_range_end(known->promised[i]))
			return true;
	return false;
}

bool rm_known_is_told(const struct rm_world *world, struct rm_range range)
{
	return rm_known_watching() || is_promised(&world->known, range);
}

int rm_known_promise(struct rm_world *world, struct rm_range range)
{
	struct rm_known *known = &world->known;

	if (rm_conf()->facts == RM_FACTS_EXACT || is_promised(known, range))
		return 0;
	if (known->npromised == RM_KNOWN_PROMISED)
		return -ENOMEM;
	known->promised[known->npromised++] = range;
	return 0;
}

static bool unchanged(const struct rm_known *known, uint32_t mark)
{
	return !atomic_load(&known->changing) && atomic_load(&known->changes) == mark;
}

/* A free entry, or the one that is given up. */
static struct rm_known_entry *make_entry(struct rm_known *known)
{
	struct rm_known_entry *e;

	for (size_t i = 0; i < RM_KNOWN_RANGES; i++)
		if (!atomic_load(&known->ranges[i].valid))
			return &known->ranges[i];
	e = &known->ranges[known->next];
	known->next = (known->next + 1) % RM_KNOWN_RANGES;
	atomic_store(&e->valid, false);
	return e;
}

bool rm_known_unchanged(struct rm_world *world, uint32_t mark)
{
	return unchanged(&world->known, mark);
}

void rm_known_keep(struct rm_world *world, uint32_t mark, struct rm_facts *facts)
{
	struct rm_known *known = &world->known;
	struct rm_known_entry *e;

	facts->known = 0;
	if (!is_lasting(facts) || !unchanged(known, mark))
		return;
	forget_facts(known, (struct rm_range){facts->vma.start, facts->vma.end - facts->vma.start});
	e = make_entry(known);
	e->serial = ++known->serial;
	atomic_store(&e->loose, 0);
	facts->known = (unsigned int)(e - known->ranges) + 1;
	facts->known_serial = e->serial;
	known->facts[e - known->ranges] = *facts;
	atomic_store(&e->start, facts->vma.start);
	atomic_store(&e->end, facts->vma.end);
	atomic_store(&e->valid, true);
	if (!unchanged(known, mark)) {
		atomic_store(&e->valid, false);
		facts->known = 0;
	}
}

void rm_known_moved(struct rm_world *world, uint32_t mark, const struct rm_facts *facts,
	struct rm_range source, uintptr_t target)
{
	struct rm_facts there;

	/* A userfaultfd lets go of what is moved, or goes with it: that is not followed. */
	if (!facts->known || facts->uffd.fd >= 0 ||
		!rm_known_is_told(world, (struct rm_range){target, source.len}))
		return;
	there = *facts;
	there.vma.start = target;
	there.vma.end = target + source.len;
	there.vma.offset += source.start - facts->vma.start;
	rm_known_keep(world, mark, &there);
}

static bool entry_holds(const struct rm_world *world, const struct rm_facts *facts)
{
	const struct rm_known_entry *e = &world->known.ranges[facts->known - 1];

	return !atomic_load(&world->known.changing) && atomic_load(&e->valid) &&
	       e->serial == facts->known_serial;
}

void rm_known_is_loose(
	struct rm_world *world, const struct rm_facts *facts, uint32_t mark, uintptr_t target)
{
	_Atomic uintptr_t *loose;

	if (!facts->known || !entry_holds(world, facts))
		return;
	loose = &world->known.ranges[facts->known - 1].loose;
	atomic_store(loose, target);
	if (!unchanged(&world->known, mark))
		atomic_store(loose, 0);
}

bool rm_known_was_loose(
	const struct rm_world *world, const struct rm_facts *facts, uintptr_t target)
{
	return facts->known && target && entry_holds(world, facts) &&
	       atomic_load(&world->known.ranges[facts->known - 1].loose) == target;
}

bool rm_known_holds(struct rm_world *world, const struct rm_facts *facts)
{
	const struct rm_vma *vma = &facts->vma;

	return entry_holds(world, facts) &&
	       rm_is_one_mapping((struct rm_range){vma->start, vma->end - vma->start});
}

void rm_known_drop(struct rm_world *world, const struct rm_facts *facts)
{
	struct rm_known_entry *e;

	if (!facts->known)
		return;
	e = &world->known.ranges[facts->known - 1];
	if (e->serial == facts->known_serial)
		atomic_store(&e->valid, false);
}

void rm_known_changed(struct rm_world *world, struct rm_range range)
{
	forget_range(&world->known, range);
}
