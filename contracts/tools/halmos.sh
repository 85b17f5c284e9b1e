#!/bin/sh
# Proves the properties in contracts/test/halmos with Halmos, in a virtual environment of its own.
#
#   sh contracts/tools/halmos.sh [OPTIONS OF HALMOS]
#
# HALMOS_VENV names the environment (default ../build/halmos beside this folder); it is made where it is missing.
# Exit codes: 0 all proven, 7 the machine lacks something, others as Halmos's: a counterexample, or the solver gave up.
set -eu

EXIT_SETUP=7
VERSION=0.3.3

cd "$(dirname "$0")/.."
venv=${HALMOS_VENV:-../build/halmos}
if [ ! -x "$venv/bin/halmos" ]; then
  command -v python3 >/dev/null 2>&1 || {
    printf '%s\n' "contracts/tools/halmos.sh: python3 is missing" "  why:  Halmos is a Python program" \
      "  try:  apt-get install python3 python3-venv" >&2
    exit "$EXIT_SETUP"
  }
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "halmos==$VERSION" || {
    printf '%s\n' "contracts/tools/halmos.sh: halmos $VERSION could not be installed" \
      "  why:  see pip's message above" "  try:  $venv/bin/pip install halmos==$VERSION" >&2
    exit "$EXIT_SETUP"
  }
fi

[ -x .bin/forge ] || {
  printf '%s\n' "contracts/tools/halmos.sh: .bin/forge is missing" "  why:  Halmos compiles through it" \
    "  try:  sh contracts/tools/setup.sh" >&2
  exit "$EXIT_SETUP"
}
FOUNDRY_PROFILE=halmos
PATH="$PWD/.bin:$PATH"
export FOUNDRY_PROFILE PATH
exec "$venv/bin/halmos" --root . --forge-build-out cache/halmos-out --function check_ --loop 8 --solver-threads 1 "$@"
