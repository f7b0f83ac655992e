/* SPDX-License-Identifier: MIT */
/*
 * What a userfaultfd is told of MREMAP_DONTUNMAP (semantics.md 2.3, A6): which events, in which
 * order, about which ranges, and who watches what afterwards. Source and destination are watched by
 * none, by one, or by one each.
 *
 * The monitor is a thread of the same process. It reads each event as it comes, and the mover is
 * held until then. Needs userfaultfd(2), as root or with vm.unprivileged_userfaultfd.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "tests/behave/uffd.h"

#define REMAP  FEATURE_EVENT_REMAP
#define UNMAP  FEATURE_EVENT_UNMAP
#define REMOVE FEATURE_EVENT_REMOVE
#define FORK   FEATURE_EVENT_FORK

/* How source and destination are watched. */
enum destination { HOLE, PLAIN, BY_SOURCES, BY_ANOTHER, BY_TWO };

struct scene {
	int kind; /* flags of mmap */
	bool source_armed;
	uint64_t features; /* of the source's userfaultfd */
	enum destination destination;
	uint64_t other_features; /* of the destination's own */
	size_t from, pages;
	int flags; /* ONTO, or ANYWHERE: then the destination is a hint */
};

static struct arena a;
static int fds[3]; /* the source's, the destination's, that of its second half */

enum { NOBODY = -1, SOURCES, OTHERS, THIRD };
#define MAX_TOLD 8

/* One thing that somebody was told. */
struct told {
	int whom, event;
	uintptr_t start, end, to;
};

struct call {
	pthread_t thread;
	char *source;
	size_t len;
	int flags;
	void *new;
	int error;
};

static void *move_in_thread(void *arg)
{
	struct call *call = arg;

	call->new = mremap(call->source, call->len, call->len, call->flags, a.target);
	call->error = errno;
	return NULL;
}

static void *fork_in_thread(void *arg)
{
	struct call *call = arg;
	const pid_t pid = fork();

	if (!pid) {
		uint64_t words = *(volatile uint64_t *)(a.source + 5 * PAGE);

		words ^= *(volatile uint64_t *)(a.target + 5 * PAGE);
		_exit(words ? 0 : 1); /* two patterns, not twice the same and not zeros */
	}
	call->error = -1;
	waitpid(pid, &call->error, 0);
	return NULL;
}

static bool read_told(int timeout, struct told *told)
{
	struct pollfd p[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}, {fds[2], POLLIN, 0}};
	struct uffd_msg msg;
	int n, whom = 0;

	while ((n = poll(p, 3, timeout)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return false;
	while (!p[whom].revents)
		whom++;
	check_is(read(fds[whom], &msg, sizeof(msg)), sizeof(msg));
	*told = (struct told){whom, msg.event, 0, 0, 0};
	if (msg.event == UFFD_EVENT_REMAP) {
		told->start = msg.arg.remap.from;
		told->end = msg.arg.remap.from + msg.arg.remap.len;
		told->to = msg.arg.remap.to;
	} else if (msg.event == UFFD_EVENT_UNMAP || msg.event == UFFD_EVENT_REMOVE) {
		told->start = msg.arg.remove.start;
		told->end = msg.arg.remove.end;
	} else if (msg.event == UFFD_EVENT_FORK) {
		told->to = msg.arg.fork.ufd;
	}
	return true;
}

/* Makes the call. What was told meanwhile and shortly after, and how much that was. */
static int told_of_call(struct call *call, struct told *told)
{
	int count = 0;

	check(!pthread_create(&call->thread, NULL, move_in_thread, call));
	while (pthread_tryjoin_np(call->thread, NULL) == EBUSY)
		if (read_told(10, &told[count]))
			check(++count < MAX_TOLD);
	while (read_told(20, &told[count]))
		check(++count < MAX_TOLD);
	return count;
}

static void arm_or_skip(int fd, void *at, size_t len)
{
	if (!arm(fd, at, len, MODE_MISSING))
		behave_skip("this kernel's userfaultfd takes no shared memory");
}

static void set_up(const struct scene *s)
{
	const size_t half = 4 * PAGE;

	fds[SOURCES] = s->source_armed ? open_uffd(s->features) : -1;
	fds[OTHERS] = s->destination >= BY_ANOTHER ? open_uffd(s->other_features) : -1;
	fds[THIRD] = s->destination == BY_TWO ? open_uffd(s->other_features) : -1;
	arena_make(&a, 8);
	arena_map(&a, RW, s->kind, -1);
	fill(a.source, half, 1); /* and four pages that have never been touched */
	if (s->source_armed)
		arm_or_skip(fds[SOURCES], a.source, a.len);
	if (s->destination == HOLE) {
		check(!munmap(a.target, a.len));
		return;
	}
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	fill(a.target, a.len, 2);
	if (s->destination == BY_SOURCES)
		arm_or_skip(fds[SOURCES], a.target, a.len);
	if (s->destination == BY_ANOTHER)
		arm_or_skip(fds[OTHERS], a.target, a.len);
	if (s->destination == BY_TWO) {
		arm_or_skip(fds[OTHERS], a.target, half);
		arm_or_skip(fds[THIRD], a.target + half, half);
	}
}

static void tear_down(void)
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	arena_end(&a);
}

