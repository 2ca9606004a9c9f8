/*
 * `kv_faults [--first N] [--count N] [--seeds N] [--kind once|ever|full|memory]`: everything that
 * can fail does, once each.
 *
 *     once    the n-th operation on files fails, for every n of the workload
 *     ever    and all after it, until the end
 *     full    the same with no space left
 *     memory  from the n-th step on, nearly nothing more may be allocated; for many ns and
 * "nearly"s
 *
 * What an acknowledged write has written is there to the end, what a refused one would have is not.
 * Reads give that or an error: never something else; and while only memory is short, neither gets
 * nor walks give an error. When the fault is over the store can be opened, read and written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/size.h>

#include "kv/workload.h"

#define STEPS        70u
#define STRIDE       1u
#define RESUME_TRIES 20u /* a second apart */
#define MEMORY_STEP  5u  /* every so many steps */
#define POSSIBLE_MAX 8u  /* states, before it is looked which it is */

enum kind { KIND_ONCE, KIND_EVER, KIND_FULL, KIND_MEMORY, KINDS };
static const char *const kind_names[KINDS] = {"once", "ever", "full", "memory"};

struct sweep {
    enum kind kind;
    uint64_t seed, point;
    uint32_t step;
    uint64_t left_bytes; /* KIND_MEMORY */
    bool is_short;       /* of memory, now */
    struct quarry_kv_options options;
    struct quarry_memory *memory;
    struct quarry_account *account;
    struct quarry_vfs *disk, *fault;
    struct quarry_kv *kv; /* NULL: could not be opened */
    struct journal journal;
    uint64_t refused_count;
};

static _Noreturn void fail(const struct sweep *sweep, const char *what, const char *text)
{
    rig_fail("kv_faults --kind %s --seed %" PRIu64 " --point %" PRIu64 " (step %" PRIu32
             ", %" PRIu64 " bytes): %s: %s",
             kind_names[sweep->kind], sweep->seed, sweep->point, sweep->step, sweep->left_bytes,
             what, text);
}

/* ---- what may happen ---- */

static bool may_be(const struct sweep *sweep, enum quarry_status status)
{
    switch ((int)status) {
    case QUARRY_OK:
        return true;
    case QUARRY_NO_MEMORY:
        return sweep->kind == KIND_MEMORY;
    case QUARRY_NO_SPACE:
        return sweep->kind == KIND_FULL;
    case QUARRY_IO:
        return sweep->kind != KIND_MEMORY;
    case QUARRY_PERMISSION: /* read-only meanwhile */
        return true;
    default:
        return false;
    }
}

static void expect_fault(struct sweep *sweep, enum quarry_status status,
                         const struct quarry_error *error, const char *what)
{
    sweep->refused_count += status != QUARRY_OK;
    if (!may_be(sweep, status)) {
        fail(sweep, what, error->text[0] != '\0' ? error->text : quarry_status_name(status));
    }
}

/* ---- steps ---- */

static void set_fault(struct sweep *sweep, uint64_t first)
{
    const struct quarry_vfs_fault fault = {
        .first = first,
        .count = sweep->kind == KIND_ONCE ? 1 : 0,
        .status = sweep->kind == KIND_FULL ? QUARRY_NO_SPACE : QUARRY_IO,
        .os_errno = sweep->kind == KIND_FULL ? ENOSPC : EIO,
        .operations = sweep->kind == KIND_FULL
                          ? 1u << QUARRY_VFS_OP_WRITE | 1u << QUARRY_VFS_OP_PREALLOCATE |
                                1u << QUARRY_VFS_OP_CREATE | 1u << QUARRY_VFS_OP_MAKE_DIRECTORY
                          : 0,
        .is_partial = sweep->point % 2 == 0};

    quarry_vfs_fault_set(sweep->fault, 0, sweep->kind == KIND_MEMORY ? NULL : &fault);
}

static bool open_store(struct sweep *sweep)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_open(sweep->memory, "/kv", &sweep->options, &sweep->kv, &error);

    if (status != QUARRY_OK) {
        sweep->kv = NULL;
        expect_fault(sweep, status, &error, "open");
    }
    return status == QUARRY_OK;
}

