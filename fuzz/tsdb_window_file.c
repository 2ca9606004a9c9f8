/*
 * Any bytes as a file of a window: opening and reading it ends without asserting, and what is told
 * to be lost is within its section. A second time with checksums that match, so that what they
 * guard is looked at.
 */
#include <stdlib.h>
#include <string.h>

#include <tsdb/section_format.h>
#include <tsdb/window_file.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECTION_BYTES_MAX Q_MIB(1)

static struct tsdb_memory small;

static void begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_memory *memory = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &small.account, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "tsdb objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(small.account), &small.pool) ==
             QUARRY_OK);
}

static void lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                 uint64_t byte_count)
{
    uint64_t *lost_bytes = argument;

    Q_ASSERT(byte_count != 0 && offset < info->byte_count &&
             byte_count <= info->byte_count - offset);
    *lost_bytes += byte_count;
}

static void read_sections(struct tsdb_section_file *file)
{
    for (size_t i = 0; i < tsdb_section_file_count(file); i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(file, i);
        uint64_t lost_bytes = 0;
        if (info.byte_count > SECTION_BYTES_MAX) {
            continue;
        }
        char *buffer = malloc((size_t)info.byte_count + 1);
        Q_ASSERT(buffer != NULL);
        enum quarry_status status =
            tsdb_section_file_read(file, i, buffer, lost, &lost_bytes, NULL);
        Q_ASSERT(status == (lost_bytes == 0 ? QUARRY_OK : QUARRY_CORRUPT));
        Q_ASSERT(lost_bytes <= info.byte_count);
        free(buffer);
    }
}

static void read_file(const uint8_t *data, size_t size)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE;
    struct tsdb_section_file *file = NULL;
    struct quarry_vfs_file *written = NULL;
    struct quarry_vfs *vfs = NULL;

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    Q_ASSERT(quarry_vfs_open(vfs, "/window-3.qtw", mode, &written, NULL) == QUARRY_OK);
    Q_ASSERT(size == 0 || quarry_vfs_write(written, 0, data, size, NULL) == QUARRY_OK);
    quarry_vfs_close(written);
    const struct tsdb_section_place place = tsdb_window_file_place(vfs, "", &small, 3);
    if (tsdb_section_file_open(&place, &file, NULL) == QUARRY_OK) {
        read_sections(file);
        tsdb_section_file_close(file);
    }
    quarry_vfs_memory_destroy(vfs);
}

/* Checksums of the first header and the first directory. */
static void mend(uint8_t *bytes, size_t size)
{
    struct section_header header;

    if (size < SECTION_HEADER_BYTES + 4) {
        return;
    }
    (void)section_header_get(bytes, &header);
    header.magic = SECTION_MAGIC_WINDOW;
    header.number = 3;
    header.section_count %= 64;
    header.directory_bytes %= size - SECTION_HEADER_BYTES;
    section_header_put(bytes, &header);
    if (header.directory_bytes >= 4) {
        uint8_t *directory = bytes + SECTION_HEADER_BYTES;
        size_t crc_at = (size_t)header.directory_bytes - 4;
        endian_store_le_u32(directory + crc_at,
                            crc32c_extend(section_directory_seed(&header), directory, crc_at));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (small.pool == NULL) {
        begin();
    }
    read_file(data, size);
    uint8_t *bytes = malloc(size + 1);
    Q_ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    mend(bytes, size);
    read_file(bytes, size);
    free(bytes);
    return 0;
}
