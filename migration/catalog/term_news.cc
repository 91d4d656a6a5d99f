#include "migration/catalog/term_news.h"

namespace migration {

std::string_view to_string(term_news::state state) noexcept {
  using enum term_news::state;
  switch (state) {
    case held: return "held";
    case unsure: return "unsure";
    case lapsed: return "lapsed";
    case lost: return "lost";
  }
  return "";
}

}  // namespace migration
