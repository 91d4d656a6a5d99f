// COMMIT PREPARED and ROLLBACK PREPARED: the transaction may be on any shard, prepared by any client, before a restart too. With several
// shards in the map each is asked for it, over a connection of the client's own user. Declared in proxy/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/session.h"

namespace proxy {

using routing::statement_kind;

namespace {

protocol::notice not_told(std::string_view gid, std::string_view shard, const protocol::notice& why) {
  return make_error(why.sqlstate, fmt::format("cannot tell whether shard {} has prepared transaction \"{}\"", shard, gid),
                    why.message + (why.detail.empty() ? "" : ": " + why.detail), "No other shard has it; retry when that one answers.");
}

protocol::notice on_two_shards(std::string_view gid, std::string_view one, std::string_view other) {
  return make_error(sqlstate::not_one_shard, fmt::format("shards {} and {} both have a prepared transaction \"{}\"", one, other, gid), "",
                    "Finish it on each of them with psql.");
}

}  // namespace

// Within a transaction PostgreSQL refuses it, on any shard.
bool session::must_be_found(const routing::statement_plan* plan) const {
  const bool finishes = plan && plan->kind == statement_kind::finish_prepared;
  return finishes && !server_ && !held_.failed() && w_.map->shards().size() > 1;
}

std::optional<routing::shard_id> session::shard_of_prepared(std::string_view gid) const {
  const auto found = std::find_if(prepared_on_.begin(), prepared_on_.end(), [gid](const auto& one) { return one.first == gid; });
  return found == prepared_on_.end() ? std::nullopt : std::optional(found->second);
}

// A pipeline's transaction on this shard is over, or may be: the server would look for the prepared one here.
bool session::out_of_place(const choice& c) const {
  return server_ && !borrowed_ && (state_.unsynced || c.ended) && w_.map->shards().size() > 1;
}

protocol::notice session::prepared_in_pipeline() {
  return make_error(sqlstate::not_one_shard, "the shard of a prepared transaction cannot be looked for in the middle of a pipeline", "",
                    "Send COMMIT PREPARED and ROLLBACK PREPARED behind a Sync.");
}

bool session::gids_are_missing() const {
  return std::any_of(batch_.begin(), batch_.end(), [this](const batch_item& item) { return item.type == 'B' && must_be_found(item.plan); });
}

task<std::optional<protocol::notice>> session::find_prepared_of_batch() {
  for (const auto& item : batch_) {
    const auto* plan = item.type == 'B' ? plan_of(item.statement) : nullptr;
    if (!must_be_found(plan)) continue;
    auto failed = co_await find_prepared(plan->gid);
    if (failed || closing_) co_return failed;
  }
  co_return std::nullopt;
}

// All shards are asked, one after the other: the name is unique on each, not among them. Found nowhere is no failure: the usual shard says
// that it does not exist. A shard that cannot be asked is one, unless another has it.
task<std::optional<protocol::notice>> session::find_prepared(std::string gid) {
  const auto map = w_.map;
  const routing::shard* found = nullptr;
  std::optional<protocol::notice> unknown;
  for (const auto& shard : map->shards()) {
    bool has = false;
    auto failed = co_await ask_prepared(shard.id, gid, has);
    if (closing_ || (failed && failed->sqlstate == sqlstate::query_canceled)) co_return failed;
    if (failed && !unknown) unknown = not_told(gid, shard.name, *failed);
    if (has && found) co_return on_two_shards(gid, found->name, shard.name);
    if (has) found = &shard;
  }
  if (!found) co_return unknown;
  prepared_on_.emplace_back(std::move(gid), found->id);
  co_return std::nullopt;
}

task<std::optional<protocol::notice>> session::ask_prepared(routing::shard_id shard, std::string_view gid, bool& has) {
  auto failed = co_await attach(shard);
  if (failed) co_return failed;
  borrowed_ = state_.seeking = true;
  clock_question();
  protocol::append(server_->out, protocol::query{fmt::format(
      "SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE gid OPERATOR(pg_catalog.=) {} AND database OPERATOR(pg_catalog.=) pg_catalog.current_database()",
      quoted_literal(gid))});
  server_->answers.expect(request::query, fate::capture);
  server_->statements.unnamed = 0;
  co_await wait_for_answer();
  if (!server_) co_return std::exchange(lost_, std::nullopt);
  if (closing_) co_return std::nullopt;
  const auto& error = server_->answers.failure();
  if (!error.empty()) failed = protocol::decode_notice(std::string_view(error).substr(protocol::frame_header_size));
  if (!error.empty() && !failed) failed = make_error(sqlstate::internal_error, "the shard's answer makes no sense");
  has = error.empty() && !server_->answers.rows().empty();
  release_server();
  co_return failed;
}

}  // namespace proxy
