/* SPDX-License-Identifier: MIT */
/*
 * What a forked child has of memory that was converted for MREMAP_MIRROR; one word: "own" (a copy),
 * "same" (it writes its parent's), "none" (nothing is mapped there). With an argument the memory is
 * private huge pages; "no huge pages" if there are none.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libremap.h"

int main(int argc, char **argv)
{
	/* so much is copied later, where it can be */
	const size_t len = argc > 1 ? 2 << 20 : 6 << 20;
	const int huge = argc > 1 ? MAP_HUGETLB : 0;
	char *p = mmap(
		NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | huge, -1, 0);
	char *view;
	int status;
	pid_t pid;

	(void)argv;
	if (p == MAP_FAILED) {
		puts("no huge pages");
		return 77;
	}
	memset(p, 9, len);
	p[5] = 1;
	view = mremap(p, len, len, MREMAP_MAYMOVE | REMAP_MREMAP_MIRROR, NULL);
	if (view == MAP_FAILED) {
		perror("mremap");
		return 1;
	}
	pid = fork();
	if (!pid) {
		unsigned char there;

		if (mincore(p, 4096, &there) || mincore(view, 4096, &there))
			_exit(3);
		if (p[5] != 1 || view[5] != 1 || p[len - 1] != 9 || view[len / 2] != 9)
			_exit(4);
		p[5] = 2;
		_exit(view[5] == 2 ? 0 : 5);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		puts(p[5] == 1 ? "none" : "spoilt");
	else if (status)
		printf("status %x\n", (unsigned int)status);
	else
		puts(view[5] == 2 ? "same" : "own");
	return 0;
}
