/*
 * `quarry config generate`: configurations of the engines that make many nodes one service.
 *
 *   nutcracker    a proxy in front of caches, or of key-value stores: each key has its node
 *   haproxy       a balancer that asks whether a node is well before it sends anybody there
 *   prometheus    a sender that spreads series over nodes, and a reader that asks them all
 *
 * What is printed works as it is, and says beside each line that matters what it does. Which engine
 * is for which need is in docs/scaling-out.md. A node that is lost is treated as its data is: a
 * cache's keys go to others, as they can be had again; a store's keys wait for it.
 *
 * Nodes have names (node1 …), which keys and series are spread by: another machine in a node's
 * place has its keys.
 */
#include <cli/config_generate.h>

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>

#define COMMAND   "config"
#define NODES_MAX 64u
/* host:port; a name of DNS has up to 253 bytes. */
#define NODE_BYTES 280u

enum protocol { PROTOCOL_MEMCACHED, PROTOCOL_REDIS, PROTOCOL_HTTP, PROTOCOL_COUNT };

static const char *const protocols[] = {"memcached", "redis", "http"};

struct plan {
    enum protocol protocol;
    const char *listen;
    size_t node_count;
    char nodes[NODES_MAX][NODE_BYTES];
};

/* ---- what is printed ------------------------------------------------------------------------ */

/* "::1:11211" of "[::1]:11211": as nutcracker has it, in quotes, as YAML needs it then. */
static const char *plain(const char *address, char text[NODE_BYTES])
{
    size_t count = 0;

    for (; *address != '\0' && count + 1 < NODE_BYTES; address++) {
        if (*address != '[' && *address != ']') {
            text[count++] = *address;
        }
    }
    text[count] = '\0';
    return text;
}

static void print_nutcracker(const struct plan *plan)
{
    char text[NODE_BYTES];
    bool is_cache = plan->protocol == PROTOCOL_MEMCACHED;

    printf("# nutcracker -c THIS: clients connect to %s\n"
           "quarry:\n"
           "  listen: \"%s\"\n"
           "  hash: md5                     # as libketama has it: keys that are numbered spread "
           "well\n"
           "  distribution: ketama          # another node moves only its share of the keys\n"
           "  timeout: 2000                 # ms that a node has to answer\n"
           "  backlog: 1024\n"
           "  server_connections: 4\n",
           plan->listen, plain(plan->listen, text));
    printf(is_cache
               ? "  auto_eject_hosts: true        # a lost node's keys go to the others, and are "
                 "missed there\n"
               : "  redis: true\n"
                 "  auto_eject_hosts: false       # a lost node's keys wait for it: it has them "
                 "on its disk\n");
    printf(
        "  server_retry_timeout: 5000    # ms until a node that failed is tried again\n"
        "  server_failure_limit: 2\n"
        "  servers:                      # keys are spread by names: a new machine may take one\n");
    for (size_t i = 0; i < plan->node_count; i++) {
        printf("   - \"%s:1 node%zu\"\n", plain(plan->nodes[i], text), i + 1);
    }
}

/* How a node is asked whether it is well. */
static const char *const checks[] = {
    [PROTOCOL_MEMCACHED] = "    option tcp-check\n"
                           "    tcp-check connect\n"
                           "    tcp-check send version\\r\\n\n"
                           "    tcp-check expect string VERSION\n",
    [PROTOCOL_REDIS] = "    option tcp-check\n"
                       "    tcp-check connect\n"
                       "    tcp-check send PING\\r\\n\n"
                       "    tcp-check expect rstring PONG|NOAUTH\n",
    [PROTOCOL_HTTP] = "    option httpchk GET /-/ready\n"
                      "    http-check expect status 200\n"
                      "    balance roundrobin\n",
};

static void print_haproxy(const struct plan *plan)
{
    bool is_http = plan->protocol == PROTOCOL_HTTP;

    printf("# haproxy -f THIS: clients connect to %s\n"
           "global\n"
           "    maxconn 10000\n\n"
           "defaults\n"
           "    mode %s\n"
           "    timeout connect 2s\n"
           "    timeout client 5m\n"
           "    timeout server 5m\n"
           "    timeout check 2s\n\n"
           "frontend quarry\n"
           "    bind %s\n"
           "    default_backend nodes\n\n"
           "backend nodes\n%s"
           "    default-server check inter 1s fall 2 rise 2 on-marked-down shutdown-sessions\n",
           plan->listen, is_http ? "http" : "tcp", plan->listen, checks[plan->protocol]);
    if (!is_http) {
        printf("    # Nodes have keys of their own: one serves, the next one stands in for it, "
               "without its keys.\n");
    }
    for (size_t i = 0; i < plan->node_count; i++) {
        printf("    server node%zu %s%s\n", i + 1, plan->nodes[i],
               is_http || i == 0 ? "" : " backup");
    }
}

