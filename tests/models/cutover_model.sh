#!/usr/bin/env bash
# Checks cutover.pml with spin: the protocol as designed holds in every interleaving, and each rule removed has a counterexample.
set -euo pipefail
model=$(cd "$(dirname "$0")" && pwd)/cutover.pml
work=$(mktemp -d /tmp/pgrotor-model-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
errors_without() {  # prints the number of errors that pan finds with this rule removed ("" = none removed)
  spin ${1:+-D"$1"} -a "$model" > spin.log || { cat spin.log >&2; return 1; }
  gcc -O2 -DSAFETY -o pan pan.c
  ./pan -m200000 > pan.log
  if grep -q 'max search depth too small' pan.log; then echo "the search of '$1' was cut off" >&2; return 1; fi
  sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}
violated() { grep -q 'assertion violated' pan.log; }  # a deadlock of the model itself would be no counterexample
failed=0
found=$(errors_without "")
echo "as designed: $found errors, $(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' pan.log) states"
[ "$found" = 0 ] || failed=1
for rule in NO_EPOCH NO_WFENCE END_BEFORE_FENCE NO_DRAIN NO_RFENCE STALE_MARKER; do
  found=$(errors_without "$rule")
  echo "$rule: $found errors"
  { [ "$found" -gt 0 ] && violated; } || failed=1
done
exit $failed
