/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd that watches the source goes on watching the old range after MREMAP_DONTUNMAP, in
 * the same mode, and does not watch the new one (semantics.md 2.3, A5): no fault is lost, none is
 * answered with zeros. Needs userfaultfd(2), as root or with vm.unprivileged_userfaultfd.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/behave/uffd.h"

static struct arena a;

static void make(int flags)
{
	arena_make(&a, 8);
	arena_map(&a, RW, flags, -1);
	fill(a.source, 4 * PAGE, 1); /* and four pages that have never been touched */
}

static void check_after(int fd)
{
	check(armed(a.source, "um"));
	check(!armed(a.target, "um"));
	check(filled(a.target, 4 * PAGE, 1));
	check_quiet(fd, a.target + 5 * PAGE);
	check_faults(fd, a.source);
	check_faults(fd, a.source + 5 * PAGE);
	check_faults(fd, a.source + a.len - 8);
}

static void stays_armed(void **state)
{
	int fd = open_uffd(0);
	struct vma before;

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "um ");
	check_after(fd);
	close(fd);
	check(!armed(a.source, "um"));
	arena_end(&a);
}

static void anywhere(void **state)
{
	int fd = open_uffd(0);
	char *new;

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	new = moved(a.source, a.len, ANYWHERE, NULL);
	check(!armed(new, "um"));
	check(filled(new, 4 * PAGE, 1));
	check_quiet(fd, new + 5 * PAGE);
	check_faults(fd, a.source);
	close(fd);
	check(!munmap(new, a.len));
	arena_end(&a);
}

static void armed_afterwards(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	moved(a.source, a.len, ONTO, a.target);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	check_after(fd);
	close(fd);
	arena_end(&a);
}

/* The number under which it was opened is gone. */
static void duplicated(void **state)
{
	int first = open_uffd(0), fd;

	(void)state;
	make(ANON);
	check(arm(first, a.source, a.len, MODE_MISSING));
	fd = fcntl(first, F_DUPFD_CLOEXEC, 200);
	check(fd >= 200);
	close(first);
	moved(a.source, a.len, ONTO, a.target);
	check_after(fd);
	close(fd);
	arena_end(&a);
}

/*
 * Received over a socket, as a monitor of its own process would be given it; whoever made it has
 * closed it.
 */
static void received(void **state)
{
	int made = open_uffd(0), fd, pair[2];
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	(void)state;
	make(ANON);
	check(arm(made, a.source, a.len, MODE_MISSING));
	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &made, sizeof(int));
	check_is(sendmsg(pair[0], &msg, 0), 1);
	close(made);
	check_is(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC), 1);
	header = CMSG_FIRSTHDR(&msg);
	check(header && header->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	moved(a.source, a.len, ONTO, a.target);
	check_after(fd);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	arena_end(&a);
}

/* Made by the device that is there from 6.1 on. */
static void of_the_device(void **state)
{
	struct uffdio_api api = {.api = UFFD_API};
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd;

	(void)state;
	/* USERFAULTFD_IOC_NEW; a pretended old kernel has a device that knows nothing */
	fd = device < 0 ? -1 : ioctl(device, _IO(0xAA, 0x00), O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		behave_skip("no /dev/userfaultfd here");
	close(device);
	check(!ioctl(fd, UFFDIO_API, &api));
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	moved(a.source, a.len, ONTO, a.target);
	check_after(fd);
	close(fd);
	arena_end(&a);
}

/* Another one, which watches something else, is in the way of whoever looks for it. */
static void two_of_them(void **state)
{
	int other = open_uffd(0), fd = open_uffd(0);
	char *elsewhere = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);

	(void)state;
	make(ANON);
	check(arm(other, elsewhere, 4 * PAGE, MODE_MISSING));
	check(arm(fd, a.source, a.len, MODE_MISSING));
	moved(a.source, a.len, ONTO, a.target);
	check_after(fd);
	check_faults(other, elsewhere);
	close(other);
	close(fd);
	check(!munmap(elsewhere, 4 * PAGE));
	arena_end(&a);
}

