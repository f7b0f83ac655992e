/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd of the program's on a view of converted memory (semantics.md B13), in each of its
 * modes: what is missing is the object's, and so is what is filled in; write protection and page
 * tables that are missing are the watched view's own. Kernels watch shared memory from 4.11 on, for
 * minor faults from 5.14 on, for writes from 5.19 on.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "tests/behave/mirror.h"
#include "tests/behave/uffd.h"

#define PAGES 16

#define FEATURE_MINOR_SHMEM ((uint64_t)1 << 10)
#define FEATURE_WP_SHMEM    ((uint64_t)1 << 12)
#define MODE_MINOR	    4
#define FLAG_WP		    2 /* of a page fault's message */
#define FLAG_MINOR	    4
#define WRITE_PROTECT	    _IOWR(UFFDIO, 0x06, struct write_protect)
#define CONTINUE	    _IOWR(UFFDIO, 0x07, struct go_on)

/* Of newer headers than the oldest that this is built with. */
struct write_protect {
	struct uffdio_range range;
	uint64_t mode; /* 1: protect; 0: let be, and wake */
};

struct go_on {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped;
};

static struct arena a;
static char *view;

static int watch(uint64_t features, uint64_t mode)
{
	int fd = open_uffd(features);

	view = make_converted(&a, PAGES);
	if (!arm(fd, view, a.len, mode)) {
		close(fd);
		end_converted(&a);
		behave_skip("this kernel's userfaultfd does not watch shared memory so");
	}
	return fd;
}

/* The fault that is waited for is at that address, and of that kind. */
static void check_fault(int fd, const void *at, uint64_t flag)
{
	struct uffd_msg msg;

	check(read_event(fd, &msg, 10000));
	check_is(msg.event, UFFD_EVENT_PAGEFAULT);
	check_is(msg.arg.pagefault.address & ~(PAGE - 1), (uintptr_t)at & ~(PAGE - 1));
	check_is(msg.arg.pagefault.flags & (FLAG_WP | FLAG_MINOR), flag);
}

static bool is_silent(int fd)
{
	struct uffd_msg msg;

	return read(fd, &msg, sizeof(msg)) == -1 && errno == EAGAIN;
}

static void missing(void **state)
{
	struct touch t;
	int fd;

	(void)state;
#ifdef BEHAVE_LINKED
	behave_skip("madvise is taken over by the preload only");
#endif
	fd = watch(0, MODE_MISSING);
	check(!madvise(a.source + PAGE, PAGE, MADV_DONTNEED));
	check(filled(view, PAGE, 1) && is_silent(fd)); /* what is there is there */
	touch_start(&t, view + PAGE);
	check_fault(fd, view + PAGE, 0);
	check(serve(fd, view + PAGE, 44));
	check(touch_end(&t) == *(uint64_t *)(a.source + PAGE));
	check(filled(a.source + PAGE, PAGE, 44));
	close(fd);
	end_converted(&a);
}

static void *write_a_word(void *at)
{
	*(volatile uint64_t *)at = 4711;
	return NULL;
}

/* Who writes through the view waits, who writes through the other one does not. */
static void write_protected(void **state)
{
	int fd = watch(FEATURE_WP_SHMEM, MODE_WP);
	struct write_protect p = {{(uintptr_t)view + PAGE, PAGE}, 1};
	pthread_t thread;

	(void)state;
	check(filled(view, a.len, 1));
	check(!ioctl(fd, WRITE_PROTECT, &p));
	*(uint64_t *)(a.source + PAGE) = 42;
	check_is(*(uint64_t *)(view + PAGE), 42);
	*(uint64_t *)view = 43; /* its neighbour is not protected */
	check(is_silent(fd));
	check(!pthread_create(&thread, NULL, write_a_word, view + PAGE));
	check_fault(fd, view + PAGE, FLAG_WP);
	check_is(*(uint64_t *)(a.source + PAGE), 42);
	p.mode = 0;
	check(!ioctl(fd, WRITE_PROTECT, &p));
	check(!pthread_join(thread, NULL));
	check_is(*(uint64_t *)(a.source + PAGE), 4711);
	check(!memcmp(view + 2 * PAGE, a.source + 2 * PAGE, a.len - 2 * PAGE));
	close(fd);
	end_converted(&a);
}

/*
 * What the object has and the view has not yet in its page tables is asked for; the other view is
 * not concerned.
 */
static void minor(void **state)
{
	int fd = watch(FEATURE_MINOR_SHMEM, MODE_MINOR);
	struct go_on go_on = {{(uintptr_t)view + PAGE, PAGE}, 0, 0};
	struct touch t;

	(void)state;
	check(filled(a.source, a.len, 1) && is_silent(fd));
	touch_start(&t, view + PAGE);
	check_fault(fd, view + PAGE, FLAG_MINOR);
	*(uint64_t *)(a.source + PAGE) = 42; /* as a monitor does that brings the content first */
	check(!ioctl(fd, CONTINUE, &go_on));
	check_is(go_on.mapped, PAGE);
	check_is(touch_end(&t), 42);
	close(fd);
	check(!memcmp(view + 2 * PAGE, a.source + 2 * PAGE, a.len - 2 * PAGE));
	end_converted(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(missing, "userfaultfd-on-a-view"),
		CASE(write_protected, "userfaultfd-write-protects-one-view"),
		CASE(minor, "userfaultfd-sees-minor-faults-of-one-view"),
	};

	mirror_warm_up();
	return BEHAVE_RUN(cases);
}
