// check.mjs BROWSER QUARRY PICTURES: every page of the console, in a browser, of a server with data
// and with names that are made to run as scripts. Pictures of the pages are left in PICTURES.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const [browserPath, quarry, pictures] = process.argv.slice(2);
const PATIENCE_MS = 60000;
const KEYS = 2000;
const VALUE = "v".repeat(500);

// What a careless page would run or obey.
const SHAPES = [
    "<script>hit(N)</script>", "<img src=x onerror=hit(N)>", "<svg onload=hit(N)>", "\"><script>hit(N)</script>",
    "' onmouseover='hit(N)", "javascript:hit(N)", "</td><script>hit(N)</script>", "{{constructor.constructor('hit(N)')()}}",
    "${hit(N)}", "<iframe srcdoc='<script>parent.hit(N)</script>'>", "<a href=javascript:hit(N)>x</a>",
    "\u202e<script>hit(N)</script>", "<style>*{background:url(javascript:hit(N))}</style>", "--><script>hit(N)</script>",
    "]]><script>hit(N)</script>", "<math><mtext></form><form><mglyph><style></math><img src onerror=hit(N)>",
    "%3Cscript%3Ehit(N)%3C/script%3E", "&lt;script&gt;hit(N)&lt;/script&gt;", "<script src=//evil.example/N></script>",
    "<body onload=hit(N)>",
];
const HOSTILE = [0, 1, 2].flatMap((round) => SHAPES.map((shape, index) => shape.replaceAll("N", round * SHAPES.length + index)));

