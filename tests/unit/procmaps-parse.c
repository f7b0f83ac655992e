/* SPDX-License-Identifier: MIT */
/*
 * The parsers of maps and smaps lines (emul/procmaps.c), which are pure: no /proc is read.
 *
 * Checked: headers as kernels from 4.14 to 7.2 print them, the names that make a naive parser
 * stumble, lines that are no header, cut at every length; VmFlags and ProtectionKey, and the
 * details that must change nothing. Needs nothing.
 */
#include "tests/unit/unit.h"

#include "emul/procmaps.h"

#define R   PROT_READ
#define RW  (PROT_READ | PROT_WRITE)
#define RX  (PROT_READ | PROT_EXEC)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static const struct header {
	const char *line;
	uintptr_t start, end;
	int prot;
	bool shared;
	uint64_t offset;
	uint32_t major, minor;
	uint64_t inode;
	const char *name;
} headers[] = {
	/* 4.14: the name column begins at 73, padded by spaces */
	{"00400000-004ef000 r-xp 00000000 fe:01 131107                             /bin/bash",
		0x400000, 0x4ef000, RX, false, 0, 0xfe, 1, 131107, "/bin/bash"},
	{"7f3b9c000000-7f3b9c021000 rw-p 00000000 00:00 0 ", 0x7f3b9c000000, 0x7f3b9c021000, RW,
		false, 0, 0, 0, 0, ""},
	/* no trailing blank since 4.18 or so; both occur */
	{"7f3b9c021000-7f3ba0000000 ---p 00000000 00:00 0", 0x7f3b9c021000, 0x7f3ba0000000, 0,
		false, 0, 0, 0, 0, ""},
	{"0183c000-0185d000 rw-p 00000000 00:00 0                                  [heap]",
		0x183c000, 0x185d000, RW, false, 0, 0, 0, 0, "[heap]"},
	{"7ffd6b3d2000-7ffd6b3f3000 rw-p 00000000 00:00 0                          [stack]",
		0x7ffd6b3d2000, 0x7ffd6b3f3000, RW, false, 0, 0, 0, 0, "[stack]"},
	/* 4.14's vsyscall is r-xp, from 5.2 on it may be --xp; both are above user space */
	{"ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0                  [vsyscall]",
		0xffffffffff600000, 0xffffffffff601000, RX, false, 0, 0, 0, 0, "[vsyscall]"},
	{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
		0xffffffffff600000, 0xffffffffff601000, PROT_EXEC, false, 0, 0, 0, 0, "[vsyscall]"},
	{"7ffd6b3fa000-7ffd6b3fe000 r--p 00000000 00:00 0                          [vvar]",
		0x7ffd6b3fa000, 0x7ffd6b3fe000, R, false, 0, 0, 0, 0, "[vvar]"},
	/* 6.13 */
	{"7ffd6b3fe000-7ffd6b400000 r--p 00000000 00:00 0                          "
	 "[vvar_vclock]",
		0x7ffd6b3fe000, 0x7ffd6b400000, R, false, 0, 0, 0, 0, "[vvar_vclock]"},
	/* 5.17 with CONFIG_ANON_VMA_NAME; 6.2 shared */
	{"7f0000000000-7f0000010000 rw-p 00000000 00:00 0                          "
	 "[anon:dalvik-main space]",
		0x7f0000000000, 0x7f0000010000, RW, false, 0, 0, 0, 0, "[anon:dalvik-main space]"},
	{"7f0000000000-7f0000010000 rw-s 00000000 00:01 2051                       "
	 "[anon_shmem:gc heap]",
		0x7f0000000000, 0x7f0000010000, RW, true, 0, 0, 1, 2051, "[anon_shmem:gc heap]"},
	{"7f0000000000-7f0000010000 rw-s 00000000 00:01 2051                       /dev/zero "
	 "(deleted)",
		0x7f0000000000, 0x7f0000010000, RW, true, 0, 0, 1, 2051, "/dev/zero (deleted)"},
	{"7fae00000000-7fae00200000 rwxs 00000000 00:01 17                         /memfd:a b "
	 "(deleted)",
		0x7fae00000000, 0x7fae00200000, RWX, true, 0, 0, 1, 17, "/memfd:a b (deleted)"},
	{"7fae00000000-7fae00200000 r--s 00200000 103:02 9223372036854775808       /srv/x",
		0x7fae00000000, 0x7fae00200000, R, true, 0x200000, 0x103, 2, 0x8000000000000000,
		"/srv/x"},
	/* a newline in a name is printed as \012, a backslash as itself */
	{"7f0000000000-7f0000001000 r--p 0001f000 08:01 99                         "
	 "/tmp/a\\012b\\c",
		0x7f0000000000, 0x7f0000001000, R, false, 0x1f000, 8, 1, 99, "/tmp/a\\012b\\c"},
	{"7f0000000000-7f0000001000 r--p 00000000 08:01 99                         "
	 "/tmp/a  rw-p 0 ",
		0x7f0000000000, 0x7f0000001000, R, false, 0, 8, 1, 99, "/tmp/a  rw-p 0 "},
	/* an offset beyond 32 bits is simply longer; so is a 5-level address */
	{"7f0000000000-7f0000001000 rw-s 123456789000 08:01 99                     /dev/mem",
		0x7f0000000000, 0x7f0000001000, RW, true, 0x123456789000, 8, 1, 99, "/dev/mem"},
	{"ff7f0000000000-ff7f0000001000 rw-p 00000000 00:00 0 ", 0xff7f0000000000, 0xff7f0000001000,
		RW, false, 0, 0, 0, 0, ""},
	{"7f0000000000-7f0000001000 rw-s 00000000 00:0e 1052                       "
	 "anon_inode:[io_uring]",
		0x7f0000000000, 0x7f0000001000, RW, true, 0, 0, 0xe, 1052, "anon_inode:[io_uring]"},
	{"7f0000000000-7f0000400000 rw-s 00000000 00:0f 5                          "
	 "/SYSV00000000 (deleted)",
		0x7f0000000000, 0x7f0000400000, RW, true, 0, 0, 0xf, 5, "/SYSV00000000 (deleted)"},
};