static void close_store(struct sweep *sweep)
{
    struct quarry_error error = {0};

    if (sweep->kv != NULL) {
        expect_fault(sweep, quarry_kv_close(sweep->kv, &error), &error, "close");
        sweep->kv = NULL;
    }
}

static void look(struct sweep *sweep, bool may_fail);

/* Lets reads through for a moment, to see which writes of many that nobody knows of are there. */
static void settle(struct sweep *sweep)
{
    quarry_vfs_fault_set(sweep->fault, 0, NULL);
    look(sweep, false);
    if (sweep->kind != KIND_ONCE) {
        set_fault(sweep, 1);
    }
}

static void write_step(struct sweep *sweep, const struct step *step)
{
    struct quarry_error error = {0};
    enum quarry_kv_durability durability = step->durability;

    if (durability == QUARRY_KV_DEFAULT) {
        durability = sweep->options.durability == QUARRY_KV_DEFAULT ? QUARRY_KV_PROCESS
                                                                    : sweep->options.durability;
    }
    journal_begin(&sweep->journal, step);
    enum quarry_status status = workload_write(sweep->kv, step, &error);
    expect_fault(sweep, status, &error, "write");
    /* Without a log it is flushed, for whatever reason that fails. */
    bool is_unknown =
        status != QUARRY_OK &&
        ((status == QUARRY_IO && durability == QUARRY_KV_POWER) ||
         (sweep->options.durability == QUARRY_KV_NONE && durability >= QUARRY_KV_PROCESS));
    journal_end(&sweep->journal, step,
                status == QUARRY_OK ? OUTCOME_DONE
                : is_unknown        ? OUTCOME_UNKNOWN
                                    : OUTCOME_NOT_DONE,
                durability);
    if (sweep->journal.possible_count > POSSIBLE_MAX) {
        settle(sweep);
    }
}

static void get_all(struct sweep *sweep)
{
    const struct model_state *state = sweep->journal.possible[0];

    for (uint32_t i = 0; i < state->count && sweep->journal.possible_count == 1; i++) {
        const struct model_entry *entry = state->entries[i];
        struct quarry_kv_value value = {0};
        struct quarry_error error = {0};
        if (quarry_kv_get(sweep->kv, NULL, entry->key.bytes, entry->key.byte_count, &value,
                          &error) != QUARRY_OK ||
            !slices_are_same(entry->value, slice_of(value.bytes, value.byte_count))) {
            fail(sweep, "a get is refused, or wrong", error.text);
        }
        quarry_kv_value_release(&value);
    }
}

/* Reads everything: one of the states that are possible now, or an error. */
static void look(struct sweep *sweep, bool may_fail)
{
    struct quarry_error error = {0};
    uint64_t hash = 0;

    if (!rig_scan_hash(sweep->kv, &hash, &error)) {
        if (!may_fail || sweep->kind == KIND_MEMORY) {
            fail(sweep, "it cannot be read", error.text);
        }
        expect_fault(sweep, error.status == QUARRY_OK ? QUARRY_IO : error.status, &error, "scan");
        return;
    }
    if (!journal_is_now(&sweep->journal, hash)) {
        fail(sweep, "a scan gives what it should not",
             journal_has(&sweep->journal, 0, hash) ? "an earlier state" : "no state that was");
    }
    if (sweep->is_short) {
        get_all(sweep);
    }
}

static void do_step(struct sweep *sweep, const struct step *step)
{
    struct quarry_error error = {0};
    const struct quarry_kv_slice none = {.bytes = NULL};
    enum quarry_status status = QUARRY_OK;

    switch (step->kind) {
    case STEP_WRITE:
        write_step(sweep, step);
        return;
    case STEP_FLUSH:
        status = quarry_kv_flush(sweep->kv, &error);
        break;
    case STEP_SYNC:
        status = quarry_kv_sync(sweep->kv, &error);
        break;
    case STEP_COMPACT:
        status = quarry_kv_compact_range(sweep->kv, none, none, &error);
        break;
    case STEP_BACKGROUND:
        (void)quarry_kv_step(sweep->kv);
        quarry_vfs_memory_pass_time(sweep->disk, UINT64_C(1000000000));
        break;
    case STEP_REOPEN:
        break;
    }
    expect_fault(sweep, status, &error, "work");
    if (status == QUARRY_OK && (step->kind == STEP_FLUSH || step->kind == STEP_SYNC)) {
        journal_sync(&sweep->journal);
    }
}

