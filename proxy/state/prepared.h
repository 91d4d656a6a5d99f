// Prepared statements that work on any server connection: a text with its parameter types is one statement, shared by all clients of
// a worker that prepared it under the same search_path and role (a server analyses it anew for another one, and takes different columns for
// an error), and has one name on every server that knows it. A client's own names map to such statements.
// Worker's thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "proxy/state/name_values.h"
#include "routing/analysis/plan.h"
#include "routing/map/types.h"
#include "routing/text/escapes.h"

namespace proxy {

struct statement_shelf;

// Counted without atomic operations: it never leaves its thread.
struct prepared_statement : boost::intrusive_ref_counter<prepared_statement, boost::thread_unsafe_counter> {
  prepared_statement(std::uint64_t number, std::string_view text, std::span<const std::uint32_t> parameters, name_values_ptr names,
                     std::shared_ptr<statement_shelf>);
  ~prepared_statement();
  const std::uint64_t id;
  const std::string server_name;  // "pgrotor_<id>"
  const std::string sql;
  const std::vector<std::uint32_t> types;
  const name_values_ptr scope;  // what names mean in it: see session::statement_scope()
  const bool escapes;           // it was written with standard_conforming_strings off, and escapes_on is in its scope
  std::string standard_sql() const { return escapes ? routing::without_escapes(sql) : sql; }
  static const std::pair<std::string, std::string> escapes_on;
  // The analysis, valid under maps of that schema_version.
  std::shared_ptr<const routing::text_plan> plan;
  routing::generation plan_version;
  bool plain = false;  // by that analysis: see is_plain()
  const std::shared_ptr<statement_shelf> shelf;
};
using statement_ptr = boost::intrusive_ptr<prepared_statement>;

// The statements that somebody holds. Each keeps the shelf, and leaves it at its end.
struct statement_shelf {
  struct key {
    std::string_view sql;  // the statement's own
    std::span<const std::uint32_t> types;
    const name_values* scope;
    bool operator==(const key& other) const noexcept {
      return sql == other.sql && scope == other.scope && std::equal(types.begin(), types.end(), other.types.begin(), other.types.end());
    }
  };
  struct hash {
    std::size_t operator()(const key& k) const noexcept { return std::hash<std::string_view>{}(k.sql) + k.types.size(); }
  };
  std::unordered_map<key, prepared_statement*, hash> known;
  std::size_t bytes = 0;
};

// All statements that clients of a worker hold. Bounded in bytes of text.
class statement_registry {
 public:
  explicit statement_registry(std::size_t max_bytes = 256u << 20);
  // The one statement of this text, types and scope; nullptr when the bound is reached. Unnamed ones are forgotten by clients with each
  // message, and the same texts come again: the latest of them stay known for a while.
  statement_ptr find_or_make(std::string_view sql, const std::vector<std::uint32_t>& types, bool named = true, const name_values_ptr& scope = {});
  std::size_t bytes() const noexcept { return shelf_->bytes; }

 private:
  static constexpr std::size_t max_recent = 256, max_recent_text = 4096;

  std::shared_ptr<statement_shelf> shelf_;
  std::vector<statement_ptr> recent_;  // a ring of unnamed ones
  std::size_t next_recent_ = 0, max_bytes_;
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
  void drop_unnamed() noexcept { unnamed_.reset(); }  // for good
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
  const std::list<std::uint64_t>& all() const noexcept { return order_; }
  void clear() noexcept;
  // The unnamed statement is remade often: which one the server holds now (0: none).
  std::uint64_t unnamed = 0;

 private:
  std::list<std::uint64_t> order_;  // most recently used first
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> by_id_;
};

std::string server_statement_name(std::uint64_t id);

}  // namespace proxy
