/*
 * script.c - the text form of operations: printing and strict parsing.
 *
 *   mmap A+0 8p anon rw- [noreserve] [off=3]     kinds: see oracle_kind_names
 *   munmap A+0 2p          mprotect A+0 2p r--   madvise A+0 2p DONTFORK
 *   mlock A+0 2p           mlock2 A+0 2p         munlock A+0 2p
 *   mremap A+0 4p 4p MAYMOVE|DONTUNMAP B+0 home=F+0    new address "-": four arguments only
 *   write A+0 3p           read A+0 3p           fork ... join (what is between runs in a child)
 *
 * A number is a place "A+3", a place with bytes "A+3:123", pages "4p", "4p+1", "4p-1", or "=hex".
 * Where the kernel may choose the place of a result, it is afterwards moved to home, so that what
 * follows does not depend on the kernel's choice. Lines may end in ";" and several may share a
 * line; "#" starts a comment.
 */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *const oracle_call_names[CALLS] = {"mmap", "munmap", "mprotect", "madvise", "mlock",
	"mlock2", "munlock", "mremap", "write", "read", "fork", "join"};

const char *const oracle_kind_names[KINDS] = {
	"anon", "shared", "memfd", "memfd-ro", "memfd-private", "tmpfs", "tmpfs-private"};

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

static const struct {
	const char *name;
	int advice;
} advices[] = {
	{"NORMAL", MADV_NORMAL},
	{"RANDOM", MADV_RANDOM},
	{"SEQUENTIAL", MADV_SEQUENTIAL},
	{"DONTNEED", MADV_DONTNEED},
	{"REMOVE", MADV_REMOVE},
	{"DONTFORK", MADV_DONTFORK},
	{"DOFORK", MADV_DOFORK},
	{"MERGEABLE", MADV_MERGEABLE},
	{"UNMERGEABLE", MADV_UNMERGEABLE},
	{"HUGEPAGE", MADV_HUGEPAGE},
	{"NOHUGEPAGE", MADV_NOHUGEPAGE},
	{"DONTDUMP", MADV_DONTDUMP},
	{"DODUMP", MADV_DODUMP},
	{"WIPEONFORK", MADV_WIPEONFORK},
	{"KEEPONFORK", MADV_KEEPONFORK},
	{"GUARD_INSTALL", 102},
	{"GUARD_REMOVE", 103},
};

#define ADVICES (sizeof(advices) / sizeof(advices[0]))

const char *oracle_advice_name(int advice)
{
	size_t i;

	for (i = 0; i < ADVICES; i++)
		if (advices[i].advice == advice)
			return advices[i].name;
	return "?";
}

void oracle_num_print(const struct oracle_num *num, char buf[48])
{
	switch (num->kind) {
	case NUM_NONE:
		strcpy(buf, "-");
		break;
	case NUM_FIELD:
		snprintf(buf, 48, num->delta ? "%c+%d:%d" : "%c+%d",
			'A' + num->page / ORACLE_ARENA_PAGES, num->page % ORACLE_ARENA_PAGES,
			num->delta);
		break;
	case NUM_PAGES:
		snprintf(buf, 48, num->delta ? "%dp%+d" : "%dp", num->page, num->delta);
		break;
	case NUM_PLAIN:
		snprintf(buf, 48, "=%llx", (unsigned long long)num->plain);
		break;
	}
}

static bool num_parse(const char *text, struct oracle_num *num)
{
	char *end;

	memset(num, 0, sizeof(*num));
	if (!strcmp(text, "-"))
		return true;
	if (*text == '=') {
		num->kind = NUM_PLAIN;
		num->plain = strtoull(text + 1, &end, 16);
		return end != text + 1 && !*end;
	}
	if (*text >= 'A' && *text < 'A' + ORACLE_ARENAS + 1 && text[1] == '+') {
		num->kind = NUM_FIELD;
		num->page = (int)strtol(text + 2, &end, 10) + (*text - 'A') * ORACLE_ARENA_PAGES;
		if (*end == ':')
			num->delta = (int)strtol(end + 1, &end, 10);
		return end != text + 2 && !*end && num->page >= 0 && num->page <= ORACLE_PAGES;
	}
	num->kind = NUM_PAGES;
	num->page = (int)strtol(text, &end, 10);
	if (end == text || *end++ != 'p')
		return false;
	if (*end)
		num->delta = (int)strtol(end, &end, 10);
	return !*end;
}

