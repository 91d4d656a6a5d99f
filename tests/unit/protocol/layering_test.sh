#!/bin/sh
# Arrows between folders point down only: protocol <- routing <- migration <- proxy (READMEs of the folders). Fails with the
# offending lines. Before the tree is judged, the rules are shown to catch planted offences.
#   layering_test.sh SOURCE_ROOT
set -eu

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]'

# files FOLDER NAME_PATTERN...: what the rules look at
sources() { find "$1" -name '*.h' -o -name '*.cc'; }
lists() { find "$1" -name CMakeLists.txt; }

# forbid WHY PATTERN FILES...: prints matching lines and counts an offence
forbid() {
  why=$1 pattern=$2
  shift 2
  if [ $# -gt 0 ] && grep -HnE "$pattern" "$@"; then
    echo "  ^ $why"
    offences=$((offences + 1))
  fi
}

# check ROOT: number of rules broken below ROOT, in $offences
check() {
  offences=0
  for arrow in 'protocol:routing|migration|proxy' 'routing:migration|proxy' 'migration:proxy'; do
    low=${arrow%%:*} high=${arrow#*:}
    forbid "$low/ may not know $high" "$include(\.\./)*($high)/" $(sources "$1/$low")
    forbid "$low/ may not link $high" "pgrotor_($high)([^_a-z]|\$)" $(lists "$1/$low")
  done
  # Only the standard library, whose headers have neither a slash nor a dot, and protocol's own.
  forbid 'protocol/ is sans-I/O: standard library only' '^[[:space:]]*#[[:space:]]*include[[:space:]]*<[^>]*[/.]' $(sources "$1/protocol")
  forbid 'protocol/ is sans-I/O: own headers only' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^p]|p[^r]|pr[^o]|pro[^t])' $(sources "$1/protocol")
  forbid 'protocol/ does no I/O' "$include"'(iostream|fstream|thread|mutex|filesystem)[>"]' $(sources "$1/protocol")
  forbid 'protocol/ links nothing else' '(Boost|OpenSSL|PkgConfig|Threads|fmt)::' $(lists "$1/protocol")
  forbid 'routing/ has no sockets' "$include"'(boost/(asio|beast)|libpq|openssl/|sys/socket|prometheus/)' $(sources "$1/routing")
}

# planted FILE LINE: the rules must object to this line
planted() {
  tree=$(mktemp -d /tmp/pgrotor-XXXXXX)
  mkdir -p "$tree/protocol" "$tree/routing" "$tree/migration" "$tree/proxy"
  echo "$2" >"$tree/$1"
  check "$tree" >/dev/null
  rm -r "$tree"
  if [ "$offences" -eq 0 ]; then
    echo "the rules miss '$2' in $1"
    exit 1
  fi
}

planted protocol/a.cc '#include <boost/asio.hpp>'
planted protocol/a.h '# include <openssl/evp.h>'
planted protocol/a.h '#include <libpq-fe.h>'
planted protocol/a.cc '#include <sys/socket.h>'
planted protocol/a.cc '#include <prometheus/counter.h>'
planted protocol/a.cc '#include "boost/asio.hpp"'
planted protocol/a.cc '#include <fstream>'
planted protocol/a.cc '#include "routing/map/shard_map.h"'
planted protocol/a.cc '#include "../proxy/session.h"'
planted protocol/CMakeLists.txt 'target_link_libraries(pgrotor_protocol PUBLIC pgrotor_routing)'
planted protocol/CMakeLists.txt 'target_link_libraries(pgrotor_protocol PUBLIC OpenSSL::Crypto)'
planted routing/a.cc '#include "migration/plan/state.h"'
planted routing/a.cc '#include <boost/asio/ip/tcp.hpp>'
planted migration/a.cc '#include "proxy/gate/gate.h"'
planted migration/CMakeLists.txt 'target_link_libraries(pgrotor_migration PUBLIC pgrotor_proxy)'

check "$1"
[ -n "$(sources "$1/protocol")" ] || { echo "no sources below $1/protocol"; exit 1; }
[ "$offences" -eq 0 ]
