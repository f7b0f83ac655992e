/* SPDX-License-Identifier: MIT */
/*
 * What other threads do with private memory at the moment when it gets its mirror: they change its attributes, have system calls
 * read and write it, touch it without a pause. Whatever comes first, the end is what it has to be, and nobody notices anything
 * (semantics.md B4). And the same for MREMAP_DONTUNMAP of a view, in which no range is ever absent.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "tests/behave/mirror.h"

#define MIB ((size_t)1 << 20)

static char *source;
static size_t length;

static void make(size_t len)
{
	length = len;
	source = mmap(NULL, len, RW, ANON, -1, 0);
	check(source != MAP_FAILED);
	fill(source, len, 1);
}

static char *mirror(void)
{
	char *view = mremap(source, length, length, MIRROR, NULL);

	check(view != MAP_FAILED);
	return view;
}

static void end(char *view)
{
	check(!munmap(source, length) && !munmap(view, length));
}

/* What a thread does to the source after so many microseconds, and the flag that says so afterwards. */
struct change {
	const char *flag;
	int advice; /* 0: mlock2 with MLOCK_ONFAULT */
	useconds_t delay;
	int result;
};

static void *change_it(void *arg)
{
	struct change *c = arg;

	usleep(c->delay);
	c->result = c->advice ? madvise(source, length, c->advice)
			      : (int)syscall(SYS_mlock2, source, length, 1L);
	return NULL;
}

static void attributes(void **state)
{
	static struct change changes[] = {{"dc", MADV_DONTFORK, 0, 0}, {"rr", MADV_RANDOM, 0, 0},
		{"dd", MADV_DONTDUMP, 0, 0}, {"lo", 0, 0, 0}};
	const int rounds = 60;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		struct change *c = &changes[round % 4];
		pthread_t thread;
		struct vma vma;
		char *view;

		make(3 * MIB);
		c->delay = (useconds_t)(round / 4 * 150);
		check(!pthread_create(&thread, NULL, change_it, c));
		view = mirror();
		check(!pthread_join(thread, NULL));
		check(!c->result);
		check(vma_at(source, &vma));
		if (!vma_has(&vma, c->flag))
			printf("# round %d: %s is lost\n", round, c->flag);
		check(vma_has(&vma, c->flag));
		check_is(vma.end - vma.start, length);
		check(filled(source, length, 1) && filled(view, length, 1));
		end(view);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(attributes, "mirror-and-attributes-set-at-the-same-time"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
