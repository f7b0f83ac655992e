/*
 * oracle.h - what the files of remap-oracle share.
 *
 * The tester knows one piece of address space, the field: ORACLE_PAGES pages at a place that no
 * kernel chooses by itself, cut into arenas of ORACLE_ARENA_PAGES pages named A, B, C ... An
 * address is printed as arena plus page ("B+3"), a length in pages ("4p"), never as a number, so
 * that two runs can be compared byte for byte. A sequence is an array of struct oracle_op; it has
 * a text form (script.c), a generator (generate.c), an executor (execute.c) and an observer
 * (observe.c). Everything observed is a line; the first word of a line says what kind of
 * observation it is ("op", "page", "vma", "flags", ...).
 *
 * Rules: oracle_ names across files; a sequence always runs in a forked child; the child writes
 * its lines into memory shared with its parent, so a crash loses nothing; no file here may link
 * libremap.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ORACLE_VERSION	   "1"
#define ORACLE_ARENAS	   6
#define ORACLE_ARENA_PAGES 40
#define ORACLE_PAGES	   (ORACLE_ARENAS * ORACLE_ARENA_PAGES)
#define ORACLE_MAX_OPS	   4096
#define ORACLE_MAX_TOLD	   1000 /* differing sequences that are named */
#define ORACLE_FILE_PAGES  16

#ifndef MREMAP_MAYMOVE
#define MREMAP_MAYMOVE 1
#endif
#ifndef MREMAP_FIXED
#define MREMAP_FIXED 2
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/*
 * A number of a script: a place in the field, a count of pages, or a plain value; each plus some
 * bytes.
 */
enum oracle_num_kind { NUM_NONE, NUM_FIELD, NUM_PAGES, NUM_PLAIN };

struct oracle_num {
	enum oracle_num_kind kind;
	int page;
	int delta;
	uint64_t plain;
};

enum oracle_kind {
	KIND_ANON,
	KIND_SHARED,
	KIND_MEMFD,
	KIND_MEMFD_RO,
	KIND_MEMFD_PRIVATE,
	KIND_TMPFS,
	KIND_TMPFS_PRIVATE,
	KINDS
};

enum oracle_call {
	CALL_MMAP,
	CALL_MUNMAP,
	CALL_MPROTECT,
	CALL_MADVISE,
	CALL_MLOCK,
	CALL_MLOCK2,
	CALL_MUNLOCK,
	CALL_MREMAP,
	CALL_WRITE,
	CALL_READ,
	CALL_FORK,
	CALL_JOIN,
	CALLS
};

struct oracle_op {
	enum oracle_call call;
	struct oracle_num addr;
	struct oracle_num len;
	struct oracle_num new_len;
	struct oracle_num new_addr;
	struct oracle_num home; /* where a result that the kernel placed is brought */
	uint32_t flags;		/* of mremap */
	int prot;
	int advice;
	enum oracle_kind kind;
	int offset; /* in pages, of file kinds */
	bool noreserve;
};

/* What is observed; each level includes the ones before it. */
enum oracle_level { LEVEL_CONTENT, LEVEL_VMAS, LEVEL_FLAGS, LEVEL_RSS, LEVEL_ALL };

/* What is observed after each single operation. */
enum oracle_each { EACH_RESULT, EACH_DIGEST, EACH_FULL };

/* Kinds of mremap that the generator may use. */
enum {
	MOVES_DONTUNMAP = 1,
	MOVES_FIXED = 2,
	MOVES_RESIZE = 4,
	MOVES_DUPLICATE = 8,
	MOVES_INVALID = 16,
	MOVES_ALL = 31,
};

struct oracle_options {
	uint64_t seed;
	unsigned long sequences;
	int ops;
	unsigned int kinds; /* bit mask of enum oracle_kind */
	unsigned int moves;
	enum oracle_level level;
	enum oracle_each each;
	int timeout; /* seconds that a sequence may take */
	int threads; /* that wait beside it, in the same process */
	bool quiet;
	bool portable; /* nothing that kernels merge or are configured differently */
	bool run_scenarios;
	bool run_random;
	char **names; /* of scenarios; NULL-terminated, empty for all */
};

extern struct oracle_options oracle_opt;

/* field.c: the field, its files, tags in pages */
extern uintptr_t oracle_base;
extern size_t oracle_page;
int oracle_field_init(void);
void oracle_plug_gaps(void);
uintptr_t oracle_value(const struct oracle_num *num);
void *oracle_at(int page);
const char *oracle_place(uintptr_t addr, char buf[32]);
int oracle_kind_fd(enum oracle_kind kind);
void oracle_field_cleanup(pid_t child);
void oracle_tags_read(const int *pages, int count, uint64_t *tags, char *good);
int oracle_touch(int first, int count, unsigned int version);
pid_t oracle_pid(void);
pid_t oracle_fork(void);
const char *oracle_tag_name(uint64_t tag, char buf[32]);
#define ORACLE_FILE_TAG 0x00f11e0000000000ull

