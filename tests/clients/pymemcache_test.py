#!/usr/bin/python3
"""pymemcache: the text protocol as Python programs speak it, and the meta commands raw."""

import os
import socket
import sys
import threading
import time
import unittest

try:
    from pymemcache.client.base import Client, PooledClient
    from pymemcache.exceptions import MemcacheClientError, MemcacheIllegalInputError, MemcacheServerError
except ImportError:
    print("python3-pymemcache is missing")
    sys.exit(77)

ADDRESS = (os.environ["HOST"], int(os.environ["PORT"]))


class Commands(unittest.TestCase):
    def setUp(self):
        self.client = Client(ADDRESS, timeout=60, default_noreply=False)
        self.client.flush_all()

    def tearDown(self):
        self.client.close()

    def test_a_value_comes_back_as_it_was_stored(self):
        for value in (b"", b"a", b"\r\n", b"\0\xff" * 500, b"x" * 1000000):
            self.assertTrue(self.client.set("key", value))
            self.assertEqual(self.client.get("key"), value)

    def test_add_and_replace_look_whether_there_is_one(self):
        self.assertFalse(self.client.replace("key", b"1"))
        self.assertTrue(self.client.add("key", b"2"))
        self.assertFalse(self.client.add("key", b"3"))
        self.assertTrue(self.client.replace("key", b"4"))
        self.assertEqual(self.client.get("key"), b"4")

    def test_append_and_prepend_join(self):
        self.assertFalse(self.client.append("key", b"1"))
        self.client.set("key", b"b")
        self.assertTrue(self.client.append("key", b"c"))
        self.assertTrue(self.client.prepend("key", b"a"))
        self.assertEqual(self.client.get("key"), b"abc")

    def test_a_cas_stores_once(self):
        self.client.set("key", b"1")
        value, cas = self.client.gets("key")
        self.assertEqual(value, b"1")
        self.assertTrue(self.client.cas("key", b"2", cas))
        self.assertFalse(self.client.cas("key", b"3", cas))
        self.assertIsNone(self.client.cas("absent", b"3", cas))
        self.assertEqual(self.client.get("key"), b"2")

    def test_counting_wraps_up_and_stops_down(self):
        self.assertIsNone(self.client.incr("key", 1))
        self.client.set("key", b"10")
        self.assertEqual(self.client.incr("key", 5), 15)
        self.assertEqual(self.client.decr("key", 20), 0)
        self.client.set("key", b"18446744073709551615")
        self.assertEqual(self.client.incr("key", 2), 1)
        self.client.set("key", b"text")
        with self.assertRaises(MemcacheClientError):
            self.client.incr("key", 1)

    def test_delete_forgets(self):
        self.client.set("key", b"1")
        self.assertTrue(self.client.delete("key"))
        self.assertFalse(self.client.delete("key"))
        self.assertIsNone(self.client.get("key"))

    def test_many_keys_at_once(self):
        values = {f"key{i}": f"value{i}".encode() for i in range(500)}
        self.assertEqual(self.client.set_many(values), [])
        self.assertEqual(self.client.get_many(list(values) + ["absent"]), values)
        found = self.client.gets_many(["key1", "key2"])
        self.assertNotEqual(found["key1"][1], found["key2"][1])
        self.assertTrue(self.client.delete_many(list(values)))
        self.assertEqual(self.client.get_many(list(values)), {})

    def stores_and_touches(self, key):
        self.client.set(key, b"1", expire=1)
        return self.client.touch(key, 1000)

    def test_what_expires_is_gone(self):
        self.client.set("short", b"1", expire=1)
        self.client.set("long", b"1", expire=1000)
        self.client.set("past", b"1", expire=-1)
        self.assertTrue(any(self.stores_and_touches("touched") for _ in range(100)))  # in less than its second
        self.assertFalse(self.client.touch("absent", 1000))
        self.assertIsNone(self.client.get("past"))
        time.sleep(2.2)
        self.assertIsNone(self.client.get("short"))
        self.assertEqual(self.client.get("long"), b"1")
        self.assertEqual(self.client.get("touched"), b"1")

    def test_flags_are_kept(self):
        self.client.set("key", b"1", flags=4294967295)
        self.assertIn(b"VALUE key 4294967295 1", raw(b"get key\r\n"))

    def test_a_value_too_large_is_refused_and_takes_the_old_one_with_it(self):
        self.client.set("key", b"old")
        with self.assertRaises(MemcacheServerError):
            self.client.set("key", b"x" * (2 << 20))
        self.assertIsNone(self.client.get("key"))
        self.assertTrue(self.client.set("key", b"new"))

    def test_noreply_is_silent(self):
        for i in range(1000):
            self.client.set("key", str(i).encode(), noreply=True)
        self.client.incr("key", 1, noreply=True)
        self.assertEqual(self.client.get("key"), b"1000")

    def test_keys_are_up_to_250_bytes(self):
        self.assertTrue(self.client.set("k" * 250, b"1"))
        self.assertEqual(self.client.get("k" * 250), b"1")
        with self.assertRaises(MemcacheIllegalInputError):
            self.client.set("k" * 251, b"1")
        self.assertTrue(raw(b"get " + b"k" * 251 + b"\r\n").startswith(b"CLIENT_ERROR"))

    def test_statistics_count(self):
        before = self.client.stats()
        self.client.set("key", b"1")
        self.client.get("key")
        self.client.get("absent")
        after = self.client.stats()
        self.assertEqual(after[b"cmd_set"] - before[b"cmd_set"], 1)
        self.assertEqual(after[b"get_hits"] - before[b"get_hits"], 1)
        self.assertEqual(after[b"get_misses"] - before[b"get_misses"], 1)
        self.assertGreaterEqual(after[b"curr_items"], 1)
        self.assertIn(b"maxbytes", self.client.stats("settings"))

    def test_threads_share_a_pool(self):
        pool = PooledClient(ADDRESS, max_pool_size=8, timeout=60, default_noreply=False)
        pool.set("counter", b"0")

        def count():
            for _ in range(200):
                pool.incr("counter", 1)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(pool.get("counter"), b"1600")
        pool.close()


