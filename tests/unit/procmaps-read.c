/* SPDX-License-Identifier: MIT */
/*
 * The reader of maps and smaps (emul/procmaps.c): over made-up files by a descriptor put into
 * struct rm_maps, and over this process's own /proc.
 *
 * Checked: a file far larger than the buffer arrives whole and in order, however the reads are cut
 * up; a line longer than the buffer costs its own end only; a file that ends in the middle; errors
 * of read(2); that the own mappings are found with their bounds, protection and flags, also behind
 * a thousand others. Needs /proc.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "emul/procmaps.h"

static struct rm_maps maps;

static void maps_over(int fd, bool smaps)
{
	memset(&maps, 0, sizeof(maps));
	maps.fd = fd;
	maps.id = rm_fd_id(fd);
	maps.smaps = smaps;
}

static const char smaps_details[] =
	"Size:                  8 kB\nKernelPageSize:        4 kB\n"
	"MMUPageSize:           4 kB\nRss:                   4 kB\nPss:                   4 kB\n"
	"Shared_Clean:          0 kB\nTHPeligible:    0\nProtectionKey:         0\n";

struct writer {
	int fd;
	unsigned int records;
	size_t burst; /* bytes a write; 0: as they come */
};

/* Record i of the made-up file. */
static int record(char *buf, size_t size, unsigned int i)
{
	return snprintf(buf, size,
		"%lx-%lx rw-%c %08x 08:01 %u    /file number %u\n%sVmFlags: rd wr %s\n",
		0x10000UL + 0x2000UL * i, 0x11000UL + 0x2000UL * i, i % 3 ? 'p' : 's', i << 12,
		i + 1, i, smaps_details, i % 2 ? "ac lo " : "nr ");
}

static void *write_records(void *arg)
{
	struct writer *w = arg;
	char text[1024];

	for (unsigned int i = 0; i < w->records; i++) {
		size_t len = (size_t)record(text, sizeof(text), i),
		       burst = w->burst ? w->burst : len;

		for (size_t at = 0; at < len; at += burst)
			if (write(w->fd, text + at, len - at < burst ? len - at : burst) < 0)
				break;
	}
	close(w->fd);
	return NULL;
}

static void check_records(int fd, unsigned int records)
{
	struct rm_vma vma;

	maps_over(fd, true);
	for (unsigned int i = 0; i < records; i++) {
		char name[32];

		snprintf(name, sizeof(name), "/file number %u", i);
		assert_int_equal(rm_maps_next(&maps, &vma), 1);
		assert_int_equal(vma.start, 0x10000 + 0x2000 * i);
		assert_int_equal(vma.end, 0x11000 + 0x2000 * i);
		assert_int_equal(vma.shared, i % 3 == 0);
		assert_int_equal(vma.inode, i + 1);
		assert_string_equal(vma.name, name);
		assert_true(vma.have_flags);
		assert_int_equal(
			vma.vmflags, i % 2 ? RM_VF_ACCOUNT | RM_VF_LOCKED : RM_VF_NORESERVE);
	}
	assert_int_equal(rm_maps_next(&maps, &vma), 0);
	assert_int_equal(rm_maps_next(&maps, &vma), 0);
}

