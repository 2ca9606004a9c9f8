/*
 * Every setting of the server, in one table. docs/configuration.md repeats it for people; a test
 * compares the two.
 *
 *   X(constant, "section.name", TYPE, "default", least, most, when, "words", "help")
 *
 *   TYPE      BYTES, DURATION, COUNT, BOOL, TEXT, ADDRESS, CHOICE or WORDS; config.h says what each
 *             is. The default is written as a user would.
 *   bounds    of a number, in bytes, nanoseconds or ones; of a text, its bytes. 0 is allowed
 * besides where `words` has a name for it. when      LIVE: a reload changes it. START: only a
 * restart does. words     of a number, what 0 is called; of a choice or a set, the words, between
 * '|'.
 */
#ifndef QUARRY_SERVE_CONFIG_TABLE_H
#define QUARRY_SERVE_CONFIG_TABLE_H

/* clang-format off */
#define SERVE_SETTINGS(X)                                                                          \
    X(SERVE_MEMORY_LIMIT, "memory.limit", BYTES, "auto", Q_MIB(16), Q_TIB(16) - 4096, LIVE, "auto", \
      "what the process never has more of; auto: nine tenths of the cgroup's limit, or of RAM")    \
    X(SERVE_SERVER_DATA, "server.data", TEXT, "quarry-data", 1, 900, START, "",                    \
      "folder of what is kept, made with mode 0700 when absent; off: nothing is kept")                                   \
    X(SERVE_SERVER_DURABILITY, "server.durability", CHOICE, "process", 0, 0, START,                \
      "none|process|power",                                                                        \
      "what outlives what: none; process: kill -9 and restarts; power: a power cut too, "          \
      "which no cache does")                                                                       \
    X(SERVE_SERVER_THREADS, "server.threads", COUNT, "auto", 1, 256, START, "auto",                \
      "loops that serve connections; auto: as many as CPUs")                                       \
    X(SERVE_SERVER_INSECURE, "server.insecure", BOOL, "off", 0, 1, START, "",                      \
      "allows doors beyond this machine without users")                                            \
    X(SERVE_MEMCACHED_LISTEN, "memcached.listen", ADDRESS, "127.0.0.1:11211", 1, 900, START, "",   \
      "where the memcached door is: ADDRESS:PORT or unix:PATH, several with commas; off")          \
    X(SERVE_MEMCACHED_LISTEN_TLS, "memcached.listen_tls", ADDRESS, "off", 1, 900, START, "",       \
      "where the memcached door is besides, encrypted; it needs tls.certificate")                  \
    X(SERVE_MEMCACHED_UNIX_MODE, "memcached.unix_mode", CHOICE, "0600", 0, 0, START,               \
      "0600|0660|0666", "who may use its unix sockets")                                            \
    X(SERVE_MEMCACHED_PROTOCOL, "memcached.protocol", CHOICE, "auto", 0, 0, START,                 \
      "auto|ascii|binary", "what its clients speak; auto: the first byte of each decides")         \
    X(SERVE_MEMCACHED_ALLOW, "memcached.allow", WORDS, "flush,dump,watch", 0, 0, LIVE,             \
      "flush|dump|watch|shutdown",                                                                 \
      "commands that whoever has the right may use: flush_all, metadump and cachedump, watch, "    \
      "shutdown")                                                                                  \
    X(SERVE_MEMCACHED_PREFIXES, "memcached.prefixes", BOOL, "off", 0, 1, START, "",                \
      "counts what is done by prefixes of keys from the start, for stats detail dump")             \
    X(SERVE_RESP_LISTEN, "resp.listen", ADDRESS, "127.0.0.1:6379", 1, 900, START, "",             \
      "where the RESP door is, for Redis' clients: ADDRESS:PORT or unix:PATH, several with "       \
      "commas; off: there is no key-value store either")                                           \
    X(SERVE_RESP_LISTEN_TLS, "resp.listen_tls", ADDRESS, "off", 1, 900, START, "",                 \
      "where the RESP door is besides, encrypted; it needs tls.certificate")                       \
    X(SERVE_RESP_UNIX_MODE, "resp.unix_mode", CHOICE, "0600", 0, 0, START, "0600|0660|0666",       \
      "who may use its unix sockets")                                                              \
    X(SERVE_RESP_DATABASES, "resp.databases", COUNT, "16", 1, 256, START, "",                      \
      "how many databases SELECT knows, of each tenant")                                           \
    X(SERVE_RESP_BULK_MAX, "resp.bulk_max", BYTES, "32m", Q_KIB(64), Q_MIB(512), START, "",        \
      "the longest word of a request, and so the largest value")                                   \
    X(SERVE_RESP_SLOW_THREADS, "resp.slow_threads", COUNT, "2", 1, 64, START, "",                  \
      "threads for commands that wait for the disk or walk over many keys")                        \
    X(SERVE_RESP_SLOWLOG_TIME, "resp.slowlog_time", DURATION, "10ms", Q_MS_NS, 3600 * Q_SECOND_NS, \
      START, "off", "commands that take as long are noted for SLOWLOG")                            \
    X(SERVE_RESP_SLOWLOG_LENGTH, "resp.slowlog_length", COUNT, "128", 0, 10000, START, "",         \
      "how many of them are kept")                                                                 \
    X(SERVE_RESP_LATENCY_TIME, "resp.latency_time", DURATION, "off", Q_MS_NS, 3600 * Q_SECOND_NS,  \
      START, "off", "commands that take as long are noted for LATENCY")                            \
    X(SERVE_RESP_DEBUG, "resp.debug", BOOL, "off", 0, 1, START, "",                                \
      "allows DEBUG to those who may administrate, for tests")                                     \
    X(SERVE_HTTP_LISTEN, "http.listen", ADDRESS, "127.0.0.1:9090", 1, 900, START, "",              \
      "where the HTTP door is, for Prometheus' clients: ADDRESS:PORT or unix:PATH, several with "  \
      "commas; off")                                                                               \
    X(SERVE_HTTP_LISTEN_TLS, "http.listen_tls", ADDRESS, "off", 1, 900, START, "",                 \
      "where the HTTP door is besides, encrypted; it needs tls.certificate")                       \
    X(SERVE_HTTP_UNIX_MODE, "http.unix_mode", CHOICE, "0600", 0, 0, START, "0600|0660|0666",       \
      "who may use its unix sockets")                                                              \
    X(SERVE_HTTP_HOSTS, "http.hosts", TEXT, "", 0, 900, START, "",                                 \
      "names of this server, with commas between, by which requests without a login may change "   \
      "something, besides addresses and localhost; *: any")                                        \
    X(SERVE_HTTP_HEAD_MAX, "http.head_max", BYTES, "32k", Q_KIB(4), Q_KIB(48), START, "",          \
      "the longest head of a request: its line, with the target, and its header")                  \
    X(SERVE_HTTP_THREADS, "http.threads", COUNT, "2", 1, 64, START, "",                            \
      "threads for requests that take long")                                                       \
    X(SERVE_HTTP_ACCESS_LOG, "http.access_log", BOOL, "off", 0, 1, LIVE, "",                       \
      "logs requests, at the rate of all lines: ten in ten seconds")                               \
    X(SERVE_HTTP_LIFECYCLE, "http.lifecycle", BOOL, "off", 0, 1, START, "",                        \
      "allows POST /-/reload and /-/quit to those who may administrate")                           \
    X(SERVE_KV_MEMORY, "kv.memory", BYTES, "auto", Q_MIB(4), Q_TIB(16) - 4096, START, "auto",      \
      "what the key-value store never has more of; auto: half of memory.limit")                    \
    X(SERVE_KV_WRITE_BUFFER, "kv.write_buffer", BYTES, "auto", Q_KIB(64), Q_GIB(4), START, "auto", \
      "what is written and not in files yet, before it becomes one; auto: 64m, or an eighth of "   \
      "kv.memory where that is less")                                                              \
    X(SERVE_KV_COMPRESSION, "kv.compression", CHOICE, "lz4", 0, 0, START, "none|snappy|lz4|zstd",  \
      "of its files")                                                                              \
    X(SERVE_TSDB_ENABLED, "tsdb.enabled", BOOL, "on", 0, 1, START, "",                             \
      "whether there is a time-series store; by default where there is an HTTP door")              \
    X(SERVE_TSDB_MEMORY, "tsdb.memory", BYTES, "auto", Q_MIB(4), Q_TIB(16) - 4096, START, "auto",  \
      "what the time-series store never has more of; auto: a third of memory.limit")               \
    X(SERVE_TSDB_FLOOR, "tsdb.floor", BYTES, "0", 0, Q_TIB(16) - 4096, START, "",                  \
      "what nothing else in the process can make it give back")                                    \
    X(SERVE_TSDB_WINDOW, "tsdb.window", DURATION, "4h", Q_SECOND_NS, 31 * 86400 * Q_SECOND_NS,     \
      START, "", "the span of time whose samples die together")                                    \
    X(SERVE_TSDB_WINDOWS, "tsdb.windows", COUNT, "8", 1, 24, START, "",                            \
      "how many of them are kept after the newest one")                                            \
    X(SERVE_TSDB_OUT_OF_ORDER, "tsdb.out_of_order", DURATION, "10m", Q_MS_NS,                      \
      31 * 86400 * Q_SECOND_NS, START, "off",                                                      \
      "how much older than the newest sample one may be that comes out of its series' order")      \
    X(SERVE_TSDB_FUTURE, "tsdb.future", DURATION, "10m", Q_MS_NS, 31 * 86400 * Q_SECOND_NS, START, \
      "", "how far ahead of the clock a sample may be")                                            \
    X(SERVE_TSDB_SERIES_MAX, "tsdb.series_max", COUNT, "unlimited", 1, 4000000000, START,          \
      "unlimited", "series of a tenant at a time, where its section says nothing")                 \
    X(SERVE_TSDB_SAMPLES_PER_SECOND, "tsdb.samples_per_second", COUNT, "unlimited", 1,             \
      1000000000000, START, "unlimited",                                                           \
      "samples that a tenant may send in a second, where its section says nothing")                \
    X(SERVE_TSDB_LABELS_MAX, "tsdb.labels_max", COUNT, "64", 1, 1024, START, "",                   \
      "labels of a series, its name among them")                                                   \
    X(SERVE_TSDB_LABEL_NAME_MAX, "tsdb.label_name_max", BYTES, "1k", 16, Q_KIB(64), START, "",     \
      "the longest name of a label")                                                               \
    X(SERVE_TSDB_LABEL_VALUE_MAX, "tsdb.label_value_max", BYTES, "4k", 16, Q_KIB(64), START, "",   \
      "the longest value of a label")                                                              \
    X(SERVE_TSDB_QUERY_MEMORY, "tsdb.query_memory", BYTES, "auto", Q_MIB(1), Q_TIB(16) - 4096,     \
      START, "auto", "what queries have together; auto: a quarter of tsdb.memory")                 \
    X(SERVE_TSDB_QUERY_MEMORY_MAX, "tsdb.query_memory_max", BYTES, "auto", Q_KIB(256),             \
      Q_TIB(16) - 4096, START, "auto", "what one query has; auto: a half of what all have")        \
    X(SERVE_TSDB_QUERY_TIMEOUT, "tsdb.query_timeout", DURATION, "2m", Q_MS_NS,                     \
      86400 * Q_SECOND_NS, START, "", "how long a query may take, whatever its timeout= says")     \
    X(SERVE_TSDB_QUERY_SAMPLES_MAX, "tsdb.query_samples_max", COUNT, "50000000", 1, 4000000000,    \
      START, "", "samples that a query may have in memory at a time")                              \
    X(SERVE_TSDB_QUERY_THREADS, "tsdb.query_threads", COUNT, "auto", 1, 32, START, "auto",         \
      "threads that help queries with their series; auto: one less than CPUs, and none where "     \
      "queries have less than 16m")                                                                \
    X(SERVE_TSDB_QUERY_SERIES_MAX, "tsdb.query_series_max", COUNT, "unlimited", 1, 4000000000,     \
      START, "unlimited", "series of one query")                                                   \
    X(SERVE_TSDB_KEEPS_OLDEST, "tsdb.keeps_oldest", BOOL, "off", 0, 1, START, "",                  \
      "refuses samples when its memory is full, rather than drop the oldest window early")         \
    X(SERVE_TSDB_EXPORT_ON_PURGE, "tsdb.export_on_purge", TEXT, "", 0, 900, START, "",             \
      "folder that windows are written to as Prometheus' blocks before they are purged; nothing: " \
      "they are not")                                                                              \
    X(SERVE_TSDB_EXPORT_WAIT, "tsdb.export_wait", DURATION, "10s", Q_MS_NS, 600 * Q_SECOND_NS,     \
      START, "off", "how long who needs a window's room waits for that before it goes all the same") \
    X(SERVE_TSDB_WRITE_MAX, "tsdb.write_max", BYTES, "32m", Q_KIB(64), Q_GIB(1), START, "",        \
      "the largest body of a request that brings samples, decoded")                                \
    X(SERVE_TSDB_READ_SAMPLES_MAX, "tsdb.read_samples_max", COUNT, "50000000", 1, 4000000000,      \
      START, "", "samples of an answer of remote read that is not a stream")                       \
    X(SERVE_TSDB_LOOKBACK, "tsdb.lookback", DURATION, "5m", Q_SECOND_NS, 86400 * Q_SECOND_NS,      \
      START, "", "how old a series' newest sample may be to be its value")                         \
    X(SERVE_TSDB_SELF_SCRAPE, "tsdb.self_scrape", DURATION, "15s", Q_SECOND_NS,                    \
      3600 * Q_SECOND_NS, LIVE, "off",                                                             \
      "how often the server's own /metrics are put into the time-series store")                    \
    X(SERVE_TSDB_ADMIN_API, "tsdb.admin_api", BOOL, "off", 0, 1, START, "",                        \
      "allows /api/v1/admin/tsdb, snapshots, to those who may administrate")                       \
    X(SERVE_TLS_CERTIFICATE, "tls.certificate", TEXT, "", 0, 900, LIVE, "",                        \
      "PEM files of certificates with those that signed them, with commas between")                \
    X(SERVE_TLS_KEY, "tls.key", TEXT, "", 0, 900, LIVE, "",                                        \
      "PEM files of their keys, in the same order; empty: in the same files")                      \
    X(SERVE_TLS_CLIENT_CA, "tls.client_ca", TEXT, "", 0, 900, LIVE, "",                            \
      "PEM file of who signs clients' certificates; empty: the system's")                          \
    X(SERVE_TLS_CLIENTS, "tls.clients", CHOICE, "none", 0, 0, LIVE, "none|optional|required",      \
      "whether clients show certificates; a user of the certificate's name is logged in by it")    \
    X(SERVE_TLS_VERSION_MIN, "tls.version_min", CHOICE, "1.2", 0, 0, LIVE, "1.2|1.3",              \
      "the oldest TLS")                                                                            \
    X(SERVE_TLS_CIPHERS, "tls.ciphers", TEXT, "", 0, 900, LIVE, "",                                \
      "of TLS 1.2, in OpenSSL's words; empty: OpenSSL's choice")                                   \
    X(SERVE_TLS_SESSION_CACHE, "tls.session_cache", BOOL, "off", 0, 1, LIVE, "",                   \
      "keeps sessions in the server besides giving tickets")                                       \
    X(SERVE_TLS_KERNEL, "tls.kernel", BOOL, "off", 0, 1, LIVE, "",                                 \
      "has the kernel encrypt where it can")                                                       \
    X(SERVE_NET_CONNECTIONS_MAX, "net.connections_max", COUNT, "10000", 1, 1000000, LIVE, "",      \
      "connections of all doors; one more is told so and closed")                                  \
    X(SERVE_NET_BACKLOG, "net.backlog", COUNT, "1024", 1, 65535, START, "",                        \
      "connections that wait in the kernel to be accepted, of each address")                       \
    X(SERVE_NET_IDLE_TIMEOUT, "net.idle_timeout", DURATION, "off", Q_SECOND_NS,                    \
      30 * 86400 * Q_SECOND_NS, LIVE, "off", "closes connections that ask for nothing so long")    \
    X(SERVE_NET_LINE_TIMEOUT, "net.line_timeout", DURATION, "10s", Q_SECOND_NS,                    \
      3600 * Q_SECOND_NS, LIVE, "off", "for a line or a TLS handshake that was begun")             \
    X(SERVE_NET_BODY_GRACE, "net.body_grace", DURATION, "10s", Q_SECOND_NS, 3600 * Q_SECOND_NS,    \
      LIVE, "off", "over which the speed of a value that comes in is averaged")                    \
    X(SERVE_NET_BODY_RATE_MIN, "net.body_rate_min", BYTES, "1k", 1, Q_GIB(1), LIVE, "off",         \
      "of a value that comes in, in a second; slower ones are cut")                                \
    X(SERVE_NET_READER_TIMEOUT, "net.reader_timeout", DURATION, "30s", Q_SECOND_NS,                \
      3600 * Q_SECOND_NS, LIVE, "off", "cuts who takes nothing of an answer so long")              \
    X(SERVE_NET_OUTPUT_MAX, "net.output_max", BYTES, "auto", Q_MIB(1), Q_TIB(1), LIVE, "auto",     \
      "answers that wait, copied, on all connections; auto: a tenth of memory.limit")              \
    X(SERVE_NET_DRAIN_TIMEOUT, "net.drain_timeout", DURATION, "7s", Q_MS_NS, 3600 * Q_SECOND_NS,   \
      LIVE, "off", "for requests under way when the server ends")                                  \
    X(SERVE_USERS_FILE, "users.file", TEXT, "", 0, 900, LIVE, "",                                  \
      "users beside the [user] sections, a line each: NAME:HASH[:TENANT[:RIGHTS]]")                \
    X(SERVE_USERS_PLAIN_FILE, "users.plain_file", TEXT, "", 0, 900, LIVE, "",                      \
      "users as memcached -Y has them, a line each: NAME:PASSWORD")                                \
    X(SERVE_CACHE_SIZE, "cache.size", BYTES, "auto", Q_MIB(1), Q_TIB(16) - 4096, LIVE, "auto",     \
      "what the cache never has more of, index and all; auto: what memory.limit leaves")           \
    X(SERVE_CACHE_FLOOR, "cache.floor", BYTES, "0", 0, Q_TIB(16) - 4096, START, "",                \
      "what nothing else in the process can make the cache give back")                             \
    X(SERVE_CACHE_ITEM_MAX, "cache.item_max", BYTES, "1m", Q_KIB(1), Q_GIB(1), LIVE, "",           \
      "the largest value")                                                                         \
    X(SERVE_CACHE_EVICTS, "cache.evicts", BOOL, "on", 0, 1, START, "",                             \
      "makes room by dropping what is worth least; off: refuses new items when full")              \
    X(SERVE_CACHE_FILE, "cache.file", CHOICE, "auto", 0, 0, START, "auto|off|shm|data",            \
      "where items outlive the process: a file in /dev/shm, or in server.data; auto: shm, "        \
      "or off with durability none")                                                               \
    X(SERVE_CACHE_TENANTS_MAX, "cache.tenants_max", COUNT, "1024", 1, 65535, START, "",            \
      "how many tenants there can be")                                                             \
    X(SERVE_CACHE_RECOVERY_THREADS, "cache.recovery_threads", COUNT, "auto", 1, 256, START, "auto", \
      "threads that read the file at the start; auto: as many as CPUs")                            \
    X(SERVE_LOG_LEVEL, "log.level", CHOICE, "info", 0, 0, LIVE, "debug|info|warning|error",        \
      "the least that is logged")                                                                  \
    X(SERVE_LOG_FORMAT, "log.format", CHOICE, "auto", 0, 0, LIVE, "auto|human|logfmt|json",        \
      "auto: human on a terminal, else logfmt")                                                    \
    X(SERVE_LOG_FILE, "log.file", TEXT, "", 0, 900, START, "",                                     \
      "instead of stderr; SIGUSR1 opens it anew")                                                  \
    X(SERVE_SECURITY_USER, "security.user", TEXT, "", 0, 64, START, "",                            \
      "whom the server becomes when root starts it; empty: it stays who it is")                    \
    X(SERVE_SECURITY_SECCOMP, "security.seccomp", CHOICE, "errno", 0, 0, START, "off|errno|kill",  \
      "system calls that a server has no use for: allowed; fail; end the server")                  \
    X(SERVE_SECURITY_LANDLOCK, "security.landlock", BOOL, "on", 0, 1, START, "",                   \
      "leaves the server its own folders and ports alone, where the kernel has Landlock")          \
    X(SERVE_SECURITY_READ, "security.read", TEXT, "", 0, 900, START, "",                           \
      "folders and files that may be read besides, with commas between: of what a reload will "    \
      "name")

