/* SPDX-License-Identifier: MIT */
/*
 * What the preload library costs the calls that it does not serve, in nanoseconds.
 *
 * libremap-preload.so is loaded twice into this process, beside libc: once as on a kernel that has the flag, and once, from a
 * copy in a memfd because a library is loaded only once by its inode, as on one that lacks it. Then the same calls
 * go through the three in turn, a batch at a time. All are called through pointers.
 */
#include "tests/bench/bench.h"

#include "emul/known.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libremap.h"

#define BATCH	    1000
#define MAX_BATCHES 1000

enum door { DOOR_LIBC, DOOR_PASS, DOOR_SERVE, DOOR_COUNT };

static const char *const door_names[DOOR_COUNT] = {
	[DOOR_LIBC] = "libc",
	[DOOR_PASS] = "preload",
	[DOOR_SERVE] = "preload-emulating",
};

static struct {
	void *(*mremap)(void *, size_t, size_t, int, ...);
	long (*syscall)(long, ...);
} doors[DOOR_COUNT];

static const char *not_loaded = "libremap-preload.so was not found; see --preload";

static bool load(enum door door, const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *mremap_name, *syscall_name;

	if (!library) {
		not_loaded = dlerror();
		return false;
	}
	mremap_name = dlsym(library, "mremap");
	syscall_name = dlsym(library, "syscall");
	if (!mremap_name || !syscall_name) {
		not_loaded = "the library given as --preload has no mremap or no syscall";
		return false;
	}
	/* POSIX: an object pointer from dlsym may be a function's. */
	memcpy(&doors[door].mremap, &mremap_name, sizeof(mremap_name));
	memcpy(&doors[door].syscall, &syscall_name, sizeof(syscall_name));
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
 * Leaves LIBREMAP_CONF as the engine linked into this program shall find it: what the user has set, and native:no.
 * To be called before the first call of the engine, which reads it once.
 */
void overhead_load(const char *preload)
{
	const char *set = getenv("LIBREMAP_CONF");
	char conf[512], found[4200], copy[64];
	bool ok;

	if (snprintf(conf, sizeof(conf), "%s%snative:no", set ? set : "", set && *set ? "," : "") >=
		(int)sizeof(conf))
		die_usage("LIBREMAP_CONF is too long");
	unsetenv("LIBREMAP_DISABLE");
	unsetenv("LIBREMAP_CONF");
	if (!preload) {
		find_preload(found, sizeof(found));
		preload = found;
	}
	ok = *preload && load(DOOR_PASS, preload);
	setenv("LIBREMAP_CONF", conf, 1);
	/* The ways say what they change (heap.c), so what is learned of a range may be kept. */
	rm_known_watch();
	if (ok && copy_to_memfd(preload, copy, sizeof(copy)) && load(DOOR_SERVE, copy))
		not_loaded = NULL;
	doors[DOOR_LIBC].mremap = mremap;
	doors[DOOR_LIBC].syscall = syscall;
}

static char *page;

static void call_in_place(enum door door)
{
	for (int i = 0; i < BATCH; i++)
		if (doors[door].mremap(page, PAGE, PAGE, 0) != page)
			die("mremap of one page in place: %s", strerror(errno));
}

static void call_refused(enum door door)
{
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_DONTUNMAP;

	for (int i = 0; i < BATCH; i++)
		if (doors[door].mremap(page + 1, PAGE, PAGE, flags, NULL) != MAP_FAILED)
			die("mremap of half a page did not fail");
}

static void call_getppid(enum door door)
{
	for (int i = 0; i < BATCH; i++)
		if (doors[door].syscall(SYS_getppid) < 0)
			die("getppid: %s", strerror(errno));
}

static const struct {
	const char *name;
	void (*run)(enum door door);
} calls[] = {
	{"mremap, one page in place, flags 0", call_in_place},
	{"mremap, DONTUNMAP, unaligned: EINVAL", call_refused},
	{"syscall(SYS_getppid)", call_getppid},
};

json_t *overhead_measure(const struct effort *effort, const char **why)
{
	static uint64_t samples[DOOR_COUNT][MAX_BATCHES];
	json_t *result;

	*why = not_loaded;
	if (not_loaded)
		return NULL;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		die("not one page of memory: %s", strerror(errno));
	result = json_array();
	for (size_t c = 0; c < sizeof(calls) / sizeof(*calls); c++) {
		json_t *row = json_pack("{s:s}", "call", calls[c].name);

		for (int door = 0; door < DOOR_COUNT; door++)
			calls[c].run(door); /* once for the caches */
		for (unsigned int i = 0; i < effort->batches; i++)
			for (unsigned int d = 0; d < DOOR_COUNT; d++) {
				const enum door door = (i + d) % DOOR_COUNT;
				const uint64_t began = now_ns();

				calls[c].run(door);
				samples[door][i] = (now_ns() - began) / BATCH;
			}
		for (int door = 0; door < DOOR_COUNT; door++)
			json_object_set_new(
				row, door_names[door], summarize(samples[door], effort->batches));
		json_array_append_new(result, row);
	}
	munmap(page, PAGE);
	return result;
}
