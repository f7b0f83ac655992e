/* SPDX-License-Identifier: MIT */
/*
 * LIBREMAP_CONF (emul/conf.c): every key and value, what is wrong with wrong ones, what of a partly
 * wrong text counts; and the reading of the environment, each time in a fresh child because a
 * process reads it once.
 *
 * Needs nothing.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>

#include "emul/conf.h"
#include "emul/quiesce.h"
#include "emul/features.h"
#include "libremap.h"

static const struct setting {
	const char *text;
	struct rm_conf conf;
} settings[] = {
	{"", {1, REMAP_QUIESCE_STOP, RM_MIRROR_CONVERT, RM_FORK_SNAPSHOT, RM_FACTS_CACHED,
		     RM_RAW_AUTO, 0}},
	{"native:no", {.native = 0}},
	{"native:yes", {.native = 1}},
	{"quiesce:stop", {.native = 1, .quiesce = REMAP_QUIESCE_STOP}},
	{"quiesce:guard", {.native = 1, .quiesce = REMAP_QUIESCE_GUARD}},
	{"quiesce:caller", {.native = 1, .quiesce = REMAP_QUIESCE_CALLER}},
	{"mirror_private:convert", {.native = 1, .mirror_private = RM_MIRROR_CONVERT}},
	{"mirror_private:einval", {.native = 1, .mirror_private = RM_MIRROR_EINVAL}},
	{"mirror_fork:snapshot", {.native = 1, .mirror_fork = RM_FORK_SNAPSHOT}},
	{"mirror_fork:share", {.native = 1, .mirror_fork = RM_FORK_SHARE}},
	{"mirror_fork:drop", {.native = 1, .mirror_fork = RM_FORK_DROP}},
	{"facts:cached", {.native = 1, .facts = RM_FACTS_CACHED}},
	{"facts:exact", {.native = 1, .facts = RM_FACTS_EXACT}},
	{"raw:auto", {.native = 1, .raw = RM_RAW_AUTO}},
	{"raw:on", {.native = 1, .raw = RM_RAW_ON}},
	{"raw:off", {.native = 1, .raw = RM_RAW_OFF}},
	{"maps_view:on", {.native = 1, .maps_view = 1}},
	{"maps_view:off", {.native = 1, .maps_view = 0}},
	/* several, the last one counts, empty items are nothing */
	{"native:no,quiesce:caller", {.native = 0, .quiesce = REMAP_QUIESCE_CALLER}},
	{"native:no,native:yes", {.native = 1}},
	{",,native:no,,raw:on,", {.native = 0, .raw = RM_RAW_ON}},
};

static void every_key_and_value(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(settings); i++) {
		struct rm_conf conf = rm_conf_default;
		char message[100] = "untouched";

		print_message("# '%s'\n", settings[i].text);
		assert_int_equal(
			rm_conf_parse(settings[i].text, &conf, message, sizeof(message)), 0);
		assert_memory_equal(&conf, &settings[i].conf, sizeof(conf));
		assert_string_equal(message, "untouched");
	}
}

static const struct wrong {
	const char *text;
	const char *says;  /* part of the message */
	bool first_counts; /* "native:no" stood before it */
} wrongs[] = {
	{"nativ:no", "unknown setting 'nativ:no'; known: native quiesce", false},
	{"native", "'native': native takes yes, no", false},
	{"native:", "'native:': native takes yes, no", false},
	{"native:maybe", "'native:maybe': native takes yes, no", false},
	{"native:no ", "'native:no ': native takes yes, no", false},
	{"native=no", "unknown setting 'native=no'", false},
	{"Native:no", "unknown setting 'Native:no'", false},
	{"native:NO", "native takes yes, no", false},
	{"native:no:yes", "'native:no:yes': native takes", false},
	{":no", "unknown setting ':no'", false},
	{":", "unknown setting ':'", false},
	{"quiesce:guards", "'quiesce:guards': quiesce takes stop, guard, caller", false},
	{"mirror_fork:x", "mirror_fork takes snapshot, share, drop", false},
	{"native:no,oops,quiesce:caller", "unknown setting 'oops'", true},
	{"native:no,quiesce:x,native:yes", "'quiesce:x': quiesce takes stop, guard, caller", true},
	{"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn:no",
		"unknown setting 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'", false},
};

static void wrong_items_stop_with_a_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(wrongs); i++) {
		struct rm_conf conf = rm_conf_default, wanted = rm_conf_default;
		char message[160] = "";

		if (wrongs[i].first_counts)
			wanted.native = 0;
		print_message("# '%s'\n", wrongs[i].text);
		assert_int_equal(
			rm_conf_parse(wrongs[i].text, &conf, message, sizeof(message)), -EINVAL);
		assert_non_null(strstr(message, wrongs[i].says));
		assert_memory_equal(&conf, &wanted, sizeof(conf));
	}
}

