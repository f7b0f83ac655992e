/* SPDX-License-Identifier: MIT */
/*
 * What the preload library costs the calls that it does not serve, in nanoseconds.
 *
 * libremap-preload.so is loaded twice into this process, beside libc: once as on a kernel that has
 * the flag, and once, from a copy in a memfd because a library is loaded only once by its inode, as
 * on one that lacks it. Then the same calls go through the three in turn, a batch at a time. All
 * are called through pointers. What a batch needs beforehand and leaves behind (mappings,
 * descriptors) is made and taken away by libc, outside the time.
 *
 * The second one has moved a range before it is measured and keeps what it has learned of it: so a
 * call that it only watches has an entry to look at, as in a program whose collector moves its
 * heap.
 */
#include "tests/bench/costs.h"

#include "emul/known.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libremap.h"

#define BATCH	    500
#define MAX_BATCHES 1000
#define RW	    (PROT_READ | PROT_WRITE)
#define ANON	    (MAP_PRIVATE | MAP_ANONYMOUS)

const char *const door_names[CALL_DOORS] = {
	[DOOR_LIBC] = "libc",
	[DOOR_PASS] = "preload",
	[DOOR_SERVE] = "preload-emulating",
	[DOOR_FILTERED] = "libc-filtered",
};

static struct door_calls doors[DOOR_COUNT];

static const struct {
	const char *name;
	size_t offset; /* in struct door_calls */
} names[] = {
	{"mremap", offsetof(struct door_calls, mremap)},
	{"syscall", offsetof(struct door_calls, syscall)},
	{"mmap", offsetof(struct door_calls, mmap)},
	{"munmap", offsetof(struct door_calls, munmap)},
	{"mprotect", offsetof(struct door_calls, mprotect)},
	{"madvise", offsetof(struct door_calls, madvise)},
	{"mlock", offsetof(struct door_calls, mlock)},
	{"munlock", offsetof(struct door_calls, munlock)},
	{"ioctl", offsetof(struct door_calls, ioctl)},
	{"close", offsetof(struct door_calls, close)},
	{"read", offsetof(struct door_calls, read)},
};

static const char *not_loaded = "libremap-preload.so was not found; see --preload";
static char preload_path[4200];

/* POSIX: an object pointer from dlsym may be a function's. */
static bool find_names(enum door door, void *library)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		void *found = dlsym(library, names[i].name);

		if (!found)
			return false;
		memcpy((char *)&doors[door] + names[i].offset, &found, sizeof(found));
	}
	return true;
}

static bool load(enum door door, const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		not_loaded = dlerror();
		return false;
	}
	if (!find_names(door, library)) {
		not_loaded =
			"the library given as --preload lacks a name that libremap's takes over";
		return false;
	}
	return true;
}

/* A second inode with the same content, as a path. */
static bool copy_to_memfd(const char *path, char *copy, size_t size)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = (int)syscall(SYS_memfd_create, "libremap-preload.so", 1U);
	char buf[65536];
	ssize_t got = -1;

	if (from < 0 || to < 0)
		return false;
	while ((got = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)got) != got)
			return false;
	close(from);
	snprintf(copy, size, "/proc/self/fd/%d", to);
	return got == 0;
}

static void find_preload(char *path, size_t size)
{
	static const char below[] = "/../../.libs/libremap-preload.so"; /* in a build tree */
	char exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	path[0] = '\0';
	if (len <= 0)
		return;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	if (snprintf(path, size, "%s%s", exe, below) >= (int)size || access(path, R_OK))
		path[0] = '\0';
}

/*
 * Leaves LIBREMAP_CONF as the engine linked into this program shall find it: what the user has set,
 * and native:no. To be called before the first call of the engine, which reads it once.
 */
void overhead_load(const char *preload)
{
	const char *set = getenv("LIBREMAP_CONF");
	char conf[512], copy[64];
	bool ok;

	if (snprintf(conf, sizeof(conf), "%s%snative:no", set ? set : "", set && *set ? "," : "") >=
		(int)sizeof(conf))
		die_usage("LIBREMAP_CONF is too long");
	unsetenv("LIBREMAP_DISABLE");
	unsetenv("LIBREMAP_CONF");
	if (!preload)
		find_preload(preload_path, sizeof(preload_path));
	else if (!realpath(preload, preload_path))
		preload_path[0] = '\0';
	ok = *preload_path && load(DOOR_PASS, preload_path);
	setenv("LIBREMAP_CONF", conf, 1);
	/* The ways say what they change (heap.c), so what is learned of a range may be kept. */
	rm_known_watch();
	if (ok && copy_to_memfd(preload_path, copy, sizeof(copy)) && load(DOOR_SERVE, copy))
		not_loaded = NULL;
	if (!find_names(DOOR_LIBC, RTLD_DEFAULT))
		not_loaded = "this libc lacks a name that is to be measured";
}

