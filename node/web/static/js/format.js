// Numbers, amounts, times and words for people. Amounts arrive as decimal text of 10^-18 CWT and are never turned into floats before the last digit.

const UNIT = 10n ** 18n;
const plain = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** Units (text or BigInt) as CWT with `digits` decimals, cut, not rounded up: nobody is shown more than there is. */
export function cwt(units, digits = 1) {
  if (units === null || units === undefined) return "–";
  const value = BigInt(units);
  const sign = value < 0n ? "−" : "";
  const size = value < 0n ? -value : value;
  const whole = plain.format(size / UNIT);
  if (digits === 0) return sign + whole;
  const fraction = ((size % UNIT) * 10n ** BigInt(digits)) / UNIT;
  return `${sign}${whole}.${String(fraction).padStart(digits, "0")}`;
}

/** What a person typed as CWT, in units; null where it is no amount. */
export function units(text) {
  const found = /^(\d{1,12})(?:\.(\d{1,18}))?$/.exec(text.replaceAll(",", ""));
  return found ? BigInt(found[1]) * UNIT + BigInt((found[2] ?? "").padEnd(18, "0")) : null;
}

/** The same, but a dash for nothing: calmer in tables. */
export const amount = (units, digits = 1) => (BigInt(units ?? 0) === 0n ? "–" : cwt(units, digits));

/** Units as a float of CWT, for charts only. */
export const cwtFloat = (units) => Number(BigInt(units ?? 0)) / 1e18;

/** `part` of `whole` in units, as a fraction 0…1 with six digits. */
export function fraction(part, whole) {
  const total = BigInt(whole ?? 0);
  return total === 0n ? 0 : Number((BigInt(part ?? 0) * 1_000_000n) / total) / 1e6;
}

export const integer = (value) => (value === null || value === undefined ? "–" : plain.format(value));

export function number(value, digits = 4) {
  return value === null || value === undefined ? "–" : Number(value).toFixed(digits);
}

/** Parts per million as per cent. */
export const percent = (ppm, digits = 1) => (ppm === null || ppm === undefined ? "–" : `${(ppm / 1e4).toFixed(digits)} %`);

/** A signed whole number, with the true minus sign. */
export function signed(value) {
  if (value === null || value === undefined) return "–";
  return value > 0 ? `+${plain.format(value)}` : value < 0 ? `−${plain.format(-value)}` : "0";
}

/** A benchmark score in ppm as a decimal fraction, and a difference of two. */
export const score = (ppm) => (ppm === null || ppm === undefined ? "–" : (ppm / 1e6).toFixed(4));
export function scoreDelta(ppm) {
  if (ppm === null || ppm === undefined) return "new";
  return ppm > 0 ? `+${(ppm / 1e6).toFixed(4)}` : ppm < 0 ? `−${(-ppm / 1e6).toFixed(4)}` : "±0";
}

export const shortHash = (text) => (text && text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-4)}` : (text ?? "–"));

/** Seconds as "02:31", "3 h 05 min" or "2 d 4 h". */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const pad = (n) => String(n).padStart(2, "0");
  if (s < 3600) return `${pad(Math.floor(s / 60))}:${pad(s % 60)}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Seconds spoken: "2 minutes", "3 hours". */
export function roughly(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const say = (n, unit) => `${n} ${unit}${n === 1 ? "" : "s"}`;
  if (s < 60) return say(s, "second");
  if (s < 3600) return say(Math.round(s / 60), "minute");
  if (s < 86400) return say(Math.round(s / 3600), "hour");
  return say(Math.round(s / 86400), "day");
}

/** "3 min ago" of two times in seconds. */
export function ago(at, now) {
  if (at === null || at === undefined) return "–";
  const s = Math.round(now - at);
  if (s < 5) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
export const time = (at) => (at === null || at === undefined ? "–" : clock.format(new Date(at * 1000)));

const PHASES = {
  COMMIT: "Commit",
  REVEAL: "Reveal",
  SEED: "Seed",
  SCORE_COMMIT: "Score commit",
  SCORE_REVEAL: "Score reveal",
  SETTLE: "Settle",
  RETRY_COMMIT: "Retry commit",
  RETRY_REVEAL: "Retry reveal",
  RETRY_SETTLE: "Retry settle",
  ATTEST: "Attest",
  CHALLENGE: "Challenge",
  FINALIZED: "Finalised",
  VOIDED: "Voided",
};
export const phaseName = (phase) => PHASES[phase] ?? phase ?? "–";

/** What a phase is for, in one line. */
const PURPOSES = {
  COMMIT: "Trainers commit to their updates",
  REVEAL: "Trainers publish their updates, the steward opens the sealed slice",
  SEED: "A block hash draws who verifies whom",
  SCORE_COMMIT: "Verifiers seal their scores",
  SCORE_REVEAL: "Verifiers open their scores",
  SETTLE: "Medians become verdicts",
  RETRY_COMMIT: "A second panel seals scores of what was left unscored",
  RETRY_REVEAL: "The second panel opens its scores",
  RETRY_SETTLE: "The second panel's medians become verdicts",
  ATTEST: "Attesters say which model they computed",
  CHALLENGE: "Anybody may dispute a verdict or the model",
  FINALIZED: "The model stands, rewards can be claimed",
  VOIDED: "The round ended without a model",
};
export const phasePurpose = (phase) => PURPOSES[phase] ?? "";

/** "TOO_FEW_REVEALS" or "VotingPeriod" as words. */
export function words(text) {
  if (!text) return "–";
  const spaced = String(text)
    .replaceAll("_", " ")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase();
  return spaced.replace("finalized", "finalised");
}
export const sentence = (text) => {
  const lower = words(text);
  return lower.charAt(0).toUpperCase() + lower.slice(1);
};
