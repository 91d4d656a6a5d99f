#include "migration/base/refused.h"

namespace migration {

refused::refused(protocol::notice n) : std::runtime_error(n.message), notice(std::move(n)) {}

void refuse(std::string_view sqlstate, std::string message, std::string detail, std::string hint) {
  protocol::notice notice;
  notice.sqlstate = sqlstate;
  notice.message = std::move(message);
  notice.detail = std::move(detail);
  notice.hint = std::move(hint);
  throw refused(std::move(notice));
}

}  // namespace migration
