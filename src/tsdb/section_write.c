/*
 * Writing files of sections.
 *
 *     | header | directory | section | … | section | directory | header |
 *
 * What sections there are is known before, so that every offset is. The sections are written front
 * to back, a part at a time, and the checksums of the parts are put into the directory on the way;
 * that and the header come last, at both ends. Then the file is synced, gets its name, and the
 * directory that it is in is synced.
 *
 * Invariants
 *   1. A file with its name has been synced whole.
 *   2. What had the name before has it until then.
 *
 * Locking: none. Cost: one call of write for each part; bytes are copied only where a part is of
 * several pieces. The kernel is told to begin to write every 8 MiB, so that the sync waits less.
 *
 * Rejected: a header with the checksum of each section: a byte would cost a section, which may be
 * hundreds of MiB. Checksums beside the parts: a section would not lie in one piece.
 */
#include <tsdb/section_format.h>

#include <stdio.h>
#include <string.h>

/* Between beginnings to write. */
#define START_BYTES Q_MIB(8)

struct writer {
    const struct tsdb_section_place *place;
    struct quarry_vfs_file *file;
    struct section_header header;
    uint8_t *directory;  /* of directory_bytes */
    uint8_t *part;       /* of TSDB_PART_BYTES, for parts of several pieces */
    uint64_t part_count; /* written */
    uint64_t started_end;
    struct quarry_error *error;
};

/* Where reading the pieces of a section has come to. */
struct reading {
    const struct tsdb_section *section;
    size_t piece, done; /* in the piece */
};

/* ---- what there will be --------------------------------------------------------------------- */

static uint64_t section_bytes(const struct tsdb_section *section)
{
    uint64_t byte_count = 0;

    for (size_t i = 0; i < section->piece_count; i++) {
        byte_count += section->pieces[i].count;
    }
    return byte_count;
}

static uint64_t align_up(uint64_t offset)
{
    return (offset + SECTION_ALIGN_BYTES - 1) / SECTION_ALIGN_BYTES * SECTION_ALIGN_BYTES;
}

