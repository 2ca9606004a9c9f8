// ioredis at $HOST:$PORT: strings, buffers, automatic pipelining, transactions, scans, databases.
//
//     ioredis_test.js DIRECTORY
//
// It is installed into DIRECTORY by npm; skipped when it cannot be had.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { execFileSync } = require('child_process');

const SKIPPED = 77;

function load(directory) {
    const modules = path.join(directory, 'node_modules');
    if (!fs.existsSync(path.join(modules, 'ioredis', 'package.json'))) {
        const own = `${directory}.${process.pid}`; // others may want it at the same time
        fs.mkdirSync(own, { recursive: true });
        try {
            execFileSync('npm', ['install', '--prefix', own, '--no-package-lock', '--no-audit', '--no-fund',
                '--ignore-scripts', 'ioredis@5'], { stdio: 'pipe', timeout: 100000 });
        } catch (error) {
            console.log(`ioredis cannot be had: ${error.message.split('\n')[0]}`);
            process.exit(SKIPPED);
        }
        try {
            fs.renameSync(own, directory);
        } catch {
            fs.rmSync(own, { recursive: true }); // somebody was faster
        }
    }
    return require(path.join(modules, 'ioredis'));
}

const Redis = load(process.argv[2]);
const open = (options) => new Redis({ host: process.env.HOST, port: Number(process.env.PORT), ...options });

const tests = {
    async 'values come back as they were stored'(client) {
        for (const value of ['', 'a', '\r\n', 'h\u00e9llo', 'x'.repeat(3000000)]) {
            assert.strictEqual(await client.set('k', value), 'OK');
            assert.strictEqual(await client.get('k'), value);
        }
        const bytes = Buffer.from([0, 255, 13, 10, 0]);
        await client.set(bytes, bytes);
        assert.deepStrictEqual(await client.getBuffer(bytes), bytes);
    },

    async 'options of SET and expiry are obeyed'(client) {
        assert.strictEqual(await client.set('k', '1', 'EX', 1000, 'NX'), 'OK');
        assert.strictEqual(await client.set('k', '2', 'NX'), null);
        assert.ok(await client.ttl('k') > 990);
        assert.strictEqual(await client.persist('k'), 1);
        await client.psetex('gone', 30, 'v');
        await new Promise((done) => setTimeout(done, 80));
        assert.strictEqual(await client.get('gone'), null);
        assert.strictEqual(await client.getdel('k'), '1');
    },

    async 'errors are errors'(client) {
        await client.set('k', 'x');
        await assert.rejects(client.incr('k'), /not an integer/);
        await assert.rejects(client.call('GET'), /wrong number of arguments/);
        await assert.rejects(client.call('NOSUCH'), /unknown command/);
    },

    async 'pipelines answer in order'(client) {
        const pipeline = client.pipeline();
        for (let i = 0; i < 2000; i++) {
            pipeline.set(`k${i}`, i).incrby(`k${i}`, 5);
        }
        const answers = await pipeline.exec();
        answers.forEach(([error, answer], i) => {
            assert.strictEqual(error, null);
            assert.strictEqual(answer, i % 2 ? (i - 1) / 2 + 5 : 'OK');
        });
    },

    async 'what is asked at once goes as one pipeline'() {
        const client = open({ enableAutoPipelining: true });
        try {
            const counts = await Promise.all(Array.from({ length: 500 }, () => client.incr('n')));
            assert.deepStrictEqual(counts.sort((a, b) => a - b), Array.from({ length: 500 }, (_, i) => i + 1));
        } finally {
            client.disconnect();
        }
    },

    async 'transactions are whole, or fail when a watched key changes'(client) {
        assert.deepStrictEqual(await client.multi().set('a', 1).incr('a').get('a').exec(),
            [[null, 'OK'], [null, 2], [null, '2']]);
        const other = open();
        try {
            await client.watch('a');
            await other.set('a', 'theirs');
            assert.strictEqual(await client.multi().set('a', 'ours').exec(), null);
            assert.strictEqual(await client.get('a'), 'theirs');
        } finally {
            other.disconnect();
        }
    },

    async 'scans find every key once'(client) {
        const keys = Array.from({ length: 1000 }, (_, i) => `key:${i}`);
        await client.mset(new Map(keys.map((key) => [key, 'v'])));
        const found = [];
        for await (const some of client.scanStream({ count: 33, match: 'key:*' })) {
            found.push(...some);
        }
        assert.deepStrictEqual([...new Set(found)].sort(), keys.sort());
        assert.strictEqual(await client.del(...keys), 1000);
    },

    async 'databases and names are chosen when it connects'() {
        const client = open({ db: 4, connectionName: 'tester', keyPrefix: 'p:' });
        try {
            await client.set('k', 'v');
            assert.strictEqual(await client.client('GETNAME'), 'tester');
            assert.deepStrictEqual(await client.keys('*'), ['p:k']);
            await client.select(0);
            assert.strictEqual(await client.get('k'), null);
        } finally {
            client.disconnect();
        }
    },

    async 'a connection that is killed comes again'(client) {
        const other = open();
        other.on('error', () => {}); // which is that it was killed
        try {
            await client.client('KILL', 'ID', await other.client('ID'));
            assert.strictEqual(await other.ping(), 'PONG');
        } finally {
            other.disconnect();
        }
    },
};

async function main() {
    const client = open();
    let failures = 0;
    for (const [name, test] of Object.entries(tests)) {
        await client.flushall();
        try {
            await test(client);
        } catch (error) {
            console.log(`failed: ${name}: ${error.stack}`);
            failures++;
        }
    }
    client.disconnect();
    console.log(`${Object.keys(tests).length} tests, ${failures} failed`);
    process.exitCode = failures > 0 ? 1 : 0;
}

main();