/* Faults there are reported to whom it was armed by, and to nobody if that is -1. */
static void check_watched(char *at, int whom)
{
	check_is(armed(at, "um"), whom >= 0);
	if (whom >= 0)
		check_faults(fds[whom], at);
	else
		for (int i = 0; i < 3; i++)
			if (fds[i] >= 0)
				check_quiet(fds[i], at);
}

static void check_told(
	const struct told *got, int count, const struct told *wanted, int wanted_count)
{
	for (int i = 0; i < count; i++)
		if (i >= wanted_count || memcmp(&got[i], &wanted[i], sizeof(*got)))
			printf("# event %d: %d was told 0x%x %lx-%lx %lx\n", i, got[i].whom,
				got[i].event, got[i].start, got[i].end, got[i].to);
	check_is(count, wanted_count);
	check(!memcmp(got, wanted, (size_t)count * sizeof(*got)));
}

/* What the kernel tells, in its order: of the destination, as it is unmapped; then of the move. */
static int wanted_of(const struct scene *s, struct told *wanted)
{
	const uint64_t features[3] = {s->features, s->other_features, s->other_features};
	const uintptr_t from = (uintptr_t)a.source + s->from * PAGE, to = (uintptr_t)a.target;
	const size_t len = s->pages * PAGE;
	int count = 0;

	for (int whom = 0; whom < 3; whom++) {
		const bool watches = whom == SOURCES  ? s->destination == BY_SOURCES
				     : whom == OTHERS ? s->destination >= BY_ANOTHER
						      : s->destination == BY_TWO;
		if (watches && features[whom] & UNMAP)
			wanted[count++] = (struct told){whom, UFFD_EVENT_UNMAP, to, to + len, 0};
	}
	if (s->source_armed && s->features & REMAP)
		wanted[count++] = (struct told){SOURCES, UFFD_EVENT_REMAP, from, from + len, to};
	return count;
}

/*
 * libremap's EINVAL, where it could not tell the same (remap(7), LIMITS): nobody is told anything,
 * nothing has changed.
 */
static void check_refused(const struct scene *s, const struct call *call, int count)
{
	check(strcmp(behave_config(), "native"));
	check_is(count, 0);
	check(call->new == MAP_FAILED);
	check_is(call->error, EINVAL);
	check(filled(a.source, 4 * PAGE, 1));
	check(s->destination == HOLE || filled(a.target, a.len, 2));
	check_watched(a.source + 5 * PAGE, SOURCES);
	if (s->destination == BY_SOURCES)
		check(armed(a.target, "um"));
}