/* What Chromium's swap and every collector do: evict, and put back into an empty place. */
static void put_back(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	for (unsigned int round = 0; round < 20; round++) {
		char *at = a.source + (round % 4) * PAGE;

		check(mremap(at, PAGE, PAGE, ONTO, a.target) == a.target);
		check(serve(fd, at, 50 + round)); /* EEXIST if it is not empty */
		check(filled(at, PAGE, 50 + round));
		check_is(vma_count(a.source, a.len), 1);
		check(armed(at, "um"));
	}
	check(mmap(a.target, PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0) == a.target);
	close(fd);
	arena_end(&a);
}

/* Part of an armed mapping: all of it stays armed, none of it is split off. */
static void part(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	moved(a.source + 2 * PAGE, 3 * PAGE, ONTO, a.target);
	for (size_t i = 0; i < 8; i++)
		check(armed(a.source + i * PAGE, "um"));
	check_is(vma_count(a.source, a.len), 1);
	check(filled(a.source, 2 * PAGE, 1));
	check_faults(fd, a.source + 2 * PAGE);
	check_faults(fd, a.source + 4 * PAGE);
	check_faults(fd, a.source + 6 * PAGE);
	check_quiet(fd, a.target + 2 * PAGE);
	close(fd);
	arena_end(&a);
}

/* Only part of the memory is armed, and that part moves. */
static void armed_part(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	check(arm(fd, a.source + 2 * PAGE, 4 * PAGE, MODE_MISSING));
	moved(a.source + 2 * PAGE, 4 * PAGE, ONTO, a.target);
	check(armed(a.source + 2 * PAGE, "um") && armed(a.source + 5 * PAGE, "um"));
	check(!armed(a.source, "um") && !armed(a.source + 6 * PAGE, "um"));
	check_is(vma_count(a.source, a.len), 3);
	check_faults(fd, a.source + 2 * PAGE);
	check_quiet(fd, a.source + 7 * PAGE);
	check_quiet(fd, a.target);
	close(fd);
	arena_end(&a);
}

/* One of several mappings is armed: the call that 6.17 refuses (semantics.md 5). */
static void armed_among_several(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	check(arm(fd, a.source, 2 * PAGE, MODE_MISSING));
	refused(a.source, a.len, a.len, ONTO, a.target, EFAULT);
	refused(a.source, a.len, a.len, ANYWHERE, NULL, EFAULT);
	check(filled(a.source, 4 * PAGE, 1));
	close(fd);
	arena_end(&a);
}

/* A thread waits for its page already when the pages around it move away. */
/* Several mappings move onto one that is armed, of whose unmapping nobody wants to be told. */
static void onto_an_armed_one(void **state)
{
	int fd = open_uffd(0);

	(void)state;
	make(ANON);
	check(mmap(a.target, a.len, RW, ANON | MAP_FIXED, -1, 0) == a.target);
	check(arm(fd, a.target + PAGE, 2 * PAGE, MODE_MISSING));
	check(!mprotect(a.source + 2 * PAGE, PAGE, PROT_READ));
	moved(a.source, a.len, ONTO, a.target);
	check(filled(a.target, 4 * PAGE, 1) && zeroed(a.source, a.len));
	check(!armed(a.target + PAGE, "um"));
	close(fd);
	arena_end(&a);
}

static void waiting_thread(void **state)
{
	struct uffd_msg msg;
	int fd = open_uffd(0);
	struct touch t;

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	touch_start(&t, a.source + 6 * PAGE);
	check(read_event(fd, &msg, 5000));
	check(mremap(a.source, a.len, a.len, ONTO, a.target) == a.target);
	check(filled(a.target, 4 * PAGE, 1));
	usleep(20000);
	check(serve(fd, a.source + 6 * PAGE, 60));
	touch_end(&t);
	check(filled(a.source + 6 * PAGE, PAGE, 60));
	check(zeroed(a.target + 6 * PAGE, PAGE));
	check(armed(a.source, "um"));
	close(fd);
	arena_end(&a);
}

