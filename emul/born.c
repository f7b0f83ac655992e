/* SPDX-License-Identifier: MIT */
/*
 * What can be told of a mapping from the call that made it.
 *
 * smaps is needed because only it tells flags like NORESERVE or "charged", and it walks the page tables of all that is mapped
 * below the range: a first move of a large heap would take as long as the heap is full. But of private
 * or shared anonymous memory whose mmap was seen, and that nothing was done to but mprotect, all flags are known. What it
 * has been joined with has the same ones, or would not have been joined. So only the bounds are left to ask for: those of
 * the call, if the kernel says that they are the mapping's; else /proc/self/maps, which walks nothing.
 *
 * Not for: executable memory (protection keys), hugetlbfs, stacks (MAP_STACK is NOHUGEPAGE from 6.7 on), locked memory, files. Nothing is told while
 * the process locks what it maps (MCL_FUTURE), merges it (PR_SET_MEMORY_MERGE), or READ_IMPLIES_EXEC is on.
 *
 * The table is small, and the larger mapping stays. Entries are written by whoever maps, without a lock: a reader
 * that could see half of one sees the change under way as well (known.c).
 */
#include "emul/born.h"

#include <string.h>
#include <sys/personality.h>

#include "emul/known.h"
#include "emul/sys.h"
#include "emul/world.h"

#define TAKEN 1

enum trait { NORESERVE = 1 << 8, CHARGED = 1 << 9, SHARED = 1 << 10 };

/* With strict overcommit NORESERVE is ignored; whoever changes that while programs run is not followed. */
static bool noreserve_counts(void)
{
	static _Atomic int counts; /* 0: not known yet */
	int now = atomic_load(&counts);

	if (!now) {
		long fd = rm_sys_open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC, 0);
		char mode = '2';

		if (fd >= 0) {
			(void)rm_sys_read((int)fd, &mode, 1);
			rm_sys_close((int)fd);
		}
		now = mode == '2' ? 1 : 2;
		atomic_store(&counts, now);
	}
	return now == 2;
}

static struct rm_range range_of(const struct rm_born_range *b)
{
	return (struct rm_range){atomic_load(&b->start), atomic_load(&b->len)};
}

static void add(struct rm_born *born, struct rm_range range, uint32_t traits)
{
	struct rm_born_range *smallest = NULL;
	size_t least = range.len;

	for (size_t i = 0; i < RM_BORN_RANGES; i++) {
		const size_t len = atomic_load(&born->ranges[i].len);

		if (len < least && len != TAKEN) {
			smallest = &born->ranges[i];
			least = len;
		}
	}
	if (!smallest || !atomic_compare_exchange_strong(&smallest->len, &least, TAKEN))
		return;
	atomic_store(&smallest->start, range.start);
	atomic_store(&smallest->traits, traits);
	atomic_store(&smallest->len, range.len);
}

void rm_born_mapped(struct rm_born *born, struct rm_range range, int prot, int flags)
{
	const int plain = MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED |
			  MAP_FIXED_NOREPLACE | MAP_POPULATE;
	const bool shared = (flags & MAP_TYPE) == MAP_SHARED;
	uint32_t traits = (uint32_t)prot;

	range.len = rm_page_round(range.len);
	if ((flags & ~plain) || !(flags & MAP_ANONYMOUS) ||
		(!shared && (flags & MAP_TYPE) != MAP_PRIVATE) ||
		(prot != PROT_NONE && prot != PROT_READ && prot != (PROT_READ | PROT_WRITE)) ||
		rm_known_has_seen(RM_SEEN_LOCK_FUTURE | RM_SEEN_MERGE))
		return;
	if ((flags & MAP_NORESERVE) && noreserve_counts())
		traits |= NORESERVE;
	if (shared)
		traits |= SHARED;
	else if ((prot & PROT_WRITE) && !(traits & NORESERVE))
		traits |= CHARGED;
	add(born, range, traits);
}

void rm_born_forget(struct rm_born *born, struct rm_range range)
{
	for (size_t i = 0; i < RM_BORN_RANGES; i++) {
		const struct rm_range r = range_of(&born->ranges[i]);
		size_t len = r.len;

		if (len > TAKEN && r.start < range.start + range.len &&
			range.start < rm_range_end(r))
			atomic_compare_exchange_strong(&born->ranges[i].len, &len, 0);
	}
}

/* What is left is the part that was given the protection: it is the one that is going to be used. */
void rm_born_protected(struct rm_born *born, struct rm_range range, int prot)
{
	uint32_t traits = 0;
	bool known = false;

	range.len = rm_page_round(range.len);
	for (size_t i = 0; i < RM_BORN_RANGES && !known; i++) {
		const struct rm_range r = range_of(&born->ranges[i]);

		if (r.len <= TAKEN || range.start < r.start ||
			rm_range_end(range) > rm_range_end(r))
			continue;
		traits = atomic_load(&born->ranges[i].traits);
		known = true;
	}
	rm_born_forget(born, range);
	if (!known || (prot != PROT_NONE && prot != PROT_READ && prot != (PROT_READ | PROT_WRITE)))
		return;
	traits = (traits & ~0xffU) | (uint32_t)prot;
	if ((prot & PROT_WRITE) && !(traits & (NORESERVE | SHARED)))
		traits |= CHARGED;
	add(born, range, traits);
}

/* The bounds of the mapping that holds the range, or false. */
static bool find_bounds(struct rm_world *world, struct rm_range seen, struct rm_vma *vma)
{
	struct rm_vma now;

	if (rm_is_one_mapping(seen)) {
		vma->start = seen.start;
		vma->end = rm_range_end(seen);
		return true;
	}
	if (rm_maps_find(&world->maps, false, seen.start, &now) != 1 || now.prot != vma->prot ||
		now.shared != vma->shared || now.start > seen.start ||
		now.end < rm_range_end(seen) || now.name[0] == '[')
		return false;
	vma->start = now.start;
	vma->end = now.end;
	return true;
}

bool rm_born_find(struct rm_world *world, const struct rm_request *request, struct rm_facts *facts)
{
	const struct rm_range source = request->source, target = {request->target, source.len};
	struct rm_born *born = &world->known.born;

	if (!rm_known_watching() ||
		((request->flags & RM_FIXED) && rm_known_may_be_armed(target)) ||
		rm_known_has_seen(RM_SEEN_LOCK_FUTURE | RM_SEEN_MERGE) ||
		rm_known_may_be_armed(source) ||
		rm_syscall(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0) & READ_IMPLIES_EXEC)
		return false;
	for (size_t i = 0; i < RM_BORN_RANGES; i++) {
		const struct rm_range r = range_of(&born->ranges[i]);
		const uint32_t traits = atomic_load(&born->ranges[i].traits);

		if (r.len <= TAKEN || source.start < r.start ||
			rm_range_end(source) > rm_range_end(r))
			continue;
		memset(facts, 0, sizeof(*facts));
		facts->vma.prot = (int)(traits & 0xff);
		facts->vma.shared = traits & SHARED;
		facts->vma.have_flags = true;
		facts->vma.vmflags = (traits & NORESERVE ? RM_VF_NORESERVE : 0) |
				     (traits & CHARGED ? RM_VF_ACCOUNT : 0);
		facts->kind = facts->vma.shared ? RM_KIND_SHARED : RM_KIND_ANON;
		facts->uffd.fd = -1;
		return find_bounds(world, r, &facts->vma) &&
		       !rm_known_may_be_armed((struct rm_range){
			       facts->vma.start, facts->vma.end - facts->vma.start});
	}
	return false;
}