/* ---- one run ---- */

static void begin(struct sweep *sweep)
{
    const struct quarry_account_options account = {.name = "kv-faults"};
    struct quarry_error error = {0};

    journal_init(&sweep->journal);
    workload_options(sweep->seed, &sweep->options);
    sweep->memory = rig_memory_create(Q_MIB(128));
    rig_expect(quarry_account_create(sweep->memory, &account, &sweep->account, &error), &error,
               "account");
    rig_expect(quarry_vfs_memory_create(sweep->seed, &sweep->disk), NULL, "vfs");
    rig_expect(quarry_vfs_fault_create(sweep->disk, sweep->seed, &sweep->fault), NULL, "fault");
    sweep->options.vfs = sweep->fault;
    sweep->options.parent = sweep->account;
    sweep->is_short = false;
}

/* Leaves so many bytes above what is charged; UINT64_MAX: any. */
static void leave_memory(struct sweep *sweep, uint64_t byte_count)
{
    struct quarry_account_state state;

    quarry_account_read(sweep->account, &state);
    uint64_t ceiling = byte_count == UINT64_MAX ? 0 : state.charged_bytes + byte_count;
    rig_expect(quarry_account_set_bounds(sweep->account, 0, ceiling), NULL, "ceiling");
    sweep->is_short = byte_count != UINT64_MAX;
}

static void steps(struct sweep *sweep, uint32_t to)
{
    static struct step step;

    for (; sweep->step < to; sweep->step++) {
        workload_step(sweep->seed, sweep->step, &step);
        if (step.kind == STEP_REOPEN && sweep->options.durability == QUARRY_KV_NONE) {
            step.kind = STEP_BACKGROUND; /* closing may lose what was not flushed */
        }
        if (sweep->kv == NULL || step.kind == STEP_REOPEN) {
            close_store(sweep);
            if (!open_store(sweep)) {
                continue;
            }
            look(sweep, true);
        }
        if (sweep->kind == KIND_MEMORY && sweep->step == sweep->point) {
            leave_memory(sweep, sweep->left_bytes);
        }
        do_step(sweep, &step);
        if (sweep->step % 8 == 0 || sweep->is_short) {
            look(sweep, true);
        }
    }
}

/* After a loss of power at this moment: nothing that was synced is missing. */
static void check_power(struct sweep *sweep)
{
    struct quarry_vfs *left = NULL;
    struct quarry_kv_options options = sweep->options;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};
    uint64_t hash = 0;

    rig_expect(quarry_vfs_memory_crash(sweep->disk, 0, sweep->point, &left), NULL, "crash");
    options.vfs = left;
    options.name = "left";
    options.parent = NULL;
    if (quarry_kv_open(sweep->memory, "/kv", &options, &kv, &error) != QUARRY_OK ||
        !rig_scan_hash(kv, &hash, &error)) {
        fail(sweep, "after a loss of power", error.text);
    }
    if (!journal_has(&sweep->journal, sweep->journal.power_floor, hash)) {
        fail(sweep, "after a loss of power",
             journal_has(&sweep->journal, 0, hash) ? "what was synced is lost"
                                                   : "no state that was");
    }
    rig_expect(quarry_kv_close(kv, &error), &error, "close");
    quarry_vfs_memory_destroy(left);
}

/* A store that has turned read-only looks again after some seconds. */
static void flush_again(struct sweep *sweep)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_BUSY;

    for (uint32_t i = 0; i < RESUME_TRIES && status != QUARRY_OK; i++) {
        quarry_vfs_memory_pass_time(sweep->disk, UINT64_C(1000000000));
        (void)quarry_kv_step(sweep->kv);
        status = quarry_kv_flush(sweep->kv, &error);
    }
    if (status != QUARRY_OK) {
        fail(sweep, "no flush when it is over", error.text);
    }
}

