/* SPDX-License-Identifier: MIT */
/*
 * run-preload.c - where libremap-preload.so is, and whether the dynamic linker will load it into a command
 *
 * The dynamic linker is silent about a preload that it skips, so remap-run looks first:
 *
 *	the library	absent, unreadable, for another machine, a path with a colon or a space in it
 *	the command	static (no PT_INTERP), for another machine, or run with other rights than ours (setuid, setgid,
 *			file capabilities), where LD_PRELOAD with a slash is ignored
 *	a script	its interpreter is the command, up to four times as in the kernel
 *
 * What cannot be read or understood is not complained about: it may be fine, and exec says more than we could.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/run.h"

#define LIBRARY "libremap-preload.so"

#ifndef PRELOADDIR
#define PRELOADDIR "/usr/local/lib"
#endif

#ifdef __aarch64__
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_X86_64
#endif

enum kind { KIND_UNKNOWN, KIND_DYNAMIC, KIND_STATIC, KIND_FOREIGN, KIND_SCRIPT };

char *rm_preload_find(char *why)
{
	/*
	 * Beside an installed tool; then libtool's BUILD/.libs, BUILD/ and BUILD/tools/, with and
	 * without .libs.
	 */
	static const char *const beside[] = {".", "../lib", ".libs", "../.libs", "../../.libs"};
	const char *named = getenv("LIBREMAP_PRELOAD_LIB");
	char self[PATH_MAX], try[PATH_MAX + 64];
	ssize_t len;
	char *slash;
	size_t i;

	if (named && *named) {
		char *path = realpath(named, NULL);

		if (!path)
			snprintf(why, RM_RUN_WHY,
				"cannot find the library LIBREMAP_PRELOAD_LIB=%s: %s", named,
				strerror(errno));
		return path;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
			snprintf(try, sizeof(try), "%s/%s/%s", self, beside[i], LIBRARY);
			if (access(try, F_OK) == 0)
				return realpath(try, NULL);
		}
	} else {
		strcpy(self, "?");
	}
	snprintf(try, sizeof(try), "%s/%s", PRELOADDIR, LIBRARY);
	if (access(try, F_OK) == 0)
		return strdup(try);
	snprintf(why, RM_RUN_WHY,
		"cannot find " LIBRARY
		" in %.256s, its ../lib, .libs, ../.libs, ../../.libs, nor in " PRELOADDIR
		"; LIBREMAP_PRELOAD_LIB may name it",
		self);
	return NULL;
}

/* The file that execvp would run; malloc'ed, NULL when there is none. */
static char *command_path(const char *command)
{
	const char *path = getenv("PATH");
	char try[PATH_MAX];
	struct stat st;
	size_t len;

	if (strchr(command, '/'))
		return strdup(command);
	for (path = path ? path : "/bin:/usr/bin"; path; path = path[len] ? path + len + 1 : NULL) {
		len = strcspn(path, ":");
		snprintf(try, sizeof(try), "%.*s%s%s", (int)len, path, len ? "/" : "", command);
		if (stat(try, &st) == 0 && S_ISREG(st.st_mode) && access(try, X_OK) == 0)
			return strdup(try);
	}
	return NULL;
}

static bool is_linker(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	return strncmp(base, "ld-", 3) == 0 || strncmp(base, "ld.so", 5) == 0;
}

static enum kind elf_kind(int fd, const Elf64_Ehdr *ehdr)
{
	Elf64_Phdr phdr;
	size_t i;

	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
		ehdr->e_machine != MACHINE)
		return KIND_FOREIGN;
	for (i = 0; i < ehdr->e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr),
			    (off_t)(ehdr->e_phoff + i * ehdr->e_phentsize)) !=
			(ssize_t)sizeof(phdr))
			return KIND_UNKNOWN;
		if (phdr.p_type == PT_INTERP)
			return KIND_DYNAMIC;
	}
	return KIND_STATIC;
}

/* What kind of file @path is; for a script, @interpreter (PATH_MAX bytes) is set. */
static enum kind file_kind(const char *path, char *interpreter)
{
	union {
		Elf64_Ehdr ehdr;
		char text[PATH_MAX];
	} head;
	enum kind kind = KIND_UNKNOWN;
	ssize_t len;
	size_t skip;
	int fd;

