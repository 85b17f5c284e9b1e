// Fetches the chart library of the dashboard from npm again, as node/web/static/vendor/SOURCES.json says, or tells that it cannot.
// `node tools/web/vendor.mjs` writes the files; with `--check` it only compares. A new version: change version and integrity, run, review, commit.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../node/web/static/vendor/", import.meta.url));
const record = join(folder, "SOURCES.json");
const sources = JSON.parse(readFileSync(record, "utf8"));
const check = process.argv.includes("--check");

const digest = (kind, bytes, encoding) => createHash(kind).update(bytes).digest(encoding);

for (const [name, source] of Object.entries(sources)) {
  const work = mkdtempSync(join(tmpdir(), "vendor-"));
  try {
    const spec = `${source.package.replace("npm:", "")}@${source.version}`;
    const packed = execFileSync("npm", ["pack", "--silent", spec], { cwd: work, encoding: "utf8" }).trim();
    const found = `sha512-${digest("sha512", readFileSync(join(work, packed)), "base64")}`;
    if (found !== source.integrity) {
      throw new Error(`${spec} is not what SOURCES.json records: ${found}. Find out why before you trust it.`);
    }
    execFileSync("tar", ["xf", packed], { cwd: work });
    mkdirSync(join(folder, name), { recursive: true });
    for (const path of Object.keys(source.files)) {
      const bytes = readFileSync(join(work, "package", path));
      const hash = digest("sha256", bytes, "hex");
      if (check && hash !== source.files[path]) throw new Error(`${name}/${path} is ${hash}, recorded as ${source.files[path]}`);
      source.files[path] = hash;
      if (!check) writeFileSync(join(folder, name, basename(path)), bytes);
    }
    console.log(`${spec}: ${check ? "as recorded" : "written"}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
if (!check) writeFileSync(record, `${JSON.stringify(sources, null, 2)}\n`);
