/* SPDX-License-Identifier: MIT */
/*
 * An alternate signal stack for the calling thread of a test, of which nothing below may be touched:
 * who needs more of it than there is gets SIGSEGV.
 */
#ifndef RM_TESTS_GUARDED_STACK_H
#define RM_TESTS_GUARDED_STACK_H

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GUARD ((size_t)64 << 10)

/* size is a multiple of the page size; 0: none. What guarded_stack_end() wants. */
static inline char *guarded_stack_begin(size_t size)
{
	char *area;
	stack_t own;

	if (!size)
		return NULL;
	area = mmap(NULL, GUARD + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	own = (stack_t){.ss_sp = area + GUARD, .ss_size = size};
	if (area == MAP_FAILED || mprotect(area + GUARD, size, PROT_READ | PROT_WRITE) ||
		sigaltstack(&own, NULL))
		abort();
	return area;
}

static inline void guarded_stack_end(char *area, size_t size)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	if (area && (sigaltstack(&none, NULL) || munmap(area, GUARD + size)))
		abort();
}

#endif
