/*
 * generate.c - random sequences from a seed, with no look at what the kernel answers.
 *
 * Both sides of a comparison must get the same operations even where they differ, and a sequence
 * must be shrinkable, so the generator guesses the state instead of reading it: a rough model of
 * which pages belong to which mapping. The model only serves to make most operations meaningful
 * (whole, head, middle, tail of a mapping, across two, into a hole); where it is wrong nothing is
 * lost.
 *
 * What is left out, because it is no business of mremap's semantics or differs between kernels
 * that are compared: advice newer than 4.14, MAP_FIXED_NOREPLACE, addresses outside the field, and
 * the flag bits that libremap defines (8, 16, 1 << 24, 1 << 25) together with MREMAP_MAYMOVE;
 * without it they are EINVAL everywhere.
 *
 * With --portable nothing depends on which mappings a kernel merges, or on how it was configured:
 * every mapping gets a place that was not used before, with a free page on either side, and advice
 * that a kernel may lack is left out. Recordings for other kernels are made like that.
 */
#include "oracle.h"

#include <string.h>
#include <sys/mman.h>

#define USABLE (ORACLE_PAGES - 8)

struct page {
	int mapping; /* 0: none */
	int index;
};

struct generator {
	uint64_t state;
	const struct oracle_options *opt;
	struct page pages[2 * ORACLE_PAGES];
	bool used[2 * ORACLE_PAGES + 1]; /* ever, for --portable */
	bool full;			 /* no unused place was left */
	int last_mapping;
	enum oracle_kind kinds[KINDS];
	int kind_count;
};

