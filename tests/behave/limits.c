/* SPDX-License-Identifier: MIT */
/*
 * RLIMIT_AS and RLIMIT_DATA: MREMAP_DONTUNMAP succeeds with exactly as much left as the kernel's
 * own call needs, and is ENOMEM with one page less, the source intact (semantics.md 1.5). The
 * limits are set in a child.
 *
 * What a MREMAP_FIXED destination loses then is not looked at: 6.18 has destroyed it, and better is
 * allowed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/behave/behave.h"

static struct arena a;

struct limited {
	int resource;	   /* RLIMIT_AS or RLIMIT_DATA */
	const char *usage; /* what counts towards it */
	int prot, flags;   /* of the source */
	bool fixed;
	bool onto_mapping; /* the destination is mapped as the source is */
	int pages;	   /* that it needs, of the source's eight */
};

/*
 * Lest the stack must grow when it can not, or grows between the look at the usage and the limit.
 * By a function that has returned before that: what is called while its frame is there lies below
 * it.
 */
static __attribute__((noinline)) void grow_stack(void)
{
	volatile char room[512 * 1024];

	for (size_t i = 0; i < sizeof(room); i += 1024)
		room[i] = 0;
}

static void limit_to(const struct limited *l, size_t more)
{
	struct rlimit limit;

	grow_stack();
	check(!getrlimit(l->resource, &limit));
	limit.rlim_cur = process_status(l->usage) * 1024 + more;
	check(!setrlimit(l->resource, &limit));
}

static void limited_child(void *arg)
{
	const struct limited *l = arg;
	const size_t need = (size_t)l->pages * PAGE;
	const int flags = l->fixed ? ONTO : ANYWHERE;
	struct vma before, after;
	char *new;

	arena_make_filled(&a, 8, RW, l->flags);
	if (l->prot != RW)
		check(!mprotect(a.source, a.len, l->prot));
	if (l->onto_mapping)
		check(mmap(a.target, a.len, RW, l->flags | MAP_FIXED, -1, 0) == a.target);
	else if (l->fixed)
		check(!munmap(a.target, a.len));
	check(vma_at(a.source, &before));
	if (need) {
		limit_to(l, need - PAGE);
		errno = 0;
		check(mremap(a.source, a.len, a.len, flags, a.target) == MAP_FAILED);
		check_is(errno, ENOMEM);
		check(vma_at(a.source, &after));
		check(!memcmp(&after, &before, sizeof(after)));
		check(l->prot == PROT_NONE || filled(a.source, a.len, 1));
		if (l->onto_mapping) /* whether it has been lost or not, it is there again */
			check(mmap(a.target, a.len, RW, l->flags | MAP_FIXED, -1, 0) == a.target);
	}
	limit_to(l, need);
	new = mremap(a.source, a.len, a.len, flags, a.target);
	if (new == MAP_FAILED)
		printf("# mremap: %s\n", strerror(errno));
	check(new != MAP_FAILED);
	check(!l->fixed || new == a.target);
	check(l->prot == PROT_NONE || filled(new, a.len, 1));
	check_both(&before, a.source, new, a.len, "");
	if (l->prot == RW)
		check(l->flags & MAP_SHARED ? filled(a.source, a.len, 1) : zeroed(a.source, a.len));
	check_is(vma_count(a.source - PAGE, a.len + 2 * PAGE), 3);
}

#define LIMITED(name, ...)                                                                         \
	static void name(void **state)                                                             \
	{                                                                                          \
		struct limited l = {__VA_ARGS__};                                                  \
                                                                                                   \
		(void)state;                                                                       \
		in_child(limited_child, &l);                                                       \
	}

LIMITED(as_anywhere, RLIMIT_AS, "VmSize:", RW, ANON, false, false, 8)
LIMITED(as_fixed, RLIMIT_AS, "VmSize:", RW, ANON, true, false, 8)
LIMITED(as_onto, RLIMIT_AS, "VmSize:", RW, ANON, true, true, 0)
LIMITED(as_read_only, RLIMIT_AS, "VmSize:", PROT_READ, ANON, true, false, 8)
LIMITED(as_noreserve, RLIMIT_AS, "VmSize:", RW, ANON | MAP_NORESERVE, true, false, 8)
LIMITED(as_shared, RLIMIT_AS, "VmSize:", RW, MAP_SHARED | MAP_ANONYMOUS, true, false, 8)
LIMITED(as_shared_onto, RLIMIT_AS, "VmSize:", RW, MAP_SHARED | MAP_ANONYMOUS, true, true, 0)
LIMITED(as_shared_anywhere, RLIMIT_AS, "VmSize:", RW, MAP_SHARED | MAP_ANONYMOUS, false, false, 8)
LIMITED(data_anywhere, RLIMIT_DATA, "VmData:", RW, ANON, false, false, 8)
LIMITED(data_fixed, RLIMIT_DATA, "VmData:", RW, ANON, true, false, 8)
LIMITED(data_onto, RLIMIT_DATA, "VmData:", RW, ANON, true, true, 0)
LIMITED(data_read_only, RLIMIT_DATA, "VmData:", PROT_READ, ANON, true, false, 0)
LIMITED(data_none, RLIMIT_DATA, "VmData:", PROT_NONE, ANON, false, false, 0)
LIMITED(data_shared, RLIMIT_DATA, "VmData:", RW, MAP_SHARED | MAP_ANONYMOUS, true, false, 0)

