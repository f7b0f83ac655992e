/*
 * excuse.c - the list of differences that are known bugs of the native kernel.
 *
 * One entry a line: "NOTE FIELDS REASON", blanks between them. NOTE is what execute.c prints
 * ("note NAME") when a sequence has met the bug; FIELDS are the kinds of lines, with commas, that
 * may then differ in this sequence; REASON is free text and must be there. "#" starts a comment
 * line. The parser is strict: a field that does not exist, a missing reason or the same entry
 * twice is an error, so an excuse cannot be wider than it reads. An entry that excused nothing is
 * reported: it should be removed, or the run was too small.
 */
#include "oracle.h"

#include <errno.h>
#include <string.h>

#define MAX_EXCUSES 32

static struct excuse {
	char note[48], fields[96], reason[160];
	unsigned long used;
} excuses[MAX_EXCUSES];
static int excuse_count;

static bool known_field(const char *name, size_t len)
{
	static const char *const fields[] = {"perm", "content", "vma", "flags", "rss", "present",
		"mincore", "vmsize", "vmdata", "vmlck"};
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strlen(fields[i]) == len && !strncmp(fields[i], name, len))
			return true;
	return false;
}

static bool has_field(const char *list, const char *field, size_t len)
{
	const char *at;

	for (at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == len && !strncmp(at, field, len))
			return true;
	return false;
}

static const char *parse(char *line, struct excuse *excuse)
{
	char *save, *note = strtok_r(line, " \t", &save), *fields = strtok_r(NULL, " \t", &save),
		    *at;
	char *reason = save ? save + strspn(save, " \t") : NULL;
	int i;

	if (!note || !fields || !reason || !*reason)
		return "want NOTE FIELDS REASON";
	if (strlen(note) >= sizeof(excuse->note) || strlen(fields) >= sizeof(excuse->fields) ||
		strlen(reason) >= sizeof(excuse->reason))
		return "too long";
	for (at = fields; *at; at += strcspn(at, ","), at += *at == ',')
		if (!known_field(at, strcspn(at, ",")))
			return "no such field";
	for (i = 0; i < excuse_count; i++)
		if (!strcmp(excuses[i].note, note))
			return "this note is excused already";
	memset(excuse, 0, sizeof(*excuse));
	strcpy(excuse->note, note);
	strcpy(excuse->fields, fields);
	strcpy(excuse->reason, reason);
	return NULL;
}

int oracle_excuses_load(const char *path)
{
	char line[512];
	FILE *in = fopen(path, "re");
	int number = 0;
	const char *wrong = NULL;

	if (!in) {
		fprintf(stderr, "remap-oracle: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while (!wrong && fgets(line, sizeof(line), in)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || !line[strspn(line, " \t")])
			continue;
		wrong = excuse_count == MAX_EXCUSES ? "too many entries"
						    : parse(line, &excuses[excuse_count]);
		if (!wrong)
			excuse_count++;
	}
	fclose(in);
	if (wrong) {
		fprintf(stderr, "remap-oracle: %s:%d: %s\n", path, number, wrong);
		return -1;
	}
	return 0;
}

bool oracle_excused(const char *note, const char *field)
{
	int i;

	for (i = 0; i < excuse_count; i++) {
		if (!strcmp(excuses[i].note, note) &&
			has_field(excuses[i].fields, field, strlen(field))) {
			excuses[i].used++;
			return true;
		}
	}
	return false;
}

/* Returns how many entries excused nothing. */
int oracle_excuses_report(FILE *out)
{
	int unused = 0, i;

	for (i = 0; i < excuse_count; i++) {
		if (excuses[i].used) {
			fprintf(out, "excused %lu times: %s: %s\n", excuses[i].used,
				excuses[i].note, excuses[i].reason);
		} else {
			fprintf(out, "excuse not needed in this run: %s\n", excuses[i].note);
			unused++;
		}
	}
	return unused;
}
