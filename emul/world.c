/* SPDX-License-Identifier: MIT */
/*
 * The world's mapping, its lock, and the signal mask of whoever is inside. The rules are in
 * world.h.
 *
 * The lock is a futex of three states. It is taken with signals blocked, so it can not be found
 * held by the same thread; and a thread that waits leaves RM_STOP_SIGNAL open, because the holder
 * may have to stop it.
 */
#include "emul/world.h"

#include <errno.h>
#include <sys/auxv.h>

#include "emul/features.h"
#include "emul/guard.h"
#include "emul/ignored.h"
#include "emul/log.h"
#include "emul/quiesce.h"
#include "emul/sys.h"

/*
 * glibc from 2.32 on: not 0 while it has made no thread that still runs; 0 before one begins.
 * Elsewhere it is missing.
 */
extern char __libc_single_threaded __attribute__((weak));

/*
 * Between executables and heaps below and libraries and stacks above, and in nobody's shadow memory
 * (sanitizers): 4 TiB from a place that each process draws. Where addresses are shorter the kernel
 * takes no notice of it.
 */
#define REMOTE	     0x680000000000UL
#define REMOTE_MASK  0x03ffffffffffUL
#define REMOTE_TRIES 4

static _Atomic(struct rm_world *) the_world;

size_t rm_page_size(void)
{
	static _Atomic size_t size;
	size_t s = atomic_load_explicit(&size, memory_order_relaxed);

	if (!s) {
		s = getauxval(AT_PAGESZ);
		if (!s)
			s = 4096;
		atomic_store_explicit(&size, s, memory_order_relaxed);
	}
	return s;
}