const folder = mkdtempSync(path.join(tmpdir(), "quarry-console-"));
const server = spawn(quarry, ["serve", "--data", path.join(folder, "data"), "--memory", "256m", "--memcached", "127.0.0.1:0",
    "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--set", "cache.file=off", "--set", "tsdb.query_memory=64m", "--log-format", "json"],
{ cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
let log = "";
const doors = {};
const ready = new Promise((resolve, reject) => {
    const read = (piece) => {
        log += piece;
        for (const line of log.split("\n").slice(0, -1)) {
            const fields = JSON.parse(line);
            if (fields.msg === "door") {
                doors[fields.protocol] = fields.address;
            }
            if (fields.msg === "ready") {
                resolve();
            }
        }
    };
    server.stdout.on("data", read);
    server.stderr.on("data", read);
    server.on("exit", () => reject(new Error(`the server ended:\n${log}`)));
    setTimeout(() => reject(new Error(`the server is not ready:\n${log}`)), PATIENCE_MS).unref();
});

// Sends bytes and waits for an answer that ends so.
function converse(address, bytes, ending) {
    const [host, port] = address.split(":");
    return new Promise((resolve, reject) => {
        const link = net.connect(Number(port), host);
        let said = "";
        link.setTimeout(PATIENCE_MS, () => reject(new Error("no answer")));
        link.on("error", reject);
        link.on("data", (piece) => {
            said += piece;
            if (said.endsWith(ending)) {
                link.end();
                resolve(said);
            }
        });
        link.write(bytes);
    });
}

function escape(text) {
    return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}

async function fill(http) {
    const sets = Array.from({ length: KEYS }, (_, i) => `set key${i} 0 0 ${VALUE.length} noreply\r\n${VALUE}\r\n`);
    const gets = Array.from({ length: 100 }, (_, i) => `get key${i}\r\n`);
    await converse(doors.memcached, `${[...sets, ...gets].join("")}version\r\n`, "\r\n");
    const puts = HOSTILE.map((name) => `*3\r\n$3\r\nSET\r\n$${Buffer.byteLength(name)}\r\n${name}\r\n$1\r\nx\r\n`);
    await converse(doors.resp, `${puts.join("")}PING\r\n`, "+PONG\r\n");
    const page = HOSTILE.map((name, i) => `hostile{name="${escape(name)}",n="${i}"} ${i}`);
    const answer = await fetch(`${http}/api/v1/import/prometheus`, { method: "POST", body: `${page.join("\n")}\n` });
    assert.ok(answer.ok, await answer.text());
}

// A figure that the page shows under a name.
async function fact(page, name) {
    const item = page.locator(".fact", { has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) });
    return (await item.locator("dd").first().textContent()).trim();
}

const NAMES = ["overview", "map", "history", "classes", "stacks", "cache", "kv", "series", "server"];

async function open(page, http, name) {
    await page.goto(`${http}/#${name}`);
    await page.reload();
    await page.waitForSelector(`nav a[aria-current][href="#${name}"]`, { timeout: PATIENCE_MS });
    await page.waitForSelector("section h2", { timeout: PATIENCE_MS });
}

// A query that works long, with a name that would run, is shown and ended by its button.
async function killed(page, http) {
    const query = `${Array.from({ length: 9 }, (_, i) => `quantile_over_time(.1${i},vector(time())[5h:1s])`).join("+")} # ${HOSTILE[1]}`;
    const asked = fetch(`${http}/api/v1/query_range`, { method: "POST", body: new URLSearchParams({ query, start: 100000, end: 110000, step: 1 }) });
    const row = page.locator("table:has(caption:has-text('Under way')) tr", { hasText: "onerror" });
    await row.locator("button:has-text('Kill')").click({ timeout: PATIENCE_MS });
    await row.locator("button:has-text('End it')").click({ timeout: PATIENCE_MS });
    const answer = await asked;
    assert.equal(answer.status, 499);
    assert.equal((await answer.json()).errorType, "canceled");
    await page.waitForSelector("p.told:has-text('ends at its next look')", { timeout: PATIENCE_MS });
    await page.waitForSelector("table:has(caption:has-text('slowest')) td:has-text('canceled')", { timeout: PATIENCE_MS });
}

const LOOKS = {
    async overview(page) {
        await page.waitForFunction(() => document.querySelectorAll(".bar span").length > 2, null, { timeout: PATIENCE_MS });
        await page.waitForSelector("text=/Nothing to change|too small|note|warning|critical/", { timeout: PATIENCE_MS });
        assert.equal(await fact(page, "limit"), "256 MiB");
        await page.waitForFunction(() => !document.querySelector("main").textContent.includes("–/s"), null, { timeout: PATIENCE_MS }); // two events
    },
    async map(page) {
        await page.waitForFunction(() => document.querySelector("canvas.map").height > 100, null, { timeout: PATIENCE_MS });
        await page.waitForSelector(".legend:has-text('cache')", { timeout: PATIENCE_MS });
        await page.mouse.move(50, 240);
        for (const view of ["fill", "residency", "owner"]) {
            await page.selectOption("select", view);
        }
    },
    async history(page) {
        await page.waitForFunction(() => document.querySelectorAll("h2").length === 4, null, { timeout: PATIENCE_MS });
    },
    async classes(page) {
        await page.waitForSelector("td:has-text('malloc')", { timeout: PATIENCE_MS });
        await page.click("th button:has-text('object')");
    },
    async stacks(page) {
        await page.waitForSelector("canvas.flame, p.quiet:has-text('No sample')", { timeout: PATIENCE_MS });
    },
    async cache(page, http) {
        await page.waitForSelector("td:has-text('default')", { timeout: PATIENCE_MS });
        const metrics = await (await fetch(`${http}/metrics`)).text();
        const items = /^quarry_cache_items (\d+)/m.exec(metrics)[1];
        assert.equal(await fact(page, "items"), items);
        assert.equal(items, String(KEYS));
    },
    async kv(page) {
        await page.waitForSelector(".level", { timeout: PATIENCE_MS });
        assert.equal(await page.locator(".level").count(), 7);
    },
    async series(page, http) {
        await page.fill("textarea", "hostile");
        await page.click("button:has-text('Ask')");
        await page.waitForSelector(`td:has-text("onerror")`, { timeout: PATIENCE_MS });
        const rows = await page.locator("td.words", { hasText: /^hostile\{/ }).count();
        assert.equal(rows, HOSTILE.length);
        await page.fill("textarea", "sum(");
        await page.click("button:has-text('Ask')");
        await page.waitForSelector("[role=alert]:has-text('parse error')", { timeout: PATIENCE_MS });
        await killed(page, http);
    },
    async server(page) {
        await page.waitForSelector("td:has-text('memory.limit')", { timeout: PATIENCE_MS });
        await page.click("button:has-text('Give free memory back')");
        await page.waitForSelector("[role=alert]:has-text('goes back to the kernel')", { timeout: PATIENCE_MS });
        assert.equal(await page.locator("text=/bytes given back/").count(), 0); // not before it was confirmed
        await page.click("button:has-text('Do it')");
        await page.waitForSelector("text=/bytes given back/", { timeout: PATIENCE_MS });
        for (const name of HOSTILE.slice(0, 5)) {
            await page.fill("label:has-text('tenant') input", name);
            await page.click("button:has-text('Flush a tenant')");
            await page.click("button:has-text('Do it')");
            await page.waitForFunction((text) => document.querySelector(".trouble")?.textContent.includes(text), name.slice(0, 60), { timeout: PATIENCE_MS });
        }
    },
};

let browser;
try {
    await ready;
    const http = `http://${doors.http}`;
    await fill(http);
    mkdirSync(pictures, { recursive: true });
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
    for (const colorScheme of ["light", "dark"]) {
        const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 } });
        const page = await context.newPage();
        const troubles = [];
        const strangers = [];
        let streams = 0;
        await page.exposeFunction("hit", (number) => troubles.push(`a name ran: ${number}`));
        page.on("dialog", (dialog) => troubles.push(`dialog: ${dialog.message()}`));
        page.on("pageerror", (error) => troubles.push(error.message));
        page.on("console", (said) => said.type() === "error" && troubles.push(said.text()));
        page.on("request", (request) => new URL(request.url()).origin === http || request.url().startsWith("data:") || strangers.push(request.url()));
        page.on("request", (request) => (streams += request.url() === `${http}/api/v1/stream`));
        for (const name of NAMES) {
            troubles.length = 0;
            await open(page, http, name);
            await LOOKS[name](page, http);
            assert.ok(!(await page.textContent("main")).includes("NaN"), `${name} shows what is no number`);
            await page.screenshot({ path: path.join(pictures, `${name}-${colorScheme}.png`), fullPage: true });
            // A refused expression is an answer with 400, a tenant that is not there one with 404: browsers tell of them.
            const refused = { series: /status of 400/, server: /status of 404/ }[name];
            const left = troubles.filter((text) => !refused?.test(text));
            assert.deepEqual(left, [], name);
        }
        assert.deepEqual(strangers, []);
        assert.ok(streams >= 4, `${streams} streams: Overview, Cache, Key-value and Series have one each`);
        await context.close();
    }
    console.log(`${NAMES.length} pages twice, ${HOSTILE.length} hostile names: nothing ran, nothing was asked of others`);
} finally {
    await browser?.close();
    server.removeAllListeners("exit");
    const ended = new Promise((resolve) => server.on("exit", resolve));
    server.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
}
