/*
 * The message of a profile while it grows.
 *
 * Every message and text lives in blocks that are freed together; only the lists of pointers to
 * them, which protobuf-c wants as arrays, are reallocated. Tables find what is there already:
 *
 *   text                       -> index in string_table     key: hash, then compared
 *   address                    -> id of its location        key: the address
 *   linkage name and file      -> id of its function        key: their two indices
 *
 * No memory makes the build fail for good: every call after that does nothing harmful, and the end
 * reports it. So that who builds need not look at each step.
 */
#include <cli/profile_build.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES     ((size_t)Q_KIB(64))
#define TABLE_SLOTS_MIN 1024u
#define LIST_MIN        64u

struct profile_block {
    struct profile_block *next;
    size_t used;
    size_t capacity;
    max_align_t bytes[];
};

/* ---- memory --------------------------------------------------------------------------------- */

/* Zeroed memory until fini; NULL when there is none, and the build has failed. */
static void *take(struct profile_build *build, size_t bytes)
{
    struct profile_block *block = build->blocks;

    bytes = size_align_up(bytes, _Alignof(max_align_t));
    if (block == NULL || block->capacity - block->used < bytes) {
        size_t capacity = size_max(BLOCK_BYTES, bytes);
        block = calloc(1, sizeof(*block) + capacity);
        if (block == NULL) {
            build->has_failed = true;
            return NULL;
        }
        block->capacity = capacity;
        block->next = build->blocks;
        build->blocks = block;
    }
    void *taken = (char *)block->bytes + block->used;
    block->used += bytes;
    return taken;
}

static void list_add(struct profile_build *build, struct profile_list *list, void *item)
{
    if (item == NULL) {
        return;
    }
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? LIST_MIN : list->capacity * 2;
        void **larger = realloc((void *)list->item, capacity * sizeof(void *));
        if (larger == NULL) {
            build->has_failed = true;
            return;
        }
        list->item = larger;
        list->capacity = capacity;
    }
    list->item[list->count++] = item;
}

/* ---- tables --------------------------------------------------------------------------------- */

static uint32_t first_slot(const struct profile_table *table, uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (table->slot_count - 1);
}

static void table_put(struct profile_table *table, uint64_t key, uint32_t value)
{
    uint32_t at = first_slot(table, key);

    Q_ASSERT(value != 0 && table->used_count < table->slot_count);
    while (table->value[at] != 0) {
        at = (at + 1) & (table->slot_count - 1);
    }
    table->key[at] = key;
    table->value[at] = value;
    table->used_count++;
}

static void table_free(struct profile_table *table)
{
    free(table->key);
    free(table->value);
}

/* Keeps half of the slots free. Returns: false without memory, the table as it was. */
static bool table_make_room(struct profile_table *table)
{
    if (table->used_count * 2 < table->slot_count) {
        return true;
    }
    uint32_t slot_count = table->slot_count == 0 ? TABLE_SLOTS_MIN : table->slot_count * 2;
    struct profile_table larger = {
        .key = calloc(slot_count, sizeof(uint64_t)),
        .value = calloc(slot_count, sizeof(uint32_t)),
        .slot_count = slot_count,
    };
    if (larger.key == NULL || larger.value == NULL) {
        table_free(&larger);
        return false;
    }
    for (uint32_t i = 0; i < table->slot_count; i++) {
        if (table->value[i] != 0) {
            table_put(&larger, table->key[i], table->value[i]);
        }
    }
    table_free(table);
    *table = larger;
    return true;
}

static void table_add(struct profile_build *build, struct profile_table *table, uint64_t key,
                      uint32_t value)
{
    if (table_make_room(table)) {
        table_put(table, key, value);
    } else {
        build->has_failed = true;
    }
}

/* The value of a key that no two entries have; 0 for none. */
static uint32_t table_get(const struct profile_table *table, uint64_t key)
{
    if (table->slot_count == 0) {
        return 0;
    }
    uint32_t at = first_slot(table, key);
    while (table->value[at] != 0 && table->key[at] != key) {
        at = (at + 1) & (table->slot_count - 1);
    }
    return table->value[at];
}

/* ---- texts ---------------------------------------------------------------------------------- */

static uint32_t find_string(const struct profile_build *build, uint64_t hash, const char *text)
{
    const struct profile_table *table = &build->string_table;
    uint32_t at = table->slot_count == 0 ? 0 : first_slot(table, hash);

    while (table->slot_count > 0 && table->value[at] != 0) {
        if (table->key[at] == hash && strcmp(build->strings.item[table->value[at]], text) == 0) {
            return table->value[at];
        }
        at = (at + 1) & (table->slot_count - 1);
    }
    return 0;
}

int64_t profile_string(struct profile_build *build, const char *text)
{
    if (text == NULL || text[0] == '\0' || build->has_failed) {
        return 0;
    }
    size_t bytes = strlen(text) + 1;
    uint64_t hash = hash_xxh3_u64(text, bytes, 0);
    uint32_t index = find_string(build, hash, text);
    if (index != 0) {
        return index;
    }
    char *copy = take(build, bytes);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, text, bytes);
    index = build->strings.count;
    list_add(build, &build->strings, copy);
    if (!build->has_failed) {
        table_add(build, &build->string_table, hash, index);
    }
    return index;
}

