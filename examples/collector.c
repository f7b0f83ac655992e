/* SPDX-License-Identifier: MIT */
/*
 * collector: a small compacting garbage collector that copies while the program runs on.
 *
 * It is what MREMAP_DONTUNMAP was made for. Mutator threads build lists of objects in a heap. A
 * collection goes:
 *
 *   1. The mutators stop at a safepoint. Live objects are marked; each gets an address in to-space,
 *      where they will lie without gaps. Nothing is copied yet.
 *   2. mremap(from-space, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, aside): one call moves
 *      the pages to another address, whatever the size of the heap. The old objects can be read
 *      there and nowhere else.
 *   3. The roots get their new addresses and the mutators run on, in a to-space that has no pages.
 *      Touching a page raises a userfaultfd event; the monitor thread composes that page from the
 *      objects that belong on it and puts it in place with UFFDIO_COPY. The collector does the same
 *      for the pages that nobody asks for.
 *   4. When all pages are there, what was moved aside is dropped.
 *
 * Where to-space is depends on the memory:
 *
 *   --private   private anonymous memory: what MREMAP_DONTUNMAP leaves behind is empty and still
 *               watched by the userfaultfd, so to-space is the old range itself.
 *   --memfd     (default) shared memory: the moved pages stay in the memfd, so the old range would
 *               go on showing them, and userfaultfd reports only what is missing in the file.
 *               Therefore two halves: from-space is the one with the objects, to-space the other
 *               one, which is a hole in the file. After the collection the old half is punched out
 *               (fallocate) and is to-space next time.
 *
 * Natively this needs Linux 5.7 (--private) and 5.13 (--memfd); on older kernels: remap-run --
 * collector. Plain libc calls, nothing here knows of libremap. Every object carries a checksum; a
 * lost, torn or stale page does not go unnoticed. What a real collector has and this one has not:
 * write barriers, generations, more than one root a thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define GRANULE	    16	/* objects are multiples of it, so that no header lies across two pages */
#define MAX_WORDS   16	/* of an object's payload */
#define MAX_OBJECT  160 /* bytes: the header and that */
#define MAX_THREADS 64
#define NOT_LIVE    UINT32_MAX

struct object {
	struct object *next;
	uint32_t size; /* bytes, with the header */
	uint32_t sum;  /* of everything but next */
	uint64_t tag;  /* owner and number */
	uint64_t payload[];
};

struct mutator {
	pthread_t thread;
	struct object *root;
	unsigned long length, checked, damaged;
	uint64_t random, number;
};

static struct {
	bool private, quiet;
	unsigned long collections, threads, objects;
} opt = {false, false, 20, 4, 20000};

static struct {
	size_t page, half; /* bytes of a page and of a half */
	char *base;	   /* one half or two */
	char *from;	   /* where the mutators allocate */
	char *aside;	   /* where from-space is moved to: a reservation of one half */
	int memfd, uffd;
	_Atomic size_t top; /* bytes of from-space in use */
	atomic_bool full;   /* somebody waits for a collection */
} heap;

/* A collection, from the safepoint until every page is in place. Under the lock. */
static struct {
	pthread_mutex_t lock;
	bool active;
	char *from, *to;
	size_t used, live; /* bytes of from-space, and those of them that are live */
	uint32_t *forward; /* by granule of from-space: where to, in granules, or NOT_LIVE */
	uint32_t *first;   /* by page of to-space: the granule in from-space of its first object */
} cycle = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * The safepoint: mutators work under the read lock, and have no pointer into the heap but their
 * root without it.
 */
static pthread_rwlock_t safepoint = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static atomic_bool ending;
static struct mutator mutators[MAX_THREADS];
static unsigned long filled_on_demand;

static void die(const char *what)
{
	fprintf(stderr, "collector: %s: %m\n", what);
	exit(1);
}

static uint32_t checksum(const struct object *o)
{
	uint64_t sum = o->size * 0x9e3779b97f4a7c15u ^ o->tag;

	for (size_t i = 0; i < (o->size - sizeof(*o)) / 8; i++)
		sum = (sum ^ o->payload[i]) * 0x100000001b3u;
	return (uint32_t)(sum >> 32 ^ sum);
}

/* Room in from-space, or NULL: it is full. */
static struct object *allocate(size_t size)
{
	size_t top = heap.top;

