/* SPDX-License-Identifier: MIT */
/*
 * colours: the same heap at three addresses, and pointers whose address says how old they are.
 *
 * It is how ZGC on x86-64 coloured its pointers before it was generational. The heap is seen at
 * three places; two bits of an address, its colour, tell which. All three lead to the same object,
 * so a pointer may be followed whatever its colour; but in each cycle only one colour is good. A
 * thread that loads a pointer of a stale colour heals it: it counts the object as reached in this
 * cycle and stores the pointer back in the good colour. The collector walks everything and does the
 * same. When it is done, no stale pointer is left, and the next cycle makes another colour good.
 * Loading is a test of the address, following a pointer needs no mask.
 *
 * The second and third view are one call each: mremap(heap, size, size, MREMAP_MAYMOVE |
 * MREMAP_FIXED | MREMAP_MIRROR, view). No kernel has MREMAP_MIRROR: remap-run -- colours. With
 * --private the heap is ordinary private memory and already full of objects when it is given its
 * other colours. Plain libc calls, nothing here knows of libremap.
 *
 * What is checked: every object is reached in every cycle, its fields are what its number says
 * through all three colours, and no count that a mutator made through any of them is lost.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MREMAP_MIRROR
#define MREMAP_MIRROR (1 << 24)
#endif

#define COLOURS	    3
#define MAX_THREADS 64
#define FIELDS	    2

struct object {
	_Atomic(struct object *) field[FIELDS];
	uint64_t number, check; /* check: what follows from the number */
	_Atomic uint64_t count;
	_Atomic uint32_t reached; /* the last cycle that has seen it */
	uint32_t reserved;
};

static struct {
	bool private, quiet;
	unsigned long cycles, threads, objects;
} opt = {false, false, 30, 4, 20000};

static struct {
	char *base;		/* of the view of colour 0 */
	size_t size;		/* bytes of the heap */
	size_t apart;		/* a power of two: colour c is at base + c * apart */
	_Atomic uintptr_t good; /* c * apart of this cycle */
	_Atomic uint32_t cycle;
	_Atomic(struct object *) root;
} heap;

static struct {
	pthread_t thread;
	uint64_t counted, healed;
} mutators[MAX_THREADS];

static _Atomic bool ending, damaged;
static _Atomic uint64_t healed_by_collector;

/*
 * Between two cycles nobody holds a pointer: the mutators come by here, under the read lock
 * otherwise.
 */
static pthread_rwlock_t safepoint = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static void die(const char *what)
{
	fprintf(stderr, "colours: %s: %m\n", what);
	exit(1);
}

static uint64_t check_of(uint64_t number)
{
	return (number + 1) * 0x9e3779b97f4a7c15u;
}

static uintptr_t colour_of(const struct object *o)
{
	return ((uintptr_t)o - (uintptr_t)heap.base) & ~(heap.apart - 1);
}

static struct object *in_colour(struct object *o, uintptr_t colour)
{
	return (struct object *)((uintptr_t)o - colour_of(o) + colour);
}

/* The load barrier: what is stored there, in the good colour; and healed if it was not. */
static struct object *load(_Atomic(struct object *) *from, uint64_t *healed)
{
	struct object *o = *from, *good;

	if (colour_of(o) == heap.good)
		return o;
	good = in_colour(o, heap.good);
	good->reached = heap.cycle;
	if (atomic_compare_exchange_strong(from, &o, good))
		(*healed)++;
	return good;
}

/* An object may be looked at through any colour. */
static bool right(struct object *o)
{
	for (uintptr_t c = 0; c < COLOURS; c++) {
		const struct object *same = in_colour(o, c * heap.apart);

		if (same->number != o->number || same->check != check_of(o->number))
			return false;
	}
	return true;
}

/* Wanders about, counting at every object it comes to. */
static void *mutate(void *arg)
{
	const size_t self = (size_t)arg;
	uint64_t random = self + 1, healed = 0;

	while (!ending) {
		struct object *o;

		pthread_rwlock_rdlock(&safepoint);
		o = load(&heap.root, &healed);
		for (int step = 0; step < 2000; step++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			if (o->check != check_of(o->number))
				damaged = true;
			/* through whichever of the colours */
			in_colour(o, (random >> 40) % COLOURS * heap.apart)->count++;
			mutators[self].counted++;
			o = load(&o->field[random >> 63], &healed);
		}
		pthread_rwlock_unlock(&safepoint);
	}
	mutators[self].healed = healed;
	return NULL;
}

static struct object *object(size_t i)
{
	return (struct object *)heap.base + i;
}

/*
 * A cycle: the next colour is good; everything is walked in the order of the fields; then nothing
 * may be stale.
 */
