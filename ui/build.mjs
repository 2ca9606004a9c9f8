// Builds the console into dist/: one page, one script, one style sheet, their names with a hash of
// their bytes, so that browsers may keep them for ever.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const folder = process.argv[2] ?? "dist";
const made = await build({
    entryPoints: ["src/main.jsx"],
    bundle: true,
    minify: true,
    write: false,
    outdir: folder,
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
});

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
let page = readFileSync("src/index.html", "utf8");
let transfer = 0;
for (const { path, contents } of made.outputFiles) {
    const ending = path.endsWith(".css") ? "css" : "js";
    const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
    const name = `console-${hash}.${ending}`;
    writeFileSync(`${folder}/${name}`, contents);
    page = page.replace(`console.${ending}`, `console/${name}`);
    transfer += gzipSync(contents).length;
}
writeFileSync(`${folder}/index.html`, page);
console.log(`${folder}: ${transfer} bytes gzipped`);
