/*
 * repro.c - a sequence as a C program of its own, to be run natively and under whatever differed.
 *
 * The program makes the same calls at the same kind of place and prints, after each, the result or
 * errno, and at the end the VMAs and the first word of every page. It needs only libc.
 */
#include "oracle.h"

#include <string.h>
#include <sys/mman.h>

static const char prologue[] =
	"#define _GNU_SOURCE\n"
	"#include <errno.h>\n#include <fcntl.h>\n#include <stdint.h>\n#include <stdio.h>\n"
	"#include <string.h>\n#include <sys/mman.h>\n#include <sys/uio.h>\n#include <sys/wait.h>\n"
	"#include <unistd.h>\n\n"
	"#define ARENA_PAGES %d\n"
	"#define PAGES %d\n"
	"#define P(arena, page) (base + ((size_t)((arena) - 'A') * ARENA_PAGES + (page)) * size)\n"
	"#define TRY(call) show(#call, (long)(call))\n\n"
	"static char *base = (char *)0x200000000000;\n"
	"static size_t size;\n\n"
	"static void show(const char *call, long got)\n{\n"
	"\tif (got == -1)\n\t\tprintf(\"%%s = -1 %%s\\n\", call, strerror(errno));\n"
	"\telse if (got >= (long)base && got < (long)(base + PAGES * size))\n"
	"\t\tprintf(\"%%s = %%c+%%ld\\n\", call, (int)('A' + (got - (long)base) / (long)size / "
	"ARENA_PAGES),\n"
	"\t\t\t(got - (long)base) / (long)size %% ARENA_PAGES);\n"
	"\telse\n\t\tprintf(\"%%s = 0x%%lx\\n\", call, got);\n}\n\n"
	"/* Writes op's number into each page that can be written; a bad page is skipped. */\n"
	"static long store(char *at, long pages, uint64_t op)\n{\n"
	"\tlong done = 0;\n\n"
	"\tfor (; pages > 0; pages--, at += size) {\n"
	"\t\tstruct iovec from = {&op, 8}, to = {at, 8};\n\n"
	"\t\tdone += process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 8;\n\t}\n"
	"\treturn done;\n}\n\n"
	"static long load(char *at, uint64_t *word)\n{\n"
	"\tstruct iovec to = {word, 8}, from = {at, 8};\n\n"
	"\treturn process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8;\n}\n\n"
	"static long touch(char *at, long pages)\n{\n"
	"\tuint64_t word;\n\tlong done = 0;\n\n"
	"\tfor (; pages > 0; pages--, at += size)\n\t\tdone += load(at, &word);\n"
	"\treturn done;\n}\n\n"
	"static int file(const char *name)\n{\n"
	"\tint fd = memfd_create(name, MFD_CLOEXEC);\n\tuint64_t i;\n\n"
	"\tif (ftruncate(fd, (off_t)(%d * size)))\n\t\treturn -1;\n"
	"\tfor (i = 0; i < %d; i++)\n"
	"\t\tif (pwrite(fd, &(uint64_t){0xf11e0000 + i}, 8, (off_t)(i * size)) != 8)\n"
	"\t\t\treturn -1;\n"
	"\treturn fd;\n}\n\n"
	"static void report(void)\n{\n"
	"\tFILE *maps = fopen(\"/proc/self/smaps\", \"r\");\n\tchar line[512];\n\tlong i;\n"
	"\tunsigned long start = 0, end;\n\tuint64_t word;\n\n"
	"\twhile (fgets(line, sizeof(line), maps)) {\n"
	"\t\tif (strchr(line, '-') && sscanf(line, \"%%lx-%%lx\", &start, &end) == 2 &&\n"
	"\t\t\tstart >= (unsigned long)base && start < (unsigned long)(base + PAGES * size))\n"
	"\t\t\tfputs(line, stdout);\n"
	"\t\telse if (start >= (unsigned long)base && start < (unsigned long)(base + PAGES * size) "
	"&&\n"
	"\t\t\t(!strncmp(line, \"Rss\", 3) || !strncmp(line, \"Locked\", 6) || !strncmp(line, "
	"\"VmFl\", 4)))\n"
	"\t\t\tfputs(line, stdout);\n\t}\n"
	"\tfclose(maps);\n"
	"\tfor (i = 0; i < PAGES; i++)\n"
	"\t\tif (load(base + (size_t)i * size, &word))\n"
	"\t\t\tprintf(\"%%c+%%ld: %%llx\\n\", (int)('A' + i / ARENA_PAGES), i %% ARENA_PAGES,\n"
	"\t\t\t\t(unsigned long long)word);\n}\n\n"
	"int main(void)\n{\n"
	"\tint memfd, memfd_ro, tmpfs;\n\tchar path[64];\n\tvoid *got;\n\n"
	"\tsize = (size_t)sysconf(_SC_PAGESIZE);\n"
	"\tmemfd = file(\"one\");\n\ttmpfs = file(\"two\"); /* the original may be a file in "
	"/dev/shm */\n"
	"\tsnprintf(path, sizeof(path), \"/proc/self/fd/%%d\", memfd);\n"
	"\tmemfd_ro = open(path, O_RDONLY);\n\tgot = NULL;\n"
	"\t(void)memfd_ro, (void)tmpfs, (void)got, (void)store, (void)touch;\n"
	"\tsetvbuf(stdout, NULL, _IONBF, 0);\n\n";