static void messages_are_cut_to_the_buffer(void **state)
{
	struct rm_conf conf = rm_conf_default;
	char message[12];

	(void)state;
	memset(message, 'x', sizeof(message));
	assert_int_equal(rm_conf_parse("nonsense", &conf, message, 10), -EINVAL);
	assert_int_equal(strlen(message), 9);
	assert_int_equal(message[10], 'x');
}

/* --- the environment: each in its own process --- */

static const struct environment {
	const char *conf, *disable;
	struct rm_conf wanted;
	bool disabled;
	int warnings;
} environments[] = {
	{NULL, NULL, {.native = 1}, false, 0},
	{"", "", {.native = 1}, false, 0},
	{"native:no", "0", {.native = 0}, false, 0},
	{"native:no,raw:off", "1", {.native = 0, .raw = RM_RAW_OFF}, true, 0},
	/* a wrong item is told and skipped, those around it count */
	{"native:no,bad,quiesce:caller,worse:x", "yes",
		{.native = 0, .quiesce = REMAP_QUIESCE_CALLER}, true, 2},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	 "aaaaaaaaaaaaa,native:no",
		NULL, {.native = 0}, false, 1},
};

static char log_path[64];

static int count_lines(void)
{
	char text[4096];
	int fd = open(log_path, O_RDONLY), lines = 0;
	ssize_t got = fd >= 0 ? read(fd, text, sizeof(text)) : 0;

	for (ssize_t i = 0; i < got; i++)
		lines += text[i] == '\n';
	if (fd >= 0)
		close(fd);
	return lines;
}

static int check_environment(void *arg)
{
	const struct environment *e = arg;

	unlink(log_path);
	setenv("LIBREMAP_LOG", log_path, 1);
	unsetenv("LIBREMAP_DEBUG");
	if (e->conf)
		setenv("LIBREMAP_CONF", e->conf, 1);
	else
		unsetenv("LIBREMAP_CONF");
	if (e->disable)
		setenv("LIBREMAP_DISABLE", e->disable, 1);
	else
		unsetenv("LIBREMAP_DISABLE");
	if (memcmp(rm_conf(), &e->wanted, sizeof(e->wanted)))
		return 1;
	if (rm_conf_disabled() != e->disabled)
		return 2;
	if (count_lines() != e->warnings)
		return 3;
	setenv("LIBREMAP_CONF", "maps_view:on", 1); /* read once only */
	return rm_conf()->maps_view ? 4 : 0;
}

static void environment_is_read_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(environments); i++) {
		struct environment e = environments[i];

		assert_child_ok(unit_in_child(check_environment, &e));
	}
	unlink(log_path);
}

/* remap_set_quiesce "overrides quiesce: in LIBREMAP_CONF" (libremap.h), whenever it is called. */
static int override_before_the_first_move(void *arg)
{
	const int *mode = arg;

	setenv("LIBREMAP_CONF", *mode == REMAP_QUIESCE_STOP ? "quiesce:caller" : "quiesce:stop", 1);
	if (remap_set_quiesce(*mode))
		return 1;
	(void)rm_features();
	return rm_quiesce_mode() == *mode ? 0 : 2;
}

static int override_after_it(void *arg)
{
	const int *mode = arg;

	setenv("LIBREMAP_CONF", *mode == REMAP_QUIESCE_STOP ? "quiesce:caller" : "quiesce:stop", 1);
	(void)rm_features();
	if (rm_quiesce_mode() == *mode)
		return 1;
	if (remap_set_quiesce(*mode))
		return 2;
	(void)rm_features();
	return rm_quiesce_mode() == *mode ? 0 : 3;
}

static void set_quiesce_overrides_the_environment(void **state)
{
	int stop = REMAP_QUIESCE_STOP, caller = REMAP_QUIESCE_CALLER;
	int guard = REMAP_QUIESCE_GUARD;

	(void)state;
	assert_child_ok(unit_in_child(override_after_it, &guard));
	assert_child_ok(unit_in_child(override_after_it, &stop));
	assert_child_ok(unit_in_child(override_after_it, &caller));
	assert_child_ok(unit_in_child(override_before_the_first_move, &caller));
	assert_child_ok(unit_in_child(override_before_the_first_move, &stop));
}

static int refuse_unknown_modes(void *arg)
{
	static const int bad[] = {-1, 3, 4, 100};

	(void)arg;
	for (size_t i = 0; i < RM_ARRAY_LEN(bad); i++)
		if (remap_set_quiesce(bad[i]) != -EINVAL || rm_quiesce_mode() != REMAP_QUIESCE_STOP)
			return 1;
	return 0;
}

static void unknown_modes_are_refused(void **state)
{
	(void)state;
	assert_child_ok(unit_in_child(refuse_unknown_modes, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_and_value),
		cmocka_unit_test(wrong_items_stop_with_a_message),
		cmocka_unit_test(messages_are_cut_to_the_buffer),
		cmocka_unit_test(environment_is_read_once),
		cmocka_unit_test(set_quiesce_overrides_the_environment),
		cmocka_unit_test(unknown_modes_are_refused),
	};

	snprintf(log_path, sizeof(log_path), "/tmp/conf-settings-%d.log", getpid());
	return unit_run(tests);
}
