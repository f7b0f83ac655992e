/*
 * execute.c - carries out the operations of a sequence and prints what each one answered.
 *
 * Rules: the plain libc names only, so that whatever is preloaded sees the calls of an ordinary
 * program; mremap gets its fifth argument only where the script has one. A page is written and
 * read without ever faulting fatally (field.c). What the kernel placed by its own choice is
 * printed as "away" and then moved to the operation's home by a plain MREMAP_FIXED, which every
 * kernel has: the rest of the sequence does not depend on where that was.
 *
 * A line "note NAME" says that the operation before it meets a known bug of the native kernel (see
 * the file excused). After one that would make everything later incomparable the sequence ends.
 */
#include "oracle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static bool perturb(void)
{
	static int wanted = -1;

	if (wanted < 0)
		wanted = getenv("ORACLE_PERTURB") != NULL;
	return wanted;
}

static bool inside_field(uintptr_t addr)
{
	return addr >= oracle_base && addr < oracle_base + 2 * ORACLE_PAGES * oracle_page;
}

/* Calls mremap as op says; text gets the answer. Returns the result, or UINTPTR_MAX. */
uintptr_t oracle_mremap(const struct oracle_op *op, char *text, size_t size)
{
	void *addr = (void *)oracle_value(&op->addr);
	size_t len = oracle_value(&op->len), new_len = oracle_value(&op->new_len);
	void *home, *got;
	char place[32];

	if (op->new_addr.kind == NUM_NONE)
		got = mremap(addr, len, new_len, (int)op->flags);
	else
		got = mremap(
			addr, len, new_len, (int)op->flags, (void *)oracle_value(&op->new_addr));
	if (got == MAP_FAILED) {
		snprintf(text, size, "%s", oracle_errno_name(errno));
		return UINTPTR_MAX;
	}
	snprintf(text, size, "%s", oracle_place((uintptr_t)got, place));
	if (inside_field((uintptr_t)got) || op->home.kind == NUM_NONE)
		return (uintptr_t)got;
	home = (void *)oracle_value(&op->home);
	if (mremap(got, new_len, new_len, MREMAP_MAYMOVE | MREMAP_FIXED, home) == home)
		snprintf(text, size, "away then %s", oracle_place((uintptr_t)home, place));
	else
		snprintf(text, size, "away, home refused with %s", oracle_errno_name(errno));
	return (uintptr_t)home;
}

static int do_mmap(const struct oracle_op *op)
{
	static const int flags[KINDS] = {
		[KIND_ANON] = MAP_PRIVATE | MAP_ANONYMOUS,
		[KIND_SHARED] = MAP_SHARED | MAP_ANONYMOUS,
		[KIND_MEMFD] = MAP_SHARED,
		[KIND_MEMFD_RO] = MAP_SHARED,
		[KIND_MEMFD_PRIVATE] = MAP_PRIVATE,
		[KIND_TMPFS] = MAP_SHARED,
		[KIND_TMPFS_PRIVATE] = MAP_PRIVATE,
	};
	void *addr = (void *)oracle_value(&op->addr);
	int extra = MAP_FIXED | (op->noreserve ? MAP_NORESERVE : 0);
	int fd = oracle_kind_fd(op->kind);
	off_t offset = fd < 0 ? 0 : (off_t)((size_t)op->offset * oracle_page);

	if (mmap(addr, oracle_value(&op->len), op->prot, flags[op->kind] | extra, fd, offset) ==
		addr)
		return 0;
	return -1;
}

enum lock_state { LOCK_NONE, LOCK_WHOLE, LOCK_PART };

/* Does [addr, addr + len) touch locked VMAs, and are they covered whole? */
static enum lock_state lock_state(uintptr_t addr, uintptr_t len)
{
	static struct oracle_vma vmas[64];
	int count = oracle_read_smaps(vmas, 64, addr, addr + len);
	enum lock_state state = LOCK_NONE;
	int i;

	for (i = 0; i < count; i++) {
		if (!strstr(vmas[i].flags, " lo"))
			continue;
		if (vmas[i].start < addr || vmas[i].end > addr + len)
			return LOCK_PART;
		state = LOCK_WHOLE;
	}
	return state;
}

/*
 * The native kernel has unlocked more than it moved, and has not merged what it unlocked. Locking
 * and unlocking everything (without populating it) merges on both sides what can merge; then they
 * must be the same again, except for VmLck. Both calls stop at a hole, hence one for each VMA.
 */
