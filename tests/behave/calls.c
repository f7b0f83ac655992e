/* SPDX-License-Identifier: MIT */
/*
 * The ways of calling, and the calls that are not MREMAP_DONTUNMAP: those stay what they are.
 *
 * mremap is variadic: the fifth argument counts only with MREMAP_FIXED or MREMAP_DONTUNMAP;
 * otherwise it is whatever was in the register (semantics.md 1.7, E1). syscall() is taken over by
 * the preload, not by linking.
 */
#include <dlfcn.h>

#include "tests/behave/behave.h"

static struct arena a;

static void make(void)
{
	arena_make_filled(&a, 8, RW, ANON);
}

#ifdef BEHAVE_LINKED
#define NEEDS_PRELOAD behave_skip("raw system calls are the preload's")
#else
#define NEEDS_PRELOAD ((void)0)
#endif

static const unsigned long garbage = 0xdead0000beef1235ul;

static void raw(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	make();
	errno = 4242;
	check(syscall(SYS_mremap, a.source, a.len, a.len, (long)ONTO, a.target) == (long)a.target);
	check_is(errno, 4242);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	fill(a.source, a.len, 2);
	check(syscall(SYS_mremap, a.source, a.len, a.len, (long)ANYWHERE, 0L) != -1);
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

static void raw_errors(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	make();
	errno = 0;
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, (long)ONTO, a.source), -1);
	check_is(errno, EINVAL);
	check_is(syscall(SYS_mremap, a.source + 1, a.len, a.len, (long)ANYWHERE, 0L), -1);
	check_is(errno, EINVAL);
	check(!munmap(a.source + 4 * PAGE, PAGE));
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, (long)ANYWHERE, 0L), -1);
	check_is(errno, EFAULT);
	check(filled(a.source, 4 * PAGE, 1));
	arena_end(&a);
}

/* All 64 bits of the flags are looked at. */
static void raw_high_flags(void **state)
{
	(void)state;
	NEEDS_PRELOAD;
	make();
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, ANYWHERE | 1L << 32, 0L), -1);
	check_is(errno, EINVAL);
	check_is(syscall(SYS_mremap, a.source, a.len, a.len, ANYWHERE | 1L << 63, 0L), -1);
	check_is(errno, EINVAL);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

/* Four arguments are meant, and there is garbage in the fifth register. */
static void raw_garbage(void **state)
{
	char *new;

	(void)state;
	make();
	check(syscall(SYS_mremap, a.source, a.len, a.len, 0L, garbage) == (long)a.source);
	check(syscall(SYS_mremap, a.source, a.len, a.len, (long)MREMAP_MAYMOVE, garbage) ==
		(long)a.source);
	check(syscall(SYS_mremap, a.source, a.len, a.len - PAGE, 0L, garbage) == (long)a.source);
	new = (char *)syscall(
		SYS_mremap, a.source, a.len - PAGE, 4 * a.len, (long)MREMAP_MAYMOVE, garbage);
	check(new != MAP_FAILED &&new != a.source);
	check(filled(new, a.len - PAGE, 1));
	check(zeroed(new + a.len - PAGE, 3 * a.len + PAGE));
	check(!munmap(new, 4 * a.len));
	arena_end(&a);
}

/* libc's function with four arguments; the compiler leaves in the register what it likes. */
static void four_arguments(void **state)
{
	char *new;

	(void)state;
	make();
	check(mremap(a.source, a.len, a.len, 0) == a.source);
	check(mremap(a.source, a.len, a.len - 2 * PAGE, 0) == a.source);
	check_is(vma_count(a.source, a.len), 1);
	check(mremap(a.source, a.len - 2 * PAGE, a.len, 0) == a.source);
	check(zeroed(a.source + a.len - 2 * PAGE, 2 * PAGE));
	check(mremap(a.source, a.len, 2 * a.len, 0) == MAP_FAILED);
	check_is(errno, ENOMEM);
	new = mremap(a.source, a.len, 2 * a.len, MREMAP_MAYMOVE);
	check(new != MAP_FAILED);
	check(filled(new, a.len - 2 * PAGE, 1));
	check(!munmap(new, 2 * a.len));
	arena_end(&a);
}

