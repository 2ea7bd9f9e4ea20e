#!/usr/bin/env bash
# Measures our switch and Kamailio in turn at the same rates: tests/sip_bench/run.sh [RATE ...]. See README.md.
# ROUNDS (default 3) and SECONDS_EACH (default 8) make it shorter or longer. Needs sipp and kamailio (apt-get install sip-tester kamailio).
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
rates=${*:-"1000 2000"}
for program in sipp kamailio; do
  command -v $program >/dev/null || { echo "$program is missing: apt-get install sip-tester kamailio"; exit 2; }
done
# The switch and the event log as they are shipped (profile release), without the rooms that take long to build.
(cd "$root" && cargo build --release -q -p switch --example lone_switch) || exit 1
binary=${CARGO_TARGET_DIR:-$root/target}/release/examples/lone_switch
work=$(mktemp -d)
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT

ours() { # scenario rates
  LONE_SWITCH_LOG=$work/log LONE_SWITCH_TRACE=$work/trace "$binary" 127.0.0.1:15060 127.0.0.1:15080 127.0.0.1/32 \
    >/dev/null 2>"$work/switch.err" &
  pid=$!
  sleep 1
  kill -0 $pid || { cat "$work/switch.err"; exit 1; }
  "$here/drive.sh" -p $pid -S 49301234 -s "$1" -r "$2" -D "${SECONDS_EACH:-8}" | sed 's/^/tollbook  /'
  kill $pid; wait $pid 2>/dev/null
  rm -rf "$work/log" "$work/trace"
}
theirs() { # scenario rates modules
  "$here/drive.sh" -k -A "$3" -s "$1" -r "$2" -D "${SECONDS_EACH:-8}" | sed 's/^/kamailio  /'
}
for round in $(seq "${ROUNDS:-3}"); do
  echo "round $round"
  for rate in $rates; do
    ours uac "$rate"
    theirs uac "$rate" WITH_DIALOG
  done
  ours register 1000
  theirs register 1000 ""
done
