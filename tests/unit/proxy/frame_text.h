// Messages as tests write them down: "T[shard] D[s1] C[SELECT 1] Z[I]" of a server, "P[name sql] B[portal statement value] E[portal] S" of a client.
// Empty names are written as -, NULL as ~, errors and notices as their SQLSTATE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame.h"

namespace scripted {

std::string backend_text(std::string_view frames);
std::string frontend_text(std::string_view frames);
// The first whole message of a view; empty: there is none.
std::string_view first_frame(std::string_view bytes, protocol::peer from);
// Cut at ';' outside of quotes, blanks at the ends taken off; no empty ones.
std::vector<std::string> statements_of(std::string_view sql);

}  // namespace scripted
