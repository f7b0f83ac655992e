/* SPDX-License-Identifier: MIT */
/*
 * run-conf.c - merge what the command line says into LIBREMAP_CONF
 *
 * LIBREMAP_CONF is a comma-separated list of key:value. remap-run hands the library one list in
 * which every key occurs once. From the environment everything is kept, the library warns of what
 * it does not know; from the command line an unknown key or value is an error, because nothing has
 * been run yet.
 *
 * What is a key and a value is the library's own parser's to say (emul/conf.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul/conf.h"
#include "tools/run.h"

/* What the library's own parser says of it: 0, or -EINVAL and why. */
static int check_item(const char *item, size_t len, char *why)
{
	struct rm_conf ignored = rm_conf_default;
	char message[RM_RUN_WHY - sizeof("--conf: ")], copy[256];

	if (len >= sizeof(copy))
		len = sizeof(copy) - 1;
	memcpy(copy, item, len);
	copy[len] = '\0';
	if (!rm_conf_parse(copy, &ignored, message, sizeof(message)))
		return 0;
	snprintf(why, RM_RUN_WHY, "--conf: %s", message);
	return -EINVAL;
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
