#!/bin/sh
# Runs each fuzzer for SECONDS on its corpus, one after the other, and keeps the smallest set of inputs that reaches as much.
#   tests/fuzz/run.sh BUILD_DIR SECONDS     (after `ninja -C BUILD_DIR fuzzers`)
# An input that breaks something is left in corpus/<target>/ as crash-*, and the run fails.
set -eu
export UBSAN_OPTIONS=halt_on_error=1
build=$(cd "$1" && pwd) seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
for target in backend first_packet frontend pgoutput scram; do
  fuzzer=$(find "$build" -type f -name "fuzz_$target" -perm -u+x)
  corpus=$here/corpus/$target grown=$(mktemp -d /tmp/pgrotor-XXXXXX) least=$(mktemp -d /tmp/pgrotor-XXXXXX)
  "$fuzzer" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -artifact_prefix="$corpus/" "$grown" "$corpus" 2>&1 |
    tee "$least.log" | grep -E 'stat::number_of_executed|ERROR|SUMMARY|DONE' || true
  if grep -q 'SUMMARY:' "$least.log"; then exit 1; fi
  "$fuzzer" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$least" "$corpus" "$grown" 2>/dev/null
  rm -r "$corpus" && mv "$least" "$corpus" && chmod 755 "$corpus"
  echo "$target: $(ls "$corpus" | wc -l) inputs, $(du -sb "$corpus" | cut -f1) bytes"
  rm -r "$grown" "$least.log"
done
