/* SPDX-License-Identifier: MIT */
/*
 * Room in the process's memory cgroup (DESIGN 5, semantics.md B6).
 *
 * A group that is full makes a page fault, a write(2) or a MADV_POPULATE_WRITE end in the OOM
 * killer (from 4.19 on also where it is a system call that charges), and nothing reserves within a
 * group. So what its files say is added up: the limit less the use, and what the kernel can take
 * back before it kills: pages of files (lazily freed ones are on the same lists), reclaimable slab,
 * swap, and what each processor has charged in advance (64 pages, MEMCG_CHARGE_BATCH). "No room"
 * is said only if all of that is not enough. The group itself and those above it count.
 *
 * It can err in both ways, and tells of that here and in remap(7): file pages that are dirty,
 * locked or in use are counted, and what needs them may end as any write of a full group's; the
 * unused parts of huge pages, which the kernel splits for want of memory, are not, and a
 * conversion that would fit then is refused.
 *
 * Version 1 and 2, by what /proc/self/cgroup and mountinfo show; in a container that has its own
 * view of the hierarchy, the groups that it can see. What can not be read has room.
 */
#include "emul/cgroup.h"

#include <string.h>
#include <sys/sysinfo.h>

#include "emul/sys.h"
#include "emul/world.h"

#define UNLIMITED ((uint64_t)-1)
/* of each processor: MEMCG_CHARGE_BATCH pages */
#define BATCH 64

/* At most size - 1 bytes of the file, as a string. */
static bool read_text(const char *path, char *text, size_t size)
{
	long fd = rm_sys_open(path, O_RDONLY | O_CLOEXEC, 0), got;
	size_t len = 0;

	if (fd < 0)
		return false;
	do {
		got = rm_sys_read((int)fd, text + len, size - 1 - len);
		len += got > 0 ? (size_t)got : 0;
	} while (got > 0 && len < size - 1);
	rm_sys_close((int)fd);
	text[len] = '\0';
	return len;
}

/* Decimal; what is none is no limit ("max"). */
static uint64_t number(const char *text)
{
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return UNLIMITED;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* Whether name is one of list, which commas separate and stop ends. */
static bool is_listed(const char *list, char stop, const char *name)
{
	const size_t len = strlen(name);

	while (*list && *list != stop) {
		size_t n = strcspn(list, ",: \n");

		if (n == len && !memcmp(list, name, len))
			return true;
		list += n;
		if (*list == ',')
			list++;
		else
			break;
	}
	return false;
}

static bool set_path(struct rm_cgroup *group, const char *text, size_t len)
{
	if (!len || *text != '/' || len >= sizeof(group->path))
		return false;
	memmove(group->path, text, len);
	group->path[len] = '\0';
	group->len = len;
	return true;
}

/* Lines are ID:CONTROLLERS:PATH; version 2 has "0::PATH". */
bool rm_cgroup_parse_name(const char *text, struct rm_cgroup *group)
{
	const char *found = NULL;

	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		const char *list = strchr(line, ':'), *path;

		end = line + strcspn(line, "\n");
		path = list ? strchr(list + 1, ':') : NULL;
		if (!path || path > end)
			continue;
		if (is_listed(list + 1, ':', "memory")) {
			group->v1 = true;
			found = path + 1;
			break;
		}
		if (path == list + 1) {
			group->v1 = false;
			found = path + 1;
		}
	}
	return found && set_path(group, found, strcspn(found, "\n"));
}

/* The next word of *at, which spaces separate; it is ended there. */
static char *word(char **at)
{
	char *start = *at, *end = start + strcspn(start, " ");

	*at = *end ? end + 1 : end;
	*end = '\0';
	return start;
}

/*
 * ID PARENT DEV ROOT MOUNT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS: the folder is MOUNT and
 * what the name has beyond ROOT. A mount point with a blank in it is shown with a backslash: then
 * it is not one that we find.
 */
bool rm_cgroup_parse_mount(char *line, struct rm_cgroup *group)
{
	char *root, *mount, *type, *separator = strstr(line, " - ");
	size_t root_len, mount_len, rest;

	if (!separator)
		return false;
	*separator = '\0';
	separator += 3;
	type = word(&separator);
	(void)word(&separator);
	if (group->v1 ? strcmp(type, "cgroup") || !is_listed(separator, ' ', "memory")
		      : strcmp(type, "cgroup2"))
		return false;
	for (int i = 0; i < 3; i++)
		(void)word(&line);
	root = word(&line);
	mount = word(&line);
	root_len = strcmp(root, "/") ? strlen(root) : 0;
	mount_len = strlen(mount);
	if (*mount != '/' || strchr(mount, '\\') || strncmp(group->path, root, root_len) ||
		(group->path[root_len] && group->path[root_len] != '/'))
		return false;
	rest = group->len - root_len;
	if (rest == 1) /* "/" */
		rest = 0;
	if (mount_len + rest >= sizeof(group->path))
		return false;
	memmove(group->path + mount_len, group->path + root_len, rest);
	memcpy(group->path, mount, mount_len);
	group->top = mount_len;
	group->len = mount_len + rest;
	group->path[group->len] = '\0';
	return true;
}

