#!/usr/bin/env bash
# Checks one model with spin: it holds in every interleaving as designed, and each rule removed has a counterexample.
#   spin_model.sh MODEL.pml [+]RULES...        RULES: -D words joined by commas, all removed at once; with + in front the rest still holds
set -euo pipefail
model=$(cd "$(dirname "$0")" && pwd)/$1
shift
work=$(mktemp -d /tmp/pgrotor-model-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
errors_without() {  # prints the number of errors that pan finds with these rules removed ("" = none removed)
  local rules
  IFS=, read -ra rules <<< "$1"
  spin "${rules[@]/#/-D}" -a "$model" > spin.log || { cat spin.log >&2; return 1; }
  gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
  ./pan -m2000000 > pan.log
  if grep -q 'max search depth too small' pan.log; then echo "the search of '$1' was cut off" >&2; return 1; fi
  sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}
violated() { grep -q 'assertion violated' pan.log; }  # a deadlock of the model itself would be no counterexample
failed=0
found=$(errors_without "")
echo "as designed: $found errors, $(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' pan.log) states"
[ "$found" = 0 ] || failed=1
for rules in "$@"; do
  found=$(errors_without "${rules#+}")
  echo "$rules: $found errors"
  case "$rules" in
    +*) [ "$found" = 0 ] || failed=1 ;;
    *) { [ "$found" -gt 0 ] && violated; } || failed=1 ;;
  esac
done
exit $failed
