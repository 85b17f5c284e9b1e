// uPlot inside the page's tree: sized by its box, coloured by the theme, read by keyboard, with its numbers as a table below.
import { h } from "../dom.js";
import { table } from "../components/table.js";
import { colour, font, onThemeChange } from "./theme.js";

const plots = new WeakMap(); // node -> Plot

class Plot {
  constructor(node, spec) {
    this.node = node;
    this.spec = spec;
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    this.readout.setAttribute("aria-live", "polite");
    this.unwatch = onThemeChange(() => this.build());
    this.observer = new ResizeObserver(() => this.fit());
    this.build();
    this.observer.observe(node);
    node.addEventListener("keydown", (event) => this.key(event));
  }

  size() {
    return { width: Math.max(200, this.node.clientWidth), height: this.spec.height ?? 220 };
  }

  fit() {
    const { width, height } = this.size();
    if (width !== this.chart.width || height !== this.chart.height) this.chart.setSize({ width, height });
  }

  build() {
    this.chart?.destroy();
    const options = this.spec.options({ colour, font });
    this.chart = new globalThis.uPlot(
      {
        ...this.size(),
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 7 }, ...options.cursor },
        padding: [14, 26, 4, 0],
        ...options.rest,
        axes: options.axes.map((axis) => ({
          stroke: colour("muted"),
          font: font(12),
          labelFont: font(12),
          size: 30,
          labelSize: 20,
          labelGap: 0,
          gap: 6,
          grid: { stroke: colour("line"), width: 1 },
          ticks: { stroke: colour("line"), width: 1, size: 4 },
          ...axis,
        })),
        scales: options.scales,
        series: options.series,
        hooks: { setCursor: [(chart) => this.read(chart)], ...options.hooks },
      },
      this.spec.data,
      this.node,
    );
    this.node.prepend(this.readout);
    this.readout.textContent = this.spec.readout(null);
  }

  update(spec) {
    const isSame = JSON.stringify(spec.data) === JSON.stringify(this.spec.data) && spec.shape === this.spec.shape;
    this.spec = spec;
    if (!isSame) this.build();
  }

  read(chart) {
    const at = chart.cursor.idx;
    this.readout.textContent = this.spec.readout(at ?? null);
  }

  /** Left and right move the cursor from point to point. */
  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const [xs] = this.spec.data;
    const last = xs.length - 1;
    this.at = Math.min(last, Math.max(0, (this.at ?? (step > 0 ? -1 : last + 1)) + step));
    this.chart.setCursor({ left: this.chart.valToPos(xs[this.at], "x"), top: this.chart.over.clientHeight / 2 });
  }

  destroy() {
    this.unwatch();
    this.observer.disconnect();
    this.chart.destroy();
  }
}

/**
 * A chart: `spec` = {name, data, options({colour, font}), readout(index|null), height, shape, rows, columns}. `shape` changes where options must be
 * read anew; `columns` and `rows` are the same numbers as a table.
 */
export function plot(spec) {
  return h(
    "figure",
    { class: "plot" },
    h("div", {
      class: "canvas",
      role: "img",
      tabindex: "0",
      "aria-label": `${spec.name}. Left and right arrow keys read its points; the table below has them all.`,
      host: {
        mount: (node) => requestAnimationFrame(() => node.isConnected && plots.set(node, new Plot(node, spec))),
        update: (node) => plots.get(node)?.update(spec),
        remove: (node) => plots.get(node)?.destroy(),
      },
    }),
    spec.legend &&
      h(
        "ul",
        { class: "legend" },
        spec.legend.map(({ label, tone }) =>
          h("li", { key: label }, h("i", { class: `key ${tone}`, "aria-hidden": "true" }), label),
        ),
      ),
    spec.columns &&
      h("details", { class: "numbers" }, h("summary", null, "Numbers"), table(`${spec.name}: numbers`, spec.columns, spec.rows)),
  );
}