/* Lengths of directory and file; the entries are put when there is a directory. */
static void lay_out(struct writer *writer, const struct tsdb_section *sections)
{
    struct section_header *header = &writer->header;
    uint64_t parts = 0, offset;

    for (size_t i = 0; i < header->section_count; i++) {
        parts += section_part_count(section_bytes(&sections[i]));
    }
    header->directory_bytes = (uint64_t)header->section_count * SECTION_ENTRY_BYTES + parts * 4 + 4;
    offset = SECTION_HEADER_BYTES + header->directory_bytes;
    for (size_t i = 0; i < header->section_count; i++) {
        const struct section_entry entry = {sections[i].kind, sections[i].index, align_up(offset),
                                            section_bytes(&sections[i])};
        if (writer->directory != NULL) {
            section_entry_put(writer->directory + i * SECTION_ENTRY_BYTES, &entry);
        }
        offset = entry.offset + entry.byte_count;
    }
    header->file_bytes = offset + header->directory_bytes + SECTION_HEADER_BYTES;
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* The next bytes of a section, where they lie, or joined. `byte_count`: up to a part's. */
static const uint8_t *take_bytes(struct writer *writer, struct reading *reading, size_t byte_count)
{
    const struct tsdb_slice *pieces = reading->section->pieces;

    while (reading->done == pieces[reading->piece].count) {
        reading->piece++;
        reading->done = 0;
    }
    if (byte_count <= pieces[reading->piece].count - reading->done) {
        reading->done += byte_count;
        return (const uint8_t *)pieces[reading->piece].bytes + reading->done - byte_count;
    }
    for (size_t at = 0; at < byte_count;) {
        const struct tsdb_slice *piece = &pieces[reading->piece];
        size_t count = size_min(byte_count - at, piece->count - reading->done);
        if (count != 0) {
            memcpy(writer->part + at, piece->bytes + reading->done, count);
        }
        at += count;
        reading->done += count;
        if (at < byte_count) {
            reading->piece++;
            reading->done = 0;
        }
    }
    return writer->part;
}

static enum quarry_status write_part(struct writer *writer, const uint8_t *bytes, size_t byte_count,
                                     uint64_t offset)
{
    uint32_t crc =
        crc32c_extend(section_part_seed(&writer->header, writer->part_count), bytes, byte_count);
    enum quarry_status status =
        quarry_vfs_write(writer->file, offset, bytes, byte_count, writer->error);

    endian_store_le_u32(writer->directory +
                            (size_t)writer->header.section_count * SECTION_ENTRY_BYTES +
                            writer->part_count * 4,
                        crc);
    writer->part_count++;
    if (status == QUARRY_OK && offset - writer->started_end >= START_BYTES) {
        status = quarry_vfs_start_sync(writer->file, writer->started_end,
                                       offset - writer->started_end, writer->error);
        writer->started_end = offset;
    }
    return status;
}

static enum quarry_status write_section(struct writer *writer, const struct tsdb_section *section,
                                        uint64_t offset)
{
    struct reading reading = {.section = section};
    uint64_t left = section_bytes(section);
    enum quarry_status status = QUARRY_OK;

    while (left != 0 && status == QUARRY_OK) {
        size_t byte_count = (size_t)(left < TSDB_PART_BYTES ? left : TSDB_PART_BYTES);
        const uint8_t *bytes = take_bytes(writer, &reading, byte_count);
        status = write_part(writer, bytes, byte_count, offset);
        offset += byte_count;
        left -= byte_count;
    }
    return status;
}

/* ---- the file ------------------------------------------------------------------------------- */

static enum quarry_status write_directory(struct writer *writer)
{
    const struct section_header *header = &writer->header;
    size_t crc_at = (size_t)header->directory_bytes - 4;
    uint64_t end = header->file_bytes - SECTION_HEADER_BYTES;
    uint8_t bytes[SECTION_HEADER_BYTES];

    endian_store_le_u32(writer->directory + crc_at,
                        crc32c_extend(section_directory_seed(header), writer->directory, crc_at));
    section_header_put(bytes, header);
    enum quarry_status status =
        quarry_vfs_write(writer->file, end - header->directory_bytes, writer->directory,
                         (size_t)header->directory_bytes, writer->error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_write(writer->file, end, bytes, sizeof(bytes), writer->error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_write(writer->file, SECTION_HEADER_BYTES, writer->directory,
                                  (size_t)header->directory_bytes, writer->error);
    }
    return status == QUARRY_OK
               ? quarry_vfs_write(writer->file, 0, bytes, sizeof(bytes), writer->error)
               : status;
}

static enum quarry_status write_all(struct writer *writer, const struct tsdb_section *sections)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < writer->header.section_count && status == QUARRY_OK; i++) {
        const struct section_entry entry =
            section_entry_get(writer->directory + i * SECTION_ENTRY_BYTES);
        status = write_section(writer, &sections[i], entry.offset);
    }
    if (status == QUARRY_OK) {
        status = write_directory(writer);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(writer->file, writer->error);
    }
    if (status == QUARRY_OK) {
        /* What it holds is in memory, and is read again by another process only. */
        quarry_vfs_advise(writer->file, 0, 0, QUARRY_VFS_DROP);
    }
    return status;
}

