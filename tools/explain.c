/* SPDX-License-Identifier: MIT */
/*
 * The planner, asked about a made-up mapping: "anon,locked,fixed" becomes facts and a request.
 *
 * What the plan depends on beside the mapping, which kinds the kernel moves natively, is this
 * machine's own (and LIBREMAP_CONF's). Nothing is mapped or moved. One table row a word.
 */
#include "tools/explain.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emul/features.h"
#include "emul/plan.h"

enum word_kind {
	WORD_KIND,
	WORD_VMFLAG,
	WORD_PROT,
	WORD_REQUEST,
	WORD_VARIANT,
	WORD_PART,
	WORD_EVENT
};

/* WORD_PART: where the mapping goes beyond the range. */
enum { PART_BEFORE = 1, PART_BEHIND = 2 };

static const struct word {
	const char *name;
	enum word_kind kind;
	uint32_t value;
} words[] = {
	{"anon", WORD_KIND, RM_KIND_ANON},
	{"shared", WORD_KIND, RM_KIND_SHARED},
	{"file", WORD_KIND, RM_KIND_FILE},
	{"hugetlb", WORD_KIND, RM_KIND_HUGETLB},
	{"special", WORD_KIND, RM_KIND_SPECIAL},
	{"fixed", WORD_REQUEST, RM_FIXED},
	{"hint", WORD_REQUEST, 0},
	{"relocate", WORD_VARIANT, RM_VARIANT_RELOCATE},
	{"readonly", WORD_PROT, PROT_READ},
	{"none", WORD_PROT, PROT_NONE},
	{"exec", WORD_PROT, PROT_READ | PROT_EXEC},
	{"locked", WORD_VMFLAG, RM_VF_LOCKED},
	{"armed", WORD_VMFLAG, RM_VF_UFFD_MISSING},
	{"noreserve", WORD_VMFLAG, RM_VF_NORESERVE},
	{"sealed", WORD_VMFLAG, RM_VF_SEALED},
	{"dontfork", WORD_VMFLAG, RM_VF_DONTFORK},
	{"wipeonfork", WORD_VMFLAG, RM_VF_WIPEONFORK},
	{"dontdump", WORD_VMFLAG, RM_VF_DONTDUMP},
	{"mergeable", WORD_VMFLAG, RM_VF_MERGEABLE},
	{"hugepage", WORD_VMFLAG, RM_VF_HUGEPAGE},
	{"nohugepage", WORD_VMFLAG, RM_VF_NOHUGEPAGE},
	{"tight", WORD_VARIANT, RM_VARIANT_TWIN_LATE},
	{"head", WORD_PART, PART_BEHIND},
	{"middle", WORD_PART, PART_BEFORE | PART_BEHIND},
	{"tail", WORD_PART, PART_BEFORE},
	{"remap-event", WORD_EVENT, UFFD_FEATURE_EVENT_REMAP},
	{"unmap-event", WORD_EVENT, UFFD_FEATURE_EVENT_UNMAP},
};

void explain_list(FILE *out)
{
	int column = 58;

	for (size_t i = 0; i < RM_ARRAY_LEN(words); i++) {
		if (words[i].kind == WORD_KIND)
			continue;
		column += (int)strlen(words[i].name) + 2;
		if (column > 78) {
			fputs("\n                           ", out);
			column = 27 + (int)strlen(words[i].name) + 2;
		}
		fprintf(out, "%s%s", words[i].name, i + 1 < RM_ARRAY_LEN(words) ? ", " : "");
	}
}

static const struct word *find_word(const char *name, size_t len)
{
	for (size_t i = 0; i < RM_ARRAY_LEN(words); i++)
		if (strlen(words[i].name) == len && !memcmp(words[i].name, name, len))
			return &words[i];
	return NULL;
}

int explain_mapping(const char *description, FILE *out, char *problem, size_t size)
{
	struct rm_request request = {{0x100000000000, 1 << 20}, 0, RM_MAYMOVE | RM_DONTUNMAP, 0};
	struct rm_features features = *rm_features();
	enum rm_variant variant = RM_VARIANT_TWIN_FIRST;
	struct rm_facts facts;
	struct rm_plan plan;
	bool have_kind = false;

	memset(&facts, 0, sizeof(facts));
	facts.uffd.fd = -1;
	facts.lock_future = true; /* as when nothing is known of the process */
	facts.vma.start = request.source.start;
	facts.vma.end = rm_range_end(request.source);
	facts.vma.prot = PROT_READ | PROT_WRITE;
	facts.vma.have_flags = true;
	for (const char *at = description; *at;) {
		size_t len = strcspn(at, ",");
		const struct word *word = find_word(at, len);

		if (!word) {
			snprintf(problem, size, "unknown word '%.*s'", (int)len, at);
			return -EINVAL;
		}
		switch (word->kind) {
		case WORD_KIND:
			if (have_kind) {
				snprintf(problem, size, "one kind only, and '%s' is another",
					word->name);
				return -EINVAL;
			}
			facts.kind = word->value;
			have_kind = true;
			break;
		case WORD_VMFLAG:
			facts.vma.vmflags |= word->value;
			if (word->value == RM_VF_UFFD_MISSING)
				facts.uffd.fd = 3;
			break;
		case WORD_PROT:
			facts.vma.prot = (int)word->value;
			break;
		case WORD_REQUEST:
			request.flags |= word->value;
			request.target = 0x200000000000;
			facts.target_mapped = true; /* it may be */
			break;
		case WORD_VARIANT:
			variant = word->value;
			if (variant == RM_VARIANT_RELOCATE)
				request.flags &= ~RM_DONTUNMAP;
			break;
		case WORD_PART:
			if (word->value & PART_BEFORE)
				facts.vma.start = request.source.start - request.source.len;
			if (word->value & PART_BEHIND)
				facts.vma.end = rm_range_end(request.source) + request.source.len;
			break;
		case WORD_EVENT:
			facts.vma.vmflags |= RM_VF_UFFD_MISSING;
			facts.uffd.fd = 3;
			facts.uffd.features |= word->value;
			break;
		}
		at += len + (at[len] == ',');
	}
	if (!have_kind) {
		snprintf(problem, size, "name a kind: anon, shared, file, hugetlb or special");
		return -EINVAL;
	}
	if (!facts.vma.shared && !(facts.vma.vmflags & RM_VF_NORESERVE))
		facts.vma.vmflags |= RM_VF_ACCOUNT;
	features.uffd_move = variant == RM_VARIANT_RELOCATE && rm_features_uffd_move();
	rm_plan_build(&request, &facts, &features, variant, &plan);
	if (plan.error) {
		fprintf(out, "%s: %s%s%s\n", description, strerror(-plan.error),
			plan.reason ? ": " : ", as every kernel answers",
			plan.reason ? plan.reason : "");
		return 0;
	}
	fprintf(out, "%s: %s\n", description, plan.strategy);
	for (unsigned int i = 0; i < plan.nsteps; i++) {
		char line[160];

		rm_plan_describe(&plan, i, line, sizeof(line));
		fprintf(out, "%3u  %s\n", i + 1, line);
	}
	return 0;
}
