/* SPDX-License-Identifier: MIT */
/*
 * libremap.so loaded by a program that has run for a while: a userfaultfd opened and a thread begun
 * before are found, as are those that a linked library has seen from the start. Prints one line of
 * what happened to the range.
 *
 * Usage: loaded-late LIBRARY. The range is watched with UFFD_FEATURE_SIGBUS, so that a system call
 * which is given a missing page of it says EFAULT and nobody has to answer.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libremap.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define LEN  (8 * PAGE)

static _Atomic unsigned long turns;

/* What the range holds must be there all the time: the thread stands still while it is not. */
static void *read_on(void *range)
{
	for (;;) {
		(void)*(volatile char *)range;
		atomic_fetch_add(&turns, 1);
	}
	return NULL;
}

static const char *ask_kernel(int pipe_end, const char *at)
{
	return write(pipe_end, at, 1) == 1 ? "there"
	       : errno == EFAULT	   ? "missing"
					   : "something else";
}

int main(int argc, char **argv)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	const int flags = REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED | REMAP_MREMAP_DONTUNMAP;
	char *area = mmap(
		NULL, 4 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *range = area + LEN, *other = area + 2 * LEN;
	void *(*move)(void *, size_t, size_t, int, ...);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), ends[2];
	pthread_t thread;
	void *library, *r;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		puts("no userfaultfd");
		return 0;
	}
	memset(area, 'x', 4 * LEN);
	reg.range.start = (uintptr_t)range;
	reg.range.len = LEN;
	if (argc != 2 || pipe(ends) || ioctl(fd, UFFDIO_REGISTER, &reg) ||
		pthread_create(&thread, NULL, read_on, area))
		return 1;
	while (!atomic_load(&turns))
		usleep(100);
	library = dlopen(argv[1], RTLD_NOW);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&move = dlsym(library, "remap_mremap");
	r = move(range, LEN, LEN, flags, other);
	printf("%s, source %s, destination %s and %s", r == other ? "moved" : strerror(errno),
		ask_kernel(ends[1], range), ask_kernel(ends[1], other),
		other[LEN - 1] == 'x' ? "whole" : "not whole");
	/* now what the thread reads */
	r = move(area, PAGE, PAGE, flags, area + 3 * LEN);
	printf("; beside the thread %s\n", r == area + 3 * LEN ? "moved" : strerror(errno));
	return 0;
}
