// What a session knows of the message at hand: where it is to run, and the messages of a pipeline. Made for one message, by session.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "protocol/backend.h"
#include "protocol/frame.h"
#include "proxy/state/prepared.h"
#include "proxy/state/sql_statements.h"
#include "proxy/transaction/transaction_log.h"
#include "routing/route/router.h"

namespace proxy {

// Nothing of it has to be told to another shard of its transaction; true of most statements.
inline bool says_nothing(const routing::statement_plan& plan) noexcept {
  const auto& effects = plan.effects;
  return plan.kind == routing::statement_kind::query && effects.makes == 0 && !effects.resets && !effects.unknown_calls && effects.calls.empty() &&
         !plan.opens_cursor && !plan.prepare;
}

struct session_choice {
  std::optional<routing::shard_id> shard;  // none: any
  std::vector<routing::shard_id> scatter;  // it runs on all of these,
  bool pulls = false;                      // ... or on copies of what it reads there
  bool by_key = false;
  boost::container::small_vector<routing::touch, 4> touches;
  bool row_locks = false;
  bool sequence_values = false;      // reads those that the session has drawn
  bool ended = false;                // the transaction ends before the last statement
  bool failed = false;               // it has failed, and nothing so far takes it back
  bool arrived = false;              // a key came to this shard after the transaction did
  bool departed = false;             // a key has left a shard of the transaction since that came there
  bool foreign_snapshot = false;     // the transaction's is that of another one
  bool bound = false;                // it does more than what can be done again on another shard
  boost::container::small_vector<saying, 2> says;  // what other shards of the transaction have to hear, in this order,
  bool unsaid = false;               // ... and whether there is more that cannot be told
  bool misreads = false;             // what runs before the next statement may change how that is read,
  bool writes = false;               // ... or its triggers may
  std::vector<sql_prepare_ptr> executes;
  std::optional<protocol::notice> refused;
};

// What a message may lack before it can be sent, and has to be waited for: session_needs.cc.
enum class need : char {
  nothing,         // it was sent, or refused
  end,             // COMMIT or ROLLBACK on several shards
  prepared_shard,  // where the transaction of COMMIT PREPARED is
  types,           // of parameters that are shard keys
  clients,         // what it asks of other clients, or does to them
  name,            // of PREPARE TRANSACTION, which nobody else may use
  scatter,         // all of its shards are to run it together
  move,            // the transaction is to leave its shard, to which it is not bound
  gate,            // to open
  branch,          // on another shard
  snapshot,        // that sees the rows of a key which came to the shard
  going_back,      // of the other shards, to its savepoint
  server,
};

// Of the message at hand, what is not done again however often it is decided anew.
struct done_for_message {
  bool over = false;                             // it was run and answered
  bool gids = false, types = false;              // shards were asked for them
  bool clients = false;                          // its calls about clients were answered:
  std::vector<std::optional<bool>> truths;       // ... so, in their order; none: as the shard answers them
  std::size_t truths_told = 0;
  bool gone_back = false;                        // the other shards are back at its savepoint
  std::optional<protocol::notice> name_refused;  // of PREPARE TRANSACTION alone
};

// One message of the extended protocol; views point into the session's input.
struct batch_item {
  char type = 0;
  std::string_view frame;
  statement_ptr statement;  // of P, B, D 'S', and E when its portal is known
  const routing::statement_plan* plan = nullptr;  // of the statement; find_plans() renews it after every wait
  bool named = false;
  bool reset = false;  // the proxy answers: see mark_resets()
  std::uint32_t undo = 0;
  std::string_view body() const noexcept { return frame.substr(protocol::frame_header_size); }
  std::size_t size() const noexcept { return protocol::load_int<std::uint32_t>(frame.data() + 1) + std::size_t{1}; }
  bool is_front() const noexcept { return frame.size() < size(); }  // of a large Bind: the rest is passed on as it comes
};

// A Bind, and what comes behind it: something there runs its statement.
inline bool is_executed(std::span<const batch_item> from_bind) {
  const auto& bind = from_bind.front();
  return std::any_of(from_bind.begin(), from_bind.end(), [&](const batch_item& one) { return one.type == 'E' && one.statement == bind.statement; });
}

}  // namespace proxy
