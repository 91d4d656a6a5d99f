// Settings that the analysis rests on: how literals are read, in which encoding text comes, and what the names of types and operators mean.
// Used by the analysis for SET and set_config, and by sessions for what comes otherwise. Pure, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/analysis/plan.h"

namespace routing {

// Does it decide how the bytes of a statement become literals? Names of settings are alike in upper and lower case.
bool decides_reading(std::string_view name) noexcept;
bool is_reported(std::string_view name) noexcept;  // may be set by anybody, and clients are told (manual 55.2.7)

// Has this encoding characters with a byte in them that is another one in ASCII, perhaps a quote or a backslash?
bool hides_ascii(std::string_view encoding);

// Does misleading_value() look at its values?
bool is_judged(std::string_view name) noexcept;

// Why the analysis would be misled by this value of search_path or client_encoding; nullopt: it would not. SET gives `values` one by one, set_config and the startup packet
// give one text.
std::optional<refusal> misleading_value(std::string_view name, std::span<const std::string> values);
std::optional<refusal> misleading_value(std::string_view name, std::string_view text);

// The same for the "options" of a startup packet: -c name=value, --name=value.
std::optional<refusal> misleading_options(std::string_view options);

}  // namespace routing
