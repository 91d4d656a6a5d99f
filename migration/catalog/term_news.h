// How the term of this process stands, as SHOW CATALOG, /healthz and metrics tell it. Values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace migration {

// What is known of the term, for whoever asks (SHOW CATALOG, /healthz, metrics).
struct term_news {
  enum class state {
    held,    // renewed, and the lease runs
    unsure,  // the catalog does not answer; the lease runs
    lapsed,  // it has run out, and nobody else is known to have begun a term
    lost,    // somebody else has
  };
  state now = state::lapsed;
  bool catalog_up = false;
  std::uint64_t epoch = 0, reconnects = 0;
  double lease_left_seconds = 0, away_seconds = 0;
  std::string trouble;  // of the catalog, or who has the term
};
std::string_view to_string(term_news::state) noexcept;

}  // namespace migration