/* Threads fault, a monitor answers, and the pages are taken away from them again and again. */
static int monitor_fd;
static atomic_bool stop, stop_monitor; /* those who wait for a page need the monitor to the last */
static atomic_long served, errors;

static void *monitor(void *arg)
{
	static char page[65536] __attribute__((aligned(65536)));
	struct uffd_msg msg;

	(void)arg;
	memset(page, 0x77, PAGE);
	while (!atomic_load(&stop_monitor)) {
		struct uffdio_copy copy = {.src = (uintptr_t)page, .len = PAGE};

		if (!read_event(monitor_fd, &msg, 10))
			continue;
		copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
		if (!ioctl(monitor_fd, UFFDIO_COPY, &copy)) {
			atomic_fetch_add(&served, 1);
		} else if (errno == EEXIST) {
			struct uffdio_range range = {copy.dst, PAGE};

			ioctl(monitor_fd, UFFDIO_WAKE, &range);
		} else if (errno != EAGAIN) {
			atomic_fetch_add(&errors, 1);
		}
	}
	return NULL;
}

static void *mutator(void *arg)
{
	unsigned long i = (unsigned long)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		i = i * 6364136223846793005ul + 1442695040888963407ul;
		if (*(volatile uint64_t *)(a.source + (i >> 33) % a.len / 8 * 8) !=
			0x7777777777777777u)
			atomic_fetch_add(&errors, 1);
	}
	return NULL;
}

static void monitored(void **state)
{
	pthread_t threads[3];
	bool ok = true;

	(void)state;
	arena_make(&a, 8);
	arena_map(&a, RW, ANON, -1);
	monitor_fd = open_uffd(0);
	check(arm(monitor_fd, a.source, a.len, MODE_MISSING));
	atomic_store(&stop, false);
	atomic_store(&stop_monitor, false);
	atomic_store(&served, 0);
	atomic_store(&errors, 0);
	check(!pthread_create(&threads[0], NULL, monitor, NULL));
	check(!pthread_create(&threads[1], NULL, mutator, (void *)1));
	check(!pthread_create(&threads[2], NULL, mutator, (void *)2));
	for (int i = 0; i < 60 && ok; i++) {
		long before = atomic_load(&served);

		ok = mremap(a.source, a.len, a.len, ONTO, a.target) == a.target;
		for (size_t at = 0; at < a.len && ok; at += 8) {
			uint64_t value = *(uint64_t *)(a.target + at);

			ok = value == 0x7777777777777777u || value == 0;
		}
		for (int n = 0; n < 5000 && atomic_load(&served) == before; n++)
			usleep(1000);
		ok = ok && atomic_load(&served) != before;
	}
	atomic_store(&stop, true);
	for (int i = 1; i < 3; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop_monitor, true);
	pthread_join(threads[0], NULL);
	close(monitor_fd);
	check(ok);
	check_is(errors, 0);
	arena_end(&a);
}

/* MISSING of shared memory: what is missing is what the object has not. */
static void shared(void **state)
{
	int fd = open_uffd(0), memfd = memfd_create("behave", MFD_CLOEXEC);
	struct vma before;

	(void)state;
	arena_make(&a, 8);
	check(memfd >= 0 && !ftruncate(memfd, (off_t)a.len));
	check(mmap(a.source, a.len, RW, MAP_SHARED | MAP_FIXED, memfd, 0) == a.source);
	fill(a.source, 4 * PAGE, 1);
	if (!arm(fd, a.source, a.len, MODE_MISSING)) {
		close(fd);
		close(memfd);
		arena_end(&a);
		behave_skip("this kernel's userfaultfd takes no shared memory");
	}
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "um ");
	check(armed(a.source, "um") && !armed(a.target, "um"));
	check(filled(a.target, 4 * PAGE, 1));
	check_quiet(fd, a.source); /* the object has it */
	check(filled(a.source, 4 * PAGE, 1));
	check_faults(fd, a.source + 5 * PAGE);
	check(filled(a.target + 5 * PAGE, PAGE, 40));
	check_quiet(fd, a.target + 6 * PAGE);
	close(fd);
	close(memfd);
	arena_end(&a);
}

