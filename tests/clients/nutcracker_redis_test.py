#!/usr/bin/python3
"""twemproxy (nutcracker) in redis mode in front of the server: strings through it, from many clients at once.

Skipped when twemproxy cannot be had.
"""

import sys

import nutcracker

try:
    import redis
except ImportError:
    nutcracker.skip("python3-redis is missing")


def turn(client, key, check):
    """Everything of strings the proxy passes on."""
    check("set", client.set(key, b"b", ex=1000), True)
    check("ttl", 990 < client.ttl(key) <= 1000, True)
    check("persist", client.persist(key), True)
    check("setnx", client.setnx(key, b"x"), False)
    check("append", client.append(key, b"c"), 2)
    check("getset", client.getset(key, b"41"), b"bc")
    check("incr", client.incr(key), 42)
    check("incrby", client.incrby(key, 8), 50)
    check("incrbyfloat", client.incrbyfloat(key, 0.5), 50.5)
    check("strlen", client.strlen(key), 4)
    check("getrange", client.getrange(key, 1, -2), b"0.")
    check("setrange", client.setrange(key, 4, b"!"), 5)
    check("type", client.type(key), b"string")
    values = {f"{key}.{i}": bytes([65 + i]) * 1000 for i in range(20)}
    check("mset", client.mset(values), True)
    check("mget", client.mget([*values, "absent"]), [*values.values(), None])
    check("delete many", client.delete(*values), 20)
    check("delete", client.delete(key), 1)
    check("get what is gone", client.get(key), None)


def connect(port):
    return redis.Redis("127.0.0.1", port, socket_timeout=60)


if __name__ == "__main__":
    sys.exit(nutcracker.run(connect, turn, "  redis: true\n"))