/* The fault is over: all is well again, at once or when it is opened anew. */
static void check_after(struct sweep *sweep)
{
    struct quarry_error error = {0};
    const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};
    static struct step last = {.kind = STEP_WRITE, .change_count = 1};

    quarry_vfs_fault_set(sweep->fault, 0, NULL);
    leave_memory(sweep, UINT64_MAX);
    if (sweep->kv != NULL) {
        look(sweep, false);
        if (sweep->options.durability == QUARRY_KV_NONE) {
            flush_again(sweep);
        }
    }
    close_store(sweep);
    check_power(sweep);
    if (!open_store(sweep)) {
        fail(sweep, "it cannot be opened when it is over", "");
    }
    look(sweep, false);
    last.changes[0] =
        (struct change){.kind = CHANGE_PUT, .key = slice_of("z", 1), .value = slice_of("1", 1)};
    rig_expect(quarry_kv_put(sweep->kv, &power, "z", 1, "1", 1, &error), &error, "put");
    journal_begin(&sweep->journal, &last);
    journal_end(&sweep->journal, &last, OUTCOME_DONE, QUARRY_KV_POWER);
    rig_expect(quarry_kv_verify(sweep->kv, &error), &error, "verify");
    look(sweep, false);
    close_store(sweep);
}

static void end(struct sweep *sweep)
{
    quarry_vfs_fault_destroy(sweep->fault);
    quarry_vfs_memory_destroy(sweep->disk);
    quarry_account_destroy(sweep->account); /* which has nothing charged */
    quarry_memory_destroy(sweep->memory);
    journal_fini(&sweep->journal);
}

/* Returns: whether the fault was met. */
static bool run(struct sweep *sweep)
{
    begin(sweep);
    set_fault(sweep, sweep->point);
    sweep->step = 0;
    (void)open_store(sweep);
    steps(sweep, STEPS);
    bool is_met = sweep->kind == KIND_MEMORY || quarry_vfs_fault_hits(sweep->fault, 0) > 0;
    check_after(sweep);
    end(sweep);
    return is_met;
}

/* ---- sweeps ---- */

static uint64_t sweep_files(enum kind kind, uint64_t seed, uint64_t first, uint64_t stride)
{
    struct sweep sweep = {.kind = kind, .seed = seed};
    uint64_t count = 0;

    for (sweep.point = first; run(&sweep); sweep.point += stride) {
        count++;
    }
    if (count > 0 && sweep.refused_count == 0) {
        fail(&sweep, "a sweep", "nothing was ever refused");
    }
    return count;
}

static uint64_t sweep_memory(uint64_t seed, uint64_t stride)
{
    static const uint64_t left[] = {0,          Q_KIB(8),   Q_KIB(16),  Q_KIB(32), Q_KIB(64),
                                    Q_KIB(128), Q_KIB(256), Q_KIB(512), Q_MIB(1)};
    struct sweep sweep = {.kind = KIND_MEMORY, .seed = seed};
    uint64_t count = 0;

    for (sweep.point = 0; sweep.point < STEPS; sweep.point += stride) {
        for (uint32_t i = 0; i < sizeof left / sizeof left[0]; i++, count++) {
            sweep.left_bytes = left[i];
            (void)run(&sweep);
        }
    }
    return count;
}

int main(int argc, char **argv)
{
    uint64_t seed_count = rig_argument(argc, argv, "--seeds", 1);
    uint64_t stride = rig_argument(argc, argv, "--stride", STRIDE);
    const char *only = rig_argument_text(argc, argv, "--kind");
    bool is_point = rig_argument_text(argc, argv, "--point") != NULL;
    uint64_t first_seed = rig_argument(argc, argv, "--seed", 1);

    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        for (uint32_t kind = 0; kind < KINDS; kind++) {
            if (only != NULL && strcmp(only, kind_names[kind]) != 0) {
                continue;
            }
            if (is_point) {
                struct sweep sweep = {.kind = (enum kind)kind,
                                      .seed = seed,
                                      .point = rig_argument(argc, argv, "--point", 1),
                                      .left_bytes = rig_argument(argc, argv, "--bytes", 0)};
                (void)run(&sweep);
                continue;
            }
            uint64_t count = kind == KIND_MEMORY ? sweep_memory(seed, stride * MEMORY_STEP)
                                                 : sweep_files((enum kind)kind, seed, 1, stride);
            (void)printf("seed %" PRIu64 ", %s: %" PRIu64 " runs\n", seed, kind_names[kind], count);
            (void)fflush(stdout);
        }
    }
    return 0;
}