/* Write-protection, 5.7: the old range stays registered, at the new one nobody is held up. */
static void write_protected(void **state)
{
	struct uffdio_writeprotect wp = {.mode = 1};
	int fd = open_uffd(FEATURE_WP);
	struct vma before;
	struct uffd_msg msg;

	(void)state;
	make(ANON);
	if (!arm(fd, a.source, a.len, MODE_WP | MODE_MISSING)) {
		close(fd);
		arena_end(&a);
		behave_skip("no write-protection by userfaultfd");
	}
	wp.range.start = (uintptr_t)a.source;
	wp.range.len = 2 * PAGE;
	check(!ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	check(vma_at(a.source, &before));
	moved(a.source, a.len, ONTO, a.target);
	check_both(&before, a.source, a.target, a.len, "um uw ");
	check(armed(a.source, "um") && armed(a.source, "uw"));
	check(!armed(a.target, "um") && !armed(a.target, "uw"));
	check(filled(a.target, 4 * PAGE, 1));
	if (read_event(fd, &msg, 0))
		check(!"an event");
	fill(a.target, 4 * PAGE, 2); /* does not wait for anybody */
	check_faults(fd, a.source);
	close(fd);
	arena_end(&a);
}

/* UFFD_FEATURE_SIGBUS, 4.14: no event but an error; here for the kernel's own access. */
static void sigbus(void **state)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {NULL, 1};
	int fd = open_uffd(FEATURE_SIGBUS);

	(void)state;
	make(ANON);
	check(arm(fd, a.source, a.len, MODE_MISSING));
	moved(a.source, a.len, ONTO, a.target);
	there.iov_base = a.source;
	check(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == -1 && errno == EFAULT);
	check(filled(a.target, 4 * PAGE, 1));
	check(serve(fd, a.source, 3));
	check(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1);
	close(fd);
	arena_end(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(stays_armed, "dontunmap-keeps-uffd-armed"),
		CASE(anywhere, "dontunmap-to-anywhere-keeps-uffd-armed"),
		CASE(armed_afterwards, "dontunmap-then-uffd-is-armed"),
		CASE(duplicated, "dontunmap-keeps-a-duplicated-uffd-armed"),
		CASE(received, "dontunmap-keeps-a-received-uffd-armed"),
		CASE(of_the_device, "dontunmap-keeps-a-uffd-of-the-device-armed"),
		CASE(two_of_them, "dontunmap-keeps-the-right-uffd-armed"),
		CASE(put_back, "dontunmap-leaves-room-for-uffdio-copy"),
		CASE(part, "dontunmap-of-a-part-keeps-all-armed"),
		CASE(armed_part, "dontunmap-of-the-armed-part"),
		CASE(armed_among_several, "dontunmap-of-several-mappings-refuses-an-armed-one"),
		CASE(onto_an_armed_one, "dontunmap-of-several-mappings-onto-an-armed-one"),
		CASE(waiting_thread, "dontunmap-while-a-thread-waits-for-its-page"),
		CASE(monitored, "dontunmap-again-and-again-under-a-monitor"),
		CASE(shared, "dontunmap-of-shared-memory-keeps-uffd-armed"),
		CASE(write_protected, "dontunmap-keeps-uffd-write-protection-armed"),
		CASE(sigbus, "dontunmap-keeps-uffd-sigbus-armed"),
	};

	return BEHAVE_RUN(cases);
}
