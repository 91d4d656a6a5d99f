// What a client of the admin console says by either protocol, and how its answers are written: statements, portals and their formats, types of
// columns, the transaction that drivers believe in. No socket, no coroutine; of one session, on its thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/plan/commands.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/session/console.h"

namespace proxy {

class console_talk {
 public:
  // nullptr: every statement is refused.
  explicit console_talk(const console* commands) : commands_(commands) {}

  // Answers a message, or gives the command whose answer is to be told next. Throws migration::refused for what the client may not say.
  std::optional<std::string> take(char type, std::string_view body, std::string& out);
  // What came of that command.
  void tell(migration::answer, std::string& out);
  void sync();
  protocol::transaction_status status() const noexcept { return status_; }

 private:
  struct statement {
    std::string sql;
    migration::column_list columns;
  };
  struct portal {
    std::string sql;
    migration::column_list columns;
    std::vector<std::int16_t> formats;    // one a column
    std::optional<migration::answer> answered;
    std::size_t told = 0;  // of its rows
  };
  std::optional<std::string> query(std::string_view body);
  void parse(std::string_view body, std::string& out);
  void bind(std::string_view body, std::string& out);
  void describe(std::string_view body, std::string& out);
  std::optional<std::string> execute(std::string_view body, std::string& out);
  void close(std::string_view body, std::string& out);
  statement& statement_named(std::string_view);
  portal& portal_named(std::string_view);
  void demand_commands() const;
  void tell_part(portal&, std::string& out);
  void note(std::string_view tag);

  const console* commands_;
  std::map<std::string, statement, std::less<>> statements_;
  std::map<std::string, portal, std::less<>> portals_;
  portal* runs_ = nullptr;  // nullptr: a simple query does
  std::int32_t most_rows_ = 0;
  protocol::transaction_status status_ = protocol::transaction_status::idle;
};

}  // namespace proxy
