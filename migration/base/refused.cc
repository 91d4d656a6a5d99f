#include "migration/base/refused.h"

namespace migration {

refused::refused(protocol::notice n) : std::runtime_error(n.message), notice(std::move(n)) {}

void refuse(std::string_view sqlstate, std::string message, std::string detail, std::string hint) {
  throw refused(protocol::make_error(sqlstate, std::move(message), std::move(detail), std::move(hint)));
}

}  // namespace migration
