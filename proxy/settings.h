// Settings that a client made for its session, and those that a server connection has: where they differ, one query in front of the
// client's statement makes them agree (manual 20.1.3). Sets are immutable, and equal sets of one thread are one object: to compare is to
// compare pointers. Worker's thread only; the last owner of one may be gone after that thread has ended.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

namespace proxy {

class setting_set;
using settings_ptr = boost::intrusive_ptr<const setting_set>;  // nullptr: nothing but what the server started with

// Counted without atomic operations.
class setting_set : public boost::intrusive_ref_counter<setting_set, boost::thread_unsafe_counter> {
 public:
  using pairs = std::vector<std::pair<std::string, std::string>>;

  // Of names in lower case and values in the form that set_config takes; nullptr when there are none.
  static settings_ptr make(pairs values);
  ~setting_set();

  const pairs& values() const noexcept { return values_; }  // sorted by name
  const std::string* find(std::string_view name) const noexcept;

 private:
  setting_set(pairs values, std::uint64_t hash) : values_(std::move(values)), hash_(hash) {}
  const pairs values_;
  const std::uint64_t hash_;
};

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
