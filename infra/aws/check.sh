#!/bin/sh
# All that can be known of the template without an account: what cfn-lint, SAM and checkov say of it, and our own tests,
# which know what those pass and AWS refuses. Nothing here calls AWS.
set -eu
cd "$(dirname "$0")/../.."
python=.venv/bin/python
"$python" -m infra.bootstrap.aws
export SAM_CLI_TELEMETRY=0 AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=eu-central-1 \
    AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none LOG_LEVEL=ERROR

echo "cfn-lint"
build/tools/aws/bin/cfn-lint --regions us-east-1 eu-central-1 -- template.yaml infra/aws/*.yaml

for template in template.yaml infra/aws/*.yaml; do
    build/tools/aws/bin/sam validate --lint --template "$template" >"${TMPDIR:-/tmp}/sam-$$" 2>&1 ||
        { cat "${TMPDIR:-/tmp}/sam-$$"; rm -f "${TMPDIR:-/tmp}/sam-$$"; exit 1; }
    rm -f "${TMPDIR:-/tmp}/sam-$$"
    echo "sam validate: $template"
done

"$python" -m infra.aws.packaging build/tools/aws/bin/sam

# it looks into no loop, so it is shown what they make
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$python" -m infra.aws.parts "$made"
cp template.yaml infra/aws/*.yaml "$made"
echo "checkov"
build/tools/checkov/bin/checkov --directory "$made" --framework cloudformation --skip-download --compact --quiet

"$python" -m pytest -q tests/contract/aws tests/unit/infra/aws tests/integration/infra/aws
