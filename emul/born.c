/* SPDX-License-Identifier: MIT */
/*
 * What can be told of a mapping from the call that made it.
 *
 * smaps is needed because only it tells flags like NORESERVE or "charged", and it walks the page
 * tables of all that is mapped below the range: a first move of a large heap would take as long as
 * the heap is full. But of private or shared anonymous memory whose mmap was seen, and that nothing
 * was done to but mprotect and madvise, all flags are known. What it has been joined with has the
 * same ones, or would not have been joined. So only the bounds are left to ask for: those of the
 * call, if the kernel says that they are the mapping's; else /proc/self/maps, which walks nothing.
 *
 * Of a shared mapping of a file the call does not say what the file is: hugetlbfs and devices are
 * not moved as others are. It is told by its device, in /proc/self/maps: that of every memfd,
 * shared anonymous and System V segment of base pages is the same one.
 *
 * Not for: executable memory (protection keys), hugetlbfs, stacks (MAP_STACK is NOHUGEPAGE from 6.7
 * on), locked memory, private mappings of files, shared ones of other files. Nothing is told while
 * the process locks what it maps (MCL_FUTURE), merges it (PR_SET_MEMORY_MERGE), or
 * READ_IMPLIES_EXEC is on.
 *
 * The table is small, and the larger mapping stays. Entries are written by whoever maps, without a
 * lock: a reader that could see half of one sees the change under way as well (known.c).
 */
#include "emul/born.h"

#include <string.h>
#include <sys/personality.h>

#include "emul/file.h"
#include "emul/known.h"
#include "emul/sys.h"
#include "emul/world.h"

#define TAKEN 1

enum trait {
	NORESERVE = 1 << 8,
	CHARGED = 1 << 9,
	SHARED = 1 << 10,
	OF_FILE = 1 << 11, /* which kind of file is not known yet */
};

/*
 * What advice does to a mapping's flags, by madvise_behavior() of every kernel from 4.14 on. Other
 * advice is not followed.
 */
static const struct {
	int advice;
	uint32_t sets, clears; /* enum rm_vmflag */
} advices[] = {
	{MADV_NORMAL, 0, RM_VF_SEQUENTIAL | RM_VF_RANDOM},
	{MADV_SEQUENTIAL, RM_VF_SEQUENTIAL, RM_VF_RANDOM},
	{MADV_RANDOM, RM_VF_RANDOM, RM_VF_SEQUENTIAL},
	{MADV_DONTFORK, RM_VF_DONTFORK, 0},
	{MADV_DOFORK, 0, RM_VF_DONTFORK},
	{MADV_HUGEPAGE, RM_VF_HUGEPAGE, RM_VF_NOHUGEPAGE},
	{MADV_NOHUGEPAGE, RM_VF_NOHUGEPAGE, RM_VF_HUGEPAGE},
	{MADV_DONTDUMP, RM_VF_DONTDUMP, 0},
	{MADV_DODUMP, 0, RM_VF_DONTDUMP},
	{MADV_WIPEONFORK, RM_VF_WIPEONFORK, 0},
	{MADV_KEEPONFORK, 0, RM_VF_WIPEONFORK},
};

/*
 * With strict overcommit NORESERVE is ignored; whoever changes that while programs run is not
 * followed.
 */
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

static void add(struct rm_born *born, struct rm_range range, uint32_t traits, uint32_t advice)
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
	atomic_store(&smallest->advice, advice);
	atomic_store(&smallest->len, range.len);
}

