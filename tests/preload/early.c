/* SPDX-License-Identifier: MIT */
/*
 * A library whose constructor moves memory, before or after the preload's own constructor has run.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

__attribute__((constructor)) static void start(void)
{
	const char *said = "early: failed\n";
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *new;

	*p = 'x';
	new = mremap(p, 65536, 65536, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (new != MAP_FAILED &&*new == 'x' && !*p)
		said = "early: ok\n";
	(void)!write(1, said, strlen(said));
}