/* out.c: lines into the buffer shared by a child and its parent; running something in a child */
struct oracle_result {
	const char *text;
	size_t len;
};
void oracle_out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int oracle_out_init(void);
struct oracle_result oracle_run_child(void (*body)(void *), void *arg);
void oracle_reap(const char *what, pid_t pid);
const char *oracle_errno_name(int err);

/* script.c: the text form of operations */
void oracle_op_print(const struct oracle_op *op, char *buf, size_t size);
int oracle_op_parse(const char *line, struct oracle_op *op);
int oracle_script_parse(const char *text, struct oracle_op *ops, int max);
void oracle_num_print(const struct oracle_num *num, char buf[48]);
uint64_t oracle_script_hash(const struct oracle_op *ops, int count);
extern const char *const oracle_call_names[CALLS];
extern const char *const oracle_kind_names[KINDS];
const char *oracle_advice_name(int advice);
void oracle_flags_print(uint32_t flags, char buf[64]);

/* generate.c */
int oracle_generate(uint64_t seed, const struct oracle_options *opt, struct oracle_op *ops);

/* execute.c */
void oracle_execute(const struct oracle_op *ops, int count);
uintptr_t oracle_mremap(const struct oracle_op *op, char *text, size_t size);

/* smaps.c: the VMAs of the field as the kernel lists them */
struct oracle_vma {
	uintptr_t start, end;
	char prot[5];
	char what[16];
	unsigned long offset;
	char flags[128];
	char rss[256];
};
int oracle_read_maps(struct oracle_vma *vmas, int max, uintptr_t from, uintptr_t to);
int oracle_read_smaps(struct oracle_vma *vmas, int max, uintptr_t from, uintptr_t to);
/* What the kernel does meanwhile is looked at again after a pause, so often at most. */
#define ORACLE_TRIES 100
void oracle_pause(void);

/* observe.c */
struct oracle_baseline {
	long vm_size, vm_lck, vm_data;
};
void oracle_baseline_take(struct oracle_baseline *base);
uint32_t oracle_digest(void);
void oracle_observe(const struct oracle_baseline *base);
void oracle_observe_content(void);

/* scenarios*.c */
struct oracle_scenario {
	const char *name;
	const char *script; /* run and observed after each operation; or: */
	void (*body)(void);
};
extern const struct oracle_scenario oracle_scenarios_errno[];
extern const struct oracle_scenario oracle_scenarios_destination[];
extern const struct oracle_scenario oracle_scenarios_dontunmap[];
extern const struct oracle_scenario oracle_scenarios_special[];
extern const struct oracle_scenario oracle_scenarios_uffd[];
void oracle_scenarios_list(FILE *out);
const struct oracle_scenario *oracle_scenario_next(const struct oracle_scenario *at);
const struct oracle_scenario *oracle_scenario_find(const char *name);
void oracle_scenario_run(const struct oracle_scenario *scenario, FILE *out);
bool oracle_scenario_wanted(const struct oracle_scenario *scenario);
void oracle_script(const char *text);
void oracle_setup(const char *text);
void oracle_say(const char *what, const void *got);

/* run.c: one sequence, all sequences, and the server that compare.c talks to */
void oracle_run_ops(const char *title, const struct oracle_op *ops, int count, FILE *out);
void oracle_run_all(FILE *out);
int oracle_serve(FILE *in, FILE *out);

/* block.c: what one sequence or scenario printed, and the difference of two of them */
struct oracle_block {
	char *text;
	size_t len, size;
	char **lines;
	int count, max_lines;
};
int oracle_block_read(struct oracle_block *block, FILE *in);
void oracle_block_free(struct oracle_block *block);
struct oracle_difference {
	int differing, excused;
	unsigned int kinds; /* of the lines that differ */
	const char *first_native, *first_other;
	bool skipped;
};
struct oracle_difference oracle_block_compare(
	const struct oracle_block *native, const struct oracle_block *other);

void oracle_block_print(
	const struct oracle_block *native, const struct oracle_block *other, FILE *out);

/* excuse.c */
int oracle_excuses_load(const char *path);
bool oracle_excused(const char *note, const char *field);
int oracle_excuses_report(FILE *out);

/* side.c: the two processes that are compared */
struct oracle_side {
	pid_t pid;
	FILE *in, *out;
};
int oracle_side_start(struct oracle_side *side, char **prefix, bool serve);
int oracle_side_stop(struct oracle_side *side);
int oracle_side_ask(struct oracle_side *side, const struct oracle_op *ops, int count,
	struct oracle_block *block);

/* compare.c, shrink.c, repro.c, record.c */
int oracle_compare(char **prefix, int max_shrink);
int oracle_shrink(struct oracle_op *ops, int count, char **prefix);
void oracle_repro(const struct oracle_op *ops, int count, const char *title, FILE *out);
int oracle_record(const char *path);
int oracle_against(const char *path);

#endif
