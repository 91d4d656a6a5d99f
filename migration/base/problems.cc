#include "migration/base/problems.h"

#include <algorithm>

#include <fmt/format.h>

namespace migration {
namespace {

void append_line(std::string& text, const std::string& line) {
  if (line.empty()) return;
  if (!text.empty()) text += '\n';
  text += line;
}

}  // namespace

void problems::add(protocol::notice notice) {
  const auto same = [&](const protocol::notice& other) { return other.message == notice.message && other.detail == notice.detail; };
  if (std::ranges::none_of(found_, same)) found_.push_back(std::move(notice));
}

void problems::add(std::string_view sqlstate, std::string message, std::string detail, std::string hint) {
  add(protocol::make_error(sqlstate, std::move(message), std::move(detail), std::move(hint)));
}

void problems::add_of(const std::string& where, const problems& others, bool once) {
  for (auto notice : others.found_) {
    if (once && std::ranges::find(found_, notice.message, &protocol::notice::message) != found_.end()) continue;
    if (!notice.message.starts_with(where)) notice.message = where + ": " + notice.message;
    add(std::move(notice));
  }
}

void problems::refuse_if_any(const std::string& what) const {
  if (found_.empty()) return;
  if (found_.size() == 1) throw refused(found_.front());
  std::string detail, hint;
  for (const auto& notice : found_) {
    append_line(detail, notice.message + (notice.detail.empty() ? "" : ": " + notice.detail));
    append_line(hint, notice.hint);
  }
  refuse(found_.front().sqlstate, fmt::format("{}: {} things are in the way", what, found_.size()), detail, hint);
}

}  // namespace migration