static uint32_t random32(struct generator *gen)
{
	uint64_t z = (gen->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((z ^ z >> 31) >> 16);
}

static int below(struct generator *gen, int limit)
{
	return (int)(random32(gen) % (unsigned int)limit);
}

static bool percent(struct generator *gen, int chance)
{
	return below(gen, 100) < chance;
}

static struct oracle_num place(int page)
{
	return (struct oracle_num){.kind = NUM_FIELD, .page = page};
}

static struct oracle_num pages(int count)
{
	return (struct oracle_num){.kind = NUM_PAGES, .page = count};
}

static struct oracle_num plain(uint64_t value)
{
	return (struct oracle_num){.kind = NUM_PLAIN, .plain = value};
}

struct range {
	int start, len;
};

/* The mapping (as the model has it) around a random mapped page; len 0 if there is none. */
static struct range pick_mapping(struct generator *gen)
{
	const struct page *map = gen->pages;
	int tries, at, start, end;

	for (tries = 0; tries < 200; tries++) {
		at = below(gen, USABLE);
		if (!map[at].mapping)
			continue;
		for (start = at; start > 0 && map[start - 1].mapping == map[at].mapping &&
				 map[start - 1].index + 1 == map[start].index;)
			start--;
		for (end = at + 1; end < USABLE && map[end].mapping == map[at].mapping &&
				   map[end - 1].index + 1 == map[end].index;)
			end++;
		return (struct range){start, end - start};
	}
	return (struct range){below(gen, USABLE), 0};
}

/* A range to operate on: mostly a piece of one mapping. */
static struct range pick_range(struct generator *gen)
{
	struct range all = pick_mapping(gen);
	int shape = below(gen, 100), len;

	if (!all.len)
		return (struct range){all.start, 1 + below(gen, 6)};
	len = 1 + below(gen, all.len);
	if (shape < 42)
		return all;
	if (shape < 55)
		return (struct range){all.start, len};
	if (shape < 68)
		return (struct range){all.start + all.len - len, len};
	if (shape < 84)
		return (struct range){all.start + below(gen, all.len - len + 1), len};
	if (shape < 94 && !gen->opt->portable) /* across the end */
		return (struct range){all.start + below(gen, all.len), all.len + 1 + below(gen, 4)};
	return (struct range){below(gen, USABLE), 1 + below(gen, 8)};
}

static bool is_free(const struct generator *gen, int start, int len)
{
	int i;

	for (i = start; i < start + len; i++)
		if (gen->pages[i].mapping)
			return false;
	return true;
}

static int clamp(int start, int len)
{
	if (start + len > USABLE)
		start = USABLE - len;
	return start < 0 ? 0 : start;
}

/* A place that nothing was ever near to, and room to grow; -1 if there is none. */
static int pick_unused(struct generator *gen, int len)
{
	int tries, at, i;

	for (tries = 0; tries < 60; tries++) {
		at = 1 + below(gen, USABLE - len - 9);
		for (i = at - 1; i < at + len + 9 && !gen->used[i]; i++)
			;
		if (i < at + len + 9)
			continue;
		memset(gen->used + at, 1, (size_t)len + 8);
		return at;
	}
	gen->full = true;
	return 0;
}

/* Where something of len pages could go: a free place, next to a mapping, or anywhere. */
static int pick_destination(struct generator *gen, int len)
{
	int choice = below(gen, 100), tries, at;
	struct range near;

	if (gen->opt->portable)
		return pick_unused(gen, len);
	if (choice < 50) {
		for (tries = 0; tries < 40; tries++) {
			at = clamp(below(gen, USABLE), len);
			if (is_free(gen, at, len))
				return at;
		}
	} else if (choice < 75) {
		near = pick_mapping(gen);
		return clamp(percent(gen, 50) ? near.start + near.len : near.start - len, len);
	}
	return clamp(below(gen, USABLE), len);
}

static int pick_prot(struct generator *gen)
{
	static const int prots[] = {
		PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC};

	return percent(gen, 68) ? PROT_READ | PROT_WRITE : prots[below(gen, 4)];
}

static void model_map(struct generator *gen, int start, int len)
{
	int i;

	gen->last_mapping++;
	for (i = 0; i < len && start + i < 2 * ORACLE_PAGES; i++)
		gen->pages[start + i] = (struct page){gen->last_mapping, i};
}

static void model_unmap(struct generator *gen, int start, int len)
{
	if (start + len > 2 * ORACLE_PAGES)
		len = 2 * ORACLE_PAGES - start;
	if (len > 0)
		memset(gen->pages + start, 0, (size_t)len * sizeof(gen->pages[0]));
}

static void make_mmap(struct generator *gen, struct oracle_op *op)
{
	int len = 1 + below(gen, 10);
	int at = pick_destination(gen, len);

	op->call = CALL_MMAP;
	op->addr = place(at);
	op->len = pages(len);
	op->kind = gen->kinds[below(gen, gen->kind_count)];
	op->prot = pick_prot(gen);
	op->noreserve = percent(gen, 12);
	if (op->kind == KIND_MEMFD_RO)
		op->prot &= ~PROT_WRITE;
	if (op->kind >= KIND_TMPFS) /* may be mounted noexec */
		op->prot &= ~PROT_EXEC;
	if (op->kind >= KIND_MEMFD) /* now and then past the end of the file */
		op->offset = below(gen, ORACLE_FILE_PAGES - (percent(gen, 85) ? len : 0));
	model_map(gen, at, len);
}

static void make_access(struct generator *gen, struct oracle_op *op, enum oracle_call call)
{
	struct range range = pick_range(gen);

	op->call = call;
	op->addr = place(range.start);
	op->len = pages(range.len);
}

static void make_advice(struct generator *gen, struct oracle_op *op)
{
	static const int advices[] = {MADV_DONTFORK, MADV_DONTFORK, MADV_DOFORK,
		18 /* WIPEONFORK */, 18, 19 /* KEEPONFORK */, MADV_DONTDUMP, MADV_DODUMP,
		MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_SEQUENTIAL,
		MADV_RANDOM, MADV_NORMAL, MADV_DONTNEED, MADV_DONTNEED, MADV_REMOVE};

	make_access(gen, op, CALL_MADVISE);
	do {
		op->advice = advices[below(gen, (int)(sizeof(advices) / sizeof(advices[0])))];
	} while (gen->opt->portable && op->advice >= MADV_MERGEABLE &&
		 op->advice <= MADV_NOHUGEPAGE);
}

/* Lengths and addresses that are not whole pages, or absurd. */
static void make_odd(struct generator *gen, struct oracle_op *op)
{
	static const uint64_t lengths[] = {
		0, 1ull << 47, 1ull << 60, UINT64_MAX, UINT64_MAX - 0x1fff};
	uint64_t absurd = lengths[below(gen, 5)];

	switch (below(gen, 9)) {
	case 0:
		op->len.delta = -1 - below(gen, 4000);
		break;
	case 1:
		op->new_len.delta = -1 - below(gen, 4000);
		break;
	case 2:
		op->len.delta = op->new_len.delta = -1 - below(gen, 4000);
		break;
	case 3:
		op->addr.delta = 1 + below(gen, 4000);
		break;
	case 4:
		if (op->new_addr.kind == NUM_FIELD)
			op->new_addr.delta = 1 + below(gen, 4000);
		break;
	case 5:
		op->new_len = plain(absurd);
		break;
	case 6:
		/* A length of 0 for new_len is refused; for old_len it asks for a second view. */
		if (absurd < 1ull << 47)
			op->len = plain(absurd);
		break;
	case 7:
		if (op->new_addr.kind == NUM_FIELD)
			op->new_addr = plain(1ull << 60);
		break;
	default:
		op->len = plain(1ull << 40);
		if (!(op->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
			op->new_len = op->len;
		break;
	}
}

static void make_invalid(struct generator *gen, struct oracle_op *op)
{
	static const uint32_t flags[] = {MREMAP_DONTUNMAP, MREMAP_FIXED,
		MREMAP_FIXED | MREMAP_DONTUNMAP, 8, 16, 1u << 24, 8 | MREMAP_FIXED,
		32 | MREMAP_MAYMOVE, 64 | MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
		1u << 30 | MREMAP_MAYMOVE, 1u << 31, 0xfffffff8};

	op->flags = flags[below(gen, (int)(sizeof(flags) / sizeof(flags[0])))];
	op->new_len = op->len;
	op->new_addr = place(pick_destination(gen, op->len.page));
}

static void model_move(struct generator *gen, struct range from, int to, int len, bool keep)
{
	struct page copy[2 * ORACLE_PAGES];
	int i;

	memcpy(copy, gen->pages, sizeof(copy));
	if (!keep)
		model_unmap(gen, from.start, from.len);
	for (i = 0; i < len && to + i < 2 * ORACLE_PAGES && from.start + i < 2 * ORACLE_PAGES;
		i++) {
		gen->pages[to + i] = copy[from.start + (i < from.len ? i : 0)];
		gen->pages[to + i].mapping += 100000;
		gen->pages[to + i].index = copy[from.start].index + i;
	}
}

/* One of the kinds of mremap that --flags allows; the weights are per bit of opt->moves. */
static unsigned int pick_move(struct generator *gen)
{
	static const int weights[] = {48, 20, 16, 7, 9};
	int total = 0, at, i;

	for (i = 0; i < 5; i++)
		total += gen->opt->moves >> i & 1 ? weights[i] : 0;
	at = below(gen, total);
	for (i = 0; i < 5; i++) {
		if (!(gen->opt->moves >> i & 1))
			continue;
		if (at < weights[i])
			break;
		at -= weights[i];
	}
	return 1u << i;
}

static void make_mremap(struct generator *gen, struct oracle_op *op)
{
	struct range from = pick_range(gen);
	int to = pick_destination(gen, from.len);
	int home = gen->opt->portable ? to : pick_destination(gen, from.len + 8);
	int grown = from.len;

	op->call = CALL_MREMAP;
	op->addr = place(from.start);
	op->len = op->new_len = pages(from.len);
	op->flags = MREMAP_MAYMOVE;
	op->home = place(home);
	switch (pick_move(gen)) {
	case MOVES_DONTUNMAP:
		op->flags |= MREMAP_DONTUNMAP | (percent(gen, 65) ? MREMAP_FIXED : 0);
		op->new_addr = op->flags & MREMAP_FIXED || percent(gen, 60) ? place(to) : plain(0);
		if (op->flags & MREMAP_FIXED ||
			(op->new_addr.kind == NUM_FIELD && is_free(gen, to, grown)))
			home = to;
		model_move(gen, from, home, from.len, true);
		break;
	case MOVES_FIXED:
		op->flags |= MREMAP_FIXED;
		op->new_addr = place(to);
		if (percent(gen, 25)) {
			grown = 1 + below(gen, from.len + 6);
			op->new_len = pages(grown);
		}
		model_move(gen, from, to, grown, false);
		break;
	case MOVES_RESIZE:
		grown = percent(gen, 15) ? from.len : 1 + below(gen, from.len + 6);
		op->new_len = pages(grown);
		if (percent(gen, 40))
			op->flags = 0;
		if (percent(gen, 15)) /* what a careless caller has in the fifth register */
			op->new_addr = (struct oracle_num){
				.kind = NUM_FIELD, .page = to, .delta = 1 + below(gen, 4000)};
		if (grown < from.len)
			model_unmap(gen, from.start + grown, from.len - grown);
		else if (op->flags && !is_free(gen, from.start + from.len, grown - from.len))
			model_move(gen, from, home, grown, false);
		break;
	case MOVES_DUPLICATE:
		op->len = plain(0);
		op->flags |= percent(gen, 70) ? MREMAP_FIXED : 0;
		if (op->flags & MREMAP_FIXED)
			op->new_addr = place(to);
		model_move(gen, from, op->flags & MREMAP_FIXED ? to : home, from.len, true);
		break;
	default:
		if (percent(gen, 50)) {
			make_invalid(gen, op);
		} else {
			op->flags |= MREMAP_FIXED | (percent(gen, 50) ? MREMAP_DONTUNMAP : 0);
			/* In 40 of 100 it overlaps the source. */
			op->new_addr = place(
				percent(gen, 40) ? from.start + below(gen, from.len + 1) : to);
			make_odd(gen, op);
		}
		break;
	}
	if (percent(gen, 3))
		make_odd(gen, op);
}

static int make_op(struct generator *gen, struct oracle_op *op, bool locks)
{
	int choice = below(gen, 100);

	if (choice < 44)
		make_mremap(gen, op);
	else if (choice < 60)
		make_access(gen, op, CALL_WRITE);
	else if (choice < 72)
		make_mmap(gen, op);
	else if (choice < 77)
		make_access(gen, op, CALL_READ);
	else if (choice < 83) {
		make_access(gen, op, CALL_MPROTECT);
		op->prot = pick_prot(gen);
	} else if (choice < 92)
		make_advice(gen, op);
	else if (choice < 95) {
		make_access(gen, op, CALL_MUNMAP);
		model_unmap(gen, op->addr.page, op->len.page);
	} else if (locks)
		make_access(gen, op,
			percent(gen, 60)   ? CALL_MLOCK
			: percent(gen, 60) ? CALL_MUNLOCK
					   : CALL_MLOCK2);
	else
		make_access(gen, op, CALL_WRITE);
	return 1;
}

/* Fills ops with up to opt->ops operations; returns how many. */
int oracle_generate(uint64_t seed, const struct oracle_options *opt, struct oracle_op *ops)
{
	static struct generator gen;
	int count = 0, join = -1, kind;
	bool locks, forks;

	memset(&gen, 0, sizeof(gen));
	gen.state = seed * 0x9e3779b97f4a7c15ull + 0x5eed;
	gen.opt = opt;
	for (kind = 0; kind < KINDS; kind++) {
		if (!(opt->kinds >> kind & 1))
			continue;
		/* Sequences that use few kinds exercise merging more. */
		if (gen.kind_count == 0 || percent(&gen, 50))
			gen.kinds[gen.kind_count++] = (enum oracle_kind)kind;
	}
	if (percent(&gen, 35) && gen.kinds[0] == KIND_ANON)
		gen.kind_count = 1;
	locks = percent(&gen, 20);
	forks = percent(&gen, 25);
	memset(ops, 0, (size_t)opt->ops * sizeof(*ops));
	while (count < opt->ops && !gen.full) {
		struct oracle_op *op = &ops[count];

		if (count < 6 && count < opt->ops / 3) {
			if (count % 2 == 0)
				make_mmap(&gen, op);
			else
				make_access(&gen, op, CALL_WRITE);
		} else if (join == count) {
			op->call = CALL_JOIN;
		} else if (forks && join < count && percent(&gen, 4)) {
			op->call = CALL_FORK;
			join = count + 1 + below(&gen, 5);
		} else {
			make_op(&gen, op, locks);
		}
		/* The operation that found no place is not made, and the sequence ends. */
		if (!gen.full)
			count++;
	}
	return count;
}
