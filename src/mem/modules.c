/*
 * Modules, from the loader's list.
 *
 * dl_iterate_phdr tells each object's program headers. An executable PT_LOAD is a mapping in which
 * return addresses may lie; the PT_NOTEs hold the build id. The program itself has no name there:
 * /proc/self/exe has.
 *
 * Invariants: 1. Notes are read within their segment only: a module may be anything that the loader
 * would load.
 *
 * Locking: the loader's lock is held in the callback, which takes no other and no memory.
 */
#include <mem/modules.h>

#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

struct module_list {
    struct mem_stats_module *modules;
    uint32_t capacity;
    uint32_t count;
};

static int count_changes(struct dl_phdr_info *info, size_t bytes, void *argument)
{
    (void)bytes;
    *(uint64_t *)argument = info->dlpi_adds + info->dlpi_subs;
    return 1; /* the first object knows */
}

uint64_t mem_modules_change_count(void)
{
    uint64_t count = 0;

    (void)dl_iterate_phdr(count_changes, &count);
    return count == 0 ? 1 : count;
}

/* Compares one note, whose header and name lie within `bytes`. */
static bool note_is_build_id(const ElfW(Nhdr) * note)
{
    return note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof(ELF_NOTE_GNU) &&
           memcmp(note + 1, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0;
}

uint32_t mem_modules_build_id(const void *notes, size_t bytes, size_t align_bytes,
                              uint8_t ret_id[MEM_STATS_BUILD_ID_BYTES])
{
    size_t at = 0;

    while (bytes - at >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note[2] = {{0}};
        memcpy(note, (const char *)notes + at, size_min(sizeof(note), bytes - at));
        /* Lengths of 32 bits: their sum fits 64. */
        size_t id_at = at + sizeof(note[0]) + size_align_up(note->n_namesz, align_bytes);
        size_t end = id_at + size_align_up(note->n_descsz, align_bytes);
        if (id_at > bytes || note->n_descsz > bytes - id_at) {
            return 0; /* invariant 1 */
        }
        if (note_is_build_id(note) && note->n_descsz <= MEM_STATS_BUILD_ID_BYTES) {
            memcpy(ret_id, (const char *)notes + id_at, note->n_descsz);
            return note->n_descsz;
        }
        if (end > bytes) {
            return 0;
        }
        at = end;
    }
    return 0;
}

static void module_find_build_id(const struct dl_phdr_info *info, struct mem_stats_module *module)
{
    for (uint32_t i = 0; i < info->dlpi_phnum && module->build_id_bytes == 0; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_NOTE) {
            module->build_id_bytes = mem_modules_build_id(
                (const void *)(info->dlpi_addr + header->p_vaddr), header->p_memsz,
                header->p_align == 8 ? 8 : 4, module->build_id);
        }
    }
}

/* `is_program`: the first object, whose name is the empty text. */
static void module_find_path(const struct dl_phdr_info *info, bool is_program,
                             struct mem_stats_module *module)
{
    const size_t room = sizeof(module->path) - 1; /* the rest is zero */

    if (is_program) {
        ssize_t length = readlink("/proc/self/exe", module->path, room);
        module->path[length < 0 ? 0 : length] = '\0';
    } else if (info->dlpi_name != NULL) {
        memcpy(module->path, info->dlpi_name, size_min(strlen(info->dlpi_name), room));
    }
}

static void list_add(struct module_list *list, const struct dl_phdr_info *info,
                     const ElfW(Phdr) * header)
{
    uint64_t start = info->dlpi_addr + header->p_vaddr;

    if (list->count < list->capacity) {
        struct mem_stats_module *module = &list->modules[list->count];
        *module = (struct mem_stats_module){
            .start = size_align_down_u64(start, MEM_STATS_ALIGN_BYTES),
            .end = size_align_up_u64(start + header->p_memsz, MEM_STATS_ALIGN_BYTES),
            .file_offset = size_align_down_u64(header->p_offset, MEM_STATS_ALIGN_BYTES),
            .bias = info->dlpi_addr,
        };
        module_find_path(info, list->count == 0, module);
        module_find_build_id(info, module);
    }
    list->count++;
}

static int list_object(struct dl_phdr_info *info, size_t bytes, void *argument)
{
    (void)bytes;
    for (uint32_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0) {
            list_add(argument, info, header);
        }
    }
    return 0;
}

uint32_t mem_modules_list(struct mem_stats_module *ret_modules, uint32_t capacity)
{
    struct module_list list = {.modules = ret_modules, .capacity = capacity};

    (void)dl_iterate_phdr(list_object, &list);
    return list.count;
}