void profile_add_type(struct profile_build *build, const char *type, const char *unit)
{
    Quarry__Pprof__ValueType *value_type = take(build, sizeof(*value_type));

    if (value_type != NULL) {
        quarry__pprof__value_type__init(value_type);
        value_type->type = profile_string(build, type);
        value_type->unit = profile_string(build, unit);
        list_add(build, &build->sample_types, value_type);
    }
}

/* ---- mappings, functions, locations --------------------------------------------------------- */

static int64_t build_id_string(struct profile_build *build, const struct mem_stats_module *module)
{
    char text[2 * MEM_STATS_BUILD_ID_BYTES + 1] = "";
    uint32_t bytes = module->build_id_bytes;

    for (uint32_t i = 0; i < bytes && i < MEM_STATS_BUILD_ID_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", module->build_id[i]);
    }
    return profile_string(build, text);
}

static void add_mappings(struct profile_build *build)
{
    const struct mem_stats_snapshot *snapshot = &build->process->snapshot;

    for (uint32_t i = 0; i < snapshot->module_count; i++) {
        const struct mem_stats_module *module = &snapshot->modules[i];
        Quarry__Pprof__Mapping *mapping = take(build, sizeof(*mapping));
        if (mapping == NULL) {
            return;
        }
        quarry__pprof__mapping__init(mapping);
        mapping->id = i + 1;
        mapping->memory_start = module->start;
        mapping->memory_limit = module->end;
        mapping->file_offset = module->file_offset;
        mapping->filename = profile_string(build, module->path);
        mapping->build_id = build_id_string(build, module);
        list_add(build, &build->mappings, mapping);
    }
}

static uint64_t function_id(struct profile_build *build, const struct symbol *symbol)
{
    int64_t linkage = profile_string(build, symbol->linkage);
    int64_t file = profile_string(build, symbol->file);
    uint64_t key = (uint64_t)linkage << 32 | (uint64_t)file;
    uint32_t id = table_get(&build->function_table, key);

    if (id != 0) {
        return id;
    }
    Quarry__Pprof__Function *function = take(build, sizeof(*function));
    if (function == NULL) {
        return 0;
    }
    quarry__pprof__function__init(function);
    id = build->functions.count + 1;
    function->id = id;
    function->name = profile_string(build, symbol->function);
    function->system_name = linkage;
    function->filename = file;
    list_add(build, &build->functions, function);
    table_add(build, &build->function_table, key, id);
    return id;
}

static void add_line(struct profile_build *build, Quarry__Pprof__Location *location,
                     const struct symbol *symbol)
{
    Quarry__Pprof__Line *line = take(build, sizeof(*line));

    if (line != NULL) {
        quarry__pprof__line__init(line);
        line->function_id = function_id(build, symbol);
        line->line = symbol->line;
        location->line[location->n_line++] = line;
    }
}

static void note_symbols(struct profile_build *build, const struct symbol_place *place)
{
    if (place->module >= build->mappings.count || place->count == 0) {
        return;
    }
    Quarry__Pprof__Mapping *mapping = build->mappings.item[place->module];
    bool has_file = place->symbol[0].file != NULL;
    mapping->has_functions = true;
    mapping->has_filenames = mapping->has_filenames || has_file;
    mapping->has_line_numbers = mapping->has_filenames;
    mapping->has_inline_frames = mapping->has_filenames;
}

static uint64_t location_id(struct profile_build *build, uint64_t pc)
{
    uint32_t id = table_get(&build->location_table, pc);

    if (id != 0) {
        return id;
    }
    const struct symbol_place *place = symbols_find(build->symbols, pc);
    Quarry__Pprof__Location *location = take(build, sizeof(*location));
    Quarry__Pprof__Line **lines = take(build, (place->count + 1) * sizeof(void *));
    if (location == NULL || lines == NULL) {
        return 0;
    }
    quarry__pprof__location__init(location);
    id = build->locations.count + 1;
    location->id = id;
    location->address = pc;
    location->mapping_id = place->module < build->mappings.count ? place->module + 1 : 0;
    location->line = lines;
    for (uint32_t i = 0; i < place->count; i++) {
        add_line(build, location, &place->symbol[i]);
    }
    note_symbols(build, place);
    list_add(build, &build->locations, location);
    table_add(build, &build->location_table, pc, id);
    return id;
}

/* ---- samples -------------------------------------------------------------------------------- */

/* A sample with room for all it may have; NULL without memory. */
static Quarry__Pprof__Sample *sample_create(struct profile_build *build, uint32_t depth)
{
    Quarry__Pprof__Sample *sample = take(build, sizeof(*sample));
    uint64_t *locations = take(build, (depth + 1) * sizeof(*locations));
    int64_t *values = take(build, PROFILE_VALUES_MAX * sizeof(*values));
    Quarry__Pprof__Label **labels = take(build, PROFILE_LABELS_MAX * sizeof(void *));

    if (sample == NULL || locations == NULL || values == NULL || labels == NULL) {
        return NULL;
    }
    quarry__pprof__sample__init(sample);
    sample->location_id = locations;
    sample->value = values;
    sample->label = labels;
    return sample;
}

