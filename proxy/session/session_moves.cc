// A transaction that has only set things, and asked what every shard would answer alike, belongs to no shard yet, though one of them had to
// answer. When a statement then needs another shard, the first one rolls back and what was set is set again in front of the statement, as
// what is held is (held_transaction.h). now() is not such a question: it tells when the transaction began on its server. Declared in
// proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

namespace {

std::optional<std::string_view> text_of(const routing::setting_name& from, std::span<const routing::parameter> values) {
  if (const auto* literal = std::get_if<std::string>(&from)) return *literal;
  const auto index = std::get<std::size_t>(from);
  return index < values.size() ? values[index].value : std::nullopt;
}

std::string set_again(const routing::set_config_call& call, std::span<const routing::parameter> values) {
  const auto name = text_of(call.name, values), value = text_of(call.value, values);
  const auto quoted = [](const std::optional<std::string_view>& text) { return text ? quoted_literal(*text) : std::string("NULL"); };
  return fmt::format("SELECT pg_catalog.set_config({}, {}, {})", quoted(name), quoted(value), call.local);
}

}  // namespace

// Nothing of it is under way, and nothing that it has opened would be missed.
bool session::may_move() const noexcept {
  if (!here_.unbound || !here_.server || here_.borrowed || here_.unsynced || !here_.server->answers.idle()) return false;
  const bool portals = std::any_of(portals_.begin(), portals_.end(), [](const auto& portal) { return !portal.first.empty(); });
  return !portals && here_.status == protocol::transaction_status::in_transaction;
}

bool session::must_move(const choice& c) const noexcept { return here_.unbound && here_.server && !here_.borrowed && c.shard && *c.shard != here_.server->shard; }

// Without a notice the transaction is held again, or the session is closing.
task<std::optional<protocol::notice>> session::leave_shard() {
  protocol::append(here_.server->out, protocol::query{"ROLLBACK"});
  here_.server->answers.expect(request::query, fate::capture);
  here_.server->statements.unnamed = 0;
  here_.asking = question::prepared;
  clock_question();
  co_await wait_for_answer();
  if (!here_.server) co_return std::exchange(lost_, std::nullopt);
  if (closing_) co_return std::nullopt;
  here_.server->unusable = here_.server->unusable || !here_.server->answers.failure().empty();  // a cancel has hit it
  auto portals = std::move(portals_);  // those of the message that has to move
  release_server();
  portals_ = std::move(portals);
  held_.take_back(prologue_);
  co_return std::nullopt;
}

void session::note_binding(const choice& c) {
  here_.unbound = !c.bound;
  for (const auto& text : c.repeats) prologue_.push_back(text);
  std::size_t bytes = 0;
  for (const auto& text : prologue_) bytes += text.size();
  if (bytes > held_transaction::max_bytes) here_.unbound = false;
}

// What has to be said again on another shard. Of a statement that sets nothing, that is nothing.
void session::add_repeats(choice& c, const routing::statement_plan& plan, std::string_view sql, std::span<const routing::parameter> values) const {
  if ((!here_.unbound && !held_.open()) || !sets_something(plan)) return;
  for (const auto& call : plan.effects.calls) c.repeats.push_back(set_again(call, values));
  if (plan.effects.calls.empty()) c.repeats.emplace_back(sql);
}

bool session::sets_something(const routing::statement_plan& plan) noexcept {
  return is_transaction_control(plan.kind) || plan.effects.makes != 0 || plan.effects.resets || !plan.effects.calls.empty();
}

// Each statement of the pipeline is bound and run once.
bool session::batch_is_unbound() const {
  std::ptrdiff_t runs = 0;
  for (const auto& item : batch_) {
    if (item.type == 'B') ++runs;
    if (item.type == 'E') --runs;
    if (item.type == 'y' || item.type == 'z' || item.is_front() || item.reset) return false;
    if ((item.type == 'B' || item.type == 'E') && !(item.plan && item.plan->unbound)) return false;
  }
  return runs == 0;
}

}  // namespace proxy
