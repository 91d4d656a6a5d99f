// Bounds on a statement text, checked by a scan of its tokens before libpg_query sees it: the parser's own recursion, not ours, is what
// a long chain of operators overflows. Pure, any thread, linear in the length of the text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "routing/analyzer.h"

namespace routing {

// What exceeds which limit, for the error's detail; nullopt if nothing does.
std::optional<std::string> exceeds(std::string_view sql, const analyzer_limits&);

}  // namespace routing