Quarry__Pprof__Sample *profile_add_pcs(struct profile_build *build, const uint64_t *pcs,
                                       uint32_t depth, const uint64_t *values)
{
    Quarry__Pprof__Sample *sample = sample_create(build, depth);

    if (sample == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < depth; i++) {
        sample->location_id[sample->n_location_id++] = location_id(build, pcs[i]);
    }
    Q_ASSERT(build->sample_types.count <= PROFILE_VALUES_MAX);
    for (uint32_t i = 0; i < build->sample_types.count; i++) {
        sample->value[sample->n_value++] = (int64_t)size_min_u64(values[i], INT64_MAX);
    }
    list_add(build, &build->samples, sample);
    return sample;
}

Quarry__Pprof__Sample *profile_add_sample(struct profile_build *build,
                                          const struct mem_stats_stack *stack,
                                          const uint64_t *values)
{
    const struct mem_stats_snapshot *snapshot = &build->process->snapshot;
    Quarry__Pprof__Sample *sample = profile_add_pcs(build, stack->pc, stack->depth, values);
    const char *owner = mem_stats_owner_name(snapshot, stack->owner);
    const char *lifetime = mem_stats_lifetime_name(snapshot, stack->lifetime);

    profile_label_text(build, sample, "owner", owner != NULL ? owner : "unknown");
    profile_label_text(build, sample, "lifetime", lifetime != NULL ? lifetime : "unknown");
    return sample;
}

static Quarry__Pprof__Label *add_label(struct profile_build *build, Quarry__Pprof__Sample *sample,
                                       const char *key)
{
    Quarry__Pprof__Label *label = sample != NULL ? take(build, sizeof(*label)) : NULL;

    if (label == NULL) {
        return NULL;
    }
    Q_ASSERT(sample->n_label < PROFILE_LABELS_MAX);
    quarry__pprof__label__init(label);
    label->key = profile_string(build, key);
    sample->label[sample->n_label++] = label;
    return label;
}

void profile_label_text(struct profile_build *build, Quarry__Pprof__Sample *sample, const char *key,
                        const char *text)
{
    Quarry__Pprof__Label *label = add_label(build, sample, key);

    if (label != NULL) {
        label->str = profile_string(build, text);
    }
}

void profile_label_number(struct profile_build *build, Quarry__Pprof__Sample *sample,
                          const char *key, uint64_t number, const char *unit)
{
    Quarry__Pprof__Label *label = add_label(build, sample, key);

    if (label != NULL) {
        label->num = (int64_t)size_min_u64(number, INT64_MAX);
        label->num_unit = profile_string(build, unit);
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

void profile_build_init(struct profile_build *build, const struct process *process,
                        struct symbols *symbols)
{
    *build = (struct profile_build){.process = process, .symbols = symbols};
    list_add(build, &build->strings, take(build, 1)); /* the empty text is the first */
    add_mappings(build);
}

void profile_build_fini(struct profile_build *build)
{
    struct profile_list *lists[] = {&build->sample_types, &build->samples,   &build->mappings,
                                    &build->locations,    &build->functions, &build->strings};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        free((void *)lists[i]->item);
    }
    table_free(&build->string_table);
    table_free(&build->location_table);
    table_free(&build->function_table);
    while (build->blocks != NULL) {
        struct profile_block *next = build->blocks->next;
        free(build->blocks);
        build->blocks = next;
    }
}

void profile_finish(struct profile_build *build, Quarry__Pprof__Profile *ret_profile)
{
    const struct mem_stats_head *head = build->process->snapshot.head;

    quarry__pprof__profile__init(ret_profile);
    ret_profile->time_nanos = (int64_t)size_min_u64(head->refresh_wall_ns, INT64_MAX);
    ret_profile->duration_nanos = (int64_t)size_min_u64(
        sat_sub_u64(head->refresh_monotonic_ns, head->start_monotonic_ns), INT64_MAX);
    ret_profile->n_sample_type = build->sample_types.count;
    ret_profile->sample_type = (Quarry__Pprof__ValueType **)build->sample_types.item;
    ret_profile->n_sample = build->samples.count;
    ret_profile->sample = (Quarry__Pprof__Sample **)build->samples.item;
    ret_profile->n_mapping = build->mappings.count;
    ret_profile->mapping = (Quarry__Pprof__Mapping **)build->mappings.item;
    ret_profile->n_location = build->locations.count;
    ret_profile->location = (Quarry__Pprof__Location **)build->locations.item;
    ret_profile->n_function = build->functions.count;
    ret_profile->function = (Quarry__Pprof__Function **)build->functions.item;
    ret_profile->n_string_table = build->strings.count;
    ret_profile->string_table = (char **)build->strings.item;
}
