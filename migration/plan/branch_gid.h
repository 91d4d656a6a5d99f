// The name under which a transaction over several shards is prepared on one of them: 'pgrotor_<uuid>_<number of the shard that decides>_<i>',
// with an 'l' behind it where the branch wrote nothing and only holds locks, which are let go after all else. Values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "routing/map/types.h"

namespace migration {

// On a transaction over several shards, by the one that decides.
enum class commit_verdict {
  commit,   // for good, durably
  abort,    // for good: who has not committed by now never will
  unknown,  // not to be had now; it says nothing
};

struct branch_gid {
  std::string uuid;           // 8-4-4-4-12 in lower case, as PostgreSQL writes it
  routing::shard_id decider;  // the participant that is not prepared
  std::uint32_t number = 1;   // of the branch, from 1
  bool locks_only = false;

  std::string text() const;
  // Nothing where it is not exactly such a name.
  static std::optional<branch_gid> parse(std::string_view text);
  bool operator==(const branch_gid&) const = default;
};

}  // namespace migration
