/*
 * The figures of a heap as one JSON object. The names of the fields are promises to scripts.
 */
#include <cli/heap_json.h>

#include <cli/figures.h>

static void put_head(struct json *json, const struct process *process)
{
    const struct mem_stats_head *head = process->snapshot.head;

    json_u64(json, "pid", process->pid);
    json_string(json, "command", head->command);
    json_u64(json, "wall_ns", head->refresh_wall_ns);
    json_u64(json, "figures_age_ns", process->age_ns);
    json_bool(json, "is_stale", process->is_stale);
    json_bool(json, "is_hardened", head->is_hardened != 0);
    json_u64(json, "refresh_count", head->refresh_count);
    json_u64(json, "sample_mean_bytes", head->sample_mean_bytes);
    json_u64(json, "sampled_count", head->sampled_count);
    json_u64(json, "dropped_sample_count",
             sat_add_u64(sat_add_u64(head->dropped_stack_count, head->dropped_sample_count),
                         head->dropped_budget_count));
    json_u64(json, "live_sample_count", process->snapshot.sample_count);
}

static void put_ledger(struct json *json, const struct quarry_ledger *ledger)
{
    json_object(json, "ledger");
    json_u64(json, "in_use_bytes", ledger->in_use_bytes);
    json_u64(json, "cached_bytes", ledger->cached_bytes);
    json_u64(json, "free_backed_bytes", ledger->free_backed_bytes);
    json_u64(json, "metadata_bytes", ledger->metadata_bytes);
    json_u64(json, "in_flight_bytes", ledger->in_flight_bytes);
    json_u64(json, "set_aside_bytes", ledger->set_aside_bytes);
    json_u64(json, "committed_bytes", ledger->committed_bytes);
    json_u64(json, "limit_bytes", ledger->limit_bytes);
    json_u64(json, "peak_bytes", ledger->peak_bytes);
    json_u64(json, "released_bytes", ledger->released_bytes);
    json_u64(json, "reserved_bytes", ledger->reserved_bytes);
    json_object_end(json);
}

static void put_totals(struct json *json, const struct mem_stats_totals *totals)
{
    json_object(json, "totals");
    json_u64(json, "span_bytes", totals->span_bytes);
    json_u64(json, "live_bytes", totals->live_bytes);
    json_u64(json, "large_bytes", totals->large_bytes);
    json_u64(json, "bin_cached_bytes", totals->bin_cached_bytes);
    json_u64(json, "alloc_count", totals->alloc_count);
    json_u64(json, "free_count", totals->free_count);
    json_u64(json, "refused_count", totals->refused_count);
    json_u64(json, "thread_count", totals->thread_count);
    json_u64(json, "peak_live_bytes", totals->peak_live_bytes);
    json_u64(json, "peak_span_bytes", totals->peak_span_bytes);
    json_u64(json, "committed_peak_seen_bytes", totals->committed_peak_seen_bytes);
    json_u64(json, "live_bytes_at_committed_peak", totals->live_bytes_at_committed_peak);
    json_u64(json, "observed_ns", totals->observed_ns);
    json_u64(json, "committed_integral_kib_ms", totals->committed_integral_kib_ms);
    json_u64(json, "live_integral_kib_ms", totals->live_integral_kib_ms);
    json_u64(json, "pinned_span_bytes", totals->pinned_span_bytes);
    json_u64(json, "pinned_live_bytes", totals->pinned_live_bytes);
    json_object_end(json);
}

static void put_waste(struct json *json, const struct figures *figures)
{
    json_object(json, "waste");
    for (uint32_t cause = 0; cause < WASTE_CAUSES; cause++) {
        json_u64(json, waste_fields[cause], figures->waste_bytes[cause]);
    }
    json_object_end(json);
    json_u64(json, "object_bytes", figures->object_bytes);
    json_u64(json, "waste_bytes", figures->waste_sum_bytes);
}

