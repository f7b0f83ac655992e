/* SPDX-License-Identifier: MIT */
/*
 * A swap file for the length of a test case (swap.h).
 */
#include "tests/behave/swap.h"

#include <fcntl.h>
#include <sys/swap.h>

#include "tests/behave/behave.h"

static char swap_path[200];

static bool have_swap(void)
{
	char text[4096];
	int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return strchr(text, '\n') && strchr(text, '\n')[1];
}

/* As mkswap(8) does it. */
static void write_swap_file(int fd, size_t size)
{
	static char page[65536];
	uint32_t *header = (uint32_t *)(page + 1024);

	header[0] = 1; /* version */
	header[1] = (uint32_t)(size / PAGE - 1);
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	for (size_t i = 0; i < size; i += PAGE) {
		check(write(fd, page, PAGE) == (ssize_t)PAGE);
		memset(page, 0, PAGE);
	}
	check(!fsync(fd));
}

void swap_off(void)
{
	if (!*swap_path)
		return;
	(void)swapoff(swap_path);
	unlink(swap_path);
	*swap_path = '\0';
}

void swap_need(size_t size)
{
	const char *folder = getenv("RM_SWAPON");
	int fd;

	if (have_swap())
		return;
	if (!folder)
		behave_skip("no swap; RM_SWAPON=DIR makes some");
	snprintf(swap_path, sizeof(swap_path), "%s/libremap-swap-XXXXXX", folder);
	fd = mkstemp(swap_path);
	check(fd >= 0);
	write_swap_file(fd, size);
	close(fd);
	if (swapon(swap_path, 0)) {
		swap_off();
		behave_skip("swapon is not permitted, or not there");
	}
}
