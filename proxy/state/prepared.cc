#include "proxy/state/prepared.h"

#include <algorithm>
#include <utility>

namespace proxy {

std::string server_statement_name(std::uint64_t id) { return "pgrotor_" + std::to_string(id); }

namespace {

std::size_t weight(const prepared_statement& s) noexcept { return sizeof s + s.sql.size() + s.types.size() * sizeof(std::uint32_t); }

}  // namespace

const std::pair<std::string, std::string> prepared_statement::escapes_on{"standard_conforming_strings", "off"};

prepared_statement::prepared_statement(std::uint64_t number, std::string_view text, std::span<const std::uint32_t> parameters,
                                       name_values_ptr names, std::shared_ptr<statement_shelf> on)
    : id(number), server_name(server_statement_name(number)), sql(text), types(parameters.begin(), parameters.end()), scope(std::move(names)), escapes(scope && scope->find(escapes_on.first)), shelf(std::move(on)) {
  shelf->known.emplace(statement_shelf::key{sql, types, scope.get()}, this);
  shelf->bytes += weight(*this);
}

prepared_statement::~prepared_statement() {
  shelf->known.erase(statement_shelf::key{sql, types, scope.get()});
  shelf->bytes -= weight(*this);
}

statement_registry::statement_registry(std::size_t max_bytes) : shelf_(std::make_shared<statement_shelf>()), max_bytes_(max_bytes) {}

statement_ptr statement_registry::find_or_make(std::string_view sql, const std::vector<std::uint32_t>& types, bool named, const name_values_ptr& scope) {
  if (const auto found = shelf_->known.find({sql, types, scope.get()}); found != shelf_->known.end()) return found->second;
  if (shelf_->bytes + sql.size() > max_bytes_) recent_.clear();
  if (shelf_->bytes + sql.size() > max_bytes_) return nullptr;
  statement_ptr made(new prepared_statement(next_id_++, sql, types, scope, shelf_));
  if (named || sql.size() > max_recent_text) return made;
  if (recent_.size() < max_recent) recent_.push_back(made);
  else recent_[next_recent_++ % max_recent] = made;
  return made;
}

statement_ptr client_statements::find(std::string_view name) const {
  if (name.empty()) return unnamed_;
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
}

std::uint32_t client_statements::set(std::string_view name, statement_ptr statement) {
  auto& slot = name.empty() ? unnamed_ : names_[std::string(name)];
  changes_.push_back(change{std::string(name), std::exchange(slot, std::move(statement))});
  return static_cast<std::uint32_t>(changes_.size());
}

std::uint32_t client_statements::erase(std::string_view name) {
  changes_.push_back(change{std::string(name), find(name)});
  if (name.empty()) unnamed_.reset();
  else names_.erase(std::string(name));
  return static_cast<std::uint32_t>(changes_.size());
}

void client_statements::undo(std::uint32_t number) {
  if (number == 0 || number > changes_.size()) return;
  auto& what = changes_[number - 1];
  if (what.name.empty()) unnamed_ = std::move(what.before);
  else if (what.before) names_[what.name] = std::move(what.before);
  else names_.erase(what.name);
}

void client_statements::clear() {
  names_.clear();
  unnamed_.reset();
  changes_.clear();
}

bool server_statements::touch(std::uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  order_.splice(order_.begin(), order_, found->second);
  return true;
}

void server_statements::add(std::uint64_t id) {
  if (touch(id)) return;
  order_.push_front(id);
  by_id_.emplace(id, order_.begin());
}

void server_statements::forget(std::uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  order_.erase(found->second);
  by_id_.erase(found);
}

void server_statements::clear() noexcept {
  order_.clear();
  by_id_.clear();
  unnamed = 0;
}

std::optional<std::uint64_t> server_statements::surplus() const {
  if (by_id_.size() < limit) return std::nullopt;
  return order_.back();
}

}  // namespace proxy
