/* SPDX-License-Identifier: MIT */
/*
 * kernel-probe.h - what the parts of kernel-probe share
 *
 * kernel-probe.c has the table of questions, asks them, and knows the answers about files, advice,
 * seccomp and system calls; kernel-probe-mem.c makes the kinds of memory and asks about mremap;
 * kernel-probe-uffd.c asks userfaultfd. An answer is a line of at most 255 bytes.
 */
#ifndef REMAP_TESTS_KERNEL_PROBE_H
#define REMAP_TESTS_KERNEL_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#define HUGE	  (2UL << 20)
#define DONTUNMAP 4

struct region_kind {
	const char *name;
	char *(*map)(size_t len); /* MAP_FAILED with errno when it cannot be had */
	bool huge;
};

struct question {
	const char *name;
	void (*ask)(const struct question *question, char *answer);
	const struct region_kind *kind;
	long a, b;
};

extern const char *rm_file_dir; /* where ordinary files may be made */
extern size_t rm_page;

void rm_say(char *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rm_say_errno(char *answer);
void rm_say_ok_or_errno(char *answer, long ret);

/*
 * A region of the question's kind, written with 'A'; NULL with the answer filled in when it cannot
 * be had here.
 */
char *rm_region(const struct question *question, size_t *len, char *answer);
int rm_new_memfd(unsigned flags, char first, size_t len);

extern const struct region_kind rm_private_anon, rm_shared_anon, rm_memfd_shared, rm_memfd_private,
	rm_file_private, rm_file_shared, rm_shm_file, rm_huge_memfd, rm_huge_private;

/* The questions. What .a and .b mean is said at each. */
void rm_ask_dontunmap(const struct question *question, char *answer);
void rm_ask_duplicate(const struct question *question, char *answer);
void rm_ask_move(const struct question *question, char *answer);
void rm_ask_move_three(const struct question *question, char *answer);
void rm_ask_dontunmap_locked(const struct question *question, char *answer);
void rm_ask_dontunmap_thp(const struct question *question, char *answer);
void rm_ask_move_overlapping(const struct question *question, char *answer);
void rm_ask_shrink_to_tail(const struct question *question, char *answer);
void rm_ask_noop_unmapped(const struct question *question, char *answer);
void rm_ask_dontunmap_rawlen(const struct question *question, char *answer);
void rm_ask_uffd(const struct question *question, char *answer);
void rm_ask_uffd_api(const struct question *question, char *answer);
void rm_ask_uffd_feature(const struct question *question, char *answer);
void rm_ask_uffd_register(const struct question *question, char *answer);
void rm_ask_uffd_move(const struct question *question, char *answer);

#endif
