/* SPDX-License-Identifier: MIT */
/*
 * Whether memory that is read before it is written shows the kernel's zero page: 0, as on every
 * ordinary kernel, or 1. Kernels can be built or started without one (as guests of some hypervisors
 * are); there each page that is read is a page of its own, counted by Rss, so that a recording of
 * everything observed is no standard for it. 2: it can not be told.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

/* Bits of an entry of /proc/self/pagemap. */
#define EXCLUSIVE (1ULL << 56)
#define PRESENT	  (1ULL << 63)

int main(void)
{
	volatile char *page = mmap(
		NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (page == MAP_FAILED || fd < 0)
		return 2;
	(void)*page;
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * sizeof(entry))) !=
			sizeof(entry) ||
		!(entry & PRESENT))
		return 2;
	printf("%s\n", entry & EXCLUSIVE ? "a page of its own" : "the zero page");
	return entry & EXCLUSIVE ? 1 : 0;
}