static void function_pointer(void **state)
{
	void *(*volatile call)(void *, size_t, size_t, int, ...) = mremap;

	(void)state;
	make();
	check(call(a.source, a.len, a.len, ONTO, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	arena_end(&a);
}

/* As plug-ins and foreign-function interfaces come by it. */
static void by_dlsym(void **state)
{
	void *(*call)(void *, size_t, size_t, int, ...);

	(void)state;
	NEEDS_PRELOAD;
	make();
	*(void **)&call = dlsym(RTLD_DEFAULT, "mremap");
	check(call);
	check(call(a.source, a.len, a.len, ONTO, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	check(zeroed(a.source, a.len));
	fill(a.source, a.len, 1);
	*(void **)&call = dlsym(RTLD_NEXT, "mremap");
	check(call);
	check(call(a.source, a.len, a.len, ONTO, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	arena_end(&a);
}

static void plain_move(void **state)
{
	struct vma now;

	(void)state;
	make();
	check(mremap(a.source, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, a.target) == a.target);
	check(filled(a.target, a.len, 1));
	check(!vma_at(a.source, &now));
	/* shrinking as it goes: the tail is unmapped */
	check(mremap(a.target, a.len, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, a.source) ==
		a.source);
	check(filled(a.source, 3 * PAGE, 1));
	check(!vma_at(a.target, &now) && !vma_at(a.source + 3 * PAGE, &now));
	arena_end(&a);
}

/* old_size 0: a second view of shared memory, EINVAL for private memory. */
static void second_view(void **state)
{
	char *new;

	(void)state;
	arena_make_filled(&a, 8, RW, MAP_SHARED | MAP_ANONYMOUS);
	new = mremap(a.source, 0, a.len, MREMAP_MAYMOVE);
	check(new != MAP_FAILED &&filled(new, a.len, 1));
	check(mremap(a.source, 0, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, a.target) == a.target);
	fill(a.target, a.len, 2);
	check(filled(new, a.len, 2) && filled(a.source, a.len, 2));
	check(mremap(a.source, 0, a.len, 0) == MAP_FAILED);
	check_is(errno, ENOMEM);
	check(!munmap(new, a.len));
	arena_end(&a);
}

static void plain_errors(void **state)
{
	(void)state;
	make();
	refused(a.source, a.len, a.len, MREMAP_FIXED, a.target, EINVAL);
	refused(a.source + 1, a.len, a.len, MREMAP_MAYMOVE, NULL, EINVAL);
	refused(a.source, a.len, 0, MREMAP_MAYMOVE, NULL, EINVAL);
	refused(a.source, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED, a.source, EINVAL);
	refused(a.source, a.len, a.len, 1 << 7, NULL, EINVAL);
	check(filled(a.source, a.len, 1));
	arena_end(&a);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE(raw, "dontunmap-by-syscall"),
		CASE(raw_errors, "dontunmap-by-syscall-sets-errno"),
		CASE(raw_high_flags, "dontunmap-by-syscall-with-high-flags-is-einval"),
		CASE(raw_garbage, "mremap-by-syscall-ignores-garbage-in-the-fifth-argument"),
		CASE(four_arguments, "mremap-with-four-arguments-is-the-kernels"),
		CASE(function_pointer, "dontunmap-by-function-pointer"),
		CASE(by_dlsym, "dontunmap-by-dlsym"),
		CASE(plain_move, "mremap-fixed-is-the-kernels"),
		CASE(second_view, "mremap-of-size-0-is-the-kernels"),
		CASE(plain_errors, "mremap-errors-are-the-kernels"),
	};

	return BEHAVE_RUN(cases);
}
