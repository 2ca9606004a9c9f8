#!/usr/bin/python3
"""pylibmc, on libmemcached: the text protocol, and the binary one where the server has it."""

import os
import sys
import threading
import unittest

try:
    import pylibmc
except ImportError:
    print("python3-pylibmc is missing")
    sys.exit(77)

ADDRESS = f"{os.environ['HOST']}:{os.environ['PORT']}"


class Commands:
    """What both protocols do alike."""

    binary = False

    def setUp(self):
        self.client = pylibmc.Client([ADDRESS], binary=self.binary, behaviors={"cas": True, "tcp_nodelay": True})
        self.client.flush_all()

    def tearDown(self):
        self.client.disconnect_all()

    def test_python_values_come_back(self):
        for value in ("text", b"bytes", 7, 7.5, [1, {"a": None}], "x" * 500000):
            self.assertTrue(self.client.set("key", value))
            self.assertEqual(self.client.get("key"), value)

    def test_compressed_values_come_back(self):
        value = "quarry " * 20000
        self.assertTrue(self.client.set("key", value, min_compress_len=1000))
        self.assertEqual(self.client.get("key"), value)

    def test_add_replace_append_and_prepend(self):
        try: # a miss is False in one protocol and an exception in the other
            self.assertFalse(self.client.replace("key", "x"))
        except pylibmc.NotFound:
            self.assertTrue(self.binary)
        self.assertTrue(self.client.add("key", "b"))
        self.assertFalse(self.client.add("key", "c"))
        self.assertTrue(self.client.append("key", "c"))
        self.assertTrue(self.client.prepend("key", "a"))
        self.assertEqual(self.client.get("key"), "abc")

    def test_a_cas_stores_once(self):
        self.client.set("key", "1")
        value, cas = self.client.gets("key")
        self.assertEqual(value, "1")
        self.assertTrue(self.client.cas("key", "2", cas))
        self.assertFalse(self.client.cas("key", "3", cas))
        self.assertEqual(self.client.get("key"), "2")

    def test_counting(self):
        self.client.set("key", 10)
        self.assertEqual(self.client.incr("key", 5), 15)
        self.assertEqual(self.client.decr("key", 1), 14)
        with self.assertRaises(pylibmc.NotFound):
            self.client.incr("absent")

    def test_delete_and_touch(self):
        self.assertFalse(self.client.delete("key"))
        self.assertFalse(self.client.touch("key", 100))
        self.client.set("key", "1")
        self.assertTrue(self.client.touch("key", 100))
        self.assertTrue(self.client.delete("key"))
        self.assertIsNone(self.client.get("key"))

    def test_many_keys_at_once(self):
        values = {f"key{i}": i for i in range(1000)}
        self.assertEqual(self.client.set_multi(values), [])
        self.assertEqual(self.client.get_multi(list(values) + ["absent"]), values)
        self.assertTrue(self.client.delete_multi(list(values)))
        self.assertEqual(self.client.get_multi(list(values)), {})

    def test_statistics(self):
        ((_, statistics),) = self.client.get_stats()
        self.assertIn(b"curr_items" if isinstance(next(iter(statistics)), bytes) else "curr_items", statistics)

    def test_threads_count_without_loss(self):
        self.client.set("counter", 0)
        pool = pylibmc.ThreadMappedPool(self.client)

        def count():
            with pool.reserve() as client:
                for _ in range(300):
                    client.incr("counter")
            pool.relinquish()

        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.client.get("counter"), 1800)


class Text(Commands, unittest.TestCase):
    pass


class Binary(Commands, unittest.TestCase):
    binary = True


if __name__ == "__main__":
    unittest.main()
