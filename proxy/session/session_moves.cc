// A transaction that has only set things, and asked what every shard would answer alike, belongs to no shard yet, though one of them had to
// answer. When a statement then needs another shard, the first one rolls back and what was set is set again in front of the statement, as
// what is held is (held_transaction.h). now() is not such a question: it tells when the transaction began on its server. Declared in
// proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

using routing::statement_kind;

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

bool session::has_named_portals() const noexcept {
  return std::any_of(portals_.begin(), portals_.end(), [](const auto& portal) { return !portal.first.empty(); });
}

// Nothing of it is under way, and nothing that it has opened would be missed.
bool session::may_move() const noexcept {
  if (!here_.unbound || !here_.server || here_.borrowed || here_.unsynced || !here_.server->answers.idle()) return false;
  return !has_named_portals() && here_.status == protocol::transaction_status::in_transaction;
}

bool session::must_move(const choice& c) const noexcept {
  return here_.unbound && elsewhere_.empty() && here_.server && !here_.borrowed && c.shard && *c.shard != here_.server->shard;
}

// Without a notice the transaction is held again, or the session is closing.
task<std::optional<protocol::notice>> session::leave_shard() {
  here_.server->ask("ROLLBACK");
  here_.asking = question::prepared;
  clock_question();
  co_await wait_for_answer();
  if (!here_.server) co_return std::exchange(lost_, std::nullopt);
  if (closing_) co_return std::nullopt;
  here_.server->unusable = here_.server->unusable || !here_.server->answers.failure().empty();  // a cancel has hit it
  auto portals = std::move(portals_);  // those of the message that has to move
  release_server();
  portals_ = std::move(portals);
  held_.take_back(log_);
  co_return std::nullopt;
}

// As what is sent now is run. A pipeline that fails in the middle leaves unknown what of it was.
void session::note_sayings(const choice& c) {
  for (const auto& each : c.says) {
    const bool is_heard = here_.status != protocol::transaction_status::failed || each.is == saying::what::rollback_to || each.is == saying::what::end;
    if (!is_heard) continue;
    const bool goes = each.is == saying::what::release || each.is == saying::what::rollback_to;
    if (each.is == saying::what::savepoint || (goes && log_.find(each.name))) unit_says_ = said_in_unit::savepoints;
    log_.note(each, elsewhere_.empty());
  }
  if (c.unsaid) log_.lose();
  here_.said = log_.size();
  for (auto& other : elsewhere_) other.said = std::min(other.said, log_.size());
  const auto runs = std::count_if(batch_.begin(), batch_.end(), [](const batch_item& item) { return item.type == 'E'; });
  const bool several = c.says.size() > 1 || runs > 1 || here_.unsynced;
  if (several && unit_says_ == said_in_unit::nothing) unit_says_ = said_in_unit::several;
}

// What the statement has to be followed by on another shard. Of one that sets nothing, that is nothing; of what sets something and can be known
// on its own server only, the transaction stays there.
void session::note_what_is_said(choice& c, const routing::statement_plan& plan, std::string_view sql, std::span<const routing::parameter> values) {
  using enum saying::what;
  const auto say = [&](saying::what is) { c.says.push_back(saying{is, std::string(sql), plan.savepoint}); };
  switch (plan.kind) {
    case statement_kind::begin: return say(begin);
    case statement_kind::savepoint: return say(savepoint);
    case statement_kind::release: return say(release);
    case statement_kind::rollback_to: return say(rollback_to);
    case statement_kind::commit:
    case statement_kind::rollback:
    case statement_kind::prepare_transaction:
      c.unsaid = plan.chain;  // with what the next one begins
      return void(c.says.push_back(saying{end, {}, {}}));
    case statement_kind::set_local:
      if (plan.imports_snapshot) c.unsaid = true;
      return say(setting);
    default: break;
  }
  const auto& effects = plan.effects;
  const bool sets = !effects.calls.empty() || effects.resets || (effects.makes & routing::state::settings) != 0;
  const bool unknown = effects.unknown_calls || (effects.makes & routing::state::anything) != 0 || (sets && !plan.unbound);
  if (plan.opens_cursor || plan.prepare || unknown) return void(c.unsaid = true);
  for (const auto& call : effects.calls) c.says.push_back(saying{setting, set_again(call, values), {}});
  if (sets && effects.calls.empty()) say(setting);
}

// Each statement of the pipeline is bound and run once.
bool session::batch_runs_once() const {
  std::ptrdiff_t runs = 0;
  for (const auto& item : batch_) {
    if (item.type == 'B') ++runs;
    if (item.type == 'E') --runs;
    if (item.type == 'y' || item.type == 'z' || item.is_front() || item.reset) return false;
  }
  return runs == 0;
}

}  // namespace proxy
