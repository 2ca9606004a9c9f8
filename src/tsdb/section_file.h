/*
 * Files of sections: what is written at once and read back, each 64 KiB with a checksum.
 *
 * A file is there whole or not at all: it is written under another name, synced, and renamed. When
 * it is read, what of it is damaged is told, and nothing else is lost. docs/formats/tsdb-window.md
 * has the bytes.
 */
#ifndef QUARRY_TSDB_SECTION_FILE_H
#define QUARRY_TSDB_SECTION_FILE_H

#include <quarry/vfs.h>

#include <tsdb/file_name.h>
#include <tsdb/memory.h>
#include <tsdb/types.h>

/* The most sections of a file. Each has 24 bytes in its directory. */
#define TSDB_SECTIONS_MAX 65536u
/* What has a checksum: a *part* of a section. Doubling it halves the checksums, 0.006 % of a file,
 * and doubles what a damaged byte costs. */
#define TSDB_PART_BYTES Q_KIB(64)

/* What is to be written. Kind and index are the caller's; both together name a section. */
struct tsdb_section {
    uint32_t kind, index;
    const struct tsdb_slice *pieces; /* its bytes, in order; borrowed for the call */
    size_t piece_count;
};

/* Where a file is. */
struct tsdb_section_place {
    struct quarry_vfs *vfs;     /* borrowed: until a file that is open is closed */
    const char *directory;      /* borrowed for the call */
    struct tsdb_memory *memory; /* as `vfs` */
    struct tsdb_file_name name; /* WINDOW or SNAPSHOT */
};

/*
 * Writes a file, in place of one of that name; both it and its name are durable afterwards.
 *
 * Errors: QUARRY_TOO_MANY (sections), QUARRY_NO_MEMORY, QUARRY_NO_SPACE, QUARRY_IO: what had the
 * name is as it was; but where only syncing the directory failed, either may have it.
 * Threads: any, one for a name. Cost: writes and syncs the file; pieces of a part and more are not
 * copied. Memory: 64 KiB, the directory.
 */
enum quarry_status tsdb_section_file_write(const struct tsdb_section_place *place,
                                           const struct tsdb_section *sections,
                                           size_t section_count, struct quarry_error *error);

/* A file that is open for reading. */
struct tsdb_section_file;

/*
 * Opens a file: its header and its directory are read, each of which is there twice.
 *
 * `ret_file`: own; end it with tsdb_section_file_close.
 * Errors: QUARRY_NOT_FOUND; QUARRY_CORRUPT (neither of the two), QUARRY_UNSUPPORTED (another
 * version), QUARRY_NO_MEMORY, QUARRY_IO.
 */
enum quarry_status tsdb_section_file_open(const struct tsdb_section_place *place,
                                          struct tsdb_section_file **ret_file,
                                          struct quarry_error *error);
/* `file`: given; NULL does nothing. */
void tsdb_section_file_close(struct tsdb_section_file *file);

/* A number that another file of the name would not have. */
uint64_t tsdb_section_file_salt(const struct tsdb_section_file *file);

struct tsdb_section_info {
    uint32_t kind, index;
    uint64_t byte_count;
};
size_t tsdb_section_file_count(const struct tsdb_section_file *file);
/* `number`: from 0, in the order in which they were written. */
struct tsdb_section_info tsdb_section_file_info(const struct tsdb_section_file *file,
                                                size_t number);

/* Called for a stretch of a section that is lost. */
typedef void tsdb_section_lost_function(void *argument, const struct tsdb_section_info *info,
                                        uint64_t offset, uint64_t byte_count);

/*
 * Reads a section. `buffer`: of its length; what is lost is zero in it. `lost`: called for each
 * stretch of that, in rising order.
 *
 * Errors: QUARRY_CORRUPT: something was lost, all else is there. A part that cannot be read twice
 * is lost. Threads: any, several at once. Cost: a read and a checksum for each 64 KiB.
 */
enum quarry_status tsdb_section_file_read(struct tsdb_section_file *file, size_t number,
                                          void *buffer, tsdb_section_lost_function *lost,
                                          void *argument, struct quarry_error *error);

/* Of a file that was set aside: its name, and one of these behind it, from 2 on. */
#define TSDB_SECTION_ASIDE      ".damaged"
#define TSDB_SECTION_ASIDES_MAX 100u

/*
 * Gives a damaged file a name that is read by nobody, durably, and that no other has:
 * NAME.damaged, NAME.damaged-2, …
 *
 * `ret_name`: of the file, in the directory.
 * Errors: QUARRY_NOT_FOUND, QUARRY_TOO_MANY: all these names are taken; QUARRY_IO, …: it has either
 * name.
 */
enum quarry_status tsdb_section_file_set_aside(const struct tsdb_section_place *place,
                                               char ret_name[QUARRY_VFS_NAME_BYTES_MAX],
                                               struct quarry_error *error);

/* Removes a file, durably. Errors: QUARRY_NOT_FOUND, QUARRY_IO. */
enum quarry_status tsdb_section_file_remove(const struct tsdb_section_place *place,
                                            struct quarry_error *error);

#endif
