/*
 * Reading the statistics segment of another process.
 *
 *   1. the head, which must be what this version writes, byte for byte where it is fixed
 *   2. snapshot sections and stacks, until the sequence was even and the same before and after
 *   3. samples, each under its own version
 *   4. the checks (mem_stats_parse), on the copy: nothing that was checked can change any more
 *
 * Invariants:
 *   1. No count, index, depth or length from the segment is used before it was compared with the
 *      room there is. The process it comes from may be broken, or not be what it says.
 *   2. The copy has the layout of the segment, so every section fits where it lies.
 *
 * Locking: none; a reader is one thread's. Nothing is written to the segment.
 */
#include <mem/stats_page.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* 200 looks, half a millisecond apart: a refresh publishes for some 10 µs. */
#define SNAPSHOT_TRIES   200
#define SNAPSHOT_WAIT_NS (Q_MS_NS / 2)
#define SAMPLE_TRIES     4

Q_STATIC_ASSERT(sizeof(struct mem_stats_head) % 8 == 0 && sizeof(struct mem_stats_stack) % 8 == 0 &&
                    sizeof(struct mem_stats_sample) % 8 == 0,
                "segments are copied by words of 8 bytes");

/* ---- copying -------------------------------------------------------------------------------- */

/* `offset`, `bytes`: multiples of 8, within the layout. */
static enum quarry_status copy_bytes(const struct mem_stats_reader *reader, uint64_t offset,
                                     void *to, size_t bytes, struct quarry_error *error)
{
    Q_ASSERT(offset + bytes <= MEM_STATS_BYTES);
    if (reader->base != NULL) {
        mem_stats_collect(to, reader->base + offset, bytes);
        return QUARRY_OK;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t count = pread(reader->memory_fd, (char *)to + done, bytes - done,
                              (off_t)(reader->address + offset + done));
        if (count <= 0) {
            return error_set(error, count == 0 || errno == EIO ? QUARRY_NOT_FOUND : QUARRY_IO,
                             "process %u has ended, or its memory cannot be read", reader->pid);
        }
        done += (size_t)count;
    }
    return QUARRY_OK;
}

/* Copies what a section has, by the count in the head's copy, to its place in the image. */
static enum quarry_status copy_section(const struct mem_stats_reader *reader,
                                       enum mem_stats_section_id id, struct quarry_error *error)
{
    const struct mem_stats_head *head = (const void *)reader->image;
    struct mem_stats_section section = mem_stats_layout(id);

    if (head->section[id].count > section.record_max) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap statistics: %llu records in section %d, where %u fit",
                         (unsigned long long)head->section[id].count, (int)id, section.record_max);
    }
    size_t bytes = size_align_up(head->section[id].count * section.record_bytes, 8);
    return copy_bytes(reader, section.offset, reader->image + section.offset, bytes, error);
}

static enum quarry_status copy_samples(const struct mem_stats_reader *reader,
                                       struct quarry_error *error)
{
    struct mem_stats_head *head = (void *)reader->image;
    struct mem_stats_section section = mem_stats_layout(MEM_STATS_SAMPLES);
    struct mem_stats_sample *samples = (void *)(reader->image + section.offset);
    enum quarry_status status = QUARRY_OK;
    uint64_t count = size_min_u64(head->section[MEM_STATS_SAMPLES].count, section.record_max);

    for (uint64_t i = 0; i < count && status == QUARRY_OK; i++) {
        uint64_t offset = section.offset + i * sizeof(*samples), version = 0;
        bool is_whole = false;
        for (int try = 0; try < SAMPLE_TRIES && !is_whole && status == QUARRY_OK; try++) {
            status = copy_bytes(reader, offset, &samples[i], sizeof(*samples), error);
            if (status == QUARRY_OK) {
                status = copy_bytes(reader, offset, &version, sizeof(version), error);
            }
            is_whole = version % 2 == 0 && samples[i].version == version;
        }
        if (!is_whole) {
            samples[i] = (struct mem_stats_sample){0};
        }
    }
    head->section[MEM_STATS_SAMPLES].count = count;
    return status;
}

/* One look at everything that the sequence covers. BUSY: it changed meanwhile. */
static enum quarry_status copy_once(const struct mem_stats_reader *reader,
                                    struct quarry_error *error)
{
    struct mem_stats_head *head = (void *)reader->image;
    uint64_t before = 0, after = 0;
    const uint64_t sequence_at = offsetof(struct mem_stats_head, sequence);
    enum quarry_status status = copy_bytes(reader, sequence_at, &before, sizeof(before), error);

    if (status == QUARRY_OK) {
        status = before % 2 != 0 ? QUARRY_BUSY : copy_bytes(reader, 0, head, sizeof(*head), error);
    }
    for (int id = 0; id < MEM_STATS_SECTIONS && status == QUARRY_OK; id++) {
        if (id != MEM_STATS_SAMPLES) {
            status = copy_section(reader, (enum mem_stats_section_id)id, error);
        }
    }
    if (status == QUARRY_OK) {
        status = copy_bytes(reader, sequence_at, &after, sizeof(after), error);
    }
    return status == QUARRY_OK && before != after ? QUARRY_BUSY : status;
}