	do {
		if (top + size > heap.half) {
			heap.full = true;
			return NULL;
		}
	} while (!atomic_compare_exchange_weak(&heap.top, &top, top + size));
	return (struct object *)(heap.from + top);
}

static uint64_t next_random(struct mutator *m)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return m->random >> 33;
}

/* False: there is no room before the next collection. */
static bool push_object(struct mutator *m)
{
	size_t words = 1 + next_random(m) % MAX_WORDS;
	size_t size = (sizeof(struct object) + words * 8 + GRANULE - 1) / GRANULE * GRANULE;
	struct object *o = allocate(size);

	if (!o)
		return false;
	o->size = (uint32_t)size;
	o->tag = (uint64_t)(m - mutators) << 48 | m->number++;
	for (size_t i = 0; i < (size - sizeof(*o)) / 8; i++)
		o->payload[i] = next_random(m);
	o->sum = checksum(o);
	o->next = m->root;
	m->root = o;
	m->length++;
	return true;
}

/* Looks at every object of the list, and changes one in eight. */
static void walk(struct mutator *m)
{
	const uint64_t owner = (uint64_t)(m - mutators);
	unsigned long n = 0;

	for (struct object *o = m->root; o; o = o->next, n++) {
		m->checked++;
		if ((size_t)((char *)o - heap.from) >= heap.half || o->size > MAX_OBJECT ||
			o->size < sizeof(*o) || o->tag >> 48 != owner || o->sum != checksum(o)) {
			m->root = NULL; /* cannot be followed further */
			break;
		}
		if (next_random(m) % 8 == 0) {
			o->payload[0] = next_random(m);
			o->sum = checksum(o);
		}
	}
	if (n != m->length) {
		m->damaged++;
		m->length = m->root ? n : 0;
	}
}

/* The older half becomes garbage, and every fourth object of the newer half. */
static void drop(struct mutator *m)
{
	const unsigned long keep = m->length / 2;
	struct object *o = m->root;

	for (m->length = 1; m->length < keep; m->length++) {
		if (m->length % 3 == 0)
			o->next = o->next->next;
		o = o->next;
	}
	o->next = NULL;
}

static void *run_mutator(void *arg)
{
	struct mutator *m = arg;
	const unsigned long most = opt.objects / opt.threads + 16;

	while (!ending) {
		bool room = true;

		pthread_rwlock_rdlock(&safepoint);
		for (int i = 0; i < 64 && room; i++) {
			if (m->length >= most)
				drop(m);
			else if (next_random(m) % 512 == 0)
				walk(m);
			else
				room = push_object(m);
		}
		pthread_rwlock_unlock(&safepoint);
		if (!room)
			sched_yield();
	}
	return NULL;
}

/*
 * Marks by giving every live object a place; the mutators stand still and the objects are where
 * they were.
 */
static void plan_cycle(void)
{
	size_t to = 0;

	cycle.from = heap.from;
	cycle.to = opt.private ? heap.from : heap.base + (heap.from == heap.base ? heap.half : 0);
	cycle.used = heap.top;
	memset(cycle.forward, 0xff, cycle.used / GRANULE * sizeof(*cycle.forward));
	for (size_t i = 0; i < opt.threads; i++)
		for (struct object *o = mutators[i].root; o; o = o->next)
			cycle.forward[((char *)o - heap.from) / GRANULE] = 0;

	/* from-space is full of objects from end to end: each size leads to the next one */
	for (size_t from = 0; from < cycle.used;) {
		const size_t size = ((struct object *)(heap.from + from))->size;
		const size_t last = (to + size - 1) / heap.page;

		if (cycle.forward[from / GRANULE] != NOT_LIVE) {
			cycle.forward[from / GRANULE] = (uint32_t)(to / GRANULE);
			if (to % heap.page == 0 || last != to / heap.page)
				cycle.first[last] = (uint32_t)(from / GRANULE);
			to += size;
		}
		from += size;
	}
	cycle.live = to;
}

static struct object *forward(const struct object *o)
{
	const size_t granule = o ? cycle.forward[((char *)o - cycle.from) / GRANULE] : 0;

	return o ? (struct object *)(cycle.to + granule * GRANULE) : NULL;
}

