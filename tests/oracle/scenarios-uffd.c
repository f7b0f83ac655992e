/*
 * scenarios-uffd.c - userfaultfd registrations across mremap (semantics 2.3, traps A5 and A6).
 *
 * The registration of the old range must survive MREMAP_DONTUNMAP with its mode, the new range
 * must lose it (or keep it, with one REMAP event, where UFFD_FEATURE_EVENT_REMAP is on), and
 * faults must be reported. Most scenarios use UFFD_FEATURE_SIGBUS: an access to an armed missing
 * page is then EFAULT for our probe instead of a wait, and no thread is needed. Those with events
 * have a monitor thread, which only records; everything is printed by the main thread, in the
 * order of the file descriptor.
 */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_FEATURE_MINOR_SHMEM
#define UFFD_FEATURE_MINOR_SHMEM   (1 << 10)
#define UFFDIO_REGISTER_MODE_MINOR ((__u64)1 << 2)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

#define A4    4 /* places in the field */
#define B0    40
#define C0    80
#define PAGES 8

static int fd = -1;
static struct uffd_msg events[64];
static int event_count, stop_fd;
static bool serve;

static bool open_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api))
		return true;
	oracle_out("skip userfaultfd: %s\n", oracle_errno_name(errno));
	return false;
}

static bool arm(int page, int pages, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = {(uintptr_t)oracle_at(page), (size_t)pages * oracle_page}, .mode = mode};

	if (!ioctl(fd, UFFDIO_REGISTER, &reg))
		return true;
	if (errno == EINVAL)
		oracle_out("skip this userfaultfd mode: %s\n", oracle_errno_name(errno));
	else
		oracle_out("op register %s\n", oracle_errno_name(errno));
	return false;
}

/*
 * ORACLE_REFUSED=ERRNO: no MREMAP_DONTUNMAP is made here, it counts as refused. So what a scenario
 * shows is what a refusal that changes nothing looks like (oracle.t, the file documented).
 */
static void move(const char *what, int from, int pages, int to, int flags)
{
	const char *refused = flags & MREMAP_DONTUNMAP ? getenv("ORACLE_REFUSED") : NULL;
	size_t len = (size_t)pages * oracle_page;

	if (refused)
		oracle_out("op %s %s\n", what, refused);
	else
		oracle_say(what, mremap(oracle_at(from), len, len,
					 MREMAP_MAYMOVE | MREMAP_FIXED | flags, oracle_at(to)));
}

static void look(void)
{
	oracle_out("op readable source %d destination %d\n", oracle_touch(A4, PAGES, 0),
		oracle_touch(C0, PAGES, 0));
	oracle_observe(NULL);
}

static void fill(int page, unsigned int version)
{
	static uint64_t data[65536 / 8];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)oracle_at(page), .src = (uintptr_t)data, .len = oracle_page};

	data[0] = data[oracle_page / 8 - 1] = (uint64_t)(unsigned int)(page + 1) << 32 | version;
	if (ioctl(fd, UFFDIO_COPY, &copy))
		oracle_out("op copy %s\n", oracle_errno_name(errno));
	else
		oracle_out("op copy %lld\n", (long long)copy.copy / (long long)oracle_page);
}

#define ANON "mmap A+4 8p anon rw-; write A+4 8p"

/* Armed for missing pages, moved, and what each end is afterwards. */
static void missing(const char *text, int from, int pages)
{
	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup(text);
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	move("dontunmap", from, pages, C0, MREMAP_DONTUNMAP);
	look();
	fill(from, 77);
	fill(from, 78);
	look();
	oracle_observe_content();
}

static void missing_anon(void)
{
	missing(ANON, A4, PAGES);
}

static void missing_part(void)
{
	missing(ANON, A4 + 2, 3);
}

static void missing_shared(void)
{
	missing("mmap A+4 8p shared rw-; write A+4 4p", A4, PAGES);
}

static void missing_memfd(void)
{
	missing("mmap A+4 8p memfd rw- off=4; write A+4 4p", A4, PAGES);
}

static void missing_again(void)
{
	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup(ANON "; mmap C+0 8p anon --- noreserve");
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
	fill(A4 + 1, 5);
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
	fill(A4 + 2, 6);
	look();
	close(fd);
	look();
	oracle_observe_content();
}

static void plain_move(void)
{
	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup(ANON);
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	move("move", A4, PAGES, C0, 0);
	look();
}

