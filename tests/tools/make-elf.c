/* SPDX-License-Identifier: MIT */
/*
 * make-elf.c - write a minimal ELF program of a given kind, for the tests of remap-run --strict
 *
 * Usage: make-elf static|foreign|class32 FILE
 *
 *	static	runs here, exits 42, has no PT_INTERP
 *	foreign	the same for a machine that this is not (IBM S/390)
 *	class32	a 32-bit header
 *
 * By hand, because a compiler with -static or -m32 is not on every machine, and sanitizers refuse both.
 */
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE 0x400000UL

#ifdef __aarch64__
#define MACHINE EM_AARCH64
/* mov x0, #42; mov x8, #93 (exit); svc #0 */
static const unsigned char code[] = {
	0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};
#else
#define MACHINE EM_X86_64
/* mov $42, %edi; mov $60, %eax (exit); syscall */
static const unsigned char code[] = {
	0xbf, 42, 0x00, 0x00, 0x00, 0xb8, 60, 0x00, 0x00, 0x00, 0x0f, 0x05};
#endif

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	unsigned char code[sizeof(code)];
};

int main(int argc, char **argv)
{
	struct image image = {
		.ehdr = {.e_type = ET_EXEC,
			.e_machine = MACHINE,
			.e_version = EV_CURRENT,
			.e_entry = BASE + offsetof(struct image, code),
			.e_phoff = offsetof(struct image, phdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1},
		.phdr = {.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = BASE,
			.p_filesz = sizeof(image),
			.p_memsz = sizeof(image),
			.p_align = 0x10000},
	};
	int fd;

	if (argc != 3) {
		fputs("usage: make-elf static|foreign|class32 FILE\n", stderr);
		return 2;
	}
	memcpy(image.ehdr.e_ident, ELFMAG, SELFMAG);
	image.ehdr.e_ident[EI_CLASS] = strcmp(argv[1], "class32") == 0 ? ELFCLASS32 : ELFCLASS64;
	image.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	image.ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	if (strcmp(argv[1], "foreign") == 0)
		image.ehdr.e_machine = EM_S390;
	memcpy(image.code, code, sizeof(code));
	fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (fd < 0 || write(fd, &image, sizeof(image)) != (ssize_t)sizeof(image) ||
		fchmod(fd, 0755) < 0 || close(fd) < 0) {
		perror(argv[2]);
		return 1;
	}
	return 0;
}