static void headers_of_all_kernels_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(headers); i++) {
		const struct header *h = &headers[i];
		struct rm_vma vma;

		memset(&vma, 0xa5, sizeof(vma));
		print_message("# %s\n", h->line);
		assert_true(rm_maps_parse_header(h->line, strlen(h->line), &vma));
		assert_true(vma.start == h->start && vma.end == h->end);
		assert_int_equal(vma.prot, h->prot);
		assert_int_equal(vma.shared, h->shared);
		assert_true(vma.offset == h->offset && vma.inode == h->inode);
		assert_int_equal(vma.dev_major, h->major);
		assert_int_equal(vma.dev_minor, h->minor);
		assert_string_equal(vma.name, h->name);
		assert_false(vma.have_flags);
		assert_int_equal(vma.vmflags, 0);
		assert_int_equal(vma.pkey, 0);
	}
}

static void bytes_behind_the_line_are_not_read(void **state)
{
	static const char text[] = "1000-2000 rw-p 00000000 00:00 0 /file";
	struct rm_vma vma;

	(void)state;
	assert_true(
		rm_maps_parse_header(text, sizeof("1000-2000 rw-p 00000000 00:00 0 /f") - 1, &vma));
	assert_string_equal(vma.name, "/f");
}

/*
 * Every beginning of a header that stops before the inode is no header, and none of them reads past
 * its end.
 */