static void unregister_after(void)
{
	struct uffdio_range range = {(uintptr_t)oracle_at(A4), PAGES * oracle_page};

	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup(ANON);
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
	oracle_out("op unregister %s\n", ioctl(fd, UFFDIO_UNREGISTER, &range) ? "fails" : "0");
	look();
	oracle_observe_content();
}

static void write_protect(const char *text)
{
	struct uffdio_writeprotect wp = {.range = {(uintptr_t)oracle_at(A4), PAGES * oracle_page},
		.mode = UFFDIO_WRITEPROTECT_MODE_WP};

	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup(text);
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_WP))
		return;
	if (ioctl(fd, UFFDIO_WRITEPROTECT, &wp)) {
		oracle_out("op protect %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_out("op writable source %d\n", oracle_touch(A4, PAGES, 50));
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
	oracle_out("op writable source %d destination %d\n", oracle_touch(A4, PAGES, 51),
		oracle_touch(C0, PAGES, 52));
	look();
	oracle_out("op protect %s\n", ioctl(fd, UFFDIO_WRITEPROTECT, &wp) ? "fails" : "0");
	oracle_out("op writable source %d destination %d\n", oracle_touch(A4, PAGES, 53),
		oracle_touch(C0, PAGES, 54));
	oracle_observe_content();
}

static void write_protect_anon(void)
{
	write_protect(ANON);
}

static void minor_memfd(void)
{
	if (!open_uffd(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM))
		return;
	oracle_setup("mmap A+4 8p memfd rw- off=4; write A+4 8p");
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MINOR))
		return;
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
	look();
}

static void multi_move(void)
{
	if (!open_uffd(UFFD_FEATURE_SIGBUS))
		return;
	oracle_setup("mmap A+4 4p anon rw-; write A+4 4p; mmap A+8 4p anon r--; mmap C+0 8p anon "
		     "rw-; write C+0 8p");
	if (!arm(A4, 4, UFFDIO_REGISTER_MODE_MISSING))
		return;
	move("armed first", A4, PAGES, C0, MREMAP_DONTUNMAP);
	look();
	oracle_observe_content();
}

static void *monitor(void *unused)
{
	struct pollfd ends[2] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};

	(void)unused;
	for (;;) {
		struct uffd_msg msg;

		if (poll(ends, 2, -1) < 0)
			continue;
		if (!(ends[0].revents & POLLIN)) {
			if (ends[1].revents)
				return NULL;
			continue;
		}
		if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (event_count < 64)
			events[event_count++] = msg;
		if (msg.event == UFFD_EVENT_PAGEFAULT && serve) {
			static uint64_t data[65536 / 8];
			struct uffdio_copy copy = {
				.dst = msg.arg.pagefault.address & ~(oracle_page - 1),
				.src = (uintptr_t)data,
				.len = oracle_page};

			data[0] = data[oracle_page / 8 - 1] = (uint64_t)1 << 32 | 99;
			while (ioctl(fd, UFFDIO_COPY, &copy) && errno == EAGAIN)
				copy.copy = 0;
		}
	}
}

static void print_events(void)
{
	char from[32], to[32];
	int i;

	for (i = 0; i < event_count; i++) {
		const struct uffd_msg *msg = &events[i];

		switch (msg->event) {
		case UFFD_EVENT_PAGEFAULT:
			oracle_out("op event fault %s flags %llu\n",
				oracle_place(msg->arg.pagefault.address & ~(oracle_page - 1), from),
				(unsigned long long)msg->arg.pagefault.flags);
			break;
		case UFFD_EVENT_REMAP:
			oracle_out("op event remap %s %s %llu\n",
				oracle_place(msg->arg.remap.from, from),
				oracle_place(msg->arg.remap.to, to),
				(unsigned long long)msg->arg.remap.len / oracle_page);
			break;
		case UFFD_EVENT_REMOVE:
		case UFFD_EVENT_UNMAP:
			oracle_out("op event %s %s %s\n",
				msg->event == UFFD_EVENT_UNMAP ? "unmap" : "remove",
				oracle_place(msg->arg.remove.start, from),
				oracle_place(msg->arg.remove.end, to));
			break;
		default:
			oracle_out("op event %d\n", msg->event);
			break;
		}
	}
	event_count = 0;
}

static void with_monitor(void (*body)(void))
{
	uint64_t one = 1;
	pthread_t thread;

	stop_fd = eventfd(0, EFD_CLOEXEC);
	if (pthread_create(&thread, NULL, monitor, NULL)) {
		oracle_out("trouble no thread\n");
		return;
	}
	body();
	if (write(stop_fd, &one, sizeof(one)) != sizeof(one))
		oracle_out("trouble eventfd\n");
	pthread_join(thread, NULL);
	print_events();
	oracle_observe(NULL);
}

