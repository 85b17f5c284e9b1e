#!/bin/sh
# Installs Hardhat's node beside this file from the npm registry. Quick when nothing changed; exit code 7 says what is missing.
set -eu
cd "$(dirname "$0")"

stop() {
  printf '%s\n' "contracts/hardhat/setup.sh: $1" "  why:  $2" "  try:  $3" >&2
  exit 7
}

command -v npm >/dev/null 2>&1 || stop "npm is missing" "Hardhat is an npm package" "install Node.js 20 or later with npm"
if [ -f node_modules/.installed ] && cmp -s package-lock.json node_modules/.installed; then
  exit 0
fi
echo "Installing Hardhat's node (300 MB: its package brings the engine for seven platforms) …"
# --ignore-scripts: nothing here needs an install script, so none may run.
npm ci --ignore-scripts --no-audit --no-fund || stop "npm ci failed" \
  "see npm's message above; mostly the registry cannot be reached" "npm ping, then npm config get registry"
cp package-lock.json node_modules/.installed