static void truncated_headers_are_refused(void **state)
{
	static const char text[] = "7f0000000000-7f0000001000 r--p 0001f000 08:01 9";
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *area = mmap(
		NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rm_vma vma;

	(void)state;
	assert_true(area != MAP_FAILED);
	assert_int_equal(mprotect(area + page, page, PROT_NONE), 0);
	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		char *line = area + page - len; /* its end is the end of the memory */

		memcpy(line, text, len);
		assert_false(rm_maps_parse_header(line, len, &vma));
	}
	memcpy(area + page - sizeof(text) + 1, text, sizeof(text) - 1);
	assert_true(rm_maps_parse_header(area + page - sizeof(text) + 1, sizeof(text) - 1, &vma));
	munmap(area, 2 * page);
}

static void garbage_is_refused_and_changes_nothing(void **state)
{
	static const char *const garbage[] = {
		"",
		" ",
		"\n",
		"-",
		"Rss:                   4 kB",
		"VmFlags: rd mr mw me ac",
		"1000",
		"1000-",
		"1000-2000",
		"1000 2000 rw-p 0 0:0 0",
		"1000-2000 rw-p",
		"1000-2000 rw-p ",
		"1000-2000 rw- 00000000 00:00 0",
		"1000-2000 rw-p 0 00-00 0",
		"1000-2000 rw-p 0 00:00 x",
		"1000-2000 rw-p x 00:00 0",
		"g000-2000 rw-p 0 00:00 0",
		"-1000-2000 rw-p 0 00:00 0",
		"0x1000-0x2000 rw-p 0 00:00 0",
		"1000-2000rw-p 0 00:00 0",
		"FFFF0000-FFFF1000 rw-p 0 00:00 0",
	};
	struct rm_vma vma, before;

	(void)state;
	memset(&vma, 0xa5, sizeof(vma));
	before = vma;
	for (size_t i = 0; i < RM_ARRAY_LEN(garbage); i++) {
		assert_false(rm_maps_parse_header(garbage[i], strlen(garbage[i]), &vma));
		assert_memory_equal(&vma, &before, sizeof(vma));
	}
}

static void long_names_are_cut_and_terminated(void **state)
{
	static const char front[] = "1000-2000 rw-p 00000000 08:01 7                          ";
	static char line[sizeof(front) + 5000];
	struct rm_vma vma;

	(void)state;
	for (size_t name = RM_VMA_NAME_MAX - 2; name < 5000; name += name < 260 ? 1 : 1111) {
		const size_t kept = name < RM_VMA_NAME_MAX - 1 ? name : RM_VMA_NAME_MAX - 1;

		memcpy(line, front, sizeof(front) - 1);
		memset(line + sizeof(front) - 1, 'n', name);
		line[sizeof(front) - 1] = '/';
		assert_true(rm_maps_parse_header(line, sizeof(front) - 1 + name, &vma));
		assert_int_equal(strnlen(vma.name, sizeof(vma.name)), kept);
		assert_int_equal(vma.name[0], '/');
		assert_int_equal(vma.name[kept - 1], 'n');
	}
}