static bool find_mount(struct rm_cgroup_scratch *scratch)
{
	char *text = scratch->text;
	const size_t size = sizeof(scratch->text);
	long fd = rm_sys_open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC, 0), got;
	size_t filled = 0;
	bool found = false;

	if (fd < 0)
		return false;
	while (!found) {
		char *line = text, *end;

		got = rm_sys_read((int)fd, text + filled, size - 1 - filled);
		if (got <= 0)
			break;
		filled += (size_t)got;
		text[filled] = '\0';
		while (!found && (end = strchr(line, '\n'))) {
			*end = '\0';
			found = rm_cgroup_parse_mount(line, &scratch->group);
			line = end + 1;
		}
		/* a line longer than all of it is none of ours */
		filled = line == text ? 0 : strlen(line);
		memmove(text, line, filled);
	}
	rm_sys_close((int)fd);
	return found;
}

/* A file of the group's folder, as a string in text. */
static bool read_file(struct rm_cgroup_scratch *scratch, const char *name)
{
	struct rm_cgroup *group = &scratch->group;
	const size_t len = strlen(name);
	bool good;

	if (group->len + 1 + len >= sizeof(group->path))
		return false;
	group->path[group->len] = '/';
	memcpy(group->path + group->len + 1, name, len + 1);
	good = read_text(group->path, scratch->text, sizeof(scratch->text));
	group->path[group->len] = '\0';
	return good;
}

/* The number in a file of the group; what can not be read is other. */
static uint64_t number_of(struct rm_cgroup_scratch *scratch, const char *name, uint64_t other)
{
	return read_file(scratch, name) ? number(scratch->text) : other;
}

/* How far use is below the limit of these two files. */
static uint64_t headroom(struct rm_cgroup_scratch *scratch, const char *limit, const char *use)
{
	const uint64_t most = number_of(scratch, limit, UNLIMITED),
		       now = most == UNLIMITED ? 0 : number_of(scratch, use, 0);

	return most == UNLIMITED ? UNLIMITED : most > now ? most - now : 0;
}

/* The sum of those lines of memory.stat, "NAME NUMBER", that are named. */
static uint64_t sum_of(const char *text, const char *const names[], size_t n)
{
	uint64_t sum = 0;

	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		const char *blank = strchr(line, ' ');

		end = line + strcspn(line, "\n");
		for (size_t i = 0; blank && blank < end && i < n; i++)
			if (strlen(names[i]) == (size_t)(blank - line) &&
				!memcmp(line, names[i], (size_t)(blank - line)))
				sum += number(blank + 1);
	}
	return sum;
}

/* What the kernel can take back from the group without killing: pages of files, slab, batches. */
static uint64_t reclaimable(struct rm_cgroup_scratch *scratch, unsigned int cpus)
{
	static const char *const names[] = {"inactive_file", "active_file", "slab_reclaimable"};
	static const char *const names_v1[] = {"total_inactive_file", "total_active_file"};
	uint64_t sum = (uint64_t)cpus * BATCH * rm_page_size();

	if (scratch->group.v1)
		sum += number_of(scratch, "memory.kmem.usage_in_bytes", 0);
	if (read_file(scratch, "memory.stat"))
		sum += scratch->group.v1 ? sum_of(scratch->text, names_v1, RM_ARRAY_LEN(names_v1))
					 : sum_of(scratch->text, names, RM_ARRAY_LEN(names));
	return sum;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the machine has of swap. */
static uint64_t free_swap(void)
{
	struct sysinfo info;

	if (rm_syscall(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0))
		return 0;
	return (uint64_t)info.freeswap * info.mem_unit;
}

/* Whether this one group may hold need more. */
static bool may_hold(struct rm_cgroup_scratch *scratch, uint64_t need, unsigned int cpus)
{
	uint64_t room, both = UNLIMITED, swap, back;

	if (scratch->group.v1) {
		room = headroom(scratch, "memory.limit_in_bytes", "memory.usage_in_bytes");
		/* memory and swap together */
		both = headroom(
			scratch, "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
		swap = room >= need ? 0 : free_swap();
	} else {
		room = headroom(scratch, "memory.max", "memory.current");
		swap = room >= need ? 0
				    : least(free_swap(), headroom(scratch, "memory.swap.max",
								 "memory.swap.current"));
	}
	if (least(room, both) >= need)
		return true;
	back = reclaimable(scratch, cpus);
	return room + swap + back >= need && (both == UNLIMITED || both + back >= need);
}

/* To the group above, if it counts what is below it; false if there is none to be seen. */
static bool go_up(struct rm_cgroup_scratch *scratch)
{
	struct rm_cgroup *group = &scratch->group;

	do {
		if (group->len <= group->top)
			return false;
	} while (group->path[--group->len] != '/');
	group->path[group->len] = '\0';
	return !group->v1 || number_of(scratch, "memory.use_hierarchy", 1);
}

static unsigned int count_cpus(void)
{
	unsigned long mask[128] = {0}; /* 8,192 processors */
	unsigned int n = 0;
	long len = rm_syscall(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask, 0, 0, 0);

	for (long i = 0; i < len / (long)sizeof(*mask); i++)
		n += (unsigned int)__builtin_popcountl(mask[i]);
	return n;
}

bool rm_cgroup_may_hold(struct rm_cgroup_scratch *scratch, size_t need)
{
	const unsigned int cpus = count_cpus();

	if (!read_text("/proc/thread-self/cgroup", scratch->text, sizeof(scratch->text)) ||
		!rm_cgroup_parse_name(scratch->text, &scratch->group) || !find_mount(scratch))
		return true;
	do {
		if (!may_hold(scratch, need, cpus))
			return false;
	} while (go_up(scratch));
	return true;
}
