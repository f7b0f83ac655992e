/* SPDX-License-Identifier: MIT */
/*
 * Where the files of the process's memory cgroup are, from the texts of /proc (emul/cgroup.c):
 * versions 1 and 2, both at once, groups seen through a container's mount, and what leads nowhere.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "emul/cgroup.h"

#define V1_MOUNT "35 30 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory"
#define V2_MOUNT "29 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"

static struct rm_cgroup group;

static bool finds(const char *names, const char *mount)
{
	char line[300];

	snprintf(line, sizeof(line), "%s", mount);
	return rm_cgroup_parse_name(names, &group) && rm_cgroup_parse_mount(line, &group);
}

/* Which folder, and how much of it is the mount point. */
#define assert_found(names, mount, folder, root)                                                   \
	do {                                                                                       \
		assert_true(finds(names, mount));                                                  \
		assert_string_equal(group.path, folder);                                           \
		assert_int_equal(group.len, strlen(folder));                                       \
		assert_int_equal(group.top, strlen(root));                                         \
	} while (0)

static void version_2(void **state)
{
	(void)state;
	assert_found("0::/user.slice/session-1.scope\n", V2_MOUNT,
		"/sys/fs/cgroup/user.slice/session-1.scope", "/sys/fs/cgroup");
	assert_false(group.v1);
	assert_found("0::/\n", V2_MOUNT, "/sys/fs/cgroup", "/sys/fs/cgroup");
}

static void version_1(void **state)
{
	(void)state;
	assert_found("9:name=systemd:/a\n4:memory:/b/c\n0::/d\n", V1_MOUNT,
		"/sys/fs/cgroup/memory/b/c", "/sys/fs/cgroup/memory");
	assert_true(group.v1);
	assert_found("3:cpu,memory,pids:/b\n",
		"35 30 0:31 / /cg rw - cgroup none rw,seclabel,cpu,memory,pids", "/cg/b", "/cg");
}

/* The memory controller is of one version; a word that only contains "memory" is another. */
static void the_right_one_of_several(void **state)
{
	(void)state;
	assert_true(rm_cgroup_parse_name("5:memory2,xmemory:/x\n0::/y\n", &group));
	assert_false(group.v1);
	assert_string_equal(group.path, "/y");
	assert_false(finds("4:memory:/b\n", V2_MOUNT));
	assert_false(finds("0::/b\n", V1_MOUNT));
	assert_false(
		finds("4:memory:/b\n", "38 30 0:35 / /sys/fs/cgroup/pids rw - cgroup c rw,pids"));
}

/* What a container sees of the host's hierarchy begins at the mount's root. */
static void below_a_mounts_root(void **state)
{
	static const char mount[] =
		"40 30 0:31 /docker/1f /sys/fs/cgroup/memory ro - cgroup c rw,memory";

	(void)state;
	assert_found(
		"4:memory:/docker/1f\n", mount, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory");
	assert_found("4:memory:/docker/1f/job\n", mount, "/sys/fs/cgroup/memory/job",
		"/sys/fs/cgroup/memory");
	assert_false(finds("4:memory:/docker/1f2\n", mount));
	assert_false(finds("4:memory:/docker\n", mount));
	assert_false(finds("4:memory:/\n", mount));
}

static void nothing_to_be_found(void **state)
{
	static char longest[RM_CGROUP_PATH + 8];

	(void)state;
	assert_false(rm_cgroup_parse_name("", &group));
	assert_false(rm_cgroup_parse_name("\n\n:\n", &group));
	assert_false(rm_cgroup_parse_name("4:cpu:/a\n", &group));
	assert_false(rm_cgroup_parse_name("0::no-path\n", &group));
	assert_false(finds("0::/a\n", ""));
	assert_false(finds("0::/a\n", "29 22 0:26 / /sys/fs/cgroup rw cgroup2 cgroup2 rw"));
	assert_false(finds("0::/a\n", "29 22 - cgroup2 cgroup2 rw"));
	assert_false(finds("0::/a\n", "29 22 0:26 / /with\\040blank rw - cgroup2 c rw"));
	memset(longest, 'a', sizeof(longest) - 2);
	memcpy(longest, "0::/", 4);
	assert_false(rm_cgroup_parse_name(longest, &group));
	longest[RM_CGROUP_PATH - 2] = '\0';
	assert_true(rm_cgroup_parse_name(longest, &group));
	assert_false(finds(longest, V2_MOUNT));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_2),
		cmocka_unit_test(version_1),
		cmocka_unit_test(the_right_one_of_several),
		cmocka_unit_test(below_a_mounts_root),
		cmocka_unit_test(nothing_to_be_found),
	};

	return unit_run(tests);
}