/* Anywhere if the hint is 0. */
static long map_near(uintptr_t hint, size_t len, int prot)
{
	return rm_sys_mmap(hint, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * So much that there is enough beside avoid, wherever it comes to lie; what is not needed goes
 * again.
 */
static long map_beside(size_t len, int prot, struct rm_range avoid)
{
	const size_t all = avoid.len + 2 * len;
	const long room = all > avoid.len ? map_near(0, all, prot) : -ENOMEM;
	const bool low = (uintptr_t)room + len <= avoid.start ||
			 (uintptr_t)room >= rm_range_end(avoid);

	if (rm_is_err(room))
		return room;
	rm_sys_munmap((uintptr_t)room + (low ? len : 0), all - len);
	return low ? room : room + (long)(all - len);
}

long rm_map_away(size_t len, int prot, struct rm_range avoid)
{
	/* what came to lie in the wrong place stays there until the right one is found */
	uintptr_t blockers[16];
	size_t n = 0;
	long addr = map_near(0, len, prot), beside;

	while (!rm_is_err(addr) &&
		rm_range_overlaps((struct rm_range){(uintptr_t)addr, len}, avoid)) {
		beside = n ? -ENOMEM : map_beside(len, prot, avoid);
		if (!rm_is_err(beside)) {
			rm_sys_munmap((uintptr_t)addr, len);
			return beside;
		}
		if (n == RM_ARRAY_LEN(blockers)) {
			rm_sys_munmap((uintptr_t)addr, len);
			addr = -ENOMEM;
			break;
		}
		blockers[n++] = (uintptr_t)addr;
		addr = map_near(0, len, prot);
	}
	while (n)
		rm_sys_munmap(blockers[--n], len);
	return addr;
}

/* In a larger hole, of which the rest is free again. */
static long map_within(size_t len, uintptr_t like, size_t align, struct rm_range avoid)
{
	long room = rm_map_away(len + align, PROT_NONE, avoid);
	size_t before;

	if (rm_is_err(room))
		return room;
	before = (like - (uintptr_t)room) & (align - 1);
	if (before)
		rm_sys_munmap((uintptr_t)room, before);
	rm_sys_munmap((uintptr_t)room + before + len, align - before);
	return room + (long)before;
}

long rm_map_congruent(size_t len, uintptr_t like, size_t align)
{
	const struct rm_range nowhere = {0, 0};
	long room = map_near(0, len, PROT_NONE);
	const uintptr_t beyond = ((uintptr_t)room - like) & (align - 1),
			below = (uintptr_t)room - beyond;

	if (rm_is_err(room) || !beyond)
		return room;
	rm_sys_munmap((uintptr_t)room, len);
	room = map_near(below, len, PROT_NONE);
	if (rm_is_err(room) || (uintptr_t)room == below)
		return room;
	rm_sys_munmap((uintptr_t)room, len);
	return map_within(len, like, align, nowhere);
}

uintptr_t rm_remote_hint(size_t len, uintptr_t like, size_t align)
{
	static _Atomic uintptr_t base;
	static _Atomic size_t used;
	const size_t page = rm_page_size(), mask = align - 1;
	uintptr_t first = atomic_load_explicit(&base, memory_order_relaxed), none = 0, at;

	if (!first) {
		/* the clock, spread by the golden ratio: the next process's is far from here */
		first = REMOTE + ((uintptr_t)(rm_sys_now_ns() * 0x9e3779b97f4a7c15u >> 16) &
					 REMOTE_MASK & ~(page - 1));
		if (!atomic_compare_exchange_strong(&base, &none, first))
			first = none;
	}
	/* a page between, so that one does not merge with the next */
	at = first + (atomic_fetch_add(&used, rm_page_round(len) + align + page) & REMOTE_MASK);
	return at + ((like - at) & mask);
}

long rm_map_remote(size_t len, int prot, uintptr_t like, size_t align, struct rm_range avoid)
{
	static _Atomic bool out_of_reach; /* addresses are shorter */
	const size_t page = rm_page_size();
	long addr = -ENOMEM;

	for (int i = 0; i < REMOTE_TRIES && !atomic_load(&out_of_reach); i++) {
		const uintptr_t hint = rm_remote_hint(len, like, align);

		addr = map_near(hint, len, prot);
		if (rm_is_err(addr) ||
			((uintptr_t)addr == hint &&
				!rm_range_overlaps((struct rm_range){hint, len}, avoid)))
			return addr;
		rm_sys_munmap((uintptr_t)addr, len);
	}
	if (len < REMOTE_MASK / 2)
		atomic_store(&out_of_reach, true);
	addr = prot == PROT_NONE && align > page ? map_within(len, like, align, avoid) : -ENOMEM;
	return rm_is_err(addr) ? rm_map_away(len, prot, avoid) : addr;
}

long rm_map_own(size_t len, int prot)
{
	return rm_map_remote(len, prot, 0, rm_page_size(), (struct rm_range){0, 0});
}

/* Made by whoever comes first; a loser of the race gives its own back. Never unmapped again. */
static struct rm_world *world_get(struct rm_range avoid)
{
	struct rm_world *world = atomic_load_explicit(&the_world, memory_order_acquire);
	struct rm_world *none = NULL;
	size_t len = rm_page_round(sizeof(*world));
	long addr;

	if (world)
		return world;
	addr = rm_map_remote(len, PROT_READ | PROT_WRITE, 0, rm_page_size(), avoid);
	if (rm_is_err(addr))
		return NULL;
	world = (struct rm_world *)addr;
	if (rm_sys_madvise((uintptr_t)addr, len, MADV_WIPEONFORK)) {
		/*
		 * Without it a child could inherit a held lock. 4.14 has it, so this is a filter's
		 * doing.
		 */
		rm_sys_munmap((uintptr_t)addr, len);
		return NULL;
	}
	/* Our own memory is of no interest in a core dump. */
	(void)rm_sys_madvise((uintptr_t)addr, len, MADV_DONTDUMP);
	if (!atomic_compare_exchange_strong(&the_world, &none, world)) {
		rm_sys_munmap((uintptr_t)addr, len);
		world = none;
	}
	return world;
}

bool rm_is_joined(uintptr_t at)
{
	const size_t page = rm_page_size();

	return at >= page && rm_sys_in_one_mapping(at - page, 2 * page, rm_features()->task_size);
}

bool rm_is_one_mapping(struct rm_range range)
{
	return rm_sys_in_one_mapping(range.start, range.len, rm_features()->task_size) &&
	       !rm_is_joined(range.start) && !rm_is_joined(rm_range_end(range));
}

struct rm_world *rm_world_peek(void)
{
	return atomic_load_explicit(&the_world, memory_order_acquire);
}

void rm_world_prepare(struct rm_range avoid)
{
	(void)world_get(avoid);
}

static bool try_lock(struct rm_world *world)
{
	uint32_t expected = 0;

	return atomic_compare_exchange_strong(&world->lock, &expected, 1);
}

static void lock(struct rm_world *world)
{
	while (atomic_exchange(&world->lock, 2))
		rm_sys_futex_wait(&world->lock, 2, NULL);
}

static void unlock(struct rm_world *world)
{
	if (atomic_exchange(&world->lock, 0) == 2)
		rm_sys_futex_wake(&world->lock, 1);
}

/*
 * Whether we are a child that runs in its parent's memory; asked when nobody has entered yet. kcmp
 * is an optional part of kernels; without it such a child, if it comes first, is taken for the
 * process itself.
 */
static bool shares_parents_memory(int pid)
{
	enum { KCMP_VM = 1 };
	int parent = (int)rm_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0);

	return parent > 0 && !rm_syscall(SYS_kcmp, parent, pid, KCMP_VM, 0, 0, 0);
}

/* What the program blocks itself stays blocked, ignored or not: it may be waiting for it. */
static void enter_among_others(struct rm_world *world, uint64_t *saved_mask)
{
	const uint64_t stop = RM_STOP_BIT;
	const uint64_t blocked = rm_signals_to_block(), all_but_stop = blocked & ~stop;

	rm_sys_rt_sigprocmask(SIG_BLOCK, &all_but_stop, saved_mask);
	rm_sys_rt_sigprocmask(SIG_UNBLOCK, &stop, NULL);
	if (!try_lock(world))
		lock(world);
	world->blocked = blocked;
	atomic_store(&world->holder, rm_sys_gettid());
	rm_sys_rt_sigprocmask(SIG_BLOCK, &stop, NULL);
}

/*
 * Whether the world may be entered by this process; not asked if it is alone in its memory. The
 * lock word is shared with a vfork child, so its holder may be our parent, asleep until we exec: a
 * child of that kind does not even try. After a real fork pid reads 0 (wiped) and the first one
 * sets it.
 */
static bool is_our_world(struct rm_world *world)
{
	const int pid = rm_sys_getpid();

	if (world->pid ? world->pid != pid : shares_parents_memory(pid))
		return false;
	world->pid = pid;
	return true;
}

/*
 * Blocks every signal if the caller is alone: then nobody else is offered what is blocked, and the
 * lock is free.
 *
 * Where it is asked first and blocked then, a handler can come in between and make a thread: who
 * stops threads has to ask again. Where libc says that it has made none it is the other way round,
 * and one answer is enough. A thread made behind libc's back is found out by it, and *others set:
 * such a process is asked first from then on.
 */
static bool block_if_alone(struct rm_world *world, uint64_t *saved_mask, bool *others)
{
	const bool ask_first = !&__libc_single_threaded || !__libc_single_threaded ||
			       world->not_libcs;
	const uint64_t all = ~0ULL;

	world->alone = *others = false;
	if (ask_first && !rm_quiesce_is_alone())
		return false;
	rm_sys_rt_sigprocmask(SIG_BLOCK, &all, saved_mask);
	if (ask_first)
		return true;
	world->alone = rm_quiesce_is_alone();
	if (!world->alone)
		rm_sys_rt_sigprocmask(SIG_SETMASK, saved_mask, NULL);
	*others = !world->alone;
	return world->alone;
}

int rm_world_enter(struct rm_entry *entry)
{
	struct rm_world *world = world_get((struct rm_range){0, 0});
	bool alone, others;
	int holder;

	if (!world) {
		rm_refuse("no memory for libremap's own state");
		return -ENOMEM;
	}
	holder = atomic_load(&world->holder);
	if (holder && holder == rm_sys_gettid()) {
		rm_refuse("a signal handler came in the middle of a call");
		return -EINVAL;
	}
	entry->world = world;
	alone = block_if_alone(world, &entry->saved_mask, &others);
	if (alone && try_lock(world)) {
		world->blocked = 0;
		if (!world->pid)
			world->pid = rm_sys_getpid();
		return 0;
	}
	if (!is_our_world(world)) {
		if (alone)
			rm_sys_rt_sigprocmask(SIG_SETMASK, &entry->saved_mask, NULL);
		rm_refuse("a vfork or CLONE_VM child can not stop its parent's threads");
		return -EINVAL;
	}
	enter_among_others(world, alone ? NULL : &entry->saved_mask);
	world->not_libcs |= others;
	return 0;
}

void rm_world_leave(struct rm_entry *entry)
{
	rm_glance_end(entry->world);
	atomic_store(&entry->world->holder, 0);
	unlock(entry->world);
	rm_sys_rt_sigprocmask(SIG_SETMASK, &entry->saved_mask, NULL);
}

bool rm_world_is_own(struct rm_range range)
{
	struct rm_world *world = atomic_load(&the_world);
	char on_stack;

	return rm_range_holds(range, (uintptr_t)&on_stack) ||
	       rm_range_holds(range, (uintptr_t)&the_world) ||
	       rm_range_holds(range, (uintptr_t)&rm_world_is_own) ||
	       (world && rm_range_overlaps(range, (struct rm_range){(uintptr_t)world,
							  rm_page_round(sizeof(*world))})) ||
	       rm_guard_is_own(range);
}