/* Composes a page of to-space from the objects that were moved aside. Under the cycle's lock. */
static void compose(size_t page, char *out)
{
	const size_t begin = page * heap.page, end = begin + heap.page;
	size_t from = (size_t)cycle.first[page] * GRANULE;

	memset(out, 0, heap.page);
	while (from < cycle.used) {
		const struct object *o = (const struct object *)(heap.aside + from);
		const uint32_t place = cycle.forward[from / GRANULE];
		const size_t to = (size_t)place * GRANULE;

		from += o->size;
		if (place == NOT_LIVE)
			continue;
		if (to >= end)
			break;
		/* its first bytes may be on the page before, its last on the page behind */
		size_t skip = to < begin ? begin - to : 0;
		size_t stop = to + o->size > end ? end - to : o->size;

		memcpy(out + (to + skip - begin), (const char *)o + skip, stop - skip);
		if (!skip) /* what it points to moves as well */
			((struct object *)(out + (to - begin)))->next = forward(o->next);
	}
}

/*
 * Puts the page with that address in place: composed if objects belong on it, else zeros for new
 * ones. Whoever comes second finds EEXIST and only wakes the threads that wait for the page.
 */
static bool fill_page(char *address, char *buffer)
{
	struct uffdio_range range = {(uintptr_t)address, heap.page};
	bool composed = false;
	int r;

	pthread_mutex_lock(&cycle.lock);
	do {
		if (cycle.active && address >= cycle.to && address < cycle.to + cycle.live) {
			struct uffdio_copy copy = {
				.dst = range.start, .src = (uintptr_t)buffer, .len = heap.page};

			compose((size_t)(address - cycle.to) / heap.page, buffer);
			r = ioctl(heap.uffd, UFFDIO_COPY, &copy);
			composed = !r;
		} else {
			struct uffdio_zeropage zero = {.range = range};

			r = ioctl(heap.uffd, UFFDIO_ZEROPAGE, &zero);
		}
	} while (r && errno == EAGAIN);
	pthread_mutex_unlock(&cycle.lock);
	if (r && (errno != EEXIST || ioctl(heap.uffd, UFFDIO_WAKE, &range)))
		die("UFFDIO_COPY");
	return composed;
}