static enum quarry_status copy_all(const struct mem_stats_reader *reader,
                                   struct quarry_error *error)
{
    enum quarry_status status = copy_once(reader, error);

    for (int try = 1; try < SNAPSHOT_TRIES && status == QUARRY_BUSY; try++) {
        os_sleep_ns(SNAPSHOT_WAIT_NS);
        status = copy_once(reader, error);
    }
    if (status == QUARRY_BUSY) {
        return error_set(error, QUARRY_BUSY,
                         "the heap statistics of process %u are being written all the time: it "
                         "was stopped or killed while it did",
                         reader->pid);
    }
    return status == QUARRY_OK ? copy_samples(reader, error) : status;
}

enum quarry_status mem_stats_snapshot(struct mem_stats_reader *reader,
                                      struct mem_stats_snapshot *ret_snapshot,
                                      struct quarry_error *error)
{
    struct os *os = os_real();
    void *image;

    if (reader->image == NULL) {
        enum quarry_status status = os_reserve(os, MEM_STATS_BYTES, os->page_bytes, &image);
        if (status == QUARRY_OK) {
            status = os_commit(os, image, MEM_STATS_BYTES);
        }
        if (status != QUARRY_OK) {
            return error_set(error, status, "no room for a copy of the heap statistics");
        }
        reader->image = image;
    }
    enum quarry_status status = copy_all(reader, error);
    return status == QUARRY_OK ? mem_stats_parse(reader->image, ret_snapshot, error) : status;
}

/* ---- checking ------------------------------------------------------------------------------- */

static enum quarry_status parse_head(const struct mem_stats_head *head, struct quarry_error *error)
{
    if (head->magic != MEM_STATS_MAGIC) {
        return error_set(error, QUARRY_CORRUPT, "heap statistics: they do not begin with QHEAPSTA");
    }
    if (head->version != MEM_STATS_VERSION) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "heap statistics of version %u; this program reads version %u",
                         head->version, MEM_STATS_VERSION);
    }
    if (head->head_bytes != sizeof(*head) || head->segment_bytes != MEM_STATS_BYTES) {
        return error_set(error, QUARRY_CORRUPT,
                         "heap statistics: %u bytes of head and %llu in all, where version %u has "
                         "%zu and %llu",
                         head->head_bytes, (unsigned long long)head->segment_bytes,
                         MEM_STATS_VERSION, sizeof(*head), (unsigned long long)MEM_STATS_BYTES);
    }
    return QUARRY_OK;
}

static enum quarry_status parse_sections(const struct mem_stats_head *head,
                                         struct quarry_error *error)
{
    for (int id = 0; id < MEM_STATS_SECTIONS; id++) {
        struct mem_stats_section wanted = mem_stats_layout((enum mem_stats_section_id)id);
        const struct mem_stats_section *found = &head->section[id];
        if (found->offset != wanted.offset || found->record_bytes != wanted.record_bytes ||
            found->record_max != wanted.record_max || found->count > wanted.record_max) {
            return error_set(error, QUARRY_CORRUPT,
                             "heap statistics: section %d has %llu records of %u bytes at %llu, "
                             "where there is room for %u of %u at %llu",
                             id, (unsigned long long)found->count, found->record_bytes,
                             (unsigned long long)found->offset, wanted.record_max,
                             wanted.record_bytes, (unsigned long long)wanted.offset);
        }
    }
    return QUARRY_OK;
}

/* Closes a text that may fill its room. */
static void text_close(char *text, size_t bytes)
{
    text[bytes - 1] = '\0';
}

static void parse_rows(struct mem_stats_row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        text_close(rows[i].owner_name, sizeof(rows[i].owner_name));
        text_close(rows[i].lifetime_name, sizeof(rows[i].lifetime_name));
    }
}

