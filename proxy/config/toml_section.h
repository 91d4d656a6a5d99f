// Reading of one table of a TOML file into plain fields, collecting every problem instead of stopping at the first. Used by
// config.cc only; the one place that knows toml++.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

namespace proxy {

// Problems of one file with their lines, in the order in which they are found.
class problem_list {
 public:
  explicit problem_list(std::string path) : path_(std::move(path)) {}
  void add(int line, std::string_view key, std::string_view what);
  bool empty() const noexcept { return lines_.empty(); }
  std::string text() const;  // sorted by line

 private:
  std::string path_;
  std::vector<std::pair<int, std::string>> lines_;
};

// One table; `name` is empty for the file's top level. A null table reads as an empty one.
class toml_section {
 public:
  toml_section(const toml::table* table, std::string name, int line, problem_list& problems);

  void text(std::string_view key, std::string& out);
  void text_list(std::string_view key, std::vector<std::string>& out);
  template <typename Int>
  void integer(std::string_view key, Int& out, std::int64_t lowest, std::int64_t highest) {
    if (const auto value = checked_integer(key, lowest, highest)) out = static_cast<Int>(*value);
  }
  void milliseconds(std::string_view key, std::chrono::milliseconds& out, std::int64_t lowest, std::int64_t highest);
  // A name that belongs to this table but is read elsewhere.
  void allow(std::string_view key) { known_.push_back(key); }
  // Reports keys that nobody asked for, with the nearest one that exists.
  void finish();

  void problem(std::string_view key, std::string_view what);
  int line_of(std::string_view key) const;  // the table's own line when the key is absent

 private:
  const toml::node* take(std::string_view key);
  std::optional<std::int64_t> checked_integer(std::string_view key, std::int64_t lowest, std::int64_t highest);
  std::string full(std::string_view key) const;

  const toml::table* table_;
  std::string name_;
  int line_;
  problem_list& problems_;
  std::vector<std::string_view> known_;
};

}  // namespace proxy
