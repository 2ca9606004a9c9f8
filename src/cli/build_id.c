/*
 * Reads a build id: ELF header, program headers, the notes among them. The file may be anything:
 * every offset is checked by reading at it, and every length is bounded.
 */
#include <cli/build_id.h>

#include <mem/modules.h>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* More than linkers write: a dozen headers, notes of some hundred bytes. */
#define HEADERS_MAX     64u
#define NOTES_BYTES_MAX 4096u

static bool read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
    return pread(fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

static uint32_t id_in_notes(int fd, const ElfW(Phdr) * header,
                            uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES])
{
    union {
        char bytes[NOTES_BYTES_MAX];
        max_align_t align;
    } notes;

    if (header->p_filesz > sizeof(notes.bytes) ||
        !read_at(fd, notes.bytes, header->p_filesz, header->p_offset)) {
        return 0;
    }
    return mem_modules_build_id(notes.bytes, header->p_filesz, header->p_align == 8 ? 8 : 4,
                                ret_id);
}

static uint32_t id_in_program(int fd, uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES])
{
    ElfW(Ehdr) elf;
    uint32_t bytes = 0;

    if (!read_at(fd, &elf, sizeof(elf), 0) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_phentsize != sizeof(ElfW(Phdr))) {
        return 0;
    }
    for (uint32_t i = 0; i < elf.e_phnum && i < HEADERS_MAX && bytes == 0; i++) {
        ElfW(Phdr) header;
        if (!read_at(fd, &header, sizeof(header), elf.e_phoff + i * sizeof(header))) {
            return 0;
        }
        if (header.p_type == PT_NOTE) {
            bytes = id_in_notes(fd, &header, ret_id);
        }
    }
    return bytes;
}

uint32_t build_id_of_file(const char *path, uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return 0;
    }
    uint32_t bytes = id_in_program(fd, ret_id);
    (void)close(fd);
    return bytes;
}
