/* SPDX-License-Identifier: MIT */
/*
 * What this kernel can do, each feature found out by doing it on a throw-away mapping.
 *
 * Never by version: distributions port features back and filters take them away (STYLE: "EPERM is
 * not too old"). Each row of the table is a feature: how it is tried, which kernel has it, what
 * libremap does instead. The answers that the engine itself acts on are kept after the first time;
 * remap_probe() asks again each time, as it is for people. No probe uses old_size 0 on private
 * memory, which would put a warning into the kernel's log (E8).
 *
 * native:no in LIBREMAP_CONF makes the engine take DONTUNMAP for missing; the answers say so.
 */
#include "emul/features.h"

#include <errno.h>
#include <linux/memfd.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <string.h>

#include "emul/conf.h"
#include "emul/guard.h"
#include "emul/log.h"
#include "emul/procmaps.h"
#include "emul/quiesce.h"
#include "emul/sys.h"
#include "emul/world.h"
#include "libremap.h"

#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#endif
#define SECCOMP_GET_ACTION_AVAIL_OP 2
#define UFFD_USER_MODE_ONLY_FLAG    1
#define FEATURE_WP		    (1ULL << 0)
#define FEATURE_MINOR		    ((1ULL << 9) | (1ULL << 10))
#define FEATURE_MOVE		    (1ULL << 16)
/* _IOWR('f', 17, struct procmap_query) of 6.11; the structure is 104 bytes */
#define PROCMAP_QUERY_OP 0xc0686611UL

/* DONTUNMAP on one page of that kind: 0 and the kernel did it right, or -errno. */
static int try_dontunmap(int map_flags, int fd)
{
	const size_t len = rm_page_size();
	const long area = rm_map_own(2 * len, PROT_NONE);
	long old, new;
	int r = -EINVAL;

	if (rm_is_err(area))
		return (int)area;
	old = rm_sys_mmap(
		(uintptr_t)area, len, PROT_READ | PROT_WRITE, map_flags | MAP_FIXED, fd, 0);
	if (rm_is_err(old)) {
		rm_sys_munmap((uintptr_t)area, 2 * len);
		return (int)old;
	}
	*(volatile char *)old = 'x';
	new = rm_sys_mremap((uintptr_t)old, len, len, RM_MAYMOVE | RM_FIXED | RM_DONTUNMAP,
		(uintptr_t)area + len);
	if (rm_is_err(new)) {
		r = (int)new;
	} else {
		/* the page is at the new place; at the old one there is the object's own content */
		if (*(volatile char *)new == 'x' &&
			*(volatile char *)old == (map_flags & MAP_SHARED ? 'x' : 0))
			r = 0;
	}
	rm_sys_munmap((uintptr_t)area, 2 * len);
	return r;
}

static int try_anon(void)
{
	return try_dontunmap(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int try_shared(void)
{
	return try_dontunmap(MAP_SHARED | MAP_ANONYMOUS, -1);
}

static int try_file(void)
{
	long fd = rm_sys_memfd_create("remap-probe", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return (int)fd;
	r = (int)rm_sys_ftruncate((int)fd, (long)rm_page_size());
	if (!r)
		r = try_dontunmap(MAP_PRIVATE, (int)fd);
	rm_sys_close((int)fd);
	return r;
}

/* Flags beyond the kernel's own, on a page that may go anywhere. */
static int try_flag(unsigned long flag)
{
	const size_t len = rm_page_size();
	long p = rm_map_own(len, PROT_READ), r;

	if (rm_is_err(p))
		return (int)p;
	r = rm_sys_mremap((uintptr_t)p, len, len, RM_MAYMOVE | flag, 0);
	rm_sys_munmap((uintptr_t)(rm_is_err(r) ? p : r), len);
	return rm_is_err(r) ? (int)r : 0;
}

static int try_mirror(void)
{
	return try_flag(1UL << 24);
}

static int try_relocate(void)
{
	return try_flag(8);
}

static int try_multi_vma(void)
{
	const size_t page = rm_page_size();
	long area = rm_map_own(4 * page, PROT_NONE), r;

	if (rm_is_err(area))
		return (int)area;
	r = rm_sys_mprotect((uintptr_t)area, page, PROT_READ);
	if (!r)
		r = rm_sys_mremap((uintptr_t)area, 2 * page, 2 * page, RM_MAYMOVE | RM_FIXED,
			(uintptr_t)area + 2 * page);
	rm_sys_munmap((uintptr_t)area, 4 * page);
	return rm_is_err(r) ? (int)r : 0;
}

/*
 * A call that changes nothing, at an address where nothing is mapped: -EFAULT from 5.16 on, before
 * that success.
 */
static int try_noop_at_hole(void)
{
	const size_t page = rm_page_size();
	long p = rm_map_own(page, PROT_NONE), r;

	if (rm_is_err(p))
		return (int)p;
	rm_sys_munmap((uintptr_t)p, page);
	/* Should another thread have mapped something there meanwhile, nothing happens to it. */
	r = rm_sys_mremap((uintptr_t)p, page, page, 0, 0);
	return rm_is_err(r) ? (int)r : 0;
}

static long open_userfaultfd(void)
{
	long fd = rm_syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0);

	if (fd == -EPERM)
		fd = rm_syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY_FLAG,
			0, 0, 0, 0, 0);
	return rm_fd_aside(fd);
}

static int try_userfaultfd(void)
{
	long fd = rm_fd_aside(
		rm_syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0));

	if (fd < 0)
		return (int)fd;
	rm_sys_close((int)fd);
	return 0;
}

