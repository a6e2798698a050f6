#!/usr/bin/env bash
# Say which versions in requirements.lock have known weaknesses. Asks the package index, so it needs a network.
#
#     scripts/audit_dependencies.sh
set -euo pipefail
lock="$(cd "$(dirname "$0")/.." && pwd)/requirements.lock"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place"
"$place/bin/pip" install --quiet pip-audit
"$place/bin/pip-audit" --require-hashes --disable-pip --requirement "$lock" "$@"
