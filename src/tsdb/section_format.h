/*
 * The bytes of files of sections, for who writes and who reads them.
 */
#ifndef QUARRY_TSDB_SECTION_FORMAT_H
#define QUARRY_TSDB_SECTION_FORMAT_H

#include <tsdb/section_file.h>

/* "QTW" or "QTS", and the version of the format. */
#define SECTION_MAGIC_WINDOW   UINT32_C(0x31575451)
#define SECTION_MAGIC_SNAPSHOT UINT32_C(0x32535451)

#define SECTION_HEADER_BYTES 64u
#define SECTION_ENTRY_BYTES  24u
/* Sections begin at multiples of it. */
#define SECTION_ALIGN_BYTES 64u

struct section_header {
    uint32_t magic;
    uint32_t section_count;
    uint64_t number; /* of the window, or the generation */
    uint64_t salt;   /* random: parts of another file are not taken for this one's */
    uint64_t directory_bytes, file_bytes;
};

struct section_entry {
    uint32_t kind, index;
    uint64_t offset, byte_count;
};

static inline uint32_t section_magic(const struct tsdb_file_name *name)
{
    return name->kind == TSDB_FILE_WINDOW ? SECTION_MAGIC_WINDOW : SECTION_MAGIC_SNAPSHOT;
}

static inline uint64_t section_number(const struct tsdb_file_name *name)
{
    return name->kind == TSDB_FILE_WINDOW ? (uint64_t)name->window : name->number;
}

/* Writes SECTION_HEADER_BYTES. */
static inline void section_header_put(uint8_t *to, const struct section_header *header)
{
    memset(to, 0, SECTION_HEADER_BYTES);
    endian_store_le_u32(to + 4, header->magic);
    endian_store_le_u64(to + 8, header->number);
    endian_store_le_u64(to + 16, header->salt);
    endian_store_le_u32(to + 24, header->section_count);
    endian_store_le_u64(to + 32, header->directory_bytes);
    endian_store_le_u64(to + 40, header->file_bytes);
    endian_store_le_u32(to, crc32c_value(to + 4, SECTION_HEADER_BYTES - 4));
}

/* Returns: false: the checksum does not match. */
static inline bool section_header_get(const uint8_t *from, struct section_header *ret_header)
{
    *ret_header = (struct section_header){.magic = endian_load_le_u32(from + 4),
                                          .number = endian_load_le_u64(from + 8),
                                          .salt = endian_load_le_u64(from + 16),
                                          .section_count = endian_load_le_u32(from + 24),
                                          .directory_bytes = endian_load_le_u64(from + 32),
                                          .file_bytes = endian_load_le_u64(from + 40)};
    return endian_load_le_u32(from) == crc32c_value(from + 4, SECTION_HEADER_BYTES - 4);
}

static inline void section_entry_put(uint8_t *to, const struct section_entry *entry)
{
    endian_store_le_u32(to, entry->kind);
    endian_store_le_u32(to + 4, entry->index);
    endian_store_le_u64(to + 8, entry->offset);
    endian_store_le_u64(to + 16, entry->byte_count);
}

static inline struct section_entry section_entry_get(const uint8_t *from)
{
    return (struct section_entry){.kind = endian_load_le_u32(from),
                                  .index = endian_load_le_u32(from + 4),
                                  .offset = endian_load_le_u64(from + 8),
                                  .byte_count = endian_load_le_u64(from + 16)};
}

static inline uint64_t section_part_count(uint64_t byte_count)
{
    return byte_count / TSDB_PART_BYTES + (byte_count % TSDB_PART_BYTES != 0);
}

/* What the checksum of the directory begins with. */
static inline uint32_t section_directory_seed(const struct section_header *header)
{
    uint8_t bytes[SECTION_HEADER_BYTES];

    section_header_put(bytes, header);
    return crc32c_value(bytes, sizeof(bytes));
}

/* And that of a part, by how many parts are before it in the file. */
static inline uint32_t section_part_seed(const struct section_header *header, uint64_t part)
{
    uint8_t bytes[24];

    endian_store_le_u64(bytes, header->salt);
    endian_store_le_u64(bytes + 8, header->number);
    endian_store_le_u64(bytes + 16, part);
    return crc32c_value(bytes, sizeof(bytes));
}

#endif
