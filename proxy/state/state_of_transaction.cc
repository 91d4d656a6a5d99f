#include "proxy/state/state_of_transaction.h"

#include <algorithm>

namespace proxy {

namespace {
constexpr std::size_t max_names = 200;
}

void remember_name(std::vector<std::string>& names, const std::string& name) {
  if (names.size() < max_names && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
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
    if (constant) remember_name(names_, lower_name(*constant));
    else if (*index < values.size() && values[*index].value) remember_name(names_, lower_name(*values[*index].value));
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
  for (const auto& name : other.names_) remember_name(names_, name);
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
  if (!any) return asked;
  for (const auto* names : {&own, &others})
    for (const auto& name : *names) remember_name(asked.names, name);
  for (const auto* name : {"role", "session_authorization"}) remember_name(asked.names, name);
  if (applied)
    for (const auto& [name, value] : applied->values())
      if (is_custom(name)) remember_name(asked.names, name);
  return asked;
}

state_bits state_of_transaction::hidden(state_bits pinned) const noexcept {
  // Who asked for a sequence's value that was not there will ask again after the next INSERT.
  if (failed_) return static_cast<state_bits>((pinned | (makes_ & outlives_failure)) & hidden_state);
  const auto kept = pinned & ~(ends_ & ended_by_name);
  return static_cast<state_bits>((kept | makes_) & hidden_state);
}

void state_of_transaction::clear() noexcept {
  makes_ = ends_ = 0;
  resets_ = any_setting_ = failed_ = parses_ = false;
  names_.clear();
}

}  // namespace proxy
