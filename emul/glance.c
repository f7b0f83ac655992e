/* SPDX-License-Identifier: MIT */
/*
 * VmFlags without a walk over the page tables.
 *
 * Only smaps shows what another thread may have changed between our look at a mapping and the stop:
 * advice, locks, a userfaultfd. But it counts the pages of every mapping that it shows: 15 ms for 1
 * GiB, with everybody standing still. Two things make that as short for any heap:
 *
 *   what lies before it   is shown before the stop. A descriptor is sought to the place in the text
 *                         where the mapping began; the kernel goes on from there by address
 *                         (m_start()), so what is read in the window is this mapping, or what has
 *                         been mapped directly before it since, by us and with no pages
 *   its own pages         have the same VmFlags all over. Inside the mapping 2 MiB of it are given
 *                         the other advice about core dumps, which splits it in three; the first
 *                         one, of no more than 2 MiB, is read; then the advice is taken back and
 *                         the three are one again. The cuts are where a huge page may begin, so
 *                         none is split. Nobody runs who could see it, and nothing outside can
 *                         merge with what lies inside.
 *
 *   start         first multiple of 2 MiB                      end
 *     |---- read ----|---- other advice ----|---------- ... -----|
 *
 * The kernel merges such parts again if one anon_vma is all that they could differ in (vma_merge(),
 * case 1), so it is done with private anonymous memory only. A record that is not the expected one,
 * because mappings before it came or went, bounds that have changed, no room for two more mappings:
 * -EAGAIN, and the whole of smaps has to be read. Reads are small, as the kernel makes as many
 * records as fit; the last line of one is read byte by byte, for the next one would be another
 * walk.
 *
 * Not while threads run: the others would see the split. Async-signal-safe.
 */
#include "emul/glance.h"

#include <errno.h>
#include <string.h>

#include "emul/facts.h"
#include "emul/stats.h"
#include "emul/sys.h"
#include "emul/world.h"

#define CHUNK	    16 /* less than the last line of any record: "VmFlags: mr mw me " */
#define MAX_TRIES   3
#define MAX_BETWEEN 16 /* new mappings directly before it */
#define SPARE_FDS   3  /* that others need while ours is open: threads, maps, a file */

/* Ours must not be the last: what comes later would fail where it would not have without. */
static bool leaves_enough(int fd)
{
	long spare[SPARE_FDS];
	bool enough = true;

	for (int i = 0; i < SPARE_FDS; i++) {
		spare[i] = rm_fd_dup_aside(fd);
		enough = enough && spare[i] >= 0;
	}
	for (int i = 0; i < SPARE_FDS; i++)
		if (spare[i] >= 0)
			rm_sys_close((int)spare[i]);
	return enough;
}

