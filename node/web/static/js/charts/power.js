// Voting power: how unequally it is spread (Lorenz curve), and how many units locked tokens give (the curve).
import { cwt, cwtFloat, integer } from "../format.js";
import { plot } from "./plot.js";

/** Points of the Lorenz curve of these weights: cumulative share of members and of votes, poorest first, in per cent. */
export function lorenz(weights) {
  const sorted = [...weights].sort((a, b) => a - b);
  const total = sorted.reduce((sum, weight) => sum + weight, 0);
  const points = [[0, 0]];
  let sum = 0;
  sorted.forEach((weight, i) => {
    sum += weight;
    points.push([(100 * (i + 1)) / sorted.length, total === 0 ? 0 : (100 * sum) / total]);
  });
  return points;
}

const perCent = (_chart, splits) => splits.map((value) => `${value} %`);

export function lorenzChart(delegates) {
  const points = lorenz(delegates.map((entry) => cwtFloat(entry.votes)));
  const xs = points.map(([x]) => x);
  return plot({
    name: "Lorenz curve of votes",
    height: 230,
    shape: "lorenz",
    data: [xs, points.map(([, y]) => y), xs],
    options: ({ colour }) => ({
      scales: { x: { time: false, range: [0, 100] }, y: { range: [0, 100] } },
      axes: [
        { label: "share of delegates, fewest votes first", incrs: [25, 50], values: perCent, grid: { show: false } },
        { label: "share of votes", size: 56, incrs: [25, 50], values: perCent },
      ],
      series: [
        {},
        {
          stroke: colour("accent"),
          width: 2.25,
          fill: colour("accent-wash"),
          points: { show: true, size: 6, fill: colour("card") },
        },
        { stroke: colour("muted"), width: 1, dash: [4, 4], points: { show: false } },
      ],
    }),
    legend: [
      { label: "votes that can be cast now", tone: "accent" },
      { label: "everybody the same", tone: "dashed" },
    ],
    readout: (at) => {
      const [x, y] = points[at ?? Math.floor(points.length / 2)];
      return `The ${x.toFixed(0)} % with the fewest votes hold ${y.toFixed(1)} %`;
    },
    columns: [
      { label: "delegates", head: true, cell: ([x]) => `${x.toFixed(1)} %` },
      { label: "votes", numeric: true, cell: ([, y]) => `${y.toFixed(2)} %` },
    ],
    rows: points,
  });
}

export function curveChart(curve) {
  const xs = curve.map((entry) => cwtFloat(entry.locked));
  return plot({
    name: "Voting units by locked tokens",
    height: 230,
    shape: "curve",
    data: [xs, curve.map((entry) => cwtFloat(entry.units))],
    options: ({ colour }) => ({
      scales: { x: { time: false }, y: { range: (_chart, _low, high) => [0, high * 1.05] } },
      axes: [
        { label: "locked, CWT", values: thousands, grid: { show: false }, space: 60 },
        { label: "voting units", size: 56, values: thousands },
      ],
      series: [{}, { stroke: colour("accent"), width: 2.25, points: { show: true, size: 5, fill: colour("card") } }],
    }),
    readout: (at) => {
      const entry = curve[at ?? curve.length - 1];
      return `${cwt(entry.locked, 0)} CWT locked give ${cwt(entry.units, 0)} units`;
    },
    columns: [
      { label: "locked, CWT", head: true, cell: (entry) => cwt(entry.locked, 0) },
      { label: "voting units", numeric: true, cell: (entry) => cwt(entry.units, 0) },
    ],
    rows: curve,
  });
}

const thousands = (_chart, splits) => splits.map((value) => (value >= 1000 ? `${integer(value / 1000)}k` : integer(value)));