#define ALL_EVENTS (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE)

static void dontunmap_whole(void)
{
	move("dontunmap", A4, PAGES, C0, MREMAP_DONTUNMAP);
}

static void dontunmap_part(void)
{
	move("dontunmap", A4 + 2, 3, C0, MREMAP_DONTUNMAP);
}

static void move_whole(void)
{
	move("move", A4, PAGES, C0, 0);
}

static void duplicate(void)
{
	oracle_say("duplicate", mremap(oracle_at(A4), 0, PAGES * oracle_page,
					MREMAP_MAYMOVE | MREMAP_FIXED, oracle_at(C0)));
}

static void touch_source(void)
{
	dontunmap_whole();
	oracle_out("op readable source %d\n", oracle_touch(A4, PAGES, 0));
	oracle_observe_content();
}

static void eventful(uint64_t features, const char *text, bool destination, void (*body)(void))
{
	if (!open_uffd(features))
		return;
	oracle_setup(text);
	if (!arm(A4, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	if (destination && !arm(C0, PAGES, UFFDIO_REGISTER_MODE_MISSING))
		return;
	with_monitor(body);
}

#define BUSY "; mmap C+0 8p anon rw-; write C+0 8p"

static void fault_reported(void)
{
	serve = true;
	eventful(0, ANON, false, touch_source);
}

static void fault_reported_shared(void)
{
	serve = true;
	eventful(0, "mmap A+4 8p shared rw-; write A+4 4p", false, touch_source);
}

static void remap_event(void)
{
	eventful(ALL_EVENTS, ANON, false, dontunmap_whole);
}

static void remap_event_part(void)
{
	eventful(ALL_EVENTS, ANON, false, dontunmap_part);
}

static void remap_event_shared(void)
{
	eventful(ALL_EVENTS, "mmap A+4 8p shared rw-; write A+4 8p", false, dontunmap_whole);
}

static void remap_event_fault(void)
{
	serve = true;
	eventful(ALL_EVENTS, ANON, false, touch_source);
}

static void unmap_event_destination(void)
{
	eventful(ALL_EVENTS, ANON BUSY, true, dontunmap_whole);
}

static void unmap_event_only(void)
{
	eventful(UFFD_FEATURE_EVENT_UNMAP, ANON BUSY, true, dontunmap_whole);
}

static void move_events(void)
{
	eventful(ALL_EVENTS, ANON BUSY, true, move_whole);
}

static void duplicate_event(void)
{
	eventful(ALL_EVENTS, "mmap A+4 8p shared rw-; write A+4 8p", false, duplicate);
}

const struct oracle_scenario oracle_scenarios_uffd[] = {
	{"uffd-missing-stays-armed-on-source", NULL, missing_anon},
	{"uffd-missing-stays-armed-on-part", NULL, missing_part},
	{"uffd-missing-stays-armed-on-shared", NULL, missing_shared},
	{"uffd-missing-stays-armed-on-memfd", NULL, missing_memfd},
	{"uffd-missing-again-and-again-then-closed", NULL, missing_again},
	{"uffd-plain-move-drops-registration", NULL, plain_move},
	{"uffd-unregister-after-dontunmap", NULL, unregister_after},
	{"uffd-write-protect-stays-on-source-only", NULL, write_protect_anon},
	{"uffd-minor-stays-on-source", NULL, minor_memfd},
	{"uffd-armed-mapping-refuses-multi-move", NULL, multi_move},
	{"uffd-fault-on-source-is-reported", NULL, fault_reported},
	{"uffd-fault-on-shared-source-is-reported", NULL, fault_reported_shared},
	{"uffd-remap-event-of-dontunmap", NULL, remap_event},
	{"uffd-remap-event-of-part", NULL, remap_event_part},
	{"uffd-remap-event-of-shared", NULL, remap_event_shared},
	{"uffd-remap-event-then-fault", NULL, remap_event_fault},
	{"uffd-unmap-event-of-armed-destination", NULL, unmap_event_destination},
	{"uffd-unmap-event-without-remap-event", NULL, unmap_event_only},
	{"uffd-events-of-plain-move", NULL, move_events},
	{"uffd-remap-event-of-duplicate", NULL, duplicate_event},
	{NULL, NULL, NULL},
};