static const char *number(const struct oracle_num *num, char buf[64])
{
	switch (num->kind) {
	case NUM_FIELD:
		snprintf(buf, 64, num->delta ? "P('%c', %d) + %d" : "P('%c', %d)",
			'A' + num->page / ORACLE_ARENA_PAGES, num->page % ORACLE_ARENA_PAGES,
			num->delta);
		break;
	case NUM_PAGES:
		snprintf(buf, 64, num->delta ? "%d * size + %d" : "%d * size", num->page,
			num->delta);
		break;
	default:
		snprintf(buf, 64, "0x%llx", (unsigned long long)num->plain);
		break;
	}
	return buf;
}

static const char *protection(int prot, char buf[64])
{
	snprintf(buf, 64, "%s%s%s", prot & PROT_READ ? "PROT_READ" : "PROT_NONE",
		prot & PROT_WRITE ? " | PROT_WRITE" : "", prot & PROT_EXEC ? " | PROT_EXEC" : "");
	return buf;
}

static void print_mmap(const struct oracle_op *op, FILE *out)
{
	static const char *const files[KINDS] = {
		"-1", "-1", "memfd", "memfd_ro", "memfd", "tmpfs", "tmpfs"};
	bool private = op->kind == KIND_ANON || op->kind == KIND_MEMFD_PRIVATE ||
		       op->kind == KIND_TMPFS_PRIVATE;
	char addr[64], len[64], prot[64];

	fprintf(out, "\tTRY(mmap(%s, %s, %s,\n\t\tMAP_FIXED | %s%s%s, %s, (off_t)(%d * size)));\n",
		number(&op->addr, addr), number(&op->len, len), protection(op->prot, prot),
		private ? "MAP_PRIVATE" : "MAP_SHARED",
		op->kind <= KIND_SHARED ? " | MAP_ANONYMOUS" : "",
		op->noreserve ? " | MAP_NORESERVE" : "", files[op->kind], op->offset);
}

static void print_mremap(const struct oracle_op *op, FILE *out)
{
	char addr[64], len[64], new_len[64], new_addr[64], home[64];

	fprintf(out, "\tTRY(got = mremap(%s, %s, %s, 0x%x /* ", number(&op->addr, addr),
		number(&op->len, len), number(&op->new_len, new_len), op->flags);
	oracle_flags_print(op->flags, home);
	fprintf(out, "%s */", home);
	if (op->new_addr.kind != NUM_NONE)
		fprintf(out, ",\n\t\t(void *)(%s)", number(&op->new_addr, new_addr));
	fputs("));\n", out);
	if (op->home.kind != NUM_NONE && !(op->flags & MREMAP_FIXED))
		fprintf(out,
			"\tif (got != MAP_FAILED && ((char *)got < base || (char *)got >= base + "
			"PAGES * size))\n"
			"\t\tTRY(mremap(got, %s, %s,\n\t\t\tMREMAP_MAYMOVE | MREMAP_FIXED, %s));\n",
			new_len, new_len, number(&op->home, home));
}

static void print_op(const struct oracle_op *op, int i, FILE *out)
{
	char addr[64], len[64], prot[64];
	const char *name = oracle_call_names[op->call];

	number(&op->addr, addr);
	number(&op->len, len);
	switch (op->call) {
	case CALL_MMAP:
		print_mmap(op, out);
		break;
	case CALL_MREMAP:
		print_mremap(op, out);
		break;
	case CALL_MPROTECT:
		fprintf(out, "\tTRY(mprotect(%s, %s, %s));\n", addr, len,
			protection(op->prot, prot));
		break;
	case CALL_MADVISE:
		fprintf(out, "\tTRY(madvise(%s, %s, %d /* %s */));\n", addr, len, op->advice,
			oracle_advice_name(op->advice));
		break;
	case CALL_MLOCK2:
		fprintf(out, "\tTRY(mlock2(%s, %s, MLOCK_ONFAULT));\n", addr, len);
		break;
	case CALL_WRITE:
		fprintf(out, "\tTRY(store(%s, %d, %d));\n", addr, op->len.page, i + 1);
		break;
	case CALL_READ:
		fprintf(out, "\tTRY(touch(%s, %d));\n", addr, op->len.page);
		break;
	case CALL_FORK:
		fputs("\tif (fork() == 0) {\n", out);
		break;
	case CALL_JOIN:
		fputs("\treport();\n\t_exit(0);\n\t}\n\twait(NULL);\n", out);
		break;
	default:
		fprintf(out, "\tTRY(%s(%s, %s));\n", name, addr, len);
		break;
	}
}

void oracle_repro(const struct oracle_op *ops, int count, const char *title, FILE *out)
{
	int depth = 0, i;

	fprintf(out, "/* %s */\n", title);
	fprintf(out, prologue, ORACLE_ARENA_PAGES, ORACLE_PAGES + ORACLE_ARENA_PAGES,
		ORACLE_FILE_PAGES, ORACLE_FILE_PAGES);
	for (i = 0; i < count; i++) {
		if (ops[i].call == CALL_JOIN && depth == 0)
			continue;
		depth += ops[i].call == CALL_FORK;
		depth -= ops[i].call == CALL_JOIN;
		print_op(&ops[i], i, out);
	}
	for (; depth > 0; depth--)
		print_op(&(struct oracle_op){.call = CALL_JOIN}, count, out);
	fputs("\treport();\n\treturn 0;\n}\n", out);
}
