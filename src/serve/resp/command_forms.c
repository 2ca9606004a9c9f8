/*
 * Forms of commands: what they do to their keys, hints for proxies, and which words they take.
 *
 *   {"set", {"RW access update variable_flags", ""}, "", "key/k value/s ?condition/o(nx/t=NX …) …"}
 *     name    flags of the first key, and          tips   words
 *             of the second where it differs
 *
 * A word is  [?][*][+]name/type[=TOKEN][(parts)] :
 *
 *   ?  may be left out         s string   i integer   d double   k key   p pattern   u unix time
 *   *  several times           t its token alone
 *   +  with the token each     o one of its parts     b all of its parts
 *
 * Facts of the protocol: names, flags and tips are those that Redis 7.0 tells, which client
 * libraries and proxies go by.
 */
#include <serve/resp/command_forms.h>

#include <string.h>

/* clang-format off */
static const struct resp_command_form forms[] = {
    {"acl|cat", {"", ""}, "", "?categoryname/s"},
    {"acl|deluser", {"", ""}, "", "*username/s"},
    {"acl|dryrun", {"", ""}, "", "username/s command/s ?*arg/s"},
    {"acl|genpass", {"", ""}, "", "?bits/i"},
    {"acl|getuser", {"", ""}, "", "username/s"},
    {"acl|log", {"", ""}, "", "?operation/o(count/i reset/t=RESET)"},
    {"acl|setuser", {"", ""}, "", "username/s ?*rule/s"},
    {"append", {"RW insert", ""}, "", "key/k value/s"},
    {"auth", {"", ""}, "", "?username/s password/s"},
    {"bgsave", {"", ""}, "", "?schedule/t=SCHEDULE"},
    {"client|caching", {"", ""}, "", "mode/o(yes/t=YES no/t=NO)"},
    {"client|info", {"", ""}, "nondeterministic_output", ""},
    {"client|kill", {"", ""},
     "",
     "filter/o(ip:port/s *new-format/o(?client-id/i=ID "
     "?normal_master_slave_pubsub/o=TYPE(normal/t=NORMAL master/t=MASTER slave/t=SLAVE "
     "replica/t=REPLICA pubsub/t=PUBSUB) ?username/s=USER ?ip:port/s=ADDR "
     "?ip:port/s=LADDR ?yes/no/s=SKIPME))"},
    {"client|list", {"", ""},
     "nondeterministic_output",
     "?normal_master_replica_pubsub/o=TYPE(normal/t=NORMAL master/t=MASTER "
     "replica/t=REPLICA pubsub/t=PUBSUB) ?id/b=ID(*client-id/i)"},
    {"client|no-evict", {"", ""}, "", "enabled/o(on/t=ON off/t=OFF)"},
    {"client|no-touch", {"", ""}, "", "enabled/o(on/t=ON off/t=OFF)"},
    {"client|pause", {"", ""}, "", "timeout/i ?mode/o(write/t=WRITE all/t=ALL)"},
    {"client|reply", {"", ""}, "", "on_off_skip/o(on/t=ON off/t=OFF skip/t=SKIP)"},
    {"client|setinfo", {"", ""}, "", "attr/o(libname/s=LIB-NAME libver/s=LIB-VER)"},
    {"client|setname", {"", ""}, "", "connection-name/s"},
    {"client|tracking", {"", ""},
     "",
     "status/o(on/t=ON off/t=OFF) ?client-id/i=REDIRECT ?*+prefix/s=PREFIX "
     "?bcast/t=BCAST ?optin/t=OPTIN ?optout/t=OPTOUT ?noloop/t=NOLOOP"},
    {"client|unblock", {"", ""},
     "", "client-id/i ?timeout_error/o(timeout/t=TIMEOUT error/t=ERROR)"},
    {"cluster", {"", ""}, "", "subcommand/s ?*arg/s"},
    {"command", {"", ""}, "nondeterministic_output_order", ""},
    {"command|docs", {"", ""}, "nondeterministic_output_order", "?*command-name/s"},
    {"command|getkeys", {"", ""}, "", "command/s *arg/s"},
    {"command|getkeysandflags", {"", ""}, "", "command/s *arg/s"},
    {"command|info", {"", ""}, "nondeterministic_output_order", "?*command-name/s"},
    {"command|list", {"", ""},
     "nondeterministic_output_order",
     "?filterby/o=FILTERBY(module-name/s=MODULE category/s=ACLCAT pattern/p=PATTERN)"},
    {"config|get", {"", ""}, "", "*parameter/b(parameter/s)"},
    {"config|set", {"", ""},
     "request_policy:all_nodes response_policy:all_succeeded",
     "*parameter_value/b(parameter/s value/s)"},
    {"copy", {"RO access", "OW update"},
     "", "source/k destination/k ?destination-db/i=DB ?replace/t=REPLACE"},
    {"dbsize", {"", ""}, "request_policy:all_shards response_policy:agg_sum", ""},
    {"debug", {"", ""}, "", "subcommand/s ?*arg/s"},
    {"decr", {"RW access update", ""}, "", "key/k"},
    {"decrby", {"RW access update", ""}, "", "key/k decrement/i"},
    {"del", {"RM delete", ""}, "request_policy:multi_shard response_policy:agg_sum", "*key/k"},
    {"echo", {"", ""}, "", "message/s"},
    {"exists", {"RO", ""}, "request_policy:multi_shard response_policy:agg_sum", "*key/k"},
    {"expire", {"RW update", ""},
     "", "key/k seconds/i ?condition/o(nx/t=NX xx/t=XX gt/t=GT lt/t=LT)"},
    {"expireat", {"RW update", ""},
     "", "key/k unix-time-seconds/u ?condition/o(nx/t=NX xx/t=XX gt/t=GT lt/t=LT)"},
    {"expiretime", {"RO access", ""}, "", "key/k"},
    {"failover", {"", ""},
     "",
     "?target/b=TO(host/s port/i ?force/t=FORCE) ?abort/t=ABORT "
     "?milliseconds/i=TIMEOUT"},
    {"flushall", {"", ""},
     "request_policy:all_shards response_policy:all_succeeded",
     "?async/o(async/t=ASYNC sync/t=SYNC)"},
    {"flushdb", {"", ""},
     "request_policy:all_shards response_policy:all_succeeded",
     "?async/o(async/t=ASYNC sync/t=SYNC)"},
    {"get", {"RO access", ""}, "", "key/k"},
    {"getdel", {"RW access delete", ""}, "", "key/k"},
    {"getex", {"RW access update", ""},
     "",
     "key/k ?expiration/o(seconds/i=EX milliseconds/i=PX unix-time-seconds/u=EXAT "
     "unix-time-milliseconds/u=PXAT persist/t=PERSIST)"},
    {"getrange", {"RO access", ""}, "", "key/k start/i end/i"},
    {"getset", {"RW access update", ""}, "", "key/k value/s"},
    {"hello", {"", ""},
     "",
     "?arguments/b(protover/i ?username_password/b=AUTH(username/s password/s) "
     "?clientname/s=SETNAME)"},
    {"incr", {"RW access update", ""}, "", "key/k"},
    {"incrby", {"RW access update", ""}, "", "key/k increment/i"},
    {"incrbyfloat", {"RW access update", ""}, "", "key/k increment/d"},
    {"info", {"", ""},
     "nondeterministic_output request_policy:all_shards response_policy:special", "?*section/s"},
    {"keys", {"", ""}, "request_policy:all_shards nondeterministic_output_order", "pattern/p"},
    {"kv.checkpoint", {"", ""}, "", "name/s"},
    {"kv.delrange", {"", ""}, "", "start/s end/s"},
    {"kv.property", {"", ""}, "nondeterministic_output", "name/s"},
    {"kv.range", {"", ""}, "", "start/s end/s ?count/i=LIMIT ?rev/t=REV ?keys/t=KEYS ?id/i=SNAPSHOT"},
    {"kv.snapshot|release", {"", ""}, "", "id/i"},
    {"lastsave", {"", ""}, "nondeterministic_output", ""},
    {"latency|doctor", {"", ""},
     "nondeterministic_output request_policy:all_nodes response_policy:special", ""},
    {"latency|histogram", {"", ""},
     "nondeterministic_output request_policy:all_nodes response_policy:special", "?*command/s"},
    {"latency|history", {"", ""},
     "nondeterministic_output request_policy:all_nodes response_policy:special", "event/s"},
    {"latency|latest", {"", ""},
     "nondeterministic_output request_policy:all_nodes response_policy:special", ""},
    {"latency|reset", {"", ""},
     "request_policy:all_nodes response_policy:all_succeeded", "?*event/s"},
    {"lcs", {"RO access", ""},
     "",
     "key1/k key2/k ?len/t=LEN ?idx/t=IDX ?len/i=MINMATCHLEN "
     "?withmatchlen/t=WITHMATCHLEN"},
    {"lolwut", {"", ""}, "", "?version/i=VERSION"},
    {"memory|doctor", {"", ""},
     "nondeterministic_output request_policy:all_shards response_policy:special", ""},
    {"memory|malloc-stats", {"", ""},
     "nondeterministic_output request_policy:all_shards response_policy:special", ""},
    {"memory|purge", {"", ""}, "request_policy:all_shards response_policy:all_succeeded", ""},
    {"memory|stats", {"", ""},
     "nondeterministic_output request_policy:all_shards response_policy:special", ""},
    {"memory|usage", {"RO", ""}, "", "key/k ?count/i=SAMPLES"},
    {"mget", {"RO access", ""}, "request_policy:multi_shard", "*key/k"},
    {"module|list", {"", ""}, "nondeterministic_output_order", ""},
    {"module|load", {"", ""}, "", "path/s ?*arg/s"},
    {"module|loadex", {"", ""},
     "", "path/s ?*+configs/b=CONFIG(name/s value/s) ?*args/b=ARGS(arg/s)"},
    {"module|unload", {"", ""}, "", "name/s"},
    {"move", {"RW access update", ""}, "", "key/k db/i"},
    {"mset", {"OW update", ""},
     "request_policy:multi_shard response_policy:all_succeeded", "*key_value/b(key/k value/s)"},
    {"msetnx", {"OW insert", ""},
     "request_policy:multi_shard response_policy:agg_min", "*key_value/b(key/k value/s)"},
    {"object|encoding", {"RO", ""}, "nondeterministic_output", "key/k"},
    {"object|freq", {"RO", ""}, "nondeterministic_output", "key/k"},
    {"object|idletime", {"RO", ""}, "nondeterministic_output", "key/k"},
    {"object|refcount", {"RO", ""}, "nondeterministic_output", "key/k"},
    {"persist", {"RW update", ""}, "", "key/k"},
    {"pexpire", {"RW update", ""},
     "", "key/k milliseconds/i ?condition/o(nx/t=NX xx/t=XX gt/t=GT lt/t=LT)"},
    {"pexpireat", {"RW update", ""},
     "", "key/k unix-time-milliseconds/u ?condition/o(nx/t=NX xx/t=XX gt/t=GT lt/t=LT)"},
    {"pexpiretime", {"RO access", ""}, "", "key/k"},
    {"ping", {"", ""}, "request_policy:all_shards response_policy:all_succeeded", "?message/s"},
    {"psetex", {"OW update", ""}, "", "key/k milliseconds/i value/s"},
    {"pttl", {"RO access", ""}, "nondeterministic_output", "key/k"},
    {"randomkey", {"", ""}, "request_policy:all_shards nondeterministic_output", ""},
    {"rename", {"RW access delete", "OW update"}, "", "key/k newkey/k"},
    {"renamenx", {"RW access delete", "OW insert"}, "", "key/k newkey/k"},
    {"replicaof", {"", ""}, "", "args/o(host-port/b(host/s port/i) no-one/b(no/t=NO one/t=ONE))"},
    {"scan", {"", ""},
     "nondeterministic_output request_policy:special",
     "cursor/i ?pattern/p=MATCH ?count/i=COUNT ?type/s=TYPE"},
    {"select", {"", ""}, "", "index/i"},
    {"set", {"RW access update variable_flags", ""},
     "",
     "key/k value/s ?condition/o(nx/t=NX xx/t=XX) ?get/t=GET "
     "?expiration/o(seconds/i=EX milliseconds/i=PX unix-time-seconds/u=EXAT "
     "unix-time-milliseconds/u=PXAT keepttl/t=KEEPTTL)"},
    {"setex", {"OW update", ""}, "", "key/k seconds/i value/s"},
    {"setnx", {"OW insert", ""}, "", "key/k value/s"},
    {"setrange", {"RW update", ""}, "", "key/k offset/i value/s"},
    {"shutdown", {"", ""},
     "",
     "?nosave_save/o(nosave/t=NOSAVE save/t=SAVE) ?now/t=NOW ?force/t=FORCE "
     "?abort/t=ABORT"},
    {"slaveof", {"", ""}, "", "args/o(host-port/b(host/s port/i) no-one/b(no/t=NO one/t=ONE))"},
    {"slowlog|get", {"", ""}, "request_policy:all_nodes nondeterministic_output", "?count/i"},
    {"slowlog|len", {"", ""},
     "request_policy:all_nodes response_policy:agg_sum nondeterministic_output", ""},
    {"slowlog|reset", {"", ""}, "request_policy:all_nodes response_policy:all_succeeded", ""},
    {"strlen", {"RO", ""}, "", "key/k"},
    {"substr", {"RO access", ""}, "", "key/k start/i end/i"},
    {"swapdb", {"", ""}, "", "index1/i index2/i"},
    {"time", {"", ""}, "nondeterministic_output", ""},
    {"touch", {"RO", ""}, "request_policy:multi_shard response_policy:agg_sum", "*key/k"},
    {"ttl", {"RO access", ""}, "nondeterministic_output", "key/k"},
    {"type", {"RO", ""}, "", "key/k"},
    {"unlink", {"RM delete", ""}, "request_policy:multi_shard response_policy:agg_sum", "*key/k"},
    {"wait", {"", ""},
     "request_policy:all_shards response_policy:agg_min", "numreplicas/i timeout/i"},
    {"waitaof", {"", ""}, "", "numlocal/i numreplicas/i timeout/i"},
    {"watch", {"RO", ""}, "", "*key/k"},
};
/* clang-format on */

const struct resp_command_form *resp_command_form(const char *name)
{
    static const struct resp_command_form none = {"", {"", ""}, "", ""};
    size_t low = 0, high = sizeof forms / sizeof forms[0];

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, forms[middle].name);
        if (order == 0) {
            return &forms[middle];
        }
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return &none;
}
