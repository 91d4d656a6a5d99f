#!/usr/bin/env bash
# Rules of g++ 12 that cost days when they are forgotten: nothing is awaited inside a condition or beside && and || (the coroutine's
# frame is laid out wrong and resuming it jumps to nowhere), and no aggregate or conditional expression is built inside the awaited
# call (it is destroyed twice). Nor does a loop go over what a temporary shared_ptr holds, such as map()->tables(): the map is freed when another
# takes its place while the body awaits. The program shows that it finds each offence before it looks at the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
offences() {
  perl -0777 -ne '
    s{//[^\n]*}{}g;
    while (/\b(?:if|while|switch|for)\s*(\((?:[^()]++|(?1))*\))/g) { my $c = $1; print "$ARGV: $c\n" if $c =~ /co_await/ }
    while (/\bfor\s*\(([^;(){}]*:[^;{}]*\(\)->[^;{}]*)\{?/g) { print "$ARGV: $1\n" }
    while (/(co_await\b[^;]*)/g) {
      my $e = $1; (my $flat = $e) =~ s/\s+/ /g;
      print "$ARGV: $flat\n" if $e =~ /\w[({,]\s*\w+(::\w+)*\{[^}]/ || $e =~ /[({,][^;]*\?[^;]*(?:format|\")[^;]*:/ || $e =~ /&&\s*co_await|\|\|\s*co_await/;
    }' "$@"
}
planted=$(mktemp -d); trap 'rm -rf "$planted"' EXIT
i=0
while IFS= read -r line; do
  i=$((i + 1)); echo "$line" > "$planted/$i.cc"
  [ -n "$(offences "$planted/$i.cc")" ] || { echo "not found: $line"; exit 1; }
done <<'PLANTED'
if (!co_await send(l)) co_return;
while (co_await may_read()) {
co_await f(request{a, b});
for (const auto& table : engine_.map()->tables()) {
co_await go(state::cleaning, n ? fmt::format("{}", *n) : "none");
PLANTED
echo 'if (!taken) co_await timer.wait(now() + pause);' > "$planted/fine.cc"
[ -z "$(offences "$planted/fine.cc")" ] || { echo "found what is no offence"; exit 1; }
mapfile -t sources < <(find protocol routing migration proxy -name "*.cc" -o -name "*.h")
[ "${#sources[@]}" -gt 100 ] || { echo "only ${#sources[@]} sources found"; exit 1; }
found=$(offences "${sources[@]}")
[ -z "$found" ] || { echo "$found"; exit 1; }
echo "no await where g++ 12 breaks it"
