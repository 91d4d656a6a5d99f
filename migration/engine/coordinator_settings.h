// What the configuration says to the coordinator. Values, any thread.
#pragma once

#include <string>

#include "migration/base/task.h"

namespace migration {

struct coordinator_settings {
  std::string catalog_dsn;       // libpq keyword/value string or URI, with user
  milliseconds lease{10'000};    // of the term: so long a successor waits, unless it knows that this process is gone
  std::string shard_user, shard_password;  // the role pgrotor logs in with on every shard (deploy/shard_rights.sql)
  std::string pg_dump = "pg_dump";
  milliseconds operation_timeout{30'000};
  milliseconds question_timeout{5'000};  // of a shard that is asked while a client waits for the answer
  milliseconds recover_after{10'000};    // a branch of a transaction over several shards may stay prepared for so long
  milliseconds cutover_budget{500};   // from closing the gates to the commit point; WITH (max_pause) lowers it
  milliseconds hold_budget{10'000};   // one held statement
  milliseconds poll{50};
  std::size_t migrations_at_once = 1;  // that have no shard in common
  bool end_strangers = true;          // sessions that hold a lock of a fence without a right to it (strangers.h)
};

}  // namespace migration
