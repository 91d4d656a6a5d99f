// What the transaction under way may leave behind, learned from what its statements say, and what to ask the server for once it has
// ended. Owned by a session; worker's thread only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "proxy/state/probe.h"
#include "proxy/state/settings.h"
#include "routing/analysis/plan.h"
#include "routing/map/parameter.h"

namespace proxy {

class state_of_transaction {
 public:
  void note(const routing::session_effects&);
  // The names that the effects leave open or give; `values` are those of the statement's parameters.
  void name(const routing::session_effects&, std::span<const routing::parameter> values);
  void note_unknown() noexcept { makes_ |= state::anything; }
  void note_parse() noexcept { parses_ = true; }
  void note_any_setting() noexcept;  // a setting has changed, and nothing said which
  void note_undone() noexcept { resets_ = true; }
  void note_failure() noexcept { resets_ = failed_ = true; }
  // The server is told the settings that the other one was told.
  void hear_settings(const state_of_transaction& other);

  // What to ask of a server that has `applied` and is kept for `pinned`.
  probe question(const settings_ptr& applied, state_bits pinned, const known_defaults&, const std::vector<std::string>& own,
                 const std::vector<std::string>& others) const;
  // What no question can show, after a server that was kept for `pinned`.
  state_bits hidden(state_bits pinned) const noexcept;
  const std::vector<std::string>& names() const noexcept { return names_; }
  bool changes_settings() const noexcept { return (makes_ & (state::settings | state::anything)) != 0; }
  // A statement was prepared that may be of temporary tables, which hid others of the same name.
  bool has_prepared_of_temp_objects() const noexcept { return parses_ && (makes_ & state::temp_objects) != 0; }
  void clear() noexcept;

 private:
  void add(const std::string& name);

  state_bits makes_ = 0, ends_ = 0;
  state_bits nameless_ = 0;  // there were more settings than are remembered: what cannot be asked for keeps its server
  bool resets_ = false, any_setting_ = false, failed_ = false, parses_ = false;
  std::vector<std::string> names_;
};

// Adds what is not there yet, up to a number that no application reaches; false: behind that.
bool remember_name(std::vector<std::string>& names, const std::string& name);

}  // namespace proxy
