#!/usr/bin/python3
"""python3-redis: Redis' commands of strings as Python programs send them, pipelines, transactions, locks, scans."""

import os
import sys
import threading
import time
import unittest

try:
    import redis
except ImportError:
    print("python3-redis is missing")
    sys.exit(77)

ADDRESS = (os.environ["HOST"], int(os.environ["PORT"]))


def connect(**options):
    return redis.Redis(*ADDRESS, socket_timeout=60, **options)


class Commands(unittest.TestCase):
    def setUp(self):
        self.client = connect()
        self.addCleanup(self.client.close)
        self.assertTrue(self.client.flushall())

    def test_a_value_comes_back_as_it_was_stored(self):
        for value in (b"", b"a", b"\r\n", b"\0\xff" * 500, b"x" * 5000000):
            self.assertTrue(self.client.set(b"k\0\r\n", value))
            self.assertEqual(self.client.get(b"k\0\r\n"), value)

    def test_options_of_set_are_obeyed(self):
        self.assertIsNone(self.client.set("k", "1", xx=True))
        self.assertTrue(self.client.set("k", "1", nx=True, px=100000))
        self.assertIsNone(self.client.set("k", "2", nx=True))
        self.assertEqual(self.client.set("k", "3", get=True, keepttl=True), b"1")
        self.assertGreater(self.client.pttl("k"), 90000)
        self.assertEqual(self.client.getex("k", persist=True), b"3")
        self.assertEqual(self.client.ttl("k"), -1)
        self.assertEqual(self.client.getdel("k"), b"3")
        self.assertEqual(self.client.ttl("k"), -2)

    def test_keys_expire(self):
        self.client.set("k", "v", px=50)
        self.client.set("stays", "v")
        time.sleep(0.1)
        self.assertIsNone(self.client.get("k"))
        self.assertEqual(self.client.keys(), [b"stays"])
        self.assertTrue(self.client.expireat("stays", 1))
        self.assertEqual(self.client.exists("stays", "k"), 0)

    def test_numbers_are_counted(self):
        self.assertEqual(self.client.incr("n", 41), 41)
        self.assertEqual(self.client.decr("n", -1), 42)
        self.assertEqual(self.client.incrbyfloat("n", 0.25), 42.25)
        with self.assertRaisesRegex(redis.ResponseError, "not an integer"):
            self.client.incr("n")

    def test_many_keys_at_once(self):
        values = {f"k{i}": b"v%d" % i for i in range(3000)}
        self.assertTrue(self.client.mset(values))
        self.assertEqual(self.client.mget(list(values) + ["none"]), list(values.values()) + [None])
        self.assertFalse(self.client.msetnx({"new": 1, "k0": 2}))
        self.assertEqual(self.client.dbsize(), 3000)
        self.assertEqual({key.decode() for key in self.client.scan_iter(count=17)}, set(values))
        self.assertEqual(len(list(self.client.scan_iter(match="k1??", _type="string"))), 100)
        self.assertEqual(self.client.delete(*values), 3000)

    def test_pipelines_answer_in_order(self):
        with self.client.pipeline(transaction=False) as pipe:
            for i in range(1000):
                pipe.set(f"k{i}", i).get(f"k{i}")
            answers = pipe.execute()
        self.assertEqual(answers[1::2], [b"%d" % i for i in range(1000)])

    def test_what_fails_in_a_transaction_does_not_stop_the_rest(self):
        with self.client.pipeline() as pipe:
            answers = pipe.set("k", "x").incr("k").set("k", "2").incr("k").execute(raise_on_error=False)
        self.assertIsInstance(answers.pop(1), redis.ResponseError)
        self.assertEqual(answers, [True, True, 3])

    def test_watched_keys_are_noticed(self):
        with self.client.pipeline() as pipe:
            pipe.watch("k")
            self.client.set("k", "theirs")
            pipe.multi()
            pipe.set("k", "ours")
            with self.assertRaises(redis.WatchError):
                pipe.execute()
        self.assertEqual(self.client.get("k"), b"theirs")

    def test_transactions_of_many_threads_lose_nothing(self):
        def count():
            client = connect()

            def once(pipe):
                number = int(pipe.get("n") or 0)
                pipe.multi()
                pipe.set("n", number + 1)

            for _ in range(50):
                client.transaction(once, "n")

        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.client.get("n"), b"300")

    def test_databases_are_apart(self):
        other = connect(db=3, decode_responses=True)
        self.client.set("k", "zero")
        self.assertIsNone(other.get("k"))
        self.assertTrue(self.client.copy("k", "k", destination_db=3))
        self.assertEqual(other.get("k"), "zero")
        self.assertTrue(self.client.move("k", 5))
        self.assertTrue(other.rename("k", "l"))
        self.assertEqual(other.randomkey(), "l")
        self.assertEqual(self.client.info("keyspace")["db3"]["keys"], 1)

    def test_what_it_parses_of_the_server_is_there(self):
        self.client.client_setname("tester")
        self.assertEqual(self.client.client_getname(), "tester")
        self.assertIn("tester", [one["name"] for one in self.client.client_list()])
        self.assertEqual(self.client.info()["redis_version"][:2], "7.")
        self.assertGreater(self.client.memory_usage("k") or 1, 0)
        self.assertIn("maxmemory", self.client.config_get("max*"))
        self.assertEqual(len(self.client.time()), 2)
        self.assertGreaterEqual(self.client.slowlog_len(), 0)
        self.assertEqual(self.client.command()["get"]["arity"], 2)
        self.assertGreater(self.client.command_count(), 80)
        self.assertEqual(self.client.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"])
        self.assertEqual(self.client.role()[0], b"master")
        self.assertTrue(self.client.acl_whoami() == "default")
        self.assertIn("peak.allocated", self.client.memory_stats())
        self.assertTrue(self.client.bgsave(schedule=False))
        self.assertTrue(self.client.lastsave())

    def test_who_is_killed_is_gone(self):
        other = connect(single_connection_client=True)
        self.assertTrue(self.client.client_kill_filter(_id=other.client_id()))
        with self.assertRaises(redis.ConnectionError):
            other.ping()
        self.assertTrue(self.client.ping())

    def test_what_is_not_strings_is_refused_in_so_many_words(self):
        if os.environ["SERVER"] == "redis":
            self.skipTest("it has them")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
            self.client.hset("h", "f", "v")


if __name__ == "__main__":
    unittest.main()
