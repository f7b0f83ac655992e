/* SPDX-License-Identifier: MIT */
/*
 * The public structures grow by their size field (libremap.h): remap_stats and remap_probe with the
 * structure of an older program, a newer one, one that is too small, none; and the other errors of
 * remap_probe.
 *
 * The rule: the library writes no byte beyond the size, and leaves alone what it does not know.
 * Needs nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>

#include "emul/features.h"
#include "emul/stats.h"
#include "libremap.h"

#define BIG 512

static union {
	struct remap_stats stats;
	struct remap_feature feature;
	unsigned char bytes[BIG];
} u;

static void fill(uint32_t size)
{
	memset(u.bytes, 0xa5, sizeof(u.bytes));
	memcpy(u.bytes, &size, sizeof(size));
}

static void assert_untouched_from(size_t from)
{
	for (size_t i = from; i < BIG; i++)
		assert_int_equal(u.bytes[i], 0xa5);
}

static void the_layout_is_pinned(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct remap_stats), 8 + 20 * 8);
	assert_int_equal(offsetof(struct remap_stats, undo_failures), 8 + 9 * 8);
	assert_int_equal(sizeof(struct remap_feature), 16 + 5 * sizeof(char *));
	assert_int_equal(offsetof(struct remap_feature, remedy), 16 + 4 * sizeof(char *));
	assert_int_equal(REMAP_UNAVAILABLE, 0);
	assert_int_equal(REMAP_EMULATED, 1);
	assert_int_equal(REMAP_NATIVE, 2);
	assert_int_equal(REMAP_QUIESCE_STOP, 0);
	assert_int_equal(REMAP_QUIESCE_GUARD, 1);
	assert_int_equal(REMAP_QUIESCE_CALLER, 2);
}

static void stats_of_every_size(void **state)
{
	(void)state;
	for (int i = 0; i < RM_STAT_COUNT; i++)
		rm_stat_add(i, 1000 + (uint64_t)i - rm_stat_get(i));
	for (uint32_t size = 0; size < BIG; size++) {
		const uint32_t least = 16;
		const size_t known = size < sizeof(u.stats) ? size : sizeof(u.stats);

		fill(size);
		if (size < least) {
			assert_int_equal(remap_stats(&u.stats), -EINVAL);
			assert_untouched_from(sizeof(uint32_t));
			continue;
		}
		assert_int_equal(remap_stats(&u.stats), 0);
		assert_int_equal(u.stats.size, size);
		assert_int_equal(u.stats.reserved, 0);
		for (size_t i = 0; 8 + 8 * (i + 1) <= known; i++)
			assert_int_equal((&u.stats.native_calls)[i], 1000 + i);
		assert_untouched_from(known);
	}
	assert_int_equal(remap_stats(NULL), -EINVAL);
}

static void stat_max_only_grows(void **state)
{
	(void)state;
	rm_stat_max(RM_STAT_STOP_NS_MAX, 5000);
	assert_int_equal(rm_stat_get(RM_STAT_STOP_NS_MAX), 5000);
	rm_stat_max(RM_STAT_STOP_NS_MAX, 4999);
	assert_int_equal(rm_stat_get(RM_STAT_STOP_NS_MAX), 5000);
	rm_stat_max(RM_STAT_STOP_NS_MAX, UINT64_MAX);
	assert_true(rm_stat_get(RM_STAT_STOP_NS_MAX) == UINT64_MAX);
}

static void probe_of_every_size(void **state)
{
	(void)state;
	for (uint32_t size = 0; size < 120; size++) {
		const size_t known = size < sizeof(u.feature) ? size : sizeof(u.feature);

		fill(size);
		if (size < offsetof(struct remap_feature, name)) {
			assert_int_equal(remap_probe("memfd", 0, &u.feature), -EINVAL);
			assert_untouched_from(sizeof(uint32_t));
			continue;
		}
		assert_int_equal(remap_probe("memfd", 0, &u.feature), 0);
		assert_int_equal(u.feature.size, size);
		assert_int_equal(u.feature.state, REMAP_NATIVE);
		assert_int_equal(u.feature.error, 0);
		assert_int_equal(u.feature.reserved, 0);
		if (size >= offsetof(struct remap_feature, since))
			assert_string_equal(u.feature.name, "memfd");
		if (size >= sizeof(struct remap_feature))
			assert_string_equal(u.feature.remedy, "");
		assert_untouched_from(known);
	}
}

static void probe_names_and_numbers(void **state)
{
	static const char *const unknown[] = {
		"", "dontunmap", "DONTUNMAP-ANON", "memfd ", "dontunmap-anon,"};
	unsigned int count = 0;

	(void)state;
	for (;; count++) {
		struct remap_feature by_index = {.size = sizeof(by_index)};
		struct remap_feature by_name = {.size = sizeof(by_name)};
		int r = remap_probe(NULL, count, &by_index);

		if (r) {
			assert_int_equal(r, -ENOENT);
			break;
		}
		assert_int_equal(remap_probe(by_index.name, 12345, &by_name), 0);
		assert_string_equal(by_name.name, by_index.name);
		assert_int_equal(by_name.state, by_index.state);
		assert_true(*by_index.since != '\0');
		switch (by_index.state) {
		case REMAP_NATIVE:
			assert_int_equal(by_index.error, 0);
			assert_string_equal(by_index.how, "");
			assert_string_equal(by_index.reason, "");
			assert_string_equal(by_index.remedy, "");
			break;
		case REMAP_EMULATED:
			assert_true(*by_index.how && *by_index.reason);
			assert_string_equal(by_index.remedy, "");
			break;
		case REMAP_UNAVAILABLE:
			assert_string_equal(by_index.how, "");
			assert_true(*by_index.reason && *by_index.remedy);
			assert_true(by_index.error > 0);
			break;
		default:
			fail_msg("state %d", by_index.state);
		}
	}
	assert_int_equal(count, RM_FEAT_COUNT);
	fill(sizeof(struct remap_feature));
	for (size_t i = 0; i < RM_ARRAY_LEN(unknown); i++)
		assert_int_equal(remap_probe(unknown[i], 0, &u.feature), -ENOENT);
	assert_int_equal(remap_probe(NULL, UINT32_MAX, &u.feature), -ENOENT);
	assert_untouched_from(sizeof(uint32_t));
	assert_int_equal(remap_probe("memfd", 0, NULL), -EINVAL);
}

/* Probing leaves no mapping and no descriptor behind. */
static void probing_leaves_nothing_behind(void **state)
{
	struct remap_feature feature = {.size = sizeof(feature)};
	char before[200], after[200];
	int fd = dup(0);
	FILE *f;

	(void)state;
	close(fd);
	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; !remap_probe(NULL, i, &feature); i++)
			;
		f = fopen("/proc/self/statm", "re"); /* its first word: pages mapped */
		assert_non_null(f);
		assert_non_null(fgets(round ? after : before, sizeof(after), f));
		fclose(f);
	}
	*strchr(before, ' ') = '\0';
	*strchr(after, ' ') = '\0';
	assert_string_equal(after, before);
	assert_int_equal(dup(0), fd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_layout_is_pinned),
		cmocka_unit_test(stats_of_every_size),
		cmocka_unit_test(stat_max_only_grows),
		cmocka_unit_test(probe_of_every_size),
		cmocka_unit_test(probe_names_and_numbers),
		cmocka_unit_test(probing_leaves_nothing_behind),
	};

	setenv("LIBREMAP_CONF", "native:no", 1);
	return unit_run(tests);
}