void rm_born_mapped(struct rm_born *born, struct rm_range range, int prot, int flags)
{
	const int plain = MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED |
			  MAP_FIXED_NOREPLACE | MAP_POPULATE;
	const bool shared = (flags & MAP_TYPE) == MAP_SHARED;
	uint32_t traits = (uint32_t)prot;

	range.len = rm_page_round(range.len);
	if ((flags & ~plain) || (!shared && !(flags & MAP_ANONYMOUS)) ||
		(!shared && (flags & MAP_TYPE) != MAP_PRIVATE) ||
		(prot != PROT_NONE && prot != PROT_READ && prot != (PROT_READ | PROT_WRITE)) ||
		rm_known_has_seen(RM_SEEN_LOCK_FUTURE | RM_SEEN_MERGE))
		return;
	if ((flags & MAP_NORESERVE) && noreserve_counts())
		traits |= NORESERVE;
	if (shared)
		traits |= flags & MAP_ANONYMOUS ? SHARED : SHARED | OF_FILE;
	else if ((prot & PROT_WRITE) && !(traits & NORESERVE))
		traits |= CHARGED;
	add(born, range, traits, 0);
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

struct birth {
	struct rm_range range;
	uint32_t traits, advice;
};

/* What is known of the mapping that holds all of the range: false if nothing is. */
static bool find(const struct rm_born *born, struct rm_range range, struct birth *birth)
{
	for (size_t i = 0; i < RM_BORN_RANGES; i++) {
		const struct rm_born_range *b = &born->ranges[i];
		const struct rm_range r = range_of(b);

		if (r.len <= TAKEN || range.start < r.start ||
			rm_range_end(range) > rm_range_end(r))
			continue;
		*birth = (struct birth){r, atomic_load(&b->traits), atomic_load(&b->advice)};
		return true;
	}
	return false;
}

/*
 * What is known of the range, which is struck off to be added anew as it is now. What is left is
 * the part that was given the protection, or the advice: it is the one that is going to be used.
 */
static bool take(struct rm_born *born, struct rm_range range, struct birth *birth)
{
	const bool known = find(born, range, birth);

	rm_born_forget(born, range);
	return known;
}

void rm_born_protected(struct rm_born *born, struct rm_range range, int prot)
{
	struct birth birth;

	range.len = rm_page_round(range.len);
	if (!take(born, range, &birth) ||
		(prot != PROT_NONE && prot != PROT_READ && prot != (PROT_READ | PROT_WRITE)))
		return;
	birth.traits = (birth.traits & ~0xffU) | (uint32_t)prot;
	if ((prot & PROT_WRITE) && !(birth.traits & (NORESERVE | SHARED)))
		birth.traits |= CHARGED;
	add(born, range, birth.traits, birth.advice);
}

void rm_born_advised(struct rm_born *born, struct rm_range range, int advice)
{
	struct birth birth;

	range.len = rm_page_round(range.len);
	if (!take(born, range, &birth))
		return;
	for (size_t i = 0; i < RM_ARRAY_LEN(advices); i++)
		if (advices[i].advice == advice)
			add(born, range, birth.traits,
				(birth.advice & ~advices[i].clears) | advices[i].sets);
}

/* The bounds of the mapping that holds the range, or false. */
static bool find_bounds(
	struct rm_world *world, struct rm_range seen, uint32_t traits, struct rm_vma *vma)
{
	struct rm_vma now;

	if (!(traits & OF_FILE) && rm_is_one_mapping(seen)) {
		vma->start = seen.start;
		vma->end = rm_range_end(seen);
		return true;
	}
	if (rm_maps_find(&world->maps, false, seen.start, &now) != 1 || now.prot != vma->prot ||
		now.shared != vma->shared || now.start > seen.start ||
		now.end < rm_range_end(seen) || now.name[0] == '[' ||
		((traits & OF_FILE) && !rm_file_is_shmem(&now)))
		return false;
	vma->start = now.start;
	vma->end = now.end;
	return true;
}

bool rm_born_find(struct rm_world *world, const struct rm_request *request, struct rm_facts *facts)
{
	const struct rm_range source = request->source, target = {request->target, source.len};
	struct rm_vma *vma = &facts->vma;
	struct birth birth;

	if (!rm_known_watching() || !find(&world->known.born, source, &birth) ||
		((request->flags & RM_FIXED) && rm_known_may_be_armed(target)) ||
		rm_known_has_seen(RM_SEEN_LOCK_FUTURE | RM_SEEN_MERGE) ||
		rm_known_may_be_armed(source) ||
		rm_syscall(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0) & READ_IMPLIES_EXEC)
		return false;
	memset(facts, 0, sizeof(*facts));
	vma->prot = (int)(birth.traits & 0xff);
	vma->shared = birth.traits & SHARED;
	vma->have_flags = true;
	vma->vmflags = birth.advice | (birth.traits & NORESERVE ? RM_VF_NORESERVE : 0) |
		       (birth.traits & CHARGED ? RM_VF_ACCOUNT : 0);
	facts->kind = vma->shared ? RM_KIND_SHARED : RM_KIND_ANON;
	facts->shmem = vma->shared;
	facts->uffd.fd = -1;
	return find_bounds(world, birth.range, birth.traits, vma) &&
	       !rm_known_may_be_armed((struct rm_range){vma->start, vma->end - vma->start});
}