static void unlock_everything(void)
{
	static struct oracle_vma vmas[256];
	uintptr_t end = oracle_base + 2 * ORACLE_PAGES * oracle_page;
	int count = oracle_read_maps(vmas, 256, oracle_base, end), i;

	for (i = 0; i < count; i++)
		mlock2((void *)vmas[i].start, vmas[i].end - vmas[i].start, MLOCK_ONFAULT);
	for (i = 0; i < count; i++)
		munlock((void *)vmas[i].start, vmas[i].end - vmas[i].start);
}

static int plain_call(const struct oracle_op *op)
{
	void *addr = (void *)oracle_value(&op->addr);
	size_t len = oracle_value(&op->len);

	switch (op->call) {
	case CALL_MMAP:
		return do_mmap(op);
	case CALL_MUNMAP:
		return munmap(addr, len);
	case CALL_MPROTECT:
		return mprotect(addr, len, op->prot);
	case CALL_MADVISE:
		return madvise(addr, len, op->advice);
	case CALL_MLOCK:
		return mlock(addr, len);
	case CALL_MLOCK2:
		return mlock2(addr, len, MLOCK_ONFAULT);
	default:
		return munlock(addr, len);
	}
}

static int find_join(const struct oracle_op *ops, int count, int at)
{
	int depth = 1;

	while (++at < count && depth) {
		if (ops[at].call == CALL_FORK)
			depth++;
		else if (ops[at].call == CALL_JOIN)
			depth--;
	}
	return depth ? count : at - 1;
}

struct run {
	const struct oracle_op *ops;
	struct oracle_baseline base;
	bool locks; /* something was mlocked */
};

static void run_range(struct run *run, int from, int to);

static void do_fork(struct run *run, int from, int to)
{
	pid_t pid = oracle_fork();

	if (pid == 0) {
		run_range(run, from, to);
		oracle_observe(&run->base);
		oracle_observe_content();
		_exit(0);
	}
	if (pid < 0) {
		oracle_out("trouble fork %s\n", oracle_errno_name(errno));
		return;
	}
	oracle_reap("child", pid);
	oracle_field_cleanup(pid);
}

static void after_op(
	struct run *run, const char *name, int number, const char *answer, uint32_t twist)
{
	if (oracle_opt.each == EACH_RESULT)
		oracle_out("op %d %s %s\n", number, name, answer);
	else
		oracle_out("op %d %s %s #%08x\n", number, name, answer, oracle_digest() ^ twist);
	if (oracle_opt.each == EACH_FULL)
		oracle_observe(&run->base);
}

static void run_range(struct run *run, int from, int to)
{
	char answer[96];
	int i;

	for (i = from; i < to; i++) {
		const struct oracle_op *op = &run->ops[i];
		const char *name = oracle_call_names[op->call];
		enum lock_state locked = LOCK_NONE;
		uintptr_t got;

		if (op->call == CALL_JOIN)
			continue;
		if (op->call == CALL_FORK) {
			int end = find_join(run->ops, to, i);

			oracle_out("op %d fork\n", i + 1);
			do_fork(run, i + 1, end);
			after_op(run, "join", i + 1, "0", 0);
			i = end;
			continue;
		}
		if (op->call == CALL_WRITE || op->call == CALL_READ) {
			unsigned int version = op->call == CALL_WRITE ? (unsigned int)i + 1 : 0;

			snprintf(answer, sizeof(answer), "%d",
				oracle_touch(op->addr.page, op->len.page, version));
			after_op(run, name, i + 1, answer, 0);
			continue;
		}
		if (op->call != CALL_MREMAP) {
			run->locks |= op->call == CALL_MLOCK || op->call == CALL_MLOCK2;
			strcpy(answer, plain_call(op) ? oracle_errno_name(errno) : "0");
			after_op(run, name, i + 1, answer, 0);
			continue;
		}
		if (run->locks && op->flags & MREMAP_DONTUNMAP)
			locked = lock_state(oracle_value(&op->addr), oracle_value(&op->len));
		got = oracle_mremap(op, answer, sizeof(answer));
		if (got == UINTPTR_MAX)
			locked = LOCK_NONE;
		if (locked != LOCK_NONE)
			oracle_out("note dontunmap-locked%s\n", locked == LOCK_PART ? "-part" : "");
		if (locked == LOCK_PART)
			unlock_everything();
		/* ORACLE_PERTURB: the tester's own test is that this one wrong digest is found. */
		after_op(run, name, i + 1, answer,
			perturb() && op->flags & MREMAP_DONTUNMAP && got != UINTPTR_MAX);
		if (locked == LOCK_PART)
			break;
	}
}

void oracle_execute(const struct oracle_op *ops, int count)
{
	static struct run run;

	run = (struct run){.ops = ops};
	oracle_baseline_take(&run.base);
	run_range(&run, 0, count);
	oracle_out("final\n");
	oracle_observe(&run.base);
	oracle_observe_content();
}
