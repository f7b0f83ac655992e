/*
 * naive-shim.c - the emulation of MREMAP_DONTUNMAP that first comes to mind, to test the tester.
 *
 * A preloaded mremap that moves the pages with MREMAP_FIXED and then maps fresh read-write memory
 * where they were. It gets the content of ordinary memory right and nearly everything else wrong:
 * protection, shared memory, files, advice, locks, errors. remap-oracle --compare has to say so.
 * Not an example of anything.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

__attribute__((visibility("default"))) void *mremap(
	void *addr, size_t len, size_t new_len, int flags, ...)
{
	void *to = NULL, *got;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;

		va_start(args, flags);
		to = va_arg(args, void *);
		va_end(args);
	}
	if (!(flags & MREMAP_DONTUNMAP))
		return (void *)syscall(SYS_mremap, addr, len, new_len, flags, to);
	if (!(flags & MREMAP_FIXED)) {
		to = mmap(to, new_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (to == MAP_FAILED)
			return to;
	}
	got = (void *)syscall(SYS_mremap, addr, len, new_len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (got == MAP_FAILED)
		return got;
	if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) == MAP_FAILED)
		return MAP_FAILED;
	return got;
}
