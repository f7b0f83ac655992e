/* SPDX-License-Identifier: MIT */
/*
 * run-conf.c - merge what the command line says into LIBREMAP_CONF
 *
 * LIBREMAP_CONF is a comma-separated list of key:value. remap-run hands the library one list in which every key
 * occurs once. From the environment everything is kept, the library warns of what it does not know; from the command
 * line an unknown key or value is an error, because nothing has been run yet.
 *
 * The list of keys is the documented one (libremap(7)); the library has its own parser.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/run.h"

static const struct {
	const char *key;
	const char *values; /* between bars */
} known[] = {
	{"native", "yes|no"},
	{"quiesce", "stop|guard|caller"},
	{"mirror_private", "convert|einval"},
	{"mirror_fork", "snapshot|share|drop"},
	{"facts", "cached|exact"},
	{"raw", "auto|on|off"},
	{"maps_view", "on|off"},
};

#define NR_KNOWN (sizeof(known) / sizeof(known[0]))

/* Is @word, of @len bytes, one of the words of @list between @sep? */
static bool word_in(const char *list, char sep, const char *word, size_t len)
{
	const char *p = list;
	size_t n;

	for (;;) {
		n = strcspn(p, (char[]){sep, '\0'});
		if (n == len && memcmp(p, word, n) == 0)
			return true;
		if (!p[n])
			return false;
		p += n + 1;
	}
}

static int check_item(const char *item, size_t len, char *why)
{
	const char *colon = memchr(item, ':', len);
	size_t key_len = colon ? (size_t)(colon - item) : len;
	size_t value_len = colon ? len - key_len - 1 : 0;
	size_t i;

	for (i = 0; i < NR_KNOWN; i++)
		if (strlen(known[i].key) == key_len && memcmp(known[i].key, item, key_len) == 0)
			break;
	if (i == NR_KNOWN) {
		size_t used = (size_t)snprintf(why, RM_RUN_WHY,
			"unknown configuration key '%.*s'; known:", (int)key_len, item);

		for (i = 0; i < NR_KNOWN && used < RM_RUN_WHY; i++)
			used += (size_t)snprintf(
				why + used, RM_RUN_WHY - used, " %s", known[i].key);
		return -EINVAL;
	}
	if (!colon || !word_in(known[i].values, '|', colon + 1, value_len)) {
		snprintf(why, RM_RUN_WHY, "configuration '%.*s': %s takes %s", (int)len, item,
			known[i].key, known[i].values);
		return -EINVAL;
	}
	return 0;
}

/* Drop the item with the key of @item from @list, in place. */
static void drop_key(char *list, const char *item, size_t len)
{
	const char *colon = memchr(item, ':', len);
	size_t key_len = colon ? (size_t)(colon - item) : len;
	char *p = list;
	size_t n;

	while (*p) {
		n = strcspn(p, ",");
		if (strncmp(p, item, key_len) == 0 && (p[key_len] == ':' || n == key_len)) {
			n += p[n] == ',';
			memmove(p, p + n, strlen(p + n) + 1);
			continue;
		}
		p += n + (p[n] == ',');
	}
	n = strlen(list);
	if (n && list[n - 1] == ',')
		list[n - 1] = '\0';
}

int rm_conf_merge(char **conf, const char *add, bool check, char *why)
{
	const char *old = *conf ? *conf : "";
	const char *item;
	char *merged;
	size_t len;
	int ret = 0;

	merged = malloc(strlen(old) + strlen(add) + 2);
	if (!merged) {
		snprintf(why, RM_RUN_WHY, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	strcpy(merged, old);
	for (item = add; *item; item += len + (item[len] == ',')) {
		len = strcspn(item, ",");
		if (len == 0)
			continue;
		if (check)
			ret = check_item(item, len, why);
		if (ret < 0) {
			free(merged);
			return ret;
		}
		drop_key(merged, item, len);
		if (*merged)
			strcat(merged, ",");
		strncat(merged, item, len);
	}
	free(*conf);
	*conf = merged;
	return 0;
}

void rm_conf_help(char *why)
{
	size_t used = 0;
	size_t i;

	for (i = 0; i < NR_KNOWN && used < RM_RUN_WHY; i++)
		used += (size_t)snprintf(why + used, RM_RUN_WHY - used, "%s%s:%s", i ? ", " : "",
			known[i].key, known[i].values);
}