static int try_userfaultfd_feature(uint64_t bits)
{
	struct uffdio_api api;
	long fd = open_userfaultfd(), r;

	if (fd < 0)
		return (int)fd;
	memset(&api, 0, sizeof(api));
	api.api = UFFD_API;
	r = rm_sys_ioctl((int)fd, UFFDIO_API, &api);
	rm_sys_close((int)fd);
	if (r)
		return (int)r;
	return (api.features & bits) == bits ? 0 : -EINVAL;
}

static int try_wp(void)
{
	return try_userfaultfd_feature(FEATURE_WP);
}

static int try_minor(void)
{
	return try_userfaultfd_feature(FEATURE_MINOR);
}

static int try_uffd_move(void)
{
	return try_userfaultfd_feature(FEATURE_MOVE);
}

bool rm_features_uffd_move(void)
{
	return !try_uffd_move();
}

static int try_notify(void)
{
	uint32_t action = SECCOMP_RET_USER_NOTIF;

	return (int)rm_syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL_OP, 0, (long)&action, 0, 0, 0);
}

static int try_memfd(void)
{
	long fd = rm_sys_memfd_create("remap-probe", MFD_CLOEXEC);

	if (fd < 0)
		return (int)fd;
	rm_sys_close((int)fd);
	return 0;
}

static int try_procmap_query(void)
{
	uint64_t query[13] = {sizeof(query), 0, (uintptr_t)&query};
	long fd = rm_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0), r;

	if (fd < 0)
		return (int)fd;
	r = rm_sys_ioctl((int)fd, PROCMAP_QUERY_OP, query);
	rm_sys_close((int)fd);
	return (int)r;
}

/* Whether anything can be emulated: 0, or -errno of the /proc file that is missing. */
static int try_emulation(void)
{
	long fd = rm_sys_open("/proc/thread-self/smaps", O_RDONLY | O_CLOEXEC, 0);
	int threads = rm_quiesce_count_threads();

	if (fd < 0)
		return (int)fd;
	rm_sys_close((int)fd);
	return threads < 0 ? threads : 0;
}

#define NEEDS_PROC                                                                                 \
	"mount /proc: without /proc/self/smaps and /proc/self/task nothing can be emulated"

static const struct feature_row {
	const char *name, *since;
	int (*try_it)(void);
	const char *how;    /* libremap's own way; NULL: it has none */
	const char *remedy; /* if there is no way at all */
	bool dontunmap;	    /* native:no applies */
	int (*needs)(void); /* what its own way takes beside /proc: 0 or -errno; NULL: nothing */
} rows[RM_FEAT_COUNT] = {
	[RM_FEAT_DONTUNMAP_ANON] = {"dontunmap-anon", "5.7", try_anon,
		"twin mapping and two moves, other threads stopped meanwhile", NEEDS_PROC, true,
		NULL},
	[RM_FEAT_DONTUNMAP_SHARED] = {"dontunmap-shared", "5.13", try_shared,
		"twin view (old_size 0) and two moves, other threads stopped meanwhile", NEEDS_PROC,
		true, NULL},
	[RM_FEAT_DONTUNMAP_FILE] = {"dontunmap-file", "5.13", try_file,
		"twin mapping of the file, opened again, and two moves, other threads stopped",
		NEEDS_PROC, true, NULL},
	[RM_FEAT_MIRROR] = {"mirror", "never merged", try_mirror,
		"a second view (old_size 0); huge pages: a second mapping of their file; private "
		"memory is made shared, other threads stopped meanwhile",
		NEEDS_PROC, false, NULL},
	[RM_FEAT_RELOCATE_ANON] = {"relocate-anon", "never merged", try_relocate,
		"UFFDIO_MOVE into a fresh mapping, other threads stopped meanwhile",
		"a kernel from 6.8 on that allows userfaultfd; until then the flag is an ordinary "
		"move, and MUST_RELOCATE_ANON fails with EFAULT for what was touched",
		false, try_uffd_move},
	[RM_FEAT_MULTI_VMA_MOVE] = {"multi-vma-move", "6.17", try_multi_vma,
		"mapping by mapping, other threads stopped meanwhile", NEEDS_PROC, true, NULL},
	[RM_FEAT_USERFAULTFD] = {"userfaultfd", "4.3", try_userfaultfd, NULL,
		"sysctl vm.unprivileged_userfaultfd=1, CAP_SYS_PTRACE, or UFFD_USER_MODE_ONLY",
		false, NULL},
	[RM_FEAT_USERFAULTFD_WP] = {"userfaultfd-wp", "5.7", try_wp, NULL, "a newer kernel", false,
		NULL},
	[RM_FEAT_USERFAULTFD_MINOR] = {"userfaultfd-minor", "5.14", try_minor, NULL,
		"a newer kernel", false, NULL},
	[RM_FEAT_USERFAULTFD_MOVE] = {"userfaultfd-move", "6.8", try_uffd_move, NULL,
		"a newer kernel", false, NULL},
	[RM_FEAT_SECCOMP_NOTIFY] = {"seccomp-notify", "5.0", try_notify, NULL, "a newer kernel",
		false, NULL},
	[RM_FEAT_MEMFD] = {"memfd", "3.17", try_memfd, NULL,
		"a kernel with CONFIG_MEMFD_CREATE, or a filter that allows memfd_create", false,
		NULL},
	[RM_FEAT_PROCMAP_QUERY] = {"procmap-query", "6.11", try_procmap_query, NULL,
		"nothing is needed: /proc/self/maps is read instead", false, NULL},
};

