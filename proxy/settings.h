// Settings that a client made for its session, and those that a server connection has: where they differ, one query in front of the
// client's statement makes them agree (manual 20.1.3). Sets are immutable and shared, so that to compare is to compare pointers and
// hashes. Worker's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace proxy {

class setting_set;
using settings_ptr = std::shared_ptr<const setting_set>;  // nullptr: nothing but what the server started with

class setting_set {
 public:
  using pairs = std::vector<std::pair<std::string, std::string>>;

  // Of names in lower case and values in the form that set_config takes; nullptr when there are none.
  static settings_ptr make(pairs values);

  const pairs& values() const noexcept { return values_; }  // sorted by name
  std::uint64_t hash() const noexcept { return hash_; }
  const std::string* find(std::string_view name) const noexcept;

 private:
  pairs values_;
  std::uint64_t hash_ = 0;
};

bool same(const settings_ptr&, const settings_ptr&) noexcept;

// What turns a server that has `from` into one that has `to`.
struct adjustment {
  std::string sql;      // one simple query
  bool wait = false;    // it may fail: nothing may follow it before it has succeeded
};
adjustment adjust(const settings_ptr& from, const settings_ptr& to);

// As PostgreSQL compares names of settings.
std::string lower_name(std::string_view);
std::string quoted_name(std::string_view);
// 'text' for a server with standard_conforming_strings on.
std::string quoted_literal(std::string_view);
// Settings that extensions and applications make up; pg_settings does not show them.
inline bool is_custom(std::string_view name) noexcept { return name.find('.') != std::string_view::npos; }

}  // namespace proxy