/*
 * No descriptor is to be had: the library must not need one it cannot get, or say so and do
 * nothing.
 */
struct no_fds {
	bool hard; /* the hard limit, too */
	bool threads;
};

static void *wait_for_ever(void *arg)
{
	pause();
	return arg;
}

static void no_fds_child(void *arg)
{
	const struct no_fds *how = arg;
	struct rlimit limit = {0, 0}, was;
	pthread_t thread;
	char *new;
	int fd;

	arena_make_filled(&a, 8, RW, ANON);
	check(!getrlimit(RLIMIT_NOFILE, &limit));
	fd = dup(0);
	check(fd >= 0);
	close(fd);
	limit.rlim_cur = (rlim_t)fd;
	if (how->hard)
		limit.rlim_max = limit.rlim_cur;
	for (int i = 0; how->threads && i < 20; i++)
		check(!pthread_create(&thread, NULL, wait_for_ever, NULL));
	check(!setrlimit(RLIMIT_NOFILE, &limit));
	new = mremap(a.source, a.len, a.len, ONTO, a.target);
	check(new == a.target || (errno == EINVAL && filled(a.source, a.len, 1)));
	check(new == a.target);
	check(!getrlimit(RLIMIT_NOFILE, &was));
	check_is(was.rlim_cur, limit.rlim_cur);
	check_is(was.rlim_max, limit.rlim_max);
	check(dup(0) == -1 && errno == EMFILE);
	for (int i = 0; i < fd; i++)
		check(fcntl(i, F_GETFD) >= 0);
	check_is(waitpid(-1, NULL, __WALL), -1);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	/* and again, with one thread more than those that are known by now */
	fill(a.source, a.len, 2);
	check(!how->threads || !pthread_create(&thread, NULL, wait_for_ever, NULL));
	check(mremap(a.source, a.len, a.len, ONTO, a.target) == a.target);
	check(filled(a.target, a.len, 2) && zeroed(a.source, a.len));
}

static void no_fds(void **state)
{
	struct no_fds how = {false, false};

	(void)state;
	in_child(no_fds_child, &how);
}

static void no_fds_at_all(void **state)
{
	struct no_fds how = {true, false};

	(void)state;
	in_child(no_fds_child, &how);
}

static void no_fds_among_threads(void **state)
{
	struct no_fds how = {false, true};

	(void)state;
	in_child(no_fds_child, &how);
}

/* All three accountings come back to where they were when both ranges are gone. */
static void nothing_leaks(void **state)
{
	const char *const fields[] = {"VmSize:", "VmData:", "VmRSS:", "VmPTE:"};
	unsigned long before[4] = {0};

	(void)state;
	for (int round = 0; round < 300; round++) {
		char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), *new;

		check(p != MAP_FAILED);
		fill(p, 8 * PAGE, 1);
		new = mremap(p, 8 * PAGE, 8 * PAGE, ANYWHERE, NULL);
		check(new != MAP_FAILED);
		check(!munmap(new, 8 * PAGE));
		check(!munmap(p, 8 * PAGE));
		if (round == 20)
			for (int i = 0; i < 4; i++)
				before[i] = process_status(fields[i]);
	}
	for (int i = 0; i < 2; i++)
		check_is(process_status(fields[i]), before[i]);
	for (int i = 2; i < 4; i++)
		check(process_status(fields[i]) <= before[i] + 256);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(as_anywhere, "dontunmap-just-fits-into-rlimit-as"),
		CASE(as_fixed, "dontunmap-fixed-just-fits-into-rlimit-as"),
		CASE(as_onto, "dontunmap-onto-a-mapping-needs-no-rlimit-as"),
		CASE(as_read_only, "dontunmap-read-only-just-fits-into-rlimit-as"),
		CASE(as_noreserve, "dontunmap-noreserve-just-fits-into-rlimit-as"),
		CASE(as_shared, "dontunmap-shared-just-fits-into-rlimit-as"),
		CASE(as_shared_onto, "dontunmap-shared-onto-a-mapping-needs-no-rlimit-as"),
		CASE(as_shared_anywhere, "dontunmap-shared-anywhere-just-fits-into-rlimit-as"),
		CASE(data_anywhere, "dontunmap-just-fits-into-rlimit-data"),
		CASE(data_fixed, "dontunmap-fixed-just-fits-into-rlimit-data"),
		CASE(data_onto, "dontunmap-onto-a-mapping-needs-no-rlimit-data"),
		CASE(data_read_only, "dontunmap-of-read-only-memory-needs-no-rlimit-data"),
		CASE(data_none, "dontunmap-of-prot-none-needs-no-rlimit-data"),
		CASE(data_shared, "dontunmap-of-shared-memory-needs-no-rlimit-data"),
		CASE(no_fds, "dontunmap-needs-no-descriptor"),
		CASE(no_fds_at_all, "dontunmap-needs-no-descriptor-below-the-hard-limit"),
		CASE(no_fds_among_threads, "dontunmap-among-threads-needs-no-descriptor"),
		CASE(nothing_leaks, "dontunmap-and-munmap-leak-nothing"),
	};

	return BEHAVE_RUN(cases);
}
