/*
 * Telling of leaks: to a handler, or by lines on stderr.
 *
 *   quarry: leak: kv.block: block 0x7f2c40012000, for 12.345 s, by thread 7
 *   quarry:   #0 libquarry.so+0x4f21 quarry_block_get+0x41
 *   quarry:   #1 server+0x1c04
 *   quarry: kv.block: 1 reference was never released (about 1 of 1024 are recorded)
 *
 * A frame's offset is what addr2line takes, with the module; the symbol is there where the loader
 * knows it, which for a program is only what it exports.
 *
 * A record and its stack are copied out under the ledger's lock, one at a time, and told without:
 * a handler may acquire and release, and what it changes in slots to come is told as it then is.
 *
 * Where nothing has leaked nothing is printed. That some were acquired without a record, for want
 * of memory, is no leak: it is said beside leaks, of which there may be more then.
 *
 * Everything is put together in one buffer on the stack and written by one call for each leak, so
 * that those of two threads do not mix. Nothing allocates.
 */
#include <ref/leak.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ref/leak_ledger.h>

/* A leak's lines: a head and REF_LEAK_FRAMES_MAX frames of up to 200 characters. */
#define TEXT_BYTES 4096u
/* What is printed of a module's name and of a symbol. */
#define NAME_CHARACTERS_MAX 80

struct text {
    size_t length; /* at most TEXT_BYTES - 1 */
    char bytes[TEXT_BYTES];
};

static ref_leak_handler *handler; /* const while anybody reports */
static void *handler_argument;    /* likewise */

void ref_leak_set_handler(ref_leak_handler *new_handler, void *argument)
{
    handler = new_handler;
    handler_argument = argument;
}

/* ---- printing ------------------------------------------------------------------------------- */

static void Q_PRINTF(2, 3) text_add(struct text *text, const char *format, ...)
{
    size_t room = TEXT_BYTES - text->length;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    Q_ASSERT(length >= 0);
    text->length += size_min((size_t)length, room - 1);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static void text_add_frame(struct text *text, uint32_t number, uint64_t pc)
{
    uint64_t call = pc - 1; /* a return address may be the next function's */
    Dl_info info;

    text_add(text, "quarry:   #%u ", number);
    if (dladdr((const void *)(uintptr_t)call, &info) == 0) {
        text_add(text, "0x%llx\n", (unsigned long long)call);
        return;
    }
    text_add(text, "%.*s+0x%llx", NAME_CHARACTERS_MAX, base_name(info.dli_fname),
             (unsigned long long)(call - (uint64_t)(uintptr_t)info.dli_fbase));
    if (info.dli_sname != NULL) {
        text_add(text, " %.*s+0x%llx", NAME_CHARACTERS_MAX, info.dli_sname,
                 (unsigned long long)(call - (uint64_t)(uintptr_t)info.dli_saddr));
    }
    text_add(text, "\n");
}

static void print_leak(const struct ref_leak *leak)
{
    struct text text = {.length = 0};

    text_add(&text, "quarry: leak: %s: %.*s 0x%llx, for %llu.%03llu s", leak->owner,
             NAME_CHARACTERS_MAX, leak->kind, (unsigned long long)leak->object,
             (unsigned long long)(leak->age_ns / Q_SECOND_NS),
             (unsigned long long)(leak->age_ns % Q_SECOND_NS / Q_MS_NS));
    if (leak->thread_id != 0) {
        text_add(&text, ", by thread %u", leak->thread_id);
    }
    text_add(&text, "\n");
    for (uint32_t i = 0; i < leak->pc_count; i++) {
        text_add_frame(&text, i, leak->pcs[i]);
    }
    os_tell(text.bytes, text.length);
}

void ref_leak_tell(const struct ref_leak *leak)
{
    if (handler != NULL) {
        handler(handler_argument, leak);
    } else {
        print_leak(leak);
    }
}

bool ref_leak_has_handler(void)
{
    return handler != NULL;
}

/* ---- a ledger's ----------------------------------------------------------------------------- */

/* Copies slot `slot` out. Returns: false where nothing is out, or there is no such slot. */
static bool copy_out(struct ref_leaks *leaks, uint32_t slot, struct ref_leak *ret_leak,
                     struct ref_leak_stack *ret_stack)
{
    uint64_t now_ns = os_monotonic_ns(leaks->heap->os);
    bool is_out = false;

    os_mutex_lock(&leaks->mutex);
    if (slot < leaks->record_count && ref_leaks_record(leaks, slot)->kind != NULL) {
        const struct ref_leak_record *record = ref_leaks_record(leaks, slot);
        ret_stack->pc_count = 0;
        if (record->stack != 0) {
            *ret_stack = *ref_leaks_stack(leaks, record->stack - 1);
        }
        *ret_leak = (struct ref_leak){
            .owner = leaks->owner,
            .kind = record->kind,
            .object = record->object,
            .age_ns = sat_sub_u64(now_ns, record->noted_ns),
            .thread_id = record->thread_id,
            .pc_count = ret_stack->pc_count,
            .pcs = ret_stack->pcs,
        };
        is_out = true;
    }
    os_mutex_unlock(&leaks->mutex);
    return is_out;
}

static uint32_t record_count(struct ref_leaks *leaks)
{
    os_mutex_lock(&leaks->mutex);
    uint32_t count = leaks->record_count;
    os_mutex_unlock(&leaks->mutex);
    return count;
}

static void print_sum(struct ref_leaks *leaks, size_t leak_count)
{
    uint64_t unrecorded_count = ref_leaks_unrecorded(leaks);
    uint32_t every = ref_leak_every();
    struct text text = {.length = 0};

    text_add(&text, "quarry: %s: %zu never released", leaks->owner, leak_count);
    text_add(&text, every > 1 ? " (about 1 of %u is recorded)\n" : "\n", every);
    if (unrecorded_count > 0) {
        text_add(&text, "quarry: %s: %llu acquired without a record, for want of memory\n",
                 leaks->owner, (unsigned long long)unrecorded_count);
    }
    os_tell(text.bytes, text.length);
}

/* Debug builds: without a handler that counts them, a leak is a failed test. */
static void end_if_debug(size_t leak_count)
{
#ifdef QUARRY_DEBUG_CHECKS
    if (leak_count > 0) {
        abort();
    }
#else
    (void)leak_count;
#endif
}

size_t ref_leaks_report(struct ref_leaks *leaks)
{
    struct ref_leak_stack stack;
    struct ref_leak leak;
    size_t leak_count = 0;

    /* The bound of the walk: what is acquired meanwhile may be told of or not. */
    uint32_t slot_count = record_count(leaks);
    for (uint32_t slot = 0; slot < slot_count; slot++) {
        if (copy_out(leaks, slot, &leak, &stack)) {
            ref_leak_tell(&leak);
            leak_count++;
        }
    }
    if (!ref_leak_has_handler() && leak_count > 0) {
        print_sum(leaks, leak_count);
        end_if_debug(leak_count);
    }
    return leak_count;
}