static void print_prometheus(const struct plan *plan)
{
    printf(
        "# For prometheus.yml: all series of a target go to one node, by the hash of its labels.\n"
        "remote_write:\n");
    for (size_t i = 0; i < plan->node_count; i++) {
        printf("- name: node%zu\n"
               "  url: http://%s/api/v1/write\n"
               "  write_relabel_configs:\n"
               "  - {source_labels: [job, instance], modulus: %zu, target_label: __tmp_node, "
               "action: hashmod}\n"
               "  - {source_labels: [__tmp_node], regex: '%zu', action: keep}\n"
               "  - {regex: __tmp_node, action: labeldrop}\n",
               i + 1, plan->nodes[i], plan->node_count, i);
    }
    printf("# Who asks this Prometheus asks all of them; what they know of the last hours too.\n"
           "remote_read:\n");
    for (size_t i = 0; i < plan->node_count; i++) {
        printf("- {name: node%zu, url: 'http://%s/api/v1/read', read_recent: true}\n", i + 1,
               plan->nodes[i]);
    }
}

/* ---- what is asked for ---------------------------------------------------------------------- */

/* A node as it can stand in a file of any engine: a name or a number, a colon, a port. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;

    if (colon == NULL || colon == text || !isdigit((unsigned char)colon[1])) {
        return false;
    }
    unsigned long port = strtoul(colon + 1, &end, 10);
    for (const char *at = text; at < colon; at++) {
        if (!isalnum((unsigned char)*at) && strchr(".-_[]:", *at) == NULL) {
            return false;
        }
    }
    return *end == '\0' && port > 0 && port <= 65535;
}

static int add_nodes(struct plan *plan, const char *text)
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, ",");

        if (plan->node_count == NODES_MAX) {
            return cli_usage_error(COMMAND, "--nodes: more than %u", NODES_MAX);
        }
        char *node = plan->nodes[plan->node_count++];
        (void)snprintf(node, NODE_BYTES, "%.*s", (int)(bytes < NODE_BYTES ? bytes : 0), text);
        if (!is_address(node)) {
            return cli_usage_error(COMMAND, "--nodes takes HOST:PORT,HOST:PORT,…, not '%.*s'",
                                   (int)(bytes < NODE_BYTES ? bytes : NODE_BYTES), text);
        }
        text += bytes + (text[bytes] == ',' ? 1 : 0);
    }
    return CLI_OK;
}

static int set_protocol(struct plan *plan, const char *text)
{
    for (int i = 0; i < PROTOCOL_COUNT; i++) {
        if (strcmp(text, protocols[i]) == 0) {
            plan->protocol = (enum protocol)i;
            return CLI_OK;
        }
    }
    return cli_usage_error(COMMAND, "--protocol takes memcached, redis or http, not '%s'", text);
}

static int read_options(int argument_count, char **arguments, struct plan *plan)
{
    static const struct option names[] = {{"nodes", required_argument, NULL, 'n'},
                                          {"protocol", required_argument, NULL, 'p'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {0}};
    int status = CLI_OK, code;

    optind = 0;
    opterr = 0;
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, "+:", names, NULL)) != -1) {
        switch (code) {
        case 'n':
            status = add_nodes(plan, optarg);
            break;
        case 'p':
            status = set_protocol(plan, optarg);
            break;
        case 'l':
            plan->listen = optarg;
            status =
                is_address(optarg)
                    ? CLI_OK
                    : cli_usage_error(COMMAND, "--listen takes ADDRESS:PORT, not '%s'", optarg);
            break;
        default:
            status = cli_usage_error(COMMAND,
                                     code == ':' ? "%s takes a value" : "generate has no option %s",
                                     arguments[optind - 1]);
        }
    }
    if (status == CLI_OK && optind < argument_count) {
        return cli_usage_error(COMMAND, "generate takes one engine, not also '%s'",
                               arguments[optind]);
    }
    return status == CLI_OK && plan->node_count == 0
               ? cli_usage_error(COMMAND, "which nodes? --nodes HOST:PORT,HOST:PORT,…")
               : status;
}

int config_generate(int argument_count, char **arguments)
{
    static const struct {
        const char *name, *listen;
        uint32_t protocols; /* a bit each */
        void (*print)(const struct plan *plan);
    } engines[] = {
        {"nutcracker", "127.0.0.1:22121", 1u << PROTOCOL_MEMCACHED | 1u << PROTOCOL_REDIS,
         print_nutcracker},
        {"haproxy", "127.0.0.1:22122",
         1u << PROTOCOL_MEMCACHED | 1u << PROTOCOL_REDIS | 1u << PROTOCOL_HTTP, print_haproxy},
        {"prometheus", "", 1u << PROTOCOL_HTTP, print_prometheus},
    };

    for (size_t i = 0; argument_count > 1 && i < sizeof engines / sizeof engines[0]; i++) {
        struct plan plan = {.listen = engines[i].listen};

        if (strcmp(arguments[1], engines[i].name) != 0) {
            continue;
        }
        plan.protocol = engines[i].print == print_prometheus ? PROTOCOL_HTTP : PROTOCOL_MEMCACHED;
        int status = read_options(argument_count - 1, arguments + 1, &plan);
        if (status == CLI_OK && (engines[i].protocols & 1u << plan.protocol) == 0) {
            return cli_usage_error(COMMAND, "%s does not speak %s", engines[i].name,
                                   protocols[plan.protocol]);
        }
        if (status != CLI_OK) {
            return status;
        }
        engines[i].print(&plan);
        return cli_finish_output(COMMAND);
    }
    return argument_count < 2
               ? cli_usage_error(COMMAND, "generate for nutcracker, haproxy or prometheus?")
               : cli_usage_error(COMMAND,
                                 "generate is for nutcracker, haproxy or prometheus, not '%s'",
                                 arguments[1]);
}