static void put_rows(struct json *json, const struct mem_stats_snapshot *snapshot)
{
    json_array(json, "rows");
    for (uint32_t i = 0; i < snapshot->row_count; i++) {
        const struct mem_stats_row *row = &snapshot->rows[i];
        json_object(json, NULL);
        json_string(json, "owner", row->owner_name);
        json_string(json, "lifetime", row->lifetime_name);
        json_u64(json, "span_bytes", row->span_bytes);
        json_u64(json, "live_bytes", row->live_bytes);
        json_u64(json, "large_bytes", row->large_bytes);
        json_u64(json, "fragmentation_bytes", figures_row_free(row));
        json_u64(json, "span_count", row->span_count);
        json_u64(json, "sparse_span_count", row->sparse_span_count);
        json_u64(json, "sparse_free_bytes", row->sparse_free_bytes);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_classes(struct json *json, const struct mem_stats_snapshot *snapshot)
{
    json_array(json, "classes");
    for (uint32_t i = 0; i < snapshot->class_count; i++) {
        const struct mem_stats_class *class = &snapshot->classes[i];
        json_object(json, NULL);
        json_u64(json, "object_bytes", class->object_bytes);
        json_u64(json, "span_pages", class->span_pages);
        json_u64(json, "span_count", class->span_count);
        json_u64(json, "live_count", class->live_count);
        json_u64(json, "capacity_count", class->capacity_count);
        json_u64(json, "alloc_count", class->alloc_count);
        json_u64(json, "free_count", class->free_count);
        json_u64(json, "tail_bytes", class->tail_bytes);
        json_u64(json, "waste_bytes", figures_class_waste(class));
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- the budget ----------------------------------------------------------------------------- */

static void put_budget(struct json *json, const struct mem_stats_totals *totals)
{
    json_object(json, "budget");
    json_string(json, "pressure", quarry_pressure_name((enum quarry_pressure)totals->pressure));
    json_u64(json, "account_count", totals->account_count);
    json_u64(json, "target_move_count", totals->target_move_count);
    json_u64(json, "set_aside_goal_bytes", totals->set_aside_goal_bytes);
    json_u64(json, "set_aside_paid_bytes", totals->set_aside_paid_bytes);
    json_object_end(json);
}

static void put_account(struct json *json, const struct mem_stats_account *account)
{
    json_object(json, NULL);
    json_string(json, "account", account->name);
    json_u64(json, "depth", account->depth);
    json_u64(json, "share", account->share);
    json_u64(json, "priority", account->priority);
    json_u64(json, "own_bytes", account->own_bytes);
    json_u64(json, "charged_bytes", account->charged_bytes);
    json_u64(json, "peak_bytes", account->peak_bytes);
    json_u64(json, "floor_bytes", account->floor_bytes);
    json_u64(json, "ceiling_bytes", account->ceiling_bytes);
    json_u64(json, "target_bytes", account->target_bytes);
    json_u64(json, "refused_count", account->refused_count);
    json_u64(json, "asked_count", account->asked_count);
    json_u64(json, "reclaimed_bytes", account->reclaimed_bytes);
    json_u64(json, "growth_millihits_per_s_mib", account->growth_milli_per_mib);
    json_u64(json, "loss_millihits_per_s_mib", account->loss_milli_per_mib);
    json_bool(json, "is_elastic", account->is_elastic != 0);
    json_object_end(json);
}

static void put_accounts(struct json *json, const struct mem_stats_snapshot *snapshot)
{
    json_array(json, "accounts");
    for (uint32_t i = 0; i < snapshot->account_count; i++) {
        put_account(json, &snapshot->accounts[i]);
    }
    json_array_end(json);
}

/* ---- stacks --------------------------------------------------------------------------------- */

static void put_frame(struct json *json, struct symbols *symbols, uint64_t pc,
                      const struct symbol_place *place, const struct symbol *symbol)
{
    json_object(json, NULL);
    json_address(json, "address", pc);
    json_string(json, "module", symbols_module_path(symbols, place->module));
    json_string(json, "function", symbol != NULL ? symbol->function : NULL);
    json_string(json, "file", symbol != NULL ? symbol->file : NULL);
    json_u64(json, "line", symbol != NULL ? symbol->line : 0);
    json_object_end(json);
}

void heap_json_frames(struct json *json, struct symbols *symbols,
                      const struct mem_stats_stack *stack)
{
    json_array(json, "frames");
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct symbol_place *place = symbols_find(symbols, stack->pc[i]);
        for (uint32_t j = 0; j < place->count; j++) {
            put_frame(json, symbols, stack->pc[i], place, &place->symbol[j]);
        }
        if (place->count == 0) {
            put_frame(json, symbols, stack->pc[i], place, NULL);
        }
    }
    json_array_end(json);
}

static void put_ages(struct json *json, const struct mem_stats_stack *stack)
{
    json_array(json, "freed_bytes_by_age");
    for (uint32_t i = 0; i < MEM_STATS_AGE_BUCKETS; i++) {
        json_u64(json, NULL, stack->age[i].bytes);
    }
    json_array_end(json);
}

static void put_stack(struct json *json, const struct mem_stats_snapshot *snapshot,
                      struct symbols *symbols, const struct stack_figures *figures)
{
    const struct mem_stats_stack *stack = &snapshot->stacks[figures->index];

    json_object(json, NULL);
    json_string(json, "owner", figures_owner_name(snapshot, stack->owner));
    json_string(json, "lifetime", figures_lifetime_name(snapshot, stack->lifetime));
    json_u64(json, "live_bytes", figures->live_bytes);
    json_u64(json, "live_count", figures->live_count);
    json_u64(json, "alloc_bytes", figures->alloc_bytes);
    json_u64(json, "alloc_count", figures->alloc_count);
    json_u64(json, "pinned_span_bytes", figures->pinned_span_bytes);
    json_u64(json, "pinned_live_bytes", figures->pinned_live_bytes);
    put_ages(json, stack);
    heap_json_frames(json, symbols, stack);
    json_object_end(json);
}

static void put_list(struct json *json, const char *name, const struct process *process,
                     struct symbols *symbols, const struct stack_list *list, uint32_t stack_max)
{
    json_array(json, name);
    for (uint32_t i = 0; i < list->count && i < stack_max; i++) {
        put_stack(json, &process->snapshot, symbols, &list->stack[i]);
    }
    json_array_end(json);
}

static const char *const list_names[] = {
    [STACKS_BY_LIVE] = "stacks",
    [STACKS_BY_ALLOC] = "allocating_stacks",
    [STACKS_BY_PINNED] = "pinning_stacks",
};

#define LIST_COUNT (sizeof(list_names) / sizeof(list_names[0]))

enum quarry_status heap_json_print(FILE *file, const struct process *process,
                                   struct symbols *symbols, const char *view, uint32_t stack_max)
{
    const struct mem_stats_snapshot *snapshot = &process->snapshot;
    struct stack_list lists[LIST_COUNT] = {0};
    struct json json = json_begin(file);
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < LIST_COUNT && status == QUARRY_OK; i++) {
        status = stack_list_init(snapshot, (enum stack_order)i, &lists[i]);
    }
    if (status == QUARRY_OK) {
        const struct figures figures = figures_of(snapshot);
        json_object(&json, NULL);
        json_string(&json, "view", view);
        put_head(&json, process);
        put_ledger(&json, &snapshot->totals->ledger);
        put_totals(&json, snapshot->totals);
        put_waste(&json, &figures);
        put_rows(&json, snapshot);
        put_classes(&json, snapshot);
        put_budget(&json, snapshot->totals);
        put_accounts(&json, snapshot);
        for (uint32_t i = 0; i < LIST_COUNT; i++) {
            put_list(&json, list_names[i], process, symbols, &lists[i], stack_max);
        }
        json_object_end(&json);
        json_finish(&json);
    }
    for (uint32_t i = 0; i < LIST_COUNT; i++) {
        stack_list_fini(&lists[i]);
    }
    return status;
}
