/* SPDX-License-Identifier: MIT */
/*
 * Room in the process's memory cgroup, where pages are about to be charged to it.
 */
#ifndef RM_CGROUP_H
#define RM_CGROUP_H

#include "emul/types.h"

#define RM_CGROUP_PATH 4096

/* Which group the process is in, and where its files are. */
struct rm_cgroup {
	bool v1;    /* a hierarchy of version 1 has the memory controller */
	size_t top; /* bytes of path that are the mount point: the topmost group's */
	size_t len; /* bytes of path that are the group's folder */
	char path[RM_CGROUP_PATH];
};

/* Scratch, in the world page: large for a stack. */
struct rm_cgroup_scratch {
	struct rm_cgroup group;
	char text[8192];
};

/*
 * False: the group, or one above it, can not hold another need bytes, whatever else it lets go of.
 * True if it may, if there is none, or if its files can not be read. A few system calls; no libc.
 */
bool rm_cgroup_may_hold(struct rm_cgroup_scratch *scratch, size_t need);

/*
 * Pure, for the unit tests. The group's name within its hierarchy, from the text of
 * /proc/self/cgroup, into path; false if no hierarchy has the memory controller.
 */
bool rm_cgroup_parse_name(const char *text, struct rm_cgroup *group);
/*
 * Pure. line (it is changed) is one of /proc/self/mountinfo: if it is where the group that was
 * named is to be seen, path becomes its folder.
 */
bool rm_cgroup_parse_mount(char *line, struct rm_cgroup *group);

#endif
