/* SPDX-License-Identifier: MIT */
/*
 * The scenarios: setting them up, making the call, and holding what is found against what must be.
 */
#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emul/known.h"
#include "libremap.h"

#define RW	   (PROT_READ | PROT_WRITE)
#define AREA_LEN   ((PAGES + 2) * PAGE)
#define EMPTY_PAGE (PAGES - 3) /* page 5 was never touched; it is in the part, too */

static struct {
	_Atomic unsigned long counter;
	_Atomic(volatile char *) touch; /* read by the other thread all the time; NULL: nothing */
	int uffd, target_uffd, file;
	/* from the source: told of a move; neither that nor a fault */
	_Atomic int remap_events, other_events;
	_Atomic bool monitor;
	struct snapshot before, after;
} t = {.uffd = -1, .target_uffd = -1, .file = -1};

static bool complain(const char *what)
{
	printf("#   %s\n", what);
	return false;
}

static uintptr_t mapping_of(uintptr_t area)
{
	return area + PAGE;
}

static uintptr_t range_start(const struct scenario *s, uintptr_t area)
{
	return mapping_of(area) + (s->flags & PART ? 2 * PAGE : 0);
}

static size_t range_len(const struct scenario *s)
{
	return (s->flags & (PART | HEAD) ? 4 : PAGES) * PAGE;
}

/*
 * The other thread: what it touches must always be there. In a hole that it should not see it dies.
 */
static void *run_beside(void *arg)
{
	(void)arg;
	for (;;) {
		volatile char *touch = t.touch;

		if (touch)
			(void)*touch;
		t.counter++;
	}
	return NULL;
}

/*
 * Reads events, so that nobody waits for them for ever; faults are answered by zeros, the touching
 * is a test's.
 */
static void *run_monitor(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd p[2] = {{t.uffd, POLLIN, 0}, {t.target_uffd, POLLIN, 0}};
		struct uffd_msg msg;

		if (!t.monitor || poll(p, 2, 1) <= 0) {
			usleep(t.monitor ? 0 : 100);
			continue;
		}
		for (int i = 0; i < 2; i++)
			if (p[i].revents && t.monitor &&
				read(p[i].fd, &msg, sizeof(msg)) == sizeof(msg) &&
				msg.event != UFFD_EVENT_PAGEFAULT && !i) {
				if (msg.event == UFFD_EVENT_REMAP)
					t.remap_events++;
				else
					t.other_events++;
			}
	}
	return NULL;
}

static bool wait_for_progress(void)
{
	unsigned long was = t.counter;

	for (int i = 0; i < 5000 && t.counter == was; i++)
		usleep(200);
	return t.counter != was;
}

