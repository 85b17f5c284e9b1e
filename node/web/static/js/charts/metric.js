// The metric over rounds and releases: what this machine measured where it did, else the gains on which the verifiers agreed.
import { integer, number, signed } from "../format.js";
import { plot } from "./plot.js";

export function metricChart(metric) {
  return metric.evaluations?.values.length ? evaluations(metric) : gains(metric);
}

/** Dashed verticals where a release was made, labelled with its version. */
function releaseMarks(releases, { colour, font }) {
  return (chart) => {
    const { ctx, bbox } = chart;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = font(11 * ratio);
    ctx.textAlign = "left";
    for (const release of releases) {
      const x = Math.round(chart.valToPos(release.round, "x", true)) + 0.5;
      if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
      ctx.strokeStyle = colour("muted");
      ctx.lineWidth = ratio;
      ctx.setLineDash([2 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = colour("muted");
      ctx.fillText(release.version.slice(0, 12), x + 4 * ratio, bbox.top + bbox.height - 7 * ratio);
    }
    ctx.restore();
  };
}

const wholeRounds = (_chart, splits) => splits.map((value) => (Number.isInteger(value) ? String(value) : ""));
const versionAt = (releases, round) =>
  releases
    .filter((release) => release.round === round)
    .map((release) => release.version)
    .join(", ");

function evaluations({ evaluations: found, releases }) {
  const name = found.name.toUpperCase();
  const unit = found.unit ? ` ${found.unit}` : "";
  const { values } = found;
  return plot({
    name: `${name} after each round`,
    height: 250,
    shape: releases.map((release) => release.version).join(),
    data: [values.map((entry) => entry.round), values.map((entry) => entry.value)],
    options: ({ colour, font }) => ({
      scales: {
        x: { time: false, range: (_chart, low, high) => [low - 0.15, Math.max(high, low + 1) + 0.35] },
        y: { range: padded },
      },
      axes: [
        { label: "after round", incrs: [1, 2, 5, 10, 20, 50, 100], values: wholeRounds, grid: { show: false } },
        { label: `${name}${unit}`, size: 56, values: (_chart, splits) => splits.map((value) => value.toFixed(decimals(splits))) },
      ],
      series: [
        {},
        {
          stroke: colour("accent"),
          width: 2.25,
          fill: colour("accent-wash"),
          points: { show: true, size: 7, fill: colour("card"), width: 2 },
        },
      ],
      hooks: { draw: [releaseMarks(releases, { colour, font })] },
    }),
    readout: (at) => {
      const entry = values[at ?? values.length - 1];
      const version = versionAt(releases, entry.round);
      return `${entry.round === 0 ? "Before round 1" : `After round ${entry.round}`}: ${name} ${number(entry.value)}${unit}${version ? `, release ${version}` : ""}`;
    },
    columns: [
      { label: "round", head: true, cell: (entry) => entry.round },
      { label: name, numeric: true, cell: (entry) => number(entry.value) },
      { label: "release", cell: (entry) => versionAt(releases, entry.round) || "–" },
    ],
    rows: values,
  });
}

function gains({ rounds, releases }) {
  return plot({
    name: "Median gain of accepted updates by round",
    height: 250,
    shape: releases.map((release) => release.version).join(),
    data: [rounds.map((entry) => entry.round), rounds.map((entry) => entry.gain_median ?? 0)],
    options: ({ colour, font }) => ({
      scales: {
        x: { time: false, range: (_chart, low, high) => [low - 0.6, high + 0.6] },
        y: { range: (_chart, low, high) => [Math.min(0, low), Math.max(1, high) * 1.08] },
      },
      axes: [
        { label: "round", incrs: [1, 2, 5, 10, 20, 50, 100], values: wholeRounds, grid: { show: false } },
        { label: "median gain, ppm of a nat", size: 72, values: (_chart, splits) => splits.map((value) => integer(value)) },
      ],
      series: [
        {},
        {
          stroke: colour("accent"),
          fill: colour("accent"),
          width: 0,
          paths: globalThis.uPlot.paths.bars({ size: [0.5, 48] }),
          points: { show: false },
        },
      ],
      hooks: { draw: [releaseMarks(releases, { colour, font })] },
    }),
    readout: (at) => {
      const entry = rounds[at ?? rounds.length - 1];
      return `Round ${entry.round}: median gain ${signed(entry.gain_median)} ppm, ${entry.accepted} accepted`;
    },
    columns: [
      { label: "round", head: true, cell: (entry) => entry.round },
      { label: "median gain, ppm", numeric: true, cell: (entry) => signed(entry.gain_median) },
      { label: "sum of gains, ppm", numeric: true, cell: (entry) => signed(entry.gain_sum) },
      { label: "accepted", numeric: true, cell: (entry) => entry.accepted },
    ],
    rows: rounds,
  });
}

function padded(_chart, low, high) {
  const pad = Math.max((high - low) * 0.12, Math.abs(high) * 0.01, 1e-4);
  return [low - pad, high + pad];
}

/** As many decimals as tell the axis's ticks apart exactly. */
export function decimals(splits) {
  const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
  for (let digits = 0; digits < 6; digits += 1) {
    const scaled = step * 10 ** digits;
    if (Math.abs(Math.round(scaled) - scaled) < 1e-6) return digits;
  }
  return 6;
}

const TONES = ["accent", "second", "warn", "good", "bad", "muted"];

/** Scores of every benchmark by release, one line each. */
export function benchmarkChart(releases) {
  const names = [...new Set(releases.flatMap((release) => Object.keys(release.scores)))].sort();
  const shown = names.slice(0, TONES.length);
  const value = (release, name) => (name in release.scores ? release.scores[name] / 1e6 : null);
  return plot({
    name: "Benchmark scores by release",
    height: 230,
    shape: shown.join(),
    data: [releases.map((_, i) => i), ...shown.map((name) => releases.map((release) => value(release, name)))],
    options: ({ colour }) => ({
      scales: { x: { time: false, range: [-0.3, releases.length - 0.7] }, y: { range: padded } },
      axes: [
        {
          label: "release",
          incrs: [1],
          values: (_chart, splits) => splits.map((at) => releases[at]?.version.slice(0, 10) ?? ""),
          grid: { show: false },
        },
        { label: "score", size: 56, values: (_chart, splits) => splits.map((each) => each.toFixed(decimals(splits))) },
      ],
      series: [
        {},
        ...shown.map((_, i) => ({
          stroke: colour(TONES[i]),
          width: 2,
          spanGaps: true,
          points: { show: true, size: 7, fill: colour("card"), width: 2 },
        })),
      ],
    }),
    legend: shown.map((name, i) => ({ label: name, tone: `line-${TONES[i]}` })),
    readout: (at) => {
      const release = releases[at ?? releases.length - 1];
      return `${release.version}: ${shown
        .filter((name) => name in release.scores)
        .map((name) => `${name} ${number(value(release, name))}`)
        .join(", ")}`;
    },
    columns: [
      { label: "release", head: true, cell: (release) => release.version },
      ...names.map((name) => ({ label: name, numeric: true, cell: (release) => number(value(release, name)) })),
    ],
    rows: releases,
  });
}
