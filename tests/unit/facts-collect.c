/* SPDX-License-Identifier: MIT */
/*
 * Facts (emul/facts.c): the kind of a mapping, purely; and what is read of real ones of this
 * process: bounds, kind, policy, armed source and destination, holes; and rm_facts_verify, which
 * must see every change that matters and none that does not.
 *
 * Needs /proc. The parts about userfaultfd need one that this user may open, those about policy
 * CONFIG_NUMA; without them the program says so and leaves the case out of its list.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "emul/facts.h"
#include "emul/world.h"

#define PAGE 4096UL
#define RW   (PROT_READ | PROT_WRITE)

static const struct kind_row {
	struct rm_vma vma;
	enum rm_kind kind;
} kinds[] = {
	{{.name = ""}, RM_KIND_ANON},
	{{.name = "[heap]"}, RM_KIND_ANON},
	{{.name = "[stack]", .vmflags = RM_VF_GROWSDOWN}, RM_KIND_ANON},
	{{.name = "[anon:x]"}, RM_KIND_ANON},
	/* of another network name space or overlay the inode may be 0, the device is not */
	{{.name = "/x", .inode = 7, .dev_major = 8}, RM_KIND_FILE},
	{{.name = "/x", .inode = 7}, RM_KIND_FILE},
	{{.name = "/x", .dev_minor = 3}, RM_KIND_FILE},
	{{.name = "/x", .dev_major = 3}, RM_KIND_FILE},
	{{.name = "/dev/zero", .inode = 5, .dev_minor = 6}, RM_KIND_FILE},
	{{.shared = true, .name = "/dev/zero (deleted)", .inode = 5}, RM_KIND_SHARED},
	{{.shared = true, .name = "/memfd:x (deleted)", .inode = 5}, RM_KIND_SHARED},
	{{.shared = true, .vmflags = RM_VF_HUGETLB | RM_VF_DONTEXPAND}, RM_KIND_HUGETLB},
	{{.vmflags = RM_VF_HUGETLB}, RM_KIND_HUGETLB},
	{{.name = "[vdso]", .vmflags = RM_VF_DONTEXPAND}, RM_KIND_SPECIAL},
	{{.name = "[vvar]", .vmflags = RM_VF_PFNMAP | RM_VF_IO}, RM_KIND_SPECIAL},
	{{.shared = true, .name = "/[aio] (deleted)", .inode = 9, .vmflags = RM_VF_DONTEXPAND},
		RM_KIND_SPECIAL},
	{{.shared = true, .name = "/dev/mem", .inode = 9, .vmflags = RM_VF_PFNMAP},
		RM_KIND_SPECIAL},
	{{.shared = true, .inode = 9, .vmflags = RM_VF_MIXEDMAP}, RM_KIND_SHARED},
};

static void kind_of_every_mapping(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(kinds); i++)
		assert_int_equal(rm_facts_kind(&kinds[i].vma), kinds[i].kind);
}

