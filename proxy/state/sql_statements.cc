#include "proxy/state/sql_statements.h"

#include <algorithm>

namespace proxy {

sql_prepare_ptr sql_statements::find(std::string_view name) const {
  const auto found = std::find_if(known_.begin(), known_.end(), [name](const auto& one) { return one->name == name; });
  return found == known_.end() ? nullptr : *found;
}

void sql_statements::set(sql_prepare_ptr statement) {
  erase(statement->name);
  known_.push_back(std::move(statement));
}

void sql_statements::erase(std::string_view name) {
  std::erase_if(known_, [name](const auto& one) { return one->name == name; });
}

void sql_changes::made(sql_prepare_ptr statement) { made_.push_back(std::move(statement)); }

void sql_changes::dropped(std::string_view name) { dropped_.emplace_back(name); }

sql_prepare_ptr sql_changes::find(std::string_view name) const {
  const auto found = std::find_if(made_.rbegin(), made_.rend(), [name](const auto& one) { return one->name == name; });
  return found == made_.rend() ? nullptr : *found;
}

bool sql_changes::has_dropped(std::string_view name) const { return std::find(dropped_.begin(), dropped_.end(), name) != dropped_.end(); }

void sql_changes::clear() noexcept {
  made_.clear();
  dropped_.clear();
}

void settle_statements(const std::vector<std::string>& found, const sql_changes& changes, sql_statements& of_session, sql_statements& of_server) {
  const auto before = of_server.all();
  for (const auto& one : before)
    if (std::find(found.begin(), found.end(), one->name) == found.end()) {
      of_server.erase(one->name);
      of_session.erase(one->name);
    }
  for (const auto& name : found) {
    auto known = of_server.find(name);
    // A name that was there already and was not given up refused to be made again.
    if (!known || changes.has_dropped(name)) {
      if (auto made = changes.find(name)) known = std::move(made);
    }
    if (!known) continue;  // made by code that is not known: it runs where it is
    of_server.set(known);
    of_session.set(known);
  }
}

}  // namespace proxy