static void play(void **state)
{
	const struct scene *s = *state;
	const bool both = s->source_armed && (s->features & REMAP) && (s->features & UNMAP);
	const size_t len = s->pages * PAGE;
	struct call call = {.len = len, .flags = s->flags};
	struct told told[MAX_TOLD] = {{0}}, wanted[MAX_TOLD] = {{0}};
	int count;

	set_up(s);
	call.source = a.source + s->from * PAGE;
	count = told_of_call(&call, told);
	if (both && call.new == MAP_FAILED) {
		check_refused(s, &call, count);
	} else {
		check(call.new == a.target);
		check_told(told, count, wanted, wanted_of(s, wanted));
		check(s->from || filled(a.target, 4 * PAGE, 1));
		check_is(vma_count(a.source, a.len), 1);
		/* the last page was never touched; what the object has is not missing */
		check_watched(a.target + len - PAGE,
			s->source_armed && s->features & REMAP ? SOURCES : NOBODY);
		check_is(armed(call.source, "um"), s->source_armed);
		if (s->kind & MAP_PRIVATE)
			check_watched(call.source + len - PAGE, s->source_armed ? SOURCES : NOBODY);
	}
	tear_down();
}

/*
 * A child's memory is watched where its parent's is, by a userfaultfd of its own, which the event
 * brings.
 */
static void fork_after(void **state)
{
	const struct scene *s = *state;
	struct call call = {.source = a.source, .len = s->pages * PAGE, .flags = s->flags};
	struct told told[MAX_TOLD] = {{0}}, wanted[MAX_TOLD] = {{0}};
	int count;

	set_up(s);
	call.source = a.source;
	count = told_of_call(&call, told);
	check(call.new == a.target);
	check_told(told, count, wanted, wanted_of(s, wanted));
	call.len = 0;
	check(!pthread_create(&call.thread, NULL, fork_in_thread, &call));
	check(read_told(5000, &told[0]));
	check_is(told[0].event, UFFD_EVENT_FORK);
	for (int i = 0; i < 2; i++) {
		/* the child reads a word of each range, then ends */
		struct uffd_msg msg;
		char *at = (i ? a.target : a.source) + 5 * PAGE;

		check(read_event((int)told[0].to, &msg, 5000));
		check_is(msg.event, UFFD_EVENT_PAGEFAULT);
		check_is(msg.arg.pagefault.address & ~(PAGE - 1), (uintptr_t)at);
		check(serve((int)told[0].to, at, 50 + (unsigned int)i));
	}
	check(!pthread_join(call.thread, NULL));
	check_is(call.error, 0);
	close((int)told[0].to);
	tear_down();
}

/* clang-format off */
#define SCENE(behaviour, ...) {behaviour, play, NULL, NULL, (void *)&(const struct scene){__VA_ARGS__}}
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)

