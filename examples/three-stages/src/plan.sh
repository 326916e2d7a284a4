# Divides an area into TILES tiles: a JSON list of them.
set -eu
awk -v tiles="$TILES" 'BEGIN {
    printf "["
    for (n = 0; n < tiles; n++) printf "%s{\"tile\":%d,\"echo\":%d}", (n ? "," : ""), n, 1000 - (n * 7) % 101
    printf "]\n"
}' >"$LONGHAUL_RESULT_FILE"
