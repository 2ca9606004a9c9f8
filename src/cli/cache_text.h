/*
 * Figures of a cache's server as tables for people, and as JSON.
 */
#ifndef QUARRY_CLI_CACHE_TEXT_H
#define QUARRY_CLI_CACHE_TEXT_H

#include <stdio.h>

#include <cli/cache_figures.h>

/* Room for a number with commas, and for a duration. */
#define CACHE_TEXT_BYTES 40

/* "1,234,567" */
const char *cache_format_count(uint64_t count, char text[CACHE_TEXT_BYTES]);
/* "3d 4h", "12m 5s", "7s" */
const char *cache_format_seconds(uint64_t seconds, char text[CACHE_TEXT_BYTES]);
/* "97.3 %"; "-" below 0 */
const char *cache_format_percent(double percent, char text[CACHE_TEXT_BYTES]);

/* What matters most, in some lines. */
void cache_text_summary(FILE *file, const char *address, const struct cache_figures *general);
/* Every figure as the server has it, with what a number of bytes or seconds is in words. */
void cache_text_figures(FILE *file, const struct cache_figures *figures);
/* An object: numbers as numbers. */
void cache_json_figures(FILE *file, const struct cache_figures *figures);
void cache_text_tenants(FILE *file, const struct cache_tenants *tenants);
void cache_json_tenants(FILE *file, const struct cache_tenants *tenants);

#endif
