# Measures one tile: the height above a satellite's echo. TILE and ECHO are members of the job's input.
#
# Some tiles are trouble, so that there is something to see: this is what clouds, a kernel without
# memory, a machine that is taken away and one that loses its power look like from outside.
set -eu
case $TILE in
*3)
    echo "tile $TILE is under cloud" >&2
    exit 3
    ;;
*7) kill -KILL $$ ;;
25) kill -KILL $PPID && exec sleep 600 ;;
35) [ "$LONGHAUL_ATTEMPT" -gt 1 ] || { kill -TERM $PPID && exec sleep 600; } ;;
esac
printf '%d\n' $((1000 - ECHO)) >"$LONGHAUL_RESULT_FILE"
