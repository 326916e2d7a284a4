# Sums up: the input is a JSON list of whole numbers.
set -eu
printf '%s' "$LONGHAUL_INPUT" | tr -d '[]' | tr ',' '\n' | awk '
    { sum += $1; if (NR == 1 || $1 > highest) highest = $1 }
    END { printf "{\"tiles\":%d,\"highest\":%d,\"sum\":%d}\n", NR, highest, sum }
' >"$LONGHAUL_RESULT_FILE"
