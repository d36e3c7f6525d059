#!/bin/sh
# Resolve pyproject.toml into requirements/*.lock, with hashes, for every Python and platform we support. Pins that
# still fit are kept; UPGRADE=1 takes the newest of everything.
# Neither an index address nor a comment gets in, so the files only change when a version does.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH"
command -v uv >/dev/null || { echo "make lock needs uv: .venv/bin/pip install uv" >&2; exit 1; }

lock() {
    output=requirements/$1.lock
    shift
    # one version for all Pythons: what CI has tested on one is what the others run
    uv pip compile ${UPGRADE:+--upgrade} "$@" --output-file "$output" --quiet \
        --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links
}

lock control-plane pyproject.toml --extra control-plane
lock node pyproject.toml --extra node
lock dev pyproject.toml --all-extras --group dev
# the egress proxy alone: what the agent that has it inside was tested with
lock egress --group egress --constraint requirements/dev.lock
# comes on top of dev, whose versions it shares
lock browsers --group browsers --constraint requirements/dev.lock
# each in an environment of its own, so they share nothing
lock aws --group aws
lock checkov --group checkov