static const struct {
	const char *name;
	uint32_t flag;
} flag_names[] = {
	{"MAYMOVE", MREMAP_MAYMOVE}, {"FIXED", MREMAP_FIXED}, {"DONTUNMAP", MREMAP_DONTUNMAP}};

void oracle_flags_print(uint32_t flags, char buf[64])
{
	size_t i, len = 0;

	buf[0] = 0;
	for (i = 0; i < 3; i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		len += (size_t)snprintf(
			buf + len, 64 - len, "%s%s", len ? "|" : "", flag_names[i].name);
		flags &= ~flag_names[i].flag;
	}
	if (flags || !len)
		snprintf(buf + len, 64 - len, "%s0x%x", len ? "|" : "", flags);
}

static bool flags_parse(char *text, uint32_t *flags)
{
	char *save, *end, *word;
	size_t i;

	*flags = 0;
	for (word = strtok_r(text, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
		for (i = 0; i < 3 && strcmp(word, flag_names[i].name); i++)
			;
		if (i < 3) {
			*flags |= flag_names[i].flag;
			continue;
		}
		*flags |= (uint32_t)strtoul(word, &end, 16);
		if (end == word || *end)
			return false;
	}
	return true;
}

static void prot_print(int prot, char buf[4])
{
	buf[0] = prot & PROT_READ ? 'r' : '-';
	buf[1] = prot & PROT_WRITE ? 'w' : '-';
	buf[2] = prot & PROT_EXEC ? 'x' : '-';
	buf[3] = 0;
}

static bool prot_parse(const char *text, int *prot)
{
	static const struct {
		char letter;
		int prot;
	} bits[] = {{'r', PROT_READ}, {'w', PROT_WRITE}, {'x', PROT_EXEC}};
	int i;

	*prot = 0;
	for (i = 0; i < 3; i++) {
		if (text[i] == bits[i].letter)
			*prot |= bits[i].prot;
		else if (text[i] != '-')
			return false;
	}
	return !text[3];
}

void oracle_op_print(const struct oracle_op *op, char *buf, size_t size)
{
	char addr[48], len[48], new_len[48], new_addr[48], home[48], flags[64], prot[4],
		off[16] = "";
	const char *name = oracle_call_names[op->call];

	oracle_num_print(&op->addr, addr);
	oracle_num_print(&op->len, len);
	prot_print(op->prot, prot);
	switch (op->call) {
	case CALL_MMAP:
		if (op->offset)
			snprintf(off, sizeof(off), " off=%d", op->offset);
		snprintf(buf, size, "%s %s %s %s %s%s%s", name, addr, len,
			oracle_kind_names[op->kind], prot, op->noreserve ? " noreserve" : "", off);
		break;
	case CALL_MPROTECT:
		snprintf(buf, size, "%s %s %s %s", name, addr, len, prot);
		break;
	case CALL_MADVISE:
		snprintf(buf, size, "%s %s %s %s", name, addr, len, oracle_advice_name(op->advice));
		break;
	case CALL_MREMAP:
		oracle_num_print(&op->new_len, new_len);
		oracle_num_print(&op->new_addr, new_addr);
		oracle_num_print(&op->home, home);
		oracle_flags_print(op->flags, flags);
		snprintf(buf, size, "%s %s %s %s %s %s%s%s", name, addr, len, new_len, flags,
			new_addr, op->home.kind ? " home=" : "", op->home.kind ? home : "");
		break;
	case CALL_FORK:
	case CALL_JOIN:
		snprintf(buf, size, "%s", name);
		break;
	default:
		snprintf(buf, size, "%s %s %s", name, addr, len);
		break;
	}
}

static bool parse_mmap(char **words, int count, struct oracle_op *op)
{
	int i, kind;

	if (count < 5 || !prot_parse(words[4], &op->prot))
		return false;
	for (kind = 0; kind < KINDS && strcmp(words[3], oracle_kind_names[kind]); kind++)
		;
	op->kind = (enum oracle_kind)kind;
	for (i = 5; i < count; i++) {
		if (!strcmp(words[i], "noreserve"))
			op->noreserve = true;
		else if (!strncmp(words[i], "off=", 4))
			op->offset = atoi(words[i] + 4);
		else
			return false;
	}
	return kind < KINDS;
}

static bool parse_mremap(char **words, int count, struct oracle_op *op)
{
	if (count < 6 || count > 7 || !num_parse(words[3], &op->new_len) ||
		!flags_parse(words[4], &op->flags) || !num_parse(words[5], &op->new_addr))
		return false;
	return count == 6 || (!strncmp(words[6], "home=", 5) && num_parse(words[6] + 5, &op->home));
}

/* 0, or -1 for a line that is no operation. */
int oracle_op_parse(const char *line, struct oracle_op *op)
{
	char copy[256], *words[10], *save;
	int count = 0, call;
	size_t i;

	memset(op, 0, sizeof(*op));
	snprintf(copy, sizeof(copy), "%s", line);
	for (words[0] = strtok_r(copy, " \t", &save); words[count] && count < 9;)
		words[++count] = strtok_r(NULL, " \t", &save);
	for (call = 0; call < CALLS && count && strcmp(words[0], oracle_call_names[call]); call++)
		;
	if (!count || call == CALLS)
		return -1;
	op->call = (enum oracle_call)call;
	if (call == CALL_FORK || call == CALL_JOIN)
		return count == 1 ? 0 : -1;
	if (count < 3 || !num_parse(words[1], &op->addr) || !num_parse(words[2], &op->len))
		return -1;
	switch (op->call) {
	case CALL_MMAP:
		return parse_mmap(words, count, op) ? 0 : -1;
	case CALL_MREMAP:
		return parse_mremap(words, count, op) ? 0 : -1;
	case CALL_MPROTECT:
		return count == 4 && prot_parse(words[3], &op->prot) ? 0 : -1;
	case CALL_MADVISE:
		for (i = 0; i < ADVICES && count == 4; i++) {
			op->advice = advices[i].advice;
			if (!strcmp(words[3], advices[i].name))
				return 0;
		}
		return -1;
	default:
		return count == 3 ? 0 : -1;
	}
}

int oracle_script_parse(const char *text, struct oracle_op *ops, int max)
{
	char line[256];
	int count = 0;

	while (*text) {
		size_t len = strcspn(text, ";\n");
		size_t comment = strcspn(text, "#");
		size_t used = len < comment ? len : comment;

		if (comment < len)
			len = strcspn(text, "\n");
		if (used >= sizeof(line))
			return -1;
		memcpy(line, text, used);
		line[used] = 0;
		text += len + (text[len] != 0);
		if (!line[strspn(line, " \t")])
			continue;
		if (count == max || oracle_op_parse(line, &ops[count])) {
			fprintf(stderr, "remap-oracle: not an operation: %s\n", line);
			return -1;
		}
		count++;
	}
	return count;
}

/* Tells whether a recording was made with the same operations. */
uint64_t oracle_script_hash(const struct oracle_op *ops, int count)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	char line[256], *at;
	int i;

	for (i = 0; i < count; i++) {
		oracle_op_print(&ops[i], line, sizeof(line));
		for (at = line; *at; at++)
			hash = (hash ^ (unsigned char)*at) * 0x100000001b3ull;
	}
	return hash;
}
