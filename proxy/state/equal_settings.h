// What sessions start with on a shard, as far as it changes the answers to statements, and what has to be given to a login so that it is
// what the default shard has. Sans-I/O: the question to a server, its answer, the comparison. Used by pool_settings.cc; worker's thread only.
//
// A value that SET makes is undone by RESET and DISCARD ALL, one that came with the startup packet is what they return to. So what differs
// goes into the startup packet. The values compared are those that RESET returns to: postgresql.conf, ALTER DATABASE, ALTER ROLE and the
// client's own startup parameters, which all servers of one pool are given alike and which therefore win.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/state/name_values.h"

namespace proxy {

struct setting_seen {
  enum class set_by {
    user,       // anybody, in a startup packet too
    superuser,  // nobody else
    nobody,     // the server is made so
  };
  std::string name, value;  // one with a dot in lower case, '' when the server does not know it
  set_by by = set_by::user;
  bool operator==(const setting_seen&) const = default;
};

struct server_settings {
  std::vector<setting_seen> all;  // sorted by name
  std::vector<std::string> stored;  // what ALTER ROLE and ALTER DATABASE hold for this user now, whatever the connection has started with
  bool hidden_functions = false;  // functions of users that may make state have names of PostgreSQL's own
  const setting_seen* find(std::string_view name) const noexcept;
  bool operator==(const server_settings& other) const { return all == other.all && stored == other.stored; }
};

// `names`: settings that the server need not know (those with a dot), asked beside the ones it has itself.
std::string settings_question(std::span<const std::string> names);
// From the DataRow frames of the answer; nullopt if they are not those of the question.
std::optional<server_settings> read_server_settings(std::string_view rows);
// Those that the question has to name.
std::vector<std::string> names_to_ask(const server_settings&);

struct comparison {
  text_pairs give;                   // to the next login
  std::vector<std::string> refused;  // "encoding is LATIN1, UTF8 on the default shard"
  std::vector<std::string> told;     // the same, where no row is wrong because of it
};
// `superuser`: who logged in here.
comparison compare_settings(const server_settings& standard, const server_settings& here, bool superuser);
// Asked of two connections, or twice of one: would another login see the same? Sessions may have set what has a dot meanwhile.
bool started_alike(const server_settings&, const server_settings&);

}  // namespace proxy
