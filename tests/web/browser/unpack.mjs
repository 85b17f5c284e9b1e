// Unpacks the Chromium of the npm package @sparticuz/chromium: `node unpack.mjs FOLDER` leaves FOLDER/chromium, its libraries and fonts.
// The package's own code is made for cloud functions and unpacks into /tmp; only its files and its tar reader are used here.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const require = createRequire(import.meta.url);
const packed = join(dirname(require.resolve("@sparticuz/chromium")), "..", "bin");
const { extract } = require("tar-fs");
if (!process.argv[2]) {
  console.error("usage: node unpack.mjs FOLDER");
  process.exit(2);
}
const target = resolve(process.argv[2]);

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
for (const [name, sink] of [
  ["chromium.br", createWriteStream(join(target, "chromium"), { mode: 0o755 })],
  ["al2023.tar.br", extract(target)], // lib/: the shared libraries that a bare machine lacks
  ["swiftshader.tar.br", extract(target)], // drawing without a graphics card; looked for beside the program
  ["fonts.tar.br", extract(target)],
]) {
  await pipeline(createReadStream(join(packed, name)), createBrotliDecompress(), sink);
}
// The package's own fonts.conf names folders of a cloud function.
await writeFile(
  join(target, "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${target}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${target}/fonts-cache</cachedir>
</fontconfig>
`,
);