static void *run_monitor(void *arg)
{
	const int end = *(int *)arg;
	char *buffer = malloc(heap.page);
	struct uffd_msg msg;

	while (buffer) {
		struct pollfd p[2] = {{heap.uffd, POLLIN, 0}, {end, POLLIN, 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[1].revents)
			break;
		/* EAGAIN if the fault has gone away meanwhile */
		if (read(heap.uffd, &msg, sizeof(msg)) == sizeof(msg))
			filled_on_demand += fill_page(
				(char *)(uintptr_t)(msg.arg.pagefault.address & ~(heap.page - 1)),
				buffer);
	}
	free(buffer);
	return NULL;
}

/* Away with what was moved aside; the place is kept. */
static void drop_aside(void)
{
	if (mmap(heap.aside, heap.half, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	if (!opt.private && fallocate(heap.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)(cycle.from - heap.base), (off_t)heap.half))
		die("fallocate(FALLOC_FL_PUNCH_HOLE)");
}

static void collect(char *buffer)
{
	pthread_rwlock_wrlock(&safepoint);
	pthread_mutex_lock(&cycle.lock); /* the monitor may come late with a fault of before */
	plan_cycle();
	if (mremap(cycle.from, heap.half, heap.half,
		    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, heap.aside) != heap.aside)
		die("mremap(MREMAP_DONTUNMAP)");
	for (size_t i = 0; i < opt.threads; i++)
		mutators[i].root = forward(mutators[i].root);
	heap.from = cycle.to;
	heap.top = cycle.live;
	heap.full = false;
	cycle.active = true;
	pthread_mutex_unlock(&cycle.lock);
	pthread_rwlock_unlock(&safepoint);

	usleep(1000); /* those who need a page now come first */
	for (size_t at = 0; at < cycle.live; at += heap.page)
		fill_page(cycle.to + at, buffer);
	pthread_mutex_lock(&cycle.lock); /* the monitor may be reading what is aside */
	cycle.active = false;
	pthread_mutex_unlock(&cycle.lock);
	drop_aside();
}

static void make_heap(void)
{
	const size_t round = 2 << 20; /* page tables can move as a whole */
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	size_t size;

	heap.page = (size_t)sysconf(_SC_PAGESIZE);
	heap.half = (opt.objects * MAX_OBJECT * 3 / round + 1) * round;
	size = opt.private ? heap.half : 2 * heap.half;
	heap.memfd = -1;
	if (!opt.private) {
		heap.memfd = memfd_create("collector heap", MFD_CLOEXEC);
		if (heap.memfd < 0 || ftruncate(heap.memfd, (off_t)size))
			die("memfd_create");
	}
	heap.base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		opt.private ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED, heap.memfd,
		0);
	heap.aside = mmap(
		NULL, heap.half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cycle.forward = malloc(heap.half / GRANULE * sizeof(*cycle.forward));
	cycle.first = malloc(heap.half / heap.page * sizeof(*cycle.first));
	if (heap.base == MAP_FAILED || heap.aside == MAP_FAILED || !cycle.forward || !cycle.first)
		die("memory");
	heap.from = heap.base;

	/* 1 is UFFD_USER_MODE_ONLY (5.11): enough, as no system call touches the heap */
	heap.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (heap.uffd < 0 && errno == EPERM)
		heap.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
	if (heap.uffd < 0)
		die("userfaultfd");
	reg.range.start = (uintptr_t)heap.base;
	reg.range.len = size;
	if (ioctl(heap.uffd, UFFDIO_API, &api) || ioctl(heap.uffd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
}

static const char help[] =
	"Usage: collector [--memfd | --private] [--collections N] [--threads N]\n"
	"                 [--objects N] [--quiet] [--help]\n"
	"A compacting collector that copies while the program runs on, by MREMAP_DONTUNMAP\n"
	"and userfaultfd. Exits with 0 if every object was right every time.\n\n"
	"  --memfd          the heap is shared memory (default)\n"
	"  --private        the heap is private anonymous memory\n"
	"  --collections N  collect so many times (20)\n"
	"  --threads N      mutator threads, 1 to 64 (4)\n"
	"  --objects N      live objects of all threads, 100 to 10000000 (20000)\n"
	"  --quiet          say nothing unless something is wrong\n";

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"memfd", 0, NULL, 'm'}, {"private", 0, NULL, 'p'},
		{"collections", 1, NULL, 'c'}, {"threads", 1, NULL, 't'}, {"objects", 1, NULL, 'o'},
		{"quiet", 0, NULL, 'q'}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	bool wrong = false;
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (c == 'm' || c == 'p') {
			opt.private = c == 'p';
		} else if (c == 'q') {
			opt.quiet = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		} else if (c == '?') {
			wrong = true;
		} else {
			*(c == 'c'	   ? &opt.collections
				: c == 't' ? &opt.threads
					   : &opt.objects) = strtoul(optarg, &rest, 10);
			wrong = wrong || *rest || !*optarg;
		}
	}
	if (wrong || optind < argc || !opt.collections || !opt.threads ||
		opt.threads > MAX_THREADS || opt.objects < 100 || opt.objects > 10000000) {
		fputs(help, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned long checked = 0, damaged = 0;
	pthread_t monitor;
	char *buffer;
	int end[2];

	parse(argc, argv);
	make_heap();
	buffer = malloc(heap.page);
	if (!buffer || pipe2(end, 0) || pthread_create(&monitor, NULL, run_monitor, end))
		die("pthread_create");
	for (size_t i = 0; i < opt.threads; i++) {
		mutators[i].random = i + 1;
		if (pthread_create(&mutators[i].thread, NULL, run_mutator, &mutators[i]))
			die("pthread_create");
	}
	for (unsigned long i = 0; i < opt.collections; i++) {
		/* when two thirds are in use, or soon in any case */
		for (int n = 0; n < 20 && !heap.full && heap.top < heap.half / 3 * 2; n++)
			usleep(1000);
		collect(buffer);
	}
	ending = true;
	for (size_t i = 0; i < opt.threads; i++) {
		pthread_join(mutators[i].thread, NULL);
		walk(&mutators[i]);
		checked += mutators[i].checked;
		damaged += mutators[i].damaged;
	}
	if (write(end[1], "", 1) != 1)
		die("write");
	pthread_join(monitor, NULL);
	free(buffer);
	if (damaged)
		fprintf(stderr, "collector: %lu lists were damaged\n", damaged);
	else if (!opt.quiet)
		printf("collector: %lu collections, %lu objects checked, %lu pages filled on "
		       "demand: all correct\n",
			opt.collections, checked, filled_on_demand);
	return damaged != 0;
}