void rm_glance_prepare(struct rm_world *world, const struct rm_facts *facts)
{
	struct rm_glance *glance = &world->glance;
	long fd;

	rm_glance_end(world);
	if (facts->kind != RM_KIND_ANON || !facts->others)
		return;
	fd = rm_sys_open("/proc/thread-self/smaps", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (!leaves_enough((int)fd) || rm_syscall(SYS_lseek, fd, (long)facts->record, SEEK_SET, 0,
					       0, 0) != (long)facts->record) {
		rm_sys_close((int)fd);
		return;
	}
	*glance = (struct rm_glance){true, (int)fd, facts->vma.start};
}

void rm_glance_end(struct rm_world *world)
{
	if (world->glance.ready)
		rm_sys_close(world->glance.smaps);
	world->glance.ready = false;
}

/* One record, and not a byte more. 0, or -EAGAIN: it is none. */
static int read_record(struct rm_world *world, struct rm_vma *vma)
{
	static const char last[] = "VmFlags:";
	char *text = world->maps.buf, *newline;
	size_t line = 0, end = 0;

	memset(vma, 0, sizeof(*vma));
	for (;;) {
		const bool in_last = end > line && text[line] == last[0];
		long got;

		if (end + CHUNK > sizeof(world->maps.buf))
			return -EAGAIN;
		got = rm_sys_read(world->glance.smaps, text + end, in_last ? 1 : CHUNK);
		if (got == -EINTR)
			continue;
		if (got <= 0)
			return -EAGAIN;
		end += (size_t)got;
		while ((newline = memchr(text + line, '\n', end - line))) {
			const size_t len = (size_t)(newline - (text + line));

			if (!line) {
				if (!rm_maps_parse_header(text, len, vma))
					return -EAGAIN;
			} else {
				rm_maps_parse_detail(text + line, len, vma);
			}
			if (vma->have_flags)
				return 0;
			line += len + 1;
		}
	}
}

/*
 * The record of the mapping at addr; what has come to lie between the one before it and itself, as
 * ours does, is passed over.
 */
static int read_up_to(struct rm_world *world, uintptr_t addr, struct rm_vma *vma)
{
	for (int i = 0; i < MAX_BETWEEN; i++) {
		int r = read_record(world, vma);

		if (r || vma->end > addr)
			return r;
	}
	return -EAGAIN;
}

/* What maps says of the mapping at addr. */
static bool look(struct rm_world *world, uintptr_t addr, struct rm_vma *vma)
{
	long fd = rm_sys_open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
	int r = rm_maps_query((int)fd, addr, vma);

	if (fd >= 0)
		rm_sys_close((int)fd);
	if (r < 0)
		r = rm_maps_find(&world->maps, false, addr, vma);
	return r > 0;
}

static void join_again(uintptr_t at, size_t len, int advice)
{
	for (int tries = 0; tries < MAX_TRIES; tries++)
		if (!rm_sys_madvise(at, len, advice))
			return;
	rm_stat_add(RM_STAT_UNDO_FAILURES, 1);
}

/*
 * Gives the piece the other advice. -EAGAIN: there is no room for two more mappings; then all is
 * one again.
 */
static int set_apart(struct rm_world *world, const struct rm_vma *was, uintptr_t cut, size_t piece)
{
	const bool undumped = was->vmflags & RM_VF_DONTDUMP;
	const int other = undumped ? MADV_DODUMP : MADV_DONTDUMP,
		  own = undumped ? MADV_DONTDUMP : MADV_DODUMP;
	struct rm_vma first;

	if (!rm_sys_madvise(cut, piece, other))
		return 0;
	/*
	 * There was room for one: the kernel cuts in front of the piece first, and merges only
	 * where something has changed.
	 */
	if (look(world, was->start, &first) && first.end == cut &&
		!rm_sys_madvise(was->start, cut - was->start, other))
		join_again(was->start, cut - was->start, own);
	return -EAGAIN;
}

static int check(struct rm_world *world, const struct rm_vma *was)
{
	const size_t piece = rm_page_size() / sizeof(uint64_t) * rm_page_size(); /* a huge page */
	const uintptr_t cut = (was->start + piece) & ~(piece - 1);
	const bool large = cut > was->start && cut < was->end && piece < was->end - cut;
	const bool undumped = was->vmflags & RM_VF_DONTDUMP;
	struct rm_vma now, first;
	int r;

	if (!look(world, was->start, &now) || now.start != was->start || now.end != was->end)
		return -EAGAIN;
	if (large && set_apart(world, was, cut, piece))
		return -EAGAIN;
	r = read_up_to(world, was->start, &now);
	if (r || now.start != was->start) {
		r = -EAGAIN;
		/* in parts, unless the advice was there already, which is not ours to take back */
		if (large && look(world, was->start, &first) && first.end == cut)
			join_again(cut, piece, undumped ? MADV_DONTDUMP : MADV_DODUMP);
	} else if (large && now.end == cut) {
		join_again(cut, piece, undumped ? MADV_DONTDUMP : MADV_DODUMP);
		now.end = was->end;
	}
	return r || rm_facts_same_mapping(&now, was) ? r : -ESTALE;
}

int rm_glance_check(struct rm_world *world, const struct rm_facts *facts)
{
	int r = world->glance.ready && world->glance.start == facts->vma.start
			? check(world, &facts->vma)
			: -EAGAIN;

	rm_glance_end(world);
	return r;
}