def raw(request, end=b"\r\n"):
    """Sends bytes and reads an answer to its end."""
    with socket.create_connection(ADDRESS, timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while not answer.endswith(end):
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


class Meta(unittest.TestCase):
    def setUp(self):
        self.assertEqual(raw(b"flush_all\r\n"), b"OK\r\n")

    def test_a_value_and_its_flags(self):
        self.assertEqual(raw(b"ms key 2 T0 F5\r\nab\r\n"), b"HD\r\n")
        answer = raw(b"mg key s v f t k Oopaque\r\n", end=b"ab\r\n")
        self.assertEqual(answer, b"VA 2 s2 f5 t-1 kkey Oopaque\r\nab\r\n")
        self.assertEqual(raw(b"mg absent v\r\n"), b"EN\r\n")
        self.assertEqual(raw(b"mn\r\n"), b"MN\r\n")

    def test_quiet_commands_end_with_a_no_op(self):
        answer = raw(b"mg absent v q\r\nms a 1 q\r\nx\r\nmd a q\r\nmn\r\n", end=b"MN\r\n")
        self.assertEqual(answer, b"MN\r\n")

    def test_a_stale_item_is_won_once(self):
        raw(b"ms key 1 T0\r\na\r\n")
        self.assertEqual(raw(b"md key I T30\r\n"), b"HD\r\n")
        first = raw(b"mg key v\r\n", end=b"a\r\n").split()
        second = raw(b"mg key v\r\n", end=b"a\r\n").split()
        self.assertEqual(set(first), {b"VA", b"1", b"W", b"X", b"a"})
        self.assertEqual(set(second), {b"VA", b"1", b"Z", b"X", b"a"})

    def test_a_miss_makes_an_empty_item_for_whoever_won(self):
        self.assertEqual(raw(b"mg key v N30\r\n", end=b"\r\n\r\n"), b"VA 0 W\r\n\r\n")
        self.assertEqual(raw(b"mg key v N30\r\n", end=b"\r\n\r\n"), b"VA 0 Z\r\n\r\n")

    def test_arithmetic(self):
        self.assertEqual(raw(b"ma counter\r\n"), b"NF\r\n")
        self.assertEqual(raw(b"ma counter N0 J13 v\r\n", end=b"13\r\n"), b"VA 2\r\n13\r\n")
        self.assertEqual(raw(b"ma counter D7 v\r\n", end=b"20\r\n"), b"VA 2\r\n20\r\n")

    def test_a_pipeline_is_answered_in_its_order(self):
        requests = b"".join(b"ms key%d 4\r\n%04d\r\nmg key%d v k\r\n" % (i, i, i) for i in range(1000))
        answers = raw(requests + b"mn\r\n", end=b"MN\r\n")
        wanted = b"".join(b"HD\r\nVA 4 kkey%d\r\n%04d\r\n" % (i, i) for i in range(1000))
        self.assertEqual(answers, wanted + b"MN\r\n")

    def test_nonsense_is_told_and_the_connection_goes_on(self):
        self.assertEqual(raw(b"nonsense\r\nmn\r\n", end=b"MN\r\n"), b"ERROR\r\nMN\r\n")
        self.assertEqual(raw(b"set key 0 0 1\r\nabc\r\nmn\r\n", end=b"MN\r\n").count(b"CLIENT_ERROR"), 1)


if __name__ == "__main__":
    unittest.main()
