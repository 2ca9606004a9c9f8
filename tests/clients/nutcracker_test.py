#!/usr/bin/python3
"""twemproxy (nutcracker) in front of the server: what it passes on, through it, from many clients at once.

Skipped when twemproxy cannot be had.
"""

import sys

import nutcracker

try:
    from pymemcache.client.base import Client
except ImportError:
    nutcracker.skip("python3-pymemcache is missing")


def turn(client, key, check):
    """Everything the proxy passes on."""
    check("set", client.set(key, b"b"), True)
    check("add", client.add(key, b"x"), False)
    check("replace", client.replace(key, b"b"), True)
    check("append", client.append(key, b"c"), True)
    check("prepend", client.prepend(key, b"a"), True)
    check("get", client.get(key), b"abc")
    value, cas = client.gets(key)
    check("gets", value, b"abc")
    check("cas", client.cas(key, b"1", cas), True)
    check("cas again", client.cas(key, b"2", cas), False)
    check("incr", client.incr(key, 41), 42)
    check("decr", client.decr(key, 2), 40)
    check("touch", client.touch(key, 1000), True)
    values = {f"{key}.{i}": bytes([65 + i]) * 1000 for i in range(20)}
    client.set_many(values)
    check("get many", client.get_many(list(values) + ["absent"]), values)
    check("delete", client.delete(key), True)
    check("get what is gone", client.get(key), None)


def connect(port):
    return Client(("127.0.0.1", port), timeout=60, default_noreply=False)


if __name__ == "__main__":
    sys.exit(nutcracker.run(connect, turn))