static enum quarry_status parse_modules(struct mem_stats_module *modules, uint32_t count,
                                        struct quarry_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        text_close(modules[i].path, sizeof(modules[i].path));
        if (modules[i].start >= modules[i].end ||
            modules[i].build_id_bytes > MEM_STATS_BUILD_ID_BYTES) {
            return error_set(error, QUARRY_CORRUPT,
                             "heap statistics: module %u ends before it starts, or has a build id "
                             "of %u bytes",
                             i, modules[i].build_id_bytes);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status parse_stacks(const struct mem_stats_stack *stacks, uint32_t count,
                                       struct quarry_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        if (stacks[i].hash == 0 || stacks[i].depth > MEM_STATS_DEPTH_MAX) {
            return error_set(error, QUARRY_CORRUPT,
                             "heap statistics: stack %u of %u is empty, or %u frames deep", i,
                             count, stacks[i].depth);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status parse_accounts(struct mem_stats_account *accounts, uint32_t count,
                                         struct quarry_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        if (accounts[i].depth > MEM_STATS_ACCOUNT_DEPTH_MAX) {
            return error_set(error, QUARRY_CORRUPT,
                             "heap statistics: account %u of %u is %u levels below the root", i,
                             count, accounts[i].depth);
        }
        text_close(accounts[i].name, sizeof(accounts[i].name));
    }
    return QUARRY_OK;
}

static enum quarry_status parse_totals(const struct mem_stats_snapshot *snapshot,
                                       struct quarry_error *error)
{
    if (snapshot->is_refreshed && snapshot->totals->pressure >= MEM_STATS_PRESSURE_LEVELS) {
        return error_set(error, QUARRY_CORRUPT, "heap statistics: there is no pressure %llu",
                         (unsigned long long)snapshot->totals->pressure);
    }
    return QUARRY_OK;
}

/* Moves the samples that are alive and make sense to the front. Returns: how many. */
static uint32_t samples_compact(struct mem_stats_sample *samples, uint32_t count,
                                uint32_t stack_count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        /* A stack that was added after the stacks were copied is not known here. */
        if (samples[i].address != 0 && samples[i].version % 2 == 0 &&
            samples[i].stack < stack_count) {
            samples[kept++] = samples[i];
        }
    }
    return kept;
}

static struct mem_stats_snapshot snapshot_of(char *image)
{
    const struct mem_stats_head *head = (const void *)image;
    const struct mem_stats_section *section = head->section;

    return (struct mem_stats_snapshot){
        .head = head,
        .is_refreshed = head->refresh_count > 0 && section[MEM_STATS_TOTALS].count == 1,
        .totals = (const void *)(image + MEM_STATS_AT_TOTALS),
        .rows = (const void *)(image + MEM_STATS_AT_ROWS),
        .classes = (const void *)(image + MEM_STATS_AT_CLASSES),
        .modules = (const void *)(image + MEM_STATS_AT_MODULES),
        .map = (const void *)(image + MEM_STATS_AT_MAP),
        .stacks = (const void *)(image + MEM_STATS_AT_STACKS),
        .samples = (const void *)(image + MEM_STATS_AT_SAMPLES),
        .accounts = (const void *)(image + MEM_STATS_AT_ACCOUNTS),
        .row_count = (uint32_t)section[MEM_STATS_ROWS].count,
        .class_count = (uint32_t)section[MEM_STATS_CLASSES].count,
        .module_count = (uint32_t)section[MEM_STATS_MODULES].count,
        .map_bytes = (uint32_t)section[MEM_STATS_MAP].count,
        .stack_count = (uint32_t)section[MEM_STATS_STACKS].count,
        .sample_count = (uint32_t)section[MEM_STATS_SAMPLES].count,
        .account_count = (uint32_t)section[MEM_STATS_ACCOUNTS].count,
    };
}

enum quarry_status mem_stats_parse(void *image, struct mem_stats_snapshot *ret_snapshot,
                                   struct quarry_error *error)
{
    char *base = image;
    struct mem_stats_head *head = image;
    enum quarry_status status = parse_head(head, error);

    if (status == QUARRY_OK) {
        status = parse_sections(head, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    struct mem_stats_snapshot snapshot = snapshot_of(base); /* invariant 1: counts fit */
    text_close(head->command, sizeof(head->command));
    parse_rows((void *)(base + MEM_STATS_AT_ROWS), snapshot.row_count);
    status = parse_modules((void *)(base + MEM_STATS_AT_MODULES), snapshot.module_count, error);
    if (status == QUARRY_OK) {
        status = parse_stacks(snapshot.stacks, snapshot.stack_count, error);
    }
    if (status == QUARRY_OK) {
        status =
            parse_accounts((void *)(base + MEM_STATS_AT_ACCOUNTS), snapshot.account_count, error);
    }
    if (status == QUARRY_OK) {
        status = parse_totals(&snapshot, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (!snapshot.is_refreshed) {
        memset(base + MEM_STATS_AT_TOTALS, 0, sizeof(*snapshot.totals));
    }
    snapshot.sample_count = samples_compact((void *)(base + MEM_STATS_AT_SAMPLES),
                                            snapshot.sample_count, snapshot.stack_count);
    *ret_snapshot = snapshot;
    return QUARRY_OK;
}

/* ---- names ---------------------------------------------------------------------------------- */

const char *mem_stats_owner_name(const struct mem_stats_snapshot *snapshot, uint32_t owner)
{
    for (uint32_t i = 0; i < snapshot->row_count; i++) {
        if (snapshot->rows[i].owner == owner) {
            return snapshot->rows[i].owner_name;
        }
    }
    return NULL;
}

const char *mem_stats_lifetime_name(const struct mem_stats_snapshot *snapshot, uint32_t lifetime)
{
    for (uint32_t i = 0; i < snapshot->row_count; i++) {
        if (snapshot->rows[i].lifetime == lifetime) {
            return snapshot->rows[i].lifetime_name;
        }
    }
    return NULL;
}