const char *overhead_preload(const char **why)
{
	*why = not_loaded;
	return not_loaded ? NULL : preload_path;
}

/* --- the calls, a batch each --- */

static char *area; /* three pages; the one in the middle is worked on */
static char *page;
static char *batch[BATCH];
static int fds[BATCH];
static int pipe_fds[2];

static void must(bool good, const char *what)
{
	if (!good)
		die("%s: %s", what, strerror(errno));
}

static void mremap_in_place(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(to->mremap(page, PAGE, PAGE, 0) == page, "mremap of one page in place");
}

static void mremap_refused(const struct door_calls *to)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP;

	for (int i = 0; i < BATCH; i++)
		must(to->mremap(page + 1, PAGE, PAGE, flags, NULL) == MAP_FAILED,
			"mremap of half a page did not fail");
}

static void syscall_getppid(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(to->syscall(SYS_getppid) >= 0, "getppid");
}

static void syscall_madvise(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->syscall(SYS_madvise, page, PAGE, MADV_DONTNEED), "madvise");
}

static void mmap_anywhere(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must((batch[i] = to->mmap(NULL, PAGE, RW, ANON, -1, 0)) != MAP_FAILED, "mmap");
}

static void mmap_fixed(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(to->mmap(page, PAGE, RW, ANON | MAP_FIXED, -1, 0) == page, "mmap, MAP_FIXED");
}

static void munmap_batch(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->munmap(batch[i], PAGE), "munmap");
}

static void mprotect_both(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->mprotect(page, PAGE, i % 2 ? RW : PROT_READ), "mprotect");
}

static void madvise_dontneed(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->madvise(page, PAGE, MADV_DONTNEED), "madvise, DONTNEED");
}

static void madvise_fork(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->madvise(page, PAGE, i % 2 ? MADV_DOFORK : MADV_DONTFORK),
			"madvise, DONTFORK");
}

static void lock_unlock(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i += 2) {
		must(!to->mlock(page, PAGE), "mlock");
		must(!to->munlock(page, PAGE), "munlock");
	}
}

static void ioctl_fionread(const struct door_calls *to)
{
	int bytes;

	for (int i = 0; i < BATCH; i++)
		must(!to->ioctl(pipe_fds[0], FIONREAD, &bytes), "ioctl, FIONREAD");
}

static void read_nothing(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->read(pipe_fds[0], page, 0), "read");
}

static void close_batch(const struct door_calls *to)
{
	for (int i = 0; i < BATCH; i++)
		must(!to->close(fds[i]), "close");
}

/* What stands around a batch. */
static void unmap_all(void)
{
	munmap_batch(&doors[DOOR_LIBC]);
}

static void map_all(void)
{
	mmap_anywhere(&doors[DOOR_LIBC]);
}

static void open_all(void)
{
	for (int i = 0; i < BATCH; i++)
		must((fds[i] = dup(pipe_fds[0])) >= 0, "dup");
}

static bool may_lock(void)
{
	return !mlock(page, PAGE) && !munlock(page, PAGE);
}

static bool may_open(void)
{
	const int fd = fcntl(pipe_fds[0], F_DUPFD, BATCH + 20);

	return fd >= 0 && !close(fd);
}