static void *map(size_t pages, int prot, int flags)
{
	void *p = mmap(NULL, pages * PAGE, prot, MAP_ANONYMOUS | flags, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* In and out of the world without an assertion in between, which would leave it locked. */
static int collect_for(
	void *source, size_t pages, void *target, unsigned long flags, struct rm_facts *facts)
{
	struct rm_request request = {{(uintptr_t)source, pages * PAGE}, (uintptr_t)target,
		RM_MAYMOVE | RM_DONTUNMAP | flags, 0};
	struct rm_entry entry;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	memset(facts, 0xa5, sizeof(*facts));
	r = rm_facts_collect(entry.world, &request, facts);
	rm_world_leave(&entry);
	return r;
}

static int verify_for(const struct rm_facts *facts, void *source, size_t pages)
{
	struct rm_entry entry;
	int r = rm_world_enter(&entry);

	if (r)
		return r;
	r = rm_facts_verify(entry.world, facts, (struct rm_range){(uintptr_t)source, pages * PAGE});
	rm_world_leave(&entry);
	return r;
}

static void the_first_mapping_of_the_range(void **state)
{
	char *p = map(8, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
	struct rm_facts facts;

	(void)state;
	assert_int_equal(mprotect(p + 2 * PAGE, 2 * PAGE, RW), 0);
	munmap(p + 5 * PAGE, PAGE);
	/* whole, in the middle, and beyond its end: always the whole mapping */
	for (int i = 2; i < 4; i++) {
		assert_int_equal(collect_for(p + (size_t)i * PAGE, 1, NULL, 0, &facts), 0);
		assert_int_equal(facts.vma.start, p + 2 * PAGE);
		assert_int_equal(facts.vma.end, p + 4 * PAGE);
		assert_int_equal(facts.vma.prot, RW);
		assert_int_equal(facts.kind, RM_KIND_ANON);
		assert_true(facts.vma.have_flags);
		assert_int_equal(facts.uffd.fd, -1);
		assert_int_equal(facts.uffd_error, 0);
		assert_false(facts.policy.set);
		assert_false(facts.target_armed);
	}
	/* the range begins in a hole: the first that it touches; only a hole: EFAULT */
	assert_int_equal(collect_for(p + 5 * PAGE, 2, NULL, 0, &facts), 0);
	assert_int_equal(facts.vma.start, p + 6 * PAGE);
	assert_int_equal(collect_for(p + 5 * PAGE, 1, NULL, 0, &facts), -EFAULT);
	assert_int_equal(
		collect_for((void *)(UINTPTR_MAX - 2 * PAGE + 1), 1, NULL, 0, &facts), -EFAULT);
	munmap(p, 8 * PAGE);
}

static void kinds_of_real_mappings(void **state)
{
	char path[] = "/tmp/facts-XXXXXX";
	struct rm_facts facts;
	int file = mkstemp(path), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int memfd = (int)syscall(SYS_memfd_create, "facts", 1);
	const struct {
		int fd, flags;
		enum rm_kind kind;
	} made[] = {
		{-1, MAP_PRIVATE | MAP_ANONYMOUS, RM_KIND_ANON},
		{-1, MAP_SHARED | MAP_ANONYMOUS, RM_KIND_SHARED},
		{file, MAP_PRIVATE, RM_KIND_FILE},
		{file, MAP_SHARED, RM_KIND_SHARED},
		{memfd, MAP_PRIVATE, RM_KIND_FILE},
		{memfd, MAP_SHARED, RM_KIND_SHARED},
		{zero, MAP_PRIVATE, RM_KIND_FILE},
		{zero, MAP_SHARED, RM_KIND_SHARED},
	};

	(void)state;
	unlink(path);
	assert_int_equal(ftruncate(file, (long)PAGE), 0);
	assert_int_equal(ftruncate(memfd, (long)PAGE), 0);
	for (size_t i = 0; i < RM_ARRAY_LEN(made); i++) {
		void *p = mmap(NULL, PAGE, RW, made[i].flags, made[i].fd, 0);

		assert_true(p != MAP_FAILED);
		assert_int_equal(collect_for(p, 1, NULL, 0, &facts), 0);
		assert_int_equal(facts.kind, made[i].kind);
		assert_int_equal(facts.vma.shared, (made[i].flags & MAP_SHARED) != 0);
		munmap(p, PAGE);
	}
	close(file);
	close(memfd);
	close(zero);
}

static void policy_of_the_mapping_only(void **state)
{
	const unsigned long node0 = 1;
	char *p = map(1, RW, MAP_PRIVATE);
	struct rm_facts facts;

	(void)state;
	assert_int_equal(syscall(SYS_mbind, p, PAGE, MPOL_BIND, &node0, 64UL, 0UL), 0);
	assert_int_equal(collect_for(p, 1, NULL, 0, &facts), 0);
	assert_true(facts.policy.set);
	assert_int_equal(facts.policy.mode, MPOL_BIND);
	assert_int_equal(facts.policy.nodes[0], 1);
	/* the thread's own policy is no policy of the mapping */
	munmap(p, PAGE);
	p = map(1, RW, MAP_PRIVATE);
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_BIND, &node0, 64UL), 0);
	assert_int_equal(collect_for(p, 1, NULL, 0, &facts), 0);
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0UL), 0);
	assert_false(facts.policy.set);
	munmap(p, PAGE);
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