int main(void)
{
	static const struct scene forked = {ANON, true, REMAP | FORK, HOLE, 0, 0, 8, ONTO};
	const struct CMUnitTest cases[] = {
		SCENE("dontunmap-reports-event-remap", ANON, true, REMAP, PLAIN, 0, 0, 8, ONTO),
		SCENE("dontunmap-of-a-part-reports-event-remap", ANON, true, REMAP, PLAIN, 0, 2, 4, ONTO),
		SCENE("dontunmap-of-shared-memory-reports-event-remap", SHARED, true, REMAP, PLAIN, 0, 0, 8, ONTO),
		SCENE("dontunmap-to-a-hint-reports-event-remap", ANON, true, REMAP, HOLE, 0, 0, 8, ANYWHERE),
		SCENE("dontunmap-reports-event-remap-and-no-removal", ANON, true, REMAP | REMOVE, HOLE, 0, 0, 8, ONTO),
		SCENE("dontunmap-of-shared-memory-reports-event-remap-and-no-removal", SHARED, true, REMAP | REMOVE, HOLE, 0, 0, 8, ONTO),
		SCENE("dontunmap-reports-no-unmapping", ANON, true, UNMAP | REMOVE, PLAIN, 0, 0, 8, ONTO),
		SCENE("dontunmap-of-a-part-reports-no-unmapping", ANON, true, UNMAP | REMOVE, PLAIN, 0, 2, 4, ONTO),
		SCENE("dontunmap-of-shared-memory-reports-no-removal", SHARED, true, UNMAP | REMOVE, PLAIN, 0, 0, 8, ONTO),
		SCENE("dontunmap-reports-an-armed-destination", ANON, true, UNMAP, BY_SOURCES, 0, 0, 8, ONTO),
		SCENE("dontunmap-reports-part-of-an-armed-destination", ANON, true, UNMAP, BY_SOURCES, 0, 2, 4, ONTO),
		SCENE("dontunmap-of-shared-memory-reports-an-armed-destination", SHARED, true, UNMAP, BY_SOURCES, 0, 0, 8, ONTO),
		SCENE("dontunmap-reports-anothers-destination", ANON, true, UNMAP, BY_ANOTHER, UNMAP | REMAP | REMOVE, 0, 8, ONTO),
		SCENE("dontunmap-reports-two-others-destination", ANON, true, UNMAP, BY_TWO, UNMAP | REMAP, 0, 8, ONTO),
		SCENE("dontunmap-of-unarmed-memory-reports-an-armed-destination", ANON, false, 0, BY_ANOTHER, UNMAP | REMAP | REMOVE, 0, 8, ONTO),
		SCENE("dontunmap-of-shared-unarmed-memory-reports-an-armed-destination", SHARED, false, 0, BY_ANOTHER, UNMAP | REMAP | REMOVE, 0, 8, ONTO),
		SCENE("dontunmap-onto-an-armed-destination-without-events", ANON, false, 0, BY_ANOTHER, REMAP | REMOVE, 0, 8, ONTO),
		SCENE("dontunmap-reports-the-destination-then-the-move", ANON, true, REMAP, BY_ANOTHER, UNMAP, 0, 8, ONTO),
		SCENE("dontunmap-of-a-part-reports-the-destination-then-the-move", ANON, true, REMAP, BY_ANOTHER, UNMAP, 2, 4, ONTO),
		SCENE("dontunmap-of-shared-memory-reports-the-destination-then-the-move", SHARED, true, REMAP, BY_ANOTHER, UNMAP, 0, 8, ONTO),
		SCENE("dontunmap-reports-two-destinations-then-the-move", ANON, true, REMAP, BY_TWO, UNMAP | REMAP, 0, 8, ONTO),
		SCENE("dontunmap-onto-its-own-armed-destination-reports-the-move", ANON, true, REMAP, BY_SOURCES, 0, 0, 8, ONTO),
		SCENE("dontunmap-reports-event-remap-and-no-event-unmap", ANON, true, REMAP | UNMAP, HOLE, 0, 0, 8, ONTO),
		SCENE("dontunmap-with-both-events-of-a-part", ANON, true, REMAP | UNMAP, PLAIN, 0, 2, 4, ONTO),
		SCENE("dontunmap-with-both-events-of-shared-memory", SHARED, true, REMAP | UNMAP, HOLE, 0, 0, 8, ONTO),
		SCENE("dontunmap-with-both-events-onto-its-own-armed-destination", ANON, true, REMAP | UNMAP, BY_SOURCES, 0, 0, 8, ONTO),
		SCENE("dontunmap-with-both-events-onto-anothers-destination", ANON, true, REMAP | UNMAP, BY_ANOTHER, UNMAP, 0, 8, ONTO),
		{"dontunmap-then-fork-reports-both", fork_after, NULL, NULL, (void *)&forked},
	};
	/* clang-format on */

	return BEHAVE_RUN(cases);
}
