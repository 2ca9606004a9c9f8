/*
 * Reading files of sections.
 *
 * Header and directory are there twice. The one at the beginning is taken, or else the one at the
 * end; the checksum of a directory begins with that of its header, so that they belong together. A
 * file that is too short has lost what lies behind its end.
 *
 * Invariants
 *   1. Every section lies within the file that the header tells of, and between the directories.
 *   2. A part is given on only if its checksum matches; else it is zeros, and told.
 *
 * Locking: none; a file that is open is not changed. Cost: see the header; 4 bytes of memory for
 * each 64 KiB.
 *
 * Rejected: mapping the file. It would be memory that the budget does not see, and a page that
 * cannot be read would end the process.
 */
#include <tsdb/section_format.h>

#include <string.h>

struct tsdb_section_file {
    /* const after opening */
    struct tsdb_memory *memory;
    struct quarry_vfs_file *file;
    struct section_header header;
    struct tsdb_path path;
    uint8_t *directory;
};

/* ---- opening -------------------------------------------------------------------------------- */

/* Reads so many bytes. Returns: false: they are not there; tried twice. */
static bool read_exactly(struct tsdb_section_file *file, uint64_t offset, void *buffer,
                         size_t byte_count)
{
    size_t read_count = 0;

    for (int tries = 0; tries < 2; tries++) {
        if (quarry_vfs_read(file->file, offset, buffer, byte_count, &read_count, NULL) ==
            QUARRY_OK) {
            return read_count == byte_count;
        }
    }
    return false;
}

static enum quarry_status corrupt(const struct tsdb_section_file *file, const char *what,
                                  struct quarry_error *error)
{
    return error_set(error, QUARRY_CORRUPT, "'%.150s': %s", file->path.text, what);
}

/* Whether a header makes sense, for a file of so many bytes. */
static bool is_plausible(const struct section_header *header)
{
    uint64_t least = (uint64_t)header->section_count * SECTION_ENTRY_BYTES + 4;

    return header->section_count <= TSDB_SECTIONS_MAX && header->directory_bytes >= least &&
           (header->directory_bytes - least) % 4 == 0 &&
           header->file_bytes >= 2 * SECTION_HEADER_BYTES &&
           header->directory_bytes <= (header->file_bytes - 2 * SECTION_HEADER_BYTES) / 2;
}

/* Whether one of the two headers can be read. `offset`: of it. */
static bool get_header(struct tsdb_section_file *file, uint64_t offset)
{
    uint8_t bytes[SECTION_HEADER_BYTES];

    return read_exactly(file, offset, bytes, sizeof(bytes)) &&
           section_header_get(bytes, &file->header);
}

static enum quarry_status check_header(const struct tsdb_section_file *file,
                                       const struct tsdb_section_place *place,
                                       struct quarry_error *error)
{
    uint32_t magic = section_magic(&place->name);

    if ((file->header.magic ^ magic) << 8 != 0) {
        return corrupt(file, "it is another kind of file", error);
    }
    if (file->header.magic != magic) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "'%.150s': of version '%c', this build reads "
                         "'%c'",
                         file->path.text, (int)(file->header.magic >> 24), (int)(magic >> 24));
    }
    if (file->header.number != section_number(&place->name)) {
        return corrupt(file, "its name and its header do not agree", error);
    }
    return is_plausible(&file->header) ? QUARRY_OK
                                       : corrupt(file, "its header makes no sense", error);
}

/* Whether sections lie where they may, and have as many parts as there are checksums. */
static bool has_good_entries(const struct tsdb_section_file *file)
{
    const struct section_header *header = &file->header;
    uint64_t begin = SECTION_HEADER_BYTES + header->directory_bytes, parts = 0;
    uint64_t end = header->file_bytes - begin;

    for (size_t i = 0; i < header->section_count; i++) {
        const struct section_entry entry =
            section_entry_get(file->directory + i * SECTION_ENTRY_BYTES);
        if (entry.offset < begin || entry.offset > end || entry.byte_count > end - entry.offset) {
            return false;
        }
        begin = entry.offset + entry.byte_count;
        parts += section_part_count(entry.byte_count);
    }
    return (uint64_t)header->section_count * SECTION_ENTRY_BYTES + parts * 4 + 4 ==
           header->directory_bytes;
}

static bool get_directory(struct tsdb_section_file *file, uint64_t offset)
{
    size_t crc_at = (size_t)file->header.directory_bytes - 4;

    return read_exactly(file, offset, file->directory, crc_at + 4) &&
           endian_load_le_u32(file->directory + crc_at) ==
               crc32c_extend(section_directory_seed(&file->header), file->directory, crc_at) &&
           has_good_entries(file);
}

static enum quarry_status read_directory(struct tsdb_section_file *file, uint64_t byte_count,
                                         struct quarry_error *error)
{
    const struct section_header *header = &file->header;