/* Of a section [tenant NAME]. */
#define SERVE_TENANT_SETTINGS(X)                                                                   \
    X(SERVE_TENANT_QUOTA, "quota", BYTES, "none", Q_KIB(64), Q_TIB(16) - 4096, LIVE, "none",       \
      "what it never has more of")                                                                 \
    X(SERVE_TENANT_SHARE, "share", BYTES, "equal", Q_KIB(64), Q_TIB(16) - 4096, LIVE, "equal",     \
      "what others' needs never take of it; equal: an equal part")                                 \
    X(SERVE_TENANT_CONNECTIONS, "connections", COUNT, "unlimited", 1, 1000000, LIVE, "unlimited",  \
      "how many connections at a time")                                                            \
    X(SERVE_TENANT_REQUESTS, "requests_per_second", COUNT, "unlimited", 1, 1000000000, LIVE,       \
      "unlimited", "how many requests in a second")                                                \
    X(SERVE_TENANT_SERIES, "series", COUNT, "default", 1, 4000000000, LIVE, "default",             \
      "how many time series at a time; default: tsdb.series_max")                                  \
    X(SERVE_TENANT_SAMPLES, "samples_per_second", COUNT, "default", 1, 1000000000000, LIVE,        \
      "default", "how many samples of them in a second; default: tsdb.samples_per_second")

