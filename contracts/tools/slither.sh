#!/bin/sh
# Runs Slither on contracts/src in a virtual environment of its own: it needs an older web3 than the project.
#
#   sh contracts/tools/slither.sh [OPTIONS OF SLITHER]
#
# SLITHER_VENV names the environment (default ../.venv-slither beside this folder); it is made where it is missing.
# Exit codes: 0 no finding of high or medium impact, 7 the machine lacks something, others as Slither's.
set -eu

EXIT_SETUP=7
VERSION=0.11.6

cd "$(dirname "$0")/.."
venv=${SLITHER_VENV:-../.venv-slither}
if [ ! -x "$venv/bin/slither" ]; then
  command -v python3 >/dev/null 2>&1 || {
    printf '%s\n' "contracts/tools/slither.sh: python3 is missing" "  why:  Slither is a Python program" \
      "  try:  apt-get install python3 python3-venv" >&2
    exit "$EXIT_SETUP"
  }
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "slither-analyzer==$VERSION" || {
    printf '%s\n' "contracts/tools/slither.sh: slither-analyzer $VERSION could not be installed" \
      "  why:  see pip's message above" "  try:  $venv/bin/pip install slither-analyzer==$VERSION" >&2
    exit "$EXIT_SETUP"
  }
fi

[ -x .bin/forge ] || {
  printf '%s\n' "contracts/tools/slither.sh: .bin/forge is missing" "  why:  Slither compiles through it" \
    "  try:  sh contracts/tools/setup.sh" >&2
  exit "$EXIT_SETUP"
}
# Slither cleans and rebuilds: give it folders of its own, or others lose contracts/out.
FOUNDRY_OUT=cache/slither-out
FOUNDRY_CACHE_PATH=cache/slither
PATH="$PWD/.bin:$PATH"
export FOUNDRY_OUT FOUNDRY_CACHE_PATH PATH
exec "$venv/bin/slither" . --config-file slither.config.json --foundry-out-directory cache/slither-out "$@"
