/* SPDX-License-Identifier: MIT */
/*
 * LIBREMAP_CONF and the other environment variables.
 *
 * They are read once, by secure_getenv: a program that runs with more rights than its user ignores
 * them. Reading is not async-signal-safe in the strict sense (another thread may be in setenv), so
 * the preload does it in its constructor and remap_probe and remap_prepare do it for linked
 * programs. A wrong item is reported once and skipped; the items after it still count.
 */
#include "emul/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "emul/log.h"
#include "emul/once.h"
#include "libremap.h"

const struct rm_conf rm_conf_default = {
	.native = 1,
	.quiesce = REMAP_QUIESCE_STOP,
	.mirror_private = RM_MIRROR_CONVERT,
	.mirror_fork = RM_FORK_SNAPSHOT,
	.facts = RM_FACTS_CACHED,
	.raw = RM_RAW_AUTO,
	.maps_view = 0,
};

#define MAX_VALUES 3

static const struct {
	const char *key;
	size_t field;
	struct {
		const char *name;
		int value;
	} values[MAX_VALUES];
} keys[] = {
	{"native", offsetof(struct rm_conf, native), {{"yes", 1}, {"no", 0}}},
	{"quiesce", offsetof(struct rm_conf, quiesce),
		{{"stop", REMAP_QUIESCE_STOP}, {"guard", REMAP_QUIESCE_GUARD},
			{"caller", REMAP_QUIESCE_CALLER}}},
	{"mirror_private", offsetof(struct rm_conf, mirror_private),
		{{"convert", RM_MIRROR_CONVERT}, {"einval", RM_MIRROR_EINVAL}}},
	{"mirror_fork", offsetof(struct rm_conf, mirror_fork),
		{{"snapshot", RM_FORK_SNAPSHOT}, {"share", RM_FORK_SHARE}, {"drop", RM_FORK_DROP}}},
	{"facts", offsetof(struct rm_conf, facts),
		{{"cached", RM_FACTS_CACHED}, {"exact", RM_FACTS_EXACT}}},
	{"raw", offsetof(struct rm_conf, raw),
		{{"auto", RM_RAW_AUTO}, {"on", RM_RAW_ON}, {"off", RM_RAW_OFF}}},
	{"maps_view", offsetof(struct rm_conf, maps_view), {{"on", 1}, {"off", 0}}},
};

static bool word_is(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(word, name, len);
}

static int parse_item(
	const char *item, size_t len, struct rm_conf *conf, char *message, size_t size)
{
	const char *colon = memchr(item, ':', len);
	size_t key_len = colon ? (size_t)(colon - item) : len;
	char shown[40];
	size_t shown_len = len < sizeof(shown) - 1 ? len : sizeof(shown) - 1;

	memcpy(shown, item, shown_len);
	shown[shown_len] = '\0';
	for (size_t k = 0; k < RM_ARRAY_LEN(keys); k++) {
		if (!word_is(item, key_len, keys[k].key))
			continue;
		for (size_t v = 0; colon && v < MAX_VALUES && keys[k].values[v].name; v++) {
			if (!word_is(colon + 1, len - key_len - 1, keys[k].values[v].name))
				continue;
			*(int *)((char *)conf + keys[k].field) = keys[k].values[v].value;
			return 0;
		}
		rm_format(message, size, "'%s': %s takes %s, %s%s%s", shown, keys[k].key,
			keys[k].values[0].name, keys[k].values[1].name,
			keys[k].values[2].name ? ", " : "",
			keys[k].values[2].name ? keys[k].values[2].name : "");
		return -EINVAL;
	}
	rm_format(message, size,
		"unknown setting '%s'; known: native quiesce mirror_private mirror_fork facts raw "
		"maps_view",
		shown);
	return -EINVAL;
}

/* The end of the item that begins at text. */
static size_t item_length(const char *text)
{
	return strcspn(text, ",");
}

int rm_conf_parse(const char *text, struct rm_conf *conf, char *message, size_t size)
{
	while (*text) {
		size_t len = item_length(text);

		if (len) {
			int r = parse_item(text, len, conf, message, size);

			if (r)
				return r;
		}
		text += len + (text[len] == ',');
	}
	return 0;
}

size_t rm_conf_describe(char *buf, size_t size)
{
	size_t used = 0;

	for (size_t k = 0; k < RM_ARRAY_LEN(keys); k++) {
		used += rm_format(buf + used, size - used, "%s%s:", k ? ", " : "", keys[k].key);
		for (size_t v = 0; v < MAX_VALUES && keys[k].values[v].name; v++)
			used += rm_format(buf + used, size - used, "%s%s", v ? "|" : "",
				keys[k].values[v].name);
	}
	return used;
}

static struct rm_conf process_conf;
static bool process_disabled;

static void read_environment(void)
{
	const char *text = secure_getenv("LIBREMAP_CONF");
	const char *debug = secure_getenv("LIBREMAP_DEBUG");
	const char *disable = secure_getenv("LIBREMAP_DISABLE");
	char message[160], item[64];

	rm_log_setup(debug ? atoi(debug) : 0, secure_getenv("LIBREMAP_LOG"));
	process_conf = rm_conf_default;
	while (text && *text) {
		size_t len = item_length(text);
		size_t cut = len < sizeof(item) - 1 ? len : sizeof(item) - 1;

		memcpy(item, text, cut);
		item[cut] = '\0';
		if (rm_conf_parse(item, &process_conf, message, sizeof(message)))
			rm_log(RM_LOG_WARN, "LIBREMAP_CONF: %s", message);
		text += len + (text[len] == ',');
	}
	process_disabled = disable && *disable && strcmp(disable, "0");
}

static _Atomic uint32_t once;

const struct rm_conf *rm_conf(void)
{
	rm_once(&once, read_environment);
	return &process_conf;
}

bool rm_conf_disabled(void)
{
	rm_once(&once, read_environment);
	return process_disabled;
}