static const struct detail {
	const char *line;
	uint32_t flags;
	bool have;
	int pkey;
} details[] = {
	/* 4.14 */
	{"VmFlags: rd wr mr mw me ac sd ", RM_VF_ACCOUNT, true, 0},
	{"VmFlags: rd wr mr mw me lo ac nr dc dd mg hg ",
		RM_VF_LOCKED | RM_VF_ACCOUNT | RM_VF_NORESERVE | RM_VF_DONTFORK | RM_VF_DONTDUMP |
			RM_VF_MERGEABLE | RM_VF_HUGEPAGE,
		true, 0},
	{"VmFlags: rd wr mr mw me gd ac wf nh sr rr ",
		RM_VF_GROWSDOWN | RM_VF_ACCOUNT | RM_VF_WIPEONFORK | RM_VF_NOHUGEPAGE |
			RM_VF_SEQUENTIAL | RM_VF_RANDOM,
		true, 0},
	{"VmFlags: rd wr sh mr mw me ms pf io de dd ",
		RM_VF_PFNMAP | RM_VF_IO | RM_VF_DONTEXPAND | RM_VF_DONTDUMP, true, 0},
	{"VmFlags: rd wr sh mr mw me ms de ht ", RM_VF_DONTEXPAND | RM_VF_HUGETLB, true, 0},
	{"VmFlags: rd wr mr mw me ac um uw ui ",
		RM_VF_ACCOUNT | RM_VF_UFFD_MISSING | RM_VF_UFFD_WP | RM_VF_UFFD_MINOR, true, 0},
	/* 6.6 lf, ss; 6.10 sl; 6.11 dp; arm64 mt */
	{"VmFlags: rd wr mr mw me lo lf ac ", RM_VF_LOCKED | RM_VF_LOCKONFAULT | RM_VF_ACCOUNT,
		true, 0},
	{"VmFlags: rd mr mw me sl ", RM_VF_SEALED, true, 0},
	{"VmFlags: rd wr mr mw me nr wf dd dp ",
		RM_VF_NORESERVE | RM_VF_WIPEONFORK | RM_VF_DONTDUMP | RM_VF_DROPPABLE, true, 0},
	{"VmFlags: rd wr mr mw me ac ss ", RM_VF_ACCOUNT | RM_VF_SHADOWSTACK, true, 0},
	{"VmFlags: rd wr mr mw me ac mt ", RM_VF_ACCOUNT | RM_VF_MTE, true, 0},
	{"VmFlags: rd mr mm ", RM_VF_MIXEDMAP, true, 0},
	/* without the last blank, with flags nobody knows, with none at all */
	{"VmFlags: rd wr ac", RM_VF_ACCOUNT, true, 0},
	{"VmFlags: rd ?? xx 77 ac ", RM_VF_ACCOUNT | RM_VF_NAMELESS, true, 0},
	{"VmFlags: ex ", 0, true, 0},
	{"VmFlags: ", 0, true, 0},
	/* "ac" across the border of two flags is no flag; half a flag is none */
	{"VmFlags: ra cb ", 0, true, 0},
	{"VmFlags: rd a", 0, true, 0},
	{"ProtectionKey:         3", 0, false, 3},
	{"ProtectionKey:        15", 0, false, 15},
	{"ProtectionKey:         0", 0, false, 0},
	{"ProtectionKey:          ", 0, false, 0},
	{"ProtectionKey", 0, false, 0},
	{"Rss:                   4 kB", 0, false, 0},
	{"THPeligible:           0", 0, false, 0},
	{"VmFlagsX: ac lo ", 0, false, 0},
	{"", 0, false, 0},
	{"V", 0, false, 0},
};

static void details_set_flags_and_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(details); i++) {
		struct rm_vma vma;

		memset(&vma, 0, sizeof(vma));
		print_message("# %s\n", details[i].line);
		rm_maps_parse_detail(details[i].line, strlen(details[i].line), &vma);
		assert_int_equal(vma.vmflags, details[i].flags);
		assert_int_equal(vma.have_flags, details[i].have);
		assert_int_equal(vma.pkey, details[i].pkey);
	}
}

/*
 * Every flag of the enumeration is reached by some line above, so that none is forgotten when one
 * is added.
 */
static void every_flag_has_letters(void **state)
{
	uint32_t all = 0;

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(details); i++)
		all |= details[i].flags;
	assert_int_equal(all, ((uint32_t)RM_VF_NAMELESS << 1) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_all_kernels_are_read),
		cmocka_unit_test(bytes_behind_the_line_are_not_read),
		cmocka_unit_test(truncated_headers_are_refused),
		cmocka_unit_test(garbage_is_refused_and_changes_nothing),
		cmocka_unit_test(long_names_are_cut_and_terminated),
		cmocka_unit_test(details_set_flags_and_key),
		cmocka_unit_test(every_flag_has_letters),
	};

	return unit_run(tests);
}