bool scenario_begin(const struct scenario *s)
{
	const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	volatile char deep[262144];
	pthread_t thread;
	struct remap_feature f = {.size = sizeof(f)};

	if (s->flags & WATCHED)
		rm_known_watch();
	for (size_t i = 0; i < sizeof(deep); i += PAGE) /* the stack does not grow later */
		deep[i] = 0;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	setvbuf(stdout, NULL, _IOLBF, 8192);
	/* the engine's own mappings are made now */
	if (remap_prepare(NULL, 0, 0) || remap_probe("dontunmap-anon", 0, &f) ||
		f.state == REMAP_NATIVE)
		return complain("libremap is not emulating: LIBREMAP_CONF=native:no?");
	if (pthread_create(&thread, NULL, run_beside, NULL) ||
		pthread_create(&thread, NULL, run_monitor, NULL))
		return complain("no threads");
	return wait_for_progress();
}

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool arm(int fd, uintptr_t start, size_t len)
{
	struct uffdio_register reg = {.range = {start, len}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	return !ioctl(fd, UFFDIO_REGISTER, &reg);
}

static void *map_at(uintptr_t at, size_t len, int prot, int flags, int fd)
{
	void *p = mmap((void *)at, len, prot, flags | MAP_FIXED, fd, 0);

	return p == (void *)at ? p : NULL;
}

static bool set_up_several(void)
{
	const uintptr_t at = mapping_of(SOURCE);

	/*
	 * pages 0 1 private | 2 a hole | 3 4 shared | 5 private, read-only | 6 7 private, not for
	 * children
	 */
	return map_at(at, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       map_at(at + 3 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1) &&
	       map_at(at + 5 * PAGE, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1) &&
	       !madvise((void *)(at + 6 * PAGE), 2 * PAGE, MADV_DONTFORK);
}

static bool touch_and_move(uintptr_t from, size_t len, int prot, uintptr_t to)
{
	if (!map_at(from, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	*(volatile char *)from = 1;
	return remap_mremap((void *)from, len, len, REMAP_MREMAP_MAYMOVE | REMAP_MREMAP_FIXED,
		       (void *)to) != MAP_FAILED;
}

static bool move_here(const struct scenario *s, uintptr_t at, int prot)
{
	const size_t len = PAGES * PAGE;

	if (!touch_and_move(ORIGIN, len, prot, at) ||
		((s->flags & ALONG) && (!touch_and_move(ORIGIN + len, PAGE, prot, at + len) ||
					       mprotect((void *)(at + len), PAGE, PROT_READ))) ||
		((s->flags & ALIKE) &&
			!map_at(at + len, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1)) ||
		((s->flags & BEFORE) &&
			!map_at(ORIGIN - PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1)))
		return false;
	if (!(s->flags & LEFT))
		return true;
	if (!map_at(ORIGIN, PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	if (s->flags & TOUCHED)
		*(volatile char *)ORIGIN = 2;
	return true;
}

static bool set_up_source(const struct scenario *s)
{
	const uintptr_t at = mapping_of(SOURCE);
	const int prot = RW | (s->flags & EXECUTABLE ? PROT_EXEC : 0);
	char path[] = "/tmp/faults-XXXXXX";

	if (!map_at(SOURCE, AREA_LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	munmap((void *)at, PAGES * PAGE);
	switch (s->kind) {
	case KIND_ANON:
		if (s->flags & MOVED)
			return move_here(s, at, prot);
		return map_at(at, PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	case KIND_SHARED:
		return map_at(at, PAGES * PAGE, prot, MAP_SHARED | MAP_ANONYMOUS, -1);
	case KIND_FILE:
		if (t.file < 0) {
			char content[PAGES * PAGE];

			t.file = mkstemp(path);
			unlink(path);
			memset(content, 'f', sizeof(content));
			if (write(t.file, content, sizeof(content)) != (ssize_t)sizeof(content))
				return false;
		}
		return map_at(at, PAGES * PAGE, prot, MAP_PRIVATE, t.file);
	case KIND_SEVERAL:
		return set_up_several();
	}
	return false;
}

static bool is_hole(const struct scenario *s, int page)
{
	return s->kind == KIND_SEVERAL && page == 2;
}

static bool decorate_source(const struct scenario *s)
{
	const uintptr_t at = mapping_of(SOURCE);
	const unsigned long node = 1;

	for (int i = 0; i < PAGES; i++)
		if (i != EMPTY_PAGE && !is_hole(s, i))
			memset((void *)(at + (size_t)i * PAGE), 'A' + i, PAGE);
	if (s->kind == KIND_SEVERAL)
		return !mprotect((void *)(at + 5 * PAGE), PAGE, PROT_READ);
	if ((s->flags & ADVICE) &&
		(madvise((void *)at, PAGES * PAGE, MADV_DONTFORK) ||
			madvise((void *)at, PAGES * PAGE, MADV_DONTDUMP) ||
			madvise((void *)at, PAGES * PAGE, MADV_RANDOM) ||
			(syscall(SYS_mbind, at, PAGES * PAGE, MPOL_BIND, &node, 64UL, 0UL) &&
				errno != ENOSYS)))
		return false;
	if ((s->flags & ONE_ADVICE) && madvise((void *)at, PAGES * PAGE, MADV_DONTDUMP))
		return false;
	/* locked first: to fault in what is armed would mean to wait for the one who answers */
	if ((s->flags & LOCKED) &&
		syscall(SYS_mlock, at, PAGES * PAGE)) /* ASan has an mlock of its own */
		return false;
	if ((s->flags & ARMED) && !arm(t.uffd, at, PAGES * PAGE))
		return complain("the source can not be armed");
	if ((s->flags & READONLY) && mprotect((void *)at, PAGES * PAGE, PROT_READ))
		return false;
	return true;
}

static bool set_up_target(const struct scenario *s)
{
	if (s->target != TO_MAPPING)
		return true;
	if (!map_at(DESTINATION, AREA_LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1) ||
		!map_at(mapping_of(DESTINATION), PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1))
		return false;
	memset((void *)mapping_of(DESTINATION), 'D', PAGES * PAGE);
	return !(s->flags & TARGET_ARMED) ||
	       arm(t.target_uffd, mapping_of(DESTINATION), PAGES * PAGE);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool scenario_set_up(const struct scenario *s)
{
	const uint64_t events = UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;

	struct rm_change change;

	t.touch = NULL;
	t.monitor = false;
	rm_known_begin(&change); /* all this is seen, if anything is */
	usleep(s->flags & (EVENTS | TOLD | TARGET_ARMED) ? 2000 : 0);
	close_fd(&t.uffd); /* lets go of whatever it has armed */
	close_fd(&t.target_uffd);
	if (!wait_for_progress())
		return complain("the other thread stands still before the test");
	munmap((void *)SOURCE, AREA_LEN);
	munmap((void *)(ORIGIN - PAGE), (PAGES + 1) * PAGE);
	munmap((void *)DESTINATION, AREA_LEN);
	if (s->flags & ARMED)
		t.uffd = open_uffd(s->flags & EVENTS ? events
				   : s->flags & TOLD ? UFFD_FEATURE_EVENT_REMAP
						     : 0);
	if (s->flags & TARGET_ARMED)
		t.target_uffd = open_uffd(events);
	if (!set_up_source(s) || !decorate_source(s) || !set_up_target(s))
		return complain("the scenario can not be set up");
	rm_known_end(&change, rm_everything);
	t.remap_events = t.other_events = 0;
	t.monitor = s->flags & (EVENTS | TOLD | TARGET_ARMED);
	if (!(s->flags & (ARMED | GONE)))
		t.touch = (volatile char *)range_start(s, SOURCE);
	return snapshot_take(&t.before);
}

void scenario_keep_away(void)
{
	t.touch = NULL;
	wait_for_progress();
}

long scenario_call(const struct scenario *s)
{
	static const int flags[] = {0, 0, REMAP_MREMAP_FIXED, REMAP_MREMAP_FIXED};
	const uintptr_t to = s->target == TO_ANYWHERE ? 0 : range_start(s, DESTINATION);
	void *r;

	errno = 12345;
	r = remap_mremap((void *)range_start(s, SOURCE), range_len(s), range_len(s),
		REMAP_MREMAP_MAYMOVE | flags[s->target] |
			(s->flags & GONE ? 0 : REMAP_MREMAP_DONTUNMAP) |
			(s->flags & RELOCATED ? REMAP_MREMAP_MUST_RELOCATE_ANON : 0),
		(void *)to);
	if (r == MAP_FAILED)
		return -errno;
	return errno == 12345 ? (long)r : -99999; /* errno is kept on success */
}

static char byte_wanted(const struct scenario *s, int page)
{
	return page != EMPTY_PAGE ? (char)('A' + page) : s->kind == KIND_FILE ? 'f' : '\0';
}

static bool page_is(uintptr_t addr, char byte)
{
	const char *p = (const char *)addr;

	for (size_t i = 0; i < PAGE; i++)
		if (p[i] != byte) {
			printf("#   byte %02x instead of %02x at %lx\n", (unsigned char)p[i],
				(unsigned char)byte, (unsigned long)addr);
			return false;
		}
	return true;
}

static int first_page(const struct scenario *s)
{
	return s->flags & PART ? 2 : 0;
}

static int last_page(const struct scenario *s)
{
	return first_page(s) + (int)(range_len(s) / PAGE);
}

/* Something else than the kernel's zeros comes for a missing page: its owner is asked. */
static void *touch_page(void *page)
{
	(void)*(volatile char *)page;
	return NULL;
}

static bool still_armed(const struct scenario *s, int page)
{
	const uintptr_t addr = mapping_of(SOURCE) + (size_t)page * PAGE;
	struct uffdio_zeropage zero = {.range = {addr, PAGE}};
	struct pollfd p = {t.uffd, POLLIN, 0};
	struct uffd_msg msg;
	pthread_t thread;
	bool ok;

	t.monitor = false; /* this one is ours to read */
	usleep(s->flags & (EVENTS | TOLD) ? 2000 : 0);
	if (s->kind == KIND_SHARED && (page != EMPTY_PAGE || (s->flags & LOCKED)))
		return true; /* what the object has is not missing */
	if (pthread_create(&thread, NULL, touch_page, (void *)addr))
		return complain("no thread");
	ok = poll(&p, 1, 3000) == 1 && read(t.uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	     msg.event == UFFD_EVENT_PAGEFAULT && (msg.arg.pagefault.address & ~(PAGE - 1)) == addr;
	if (!ok)
		complain("a missing page of the source is not reported any more");
	ioctl(t.uffd, UFFDIO_ZEROPAGE, &zero);
	pthread_join(thread, NULL);
	return ok;
}

bool scenario_check_process(const struct scenario *s)
{
	if (!wait_for_progress())
		return complain("the other thread stands still");
	if (t.other_events || (t.remap_events && !(s->flags & TOLD)))
		return complain("the monitor was told of something that did not happen");
	return snapshot_same_process(&t.before, &t.after);
}

static bool check_pages(const struct scenario *s, uintptr_t area, int from, int to)
{
	for (int i = from; i < to; i++)
		/*
		 * a look at a missing page would ask its owner, or take it out of the shared
		 * object's holes
		 */
		if (!is_hole(s, i) && !((s->flags & ARMED) && i == EMPTY_PAGE) &&
			!page_is(mapping_of(area) + (size_t)i * PAGE, byte_wanted(s, i)))
			return false;
	return true;
}

/*
 * The destination as it was; or, if that is allowed, a hole where the pages were to go, and the
 * rest as it was.
 */
static bool check_target(const struct scenario *s, bool may_be_gone)
{
	const uintptr_t start = range_start(s, DESTINATION);
	const bool allowed = may_be_gone && s->target == TO_MAPPING;
	const bool intact = snapshot_same_maps(&t.before, &t.after, 0, 0, !allowed);

	if (!intact && !allowed)
		return false;
	if (!intact && (!snapshot_same_maps(&t.before, &t.after, DESTINATION, AREA_LEN, true) ||
			       !snapshot_is_hole(&t.after, start, range_len(s))))
		return false;
	for (int i = 0; s->target == TO_MAPPING && i < PAGES; i++) {
		const uintptr_t page = mapping_of(DESTINATION) + (size_t)i * PAGE;

		if (!intact && page >= start && page < start + range_len(s))
			continue;
		if (!*snapshot_flags(&t.after, page, NULL, NULL) || !page_is(page, 'D'))
			return complain("the destination's content has changed");
	}
	return true;
}

bool scenario_check_failure(const struct scenario *s, long error, bool target_may_be_gone)
{
	if (error != -EINVAL && error != -EFAULT && error != -ENOMEM && error != -EPERM) {
		printf("#   errno %ld is none that mremap documents\n", -error);
		return false;
	}
	if (!snapshot_take(&t.after) || !scenario_check_process(s) ||
		!check_target(s, target_may_be_gone))
		return false;
	if (!check_pages(s, SOURCE, 0, PAGES))
		return complain("the source's content has changed");
	return !(s->flags & ARMED) || still_armed(s, EMPTY_PAGE);
}

/*
 * What is left of VmFlags when lock and arming, which a move changes, are taken out; and "ac":
 * kernels from 6.3 on take the charge off an unfaulted mapping that is made read-only, so that a
 * read-only twin can not have it.
 */
static void comparable(const char *flags, char *out, size_t size)
{
	size_t at = 0;

	for (const char *p = flags; *p && at + 4 < size;) {
		if (p[0] != ' ' && p[1] && p[1] != ' ' && (!p[2] || p[2] == ' ')) {
			if (strncmp(p, "lo", 2) && strncmp(p, "um", 2) && strncmp(p, "ac", 2)) {
				memcpy(out + at, p, 2);
				at += 2;
			}
			p += 2;
		} else {
			p++;
		}
	}
	out[at] = '\0';
}

bool scenario_check_success(const struct scenario *s, long to)
{
	const uintptr_t area = (uintptr_t)to - PAGE - (size_t)first_page(s) * PAGE;
	char was[256], is[256], moved[256];
	const int from = first_page(s), end = last_page(s);

	if (to == -99999)
		return complain("errno was changed by a call that succeeded");
	if ((s->target == TO_HOLE || s->target == TO_MAPPING || s->target == TO_HINT) &&
		(uintptr_t)to != range_start(s, DESTINATION))
		return complain("it went elsewhere");
	if (!snapshot_take(&t.after) || !scenario_check_process(s))
		return false;
	/*
	 * the mover goes on once the monitor has read the event, which may be before it has counted
	 * it
	 */
	for (int i = 0; i < 5000 && (s->flags & TOLD) && !t.remap_events; i++)
		usleep(200);
	if ((s->flags & TOLD) && !t.remap_events)
		return complain("the monitor was not told");
	for (int i = from; i < end; i++) {
		const uintptr_t offset = PAGE + (size_t)i * PAGE;

		if (is_hole(s, i))
			continue;
		comparable(
			snapshot_flags(&t.before, SOURCE + offset, NULL, NULL), was, sizeof(was));
		comparable(snapshot_flags(&t.after, SOURCE + offset, NULL, NULL), is, sizeof(is));
		comparable(
			snapshot_flags(&t.after, area + offset, NULL, NULL), moved, sizeof(moved));
		if ((strcmp(was, is) && !(s->flags & GONE)) || strcmp(was, moved)) {
			printf("#   flags were %s, are %s, at the destination %s\n", was, is,
				moved);
			return false;
		}
	}
	if (!check_pages(s, area, from, end) || !check_pages(s, SOURCE, 0, from) ||
		!check_pages(s, SOURCE, end, PAGES))
		return complain("content was lost");
	if ((s->flags & ARMED) && (!still_armed(s, from) || !still_armed(s, EMPTY_PAGE)))
		return false;
	if ((s->flags & GONE) && !snapshot_is_hole(&t.after, range_start(s, SOURCE), range_len(s)))
		return complain("the source is still there");
	for (int i = from; !(s->flags & (ARMED | GONE)) && i < end; i++) {
		char wanted = s->kind == KIND_SHARED ||
					      (s->kind == KIND_SEVERAL && (i == 3 || i == 4))
				      ? byte_wanted(s, i)
			      : s->kind == KIND_FILE ? 'f'
						     : '\0';

		if (!is_hole(s, i) && !page_is(SOURCE + PAGE + (size_t)i * PAGE, wanted))
			return complain("the source is not empty");
	}
	t.touch = NULL;
	if (s->target == TO_ANYWHERE)
		munmap((void *)to, range_len(s));
	return true;
}