/* Under the other name, and then under its own. */
static enum quarry_status write_file(struct writer *writer, const struct tsdb_section *sections)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE;
    const struct tsdb_section_place *place = writer->place;
    struct tsdb_path path, temporary;
    enum quarry_status status =
        tsdb_file_path(place->directory, &place->name, &path, writer->error);

    if (status == QUARRY_OK) {
        status = tsdb_file_temporary_path(path.text, &temporary, writer->error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(place->vfs, temporary.text, mode, &writer->file, writer->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = write_all(writer, sections);
    quarry_vfs_close(writer->file);
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(place->vfs, temporary.text, path.text, writer->error);
    }
    if (status != QUARRY_OK) {
        (void)quarry_vfs_remove(place->vfs, temporary.text, NULL);
        return status;
    }
    return quarry_vfs_sync_directory(place->vfs, place->directory, writer->error);
}

enum quarry_status tsdb_section_file_write(const struct tsdb_section_place *place,
                                           const struct tsdb_section *sections,
                                           size_t section_count, struct quarry_error *error)
{
    struct writer writer = {.place = place,
                            .header = {.magic = section_magic(&place->name),
                                       .number = section_number(&place->name),
                                       .section_count = (uint32_t)section_count},
                            .error = error};
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (section_count > TSDB_SECTIONS_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "'%.100s': %zu sections, at most %u",
                         place->directory, section_count, TSDB_SECTIONS_MAX);
    }
    writer.header.salt = quarry_vfs_wall_ns(place->vfs) * UINT64_C(0xd6e8feb86659fd93);
    lay_out(&writer, sections);
    writer.directory = tsdb_memory_take_zero(place->memory, (size_t)writer.header.directory_bytes);
    writer.part = tsdb_memory_take_zero(place->memory, TSDB_PART_BYTES);
    if (writer.directory == NULL || writer.part == NULL) {
        (void)error_set(error, status, "'%.100s': no memory for a directory of %llu bytes",
                        place->directory, (unsigned long long)writer.header.directory_bytes);
    } else {
        lay_out(&writer, sections);
        status = write_file(&writer, sections);
    }
    tsdb_memory_give(place->memory, writer.directory);
    tsdb_memory_give(place->memory, writer.part);
    return status;
}

enum quarry_status tsdb_section_file_remove(const struct tsdb_section_place *place,
                                            struct quarry_error *error)
{
    struct tsdb_path path;
    enum quarry_status status = tsdb_file_path(place->directory, &place->name, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_remove(place->vfs, path.text, error);
    }
    return status == QUARRY_OK ? quarry_vfs_sync_directory(place->vfs, place->directory, error)
                               : status;
}

/* The path of a file that is set aside, the `number`-th of its name. */
static enum quarry_status aside_path(const struct tsdb_path *path, uint32_t number,
                                     struct tsdb_path *ret_path, struct quarry_error *error)
{
    char last[16] = "";

    if (number > 1) {
        (void)snprintf(last, sizeof last, "-%u", number);
    }
    int length = snprintf(ret_path->text, sizeof ret_path->text, "%s" TSDB_SECTION_ASIDE "%s",
                          path->text, last);
    return length > 0 && (size_t)length < sizeof ret_path->text
               ? QUARRY_OK
               : error_set(error, QUARRY_TOO_LARGE, "path of %d bytes", length);
}

/* The first of these that nothing has. */
static enum quarry_status aside_find(struct quarry_vfs *vfs, const struct tsdb_path *path,
                                     struct tsdb_path *ret_path, struct quarry_error *error)
{
    for (uint32_t i = 1; i <= TSDB_SECTION_ASIDES_MAX; i++) {
        uint64_t byte_count;
        bool is_directory;
        enum quarry_status status = aside_path(path, i, ret_path, error);
        if (status == QUARRY_OK) {
            status = quarry_vfs_stat(vfs, ret_path->text, &byte_count, &is_directory, error);
        }
        if (status != QUARRY_OK) {
            return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        }
    }
    return error_set(error, QUARRY_TOO_MANY, "'%.150s': %u damaged files are beside it", path->text,
                     TSDB_SECTION_ASIDES_MAX);
}

enum quarry_status tsdb_section_file_set_aside(const struct tsdb_section_place *place,
                                               char ret_name[QUARRY_VFS_NAME_BYTES_MAX],
                                               struct quarry_error *error)
{
    struct tsdb_path path, aside;
    enum quarry_status status = tsdb_file_path(place->directory, &place->name, &path, error);

    if (status == QUARRY_OK) {
        status = aside_find(place->vfs, &path, &aside, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(place->vfs, path.text, aside.text, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(place->vfs, place->directory, error);
    }
    if (status == QUARRY_OK) {
        (void)snprintf(ret_name, QUARRY_VFS_NAME_BYTES_MAX, "%s",
                       aside.text + strlen(place->directory) + 1);
    }
    return status;
}
