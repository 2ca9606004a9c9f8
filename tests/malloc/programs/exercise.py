# What Python programs do all day: containers, JSON, text, threads, processes. Prints digests.
import collections
import concurrent.futures
import hashlib
import json
import multiprocessing
import random
import re
import threading
import zlib


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def containers():
    rng = random.Random(1)
    table = {}
    for step in range(200000):
        table[f"key {rng.randrange(50000)}"] = [step, str(step) * (step % 7)]
        if step % 3 == 0:
            table.pop(f"key {rng.randrange(50000)}", None)
    ordered = collections.OrderedDict(sorted(table.items()))
    return digest(list(ordered.items())[::97])


def documents():
    rng = random.Random(2)
    tree = [{"id": i, "name": "n" * rng.randrange(200), "list": list(range(rng.randrange(50)))}
            for i in range(5000)]
    for _ in range(3):
        tree = json.loads(json.dumps(tree, indent=1))
    return digest(tree)


def text():
    words = " ".join(str(i * 7919) for i in range(100000))
    found = re.findall(r"\b(\d)\d*\1\b", words)
    return digest([len(found), zlib.crc32(zlib.compress(words.encode() * 5, 6))])


def threads():
    results = {}
    lock = threading.Lock()

    def work(number):
        values = [bytes([number % 256]) * (i % 3000) for i in range(3000)]
        total = sum(len(value) for value in values)
        with lock:
            results[number] = total

    for _ in range(5):
        crew = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    return digest(sorted(results.items()))


def square(number):
    return sum(i * i for i in range(number % 1000))


def processes():
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pooled = pool.map(square, range(2000))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(square, range(2000)))
    return digest([pooled == threaded, sum(pooled)])


if __name__ == "__main__":
    for exercise in (containers, documents, text, threads, processes):
        print(exercise.__name__, exercise())
