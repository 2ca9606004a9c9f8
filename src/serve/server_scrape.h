/*
 * Scraping by the configuration.
 */
#ifndef QUARRY_SERVE_SERVER_SCRAPE_H
#define QUARRY_SERVE_SERVER_SCRAPE_H

#include <serve/config.h>
#include <serve/config_told.h>
#include <serve/metrics.h>
#include <serve/scrape/scrape.h>

struct server;

/* Makes jobs of all sections. `ret_jobs`: own. Errors: those of scrape_jobs_add, with the origin.
 */
enum quarry_status server_scrape_jobs(const struct serve_config *config,
                                      struct scrape_jobs **ret_jobs, struct quarry_error *error);
/* Tells everything that is wrong with the sections. */
void server_scrape_check(const struct serve_config *config, struct serve_told *told);

/* Begins to scrape where there is a store. Errors: as scrape_open. */
enum quarry_status server_open_scrape(struct server *server, struct quarry_error *error);
/* Goes on with the jobs of a reload, which are given. */
void server_apply_scrape(struct server *server, const struct serve_config *config,
                         struct scrape_jobs *jobs);
/* Before the store is closed, and before what its own page tells of. */
void server_close_scrape(struct server *server);

/* Figures of scraping. */
void server_metrics_scrape(struct serve_metrics *metrics, struct server *server);

#endif
