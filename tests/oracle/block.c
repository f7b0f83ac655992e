/*
 * block.c - reads the blocks that run.c prints and counts the observations that differ between two.
 *
 * An observation is a line. Lines are matched up by their kind: the n-th line that starts with
 * "vma" on one side belongs to the n-th on the other, so one VMA more does not shift everything
 * behind it. A line that one side lacks is a difference too. Which differences are excused is
 * decided by excuse.c from the notes that the native side printed in this block.
 *
 * A line "skip REASON" on either side (a scenario that needs what is not there) takes the block
 * out of the comparison; it is counted as skipped, never as equal.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

static bool grow(void **at, size_t size)
{
	void *bigger = realloc(*at, size);

	if (!bigger) {
		fprintf(stderr, "remap-oracle: out of memory\n");
		exit(3);
	}
	*at = bigger;
	return true;
}

/* 1: a block; 0: the end of the stream; -1: the stream ended inside a block. */
int oracle_block_read(struct oracle_block *block, FILE *in)
{
	static char *line;
	static size_t line_size;
	ssize_t got;
	size_t at;
	int i;

	block->len = 0;
	block->count = 0;
	while ((got = getline(&line, &line_size, in)) > 0) {
		size_t len = (size_t)got;

		if (line[len - 1] == '\n')
			line[--len] = 0;
		if (!strcmp(line, "end"))
			break;
		if (block->len + len + 1 > block->size) {
			block->size = 2 * (block->len + len + 1) + 65536;
			grow((void **)&block->text, block->size);
		}
		memcpy(block->text + block->len, line, len + 1);
		block->len += len + 1;
		block->count++;
	}
	if (block->count > block->max_lines) {
		block->max_lines = 2 * block->count;
		grow((void **)&block->lines, (size_t)block->max_lines * sizeof(*block->lines));
	}
	for (i = 0, at = 0; i < block->count; i++) {
		block->lines[i] = block->text + at;
		at += strlen(block->text + at) + 1;
	}
	if (got > 0)
		return 1;
	return block->count ? -1 : 0;
}

void oracle_block_free(struct oracle_block *block)
{
	free(block->text);
	free(block->lines);
	memset(block, 0, sizeof(*block));
}

static bool same_kind(const char *a, const char *b)
{
	size_t len = strcspn(a, " ");

	return len == strcspn(b, " ") && !strncmp(a, b, len);
}

/* The line of other that corresponds to line at of block, or NULL. */
static const char *counterpart(
	const struct oracle_block *block, int at, const struct oracle_block *other)
{
	const char *line = block->lines[at];
	int nth = 0, i;

	if (at < other->count && !strcmp(line, other->lines[at]))
		return other->lines[at];
	for (i = 0; i < at; i++)
		nth += same_kind(block->lines[i], line);
	for (i = 0; i < other->count; i++)
		if (same_kind(other->lines[i], line) && nth-- == 0)
			return other->lines[i];
	return NULL;
}

static bool has_skip(const struct oracle_block *block)
{
	int i;

	for (i = 0; i < block->count; i++)
		if (same_kind(block->lines[i], "skip"))
			return true;
	return false;
}

/* A bit for each kind of line, so that the shrinker can stay with the kind it began with. */
static unsigned int kind_bit(const char *line)
{
	static const char *const kinds[] = {"op ", "note ", "died ", "perm ", "content ", "vma ",
		"flags ", "rss", "present ", "mincore ", "vmsize ", "vmdata ", "vmlck "};
	unsigned int i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(line, kinds[i], strlen(kinds[i])))
			return 1u << i;
	return 1u << 31;
}

static bool line_excused(const struct oracle_block *native, const char *line)
{
	char field[32];
	int i;

	snprintf(field, sizeof(field), "%.*s", (int)strcspn(line, " "), line);
	for (i = 0; i < native->count; i++)
		if (same_kind(native->lines[i], "note") &&
			oracle_excused(native->lines[i] + 5, field))
			return true;
	return false;
}

static void count_difference(struct oracle_difference *diff, const struct oracle_block *native,
	const char *mine, const char *theirs)
{
	/* a hint to us, and not what a program observes: that it is locked here and not there shows */
	if (same_kind(mine ? mine : theirs, "note"))
		return;
	if (line_excused(native, mine ? mine : theirs)) {
		diff->excused++;
		return;
	}
	diff->kinds |= kind_bit(mine ? mine : theirs);
	if (!diff->differing) {
		diff->first_native = mine;
		diff->first_other = theirs;
	}
	diff->differing++;
}

struct oracle_difference oracle_block_compare(
	const struct oracle_block *native, const struct oracle_block *other)
{
	struct oracle_difference diff = {0};
	int i;

	if (native->len == other->len && !memcmp(native->text, other->text, native->len)) {
		diff.skipped = has_skip(native);
		return diff;
	}
	if (has_skip(native) || has_skip(other)) {
		diff.skipped = true;
		return diff;
	}
	for (i = 0; i < native->count; i++) {
		const char *theirs = counterpart(native, i, other);

		if (!theirs || strcmp(theirs, native->lines[i]))
			count_difference(&diff, native, native->lines[i], theirs);
	}
	for (i = 0; i < other->count; i++)
		if (!counterpart(other, i, native))
			count_difference(&diff, native, NULL, other->lines[i]);
	return diff;
}

/* Both blocks side by side, line by line as they correspond. */
void oracle_block_print(
	const struct oracle_block *native, const struct oracle_block *other, FILE *out)
{
	int i;

	for (i = 0; i < native->count; i++) {
		const char *theirs = counterpart(native, i, other);

		if (theirs && !strcmp(theirs, native->lines[i]))
			fprintf(out, "    both    %s\n", native->lines[i]);
		else
			fprintf(out, "    native  %s\n    other   %s\n", native->lines[i],
				theirs ? theirs : "(nothing)");
	}
	for (i = 0; i < other->count; i++)
		if (!counterpart(other, i, native))
			fprintf(out, "    native  (nothing)\n    other   %s\n", other->lines[i]);
}
