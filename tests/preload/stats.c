/* SPDX-License-Identifier: MIT */
/*
 * A program that is linked with libremap: moves once by mremap, once by remap_mremap, and prints
 * what the engine that remap_stats() belongs to has counted, and whether the process is a secure
 * one (setuid).
 */
#include <errno.h>
#include <libremap.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

int main(void)
{
	struct remap_stats stats = {.size = sizeof(stats)};
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *by_libc, *by_libremap;

	by_libc = mremap(p, 65536, 65536, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	by_libremap = remap_mremap(p, 65536, 65536, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (remap_stats(&stats))
		return 1;
	printf("secure %lu, by libc %s, by libremap %s, native %lu, emulated %lu\n",
		getauxval(AT_SECURE), by_libc == MAP_FAILED ? "no" : "yes",
		by_libremap == MAP_FAILED ? "no" : "yes", (unsigned long)stats.native_calls,
		(unsigned long)stats.emulated_moves);
	return 0;
}