	memset(&head, 0, sizeof(head));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return KIND_UNKNOWN;
	len = read(fd, &head, sizeof(head) - 1);
	if (len >= (ssize_t)sizeof(head.ehdr) && memcmp(head.text, ELFMAG, SELFMAG) == 0) {
		kind = elf_kind(fd, &head.ehdr);
	} else if (len > 2 && memcmp(head.text, "#!", 2) == 0) {
		skip = 2 + strspn(head.text + 2, " \t");
		snprintf(interpreter, PATH_MAX, "%.*s", (int)strcspn(head.text + skip, " \t\r\n"),
			head.text + skip);
		kind = KIND_SCRIPT;
	}
	close(fd);
	if (kind == KIND_STATIC && is_linker(path))
		kind = KIND_DYNAMIC;
	return kind;
}

/* Does exec of @path raise AT_SECURE? With no_new_privs it cannot. */
static const char *foreign_rights(const char *path)
{
	struct stat st;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || stat(path, &st) < 0)
		return NULL;
	if (st.st_mode & S_ISUID && st.st_uid != getuid())
		return "setuid";
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())
		return "setgid";
	if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		return "run with file capabilities";
	return NULL;
}

/*
 * Follow scripts to the program in the end. Returns its path in @path (PATH_MAX bytes) and its
 * kind.
 */
static enum kind program_of(const char *command, char *path)
{
	char interpreter[PATH_MAX] = "";
	char *found = command_path(command);
	enum kind kind;
	unsigned depth;

	path[0] = '\0';
	if (!found)
		return KIND_UNKNOWN;
	snprintf(path, PATH_MAX, "%s", found);
	free(found);
	kind = file_kind(path, interpreter);
	for (depth = 0; kind == KIND_SCRIPT && depth < 4; depth++) {
		snprintf(path, PATH_MAX, "%s", interpreter);
		kind = file_kind(path, interpreter);
	}
	return kind;
}

bool rm_command_foreign(const char *command, char *why)
{
	char path[PATH_MAX];

	if (program_of(command, path) != KIND_FOREIGN)
		return false;
	snprintf(why, RM_RUN_WHY, "%.512s is for another architecture: its calls are not pretended",
		path);
	return true;
}

bool rm_preload_effective(const char *library, const char *command, char *why)
{
	char path[PATH_MAX], unused[PATH_MAX];
	const char *disable = getenv("LIBREMAP_DISABLE");
	const char *rights;
	enum kind kind;

	if (strpbrk(library, ": ")) {
		snprintf(why, RM_RUN_WHY,
			"LD_PRELOAD cannot hold the library's path, it has a colon or a space: "
			"%.512s",
			library);
		return false;
	}
	if (access(library, R_OK) < 0) {
		snprintf(why, RM_RUN_WHY, "cannot read the library %.512s: %s", library,
			strerror(errno));
		return false;
	}
	/* A shared library has no PT_INTERP of its own. */
	kind = file_kind(library, unused);
	if (kind != KIND_STATIC && kind != KIND_DYNAMIC) {
		snprintf(why, RM_RUN_WHY, "not a shared library for this machine: %.512s", library);
		return false;
	}
	if (disable && *disable && strcmp(disable, "0")) { /* as emul/conf.c reads it */
		snprintf(why, RM_RUN_WHY, "LIBREMAP_DISABLE is set, the library will do nothing");
		return false;
	}
	if (!command)
		return true;

	kind = program_of(command, path);
	rights = path[0] ? foreign_rights(path) : NULL;
	if (kind == KIND_STATIC)
		snprintf(why, RM_RUN_WHY,
			"%.512s is static, the library will not be loaded into it", path);
	else if (kind == KIND_FOREIGN)
		snprintf(why, RM_RUN_WHY,
			"%.512s is for another architecture, the library will not be loaded into "
			"it",
			path);
	else if (rights)
		snprintf(why, RM_RUN_WHY, "%.512s is %s, the library will not be loaded into it",
			path, rights);
	else
		return true;
	return false;
}
