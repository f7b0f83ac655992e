/*
 * shrink.c - the smallest sequence that still differs.
 *
 * Delta debugging: leave out ever smaller runs of operations while the two sides go on differing,
 * then make the operations that are left plainer (fewer pages, ordinary protection, anonymous
 * memory, no options), and begin again until nothing more can go. Both sides run as servers, so a
 * trial costs about a millisecond. "Still differs" means that a line of the same kind differs as
 * in the beginning (an answer, a protection, a VMA ...): otherwise every bug would shrink to the
 * one with the smallest reproducer.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_TRIALS 5000

struct shrinker {
	struct oracle_side side[2];
	struct oracle_block block[2];
	struct oracle_op ops[ORACLE_MAX_OPS], trial[ORACLE_MAX_OPS];
	int count, trials;
	unsigned int wanted; /* kinds of lines, one of which has to differ */
	bool broken;
};

static bool differs(struct shrinker *shrinker, const struct oracle_op *ops, int count)
{
	struct oracle_difference diff;

	if (shrinker->broken || shrinker->trials >= MAX_TRIALS)
		return false;
	shrinker->trials++;
	if (oracle_side_ask(&shrinker->side[0], ops, count, &shrinker->block[0]) ||
		oracle_side_ask(&shrinker->side[1], ops, count, &shrinker->block[1])) {
		shrinker->broken = true;
		return false;
	}
	diff = oracle_block_compare(&shrinker->block[0], &shrinker->block[1]);
	if (!shrinker->wanted)
		shrinker->wanted = diff.kinds & ~(diff.kinds - 1);
	return (diff.kinds & shrinker->wanted) != 0;
}

static bool drop_operations(struct shrinker *shrinker)
{
	bool better = false;
	int size, at;

	for (size = shrinker->count / 2; size >= 1; size /= 2) {
		for (at = shrinker->count - size; at >= 0; at -= size) {
			int rest = shrinker->count - at - size;

			if (rest < 0)
				continue;
			memcpy(shrinker->trial, shrinker->ops, (size_t)at * sizeof(*shrinker->ops));
			memcpy(shrinker->trial + at, shrinker->ops + at + size,
				(size_t)rest * sizeof(*shrinker->ops));
			if (!differs(shrinker, shrinker->trial, at + rest))
				continue;
			shrinker->count = at + rest;
			memcpy(shrinker->ops, shrinker->trial,
				(size_t)shrinker->count * sizeof(*shrinker->ops));
			better = true;
		}
	}
	return better;
}

/*
 * The n-th way to make one operation plainer; false when there is no such way or it changes
 * nothing.
 */
static bool plainer(struct oracle_op *op, int way, bool *more)
{
	struct oracle_op was = *op;

	*more = true;
	switch (way) {
	case 0:
		op->kind = KIND_ANON;
		break;
	case 1:
		op->prot = PROT_READ | PROT_WRITE;
		break;
	case 2:
		op->noreserve = false;
		break;
	case 3:
		op->offset = 0;
		break;
	case 4:
		op->len.delta = op->new_len.delta = 0;
		break;
	case 5:
		op->addr.delta = op->new_addr.delta = 0;
		break;
	case 6: /* both lengths to one page */
		if (op->len.kind == NUM_PAGES && op->len.page > 1)
			op->len.page = 1;
		if (op->new_len.kind == NUM_PAGES && op->new_len.page > 1)
			op->new_len.page = 1;
		break;
	case 7:
		if (op->len.kind == NUM_PAGES)
			op->len.page /= 2;
		if (op->new_len.kind == NUM_PAGES)
			op->new_len.page /= 2;
		break;
	case 8:
		if (op->len.kind == NUM_PAGES)
			op->len.page--;
		break;
	case 9:
		if (op->new_len.kind == NUM_PAGES)
			op->new_len.page--;
		break;
	case 10:
		if (op->len.kind == NUM_PAGES && op->new_len.kind == NUM_PAGES)
			op->len.page--, op->new_len.page--;
		break;
	case 11:
		op->flags &= ~(uint32_t)MREMAP_FIXED;
		break;
	case 12: /* begin one page later, end where it ended */
		if (op->addr.kind == NUM_FIELD && op->len.kind == NUM_PAGES && op->len.page > 1)
			op->addr.page++, op->len.page--, op->new_len.page -= op->new_len.page > 1;
		break;
	case 13: /* to an arena that is otherwise out of the way */
		if (op->new_addr.kind == NUM_FIELD)
			op->new_addr.page = 4 * ORACLE_ARENA_PAGES;
		break;
	default:
		*more = false;
		return false;
	}
	if (op->len.kind == NUM_PAGES && op->len.page < 1)
		return false;
	if (op->new_len.kind == NUM_PAGES && op->new_len.page < 1)
		return false;
	return memcmp(&was, op, sizeof(was)) != 0;
}

