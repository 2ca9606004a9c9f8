/*
 * Figures of a server.
 *
 *   STAT curr_items 12                     general
 *   STAT tenant:acme:curr_items 12         of `stats tenants`: names as the general ones
 *
 * A server that does not know `stats tenants` answers ERROR: then there is one tenant to show, that
 * of the connection, whose figures are the general ones.
 *
 * Locking: none. Cost: two allocations a figure at most.
 */
#include <cli/cache_figures.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>

#define TENANT_PREFIX "tenant:"

/* ---- a group -------------------------------------------------------------------------------- */

static bool grow(struct cache_figures *figures)
{
    size_t capacity = figures->capacity == 0 ? 128 : figures->capacity * 2;
    struct cache_figure *all = realloc(figures->all, capacity * sizeof *all);

    if (all != NULL) {
        figures->all = all;
        figures->capacity = capacity;
    }
    return all != NULL;
}

/* `text`: "NAME VALUE", or a name alone. */
static int add(struct cache_figures *figures, const char *text)
{
    if (figures->count == figures->capacity && !grow(figures)) {
        return cli_failure("cache", "no memory for figures");
    }
    struct cache_figure *figure = &figures->all[figures->count];
    figure->name = strdup(text);
    if (figure->name == NULL) {
        return cli_failure("cache", "no memory for figures");
    }
    char *blank = strchr(figure->name, ' ');
    figure->value = blank != NULL ? blank + 1 : "";
    if (blank != NULL) {
        *blank = '\0';
    }
    figures->count++;
    return CLI_OK;
}

int cache_figures_read(struct cache_client *client, const char *group,
                       struct cache_figures *ret_figures)
{
    char *line = NULL;
    int code = cache_client_say(client, "stats%s%.64s\r\n", group[0] != '\0' ? " " : "", group);

    *ret_figures = (struct cache_figures){0};
    while (code == CLI_OK && (code = cache_client_line(client, &line)) == CLI_OK &&
           strcmp(line, "END") != 0 && strcmp(line, "RESET") != 0) {
        if (strcmp(line, "ERROR") == 0) {
            ret_figures->is_refused = true;
            return CLI_OK;
        }
        code = strncmp(line, "STAT ", 5) == 0 ? add(ret_figures, line + 5)
                                              : cache_client_refused(client, line);
    }
    if (code != CLI_OK) {
        cache_figures_free(ret_figures);
    }
    return code;
}

void cache_figures_free(struct cache_figures *figures)
{
    for (size_t i = 0; i < figures->count; i++) {
        free(figures->all[i].name);
    }
    free(figures->all);
    *figures = (struct cache_figures){0};
}

const char *cache_figures_text(const struct cache_figures *figures, const char *name)
{
    for (size_t i = 0; i < figures->count; i++) {
        if (strcmp(figures->all[i].name, name) == 0) {
            return figures->all[i].value;
        }
    }
    return NULL;
}

static uint64_t number_of(const char *text)
{
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

uint64_t cache_figures_number(const struct cache_figures *figures, const char *name)
{
    return number_of(cache_figures_text(figures, name));
}

double cache_hit_percent(uint64_t hit_count, uint64_t get_count)
{
    return get_count == 0 ? -1.0 : 100.0 * (double)hit_count / (double)get_count;
}

/* ---- tenants -------------------------------------------------------------------------------- */

static void set_figure(struct cache_tenant *tenant, const char *name, uint64_t number)
{
    const struct {
        const char *name;
        uint64_t *to;
    } known[] = {
        {"curr_items", &tenant->item_count},      {"bytes", &tenant->item_bytes},
        {"limit_maxbytes", &tenant->quota_bytes}, {"get_hits", &tenant->hit_count},
        {"cmd_get", &tenant->get_count},          {"cmd_set", &tenant->set_count},
        {"evictions", &tenant->eviction_count},   {"reclaimed", &tenant->expired_count},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) == 0) {
            *known[i].to = number;
        }
    }
}

/* The tenant of a name, which is added where it is new. NULL: there are too many. */
static struct cache_tenant *find(struct cache_tenants *tenants, const char *name, size_t length)
{
    length = size_min(length, CACHE_TENANT_NAME_BYTES - 1);
    for (uint32_t i = tenants->count; i-- > 0;) { /* the last one, mostly */
        struct cache_tenant *tenant = &tenants->all[i];
        if (strlen(tenant->name) == length && memcmp(tenant->name, name, length) == 0) {
            return tenant;
        }
    }
    if (tenants->count == CACHE_TENANTS_MAX) {
        return NULL;
    }
    struct cache_tenant *tenant = &tenants->all[tenants->count++];
    *tenant = (struct cache_tenant){0};
    memcpy(tenant->name, name, length);
    (void)cli_make_printable(tenant->name);
    return tenant;
}

static void add_named(struct cache_tenants *tenants, const struct cache_figure *figure)
{
    const char *name = figure->name + strlen(TENANT_PREFIX), *colon = strrchr(name, ':');

    if (strncmp(figure->name, TENANT_PREFIX, strlen(TENANT_PREFIX)) != 0 || colon == NULL) {
        return;
    }
    struct cache_tenant *tenant = find(tenants, name, (size_t)(colon - name));
    if (tenant != NULL) {
        set_figure(tenant, colon + 1, number_of(figure->value));
    }
}

static void add_general(struct cache_tenants *tenants, const struct cache_figures *general)
{
    struct cache_tenant *tenant = find(tenants, "default", 7);

    for (size_t i = 0; i < general->count; i++) {
        set_figure(tenant, general->all[i].name, number_of(general->all[i].value));
    }
    tenant->quota_bytes = 0; /* that is the cache's */
}

int cache_tenants_read(struct cache_client *client, const struct cache_figures *general,
                       struct cache_tenants *ret_tenants)
{
    struct cache_figures figures;
    int code = cache_figures_read(client, "tenants", &figures);

    if (code != CLI_OK) {
        return code;
    }
    *ret_tenants = (struct cache_tenants){.is_whole = !figures.is_refused};
    ret_tenants->all = calloc(CACHE_TENANTS_MAX, sizeof *ret_tenants->all);
    if (ret_tenants->all == NULL) {
        cache_figures_free(&figures);
        return cli_failure("cache", "no memory for tenants");
    }
    for (size_t i = 0; i < figures.count; i++) {
        add_named(ret_tenants, &figures.all[i]);
    }
    if (figures.is_refused) {
        add_general(ret_tenants, general);
    }
    cache_figures_free(&figures);
    return CLI_OK;
}

void cache_tenants_free(struct cache_tenants *tenants)
{
    free(tenants->all);
    *tenants = (struct cache_tenants){0};
}
