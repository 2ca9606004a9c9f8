#include "unit/budget/budget_rig.h"

struct holder *asked[64];
uint32_t asked_count;

struct quarry_memory *memory_now(void)
{
    return (struct quarry_memory *)(void *)heap;
}

enum quarry_status account_try_make(const struct quarry_account_options *options,
                                    struct quarry_account **ret_account)
{
    struct quarry_error error = {0};
    enum quarry_status status = quarry_account_create(memory_now(), options, ret_account, &error);

    assert_int_equal(error.text[0] != '\0', status != QUARRY_OK);
    return status;
}

struct quarry_account *account_make(const struct quarry_account_options *options)
{
    struct quarry_account *account = NULL;
    struct quarry_error error = {0};

    if (quarry_account_create(memory_now(), options, &account, &error) != QUARRY_OK) {
        fail_msg("quarry_account_create: %s", error.text);
    }
    return account;
}

struct quarry_account *account_named(const char *name, struct quarry_account *parent)
{
    struct quarry_account_options options = {.name = name, .parent = parent};

    return account_make(&options);
}

struct quarry_account_state account_now(struct quarry_account *account)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state;
}

uint64_t account_charged(struct quarry_account *account)
{
    return account_now(account).charged_bytes;
}

void budget_check(void)
{
    struct quarry_error error = {0};

    if (quarry_accounts_validate(memory_now(), &error) != QUARRY_OK) {
        fail_msg("quarry_accounts_validate: %s", error.text);
    }
}

void budget_turn(void)
{
    os_sim_advance(&sim, PAGE_GENERATION_NS);
    (void)quarry_memory_turn(memory_now());
}

/* ---- holders -------------------------------------------------------------------------------- */

void holders_begin(void)
{
    asked_count = 0;
}

static uint64_t holder_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct holder *holder = argument;
    uint64_t most_bytes = holder->per_call_bytes == 0 ? wanted_bytes : holder->per_call_bytes;
    uint64_t run_bytes = holder->run_pages << PAGE_SHIFT, freed_bytes = 0;

    holder->asked_bytes = wanted_bytes;
    holder->asked_count++;
    if (asked_count < 64) {
        asked[asked_count++] = holder;
    }
    while (holder->run_count > 0 && freed_bytes < size_min_u64(wanted_bytes, most_bytes)) {
        holder_free(holder, 1);
        freed_bytes += run_bytes;
    }
    return freed_bytes;
}

static void holder_value(void *argument, struct quarry_account_value *ret_value)
{
    struct holder *holder = argument;

    *ret_value = holder->value;
    holder->value_count++;
}

static void holder_target(void *argument, uint64_t target_bytes)
{
    struct holder *holder = argument;

    holder->target_bytes = target_bytes;
}

void holder_init(struct holder *holder, const struct quarry_account_options *options,
                 struct page_lane *lane, uint64_t run_pages, bool is_elastic)
{
    struct quarry_account_options full = *options;

    *holder = (struct holder){.lane = lane, .run_pages = run_pages};
    full.is_all_pages = true;
    full.reclaim = holder_reclaim;
    full.value = is_elastic ? holder_value : NULL;
    full.set_target = is_elastic ? holder_target : NULL;
    full.argument = holder;
    holder->account = account_make(&full);
}

bool holder_take(struct holder *holder)
{
    assert_true(holder->run_count < HOLDER_RUNS_MAX);
    void **run = &holder->run[holder->run_count];
    struct quarry_lane *lane = (struct quarry_lane *)(void *)holder->lane;

    if (quarry_account_pages_alloc(holder->account, lane, holder->run_pages, run) != QUARRY_OK) {
        return false;
    }
    holder->run_count++;
    return true;
}

void holder_fill(struct holder *holder, uint32_t run_count)
{
    for (uint32_t i = 0; i < run_count; i++) {
        assert_true(holder_take(holder));
    }
}

void holder_free(struct holder *holder, uint32_t run_count)
{
    for (uint32_t i = 0; i < run_count; i++) {
        assert_true(holder->run_count > 0);
        quarry_account_pages_free(holder->account, (struct quarry_lane *)(void *)holder->lane,
                                  holder->run[--holder->run_count]);
    }
}

void holder_fini(struct holder *holder)
{
    holder_free(holder, holder->run_count);
    quarry_account_destroy(holder->account);
}
