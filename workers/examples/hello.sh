#!/bin/sh
# The hello job in plain shell, to be run under the supervisor: longhaul-worker run -- sh hello.sh
#
# It needs a POSIX shell and awk and knows nothing of callbacks: it finds its input in variables,
# and leaves its result in a file.
set -eu

if [ -z "${MESSAGE+set}" ]; then
    case ${LONGHAUL_INPUT-} in
    *'"message":'*)
        echo 'the message of the input fits no variable: it is not text, or holds a NUL' >&2
        exit 2
        ;;
    esac
fi
message=${MESSAGE-Hello from Lambda Durable Function}
seconds=${PROCESSING_TIME-10}

case $seconds in
'' | *[!0-9.]*)
    printf 'PROCESSING_TIME is not a number of seconds: %s\n' "$seconds" >&2
    exit 2
    ;;
esac

echo '--- The hello job has started ---'
printf 'Message: %s\n' "$message"
printf 'Processing Time: %s seconds\n' "$seconds"
echo 'Simulating work...'
sleep "$seconds"

# The message as a JSON string. ENVIRON, because awk would interpret the backslashes of -v; the C
# locale, because byte by byte UTF-8 passes through as it is.
json=$(MESSAGE="Processed: $message" LC_ALL=C awk 'BEGIN {
    for (i = 1; i < 32; i++) escaped[sprintf("%c", i)] = sprintf("\\u%04x", i)
    escaped["\\"] = "\\\\"
    escaped["\""] = "\\\""
    text = ENVIRON["MESSAGE"]
    length_of_text = length(text)
    printf "\""
    for (i = 1; i <= length_of_text; i++) {
        character = substr(text, i, 1)
        printf "%s", (character in escaped) ? escaped[character] : character
    }
    printf "\""
}')
result="{\"status\":\"completed\",\"message\":$json}"

printf 'Result: %s\n' "$result"
if [ -n "${LONGHAUL_RESULT_FILE-}" ]; then
    printf '%s\n' "$result" >"$LONGHAUL_RESULT_FILE"
fi
