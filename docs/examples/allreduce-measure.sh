#!/bin/sh
# Four workers of allreduce.py, one of which is killed: how long the other three go on, without `fatebound exec` and with it.
# Usage: allreduce-measure.sh [SECONDS]: so long they are watched without it (default 60). FATEBOUND names the program.
set -eu
watched=${1:-60}
fatebound=${FATEBOUND:-fatebound}
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
now() { date +%s%N; }
cleanup() { kill $(cat "$place"/*.pid 2>/dev/null) 2>/dev/null || true; rm -rf "$place"; }
trap cleanup EXIT
export STEPS=1000000

echo "unix:$place/sum" > "$place/state"
for rank in 0 1 2 3; do
    FATEBOUND_RANK=$rank FATEBOUND_SIZE=4 FATEBOUND_STATE=$place/state python3 "$here/allreduce.py" > "$place/plain-$rank" &
    echo $! > "$place/plain-$rank.pid"
done
for rank in 0 1 2 3; do until grep -q "step 10" "$place/plain-$rank"; do sleep 0.1; done; done
kill -KILL "$(cat "$place/plain-2.pid")"
sleep "$watched"
left=0
for rank in 0 1 3; do kill -0 "$(cat "$place/plain-$rank.pid")" 2>/dev/null && left=$((left + 1)); done
echo "without: $left of 3 workers still wait $watched s after the death of one"
for rank in 0 1 3; do kill "$(cat "$place/plain-$rank.pid")" 2>/dev/null || true; rm "$place/plain-$rank.pid"; done
rm "$place/plain-2.pid"

bootstrap=
peers=
for node in 0 1 2 3; do
    "$fatebound" node --profile local --listen /ip4/127.0.0.1/tcp/0 --data-dir "$place/node-$node" --api "unix:$place/$node.sock" $bootstrap > "$place/node-$node.out" 2> /dev/null &
    echo $! > "$place/node-$node.pid"
    until grep -q ready "$place/node-$node.out"; do sleep 0.1; done
    address=$(sed -n 's/^listening //p' "$place/node-$node.out" | head -1)
    if [ "$node" = 0 ]; then bootstrap="--bootstrap $address"; else peers="$peers $address"; fi
done
worker='echo $$ > "$0.pid"; exec python3 "$1"'
for rank in 1 2 3; do
    "$fatebound" exec --api "unix:$place/$rank.sock" --accept sum -- sh -c "$worker" "$place/with-$rank" "$here/allreduce.py" > "$place/with-$rank" 2> /dev/null &
done
"$fatebound" exec --api "unix:$place/0.sock" --create $peers --tag sum --state "unix:$place/sum" --wait 30s -- sh -c "$worker" "$place/with-0" "$here/allreduce.py" > "$place/with-0" 2> /dev/null &
for rank in 0 1 2 3; do until grep -q "step 10" "$place/with-$rank" 2>/dev/null; do sleep 0.1; done; done
begin=$(now)
kill -KILL "$(cat "$place/with-2.pid")"
for rank in 0 1 3; do while kill -0 "$(cat "$place/with-$rank.pid")" 2>/dev/null; do sleep 0.001; done; done
echo "with: all workers were gone $((($(now) - begin) / 1000000)) ms after the death of one"
rm "$place"/with-*.pid
