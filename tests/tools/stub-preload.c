/* SPDX-License-Identifier: MIT */
/*
 * stub-preload.c - a library that only says that it was loaded
 *
 * Stands in for libremap-preload.so in the tests of remap-run, which are about finding and passing
 * a library and not about what it does. With STUB_SAYS set in the environment, writes that and a
 * newline to stderr when loaded.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void say(void)
{
	const char *text = getenv("STUB_SAYS");

	if (!text || write(2, text, strlen(text)) < 0 || write(2, "\n", 1) < 0)
		return;
}