static const struct {
	const char *name;
	void (*run)(const struct door_calls *to);
	void (*before)(void), (*after)(void);
	bool (*allowed)(void);
} calls[] = {
	{"mremap, one page in place, flags 0", mremap_in_place, NULL, NULL, NULL},
	{"mremap, DONTUNMAP, unaligned: EINVAL", mremap_refused, NULL, NULL, NULL},
	{"mmap, anywhere", mmap_anywhere, NULL, unmap_all, NULL},
	{"mmap, MAP_FIXED", mmap_fixed, NULL, NULL, NULL},
	{"munmap", munmap_batch, map_all, NULL, NULL},
	{"mprotect, read-only and back", mprotect_both, NULL, NULL, NULL},
	{"madvise, DONTNEED", madvise_dontneed, NULL, NULL, NULL},
	{"madvise, DONTFORK and back", madvise_fork, NULL, NULL, NULL},
	{"mlock, munlock", lock_unlock, NULL, NULL, may_lock},
	{"ioctl, FIONREAD of a pipe", ioctl_fionread, NULL, NULL, NULL},
	{"read, 0 bytes of a pipe", read_nothing, NULL, NULL, NULL},
	{"close", close_batch, open_all, NULL, may_open},
	{"syscall(SYS_getppid)", syscall_getppid, NULL, NULL, NULL},
	{"syscall(SYS_madvise), DONTNEED", syscall_madvise, NULL, NULL, NULL},
};

static uint64_t run_batch(size_t c, enum door door)
{
	uint64_t began, ended;

	if (calls[c].before)
		calls[c].before();
	began = now_ns();
	calls[c].run(&doors[door]);
	ended = now_ns();
	if (calls[c].after)
		calls[c].after();
	return ended - began;
}

static uint64_t run_libc_batch(size_t call)
{
	return run_batch(call, DOOR_LIBC);
}

static uint64_t run_door(size_t c, enum door door)
{
	return door == DOOR_FILTERED ? filtered_run(c) : run_batch(c, door);
}

static int compare_differences(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double median_difference(const uint64_t *samples, const uint64_t *base, size_t count)
{
	int64_t *differences = calloc(count, sizeof(*differences));
	double median;

	if (!differences)
		die("out of memory");
	for (size_t i = 0; i < count; i++)
		differences[i] = (int64_t)(samples[i] - base[i]);
	qsort(differences, count, sizeof(*differences), compare_differences);
	median = (double)differences[count / 2];
	free(differences);
	return median;
}

static json_t *measure_call(size_t c, const struct effort *effort, unsigned int count)
{
	static uint64_t samples[CALL_DOORS][MAX_BATCHES];
	json_t *row = json_pack("{s:s}", "call", calls[c].name);
	double added[CALL_DOORS];

	for (unsigned int door = 0; door < count; door++)
		run_door(c, (enum door)door); /* once for the caches */
	for (unsigned int i = 0; i < effort->batches; i++)
		for (unsigned int d = 0; d < count; d++) {
			const enum door door = (i + d) % count;

			samples[door][i] = run_door(c, door);
		}
	for (unsigned int door = 0; door < count; door++)
		added[door] = median_difference(samples[door], samples[0], effort->batches) / BATCH;
	for (unsigned int door = 0; door < count; door++) {
		json_t *result;

		for (unsigned int i = 0; i < effort->batches; i++)
			samples[door][i] /= BATCH;
		result = summarize(samples[door], effort->batches);
		if (door)
			json_object_set_new(result, "added_ns", json_real(added[door]));
		json_object_set_new(row, door_names[door], result);
	}
	return row;
}

/* A range that the emulating one has moved, and knows. Everything else is measured beside it. */
static void let_it_learn(void)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP | REMAP_MREMAP_FIXED;
	char *known = mmap(NULL, 4 * PAGE, PROT_NONE, ANON, -1, 0);

	must(known != MAP_FAILED && !mprotect(known, PAGE, RW), "mmap");
	*known = 1;
	must(doors[DOOR_SERVE].mremap(known, PAGE, PAGE, flags, known + 2 * PAGE) != MAP_FAILED,
		"moving a page through the preload");
}

json_t *overhead_measure(const struct effort *effort, const char **why)
{
	unsigned int count;
	json_t *result;

	*why = not_loaded;
	if (not_loaded)
		return NULL;
	area = mmap(NULL, 3 * PAGE, PROT_NONE, ANON, -1, 0);
	must(area != MAP_FAILED && !pipe(pipe_fds), "one page and a pipe");
	page = area + PAGE;
	must(!mprotect(page, PAGE, RW), "mprotect");
	let_it_learn();
	count = filtered_start(run_libc_batch) ? CALL_DOORS : DOOR_COUNT;
	result = json_array();
	for (size_t c = 0; c < sizeof(calls) / sizeof(*calls); c++)
		if (!calls[c].allowed || calls[c].allowed())
			json_array_append_new(result, measure_call(c, effort, count));
	if (count == CALL_DOORS)
		filtered_end();
	munmap(area, 3 * PAGE);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return result;
}