    if (header->directory_bytes > byte_count) {
        return corrupt(file, "it ends within its directory", error);
    }
    file->directory = tsdb_memory_take_zero(file->memory, (size_t)header->directory_bytes);
    if (file->directory == NULL) {
        return error_set(error, QUARRY_NO_MEMORY,
                         "'%.150s': no memory for a directory of %llu "
                         "bytes",
                         file->path.text, (unsigned long long)header->directory_bytes);
    }
    if (get_directory(file, SECTION_HEADER_BYTES) ||
        get_directory(file, header->file_bytes - SECTION_HEADER_BYTES - header->directory_bytes)) {
        return QUARRY_OK;
    }
    return corrupt(file, "both of its directories are damaged", error);
}

static enum quarry_status read_head(struct tsdb_section_file *file,
                                    const struct tsdb_section_place *place,
                                    struct quarry_error *error)
{
    uint64_t byte_count = 0;
    enum quarry_status status = quarry_vfs_size(file->file, &byte_count, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!get_header(file, 0) && (byte_count < SECTION_HEADER_BYTES ||
                                 !get_header(file, byte_count - SECTION_HEADER_BYTES))) {
        return corrupt(file, "both of its headers are damaged", error);
    }
    status = check_header(file, place, error);
    return status == QUARRY_OK ? read_directory(file, byte_count, error) : status;
}

enum quarry_status tsdb_section_file_open(const struct tsdb_section_place *place,
                                          struct tsdb_section_file **ret_file,
                                          struct quarry_error *error)
{
    struct tsdb_section_file *file = tsdb_memory_take_zero(place->memory, sizeof(*file));

    if (file == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "'%.150s': no memory", place->directory);
    }
    file->memory = place->memory;
    enum quarry_status status = tsdb_file_path(place->directory, &place->name, &file->path, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(place->vfs, file->path.text, QUARRY_VFS_READ, &file->file, error);
    }
    if (status == QUARRY_OK) {
        status = read_head(file, place, error);
    }
    if (status != QUARRY_OK) {
        tsdb_section_file_close(file);
        return status;
    }
    *ret_file = file;
    return QUARRY_OK;
}

void tsdb_section_file_close(struct tsdb_section_file *file)
{
    if (file != NULL) {
        quarry_vfs_close(file->file);
        tsdb_memory_give(file->memory, file->directory);
        tsdb_memory_give(file->memory, file);
    }
}

/* ---- sections ------------------------------------------------------------------------------- */

uint64_t tsdb_section_file_salt(const struct tsdb_section_file *file)
{
    return file->header.salt;
}

size_t tsdb_section_file_count(const struct tsdb_section_file *file)
{
    return file->header.section_count;
}

static struct section_entry entry_of(const struct tsdb_section_file *file, size_t number)
{
    Q_ASSERT(number < file->header.section_count);
    return section_entry_get(file->directory + number * SECTION_ENTRY_BYTES);
}

struct tsdb_section_info tsdb_section_file_info(const struct tsdb_section_file *file, size_t number)
{
    const struct section_entry entry = entry_of(file, number);

    return (struct tsdb_section_info){entry.kind, entry.index, entry.byte_count};
}

/* How many parts are before a section's. */
static uint64_t parts_before(const struct tsdb_section_file *file, size_t number)
{
    uint64_t parts = 0;

    for (size_t i = 0; i < number; i++) {
        parts += section_part_count(entry_of(file, i).byte_count);
    }
    return parts;
}

static bool read_part(struct tsdb_section_file *file, uint64_t part, uint64_t offset,
                      uint8_t *buffer, size_t byte_count)
{
    const uint8_t *crcs =
        file->directory + (size_t)file->header.section_count * SECTION_ENTRY_BYTES;

    return read_exactly(file, offset, buffer, byte_count) &&
           endian_load_le_u32(crcs + part * 4) ==
               crc32c_extend(section_part_seed(&file->header, part), buffer, byte_count);
}

enum quarry_status tsdb_section_file_read(struct tsdb_section_file *file, size_t number,
                                          void *buffer, tsdb_section_lost_function *lost,
                                          void *argument, struct quarry_error *error)
{
    const struct section_entry entry = entry_of(file, number);
    const struct tsdb_section_info info = tsdb_section_file_info(file, number);
    uint64_t part = parts_before(file, number), lost_bytes = 0;

    for (uint64_t at = 0; at < entry.byte_count; at += TSDB_PART_BYTES, part++) {
        uint64_t left = entry.byte_count - at;
        size_t byte_count = (size_t)(left < TSDB_PART_BYTES ? left : TSDB_PART_BYTES);
        uint8_t *to = (uint8_t *)buffer + at;
        if (!read_part(file, part, entry.offset + at, to, byte_count)) {
            memset(to, 0, byte_count); /* invariant 2 */
            lost(argument, &info, at, byte_count);
            lost_bytes += byte_count;
        }
    }
    if (lost_bytes != 0) {
        return error_set(error, QUARRY_CORRUPT,
                         "'%.120s': %llu of %llu bytes of section %u of kind %u are lost",
                         file->path.text, (unsigned long long)lost_bytes,
                         (unsigned long long)entry.byte_count, entry.index, entry.kind);
    }
    return QUARRY_OK;
}