static int arm(int fd, void *p, size_t pages)
{
	struct uffdio_register reg = {
		.range = {(uintptr_t)p, pages * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	return ioctl(fd, UFFDIO_REGISTER, &reg);
}

static void armed_by_whom(void **state)
{
	const uint64_t events = UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP;
	int other = open_uffd(0), fd = open_uffd(events), another = open_uffd(0);
	char *p = map(4, RW, MAP_PRIVATE), *q = map(8, RW, MAP_PRIVATE);
	struct rm_facts facts;

	(void)state;
	assert_int_equal(arm(fd, p, 4), 0);
	assert_int_equal(collect_for(p, 2, NULL, 0, &facts), 0);
	assert_int_equal(facts.uffd.fd, fd);
	assert_int_equal(facts.uffd.mode, UFFDIO_REGISTER_MODE_MISSING);
	assert_int_equal(facts.uffd.features & events, events);
	assert_true(rm_uffd_wants_remap_event(&facts.uffd));
	/* a destination counts if any part of it is watched, and only with MREMAP_FIXED */
	assert_int_equal(arm(another, q + 3 * PAGE, 1), 0);
	assert_int_equal(collect_for(p, 4, q, RM_FIXED, &facts), 0);
	assert_true(facts.target_armed);
	assert_int_equal(collect_for(p, 3, q, RM_FIXED, &facts), 0);
	assert_false(facts.target_armed);
	assert_int_equal(collect_for(p, 4, q + 4 * PAGE, RM_FIXED, &facts), 0);
	assert_false(facts.target_armed);
	assert_int_equal(collect_for(p, 4, q, 0, &facts), 0);
	assert_false(facts.target_armed);
	/* the source above the destination as well as below it */
	assert_int_equal(collect_for(q, 2, p, RM_FIXED, &facts), 0);
	assert_true(facts.target_armed);
	assert_int_equal(facts.uffd.fd, -1);
	close(fd);
	close(other);
	close(another);
	munmap(p, 4 * PAGE);
	munmap(q, 8 * PAGE);
}

/*
 * In a child, whose limit of descriptors does not matter to others: armed, and hardly a descriptor
 * left to find out by whom. What was asked for in UFFDIO_API is then known rightly or said to be
 * unknown, never guessed.
 */
static int hardly_any_descriptor(void *arg)
{
	char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_uffd(UFFD_FEATURE_EVENT_REMAP), spare;
	const int left = *(int *)arg;
	struct rm_facts facts;

	if (arm(fd, p, 1))
		return 1;
	spare = dup(0);
	while (dup(0) >= 0)
		;
	for (int i = 0; i < left; i++)
		close(spare + i);
	if (collect_for(p, 1, NULL, 0, &facts))
		return left ? 2 : 0; /* not even smaps */
	if (facts.uffd_error)
		return 0;
	return facts.uffd.fd == fd && rm_uffd_wants_remap_event(&facts.uffd) ? 0 : 3;
}

static void no_descriptor_left_to_find_out(void **state)
{
	(void)state;
	for (int left = 0; left < 4; left++)
		assert_child_ok(unit_in_child(hardly_any_descriptor, &left));
}

/*
 * A descriptor that is inherited over fork arms the parent's memory, not ours: it must not be
 * asked.
 */
static int child_with_its_own(void *arg)
{
	struct rm_facts facts;
	int own = open_uffd(0);

	if (arm(own, arg, 1) || collect_for(arg, 1, NULL, 0, &facts))
		return 1;
	return facts.uffd.fd == own ? 0 : 2;
}

static void a_parents_userfaultfd_is_left_alone(void **state)
{
	char *p = map(1, RW, MAP_PRIVATE);
	int parents = open_uffd(0), status;
	struct rm_facts facts;

	(void)state;
	*p = 'x';
	status = unit_in_child(child_with_its_own, p);
	assert_int_equal(collect_for(p, 1, NULL, 0, &facts), 0);
	close(parents); /* before an assertion: what it has armed would stop us for ever */
	assert_child_ok(status);
	assert_int_equal(facts.vma.vmflags & RM_VF_UFFD, 0);
	munmap(p, PAGE);
}

static void verify_sees_what_matters(void **state)
{
	char *area = map(16, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE), *p = area + 4 * PAGE;
	struct rm_facts facts;

	(void)state;
	assert_int_equal(mprotect(p, 4 * PAGE, RW), 0);
	assert_int_equal(collect_for(p, 4, NULL, 0, &facts), 0);
	assert_int_equal(verify_for(&facts, p, 4), 0);
	assert_int_equal(verify_for(&facts, p + PAGE, 2), 0);
	memset(p, 1, 4 * PAGE); /* content is no matter */
	assert_int_equal(verify_for(&facts, p, 4), 0);
	/* a neighbour that merges with it, or a cut outside the range, is no matter */
	assert_int_equal(mprotect(p + 4 * PAGE, PAGE, RW), 0);
	assert_int_equal(verify_for(&facts, p, 4), 0);
	munmap(p + 4 * PAGE, PAGE);
	assert_int_equal(verify_for(&facts, p, 4), 0);
	munmap(p + 3 * PAGE, PAGE);
	assert_int_equal(verify_for(&facts, p, 3), 0);
	assert_int_equal(verify_for(&facts, p, 4), -ESTALE);
	/* what is in front of a part has to stay: a plan may count on it */
	assert_int_equal(verify_for(&facts, p + PAGE, 2), 0);
	assert_int_equal(mprotect(p, PAGE, PROT_READ), 0);
	assert_int_equal(verify_for(&facts, p + PAGE, 2), -ESTALE);
	assert_int_equal(mprotect(p, PAGE, RW), 0);
	assert_int_equal(verify_for(&facts, p + PAGE, 2), 0);
	/* protection, advice, lock, a split, another kind, nothing at all */
	assert_int_equal(mprotect(p, 3 * PAGE, PROT_READ), 0);
	assert_int_equal(verify_for(&facts, p, 3), -ESTALE);
	assert_int_equal(mprotect(p, 3 * PAGE, RW), 0);
	assert_int_equal(verify_for(&facts, p, 3), 0);
	assert_int_equal(madvise(p, 3 * PAGE, MADV_DONTFORK), 0);
	assert_int_equal(verify_for(&facts, p, 3), -ESTALE);
	assert_int_equal(madvise(p, 3 * PAGE, MADV_DOFORK), 0);
	/* not mlock(3): AddressSanitizer makes that do nothing */
	assert_int_equal(syscall(SYS_mlock, p, PAGE), 0);
	assert_int_equal(verify_for(&facts, p, 3), -ESTALE);
	assert_int_equal(syscall(SYS_munlock, p, PAGE), 0);
	assert_int_equal(verify_for(&facts, p, 3), 0);
	assert_true(mmap(p, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	assert_int_equal(verify_for(&facts, p, 3), -ESTALE);
	munmap(p, 3 * PAGE);
	assert_int_equal(verify_for(&facts, p, 3), -ESTALE);
	munmap(area, 16 * PAGE);
}

static void verify_sees_another_object(void **state)
{
	char *p = map(4, RW, MAP_SHARED), *q;
	struct rm_facts facts;

	(void)state;
	assert_int_equal(collect_for(p, 4, NULL, 0, &facts), 0);
	assert_int_equal(verify_for(&facts, p, 4), 0);
	/* the same object, moved by a page: other content at every address */
	q = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(
		mremap(p, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE) == q + PAGE);
	assert_int_equal(mprotect(p + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_true(mremap(q + PAGE, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE) ==
		    p + PAGE);
	assert_int_equal(verify_for(&facts, p + PAGE, 3), -ESTALE);
	munmap(p, 4 * PAGE);
	munmap(q, 8 * PAGE);
}

int main(void)
{
	struct CMUnitTest tests[9] = {
		/* five, and what this machine has of the others */
		cmocka_unit_test(kind_of_every_mapping),
		cmocka_unit_test(the_first_mapping_of_the_range),
		cmocka_unit_test(kinds_of_real_mappings),
		cmocka_unit_test(verify_sees_what_matters),
		cmocka_unit_test(verify_sees_another_object),
	};
	const struct CMUnitTest policy = cmocka_unit_test(policy_of_the_mapping_only);
	const struct CMUnitTest armed = cmocka_unit_test(armed_by_whom);
	const struct CMUnitTest nobody = cmocka_unit_test(no_descriptor_left_to_find_out);
	const struct CMUnitTest parents = cmocka_unit_test(a_parents_userfaultfd_is_left_alone);
	size_t count = 5;
	int mode, fd = open_uffd(UFFD_FEATURE_EVENT_REMAP);

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0UL, NULL, 0UL) == 0)
		tests[count++] = policy;
	else
		puts("# no CONFIG_NUMA: policy_of_the_mapping_only left out");
	if (fd >= 0) {
		tests[count++] = armed;
		tests[count++] = nobody;
		tests[count++] = parents;
		close(fd);
	} else {
		puts("# no userfaultfd with events for this user: three cases left out");
	}
	alarm(UNIT_SECONDS);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("facts", tests, count, NULL, NULL);
}
