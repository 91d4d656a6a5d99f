#include "proxy/transaction/held_transaction.h"

#include <algorithm>
#include <cctype>

#include "proxy/state/client_timeouts.h"

namespace proxy {

using routing::statement_kind;

bool is_transaction_control(statement_kind kind) noexcept {
  switch (kind) {
    case statement_kind::begin:
    case statement_kind::commit:
    case statement_kind::rollback:
    case statement_kind::savepoint:
    case statement_kind::release:
    case statement_kind::rollback_to:
    case statement_kind::set_local: return true;
    default: return false;
  }
}

bool moves_savepoints(statement_kind kind) noexcept {
  return kind == statement_kind::savepoint || kind == statement_kind::release || kind == statement_kind::rollback_to;
}

bool ends_transaction(statement_kind kind) noexcept {
  return kind == statement_kind::commit || kind == statement_kind::rollback || kind == statement_kind::prepare_transaction;
}

bool undoes(statement_kind kind) noexcept { return kind == statement_kind::rollback || kind == statement_kind::rollback_to; }

namespace {

// Skips blanks and comments, which may nest.
void skip_blanks(std::string_view& sql) noexcept {
  while (!sql.empty()) {
    if (std::isspace(static_cast<unsigned char>(sql.front()))) {
      sql.remove_prefix(1);
    } else if (sql.starts_with("--")) {
      const auto end = sql.find('\n');
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end);
    } else if (sql.starts_with("/*")) {
      int depth = 0;
      do {
        const bool opens = sql.starts_with("/*"), closes = sql.starts_with("*/");
        depth += opens ? 1 : closes ? -1 : 0;
        sql.remove_prefix(opens || closes ? 2 : 1);
      } while (depth > 0 && !sql.empty());
    } else {
      return;
    }
  }
}

bool take_word(std::string_view& sql, std::string_view word) noexcept {
  skip_blanks(sql);
  if (sql.size() < word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(sql[i])) != word[i]) return false;
  sql.remove_prefix(word.size());
  return true;
}

// SET LOCAL of what the client is to be told, or of a time-out of clients that idle.
bool only_server_minds(const routing::statement_plan& plan) {
  return plan.effects.reported || std::ranges::any_of(plan.effects.settings, [](const auto& name) {
    const auto* text = std::get_if<std::string>(&name);
    return text && is_client_timeout(lower_name(*text));
  });
}

// ROLLBACK TO and RELEASE drop what came after the newest savepoint of that name, RELEASE that one too. False: there is none.
bool go_back(std::vector<named_savepoint>& savepoints, std::string_view name, bool release) {
  const auto found = std::find_if(savepoints.rbegin(), savepoints.rend(), [name](const auto& s) { return s.name == name; });
  if (found == savepoints.rend()) return false;
  savepoints.erase(release ? std::prev(found.base()) : found.base(), savepoints.end());
  return true;
}

}  // namespace

std::string_view control_tag(statement_kind kind, std::string_view sql) noexcept {
  switch (kind) {
    case statement_kind::begin: return take_word(sql, "start") ? "START TRANSACTION" : "BEGIN";
    case statement_kind::commit: return "COMMIT";
    case statement_kind::prepare_transaction:  // of a failed one
    case statement_kind::rollback:
    case statement_kind::rollback_to: return "ROLLBACK";
    case statement_kind::savepoint: return "SAVEPOINT";
    case statement_kind::release: return "RELEASE";
    default: return take_word(sql, "set") && take_word(sql, "constraints") ? "SET CONSTRAINTS" : "SET";
  }
}

bool held_transaction::can_answer(std::span<const routing::statement_plan> plans) const {
  if (plans.empty() || bytes_ >= max_bytes) return false;
  if (!open_ && plans.front().kind != statement_kind::begin) return false;
  bool open = open_, failed = failed_;
  auto savepoints = savepoints_;
  for (const auto& plan : plans) {
    // What has failed cannot be prepared, and is rolled back instead.
    const bool ends = ends_transaction(plan.kind);
    if (plan.kind == statement_kind::prepare_transaction ? !failed : !is_transaction_control(plan.kind)) return false;
    const bool back = plan.kind == statement_kind::rollback_to;
    if (failed && !ends && !back) return false;
    if (plan.chain && texts_.empty() && plans.size() > 1) return false;  // BEGIN stands in the same text, and is not kept yet
    if (plan.kind == statement_kind::set_local && only_server_minds(plan)) return false;
    if (!open && plan.kind != statement_kind::begin) return false;
    if ((back || plan.kind == statement_kind::release) && !go_back(savepoints, plan.savepoint, !back)) return false;
    if (plan.kind == statement_kind::savepoint) savepoints.push_back({plan.savepoint, 0});
    if (ends) savepoints.clear();
    open = !ends || plan.chain;
    failed = false;  // what was failed has ended or gone back
  }
  return true;
}

held_transaction::answer held_transaction::run(const routing::statement_plan& plan, std::string_view sql) {
  answer given{control_tag(plan.kind, sql), false};
  switch (plan.kind) {
    case statement_kind::begin:
      given.already_in_progress = open_;
      open_ = true;
      break;
    case statement_kind::commit:
      if (failed_) given.tag = "ROLLBACK";
      finish(plan.chain);
      break;
    case statement_kind::prepare_transaction:
    case statement_kind::rollback: finish(plan.chain); break;
    case statement_kind::savepoint: savepoints_.push_back({plan.savepoint, texts_.size() + 1}); break;
    case statement_kind::release: go_back(savepoints_, plan.savepoint, true); break;
    case statement_kind::rollback_to:  // nothing of it has run anywhere
      go_back(savepoints_, plan.savepoint, false);
      failed_ = false;
      break;
    default: imports_snapshot_ = imports_snapshot_ || plan.imports_snapshot; break;
  }
  return given;
}

void held_transaction::keep(std::string_view sql, bool mixed) {
  if (!open_ || failed_) return;
  mixed_ = mixed_ || mixed || imports_snapshot_;
  texts_.emplace_back(sql);
  bytes_ += sql.size() + sizeof(std::string);
}

// AND CHAIN begins the next transaction with the same characteristics, those of BEGIN and of SET TRANSACTION after it, and a new snapshot.
void held_transaction::finish(bool chain) noexcept {
  if (!chain || texts_.empty()) return clear();
  texts_.erase(std::remove_if(texts_.begin() + 1, texts_.end(),
                              [](std::string_view sql) {
                                return !(take_word(sql, "set") && take_word(sql, "transaction")) || take_word(sql, "snapshot");
                              }),
               texts_.end());
  bytes_ = 0;
  for (const auto& text : texts_) bytes_ += text.size() + sizeof(std::string);
  savepoints_.clear();
  failed_ = imports_snapshot_ = false;
}

void held_transaction::clear() noexcept {
  open_ = failed_ = imports_snapshot_ = mixed_ = false;
  savepoints_.clear();
  bytes_ = 0;
  texts_.clear();
}

void held_transaction::give(transaction_log& log) noexcept {
  log.take(texts_, savepoints_);
  if (mixed_) log.lose();
  clear();
}

void held_transaction::take_back(transaction_log& log) noexcept {
  clear();
  mixed_ = !log.complete();
  log.give(texts_, savepoints_);
  for (const auto& text : texts_) bytes_ += text.size() + sizeof(std::string);
  open_ = true;
}

protocol::transaction_status held_transaction::status() const noexcept {
  if (failed_) return protocol::transaction_status::failed;
  return open_ ? protocol::transaction_status::in_transaction : protocol::transaction_status::idle;
}

}  // namespace proxy