static void collect(struct object **stack)
{
	size_t depth = 0, reached = 0;
	uint64_t healed = 0;
	const uint32_t cycle = heap.cycle + 1;
	char *seen = calloc(opt.objects, 1);

	if (!seen)
		die("calloc");
	pthread_rwlock_wrlock(&safepoint);
	heap.cycle = cycle;
	heap.good = cycle % COLOURS * heap.apart;
	pthread_rwlock_unlock(&safepoint);
	stack[depth++] = load(&heap.root, &healed);
	while (depth) {
		struct object *o = stack[--depth];

		if (seen[o->number]++)
			continue;
		o->reached = cycle;
		if (!right(o))
			damaged = true;
		reached++;
		for (int f = 0; f < FIELDS; f++) {
			struct object *next = load(&o->field[f], &healed);

			if (!seen[next->number])
				stack[depth++] = next;
		}
	}
	for (size_t i = 0; i < opt.objects; i++) {
		struct object *o = object(i);

		for (int f = 0; f < FIELDS; f++)
			if (colour_of(o->field[f]) != heap.good || o->reached != cycle)
				damaged = true;
	}
	if (reached != opt.objects)
		damaged = true;
	healed_by_collector += healed;
	free(seen);
}

static void make_heap(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const int kind = opt.private ? MAP_PRIVATE : MAP_SHARED;
	char *all;

	heap.size = (opt.objects * sizeof(struct object) + page - 1) & ~(page - 1);
	for (heap.apart = page; heap.apart < heap.size; heap.apart *= 2)
		;
	/* one reservation that has room for all colours at a multiple of their distance */
	all = mmap(NULL, (COLOURS + 1) * heap.apart, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		die("mmap");
	heap.base = (char *)(((uintptr_t)all + heap.apart - 1) & ~(heap.apart - 1));
	if (mmap(heap.base, heap.size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) == MAP_FAILED)
		die("mmap");
	/* object i leads on to i + 1, and to somewhere else */
	for (size_t i = 0; i < opt.objects; i++) {
		object(i)->number = i;
		object(i)->check = check_of(i);
		object(i)->field[0] = object((i + 1) % opt.objects);
		object(i)->field[1] = object(i * 2654435761u % opt.objects);
	}
	heap.root = object(0);
	for (size_t c = 1; c < COLOURS; c++)
		if (mremap(heap.base, heap.size, heap.size,
			    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_MIRROR,
			    heap.base + c * heap.apart) == MAP_FAILED)
			die("mremap(MREMAP_MIRROR)");
}

static const char help[] =
	"Usage: colours [--private] [--cycles N] [--threads N] [--objects N] [--quiet] [--help]\n"
	"A heap at three addresses, whose pointers carry their age in the address.\n"
	"Exits with 0 if every object was right every time.\n\n"
	"  --private    the heap is private anonymous memory (default: shared)\n"
	"  --cycles N   collect so many times, 1 to 1000000 (30)\n"
	"  --threads N  mutator threads, 1 to 64 (4)\n"
	"  --objects N  100 to 10000000 (20000)\n"
	"  --quiet      say nothing unless something is wrong\n";

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"private", 0, NULL, 'p'}, {"cycles", 1, NULL, 'c'},
		{"threads", 1, NULL, 't'}, {"objects", 1, NULL, 'o'}, {"quiet", 0, NULL, 'q'},
		{"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	bool wrong = false;
	char *rest;
	int c;

	while ((c = getopt_long(argc, argv, "hq", options, NULL)) != -1) {
		if (c == 'p') {
			opt.private = true;
		} else if (c == 'q') {
			opt.quiet = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			exit(0);
		} else if (c == '?') {
			wrong = true;
		} else {
			*(c == 'c'	   ? &opt.cycles
				: c == 't' ? &opt.threads
					   : &opt.objects) = strtoul(optarg, &rest, 10);
			wrong = wrong || *rest || !*optarg;
		}
	}
	if (wrong || optind < argc || !opt.cycles || opt.cycles > 1000000 || !opt.threads ||
		opt.threads > MAX_THREADS || opt.objects < 100 || opt.objects > 10000000) {
		fputs(help, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	uint64_t counted = 0, there = 0, healed = 0;
	struct object **stack;

	parse(argc, argv);
	make_heap();
	stack = malloc((opt.objects + 1) * FIELDS * sizeof(*stack));
	if (!stack)
		die("malloc");
	for (size_t i = 0; i < opt.threads; i++) {
		errno = pthread_create(&mutators[i].thread, NULL, mutate, (void *)i);
		if (errno)
			die("pthread_create");
	}
	for (unsigned long i = 0; i < opt.cycles; i++)
		collect(stack);
	ending = true;
	for (size_t i = 0; i < opt.threads; i++) {
		pthread_join(mutators[i].thread, NULL);
		counted += mutators[i].counted;
		healed += mutators[i].healed;
	}
	for (size_t i = 0; i < opt.objects; i++)
		there += object(i)->count;
	free(stack);
	if (damaged || there != counted) {
		fprintf(stderr, "colours: %s, %llu of %llu counts are there\n",
			damaged ? "objects were damaged" : "counts were lost",
			(unsigned long long)there, (unsigned long long)counted);
		return 1;
	}
	if (!opt.quiet)
		printf("colours: %lu cycles, %lu objects at %d addresses, %llu counts, %llu "
		       "pointers "
		       "healed by mutators, %llu by the collector: all correct\n",
			opt.cycles, opt.objects, COLOURS, (unsigned long long)counted,
			(unsigned long long)healed, (unsigned long long)healed_by_collector);
	return 0;
}