static void large_files_arrive_whole(void **state)
{
	char path[] = "/tmp/procmaps-read-XXXXXX";
	struct writer w = {mkstemp(path), 20000, 0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(w.fd >= 0 && fd >= 0);
	unlink(path);
	write_records(&w);
	check_records(fd, w.records);
	rm_maps_close(&maps);
	assert_int_equal(maps.fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* A pipe hands out what there is: reads of 1 to 700 bytes, cut anywhere. */
static void reads_may_be_cut_anywhere(void **state)
{
	static const size_t bursts[] = {1, 7, 61, 700};

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(bursts); i++) {
		struct writer w = {-1, bursts[i] == 1 ? 40 : 400, bursts[i]};
		pthread_t thread;
		int ends[2];

		/* a sequenced socket gives one write a read */
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
		w.fd = ends[1];
		assert_int_equal(pthread_create(&thread, NULL, write_records, &w), 0);
		check_records(ends[0], w.records);
		pthread_join(thread, NULL);
		rm_maps_close(&maps);
	}
}

static int file_with(const char *text, size_t len)
{
	char path[] = "/tmp/procmaps-read-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, text, len), (long)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void endless_line_costs_its_own_end_only(void **state)
{
	static char text[200000];
	struct rm_vma vma;
	size_t len;

	(void)state;
	for (size_t name = 16000; name < 150000; name = name * 2 + 17) {
		len = (size_t)snprintf(text, sizeof(text), "1000-2000 r--p 00000000 08:01 7 /");
		memset(text + len, 'x', name);
		len += name;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"\n%sVmFlags: rd lo \n3000-4000 rw-p 00000000 00:00 0 [heap]\nVmFlags: ac "
			"\n",
			smaps_details);
		maps_over(file_with(text, len), true);
		assert_int_equal(rm_maps_next(&maps, &vma), 1);
		assert_int_equal(vma.start, 0x1000);
		assert_int_equal(vma.vmflags, RM_VF_LOCKED);
		assert_int_equal(strlen(vma.name), RM_VMA_NAME_MAX - 1);
		assert_int_equal(rm_maps_next(&maps, &vma), 1);
		assert_int_equal(vma.start, 0x3000);
		assert_string_equal(vma.name, "[heap]");
		assert_int_equal(rm_maps_next(&maps, &vma), 0);
		rm_maps_close(&maps);
	}
}

static void files_that_end_early(void **state)
{
	static const char text[] = "1000-2000 r--p 00000000 08:01 7 /x\nRss: 0 kB\nVmFlags: rd lo ";
	struct rm_vma vma;

	(void)state;
	/* the last line has no newline */
	maps_over(file_with(text, sizeof(text) - 1), true);
	assert_int_equal(rm_maps_next(&maps, &vma), 1);
	assert_int_equal(vma.vmflags, RM_VF_LOCKED);
	assert_int_equal(rm_maps_next(&maps, &vma), 0);
	rm_maps_close(&maps);
	/* no details: flags unknown */
	maps_over(file_with(text, sizeof("1000-2000 r--p 00000000 08:01 7 /x") - 1), true);
	assert_int_equal(rm_maps_next(&maps, &vma), 1);
	assert_false(vma.have_flags);
	rm_maps_close(&maps);
	/* something else behind it */
	maps_over(file_with("1000-2000 r--p 00000000 08:01 7 /x\nhello\n", 41), false);
	assert_int_equal(rm_maps_next(&maps, &vma), 1);
	assert_int_equal(rm_maps_next(&maps, &vma), -EIO);
	rm_maps_close(&maps);
}

/* Somebody has put another file there, before anything was read or later: it stays open. */
static void other_files_are_told(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} others[] = {{"", 0}, {"1000-2000 r-", 12}, {"hello\n", 6}};
	static const char lines[] = "1000-2000 r--p 00000000 08:01 7 /x\n";
	struct rm_vma vma;
	int fd, other;

	(void)state;
	for (size_t i = 0; i < RM_ARRAY_LEN(others); i++) {
		maps_over(file_with(others[i].text, others[i].len), true);
		assert_int_equal(rm_maps_next(&maps, &vma), -EBADF);
		rm_maps_close(&maps);
	}
	fd = file_with(lines, sizeof(lines) - 1);
	maps_over(fd, false);
	assert_int_equal(rm_maps_next(&maps, &vma), 1);
	other = file_with("", 0);
	assert_int_equal(dup2(other, fd), fd);
	assert_int_equal(rm_maps_next(&maps, &vma), -EBADF);
	rm_maps_close(&maps);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(close(fd) || close(other), 0);
}

static void errors_of_read_come_through(void **state)
{
	struct rm_vma vma;
	int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	maps_over(fd, true);
	maps.position = 1; /* of the file, which has had a mapping */
	assert_int_equal(rm_maps_next(&maps, &vma), -EISDIR);
	rm_maps_close(&maps);
	maps_over(-1, true);
	assert_int_equal(rm_maps_next(&maps, &vma), -EBADF);
}

#define MANY 1000

static void own_mappings_are_found(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *area = mmap(NULL, 2 * MANY * page, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct rm_vma vma;

	(void)state;
	assert_true(area != MAP_FAILED);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(mprotect(area + 2 * i * page, page,
					 i % 2 ? PROT_READ : PROT_READ | PROT_WRITE),
			0);
	assert_int_equal(madvise(area + 2 * 777 * page, page, MADV_DONTFORK), 0);
	for (int smaps = 0; smaps < 2; smaps++) {
		for (size_t i = 1; i < MANY; i += 97) {
			uintptr_t addr = (uintptr_t)area + 2 * i * page;

			assert_int_equal(rm_maps_find(&maps, smaps, addr + page / 2, &vma), 1);
			assert_int_equal(vma.start, addr);
			assert_int_equal(vma.end, addr + page);
			assert_int_equal(vma.prot, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
			assert_int_equal(vma.have_flags, smaps);
			assert_int_equal(vma.vmflags,
				!smaps ? 0 : RM_VF_NORESERVE | (i == 777 ? RM_VF_DONTFORK : 0));
			assert_int_equal(rm_maps_find(&maps, smaps, addr + page, &vma), 1);
			assert_int_equal(vma.prot, PROT_NONE);
		}
	}
	munmap(area, 2 * MANY * page);
	/* and holes are not */
	assert_int_equal(rm_maps_find(&maps, true, (uintptr_t)area, &vma), 0);
	assert_int_equal(rm_maps_find(&maps, false, 0, &vma), 0);
	assert_int_equal(rm_maps_find(&maps, false, UINTPTR_MAX, &vma), 0);
}

/* Of every mapping that maps shows; a kernel before 6.11 does not answer. */
static void query_says_what_maps_says(void **state)
{
	static struct rm_vma all[2000];
	struct rm_vma now;
	size_t n = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), r;
	char *shared = mmap(NULL, 8192, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(fd >= 0 && shared != MAP_FAILED);
	assert_true(rm_maps_query(-1, (uintptr_t)shared, &now) < 0);
	if (rm_maps_query(fd, (uintptr_t)shared, &now) < 0) {
		close(fd); /* no skip(): cmocka 1.1.5 calls that "not ok" */
		munmap(shared, 8192);
		return;
	}
	assert_int_equal(rm_maps_open(&maps, false, 0), 0);
	while (n < 2000 && rm_maps_next(&maps, &all[n]) > 0)
		n++;
	rm_maps_close(&maps);
	for (size_t i = 0; i < n; i++) {
		if (strstr(all[i].name, "vsyscall")) /* no mapping of the process's */
			continue;
		r = rm_maps_query(fd, all[i].end - 1, &now);
		assert_int_equal(r, 1);
		assert_true(now.start == all[i].start && now.end == all[i].end);
		assert_true(now.prot == all[i].prot && now.shared == all[i].shared);
		assert_true(now.offset == all[i].offset && now.inode == all[i].inode);
		assert_true(now.dev_major == all[i].dev_major && now.dev_minor == all[i].dev_minor);
		assert_string_equal(now.name, all[i].name);
	}
	munmap(shared, 8192);
	assert_true(rm_maps_query(fd, (uintptr_t)shared, &now) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_files_arrive_whole),
		cmocka_unit_test(reads_may_be_cut_anywhere),
		cmocka_unit_test(endless_line_costs_its_own_end_only),
		cmocka_unit_test(files_that_end_early),
		cmocka_unit_test(other_files_are_told),
		cmocka_unit_test(errors_of_read_come_through),
		cmocka_unit_test(own_mappings_are_found),
		cmocka_unit_test(query_says_what_maps_says),
	};

	return unit_run(tests);
}