static bool simplify_operations(struct shrinker *shrinker)
{
	bool better = false;
	int i, way;

	for (i = 0; i < shrinker->count; i++) {
		bool more = true;

		for (way = 0; more; way++) {
			memcpy(shrinker->trial, shrinker->ops,
				(size_t)shrinker->count * sizeof(*shrinker->ops));
			if (!plainer(&shrinker->trial[i], way, &more) ||
				!differs(shrinker, shrinker->trial, shrinker->count))
				continue;
			shrinker->ops[i] = shrinker->trial[i];
			better = true;
			if (way >= 6)
				way--; /* the same way again, while it helps */
		}
	}
	return better;
}

/*
 * Sequences that differ only in places and lengths show the same bug: the second is not printed
 * again.
 */
static bool seen_before(const struct oracle_op *ops, int count)
{
	static uint64_t seen[256];
	static int seen_count;
	uint64_t hash = 0xcbf29ce484222325ull;
	int i;

	for (i = 0; i < count; i++) {
		uint64_t what = (uint64_t)ops[i].call | (uint64_t)ops[i].kind << 8 |
				(uint64_t)ops[i].prot << 16 | (uint64_t)ops[i].advice << 24 |
				(uint64_t)ops[i].flags << 32;

		hash = (hash ^ what) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 31;
	}
	for (i = 0; i < seen_count; i++)
		if (seen[i] == hash)
			return true;
	if (seen_count < 256)
		seen[seen_count++] = hash;
	return false;
}

/*
 * Shrinks in place and prints the result with a C reproducer. Returns the new count, 0 if it was
 * printed before, -1 if it did not differ.
 */
int oracle_shrink(struct oracle_op *ops, int count, char **prefix)
{
	struct shrinker *shrinker = calloc(1, sizeof(*shrinker));
	char line[256];
	int i, result = -1;
	bool better;

	if (!shrinker)
		return -1;
	if (oracle_side_start(&shrinker->side[0], NULL, true) ||
		oracle_side_start(&shrinker->side[1], prefix, true)) {
		free(shrinker);
		return -1;
	}
	memcpy(shrinker->ops, ops, (size_t)count * sizeof(*ops));
	shrinker->count = count;
	if (!differs(shrinker, shrinker->ops, count)) {
		printf("  alone it does not differ: it depends on what ran before, or on chance\n");
		goto out;
	}
	do {
		better = drop_operations(shrinker);
		better |= simplify_operations(shrinker);
	} while (better);
	shrinker->trials = 0;
	differs(shrinker, shrinker->ops, shrinker->count);
	result = shrinker->count;
	memcpy(ops, shrinker->ops, (size_t)result * sizeof(*ops));
	if (seen_before(ops, result)) {
		printf("  shrinks to what was printed before\n");
		result = 0;
		goto out;
	}
	printf("  shrunk from %d to %d operations:\n", count, result);
	for (i = 0; i < result; i++) {
		oracle_op_print(&ops[i], line, sizeof(line));
		printf("    %s\n", line);
	}
	printf("  observed:\n");
	oracle_block_print(&shrinker->block[0], &shrinker->block[1], stdout);
	printf("  reproducer:\n");
	oracle_repro(ops, result, "found by remap-oracle --compare", stdout);
out:
	if (shrinker->broken)
		printf("  a side ended while shrinking\n");
	oracle_side_stop(&shrinker->side[0]);
	oracle_side_stop(&shrinker->side[1]);
	oracle_block_free(&shrinker->block[0]);
	oracle_block_free(&shrinker->block[1]);
	free(shrinker);
	return result;
}
