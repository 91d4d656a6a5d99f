// Prepared statements that work on any server connection: a text with its parameter types is one statement, shared by all clients of
// a worker that prepared it, and has one name on every server that knows it. A client's own names map to such statements.
// Worker's thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "routing/plan.h"
#include "routing/types.h"

namespace proxy {

struct prepared_statement {
  std::uint64_t id = 0;
  std::string server_name;  // "pgrotor_<id>"
  std::string sql;
  std::vector<std::uint32_t> types;
  // The analysis, valid under maps of that schema_version.
  std::shared_ptr<const routing::text_plan> plan;
  routing::generation plan_version;
};
using statement_ptr = std::shared_ptr<prepared_statement>;

// All statements that clients of a worker hold. Bounded in bytes of text.
class statement_registry {
 public:
  explicit statement_registry(std::size_t max_bytes = 256u << 20) : max_bytes_(max_bytes) {}
  // The one statement of this text and types; nullptr when the bound is reached.
  statement_ptr find_or_make(std::string_view sql, const std::vector<std::uint32_t>& types);
  // A statement of its own, which nobody shares (the unnamed one).
  statement_ptr make_unshared(std::string_view sql, const std::vector<std::uint32_t>& types);
  std::size_t bytes() const noexcept { return *bytes_; }

 private:
  std::unordered_map<std::string, std::weak_ptr<prepared_statement>> known_;  // by types and text
  std::shared_ptr<std::size_t> bytes_ = std::make_shared<std::size_t>(0);
  std::size_t max_bytes_, purge_at_ = 1024;
  std::uint64_t next_id_ = 1;
};

// The names of one client. Changes are made as its messages are read and taken back, newest first, when the server skipped them.
class client_statements {
 public:
  statement_ptr find(std::string_view name) const;
  // Both return what expected::undo wants.
  std::uint32_t set(std::string_view name, statement_ptr);
  std::uint32_t erase(std::string_view name);
  void undo(std::uint32_t change);
  void settle() noexcept { changes_.clear(); }  // nothing is under way: what was done stays
  void clear();
  std::size_t size() const noexcept { return names_.size(); }

 private:
  struct change {
    std::string name;
    statement_ptr before;
  };
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
  };
  std::unordered_map<std::string, statement_ptr, hash, std::equal_to<>> names_;
  statement_ptr unnamed_;
  std::vector<change> changes_;
};

// The statements that one server connection holds, least recently used first to go.
class server_statements {
 public:
  static constexpr std::size_t limit = 200;
  // True when the server has it; marks it as used.
  bool touch(std::uint64_t id);
  void add(std::uint64_t id);
  void forget(std::uint64_t id);
  // The one to close before another may be added.
  std::optional<std::uint64_t> surplus() const;
  std::size_t size() const noexcept { return by_id_.size(); }
  // The unnamed statement is remade often: which one the server holds now (0: none).
  std::uint64_t unnamed = 0;

 private:
  std::list<std::uint64_t> order_;  // most recently used first
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> by_id_;
};

std::string server_statement_name(std::uint64_t id);

}  // namespace proxy