/* Of a section [user NAME]. */
#define SERVE_USER_SETTINGS(X)                                                                     \
    X(SERVE_USER_PASSWORD, "password", TEXT, "", 0, 180, LIVE, "",                                 \
      "hash of the password, from 'quarry config password'")                                       \
    X(SERVE_USER_PASSWORD_FILE, "password_file", TEXT, "", 0, 900, LIVE, "",                       \
      "file whose first line is that hash")                                                        \
    X(SERVE_USER_TENANT, "tenant", TEXT, "", 0, 31, LIVE, "",                                      \
      "whose items it sees; empty: those of the tenant for all who name none")                     \
    X(SERVE_USER_RIGHTS, "rights", WORDS, "read,write", 0, 0, LIVE, "read|write|flush|admin",      \
      "what it may do")

/* Of a section [scrape NAME]. */
#define SERVE_SCRAPE_SETTINGS(X)                                                                   \
    X(SERVE_SCRAPE_TARGETS, "targets", TEXT, "", 0, 900, LIVE, "",                                 \
      "HOST:PORT of whom to ask, several with commas between")                                     \
    X(SERVE_SCRAPE_FILE_SD, "file_sd", TEXT, "", 0, 900, LIVE, "",                                 \
      "JSON files of targets, as Prometheus' file_sd has them, several with commas between; "      \
      "names may have *; read again when they change")                                             \
    X(SERVE_SCRAPE_LABELS, "labels", TEXT, "", 0, 900, LIVE, "",                                   \
      "NAME=VALUE that all of its series get, several with commas between")                        \
    X(SERVE_SCRAPE_SCHEME, "scheme", CHOICE, "http", 0, 0, LIVE, "http|https",                     \
      "how targets are asked")                                                                     \
    X(SERVE_SCRAPE_PATH, "path", TEXT, "/metrics", 1, 900, LIVE, "", "what they are asked for")    \
    X(SERVE_SCRAPE_PARAMS, "params", TEXT, "", 0, 900, LIVE, "",                                   \
      "NAME=VALUE behind the path, percent-encoded, several with & between")                       \
    X(SERVE_SCRAPE_INTERVAL, "interval", DURATION, "15s", 100 * Q_MS_NS, 86400 * Q_SECOND_NS,      \
      LIVE, "", "how often")                                                                       \
    X(SERVE_SCRAPE_TIMEOUT, "timeout", DURATION, "auto", Q_MS_NS, 86400 * Q_SECOND_NS, LIVE,       \
      "auto", "how long an answer may take, up to the interval; auto: 10s, or the interval where " \
      "that is less")                                                                              \
    X(SERVE_SCRAPE_USER, "user", TEXT, "", 0, 180, LIVE, "",                                       \
      "name of a basic login; empty: none")                                                        \
    X(SERVE_SCRAPE_PASSWORD_FILE, "password_file", TEXT, "", 0, 900, LIVE, "",                     \
      "file whose first line is the login's password, read for each scrape")                       \
    X(SERVE_SCRAPE_TLS_CA, "tls_ca", TEXT, "", 0, 900, LIVE, "",                                   \
      "PEM file of who signs the targets' certificates; empty: the system's")                      \
    X(SERVE_SCRAPE_TLS_INSECURE, "tls_insecure", BOOL, "off", 0, 1, LIVE, "",                      \
      "takes any certificate")                                                                     \
    X(SERVE_SCRAPE_HONOR_LABELS, "honor_labels", BOOL, "off", 0, 1, LIVE, "",                      \
      "of labels that a page and its target both have, the page's hold; off: they get exported_ "  \
      "in front")                                                                                  \
    X(SERVE_SCRAPE_HONOR_TIMESTAMPS, "honor_timestamps", BOOL, "on", 0, 1, LIVE, "",               \
      "takes times that a page has")                                                               \
    X(SERVE_SCRAPE_FOLLOW, "follow_redirects", BOOL, "on", 0, 1, LIVE, "",                         \
      "asks where an answer points to")                                                            \
    X(SERVE_SCRAPE_SAMPLES, "sample_limit", COUNT, "none", 1, 1000000000, LIVE, "none",            \
      "samples of a page; a page with more fails, as with the following")                          \
    X(SERVE_SCRAPE_BODY, "body_limit", BYTES, "32m", Q_KIB(1), Q_GIB(1), LIVE, "",                 \
      "bytes of a page, unpacked")                                                                 \
    X(SERVE_SCRAPE_LABEL_COUNT, "label_limit", COUNT, "none", 1, 1000, LIVE, "none",               \
      "labels of a series")                                                                        \
    X(SERVE_SCRAPE_LABEL_NAME, "label_name_limit", BYTES, "none", 1, Q_MIB(1), LIVE, "none",       \
      "bytes of a label's name")                                                                   \
    X(SERVE_SCRAPE_LABEL_VALUE, "label_value_limit", BYTES, "none", 1, Q_MIB(1), LIVE, "none",     \
      "bytes of a label's value")
/* clang-format on */

#endif
