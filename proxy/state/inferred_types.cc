#include "proxy/state/inferred_types.h"

namespace proxy {

namespace {

std::string key_of(std::string_view scope, std::string_view sql, const std::vector<std::uint32_t>& declared) {
  std::string key(scope);
  key.push_back('\0');
  for (const auto type : declared) key.append(std::to_string(type)).push_back(',');
  return key.append(1, ' ').append(sql);
}

}  // namespace

const std::vector<std::uint32_t>* inferred_types::find(std::string_view scope, std::string_view sql, const std::vector<std::uint32_t>& declared,
                                                             clock::time_point now) const {
  const auto found = answers_.find(key_of(scope, sql, declared));
  return found == answers_.end() || now - found->second.since > valid_for ? nullptr : &found->second.types;
}

void inferred_types::remember(std::string_view scope, std::string_view sql, const std::vector<std::uint32_t>& declared,
                              std::vector<std::uint32_t> types, clock::time_point now) {
  if (answers_.size() >= most) answers_.clear();
  answers_[key_of(scope, sql, declared)] = answer{std::move(types), now};
}

}  // namespace proxy
