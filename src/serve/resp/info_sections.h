/*
 * The sections of INFO.
 */
#ifndef QUARRY_SERVE_RESP_INFO_SECTIONS_H
#define QUARRY_SERVE_RESP_INFO_SECTIONS_H

#include <serve/resp/admin_state.h>

/* What all sections are written from: read once, so that they agree with each other. */
struct resp_info {
    struct resp_text text;
    struct resp_call *call;
    struct resp_figures figures;
    struct resp_settings settings;
    struct resp_store_figures store;
    struct quarry_kv_stats kv;
    struct quarry_ledger ledger;
    uint64_t resident_bytes;
};

typedef void resp_info_section(struct resp_info *info);

resp_info_section resp_info_server, resp_info_clients, resp_info_memory, resp_info_persistence,
    resp_info_stats, resp_info_replication, resp_info_cpu, resp_info_commandstats,
    resp_info_errorstats, resp_info_latencystats, resp_info_cluster, resp_info_keyspace,
    resp_info_quarry;

/* A line "name:number". */
static inline void resp_info_number(struct resp_info *info, const char *name, uint64_t number)
{
    resp_text_add(&info->text, "%s:%llu\r\n", name, (unsigned long long)number);
}

/* Some of them, in a row. */
struct resp_info_figure {
    const char *name;
    uint64_t number;
};
#define RESP_INFO_NUMBERS(info, ...)                                                               \
    do {                                                                                           \
        const struct resp_info_figure figures_[] = {__VA_ARGS__};                                  \
        for (size_t i_ = 0; i_ < sizeof figures_ / sizeof figures_[0]; i_++) {                     \
            resp_info_number(info, figures_[i_].name, figures_[i_].number);                        \
        }                                                                                          \
    } while (0)

#endif
