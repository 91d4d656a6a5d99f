#include "proxy/state/state_of_transaction.h"

#include <algorithm>

#include "routing/text/escapes.h"

namespace proxy {

namespace {
constexpr std::size_t max_names = 200;

bool has(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

void add_name(std::vector<std::string>& names, const std::string& name) {
  if (!has(names, name)) names.push_back(name);
}

}  // namespace

bool remember_name(std::vector<std::string>& names, const std::string& name) {
  if (names.size() < max_names) add_name(names, name);
  return names.size() < max_names || has(names, name);
}

void state_of_transaction::add(const std::string& name) {
  if (!remember_name(names_, name)) nameless_ = state::libraries;
}

void state_of_transaction::note(const routing::session_effects& effects) {
  makes_ |= effects.makes;
  ends_ |= effects.ends;
  resets_ = resets_ || effects.resets;
  if ((effects.makes & state::settings) != 0 && effects.settings.empty()) any_setting_ = true;
}

void state_of_transaction::name(const routing::session_effects& effects, std::span<const routing::parameter> values) {
  for (const auto& one : effects.settings) {
    const auto* constant = std::get_if<std::string>(&one);
    const auto* index = std::get_if<std::size_t>(&one);
    if (constant) add(lower_name(*constant));
    else if (*index < values.size() && values[*index].value) add(lower_name(*values[*index].value));
    else any_setting_ = true;
  }
}

void state_of_transaction::note_any_setting() noexcept {
  makes_ |= state::settings;
  any_setting_ = true;
}

void state_of_transaction::hear_settings(const state_of_transaction& other) {
  makes_ |= other.makes_ & state::settings;
  resets_ = resets_ || other.resets_;
  any_setting_ = any_setting_ || other.any_setting_;
  nameless_ |= other.nameless_;
  for (const auto& name : other.names_) add(name);
}

probe state_of_transaction::question(const settings_ptr& applied, state_bits pinned, const known_defaults& defaults,
                                     const std::vector<std::string>& own, const std::vector<std::string>& others) const {
  probe asked;
  const bool anything = (makes_ & state::anything) != 0;
  asked.state = static_cast<state_bits>(anything ? visible_state : (makes_ | (ends_ & pinned)) & visible_state);
  const bool any = anything || ((makes_ & state::settings) != 0 && any_setting_);
  if ((makes_ & state::settings) != 0) asked.names = names_;
  asked.all_settings = any || (resets_ && std::any_of(asked.names.begin(), asked.names.end(), [&](const std::string& name) {
                                 return !is_custom(name) && name != "role" && name != "session_authorization" && !defaults.find(name);
                               }));
  // Values are kept in the client's encoding, and say something else in another.
  if (applied && !asked.names.empty() && has(asked.names, "client_encoding"))
    for (const auto& [name, value] : applied->values())
      if (!routing::is_ascii(value)) add_name(asked.names, name);
  if (!any) return asked;
  for (const auto* names : {&own, &others})
    for (const auto& name : *names) add_name(asked.names, name);
  for (const auto* name : {"role", "session_authorization"}) add_name(asked.names, name);
  if (applied)
    for (const auto& [name, value] : applied->values())
      if (is_custom(name)) add_name(asked.names, name);
  return asked;
}

state_bits state_of_transaction::hidden(state_bits pinned) const noexcept {
  // Who asked for a sequence's value that was not there will ask again after the next INSERT.
  if (failed_) return static_cast<state_bits>(nameless_ | ((pinned | (makes_ & outlives_failure)) & hidden_state));
  const auto kept = pinned & ~(ends_ & ended_by_name);
  return static_cast<state_bits>(nameless_ | ((kept | makes_) & hidden_state));
}

void state_of_transaction::clear() noexcept {
  makes_ = ends_ = nameless_ = 0;
  resets_ = any_setting_ = failed_ = parses_ = false;
  names_.clear();
}

}  // namespace proxy
