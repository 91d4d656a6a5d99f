// COMMIT PREPARED and ROLLBACK PREPARED: the transaction may be on any shard, prepared by any client, before a restart too. With several
// shards in the map each is asked for it, over a connection of the client's own user. And PREPARE TRANSACTION, whose name must not be in use
// on any of them (migration/engine/prepared_names.h). Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "migration/base/refused.h"
#include "migration/plan/commands.h"
#include "proxy/session/session.h"

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

// PostgreSQL refuses a name of 200 bytes when it comes to look at it, which ends the transaction as a name in use does. The shard's log has it.
std::string refusable_prepare() {
  std::string name = "pgrotor: refused, see what the client was told; this name is too long on purpose, which rolls back ";
  name.resize(200, '.');
  return "PREPARE TRANSACTION " + quoted_literal(name);
}

}  // namespace

// Within a transaction PostgreSQL refuses it, on any shard.
bool session::must_be_found(const routing::statement_plan* plan) const {
  const bool finishes = plan && plan->kind == statement_kind::finish_prepared;
  return finishes && !here_.server && !held_.failed() && w_.map->shards().size() > 1;
}

std::optional<routing::shard_id> session::shard_of_prepared(std::string_view gid) const {
  const auto found = std::find_if(prepared_on_.begin(), prepared_on_.end(), [gid](const auto& one) { return one.first == gid; });
  return found == prepared_on_.end() ? std::nullopt : std::optional(found->second);
}

// A pipeline's transaction on this shard is over, or may be: the server would look for the prepared one here.
bool session::out_of_place(const choice& c) const {
  return here_.server && !here_.borrowed && (here_.unsynced || c.ended) && w_.map->shards().size() > 1;
}

protocol::notice session::prepared_in_pipeline() {
  return make_error(sqlstate::not_one_shard, "the shard of a prepared transaction cannot be looked for in the middle of a pipeline", "",
                    "Send COMMIT PREPARED and ROLLBACK PREPARED behind a Sync.");
}

bool session::gids_are_missing() const {
  return std::any_of(batch_.begin(), batch_.end(), [this](const batch_item& item) { return item.type == 'B' && must_be_found(item.plan); });
}

task<std::optional<protocol::notice>> session::find_prepared_of(char type, std::string_view frame) {
  if (type == 'Q') {
    const auto plan = plan_of_query(frame);
    co_return co_await find_prepared(plan->statements.front().gid);
  }
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
  here_.borrowed = true;
  here_.asking = question::prepared;
  clock_question();
  here_.server->ask(fmt::format(
      "SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE gid OPERATOR(pg_catalog.=) {} AND database OPERATOR(pg_catalog.=) pg_catalog.current_database()",
      quoted_literal(gid)));
  co_await wait_for_answer();
  if (!here_.server) co_return std::exchange(lost_, std::nullopt);
  if (closing_) co_return std::nullopt;
  failed = failure_of(here_.server->answers);
  has = !failed && !here_.server->answers.rows().empty();
  release_server();
  co_return failed;
}

// Statements in their order. What PostgreSQL does not prepare, needs no name: outside of a block, and in a transaction that has failed.
bool session::must_be_claimed(const routing::statement_plan* plan, bool& in_block) const {
  if (!plan) return false;
  const bool prepares = plan->kind == statement_kind::prepare_transaction && in_block;
  if (plan->kind == statement_kind::begin) in_block = true;
  else if (ends_transaction(plan->kind)) in_block = plan->chain;
  if (!prepares || w_.map->shards().size() < 2 || !w_.shared.names) return false;
  return std::none_of(claims_.begin(), claims_.end(), [plan](const auto& mine) { return mine.name() == plan->gid; });
}

bool session::has_names_to_claim(std::span<const routing::statement_plan> plans) const {
  if (std::none_of(plans.begin(), plans.end(), [](const auto& plan) { return plan.kind == statement_kind::prepare_transaction; })) return false;
  bool in_block = status() == protocol::transaction_status::in_transaction;
  return std::any_of(plans.begin(), plans.end(), [&](const auto& plan) { return must_be_claimed(&plan, in_block); });
}

bool session::has_names_to_claim() const {
  bool in_block = status() == protocol::transaction_status::in_transaction;
  return std::any_of(batch_.begin(), batch_.end(), [&](const batch_item& item) { return item.type == 'E' && must_be_claimed(item.plan, in_block); });
}

// The shard on which the transaction is looks at the name itself.
task<std::optional<protocol::notice>> session::claim_name(std::string gid) {
  const auto here = here_.server && !here_.borrowed ? std::optional(here_.server->shard) : std::nullopt;
  const auto names = w_.shared.names;
  try {
    auto mine = co_await names->take(std::move(gid), here);
    claims_.push_back(std::move(mine));
  } catch (const migration::refused& why) {
    co_return why.notice;
  }
  co_return std::nullopt;
}

// Of PREPARE TRANSACTION alone that is told in its place, with a server; of a pipeline, the first Execute whose name cannot be had is where it ends.
task<std::optional<protocol::notice>> session::claim_names_of(char type, std::string_view frame) {
  bool in_block = status() == protocol::transaction_status::in_transaction;
  if (type == 'Q') {
    const auto plan = plan_of_query(frame);
    for (const auto& statement : plan->statements) {
      if (!must_be_claimed(&statement, in_block)) continue;
      auto why = co_await claim_name(statement.gid);
      if (why && plan->statements.size() > 1) co_return why;
      done_.name_refused = std::move(why);
    }
    co_return std::nullopt;
  }
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const auto* plan = batch_[i].type == 'E' ? plan_of(batch_[i].statement) : nullptr;
    if (!must_be_claimed(plan, in_block)) continue;
    auto why = co_await claim_name(plan->gid);
    if (closing_) co_return std::nullopt;
    if (!why) continue;
    cut_batch(i, std::move(*why));
    prepare_refused_ = true;
    co_return std::nullopt;
  }
  co_return std::nullopt;
}

// As PostgreSQL: the transaction is rolled back, and over.
void session::fail_prepare(const protocol::notice& why, bool simple) {
  auto& answers = here_.server->answers;
  here_.server->statements.unnamed = 0;
  if (simple) {
    protocol::append(here_.server->out, protocol::query{refusable_prepare()});
    answers.expect(request::query);
  } else {
    protocol::parse parse;
    const auto sql = refusable_prepare();
    parse.sql = sql;
    protocol::append(here_.server->out, parse);
    answers.expect(request::parse, fate::swallow);
    protocol::append(here_.server->out, protocol::bind{});
    answers.expect(request::bind, fate::swallow);
    protocol::append(here_.server->out, protocol::execute{});
    answers.expect(request::execute);
  }
  std::string frame;
  protocol::append_error(frame, why);
  answers.tell_instead(frame);
}

}  // namespace proxy
