// Descriptions that people wrote, in the little of Markdown they use: headings, lists, tables, paragraphs. Everything else stays text.
import { h } from "../dom.js";

export function prose(text) {
  const lines = text.replace(/#proposer=0x[0-9a-fA-F]{40}\s*$/, "").split("\n");
  const blocks = [];
  let i = 0;
  const take = (matches) => {
    const taken = [];
    while (i < lines.length && matches(lines[i])) taken.push(lines[i++]);
    return taken;
  };
  const isPlain = (line) => line.trim() !== "" && !/^(#{1,6} |[-*] |\|)/.test(line);
  while (i < lines.length) {
    const line = lines[i];
    if (line.trim() === "") i += 1;
    else if (/^#{1,6} /.test(line))
      blocks.push(h("p", { class: "strong" }, take((each) => each === line)[0].replace(/^#+ /, "")));
    else if (/^[-*] /.test(line))
      blocks.push(
        h(
          "ul",
          null,
          take((each) => /^[-*] /.test(each)).map((each) => h("li", null, each.slice(2))),
        ),
      );
    else if (line.startsWith("|")) blocks.push(grid(take((each) => each.startsWith("|"))));
    else blocks.push(h("p", null, take(isPlain).join("\n")));
  }
  return h("div", { class: "prose" }, blocks);
}

function grid(lines) {
  const rows = lines
    .filter((line) => !/^\|[\s:|-]+$/.test(line))
    .map((line) =>
      line
        .replace(/^\||\|\s*$/g, "")
        .split("|")
        .map((cell) => cell.trim()),
    );
  const [head, ...body] = rows;
  return h(
    "div",
    { class: "scroll", role: "region", "aria-label": "Table", tabindex: "0" },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          head.map((cell) => h("th", { scope: "col" }, cell)),
        ),
      ),
      h(
        "tbody",
        null,
        body.map((row) =>
          h(
            "tr",
            null,
            row.map((cell) => h("td", null, cell)),
          ),
        ),
      ),
    ),
  );
}
