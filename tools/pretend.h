/* SPDX-License-Identifier: MIT */
/*
 * pretend.h - making this kernel answer as an older one would (remap-run --pretend)
 *
 * Everything that an older kernel lacks is one row of rm_pretend_rows (pretend-table.c). pretend.c
 * turns the rows into two seccomp filters: one that answers an errno by itself, and one that asks a
 * server, for the answers that depend on memory or on the kind of mapping. The server
 * (pretend-notify.c) is a process beside the command, not above it, so that the command keeps its
 * own pid, parent, terminal and exit status; what it answers is computed in pretend-mremap.c and
 * pretend-uffd.c.
 *
 * Nothing here is thread-safe or async-signal-safe: remap-run has one thread until it becomes the
 * command.
 */
#ifndef REMAP_TOOLS_PRETEND_H
#define REMAP_TOOLS_PRETEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* A kernel version in one comparable number. */
#define RM_KV(major, minor) ((unsigned)(major) << 8 | (unsigned)(minor))
/* "Since" of what no kernel has. */
#define RM_KV_NEVER 0xffffu

#define RM_PRETEND_WHY 512 /* room for one line of explanation */

/* How a row is enforced. */
enum rm_how {
	RM_HOW_ERRNO, /* the filter answers .err when the argument tests hold */
	RM_HOW_SERVE, /* the server applies .rule to the calls for which the tests hold */
	RM_HOW_BIT,   /* the server hides .bits of .word */
	RM_HOW_BLIND, /* not pretended; .cite says why */
};

/* What the server knows how to refuse; one row each. */
enum rm_rule {
	RM_RULE_NONE,
	RM_RULE_DONTUNMAP_KIND,	  /* DONTUNMAP of anything but private anonymous memory */
	RM_RULE_DONTUNMAP_RAWLEN, /* DONTUNMAP lengths compared after rounding */
	RM_RULE_MULTI_VMA,	  /* a FIXED move over several mappings */
	RM_RULE_HUGETLB_MOVE,	  /* moving hugetlb memory */
	RM_RULE_NOOP_LOOKUP,  /* no-op and shrink look at the mapping: EFAULT where there is none */
	RM_RULE_UFFD_WP_KIND, /* UFFDIO_REGISTER_MODE_WP of anything but private anonymous memory */
	RM_RULE_UFFD_FORK_CAP, /* UFFD_FEATURE_EVENT_FORK asks for CAP_SYS_PTRACE */
	RM_RULE_ACTION_AVAIL,  /* SECCOMP_GET_ACTION_AVAIL of SECCOMP_RET_USER_NOTIF */
};

/* Words in memory, or returned, of which an older kernel knew fewer bits. */
enum rm_word {
	RM_WORD_NONE,
	RM_WORD_UFFD_FEATURES,
	RM_WORD_UFFD_MODES,
	RM_WORD_UFFD_IOCTLS,
	RM_WORD_MEMBARRIER,
};

/*
 * (argument[arg] & mask) == value. A mask of 0 is no test. An int argument is tested with a 32-bit
 * mask.
 */
struct rm_arg_test {
	unsigned arg;
	uint64_t mask;
	uint64_t value;
};

struct rm_row {
	const char *call; /* the system call's name, for --except */
	const char *what; /* what an older kernel lacks */
	const char *
		/* where version and answer come from; for RM_HOW_BLIND why it is not pretended */
		cite;
	long nr;      /* on this architecture; -1 for none */
	struct rm_arg_test test[2];
	enum rm_how how;
	enum rm_rule rule;
	enum rm_word word;
	uint64_t bits;
	unsigned
		/* the first kernel that has it: pretended kernels below get the row's answer */
		since;
	unsigned
		/*
		 * pretended kernels below this one have another row for the same thing; 0 for none
		 */
		from;
	int err; /* the answer of an older kernel; 0 for "success" */
};

extern const struct rm_row rm_pretend_rows[];
extern const size_t rm_pretend_nr_rows;
extern const unsigned rm_pretend_kernels[]; /* what --pretend knows, oldest first, 0 at the end */

/* What the command line asked for. */
struct rm_pretend {
	unsigned kernel;    /* RM_KV() of the kernel to pretend */
	const char *except; /* comma-separated calls whose rows are left out, or NULL */
	bool filter_only;   /* no server: only what the filter can answer */
	bool debug;	    /* the server says what it answers, on stderr */
};

/* table (pretend-table.c) */
bool rm_row_applies(const struct rm_row *row, unsigned kernel);
bool rm_rule_applies(enum rm_rule rule, unsigned kernel);
uint64_t rm_word_unknown(
	enum rm_word word, unsigned kernel);	  /* the bits that @kernel did not know */
void rm_pretend_list(FILE *out, unsigned kernel); /* 0: every row */
void rm_pretend_names(char *buf, size_t size);
int rm_pretend_parse(const char *name, unsigned *kernel); /* 0 or -EINVAL */

/*
 * rm_pretend_enter - put the calling process, and all that it starts, under the pretended kernel
 *
 * Cannot be undone. Returns 0, or -errno with one line in @why (RM_PRETEND_WHY bytes) and nothing
 * or only part of it in force: the caller must not run the command then.
 */
int rm_pretend_enter(const struct rm_pretend *pretend, char *why);

/*
 * The server (pretend-notify.c). Start it before the filters are loaded, hand it the listener
 * afterwards. rm_notify_start returns a socket to the server or -errno; *@server is its pid.
 */
int rm_notify_start(const struct rm_pretend *pretend, pid_t *server);
int rm_notify_hand_over(int sock, int listener);

/* One call that waits for its answer, as the handlers see it. */
struct rm_asked {
	unsigned kernel; /* the pretended one */
	int listener;
	uint64_t id;
	pid_t tid;
	long nr;
	const uint64_t *args; /* six */
};

struct rm_answer {
	bool go_on;  /* let this kernel do the call; the other fields do not matter then */
	int64_t val; /* what the call returns when err is 0 */
	int err;     /* positive errno */
};

bool rm_asked_alive(
	const struct rm_asked *asked); /* the caller still waits, so its tid is still its own */

/* handlers: fill in @answer, which comes as "go on" */
void rm_answer_mremap(const struct rm_asked *asked, struct rm_answer *answer);
void rm_answer_ioctl(const struct rm_asked *asked, struct rm_answer *answer);

/* One mapping of another process (pretend-mremap.c). */
struct rm_target_vma {
	uintptr_t start, end;
	bool private_anon; /* what vma_is_anonymous() says, /dev/zero included */
	bool hugetlb;
};

/*
 * rm_target_vma_find - the mapping of @tid that contains @addr, or the next one above
 * 0, -ENOENT where there is none, or another -errno where the target cannot be read.
 */
int rm_target_vma_find(pid_t tid, uintptr_t addr, struct rm_target_vma *vma);

#endif