/* TASK_SIZE of this kernel and process: whether the page at the classic limit can be mapped. */
static uintptr_t find_task_size(void)
{
#if defined(__x86_64__)
	const uintptr_t classic = (1UL << 47) - 4096, large = (1UL << 56) - 4096,
			beyond = 1UL << 47;
#else
	const uintptr_t classic = 1UL << 48, large = 1UL << 52, beyond = 1UL << 48;
#endif
	const size_t page = rm_page_size();
	long p = rm_sys_mmap(beyond, page, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == -EEXIST)
		return large;
	if (rm_is_err(p))
		return classic;
	rm_sys_munmap((uintptr_t)p, page);
	return (uintptr_t)p == beyond ? large : classic;
}

const struct rm_features *rm_features_away(struct rm_range avoid)
{
	static struct rm_features features;
	static _Atomic int ready;
	struct rm_features found = {0};

	if (atomic_load_explicit(&ready, memory_order_acquire))
		return &features;
	/* Two threads may come here at once: both find the same and write the same. */
	found.native_anon = rm_conf()->native && !try_anon();
	found.native_shared = rm_conf()->native && !try_shared();
	found.native_file = rm_conf()->native && !try_file();
	found.native_multi = rm_conf()->native && !try_multi_vma();
	found.native_lookup = rm_conf()->native && try_noop_at_hole() == -EFAULT;
	found.task_size = find_task_size();
	rm_quiesce_default_mode(rm_conf()->quiesce);
	features = found;
	if (!rm_features_all_native(&found))
		rm_world_prepare(avoid); /* now, so that no later call makes the process grow */
	atomic_store_explicit(&ready, 1, memory_order_release);
	if (!rm_features_all_native(&found) && rm_quiesce_mode() == REMAP_QUIESCE_GUARD)
		rm_guard_prepare();
	rm_log(RM_LOG_INFO, "native DONTUNMAP: anon %d shared %d file %d", found.native_anon,
		found.native_shared, found.native_file);
	return &features;
}

const struct rm_features *rm_features(void)
{
	return rm_features_away((struct rm_range){0, 0});
}

static const char *reason_for(const struct feature_row *row, int error)
{
	if (row->dontunmap && !error)
		return "the kernel has it, but native:no is set";
	switch (error) {
	case -EPERM:
	case -EACCES:
		return "not permitted here: a sysctl, a capability or a filter";
	case -ENOSYS:
		return "the kernel has no such system call, or a filter hides it";
	case -ENOENT:
		return "/proc is not mounted";
	default:
		return row->how || !strcmp(row->since, "never merged")
			       ? "the kernel does not know the flag here"
			       : "the kernel is older than that, or a filter hides it";
	}
}

int remap_probe(const char *name, unsigned int index, struct remap_feature *feature)
{
	struct remap_feature f;
	const struct feature_row *row;
	int error;

	if (!feature || feature->size < offsetof(struct remap_feature, name))
		return -EINVAL;
	if (name)
		for (index = 0; index < RM_FEAT_COUNT && strcmp(name, rows[index].name); index++)
			;
	if (index >= RM_FEAT_COUNT)
		return -ENOENT;
	row = &rows[index];
	error = row->try_it();
	memset(&f, 0, sizeof(f));
	f.size = feature->size;
	f.error = -error;
	f.name = row->name;
	f.since = row->since;
	f.how = f.reason = f.remedy = "";
	if (!error && (!row->dontunmap || rm_conf()->native)) {
		f.state = REMAP_NATIVE;
	} else {
		int missing = row->how ? try_emulation() : 0;

		f.reason = reason_for(row, error);
		if (!missing && row->how && row->needs) {
			missing = row->needs();
			if (missing)
				f.reason = missing == -EINVAL ? "the kernel has no UFFDIO_MOVE "
								"(6.8), or a filter hides it"
							      : "userfaultfd is not permitted here";
		}
		if (row->how && !missing) {
			f.state = REMAP_EMULATED;
			f.how = row->how;
		} else {
			f.state = REMAP_UNAVAILABLE;
			f.remedy = row->remedy;
		}
	}
	memcpy(feature, &f, f.size < sizeof(f) ? f.size : sizeof(f));
	return 0;
}
